//! HTTP on the same sockets: what a request asks for, and the bytes of the answer. No I/O, no hub.

mod access;
mod origin;
mod respond;

pub use access::{AccessRules, Requester};
pub use respond::{Answer, CONTINUE, ConnectionInfo, connections, health, published, topic_info};

use corecast_protocol::{
    MessageKind,
    http1::{ChunkedDecoder, RequestHead},
    topic::TopicName,
};

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The raw dialect: the WebSocket is the topic.
    Raw {
        topic: TopicName,
        role: Role,
    },
    Publish {
        topic: TopicName,
    },
    TopicInfo {
        topic: TopicName,
    },
    Health,
    Ready,
    Metrics,
    Connections,
}

/// Which sides of a topic a raw connection takes: `?role=`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Both,
    Subscriber,
    Publisher,
}

/// A request that is not done, and what to tell its sender.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// One of the outside interface's error codes.
    pub code: &'static str,
    pub message: String,
    /// A header that goes with the status: `Allow` with a 405.
    pub header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    pub fn too_large(size: impl std::fmt::Display, limit: usize) -> Self {
        Self::new(
            413,
            "too_large",
            format!(
                "a body of {size} bytes is over the limit of {limit}; split the message or raise max_message_bytes"
            ),
        )
    }

    pub fn topics_full(limit: u32) -> Self {
        Self::new(
            503,
            "too_many",
            format!(
                "{limit} topics are known, which is the limit; unused ones are forgotten after topic_idle, or raise max_topics"
            ),
        )
    }
}

/// A publish by POST whose body is still arriving or that was held back.
#[derive(Debug)]
pub struct PendingPublish {
    pub topic: TopicName,
    pub kind: MessageKind,
    pub body: Vec<u8>,
    pub rest: Rest,
}

/// What of a body is still to come.
#[derive(Debug)]
pub enum Rest {
    Bytes(usize),
    Chunks(ChunkedDecoder),
    Nothing,
}

/// Finds out what a request to a client listener wants. `is_upgrade`: it means to become a WebSocket.
pub fn route(head: &RequestHead<'_>, is_upgrade: bool) -> Result<Route, Refusal> {
    let (path, query) = split_target(head.target);
    if path == "/health" {
        return only(head, "GET, HEAD", Route::Health);
    }
    let Some(segment) = path.strip_prefix("/topics/") else {
        return Err(Refusal::new(
            404,
            "bad_request",
            format!("there is nothing at {path:?}; topics are at /topics/{{topic}}, health at /health"),
        ));
    };
    let topic = TopicName::from_path_segment(segment)
        .map_err(|error| Refusal::new(400, "bad_topic", error.to_string()))?;
    if is_upgrade {
        return Ok(Route::Raw { topic, role: role(query)? });
    }
    match head.method {
        "POST" => Ok(Route::Publish { topic }),
        "GET" | "HEAD" => Ok(Route::TopicInfo { topic }),
        method => Err(not_allowed(method, "GET, HEAD, POST")),
    }
}

/// Finds out what a request to the admin listener wants.
pub fn route_admin(head: &RequestHead<'_>) -> Result<Route, Refusal> {
    let route = match split_target(head.target).0 {
        "/metrics" => Route::Metrics,
        "/health" => Route::Health,
        "/ready" => Route::Ready,
        "/connections" => Route::Connections,
        path => {
            return Err(Refusal::new(
                404,
                "bad_request",
                format!(
                    "there is nothing at {path:?} on the admin listener; it has /metrics, /health, /ready and /connections"
                ),
            ));
        }
    };
    only(head, "GET, HEAD", route)
}

fn only(head: &RequestHead<'_>, allow: &'static str, route: Route) -> Result<Route, Refusal> {
    match head.method {
        "GET" | "HEAD" => Ok(route),
        method => Err(not_allowed(method, allow)),
    }
}

fn not_allowed(method: &str, allow: &'static str) -> Refusal {
    Refusal {
        header: Some(("Allow", allow)),
        ..Refusal::new(405, "bad_request", format!("{method} is not possible here; use one of {allow}"))
    }
}

/// Path and query of a request target, in origin form or absolute form (RFC 9112 §3.2).
fn split_target(target: &str) -> (&str, &str) {
    let origin_form = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    origin_form.split_once('?').unwrap_or((origin_form, ""))
}

