//! HTTP requests that a client sends without waiting for their answers, and the answers, which come in the same order.

use std::collections::VecDeque;

#[derive(Default)]
pub(crate) struct Pipeline {
    asked: VecDeque<Asked>,
    /// Of every POST that was answered 200: the offset it was told, and its body.
    pub(crate) published: Vec<(u64, Vec<u8>)>,
    answered: usize,
}

/// What an answer has to be about.
enum Asked {
    Health,
    /// For a topic that nobody has: its name comes back in the refusal.
    Unknown(String),
    Publish(Vec<u8>),
}

impl Pipeline {
    pub(crate) fn health(&mut self) -> Vec<u8> {
        self.asked.push_back(Asked::Health);
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()
    }

    /// `name` is used once, so that no other answer can be taken for this one.
    pub(crate) fn unknown_topic(&mut self, name: String) -> Vec<u8> {
        let request = format!("GET /topics/{name} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        self.asked.push_back(Asked::Unknown(name));
        request
    }

    /// Takes note of a POST that is being sent.
    pub(crate) fn publish(&mut self, body: &[u8]) {
        self.asked.push_back(Asked::Publish(body.to_vec()));
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    /// How many answers have come.
    pub(crate) fn answered(&self) -> usize {
        self.answered
    }

    /// Takes the whole answers at the start of `received`, as many as are due. False: the server had to refuse, and nothing
    /// follows.
    pub(crate) fn take(&mut self, received: &mut Vec<u8>) -> bool {
        while let Some(asked) = self.asked.front() {
            let known = received.len().min(b"HTTP/1.1 ".len());
            assert_eq!(
                received[..known],
                b"HTTP/1.1 "[..known],
                "something else than an answer, with {} due",
                self.asked.len()
            );
            let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return true };
            let head = String::from_utf8(received[..end].to_vec()).expect("an answer's head is text");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize =
                length.expect("every answer has a length").parse().expect("a length is a number");
            let whole = end + 4 + length;
            if received.len() < whole {
                return true;
            }
            let body = String::from_utf8(received[end + 4..whole].to_vec()).expect("bodies are text");
            if head.starts_with("HTTP/1.1 503 ") {
                return false;
            }
            let is_of_it = match asked {
                Asked::Health => head.starts_with("HTTP/1.1 200 ") && body.contains("\"healthy\""),
                Asked::Unknown(name) => head.starts_with("HTTP/1.1 404 ") && body.contains(name.as_str()),
                Asked::Publish(payload) => {
                    let offset = body.split_once("\"offset\":").and_then(|(_, rest)| rest.split(',').next());
                    let offset = offset.and_then(|offset| offset.parse().ok());
                    self.published.extend(offset.map(|offset| (offset, payload.clone())));
                    head.starts_with("HTTP/1.1 200 ") && offset.is_some()
                }
            };
            assert!(is_of_it, "answer {} is another's: {head}\n{body}", self.answered);
            received.drain(..whole);
            self.asked.pop_front();
            self.answered += 1;
        }
        true
    }
}
