//! Heads of requests and of responses, cut at every place: the verdict must not depend on the cut, and what opens a
//! connection must keep every rule of RFC 6455 §4.

use crate::extensions::{self, Agreement};
use crate::heads::{Lines, is_host, is_resource, is_token};
use corecast_protocol::Limits;
use corecast_protocol::handshake::accept_value;
use corecast_protocol::handshake::client::{ClientHandshake, HandshakeError as Unopened};
use corecast_protocol::handshake::extensions::SmallWindows;
use corecast_protocol::handshake::server::{accept_upgrade, is_upgrade};
use corecast_protocol::http1::{Parsed, RequestHead, Version, parse_request};
use std::fmt::Debug;

/// What the server knows, and what the client offers.
const SUBPROTOCOLS: [&str; 2] = ["corecast.json.v1", "chat"];

/// The key and the answer to it of RFC 6455 §1.3.
const KEY: [u8; 16] = *b"the sample nonce";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub fn check(bytes: &[u8]) {
    check_request(bytes);
    check_response(bytes);
}

/// The smallest there are, so that they are met.
pub(crate) fn limits() -> Limits {
    Limits::default()
        .with_max_head_bytes(512)
        .and_then(|limits| limits.with_max_headers(8))
        .expect("both are in range")
}

/// The verdict on `bytes`, which comes with the byte that decides it and stays.
fn verdict_however_cut<'a, V: PartialEq + Debug>(
    bytes: &'a [u8],
    judge: impl Fn(&'a [u8]) -> Option<V>,
) -> Option<V> {
    let whole = judge(bytes);
    for length in 0..bytes.len() {
        let part = judge(&bytes[..length]);
        assert!(part.is_none() || part == whole, "{part:?} of the first {length} bytes, {whole:?} of all");
    }
    whole
}

// Requests ------------------------------------------------------------------------------------------------------

fn check_request(bytes: &[u8]) {
    let limits = limits();
    let verdict = verdict_however_cut(bytes, |bytes| match parse_request(bytes, &limits) {
        Ok(Parsed::Incomplete) => None,
        Ok(Parsed::Complete { head, length }) => Some(Ok((head, length))),
        Err(error) => Some(Err(error)),
    });
    match verdict {
        None => assert!(bytes.len() < limits.max_head_bytes()),
        Some(Ok((head, length))) => {
            assert!(length <= limits.max_head_bytes() && head.headers.0.len() <= limits.max_headers());
            let lines = Lines::read(&bytes[..length]).expect("what was accepted is a head");
            check_head(&head, &lines);
            check_upgrade(&head, &lines);
        }
        Some(Err(error)) => {
            assert!((400..=505).contains(&error.status()));
            assert_is_printable(&error.to_string());
        }
    }
}

