//! One WebSocket connection after its handshake: bytes in, events out (RFC 6455 §5, §6.2, §7).
//!
//! A frame that lies wholly inside the input is unmasked and handed out in place: no copy, no allocation.
//! Only what is incomplete when the input ends is kept, in one box that exists for as long as something is
//! incomplete.

mod assembly;
mod event;
mod rules;
#[cfg(test)]
mod tests;

pub use event::{Event, Input, Payload};

use crate::codes::{CloseCode, MessageKind, Opcode};
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, RSV1};
use crate::limits::Limits;
use crate::mask::apply_mask;
use crate::utf8::Utf8Validator;
use assembly::Assembly;
use rules::Rules;

/// Which end we are: a server takes masked frames only, a client unmasked ones only (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Server,
    Client,
}

/// The receiving half of a connection, and what is known about closing.
///
/// Call [`Self::poll_event`] with each piece of input until it gives `None`; it never waits and never sends.
/// What is sent needs no state here, except that [`Self::mark_close_sent`] records our Close frame.
///
/// ```
/// use corecast_protocol::frame::{encode_close, encode_frame};
/// use corecast_protocol::{Connection, Event, Input, Limits, Opcode, Side};
///
/// /// Answers what has arrived; `false` once nothing more is to be read.
/// fn handle(connection: &mut Connection, received: &mut [u8], limits: &Limits, out: &mut Vec<u8>) -> bool {
///     let mut input = Input::new(received);
///     loop {
///         match connection.poll_event(&mut input, limits) {
///             Ok(Some(Event::Message { kind, payload })) => encode_frame(out, kind.opcode(), &payload, None),
///             Ok(Some(Event::Ping(payload))) => encode_frame(out, Opcode::Pong, &payload, None),
///             Ok(Some(Event::Deflated { .. })) => unreachable!("no compression was agreed on"),
///             Ok(Some(Event::Pong(_))) => {}
///             // RFC 6455 §5.5.1: the answer repeats the code.
///             Ok(Some(Event::Close(None))) => encode_frame(out, Opcode::Close, &[], None),
///             Ok(Some(Event::Close(Some((code, _))))) => encode_close(out, code, "", None),
///             Ok(None) => return !connection.close_received(),
///             Err(error) => {
///                 encode_close(out, error.close_code(), &error.reason(), None);
///                 return false;
///             }
///         }
///     }
/// }
///
/// let mut connection = Connection::new(Side::Server);
/// let mut received = vec![0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
/// let mut out = Vec::new();
/// assert!(handle(&mut connection, &mut received, &Limits::default(), &mut out));
/// assert_eq!(out, b"\x81\x05Hello");
/// ```
#[derive(Debug)]
pub struct Connection {
    state: State,
    side: Side,
    deflate: bool,
    close_sent: bool,
}

// Memory for a million idle connections is counted in these bytes.
const _: () = assert!(size_of::<Connection>() <= 24);

#[derive(Debug)]
enum State {
    /// Between messages, with nothing kept.
    Idle,
    /// A header, a frame or a message is incomplete.
    Incomplete(Box<Assembly>),
    /// RFC 6455 §7.1.7: a failed connection stays failed.
    Failed(Box<ProtocolError>),
    /// RFC 6455 §5.5.1: nothing follows a Close frame.
    CloseReceived,
}

impl Connection {
    /// A connection right after its handshake.
    pub const fn new(side: Side) -> Self {
        Self { state: State::Idle, side, deflate: false, close_sent: false }
    }

    /// The same, and whether permessage-deflate was agreed on: messages may come compressed then.
    #[must_use]
    pub fn with_deflate(self, deflate: bool) -> Self {
        Self { deflate, ..self }
    }

    /// Messages may come compressed, and may be sent so.
    pub const fn has_deflate(&self) -> bool {
        self.deflate
    }

