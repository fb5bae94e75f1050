//! Which web pages may connect: the Origin header against the Host and the operator's list.

use super::Refusal;
use corecast_protocol::http1::RequestHead;

/// Lets a request pass whose Origin is absent (not a browser), of the same authority as Host, or listed. A page of
/// another site could otherwise use its visitor's network position to reach a server that trusts it (RFC 6455 §10.2).
pub(super) fn check(head: &RequestHead<'_>, allowed: &[String]) -> Result<(), Refusal> {
    let mut origins = head.header("origin");
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin = std::str::from_utf8(origin).unwrap_or("(not text)").trim();
    let host = host(head).unwrap_or_default();
    let is_same =
        origin.split_once("://").is_some_and(|(scheme, authority)| same_authority(scheme, authority, host));
    let is_listed = allowed.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(origin));
    if origins.next().is_none() && (is_same || is_listed) {
        return Ok(());
    }
    // RFC 6455 §4.2.2, §10.2.
    Err(Refusal::new(
        403,
        "forbidden",
        format!("pages from {origin} may not connect to {host}; allow them with --allow-origin {origin}"),
    ))
}

pub(super) fn host<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    std::str::from_utf8(head.header("host").next()?).ok().map(str::trim)
}

/// Whether an origin's authority and a Host header mean the same, the scheme's default port left out or not.
fn same_authority(scheme: &str, authority: &str, host: &str) -> bool {
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let [authority, host] = [authority, host].map(|text| text.strip_suffix(default_port).unwrap_or(text));
    !authority.is_empty() && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_compared_without_case_and_default_port() {
        assert!(same_authority("http", "Example.com", "example.com:80"));
        assert!(same_authority("https", "example.com:443", "example.com"));
        assert!(same_authority("http", "localhost:9001", "localhost:9001"));
        assert!(!same_authority("http", "example.com", "example.com:9001"));
        assert!(!same_authority("http", "evil.example", "example.com"));
        assert!(!same_authority("http", "", ""));
        assert!(!same_authority("file", "", ""));
    }
}
