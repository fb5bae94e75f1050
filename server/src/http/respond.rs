//! The bytes of answers.

use super::{CorsOrigin, Refusal};
use crate::ids::{Published, TopicInfo};
use serde::Serialize;
use std::borrow::Cow;

/// The go-ahead for a client that waits before it sends a body (RFC 9110 §10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// An answer to one request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    content_type: &'static str,
    body: Cow<'static, str>,
    /// Further header lines, each with its line end.
    headers: String,
    cors: Option<CorsOrigin>,
}

impl Answer {
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        Self::text(status, "application/json", json_line(body))
    }

    pub fn text(status: u16, content_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self { status, content_type, body: body.into(), headers: String::new(), cors: None }
    }

    /// An answer whose status has no content: 204 or 304.
    pub fn empty(status: u16) -> Self {
        Self::text(status, "", "")
    }

    pub fn refusal(refusal: &Refusal) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Detail<'a>,
        }
        #[derive(Serialize)]
        struct Detail<'a> {
            code: &'a str,
            message: &'a str,
        }
        let detail = Detail { code: refusal.code, message: &refusal.message };
        let mut answer = Self::json(refusal.status, &Body { error: detail });
        if let Some((name, value)) = refusal.header {
            answer = answer.header(name, value);
        }
        match refusal.status {
            // RFC 9110 §15.5.22, and §7.8 on what goes with Upgrade.
            426 => answer.header("Upgrade", "websocket").header("Connection", "Upgrade"),
            503 => answer.header("Retry-After", "1"),
            _ => answer,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Lets the browser show the answer to a page of this site. Given again, the last one counts.
    pub fn with_cors(mut self, origin: Option<&CorsOrigin>) -> Self {
        self.cors = origin.cloned();
        self
    }

    /// Appends the answer. `is_head`: without the body, but with its length (RFC 9110 §9.3.2).
    pub fn write(&self, is_last: bool, is_head: bool, out: &mut Vec<u8>) {
        let Self { status, content_type, body, headers, cors } = self;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason_phrase(*status));
        // RFC 9110 §8.6: no Content-Length with a 204, and nothing that describes what is not there.
        let has_content = !matches!(status, 204 | 304);
        if has_content {
            let length = body.len();
            head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"));
        }
        head.push_str(headers);
        if let Some(origin) = cors {
            let origin = origin.as_str();
            head.push_str(&format!("Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n"));
        }
        if is_last {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        out.extend_from_slice(head.as_bytes());
        if has_content && !is_head {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

fn json_line(body: &impl Serialize) -> String {
    let mut line = serde_json::to_string(body).expect("answers are plain data");
    line.push('\n');
    line
}

pub fn published(topic: &str, published: Published) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        topic: &'a str,
        offset: u64,
        epoch: String,
    }
    Answer::json(200, &Body { topic, offset: published.offset.0, epoch: published.epoch.to_string() })
}

/// `last`: the place of the last of `count` messages.
pub fn published_many(topic: &str, last: Published, count: usize) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        topic: &'a str,
        offset: u64,
        epoch: String,
        count: usize,
    }
    Answer::json(200, &Body { topic, offset: last.offset.0, epoch: last.epoch.to_string(), count })
}

pub fn topic_info(topic: &str, info: TopicInfo) -> Answer {
    #[derive(Serialize)]
    struct Body<'a> {
        topic: &'a str,
        offset: u64,
        epoch: String,
        subscribers: usize,
    }
    Answer::json(
        200,
        &Body { topic, offset: info.offset.0, epoch: info.epoch.to_string(), subscribers: info.subscribers },
    )
}

