//! Subscribers that fall behind: a message of somebody else never pulls the log from under a send, and what is kept for them
//! is bounded.

use super::server::{ENDLESS, Server, answers, get, message, post, publish, statuses};
use corecast::config::{Config, LagPolicy};
use corecast_protocol::{CloseCode, Connection, Event, Input, Limits, Side};
use std::fs;

fn small_log(config: &mut Config) {
    config.max_message_bytes = 16 << 10;
    config.max_frame_bytes = 16 << 10;
    config.topic_log_bytes = 64 << 10;
    config.log_bytes = 128 << 10;
}

/// A lagging subscriber and a client that was paused for its answers, with posts kept behind them, get room in one turn. The
/// posts, which are published while backlogs are being chosen, need the log that the subscriber's backlog is in.
fn posts_that_lap_a_subscriber_with_room(policy: LagPolicy) -> (Vec<Vec<u8>>, Option<CloseCode>) {
    let mut server = Server::start(|config| {
        small_log(config);
        config.lag_policy = policy;
    });
    let witness = server.subscriber();
    let lagger = server.subscriber();
    server.set_room(lagger, 1000);
    let publisher = server.publisher();
    let mut witnessed = Vec::new();
    for number in 0..7 {
        server.send(publisher, &publish(&[number; 8000]));
        witnessed.extend(server.read_for(4, witness));
    }
    let poster = server.connect_with_room(300);
    for _ in 0..130 {
        server.send(poster, &get("/health"));
    }
    for number in 7..11 {
        server.send(poster, &post(&[number; 8000]));
    }
    server.steps(6);
    assert_eq!(server.counters().messages_published, 7, "the posts are kept");
    server.set_room(poster, ENDLESS);
    let (mut answered, mut lagged) = (Vec::new(), Vec::new());
    for _ in 0..400 {
        answered.extend(server.read(poster));
        lagged.extend(server.read(lagger));
        server.step();
        witnessed.extend(server.read(witness));
    }
    assert_eq!(statuses(&answers(&answered).0), [200; 134]);
    assert!(witnessed == (0..11).flat_map(|number| message(&[number; 8000])).collect::<Vec<_>>());
    messages(lagged)
}

/// The payloads of whole frames, and the code of a Close frame behind them.
pub(crate) fn messages(mut stream: Vec<u8>) -> (Vec<Vec<u8>>, Option<CloseCode>) {
    let mut connection = Connection::new(Side::Client);
    let mut input = Input::new(&mut stream);
    let mut messages = Vec::new();
    let mut close_code = None;
    while let Some(event) = connection.poll_event(&mut input, &Limits::default()).expect("frames are whole") {
        match event {
            Event::Message { payload, .. } => messages.push(payload.to_vec()),
            Event::Close(Some((code, _))) => close_code = Some(code),
            other => panic!("{other:?}"),
        }
    }
    assert!(!connection.is_mid_message(), "the last frame is cut");
    (messages, close_code)
}

#[test]
fn subscriber_that_is_lapped_while_backlogs_are_chosen_is_told() {
    let (messages, close_code) = posts_that_lap_a_subscriber_with_room(LagPolicy::Disconnect);
    let expected: Vec<Vec<u8>> = (0..messages.len() as u8).map(|number| vec![number; 8000]).collect();
    assert_eq!(messages, expected);
    // It got everything, or was told that it did not.
    assert!(messages.len() == 11 || close_code == Some(CloseCode(4008)), "{close_code:?}");
}

#[test]
fn subscriber_that_is_lapped_while_backlogs_are_chosen_skips_whole_messages() {
    let (messages, close_code) = posts_that_lap_a_subscriber_with_room(LagPolicy::SkipSilent);
    assert_eq!(close_code, None);
    assert_eq!(messages.first(), Some(&vec![0; 8000]), "the one it was inside is finished");
    assert!(messages.iter().all(|message| message.len() == 8000));
    assert!(messages.is_sorted_by(|a, b| a[0] < b[0]), "in order and none twice");
}

/// What finishes their frames is kept for as many as `lag_tail_bytes` allow; the others' streams can only be cut.
#[test]
fn tails_are_kept_up_to_their_bound() {
    let mut server = Server::start(|config| {
        small_log(config);
        config.lag_tail_bytes = 50_000;
    });
    let witness = server.subscriber();
    let laggers: Vec<_> = (0..10).map(|_| server.subscriber()).collect();
    for &lagger in &laggers {
        server.set_room(lagger, 1000);
    }
    let publisher = server.publisher();
    for number in 0..8 {
        server.send(publisher, &publish(&[number; 16_000]));
        server.read_for(4, witness);
    }
    server.steps(5);
    // A frame has a header of 4 bytes, so 15 004 bytes are missing to each: three times that fit, four times do not.
    assert_eq!(server.counters().lag_tail_exhausted, 7);
    let (mut told, mut cut) = (0, 0);
    for &lagger in &laggers {
        if server.ring.peer_was_reset(lagger) {
            assert_eq!(server.read(lagger), message(&[0; 16_000])[..1000]);
            cut += 1;
        } else {
            server.set_room(lagger, ENDLESS);
            let stream = server.read_for(10, lagger);
            assert_eq!(messages(stream), (vec![vec![0; 16_000]], Some(CloseCode(4008))));
            told += 1;
        }
    }
    assert_eq!((told, cut), (3, 7));
}

/// Copying every tail before looking at the bound would take 200 MB here, all at once.
#[test]
fn tails_of_a_storm_are_bounded_before_they_are_copied() {
    let mut server = Server::start(|config| {
        config.max_connections = 1000;
        config.lag_tail_bytes = 1 << 20;
    });
    let witness = server.subscriber();
    for _ in 0..400 {
        let lagger = server.subscriber();
        server.set_room(lagger, 1000);
    }
    let publisher = server.publisher();
    let before = peak_resident_kib();
    for _ in 0..4 {
        server.send(publisher, &publish(&vec![1; 500 << 10]));
        server.read_for(30, witness);
    }
    server.advance(1);
    assert_eq!(server.counters().lapped, 400);
    assert_eq!(server.counters().lag_tail_exhausted, 398);
    let grown = peak_resident_kib() - before;
    assert!(grown < 60 << 10, "{grown} KiB were needed at once");
}

fn peak_resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("and this line");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}
