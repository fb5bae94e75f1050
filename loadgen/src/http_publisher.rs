//! Publishing by POST without a socket: requests out, answers matched to them in order (RFC 9112 §9.3.2). Publishers of
//! several topics may share a connection, as each request names its own.

use std::collections::VecDeque;

use corecast_protocol::http1::{ChunkedDecoder, HttpError, Parsed, ResponseHead, Version, parse_response};
use corecast_protocol::{Limits, MessageKind};

use crate::failure::Failure;
use crate::scenario::Scenario;
use crate::stamp::Stamp;

/// Largest answer body that is read over.
const LARGEST_BODY: u64 = 1 << 20;

/// What all requests of one topic begin with: request line and headers, up to the number of bytes.
#[derive(Clone, Debug)]
pub struct RequestHead(Box<[u8]>);

/// One HTTP connection that is published over.
#[derive(Debug)]
pub struct HttpPublisher {
    limit: usize,
    unanswered: VecDeque<Stamp>,
    inbox: Vec<u8>,
    answer: Answer,
    /// Messages that the server did not accept and that nobody took yet.
    refused: Vec<Stamp>,
    /// The server will close after the answer in hand (RFC 9112 §9.6).
    closing: bool,
    answered_since_connect: u64,
}

#[derive(Debug)]
enum Answer {
    Head,
    Body { status: u16, left: u64 },
    Chunks { status: u16, decoder: Box<ChunkedDecoder> },
}

/// What became of requests since the last call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub accepted: u32,
    pub refused: u32,
    /// Status of the last refusal.
    pub refused_status: Option<u16>,
}

impl RequestHead {
    pub fn new(scenario: &Scenario, topic: u32) -> Self {
        let content_type = match scenario.kind {
            MessageKind::Text => "text/plain; charset=utf-8",
            MessageKind::Binary => "application/octet-stream",
        };
        let path = scenario.publish.path_for(&scenario.topic_name(topic));
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n",
            scenario.publish.host
        );
        if let Some(origin) = &scenario.origin {
            head.push_str(&format!("Origin: {origin}\r\n"));
        }
        for (name, value) in &scenario.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Content-Length: ");
        Self(head.into_bytes().into())
    }

    /// Appends a request with this body.
    pub fn write_request(&self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
        out.extend_from_slice(body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }
}

impl HttpPublisher {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            limit: scenario.http_pipeline as usize,
            unanswered: VecDeque::new(),
            inbox: Vec::new(),
            answer: Answer::Head,
            refused: Vec::new(),
            closing: false,
            answered_since_connect: 0,
        }
    }

    /// Whether another request may be sent now.
    pub fn has_room(&self) -> bool {
        !self.closing && self.unanswered.len() < self.limit
    }

    pub fn is_idle(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Messages that the server did not accept since the last call, in the order of its answers.
    pub fn take_refused(&mut self) -> Vec<Stamp> {
        std::mem::take(&mut self.refused)
    }

    /// Messages that were sent and not answered, in this order. After [`end_of_stream`](Self::end_of_stream) they are to
    /// be sent again.
    pub fn unanswered(&self) -> impl Iterator<Item = &Stamp> {
        self.unanswered.iter()
    }

    /// A request with this message is sent.
    pub fn sent(&mut self, stamp: Stamp) {
        self.unanswered.push_back(stamp);
    }

    /// Takes what the server sent.
    pub fn handle_bytes(&mut self, bytes: &[u8], limits: &Limits) -> Result<Answers, Failure> {
        self.inbox.extend_from_slice(bytes);
        let mut answers = Answers::default();
        let mut at = 0;
        while let Some(used) = self.step(at, limits, &mut answers)? {
            at += used;
        }
        self.inbox.drain(..at);
        Ok(answers)
    }

    /// The connection is gone. Whether a new one is worth trying: the server announced the end, or answered something
    /// on this one. Requests that it cannot have handled stay unanswered, the others count as refused.
    pub fn end_of_stream(&mut self) -> bool {
        if !self.closing {
            // What was sent may have been published or not. Sending it again could duplicate it.
            self.refused.extend(self.unanswered.drain(..));
        }
        let again = self.closing || self.answered_since_connect > 0;
        self.inbox.clear();
        self.answer = Answer::Head;
        self.closing = false;
        self.answered_since_connect = 0;
        again
    }

    /// Reads one part of an answer at `at` in the inbox; `None` when more bytes are needed.
    fn step(&mut self, at: usize, limits: &Limits, answers: &mut Answers) -> Result<Option<usize>, Failure> {
        let rest = &self.inbox[at..];
        let (used, finished) = match &mut self.answer {
            Answer::Head => {
                if rest.is_empty() {
                    return Ok(None);
                }
                let (head, length) = match parse_response(rest, limits).map_err(Failure::Http)? {
                    Parsed::Complete { head, length } => (head, length),
                    Parsed::Incomplete => return Ok(None),
                };
                if head.status < 200 {
                    // RFC 9110 §15.2: interim answers have no body, the real one follows.
                    return Ok(Some(length));
                }
                let persistent =
                    head.version == Version::Http11 && !head.headers.has_token("connection", "close");
                let answer = body_of(&head)?;
                self.closing |= !persistent;
                let finished = matches!(answer, Answer::Body { left: 0, .. }).then_some(head.status);
                self.answer = answer;
                (length, finished)
            }
            Answer::Body { status, left } => {
                let used = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                (used, (*left == 0).then_some(*status))
            }
            Answer::Chunks { status, decoder } => {
                let mut body = Vec::new();
                let (used, done) =
                    decoder.decode(rest, &mut body, LARGEST_BODY as usize).map_err(Failure::Http)?;
                (used, done.then_some(*status))
            }
        };
        match finished {
            Some(status) => {
                self.answer = Answer::Head;
                self.finish(status, answers)?;
                Ok(Some(used))
            }
            None => Ok((used > 0).then_some(used)),
        }
    }

    fn finish(&mut self, status: u16, answers: &mut Answers) -> Result<(), Failure> {
        let stamp = self.unanswered.pop_front().ok_or(Failure::UnaskedAnswer)?;
        self.answered_since_connect += 1;
        if (200..300).contains(&status) {
            answers.accepted += 1;
        } else {
            answers.refused += 1;
            answers.refused_status = Some(status);
            self.refused.push(stamp);
        }
        Ok(())
    }
}

