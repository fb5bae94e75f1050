//! Origins of web pages as an operator lists them.

use std::net::Ipv6Addr;

use super::mistake::Problem;

/// An origin as browsers send it (RFC 6454 §6.2): lower case, and without the scheme's own port.
pub(super) fn parse(text: &str) -> Result<String, Problem> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let invalid = || Problem::Origin(text.to_owned());
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(invalid)?;
    // A colon inside brackets belongs to an IPv6 address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if !(scheme_fits && host_fits && port_fits) {
        return Err(invalid());
    }
    let own_port = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
    Ok(if own_port { format!("{scheme}://{host}") } else { lower })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_kept_as_browsers_send_them() {
        for (written, kept) in [
            ("*", "*"),
            ("https://Example.com", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ] {
            assert_eq!(parse(written).as_deref(), Ok(kept));
        }
        for text in [
            "example.com",
            "https://example.com/",
            "https://",
            "https://a b",
            "https://user@host",
            "https://host:port",
            "https://host:70000",
            "://host",
            "https://::1",
            "null",
            "",
        ] {
            assert_eq!(parse(text), Err(Problem::Origin(text.to_owned())));
        }
    }
}
