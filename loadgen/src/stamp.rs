//! What every message carries in front of its filler: who sent it, which one it is, when it was due and when it left.
//!
//! ```text
//!  0       3     4     8         12        16           24        32
//!  | magic |flags| run | publisher | sequence | intended ns | sent ns |     little endian
//! ```
//!
//! Text messages must be valid UTF-8 and may be wrapped in JSON, so there each nibble is one letter `a`..`p`: twice
//! the bytes, nothing that any encoder would escape, and no table to decode it.

/// Bytes of a stamp in a binary message: its smallest size.
pub const BINARY_BYTES: usize = 32;
/// Bytes of a stamp in a text message: its smallest size.
pub const TEXT_BYTES: usize = 64;

const MAGIC: [u8; 3] = [0xC0, 0xCA, 0x57];
const TEXT_MAGIC: &[u8; 6] = b"amkmhf";
const MEASURED: u8 = 1;
/// Bytes by which the places of two stamps are likely to differ.
const NEAR: usize = 16;

/// One message's identity and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Random per run: another generator on the same topic is recognised.
    pub run: u32,
    /// Index of the publisher in this run.
    pub publisher: u32,
    /// Consecutive from 0 for each publisher.
    pub sequence: u32,
    /// Sent in the measured window, not in the warm-up.
    pub measured: bool,
    /// When the message was due (open loop), or the same as `sent_ns` (closed loop).
    pub intended_ns: u64,
    /// When its connection, which took messages then, was given it. What the kernel does not take at once waits there.
    pub sent_ns: u64,
}

/// How stamps are written: binary messages carry bytes, text messages letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Binary,
    Text,
}

impl Encoding {
    /// Bytes that a stamp takes in this encoding.
    pub const fn stamp_bytes(self) -> usize {
        match self {
            Self::Binary => BINARY_BYTES,
            Self::Text => TEXT_BYTES,
        }
    }
}

impl Stamp {
    /// Writes the stamp over the first [`Encoding::stamp_bytes`] bytes of `out`.
    ///
    /// # Panics
    /// When `out` is shorter: message sizes are checked before a run starts.
    pub fn write(&self, encoding: Encoding, out: &mut [u8]) {
        let bytes = self.to_bytes();
        match encoding {
            Encoding::Binary => out[..BINARY_BYTES].copy_from_slice(&bytes),
            Encoding::Text => {
                for (pair, byte) in out[..TEXT_BYTES].chunks_exact_mut(2).zip(bytes) {
                    pair[0] = b'a' + (byte & 15);
                    pair[1] = b'a' + (byte >> 4);
                }
            }
        }
    }

    fn to_bytes(self) -> [u8; BINARY_BYTES] {
        let mut bytes = [0; BINARY_BYTES];
        bytes[0..3].copy_from_slice(&MAGIC);
        bytes[3] = if self.measured { MEASURED } else { 0 };
        bytes[4..8].copy_from_slice(&self.run.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.publisher.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.intended_ns.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sent_ns.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BINARY_BYTES]) -> Option<Self> {
        if bytes[0..3] != MAGIC || bytes[3] > MEASURED {
            return None;
        }
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        Some(Self {
            run: u32_at(4),
            publisher: u32_at(8),
            sequence: u32_at(12),
            measured: bytes[3] == MEASURED,
            intended_ns: u64_at(16),
            sent_ns: u64_at(24),
        })
    }

    fn from_text(letters: &[u8; TEXT_BYTES]) -> Option<Self> {
        let mut bytes = [0; BINARY_BYTES];
        let mut seen = 0;
        // No early exit: the loop stays a few vector instructions.
        for (byte, pair) in bytes.iter_mut().zip(letters.chunks_exact(2)) {
            let (low, high) = (pair[0].wrapping_sub(b'a'), pair[1].wrapping_sub(b'a'));
            seen |= low | high;
            *byte = low | high << 4;
        }
        if seen > 15 { None } else { Self::from_bytes(&bytes) }
    }
}

/// Finds the stamp inside received messages.
///
/// A server that passes payloads through leaves it at the front. One that wraps them puts it behind a prefix whose
/// length seldom changes, so the place where the last one was is tried first.
#[derive(Clone, Debug)]
pub struct Finder {
    encoding: Encoding,
    /// Messages have either encoding: the other one is tried too.
    is_mixed: bool,
    last_at: usize,
}

impl Finder {
    pub const fn new(encoding: Encoding) -> Self {
        Self { encoding, is_mixed: false, last_at: 0 }
    }

    /// For text and binary messages.
    pub const fn mixed() -> Self {
        Self { encoding: Encoding::Binary, is_mixed: true, last_at: 0 }
    }

    /// The stamp in `message`, or `None` when it holds none.
    pub fn find(&mut self, message: &[u8]) -> Option<Stamp> {
        read_at(message, self.last_at, self.encoding).or_else(|| self.look_further(message))
    }

