//! Batches of sends out of several places: the same outcomes as those out of one.

use std::io::Read;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corecast_uring::{Errno, File, GATHER_PARTS_MAX, Gather, Op, Ring, RingConfig, SendOutcome};

use crate::bench::{Bench, PATIENCE, POLL, SHUTDOWN, config, token};

#[test]
fn parts_arrive_as_one_in_their_order() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    assert_eq!(bench.gather(file, &[b"one ", b"two ", b"three"]), Ok(13));
    let mut arrived = [0; 13];
    peer.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"one two three");
    assert_eq!(bench.ring.stats().sends, 1);
}

#[test]
fn one_part_is_sent_as_a_plain_send_is() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair_unix();
    assert_eq!(bench.gather(file, &[b"gathered"]), Ok(8));
    assert_eq!(bench.send(file, b", plain"), Ok(7));
    let mut arrived = [0; 15];
    peer.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"gathered, plain");
    bench.fill(file);
    assert_eq!(
        (bench.gather(file, &[b"x"]), bench.send(file, b"x")),
        (Err(Errno::EAGAIN), Err(Errno::EAGAIN))
    );
    assert_eq!(bench.run(SHUTDOWN, file, Op::Shutdown { file }).result, Ok(0));
    assert_eq!((bench.gather(file, &[b"x"]), bench.send(file, b"x")), (Err(Errno::EPIPE), Err(Errno::EPIPE)));
    let nobody = File(63);
    assert_eq!(
        (bench.gather(nobody, &[b"x"]), bench.send(nobody, b"x")),
        (Err(Errno::EBADF), Err(Errno::EBADF))
    );
    let stats = bench.ring.stats();
    assert_eq!(stats.sends - stats.sends_short - stats.sends_refused, 2, "{stats:?}");
}

#[test]
fn send_that_is_short_inside_its_second_part_gives_the_bytes_taken_of_both() {
    for over_tcp in [true, false] {
        let mut bench = Bench::new(config());
        let (file, mut peer): (File, Box<dyn Read>) = if over_tcp {
            let (file, peer) = bench.pair();
            (file, Box::new(peer))
        } else {
            let (file, peer) = bench.pair_unix();
            (file, Box::new(peer))
        };
        let long: Vec<u8> = (0..64 << 20).map(|n: u32| (n % 251) as u8).collect();
        let taken =
            bench.gather(file, &[&[1; 1_000], &long, b"never"]).expect("an empty socket takes something");
        assert!((1_001..1_000 + (64 << 20)).contains(&taken), "{taken} bytes");
        assert_eq!(bench.ring.stats().sends_short, 1);

        bench.ring.push(token(POLL, file), Op::PollWritable { file });
        let mut arrived = vec![0; taken as usize];
        peer.read_exact(&mut arrived).unwrap();
        assert!(arrived[..1_000].iter().all(|&byte| byte == 1));
        assert!(arrived[1_000..] == long[..taken as usize - 1_000]);
        assert!(bench.next(POLL).result.is_ok());
        assert_eq!(bench.gather(file, &[b"on", b"ward"]), Ok(6));
        let mut arrived = [0; 6];
        peer.read_exact(&mut arrived).unwrap();
        assert_eq!(&arrived, b"onward");
    }
}

