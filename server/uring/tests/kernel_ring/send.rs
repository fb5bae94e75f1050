//! Batches of sends: what is short, what is refused, and that the rest says nothing.

use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use corecast_uring::{Errno, File, Op, Ring, RingConfig, Send, SendOutcome};

use crate::bench::{Bench, PATIENCE, POLL, RECEIVE, SHUTDOWN, config, token};

/// `POLLOUT`, 4 on every Linux.
const POLLOUT: u32 = 4;

#[test]
fn short_send_gives_the_count_and_full_socket_eagain_until_writable() {
    let mut bench = Bench::new(config());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_send_buffer_size(65_536).unwrap();
    let address = listener.local_addr().unwrap();
    bench.listen(listener);
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let file = bench.accept();

    let huge = vec![1; 64 << 20];
    let first = bench.send(file, &huge).expect("an empty socket takes something");
    assert!(first > 0 && (first as usize) < huge.len(), "{first} bytes taken");
    let more = bench.fill(file);
    let stats = bench.ring.stats();
    assert!(stats.sends_short >= 1 && stats.sends_refused >= 1, "{stats:?}");

    bench.ring.push(token(POLL, file), Op::PollWritable { file });
    let mut arrived = vec![0; first as usize + more.len()];
    peer.read_exact(&mut arrived).unwrap();
    assert!(arrived[..first as usize].iter().all(|&byte| byte == 1));
    assert_eq!(arrived[first as usize..], more);
    let writable = bench.next(POLL);
    assert!(writable.result.unwrap() & POLLOUT != 0, "{writable:?}");
    assert!(!writable.more);
    assert_eq!(bench.send(file, b"again"), Ok(5));
}

#[test]
fn full_socket_is_not_writable_before_the_far_end_reads() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair_unix();
    let mut arrived = vec![0; bench.fill(file).len()];
    assert_eq!(bench.send(file, b"x"), Err(Errno::EAGAIN));
    bench.ring.push(token(POLL, file), Op::PollWritable { file });
    bench.ring.poll(&mut bench.waiting);
    assert!(bench.waiting.is_empty(), "{:?}", bench.waiting);
    peer.read_exact(&mut arrived).unwrap();
    bench.ring.poll(&mut bench.waiting);
    assert_eq!(bench.waiting.len(), 1, "{:?}", bench.waiting);
    assert_eq!(bench.send(file, b"x"), Ok(1));
}

#[test]
fn two_thousand_sends_in_one_batch_name_those_that_failed() {
    let sockets = 2_000;
    let mut bench = Bench::new(RingConfig { files: 2_048, ..config() });
    let address = bench.listen_ipv4();
    let mut ends = Vec::new();
    for _ in 0..sockets {
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        ends.push((bench.accept(), peer));
    }
    // Every 97th send goes to an index where there is no socket.
    let texts: Vec<String> = (0..sockets).map(|n| format!("message {n}")).collect();
    let sends: Vec<Send<'_>> = (0..sockets)
        .map(|n| Send { file: if n % 97 == 0 { File(2_047) } else { ends[n].0 }, bytes: texts[n].as_bytes() })
        .collect();
    let mut outcomes = Vec::new();
    bench.ring.send_batch(sends.into_iter(), &mut outcomes);
    outcomes.sort_by_key(|outcome| outcome.index);
    let expected: Vec<_> =
        (0..2_000).step_by(97).map(|index| SendOutcome { index, result: Err(Errno::EBADF) }).collect();
    assert_eq!(outcomes, expected);
    for (n, (_, peer)) in ends.iter_mut().enumerate().filter(|(n, _)| n % 97 != 0) {
        let mut arrived = vec![0; texts[n].len()];
        peer.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, texts[n].as_bytes());
    }
    assert_eq!(bench.ring.stats().sends, 2_000);
    assert_eq!(bench.ring.stats().cq_overflows, 0);
}

#[test]
fn send_to_a_reset_connection_is_refused_without_a_signal() {
    let mut bench = Bench::new(config());
    let (file, peer) = bench.pair();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    drop(peer);
    assert_eq!(bench.next(RECEIVE).result, Err(Errno::ECONNRESET));
    assert_eq!(bench.send(file, b"x"), Err(Errno::EPIPE));
}

#[test]
fn reset_after_the_far_ends_fin_is_a_broken_pipe() {
    let mut bench = Bench::new(config());
    let (file, peer) = bench.pair();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.run(RECEIVE, file, Op::Receive { file }).result, Ok(0));
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    // Until the reset arrives the socket takes bytes.
    let refused = (0..100_000).find_map(|_| bench.send(file, b"x").err());
    assert_eq!(refused, Some(Errno::EPIPE));
    assert_eq!(bench.run(RECEIVE, file, Op::Receive { file }).result, Ok(0));
}

#[test]
fn full_socket_is_writable_after_its_own_shutdown() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    bench.fill(file);
    bench.ring.push(token(POLL, file), Op::PollWritable { file });
    assert_eq!(bench.run(SHUTDOWN, file, Op::Shutdown { file }).result, Ok(0));
    assert!(bench.next(POLL).result.unwrap() & POLLOUT != 0);
    assert!(bench.run(POLL, file, Op::PollWritable { file }).result.unwrap() & POLLOUT != 0);
    assert_eq!(bench.send(file, b"x"), Err(Errno::EPIPE));
}

#[test]
fn batch_whose_source_panics_is_never_sent() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let sends =
        (0..2).map(|n| if n == 0 { Send { file, bytes: b"x" } } else { panic!("the source is broken") });
    assert!(catch_unwind(AssertUnwindSafe(|| bench.ring.send_batch(sends, &mut Vec::new()))).is_err());
    let later = catch_unwind(AssertUnwindSafe(|| bench.ring.poll(&mut Vec::new())));
    let message = later.expect_err("the ring must not be used again");
    assert!(message.downcast_ref::<&str>().is_some_and(|text| text.contains("earlier batch")));
}

#[test]
#[should_panic(expected = "send 0 of a batch has no bytes")]
fn send_of_nothing_is_refused() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let _ = bench.send(file, b"");
}
