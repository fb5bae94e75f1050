//! Frame headers and whole frames as bytes (RFC 6455 §5.2).
//!
//! ```text
//!  byte 0            byte 1            then                        then
//! +-+-+-+-+-------+ +-+-------------+ +-------------------------+ +-------------+ +---------
//! |F|R|R|R| opcode| |M| length 0-125| | 16 bit length, if 126   | | masking key | | payload
//! |I|S|S|S|   (4) | |A|  126 or 127 | | 64 bit length, if 127   | | if MASK (4) | |
//! |N|V|V|V|       | |S|             | |                         | |             | |
//! | |1|2|3|       | |K|             | |                         | |             | |
//! +-+-+-+-+-------+ +-+-------------+ +-------------------------+ +-------------+ +---------
//! ```

use std::ops::Deref;

use crate::codes::{CloseCode, Opcode};
use crate::error::ProtocolError;
use crate::limits::MAX_PAYLOAD_LENGTH;
use crate::mask::apply_mask;

/// The longest header: 2 bytes, a 64 bit length and a masking key.
pub const MAX_HEADER_BYTES: usize = 14;
/// The longest payload of a control frame (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// The longest reason in a Close frame: the payload less the two bytes of the code (RFC 6455 §5.5.1).
pub const MAX_CLOSE_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7F;
const LENGTH_IS_16_BIT: u8 = 126;
const LENGTH_IS_64_BIT: u8 = 127;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// This frame ends its message.
    pub fin: bool,
    /// The reserved bits: 4 is RSV1, 2 is RSV2, 1 is RSV3.
    pub rsv: u8,
    pub opcode: Opcode,
    /// The masking key, on frames from a client (RFC 6455 §5.3).
    pub mask: Option<[u8; 4]>,
    /// Payload bytes that follow, at most 2^63-1.
    pub payload_len: u64,
}

impl FrameHeader {
    /// The header that `bytes` begin with and its length in bytes, or `None` while it is incomplete.
    ///
    /// Fails on what no header may say (RFC 6455 §5.2): a reserved opcode, a length in more bytes than it needs, a
    /// length of 2^63 or more. Rules that depend on the connection are not checked here.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let (payload_len, rest) = match second & LENGTH {
            LENGTH_IS_16_BIT => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            LENGTH_IS_64_BIT => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        let (mask, rest) = if second & MASK == 0 {
            (None, rest)
        } else {
            match rest.split_first_chunk() {
                Some((key, rest)) => (Some(*key), rest),
                None => return Ok(None),
            }
        };

        let Some(opcode) = Opcode::from_u8(first & OPCODE) else {
            return Err(ProtocolError::ReservedOpcode { opcode: first & OPCODE });
        };
        if payload_len > MAX_PAYLOAD_LENGTH {
            return Err(ProtocolError::LengthTopBit { length: payload_len });
        }
        // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
        if second & LENGTH != length_field(payload_len) {
            return Err(ProtocolError::NonMinimalLength { length: payload_len });
        }
        let header = Self { fin: first & FIN != 0, rsv: (first & RSV) >> 4, opcode, mask, payload_len };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// The header as it goes on the wire.
    ///
    /// # Panics
    /// If `payload_len` is 2^63 or more, or `rsv` above 7: our own mistake.
    pub const fn encode(&self) -> HeaderBytes {
        assert!(self.payload_len <= MAX_PAYLOAD_LENGTH, "payload length has more than 63 bits");
        assert!(self.rsv <= 7, "rsv has three bits");
        let field = length_field(self.payload_len);
        let fin = if self.fin { FIN } else { 0 };
        let mask = if self.mask.is_some() { MASK } else { 0 };

        let mut header = HeaderBytes { bytes: [0; MAX_HEADER_BYTES], length: 0 };
        header.push(&[fin | self.rsv << 4 | self.opcode as u8, mask | field]);
        match field {
            LENGTH_IS_16_BIT => header.push(&(self.payload_len as u16).to_be_bytes()),
            LENGTH_IS_64_BIT => header.push(&self.payload_len.to_be_bytes()),
            _ => {}
        }
        if let Some(key) = &self.mask {
            header.push(key);
        }
        header
    }
}

