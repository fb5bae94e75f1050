//! Clauses of RFC 6455 that bind the service as a whole: what goes out on a connection, in which order, and when TCP ends.
//! What a connection makes of bytes is in `protocol_rfc6455`.

use super::server::{Server, answers, message, publish, statuses, text, upgrade};
use corecast_protocol::Side;
use corecast_tests::wire::{
    CLOSE, CONTINUES, ENDS, PING, PONG, TEXT, TEXT_BEGINS, close_body, frame, frame_to,
};
use corecast_uring::testing::Peer;

const TOPIC: &str = "GET /topics/t HTTP/1.1";
const HOST: &str = "Host: localhost";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";

fn close(code: u16) -> Vec<u8> {
    frame_to(Side::Server, CLOSE, &close_body(code, ""))
}

/// All that a new client gets for these lines, and whether TCP ended then.
fn answer_to(lines: &[&str]) -> (String, bool) {
    let mut server = Server::start(|_| {});
    let client = server.connect();
    server.send(client, format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes());
    let answer = text(&server.read_for(10, client));
    (answer, server.is_finished(client))
}

/// A client whose message was against the rules of its role, so that the server has begun the closing handshake.
fn closed_by_the_server(server: &mut Server) -> Peer {
    let client = server.subscriber();
    server.send(client, &publish(b"not allowed"));
    let got = server.read_for(5, client);
    let reason = "this connection only subscribes: role=subscriber";
    assert_eq!(got, frame_to(Side::Client, CLOSE, &close_body(1008, reason)));
    assert!(!server.ring.peer_is_closed(client), "its answer is waited for");
    client
}

// Opening -----------------------------------------------------------------------------------------------------------

