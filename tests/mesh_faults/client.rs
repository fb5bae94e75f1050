//! One simulated client: where it is connected, how it stands with the server, and which dialect it speaks.

use super::http::Http;
use super::json::Json;
use super::raw::Raw;
use super::truth::Truth;
use corecast_protocol::Side;
use corecast_tests::wire::{CLOSE, PONG, Receiver, Seen, close_body, frame_to};
use corecast_uring::testing::Peer;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) shard: usize,
    pub(crate) peer: Peer,
    pub(crate) state: State,
    /// Does not read.
    pub(crate) is_stalled: bool,
    /// What the server gives up after a time that passed without reading is not its mistake.
    pub(crate) has_stalled: bool,
    pub(crate) speaks: Dialect,
}

#[derive(Debug)]
pub(crate) enum Dialect {
    Raw(Raw),
    Json(Json),
    Http(Http),
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum State {
    Alive,
    /// Ended by this side: reset, FIN, Close, or bytes that break the protocol.
    Left,
    /// Told by the server that it is over, with this close code or status.
    Told(u16),
    /// The server closed the connection.
    Gone,
}

/// What a client hears of while it reads.
pub(crate) struct Hearing<'a> {
    pub(crate) truth: &'a mut Truth,
    pub(crate) step: u64,
    pub(crate) may_be_full: bool,
    pub(crate) may_miss: bool,
    /// This side has ended: what is still answered is not about requests alone.
    pub(crate) has_left: bool,
}

impl Client {
    /// What is sent at once after connecting.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        match &self.speaks {
            Dialect::Raw(raw) => raw.upgrade(),
            Dialect::Json(_) => upgrade("/ws"),
            Dialect::Http(_) => Vec::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Alive
            && match &self.speaks {
                Dialect::Raw(raw) => raw.socket.is_open,
                Dialect::Json(json) => json.socket.is_open,
                Dialect::Http(_) => true,
            }
    }

    /// Takes what arrived; gives what is to be sent in answer.
    pub(crate) fn hear(&mut self, bytes: &[u8], hearing: &mut Hearing<'_>) -> Vec<u8> {
        if matches!(self.state, State::Told(_) | State::Gone) {
            return Vec::new();
        }
        let mut answer = Vec::new();
        hearing.has_left = self.state == State::Left;
        let socket = match &mut self.speaks {
            Dialect::Http(http) => {
                if let Some(status) = http.hear(bytes, hearing, &mut answer) {
                    self.state = State::Told(status);
                }
                return if hearing.has_left { Vec::new() } else { answer };
            }
            Dialect::Raw(raw) => &mut raw.socket,
            Dialect::Json(json) => &mut json.socket,
        };
        let was_open = socket.is_open;
        let seen = match socket.hear(bytes) {
            Ok(seen) => seen,
            Err(status) => {
                self.state = State::Told(status);
                return Vec::new();
            }
        };
        let has_opened = socket.is_open && !was_open;
        if let (Dialect::Raw(raw), true) = (&mut self.speaks, has_opened) {
            raw.opened_at = Some(hearing.step);
        }
        for seen in seen {
            match seen {
                Seen::Ping(payload) => answer.extend(frame_to(Side::Server, PONG, &payload)),
                Seen::Pong(_) => {}
                Seen::Deflated(..) => panic!("compression was not offered"),
                Seen::Close(close) => {
                    let code = close.map_or(1005, |(code, _)| code);
                    if self.state == State::Alive {
                        answer.extend(frame_to(Side::Server, CLOSE, &close_body(code, "")));
                        self.state = State::Told(code);
                    }
                    break;
                }
                Seen::Text(text) => match &mut self.speaks {
                    Dialect::Raw(raw) => raw.on_message(text.as_bytes(), false, hearing.truth),
                    Dialect::Json(json) => json.on_message(&text, hearing),
                    Dialect::Http(_) => unreachable!("no WebSocket"),
                },
                Seen::Binary(bytes) => match &mut self.speaks {
                    Dialect::Raw(raw) => raw.on_message(&bytes, true, hearing.truth),
                    _ => panic!("the JSON dialect has no binary messages"),
                },
            }
        }
        if self.state == State::Left { Vec::new() } else { answer }
    }
}

/// The client's end of a WebSocket connection.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) is_open: bool,
    head: Vec<u8>,
    receiver: Receiver,
}

impl Socket {
    pub(crate) fn new() -> Self {
        Self { is_open: false, head: Vec::new(), receiver: Receiver::new(Side::Client) }
    }

    /// What is seen in these bytes, or the status with which the upgrade was refused.
    fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Seen>, u16> {
        if self.is_open {
            self.receiver.hear(bytes);
        } else {
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(Vec::new());
            };
            let head = String::from_utf8(self.head[..end].to_vec()).expect("an answer's head is text");
            let status: u16 = head["HTTP/1.1 ".len()..][..3].parse().expect("a status");
            if status != 101 {
                assert_eq!(status, 503, "{head}");
                return Err(status);
            }
            self.is_open = true;
            let rest = self.head.split_off(end + 4);
            self.receiver.hear(&rest);
        }
        assert!(self.receiver.error.is_none(), "the server keeps the protocol: {:?}", self.receiver.error);
        Ok(std::mem::take(&mut self.receiver.seen))
    }
}

/// The request of RFC 6455 §1.3.
pub(crate) fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The number behind a member's name.
pub(crate) fn number(object: &str, name: &str) -> Option<u64> {
    let (_, rest) = object.split_once(&format!("\"{name}\":"))?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The string behind a member's name, which has no escapes.
pub(crate) fn string<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = object.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

pub(crate) fn epoch(object: &str) -> Option<u64> {
    string(object, "epoch").map(|epoch| u64::from_str_radix(epoch, 16).expect("16 hex digits"))
}

pub(crate) fn topic(object: &str) -> Option<usize> {
    string(object, "topic").map(|topic| topic[1..].parse().expect("one of our topics"))
}
