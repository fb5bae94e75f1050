//! The fake ring: that without faults it does what the kernel's does, that each fault happens, and that misuse is caught.

use std::collections::BTreeSet;
use std::time::Duration;

use corecast_uring::testing::{FakeRing, Faults, Peer};
use corecast_uring::{Completion, Errno, File, ListenerId, Op, Ring, RingConfig, Send, SendOutcome, Token};

const ACCEPT: u8 = 1;
const RECEIVE: u8 = 2;
const POLL: u8 = 3;
const ADDRESS: u8 = 4;
const SHUTDOWN: u8 = 5;
const CANCEL: u8 = 6;
const CLOSE: u8 = 7;
const TIMEOUT: u8 = 8;

const LISTENER: ListenerId = ListenerId(0);

fn config() -> RingConfig {
    RingConfig {
        submission_entries: 64,
        completion_entries: 256,
        files: 8,
        receive_buffers: 8,
        receive_buffer_bytes: 16,
        eventfd: false,
    }
}

/// A ring that listens, with its accept armed.
fn ring_with(seed: u64, config: RingConfig, faults: Faults) -> FakeRing {
    let mut ring = FakeRing::new(seed, config, faults);
    assert_eq!(ring.add_listener(), LISTENER);
    arm_accept(&mut ring);
    ring
}

fn ring() -> FakeRing {
    ring_with(1, config(), Faults::none())
}

fn arm_accept(ring: &mut FakeRing) {
    ring.push(Token::new(ACCEPT, 0, 0), Op::Accept { listener: LISTENER });
}

fn token(kind: u8, file: File) -> Token {
    Token::new(kind, file.0, 0)
}

fn poll(ring: &mut FakeRing) -> Vec<Completion> {
    let mut completions = Vec::new();
    ring.poll(&mut completions);
    completions
}

/// The one completion of a poll.
fn one(ring: &mut FakeRing) -> Completion {
    let mut completions = poll(ring);
    assert_eq!(completions.len(), 1, "{completions:?}");
    completions.remove(0)
}

fn pair(ring: &mut FakeRing) -> (File, Peer) {
    let peer = ring.connect();
    let completion = one(ring);
    assert_eq!((completion.token.kind(), completion.more), (ACCEPT, true));
    let file = File(completion.result.unwrap());
    assert_eq!(ring.peer_file(peer), Some(file));
    (file, peer)
}

fn arm_receive(ring: &mut FakeRing, file: File) {
    ring.push(token(RECEIVE, file), Op::Receive { file });
}

fn send(ring: &mut FakeRing, file: File, bytes: &[u8]) -> Vec<SendOutcome> {
    let mut outcomes = Vec::new();
    ring.send_batch([Send { file, bytes }].into_iter(), &mut outcomes);
    outcomes
}

fn close(ring: &mut FakeRing, file: File) {
    ring.push(token(CLOSE, file), Op::Close { file });
    let completion = one(ring);
    assert_eq!((completion.token, completion.result), (token(CLOSE, file), Ok(0)));
}

/// A fault that happens every time.
fn only(set: impl Fn(&mut Faults)) -> Faults {
    let mut faults = Faults::none();
    set(&mut faults);
    faults
}

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

#[test]
fn overfull_completion_queue_delays_and_ends_receives_but_loses_nothing() {
    let config = RingConfig { completion_entries: 4, submission_entries: 4, receive_buffers: 64, ..config() };
    let mut ring = ring_with(1, config, Faults::none());
    let ends: Vec<_> = (0..6).map(|_| pair(&mut ring)).collect();
    for &(file, peer) in &ends {
        arm_receive(&mut ring, file);
        ring.peer_send(peer, b"x");
    }
    let mut received = BTreeSet::new();
    for _ in 0..100 {
        received.extend(poll(&mut ring).into_iter().map(|completion| completion.token.slot()));
        if received.len() == 6 {
            break;
        }
    }
    assert_eq!(received.len(), 6);
    assert!(ring.stats().cq_overflows >= 1);
    let (_, peer) = ends[0];
    ring.peer_send(peer, b"y");
    let completion = one(&mut ring);
    assert_eq!((completion.result, completion.more), (Ok(1), false));
}

