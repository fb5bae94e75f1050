//! Compressed broadcasts over shards (RFC 7692): made once, at the topic's home, for everybody who gets them so.

use super::shards::{Client, Shards, WIDE, message, publish, requests, subscribe, text, texts};
use corecast_protocol::deflate::{Deflater, Inflater};
use corecast_protocol::{Connection, MessageKind, Side};
use corecast_tests::wire::{BINARY, Receiver, Seen, TEXT, frame_to};

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const SMALL_OFFER: &str = "permessage-deflate; server_max_window_bits=10";

/// An upgrade that offers these extensions, and is answered with those.
fn upgraded(shards: &mut Shards, shard: usize, path: &str, offer: &str, answer: &str) -> Client {
    let client = shards.connect(shard);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    shards.send(client, request.as_bytes());
    shards.turns(10);
    let head = text(&shards.read(client));
    let line = format!("\r\nSec-WebSocket-Extensions: permessage-deflate; {answer}\r\n");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(&line), "{head}");
    client
}

fn raw(shards: &mut Shards, shard: usize, topic: &str) -> Client {
    let path = format!("/topics/{topic}?role=subscriber");
    upgraded(shards, shard, &path, OFFER, "server_no_context_takeover; client_no_context_takeover")
}

fn small(shards: &mut Shards, shard: usize, topic: &str) -> Client {
    let path = format!("/topics/{topic}?role=subscriber");
    let answer = "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9";
    upgraded(shards, shard, &path, SMALL_OFFER, answer)
}

fn json(shards: &mut Shards, shard: usize, topic: &str) -> Client {
    let answer = "server_no_context_takeover; client_no_context_takeover";
    let client = upgraded(shards, shard, "/ws", OFFER, answer);
    shards.send(client, &requests(&[&subscribe(topic, 1)]));
    shards.turns(10);
    assert!(matches!(&seen(shards, client)[..], [Seen::Text(text)] if text.contains("subscribed")));
    client
}

fn seen(shards: &mut Shards, client: Client) -> Vec<Seen> {
    let mut receiver = Receiver::new(Side::Client);
    receiver.connection = Connection::new(Side::Client).with_deflate(true);
    receiver.hear(&shards.read(client));
    assert!(receiver.error.is_none() && !receiver.connection.is_mid_message(), "{receiver:?}");
    receiver.seen
}

/// The one message that the client has got, which came compressed, and the bytes that it took.
fn inflated(shards: &mut Shards, client: Client) -> (String, usize) {
    let seen = seen(shards, client);
    let [Seen::Deflated(MessageKind::Text, payload)] = &seen[..] else { panic!("{seen:?}") };
    let text = Inflater::new().inflate(MessageKind::Text, payload, 1 << 20).expect("deflate data");
    (String::from_utf8(text).expect("checked"), payload.len())
}

fn made(shards: &Shards) -> [u64; 3] {
    [0, 1, 2].map(|shard| shards.counters(shard).messages_deflated)
}