/// §4.2.2, 5.
#[test]
fn handshake_is_answered_byte_for_byte() {
    let (answer, ended) = answer_to(&[TOPIC, HOST, UPGRADE, CONNECTION, KEY, VERSION]);
    assert_eq!(
        answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert!(!ended);
}

/// §4.2.1: "the server MUST stop processing the client's handshake and return an HTTP response with an appropriate error
/// code"; §4.2.2 on origin and resource name; §7.2.2: "the server MUST simply _Close the WebSocket Connection_".
#[test]
fn handshake_that_is_not_accepted_gets_its_status_and_tcp_ends() {
    for (lines, status) in [
        (&[TOPIC, HOST, CONNECTION, KEY, VERSION][..], "400 Bad Request"),
        (&[TOPIC, HOST, UPGRADE, CONNECTION, VERSION], "400 Bad Request"),
        (&[TOPIC, "Host: two words", UPGRADE, CONNECTION, KEY, VERSION], "400 Bad Request"),
        (&["GET /ws?a#b HTTP/1.1", HOST, UPGRADE, CONNECTION, KEY, VERSION], "400 Bad Request"),
        (&[TOPIC, HOST, UPGRADE, CONNECTION, KEY, VERSION, "Origin: http://evil.example"], "403 Forbidden"),
        (&["GET /nothing HTTP/1.1", HOST, UPGRADE, CONNECTION, KEY, VERSION], "404 Not Found"),
        (&[TOPIC, HOST, UPGRADE, CONNECTION, KEY, "Sec-WebSocket-Version: 8"], "426 Upgrade Required"),
    ] {
        let (answer, ended) = answer_to(lines);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{lines:?}: {answer}");
        assert!(!answer.contains("Sec-WebSocket-Accept"), "{answer}");
        assert!(ended, "{lines:?}: the connection is kept");
        assert_eq!(
            answer.contains("\r\nSec-WebSocket-Version: 13\r\n"),
            status.starts_with("426"),
            "{answer}"
        );
    }
}

/// §4.2.1, 7: "A connection attempt lacking this header field SHOULD NOT be interpreted as coming from a browser client."
#[test]
fn handshake_without_origin_is_no_browsers_and_passes() {
    let (answer, _) = answer_to(&[TOPIC, "Host: elsewhere.example", UPGRADE, CONNECTION, KEY, VERSION]);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
}

/// §4.2.2: "At this point, the server may begin sending (and receiving) data." A client may send once it has the 101, so
/// what comes with its request is early, and still no part of it.
#[test]
fn frames_right_behind_the_request_are_frames() {
    let mut server = Server::start(|_| {});
    let client = server.connect();
    let bytes = [upgrade("?role=subscriber"), frame_to(Side::Server, PING, b"early")].concat();
    server.send(client, &bytes);
    let stream = server.read_for(10, client);
    let (answers, frames) = answers(&stream);
    assert_eq!((statuses(&answers), frames), (vec![101], &b"\x8a\x05early"[..]));
}

// Framing -----------------------------------------------------------------------------------------------------------

/// §5.1: "A server MUST NOT mask any frames that it sends to the client." §5.2: no reserved bits.
#[test]
fn no_frame_of_the_server_is_masked_or_has_reserved_bits() {
    let mut server = Server::start(|_| {});
    let (publisher, client) = (server.publisher(), server.subscriber());
    server.send(publisher, &publish(b"message"));
    server.send(client, &frame_to(Side::Server, PING, b"ping"));
    let mut stream = server.read_for(10, client);
    // Its silence.
    server.advance(30);
    stream.extend(server.read(client));
    server.send(client, &publish(b"not allowed"));
    stream.extend(server.read_for(10, client));
    let mut first_bytes = Vec::new();
    let mut rest = &stream[..];
    while let [first, length @ 0..=125, following @ ..] = rest {
        first_bytes.push(*first);
        rest = &following[usize::from(*length)..];
    }
    assert_eq!(rest, b"", "a masked frame, or a longer one than there is: {stream:02x?}");
    assert_eq!(first_bytes, [PONG, 0x82, PING, CLOSE]);
}

/// §5.4: "An endpoint MUST be capable of handling control frames in the middle of a fragmented message." §6.2.
#[test]
fn fragmented_message_is_published_whole_and_ping_between_is_answered_at_once() {
    let mut server = Server::start(|_| {});
    let (publisher, subscriber) = (server.publisher(), server.subscriber());
    for part in [
        frame_to(Side::Server, TEXT_BEGINS, b"caf\xc3"),
        frame_to(Side::Server, CONTINUES, b""),
        frame_to(Side::Server, PING, b"now"),
    ] {
        server.send(publisher, &part);
    }
    assert_eq!(server.read_for(5, publisher), b"\x8a\x03now");
    assert_eq!(server.read(subscriber), b"");
    server.send(publisher, &frame_to(Side::Server, ENDS, b"\xa9!"));
    server.steps(5);
    assert_eq!(server.read(subscriber), b"\x81\x06caf\xc3\xa9!");
}

/// §5.1, §8.1, §7.1.7: "An endpoint MUST NOT continue to attempt to process data […] after being instructed to _Fail the
/// WebSocket Connection_", and "SHOULD send a Close frame with an appropriate status code".
#[test]
fn failed_connection_gets_one_close_and_nothing_more_is_done_for_it() {
    for (bytes, code) in [
        (frame(TEXT, b"bare", None), 1002_u16),
        (frame_to(Side::Server, 0xc1, b"compressed"), 1002),
        (frame_to(Side::Server, 0x83, b"opcode 3"), 1002),
        (frame_to(Side::Server, TEXT, b"\xff"), 1007),
        (frame_to(Side::Server, CLOSE, &close_body(1005, "")), 1002),
    ] {
        let mut server = Server::start(|_| {});
        let (publisher, subscriber) = (server.publisher(), server.subscriber());
        server.send(publisher, &[&bytes[..], &publish(b"later"), &close(1000)].concat());
        let got = server.read_for(10, publisher);
        server.send(publisher, &[frame_to(Side::Server, PING, b"?"), publish(b"later still")].concat());
        let later = server.read_for(10, publisher);
        assert_eq!((got[0], usize::from(got[1]) + 2), (CLOSE, got.len()), "one frame: {got:02x?}");
        assert_eq!(got[2..4], code.to_be_bytes(), "{bytes:02x?}");
        assert_eq!(later, b"");
        assert!(server.is_finished(publisher), "TCP is ended by the server, and not with a reset");
        assert_eq!(server.read(subscriber), b"");
        assert_eq!(server.counters().messages_published, 0);
    }
}

// Control frames ----------------------------------------------------------------------------------------------------

/// §5.5.2: "an endpoint MUST send a Pong frame in response, unless it already received a Close frame"; §5.5.3: "must have
/// identical "Application data"".
#[test]
fn ping_is_answered_with_its_payload() {
    let mut server = Server::start(|_| {});
    let client = server.subscriber();
    for payload in [&b""[..], b"hi", &[0xff; 125]] {
        server.send(client, &frame_to(Side::Server, PING, payload));
        assert_eq!(server.read_for(5, client), frame_to(Side::Client, PONG, payload));
    }
}

/// The same: having sent a Close is no excuse, only having received one is.
#[test]
fn ping_is_answered_between_our_close_and_theirs() {
    let mut server = Server::start(|_| {});
    let client = closed_by_the_server(&mut server);
    server.send(client, &frame_to(Side::Server, PING, b"still there?"));
    assert_eq!(server.read_for(5, client), frame_to(Side::Client, PONG, b"still there?"));
    server.send(client, &[close(1008), frame_to(Side::Server, PING, b"too late")].concat());
    assert_eq!(server.read_for(5, client), b"");
    assert!(server.is_finished(client));
    assert!(server.ring.peer_file(client).is_none());
}

/// Pings do not keep a connection that is to end: §7.1.1 lets an endpoint "close the connection via any means available".
#[test]
fn pings_do_not_put_off_the_end_of_a_closing_handshake() {
    let mut server = Server::start(|_| {});
    let client = closed_by_the_server(&mut server);
    for _ in 0..8 {
        server.send(client, &frame_to(Side::Server, PING, b"wait"));
        server.advance(1);
    }
    assert!(server.ring.peer_is_closed(client), "close_timeout is 5 s");
}

/// §5.5.3: "A response to an unsolicited Pong frame is not expected."
#[test]
fn pong_that_nobody_asked_for_is_not_answered() {
    let mut server = Server::start(|_| {});
    let client = server.subscriber();
    server.send(client, &frame_to(Side::Server, PONG, b"hello"));
    assert_eq!(server.read_for(5, client), b"");
    assert!(!server.ring.peer_is_closed(client));
}

// Closing -----------------------------------------------------------------------------------------------------------

/// §5.5.1: "the endpoint MUST send a Close frame in response […] typically echos the status code"; "The server MUST close
/// the underlying TCP connection immediately"; §7.1.1: with a FIN, and first.
#[test]
fn close_is_answered_with_its_code_and_tcp_ends_at_once() {
    for (body, answer) in [
        (&b""[..], &b"\x88\x00"[..]),
        (b"\x03\xe8", b"\x88\x02\x03\xe8"),
        (b"\x03\xe9going", b"\x88\x02\x03\xe9"),
        (b"\x0b\xb8", b"\x88\x02\x0b\xb8"),
        (b"\x13\x87bye", b"\x88\x02\x13\x87"),
    ] {
        let mut server = Server::start(|_| {});
        let client = server.subscriber();
        server.send(client, &frame_to(Side::Server, CLOSE, body));
        assert_eq!(server.read_for(5, client), answer);
        assert!(server.is_finished(client), "the client has not ended its side");
        assert!(server.ring.peer_file(client).is_none());
    }
}

/// §5.5.1: "The application MUST NOT send any more data frames after sending a Close frame." §6.1, 1.
#[test]
fn no_message_follows_a_close() {
    let mut server = Server::start(|_| {});
    let (publisher, witness) = (server.publisher(), server.subscriber());
    let client = closed_by_the_server(&mut server);
    server.send(publisher, &publish(b"late"));
    assert_eq!(server.read_for(5, client), b"");
    assert_eq!(server.read(witness), message(b"late"));
}

/// §5.5.1: "If a client and server both send a Close message at the same time, both endpoints […] should consider the
/// WebSocket connection closed and close the underlying TCP connection."
#[test]
fn closes_that_cross_end_the_connection_with_one_each() {
    let mut server = Server::start(|_| {});
    let client = server.subscriber();
    server.send(client, &[publish(b"not allowed"), close(1001)].concat());
    let got = server.read_for(5, client);
    let reason = "this connection only subscribes: role=subscriber";
    assert_eq!(got, frame_to(Side::Client, CLOSE, &close_body(1008, reason)));
    assert!(server.is_finished(client));
}

/// §7.1.2, §7.1.1: a closing handshake that is never answered ends all the same.
#[test]
fn close_that_is_not_answered_ends_after_a_time() {
    let mut server = Server::start(|_| {});
    let client = closed_by_the_server(&mut server);
    server.advance(3);
    assert!(!server.ring.peer_is_closed(client), "close_timeout is 5 s");
    server.advance(4);
    assert!(server.ring.peer_is_closed(client));
}

/// §7.1.5: "no Close control frame was received […] is considered to be 1006"; without a status code, 1005.
#[test]
fn ends_are_counted_by_their_close_code() {
    let mut server = Server::start(|_| {});
    let (gone, polite, silent) = (server.subscriber(), server.subscriber(), server.subscriber());
    server.ring.peer_shutdown(gone);
    server.send(polite, &close(1001));
    server.send(silent, &frame_to(Side::Server, CLOSE, b""));
    server.steps(5);
    assert_eq!(server.closes(), [("1001", 1), ("1005", 1), ("1006", 1)]);
}

/// §5.4: a Close may come between the fragments of a message, which then never ends.
#[test]
fn close_inside_a_message_publishes_nothing() {
    let mut server = Server::start(|_| {});
    let (publisher, subscriber) = (server.publisher(), server.subscriber());
    let begun = frame_to(Side::Server, TEXT_BEGINS, b"half");
    server.send(publisher, &[begun, close(1000), frame_to(Side::Server, ENDS, b"other half")].concat());
    assert_eq!(server.read_for(5, publisher), b"\x88\x02\x03\xe8");
    assert_eq!(server.read(subscriber), b"");
}
