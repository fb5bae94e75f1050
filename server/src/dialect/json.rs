//! The JSON dialect, `corecast.json.v1`: every message is text and one JSON object, named by its member `op`.

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
    write_object(reply, id, out).expect("a Vec takes everything");
    // The header comes last, when the length is known. Replies are short: moving one costs less than a buffer of its own.
    let header = server_header(Opcode::Text, out.len() - start);
    out.splice(start..start, header.iter().copied());
}

fn write_object(reply: &Reply<'_>, id: Option<&RequestId>, out: &mut Vec<u8>) -> std::io::Result<()> {
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
        Reply::Published { offset } => write!(out, r#"{{"op":"published","offset":{}"#, offset.0)?,
        Reply::Pong => write!(out, r#"{{"op":"pong""#)?,
        Reply::Missed { topic, from, to } => {
            write!(out, r#"{{"op":"missed","topic":{},"from":{},"to":{}"#, Quoted(topic), from.0, to.0)?;
        }
        Reply::Error { code, message } => {
            write!(out, r#"{{"op":"error","code":{},"message":{}"#, Quoted(code), Quoted(message))?;
        }
    }
    if let Some(id) = id {
        write!(out, r#","id":{id}"#)?;
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