/// The seven bits of byte 1 that give a payload length, or say how many bytes give it.
const fn length_field(payload_len: u64) -> u8 {
    match payload_len {
        0..126 => payload_len as u8,
        126..0x1_0000 => LENGTH_IS_16_BIT,
        _ => LENGTH_IS_64_BIT,
    }
}

/// An encoded header, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; MAX_HEADER_BYTES],
    length: u8,
}

impl HeaderBytes {
    const fn push(&mut self, bytes: &[u8]) {
        let (_, free) = self.bytes.split_at_mut(self.length as usize);
        let (target, _) = free.split_at_mut(bytes.len());
        target.copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }
}

impl Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The header of an unfragmented frame from a server: FIN set, not masked (RFC 6455 §5.1).
pub const fn server_header(opcode: Opcode, payload_len: usize) -> HeaderBytes {
    FrameHeader { fin: true, rsv: 0, opcode, mask: None, payload_len: payload_len as u64 }.encode()
}

/// Appends an unfragmented frame. A client passes a fresh, unpredictable masking key (RFC 6455 §5.3), a server `None`.
///
/// # Panics
/// If a control frame's payload is over 125 bytes: our own mistake.
pub fn encode_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    let header = FrameHeader { fin: true, rsv: 0, opcode, mask, payload_len: payload.len() as u64 };
    append_frame(out, &header, payload);
}

/// Appends a Close frame (RFC 6455 §5.5.1). The reason is cut to 123 bytes at a character boundary.
/// [`CloseCode::NO_STATUS`] gives a frame without a body, as RFC 6455 §7.1.5 reads it.
///
/// # Panics
/// If the code may not stand in a Close frame ([`CloseCode::may_be_received`]): our own mistake.
pub fn encode_close(out: &mut Vec<u8>, code: CloseCode, reason: &str, mask: Option<[u8; 4]>) {
    if code == CloseCode::NO_STATUS {
        return encode_frame(out, Opcode::Close, &[], mask);
    }
    assert!(code.may_be_received(), "close code {code} may not be sent");
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(MAX_CLOSE_REASON)];
    let mut body = [0; MAX_CONTROL_PAYLOAD];
    body[..2].copy_from_slice(&code.0.to_be_bytes());
    body[2..2 + reason.len()].copy_from_slice(reason);
    encode_frame(out, Opcode::Close, &body[..2 + reason.len()], mask);
}

/// The length in bytes, header included, of the unmasked frame that starts here; `None` while its header is incomplete.
/// Walks a log of our own frames, so nothing is checked.
pub fn server_frame_len(bytes: &[u8]) -> Option<usize> {
    let &[_, length, ref rest @ ..] = bytes else { return None };
    Some(match length & LENGTH {
        LENGTH_IS_16_BIT => 4 + usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
        LENGTH_IS_64_BIT => (u64::from_be_bytes(*rest.first_chunk()?) as usize).saturating_add(10),
        length => 2 + usize::from(length),
    })
}

/// Appends a frame with this header, masking the payload if the header says so.
pub(crate) fn append_frame(out: &mut Vec<u8>, header: &FrameHeader, payload: &[u8]) {
    assert_eq!(header.payload_len, payload.len() as u64, "the header gives another payload's length");
    assert!(
        !header.opcode.is_control() || payload.len() <= MAX_CONTROL_PAYLOAD,
        "a {} frame carries at most {MAX_CONTROL_PAYLOAD} bytes, not {}",
        header.opcode,
        payload.len()
    );
    let header_bytes = header.encode();
    out.reserve(header_bytes.len() + payload.len());
    out.extend_from_slice(&header_bytes);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = header.mask {
        apply_mask(&mut out[start..], key, 0);
    }
}
