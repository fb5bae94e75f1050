//! What a request asks for, from its method and target.

use super::Refusal;
use crate::dialect::json::SUBPROTOCOL;
use corecast_protocol::handshake::server::Accepted;
use corecast_protocol::http1::{RequestHead, Target};
use corecast_protocol::topic::TopicName;

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
    /// A WebSocket whose messages come back.
    Echo,
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

/// Finds out what a request to a client listener wants. `is_upgrade`: it means to become a WebSocket. `echo_path`: where
/// there is one that echoes.
pub fn route(head: &RequestHead<'_>, is_upgrade: bool, echo_path: Option<&str>) -> Result<Route, Refusal> {
    let Target { path, query, .. } = Target::of(head.target);
    match path {
        "/" | "/ws" if is_upgrade => return Ok(Route::Json),
        "/" => return readable(head, Route::Page),
        "/ws" => return not_upgraded(head),
        "/page.js" => return readable(head, Route::PageJs),
        "/client.js" => return readable(head, Route::ClientJs),
        "/health" => return readable(head, Route::Health),
        path if Some(path) == echo_path && is_upgrade => return Ok(Route::Echo),
        path if Some(path) == echo_path => return not_upgraded(head),
        _ => {}
    }
    let Some(segment) = path.strip_prefix("/topics/") else {
        // RFC 6455 §4.2.2: no such service.
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
    let Target { path, query, .. } = Target::of(head.target);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::with_head;
    use corecast_protocol::handshake::server::accept_upgrade;

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn routed(request: &str) -> Result<Route, Refusal> {
        with_head(&format!("{request} HTTP/1.1"), |head| route(head, false, Some("/echo")))
    }

    fn upgraded(target: &str) -> Result<Route, Refusal> {
        with_head(&format!("GET {target} HTTP/1.1"), |head| route(head, true, Some("/echo")))
    }

    fn admin(request: &str) -> Result<Route, Refusal> {
        with_head(&format!("{request} HTTP/1.1"), route_admin)
    }

    #[test]
    fn topics_are_published_to_read_and_subscribed_to() {
        assert_eq!(routed("POST /topics/a.b"), Ok(Route::Publish { topic: topic("a.b") }));
        assert_eq!(routed("GET /topics/a?x=1"), Ok(Route::TopicInfo { topic: topic("a") }));
        assert_eq!(upgraded("/topics/a%2Db"), Ok(Route::Raw { topic: topic("a-b"), role: Role::Both }));
        for (query, role) in [
            ("role=publisher", Role::Publisher),
            ("x=1&role=subscriber&y", Role::Subscriber),
            ("role=nonsense&role=publisher", Role::Publisher),
            ("xrole=nonsense", Role::Both),
        ] {
            assert_eq!(
                upgraded(&format!("/topics/a?{query}")),
                Ok(Route::Raw { topic: topic("a"), role }),
                "{query}"
            );
        }
        assert_eq!(routed("GET http://h:1/health?x"), Ok(Route::Health));
    }

    #[test]
    fn the_json_dialect_is_at_the_root_and_at_ws() {
        for target in ["/", "/ws", "/?x=1", "/ws?x", "http://h"] {
            assert_eq!(upgraded(target), Ok(Route::Json), "{target}");
        }
    }

    #[test]
    fn exactly_the_echo_path_echoes() {
        for target in ["/echo", "/echo?x=1", "http://h/echo"] {
            assert_eq!(upgraded(target), Ok(Route::Echo), "{target}");
        }
        for target in ["/echo/", "/Echo", "/ech%6f", "/echo/a"] {
            assert_eq!(upgraded(target).unwrap_err().status, 404, "{target}");
        }
        assert_eq!(routed("GET /echo").unwrap_err().status, 426);
        let without = with_head("GET /echo HTTP/1.1", |head| route(head, true, None));
        assert_eq!(without.unwrap_err().status, 404);
    }

    #[test]
    fn browsers_get_the_page_and_its_scripts() {
        for method in ["GET", "HEAD"] {
            assert_eq!(routed(&format!("{method} /")), Ok(Route::Page));
            assert_eq!(routed(&format!("{method} /page.js?1")), Ok(Route::PageJs));
            assert_eq!(routed(&format!("{method} /client.js")), Ok(Route::ClientJs));
        }
    }

    #[test]
    fn a_websockets_place_says_that_it_is_one() {
        for method in ["GET", "HEAD"] {
            assert_eq!(
                routed(&format!("{method} /ws")),
                Err(Refusal::new(
                    426,
                    "bad_request",
                    "here is a WebSocket; connect with a WebSocket client, or if this was one, have the proxy pass its \
                     Upgrade and Connection headers on"
                ))
            );
        }
    }

    #[test]
    fn options_are_told_wherever_there_is_something() {
        for (path, allow) in [
            ("/", "GET, HEAD, OPTIONS"),
            ("/ws", "GET, OPTIONS"),
            ("/page.js", "GET, HEAD, OPTIONS"),
            ("/client.js", "GET, HEAD, OPTIONS"),
            ("/health", "GET, HEAD, OPTIONS"),
            ("/topics/a", "GET, HEAD, POST, OPTIONS"),
        ] {
            assert_eq!(routed(&format!("OPTIONS {path}")), Ok(Route::Preflight { allow }), "{path}");
            let refusal = routed(&format!("DELETE {path}")).unwrap_err();
            assert_eq!((refusal.status, refusal.header), (405, Some(("Allow", allow))), "{path}");
        }
        assert_eq!(routed("OPTIONS /nothing").unwrap_err().status, 404);
        assert_eq!(routed("OPTIONS /topics/").unwrap_err().code, "bad_topic");
    }

    #[test]
    fn refusals_have_the_right_status() {
        assert_eq!(routed("GET /nothing").unwrap_err().status, 404);
        assert_eq!(routed("GET /topics/a/b").unwrap_err().code, "bad_topic");
        assert_eq!(routed("GET /topics/").unwrap_err().status, 400);
        assert_eq!(upgraded("/topics/a?role=both").unwrap_err().status, 400);
        assert_eq!(upgraded("/topics/a?role=").unwrap_err().status, 400);
        for request in ["POST /", "POST /ws", "POST /client.js", "PUT /page.js", "POST /health"] {
            assert_eq!(routed(request).unwrap_err().status, 405, "{request}");
        }
    }

    #[test]
    fn the_admin_listener_tells_of_one_shard_at_a_time() {
        assert_eq!(admin("GET /connections"), Ok(Route::Connections { shard: 0 }));
        assert_eq!(admin("GET /connections?shard=3"), Ok(Route::Connections { shard: 3 }));
        for shard in ["", "x", "-1", "65536"] {
            let refusal = admin(&format!("GET /connections?shard={shard}")).unwrap_err();
            let message = format!("shard={shard:?} is no number of a shard; they count from 0");
            assert_eq!(refusal, Refusal::new(400, "bad_request", message));
        }
        assert_eq!(admin("HEAD /metrics"), Ok(Route::Metrics));
        assert_eq!(admin("OPTIONS /metrics").unwrap_err().header, Some(("Allow", "GET, HEAD")));
        assert_eq!(admin("GET /").unwrap_err().status, 404);
    }

    #[test]
    fn who_speaks_only_unknown_subprotocols_is_told_ours() {
        let checked = |offer: &str| {
            let request = format!(
                "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=={offer}"
            );
            with_head(&request, |head| check_subprotocol(&accept_upgrade(head, &[SUBPROTOCOL]).unwrap()))
        };
        assert_eq!(checked(""), Ok(()));
        assert_eq!(checked("\r\nSec-WebSocket-Protocol: mqtt, corecast.json.v1"), Ok(()));
        assert_eq!(
            checked("\r\nSec-WebSocket-Protocol: mqtt, corecast.json.v2"),
            Err(Refusal::new(
                400,
                "bad_request",
                "none of the subprotocols in Sec-WebSocket-Protocol is known; offer corecast.json.v1 or none"
            ))
        );
    }
}
