//! What a frame header may say on this connection at this moment. Everything that can be refused from a
//! header is refused here, before any payload is accepted.

use super::Side;
use crate::codes::Opcode;
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, MAX_CONTROL_PAYLOAD, RSV1};
use crate::limits::{Limits, longest_deflated};

/// What the next header is held against.
pub(super) struct Rules<'l> {
    pub(super) side: Side,
    pub(super) limits: &'l Limits,
    /// The fragmented message that is open.
    pub(super) message: Option<MessageSoFar>,
    /// permessage-deflate was agreed on.
    pub(super) deflate: bool,
}

/// How much of a fragmented message has arrived.
#[derive(Clone, Copy)]
pub(super) struct MessageSoFar {
    pub(super) bytes: u64,
    pub(super) frames: u32,
    pub(super) is_deflated: bool,
}

impl Rules<'_> {
    /// The header that `bytes` begin with and its length, or `None` while it is incomplete. The verdict does
    /// not depend on how the bytes were cut.
    // Inlined down to the header's bits: a header handed over in memory stalls on its own stores, which took
    // three times as long as parsing it.
    #[inline]
    pub(super) fn read_header(&self, bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        // Every letter sets a reserved bit, so only bytes that will be refused are looked at twice.
        if let [b'A'..=b'Z', ..] = bytes {
            match http_start(bytes) {
                HttpStart::No => {}
                HttpStart::Perhaps => return Ok(None),
                HttpStart::Yes(start) => return Err(ProtocolError::HttpAfterUpgrade { start }),
            }
        }
        let Some((header, length)) = FrameHeader::parse(bytes)? else { return Ok(None) };
        self.check(&header)?;
        Ok(Some((header, length)))
    }

    #[inline]
    fn check(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        self.check_reserved_bits(header)?;
        match (self.side, header.mask) {
            // RFC 6455 §5.1: a server MUST close the connection upon receiving a frame that is not masked.
            (Side::Server, None) => return Err(ProtocolError::UnmaskedFrame),
            // RFC 6455 §5.1: a client MUST close a connection if it detects a masked frame.
            (Side::Client, Some(_)) => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        if header.opcode.is_control() { check_control(header) } else { self.check_data(header) }
    }

    /// RFC 6455 §5.2: MUST be 0 unless an extension is negotiated that defines meanings for non-zero values.
    /// permessage-deflate gives RSV1 one, on the first frame of a message (RFC 7692 §6.1).
    fn check_reserved_bits(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        if header.rsv == 0 {
            return Ok(());
        }
        let is_masked_rightly = header.mask.is_some() == (self.side == Side::Server);
        let begins_message = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        match (header.rsv, self.deflate) {
            (RSV1, true) if begins_message => Ok(()),
            (RSV1, true) => Err(ProtocolError::MisplacedCompressedBit { opcode: header.opcode }),
            (RSV1, false) if begins_message && is_masked_rightly => {
                Err(ProtocolError::CompressedWithoutNegotiation)
            }
            (rsv, _) => Err(ProtocolError::ReservedBits { rsv }),
        }
    }

    #[inline]
    fn check_data(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        // RFC 6455 §5.4: fragments of one message are not interleaved with those of another.
        let so_far = match (self.message, header.opcode) {
            (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(so_far), Opcode::Continuation) => so_far,
            (Some(_), opcode) => return Err(ProtocolError::InterleavedMessage { opcode }),
            (None, _) => MessageSoFar { bytes: 0, frames: 0, is_deflated: header.rsv == RSV1 },
        };
        let limits = self.limits;
        if is_over(header.payload_len, limits.max_frame_bytes(), so_far.is_deflated) {
            let limit = limits.max_frame_bytes();
            return Err(ProtocolError::FrameTooBig { length: header.payload_len, limit });
        }
        // Neither summand has more than 63 bits.
        let length = so_far.bytes + header.payload_len;
        let limit = limits.max_message_bytes() as u64;
        if is_over(length, limit, so_far.is_deflated) {
            return Err(ProtocolError::MessageTooBig { length, limit });
        }
        if so_far.frames >= limits.max_fragments() {
            return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments() });
        }
        Ok(())
    }
}

#[inline]
fn is_over(length: u64, limit: u64, is_deflated: bool) -> bool {
    length > limit && (!is_deflated || length > longest_deflated(limit))
}

/// RFC 6455 §5.5: a payload of 125 bytes or less, and not fragmented.
fn check_control(header: &FrameHeader) -> Result<(), ProtocolError> {
    let &FrameHeader { fin, opcode, payload_len: length, .. } = header;
    if length > MAX_CONTROL_PAYLOAD as u64 {
        return Err(ProtocolError::ControlTooLong { opcode, length });
    }
    if !fin {
        return Err(ProtocolError::FragmentedControl { opcode });
    }
    Ok(())
}

enum HttpStart {
    No,
    Perhaps,
    Yes([u8; 4]),
}

/// Whether an HTTP message begins here: its first four bytes tell.
fn http_start(bytes: &[u8]) -> HttpStart {
    const STARTS: [&[u8; 4]; 10] =
        [b"HTTP", b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC"];
    let seen = &bytes[..bytes.len().min(4)];
    match STARTS.into_iter().find(|start| start.starts_with(seen)) {
        Some(start) if seen.len() == start.len() => HttpStart::Yes(*start),
        Some(_) => HttpStart::Perhaps,
        None => HttpStart::No,
    }
}
