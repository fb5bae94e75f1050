//! §5, §7.1: offers as a server reads them, and what it answers.

use corecast_protocol::Limits;
use corecast_protocol::handshake::extensions::SmallWindows;
use corecast_protocol::handshake::server::accept_upgrade;
use corecast_protocol::http1::{Parsed, parse_request};

/// The answer to every offer that does not name the server's window.
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The values of Sec-WebSocket-Extensions in the 101 to these lines of it in the request; else the status.
fn answers(lines: &[&str], small_windows: SmallWindows) -> Result<Vec<String>, u16> {
    let offers: String = lines.iter().map(|line| format!("Sec-WebSocket-Extensions: {line}\r\n")).collect();
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offers}\r\n"
    );
    let Ok(Parsed::Complete { head, .. }) = parse_request(request.as_bytes(), &Limits::default()) else {
        panic!("{request:?} is a request");
    };
    let accepted =
        accept_upgrade(&head, &[]).map_err(|error| error.status())?.agree_deflate(&head, small_windows);
    let mut response = Vec::new();
    accepted.write_response(&mut response);
    let response = String::from_utf8(response).expect("ASCII");
    assert!(response.starts_with("HTTP/1.1 101 ") && response.ends_with("\r\n\r\n"), "{response:?}");
    let values = response.lines().filter_map(|line| line.split_once(": "));
    let values = values.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"));
    let values: Vec<String> = values.map(|(_, value)| value.to_owned()).collect();
    assert_eq!(accepted.deflate().is_some(), !values.is_empty(), "what is said is what is done");
    Ok(values)
}

#[track_caller]
fn assert_agrees(offer: &str, answer: &str) {
    assert_eq!(answers(&[offer], SmallWindows::Decline), Ok(vec![answer.to_owned()]), "{offer}");
}

#[track_caller]
fn assert_declines(offer: &str) {
    for small_windows in [SmallWindows::Decline, SmallWindows::Accept] {
        assert_eq!(answers(&[offer], small_windows), Ok(vec![]), "{offer}");
    }
}

// §5.1: "To accept use of an offered PMCE, a server MUST include" its name in the answer; RFC 6455 §9: "A server MUST NOT
// respond with any extension not requested by the client."
#[test]
fn server_answers_only_what_was_offered() {
    assert_eq!(answers(&[], SmallWindows::Accept), Ok(vec![]));
    assert_declines("x-webkit-deflate-frame");
    assert_declines("permessage-bzip2, deflate-stream; a=b");
    assert_declines("permessage-deflate-2");
    assert_declines("deflate; permessage-deflate");
    assert_agrees("permessage-deflate", AGREED);
}

// §7.1.3, and what browsers and libraries send.
#[test]
fn server_accepts_the_offers_of_the_standard_and_of_the_field() {
    for offer in [
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate ; client_max_window_bits = 15",
        "permessage-deflate;client_max_window_bits=15;server_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
        ",, permessage-deflate ,",
    ] {
        assert_agrees(offer, AGREED);
    }
}

// §5.1: several elements of the same name are fallbacks in their order; RFC 6455 §9.1: and may stand in several lines.
#[test]
fn server_takes_the_first_offer_that_it_can_accept() {
    assert_agrees("permessage-deflate; unknown, permessage-deflate", AGREED);
    assert_agrees(
        "permessage-deflate; server_max_window_bits=10, permessage-deflate; server_max_window_bits=15",
        &format!("{AGREED}; server_max_window_bits=15"),
    );
    assert_agrees("permessage-deflate, permessage-deflate; server_max_window_bits=15", AGREED);
    let lines = ["permessage-deflate; server_max_window_bits=10", "foo", "permessage-deflate"];
    assert_eq!(answers(&lines, SmallWindows::Decline), Ok(vec![AGREED.to_owned()]), "in one header, once");
}

// RFC 6455 §9.1: `token | quoted-string`, of which the value is that without quotes and backslashes.
#[test]
fn server_reads_quoted_values() {
    let with_window = format!("{AGREED}; server_max_window_bits=15");
    assert_agrees("permessage-deflate; server_max_window_bits=\"15\"", &with_window);
    assert_agrees("permessage-deflate; server_max_window_bits=\"1\\5\"", &with_window);
    assert_agrees("permessage-deflate; client_max_window_bits=\"10\"", AGREED);
    for parameter in
        ["server_max_window_bits=\"16\"", "server_max_window_bits=\"015\"", "client_max_window_bits=\"7\""]
    {
        assert_declines(&format!("permessage-deflate; {parameter}"));
    }
}

