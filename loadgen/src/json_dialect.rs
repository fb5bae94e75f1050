//! corecast's JSON dialect as far as this generator speaks it: what it sends as templates, and what comes back recognised.
//!
//! Messages are told by their beginning and their stamp, answers to publishes by their fixed ends: nothing that comes often is
//! parsed as JSON.

use serde::Deserialize;

/// The subprotocol of the dialect.
pub const SUBPROTOCOL: &str = "corecast.json.v1";
/// Asks for one topic.
pub const SUBSCRIBE: &str = r#"{"op":"subscribe","topic":"{topic}"}"#;
/// Begins the answer that confirms it.
pub const SUBSCRIBED: &str = r#"{"op":"subscribed","topic":"{topic}""#;
/// Around a published message. The id says which message an answer is about.
pub const PUBLISH: &str = r#"{"op":"publish","topic":"{topic}","data":"{payload}","id":"{sequence}"}"#;
/// Begins every message of a topic.
pub const MESSAGE: &str = r#"{"op":"message","topic":"{topic}","offset":"#;

/// Digits that stand for `{sequence}`, leading zeros included: messages keep their length.
pub const SEQUENCE_DIGITS: usize = 10;

/// What the server says of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Published {
        sequence: u32,
        offset: u64,
    },
    Refused {
        /// Missing when the server could not read the request, or the refusal is about something else.
        sequence: Option<u32>,
        /// Code and text, in the server's words.
        reason: String,
    },
}

/// An announcement that a subscriber was not sent some messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// `None` from servers that do not say.
    pub topic: Option<String>,
    /// Offsets of the first and the last one.
    pub from: u64,
    pub to: u64,
}

/// The answer to a publish; `None` for everything else, such as a `pong`.
pub fn answer(message: &[u8]) -> Option<Answer> {
    let Some(rest) = message.strip_prefix(br#"{"op":"published","offset":"#) else {
        return refusal(message).map(|(sequence, reason)| Answer::Refused { sequence, reason });
    };
    let offset_ends = rest.iter().position(|byte| *byte == b',')?;
    let (offset, rest) = rest.split_at(offset_ends);
    let digits = rest.strip_prefix(br#","id":""#)?.strip_suffix(br#""}"#)?;
    Some(Answer::Published { sequence: u32::try_from(number(digits)?).ok()?, offset: number(offset)? })
}

/// What the server refuses, and why: `{"op":"error",...}`.
pub fn refusal(message: &[u8]) -> Option<(Option<u32>, String)> {
    #[derive(Deserialize)]
    struct Refusal {
        code: String,
        message: String,
        id: Option<serde_json::Value>,
    }
    if !message.starts_with(br#"{"op":"error""#) {
        return None;
    }
    let Ok(Refusal { code, message: text, id }) = serde_json::from_slice(message) else {
        return Some((None, format!("an error that is no JSON: {}", String::from_utf8_lossy(message))));
    };
    let sequence = id.as_ref().and_then(serde_json::Value::as_str).and_then(|id| id.parse().ok());
    Some((sequence, format!("{code}: {text}")))
}

/// `{"op":"missed","topic":...,"from":...,"to":...}`, both ends included. A range that runs backwards says nothing.
pub fn missed(message: &[u8]) -> Option<Missed> {
    #[derive(Deserialize)]
    struct Notice {
        op: String,
        topic: Option<String>,
        from: u64,
        to: u64,
    }
    let Notice { op, topic, from, to } = serde_json::from_slice(message).ok()?;
    (op == "missed" && from <= to).then_some(Missed { topic, from, to })
}

impl Missed {
    /// How many of them have an offset of at least `first`.
    pub fn count_from(&self, first: u64) -> u64 {
        (self.to.saturating_add(1)).saturating_sub(self.from.max(first))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_names_message_and_offset() {
        let message = br#"{"op":"published","offset":1234567890123,"id":"0000000042"}"#;
        assert_eq!(answer(message), Some(Answer::Published { sequence: 42, offset: 1_234_567_890_123 }));
        let largest = br#"{"op":"published","offset":7,"id":"4294967295"}"#;
        assert_eq!(answer(largest), Some(Answer::Published { sequence: u32::MAX, offset: 7 }));
    }

    #[test]
    fn what_is_no_answer_of_ours_is_none() {
        for message in [
            &br#"{"op":"pong","id":3}"#[..],
            br#"{"op":"published","offset":7}"#,
            br#"{"op":"published","offset":7,"id":8}"#,
            br#"{"op":"published","offset":7,"id":"4294967296"}"#,
            br#"{"op":"published","offset":x,"id":"0000000001"}"#,
            br#"{"op":"published""#,
            b"",
        ] {
            assert_eq!(answer(message), None, "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn a_refusal_has_the_servers_words() {
        let message = br#"{"op":"error","code":"too_large","message":"give \"less\"","id":"0000000007"}"#;
        let reason = "too_large: give \"less\"".to_owned();
        assert_eq!(answer(message), Some(Answer::Refused { sequence: Some(7), reason: reason.clone() }));
        assert_eq!(refusal(message), Some((Some(7), reason)));
        let without_id = br#"{"op":"error","code":"bad_request","message":"no JSON"}"#;
        assert_eq!(refusal(without_id), Some((None, "bad_request: no JSON".to_owned())));
        assert_eq!(refusal(br#"{"op":"message","topic":"a","offset":1,"data":"error"}"#), None);
    }

    #[test]
    fn a_missed_range_includes_both_ends() {
        let notice = missed(br#"{"op":"missed","topic":"load-3","from":10,"to":19}"#).expect("a notice");
        assert_eq!(notice, Missed { topic: Some("load-3".to_owned()), from: 10, to: 19 });
        assert_eq!([0, 10, 15, 19, 20, 99].map(|first| notice.count_from(first)), [10, 10, 5, 1, 0, 0]);
        assert_eq!(missed(br#"{"op":"missed","topic":"a","from":9,"to":3}"#), None);
        assert_eq!(missed(br#"{"op":"message","topic":"a","offset":9,"data":{"from":1,"to":2}}"#), None);
    }
}