#[test]
fn short_sends_have_every_length_and_are_what_arrived() {
    let mut ring = ring_with(3, config(), only(|faults| faults.short_send = 1.0));
    let (file, peer) = pair(&mut ring);
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let outcomes = send(&mut ring, file, b"abc");
        let taken = match outcomes[..] {
            [] => 3,
            [SendOutcome { index: 0, result: Ok(count @ 1..=2) }] => count,
            [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }] => 0,
            _ => panic!("{outcomes:?}"),
        };
        assert_eq!(ring.peer_receive(peer), b"abc"[..taken as usize]);
        seen.insert(taken);
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn refused_sends_leave_nothing() {
    let mut ring = ring_with(1, config(), only(|faults| faults.refused_send = 1.0));
    let (file, peer) = pair(&mut ring);
    assert_eq!(send(&mut ring, file, b"abc"), [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }]);
    assert_eq!(ring.peer_receive(peer), b"");
}

#[test]
fn outcomes_come_in_any_order() {
    let mut ring = ring_with(5, config(), only(|faults| faults.refused_send = 1.0));
    let files: Vec<File> = (0..8).map(|_| pair(&mut ring).0).collect();
    let mut outcomes = Vec::new();
    ring.send_batch(files.iter().map(|&file| Send { file, bytes: b"x" }), &mut outcomes);
    let order: Vec<u32> = outcomes.iter().map(|outcome| outcome.index).collect();
    let sorted: BTreeSet<u32> = order.iter().copied().collect();
    assert_eq!(sorted, (0..8).collect());
    assert_ne!(order, (0..8).collect::<Vec<_>>());
}

#[test]
fn second_send_after_a_short_one_is_taken_when_permitted() {
    let mut ring = ring();
    ring.permit_double_sends();
    let (file, peer) = pair(&mut ring);
    ring.set_send_capacity(peer, 3);
    let mut outcomes = Vec::new();
    let sends = [Send { file, bytes: b"abcdef" }, Send { file, bytes: b"ghi" }];
    ring.send_batch(sends.into_iter(), &mut outcomes);
    assert_eq!(outcomes, [SendOutcome { index: 0, result: Ok(3) }]);
    assert_eq!(ring.peer_receive(peer), b"abcghi");
}

#[test]
fn receive_faults_split_end_and_starve() {
    let mut ring = ring_with(1, config(), only(|faults| faults.receive_ends = 1.0));
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"abc");
    let completion = one(&mut ring);
    assert_eq!((completion.result, completion.more), (Ok(3), false));

    ring.set_faults(only(|faults| faults.no_buffer = 1.0));
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"def");
    let completion = one(&mut ring);
    assert_eq!((completion.result, completion.more), (Err(Errno::ENOBUFS), false));

    ring.set_faults(only(|faults| faults.split_receive = 1.0));
    arm_receive(&mut ring, file);
    let mut parts = Vec::new();
    while parts.concat() != b"def" {
        assert!(ring.has_work());
        parts.push(one(&mut ring).buffer.unwrap().to_vec());
    }
}

#[test]
fn accept_faults_end_and_fail_without_losing_the_connection() {
    let mut ring = ring_with(1, config(), only(|faults| faults.accept_fails = 1.0));
    let peer = ring.connect();
    let completion = one(&mut ring);
    assert!(!completion.more);
    let transient = [Errno::ECONNABORTED, Errno::ENOBUFS, Errno::ENOMEM, Errno::EPROTO];
    assert!(transient.contains(&completion.result.unwrap_err()));
    ring.set_faults(only(|faults| faults.accept_ends = 1.0));
    arm_accept(&mut ring);
    let completion = one(&mut ring);
    assert!(completion.result.is_ok() && !completion.more);
    assert!(ring.peer_file(peer).is_some());
}

#[test]
fn poll_fault_wakes_without_room() {
    let mut ring = ring_with(1, config(), only(|faults| faults.poll_spurious = 1.0));
    let (file, peer) = pair(&mut ring);
    ring.set_send_capacity(peer, 0);
    ring.push(token(POLL, file), Op::PollWritable { file });
    assert_eq!(one(&mut ring).result, Ok(4));
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }]);
}

