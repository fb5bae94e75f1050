//! Batches of sends out of several places.

use corecast_uring::testing::{FakeRing, Faults};
use corecast_uring::{Errno, File, Gather, Ring, SendOutcome};

use crate::bench::{config, only, pair, ring, ring_with, send};

const TEXT: [&[u8]; 3] = [b"one ", b"two ", b"three"];

fn gather(ring: &mut FakeRing, file: File, parts: &[&[u8]]) -> Vec<SendOutcome> {
    let mut outcomes = Vec::new();
    ring.send_gathered([Gather { file, parts }].into_iter(), &mut outcomes);
    outcomes
}

#[test]
fn parts_arrive_as_one_in_their_order() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    assert_eq!(gather(&mut ring, file, &TEXT), []);
    assert_eq!(ring.peer_receive(peer), b"one two three");
    assert_eq!(ring.stats().sends, 1);
}

#[test]
fn send_that_is_short_inside_its_second_part_gives_the_bytes_taken_of_both() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    ring.set_send_capacity(peer, 6);
    assert_eq!(gather(&mut ring, file, &TEXT), [SendOutcome { index: 0, result: Ok(6) }]);
    assert_eq!(gather(&mut ring, file, &TEXT), [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }]);
    assert_eq!(ring.peer_receive(peer), b"one tw");
    let stats = ring.stats();
    assert_eq!((stats.sends, stats.sends_short, stats.sends_refused), (2, 1, 1));
}

#[test]
fn one_part_meets_the_faults_that_a_plain_send_meets() {
    for seed in 0..50 {
        let faults = Faults { short_send: 0.5, refused_send: 0.2, ..Faults::none() };
        let (mut gathered, mut plain) =
            (ring_with(seed, config(), faults), ring_with(seed, config(), faults));
        let ((file, peer), (plain_file, plain_peer)) = (pair(&mut gathered), pair(&mut plain));
        for _ in 0..10 {
            assert_eq!(
                gather(&mut gathered, file, &[b"some text"]),
                send(&mut plain, plain_file, b"some text")
            );
        }
        assert_eq!(gathered.peer_receive(peer), plain.peer_receive(plain_peer));
        assert_eq!(gathered.stats(), plain.stats());
    }
}

#[test]
fn short_sends_end_in_every_part() {
    let mut ended_in = [false; 3];
    for seed in 0..100 {
        let mut ring = ring_with(seed, config(), only(|faults| faults.short_send = 1.0));
        let (file, peer) = pair(&mut ring);
        let taken = match gather(&mut ring, file, &TEXT)[..] {
            [] => 13,
            [SendOutcome { index: 0, result: Ok(taken) }] => taken as usize,
            [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }] => 0,
            ref other => panic!("one send has one outcome: {other:?}"),
        };
        assert_eq!(ring.peer_receive(peer), b"one two three"[..taken]);
        match taken {
            1..=3 => ended_in[0] = true,
            5..=7 => ended_in[1] = true,
            9..=12 => ended_in[2] = true,
            _ => {}
        }
    }
    assert_eq!(ended_in, [true; 3]);
}

#[test]
fn refused_send_takes_nothing_of_any_part() {
    let mut ring = ring_with(1, config(), only(|faults| faults.refused_send = 1.0));
    let (file, peer) = pair(&mut ring);
    assert_eq!(gather(&mut ring, file, &TEXT), [SendOutcome { index: 0, result: Err(Errno::EAGAIN) }]);
    assert_eq!(ring.peer_receive(peer), b"");
}

#[test]
#[should_panic(expected = "send 1 of a batch is the second to File(")]
fn second_send_to_a_file_in_one_batch_is_refused() {
    let mut ring = ring();
    let (file, _) = pair(&mut ring);
    ring.send_gathered([Gather { file, parts: &TEXT }; 2].into_iter(), &mut Vec::new());
}

#[test]
#[should_panic(expected = "send 0 of a batch has 0 parts, not 1 to 64")]
fn send_without_parts_is_refused() {
    let mut ring = ring();
    let (file, _) = pair(&mut ring);
    gather(&mut ring, file, &[]);
}

#[test]
#[should_panic(expected = "send 0 of a batch has no bytes in part 2")]
fn send_with_an_empty_part_is_refused() {
    let mut ring = ring();
    let (file, _) = pair(&mut ring);
    gather(&mut ring, file, &[b"x", b"y", b""]);
}

#[test]
#[should_panic(expected = "send 0 of a batch: no socket is open at File(5)")]
fn send_to_no_socket_is_refused() {
    gather(&mut ring(), File(5), &TEXT);
}
