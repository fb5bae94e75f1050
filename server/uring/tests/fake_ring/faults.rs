//! Each fault happens, and a server that expects it loses nothing.

use std::collections::BTreeSet;

use corecast_uring::testing::{Faults, Peer};
use corecast_uring::{Errno, File, Op, Ring, RingConfig, Send, SendOutcome};

use crate::bench::{
    ACCEPT, ADDRESS, CANCEL, CLOSE, POLL, RECEIVE, SHUTDOWN, arm_accept, arm_receive, config, one, only,
    pair, poll, ring, ring_with, send, token,
};

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
fn late_fault_lets_a_fin_out_before_later_sends() {
    let mut ring = ring_with(1, config(), only(|faults| faults.late_completion = 1.0));
    let (file, peer) = pair(&mut ring);
    ring.push(token(SHUTDOWN, file), Op::Shutdown { file });
    assert_eq!(send(&mut ring, file, b"x"), [SendOutcome { index: 0, result: Err(Errno::EPIPE) }]);
    assert!(ring.peer_is_closed(peer));
    assert!(poll(&mut ring).is_empty());
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

/// A small server that handles everything the ring can throw at it, under all faults: every byte must come
/// back in order.
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
fn a_peers_address_may_come_after_what_it_has_sent() {
    let faults = only(|faults| faults.late_completion = 0.5);
    let orders: BTreeSet<Vec<u8>> = (0..50)
        .map(|seed| {
            let mut ring = ring_with(seed, config(), faults);
            let (file, peer) = pair(&mut ring);
            ring.peer_send(peer, b"x");
            ring.push(token(ADDRESS, file), Op::PeerAddress { file });
            arm_receive(&mut ring, file);
            let turns = (0..100).flat_map(|_| poll(&mut ring));
            turns.map(|completion| completion.token.kind()).take(2).collect()
        })
        .collect();
    assert_eq!(orders, BTreeSet::from([vec![RECEIVE, ADDRESS], vec![ADDRESS, RECEIVE]]));
}
