//! HTTP/1.1 heads (RFC 9112), bounded before they are parsed. `httparse` reads the grammar; this adds the limits, the
//! rules about whole heads, and what the commonest mistakes mean.

mod body;
mod error;

pub use body::{BodyLength, ChunkedDecoder, body_length};
pub use error::HttpError;

use crate::limits::Limits;

/// A head that may not have arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head, and its length in bytes with the empty line: what follows is the body, or frames.
    Complete { head: T, length: usize },
    /// Call again when more has arrived, with everything from the start.
    Incomplete,
}

/// The two versions that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Http10,
    Http11,
}

/// A request's head (RFC 9112 §3, §5), borrowed from the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// As sent: methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// As sent, not decoded.
    pub target: &'a str,
    pub version: Version,
    pub headers: Headers<'a>,
}

/// A response's head (RFC 9112 §4, §5), borrowed from the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase; often empty, and of no meaning (RFC 9112 §4).
    pub reason: &'a str,
    pub headers: Headers<'a>,
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// As sent; compare it without regard to case (RFC 9110 §5.1).
    pub name: &'a str,
    /// Without surrounding white space. Not always UTF-8 (RFC 9110 §5.5).
    pub value: &'a [u8],
}

/// The header lines in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(pub Vec<Header<'a>>);

impl<'a> Headers<'a> {
    /// The values of all lines of this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The first value of this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The elements of a comma-separated list, over all lines of this name, trimmed, empty ones left out
    /// (RFC 9110 §5.6.1). An element that is not UTF-8 is left out too: it is no token.
    pub fn tokens(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .filter_map(|element| std::str::from_utf8(element.trim_ascii()).ok())
            .filter(|element| !element.is_empty())
    }

    /// Whether such a list has this element, without regard to case (`Connection: keep-alive, Upgrade`).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|element| element.eq_ignore_ascii_case(token))
    }
}

impl<'a> RequestHead<'a> {
    /// The values of all lines of this name, which is compared without regard to case.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.values(name)
    }

    /// The target up to its query.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// What follows the target's first question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

impl<'a> ResponseHead<'a> {
    /// The values of all lines of this name, which is compared without regard to case.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.values(name)
    }
}

/// Parses the request head at the start of `bytes`. Empty lines before it are skipped (RFC 9112 §2.2).
///
/// An HTTP/1.1 head that is complete has exactly one Host (RFC 9112 §3.2).
pub fn parse_request<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<RequestHead<'a>>, HttpError> {
    refuse_other_protocols(bytes)?;
    let mut lines = vec![httparse::EMPTY_HEADER; limits.max_headers()];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(within_limit(bytes, limits)) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < limits.max_head_bytes() => {
            return Ok(Parsed::Incomplete);
        }
        Ok(httparse::Status::Partial) if request.method.is_some() && request.path.is_none() => {
            return Err(HttpError::TargetTooLong { limit: limits.max_head_bytes() });
        }
        Ok(httparse::Status::Partial) => {
            return Err(HttpError::HeadTooLong { limit: limits.max_head_bytes() });
        }
        Err(httparse::Error::Version) => return Err(unsupported_version(bytes)),
        Err(error) => return Err(malformed(error, limits)),
    };
    let head = RequestHead {
        method: request.method.expect("a complete head has a method"),
        target: request.path.expect("a complete head has a target"),
        version: version(request.version),
        headers: headers(request.headers),
    };
    let hosts = head.header("host").count();
    if head.version == Version::Http11 && hosts != 1 {
        return Err(HttpError::NotOneHost { hosts });
    }
    Ok(Parsed::Complete { head, length })
}

/// Parses the response head at the start of `bytes`.
pub fn parse_response<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<ResponseHead<'a>>, HttpError> {
    // RFC 8446 §5.1: an alert (21) or a handshake record (22), version 3.x.
    if let [21 | 22, 3, ..] = bytes {
        return Err(HttpError::TlsAnswer);
    }
    let mut lines = vec![httparse::EMPTY_HEADER; limits.max_headers()];
    let mut response = httparse::Response::new(&mut lines);
    let length = match response.parse(within_limit(bytes, limits)) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < limits.max_head_bytes() => {
            return Ok(Parsed::Incomplete);
        }
        Ok(httparse::Status::Partial) => {
            return Err(HttpError::HeadTooLong { limit: limits.max_head_bytes() });
        }
        Err(httparse::Error::Version) if bytes.starts_with(b"HTTP/") => {
            return Err(HttpError::UnsupportedVersion);
        }
        Err(error) => return Err(malformed(error, limits)),
    };
    let head = ResponseHead {
        version: version(response.version),
        status: response.code.expect("a complete head has a status"),
        reason: response.reason.unwrap_or_default(),
        headers: headers(response.headers),
    };
    Ok(Parsed::Complete { head, length })
}

fn within_limit<'a>(bytes: &'a [u8], limits: &Limits) -> &'a [u8] {
    &bytes[..bytes.len().min(limits.max_head_bytes())]
}

/// What else lands on this port when something before it is set up wrongly.
fn refuse_other_protocols(bytes: &[u8]) -> Result<(), HttpError> {
    // RFC 8446 §5.1: a handshake record (22), version 3.x.
    if bytes.starts_with(&[22, 3]) {
        return Err(HttpError::TlsClientHello);
    }
    const PROXY_V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if bytes.starts_with(b"PROXY ") || bytes.starts_with(PROXY_V2_SIGNATURE) {
        return Err(HttpError::ProxyProtocol);
    }
    Ok(())
}

/// `GET / HTTP/2.0` has a version that is not understood, `GET / nonsense` has none.
fn unsupported_version(bytes: &[u8]) -> HttpError {
    let line = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or(bytes);
    let last_word = line.trim_ascii().rsplit(|&byte| byte == b' ').next().unwrap_or(line);
    if last_word.starts_with(b"HTTP/") {
        HttpError::UnsupportedVersion
    } else {
        HttpError::Malformed { what: "the version after the target" }
    }
}

fn malformed(error: httparse::Error, limits: &Limits) -> HttpError {
    let what = match error {
        httparse::Error::TooManyHeaders => return HttpError::TooManyHeaders { limit: limits.max_headers() },
        httparse::Error::HeaderName => "a header name",
        httparse::Error::HeaderValue => "a header value",
        httparse::Error::NewLine => "a line's end",
        httparse::Error::Status => "the status code",
        httparse::Error::Token => "the first line",
        httparse::Error::Version => "the version",
    };
    HttpError::Malformed { what }
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        Some(1) => Version::Http11,
        other => {
            unreachable!("httparse completes heads of HTTP/1.0 and 1.1 only, not minor version {other:?}")
        }
    }
}

fn headers<'a>(lines: &[httparse::Header<'a>]) -> Headers<'a> {
    Headers(lines.iter().map(|line| Header { name: line.name, value: line.value }).collect())
}
