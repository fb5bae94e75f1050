//! The JSON dialect, `corecast.json.v1`: every message is text and one JSON object, named by its member `op`.

use super::message::write_offset;
use super::value::{nested_too_deep, too_deep};
use crate::ids::{Offset, Published};
use corecast_protocol::{Opcode, frame::server_header, topic::TopicName};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::Write;

/// The dialect's name in the opening handshake (RFC 6455 §1.9).
pub const SUBPROTOCOL: &str = "corecast.json.v1";

/// The longest id, in bytes between its quotes.
const MAX_ID_BYTES: usize = 128;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub id: Option<RequestId>,
    pub command: Command<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Subscribe {
        topic: TopicName,
    },
    Unsubscribe {
        topic: TopicName,
    },
    Publish {
        topic: TopicName,
        /// The value's exact bytes, without white space around it.
        data: &'a str,
    },
    Ping,
}

/// What a client calls its request, as it wrote it: a JSON string or an integer. Answers carry it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

impl AsRef<str> for RequestId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request that is not done, and what to tell its sender.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub id: Option<RequestId>,
    /// One of the outside interface's error codes.
    pub code: &'static str,
    pub message: String,
}

/// Reads one request. Its id is found even when something else is wrong with it, if it can be read before that.
pub fn parse(text: &str) -> Result<Request<'_>, Failure> {
    let mut members = Members::default();
    let outcome = read_members(text, &mut members);
    let id = members.id.map(request_id).transpose();
    let (id, outcome) = match id {
        Ok(id) => (id, outcome),
        Err(message) => (None, outcome.and(Err(("bad_request", message)))),
    };
    match outcome.and_then(|()| members.command()) {
        Ok(command) => Ok(Request { id, command }),
        Err((code, message)) => Err(Failure { id, code, message }),
    }
}

/// An error code, and what is wrong and how to mend it.
type Wrong = (&'static str, String);

/// The members of a request that mean something, not yet looked into.
#[derive(Default)]
struct Members<'a> {
    op: Option<&'a RawValue>,
    topic: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    /// One of them stands there twice.
    repeated: Option<&'static str>,
}

#[derive(Copy, Clone, Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Op,
    Topic,
    Data,
    Id,
    #[serde(other)]
    Unknown,
}

/// Reads the text up to its end, or as far as it is JSON: what was found until then stays in `members`.
fn read_members<'a>(text: &'a str, members: &mut Members<'a>) -> Result<(), Wrong> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(bad_request(r#"a request is one JSON object, such as {"op":"subscribe","topic":"a"}"#));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader
        .deserialize_map(&mut *members)
        .and_then(|()| reader.end())
        .map_err(|error| bad_request(format!("the request is not valid JSON: {error}")))?;
    match members.repeated {
        // Parsers differ in which of the two they take, so what the sender meant can't be known.
        Some(name) => Err(bad_request(format!("the request has {name:?} more than once; give it once"))),
        None => Ok(()),
    }
}

impl<'a> Visitor<'a> for &mut Members<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key()? {
            let (name, place) = match member {
                Member::Op => ("op", &mut self.op),
                Member::Topic => ("topic", &mut self.topic),
                Member::Data => ("data", &mut self.data),
                Member::Id => ("id", &mut self.id),
                Member::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let value = map.next_value()?;
            if place.is_some() {
                self.repeated = Some(name);
            } else {
                *place = Some(value);
            }
        }
        Ok(())
    }
}

