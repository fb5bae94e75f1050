//! Frames as a peer puts them on the wire, and what a connection makes of them.
//!
//! The frame writer here is not the crate's own and stays naive: what a test expects must not come from the
//! code it tests.

use corecast_protocol::{CloseCode, Connection, Event, Input, Limits, MessageKind, ProtocolError, Side};

/// The masking key of the examples in RFC 6455 §5.7.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// First bytes of frames: FIN and opcode (RFC 6455 §5.2).
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;
/// The same without FIN: a message begins, goes on; and with FIN: it ends.
pub const TEXT_BEGINS: u8 = 0x01;
pub const BINARY_BEGINS: u8 = 0x02;
pub const CONTINUES: u8 = 0x00;
pub const ENDS: u8 = 0x80;

/// A frame on its way to `receiver`: masked with [`KEY`] towards a server, bare towards a client (RFC 6455
/// §5.1).
pub fn frame_to(receiver: Side, first_byte: u8, payload: &[u8]) -> Vec<u8> {
    frame(first_byte, payload, key_towards(receiver))
}

/// The header of such a frame alone, for a payload of `declared_bytes` that need never come.
pub fn header_to(receiver: Side, first_byte: u8, declared_bytes: u64) -> Vec<u8> {
    header(first_byte, declared_bytes, key_towards(receiver))
}

/// A whole frame, masked if there is a key (RFC 6455 §5.3).
pub fn frame(first_byte: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = header(first_byte, payload.len() as u64, key);
    let key = key.unwrap_or([0; 4]);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    bytes
}

/// A frame header with the shortest form of its length (RFC 6455 §5.2).
pub fn header(first_byte: u8, declared_bytes: u64, key: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first_byte];
    match declared_bytes {
        0..=125 => bytes.push(mask_bit | declared_bytes as u8),
        126..=65535 => {
            bytes.push(mask_bit | 126);
            bytes.extend((declared_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend(declared_bytes.to_be_bytes());
        }
    }
    bytes.extend(key.into_iter().flatten());
    bytes
}

/// The payload of a Close frame (RFC 6455 §5.5.1).
pub fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

fn key_towards(receiver: Side) -> Option<[u8; 4]> {
    match receiver {
        Side::Server => Some(KEY),
        Side::Client => None,
    }
}

/// An event with its bytes taken out of the input, so that it can be kept and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Deflated(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Event<'_>> for Seen {
    /// Panics where the crate hands out text that is not UTF-8: that would be its broken promise (RFC 6455
    /// §8.1).
    fn from(event: Event<'_>) -> Self {
        let text = |bytes: &[u8]| str::from_utf8(bytes).expect("text handed out is UTF-8").to_owned();
        match event {
            Event::Message { kind: MessageKind::Text, payload } => Self::Text(text(&payload)),
            Event::Message { kind: MessageKind::Binary, payload } => Self::Binary(payload.to_vec()),
            Event::Deflated { kind, payload } => Self::Deflated(kind, payload.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong(payload) => Self::Pong(payload.to_vec()),
            Event::Close(body) => Self::Close(body.map(|(CloseCode(code), reason)| (code, text(&reason)))),
        }
    }
}

/// A connection, everything it has reported, and the error it failed with.
#[derive(Debug)]
pub struct Receiver {
    pub connection: Connection,
    pub limits: Limits,
    pub seen: Vec<Seen>,
    pub error: Option<ProtocolError>,
}

impl Receiver {
    pub fn new(side: Side) -> Self {
        Self::with_limits(side, Limits::default())
    }

    pub fn with_limits(side: Side, limits: Limits) -> Self {
        Self { connection: Connection::new(side), limits, seen: Vec::new(), error: None }
    }

    /// One read's worth of bytes, polled dry. What every caller may rely on is asserted here: each event uses
    /// up input, input is used up, and a failed connection stays failed in the same way.
    pub fn hear(&mut self, bytes: &[u8]) -> &mut Self {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            let before = input.remaining();
            match self.connection.poll_event(&mut input, &self.limits) {
                Ok(Some(event)) => {
                    assert!(self.error.is_none(), "an event after {:?}", self.error);
                    self.seen.push(event.into());
                    assert!(input.remaining() < before, "an event without input");
                }
                Ok(None) => {
                    assert!(self.error.is_none(), "no longer failed after {:?}", self.error);
                    assert!(input.is_empty(), "{} bytes left without an event", input.remaining());
                    return self;
                }
                Err(error) => {
                    assert_eq!(*self.error.get_or_insert(error), error, "another error than the first");
                    let again = self
                        .connection
                        .poll_event(&mut input, &self.limits)
                        .map(|event| event.map(Seen::from));
                    assert_eq!(again, Err(error), "another outcome of the next call");
                    assert!(input.is_empty(), "{} bytes kept for a failed connection", input.remaining());
                    return self;
                }
            }
        }
    }

    /// The bytes in pieces of at most `piece_bytes`.
    pub fn hear_in_pieces(&mut self, bytes: &[u8], piece_bytes: usize) -> &mut Self {
        for piece in bytes.chunks(piece_bytes) {
            self.hear(piece);
        }
        self
    }

    /// The close code of the failure, if it failed.
    pub fn failed_with(&self) -> Option<u16> {
        self.error.as_ref().map(|error| error.close_code().0)
    }
}

