//! What is incomplete when the input ends: part of a header, of a frame, of a fragmented message.

use super::event::{Event, Input, Payload};
use super::rules::{MessageSoFar, Rules};
use super::{Side, control_event};
use crate::codes::{MessageKind, Opcode};
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, MAX_HEADER_BYTES, RSV1};
use crate::limits::Limits;
use crate::mask::apply_mask;
use crate::utf8::Utf8Validator;

/// Joins pieces of input. Payload bytes are unmasked, checked and appended as they arrive, and room is made
/// for them only then: a declared length reserves nothing.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    header: PartialHeader,
    frame: Option<OpenFrame>,
    /// Payload of an incomplete control frame, at most 125 bytes. Apart from the message, because control
    /// frames come between fragments.
    control: Vec<u8>,
    message: Option<OpenMessage>,
}

// The fixed part of what an incomplete message costs; `Limits` states it.
const _: () = assert!(size_of::<Assembly>() <= 160);

impl Assembly {
    /// As [`super::Connection::poll_event`].
    pub(super) fn poll_event<'a>(
        &mut self,
        agreed: (Side, bool),
        input: &mut Input<'a>,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.begin_frame(agreed, input, limits)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let is_new = frame.received == 0;
            let payload = frame.take_payload(input);
            let is_whole = frame.is_whole();
            let header = frame.header;
            let missing = frame.missing();
            if !is_whole {
                self.frame = Some(frame);
            }

            if header.opcode.is_control() {
                if is_whole && is_new {
                    return control_event(header.opcode, Payload::InPlace(payload)).map(Some);
                }
                self.control.extend_from_slice(payload);
                if is_whole {
                    let payload = Payload::Assembled(std::mem::take(&mut self.control));
                    return control_event(header.opcode, payload).map(Some);
                }
            } else {
                let message = self.message.as_mut().expect("a data frame opens a message or continues one");
                // Room is made for what may still come at most; the rules hold every frame against the limit.
                let longest = if header.fin {
                    message.bytes.len() + payload.len() + missing as usize
                } else {
                    limits.max_message_bytes()
                };
                message.append(payload, longest)?;
                // RFC 6455 §6.2: what follows belongs to a new message.
                if is_whole && header.fin {
                    let message = self.message.take().expect("appended to above");
                    return message.finish().map(Some);
                }
            }
            if !is_whole {
                return Ok(None);
            }
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.header.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.bytes.capacity());
        size_of::<Self>() + self.control.capacity() + message
    }

    fn begin_frame(
        &mut self,
        (side, deflate): (Side, bool),
        input: &mut Input<'_>,
        limits: &Limits,
    ) -> Result<Option<OpenFrame>, ProtocolError> {
        let rules = Rules { side, limits, message: self.message.as_ref().map(OpenMessage::so_far), deflate };
        let Some(header) = self.header.read(&rules, input)? else { return Ok(None) };
        let is_deflated = header.rsv == RSV1;
        // RFC 6455 §5.4, §6.2: the type of a message is that of its first frame.
        match header.opcode {
            Opcode::Text => self.message = Some(OpenMessage::new(MessageKind::Text, is_deflated)),
            Opcode::Binary => self.message = Some(OpenMessage::new(MessageKind::Binary, is_deflated)),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        if !header.opcode.is_control()
            && let Some(message) = &mut self.message
        {
            message.frames += 1;
        }
        Ok(Some(OpenFrame { header, received: 0 }))
    }
}

/// The bytes of a header that ended in the middle.
#[derive(Debug, Default)]
struct PartialHeader {
    bytes: [u8; MAX_HEADER_BYTES],
    length: u8,
}

impl PartialHeader {
    /// Completes the header from `input`, or keeps all of `input` towards it. Takes nothing if a rule is
    /// broken.
    fn read(
        &mut self,
        rules: &Rules<'_>,
        input: &mut Input<'_>,
    ) -> Result<Option<FrameHeader>, ProtocolError> {
        let kept = usize::from(self.length);
        let added = input.remaining().min(MAX_HEADER_BYTES - kept);
        self.bytes[kept..kept + added].copy_from_slice(&input.bytes()[..added]);
        if let Some((header, length)) = rules.read_header(&self.bytes[..kept + added])? {
            self.length = 0;
            input.take(length - kept);
            return Ok(Some(header));
        }
        self.length += added as u8;
        input.take(added);
        Ok(None)
    }
}

/// A frame whose header is known. Invariant: `received <= header.payload_len`.
#[derive(Debug)]
struct OpenFrame {
    header: FrameHeader,
    received: u64,
}

impl OpenFrame {
    /// Takes what `input` has of this frame's payload and unmasks it.
    fn take_payload<'a>(&mut self, input: &mut Input<'a>) -> &'a mut [u8] {
        let payload = input.take(usize::try_from(self.missing()).unwrap_or(usize::MAX));
        if let Some(key) = self.header.mask {
            // RFC 6455 §5.3: the key repeats every four bytes of the payload.
            apply_mask(payload, key, (self.received % 4) as usize);
        }
        self.received += payload.len() as u64;
        payload
    }

    const fn missing(&self) -> u64 {
        self.header.payload_len - self.received
    }

    const fn is_whole(&self) -> bool {
        self.missing() == 0
    }
}

/// A message of which at least one header has arrived.
#[derive(Debug)]
struct OpenMessage {
    kind: MessageKind,
    is_deflated: bool,
    utf8: Utf8Validator,
    frames: u32,
    bytes: Vec<u8>,
}

impl OpenMessage {
    const fn new(kind: MessageKind, is_deflated: bool) -> Self {
        Self { kind, is_deflated, utf8: Utf8Validator::new(), frames: 0, bytes: Vec::new() }
    }

    const fn so_far(&self) -> MessageSoFar {
        MessageSoFar { bytes: self.bytes.len() as u64, frames: self.frames, is_deflated: self.is_deflated }
    }

    /// `longest`: how many bytes the whole message can have.
    fn append(&mut self, payload: &[u8], longest: usize) -> Result<(), ProtocolError> {
        let before = self.bytes.len();
        if self.kind == MessageKind::Text && !self.is_deflated {
            self.utf8
                .feed(payload)
                .map_err(|error| ProtocolError::InvalidUtf8 { position: (before + error.position) as u64 })?;
        }
        let needed = before + payload.len();
        if needed > self.bytes.capacity() {
            // Doubling keeps the copying linear; the message's end bounds it.
            let room = (self.bytes.capacity() * 2).min(longest).max(needed);
            self.bytes.reserve_exact(room - before);
        }
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    fn finish<'a>(self) -> Result<Event<'a>, ProtocolError> {
        if self.utf8.finish().is_err() {
            return Err(ProtocolError::TruncatedUtf8 { length: self.bytes.len() as u64 });
        }
        let (kind, payload) = (self.kind, Payload::Assembled(self.bytes));
        Ok(if self.is_deflated {
            Event::Deflated { kind, payload }
        } else {
            Event::Message { kind, payload }
        })
    }
}
