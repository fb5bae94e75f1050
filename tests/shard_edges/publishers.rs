//! Publishers that are held back: in turn, not for ever, and without losing the thread of their stream.

use super::server::{ENDLESS, Server, answers, message, post, publish, statuses, upgrade};
use corecast::config::Config;
use corecast_protocol::Side;
use corecast_tests::wire::{CLOSE, close_body, frame_to};
use corecast_uring::Ring;
use corecast_uring::testing::Peer;
use std::time::Duration;

/// A log of which 10 000 bytes fill more than half.
fn small_log(config: &mut Config) {
    config.max_message_bytes = 16 << 10;
    config.max_frame_bytes = 16 << 10;
    config.topic_log_bytes = 32 << 10;
}

/// More than half the log, in chunks that the pass sends one a turn: who wants to publish much has to wait.
fn fill_log(server: &mut Server, publisher: Peer) {
    for _ in 0..8 {
        server.send(publisher, &publish(&[1; 60_000]));
    }
    server.steps(2);
    assert_eq!((server.counters().messages_published, server.counters().publishes_held_back), (8, 0));
}

/// What it costs to go to the kernel does not grow with the topics that have news.
#[test]
fn news_of_many_topics_go_out_in_one_call() {
    let calls = |topics: usize| {
        let mut server = Server::start(|_| {});
        let subscribers: Vec<Peer> = (0..topics)
            .map(|topic| {
                let peer = server.connect_with_room(ENDLESS);
                server.send(peer, &upgrade(&format!("{topic}?role=subscriber")));
                server.steps(4);
                server.read(peer);
                peer
            })
            .collect();
        let publisher = server.connect_with_room(ENDLESS);
        for topic in 0..topics {
            let posted = String::from_utf8(post(b"x")).expect("text");
            let posted = posted.replace("/topics/t ", &format!("/topics/t{topic} "));
            server.send(publisher, posted.as_bytes());
        }
        let before = server.ring.stats();
        server.steps(4);
        let after = server.ring.stats();
        for peer in subscribers {
            assert_eq!(server.read(peer), message(b"x"));
        }
        assert!(after.sends - before.sends >= topics as u64);
        after.enters - before.enters
    };
    assert_eq!(calls(20), calls(2));
}

#[test]
fn held_post_goes_before_fresh_messages() {
    let mut server = Server::start(|_| {});
    let subscriber = server.subscriber();
    let small = server.publisher();
    fill_log(&mut server, small);
    let large = server.connect();
    server.send(large, &post(&[7; 512 << 10]));
    let mut answered = None;
    for turn in 0..1000 {
        server.send(small, &publish(b"x"));
        server.step();
        server.read(subscriber);
        if !server.read(large).is_empty() {
            answered = Some(turn);
            break;
        }
    }
    assert!(server.counters().publishes_held_back > 0);
    assert!(answered.is_some_and(|turn| turn < 50), "answered after {answered:?} turns");
}

#[test]
fn held_message_goes_before_fresh_posts() {
    let mut server = Server::start(|_| {});
    let subscriber = server.subscriber();
    let filler = server.publisher();
    let small = server.connect_with_room(ENDLESS);
    let large = server.publisher();
    fill_log(&mut server, filler);
    server.send(large, &publish(&[7; 512 << 10]));
    let mut arrived = None;
    for turn in 0..1000 {
        server.send(small, &post(b"x"));
        server.step();
        server.read(small);
        if server.read(subscriber).len() > 512 << 10 {
            arrived = Some(turn);
            break;
        }
    }
    assert!(server.counters().publishes_held_back > 0);
    assert!(arrived.is_some_and(|turn| turn < 50), "arrived after {arrived:?} turns");
}

#[test]
fn nothing_of_several_held_publishers_is_lost_or_reordered() {
    let mut server = Server::start(small_log);
    let subscriber = server.subscriber();
    let publishers: Vec<Peer> = (0..4).map(|_| server.publisher()).collect();
    for number in 0..5_u8 {
        for (&publisher, from) in publishers.iter().zip(0..) {
            server.send(publisher, &publish(&[from, number].repeat(5000)));
        }
    }
    let stream = server.read_for(200, subscriber);
    let frame_len = message(&[0; 10_000]).len();
    assert_eq!(stream.len(), 20 * frame_len);
    let mut seen = vec![Vec::new(); 4];
    for frame in stream.chunks_exact(frame_len) {
        seen[usize::from(frame[frame_len - 2])].push(frame[frame_len - 1]);
    }
    assert_eq!(seen, vec![vec![0, 1, 2, 3, 4]; 4]);
    assert!(server.counters().publishes_held_back > 0);
}