/// Runs `check` on connections that heard `bytes` whole, in two pieces cut at every byte, and byte by byte.
pub fn however_split(side: Side, limits: Limits, bytes: &[u8], check: impl Fn(&Receiver, &str)) {
    check(Receiver::with_limits(side, limits).hear(bytes), "whole");
    for cut in 1..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        check(Receiver::with_limits(side, limits).hear(head).hear(tail), &format!("cut before byte {cut}"));
    }
    check(Receiver::with_limits(side, limits).hear_in_pieces(bytes, 1), "byte by byte");
}

/// Asserts that `bytes` are seen as exactly these events, however they are split, and that no memory is kept.
pub fn assert_sees(side: Side, bytes: &[u8], expected: &[Seen]) {
    however_split(side, Limits::default(), bytes, |receiver, how| {
        assert_eq!(receiver.seen, expected, "{side:?}, {how}");
        assert_eq!(receiver.error, None, "{side:?}, {how}");
        assert_eq!(
            receiver.connection.buffered_bytes(),
            0,
            "{side:?}, {how}: bytes kept after the last event"
        );
    });
}

/// Asserts that `bytes` show no event and fail the connection (RFC 6455 §7.1.7) with this close code and a
/// reference to this section, however they are split.
pub fn assert_fails(side: Side, bytes: &[u8], code: u16, section: &str) {
    assert_fails_after(side, &[], bytes, code, section);
}

/// The same where some events come before the failure.
pub fn assert_fails_after(side: Side, expected: &[Seen], bytes: &[u8], code: u16, section: &str) {
    however_split(side, Limits::default(), bytes, |receiver, how| {
        assert_eq!(receiver.seen, expected, "{side:?}, {how}, {bytes:02x?}");
        assert_eq!(receiver.failed_with(), Some(code), "{side:?}, {how}, {bytes:02x?}: {:?}", receiver.error);
        let named = receiver.error.as_ref().map_or("", |error| error.section());
        assert!(
            named.starts_with(&format!("RFC 6455 §{section}")),
            "{side:?}, {how}, {bytes:02x?}: {:?} names {named}, the rule is in §{section}",
            receiver.error,
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 §5.7 holds the writer above to the standard's own bytes.
    #[test]
    fn frames_are_those_of_the_standard() {
        assert_eq!(frame_to(Side::Client, TEXT, b"Hello"), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(
            frame_to(Side::Server, TEXT, b"Hello"),
            [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        );
        assert_eq!(header_to(Side::Client, BINARY, 256), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(header_to(Side::Client, BINARY, 65536), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
