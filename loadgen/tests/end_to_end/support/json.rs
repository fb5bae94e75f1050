//! The server's side of corecast's JSON dialect, on `/ws`.

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;

use corecast_protocol::frame::encode_close;
use corecast_protocol::{CloseCode, Connection, Event, Input, Limits, MessageKind, Opcode, Side};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Form, Published, State, Subscriber, Topic, frame, read_more, send};

/// The epoch of every topic: none is ever forgotten.
const EPOCH: &str = "0123456789abcdef";

#[derive(Deserialize)]
struct Request<'a> {
    op: &'a str,
    topic: Option<&'a str>,
    id: Option<Value>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl State {
    pub(super) fn serve_json(&self, stream: &mut TcpStream, mut inbox: Vec<u8>) {
        let mut connection = Connection::new(Side::Server);
        let mut publishes = 0;
        let mut delayed = Vec::new();
        loop {
            let mut input = Input::new(&mut inbox);
            let limits = Limits::default();
            while let Some(event) =
                connection.poll_event(&mut input, &limits).expect("the generator keeps to RFC 6455")
            {
                match event {
                    Event::Message { kind: MessageKind::Text, payload } => {
                        let text = std::str::from_utf8(&payload).expect("checked by the connection");
                        let request: Request<'_> = serde_json::from_str(text).expect("a JSON request");
                        self.handle(&request, stream, &mut publishes, &mut delayed);
                    }
                    Event::Message { .. } => panic!("every frame is text"),
                    Event::Ping(payload) => send(stream, Opcode::Pong, &payload),
                    Event::Pong(_) => {}
                    Event::Deflated { .. } => panic!("no compression was agreed on"),
                    Event::Close(_) => {
                        let mut close = Vec::new();
                        encode_close(&mut close, CloseCode::NORMAL, "", None);
                        let _ = stream.write_all(&close);
                        return;
                    }
                }
            }
            inbox.clear();
            // The answers of one read, the last one first: topics of different homes are confirmed in any order.
            for answer in delayed.drain(..).rev() {
                send(stream, Opcode::Text, &answer);
            }
            if !read_more(stream, &mut inbox) {
                return;
            }
        }
    }

    fn handle(
        &self,
        request: &Request<'_>,
        stream: &mut TcpStream,
        publishes: &mut usize,
        delayed: &mut Vec<Vec<u8>>,
    ) {
        let topic = request.topic.expect("a topic");
        let id = request.id.as_ref().map_or(String::new(), |id| format!(r#","id":{id}"#));
        match request.op {
            "subscribe" if self.behaviour.refuse_topic == Some(topic) => {
                let answer = format!(r#"{{"op":"error","code":"forbidden","message":"not {topic}"{id}}}"#);
                delayed.push(answer.into_bytes());
            }
            "subscribe" => {
                let copy = stream.try_clone().expect("a descriptor");
                let mut topics = self.topics.lock().expect("no panic while locked");
                let entry = topics.entry(topic.to_owned()).or_default();
                entry.subscribers.push(Subscriber::new(copy, Form::Json));
                let offset = entry.messages;
                let answer = format!(
                    r#"{{"op":"subscribed","topic":"{topic}","offset":{offset},"epoch":"{EPOCH}"{id}}}"#
                );
                delayed.push(answer.into_bytes());
            }
            "publish" => {
                *publishes += 1;
                let is_every =
                    |every: Option<usize>| every.is_some_and(|every| publishes.is_multiple_of(every));
                let data = request.data.expect("data").get().as_bytes();
                let answer = if is_every(self.behaviour.refuse_every) {
                    format!(r#"{{"op":"error","code":"overloaded","message":"come back later"{id}}}"#)
                } else {
                    let offset = self.publish(topic, &Published::Json(data));
                    format!(r#"{{"op":"published","offset":{offset}{id}}}"#)
                };
                if !is_every(self.behaviour.leave_unanswered) {
                    send(stream, Opcode::Text, answer.as_bytes());
                }
            }
            other => panic!("the generator does not {other}"),
        }
    }
}

/// A message as JSON subscribers get it.
pub(super) fn message(topic: &str, offset: usize, published: &Published<'_>) -> Vec<u8> {
    let data = match published {
        Published::Json(value) => format!(r#""data":{}"#, String::from_utf8_lossy(value)),
        Published::Raw(MessageKind::Text, text) => {
            format!(r#""encoding":"text","data":{}"#, Value::from(String::from_utf8_lossy(text)))
        }
        Published::Raw(MessageKind::Binary, _) => panic!("no test needs base64"),
    };
    let text = format!(r#"{{"op":"message","topic":"{topic}","offset":{offset},{data}}}"#);
    frame(Opcode::Text, text.as_bytes())
}

pub(super) fn missed(topic: &str, from: usize, to: usize) -> Vec<u8> {
    let text = format!(r#"{{"op":"missed","topic":"{topic}","from":{from},"to":{to}}}"#);
    frame(Opcode::Text, text.as_bytes())
}

/// The metrics page of a server with two shards: all messages have their home on the first, the other one gets them
/// relayed and delivers.
pub(super) fn metrics(topics: &HashMap<String, Topic>, connections: usize) -> String {
    let messages: usize = topics.values().map(|topic| topic.messages).sum();
    let subscribers: usize = topics.values().map(|topic| topic.subscribers.len()).sum();
    let deliveries: usize = topics.values().map(|topic| topic.messages * topic.subscribers.len()).sum();
    format!(
        "# TYPE corecast_shard_connections gauge\n\
         corecast_shard_connections{{shard=\"0\"}} {connections}\n\
         corecast_shard_connections{{shard=\"1\"}} 0\n\
         corecast_shard_subscribers{{shard=\"1\"}} {subscribers}\n\
         corecast_shard_messages_published_total{{shard=\"0\"}} {messages}\n\
         corecast_shard_relayed_total{{shard=\"1\"}} {messages}\n\
         corecast_shard_deliveries_total{{shard=\"1\"}} {deliveries}\n"
    )
}
