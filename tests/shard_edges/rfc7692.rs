//! Clauses of RFC 7692 that bind the service as a whole: what it agrees to, what it takes, what it sends to whom.

use super::server::{Server, answers, publish};
use corecast::config::Config;
use corecast_protocol::deflate::{Deflater, Inflater};
use corecast_protocol::{MessageKind, Side};
use corecast_tests::wire::{CONTINUES, ENDS, PING, TEXT, frame_to};
use corecast_uring::testing::Peer;

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// "Hello" (§7.2.3.1).
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// An upgrade that offers these extensions, and what was agreed on.
fn upgraded(server: &mut Server, query: &str, offer: &str) -> (Peer, Option<String>) {
    let client = server.connect_with_room(1 << 20);
    let request = format!(
        "GET /topics/t{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    server.send(client, request.as_bytes());
    let stream = server.read_for(5, client);
    let (answers, rest) = answers(&stream);
    assert_eq!((answers.len(), answers[0].status, rest), (1, 101, &b""[..]));
    let mut lines = answers[0].head.lines();
    let agreed = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ")).map(str::to_owned);
    (client, agreed)
}

fn compressing(server: &mut Server, query: &str) -> Peer {
    let (client, agreed) = upgraded(server, query, OFFER);
    assert_eq!(agreed.as_deref(), Some(AGREED));
    client
}

/// §5.1, §7.1: accepted or declined, the handshake goes on; RFC 6455 §9.1: what is no offer is refused.
#[test]
fn offers_are_accepted_or_declined_and_the_connection_opens() {
    let mut server = Server::start(|_| {});
    let mut agreed = |offer: &str| upgraded(&mut server, "?role=subscriber", offer).1;
    assert_eq!(agreed(OFFER).as_deref(), Some(AGREED));
    assert_eq!(agreed("permessage-deflate; unknown"), None);
    assert_eq!(agreed("permessage-deflate; server_max_window_bits=10"), None);
    assert_eq!(
        agreed("permessage-deflate; server_max_window_bits=10, permessage-deflate").as_deref(),
        Some(AGREED)
    );
    assert_eq!(agreed("x-webkit-deflate-frame"), None);
}

#[test]
fn switched_off_it_is_declined_and_the_bit_is_refused() {
    let mut server = Server::start(|config: &mut Config| config.deflate = false);
    let (client, agreed) = upgraded(&mut server, "?role=publisher", OFFER);
    assert_eq!(agreed, None);
    server.send(client, &frame_to(Side::Server, 0xc1, &HELLO));
    let got = server.read_for(5, client);
    assert_eq!((got[0], &got[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
}

/// §6.2, §7.2.2: a message that came compressed is the message, for those who get it plain too.
#[test]
fn compressed_message_is_published_as_what_it_says() {
    let mut server = Server::start(|_| {});
    let publisher = compressing(&mut server, "?role=publisher");
    let (plain, subscriber) = (server.subscriber(), compressing(&mut server, "?role=subscriber"));
    let fragments = [
        frame_to(Side::Server, 0x42, &HELLO[..2]),
        frame_to(Side::Server, PING, b"between"),
        frame_to(Side::Server, CONTINUES, b""),
        frame_to(Side::Server, ENDS, &HELLO[2..]),
    ];
    server.send(publisher, &[&frame_to(Side::Server, 0xc1, &HELLO)[..], &fragments.concat()].concat());
    server.send(publisher, &frame_to(Side::Server, TEXT, b"plain"));
    assert_eq!(server.read_for(10, publisher), b"\x8a\x07between");
    // Below deflate_threshold, so plain to everybody (§6: RSV1 is 0 then).
    let expected = b"\x81\x05Hello\x82\x05Hello\x81\x05plain";
    assert_eq!(server.read(plain), expected);
    assert_eq!(server.read(subscriber), expected);
}

/// §6.1, §7.2.1: compressed, with RSV1, for who agreed to it; plain for who did not.
#[test]
fn long_message_is_compressed_for_those_who_agreed() {
    let mut server = Server::start(|_| {});
    let publisher = server.publisher();
    let (plain, subscriber) = (server.subscriber(), compressing(&mut server, "?role=subscriber"));
    let text = "over and over again; ".repeat(50);
    for _ in 0..2 {
        server.send(publisher, &frame_to(Side::Server, TEXT, text.as_bytes()));
        server.steps(5);
    }
    let once = frame_to(Side::Client, TEXT, text.as_bytes());
    assert_eq!(server.read(plain), [&once[..], &once].concat());
    let stream = server.read(subscriber);
    let (first, second) = stream.split_at(stream.len() / 2);
    assert_eq!(first, second, "§7.2.1: each message starts with an empty window");
    assert_eq!((first[0], usize::from(first[1]) + 2), (0xc1, first.len()), "RSV1, FIN, text; not masked");
    let inflated = Inflater::new().inflate(MessageKind::Text, &first[2..], text.len());
    assert_eq!(inflated.as_deref(), Ok(text.as_bytes()));
}

/// §6.1, §7.2.2; RFC 6455 §10.4: who sends what is none, or what is too much, is failed, and nobody else.
#[test]
fn what_does_not_inflate_fails_its_connection_only() {
    let mut bomb = Vec::new();
    assert!(Deflater::new(9, 15).deflate(&vec![0; (512 << 10) + 1], &mut bomb));
    for (bytes, code) in [
        (frame_to(Side::Server, 0xc1, b"\xf2\x00\x11\x00\x00"), 1007_u16),
        (frame_to(Side::Server, 0xc2, b"\x07"), 1007),
        (frame_to(Side::Server, 0xc1, b"\x00\x01\x00\xfe\xff\xff\x00"), 1007),
        (frame_to(Side::Server, 0xc2, &b"\x03\x00".repeat(30_000)), 1007),
        (frame_to(Side::Server, 0xc2, &bomb), 1009),
        (frame_to(Side::Server, 0xc9, b""), 1002),
        (frame_to(Side::Server, 0xa1, b""), 1002),
    ] {
        let mut server = Server::start(|_| {});
        let hostile = compressing(&mut server, "?role=publisher");
        let (other, subscriber) = (compressing(&mut server, "?role=publisher"), server.subscriber());
        server.send(hostile, &[&bytes[..], &publish(b"behind it")].concat());
        let got = server.read_for(10, hostile);
        assert_eq!((got[0], usize::from(got[1]) + 2), (0x88, got.len()), "one Close: {got:02x?}");
        assert_eq!(got[2..4], code.to_be_bytes(), "{:02x?}", &bytes[..2]);
        assert!(server.is_finished(hostile));
        server.send(other, &frame_to(Side::Server, 0xc1, &HELLO));
        server.steps(5);
        assert_eq!(server.read(subscriber), b"\x81\x05Hello");
    }
}

/// A message of exactly the limit comes through, whatever it was compressed to.
#[test]
fn compressed_message_of_the_limit_is_taken() {
    let mut server = Server::start(|_| {});
    let publisher = compressing(&mut server, "?role=publisher");
    let subscriber = server.subscriber();
    let mut payload = Vec::new();
    assert!(Deflater::new(9, 15).deflate(&vec![7; 512 << 10], &mut payload));
    server.send(publisher, &frame_to(Side::Server, 0xc2, &payload));
    let got = server.read_for(100, subscriber);
    assert_eq!(got, frame_to(Side::Client, 0x82, &vec![7; 512 << 10]));
}
