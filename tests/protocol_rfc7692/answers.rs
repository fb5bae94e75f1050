//! §5, §7.1: what a client offers, and the answers on which it fails.

use corecast_protocol::Limits;
use corecast_protocol::handshake::client::ClientHandshake;

const HANDSHAKE: ClientHandshake<'static> = ClientHandshake {
    host: "server.example.com",
    target: "/chat",
    key: *b"the sample nonce",
    subprotocols: &[],
    origin: None,
    deflate: true,
    headers: &[],
};

/// Whether the client agreed to compression with an answer of these lines, or what it said when it failed.
fn judged(handshake: &ClientHandshake<'_>, lines: &[&str]) -> Result<bool, String> {
    let lines: String = lines.iter().map(|line| format!("Sec-WebSocket-Extensions: {line}\r\n")).collect();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{lines}\r\n"
    );
    match handshake.verify(answer.as_bytes(), &Limits::default()) {
        Ok(Some((agreed, length))) => {
            assert_eq!(length, answer.len());
            Ok(agreed.deflate)
        }
        Ok(None) => panic!("a whole head is incomplete"),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
fn assert_fails(lines: &[&str]) {
    let said = judged(&HANDSHAKE, lines).expect_err(&format!("agreed to {lines:?}"));
    assert!(said.contains("RFC 7692 §7.1") || said.contains("RFC 6455 §9.1"), "{said}");
}

// §5.1: "To offer use of a PMCE, a client MUST include" its name in Sec-WebSocket-Extensions; §7.1.1: the parameters have no
// value.
#[test]
fn client_offers_compression_without_context_takeover() {
    let mut request = Vec::new();
    HANDSHAKE.write_request(&mut request);
    let request = String::from_utf8(request).expect("ASCII");
    let offers: Vec<&str> =
        request.lines().filter(|line| line.starts_with("Sec-WebSocket-Extensions")).collect();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(offers, [offer]);
}

// RFC 6455 §9.1: "the client is only offering to use any advertised extensions and MUST NOT use them unless the server
// indicates that it wishes to use the extension."
#[test]
fn declined_offer_is_a_connection_without_compression() {
    assert_eq!(judged(&HANDSHAKE, &[]), Ok(false));
}

// §7.1.1.1: the server accepts by the same parameter; §7.1.1.2, §7.1.2.1: what else it may add.
#[test]
fn client_takes_answers_to_its_offer() {
    for answer in [
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover; server_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=8",
        "permessage-deflate;server_max_window_bits=\"10\" ;server_no_context_takeover",
        ", permessage-deflate; server_no_context_takeover,",
    ] {
        assert_eq!(judged(&HANDSHAKE, &[answer]), Ok(true), "{answer}");
    }
}

// §7.1.1.1: an offer with server_no_context_takeover is accepted by including it; the client has no window to go on with.
#[test]
fn client_fails_on_context_takeover() {
    assert_fails(&["permessage-deflate"]);
    assert_fails(&["permessage-deflate; client_no_context_takeover"]);
    assert_fails(&["permessage-deflate; server_max_window_bits=15"]);
}

// §7.1: "A client MUST _Fail the WebSocket Connection_ if […] The negotiation response contains an extension parameter not
// defined for use in a response."
#[test]
fn client_fails_on_unknown_parameters() {
    for parameter in ["unknown", "unknown=1", "server_no_context", "x=\"y\""] {
        assert_fails(&[&format!("permessage-deflate; server_no_context_takeover; {parameter}")]);
    }
}

// §7.1: "[…] an extension parameter with an invalid value"
#[test]
fn client_fails_on_invalid_values() {
    for parameter in [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=015",
        "server_max_window_bits=\"08\"",
        "server_max_window_bits=1.5",
        "server_max_window_bits=fifteen",
        "client_no_context_takeover=1",
        "client_no_context_takeover=\"true\"",
    ] {
        assert_fails(&[&format!("permessage-deflate; server_no_context_takeover; {parameter}")]);
    }
    assert_fails(&["permessage-deflate; server_no_context_takeover=1"]);
}

// §7.1: "[…] multiple extension parameters with the same name"
#[test]
fn client_fails_on_repeated_parameters() {
    for parameters in [
        "server_no_context_takeover; server_no_context_takeover",
        "server_no_context_takeover; client_no_context_takeover; client_no_context_takeover",
        "server_no_context_takeover; server_max_window_bits=15; server_max_window_bits=15",
    ] {
        assert_fails(&[&format!("permessage-deflate; {parameters}")]);
    }
}

// §7.1.2.2: MUST NOT be in an answer to an offer without it; and there it never stands without a value.
#[test]
fn client_fails_on_a_limit_of_its_window_that_it_did_not_offer() {
    for parameter in ["client_max_window_bits", "client_max_window_bits=15", "client_max_window_bits=8"] {
        assert_fails(&[&format!("permessage-deflate; server_no_context_takeover; {parameter}")]);
    }
}

// §5.1: "If a server gives an invalid response, such as accepting a PMCE that the client did not offer, the client MUST _Fail the
// WebSocket Connection_."; §6: nor together with another extension on the same bit.
#[test]
fn client_fails_on_other_extensions_and_on_more_than_one() {
    assert_fails(&["x-webkit-deflate-frame"]);
    assert_fails(&["permessage-bzip2; server_no_context_takeover"]);
    assert_fails(&["permessage-deflate; server_no_context_takeover, x-webkit-deflate-frame"]);
    assert_fails(&["x-webkit-deflate-frame, permessage-deflate; server_no_context_takeover"]);
    let twice = "permessage-deflate; server_no_context_takeover";
    assert_fails(&[&format!("{twice}, {twice}")]);
    assert_fails(&[twice, twice]);
}

// RFC 6455 §11.3.2: "the |Sec-WebSocket-Extensions| header field MUST NOT appear more than once in an HTTP response."
#[test]
fn client_fails_on_a_second_header_whatever_it_says() {
    let agreed = "permessage-deflate; server_no_context_takeover";
    assert_fails(&[agreed, ""]);
    assert_fails(&["", agreed]);
    assert_fails(&[agreed, ","]);
}

// RFC 6455 §9.1.
#[test]
fn client_fails_on_what_is_no_list_of_extensions() {
    for answer in [
        "",
        ",",
        "permessage-deflate;",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=\"1 5\"",
        "permessage-deflate server_no_context_takeover",
    ] {
        assert_fails(&[answer]);
    }
}

#[test]
fn client_that_offered_nothing_fails_on_any_answer() {
    let handshake = ClientHandshake { deflate: false, ..HANDSHAKE };
    let mut request = Vec::new();
    handshake.write_request(&mut request);
    assert!(!String::from_utf8(request).expect("ASCII").contains("Sec-WebSocket-Extensions"));
    for answer in ["permessage-deflate", "permessage-deflate; server_no_context_takeover", "foo", ""] {
        assert!(judged(&handshake, &[answer]).is_err(), "{answer:?}");
    }
    assert_eq!(judged(&handshake, &[]), Ok(false));
}