    /// The next event out of `input`; `None` when all of `input` is consumed. What is incomplete then is kept
    /// inside.
    ///
    /// After an error nothing more is parsed: the same error comes again and the input is discarded (RFC 6455
    /// §7.1.7). Likewise after a Close frame, but with `None` (RFC 6455 §5.5.1).
    #[inline]
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let result = match &mut self.state {
            State::Idle => self.poll_idle(input, limits),
            State::Incomplete(assembly) => assembly.poll_event((self.side, self.deflate), input, limits),
            State::Failed(error) => {
                input.discard();
                return Err(**error);
            }
            State::CloseReceived => {
                input.discard();
                return Ok(None);
            }
        };
        match &result {
            Err(error) => self.state = State::Failed(Box::new(*error)),
            Ok(Some(Event::Close(_))) => self.state = State::CloseReceived,
            Ok(_) => self.release_if_idle(),
        }
        result
    }

    /// Heap bytes that this connection holds for incomplete input. The caller bounds their sum over
    /// connections.
    pub fn buffered_bytes(&self) -> usize {
        match &self.state {
            State::Incomplete(assembly) => assembly.heap_bytes(),
            State::Idle | State::Failed(_) | State::CloseReceived => 0,
        }
    }

    /// A frame or a fragmented message is incomplete: an end of the stream now cuts it short.
    pub const fn is_mid_message(&self) -> bool {
        matches!(self.state, State::Incomplete(_))
    }

    /// The peer's Close frame has arrived.
    pub const fn close_received(&self) -> bool {
        matches!(self.state, State::CloseReceived)
    }

    pub const fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Our Close frame is on its way: no data may follow it (RFC 6455 §5.5.1). Pings are still to be answered until the
    /// peer's Close has come (§5.5.2).
    pub const fn mark_close_sent(&mut self) {
        self.close_sent = true;
    }

    /// Between messages: most frames lie wholly in the input and never touch the heap.
    #[inline]
    fn poll_idle<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        if input.is_empty() {
            return Ok(None);
        }
        let rules = Rules { side: self.side, limits, message: None, deflate: self.deflate };
        if let Some((header, length)) = rules.read_header(input.bytes())?
            && header.fin
            && header.payload_len <= (input.remaining() - length) as u64
        {
            input.take(length);
            let payload = input.take(header.payload_len as usize);
            return whole_frame_event(&header, payload).map(Some);
        }
        let mut assembly = Box::<Assembly>::default();
        let result = assembly.poll_event((self.side, self.deflate), input, limits);
        self.state = State::Incomplete(assembly);
        result
    }

    fn release_if_idle(&mut self) {
        if let State::Incomplete(assembly) = &self.state
            && assembly.is_empty()
        {
            self.state = State::Idle;
        }
    }
}

/// The event of a frame that is no fragment and lies wholly in the input.
#[inline]
fn whole_frame_event<'a>(header: &FrameHeader, payload: &'a mut [u8]) -> Result<Event<'a>, ProtocolError> {
    let is_known_ascii = header.mask.is_some_and(|key| apply_mask(payload, key, 0));
    if header.rsv == RSV1 {
        let kind = if header.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
        return Ok(Event::Deflated { kind, payload: Payload::InPlace(payload) });
    }
    let kind = match header.opcode {
        Opcode::Text => {
            if !is_known_ascii {
                check_text(payload)?;
            }
            MessageKind::Text
        }
        Opcode::Binary => MessageKind::Binary,
        Opcode::Close | Opcode::Ping | Opcode::Pong => {
            return control_event(header.opcode, Payload::InPlace(payload));
        }
        Opcode::Continuation => unreachable!("no message is open, so the rules refuse a continuation"),
    };
    Ok(Event::Message { kind, payload: Payload::InPlace(payload) })
}

pub(crate) fn check_text(text: &[u8]) -> Result<(), ProtocolError> {
    let mut validator = Utf8Validator::new();
    validator.feed(text).map_err(|error| ProtocolError::InvalidUtf8 { position: error.position as u64 })?;
    validator.finish().map_err(|_| ProtocolError::TruncatedUtf8 { length: text.len() as u64 })
}

fn control_event(opcode: Opcode, payload: Payload<'_>) -> Result<Event<'_>, ProtocolError> {
    match opcode {
        Opcode::Ping => Ok(Event::Ping(payload)),
        Opcode::Pong => Ok(Event::Pong(payload)),
        Opcode::Close => close_event(payload),
        Opcode::Continuation | Opcode::Text | Opcode::Binary => unreachable!("{opcode} frames carry data"),
    }
}

/// RFC 6455 §5.5.1: no body, or a code of two bytes and then a reason in UTF-8.
fn close_event(payload: Payload<'_>) -> Result<Event<'_>, ProtocolError> {
    let (code, reason) = match *payload {
        [] => return Ok(Event::Close(None)),
        [_] => return Err(ProtocolError::ShortClose),
        [high, low, ref reason @ ..] => (u16::from_be_bytes([high, low]), reason),
    };
    if !CloseCode(code).may_be_received() {
        return Err(ProtocolError::InvalidCloseCode { code });
    }
    let mut validator = Utf8Validator::new();
    let position = match (validator.feed(reason), validator.finish()) {
        (Ok(()), Ok(())) => return Ok(Event::Close(Some((CloseCode(code), payload.without_first(2))))),
        (Err(error), _) => error.position,
        (Ok(()), Err(_)) => reason.len(),
    };
    Err(ProtocolError::InvalidCloseReason { position: position as u64 })
}
