//! The server's metrics page, fetched over HTTP, and the samples on it (Prometheus text format).

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use corecast_protocol::Limits;
use corecast_protocol::http1::{ChunkedDecoder, HttpError, Parsed, ResponseHead, parse_response};

use crate::target::Target;

/// A page that takes longer is left out: the run does not wait for it.
const TIMEOUT: Duration = Duration::from_secs(1);
const LARGEST_PAGE: usize = 16 << 20;

/// Where a server's metrics are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPage {
    target: Target,
    /// The user named it; else it may be missing, or that of another server.
    is_given: bool,
}

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the answer is no usable HTTP: {0}")]
    Http(#[from] HttpError),
    #[error("the answer is {0}")]
    Status(u16),
    #[error("the answer ends early")]
    CutShort,
    #[error("the page has more than {LARGEST_PAGE} bytes")]
    TooLarge,
    #[error("the page is no text")]
    NoText,
}

impl MetricsPage {
    pub const fn given(target: Target) -> Self {
        Self { target, is_given: true }
    }

    /// The page that a server on this host has by default, on another port than the one it serves on.
    pub fn beside(server: SocketAddr, port: u16) -> Option<Self> {
        if !server.ip().is_loopback() {
            return None;
        }
        let address = SocketAddr::new(server.ip(), port);
        let target = Target { address, host: address.to_string(), path: "/metrics".to_owned() };
        Some(Self { target, is_given: false })
    }

    pub const fn is_given(&self) -> bool {
        self.is_given
    }

    /// Reads the page.
    ///
    /// # Errors
    /// When it cannot be had within a second.
    pub fn fetch(&self) -> Result<String, MetricsError> {
        let deadline = Instant::now() + TIMEOUT;
        let mut stream = TcpStream::connect_timeout(&self.target.address, TIMEOUT / 2)?;
        let Target { host, path, .. } = &self.target;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut is_over = false;
        loop {
            if let Some(body) = body(&answer, is_over)? {
                return String::from_utf8(body).map_err(|_| MetricsError::NoText);
            }
            if is_over {
                return Err(MetricsError::CutShort);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            stream.set_read_timeout(Some(left))?;
            let mut chunk = [0; 64 << 10];
            let count = stream.read(&mut chunk)?;
            answer.extend_from_slice(&chunk[..count]);
            is_over = count == 0;
            if answer.len() > LARGEST_PAGE {
                return Err(MetricsError::TooLarge);
            }
        }
    }
}

impl fmt::Display for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.target.host, self.target.path)
    }
}

/// The body of an answer (RFC 9112 §6.3), once it is complete. `is_over`: nothing follows.
fn body(answer: &[u8], is_over: bool) -> Result<Option<Vec<u8>>, MetricsError> {
    let Parsed::Complete { head, length } = parse_response(answer, &Limits::default())? else {
        return Ok(None);
    };
    let ResponseHead { status, headers, .. } = &head;
    if *status != 200 {
        return Err(MetricsError::Status(*status));
    }
    let rest = &answer[length..];
    if headers.has_token("transfer-encoding", "chunked") {
        let mut body = Vec::new();
        let (_, is_done) = ChunkedDecoder::new().decode(rest, &mut body, LARGEST_PAGE)?;
        return Ok(is_done.then_some(body));
    }
    match headers.text("content-length").map(str::parse::<usize>) {
        Some(Ok(length)) if length <= LARGEST_PAGE => Ok(rest.get(..length).map(<[u8]>::to_vec)),
        Some(Ok(_)) => Err(MetricsError::TooLarge),
        Some(Err(_)) => Err(HttpError::InvalidContentLength.into()),
        None => Ok(is_over.then(|| rest.to_vec())),
    }
}

/// One line of a page: `name{label="value",...} number`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    pub name: &'a str,
    /// What stands between the braces.
    labels: &'a str,
    pub value: f64,
}

impl<'a> Sample<'a> {
    /// All samples of a page; comments and lines that are none are passed over.
    pub fn all(page: &'a str) -> impl Iterator<Item = Self> {
        page.lines().filter_map(Self::parse)
    }

    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let name_ends = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
        let (name, rest) = line.split_at(name_ends);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest),
        };
        // A time may follow the value.
        let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self { name, labels, value })
    }

    /// The value of a label. Labels whose values have commas or quotes in them are not understood.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.labels.split(',').find_map(|label| {
            let (given, value) = label.split_once('=')?;
            (given.trim() == name).then(|| value.trim().trim_matches('"'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Scheme;
    use std::net::TcpListener;
    use std::thread;

    /// Fetches from a server that answers one request with these bytes and closes.
    fn fetch(answer: &'static str) -> Result<String, MetricsError> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/metrics?x=1", listener.local_addr().expect("a bound listener"));
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a request");
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).expect("room for an answer");
            String::from_utf8(request).expect("text")
        });
        let page = MetricsPage::given(Target::parse(&url, Scheme::Http).expect("a valid URL"));
        let fetched = page.fetch();
        let request = server.join().expect("no panic");
        assert!(request.starts_with("GET /metrics?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
        fetched
    }

    #[test]
    fn bodies_end_as_the_answer_says() {
        let with_length = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\nrest";
        assert_eq!(fetch(with_length).expect("a page"), "a 1\n");
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n";
        assert_eq!(fetch(chunked).expect("a page"), "a 1\n");
        assert_eq!(fetch("HTTP/1.1 200 OK\r\n\r\na 1\n").expect("a page"), "a 1\n");
    }

    #[test]
    fn what_is_no_page_is_told() {
        let text = |answer| fetch(answer).unwrap_err().to_string();
        assert_eq!(text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "the answer is 404");
        assert_eq!(text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n"), "the answer ends early");
        assert!(text("220 ready\r\n\r\n").starts_with("the answer is no usable HTTP: "));
    }

    #[test]
    fn samples_have_name_labels_and_value() {
        let page = "# HELP a What it is.\n# TYPE a counter\na{shard=\"0\",kind=\"x\"} 12\nb 1e+06 1700000000\n\
                    c{shard=\"1\"} NaN\nbroken\nd{shard=\"0\" 5\n\n";
        let samples: Vec<_> = Sample::all(page).collect();
        assert_eq!(samples.iter().map(|sample| sample.name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((samples[0].label("shard"), samples[0].label("kind")), (Some("0"), Some("x")));
        assert_eq!((samples[0].label("shar"), samples[1].label("shard")), (None, None));
        assert_eq!((samples[0].value, samples[1].value), (12.0, 1_000_000.0));
    }
}