#[test]
fn a_message_is_compressed_once_for_each_form_in_which_it_is_followed() {
    let mut shards = Shards::start(3, WIDE, |config| config.deflate_small_windows = true);
    let topic = shards.topic_at(0, 0);
    let plain = [0, 1].map(|shard| shards.raw(shard, &topic, "?role=subscriber"));
    let raw = [0, 1, 2, 2].map(|shard| raw(&mut shards, shard, &topic));
    let small = [1, 2].map(|shard| small(&mut shards, shard, &topic));
    let json = [0, 1].map(|shard| json(&mut shards, shard, &topic));
    let publisher = shards.raw(2, &topic, "?role=publisher");
    shards.turns(10);

    let long = "so much of the same ".repeat(100);
    shards.send(publisher, &frame_to(Side::Server, TEXT, long.as_bytes()));
    shards.turns(20);
    assert_eq!(made(&shards), [3, 0, 0], "raw, JSON, and raw with a small window: at the home");
    for client in plain {
        assert_eq!(shards.seen(client), [Seen::Text(long.clone())]);
    }
    for client in raw.into_iter().chain(small) {
        let (text, bytes) = inflated(&mut shards, client);
        assert!(text == long && bytes <= 100, "{bytes} bytes: {text}");
    }
    for client in json {
        let (text, bytes) = inflated(&mut shards, client);
        let start = format!(r#"{{"op":"message","topic":"{topic}","offset":1,"encoding":"text","data":"so "#);
        assert!(text.starts_with(&start) && bytes < 200, "{bytes} bytes: {text}");
    }
    shards.assert_at_rest();
}

#[test]
fn what_is_short_or_does_not_shrink_goes_plain_to_everybody() {
    let mut shards = Shards::start(3, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscribers = [0, 1].map(|shard| raw(&mut shards, shard, &topic));
    let publisher = shards.raw(0, &topic, "?role=publisher");
    shards.turns(10);
    let mut generator = fastrand::Rng::with_seed(3);
    let random: Vec<u8> = (0..1_000).map(|_| generator.u8(..)).collect();
    let short = "a".repeat(511);
    shards.send(publisher, &frame_to(Side::Server, TEXT, short.as_bytes()));
    shards.send(publisher, &frame_to(Side::Server, BINARY, &random));
    shards.turns(20);
    assert_eq!(made(&shards), [0, 0, 0]);
    for client in subscribers {
        assert_eq!(seen(&mut shards, client), [Seen::Text(short.clone()), Seen::Binary(random.clone())]);
    }
}

/// The home learns by and by who wants what: meanwhile messages go plain, which every message may.
#[test]
fn nothing_is_compressed_before_anybody_wants_it_and_after_they_left() {
    let mut shards = Shards::start(3, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let plain = shards.raw(1, &topic, "?role=subscriber");
    let publisher = shards.raw(0, &topic, "?role=publisher");
    let long = "x".repeat(5_000);
    let publish = |shards: &mut Shards| {
        shards.send(publisher, &frame_to(Side::Server, TEXT, long.as_bytes()));
        shards.turns(20);
    };
    publish(&mut shards);
    assert_eq!(made(&shards), [0, 0, 0]);
    let compressed = raw(&mut shards, 1, &topic);
    publish(&mut shards);
    assert_eq!(made(&shards), [1, 0, 0]);
    assert_eq!(inflated(&mut shards, compressed).0, long);
    shards.reset(compressed);
    shards.turns(10);
    publish(&mut shards);
    assert_eq!(made(&shards), [1, 0, 0]);
    assert_eq!(shards.seen(plain), vec![Seen::Text(long.clone()); 3]);
    shards.assert_at_rest();
}

/// Several messages of one body: each has its own form.
#[test]
fn messages_of_one_body_are_compressed_each_for_itself() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscribers = [0, 1].map(|shard| raw(&mut shards, shard, &topic));
    let publisher = shards.connect(1);
    let lines = ["[1]".to_owned(), format!("[{}]", "2,".repeat(600) + "2"), "[3]".to_owned()];
    let body = lines.join("\n");
    let head = format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    shards.send(publisher, &[head.as_bytes(), body.as_bytes()].concat());
    shards.turns(20);
    assert!(text(&shards.read(publisher)).starts_with("HTTP/1.1 200 "));
    for client in subscribers {
        let seen = seen(&mut shards, client);
        let [Seen::Text(first), Seen::Deflated(_, second), Seen::Text(third)] = &seen[..] else {
            panic!("{seen:?}")
        };
        assert_eq!((first, third), (&lines[0], &lines[2]));
        let second = Inflater::new().inflate(MessageKind::Text, second, 1 << 20).expect("deflate data");
        assert_eq!(second, lines[1].as_bytes());
    }
}

/// A JSON client may send its requests compressed, and gets its answers plain.
#[test]
fn compressed_requests_are_read() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(1, 0);
    let client = json(&mut shards, 0, &topic);
    let data = format!("\"{}\"", "y".repeat(300));
    shards.send(client, &compressed(&publish(&topic, &data, 7)));
    shards.turns(20);
    let seen = seen(&mut shards, client);
    assert!(
        seen.iter().any(|seen| matches!(seen, Seen::Text(text) if text.contains(r#""op":"published""#))),
        "{seen:?}"
    );
    assert!(seen.contains(&Seen::Text(message(&topic, 1, &data))), "{seen:?}");
    assert_eq!(shards.counters(0).messages_inflated, 1);
}

/// A compressed text as a client sends it (RFC 7692 §6): FIN, RSV1.
fn compressed(text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    assert!(Deflater::new(6, 15).deflate(text.as_bytes(), &mut payload));
    frame_to(Side::Server, 0xC1, &payload)
}

/// Inflating costs many times what sending did, so it is not done for nothing.
#[test]
fn messages_of_those_who_may_not_publish_are_inflated_as_far_as_requests_are_long() {
    let mut shards = Shards::start(1, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscriber = raw(&mut shards, 0, &topic);
    shards.send(subscriber, &compressed(&"x".repeat(500_000)));
    shards.turns(10);
    let closed = seen(&mut shards, subscriber);
    assert!(matches!(&closed[..], [Seen::Close(Some((1008, _)))]), "{closed:?}");
    assert_eq!(shards.counters(0).messages_inflated, 0);

    let proxied = format!("{OFFER}\r\nX-Forwarded-For: 192.0.2.1");
    let answer = "server_no_context_takeover; client_no_context_takeover";
    let client = upgraded(&mut shards, 0, "/ws", &proxied, answer);
    let request = subscribe(&topic, 1);
    shards.send(client, &compressed(&format!("{request}{}", " ".repeat(4_096 - request.len()))));
    shards.turns(10);
    let answers = texts(seen(&mut shards, client));
    assert!(answers[0].starts_with(r#"{"op":"subscribed""#), "{answers:?}");
    assert_eq!(shards.counters(0).messages_inflated, 1);

    shards.send(client, &compressed(&format!("{request}{}", " ".repeat(4_097 - request.len()))));
    shards.turns(10);
    let answers = texts(seen(&mut shards, client));
    assert!(answers[0].starts_with(r#"{"op":"error","code":"forbidden""#), "{answers:?}");
    let counters = shards.counters(0);
    assert_eq!((counters.messages_inflated, counters.publishes_refused), (1, 2));
}
