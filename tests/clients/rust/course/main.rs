//! The course that every library is put through: messages of every length, pings, closing from both sides, the JSON
//! dialect. Neither of these two can compress; tests/clients has the same for those that can.

mod client;
mod fastwebsockets;
mod server;
mod tokio_tungstenite;

use client::{Client, Message, Received};
use server::Server;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// RFC 6455 section 5.2 has three forms of a length; the last is the largest message that the server takes.
const SIZES: [usize; 8] = [0, 1, 125, 126, 127, 65_535, 65_536, MIB];

const LARGE: [&str; 4] = ["--max-message-bytes", "1MiB", "--topic-log-bytes", "2MiB"];

macro_rules! course {
    ($library:ident, $client:ty, [$($test:ident),+ $(,)?]) => {
        mod $library {
            $(
                #[test]
                fn $test() {
                    super::run(super::$test::<$client>());
                }
            )+
        }
    };
}

macro_rules! courses {
    ($tests:tt) => {
        course!(with_tokio_tungstenite, crate::tokio_tungstenite::Tungstenite, $tests);
        course!(with_fastwebsockets, crate::fastwebsockets::FastWebSockets, $tests);
    };
}

courses!([
    messages_of_every_length_come_back,
    ping_gets_its_pong,
    close_code_comes_back,
    message_over_the_limit_is_answered_with_1009,
    text_that_is_not_utf8_is_answered_with_1007,
    refused_publish_is_answered_with_1008,
    reader_that_stopped_is_told_4008,
    end_of_the_server_is_told_with_1001,
    json_dialect_goes_round,
]);

async fn messages_of_every_length_come_back<C: Client>() {
    let server = Server::start(&LARGE);
    let mut client = C::connect(server.address, "/topics/all", None).await;
    assert_eq!(client.extensions(), None, "it offered none");
    for size in SIZES {
        for message in [Message::Text(letters(size)), Message::Binary(noise(size))] {
            client.send(message.clone()).await;
            match client.receive().await {
                Received::Message(received) => {
                    assert!(received == message, "{size} bytes came back otherwise")
                }
                other => panic!("{other:?} instead of {size} bytes"),
            }
        }
    }
    client.send_close(1000, "").await;
    assert_eq!(client.receive().await, Received::Close(1000, String::new()));
    drop(client);
    server.stop();
}

async fn ping_gets_its_pong<C: Client>() {
    let server = Server::start(&[]);
    let mut client = C::connect(server.address, "/topics/all", None).await;
    for payload in [&b"are you there?"[..], &[0; 125]] {
        client.send_ping(payload).await;
        assert_eq!(client.receive().await, Received::Pong(payload.to_vec()));
    }
    client.send(Message::Text("still here".to_owned())).await;
    assert_eq!(client.receive().await, Received::Message(Message::Text("still here".to_owned())));
    drop(client);
    server.stop();
}

/// RFC 6455 section 5.5.1.
async fn close_code_comes_back<C: Client>() {
    let server = Server::start(&[]);
    for (code, reason) in [(1000, ""), (1000, "bye"), (4321, "for a reason of its own")] {
        let mut client = C::connect(server.address, "/topics/all", None).await;
        client.send_close(code, reason).await;
        assert_eq!(closed(&mut client).await.0, code);
    }
    server.stop();
}

async fn message_over_the_limit_is_answered_with_1009<C: Client>() {
    let server = Server::start(&LARGE);
    let mut client = C::connect(server.address, "/topics/all", None).await;
    client.send(Message::Text(letters(MIB + 1))).await;
    let (code, reason) = closed(&mut client).await;
    assert_eq!(code, 1009);
    assert!(reason.contains("1048576"), "{reason}");
    drop(client);
    server.stop();
}

