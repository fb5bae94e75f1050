//! Bodies of many messages: one JSON value a line. All of them are published or none.

use super::Refusal;
use crate::dialect::find_value;
use std::ops::Range;

/// Messages in one body at most: they are published together, within one turn.
pub const MAX_LINES: usize = 10_000;

/// Checks every line; gives where in the body the values are. Lines end with LF or CRLF, the last one's end may be left out,
/// and blank ones count for nothing.
pub(super) fn find_lines(body: &[u8]) -> Result<Vec<Range<usize>>, Refusal> {
    let mut values = Vec::new();
    let mut start = 0;
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            let value = find_value(line).map_err(|error| {
                let (number, column) = (index + 1, error.column);
                bad_request(format!(
                    "line {number} is not JSON: {} at column {column}; nothing was published",
                    error.what
                ))
            })?;
            if values.len() == MAX_LINES {
                return Err(Refusal::new(
                    413,
                    "too_large",
                    format!("a body of more than {MAX_LINES} messages; nothing was published, split it"),
                ));
            }
            values.push(start + value.start..start + value.end);
        }
        start += line.len() + 1;
    }
    if values.is_empty() {
        return Err(bad_request("the body has no line; give one JSON value a line".to_owned()));
    }
    Ok(values)
}

fn bad_request(message: String) -> Refusal {
    Refusal::new(400, "bad_request", message)
}