#[test]
fn batch_larger_than_the_queue_and_its_memory_names_those_that_failed() {
    let sockets = 300;
    let mut bench = Bench::new(RingConfig { files: 512, ..config() });
    let address = bench.listen_ipv4();
    let mut ends = Vec::new();
    for _ in 0..sockets {
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        ends.push((bench.accept(), peer));
    }
    // From 1 to 64 parts, together many times what 64 entries have memory for.
    let texts: Vec<Vec<String>> = (0..sockets)
        .map(|n| (0..=n % GATHER_PARTS_MAX).map(|part| format!("part {part} of {n};")).collect())
        .collect();
    let parts: Vec<Vec<&[u8]>> =
        texts.iter().map(|texts| texts.iter().map(|text| text.as_bytes()).collect()).collect();
    // Every 97th send goes to an index where there is no socket.
    let sends = (0..sockets)
        .map(|n| Gather { file: if n % 97 == 0 { File(511) } else { ends[n].0 }, parts: &parts[n] });
    for round in 1..=3 {
        let mut outcomes = Vec::new();
        bench.ring.send_gathered(sends.clone(), &mut outcomes);
        outcomes.sort_by_key(|outcome| outcome.index);
        let refused = |index| SendOutcome { index, result: Err(Errno::EBADF) };
        assert_eq!(outcomes, [refused(0), refused(97), refused(194), refused(291)]);
        assert_eq!(bench.ring.stats().sends, 300 * round);
    }
    drop(sends);
    for (n, (_, peer)) in ends.iter_mut().enumerate().filter(|(n, _)| n % 97 != 0) {
        let expected = texts[n].concat().repeat(3);
        let mut arrived = vec![0; expected.len()];
        peer.read_exact(&mut arrived).unwrap();
        assert_eq!(String::from_utf8(arrived).unwrap(), expected);
    }
    assert_eq!(bench.ring.stats().cq_overflows, 0);
}

#[test]
fn batch_behind_a_queue_full_of_operations_is_sent() {
    let mut bench = Bench::new(RingConfig { submission_entries: 2, ..config() });
    let mut pairs = bench.pairs_unix(5);
    let files: Vec<File> = pairs.iter().map(|&(file, _)| file).collect();
    for &file in &files[..2] {
        bench.ring.push(token(POLL, file), Op::PollWritable { file });
    }
    let parts: [&[u8]; 2] = [b"al", b"l"];
    let mut outcomes = Vec::new();
    bench.ring.send_gathered(files.iter().map(|&file| Gather { file, parts: &parts }), &mut outcomes);
    assert_eq!(outcomes, []);
    for (_, peer) in &mut pairs {
        let mut arrived = [0; 3];
        peer.read_exact(&mut arrived).unwrap();
        assert_eq!(&arrived, b"all");
    }
}

#[test]
fn batch_whose_source_panics_is_never_sent() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let parts: [&[u8]; 1] = [b"x"];
    let sends =
        (0..2).map(|n| if n == 0 { Gather { file, parts: &parts } } else { panic!("the source is broken") });
    assert!(catch_unwind(AssertUnwindSafe(|| bench.ring.send_gathered(sends, &mut Vec::new()))).is_err());
    let later = catch_unwind(AssertUnwindSafe(|| bench.ring.poll(&mut Vec::new())));
    let message = later.expect_err("the ring must not be used again");
    assert!(message.downcast_ref::<&str>().is_some_and(|text| text.contains("earlier batch")));
}

#[test]
#[should_panic(expected = "send 0 of a batch has 0 parts, not 1 to 64")]
fn send_without_parts_is_refused() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let _ = bench.gather(file, &[]);
}

#[test]
#[should_panic(expected = "send 0 of a batch has 65 parts, not 1 to 64")]
fn send_of_too_many_parts_is_refused() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let _ = bench.gather(file, &[&b"x"[..]; GATHER_PARTS_MAX + 1]);
}

#[test]
#[should_panic(expected = "send 0 of a batch has no bytes in part 1")]
fn send_with_an_empty_part_is_refused() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let _ = bench.gather(file, &[b"x", b""]);
}

#[test]
#[should_panic(expected = "send 0 of a batch has 2147483648 bytes, more than 2147418112")]
fn send_of_2_gib_is_refused_where_the_kernel_would_cut_it() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let part = vec![0; 32 << 20];
    let _ = bench.gather(file, &[&part[..]; GATHER_PARTS_MAX]);
}

#[test]
#[should_panic(expected = "File(64) is beyond the ring's table of 64 sockets")]
fn send_to_a_file_beyond_the_table_is_refused() {
    let _ = Bench::new(config()).gather(File(64), &[b"x"]);
}