/// A publisher of which one of three messages is held back, and behind it `kept`; and a stop that has waited for a subscriber
/// that lags, and begins in the next turn.
fn held_with(server: &mut Server, kept: &[u8]) -> Peer {
    let lagger = server.subscriber();
    server.set_room(lagger, 50);
    let publisher = server.publisher();
    server.send(publisher, &publish(&[0; 200]));
    server.steps(3);
    server.drain();
    server.step();
    let messages = publish(&[1; 10_000]).repeat(3);
    server.send(publisher, &[&messages, kept].concat());
    server.step();
    assert!(server.counters().publishes_held_back > 0 && server.counters().messages_published < 4);
    publisher
}

/// The frame that is half here when our Close goes out must be parsed to its end, or its payload is taken for frames.
#[test]
fn close_while_held_does_not_lose_the_place_in_the_stream() {
    let mut server = Server::start(small_log);
    let subscriber = server.subscriber();
    let half_sent = publish(&[0xff; 3000]);
    let publisher = held_with(&mut server, &half_sent[..1000]);
    server.step_after(Duration::from_secs(2));
    server.send(publisher, &half_sent[1000..]);
    server.send(publisher, &frame_to(Side::Server, CLOSE, &close_body(1001, "")));
    let got = server.read_for(10, publisher);
    assert_eq!(got, frame_to(Side::Client, CLOSE, &close_body(1001, "server is shutting down; reconnect")));
    assert!(server.is_finished(publisher), "the closing handshake is complete");
    assert_eq!(server.ring.peer_file(publisher), None);
    assert!(!server.ring.peer_is_closed(subscriber), "this one has not answered yet");
    assert_eq!(server.counters().protocol_errors.iter().filter(|&(_, count)| count > 0).count(), 0);
    assert_eq!(server.closes(), [("1001", 3)]);
    assert_eq!(server.counters().connections_closed_by_us, 3);
    assert_eq!(server.counters().connections_closed_by_peer, 0);
}

#[test]
fn peers_close_that_was_kept_behind_a_held_message_ends_the_connection() {
    let mut server = Server::start(small_log);
    let close = frame_to(Side::Server, CLOSE, &close_body(1000, ""));
    let subscriber = server.subscriber();
    let publisher = held_with(&mut server, &close);
    server.step_after(Duration::from_secs(2));
    let got = server.read_for(10, publisher);
    assert_eq!(got, frame_to(Side::Client, CLOSE, &close_body(1001, "server is shutting down; reconnect")));
    assert!(server.is_finished(publisher));
    assert_eq!(server.ring.peer_file(publisher), None, "nothing is left to wait for");
    assert!(!server.ring.peer_is_closed(subscriber));
    assert_eq!(server.closes(), [("1001", 3)]);
}

/// The time in which it was held back is ours, not the client's silence.
#[test]
fn post_held_longer_than_the_idle_timeout_gets_its_whole_answer() {
    let mut server = Server::start(|config| config.http_idle_timeout = Duration::from_secs(5));
    let subscriber = server.subscriber();
    let publisher = server.publisher();
    for _ in 0..8 {
        server.send(publisher, &publish(&[1; 60_000]));
    }
    server.steps(1);
    let poster = server.connect_with_room(50);
    server.send(poster, &post(&[2; 400 << 10]));
    // A pass sends one chunk of the log in a turn, so this many turns go by before there is room.
    let mut seconds = 0;
    while server.counters().messages_published < 9 {
        server.step_after(Duration::from_secs(4));
        server.read(subscriber);
        seconds += 4;
        assert!(seconds < 100, "held for ever");
    }
    // A timeout is noticed up to 1.5 s late.
    assert!(server.counters().publishes_held_back > 0 && seconds >= 8, "{seconds} s");
    let mut answer = Vec::new();
    for _ in 0..20 {
        server.step_after(Duration::from_millis(250));
        answer.extend(server.read(poster));
    }
    let (answers, rest) = answers(&answer);
    assert_eq!((statuses(&answers), rest), (vec![200], &b""[..]));
    assert!(answers[0].body.contains("\"offset\":9,"), "{}", answers[0].body);
}

/// Nothing stays behind that looks like the beginning of its next request.
#[test]
fn client_whose_post_was_held_and_answered_is_idle_again() {
    let mut server = Server::start(|_| {});
    let subscriber = server.subscriber();
    let publisher = server.publisher();
    fill_log(&mut server, publisher);
    let poster = server.connect_with_room(ENDLESS);
    server.send(poster, &post(&[7; 512 << 10]));
    let mut answer = Vec::new();
    for _ in 0..50 {
        server.step();
        server.read(subscriber);
        answer.extend(server.read(poster));
    }
    assert_eq!((statuses(&answers(&answer).0), server.counters().publishes_held_back), (vec![200], 1));
    server.drain();
    server.steps(10);
    assert!(server.is_finished(poster), "a drain ends at once who is between two requests");
}