/// RFC 9112 §3.
pub(crate) fn check_head(head: &RequestHead<'_>, lines: &Lines<'_>) {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    assert!(is_token(head.method.as_bytes()));
    assert!(!head.target.is_empty() && !head.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    assert_eq!(format!("{} {} {version}", head.method, head.target).as_bytes(), lines.first);
    lines.assert_are(&head.headers);
    if head.version == Version::Http11 {
        assert_eq!(lines.values("host").len(), 1);
    }
    assert!(lines.values("host").into_iter().all(is_host));
}

fn check_upgrade(head: &RequestHead<'_>, lines: &Lines<'_>) {
    let outcome = accept_upgrade(head, &SUBPROTOCOLS);
    assert_eq!(
        outcome.is_ok(),
        is_valid_handshake(lines) && is_resource(head.target),
        "{outcome:?} of {head:?}"
    );
    match outcome {
        Ok(accepted) => {
            assert!(is_upgrade(head));
            let accepted = accepted.agree_deflate(head, SmallWindows::Decline);
            let mut response = Vec::new();
            accepted.write_response(&mut response);
            check_answer(lines, accepted.subprotocol(), accepted.deflate().is_some(), &response);
        }
        Err(error) => {
            assert!((400..=505).contains(&error.status()));
            assert_is_printable(&error.to_string());
        }
    }
}

/// RFC 6455 §4.2.1.
fn is_valid_handshake(lines: &Lines<'_>) -> bool {
    let is_list_of_tokens = |name| {
        let elements = lines.elements(name);
        !elements.is_empty() && elements.iter().all(|element| is_token(element))
    };
    lines.first.starts_with(b"GET ")
        && lines.first.ends_with(b" HTTP/1.1")
        && lines.lists("upgrade", "websocket")
        && lines.lists("connection", "upgrade")
        && lines.values("sec-websocket-version") == [b"13"]
        && matches!(lines.values("sec-websocket-key")[..], [key] if nonce(key).is_some())
        && (lines.values("sec-websocket-protocol").is_empty() || is_list_of_tokens("sec-websocket-protocol"))
        && lines.joined("sec-websocket-extensions").is_none_or(|value| extensions::read(&value).is_some())
}

/// RFC 6455 §4.2.2, and that our client understands it.
fn check_answer(request: &Lines<'_>, agreed: Option<&str>, deflate: bool, response: &[u8]) {
    let key = request.values("sec-websocket-key")[0];
    let offered = request.elements("sec-websocket-protocol");
    let known = |offer: &Vec<u8>| SUBPROTOCOLS.into_iter().find(|known| known.as_bytes() == offer);
    assert_eq!(agreed, offered.iter().find_map(known));

    let lines = Lines::read(response).expect("an answer is a head");
    assert_eq!(lines.first, b"HTTP/1.1 101 Switching Protocols");
    assert_eq!(lines.values("upgrade"), [b"websocket"]);
    assert_eq!(lines.values("connection"), [b"Upgrade"]);
    assert_eq!(lines.values("sec-websocket-accept"), [accept_value(key)]);
    assert_eq!(lines.values("sec-websocket-protocol"), Vec::from_iter(agreed.map(str::as_bytes)));

    let extensions = request.joined("sec-websocket-extensions");
    let offers = extensions.and_then(|value| extensions::read(&value)).unwrap_or_default();
    let agreement = extensions::agreement(&offers, false);
    assert_eq!(deflate, agreement.is_some());
    let answers = Vec::from_iter(agreement.map(Agreement::answer));
    assert_eq!(
        lines.values("sec-websocket-extensions"),
        Vec::from_iter(answers.iter().map(String::as_bytes))
    );

    let nonce = nonce(key).expect("it was accepted");
    let offered: Vec<&str> = offered.iter().map(|offer| str::from_utf8(offer).expect("a token")).collect();
    let client = ClientHandshake { key: nonce, subprotocols: &offered, ..client() };
    let opened = client.verify(response, &Limits::default());
    // Four bits of the last character mean nothing; our client leaves them out, and others need not.
    let is_canonical = matches!(key[21], b'A' | b'Q' | b'g' | b'w');
    match opened {
        Ok(Some((opened, length))) => {
            assert_eq!((opened.subprotocol, opened.deflate, length), (agreed, deflate, response.len()));
        }
        other => assert!(!is_canonical, "{other:?}"),
    }
}

/// What 24 characters say in base64 (RFC 4648 §4) if it is 16 bytes.
fn nonce(key: &[u8]) -> Option<[u8; 16]> {
    let characters = key.strip_suffix(b"==").filter(|characters| characters.len() == 22)?;
    let mut bits = 0u128;
    for (index, character) in characters.iter().enumerate() {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = if index < 21 { bits << 6 | u128::from(six) } else { bits << 2 | u128::from(six >> 4) };
    }
    Some(bits.to_be_bytes())
}

// Responses -----------------------------------------------------------------------------------------------------

fn client() -> ClientHandshake<'static> {
    ClientHandshake {
        host: "localhost",
        target: "/",
        key: KEY,
        subprotocols: &SUBPROTOCOLS,
        origin: None,
        deflate: true,
        headers: &[],
    }
}

fn check_response(bytes: &[u8]) {
    let limits = limits();
    let verdict = verdict_however_cut(bytes, |bytes| match client().verify(bytes, &limits) {
        Ok(None) => None,
        Ok(Some(opened)) => Some(Ok(opened)),
        // It quotes as much of the body as has arrived.
        Err(Unopened::Refused { status, reason, detail }) => {
            assert_is_printable(&format!("{reason} {detail}"));
            Some(Err(Unopened::Refused { status, reason, detail: String::new() }))
        }
        Err(error) => Some(Err(error)),
    });
    match verdict {
        None => assert!(bytes.len() < limits.max_head_bytes()),
        Some(Ok((opened, length))) => {
            let lines = Lines::read(&bytes[..length]).expect("what was accepted is a head");
            assert!(opens(&lines), "opened by {lines:?}");
            let chosen = lines.values("sec-websocket-protocol");
            assert_eq!(chosen, Vec::from_iter(opened.subprotocol.map(str::as_bytes)));
            assert_eq!(opened.deflate, lines.joined("sec-websocket-extensions").is_some());
        }
        Some(Err(error)) => {
            assert_is_printable(&error.to_string());
            let is_about_http = matches!(error, Unopened::Http(_));
            let head = (1..=bytes.len()).find_map(|length| Lines::read(&bytes[..length]));
            assert!(is_about_http || head.is_none_or(|lines| !opens(&lines)), "{error:?}");
        }
    }
}

/// RFC 6455 §4.1, what a client has to check.
fn opens(lines: &Lines<'_>) -> bool {
    let is_101 = lines.first == b"HTTP/1.1 101" || lines.first.starts_with(b"HTTP/1.1 101 ");
    let chosen = lines.values("sec-websocket-protocol");
    is_101
        && lines.joined("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
        && lines.lists("connection", "upgrade")
        && lines.values("sec-websocket-accept") == [ACCEPT]
        && match lines.values("sec-websocket-extensions")[..] {
            [] => true,
            [value] => extensions::is_answer(value),
            _ => false,
        }
        && (chosen.is_empty()
            || matches!(chosen[..], [one] if SUBPROTOCOLS.iter().any(|offer| offer.as_bytes() == one)))
}

/// What peers send goes to logs and terminals only with nothing in it that acts there, and not at any length.
fn assert_is_printable(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 1500, "{} bytes: {text}", text.len());
}
