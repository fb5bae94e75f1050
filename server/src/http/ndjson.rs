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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str) -> Vec<&str> {
        find_lines(body.as_bytes()).unwrap().into_iter().map(|line| &body[line]).collect()
    }

    fn refused(body: &[u8]) -> (u16, String) {
        let refusal = find_lines(body).unwrap_err();
        (refusal.status, refusal.message)
    }

    #[test]
    fn each_line_is_a_value() {
        assert_eq!(lines("{\"a\": 1}\n[2, 3]\n"), ["{\"a\": 1}", "[2, 3]"]);
        assert_eq!(lines("1\r\n\"\\n\"\r\n"), ["1", "\"\\n\""]);
        assert_eq!(lines("1\nnull"), ["1", "null"]);
        assert_eq!(lines("\n\n 1 \n\t\r\n2\t\n \n"), ["1", "2"]);
        assert_eq!(lines("1"), ["1"]);
    }

    #[test]
    fn one_bad_line_refuses_all_and_is_named() {
        for (body, message) in [
            (
                &b"{\"a\":1}\n\n{\"a\":}\n"[..],
                "line 3 is not JSON: expected value at column 6; nothing was published",
            ),
            (b"1 2\n", "line 1 is not JSON: trailing characters at column 3; nothing was published"),
            // A value over two lines is not one a line.
            (
                b"1\n{\n}",
                "line 2 is not JSON: EOF while parsing an object at column 1; nothing was published",
            ),
            (b"1\r2\n", "line 1 is not JSON: trailing characters at column 3; nothing was published"),
            (
                b"1\n2\n\"\xFF\"",
                "line 3 is not JSON: bytes that are not UTF-8 at column 2; nothing was published",
            ),
        ] {
            assert_eq!(refused(body), (400, message.to_owned()), "{}", body.escape_ascii());
        }
        let deep = format!("1\n{}{}", "[".repeat(127), "]".repeat(127));
        assert_eq!(
            refused(deep.as_bytes()).1,
            "line 2 is not JSON: arrays and objects nested more than 126 deep, which many parsers refuse at column 127; \
             nothing was published"
        );
    }

    #[test]
    fn a_body_without_lines_is_a_mistake() {
        for body in ["", "\n", "\r\n \n"] {
            assert_eq!(
                refused(body.as_bytes()),
                (400, "the body has no line; give one JSON value a line".to_owned())
            );
        }
    }

    #[test]
    fn lines_have_a_limit() {
        assert_eq!(find_lines("1\n\n".repeat(10_000).as_bytes()).unwrap().len(), 10_000);
        assert_eq!(
            refused("1\n".repeat(10_001).as_bytes()),
            (413, "a body of more than 10000 messages; nothing was published, split it".to_owned())
        );
    }
}