async fn text_that_is_not_utf8_is_answered_with_1007<C: Client>() {
    let server = Server::start(&[]);
    let mut client = C::connect(server.address, "/topics/all", None).await;
    client.send_invalid_text(b"abc\xff").await;
    let (code, reason) = closed(&mut client).await;
    assert_eq!(code, 1007);
    assert!(reason.contains("byte 3"), "{reason}");
    drop(client);
    server.stop();
}

async fn refused_publish_is_answered_with_1008<C: Client>() {
    let server = Server::start(&[]);
    let mut client = C::connect(server.address, "/topics/all?role=subscriber", None).await;
    client.send(Message::Text("refused".to_owned())).await;
    let (code, reason) = closed(&mut client).await;
    assert_eq!(code, 1008);
    assert!(!reason.is_empty());
    drop(client);
    server.stop();
}

async fn reader_that_stopped_is_told_4008<C: Client>() {
    let server =
        Server::start(&["--shards", "1", "--max-message-bytes", "64KiB", "--topic-log-bytes", "128KiB"]);
    let mut client = C::connect(server.address, "/topics/all?role=subscriber", None).await;
    // Nothing here waits for the runtime, so the client reads nothing meanwhile.
    while server.metric("lapped_total") == 0 {
        server.publish("all", &noise(65_536));
    }
    let (code, reason) = closed(&mut client).await;
    assert_eq!(code, 4008);
    assert!(!reason.is_empty());
    drop(client);
    server.stop();
}

async fn end_of_the_server_is_told_with_1001<C: Client>() {
    let server = Server::start(&[]);
    let mut client = C::connect(server.address, "/topics/all", None).await;
    server.terminate();
    let (code, reason) = closed(&mut client).await;
    assert_eq!(code, 1001);
    assert!(!reason.is_empty());
    drop(client);
    server.wait();
}

async fn json_dialect_goes_round<C: Client>() {
    let server = Server::start(&[]);
    let mut client = C::connect(server.address, "/ws", Some("corecast.json.v1")).await;
    assert_eq!(client.subprotocol().as_deref(), Some("corecast.json.v1"));
    client.send(Message::Text(r#"{"op":"subscribe","topic":"all","id":1}"#.to_owned())).await;
    let subscribed = text(client.receive().await);
    assert!(
        subscribed.starts_with(r#"{"op":"subscribed","topic":"all","offset":0,"epoch":""#),
        "{subscribed}"
    );
    assert!(subscribed.ends_with(r#"","id":1}"#), "{subscribed}");
    let data = r#"{"text":"é €","list":[1,2.50,null]}"#;
    client.send(Message::Text(format!(r#"{{"op":"publish","topic":"all","data":{data},"id":"two"}}"#))).await;
    let mut received = [text(client.receive().await), text(client.receive().await)];
    received.sort();
    assert_eq!(
        received,
        [
            format!(r#"{{"op":"message","topic":"all","offset":1,"data":{data}}}"#),
            r#"{"op":"published","offset":1,"id":"two"}"#.to_owned(),
        ]
    );
    client.send_close(1000, "").await;
    assert_eq!(closed(&mut client).await.0, 1000);
    drop(client);
    server.stop();
}

// Words -------------------------------------------------------------------------------------------------------------

/// Runs a course in a runtime of its own, with a deadline that only a real fault reaches.
fn run(course: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), course).await.expect("over in time");
    });
}

/// Text that a compressor would make something of, as the other courses have it.
fn letters(size: usize) -> String {
    "All that is published comes back. ".chars().cycle().take(size).collect()
}

/// Bytes without a pattern (xorshift).
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

/// Reads on to the server's Close; gives code and reason.
async fn closed<C: Client>(client: &mut C) -> (u16, String) {
    loop {
        if let Received::Close(code, reason) = client.receive().await {
            return (code, reason);
        }
    }
}

fn text(received: Received) -> String {
    match received {
        Received::Message(Message::Text(text)) => text,
        other => panic!("{other:?} instead of a text message"),
    }
}
