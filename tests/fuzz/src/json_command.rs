//! Requests in the JSON dialect, against what RFC 8259 and the dialect's own rules say of them.

use crate::json;
use corecast::dialect::json::{Command, Failure, Reply, Request, parse, write_reply};
use corecast::dialect::{MAX_NESTING, find_value};
use corecast_protocol::topic::TopicName;
use serde_json::Value;

pub fn check(bytes: &[u8]) {
    check_value(bytes);
    let Ok(text) = str::from_utf8(bytes) else { return };
    let members = json::members(text);
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert_eq!(value.is_object(), members.is_some(), "the oracle and serde_json disagree on {text:?}");
    }
    let outcome = parse(text);
    let expected = members.as_deref().and_then(expected);
    match (&outcome, expected) {
        (Ok(request), Some(expected)) => assert_is(request, &expected),
        (Err(failure), None) => check_failure(failure, members.as_deref()),
        (outcome, expected) => panic!("{outcome:?} of {text:?}, where the oracle says {expected:?}"),
    }
}

/// What a request says, the data as it stands there.
#[derive(Debug)]
struct Expected<'a> {
    id: Option<&'a str>,
    op: String,
    topic: Option<String>,
    data: Option<&'a str>,
}

fn expected<'a>(members: &[json::Member<'a>]) -> Option<Expected<'a>> {
    // A key that means no text makes the object one that can't be read.
    members.iter().all(|member| member.0.is_some()).then_some(())?;
    for name in ["op", "topic", "data", "id"] {
        let count = members.iter().filter(|member| member.0.as_deref() == Some(name)).count();
        (count < 2).then_some(())?;
    }
    let id = find(members, "id");
    id.is_none_or(is_id).then_some(())?;
    let op = json::string(find(members, "op")?)?;
    let has_topic = ["subscribe", "unsubscribe", "publish"].contains(&&*op);
    (has_topic || op == "ping").then_some(())?;
    let topic = if has_topic { Some(json::string(find(members, "topic")?)?) } else { None };
    topic.as_deref().is_none_or(is_topic).then_some(())?;
    let data = if op == "publish" { Some(find(members, "data")?) } else { None };
    let is_handed_on = |data| json::value(data).is_some_and(|(_, depth)| depth <= MAX_NESTING);
    data.is_none_or(is_handed_on).then_some(())?;
    Some(Expected { id, op, topic, data })
}

fn find<'a>(members: &[json::Member<'a>], name: &str) -> Option<&'a str> {
    members.iter().find(|member| member.0.as_deref() == Some(name)).map(|member| member.1)
}

fn is_id(value: &str) -> bool {
    json::string(value).map_or_else(|| value.parse::<i64>().is_ok(), |text| text.len() <= 128)
}

fn is_topic(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:~=@".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(is_allowed) && name != "." && name != ".."
}

fn assert_is(request: &Request<'_>, expected: &Expected<'_>) {
    let (op, topic, data) = match &request.command {
        Command::Subscribe { topic } => ("subscribe", Some(topic), None),
        Command::Unsubscribe { topic } => ("unsubscribe", Some(topic), None),
        Command::Publish { topic, data } => ("publish", Some(topic), Some(*data)),
        Command::Ping => ("ping", None, None),
    };
    assert_eq!(op, expected.op);
    assert_eq!(topic.map(TopicName::as_str), expected.topic.as_deref());
    assert_eq!(data, expected.data);
    assert_eq!(request.id.as_ref().map(AsRef::as_ref), expected.id);
}

/// The id is found whatever else is wrong, and the answer can be read.
fn check_failure(failure: &Failure, members: Option<&[json::Member<'_>]>) {
    assert!(["bad_request", "bad_topic"].contains(&failure.code));
    if let Some(members) = members.filter(|members| members.iter().all(|member| member.0.is_some())) {
        let id = find(members, "id").filter(|id| is_id(id));
        assert_eq!(failure.id.as_ref().map(AsRef::as_ref), id);
    }
    let reply = Reply::Error { code: failure.code, message: &failure.message };
    let mut frame = Vec::new();
    write_reply(&reply, failure.id.as_ref(), &mut frame);
    let header_bytes = if frame[1] < 126 { 2 } else { 4 };
    let text = str::from_utf8(&frame[header_bytes..]).expect("a text frame's payload is UTF-8");
    let members = json::members(text).expect("a reply is an object");
    let said = |name| find(&members, name).and_then(json::string);
    assert_eq!(said("op").as_deref(), Some("error"));
    assert_eq!(said("code").as_deref(), Some(failure.code));
    assert_eq!(said("message").as_deref(), Some(&*failure.message));
    assert_eq!(find(&members, "id"), failure.id.as_ref().map(AsRef::as_ref));
}

/// The same bytes as the body of a publish by HTTP.
fn check_value(bytes: &[u8]) {
    let found = find_value(bytes).ok().map(|range| &bytes[range]);
    let value = str::from_utf8(bytes).ok().and_then(json::value).filter(|value| value.1 <= MAX_NESTING);
    assert_eq!(found, value.map(|value| value.0.as_bytes()), "{}", bytes.escape_ascii());
}
