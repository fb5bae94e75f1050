//! Payloads of permessage-deflate (RFC 7692 §7.2), without context takeover in either direction: each message stands for
//! itself. So one compressor serves all connections, a broadcast is compressed once for all who get it, and a
//! connection keeps no state between messages.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::codes::MessageKind;
use crate::connection::check_text;
use crate::error::ProtocolError;

/// RFC 7692 §7.1.2: the window of everyone who did not ask for a smaller one, as a power of two.
pub const MAX_WINDOW_BITS: u8 = 15;
/// The smallest window that is compressed with. RFC 7692 §7.1.2.1 has 8 too, which zlib and its descendants lack.
pub const MIN_WINDOW_BITS: u8 = 9;

/// RFC 7692 §7.2.1: the end of what a flush writes, which is not sent.
const FLUSH_TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// A last, empty block. It ends the stream only where a block may begin.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
/// Blocks of one message that may say they are the last. Nobody sends more than one, and each costs a decompressor's reset, as
/// much as inflating kilobytes: half a megabyte of them would take seconds.
const LAST_BLOCKS_MAX: u32 = 64;
/// How far back a block may refer.
const WINDOW: usize = 1 << MAX_WINDOW_BITS;
/// How much is inflated at once.
const ROOM: usize = 16 << 10;

/// Compresses messages. It holds some 370 KiB: one serves all connections of a thread.
#[derive(Debug)]
pub struct Deflater(Compress);

impl Deflater {
    /// `level` is 1 (fast) to 9 (small).
    ///
    /// # Panics
    /// If the level or the window is outside of its range: both are checked where they come from.
    pub fn new(level: u8, window_bits: u8) -> Self {
        assert!((1..=9).contains(&level), "deflate has levels 1 to 9, not {level}");
        assert!(
            (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&window_bits),
            "a window has {MIN_WINDOW_BITS} to {MAX_WINDOW_BITS} bits, not {window_bits}"
        );
        Self(Compress::new_with_window_bits(Compression::new(level.into()), false, window_bits))
    }

    /// Appends the message as the payload of a compressed message (RFC 7692 §7.2.1), if that is shorter. Otherwise it
    /// is `false`, and `out` is as before: the message goes plain, which every message may (RFC 7692 §6).
    pub fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        // Room for the worst that a message becomes, though it is not sent then: what a compressor could not write survives
        // its reset, as an offset in zlib-rs, and sooner or later the next message does not fit behind it.
        let room = worst_length(message.len());
        out.resize(start + room, 0);
        self.0.reset();
        self.0
            .compress(message, &mut out[start..], FlushCompress::Sync)
            .expect("a compressor without a dictionary takes everything");
        let length = self.0.total_out() as usize;
        assert_eq!(self.0.total_in(), message.len() as u64, "there is room for all of the message");
        assert!(length < room, "with the last byte used nobody knows whether it was all");
        out.truncate(start + length);
        // RFC 7692 §7.2.1, step 3. Nothing is flushed for an empty message.
        let payload = out[start..].strip_suffix(&FLUSH_TAIL);
        let shorter = payload.map(<[u8]>::len).filter(|&length| length < message.len());
        out.truncate(start + shorter.unwrap_or_default());
        shorter.is_some()
    }
}

/// No message becomes longer than this: a literal takes nine bits at most, and a block that does not shrink goes as it is,
/// behind a few bytes.
const fn worst_length(message: usize) -> usize {
    message + message / 8 + message / 64 + 64
}

