//! Whether bytes are a JSON value that may be handed on as it is.

use serde_json::value::RawValue;
use std::ops::Range;

/// How deep arrays and objects of a value may stand in each other. Many parsers give up at 128 levels (serde_json's takes
/// 127), and subscribers get the value inside one more object: what they can't read is refused at the door.
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
    let mut depth = 0;
    let mut bytes = json.bytes().enumerate();
    // A level takes two bytes.
    if json.len() <= 2 * MAX_NESTING {
        return None;
    }
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
