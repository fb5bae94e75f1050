//! Who may connect and who may publish, as far as a request's head and its socket tell.

use super::{CorsOrigin, Refusal, origin};
use corecast_protocol::http1::{RequestHead, Target, Version};
use std::net::IpAddr;

/// What the operator configured.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    pub allow_origin: Vec<String>,
    pub allow_anonymous_publish: bool,
}

/// What the socket tells about the sender of a request.
#[derive(Copy, Clone, Debug)]
pub struct Requester {
    pub is_loopback_peer: bool,
    pub is_loopback_listener: bool,
}

/// Headers that a proxy adds: with any of them a loopback peer is not the one who asks.
const PROXY_HEADERS: [&str; 4] = ["x-forwarded-for", "forwarded", "x-real-ip", "via"];

impl AccessRules {
    pub fn may_connect(&self, head: &RequestHead<'_>) -> Result<(), Refusal> {
        origin::check(head, &self.allow_origin)
    }

    /// The site whose page asks, if a browser says so and it may: every answer then has to carry it, refusals too.
    pub fn cors(&self, head: &RequestHead<'_>) -> Option<CorsOrigin> {
        let origin = head.headers.text("origin")?;
        self.may_connect(head).ok()?;
        Some(CorsOrigin::new(origin.trim()))
    }

    /// The admin listener answers whoever can reach it. On loopback those are this host's processes, and pages in its
    /// browsers, which can name it only by a name of their own.
    pub fn may_administer(&self, head: &RequestHead<'_>, requester: Requester) -> Result<(), Refusal> {
        if !requester.is_loopback_listener || asked_host(head).is_none_or(is_loopback_name) {
            return Ok(());
        }
        Err(Refusal::new(
            403,
            "forbidden",
            "the admin listener is asked for under the name of another host; use localhost",
        ))
    }

    /// Nobody is authenticated yet, so without the flag only a process on this host may publish, and only when nothing
    /// hints that it speaks for somebody else.
    pub fn may_publish(&self, head: &RequestHead<'_>, requester: Requester) -> Result<(), Refusal> {
        if self.allow_anonymous_publish {
            return Ok(());
        }
        let cause = if !requester.is_loopback_listener {
            "the server listens beyond this host"
        } else if !requester.is_loopback_peer {
            "the client is not on this host"
        } else if head.version == Version::Http10 {
            "the request is HTTP/1.0, which is how proxies speak unless told otherwise"
        } else if PROXY_HEADERS.iter().any(|name| head.header(name).next().is_some()) {
            "the request came through a proxy"
        } else if !asked_host(head).is_some_and(is_loopback_name) {
            "the Host header does not name this host as localhost"
        } else {
            return Ok(());
        };
        Err(Refusal::new(
            403,
            "forbidden",
            format!("publishing is not allowed: {cause}; --allow-anonymous-publish lets everybody publish"),
        ))
    }
}

/// The host that is asked for: a target in absolute form says it instead of the Host header (RFC 9112 §3.2.2).
fn asked_host<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    Target::of(head.target).absolute.map(|(_, authority)| authority).or_else(|| origin::host(head))
}

