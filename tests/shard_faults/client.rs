//! One simulated client: what it sends, what it has received, and what it may expect.

use super::pipeline::Pipeline;
use corecast_protocol::{
    CloseCode, Connection, Event, Input, Limits, MessageKind, Opcode, Side,
    frame::{encode_close, encode_frame},
};
use corecast_uring::testing::Peer;
use std::fmt;

/// Which part a client plays.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Part {
    /// Subscribed before anything happens; always reads; is never hurt.
    Witness,
    /// Subscribes, and publishes too.
    Both,
    Subscriber,
    Publisher,
    /// Publishes by POST.
    Poster,
    /// Sends HTTP requests without waiting for their answers, POSTs among them, and upgrades behind them.
    Pipeliner,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum State {
    /// HTTP, before the upgrade's request is sent.
    Requesting,
    /// The request is sent; the 101 is not here yet.
    Connecting,
    Open,
    /// Told 503: what still comes is the rest of that answer.
    Refused,
    /// A Close frame came or went.
    Closing,
    /// The connection is gone.
    Gone,
}

pub(crate) type Message = (MessageKind, Vec<u8>);

pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) part: Part,
    pub(crate) topic: usize,
    pub(crate) state: State,
    /// Does not read.
    pub(crate) stalled: bool,
    /// Ended by this side without a closing handshake, or failed for breaking the protocol.
    pub(crate) broken: bool,
    pub(crate) close_code: Option<CloseCode>,
    pub(crate) received: Vec<Message>,
    /// The world's step in which the 101 was read.
    pub(crate) opened_at: u64,
    /// Messages sent, with the step, in order.
    pub(crate) sent: Vec<(u64, Vec<u8>)>,
    /// Answers to POSTs: how many said 200.
    pub(crate) answers: usize,
    /// What a pipeliner asks before its upgrade.
    pub(crate) pipeline: Pipeline,
    head: Vec<u8>,
    connection: Connection,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} of topic {}, {:?}, broken {}, stalled {}, close code {:?}, opened at {}, {} received, {} sent, {} answers, {:?}",
            self.part,
            self.topic,
            self.state,
            self.broken,
            self.stalled,
            self.close_code,
            self.opened_at,
            self.received.len(),
            self.sent.len(),
            self.answers,
            self.peer,
        )
    }
}

impl Client {
    pub(crate) fn new(peer: Peer, part: Part, topic: usize) -> Self {
        Self {
            peer,
            part,
            topic,
            state: match part {
                Part::Poster => State::Open,
                Part::Pipeliner => State::Requesting,
                _ => State::Connecting,
            },
            stalled: false,
            broken: false,
            close_code: None,
            received: Vec::new(),
            opened_at: 0,
            sent: Vec::new(),
            answers: 0,
            pipeline: Pipeline::default(),
            head: Vec::new(),
            connection: Connection::new(Side::Client),
        }
    }

    /// The opening handshake's request, RFC 6455 §1.3's.
    pub(crate) fn request(&self) -> Vec<u8> {
        let role = match self.part {
            Part::Subscriber | Part::Witness => "?role=subscriber",
            Part::Publisher => "?role=publisher",
            Part::Both | Part::Poster | Part::Pipeliner => "",
        };
        format!(
            "GET /topics/t{}{role} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.topic
        )
        .into_bytes()
    }

    pub(crate) fn publishes(&self) -> bool {
        matches!(self.part, Part::Both | Part::Publisher | Part::Poster | Part::Pipeliner)
    }

    pub(crate) fn subscribes(&self) -> bool {
        matches!(self.part, Part::Both | Part::Subscriber | Part::Witness | Part::Pipeliner)
    }

    /// Grows as long as anything reaches this client.
    pub(crate) fn progress(&self) -> usize {
        self.received.len() + self.answers + self.pipeline.answered()
    }