/// Decompresses messages. It holds some 60 KiB: one serves all connections of a thread.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    /// What comes out goes here first. Given a message's spare room, every call would fill all of that with zeros, and what
    /// is sent decides how many calls there are.
    room: Box<[u8]>,
    /// Of the message in hand.
    last_blocks: u32,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    pub fn new() -> Self {
        Self {
            stream: Decompress::new_with_window_bits(false, MAX_WINDOW_BITS),
            room: vec![0; ROOM].into_boxed_slice(),
            last_blocks: 0,
        }
    }

    /// The message that was compressed (RFC 7692 §7.2.2): `payload` is that of all its frames. Text is checked for
    /// UTF-8 (RFC 6455 §8.1).
    ///
    /// At most `limit` bytes come out, and memory is taken as they do: a payload that wants to become more is refused
    /// while it is inflated.
    pub fn inflate(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, ProtocolError> {
        let mut message = Vec::new();
        // An empty message is 0x00 (RFC 7692 §7.2.3.6); some compressors have nothing left to flush and send nothing.
        if !payload.is_empty() {
            self.stream.reset(false);
            self.last_blocks = 0;
            self.feed(payload, limit, &mut message)?;
            self.feed(&FLUSH_TAIL, limit, &mut message)?;
            let length = message.len();
            let is_last = self.feed(&LAST_BLOCK, limit, &mut message)?;
            // Inside of a block these bits are something else, and if it is a last one may even end it.
            if !is_last || message.len() != length {
                return Err(ProtocolError::InvalidDeflate);
            }
        }
        if kind == MessageKind::Text {
            check_text(&message)?;
        }
        Ok(message)
    }

    /// Appends what comes out of `input`. `true` if a last block ended with it.
    fn feed(&mut self, mut input: &[u8], limit: usize, message: &mut Vec<u8>) -> Result<bool, ProtocolError> {
        loop {
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut self.room, FlushDecompress::None)
                .map_err(|_| ProtocolError::InvalidDeflate)?;
            input = &input[(self.stream.total_in() - taken) as usize..];
            let inflated = &self.room[..(self.stream.total_out() - given) as usize];
            if inflated.len() > limit - message.len() {
                return Err(ProtocolError::InflatedTooBig { limit: limit as u64 });
            }
            message.extend_from_slice(inflated);
            match status {
                Status::StreamEnd if !input.is_empty() => self.go_on_after_last_block(message)?,
                Status::StreamEnd => return Ok(true),
                // There may be more of what was taken in.
                _ if inflated.len() == ROOM => {}
                _ if input.is_empty() => return Ok(false),
                Status::Ok => {}
                Status::BufError => return Err(ProtocolError::InvalidDeflate),
            }
        }
    }

    /// RFC 7692 §7.2.1: a block may say that it is the last, and others follow nevertheless. The window is the message's, so
    /// they may refer to what came before it.
    fn go_on_after_last_block(&mut self, message: &[u8]) -> Result<(), ProtocolError> {
        self.last_blocks += 1;
        if self.last_blocks > LAST_BLOCKS_MAX {
            return Err(ProtocolError::InvalidDeflate);
        }
        self.stream.reset(false);
        let window = &message[message.len().saturating_sub(WINDOW)..];
        self.stream.set_dictionary(window).map(drop).map_err(|_| ProtocolError::InvalidDeflate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(payload: &[u8], limit: usize) -> Result<Vec<u8>, ProtocolError> {
        Inflater::new().inflate(MessageKind::Binary, payload, limit)
    }

    fn deflate(message: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Deflater::new(6, 15).deflate(message, &mut out).then_some(out)
    }

    /// RFC 7692 §7.2.3.1 to §7.2.3.6.
    #[test]
    fn the_examples_of_section_7_2_3_are_hello() {
        for payload in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(payload, 5).as_deref(), Ok(&b"Hello"[..]), "{payload:02x?}");
        }
        assert_eq!(inflate(&[0x00], 0).as_deref(), Ok(&b""[..]));
        assert_eq!(inflate(&[], 0).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn what_is_compressed_inflates_to_itself_with_every_level_and_window() {
        let repetitive: Vec<u8> = (0..100_000_u32).flat_map(|n| (n % 100).to_be_bytes()).collect();
        let mut inflater = Inflater::new();
        for window_bits in MIN_WINDOW_BITS..=MAX_WINDOW_BITS {
            for level in 1..=9 {
                let mut deflater = Deflater::new(level, window_bits);
                for message in [&repetitive[..], &[b'a'; 20], &[0; 1 << 20]] {
                    let mut out = b"before".to_vec();
                    assert!(deflater.deflate(message, &mut out), "{} bytes at {level}", message.len());
                    assert!(out.len() < 6 + message.len());
                    let inflated = inflater.inflate(MessageKind::Binary, &out[6..], message.len());
                    assert!(
                        inflated.as_deref() == Ok(message),
                        "{} bytes, {level}, {window_bits}",
                        message.len()
                    );
                }
            }
        }
    }

    /// A client with so small a window could not inflate what reaches further back (RFC 7692 §7.1.2.1).
    #[test]
    fn a_small_window_is_kept_to() {
        let mut message: Vec<u8> = (0..8_192).map(|_| fastrand::u8(..)).collect();
        message.extend_from_within(..);
        let mut out = Vec::new();
        assert!(Deflater::new(9, 15).deflate(&message, &mut out));
        assert!(out.len() < 9_000, "the second half repeats the first: {} bytes", out.len());
        out.clear();
        assert!(
            !Deflater::new(9, 9).deflate(&message, &mut out),
            "8 KiB back is out of a window of 512 bytes"
        );
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        let mut generator = fastrand::Rng::with_seed(7);
        for length in [0, 1, 2, 3, 4, 5, 100, 10_000] {
            let random: Vec<u8> = (0..length).map(|_| generator.u8(..)).collect();
            let mut out = b"kept".to_vec();
            assert!(!Deflater::new(6, 15).deflate(&random, &mut out), "{length} bytes");
            assert_eq!(out, b"kept");
        }
        assert_eq!(deflate(b"Hello"), None, "7 bytes instead of 5");
    }

    /// A compressor that gave up half-way kept what it could not write, and some messages later there was no room for it.
    #[test]
    fn one_compressor_serves_any_sequence_of_messages() {
        let mut generator = fastrand::Rng::with_seed(11);
        let mut inflater = Inflater::new();
        for level in [1, 2, 3, 6, 9] {
            let mut deflater = Deflater::new(level, 15);
            let mut out = Vec::new();
            for length in [2_000, 8_000, 16_000, 24_000, 150_000] {
                for turn in 0..12 {
                    let mut message: Vec<u8> = (0..length).map(|_| generator.u8(..)).collect();
                    if turn % 3 == 2 {
                        message[..length / 2].fill(b'-');
                    }
                    out.clear();
                    let is_shorter = deflater.deflate(&message, &mut out);
                    assert_eq!(is_shorter, turn % 3 == 2, "{length} bytes at {level}");
                    if is_shorter {
                        let inflated = inflater.inflate(MessageKind::Binary, &out, length);
                        assert!(inflated.as_deref() == Ok(&message[..]), "{length} bytes at {level}");
                    }
                }
            }
        }
    }

    /// A bomb is refused before memory grows: 1,000 times as much in the worst case.
    #[test]
    fn more_than_the_limit_is_refused_while_it_is_inflated() {
        let bomb = deflate(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 100_000);
        for limit in [0, 1, 255, 256, 257, 65_536, (64 << 20) - 1] {
            assert_eq!(inflate(&bomb, limit), Err(ProtocolError::InflatedTooBig { limit: limit as u64 }));
        }
        assert_eq!(inflate(&bomb, 64 << 20).map(|message| message.len()), Ok(64 << 20));
        let just = deflate(&[b'x'; 1_000]).unwrap();
        assert_eq!(inflate(&just, 1_000).as_deref(), Ok(&[b'x'; 1_000][..]));
        assert_eq!(inflate(&just, 999), Err(ProtocolError::InflatedTooBig { limit: 999 }));
        let message = inflate(&just, 1 << 30).unwrap();
        assert!(message.capacity() < 2_048, "{} bytes for 1,000", message.capacity());
    }

    #[test]
    fn what_is_no_whole_deflate_data_is_refused() {
        let whole =
            deflate(&b"a text that is long enough to be compressed, to be compressed".repeat(20)).unwrap();
        for length in 1..whole.len() {
            assert_eq!(
                inflate(&whole[..length], 1 << 20),
                Err(ProtocolError::InvalidDeflate),
                "{length} bytes"
            );
        }
        for payload in [
            &[0xff][..],
            &[0x07],                                     // the reserved block type
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], // a last block, but not the empty one after it
            b"not compressed at all",
            &[0x01, 0x06, 0x00, 0xf9, 0xff], // a last block of six bytes, which are those appended here
        ] {
            assert_eq!(inflate(payload, 1 << 20), Err(ProtocolError::InvalidDeflate), "{payload:02x?}");
        }
        let followed = [&whole[..], &[0xff, 0xff]].concat();
        assert_eq!(inflate(&followed, 1 << 20), Err(ProtocolError::InvalidDeflate));
    }

    /// RFC 6455 §8.1, of the message and not of what it is sent as.
    #[test]
    fn inflated_text_is_utf8() {
        let text =
            |message: &[u8]| Inflater::new().inflate(MessageKind::Text, &deflate(message).unwrap(), 1 << 20);
        let mut message = "ж".repeat(500).into_bytes();
        assert_eq!(text(&message), Ok(message.clone()));
        message.push(0xff);
        assert_eq!(text(&message), Err(ProtocolError::InvalidUtf8 { position: 1_000 }));
        *message.last_mut().unwrap() = 0xd0;
        assert_eq!(text(&message), Err(ProtocolError::TruncatedUtf8 { length: 1_001 }));
    }
}
