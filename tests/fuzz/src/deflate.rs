//! permessage-deflate (RFC 7692): what any bytes inflate to, that compressing loses nothing, and what is agreed on.

use crate::extensions::{self, Agreement};
use crate::inflate::{Fault, Inflated, inflate};
use corecast_protocol::deflate::{Deflater, Inflater, MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use corecast_protocol::handshake::extensions::SmallWindows;
use corecast_protocol::handshake::server::accept_upgrade;
use corecast_protocol::http1::{Header, Headers, RequestHead, Version};
use corecast_protocol::{MessageKind, ProtocolError};

/// Some are met at once, some seldom.
const LIMITS: [usize; 4] = [0, 20, 1_000, 20_000];

/// RFC 7692 §7.2.2: what is appended before inflating.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

pub fn check(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let limit = LIMITS[usize::from(choice >> 2 & 3)];
    match choice & 3 {
        0 => check_inflating(MessageKind::Binary, bytes, limit),
        1 => check_inflating(MessageKind::Text, bytes, limit),
        2 => check_deflating(bytes, choice >> 2),
        _ => check_offer(bytes),
    }
}

// Messages ------------------------------------------------------------------------------------------------------

fn check_inflating(kind: MessageKind, payload: &[u8], limit: usize) {
    let mut inflater = Inflater::new();
    let outcome = inflater.inflate(kind, payload, limit);
    match (&outcome, expected(payload, limit)) {
        (Ok(message), Ok(expected)) => {
            assert_eq!(*message, expected.bytes);
            assert!(kind == MessageKind::Binary || str::from_utf8(message).is_ok());
            let most = [256, 4 * payload.len(), 2 * message.len() + 1].into_iter().max();
            assert!(Some(message.capacity()) <= most, "{} bytes for {}", message.capacity(), message.len());
        }
        (Err(ProtocolError::InvalidUtf8 { .. } | ProtocolError::TruncatedUtf8 { .. }), Ok(expected)) => {
            assert!(kind == MessageKind::Text && str::from_utf8(&expected.bytes).is_err());
        }
        (Err(ProtocolError::InvalidDeflate), Err(_)) => {}
        (Err(ProtocolError::InflatedTooBig { .. }), Err(Fault::TooBig)) => {}
        // What ends in the middle of a block goes unnoticed where what we append happens to end it, with nothing more to say.
        (Ok(message), Err(Fault::Unfinished)) if kind == MessageKind::Binary => {
            let ended = inflate(&[payload, &TAIL, &[0x03, 0x00]].concat(), limit);
            assert_eq!(ended.map(|ended| ended.bytes).as_ref(), Ok(message));
            let unended = inflate(&[payload, &TAIL].concat(), message.len());
            assert_eq!(unended, Err(Fault::Unfinished));
        }
        (outcome, expected) => panic!("{outcome:?}, where the oracle says {expected:?}, {payload:02x?}"),
    }
    // Whatever came before leaves no trace.
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflater.inflate(MessageKind::Text, &hello, 5).as_deref(), Ok(&b"Hello"[..]));
}

fn expected(payload: &[u8], limit: usize) -> Result<Inflated, Fault> {
    if payload.is_empty() {
        return Ok(Inflated::default());
    }
    inflate(&[payload, &TAIL].concat(), limit)
}

fn check_deflating(bytes: &[u8], choice: u8) {
    let Some((&times, bytes)) = bytes.split_first() else { return };
    let window_bits = MIN_WINDOW_BITS + choice % (MAX_WINDOW_BITS - MIN_WINDOW_BITS + 1);
    let level = 1 + times % 9;
    let mut deflater = Deflater::new(level, window_bits);
    let mut inflater = Inflater::new();
    // The second one must not lean on the first.
    for message in [bytes.repeat(1 + usize::from(times / 4)), bytes.to_vec()] {
        let mut out = b"before".to_vec();
        let is_shorter = deflater.deflate(&message, &mut out);
        let payload = out.strip_prefix(b"before").expect("what was there stays");
        assert_eq!(is_shorter, !payload.is_empty());
        assert!(payload.len() < message.len() || !is_shorter);
        if is_shorter {
            let inflated = inflater.inflate(MessageKind::Binary, payload, message.len());
            assert!(inflated.as_ref() == Ok(&message), "level {level}, window {window_bits}");
            let expected = expected(payload, message.len()).expect("it inflates");
            assert!(expected.bytes == message);
            assert!(expected.distance <= 1 << window_bits, "{} bytes back", expected.distance);
        }
    }
}

// Agreement -----------------------------------------------------------------------------------------------------

/// The bytes are the header's lines, or what could have been ones.
fn check_offer(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let of_handshake = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut headers: Vec<Header<'_>> =
        of_handshake.map(|(name, value)| Header { name, value: value.as_bytes() }).to_vec();
    headers.extend(lines.iter().map(|value| Header { name: "Sec-WebSocket-Extensions", value }));
    let head =
        RequestHead { method: "GET", target: "/", version: Version::Http11, headers: Headers(headers) };

    let offers = extensions::read(&lines.join(&b','));
    let accepted = accept_upgrade(&head, &[]);
    // White space is not the same to all: what has other than spaces and tabs never gets here from a head.
    if bytes.iter().any(|byte| b"\r\x0b\x0c".contains(byte)) {
        return;
    }
    assert_eq!(accepted.is_ok(), offers.is_some(), "{}", bytes.escape_ascii());
    let (Ok(accepted), Some(offers)) = (accepted, offers) else { return };
    for small_windows in [SmallWindows::Decline, SmallWindows::Accept] {
        let accepted = accepted.agree_deflate(&head, small_windows);
        let expected = extensions::agreement(&offers, small_windows == SmallWindows::Accept);
        assert_eq!(
            accepted.deflate().map(|deflate| deflate.window_bits()),
            expected.map(Agreement::window_bits)
        );
        let mut response = Vec::new();
        accepted.write_response(&mut response);
        let response = String::from_utf8(response).expect("an answer is ASCII");
        let answer = response.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
        assert_eq!(answer, expected.map(Agreement::answer).as_deref());
        assert!(answer.is_none_or(|answer| extensions::is_answer(answer.as_bytes())));
    }
}
