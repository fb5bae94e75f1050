//! The receiving half, seen from outside. Streams are written here byte by byte, not with this crate's
//! encoder, and each is fed whole, cut at every position, and one byte at a time: all must give the same
//! events.

mod closing;
mod deflated;
mod examples;
mod memory;
mod pair;
mod rules;

use super::{Connection, Event, Input, Side};
use crate::codes::{MessageKind, Opcode};
use crate::error::ProtocolError;
use crate::limits::Limits;

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// An event that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Deflated(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, Vec<u8>)>),
    Failed(ProtocolError),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message { kind: MessageKind::Text, payload } => Self::Text(payload.into_vec()),
            Event::Message { kind: MessageKind::Binary, payload } => Self::Binary(payload.into_vec()),
            Event::Deflated { kind, payload } => Self::Deflated(kind, payload.into_vec()),
            Event::Ping(payload) => Self::Ping(payload.into_vec()),
            Event::Pong(payload) => Self::Pong(payload.into_vec()),
            Event::Close(None) => Self::Close(None),
            Event::Close(Some((code, reason))) => Self::Close(Some((code.0, reason.into_vec()))),
        }
    }
}

fn text(payload: impl AsRef<[u8]>) -> Seen {
    Seen::Text(payload.as_ref().to_vec())
}

fn binary(payload: impl AsRef<[u8]>) -> Seen {
    Seen::Binary(payload.as_ref().to_vec())
}

fn ping(payload: impl AsRef<[u8]>) -> Seen {
    Seen::Ping(payload.as_ref().to_vec())
}

/// Feeds one piece of input until it is used up or the connection has failed.
fn feed(connection: &mut Connection, piece: &[u8], limits: &Limits, seen: &mut Vec<Seen>) {
    let mut bytes = piece.to_vec();
    let mut input = Input::new(&mut bytes);
    loop {
        match connection.poll_event(&mut input, limits) {
            Ok(Some(event)) => seen.push(event.into()),
            Ok(None) => break,
            Err(error) => return seen.push(Seen::Failed(error)),
        }
    }
    assert!(input.is_empty(), "None means that all of the input is consumed");
}

/// Feeds pieces until the connection fails, and gives everything seen.
fn receive<'p>(
    mut connection: Connection,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Seen> {
    let mut seen = Vec::new();
    for piece in pieces {
        feed(&mut connection, piece, limits, &mut seen);
        if matches!(seen.last(), Some(Seen::Failed(_))) {
            return seen;
        }
    }
    assert!(!connection.is_mid_message(), "the streams of these tests end between messages: {seen:?}");
    assert_eq!(connection.buffered_bytes(), 0, "nothing is kept between messages");
    seen
}

/// The stream gives these events however it is cut.
fn assert_events_with(side: Side, limits: &Limits, stream: &[u8], expected: &[Seen]) {
    assert_events_of(|| Connection::new(side), limits, stream, expected);
}

fn assert_events_of(new: impl Fn() -> Connection, limits: &Limits, stream: &[u8], expected: &[Seen]) {
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        let seen = receive(new(), limits, [head, tail]);
        assert_eq!(seen, expected, "{:?}, cut at {cut} of {}", new(), stream.len());
    }
    assert_eq!(receive(new(), limits, stream.chunks(1)), expected, "{:?}, byte by byte", new());
}

fn assert_events(side: Side, stream: &[u8], expected: &[Seen]) {
    assert_events_with(side, &Limits::default(), stream, expected);
}

/// The stream fails the connection with this error and nothing before it, however it is cut.
fn assert_failing(side: Side, stream: &[u8], error: ProtocolError) {
    assert_events(side, stream, &[Seen::Failed(error)]);
}

/// A frame as this side receives it: masked at a server, plain at a client. `first` is FIN, RSV and opcode;
/// `payload` has at most 125 bytes.
fn frame_to(side: Side, first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    assert!(payload.len() <= 125, "longer frames are written out in their tests");
    match side {
        Side::Client => [&[first, payload.len() as u8], payload].concat(),
        Side::Server => [&[first, 0x80 | payload.len() as u8], &KEY[..], &masked(payload)].concat(),
    }
}

fn masked(payload: &[u8]) -> Vec<u8> {
    payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

const BOTH_SIDES: [Side; 2] = [Side::Server, Side::Client];
