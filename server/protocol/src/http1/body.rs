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

/// How this request's body is framed (RFC 9112 §6.3). Whatever two readers could understand differently is
/// refused: request smuggling lives on it (RFC 9112 §11.2).
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
    // As bytes: what is no text is an unknown coding, and not nothing.
    let mut codings = headers.elements("transfer-encoding");
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
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

/// The longest line of a chunk's size with its extensions, and all trailer lines together, in bytes. Both are
/// read over; nothing is kept of them.
const MAX_CHUNK_LINE_BYTES: u32 = 256;
const MAX_TRAILER_BYTES: u32 = 8 * 1024;

/// Decodes a chunked body (RFC 9112 §7.1) from pieces cut anywhere. Lines must end in CR LF: lone line feeds
/// are read differently by different programs.
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

    /// Appends the body bytes in `input` to `out`. Gives how many bytes of `input` were consumed, and whether
    /// the body is done: if it is, what is left of `input` is the next message, else all of it was consumed.
    ///
    /// `limit` bounds the whole body in bytes. It is held against each declared size, before the chunk
    /// arrives.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, parse_request};
    use crate::limits::Limits;

    fn framing(version: &str, lines: &str) -> Result<BodyLength, HttpError> {
        let bytes = format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        match parse_request(bytes.as_bytes(), &Limits::default()) {
            Ok(Parsed::Complete { head, .. }) => body_length(&head),
            other => panic!("{other:?}"),
        }
    }

    /// RFC 9112 §6.3.
    #[test]
    fn bodies_are_framed_by_one_length_or_by_chunks() {
        assert_eq!(framing("1.1", ""), Ok(BodyLength::None));
        assert_eq!(framing("1.1", "Content-Length: 0\r\n"), Ok(BodyLength::Known(0)));
        assert_eq!(framing("1.0", "Content-Length: 0042\r\n"), Ok(BodyLength::Known(42)));
        assert_eq!(framing("1.1", "Content-Length: 7, 7\r\ncontent-length: 7\r\n"), Ok(BodyLength::Known(7)));
        assert_eq!(framing("1.1", "Transfer-Encoding: Chunked\r\n"), Ok(BodyLength::Chunked));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (version, lines, error, status) in [
            ("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HttpError::AmbiguousLength, 400),
            ("1.1", "Content-Length: 5\r\nContent-Length: 6\r\n", HttpError::InvalidContentLength, 400),
            ("1.1", "Content-Length: 5, 6\r\n", HttpError::InvalidContentLength, 400),
            ("1.1", "Content-Length: 5,\r\n", HttpError::InvalidContentLength, 400),
            ("1.1", "Content-Length: +5\r\n", HttpError::InvalidContentLength, 400),
            ("1.1", "Content-Length: 0x5\r\n", HttpError::InvalidContentLength, 400),
            ("1.1", "Content-Length:\r\n", HttpError::InvalidContentLength, 400),
            ("1.1", "Content-Length: 18446744073709551616\r\n", HttpError::InvalidContentLength, 400),
            ("1.0", "Transfer-Encoding: chunked\r\n", HttpError::TransferEncodingInHttp10, 400),
            ("1.1", "Transfer-Encoding: gzip, chunked\r\n", HttpError::UnsupportedTransferCoding, 501),
            ("1.1", "Transfer-Encoding: gzip\r\n", HttpError::UnsupportedTransferCoding, 501),
            (
                "1.1",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                HttpError::UnsupportedTransferCoding,
                501,
            ),
            ("1.1", "Transfer-Encoding:\r\n", HttpError::UnsupportedTransferCoding, 501),
        ] {
            assert_eq!(framing(version, lines), Err(error), "{lines:?}");
            assert_eq!(error.status(), status);
        }
    }

    /// Another reader may stumble over it, or take it for what it knows.
    #[test]
    fn a_coding_that_is_no_text_is_not_overlooked() {
        for lines in [
            &b"Transfer-Encoding: \xff\r\nTransfer-Encoding: chunked"[..],
            b"Transfer-Encoding: chunked, \xff",
        ] {
            let bytes = [b"POST / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat();
            let Ok(Parsed::Complete { head, .. }) = parse_request(&bytes, &Limits::default()) else {
                panic!()
            };
            assert_eq!(body_length(&head), Err(HttpError::UnsupportedTransferCoding));
        }
    }

    /// The body, and what follows it.
    fn decode(pieces: &[&[u8]], limit: usize) -> Result<(Vec<u8>, Vec<u8>, bool), HttpError> {
        let mut decoder = ChunkedDecoder::new();
        let (mut body, mut after, mut is_done) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            let (consumed, done) = decoder.decode(piece, &mut body, limit)?;
            assert!(done || consumed == piece.len(), "all input is consumed until the body is done");
            after.extend_from_slice(&piece[consumed..]);
            is_done = done;
        }
        Ok((body, after, is_done))
    }

    /// The verdict does not depend on how the body is cut.
    fn assert_decodes(encoded: &[u8], expected: &Result<(Vec<u8>, Vec<u8>, bool), HttpError>) {
        for cut in 0..=encoded.len() {
            let (head, tail) = encoded.split_at(cut);
            assert_eq!(&decode(&[head, tail], 100), expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = encoded.chunks(1).collect();
        assert_eq!(&decode(&bytes, 100), expected, "byte by byte");
    }

    /// RFC 9112 §7.1, with extensions, trailers and a pipelined request.
    #[test]
    fn chunked_bodies_are_decoded() {
        let encoded =
            b"5\r\nHello\r\n0B;name=\"v\"\r\n, wonderful\r\n1 \r\n!\r\n000\r\nX-Trailer: y\r\n\r\nGET /";
        assert_decodes(encoded, &Ok((b"Hello, wonderful!".to_vec(), b"GET /".to_vec(), true)));
        assert_decodes(b"0\r\n\r\n", &Ok((Vec::new(), Vec::new(), true)));
        assert_decodes(b"a\r\n01234567", &Ok((b"01234567".to_vec(), Vec::new(), false)));
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for (encoded, what) in [
            (&b"\r\n"[..], "a size without digits"),
            (b";x\r\n", "a size without digits"),
            (b"-1\r\n", "a size without digits"),
            (b"5x\r\n", "a size"),
            (b"5\n", "a size"),
            (b"5;x\n", "a line's end"),
            (b"5\rx", "a line's end"),
            (b"1\r\nab", "the end of a chunk longer than its size"),
            (b"1\r\na\rb", "a line's end"),
            (b"0\r\nX: y\n", "a line's end"),
            (b"0\r\n\rx", "a line's end"),
            (b"10000000000000000\r\n", "a size over 64 bits"),
        ] {
            assert_decodes(encoded, &Err(HttpError::MalformedChunk { what }));
        }
    }

    #[test]
    fn the_limit_is_held_against_declared_sizes() {
        assert_decodes(b"65\r\n", &Err(HttpError::BodyTooLong { limit: 100 }));
        assert_decodes(b"FFFFFFFFFFFFFFFF\r\n", &Err(HttpError::BodyTooLong { limit: 100 }));
        let hundred = [b"64\r\n", &[b'x'; 100][..], b"\r\n"].concat();
        let one_more = [&hundred[..], b"1\r\n"].concat();
        assert_eq!(decode(&[&one_more], 100), Err(HttpError::BodyTooLong { limit: 100 }));
        let finished = [&hundred[..], b"0\r\n\r\n"].concat();
        assert_eq!(decode(&[&finished], 100), Ok((vec![b'x'; 100], Vec::new(), true)));
        assert_eq!(HttpError::BodyTooLong { limit: 100 }.status(), 413);
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extension = [b"1;", &[b'x'; 255][..]].concat();
        let error = HttpError::MalformedChunk { what: "a size line over 256 bytes" };
        assert_eq!(decode(&[&extension], 100), Err(error));
        let zeros = [b'0'; 257];
        assert_eq!(decode(&[&zeros], 100), Err(error));
        // The bound is on each line, not on all of a long body's.
        let many_chunks = b"1;extension\r\nx\r\n".repeat(100);
        assert_eq!(decode(&[&many_chunks], 100), Ok((vec![b'x'; 100], Vec::new(), false)));
        let trailers = [&b"0\r\n"[..], &b"X: y\r\n".repeat(1400)].concat();
        let error = HttpError::MalformedChunk { what: "a trailer section over 8192 bytes" };
        assert_eq!(decode(&[&trailers], 100), Err(error));
    }

    #[test]
    fn a_finished_body_consumes_nothing_more() {
        let mut decoder = ChunkedDecoder::new();
        let mut body = Vec::new();
        assert_eq!(decoder.decode(b"0\r\n\r\n", &mut body, 1), Ok((5, true)));
        assert_eq!(decoder.decode(b"GET /", &mut body, 1), Ok((0, true)));
    }
}