fn role(query: &str) -> Result<Role, Refusal> {
    let mut roles = query.split('&').filter_map(|pair| pair.strip_prefix("role="));
    roles.next_back().map_or(Ok(Role::Both), |role| match role {
        "subscriber" => Ok(Role::Subscriber),
        "publisher" => Ok(Role::Publisher),
        other => Err(Refusal::new(
            400,
            "bad_request",
            format!("role={other:?} is unknown; it is subscriber, publisher, or absent for both"),
        )),
    })
}

/// How a body is published, by its content type: what subscribers can read as text is text.
pub fn kind_of_body(head: &RequestHead<'_>) -> Result<MessageKind, Refusal> {
    let Some(value) = head.header("content-type").next() else { return Ok(MessageKind::Text) };
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    let media_type = value.split(';').next().unwrap_or("").trim();
    let is_text = media_type.is_empty()
        || media_type.starts_with("text/")
        || media_type.ends_with("/json")
        || media_type.ends_with("+json")
        || media_type.ends_with("/xml")
        || media_type.ends_with("+xml")
        || media_type == "application/x-www-form-urlencoded";
    match media_type {
        "application/x-ndjson" => Err(Refusal::new(
            415,
            "bad_request",
            "application/x-ndjson is not supported yet; send one request for each message",
        )),
        _ if is_text => Ok(MessageKind::Text),
        _ => Ok(MessageKind::Binary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_protocol::{
        Limits,
        http1::{Parsed, parse_request},
    };

    fn with_head<T>(request: &str, test: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let request = format!("{request}\r\nHost: localhost\r\n\r\n");
        match parse_request(request.as_bytes(), &Limits::default()) {
            Ok(Parsed::Complete { head, .. }) => test(&head),
            other => panic!("{other:?}"),
        }
    }

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    #[test]
    fn topics_are_published_to_read_and_subscribed_to() {
        let route_of = |request: &str, is_upgrade| with_head(request, |head| route(head, is_upgrade));
        assert_eq!(route_of("POST /topics/a.b HTTP/1.1", false), Ok(Route::Publish { topic: topic("a.b") }));
        assert_eq!(route_of("GET /topics/a?x=1 HTTP/1.1", false), Ok(Route::TopicInfo { topic: topic("a") }));
        assert_eq!(
            route_of("GET /topics/a%2Db HTTP/1.1", true),
            Ok(Route::Raw { topic: topic("a-b"), role: Role::Both })
        );
        assert_eq!(
            route_of("GET /topics/a?role=publisher HTTP/1.1", true),
            Ok(Route::Raw { topic: topic("a"), role: Role::Publisher })
        );
        assert_eq!(route_of("GET http://h:1/health?x HTTP/1.1", false), Ok(Route::Health));
    }

    #[test]
    fn refusals_have_the_right_status() {
        let status =
            |request: &str, is_upgrade| with_head(request, |head| route(head, is_upgrade).unwrap_err());
        assert_eq!(status("GET /nothing HTTP/1.1", false).status, 404);
        assert_eq!(status("GET /topics/a/b HTTP/1.1", false).code, "bad_topic");
        assert_eq!(status("GET /topics/ HTTP/1.1", false).status, 400);
        assert_eq!(status("GET /topics/a?role=both HTTP/1.1", true).status, 400);
        assert_eq!(status("DELETE /topics/a HTTP/1.1", false).status, 405);
        assert_eq!(status("DELETE /topics/a HTTP/1.1", false).header, Some(("Allow", "GET, HEAD, POST")));
        assert_eq!(status("POST /health HTTP/1.1", false).status, 405);
    }

    #[test]
    fn content_type_decides_between_text_and_binary() {
        let kind = |content_type: &str| {
            with_head(&format!("POST /topics/a HTTP/1.1\r\nContent-Type: {content_type}"), |head| {
                kind_of_body(head).map_err(|refusal| refusal.status)
            })
        };
        for text in [
            "text/plain; charset=utf-8",
            "application/json",
            "image/svg+xml",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(kind(text), Ok(MessageKind::Text), "{text}");
        }
        for binary in ["application/octet-stream", "image/png", "application/cbor"] {
            assert_eq!(kind(binary), Ok(MessageKind::Binary), "{binary}");
        }
        assert_eq!(kind("application/x-ndjson"), Err(415));
        assert_eq!(with_head("POST /topics/a HTTP/1.1", kind_of_body), Ok(MessageKind::Text));
    }
}
