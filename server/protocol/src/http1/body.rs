//! Where a request's body ends (RFC 9112 §6, §7).

use super::{HttpError, RequestHead, Version};

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body follows.
    None,
    /// So many bytes follow. Compare it with a limit before reading.
    Known(u64),
    /// [`ChunkedDecoder`] finds the end.
    Chunked,
}

/// How this request's body is framed (RFC 9112 §6.3). Whatever two readers could understand differently is refused:
/// request smuggling lives on it (RFC 9112 §11.2).
pub fn body_length(head: &RequestHead<'_>) -> Result<BodyLength, HttpError> {
    let headers = &head.headers;
    let has_content_length = headers.contains("content-length");
    if !headers.contains("transfer-encoding") {
        return if has_content_length { content_length(head) } else { Ok(BodyLength::None) };
    }
    if has_content_length {
        return Err(HttpError::AmbiguousLength);
    }
    if head.version == Version::Http10 {
        return Err(HttpError::TransferEncodingInHttp10);
    }
    let mut codings = headers.tokens("transfer-encoding");
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyLength::Chunked),
        _ => Err(HttpError::UnsupportedTransferCoding),
    }
}

fn content_length(head: &RequestHead<'_>) -> Result<BodyLength, HttpError> {
    let mut agreed = None;
    // RFC 9112 §6.3: the same number several times, in a list or in several lines, may be taken for one.
    for element in head.header("content-length").flat_map(|value| value.split(|&byte| byte == b',')) {
        let length = decimal(element.trim_ascii()).ok_or(HttpError::InvalidContentLength)?;
        if agreed.is_some_and(|agreed| agreed != length) {
            return Err(HttpError::InvalidContentLength);
        }
        agreed = Some(length);
    }
    agreed.map(BodyLength::Known).ok_or(HttpError::InvalidContentLength)
}

/// Digits only: `str::parse` would take a sign.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The longest line of a chunk's size with its extensions, and all trailer lines together, in bytes. Both are read
/// over; nothing is kept of them.
const MAX_CHUNK_LINE_BYTES: u32 = 256;
const MAX_TRAILER_BYTES: u32 = 8 * 1024;

/// Decodes a chunked body (RFC 9112 §7.1) from pieces cut anywhere. Lines must end in CR LF: lone line feeds are read
/// differently by different programs.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: ChunkState,
    /// Bytes of the line, or of the trailer section, that is being read.
    line_bytes: u32,
    body_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkState {
    Size {
        size: u64,
        digits: u8,
    },
    /// After the digits, up to CR.
    Extension {
        size: u64,
    },
    SizeLineFeed {
        size: u64,
    },
    /// Invariant: `missing > 0`.
    Data {
        missing: u64,
    },
    DataReturn,
    DataLineFeed,
    TrailerLineStart,
    TrailerLine,
    TrailerLineFeed,
    EndLineFeed,
    Done,
}

impl ChunkedDecoder {
    pub const fn new() -> Self {
        Self { state: ChunkState::FIRST, line_bytes: 0, body_bytes: 0 }
    }

    /// Appends the body bytes in `input` to `out`. Gives how many bytes of `input` were consumed, and whether the body
    /// is done: if it is, what is left of `input` is the next message, else all of it was consumed.
    ///
    /// `limit` bounds the whole body in bytes. It is held against each declared size, before the chunk arrives.
    pub fn decode(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(usize, bool), HttpError> {
        let mut rest = input;
        while self.state != ChunkState::Done {
            if let ChunkState::Data { missing } = self.state {
                let length = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.len());
                let (data, after) = rest.split_at(length);
                out.extend_from_slice(data);
                rest = after;
                match missing - length as u64 {
                    0 => self.state = ChunkState::DataReturn,
                    missing => self.state = ChunkState::Data { missing },
                }
            }
            let [byte, after @ ..] = rest else { break };
            self.state = self.step(*byte, limit)?;
            rest = after;
        }
        Ok((input.len() - rest.len(), self.state == ChunkState::Done))
    }

    /// Takes one byte of what is not data.
    fn step(&mut self, byte: u8, limit: usize) -> Result<ChunkState, HttpError> {
        use ChunkState::*;
        self.count_line_byte()?;
        Ok(match (self.state, byte) {
            (Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if size >> 60 != 0 {
                    return Err(malformed("a size over 64 bits"));
                }
                let digit = char::from(byte).to_digit(16).expect("checked to be a hexadecimal digit");
                Size { size: size << 4 | u64::from(digit), digits: digits.saturating_add(1) }
            }
            (Size { digits: 0, .. }, _) => return Err(malformed("a size without digits")),
            (Size { size, .. }, b'\r') => SizeLineFeed { size },
            (Size { size, .. }, b';' | b' ' | b'\t') => Extension { size },
            (Size { .. }, _) => return Err(malformed("a size")),
            (Extension { size }, b'\r') => SizeLineFeed { size },
            (Extension { .. }, b'\n') => return Err(malformed("a line's end")),
            (Extension { size }, _) => Extension { size },
            (SizeLineFeed { size }, b'\n') => self.begin_chunk(size, limit)?,
            (DataReturn, b'\r') => DataLineFeed,
            (DataReturn, _) => return Err(malformed("the end of a chunk longer than its size")),
            (DataLineFeed, b'\n') => self.begin_line(ChunkState::FIRST),
            (TrailerLineStart, b'\r') => EndLineFeed,
            (TrailerLine, b'\r') => TrailerLineFeed,
            (TrailerLineStart | TrailerLine, b'\n') => return Err(malformed("a line's end")),
            (TrailerLineStart | TrailerLine, _) => TrailerLine,
            (TrailerLineFeed, b'\n') => TrailerLineStart,
            (EndLineFeed, b'\n') => Done,
            (SizeLineFeed { .. } | DataLineFeed | TrailerLineFeed | EndLineFeed, _) => {
                return Err(malformed("a line's end"));
            }
            (Data { .. } | Done, _) => unreachable!("decode handles data, and stops when done"),
        })
    }

    fn begin_chunk(&mut self, size: u64, limit: usize) -> Result<ChunkState, HttpError> {
        self.body_bytes = self.body_bytes.saturating_add(size);
        if self.body_bytes > limit as u64 {
            return Err(HttpError::BodyTooLong { limit });
        }
        Ok(self.begin_line(match size {
            0 => ChunkState::TrailerLineStart,
            missing => ChunkState::Data { missing },
        }))
    }

    const fn begin_line(&mut self, state: ChunkState) -> ChunkState {
        self.line_bytes = 0;
        state
    }

    const fn count_line_byte(&mut self) -> Result<(), HttpError> {
        use ChunkState::*;
        self.line_bytes += 1;
        match self.state {
            TrailerLineStart | TrailerLine | TrailerLineFeed if self.line_bytes > MAX_TRAILER_BYTES => {
                Err(malformed("a trailer section over 8192 bytes"))
            }
            Size { .. } | Extension { .. } if self.line_bytes > MAX_CHUNK_LINE_BYTES => {
                Err(malformed("a size line over 256 bytes"))
            }
            _ => Ok(()),
        }
    }
}

impl ChunkState {
    const FIRST: Self = Self::Size { size: 0, digits: 0 };
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

const fn malformed(what: &'static str) -> HttpError {
    HttpError::MalformedChunk { what }
}
