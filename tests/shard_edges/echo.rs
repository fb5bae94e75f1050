//! The WebSocket that gives back what it gets: the same bytes with the same kind, and no more of them waiting than answers
//! may wait.

use super::server::{ENDLESS, Server, answers, statuses, text, upgrade};
use corecast::config::Config;
use corecast_protocol::deflate::{Deflater, Inflater};
use corecast_protocol::{MessageKind, Side};
use corecast_tests::wire::{
    BINARY, BINARY_BEGINS, CLOSE, CONTINUES, ENDS, PING, PONG, TEXT, TEXT_BEGINS, close_body, frame_to,
};
use corecast_uring::testing::Peer;

fn with_echo(config: &mut Config) {
    config.echo_path = Some("/echo".to_owned());
}

/// Upgraded, with room for everything.
fn echoed(server: &mut Server) -> Peer {
    let client = server.connect_with_room(ENDLESS);
    let request = String::from_utf8(upgrade("")).expect("text").replace("/topics/t ", "/echo ");
    server.send(client, request.as_bytes());
    server.steps(4);
    let (answers, frames) = answers_of(&server.read(client));
    assert_eq!((statuses(&answers), frames), (vec![101], vec![]));
    client
}

fn answers_of(bytes: &[u8]) -> (Vec<super::server::Answer>, Vec<u8>) {
    let (answers, frames) = answers(bytes);
    (answers, frames.to_vec())
}

fn sent(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    frame_to(Side::Server, first_byte, payload)
}

fn gotten(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    frame_to(Side::Client, first_byte, payload)
}

#[test]
fn messages_come_back_whole_with_their_kind_and_among_pongs_in_order() {
    let mut server = Server::start(with_echo);
    let client = echoed(&mut server);
    for frame in [
        sent(TEXT, "Grüße".as_bytes()),
        sent(BINARY, b"\xff\x00"),
        sent(TEXT_BEGINS, b"a"),
        sent(PING, b"1"),
        sent(CONTINUES, b"b"),
        sent(PING, b"2"),
        sent(ENDS, b"c"),
        sent(BINARY, b""),
        sent(CLOSE, &close_body(1000, "done")),
    ] {
        server.send(client, &frame);
    }
    let expected = [
        gotten(TEXT, "Grüße".as_bytes()),
        gotten(BINARY, b"\xff\x00"),
        gotten(PONG, b"1"),
        gotten(PONG, b"2"),
        gotten(TEXT, b"abc"),
        gotten(BINARY, b""),
        gotten(CLOSE, &close_body(1000, "")),
    ];
    assert_eq!(server.read_for(10, client), expected.concat());
    assert!(server.is_finished(client));
    assert_eq!((server.counters().messages_published, server.counters().topics), (0, 0));
}

/// RFC 7692 §6: each message may be compressed or not, in either direction.
#[test]
fn messages_come_back_compressed_where_that_was_agreed_on_and_makes_them_shorter() {
    let mut server = Server::start(with_echo);
    let client = server.connect_with_room(ENDLESS);
    let request = String::from_utf8(upgrade("")).expect("text").replace("/topics/t ", "/echo ");
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    server.send(client, request.replace("Host:", &format!("{offer}Host:")).as_bytes());
    server.steps(4);
    let (answers, _) = answers_of(&server.read(client));
    let agreed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert!(answers[0].head.contains(agreed), "{}", answers[0].head);

    let long = "again and again ".repeat(100);
    let mut deflated = Vec::new();
    assert!(Deflater::new(9, 15).deflate(long.as_bytes(), &mut deflated));
    let rsv1 = 0x40;
    for frame in [sent(TEXT | rsv1, &deflated), sent(TEXT, long.as_bytes())] {
        server.send(client, &frame);
        let echo = server.read_for(5, client);
        assert_eq!((echo[0], usize::from(echo[1])), (TEXT | rsv1, echo.len() - 2), "{echo:02x?}");
        let inflated = Inflater::new().inflate(MessageKind::Text, &echo[2..], 10_000);
        assert_eq!(inflated.as_deref(), Ok(long.as_bytes()));
    }
    // RFC 7692 §7.2.3.1: "Hello", which is shorter than what is compressed.
    server.send(client, &sent(BINARY | rsv1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]));
    assert_eq!(server.read_for(5, client), gotten(BINARY, b"Hello"));
}

#[test]
fn what_came_before_a_mistake_comes_back_before_the_close() {
    let mut server = Server::start(with_echo);
    let client = echoed(&mut server);
    server.send(client, &[sent(TEXT, b"good"), sent(TEXT, b"\xff")].concat());
    let stream = server.read_for(10, client);
    let echo = gotten(TEXT, b"good");
    assert_eq!(stream[..echo.len()], echo);
    assert_eq!(stream[echo.len()..][..4], [0x88, stream[echo.len() + 1], 0x03, 0xef], "Close 1007");
}

