//! HTTP on the same sockets: what a request asks for, and the bytes of the answer. No I/O, no hub.

mod access;
mod assets;
mod body;
mod cors;
mod ndjson;
mod origin;
mod respond;
mod route;

pub use access::{AccessRules, Requester};
pub use assets::{client_js, page, page_js};
pub use body::{BodyForm, body_form, check_body};
pub use cors::{CorsOrigin, preflight};
pub use ndjson::MAX_LINES;
pub use respond::{
    Answer, CONTINUE, ConnectionInfo, connections, health, published, published_many, topic_info,
};
pub use route::{Role, Route, check_subprotocol, route, route_admin};

use corecast_protocol::{http1::ChunkedDecoder, topic::TopicName};

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

    pub fn draining() -> Self {
        Self::new(503, "overloaded", "the server is shutting down; connect to another")
    }

    pub fn no_such_shard(shard: u16, shards: u16) -> Self {
        Self::new(
            400,
            "bad_request",
            format!("shard={shard} is none of this server's; it has {shards}, counted from 0"),
        )
    }
}

/// A publish by POST whose body is still arriving or that was held back.
#[derive(Debug)]
pub struct PendingPublish {
    pub topic: TopicName,
    pub form: BodyForm,
    /// The site whose page waits for the answer.
    pub cors: Option<CorsOrigin>,
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

/// Parsed heads for the tests of this module's files.
#[cfg(test)]
mod testing {
    use corecast_protocol::{
        Limits,
        http1::{Parsed, RequestHead, parse_request},
    };

    /// `request`: its first line, and further ones if any, without the last line end. `Host: localhost` is added.
    pub(super) fn with_head<T>(request: &str, test: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let request = format!("{request}\r\nHost: localhost\r\n\r\n");
        match parse_request(request.as_bytes(), &Limits::default()) {
            Ok(Parsed::Complete { head, .. }) => test(&head),
            other => panic!("{other:?}"),
        }
    }
}
