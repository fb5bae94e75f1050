//! Whether bytes are a JSON value that may be handed on as it is.

use serde_json::value::RawValue;
use std::ops::Range;

/// How deep arrays and objects of a value may stand in each other. serde_json hands a value on at any depth, but reads 127
/// levels at most, like many other parsers, and subscribers get the value inside one more object: what they could not read
/// is refused.
pub const MAX_NESTING: usize = 126;

/// Why bytes are no such value, and where: line and column, in bytes, count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub struct NotJson {
    pub what: String,
    pub line: usize,
    pub column: usize,
}

/// Checks that these bytes are exactly one JSON value in UTF-8; gives where it is, without white space around it.
pub fn find_value(bytes: &[u8]) -> Result<Range<usize>, NotJson> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| NotJson::at(bytes, error.valid_up_to(), "bytes that are not UTF-8"))?;
    let value = serde_json::from_str::<&RawValue>(text)?.get();
    let start = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    match too_deep(value) {
        Some(position) => Err(NotJson::at(bytes, start + position, &nested_too_deep())),
        None => Ok(start..start + value.len()),
    }
}

/// Where a value, which must be valid JSON, has one level too many.
pub(super) fn too_deep(json: &str) -> Option<usize> {
    // A level takes two bytes.
    if json.len() <= 2 * MAX_NESTING {
        return None;
    }
    let mut depth = 0;
    let mut bytes = json.bytes().enumerate();
    while let Some((position, byte)) = bytes.next() {
        match byte {
            b'[' | b'{' if depth == MAX_NESTING => return Some(position),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            // Brackets in strings mean nothing, nor does a quote after a backslash.
            b'"' => {
                while let Some((_, byte)) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    None
}

pub(super) fn nested_too_deep() -> String {
    format!("arrays and objects nested more than {MAX_NESTING} deep, which many parsers refuse")
}

impl NotJson {
    fn at(bytes: &[u8], position: usize, what: &str) -> Self {
        let before = &bytes[..position];
        let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        Self { what: what.to_owned(), line, column: 1 + position - line_start }
    }
}

impl From<serde_json::Error> for NotJson {
    fn from(error: serde_json::Error) -> Self {
        let said = error.to_string();
        let what = said.rsplit_once(" at line ").map_or(&*said, |(what, _)| what);
        Self { what: what.to_owned(), line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    fn said(bytes: &[u8]) -> String {
        find_value(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_value_is_found_without_the_white_space_around_it() {
        for (bytes, found) in [
            ("1", 0..1),
            ("null", 0..4),
            ("\"\"", 0..2),
            (" \r\n\t{\"a\" : [1e999, -0.0]} \r\n", 4..25),
            // Valid by the grammar (RFC 8259 §8.2), whatever it may mean.
            ("\"\\ud800\"", 0..8),
        ] {
            assert_eq!(find_value(bytes.as_bytes()), Ok(found), "{bytes}");
        }
    }

    #[test]
    fn what_is_no_value_is_told_with_its_place() {
        for (bytes, error) in [
            (&b""[..], "EOF while parsing a value at line 1 column 0"),
            (b" \n ", "EOF while parsing a value at line 2 column 1"),
            (b"{\n  \"a\": .5\n}", "expected value at line 2 column 8"),
            (b"1 2", "trailing characters at line 1 column 3"),
            (b"{'a':1}", "key must be a string at line 1 column 2"),
            (b"[1,]", "expected value at line 1 column 4"),
            (b"NaN", "expected value at line 1 column 1"),
            (b"\x0C1", "expected value at line 1 column 1"),
            (b"\xEF\xBB\xBF1", "expected value at line 1 column 1"),
            (b"[1,\n\"\xFF\"]", "bytes that are not UTF-8 at line 2 column 2"),
        ] {
            assert_eq!(said(bytes), error, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn nesting_has_a_limit_that_strings_do_not_count_for() {
        let deepest = nested(MAX_NESTING);
        assert_eq!(find_value(deepest.as_bytes()), Ok(0..252));
        let siblings = format!("[{}]", vec!["[]"; 1000].join(","));
        assert!(find_value(siblings.as_bytes()).is_ok());
        let brackets_in_text = format!(r#"["\\\"{}", "{}"]"#, "[".repeat(500), "{".repeat(500));
        assert!(find_value(brackets_in_text.as_bytes()).is_ok());

        let error = "arrays and objects nested more than 126 deep, which many parsers refuse";
        assert_eq!(said(nested(127).as_bytes()), format!("{error} at line 1 column 127"));
        let objects = format!("\n\n{}1{}", "{\"a\":".repeat(127), "}".repeat(127));
        assert_eq!(said(objects.as_bytes()), format!("{error} at line 3 column 631"));
        // Neither the stack nor the time for it grows with what a peer sends.
        assert_eq!(said(nested(1 << 20).as_bytes()), format!("{error} at line 1 column 127"));
        assert_eq!(said("[".repeat(1 << 20).as_bytes()), "EOF while parsing a list at line 1 column 1048576");
    }

    #[test]
    fn the_deepest_value_can_be_read_inside_of_a_message() {
        let read =
            |depth| serde_json::from_str::<serde_json::Value>(&format!("{{\"data\":{}}}", nested(depth)));
        assert!(read(MAX_NESTING).is_ok());
        assert!(read(MAX_NESTING + 1).is_err());
    }
}