// §7.1: "A server MUST decline an extension negotiation offer for this extension if […] The negotiation offer contains an
// extension parameter not defined for use in an offer."
#[test]
fn server_declines_unknown_parameters() {
    for parameter in
        ["unknown", "unknown=1", "server_max_windows_bits=15", "server_no_context", "mux", "x=\"y\""]
    {
        assert_declines(&format!("permessage-deflate; {parameter}"));
        assert_declines(&format!("permessage-deflate; client_max_window_bits; {parameter}"));
    }
}

// §7.1: "[…] contains an extension parameter with an invalid value"; §7.1.2.1: "a decimal integer value without leading zeroes
// between 8 to 15, inclusive"; §7.1.1: "This extension parameter has no value."
#[test]
fn server_declines_invalid_values() {
    let bits = [
        "0",
        "1",
        "7",
        "16",
        "17",
        "80",
        "100",
        "015",
        "08",
        "0x8",
        "8.0",
        "+8",
        "-8",
        "15a",
        "a15",
        "1e1",
        "88",
        "155",
        "255",
        "256",
        "264",
        "271",
        "18446744073709551624",
        "4294967304",
        "\"08\"",
        "\"-15\"",
        "~",
    ];
    for name in ["server_max_window_bits", "client_max_window_bits"] {
        for value in bits {
            assert_declines(&format!("permessage-deflate; {name}={value}"));
        }
    }
    // Only the client's may stand without one.
    assert_declines("permessage-deflate; server_max_window_bits");
    for name in ["server_no_context_takeover", "client_no_context_takeover"] {
        for value in ["1", "0", "true", "15", "\"x\""] {
            assert_declines(&format!("permessage-deflate; {name}={value}"));
        }
    }
}

// §7.1: "[…] contains multiple extension parameters with the same name"
#[test]
fn server_declines_repeated_parameters() {
    for parameters in [
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=15; server_max_window_bits=15",
        "server_max_window_bits=15; server_max_window_bits=14",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=10; client_max_window_bits",
        "client_max_window_bits; server_no_context_takeover; client_max_window_bits=10",
    ] {
        assert_declines(&format!("permessage-deflate; {parameters}"));
    }
}

// RFC 6455 §9.1: what is no list of extensions is not declined but refused.
#[test]
fn server_refuses_what_is_no_list_of_extensions() {
    for line in [
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; =15",
        "permessage-deflate;",
        "permessage-deflate; ; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=1 5",
        "permessage-deflate; server_max_window_bits=\"\"",
        "permessage-deflate; server_max_window_bits=\"1 5\"",
        "permessage-deflate; server_max_window_bits=\"15",
        "permessage-deflate; server_max_window_bits=15\"",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate=15",
        "permessage-deflate, foo;",
    ] {
        assert_eq!(answers(&[line], SmallWindows::Accept), Err(400), "{line}");
    }
    assert_eq!(answers(&["permessage-deflate", "foo;"], SmallWindows::Decline), Err(400));
}

// §7.1.2.1: "A server declines an extension negotiation offer with this parameter if the server doesn't support it", else it
// answers "with the same or smaller value as the offer".
#[test]
fn servers_window_is_at_most_what_was_offered_or_the_offer_is_declined() {
    for offered in 8..=15_u8 {
        let offer = format!("permessage-deflate; server_max_window_bits={offered}");
        let window = |small_windows| {
            let values = answers(&[&offer], small_windows).expect("a 101");
            let window = values.first()?.strip_prefix(&format!("{AGREED}; server_max_window_bits="))?;
            Some(window.parse::<u8>().expect("a number"))
        };
        assert_eq!(window(SmallWindows::Decline), (offered == 15).then_some(15), "{offer}");
        match window(SmallWindows::Accept) {
            Some(bits) => assert!((8..=offered).contains(&bits), "{bits} for {offer}"),
            None => assert_eq!(offered, 8, "only this one cannot be compressed with"),
        }
    }
}

// §7.1.2.2: "If a received extension negotiation offer doesn't have the "client_max_window_bits" extension parameter, the
// corresponding extension negotiation response to the offer MUST NOT include" it. Ours never does; §7.1.1.2: not taking over its
// context may be asked of every client.
#[test]
fn answer_never_limits_the_clients_window_and_always_forbids_its_context() {
    for parameters in
        ["", "; client_max_window_bits", "; client_max_window_bits=9", "; server_max_window_bits=15"]
    {
        let values =
            answers(&[&format!("permessage-deflate{parameters}")], SmallWindows::Accept).expect("a 101");
        assert_eq!(values.len(), 1);
        assert!(!values[0].contains("client_max_window_bits"), "{values:?}");
        assert!(values[0].starts_with(AGREED), "{values:?}");
    }
}