#[test]
fn cancel_fault_says_already_and_the_operation_ends_all_the_same() {
    let mut ring = ring_with(1, config(), only(|faults| faults.cancel_already = 1.0));
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.push(token(CANCEL, file), Op::Cancel { target: token(RECEIVE, file) });
    let mut results: Vec<_> = poll(&mut ring).iter().map(|done| (done.token.kind(), done.result)).collect();
    results.sort_by_key(|&(kind, _)| kind);
    assert_eq!(results, [(RECEIVE, Err(Errno::ECANCELED)), (CANCEL, Err(Errno::EALREADY))]);
}

#[test]
fn late_completions_are_overtaken_by_the_next_owner_of_the_index() {
    let faults = only(|faults| faults.late_completion = 0.9);
    let overtaken = (0..50).any(|seed| {
        let mut ring = ring_with(seed, RingConfig { files: 1, ..config() }, faults);
        let (file, _peer) = pair(&mut ring);
        ring.push(token(CLOSE, file), Op::Close { file });
        let _next = ring.connect();
        poll(&mut ring)
            .iter()
            .any(|completion| completion.token.kind() == ACCEPT && completion.result == Ok(file.0))
    });
    assert!(overtaken);
}

#[test]
fn overflow_fault_counts_and_loses_nothing() {
    let mut ring = ring_with(1, config(), only(|faults| faults.cq_overflow = 0.5));
    let mut peers = Vec::new();
    for _ in 0..100 {
        if peers.len() < 8 {
            peers.push(ring.connect());
        }
        for completion in poll(&mut ring) {
            if !completion.more {
                arm_accept(&mut ring);
            }
        }
    }
    assert!(ring.stats().cq_overflows > 0);
    assert!(peers.iter().all(|&peer| ring.peer_file(peer).is_some()));
}

#[test]
fn completions_of_different_sockets_come_in_any_order_but_streams_keep_theirs() {
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        let mut ring = ring_with(seed, RingConfig { receive_buffers: 64, ..config() }, Faults::none());
        let ends: Vec<_> = (0..4).map(|_| pair(&mut ring)).collect();
        for &(file, peer) in &ends {
            arm_receive(&mut ring, file);
            ring.peer_send(peer, b"0123456789abcdefsecond part");
        }
        let mut received = vec![Vec::new(); 8];
        let mut order = Vec::new();
        for completion in poll(&mut ring) {
            order.push(completion.token.slot());
            received[completion.token.slot() as usize].extend_from_slice(&completion.buffer.unwrap());
        }
        for (file, _) in ends {
            assert_eq!(received[file.0 as usize], b"0123456789abcdefsecond part");
        }
        orders.insert(order);
    }
    assert!(orders.len() > 10, "{} orders in 20 runs", orders.len());
}

#[test]
fn same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut ring = ring_with(seed, config(), Faults::all());
        let peers: Vec<Peer> = (0..6).map(|_| ring.connect()).collect();
        let mut log = Vec::new();
        for _ in 0..50 {
            for completion in poll(&mut ring) {
                log.push(format!("{completion:?}"));
                if completion.token.kind() == ACCEPT {
                    if let Ok(file) = completion.result {
                        arm_receive(&mut ring, File(file));
                    }
                    if !completion.more {
                        arm_accept(&mut ring);
                    }
                } else if let Some(buffer) = completion.buffer {
                    ring.release(buffer);
                }
            }
            for &peer in &peers {
                ring.peer_send(peer, b"bytes");
            }
        }
        log
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