    fn look_further(&mut self, message: &[u8]) -> Option<Stamp> {
        if self.is_mixed {
            self.change_encoding();
            if let Some(stamp) = read_at(message, self.last_at, self.encoding) {
                return Some(stamp);
            }
        }
        self.search(message).or_else(|| {
            if self.is_mixed {
                self.change_encoding();
                return self.search(message);
            }
            None
        })
    }

    fn change_encoding(&mut self) {
        self.encoding = match self.encoding {
            Encoding::Binary => Encoding::Text,
            Encoding::Text => Encoding::Binary,
        };
    }

    #[cold]
    fn search(&mut self, message: &[u8]) -> Option<Stamp> {
        // Offsets and topic numbers in front of it differ by a few digits.
        self.search_from(message, self.last_at.saturating_sub(NEAR)).or_else(|| self.search_from(message, 0))
    }

    fn search_from(&mut self, message: &[u8], start: usize) -> Option<Stamp> {
        let magic: &[u8] = match self.encoding {
            Encoding::Binary => &MAGIC,
            Encoding::Text => TEXT_MAGIC,
        };
        let (at, stamp) = message
            .get(start..)?
            .windows(magic.len())
            .enumerate()
            .filter(|(_, window)| *window == magic)
            .find_map(|(at, _)| Some((start + at, read_at(message, start + at, self.encoding)?)))?;
        self.last_at = at;
        Some(stamp)
    }
}

fn read_at(message: &[u8], at: usize, encoding: Encoding) -> Option<Stamp> {
    let tail = message.get(at..)?;
    match encoding {
        Encoding::Binary => Stamp::from_bytes(tail.first_chunk()?),
        Encoding::Text => Stamp::from_text(tail.first_chunk()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: 0xDEAD_BEEF,
        publisher: 3,
        sequence: 0x0102_0304,
        measured: true,
        intended_ns: 0x1122_3344_5566_7788,
        sent_ns: 0x0000_0000_0000_00FF,
    };

    const BYTES: [u8; 32] = [
        0xC0, 0xCA, 0x57, 0x01, 0xEF, 0xBE, 0xAD, 0xDE, 0x03, 0, 0, 0, 0x04, 0x03, 0x02, 0x01, 0x88, 0x77,
        0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0xFF, 0, 0, 0, 0, 0, 0, 0,
    ];

    const LETTERS: &[u8; 64] = b"amkmhfbapoolnkondaaaaaaaeadacabaiihhggffeeddccbbppaaaaaaaaaaaaaa";

    #[test]
    fn binary_stamp_has_the_documented_bytes() {
        let mut out = [0xEE; 40];
        STAMP.write(Encoding::Binary, &mut out);
        assert_eq!(out[..32], BYTES);
        assert_eq!(out[32..], [0xEE; 8]);
        assert_eq!(Finder::new(Encoding::Binary).find(&out), Some(STAMP));
    }

    #[test]
    fn text_stamp_is_letters() {
        let mut out = [b'.'; 70];
        STAMP.write(Encoding::Text, &mut out);
        assert_eq!(out[..64], *LETTERS);
        assert_eq!(Finder::new(Encoding::Text).find(&out), Some(STAMP));
    }

    #[test]
    fn stamp_is_found_behind_a_prefix_that_changes_length() {
        let mut finder = Finder::new(Encoding::Text);
        for offset in [8, 9, 10, 99, 100, 7] {
            let message =
                format!("{{\"offset\":{offset},\"data\":\"{}\"}}", std::str::from_utf8(LETTERS).unwrap());
            assert_eq!(finder.find(message.as_bytes()), Some(STAMP), "offset {offset}");
        }
    }

    #[test]
    fn stamps_of_both_encodings_are_found_behind_changing_prefixes() {
        let mut finder = Finder::mixed();
        for (offset, is_text) in
            [(5, true), (6, true), (6, false), (8, false), (9, true), (30, true), (2, false)]
        {
            let stamp = if is_text { &LETTERS[..] } else { &BYTES[..] };
            let message = [&b"-".repeat(offset), stamp].concat();
            assert_eq!(finder.find(&message), Some(STAMP), "offset {offset}, text {is_text}");
        }
    }

    #[test]
    fn what_is_no_stamp_is_not_taken_for_one() {
        let mut finder = Finder::new(Encoding::Binary);
        assert_eq!(finder.find(b""), None);
        assert_eq!(finder.find(b"welcome"), None);
        assert_eq!(finder.find(&BYTES[..31]), None, "cut short");
        let mut unknown_flag = BYTES;
        unknown_flag[3] = 2;
        assert_eq!(finder.find(&unknown_flag), None);
        let mut not_a_letter = *LETTERS;
        not_a_letter[40] = b'q';
        assert_eq!(Finder::new(Encoding::Text).find(&not_a_letter), None);
        assert_eq!(Finder::new(Encoding::Text).find(&BYTES), None, "binary stamp in a text run");
    }

    #[test]
    fn a_second_magic_does_not_hide_the_stamp() {
        let mut message = vec![0xC0, 0xCA, 0x57, 0xFF];
        message.extend_from_slice(&BYTES);
        assert_eq!(Finder::new(Encoding::Binary).find(&message), Some(STAMP));
    }
}
