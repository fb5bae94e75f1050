//! Heads of HTTP/1.1 messages read the slow way (RFC 9112 §2 to §5), to hold what was accepted against.

use corecast_protocol::http1::Headers;
use std::net::Ipv6Addr;

/// The lines of a head that has ended with an empty one.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) first: &'a [u8],
    /// Names and values.
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Lines<'a> {
    /// What `bytes` say if they are exactly one head, empty lines before it included.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        // RFC 9112 §2.2: a lone LF may be taken for a line's end.
        let mut lines = bytes
            .strip_suffix(b"\n")?
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .skip_while(|line| line.is_empty());
        let first = lines.next()?;
        let mut fields = Vec::new();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            if !is_token(name) || !value.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f) {
                return None;
            }
            fields.push((name, value));
        }
        // Everything up to the empty line was read, and nothing follows it.
        let ends = [b"\n\n".as_slice(), b"\n\r\n"];
        (lines.next().is_none() && ends.iter().any(|end| bytes.ends_with(end)))
            .then_some(Self { first, fields })
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let is_it = |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_it).map(|field| field.1).collect()
    }

    /// All values of this name as the one that they stand for (RFC 9110 §5.3), if there are any.
    pub(crate) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let values = self.values(name);
        (!values.is_empty()).then(|| values.join(&b','))
    }

    /// The elements of such a list, without the empty ones (RFC 9110 §5.6.1).
    pub(crate) fn elements(&self, name: &str) -> Vec<Vec<u8>> {
        let joined = self.joined(name).unwrap_or_default();
        let elements = joined.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty());
        elements.map(Vec::from).collect()
    }

    pub(crate) fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name).iter().any(|other| other.eq_ignore_ascii_case(element.as_bytes()))
    }

    pub(crate) fn assert_are(&self, headers: &Headers<'_>) {
        let read: Vec<_> = headers.0.iter().map(|header| (header.name.as_bytes(), header.value)).collect();
        assert_eq!(self.fields, read);
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let separators = b"()<>@,;:\\\"/[]?={} \t";
    !bytes.is_empty() && bytes.iter().all(|byte| matches!(byte, 0x21..=0x7e) && !separators.contains(byte))
}

/// RFC 9112 §3.2: a name that may be empty, or an IPv6 address in brackets; then perhaps a port.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let Ok(value) = str::from_utf8(value) else { return false };
    let end = if value.starts_with('[') { value.find(']').map(|at| at + 1) } else { value.find(':') };
    let (host, port) = value.split_at(end.unwrap_or(value.len()));
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_name(host.as_bytes()),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// RFC 3986 §3.2.2.
fn is_name(name: &[u8]) -> bool {
    match name {
        [] => true,
        [b'%', high, low, rest @ ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && is_name(rest),
        [byte, rest @ ..] => {
            (byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte)) && is_name(rest)
        }
    }
}

/// RFC 9112 §3.2.1 and §3.2.2: a path with its query, alone or behind `http://` and a host; without a fragment.
pub(crate) fn is_resource(target: &str) -> bool {
    let is_sendable = target.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#');
    if !is_sendable || target.starts_with('/') {
        return is_sendable;
    }
    let lower = target.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) else {
        return false;
    };
    let host = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    !host.is_empty() && is_host(host.as_bytes())
}

/// RFC 9112 §5.1: white space around a value is none of it.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