/// A small server that handles everything the ring can throw at it, under all faults: every byte must come back in order.
#[test]
fn echo_under_all_faults_loses_and_reorders_nothing() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut ring = ring_with(seed, config(), Faults::all());
        let peers: Vec<Peer> = (0..5).map(|_| ring.connect()).collect();
        let sent: Vec<u8> = (0..300u32).map(|n| (n % 251) as u8).collect();
        for &peer in &peers {
            ring.set_send_capacity(peer, 40);
            ring.peer_send(peer, &sent);
        }
        let mut echoes: Vec<Vec<u8>> = vec![Vec::new(); 8];
        let mut arrived: Vec<Vec<u8>> = vec![Vec::new(); peers.len()];
        for turn in 0.. {
            assert!(
                turn < 10_000,
                "seed {seed}: {:?} bytes arrived",
                arrived.iter().map(Vec::len).collect::<Vec<_>>()
            );
            for completion in poll(&mut ring) {
                match (completion.token.kind(), completion.result) {
                    (ACCEPT, result) => {
                        if let Ok(file) = result {
                            arm_receive(&mut ring, File(file));
                        }
                        if !completion.more {
                            arm_accept(&mut ring);
                        }
                    }
                    (RECEIVE, _) => {
                        let slot = completion.token.slot();
                        if let Some(buffer) = completion.buffer {
                            echoes[slot as usize].extend_from_slice(&buffer);
                            ring.release(buffer);
                        }
                        if !completion.more {
                            arm_receive(&mut ring, File(slot));
                        }
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            let files: Vec<u32> = (0..8).filter(|&file| !echoes[file as usize].is_empty()).collect();
            let mut outcomes = Vec::new();
            let sends = files.iter().map(|&file| Send { file: File(file), bytes: &echoes[file as usize] });
            ring.send_batch(sends, &mut outcomes);
            for (index, &file) in files.iter().enumerate() {
                let outcome = outcomes.iter().find(|outcome| outcome.index as usize == index);
                let length = echoes[file as usize].len();
                let taken = outcome.map_or(length, |outcome| outcome.result.unwrap_or(0) as usize);
                echoes[file as usize].drain(..taken);
            }
            for (&peer, arrived) in peers.iter().zip(&mut arrived) {
                arrived.extend(ring.peer_receive(peer));
            }
            if arrived.iter().all(|bytes| *bytes == sent) {
                break;
            }
        }
    }
}

#[test]
fn quiescent_after_everything_is_closed() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    close(&mut ring, file);
    ring.push(Token::new(CANCEL, 0, 0), Op::Cancel { target: Token::new(ACCEPT, 0, 0) });
    assert_eq!(poll(&mut ring).len(), 2);
    ring.assert_quiescent();
}

#[test]
#[should_panic(expected = "open: file 0")]
fn open_file_is_not_quiescent() {
    let mut ring = ring();
    let _ = pair(&mut ring);
    ring.assert_quiescent();
}

#[test]
#[should_panic(expected = "receive buffers not released: 1")]
fn forgotten_buffer_is_not_quiescent() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"x");
    drop(poll(&mut ring));
    ring.assert_quiescent();
}

#[test]
#[should_panic(expected = "no socket is open at File(3)")]
fn operation_on_an_unknown_file_is_caught() {
    arm_receive(&mut ring(), File(3));
}

#[test]
#[should_panic(expected = "is being closed")]
fn operation_after_a_close_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    ring.push(token(CLOSE, file), Op::Close { file });
    arm_receive(&mut ring, file);
}

#[test]
#[should_panic(expected = "no socket is open")]
fn send_to_a_closed_file_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    close(&mut ring, file);
    send(&mut ring, file, b"x");
}

#[test]
#[should_panic(expected = "operations are in flight on the file")]
fn close_with_an_armed_receive_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.push(token(CLOSE, file), Op::Close { file });
}

#[test]
#[should_panic(expected = "operations are in flight on the file")]
fn close_before_the_last_completion_is_seen_is_caught() {
    let mut ring = ring_with(1, config(), only(|faults| faults.late_completion = 1.0));
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.push(token(CANCEL, file), Op::Cancel { target: token(RECEIVE, file) });
    assert!(poll(&mut ring).is_empty());
    ring.push(token(CLOSE, file), Op::Close { file });
}

#[test]
#[should_panic(expected = "Receive is armed twice")]
fn receive_armed_twice_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    arm_receive(&mut ring, file);
}

#[test]
#[should_panic(expected = "Accept is armed twice")]
fn accept_armed_twice_is_caught() {
    arm_accept(&mut ring());
}

#[test]
#[should_panic(expected = "is the second to")]
fn two_sends_to_one_file_in_a_batch_are_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    ring.send_batch([Send { file, bytes: b"x" }; 2].into_iter(), &mut Vec::new());
}

#[test]
#[should_panic(expected = "has no client side")]
fn client_operations_are_refused() {
    let connect = Op::Connect { file: File(0), address: "127.0.0.1:1".parse().unwrap() };
    ring().push(token(9, File(0)), connect);
}
