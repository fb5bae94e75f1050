//! A client that sends HTTP requests without waiting for the answers, which come in the same order.

use super::client::{Hearing, epoch, number, topic};
use super::truth::{Form, Truth};
use fastrand::Rng;
use std::collections::VecDeque;

#[derive(Default, Debug)]
pub(crate) struct Http {
    asked: VecDeque<Asked>,
    received: Vec<u8>,
    /// A body that is sent once the server says to go on.
    waiting_body: Option<Vec<u8>>,
    /// What was sent.
    pub(crate) sent: Vec<usize>,
    /// The last answer about a topic.
    pub(crate) info: Option<Info>,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Info {
    pub(crate) offset: u64,
    pub(crate) epoch: u64,
    pub(crate) subscribers: u64,
}

#[derive(Debug)]
enum Asked {
    Health,
    /// With what was known of the topic at the time: epoch and offset.
    Info {
        topic: usize,
        known: Vec<(u64, u64)>,
    },
    One(usize),
    Lines(Vec<usize>),
}

impl Http {
    pub(crate) fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    pub(crate) fn may_ask(&self) -> bool {
        self.waiting_body.is_none()
    }

    // What it says ------------------------------------------------------------------------------------------------

    pub(crate) fn ask_health(&mut self) -> Vec<u8> {
        self.asked.push_back(Asked::Health);
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()
    }

    pub(crate) fn ask_info(&mut self, topic: usize, truth: &Truth) -> Vec<u8> {
        let lives = truth.lives.keys().filter(|life| life.0 == topic);
        let known = lives.map(|&life| (life.1, truth.newest(life))).collect();
        self.asked.push_back(Asked::Info { topic, known });
        format!("GET /topics/t{topic} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
    }

    pub(crate) fn post(&mut self, id: usize, truth: &Truth, rng: &mut Rng) -> Vec<u8> {
        let message = &truth.messages[id];
        self.sent.push(id);
        self.asked.push_back(Asked::One(id));
        let content_type = match message.form {
            Form::Text => "text/plain",
            Form::Binary => "application/octet-stream",
            Form::Json => "application/json",
        };
        self.post_body(message.topic, content_type, &message.payload, rng)
    }

    pub(crate) fn post_lines(&mut self, ids: Vec<usize>, truth: &Truth, rng: &mut Rng) -> Vec<u8> {
        let mut body = Vec::new();
        for &id in &ids {
            body.extend_from_slice(&truth.messages[id].payload);
            body.extend_from_slice(rng.choice(["\n", "\r\n", "\n\n"]).expect("there are some").as_bytes());
        }
        let topic = truth.messages[ids[0]].topic;
        self.sent.extend_from_slice(&ids);
        self.asked.push_back(Asked::Lines(ids));
        self.post_body(topic, "application/x-ndjson", &body, rng)
    }

    fn post_body(&mut self, topic: usize, content_type: &str, body: &[u8], rng: &mut Rng) -> Vec<u8> {
        let head =
            format!("POST /topics/t{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n");
        match rng.u8(..10) {
            0 => {
                self.waiting_body = Some(body.to_vec());
                format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes()
            }
            1..4 => {
                let mut request = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
                for chunk in body.chunks(rng.usize(1..1000)) {
                    request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    request.extend_from_slice(chunk);
                    request.extend_from_slice(b"\r\n");
                }
                request.extend_from_slice(b"0\r\n\r\n");
                request
            }
            _ => [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(),
        }
    }

    // What it hears -----------------------------------------------------------------------------------------------

    /// Gives a status after which nothing follows.
    pub(crate) fn hear(&mut self, bytes: &[u8], hearing: &mut Hearing<'_>, say: &mut Vec<u8>) -> Option<u16> {
        self.received.extend_from_slice(bytes);
        while let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(self.received[..end].to_vec()).expect("an answer's head is text");
            let status: u16 = head["HTTP/1.1 ".len()..][..3].parse().expect("a status");
            if status == 100 {
                say.extend(self.waiting_body.take().expect("only who asked is told to go on"));
                self.received.drain(..end + 4);
                continue;
            }
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let whole =
                end + 4 + length.expect("every answer has a length").parse::<usize>().expect("a number");
            if self.received.len() < whole {
                return None;
            }
            let body = String::from_utf8(self.received[end + 4..whole].to_vec()).expect("bodies are text");
            self.received.drain(..whole);
            let is_last = head.contains("Connection: close");
            let asked = self.asked.pop_front();
            if is_last && (status == 503 || (status == 400 && hearing.has_left)) {
                return Some(status);
            }
            let asked = asked.unwrap_or_else(|| panic!("nothing was asked: {head}\n{body}"));
            self.on_answer(asked, status, &body, hearing);
            if is_last {
                return Some(status);
            }
        }
        None
    }

    fn on_answer(&mut self, asked: Asked, status: u16, body: &str, hearing: &mut Hearing<'_>) {
        let truth = &mut *hearing.truth;
        let place = || Some((topic(body)?, epoch(body)?, number(body, "offset")?));
        match (asked, status) {
            (Asked::Health, 200) => assert!(body.contains("\"healthy\""), "{body}"),
            (Asked::Health, 503) => assert!(!body.contains("\"healthy\""), "{body}"),
            (Asked::Info { topic, .. }, 404) => {
                assert!(body.contains(&format!("no topic t{topic} is known")), "{body}");
                self.info = None;
            }
            (Asked::Info { topic, known }, 200) => {
                let (of, epoch, offset) = place().expect(body);
                assert_eq!(of, topic);
                let at_least =
                    known.iter().find(|(known, _)| *known == epoch).map_or(0, |&(_, offset)| offset);
                assert!(offset >= at_least, "{body}: {at_least} was known before it was asked");
                truth.know((topic, epoch));
                self.info =
                    Some(Info { offset, epoch, subscribers: number(body, "subscribers").expect(body) });
            }
            (Asked::One(id), 200) => {
                let (topic, epoch, offset) = place().expect(body);
                truth.place(id, (topic, epoch), offset);
                truth.messages[id].is_confirmed = true;
            }
            (Asked::Lines(ids), 200) => {
                let (topic, epoch, last) = place().expect(body);
                assert_eq!(number(body, "count"), Some(ids.len() as u64), "{body}");
                let first = last + 1 - ids.len() as u64;
                for (id, offset) in ids.into_iter().zip(first..) {
                    truth.place(id, (topic, epoch), offset);
                    truth.messages[id].is_confirmed = true;
                }
            }
            (Asked::One(id), 503) if hearing.may_be_full => truth.messages[id].is_refused = true,
            (Asked::Lines(ids), 503) if hearing.may_be_full => {
                for id in ids {
                    truth.messages[id].is_refused = true;
                }
            }
            (asked, _) => panic!("{status} {body} in answer to {asked:?}"),
        }
    }
}