    /// A publish as bytes on the wire, split into fragments where `fragments` says so.
    pub(crate) fn publish(
        &mut self,
        step: u64,
        kind: MessageKind,
        payload: Vec<u8>,
        fragments: usize,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let posts = self.part == Part::Poster || self.state == State::Requesting;
        if posts {
            let content_type =
                if kind == MessageKind::Text { "text/plain" } else { "application/octet-stream" };
            out = format!(
                "POST /topics/t{} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                self.topic,
                payload.len()
            )
            .into_bytes();
            out.extend_from_slice(&payload);
            if self.part == Part::Pipeliner {
                self.pipeline.publish(&payload);
            }
        } else if fragments <= 1 || payload.len() < 2 {
            encode_frame(&mut out, kind.opcode(), &payload, Some([1, 2, 3, 4]));
        } else {
            let middle = payload.len() / 2;
            encode_frame(&mut out, kind.opcode(), &payload[..middle], Some([9, 8, 7, 6]));
            // Clear FIN of the first frame: it begins a fragmented message.
            out[0] &= 0x7f;
            encode_frame(&mut out, Opcode::Ping, b"between", Some([5, 5, 5, 5]));
            encode_frame(&mut out, Opcode::Continuation, &payload[middle..], Some([0, 0, 0, 0]));
        }
        self.sent.push((step, payload));
        out
    }

    /// Takes what arrived; gives what is to be sent in answer.
    pub(crate) fn receive(&mut self, step: u64, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.part == Part::Poster {
            self.receive_answers(bytes);
            return Vec::new();
        }
        if self.state == State::Refused {
            return Vec::new();
        }
        if matches!(self.state, State::Requesting | State::Connecting) {
            self.head.append(&mut bytes);
            if !self.broken && !self.pipeline.take(&mut self.head) {
                self.state = State::Refused;
                self.broken = true;
            }
            if self.broken || self.state == State::Requesting || !self.pipeline.is_answered() {
                return Vec::new();
            }
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Vec::new();
            };
            bytes = self.head.split_off(end + 4);
            let head = String::from_utf8(std::mem::take(&mut self.head)).expect("an answer's head is text");
            if !head.starts_with("HTTP/1.1 101 ") {
                assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
                self.state = State::Refused;
                self.broken = true;
                return Vec::new();
            }
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455 §1.3's answer: {head}");
            self.state = State::Open;
            self.opened_at = step;
        }
        let mut answer = Vec::new();
        let limits = Limits::default();
        let mut input = Input::new(&mut bytes);
        while let Some(event) = self
            .connection
            .poll_event(&mut input, &limits)
            .expect("the server keeps the protocol, so no frame is torn")
        {
            match event {
                Event::Message { kind, payload } => {
                    assert!(self.subscribes(), "a publisher only gets no messages");
                    self.received.push((kind, payload.to_vec()));
                }
                Event::Ping(payload) => encode_frame(&mut answer, Opcode::Pong, &payload, Some([1, 1, 1, 1])),
                Event::Pong(_) => {}
                Event::Deflated { .. } => panic!("compression was not offered"),
                Event::Close(close) => {
                    let code = close.map_or(CloseCode::NO_STATUS, |(code, _)| code);
                    self.close_code = Some(code);
                    if self.state == State::Open {
                        encode_close(&mut answer, code, "", Some([2, 2, 2, 2]));
                    }
                    self.state = State::Closing;
                }
            }
        }
        answer
    }

    fn receive_answers(&mut self, bytes: Vec<u8>) {
        self.head.extend_from_slice(&bytes);
        while let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(self.head[..end].to_vec()).expect("an answer's head is text");
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .expect("every answer has a length")
                .parse()
                .expect("a length is a number");
            if self.head.len() < end + 4 + length {
                return;
            }
            self.head.drain(..end + 4 + length);
            if head.starts_with("HTTP/1.1 200 ") {
                self.answers += 1;
            } else {
                assert!(self.broken || head.starts_with("HTTP/1.1 503 "), "{head}");
                self.broken = true;
            }
        }
    }
}
