//! What a request asks for, from its method and target.

use super::Refusal;
use crate::dialect::json::SUBPROTOCOL;
use corecast_protocol::{handshake::server::Accepted, http1::RequestHead, topic::TopicName};

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The raw dialect: the WebSocket is the topic.
    Raw {
        topic: TopicName,
        role: Role,
    },
    /// The JSON dialect: topics are named in messages.
    Json,
    Publish {
        topic: TopicName,
    },
    TopicInfo {
        topic: TopicName,
    },
    /// The built-in page, its script, and the client that both it and others use.
    Page,
    PageJs,
    ClientJs,
    /// A browser asks on behalf of another site's page, or somebody wants to know the methods.
    Preflight {
        allow: &'static str,
    },
    Health,
    Ready,
    Metrics,
    /// The connections of one shard.
    Connections {
        shard: u16,
    },
}

/// Which sides of a topic a raw connection takes: `?role=`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Both,
    Subscriber,
    Publisher,
}

/// Finds out what a request to a client listener wants. `is_upgrade`: it means to become a WebSocket.
pub fn route(head: &RequestHead<'_>, is_upgrade: bool) -> Result<Route, Refusal> {
    let (path, query) = split_target(head.target);
    match path {
        "/" | "/ws" if is_upgrade => return Ok(Route::Json),
        "/" => return readable(head, Route::Page),
        "/ws" => return not_upgraded(head),
        "/page.js" => return readable(head, Route::PageJs),
        "/client.js" => return readable(head, Route::ClientJs),
        "/health" => return readable(head, Route::Health),
        _ => {}
    }
    let Some(segment) = path.strip_prefix("/topics/") else {
        return Err(Refusal::new(
            404,
            "bad_request",
            format!(
                "there is nothing at {path:?}; topics are at /topics/{{topic}}, the JSON dialect at /ws, health at /health"
            ),
        ));
    };
    let topic = TopicName::from_path_segment(segment)
        .map_err(|error| Refusal::new(400, "bad_topic", error.to_string()))?;
    if is_upgrade {
        return Ok(Route::Raw { topic, role: role(query)? });
    }
    let allow = "GET, HEAD, POST, OPTIONS";
    match head.method {
        "POST" => Ok(Route::Publish { topic }),
        "GET" | "HEAD" => Ok(Route::TopicInfo { topic }),
        "OPTIONS" => Ok(Route::Preflight { allow }),
        method => Err(not_allowed(method, allow)),
    }
}

/// Finds out what a request to the admin listener wants. It is not for pages of other sites, so there are no preflights.
pub fn route_admin(head: &RequestHead<'_>) -> Result<Route, Refusal> {
    let (path, query) = split_target(head.target);
    let route = match path {
        "/metrics" => Route::Metrics,
        "/health" => Route::Health,
        "/ready" => Route::Ready,
        "/connections" => Route::Connections { shard: shard(query)? },
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
    match head.method {
        "GET" | "HEAD" => Ok(route),
        method => Err(not_allowed(method, "GET, HEAD")),
    }
}

/// RFC 6455 §4.2.2 lets the server go on without a subprotocol. Most clients that offered one then fail the connection and
/// say nothing of why, so a client of some other dialect is told here.
pub fn check_subprotocol(accepted: &Accepted) -> Result<(), Refusal> {
    if !accepted.offers_only_unknown_subprotocols() {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        "bad_request",
        format!("none of the subprotocols in Sec-WebSocket-Protocol is known; offer {SUBPROTOCOL} or none"),
    ))
}

fn readable(head: &RequestHead<'_>, route: Route) -> Result<Route, Refusal> {
    let allow = "GET, HEAD, OPTIONS";
    match head.method {
        "GET" | "HEAD" => Ok(route),
        "OPTIONS" => Ok(Route::Preflight { allow }),
        method => Err(not_allowed(method, allow)),
    }
}

/// A request to a place where there is only a WebSocket.
fn not_upgraded(head: &RequestHead<'_>) -> Result<Route, Refusal> {
    let allow = "GET, OPTIONS";
    match head.method {
        "GET" | "HEAD" => Err(Refusal::new(
            426,
            "bad_request",
            "here is a WebSocket; connect with a WebSocket client, or if this was one, have the proxy pass its Upgrade and Connection headers on",
        )),
        "OPTIONS" => Ok(Route::Preflight { allow }),
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
    match parameter(query, "role") {
        None => Ok(Role::Both),
        Some("subscriber") => Ok(Role::Subscriber),
        Some("publisher") => Ok(Role::Publisher),
        Some(other) => Err(Refusal::new(
            400,
            "bad_request",
            format!("role={other:?} is unknown; it is subscriber, publisher, or absent for both"),
        )),
    }
}

fn shard(query: &str) -> Result<u16, Refusal> {
    let Some(shard) = parameter(query, "shard") else { return Ok(0) };
    shard.parse().map_err(|_| {
        Refusal::new(
            400,
            "bad_request",
            format!("shard={shard:?} is no number of a shard; they count from 0"),
        )
    })
}

/// The last of a query's parameters of this name.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .rfind(|&(key, _)| key == name)
        .map(|(_, value)| value)
}
