//! Without faults the fake ring does what the kernel's does.

use std::time::Duration;

use corecast_uring::testing::Faults;
use corecast_uring::{Errno, File, Op, Ring, RingConfig, SendOutcome, Token};

use crate::bench::{
    ACCEPT, ADDRESS, CANCEL, POLL, RECEIVE, SHUTDOWN, TIMEOUT, arm_accept, arm_receive, close, config, one,
    pair, poll, ring, ring_with, send, token,
};

#[test]
fn echo_without_faults() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"hello");
    let completion = one(&mut ring);
    assert_eq!((completion.token, completion.result, completion.more), (token(RECEIVE, file), Ok(5), true));
    let buffer = completion.buffer.unwrap();
    assert_eq!(&*buffer, b"hello");
    assert_eq!(ring.buffers_free(), 7);
    assert_eq!(send(&mut ring, file, &buffer), []);
    ring.release(buffer);
    assert_eq!(ring.peer_receive(peer), b"hello");
    assert_eq!(ring.buffers_free(), 8);
    assert!(!ring.has_work());
}

#[test]
fn long_stream_comes_in_buffers_in_order() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"0123456789abcdef0123456789");
    let parts: Vec<Vec<u8>> =
        poll(&mut ring).into_iter().map(|completion| completion.buffer.unwrap().to_vec()).collect();
    assert_eq!(parts, [&b"0123456789abcdef"[..], b"0123456789"]);
}

#[test]
fn fin_and_reset_of_the_far_end_end_the_receive_after_its_bytes() {
    for reset in [false, true] {
        let mut ring = ring();
        let (file, peer) = pair(&mut ring);
        arm_receive(&mut ring, file);
        ring.peer_send(peer, b"last");
        if reset {
            ring.peer_reset(peer)
        } else {
            ring.peer_shutdown(peer)
        }
        let completions = poll(&mut ring);
        assert_eq!(completions.len(), 2);
        assert_eq!(completions[0].buffer.as_deref(), Some(&b"last"[..]));
        let end = if reset { Err(Errno::ECONNRESET) } else { Ok(0) };
        assert_eq!((completions[1].result, completions[1].more), (end, false));
        let later = send(&mut ring, file, b"x");
        assert_eq!(
            later,
            if reset { vec![SendOutcome { index: 0, result: Err(Errno::EPIPE) }] } else { vec![] }
        );
    }
}

#[test]
fn reset_is_reported_to_the_first_operation_that_meets_it() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.peer_reset(peer);
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::ECONNRESET) }]);
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::EPIPE) }]);
}

#[test]
fn full_socket_takes_a_part_then_nothing_then_polls_writable() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.set_send_capacity(peer, 6);
    assert_eq!(send(&mut ring, file, b"abcdefgh"), [SendOutcome { index: 0, result: Ok(6) }]);
    assert_eq!(send(&mut ring, file, b"gh"), [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }]);
    ring.push(token(POLL, file), Op::PollWritable { file });
    assert!(poll(&mut ring).is_empty());
    assert!(!ring.has_work());
    assert_eq!(ring.peer_receive_some(peer, 4), b"abcd");
    assert!(ring.has_work());
    let completion = one(&mut ring);
    assert_eq!((completion.token, completion.result, completion.more), (token(POLL, file), Ok(4), false));
    assert_eq!(send(&mut ring, file, b"gh"), []);
    assert_eq!(ring.peer_receive(peer), b"efgh");
    let stats = ring.stats();
    assert_eq!((stats.sends, stats.sends_short, stats.sends_refused), (3, 1, 1));
}

#[test]
fn peer_address_is_the_one_it_connected_from() {
    let mut ring = ring();
    let address = "192.0.2.7:1234".parse().unwrap();
    let peer = ring.connect_from(address);
    let file = File(one(&mut ring).result.unwrap());
    assert_eq!(ring.peer_file(peer), Some(file));
    ring.push(token(ADDRESS, file), Op::PeerAddress { file });
    assert_eq!(one(&mut ring).address, Some(address));
}

#[test]
fn shutdown_then_close_shows_a_fin() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    assert!(!ring.peer_is_closed(peer));
    ring.push(token(SHUTDOWN, file), Op::Shutdown { file });
    assert_eq!(one(&mut ring).result, Ok(0));
    assert!(ring.peer_is_closed(peer));
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::EPIPE) }]);
    close(&mut ring, file);
    assert!(!ring.peer_was_reset(peer));
    assert_eq!(ring.peer_file(peer), None);
    ring.peer_send(peer, b"to nobody");
    assert!(ring.peer_was_reset(peer));
}

#[test]
fn shutdown_takes_effect_with_its_completion() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.push(token(SHUTDOWN, file), Op::Shutdown { file });
    assert_eq!(send(&mut ring, file, b"overtakes"), []);
    assert!(!ring.peer_is_closed(peer));
    assert_eq!(one(&mut ring).result, Ok(0));
    assert!(ring.peer_is_closed(peer));
    assert_eq!(ring.peer_receive(peer), b"overtakes");
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::EPIPE) }]);
}

#[test]
fn full_socket_is_writable_after_its_own_shutdown() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.set_send_capacity(peer, 0);
    ring.push(token(POLL, file), Op::PollWritable { file });
    assert!(poll(&mut ring).is_empty());
    ring.push(token(SHUTDOWN, file), Op::Shutdown { file });
    assert_eq!(one(&mut ring).token, token(SHUTDOWN, file));
    assert!(ring.has_work());
    assert_eq!(one(&mut ring).token, token(POLL, file));
}

