//! RFC 6455 §9.1: negotiating extensions. None is implemented, so offers are read and declined, and
//! agreements never asked for fail the connection. What is against the grammar is refused whether or not it
//! would matter.

use corecast_protocol::Limits;
use corecast_protocol::handshake::client::ClientHandshake;
use corecast_protocol::handshake::server::accept_upgrade;
use corecast_protocol::http1::{Parsed, parse_request};

/// The examples of §9.1, and what its grammar allows besides.
const WELL_FORMED: [&str; 9] = [
    "deflate-stream",
    "mux; max-channels=4; flow-control, deflate-stream",
    "private-extension",
    "foo, bar; baz=2",
    "foo;bar=\"baz\"",
    "foo ; bar = baz",
    // RFC 2616 §2.1: null elements of a list are allowed.
    ", foo,, bar ,",
    "permessage-deflate; client_max_window_bits, permessage-deflate",
    "x-webkit-deflate-frame",
];

const MALFORMED: [&str; 14] = [
    "",
    ",",
    ";",
    "; foo",
    "foo;",
    "foo; ;bar",
    "foo bar",
    "foo; bar baz",
    "foo; =5",
    "foo; bar=",
    "foo=bar",
    "foo; bar=\"unterminated",
    // "the value after quoted-string unescaping MUST conform to the 'token' ABNF"
    "foo; bar=\"two words\"",
    "foo(bar)",
];

/// The status of the server's answer to an offer, 101 if it opens the connection.
fn server_answers(lines: &[&str]) -> u16 {
    let mut request = "GET /chat HTTP/1.1\r\n\
        Host: server.example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n"
        .to_owned();
    for line in lines {
        request.push_str(&format!("Sec-WebSocket-Extensions: {line}\r\n"));
    }
    request.push_str("\r\n");
    match parse_request(request.as_bytes(), &Limits::default()) {
        Ok(Parsed::Complete { head, .. }) => match accept_upgrade(&head, &[]) {
            Ok(accepted) => {
                let mut response = Vec::new();
                accepted.write_response(&mut response);
                let response = String::from_utf8(response).expect("a response is ASCII").to_lowercase();
                assert!(!response.contains("sec-websocket-extensions"), "agreed to {lines:?}");
                101
            }
            Err(error) => error.status(),
        },
        Ok(Parsed::Incomplete) => panic!("a whole request is incomplete: {request:?}"),
        Err(error) => error.status(),
    }
}

fn client_takes(extensions: &str) -> bool {
    let handshake = ClientHandshake {
        host: "server.example.com",
        target: "/chat",
        key: *b"the sample nonce",
        subprotocols: &[],
        origin: None,
        deflate: false,
        headers: &[],
    };
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Extensions: {extensions}\r\n\r\n"
    );
    matches!(handshake.verify(response.as_bytes(), &Limits::default()), Ok(Some(_)))
}

// "WebSocket servers MAY accept some or all extensions requested by the client."
#[test]
fn server_declines_every_offer_and_goes_on() {
    for offer in WELL_FORMED {
        assert_eq!(server_answers(&[offer]), 101, "{offer:?}");
    }
}

// "this header field MAY be split or combined across multiple lines"
#[test]
fn server_reads_offers_in_several_lines() {
    assert_eq!(server_answers(&["foo", "bar; baz=2"]), 101);
    assert_eq!(server_answers(&["foo", "bar; baz="]), 400);
}

// "If a value is received by either the client or the server during negotiation that does not conform to the
// ABNF below, the recipient of such malformed data MUST immediately _Fail the WebSocket Connection_."
#[test]
fn server_refuses_malformed_offers() {
    for offer in MALFORMED {
        assert_eq!(server_answers(&[offer]), 400, "{offer:?}");
    }
}

// "A server MUST NOT respond with any extension not requested by the client."
#[test]
fn client_fails_on_any_agreement() {
    for agreement in WELL_FORMED {
        assert!(!client_takes(agreement), "{agreement:?}");
    }
}

#[test]
fn client_fails_on_malformed_agreements() {
    for agreement in MALFORMED {
        assert!(!client_takes(agreement), "{agreement:?}");
    }
}