/// One message above the bound, whatever the client sends: the rest stays in its socket.
#[test]
fn who_does_not_take_its_messages_is_not_read_from() {
    let mut server = Server::start(with_echo);
    let client = echoed(&mut server);
    server.set_room(client, 0);
    let message: Vec<u8> = (0..10_000).map(|at| at as u8).collect();
    server.send(client, &sent(BINARY, &message).repeat(1000));
    server.steps(200);
    assert_eq!(server.counters().replies_bound_hit, 1);
    // Two messages wait, and what had arrived when reading stopped: all buffers at most, in a vector that grew.
    assert!(server.levels().inbound_bytes < 3 << 20, "{:?}", server.levels());
    let before = server.levels().inbound_bytes;
    server.steps(200);
    assert_eq!(server.levels().inbound_bytes, before);

    server.set_room(client, ENDLESS);
    let mut stream = server.read_for(5000, client);
    server.send(client, &sent(TEXT, b"last"));
    stream.extend(server.read_for(10, client));
    let expected = [gotten(BINARY, &message).repeat(1000), gotten(TEXT, b"last")].concat();
    assert!(stream == expected, "{} of {} bytes", stream.len(), expected.len());
    assert_eq!(server.levels().inbound_bytes, 0);
}

/// A client that takes a message slowly is no silent one, though what it sends is not read.
#[test]
fn who_takes_its_message_slowly_is_not_timed_out() {
    let mut server = Server::start(with_echo);
    let client = echoed(&mut server);
    server.set_room(client, 1000);
    let message = [7; 200_000];
    server.send(client, &sent(BINARY, &message));
    let mut stream = Vec::new();
    // Each second it takes a thousand bytes: three and a half minutes, and it would be given up after 45 s.
    while stream.len() < 200_010 {
        server.advance(1);
        let taken = server.read(client);
        assert!(!taken.is_empty(), "ended after {} bytes", stream.len());
        stream.extend(taken);
    }
    assert!(stream == gotten(BINARY, &message), "{} bytes", stream.len());
    assert_eq!(server.counters().connections_timed_out, 0);
}

/// `inbound_bytes` bounds what all of them have on its way back.
#[test]
fn who_leaves_the_most_in_memory_is_reset_when_it_is_used_up() {
    let mut server = Server::start(|config| {
        with_echo(config);
        config.inbound_bytes = config.max_message_bytes;
    });
    let [small, large, last] = [60_000, 300_000, 200_000].map(|bytes| {
        let client = echoed(&mut server);
        server.set_room(client, 0);
        server.send(client, &sent(BINARY, &vec![1; bytes]));
        server.steps(200);
        client
    });
    assert_eq!(server.counters().inbound_exhausted, 1);
    assert!(server.ring.peer_was_reset(large));
    assert!(server.levels().inbound_bytes <= 512 << 10);
    for (client, bytes) in [(small, 60_000), (last, 200_000)] {
        server.set_room(client, ENDLESS);
        assert!(server.read_for(20, client) == gotten(BINARY, &vec![1; bytes]));
        server.send(client, &sent(CLOSE, &close_body(1000, "")));
        server.steps(10);
    }
    server.steps(10);
    assert!(server.is_clean());
}

#[test]
fn fragments_are_counted_against_their_setting() {
    let many = |fragments: u32| {
        let mut server = Server::start(|config| {
            with_echo(config);
            config.max_fragments = 65_536;
        });
        let client = echoed(&mut server);
        server.send(client, &sent(BINARY_BEGINS, b"x"));
        server.send(client, &sent(CONTINUES, b"x").repeat(fragments as usize - 2));
        server.send(client, &sent(ENDS, b"x"));
        server.read_for(200, client)
    };
    assert!(many(65_536) == gotten(BINARY, &vec![b'x'; 65_536]));
    assert_eq!(many(65_537)[..4], [0x88, many(65_537)[1], 0x03, 0xf0], "Close 1008");
}

#[test]
fn there_is_no_echo_unless_asked_for_nor_for_pages_of_other_sites() {
    let status = |change: fn(&mut Config), request: &str| {
        let mut server = Server::start(change);
        let client = server.connect_with_room(ENDLESS);
        server.send(client, request.as_bytes());
        text(&server.read_for(5, client))[9..12].to_owned()
    };
    let request = String::from_utf8(upgrade("")).expect("text").replace("/topics/t ", "/echo ");
    assert_eq!(status(|_| {}, &request), "404");
    assert_eq!(status(with_echo, &request), "101");
    let foreign = request.replace("Host:", "Origin: https://example.com\r\nHost:");
    assert_eq!(status(with_echo, &foreign), "403");
}

#[test]
fn stopping_closes_who_is_echoed_to_as_others() {
    let mut server = Server::start(with_echo);
    let client = echoed(&mut server);
    server.drain();
    let stream = server.read_for(10, client);
    assert_eq!(stream, gotten(CLOSE, &close_body(1001, "server is shutting down; reconnect")));
}
