//! What a request's body is published as.

use super::{Refusal, ndjson};
use crate::dialect::find_value;
use crate::ids::Form;
use corecast_protocol::http1::RequestHead;
use std::ops::Range;

/// How a body is taken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// It is one message.
    One(Form),
    /// Each of its lines is a message: one JSON value.
    Lines,
}

impl BodyForm {
    /// What each of its messages is.
    pub fn of_messages(self) -> Form {
        match self {
            Self::One(form) => form,
            Self::Lines => Form::Json,
        }
    }
}

/// How a body is published, by its content type: what subscribers can read as text is text.
pub fn body_form(head: &RequestHead<'_>) -> Result<BodyForm, Refusal> {
    let Some(value) = head.header("content-type").next() else { return Ok(BodyForm::One(Form::Text)) };
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let media_type = value.split(';').next().unwrap_or("").trim();
    let form = match media_type {
        "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            return Ok(BodyForm::Lines);
        }
        "application/json" => Form::Json,
        "" | "application/xml" | "application/x-www-form-urlencoded" => Form::Text,
        _ if media_type.ends_with("+json") => Form::Json,
        _ if media_type.starts_with("text/") || media_type.ends_with("+xml") => Form::Text,
        _ => Form::Binary,
    };
    Ok(BodyForm::One(form))
}

/// Checks a body that is whole; gives where in it its messages are, of which there is at least one.
pub fn check_body(form: BodyForm, body: &[u8]) -> Result<Vec<Range<usize>>, Refusal> {
    let whole = 0..body.len();
    match form {
        BodyForm::One(Form::Binary) => Ok(vec![whole]),
        BodyForm::One(Form::Text) => match std::str::from_utf8(body) {
            Ok(_) => Ok(vec![whole]),
            Err(error) => Err(Refusal::new(
                400,
                "bad_request",
                format!(
                    "the body is not UTF-8 at byte {}; publish binary data with Content-Type: application/octet-stream",
                    error.valid_up_to()
                ),
            )),
        },
        BodyForm::One(Form::Json) => match find_value(body) {
            Ok(value) => Ok(vec![value]),
            Err(error) => Err(Refusal::new(
                400,
                "bad_request",
                format!("the body is not JSON: {error}; publish other text with Content-Type: text/plain"),
            )),
        },
        BodyForm::Lines => ndjson::find_lines(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::with_head;

    #[test]
    fn content_type_decides_how_a_body_is_taken() {
        let form = |content_type: &str| {
            with_head(&format!("POST /topics/a HTTP/1.1\r\nContent-Type: {content_type}"), body_form)
        };
        for (types, expected) in [
            (
                &[
                    "",
                    "text/plain; charset=utf-8",
                    "TEXT/HTML",
                    "application/xml",
                    "image/svg+xml",
                    "application/x-www-form-urlencoded",
                ][..],
                BodyForm::One(Form::Text),
            ),
            (
                &["application/json", "Application/JSON; charset=utf-8", "application/problem+json"],
                BodyForm::One(Form::Json),
            ),
            (
                &["application/octet-stream", "image/png", "application/cbor", "json"],
                BodyForm::One(Form::Binary),
            ),
            (
                &["application/x-ndjson", "application/jsonl; charset=utf-8", "application/x-jsonlines"],
                BodyForm::Lines,
            ),
        ] {
            for content_type in types {
                assert_eq!(form(content_type), Ok(expected), "{content_type}");
            }
        }
        assert_eq!(with_head("POST /topics/a HTTP/1.1", body_form), Ok(BodyForm::One(Form::Text)));
    }

    #[test]
    fn a_body_is_one_message_or_one_a_line() {
        for (form, body, messages) in [
            (BodyForm::One(Form::Binary), "\0\n", &["\0\n"][..]),
            (BodyForm::One(Form::Binary), "", &[""]),
            (BodyForm::One(Form::Text), " 1\n", &[" 1\n"]),
            (BodyForm::One(Form::Text), "", &[""]),
            (BodyForm::One(Form::Json), " {\n}\n", &["{\n}"]),
            (BodyForm::Lines, "1\n[2]\n", &["1", "[2]"]),
        ] {
            let found = check_body(form, body.as_bytes()).unwrap();
            let found: Vec<&str> = found.into_iter().map(|range| &body[range]).collect();
            assert_eq!(found, messages, "{form:?} {body:?}");
        }
        assert!(check_body(BodyForm::One(Form::Binary), b"\xFF").is_ok());
    }

    #[test]
    fn a_body_that_is_not_what_it_says_is_refused() {
        for (form, body, message) in [
            (
                Form::Text,
                &b"ab\xFF"[..],
                "the body is not UTF-8 at byte 2; publish binary data with Content-Type: application/octet-stream",
            ),
            (
                Form::Json,
                b"{\n'a':1}",
                "the body is not JSON: key must be a string at line 2 column 1; publish other text with Content-Type: text/plain",
            ),
            (
                Form::Json,
                b"",
                "the body is not JSON: EOF while parsing a value at line 1 column 0; publish other text with Content-Type: text/plain",
            ),
        ] {
            let refusal = check_body(BodyForm::One(form), body).unwrap_err();
            assert_eq!((refusal.status, refusal.code, &*refusal.message), (400, "bad_request", message));
        }
    }
}