impl<'a> Members<'a> {
    fn command(&self) -> Result<Command<'a>, Wrong> {
        let Some(op) = self.op else {
            return Err(bad_request(format!("the request has no \"op\"; it is one of {OPS}")));
        };
        match string(op).as_deref() {
            Some("subscribe") => Ok(Command::Subscribe { topic: self.topic("subscribe")? }),
            Some("unsubscribe") => Ok(Command::Unsubscribe { topic: self.topic("unsubscribe")? }),
            Some("publish") => Ok(Command::Publish { topic: self.topic("publish")?, data: self.data()? }),
            Some("ping") => Ok(Command::Ping),
            Some(_) | None => {
                let op = start_of(op.get());
                Err(bad_request(format!("\"op\" is {op}, which is unknown; it is one of {OPS}")))
            }
        }
    }

    fn topic(&self, op: &str) -> Result<TopicName, Wrong> {
        let Some(topic) = self.topic else {
            return Err(bad_request(format!(r#"{op} has no "topic"; write {{"op":"{op}","topic":"a",..}}"#)));
        };
        let Some(name) = string(topic) else {
            return Err(("bad_topic", r#""topic" is not a string; write it as "topic":"a""#.into()));
        };
        TopicName::new(&name).map_err(|error| ("bad_topic", error.to_string()))
    }

    fn data(&self) -> Result<&'a str, Wrong> {
        let Some(data) = self.data else {
            return Err(bad_request(
                r#"publish has no "data"; give any JSON value, such as "data":{"price":1} or "data":null"#,
            ));
        };
        match too_deep(data.get()) {
            Some(position) => {
                Err(bad_request(format!("\"data\" has {} at its byte {position}", nested_too_deep())))
            }
            None => Ok(data.get()),
        }
    }
}

const OPS: &str = "subscribe, unsubscribe, publish, ping";

fn bad_request(message: impl Into<String>) -> Wrong {
    ("bad_request", message.into())
}

/// The id as it stands there, if it is one.
fn request_id(id: &RawValue) -> Result<RequestId, String> {
    let is_id = match string(id) {
        Some(text) => text.len() <= MAX_ID_BYTES,
        None => id.get().parse::<i64>().is_ok(),
    };
    if is_id {
        return Ok(RequestId(id.get().into()));
    }
    Err(format!(
        "\"id\" is {}; it is a string of at most {MAX_ID_BYTES} bytes, an integer of at most 64 bits, or left out",
        start_of(id.get())
    ))
}

/// What a JSON string says; None for another value, and for one that is no text (half a surrogate pair).
fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let content = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if content.contains('\\') {
        return serde_json::from_str(value.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(content))
}

/// Enough of a value to recognise it by.
fn start_of(value: &str) -> Cow<'_, str> {
    const SHOWN_BYTES: usize = 64;
    if value.len() <= SHOWN_BYTES {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("{}..", &value[..value.floor_char_boundary(SHOWN_BYTES)]))
}

/// What a client is told, apart from messages.
#[derive(Debug)]
pub enum Reply<'a> {
    /// The first message that comes is the one after `at`.
    Subscribed {
        topic: &'a str,
        at: Published,
    },
    Unsubscribed {
        topic: &'a str,
    },
    Published {
        offset: Offset,
    },
    Pong,
    /// Both offsets belong to what was missed.
    Missed {
        topic: &'a str,
        from: Offset,
        to: Offset,
    },
    Error {
        code: &'a str,
        message: &'a str,
    },
}

/// Appends a reply as one whole frame.
pub fn write_reply(reply: &Reply<'_>, id: Option<&RequestId>, out: &mut Vec<u8>) {
    let start = out.len();
    // The header comes last, when the length is known: that of most replies has two bytes.
    out.extend_from_slice(&[0; 2]);
    let object = out.len();
    write_object(reply, id, out).expect("a Vec takes everything");
    let header = server_header(Opcode::Text, out.len() - object);
    out.splice(start..object, header.iter().copied());
}

/// Appends a reply as the object alone.
pub(crate) fn write_object(
    reply: &Reply<'_>,
    id: Option<&RequestId>,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    match reply {
        Reply::Subscribed { topic, at } => {
            let topic = Quoted(topic);
            write!(
                out,
                r#"{{"op":"subscribed","topic":{topic},"offset":{},"epoch":"{}""#,
                at.offset.0, at.epoch
            )?;
        }
        Reply::Unsubscribed { topic } => write!(out, r#"{{"op":"unsubscribed","topic":{}"#, Quoted(topic))?,
        Reply::Published { offset } => {
            out.extend_from_slice(br#"{"op":"published","offset":"#);
            write_offset(out, *offset);
        }
        Reply::Pong => write!(out, r#"{{"op":"pong""#)?,
        Reply::Missed { topic, from, to } => {
            write!(out, r#"{{"op":"missed","topic":{},"from":{},"to":{}"#, Quoted(topic), from.0, to.0)?;
        }
        Reply::Error { code, message } => {
            write!(out, r#"{{"op":"error","code":{},"message":{}"#, Quoted(code), Quoted(message))?;
        }
    }
    if let Some(id) = id {
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id.as_ref().as_bytes());
    }
    out.write_all(b"}")
}

/// A text as a JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn id(text: &str) -> Option<RequestId> {
        Some(RequestId(text.into()))
    }

    /// Code, message and id of a refused request.
    fn failure(text: &str) -> (&'static str, String, Option<String>) {
        let failure = parse(text).unwrap_err();
        (failure.code, failure.message, failure.id.map(|id| id.to_string()))
    }

    /// A refused request without an id.
    fn bad(text: &str) -> String {
        let (code, message, id) = failure(text);
        assert_eq!((code, id), ("bad_request", None), "{text}");
        message
    }

    #[test]
    fn every_request_is_read() {
        for (text, id, command) in [
            (r#"{"op":"subscribe","topic":"a","id":1}"#, id("1"), Command::Subscribe { topic: topic("a") }),
            (
                r#"{"op":"unsubscribe","topic":"a","id":"x"}"#,
                id("\"x\""),
                Command::Unsubscribe { topic: topic("a") },
            ),
            (
                r#"{"op":"publish","topic":"a","data":{"price":1},"id":2}"#,
                id("2"),
                Command::Publish { topic: topic("a"), data: r#"{"price":1}"# },
            ),
            (r#"{"op":"ping","id":3}"#, id("3"), Command::Ping),
            (r#"{"op":"ping"}"#, None, Command::Ping),
            // Order, white space and escapes mean nothing; other members neither.
            (
                " {\n\"id\" : 7 , \"x\":[{\"op\":1}], \"topic\":\"r\\u006fom\", \"\\u006fp\":\"\\u0070ublish\", \"data\" : 1 }\r\n",
                id("7"),
                Command::Publish { topic: topic("room"), data: "1" },
            ),
            (r#"{"op":"ping","topic":5,"data":6}"#, None, Command::Ping),
        ] {
            assert_eq!(parse(text), Ok(Request { id, command }), "{text}");
        }
    }

    #[test]
    fn data_is_any_value_byte_for_byte() {
        for data in [
            "null",
            "true",
            "-0.10e+400",
            "123456789012345678901234567890",
            r#""""#,
            r#""a\"}\u00e9é\/""#,
            "[ 1 ,\n 2 ]",
            r#"{"op":"ping","data":{"id":9},"a":1,"a":2}"#,
        ] {
            let text = format!(r#"{{"op":"publish","topic":"a","data": {data} ,"id":1}}"#);
            let command = Command::Publish { topic: topic("a"), data };
            assert_eq!(parse(&text), Ok(Request { id: id("1"), command }), "{text}");
        }
    }

    #[test]
    fn ids_are_short_strings_and_integers_and_echoed_as_written() {
        let longest = format!("\"{}\"", "é".repeat(64));
        let escaped = format!("\"{}\"", "\\u0041".repeat(128));
        for text in [
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            r#""""#,
            r#""\u00e9\n""#,
            &longest,
            &escaped,
        ] {
            let request = format!(r#"{{"op":"ping","id":{text}}}"#);
            assert_eq!(parse(&request).map(|request| request.id), Ok(id(text)), "{text}");
        }
        let rule = "it is a string of at most 128 bytes, an integer of at most 64 bits, or left out";
        for text in [
            "1.0",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "null",
            "true",
            "[1]",
            r#"{"a":1}"#,
            r#""\ud800""#,
        ] {
            assert_eq!(bad(&format!(r#"{{"op":"ping","id":{text}}}"#)), format!("\"id\" is {text}; {rule}"));
        }
        for text in [format!("\"{}\"", "x".repeat(129)), "1".repeat(1 << 16)] {
            let shown = &text[..64];
            assert_eq!(
                bad(&format!(r#"{{"op":"ping","id":{text}}}"#)),
                format!("\"id\" is {shown}..; {rule}")
            );
        }
    }

    #[test]
    fn what_is_no_request_is_told_what_one_is() {
        let rule = r#"a request is one JSON object, such as {"op":"subscribe","topic":"a"}"#;
        for text in ["", " ", "null", "5", "\"subscribe\"", r#"[{"op":"ping"}]"#, "subscribe a", "\u{feff}{}"]
        {
            assert_eq!(bad(text), rule, "{text}");
        }
        for (text, message) in [
            ("{", "the request is not valid JSON: EOF while parsing an object at line 1 column 1"),
            (r#"{"op":"ping"} x"#, "the request is not valid JSON: trailing characters at line 1 column 15"),
            (
                r#"{"op":"ping"}{"op":"ping"}"#,
                "the request is not valid JSON: trailing characters at line 1 column 14",
            ),
            (r#"{op:"ping"}"#, "the request is not valid JSON: key must be a string at line 1 column 2"),
            ("{}", r#"the request has no "op"; it is one of subscribe, unsubscribe, publish, ping"#),
            (
                r#"{"OP":"ping"}"#,
                r#"the request has no "op"; it is one of subscribe, unsubscribe, publish, ping"#,
            ),
        ] {
            assert_eq!(bad(text), message, "{text}");
        }
    }

    #[test]
    fn failures_say_code_and_cure_and_echo_the_id() {
        let nested = format!(
            r#"{{"id":1,"op":"publish","topic":"a","data":{}1{}}}"#,
            "[".repeat(127),
            "]".repeat(127)
        );
        for (text, code, message) in [
            (
                r#"{"op":"Ping","id":1}"#,
                "bad_request",
                r#""op" is "Ping", which is unknown; it is one of subscribe, unsubscribe, publish, ping"#,
            ),
            (
                r#"{"op":5,"id":1}"#,
                "bad_request",
                r#""op" is 5, which is unknown; it is one of subscribe, unsubscribe, publish, ping"#,
            ),
            (
                r#"{"op":"subscribe","id":1}"#,
                "bad_request",
                r#"subscribe has no "topic"; write {"op":"subscribe","topic":"a",..}"#,
            ),
            (
                r#"{"op":"publish","data":1,"id":1}"#,
                "bad_request",
                r#"publish has no "topic"; write {"op":"publish","topic":"a",..}"#,
            ),
            (
                r#"{"op":"publish","topic":"a","id":1}"#,
                "bad_request",
                r#"publish has no "data"; give any JSON value, such as "data":{"price":1} or "data":null"#,
            ),
            (
                r#"{"op":"subscribe","topic":null,"id":1}"#,
                "bad_topic",
                r#""topic" is not a string; write it as "topic":"a""#,
            ),
            (
                r#"{"op":"subscribe","topic":"","id":1}"#,
                "bad_topic",
                "the topic name is empty; give 1 to 255 bytes",
            ),
            (
                r#"{"op":"unsubscribe","topic":"a/b","id":1}"#,
                "bad_topic",
                "byte 0x2f at position 1 is not allowed in a topic name; use A-Z a-z 0-9 . _ - : ~ = @",
            ),
            // Names are not percent-encoded here.
            (
                r#"{"op":"subscribe","topic":"a%2Db","id":1}"#,
                "bad_topic",
                "byte 0x25 at position 1 is not allowed in a topic name; use A-Z a-z 0-9 . _ - : ~ = @",
            ),
            (
                &nested,
                "bad_request",
                "\"data\" has arrays and objects nested more than 126 deep, which many parsers refuse at its byte 126",
            ),
            // As far as it could be read.
            (
                r#"{"id":1,"op":"subscribe","topic":"a"#,
                "bad_request",
                "the request is not valid JSON: EOF while parsing a string at line 1 column 35",
            ),
        ] {
            assert_eq!(failure(text), (code, message.to_owned(), Some("1".to_owned())), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        for (text, message) in [
            (r#"{"id":1,"op":"ping","op":"ping"}"#, r#"the request has "op" more than once; give it once"#),
            (r#"{"id":1,"op":"ping","\u0069d":2}"#, r#"the request has "id" more than once; give it once"#),
            (
                r#"{"op":"publish","topic":"a","data":1,"data":2,"id":1}"#,
                r#"the request has "data" more than once; give it once"#,
            ),
            (
                r#"{"op":"subscribe","topic":"a","topic":"b","id":1}"#,
                r#"the request has "topic" more than once; give it once"#,
            ),
        ] {
            assert_eq!(failure(text), ("bad_request", message.to_owned(), Some("1".to_owned())), "{text}");
        }
        assert!(parse(r#"{"op":"ping","x":1,"x":2}"#).is_ok());
    }

    #[test]
    fn answers_quote_little_of_what_they_refuse() {
        let long = "é".repeat(1 << 16);
        for text in [
            format!(r#"{{"op":"{long}"}}"#),
            format!(r#"{{"op":"ping","id":"{long}"}}"#),
            format!(r#"{{"op":"subscribe","topic":"{long}"}}"#),
            format!("{{{long}}}"),
            format!("\"{long}\""),
        ] {
            assert!(parse(&text).unwrap_err().message.len() < 200, "{text:.40}");
        }
    }

    /// Whatever a peer sends is read or refused.
    #[test]
    fn requests_cut_short_or_changed_in_a_byte_do_no_harm() {
        let text = r#"{"op":"publish","topic":"a","x":{"y":[null,-1.5e3]},"data":{"a":[true,"\u00e9\\"]},"id":"\ud83d\ude00"}"#;
        assert!(parse(text).is_ok());
        for end in 0..text.len() {
            assert!(parse(&text[..end]).is_err(), "{end}");
            for byte in ["", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", "u", "\0", "é"] {
                let _ = parse(&format!("{}{byte}{}", &text[..end], &text[end + 1..]));
            }
        }
    }

    fn replied(reply: &Reply<'_>, id: Option<&RequestId>) -> String {
        let mut out = Vec::new();
        write_reply(reply, id, &mut out);
        let payload = out.split_off(2);
        assert_eq!(out, [0x81, payload.len() as u8], "one text frame");
        String::from_utf8(payload).unwrap()
    }

    #[test]
    fn replies_are_as_promised() {
        let at = Published { offset: Offset(0), epoch: Epoch(0x0123_4567_89ab_cdef) };
        assert_eq!(
            replied(&Reply::Subscribed { topic: "a", at }, id("1").as_ref()),
            r#"{"op":"subscribed","topic":"a","offset":0,"epoch":"0123456789abcdef","id":1}"#
        );
        assert_eq!(
            replied(&Reply::Unsubscribed { topic: "a" }, id("\"x\"").as_ref()),
            r#"{"op":"unsubscribed","topic":"a","id":"x"}"#
        );
        assert_eq!(
            replied(&Reply::Published { offset: Offset(7) }, id("2").as_ref()),
            r#"{"op":"published","offset":7,"id":2}"#
        );
        assert_eq!(replied(&Reply::Pong, id("3").as_ref()), r#"{"op":"pong","id":3}"#);
        assert_eq!(replied(&Reply::Pong, None), r#"{"op":"pong"}"#);
        assert_eq!(
            replied(&Reply::Missed { topic: "a", from: Offset(10), to: Offset(19) }, None),
            r#"{"op":"missed","topic":"a","from":10,"to":19}"#
        );
        assert_eq!(
            replied(&Reply::Error { code: "bad_request", message: "say \"op\"\n" }, id("2").as_ref()),
            r#"{"op":"error","code":"bad_request","message":"say \"op\"\n","id":2}"#
        );
    }

    #[test]
    fn replies_are_appended_as_whole_frames_of_any_length() {
        let mut out = b"before".to_vec();
        // 38 bytes around the message.
        write_reply(&Reply::Error { code: "x", message: &"m".repeat(87) }, None, &mut out);
        write_reply(&Reply::Error { code: "x", message: &"m".repeat(88) }, None, &mut out);
        write_reply(&Reply::Pong, None, &mut out);
        assert_eq!(out[..14], *b"before\x81\x7D{\"op\":");
        assert_eq!(out[6 + 2 + 125..][..10], *b"\x81\x7E\x00\x7E{\"op\":");
        assert_eq!(out[6 + 2 + 125 + 4 + 126..], *b"\x81\x0D{\"op\":\"pong\"}");
    }
}