/// `localhost` or a loopback address, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or(("", "")),
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let has_valid_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    has_valid_port
        && (name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_protocol::{
        Limits,
        http1::{Parsed, parse_request},
    };

    const LOCAL: Requester = Requester { is_loopback_peer: true, is_loopback_listener: true };

    fn may_publish(headers: &str, requester: Requester) -> Result<(), String> {
        let request = format!("POST /topics/a HTTP/1.1\r\n{headers}\r\n");
        let Ok(Parsed::Complete { head, .. }) = parse_request(request.as_bytes(), &Limits::default()) else {
            panic!("{request:?} is a request");
        };
        AccessRules::default().may_publish(&head, requester).map_err(|refusal| refusal.message)
    }

    fn may_connect(headers: &str, allowed: &[&str]) -> bool {
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let Ok(Parsed::Complete { head, .. }) = parse_request(request.as_bytes(), &Limits::default()) else {
            panic!("{request:?} is a request");
        };
        let allow_origin = allowed.iter().map(|&entry| entry.to_owned()).collect();
        AccessRules { allow_origin, ..AccessRules::default() }.may_connect(&head).is_ok()
    }

    #[test]
    fn a_local_client_may_publish_under_every_loopback_name() {
        for host in ["localhost", "LOCALHOST:9001", "127.0.0.1:9001", "[::1]:9001"] {
            assert_eq!(may_publish(&format!("Host: {host}\r\n"), LOCAL), Ok(()), "{host}");
        }
    }

    #[test]
    fn anything_that_hints_at_somebody_else_forbids_publishing() {
        let host = "Host: localhost\r\n";
        for proxy in
            ["X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4", "Via: 1.1 proxy"]
        {
            let error = may_publish(&format!("{host}{proxy}\r\n"), LOCAL).unwrap_err();
            assert!(
                error.contains("through a proxy") && error.contains("--allow-anonymous-publish"),
                "{error}"
            );
        }
        assert!(may_publish("Host: example.com\r\n", LOCAL).is_err());
        let request = b"POST /topics/a HTTP/1.0\r\nHost: localhost\r\n\r\n";
        let Ok(Parsed::Complete { head, .. }) = parse_request(request, &Limits::default()) else { panic!() };
        assert!(AccessRules::default().may_publish(&head, LOCAL).is_err());
        assert!(may_publish(host, Requester { is_loopback_peer: false, ..LOCAL }).is_err());
        assert!(may_publish(host, Requester { is_loopback_listener: false, ..LOCAL }).is_err());
    }

    /// A page of another site whose name was rebound to this host names its own in Host; its query must not name another.
    #[test]
    fn a_query_does_not_say_which_host_is_asked() {
        let may_publish_to = |target: &str| {
            let request = format!("POST {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
            let Ok(Parsed::Complete { head, .. }) = parse_request(request.as_bytes(), &Limits::default())
            else {
                panic!("{request:?} is a request");
            };
            AccessRules::default().may_publish(&head, LOCAL).is_ok()
        };
        assert!(!may_publish_to("/x?://localhost/topics/a"));
        assert!(!may_publish_to("/topics/a?http://localhost"));
        assert!(!may_publish_to("/http://localhost/topics/a"));
        assert!(may_publish_to("http://localhost/topics/a"));
    }

    #[test]
    fn a_name_that_only_begins_like_localhost_is_none() {
        for host in ["localhost", "127.0.0.1:1", "[::1]", "[::1]:80"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in ["localhost:evil", "localhost.evil.example", "[::1", "[::1]x", "127.0.0.1.example", ""] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_may_not_connect_unless_listed() {
        assert!(may_connect("Host: a.example\r\n", &[]));
        assert!(may_connect("Host: a.example\r\nOrigin: https://a.example\r\n", &[]));
        assert!(!may_connect("Host: a.example\r\nOrigin: https://b.example\r\n", &[]));
        assert!(!may_connect("Host: a.example\r\nOrigin: null\r\n", &[]));
        assert!(may_connect("Host: a.example\r\nOrigin: https://b.example\r\n", &["https://b.example"]));
        assert!(may_connect("Host: a.example\r\nOrigin: null\r\n", &["*"]));
    }

    #[test]
    fn an_origin_is_allowed_only_when_it_may_connect() {
        let cors = |headers: &str, allowed: &[&str]| {
            let request = format!("OPTIONS /topics/a HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n");
            let Ok(Parsed::Complete { head, .. }) = parse_request(request.as_bytes(), &Limits::default())
            else {
                panic!("{request:?} is a request");
            };
            let allow_origin = allowed.iter().map(|&entry| entry.to_owned()).collect();
            let origin = AccessRules { allow_origin, ..AccessRules::default() }.cors(&head);
            origin.map(|origin| origin.as_str().to_owned())
        };
        let listed = ["https://b.example"];
        assert_eq!(cors("", &["*"]), None);
        assert_eq!(cors("Origin: https://a.example\r\n", &[]).as_deref(), Some("https://a.example"));
        assert_eq!(cors("Origin: https://b.example\r\n", &listed).as_deref(), Some("https://b.example"));
        assert_eq!(cors("Origin: https://c.example\r\n", &listed), None);
        assert_eq!(cors("Origin: https://b.example\r\nOrigin: https://b.example\r\n", &listed), None);
        assert_eq!(cors("Origin: null\r\n", &["*"]).as_deref(), Some("null"));
    }
}
