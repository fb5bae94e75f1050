//! Why a connection was not made or did not last: cause and remedy in one sentence, equal for equal causes so that a
//! thousand failures make one line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use corecast_protocol::handshake::client::HandshakeError;
use corecast_protocol::http1::HttpError;
use corecast_protocol::{CloseCode, ProtocolError};
use corecast_uring::Errno;
use serde::{Deserialize, Serialize};

/// Different reasons that are told apart; servers that put a number in every answer must not fill the memory.
const MOST_REASONS: usize = 24;
/// Where an answer of the server is cut.
const LONGEST_REASON: usize = 300;

/// What ended a connection, or kept it from being made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("connection refused: is the server up at {0}? Start it, or correct the URL")]
    Refused(SocketAddr),
    #[error(
        "no local port left towards {0} (EADDRNOTAVAIL): widen net.ipv4.ip_local_port_range with sysctl, or add \
         --source addresses (127.0.0.2 and up work for a local server)"
    )]
    NoLocalPort(SocketAddr),
    #[error(
        "--source is not an address of this host (EADDRNOTAVAIL): choose one that `ip address` shows, or add it"
    )]
    NoSuchSource,
    #[error("out of descriptors ({0}): raise the limit with `ulimit -n`, or connect less")]
    NoDescriptor(Errno),
    #[error(
        "connecting to {0} timed out (ETIMEDOUT): a firewall drops packets, or the server's listen queue is full \
         (net.core.somaxconn, or a lower --connect-concurrency)"
    )]
    ConnectTimedOut(SocketAddr),
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, Errno),
    #[error("cannot prepare a socket: {0}")]
    Prepare(Errno),
    #[error("{0}")]
    Handshake(HandshakeError),
    #[error(
        "the server did not choose the subprotocol: does it speak corecast's JSON dialect on this path (/ws)?"
    )]
    NoSubprotocol,
    #[error(
        "the server did not agree to compression (permessage-deflate): switch it on there, or leave out --deflate"
    )]
    NoDeflate,
    #[error("the server refused the subscription: {0}")]
    NotSubscribed(String),
    #[error("not subscribed within {0:?}: {1}; raise --connect-timeout, or lower --connect-rate")]
    TooSlow(Duration, &'static str),
    #[error(
        "the server closed the connection during the handshake without an answer: is this its WebSocket port?"
    )]
    ClosedInHandshake,
    #[error("the server closed: {}{}{reason}", code.map_or("no code".to_owned(), |c| c.to_string()), if reason.is_empty() { "" } else { " " })]
    Closed { code: Option<CloseCode>, reason: String },
    #[error("the stream ended without a Close frame{}", if *.0 { " in the middle of a message" } else { "" })]
    EndOfStream(bool),
    #[error("the connection broke: {0}")]
    Broken(Errno),
    #[error("the server broke the protocol: {0}")]
    Protocol(ProtocolError),
    #[error("the answer to POST is no usable HTTP: {0}")]
    Http(HttpError),
    #[error("the server answered a POST with more than was asked")]
    UnaskedAnswer,
}

impl Failure {
    /// What `connect` said.
    pub fn from_connect(errno: Errno, address: SocketAddr) -> Self {
        match errno {
            Errno::ECONNREFUSED => Self::Refused(address),
            Errno::EADDRNOTAVAIL => Self::NoLocalPort(address),
            Errno::ETIMEDOUT => Self::ConnectTimedOut(address),
            errno => Self::Connect(address, errno),
        }
    }

    /// What creating a socket or setting it up said.
    pub fn from_prepare(errno: Errno) -> Self {
        match errno {
            Errno::EMFILE | Errno::ENFILE => Self::NoDescriptor(errno),
            Errno::EADDRNOTAVAIL => Self::NoSuchSource,
            errno => Self::Prepare(errno),
        }
    }
}

/// Failures counted by their text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reasons(BTreeMap<String, u64>);

impl Reasons {
    pub fn add(&mut self, failure: &Failure) {
        self.add_reason(failure.to_string());
    }

    /// Counts a reason that is no failure of a connection.
    pub fn add_reason(&mut self, mut text: String) {
        if text.len() > LONGEST_REASON {
            text.truncate(text.floor_char_boundary(LONGEST_REASON));
            text.push_str("...");
        }
        self.add_text(text, 1);
    }

    pub fn merge(&mut self, other: Self) {
        for (text, count) in other.0 {
            self.add_text(text, count);
        }
    }

    /// Text and count, most frequent first.
    pub fn sorted(&self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.0.iter().map(|(text, &count)| (text.clone(), count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        all
    }

    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    fn add_text(&mut self, text: String, count: u64) {
        let known = self.0.contains_key(&text) || self.0.len() < MOST_REASONS;
        let text = if known { text } else { "other reasons".to_owned() };
        *self.0.entry(text).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connections_name_the_address() {
        let failure = Failure::from_connect(Errno::ECONNREFUSED, "127.0.0.1:9001".parse().unwrap());
        assert_eq!(
            failure.to_string(),
            "connection refused: is the server up at 127.0.0.1:9001? Start it, or correct the URL"
        );
    }

    #[test]
    fn the_servers_words_are_passed_on() {
        let closed = Failure::Closed { code: Some(CloseCode(4008)), reason: "lapped".into() };
        assert_eq!(closed.to_string(), "the server closed: 4008 (private use) lapped");
    }

    #[test]
    fn equal_causes_are_one_line_and_lines_are_bounded() {
        let mut reasons = Reasons::default();
        for _ in 0..3 {
            reasons.add(&Failure::EndOfStream(false));
        }
        for number in 0..100 {
            reasons.add(&Failure::Closed { code: None, reason: format!("{number:03}{}", "x".repeat(400)) });
        }
        let sorted = reasons.sorted();
        assert_eq!(sorted.len(), 25);
        assert_eq!(sorted[0], ("other reasons".to_owned(), 77));
        assert_eq!(sorted[1], ("the stream ended without a Close frame".to_owned(), 3));
        assert!(sorted.iter().all(|(text, _)| text.len() <= 303));
        assert_eq!(reasons.total(), 103);
    }
}
