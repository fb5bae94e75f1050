//! A shard on a fake ring, moved on by hand, and what its clients send and read.

use corecast::config::{Config, HostLimits, RESERVED_CONNECTIONS};
use corecast::ids::Now;
use corecast::observe::counters::Counters;
use corecast::shard::{Context, Inbox, Levels, ListenerKind, Shard, Turn};
use corecast_protocol::Side;
use corecast_tests::wire::{BINARY, frame_to};
use corecast_uring::testing::{FakeRing, Faults, Peer};
use corecast_uring::{ListenerId, RingConfig};
use fastrand::Rng;
use std::net::SocketAddr;
use std::time::Duration;

/// Room of a socket whose peer is not to be waited for.
pub(crate) const ENDLESS: usize = 1 << 30;

/// What a shard's timers are as fine as.
const TICK: Duration = Duration::from_millis(250);

pub(crate) struct Server {
    pub(crate) ring: FakeRing,
    shard: Shard,
    rng: Rng,
    now: Duration,
    inbox: Inbox,
}

impl Server {
    /// A server with one change of the default configuration.
    pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_seeded(1, change)
    }

    /// The same, for tests in which the ring is left to chance.
    pub(crate) fn start_seeded(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let host = HostLimits { open_files: 20_000, cores: 1, ..HostLimits::read() };
        let mut config = Config { max_connections: 50, ..Config::defaults(&host) };
        change(&mut config);
        let ring_config = RingConfig {
            files: config.max_connections + RESERVED_CONNECTIONS,
            eventfd: false,
            ..config.ring()
        };
        let mut server = Self {
            ring: FakeRing::new(seed, ring_config, Faults::none()),
            shard: Shard::alone(&config),
            rng: Rng::with_seed(seed),
            now: Duration::ZERO,
            inbox: Inbox::default(),
        };
        server.add_listener(false);
        server
    }

    pub(crate) fn add_listener(&mut self, is_admin: bool) -> ListenerId {
        let listener = self.ring.add_listener();
        let kind = if is_admin {
            ListenerKind::Admin { is_loopback: true }
        } else {
            ListenerKind::Tcp { is_loopback: true }
        };
        self.shard.add_listener(listener, kind);
        listener
    }

    // Time ------------------------------------------------------------------------------------------------------

    /// One turn, a millisecond after the last.
    pub(crate) fn step(&mut self) -> Turn {
        self.step_after(Duration::from_millis(1))
    }

    pub(crate) fn step_after(&mut self, pause: Duration) -> Turn {
        self.now += pause;
        self.ring.advance(pause);
        let now = Now(u64::try_from(self.now.as_nanos()).expect("a short time"));
        let mut context = Context { now, clock: &|| now, rng: &mut self.rng, ring: &mut self.ring };
        self.shard.step(&mut context, &mut self.inbox)
    }

    pub(crate) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Lets time pass, a turn for each tick of the shard.
    pub(crate) fn advance(&mut self, seconds: u64) {
        for _ in 0..4 * seconds {
            self.step_after(TICK);
        }
    }

    /// The next turn begins the drain.
    pub(crate) fn drain(&mut self) {
        self.inbox.drain = true;
    }

    // Clients ---------------------------------------------------------------------------------------------------

    /// A client of this host, accepted.
    pub(crate) fn connect(&mut self) -> Peer {
        let peer = self.queue();
        self.steps(4);
        peer
    }

    /// A client of this host that waits in the listener's queue.
    pub(crate) fn queue(&mut self) -> Peer {
        self.queue_at(ListenerId(0))
    }

    pub(crate) fn queue_at(&mut self, listener: ListenerId) -> Peer {
        self.ring.connect_to(listener, SocketAddr::from(([127, 0, 0, 1], 40_000)))
    }

    /// A client whose socket takes this many bytes before it reads.
    pub(crate) fn connect_with_room(&mut self, bytes: usize) -> Peer {
        let peer = self.connect();
        self.set_room(peer, bytes);
        peer
    }

    pub(crate) fn set_room(&mut self, peer: Peer, bytes: usize) {
        self.ring.set_send_capacity(peer, bytes);
    }

    /// A subscriber of the topic with room for everything.
    pub(crate) fn subscriber(&mut self) -> Peer {
        self.websocket("?role=subscriber")
    }

    pub(crate) fn publisher(&mut self) -> Peer {
        self.websocket("?role=publisher")
    }

    fn websocket(&mut self, query: &str) -> Peer {
        let peer = self.connect_with_room(ENDLESS);
        self.send(peer, &upgrade(query));
        self.steps(4);
        let answer = text(&self.read(peer));
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        peer
    }

    pub(crate) fn send(&mut self, peer: Peer, bytes: &[u8]) {
        self.ring.peer_send(peer, bytes);
    }

    pub(crate) fn read(&mut self, peer: Peer) -> Vec<u8> {
        self.ring.peer_receive(peer)
    }

    /// Reads for some turns.
    pub(crate) fn read_for(&mut self, turns: usize, peer: Peer) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..turns {
            bytes.extend(self.read(peer));
            self.step();
        }
        bytes.extend(self.read(peer));
        bytes
    }

    // What is seen from outside ----------------------------------------------------------------------------------

    /// The connection ended with a FIN.
    pub(crate) fn is_finished(&self, peer: Peer) -> bool {
        self.ring.peer_is_closed(peer) && !self.ring.peer_was_reset(peer)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shard.metrics().counters
    }

    /// Close frames by code, without those that did not occur.
    pub(crate) fn closes(&self) -> Vec<(&'static str, u64)> {
        self.counters().closes.iter().filter(|&(_, count)| count > 0).collect()
    }

    pub(crate) fn levels(&self) -> Levels {
        self.shard.levels()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.shard.is_clean()
    }
}

// What clients send -----------------------------------------------------------------------------------------------

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

pub(crate) fn post(body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The request of RFC 6455 §1.3.
pub(crate) fn upgrade(query: &str) -> Vec<u8> {
    format!(
        "GET /topics/t{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A message to be published.
pub(crate) fn publish(payload: &[u8]) -> Vec<u8> {
    frame_to(Side::Server, BINARY, payload)
}

/// A message as a subscriber gets it.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    frame_to(Side::Client, BINARY, payload)
}

// What clients read -----------------------------------------------------------------------------------------------

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The HTTP answers that `bytes` begin with, up to a 101, and what follows. All of them are whole, and nothing is in them that
/// is no text, as a frame's first byte.
pub(crate) fn answers(mut bytes: &[u8]) -> (Vec<Answer>, &[u8]) {
    let mut answers: Vec<Answer> = Vec::new();
    while !bytes.is_empty() && answers.last().is_none_or(|answer| answer.status != 101) {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no whole head after {}: {:?}", answers.len(), text(bytes)));
        let head = strict_text(&bytes[..end + 4]);
        bytes = &bytes[end + 4..];
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {head:?}"));
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("a length is a number"));
        assert!(length <= bytes.len(), "answer {} is cut: {head:?}{:?}", answers.len(), text(bytes));
        let body = strict_text(&bytes[..length]);
        bytes = &bytes[length..];
        answers.push(Answer { status, head, body });
    }
    (answers, bytes)
}

fn strict_text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| panic!("torn: {:?}", text(bytes)))
}

pub(crate) fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
