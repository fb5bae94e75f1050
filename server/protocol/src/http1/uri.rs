//! The parts of an URI that a request states: who is asked, and for what (RFC 3986 §3).

use std::net::Ipv6Addr;

/// `uri-host [ ":" port ]`, the value of a Host header (RFC 9110 §7.2). The name may be empty: a request without an
/// authority has such a Host. Of the addresses in brackets only those of IPv6 are taken: no other was ever defined.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (is_host, rest) = match value.strip_prefix(b"[") {
        Some(rest) => {
            let (address, rest) = split_before(rest, b']');
            // Some clients send the zone, which means nothing beyond their own host.
            let (address, _zone) = split_before(address, b'%');
            let is_address = std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
            (is_address && !rest.is_empty(), rest.get(1..).unwrap_or_default())
        }
        None => {
            let (name, rest) = split_before(value, b':');
            let is_name = name.iter().all(|&byte| is_name_byte(byte) || byte == b'%');
            (is_name && is_percent_encoded(name), rest)
        }
    };
    is_host && (rest.is_empty() || rest[0] == b':' && rest[1..].iter().all(u8::is_ascii_digit))
}

/// What is before the first `end`, and the rest with it.
fn split_before(bytes: &[u8], end: u8) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|&byte| byte == end).unwrap_or(bytes.len()))
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
        let absolute = if target.starts_with('/') { None } else { target.split_once("://") };
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
pub(crate) fn is_percent_encoded(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'%').skip(1).all(|rest| {
        let is_escape = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        rest.get(..2).is_some_and(is_escape)
    })
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
            assert!(is_percent_encoded(text.as_bytes()), "{text:?}");
        }
        for text in ["%", "%2", "%2%20", "100%/a", "%+1"] {
            assert!(!is_percent_encoded(text.as_bytes()), "{text:?}");
        }
    }
}