pub fn health(connections: u64, max_connections: u32, is_draining: bool) -> Answer {
    #[derive(Serialize)]
    struct Body {
        status: &'static str,
        websocket: Websocket,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Websocket {
        connections: u64,
        max_connections: u32,
    }
    let (status, text) = if is_draining { (503, "draining") } else { (200, "healthy") };
    Answer::json(status, &Body { status: text, websocket: Websocket { connections, max_connections } })
}

/// One line of the list of connections.
#[derive(Debug, Serialize)]
pub struct ConnectionInfo<'a> {
    pub id: u32,
    pub peer: String,
    /// "http", "open", "closing", "lingering" or "dying".
    pub state: &'static str,
    /// Of a raw connection.
    pub topic: Option<&'a str>,
    /// How many topics it is subscribed to.
    pub subscriptions: usize,
    /// Has not got everything that its topic's other subscribers have.
    pub lagging: bool,
    /// Its reading is paused: a publish was held back, or it does not take its replies.
    pub paused: bool,
    /// Bytes kept of frames, heads and bodies that are incomplete or wait.
    pub inbound_bytes: usize,
}

/// The list of one shard's connections as JSON, cut at what is given; `total` says how many there are.
pub fn connections(shard: u16, shards: u16, total: usize, shown: &[ConnectionInfo<'_>]) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        shard: u16,
        shards: u16,
        total: usize,
        connections: &'a [ConnectionInfo<'a>],
    }
    json_line(&Body { shard, shards, total, connections: shown })
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, Offset};

    fn written(answer: &Answer, is_last: bool, is_head: bool) -> String {
        let mut out = Vec::new();
        answer.write(is_last, is_head, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn published_answer_is_as_promised() {
        let answer = published("a", Published { offset: Offset(7), epoch: Epoch(0xabc) });
        assert_eq!(
            written(&answer, false, false),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 52\r\n\r\n\
             {\"topic\":\"a\",\"offset\":7,\"epoch\":\"0000000000000abc\"}\n"
        );
    }

    #[test]
    fn health_answer_is_as_promised() {
        assert!(written(&health(3, 100, false), false, false).ends_with(
            "\r\n\r\n{\"status\":\"healthy\",\"websocket\":{\"connections\":3,\"maxConnections\":100}}\n"
        ));
        assert!(
            written(&health(3, 100, true), false, false).starts_with("HTTP/1.1 503 Service Unavailable\r\n")
        );
    }

    #[test]
    fn refusal_says_code_and_message_and_when_to_come_back() {
        let refusal = Refusal::new(503, "overloaded", "try later");
        let text = written(&Answer::refusal(&refusal), true, false);
        assert!(
            text.contains("\r\nRetry-After: 1\r\n") && text.contains("\r\nConnection: close\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("{\"error\":{\"code\":\"overloaded\",\"message\":\"try later\"}}\n"),
            "{text}"
        );
    }

    #[test]
    fn answer_to_head_has_the_length_but_no_body() {
        let text = written(&Answer::text(200, "text/plain", "12345"), false, true);
        assert_eq!(text, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
    }

    #[test]
    fn published_many_says_how_many_and_where_the_last_is() {
        let answer = published_many("a", Published { offset: Offset(7), epoch: Epoch(0xabc) }, 3);
        assert!(written(&answer, false, false).ends_with(
            "\r\n\r\n{\"topic\":\"a\",\"offset\":7,\"epoch\":\"0000000000000abc\",\"count\":3}\n"
        ));
    }

    #[test]
    fn connections_are_those_of_one_shard() {
        assert!(
            connections(1, 4, 0, &[])
                .ends_with("{\"shard\":1,\"shards\":4,\"total\":0,\"connections\":[]}\n")
        );
    }

    /// RFC 9110 §15.5.22 and §7.8.
    #[test]
    fn upgrade_required_says_to_what() {
        let refusal = Refusal::new(426, "bad_request", "here is a WebSocket");
        let text = written(&Answer::refusal(&refusal), true, true);
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
        assert!(
            text.ends_with("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nConnection: close\r\n\r\n"),
            "{text}"
        );
    }

    #[test]
    fn answers_without_content_say_nothing_of_it() {
        let text = written(&Answer::empty(204).header("Allow", "GET"), false, false);
        assert_eq!(text, "HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n");
        let text = written(&Answer::empty(304), true, false);
        assert_eq!(text, "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    }
}
