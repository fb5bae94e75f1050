//! Parsing heads. `httparse` reads the grammar; this adds the limits, the rules about whole heads, and what
//! the commonest mistakes mean.

use super::uri::is_host;
use super::{Header, Headers, HttpError, RequestHead, ResponseHead, Version};
use crate::limits::{Limits, MAX_HEADERS};
use std::mem::MaybeUninit;

/// A head that may not have arrived whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head, and its length in bytes with the empty line: what follows is the body, or frames.
    Complete { head: T, length: usize },
    /// Call again when more has arrived, with everything from the start.
    Incomplete,
}

/// Parses the request head at the start of `bytes`. Empty lines before it are skipped (RFC 9112 §2.2).
///
/// An HTTP/1.1 head that is complete has exactly one Host, which is a host (RFC 9112 §3.2).
pub fn parse_request<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<RequestHead<'a>>, HttpError> {
    refuse_other_protocols(bytes)?;
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let lines = &mut lines[..limits.max_headers()];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(within_limit(bytes, limits), lines) {
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
        Err(_) if may_be_other_protocol(bytes) => return Ok(Parsed::Incomplete),
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
    if !head.header("host").all(is_host) {
        return Err(HttpError::InvalidHost);
    }
    Ok(Parsed::Complete { head, length })
}

/// Parses the response head at the start of `bytes`.
pub fn parse_response<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<ResponseHead<'a>>, HttpError> {
    // RFC 8446 §5.1: an alert (21) or a handshake record (22), version 3.x.
    if let [21 | 22, 3, ..] = bytes {
        return Err(HttpError::TlsAnswer);
    }
    let mut lines = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let lines = &mut lines[..limits.max_headers()];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let bytes_within = within_limit(bytes, limits);
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes_within, lines) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < limits.max_head_bytes() => {
            return Ok(Parsed::Incomplete);
        }
        Ok(httparse::Status::Partial) => {
            return Err(HttpError::HeadTooLong { limit: limits.max_head_bytes() });
        }
        Err(_) if matches!(bytes, [21 | 22]) => return Ok(Parsed::Incomplete),
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
    if bytes.starts_with(TLS_HANDSHAKE) {
        return Err(HttpError::TlsClientHello);
    }
    if bytes.starts_with(b"PROXY ") || bytes.starts_with(PROXY_V2_SIGNATURE) {
        return Err(HttpError::ProxyProtocol);
    }
    Ok(())
}

/// No head begins with these bytes, but there are too few of them to say what else they are.
fn may_be_other_protocol(bytes: &[u8]) -> bool {
    [TLS_HANDSHAKE, PROXY_V2_SIGNATURE].iter().any(|start| start.starts_with(bytes))
}

