//! Topic names: checked once, carried as a value that cannot be wrong.

use std::fmt;
use std::sync::Arc;

/// The longest topic name, in bytes.
pub const MAX_TOPIC_BYTES: usize = 255;

/// A topic's name: 1-255 bytes of `A-Z a-z 0-9 . _ - : ~ = @`, and not `.` or `..`, which URLs give a meaning
/// of their own (RFC 3986 §5.2.4). A clone is the same memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// Why a text is no topic name. The peer's mistake: HTTP 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("the topic name is empty; give 1 to {MAX_TOPIC_BYTES} bytes")]
    Empty,
    #[error("the topic name has {bytes} bytes; at most {MAX_TOPIC_BYTES} are allowed")]
    TooLong { bytes: usize },
    #[error(
        "\".\" and \"..\" are no topic names, because URLs give them another meaning; choose another name"
    )]
    DotSegment,
    #[error(
        "byte {byte:#04x} at position {position} is not allowed in a topic name; use A-Z a-z 0-9 . _ - : ~ = \
         @"
    )]
    Byte { byte: u8, position: usize },
    #[error(
        "the percent sign at position {position} is not followed by two hexadecimal digits; write %25 for a \
         percent sign"
    )]
    PercentEncoding { position: usize },
}

impl TopicName {
    /// Checks a name that is not percent-encoded.
    pub fn new(name: &str) -> Result<Self, TopicError> {
        check(name.as_bytes())?;
        Ok(Self(name.into()))
    }

    /// Percent-decodes one segment of a URL's path, once, and checks what comes out. Positions in errors
    /// count decoded bytes, except that of a broken percent sign.
    pub fn from_path_segment(segment: &str) -> Result<Self, TopicError> {
        if !segment.contains('%') {
            return Self::new(segment);
        }
        let decoded = percent_decode(segment.as_bytes())?;
        check(&decoded)?;
        let name = String::from_utf8(decoded).expect("the allowed bytes are ASCII");
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same memory as a plain text.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(name: &[u8]) -> Result<(), TopicError> {
    match name {
        [] => return Err(TopicError::Empty),
        b"." | b".." => return Err(TopicError::DotSegment),
        _ if name.len() > MAX_TOPIC_BYTES => return Err(TopicError::TooLong { bytes: name.len() }),
        _ => {}
    }
    match name.iter().position(|&byte| !is_allowed(byte)) {
        Some(position) => Err(TopicError::Byte { byte: name[position], position }),
        None => Ok(()),
    }
}

const fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'~' | b'=' | b'@')
}

/// RFC 3986 §2.1.
fn percent_decode(encoded: &[u8]) -> Result<Vec<u8>, TopicError> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let position = encoded.len() - after.len() - 1;
        let [high, low, after @ ..] = after else { return Err(TopicError::PercentEncoding { position }) };
        let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else {
            return Err(TopicError::PercentEncoding { position });
        };
        decoded.push(high << 4 | low);
        rest = after;
    }
    Ok(decoded)
}

const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_allowed_bytes_pass() {
        let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:~=@";
        for byte in 0..=127u8 {
            let character = char::from(byte);
            let passed = TopicName::new(&format!("a{character}b")).is_ok();
            assert_eq!(passed, allowed.contains(character), "byte {byte:#04x}");
        }
    }

    #[test]
    fn errors_name_the_byte_its_position_and_what_is_allowed() {
        assert_eq!(
            TopicName::new("a/b").unwrap_err().to_string(),
            "byte 0x2f at position 1 is not allowed in a topic name; use A-Z a-z 0-9 . _ - : ~ = @"
        );
        assert_eq!(TopicName::new("price€"), Err(TopicError::Byte { byte: 0xE2, position: 5 }));
    }

    #[test]
    fn length_is_1_to_255_bytes() {
        assert_eq!(TopicName::new(""), Err(TopicError::Empty));
        assert_eq!(TopicName::new(&"a".repeat(255)).unwrap().as_str().len(), 255);
        assert_eq!(TopicName::new(&"a".repeat(256)), Err(TopicError::TooLong { bytes: 256 }));
    }

    #[test]
    fn dot_segments_are_refused_encoded_or_not() {
        assert_eq!(TopicName::new("."), Err(TopicError::DotSegment));
        assert_eq!(TopicName::new(".."), Err(TopicError::DotSegment));
        assert_eq!(TopicName::from_path_segment("%2e%2E"), Err(TopicError::DotSegment));
        assert_eq!(TopicName::new("...").unwrap().as_str(), "...");
    }

    #[test]
    fn path_segments_are_decoded_once() {
        assert_eq!(TopicName::from_path_segment("room%3A7").unwrap().as_str(), "room:7");
        assert_eq!(TopicName::from_path_segment("plain").unwrap().as_str(), "plain");
        // A second decoding would turn %253A into a colon.
        assert_eq!(TopicName::from_path_segment("a%253A"), Err(TopicError::Byte { byte: b'%', position: 1 }));
        assert_eq!(TopicName::from_path_segment("a%2Fb"), Err(TopicError::Byte { byte: b'/', position: 1 }));
    }

    #[test]
    fn broken_percent_encoding_is_refused_with_its_position() {
        for segment in ["ab%", "ab%4", "ab%4g", "ab%+1"] {
            assert_eq!(
                TopicName::from_path_segment(segment),
                Err(TopicError::PercentEncoding { position: 2 }),
                "{segment}"
            );
        }
    }
}
