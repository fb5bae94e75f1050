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

use crate::codes::{CloseCode, MessageKind, Opcode};
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
    /// Fails on what no header may say (RFC 6455 §5.2): a reserved opcode, a length in more bytes than it
    /// needs, a length of 2^63 or more. Rules that depend on the connection are not checked here.
    #[inline]
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

        // RFC 6455 §5.2: an unknown opcode fails the connection, and the top bit of a 64 bit length MUST be 0.
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

/// Of the reserved bits: RFC 7692 §6 has RSV1 say that the message is compressed.
pub const RSV1: u8 = 4;

/// The same for a message that is compressed (RFC 7692 §6).
pub const fn deflated_server_header(kind: MessageKind, payload_len: usize) -> HeaderBytes {
    FrameHeader { fin: true, rsv: RSV1, opcode: kind.opcode(), mask: None, payload_len: payload_len as u64 }
        .encode()
}

/// Appends a compressed message as one frame (RFC 7692 §6): `payload` is what [`crate::deflate::Deflater`] made of it.
pub fn encode_deflated(out: &mut Vec<u8>, kind: MessageKind, payload: &[u8], mask: Option<[u8; 4]>) {
    let header =
        FrameHeader { fin: true, rsv: RSV1, opcode: kind.opcode(), mask, payload_len: payload.len() as u64 };
    append_frame(out, &header, payload);
}

/// Appends an unfragmented frame. A client passes a fresh, unpredictable masking key (RFC 6455 §5.3), a
/// server `None`.
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

/// The length in bytes, header included, of the unmasked frame that starts here; `None` while its header is
/// incomplete. Walks a log of our own frames, so nothing is checked.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Option<(FrameHeader, usize)> {
        FrameHeader::parse(bytes).unwrap()
    }

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    /// The headers of RFC 6455 §5.7 and the borders between the three length forms.
    fn headers() -> Vec<(FrameHeader, Vec<u8>)> {
        let plain = |opcode, payload_len| FrameHeader { fin: true, rsv: 0, opcode, mask: None, payload_len };
        vec![
            (plain(Opcode::Text, 5), vec![0x81, 0x05]),
            (
                FrameHeader { mask: Some(KEY), ..plain(Opcode::Text, 5) },
                vec![0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D],
            ),
            (FrameHeader { fin: false, ..plain(Opcode::Text, 3) }, vec![0x01, 0x03]),
            (plain(Opcode::Continuation, 2), vec![0x80, 0x02]),
            (plain(Opcode::Ping, 5), vec![0x89, 0x05]),
            (plain(Opcode::Binary, 125), vec![0x82, 0x7D]),
            (plain(Opcode::Binary, 126), vec![0x82, 0x7E, 0x00, 0x7E]),
            (plain(Opcode::Binary, 256), vec![0x82, 0x7E, 0x01, 0x00]),
            (plain(Opcode::Binary, 65535), vec![0x82, 0x7E, 0xFF, 0xFF]),
            (plain(Opcode::Binary, 65536), vec![0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]),
            (
                FrameHeader { rsv: 4, mask: Some(KEY), ..plain(Opcode::Text, i64::MAX as u64) },
                vec![0xC1, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x37, 0xFA, 0x21, 0x3D],
            ),
        ]
    }

    #[test]
    fn headers_are_encoded_as_section_5_2_says() {
        for (header, bytes) in headers() {
            assert_eq!(*header.encode(), bytes, "{header:?}");
        }
    }

    #[test]
    fn headers_are_parsed_only_when_complete_and_take_only_their_own_bytes() {
        for (header, bytes) in headers() {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes[..length]), None, "{length} bytes of {bytes:02x?}");
            }
            assert_eq!(parse(&bytes), Some((header, bytes.len())));
            let with_payload = [&bytes[..], b"Hello"].concat();
            assert_eq!(parse(&with_payload), Some((header, bytes.len())));
        }
    }

    #[test]
    fn frames_are_those_of_section_5_7() {
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Text, b"Hello", None);
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]);
        encode_frame(&mut out, Opcode::Pong, b"Hello", Some(KEY));
        assert_eq!(out[7..], [0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
    }

    #[test]
    fn server_headers_are_whole_unmasked_frames() {
        assert_eq!(*server_header(Opcode::Text, 64), [0x81, 0x40]);
        assert_eq!(*server_header(Opcode::Binary, 1024), [0x82, 0x7E, 0x04, 0x00]);
        // RFC 7692 §7.2.3.1: "Hello", compressed.
        assert_eq!(*deflated_server_header(MessageKind::Text, 7), [0xC1, 0x07]);
    }

    #[test]
    fn close_frames_carry_code_and_reason() {
        let mut out = Vec::new();
        encode_close(&mut out, CloseCode::PROTOCOL_ERROR, "bad", None);
        assert_eq!(out, b"\x88\x05\x03\xEAbad");
        out.clear();
        encode_close(&mut out, CloseCode::NORMAL, "", Some([0, 0, 0, 0]));
        assert_eq!(out, b"\x88\x82\0\0\0\0\x03\xE8");
        out.clear();
        encode_close(&mut out, CloseCode::NO_STATUS, "not sent", None);
        assert_eq!(out, b"\x88\x00");
    }

    /// RFC 6455 §5.5: at most 125 bytes. A cut character would make the reason invalid UTF-8.
    #[test]
    fn long_close_reasons_are_cut_between_characters() {
        let mut out = Vec::new();
        encode_close(&mut out, CloseCode::POLICY, &"x".repeat(124), None);
        assert_eq!(out.len(), 2 + 125);
        out.clear();
        encode_close(&mut out, CloseCode::POLICY, &format!("{}€", "x".repeat(121)), None);
        assert_eq!(out[..4], [0x88, 123, 0x03, 0xF0]);
        assert_eq!(out[4..], [b'x'; 121]);
    }

    #[test]
    #[should_panic(expected = "close code 1006 (abnormal closure) may not be sent")]
    fn a_close_code_that_may_not_be_sent_is_our_own_mistake() {
        encode_close(&mut Vec::new(), CloseCode::ABNORMAL, "", None);
    }

    #[test]
    #[should_panic(expected = "a ping frame carries at most 125 bytes, not 126")]
    fn a_control_frame_over_125_bytes_is_our_own_mistake() {
        encode_frame(&mut Vec::new(), Opcode::Ping, &[0; 126], None);
    }

    #[test]
    fn frame_lengths_are_known_from_the_header_alone() {
        let cases: [(&[u8], Option<usize>); 8] = [
            (&[], None),
            (&[0x81], None),
            (&[0x81, 0x00], Some(2)),
            (&[0x81, 0x7D], Some(127)),
            (&[0x82, 0x7E, 0x01], None),
            (&[0x82, 0x7E, 0x01, 0x00], Some(260)),
            (&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0], None),
            (&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0], Some(65_546)),
        ];
        for (bytes, length) in cases {
            assert_eq!(server_frame_len(bytes), length, "{bytes:02x?}");
        }
    }
}