/// RFC 8446 §5.1: a handshake record (22), version 3.x.
const TLS_HANDSHAKE: &[u8] = &[22, 3];
const PROXY_V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// `GET / HTTP/2.0` has a version that is not understood, `GET / nonsense` has none.
fn unsupported_version(bytes: &[u8]) -> HttpError {
    let line = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or(bytes);
    // What follows it may not have arrived, or be a version after a target with a space in it.
    let third_word = line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    if third_word.starts_with(b"HTTP/") {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: &[u8]) -> Result<Parsed<RequestHead<'_>>, HttpError> {
        parse_request(bytes, &Limits::default())
    }

    fn complete(bytes: &[u8]) -> RequestHead<'_> {
        match request(bytes) {
            Ok(Parsed::Complete { head, length }) => {
                assert_eq!(length, bytes.len());
                head
            }
            other => panic!("{other:?}"),
        }
    }

    const GET: &[u8] = b"GET /topics/a?role=subscriber HTTP/1.1\r\n\
        Host: example.org\r\n\
        CONNECTION:  keep-alive , Upgrade\t\r\n\
        connection: , x\r\n\r\n";

    #[test]
    fn a_request_head_is_taken_apart() {
        let head = complete(GET);
        assert_eq!((head.method, head.version), ("GET", Version::Http11));
        assert_eq!(head.target, "/topics/a?role=subscriber");
        assert_eq!((head.path(), head.query()), ("/topics/a", Some("role=subscriber")));
        assert_eq!(head.headers.text("host"), Some("example.org"));
        assert_eq!(head.headers.text("missing"), None);
        let connection: Vec<&[u8]> = head.header("Connection").collect();
        assert_eq!(connection, [&b"keep-alive , Upgrade"[..], b", x"]);
    }

    #[test]
    fn lists_span_lines_and_leave_out_empty_elements() {
        let headers = complete(GET).headers;
        assert_eq!(headers.tokens("connection").collect::<Vec<_>>(), ["keep-alive", "Upgrade", "x"]);
        assert!(headers.has_token("connection", "upgrade"));
        assert!(!headers.has_token("connection", "up"));
        assert!(!headers.has_token("host", "example"));
    }

    #[test]
    fn a_head_is_incomplete_until_its_empty_line_and_leaves_the_body() {
        for length in 0..GET.len() {
            assert_eq!(request(&GET[..length]), Ok(Parsed::Incomplete), "{length} bytes");
        }
        let with_body = [GET, b"\x81\x85"].concat();
        let parsed = request(&with_body);
        assert!(matches!(parsed, Ok(Parsed::Complete { length, .. }) if length == GET.len()), "{parsed:?}");
    }

    #[test]
    fn values_need_not_be_utf8() {
        let head = complete(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xE9t\xE9\r\n\r\n");
        assert_eq!(head.header("x").next(), Some(&b"\xE9t\xE9"[..]));
        assert_eq!(head.headers.text("x"), None);
    }

    #[test]
    fn limits_are_held_while_the_head_arrives() {
        let limits = Limits::default().with_max_head_bytes(512).unwrap().with_max_headers(8).unwrap();
        let long_target = [b"GET /", &[b'a'; 600][..]].concat();
        assert_eq!(parse_request(&long_target[..511], &limits), Ok(Parsed::Incomplete));
        let error = parse_request(&long_target[..512], &limits).unwrap_err();
        assert_eq!((error, error.status()), (HttpError::TargetTooLong { limit: 512 }, 414));

        let long_header = [b"GET / HTTP/1.1\r\nCookie: ", &[b'a'; 600][..]].concat();
        let error = parse_request(&long_header, &limits).unwrap_err();
        assert_eq!((error, error.status()), (HttpError::HeadTooLong { limit: 512 }, 431));

        let nine_lines = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &b"X: y\r\n".repeat(8), b"\r\n"].concat();
        let error = parse_request(&nine_lines, &limits).unwrap_err();
        assert_eq!((error, error.status()), (HttpError::TooManyHeaders { limit: 8 }, 431));
        let eight_lines = [&b"GET / HTTP/1.1\r\nHost: a\r\n"[..], &b"X: y\r\n".repeat(7), b"\r\n"].concat();
        assert!(matches!(parse_request(&eight_lines, &limits), Ok(Parsed::Complete { .. })));
    }

    #[test]
    fn a_head_of_the_limit_passes_whatever_follows_it_and_a_longer_one_does_not() {
        let limits = Limits::default().with_max_head_bytes(512).unwrap();
        let start = b"GET / HTTP/1.1\r\nHost: a\r\nX: ";
        let head = [&start[..], &vec![b'x'; 512 - start.len() - 4], b"\r\n\r\n"].concat();
        assert_eq!(head.len(), 512);
        for bytes in [head.clone(), [&head[..], &[b'b'; 1000]].concat()] {
            let parsed = parse_request(&bytes, &limits);
            assert!(matches!(parsed, Ok(Parsed::Complete { length: 512, .. })), "{parsed:?}");
        }
        let one_longer = [&start[..], b"x", &head[start.len()..]].concat();
        assert_eq!(parse_request(&one_longer, &limits), Err(HttpError::HeadTooLong { limit: 512 }));
    }

    #[test]
    fn versions_but_1_0_and_1_1_are_refused() {
        assert_eq!(complete(b"GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
        for line in ["GET / HTTP/2.0", "GET / HTTP/1.2", "PRI * HTTP/2.0", "GET / HTTP/3"] {
            let error = request(format!("{line}\r\n\r\n").as_bytes()).unwrap_err();
            assert_eq!((error, error.status()), (HttpError::UnsupportedVersion, 505), "{line}");
        }
        for line in ["GET / nonsense", "GET /a b HTTP/1.1"] {
            let error = request(format!("{line}\r\n\r\n").as_bytes()).unwrap_err();
            assert_eq!(error, HttpError::Malformed { what: "the version after the target" }, "{line}");
        }
    }

    #[test]
    fn refusals_do_not_depend_on_how_much_has_arrived() {
        for (bytes, decided_at) in [
            (&b"GET /a b HTTP/1.1\r\n\r\n"[..], 8),
            (b"GET / HTTP/2.0\r\n\r\n", 12),
            (b"\x16\x03\x01\x02", 2),
            (b"PROXY TCP4", 6),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", 12),
            (b"\r\n\r\n\0\r\nQUIX", 11),
            (b"\x15\x03", 1),
        ] {
            let whole = request(bytes);
            assert!(whole.is_err(), "{whole:?}");
            for length in 0..bytes.len() {
                let expected = if length < decided_at { &Ok(Parsed::Incomplete) } else { &whole };
                assert_eq!(
                    &request(&bytes[..length]),
                    expected,
                    "{length} bytes of {}",
                    bytes.escape_ascii()
                );
            }
        }
        for alert in [&[21][..], &[22]] {
            assert_eq!(parse_response(alert, &Limits::default()), Ok(Parsed::Incomplete));
        }
    }

    /// RFC 9112 §3.2, §5.1, §5.2, and what else could be read in two ways.
    #[test]
    fn malformed_heads_are_refused_with_400() {
        for (head, what) in [
            ("GET /\r\n\r\n", "the first line"),
            ("G(T / HTTP/1.1\r\n\r\n", "the first line"),
            ("GET  / HTTP/1.1\r\n\r\n", "the first line"),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "a header name"),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "a header name"),
            ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", "a header value"),
            ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "a header value"),
            ("\0\0\0", "the first line"),
        ] {
            let error = request(head.as_bytes()).unwrap_err();
            assert_eq!((error, error.status()), (HttpError::Malformed { what }, 400), "{head:?}");
        }
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        let error = request(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
        assert_eq!((error, error.status()), (HttpError::NotOneHost { hosts: 0 }, 400));
        let error = request(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").unwrap_err();
        assert_eq!(error, HttpError::NotOneHost { hosts: 2 });
    }

    #[test]
    fn other_protocols_on_this_port_are_told_apart() {
        let client_hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
        let error = request(&client_hello).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a TLS ClientHello on a plain port: TLS ends in the wrong place; use http:// or ws://, or have the proxy \
             end TLS and forward plain HTTP"
        );
        for header in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
            assert_eq!(request(header), Err(HttpError::ProxyProtocol));
        }
        let alert = [0x15, 0x03, 0x01, 0x00, 0x02];
        assert_eq!(parse_response(&alert, &Limits::default()), Err(HttpError::TlsAnswer));
    }

    #[test]
    fn a_response_head_is_taken_apart() {
        let bytes = b"HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\nbody";
        for length in 0..bytes.len() - 4 {
            assert_eq!(parse_response(&bytes[..length], &Limits::default()), Ok(Parsed::Incomplete));
        }
        let Ok(Parsed::Complete { head, length }) = parse_response(bytes, &Limits::default()) else {
            panic!()
        };
        assert_eq!(length, bytes.len() - 4);
        assert_eq!((head.version, head.status, head.reason), (Version::Http11, 404, "Not Found"));
        assert_eq!(head.header("server").next(), Some(&b"x"[..]));
    }

    #[test]
    fn unusable_responses_are_refused() {
        let limits = Limits::default().with_max_head_bytes(512).unwrap();
        assert_eq!(parse_response(b"HTTP/2.0 200 OK\r\n\r\n", &limits), Err(HttpError::UnsupportedVersion));
        let error = parse_response(b"SSH-2.0-OpenSSH_9.6\r\n", &limits).unwrap_err();
        assert_eq!(error, HttpError::Malformed { what: "the version" });
        let endless = [b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 600][..]].concat();
        assert_eq!(parse_response(&endless, &limits), Err(HttpError::HeadTooLong { limit: 512 }));
    }
}
