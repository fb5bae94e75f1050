//! Received bytes and the buffers they come in.

use std::io::{Read, Write};
use std::net::Shutdown;

use corecast_uring::{Errno, Op, Ring, RingConfig};

use crate::bench::{Bench, POLL, RECEIVE, config, token};

#[test]
fn echo_goes_through_accept_receive_and_send() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    for text in ["one", "two", "three"] {
        peer.write_all(text.as_bytes()).unwrap();
        let mut completion = bench.next(RECEIVE);
        assert_eq!(completion.token, token(RECEIVE, file));
        assert_eq!(completion.result, Ok(u32::try_from(text.len()).unwrap()));
        assert!(completion.more);
        let mut buffer = completion.buffer.take().expect("received bytes");
        assert_eq!(&*buffer, text.as_bytes());
        buffer.make_ascii_uppercase();
        let echo = buffer.to_vec();
        bench.ring.release(buffer);
        assert_eq!(bench.send(file, &echo), Ok(u32::try_from(text.len()).unwrap()));
        let mut answer = vec![0; text.len()];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(answer, text.to_uppercase().as_bytes());
    }
    let stats = bench.ring.stats();
    assert_eq!((stats.sends, stats.sends_short, stats.sends_refused, stats.buffers_lent), (3, 0, 0, 0));
    assert_eq!(bench.ring.buffers_free(), 16);
}

#[test]
fn end_of_stream_is_a_receive_of_nothing() {
    let mut bench = Bench::new(config());
    let (file, peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.shutdown(Shutdown::Write).unwrap();
    let completion = bench.next(RECEIVE);
    assert_eq!(completion.result, Ok(0));
    assert!(!completion.more && completion.buffer.is_none(), "{completion:?}");
}

#[test]
fn a_single_receive_takes_no_more_than_was_asked_for() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    peer.write_all(b"abcdefgh").unwrap();
    for part in [&b"abc"[..], b"def", b"gh"] {
        let completion = bench.run(RECEIVE, file, Op::ReceiveOne { file, bytes: 3 });
        assert_eq!((completion.result, completion.more), (Ok(u32::try_from(part.len()).unwrap()), false));
        let buffer = completion.buffer.expect("received bytes");
        assert_eq!(&*buffer, part);
        bench.ring.release(buffer);
    }
    peer.shutdown(Shutdown::Write).unwrap();
    let end = bench.run(RECEIVE, file, Op::ReceiveOne { file, bytes: 3 });
    assert!(end.result == Ok(0) && end.buffer.is_none(), "{end:?}");
    assert_eq!(bench.ring.buffers_free(), 16);
}

#[test]
fn the_end_of_the_stream_is_seen_without_reading() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(POLL, file), Op::PollEnd { file });
    peer.write_all(b"unread").unwrap();
    bench.ring.poll(&mut bench.waiting);
    assert!(bench.waiting.is_empty(), "bytes are no end: {:?}", bench.waiting);
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(bench.next(POLL).result.is_ok());
    let last = bench.run(RECEIVE, file, Op::ReceiveOne { file, bytes: 16 });
    assert_eq!(&*last.buffer.expect("what came before the end"), b"unread");
}

#[test]
fn receive_without_free_buffers_ends_and_works_again_after_a_release() {
    let mut bench = Bench::new(RingConfig { receive_buffers: 2, receive_buffer_bytes: 4, ..config() });
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.write_all(b"aaaabbbbcccc").unwrap();
    let first = bench.next(RECEIVE).buffer.expect("bytes");
    let second = bench.next(RECEIVE).buffer.expect("bytes");
    assert_eq!((&*first, &*second), (&b"aaaa"[..], &b"bbbb"[..]));
    let ended = bench.next(RECEIVE);
    assert_eq!(ended.result, Err(Errno::ENOBUFS));
    assert!(!ended.more);
    assert_eq!((bench.ring.buffers_free(), bench.ring.stats().receives_without_buffer), (0, 1));

    bench.ring.release(second);
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    let third = bench.next(RECEIVE).buffer.expect("bytes");
    assert_eq!((&*first, &*third), (&b"aaaa"[..], &b"cccc"[..]));
    bench.ring.release(first);
    bench.ring.release(third);
    assert_eq!(bench.ring.buffers_free(), 2);
}

#[test]
fn receive_without_a_free_buffer_ends_when_armed_and_when_a_fin_comes() {
    let mut bench = Bench::new(RingConfig { receive_buffers: 1, ..config() });
    let ((silent, silent_peer), (file, mut peer)) = (bench.pair(), bench.pair());
    bench.ring.push(token(RECEIVE, silent), Op::Receive { file: silent });
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.write_all(b"x").unwrap();
    let lent = bench.next(RECEIVE).buffer.expect("bytes");

    silent_peer.shutdown(Shutdown::Write).unwrap();
    let ended = bench.next(RECEIVE);
    assert_eq!((ended.token, ended.result, ended.more), (token(RECEIVE, silent), Err(Errno::ENOBUFS), false));

    let (other, _peer) = bench.pair();
    let ended = bench.run(RECEIVE, other, Op::Receive { file: other });
    assert_eq!((ended.token, ended.result, ended.more), (token(RECEIVE, other), Err(Errno::ENOBUFS), false));

    bench.ring.release(lent);
    assert_eq!(bench.run(RECEIVE, silent, Op::Receive { file: silent }).result, Ok(0));
}

#[test]
fn buffers_come_round_many_times() {
    let mut bench = Bench::new(RingConfig { receive_buffers: 4, receive_buffer_bytes: 64, ..config() });
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    // More than 65,536 / 4 times round would take the 16-bit tail over its end; 1,000 times round the mask is
    // enough here.
    for n in 0..4_000u32 {
        peer.write_all(&n.to_be_bytes()).unwrap();
        let completion = bench.next(RECEIVE);
        assert!(completion.more);
        let buffer = completion.buffer.expect("bytes");
        assert_eq!(*buffer, n.to_be_bytes());
        bench.ring.release(buffer);
    }
}

#[test]
fn one_poll_brings_all_that_has_arrived() {
    // More than the 20 pieces of deferred work that newer kernels run in one call.
    let sockets = 60;
    let mut bench = Bench::new(RingConfig { receive_buffers: 64, ..config() });
    let mut peers = Vec::new();
    for _ in 0..sockets {
        let (file, peer) = bench.pair_unix();
        bench.ring.push(token(RECEIVE, file), Op::Receive { file });
        peers.push(peer);
    }
    bench.ring.poll(&mut bench.waiting);
    assert!(bench.waiting.is_empty());
    for peer in &mut peers {
        peer.write_all(b"x").unwrap();
    }
    assert!(bench.ring.has_work());
    bench.ring.poll(&mut bench.waiting);
    assert_eq!(bench.waiting.len(), sockets);
    assert!(!bench.ring.has_work());
}

#[test]
fn dropped_ring_closes_its_sockets_and_leaves_lent_bytes_readable() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.write_all(b"last words").unwrap();
    let buffer = bench.next(RECEIVE).buffer.expect("bytes");
    drop(bench);
    // The kernel takes the ring apart after the call and may interrupt this thread for it; `read_to_end`
    // tries again.
    assert_eq!(peer.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(&*buffer, b"last words");
}