#[test]
fn reset_after_the_far_ends_fin_is_a_broken_pipe() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.peer_shutdown(peer);
    ring.peer_reset(peer);
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::EPIPE) }]);
    arm_receive(&mut ring, file);
    assert_eq!(one(&mut ring).result, Ok(0));
}

#[test]
fn close_with_unread_bytes_resets() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.peer_send(peer, b"unread");
    close(&mut ring, file);
    assert!(ring.peer_was_reset(peer));
}

#[test]
fn cancel_finds_an_armed_operation_once() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.push(token(CANCEL, file), Op::Cancel { target: token(RECEIVE, file) });
    let mut results: Vec<_> =
        poll(&mut ring).iter().map(|done| (done.token.kind(), done.result, done.more)).collect();
    results.sort_by_key(|&(kind, ..)| kind);
    assert_eq!(results, [(RECEIVE, Err(Errno::ECANCELED), false), (CANCEL, Ok(0), false)]);
    ring.push(token(CANCEL, file), Op::Cancel { target: token(RECEIVE, file) });
    assert_eq!(one(&mut ring).result, Err(Errno::ENOENT));
    close(&mut ring, file);
}

#[test]
fn cancelled_accept_leaves_connections_in_the_queue() {
    let mut ring = ring();
    assert!(poll(&mut ring).is_empty());
    ring.push(Token::new(CANCEL, 0, 0), Op::Cancel { target: Token::new(ACCEPT, 0, 0) });
    let peer = ring.connect();
    assert_eq!(poll(&mut ring).len(), 2);
    assert_eq!(ring.peer_file(peer), None);
    arm_accept(&mut ring);
    assert_eq!(ring.peer_file(peer), None);
    assert!(one(&mut ring).result.is_ok());
    assert!(ring.peer_file(peer).is_some());
}

#[test]
fn timeout_runs_on_the_virtual_clock() {
    let mut ring = ring();
    ring.push(Token::new(TIMEOUT, 0, 0), Op::Timeout { after: Duration::from_secs(5) });
    assert!(poll(&mut ring).is_empty());
    ring.advance(Duration::from_millis(4_999));
    assert!(poll(&mut ring).is_empty());
    ring.advance(Duration::from_millis(1));
    let completion = one(&mut ring);
    assert_eq!((completion.result, completion.more), (Err(Errno::ETIME), false));
}

#[test]
fn wait_lets_virtual_time_pass() {
    let mut ring = ring();
    let mut completions = Vec::new();
    ring.push(Token::new(TIMEOUT, 0, 0), Op::Timeout { after: Duration::from_secs(5) });
    ring.wait(Some(Duration::from_secs(3)), &mut completions);
    assert!(completions.is_empty());
    ring.wait(Some(Duration::from_secs(3)), &mut completions);
    assert_eq!(completions.len(), 1);
}

#[test]
#[should_panic(expected = "would never end")]
fn wait_for_nothing_is_noticed() {
    ring().wait(None, &mut Vec::new());
}

#[test]
fn all_buffers_lent_ends_a_receive_until_one_is_released() {
    let mut ring = ring_with(1, RingConfig { receive_buffers: 1, ..config() }, Faults::none());
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, &[7; 20]);
    let mut completions = poll(&mut ring);
    assert_eq!(completions.len(), 2);
    assert_eq!((completions[1].result, completions[1].more), (Err(Errno::ENOBUFS), false));
    assert_eq!(ring.stats().receives_without_buffer, 1);
    ring.release(completions.remove(0).buffer.unwrap());
    arm_receive(&mut ring, file);
    assert_eq!(one(&mut ring).buffer.as_deref(), Some(&[7; 4][..]));
}

#[test]
fn receive_without_a_free_buffer_ends_when_armed_and_when_a_fin_comes() {
    let mut ring = ring_with(1, RingConfig { receive_buffers: 1, ..config() }, Faults::none());
    let (silent, silent_peer) = pair(&mut ring);
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, silent);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"x");
    let lent = one(&mut ring).buffer.unwrap();

    ring.peer_shutdown(silent_peer);
    let completion = one(&mut ring);
    assert_eq!((completion.token, completion.result), (token(RECEIVE, silent), Err(Errno::ENOBUFS)));
    assert!(!completion.more);

    let (other, _peer) = pair(&mut ring);
    arm_receive(&mut ring, other);
    let completion = one(&mut ring);
    assert_eq!((completion.token, completion.result), (token(RECEIVE, other), Err(Errno::ENOBUFS)));

    ring.release(lent);
    arm_receive(&mut ring, other);
    assert!(poll(&mut ring).is_empty());
    arm_receive(&mut ring, silent);
    assert_eq!(one(&mut ring).result, Ok(0));
}

#[test]
fn full_table_costs_the_connection_and_ends_the_accept() {
    let mut ring = ring_with(1, RingConfig { files: 1, ..config() }, Faults::none());
    let (file, _peer) = pair(&mut ring);
    let lost = ring.connect();
    let completion = one(&mut ring);
    assert_eq!((completion.result, completion.more), (Err(Errno::ENFILE), false));
    assert!(ring.peer_is_closed(lost));
    close(&mut ring, file);
    arm_accept(&mut ring);
    assert_eq!(pair(&mut ring).0, file);
    assert_eq!(ring.stats().cq_overflows, 0);
}
