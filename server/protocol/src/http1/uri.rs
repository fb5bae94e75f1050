//! The parts of an URI that a request states: who is asked, and for what (RFC 3986 §3).

use std::net::Ipv6Addr;

/// `uri-host [ ":" port ]`, the value of a Host header (RFC 9110 §7.2). The name may be empty: a request without an
/// authority has such a Host. Of the addresses in brackets only those of IPv6 are taken: no other was ever defined.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(value) else { return false };
    let (is_host, rest) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) => {
                // Some clients send the zone, which means nothing beyond their own host.
                let address = address.split('%').next().unwrap_or_default();
                (address.parse::<Ipv6Addr>().is_ok(), rest)
            }
            None => (false, ""),
        },
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            (name.bytes().all(|byte| is_name_byte(byte) || byte == b'%') && is_percent_encoded(name), rest)
        }
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
}

/// A request's target in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Scheme and authority of the absolute form (RFC 9112 §3.2.2), which stand for the Host header.
    pub absolute: Option<(&'a str, &'a str)>,
    pub path: &'a str,
    /// What follows the first `?`.
    pub query: &'a str,
}

impl<'a> Target<'a> {
    /// What begins with `/` is in origin form (RFC 9112 §3.2.1), whatever else is in it: `://` in a query is part of the
    /// query. What is in neither form (`*`) is all path.
    pub fn of(target: &'a str) -> Self {
        let absolute = target.split_once("://").filter(|_| !target.starts_with('/'));
        let (absolute, resource) = match absolute {
            Some((scheme, rest)) => {
                let (authority, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (Some((scheme, authority)), resource)
            }
            None => (None, target),
        };
        let (path, query) = resource.split_once('?').unwrap_or((resource, ""));
        let path = if absolute.is_some() && path.is_empty() { "/" } else { path };
        Self { absolute, path, query }
    }

    /// Whether it names a resource of HTTP, without a fragment. Characters that an URI would have to encode are taken as far
    /// as browsers send them.
    pub(crate) fn is_resource(&self) -> bool {
        let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let is_asked_rightly = self.absolute.is_none_or(|(scheme, authority)| {
            ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
                && !authority.is_empty()
                && is_host(authority.as_bytes())
        });
        is_asked_rightly && self.path.starts_with('/') && is_plain(self.path) && is_plain(self.query)
    }
}

/// Every `%` has its two hexadecimal digits (RFC 3986 §2.1).
pub(crate) fn is_percent_encoded(text: &str) -> bool {
    let is_escape = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    text.split('%').skip(1).all(is_escape)
}

/// `unreserved` and `sub-delims` of RFC 3986 §2.2 and §2.3.
pub(crate) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for host in [
            "",
            "a",
            "A-b_c.example:9001",
            "127.0.0.1",
            "[::1]",
            "[2001:db8::1]:80",
            "[fe80::1%eth0]:80",
            "caf%C3%A9",
            "a:",
        ] {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            "a b",
            "a/b",
            "u@a",
            "a:b",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]1",
            "[a]",
            "[]",
            "caf\u{e9}",
            "a%",
            "%2",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
        assert!(!is_host(b"caf\xE9"));
    }

    /// RFC 9112 §3.2: the form is told by how the target begins. Taken for an absolute one, a query could name another host
    /// and another path than the proxies before us have seen.
    #[test]
    fn targets_are_taken_apart_by_how_they_begin() {
        for (target, absolute, path, query) in [
            ("/a?b=c?d", None, "/a", "b=c?d"),
            ("/a?ref=https://x.y/z", None, "/a", "ref=https://x.y/z"),
            ("/x?://localhost/topics/a", None, "/x", "://localhost/topics/a"),
            ("/http://a/b", None, "/http://a/b", ""),
            ("//h/a", None, "//h/a", ""),
            ("http://h:1/a?b", Some(("http", "h:1")), "/a", "b"),
            ("http://h?x=/topics/a", Some(("http", "h")), "/", "x=/topics/a"),
            ("http://h", Some(("http", "h")), "/", ""),
            ("*", None, "*", ""),
        ] {
            assert_eq!(Target::of(target), Target { absolute, path, query }, "{target}");
        }
    }

    #[test]
    fn resources_are_paths_and_queries() {
        for target in
            ["/", "/a?b=c", "//", "/http://a", "/a|b?[c]^", "http://a", "HTTPS://[::1]:1/a", "http://a?b://c"]
        {
            assert!(Target::of(target).is_resource(), "{target:?}");
        }
        for target in
            ["", "a", "*", "?a", "/a#b", "/caf\u{e9}", "http:///a", "http://u@a/", "ws://a/", "a:80", "://a"]
        {
            assert!(!Target::of(target).is_resource(), "{target:?}");
        }
    }

    #[test]
    fn every_percent_sign_has_two_digits() {
        for text in ["", "a", "%25", "%c3%A9x"] {
            assert!(is_percent_encoded(text), "{text:?}");
        }
        for text in ["%", "%2", "%2%20", "100%/a", "%+1"] {
            assert!(!is_percent_encoded(text), "{text:?}");
        }
    }
}