/// How the body of an answer to POST is framed (RFC 9112 §6.3).
fn body_of(head: &ResponseHead<'_>) -> Result<Answer, Failure> {
    let status = head.status;
    if status == 204 || status == 304 {
        return Ok(Answer::Body { status, left: 0 });
    }
    if head.headers.has_token("transfer-encoding", "chunked") {
        return Ok(Answer::Chunks { status, decoder: Box::new(ChunkedDecoder::new()) });
    }
    let length = head.headers.text("content-length").and_then(|text| text.parse::<u64>().ok());
    match length {
        Some(left) if left <= LARGEST_BODY => Ok(Answer::Body { status, left }),
        // Without a length the body ends with the connection; then pipelining is not possible at all.
        _ => Err(Failure::Http(HttpError::InvalidContentLength)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(arguments: &[&str]) -> Scenario {
        Scenario::of(&[&["--publish", "http"], arguments].concat())
    }

    fn publisher(arguments: &[&str]) -> HttpPublisher {
        HttpPublisher::new(&scenario(arguments))
    }

    fn stamp(sequence: u32) -> Stamp {
        Stamp { run: 1, publisher: 0, sequence, measured: true, intended_ns: 1, sent_ns: 1 }
    }

    #[test]
    fn request_has_the_documented_bytes() {
        let mut out = Vec::new();
        RequestHead::new(&scenario(&["--header", "X-Key: 1"]), 0).write_request(b"hello", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /topics/load-0 HTTP/1.1\r\nHost: 127.0.0.1:9001\r\nContent-Type: application/octet-stream\r\n\
             X-Key: 1\r\nContent-Length: 5\r\n\r\nhello"
        );
    }

    #[test]
    fn answers_are_matched_in_order_wherever_they_are_split() {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\
            HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n\
            HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            HTTP/1.1 204 No Content\r\n\r\n";
        for split in 0..=stream.len() {
            let mut publisher = publisher(&[]);
            for sequence in 0..5 {
                publisher.sent(stamp(sequence));
            }
            let (first, second) = stream.split_at(split);
            let a = publisher.handle_bytes(first, &Limits::default()).unwrap();
            let b = publisher.handle_bytes(second, &Limits::default()).unwrap();
            assert_eq!((a.accepted + b.accepted, a.refused + b.refused), (3, 1), "split at {split}");
            assert_eq!(a.refused_status.or(b.refused_status), Some(503));
            assert!(!publisher.is_idle(), "one is unanswered");
            assert_eq!(publisher.take_refused(), [stamp(1)]);
            assert_eq!(publisher.take_refused(), [], "taken once");
        }
    }

    #[test]
    fn requests_ahead_are_bounded() {
        let mut publisher = publisher(&["--http-pipeline", "2"]);
        publisher.sent(stamp(0));
        assert!(publisher.has_room());
        publisher.sent(stamp(1));
        assert!(!publisher.has_room());
        publisher.handle_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &Limits::default()).unwrap();
        assert!(publisher.has_room());
    }

    #[test]
    fn requests_behind_an_announced_close_are_repeated() {
        let mut publisher = publisher(&[]);
        for sequence in 0..3 {
            publisher.sent(stamp(sequence));
        }
        let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(publisher.handle_bytes(close, &Limits::default()).unwrap().accepted, 1);
        assert!(!publisher.has_room());
        assert!(publisher.end_of_stream(), "worth a new connection");
        assert_eq!(publisher.unanswered().map(|stamp| stamp.sequence).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn requests_cut_off_without_notice_are_not_repeated() {
        let mut publisher = publisher(&[]);
        publisher.sent(stamp(0));
        assert!(!publisher.end_of_stream(), "it never answered");
        assert!(publisher.is_idle());
        assert_eq!(publisher.take_refused(), [stamp(0)]);
    }

    #[test]
    fn an_answer_nobody_asked_for_is_an_error() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(publisher(&[]).handle_bytes(answer, &Limits::default()), Err(Failure::UnaskedAnswer));
    }
}
