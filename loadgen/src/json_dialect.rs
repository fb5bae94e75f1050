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
/// The same where publishers share a connection.
pub const PUBLISH_SHARED: &str =
    r#"{"op":"publish","topic":"{topic}","data":"{payload}","id":"{publisher}.{sequence}"}"#;
/// Begins every message of a topic.
pub const MESSAGE: &str = r#"{"op":"message","topic":"{topic}","offset":"#;

/// Digits that stand for `{sequence}` and `{publisher}`, leading zeros included: messages keep their length.
pub const DIGITS: usize = 10;

/// The message that an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageId {
    /// `None` on a connection with one publisher, where ids do not say.
    pub publisher: Option<u32>,
    pub sequence: u32,
}

/// What the server says of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Published {
        id: MessageId,
        offset: u64,
    },
    Refused {
        /// Missing when the server could not read the request, or the refusal is about something else.
        id: Option<MessageId>,
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
        return refusal(message).map(|(id, reason)| Answer::Refused { id, reason });
    };
    let offset_ends = rest.iter().position(|byte| *byte == b',')?;
    let (offset, rest) = rest.split_at(offset_ends);
    let id = rest.strip_prefix(br#","id":""#)?.strip_suffix(br#""}"#)?;
    Some(Answer::Published { id: MessageId::parse(id)?, offset: number(offset)? })
}

/// What the server refuses, and why: `{"op":"error",...}`.
pub fn refusal(message: &[u8]) -> Option<(Option<MessageId>, String)> {
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
    let id = id.as_ref().and_then(serde_json::Value::as_str).and_then(|id| MessageId::parse(id.as_bytes()));
    Some((id, format!("{code}: {text}")))
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

impl MessageId {
    fn parse(id: &[u8]) -> Option<Self> {
        let number = |digits| u32::try_from(number(digits)?).ok();
        match id.iter().position(|byte| *byte == b'.') {
            Some(dot) => {
                Some(Self { publisher: Some(number(&id[..dot])?), sequence: number(&id[dot + 1..])? })
            }
            None => Some(Self { publisher: None, sequence: number(id)? }),
        }
    }
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
        let id = MessageId { publisher: None, sequence: 42 };
        assert_eq!(answer(message), Some(Answer::Published { id, offset: 1_234_567_890_123 }));
        let largest = br#"{"op":"published","offset":7,"id":"4294967295"}"#;
        let id = MessageId { publisher: None, sequence: u32::MAX };
        assert_eq!(answer(largest), Some(Answer::Published { id, offset: 7 }));
    }

    #[test]
    fn on_a_shared_connection_an_answer_names_the_publisher_too() {
        let message = br#"{"op":"published","offset":9,"id":"0000019999.0000000042"}"#;
        let id = MessageId { publisher: Some(19_999), sequence: 42 };
        assert_eq!(answer(message), Some(Answer::Published { id, offset: 9 }));
        let message = br#"{"op":"error","code":"overloaded","message":"wait","id":"0000000003.4294967294"}"#;
        let id = MessageId { publisher: Some(3), sequence: 4_294_967_294 };
        let reason = "overloaded: wait".to_owned();
        assert_eq!(answer(message), Some(Answer::Refused { id: Some(id), reason }));
    }

    #[test]
    fn what_is_no_answer_of_ours_is_none() {
        for message in [
            &br#"{"op":"pong","id":3}"#[..],
            br#"{"op":"published","offset":7}"#,
            br#"{"op":"published","offset":7,"id":8}"#,
            br#"{"op":"published","offset":7,"id":"4294967296"}"#,
            br#"{"op":"published","offset":7,"id":"0000000001."}"#,
            br#"{"op":"published","offset":7,"id":"0000000001.0000000002.0000000003"}"#,
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
        let id = Some(MessageId { publisher: None, sequence: 7 });
        assert_eq!(answer(message), Some(Answer::Refused { id, reason: reason.clone() }));
        assert_eq!(refusal(message), Some((id, reason)));
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
