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
