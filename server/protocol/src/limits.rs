//! Bounds on everything a peer can make us hold. A [`Limits`] value cannot be out of range.

/// Largest payload of one frame that is accepted by default, in bytes.
pub const DEFAULT_MAX_FRAME_BYTES: u64 = 512 * 1024;
/// Largest message that is accepted by default, in bytes. Half of a topic's default log, which must hold two.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 512 * 1024;
/// Frames of one message by default. Bounds floods of empty fragments, which cost CPU but never reach a size
/// limit.
pub const DEFAULT_MAX_FRAGMENTS: u32 = 16 * 1024;
/// Request or response head by default, in bytes. Cookies and tokens fit; common proxies send at most 8-16
/// KiB.
pub const DEFAULT_MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header lines of one head by default.
pub const DEFAULT_MAX_HEADERS: usize = 64;

/// The most header lines that can be allowed. Room for as many is on the stack of whoever parses a head.
pub const MAX_HEADERS: usize = 1024;

/// Smallest head limit. Anything less refuses ordinary browsers.
pub const MIN_HEAD_BYTES: usize = 512;
/// RFC 6455 §5.2: a payload length has 63 bits.
pub const MAX_PAYLOAD_LENGTH: u64 = i64::MAX as u64;

/// How long a compressed message or frame may be for a limit on plain ones. What does not shrink grows when it is compressed,
/// and many clients compress everything: compressors without memory to speak of add 1/32 and 1/128 (zlib's `deflateBound`).
/// What comes out is then held against the limit itself, by [`crate::deflate::Inflater`].
pub const fn longest_deflated(limit: u64) -> u64 {
    limit + limit / 16 + 64
}

/// What one connection may send us. Every limit is checked from the header, before any payload is accepted.
///
/// Memory of one connection while a message is incomplete: at most `max_message_bytes`, plus a sixteenth of it and 64
/// bytes if it is compressed, plus 250 bytes for an incomplete control frame, plus a fixed part of at most 160 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    max_frame_bytes: u64,
    max_message_bytes: usize,
    max_fragments: u32,
    max_head_bytes: usize,
    max_headers: usize,
}

/// A limit was set to a value that cannot work. The operator's mistake, found at start-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}, which is out of range; set it to at least {min} and at most {max}")]
pub struct LimitError {
    pub name: &'static str,
    pub value: u64,
    pub min: u64,
    pub max: u64,
}

impl Limits {
    pub const DEFAULT: Self = Self {
        max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
        max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
        max_fragments: DEFAULT_MAX_FRAGMENTS,
        max_head_bytes: DEFAULT_MAX_HEAD_BYTES,
        max_headers: DEFAULT_MAX_HEADERS,
    };

    /// Payload of one data frame, in bytes. Control frames have their own bound, 125 (RFC 6455 §5.5).
    pub const fn max_frame_bytes(&self) -> u64 {
        self.max_frame_bytes
    }

    /// Payload of one message, all fragments together, in bytes.
    pub const fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// Frames of one message.
    pub const fn max_fragments(&self) -> u32 {
        self.max_fragments
    }

    /// Request or response head up to and with its empty line, in bytes.
    pub const fn max_head_bytes(&self) -> usize {
        self.max_head_bytes
    }

    /// Header lines of one head.
    pub const fn max_headers(&self) -> usize {
        self.max_headers
    }

    /// 1 to 2^63-1 bytes.
    pub fn with_max_frame_bytes(self, bytes: u64) -> Result<Self, LimitError> {
        check("max_frame_bytes", bytes, 1, MAX_PAYLOAD_LENGTH)?;
        Ok(Self { max_frame_bytes: bytes, ..self })
    }

    /// 1 byte to what a `Vec` can hold.
    pub fn with_max_message_bytes(self, bytes: usize) -> Result<Self, LimitError> {
        check("max_message_bytes", bytes as u64, 1, isize::MAX as u64)?;
        Ok(Self { max_message_bytes: bytes, ..self })
    }

    /// 1 (nothing may be fragmented) to 2^32-1 frames.
    pub fn with_max_fragments(self, fragments: u32) -> Result<Self, LimitError> {
        check("max_fragments", u64::from(fragments), 1, u64::from(u32::MAX))?;
        Ok(Self { max_fragments: fragments, ..self })
    }

    /// 512 bytes to 1 MiB: each byte that arrives has the head parsed again, so the work for one head grows
    /// with the square of this.
    pub fn with_max_head_bytes(self, bytes: usize) -> Result<Self, LimitError> {
        check("max_head_bytes", bytes as u64, MIN_HEAD_BYTES as u64, 1024 * 1024)?;
        Ok(Self { max_head_bytes: bytes, ..self })
    }

    /// 8 (the handshake alone needs 5) to 1,024 lines.
    pub fn with_max_headers(self, headers: usize) -> Result<Self, LimitError> {
        check("max_headers", headers as u64, 8, MAX_HEADERS as u64)?;
        Ok(Self { max_headers: headers, ..self })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

fn check(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), LimitError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(LimitError { name, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setters_accept_their_range_and_change_only_their_own_limit() {
        let limits = Limits::default()
            .with_max_frame_bytes(1)
            .and_then(|limits| limits.with_max_message_bytes(2))
            .and_then(|limits| limits.with_max_fragments(3))
            .and_then(|limits| limits.with_max_head_bytes(512))
            .and_then(|limits| limits.with_max_headers(8))
            .unwrap();
        assert_eq!(limits.max_frame_bytes(), 1);
        assert_eq!(limits.max_message_bytes(), 2);
        assert_eq!(limits.max_fragments(), 3);
        assert_eq!(limits.max_head_bytes(), 512);
        assert_eq!(limits.max_headers(), 8);
    }

    #[test]
    fn setters_refuse_what_cannot_work_and_say_the_range() {
        let limits = Limits::default();
        assert!(limits.with_max_frame_bytes(0).is_err());
        assert!(limits.with_max_frame_bytes(1 << 63).is_err());
        assert!(limits.with_max_message_bytes(0).is_err());
        assert!(limits.with_max_fragments(0).is_err());
        assert!(limits.with_max_head_bytes(511).is_err());
        assert_eq!(
            limits.with_max_headers(7).unwrap_err().to_string(),
            "max_headers is 7, which is out of range; set it to at least 8 and at most 1024"
        );
    }
}
