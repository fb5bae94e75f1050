//! Several shards on fake rings that do as they are told, moved on by hand, and what their clients send and read.

use corecast::config::{Config, HostLimits, RESERVED_CONNECTIONS};
use corecast::ids::{Now, ShardId};
use corecast::mesh::{Capacity, mesh};
use corecast::observe::MetricsSlot;
use corecast::observe::counters::Counters;
use corecast::shard::{Context, Inbox, Levels, ListenerKind, Shard, Turn};
use corecast_protocol::topic::TopicName;
use corecast_protocol::{ProtocolError, Side};
use corecast_tests::wire::{Receiver, Seen, TEXT, frame_to};
use corecast_uring::RingConfig;
use corecast_uring::testing::{FakeRing, Faults, Peer};
use fastrand::Rng;
use std::net::SocketAddr;
use std::time::Duration;

/// A link that is never in the way.
pub(crate) const WIDE: Capacity = Capacity { messages: 1024, bytes: 1 << 20 };

/// A link with room for one message at a time.
pub(crate) const NARROW: Capacity = Capacity { messages: 1, bytes: 1 };

pub(crate) struct Shards {
    shards: Vec<(Shard, FakeRing)>,
    rng: Rng,
    now: Duration,
    is_draining: Vec<bool>,
}

/// A connection to one of the shards.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Client {
    pub(crate) shard: usize,
    pub(crate) peer: Peer,
}

impl Shards {
    /// Shards with some changes of the default configuration.
    pub(crate) fn start(count: u16, capacity: Capacity, change: impl FnOnce(&mut Config)) -> Self {
        let host = HostLimits { open_files: 20_000, cores: 1, ..HostLimits::read() };
        let mut config = Config {
            max_connections: 50 * u32::from(count),
            shards: u32::from(count),
            ..Config::defaults(&host)
        };
        change(&mut config);
        let ring = RingConfig {
            files: config.connections_per_shard() + RESERVED_CONNECTIONS,
            eventfd: false,
            ..config.ring()
        };
        let slots: Vec<_> = (0..count).map(|_| MetricsSlot::new(ProtocolError::RULES)).collect();
        let shards = mesh(count, capacity, (1, 2))
            .into_iter()
            .map(|end| {
                let mut ring = FakeRing::new(1, ring, Faults::none());
                let mut shard = Shard::new(&config, end, slots.clone());
                shard.add_listener(ring.add_listener(), ListenerKind::Tcp { is_loopback: true });
                (shard, ring)
            })
            .collect();
        let is_draining = vec![false; usize::from(count)];
        Self { shards, rng: Rng::with_seed(1), now: Duration::ZERO, is_draining }
    }

    /// The name of a topic with this home; another one for each `number`.
    pub(crate) fn topic_at(&self, home: u16, number: usize) -> String {
        let names = (0..).map(|candidate| format!("topic-{candidate}"));
        let home_of =
            |name: &String| self.shards[0].0.mesh().home_of(&TopicName::new(name).expect("a good name"));
        names.filter(|name| home_of(name) == ShardId(home)).nth(number).expect("there is always another")
    }

    // Time --------------------------------------------------------------------------------------------------------

    /// One turn of one shard, to which everything comes that was sent.
    pub(crate) fn turn(&mut self, shard: usize) -> Turn {
        self.turn_with(shard, usize::MAX)
    }

    pub(crate) fn turn_with(&mut self, index: usize, arrivals: usize) -> Turn {
        let now = Now(u64::try_from(self.now.as_nanos()).expect("a short time"));
        let (shard, ring) = &mut self.shards[index];
        let mut inbox = Inbox { drain: std::mem::take(&mut self.is_draining[index]), arrivals };
        let mut context = Context { now, clock: &|| now, rng: &mut self.rng, ring };
        shard.step(&mut context, &mut inbox)
    }

    pub(crate) fn turns_of(&mut self, shard: usize, count: usize) {
        for _ in 0..count {
            self.turn(shard);
        }
    }

    /// Turns of all shards.
    pub(crate) fn turns(&mut self, count: usize) {
        for _ in 0..count {
            for shard in 0..self.shards.len() {
                self.turn(shard);
            }
        }
    }

    /// Lets time pass, with turns of these shards for each tick.
    pub(crate) fn advance_only(&mut self, seconds: u64, shards: &[usize]) {
        for _ in 0..4 * seconds {
            self.now += Duration::from_millis(250);
            for (_, ring) in &mut self.shards {
                ring.advance(Duration::from_millis(250));
            }
            for &shard in shards {
                self.turns_of(shard, 2);
            }
        }
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        let all: Vec<usize> = (0..self.shards.len()).collect();
        self.advance_only(seconds, &all);
    }

    /// The next turn of the shard begins its drain.
    pub(crate) fn drain(&mut self, shard: usize) {
        self.is_draining[shard] = true;
    }

    // Clients -----------------------------------------------------------------------------------------------------

    /// A client of this host, accepted, with room for everything.
    pub(crate) fn connect(&mut self, shard: usize) -> Client {
        let ring = &mut self.shards[shard].1;
        let peer = ring.connect_from(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        ring.set_send_capacity(peer, 1 << 30);
        self.turns_of(shard, 4);
        Client { shard, peer }
    }

    pub(crate) fn set_room(&mut self, client: Client, bytes: usize) {
        self.shards[client.shard].1.set_send_capacity(client.peer, bytes);
    }

    /// A connection of the raw dialect that has asked for its upgrade.
    pub(crate) fn upgrading(&mut self, shard: usize, topic: &str, query: &str) -> Client {
        let client = self.connect(shard);
        self.send(client, &upgrade(&format!("/topics/{topic}{query}")));
        self.turns_of(shard, 4);
        client
    }

    /// A connection of the raw dialect that is upgraded.
    pub(crate) fn raw(&mut self, shard: usize, topic: &str, query: &str) -> Client {
        let client = self.upgrading(shard, topic, query);
        self.turns(10);
        let answer = text(&self.read(client));
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        client
    }

    pub(crate) fn json(&mut self, shard: usize) -> Client {
        let client = self.connect(shard);
        self.send(client, &upgrade("/ws"));
        self.turns_of(shard, 4);
        let answer = text(&self.read(client));
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        client
    }

    /// A connection of the JSON dialect that is subscribed to a topic without messages.
    pub(crate) fn json_subscriber(&mut self, shard: usize, topic: &str) -> Client {
        let client = self.json(shard);
        self.send(client, &requests(&[&subscribe(topic, 1)]));
        self.turns(10);
        let answers = self.messages(client);
        assert!(
            answers[0].starts_with(&format!("{{\"op\":\"subscribed\",\"topic\":\"{topic}\",\"offset\":0,"))
        );
        client
    }

    pub(crate) fn send(&mut self, client: Client, bytes: &[u8]) {
        self.shards[client.shard].1.peer_send(client.peer, bytes);
    }

    pub(crate) fn reset(&mut self, client: Client) {
        self.shards[client.shard].1.peer_reset(client.peer);
    }

    pub(crate) fn read(&mut self, client: Client) -> Vec<u8> {
        self.shards[client.shard].1.peer_receive(client.peer)
    }

    /// What a WebSocket client has got: whole frames.
    pub(crate) fn seen(&mut self, client: Client) -> Vec<Seen> {
        let bytes = self.read(client);
        seen_in(&bytes)
    }

    /// The same, where it is text only.
    pub(crate) fn messages(&mut self, client: Client) -> Vec<String> {
        texts(self.seen(client))
    }

    // What is seen from outside -----------------------------------------------------------------------------------

    /// Sends that the shard has made so far.
    pub(crate) fn sends(&self, shard: usize) -> u64 {
        corecast_uring::Ring::stats(&self.shards[shard].1).sends
    }

    pub(crate) fn counters(&self, shard: usize) -> &Counters {
        &self.shards[shard].0.metrics().counters
    }

    pub(crate) fn levels(&self, shard: usize) -> Levels {
        self.shards[shard].0.levels()
    }

    /// Nothing waits anywhere.
    pub(crate) fn assert_at_rest(&self) {
        for (shard, _) in &self.shards {
            let Levels { waiting, stalled, parked_bytes, .. } = shard.levels();
            assert_eq!((waiting, stalled, parked_bytes, shard.mesh().is_idle()), (0, 0, 0, true));
        }
    }

    pub(crate) fn are_clean(&self) -> bool {
        self.shards.iter().all(|(shard, _)| shard.is_clean())
    }
}

// What clients send -----------------------------------------------------------------------------------------------

/// The request of RFC 6455 §1.3.
pub(crate) fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn post(topic: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// Frames with these texts, back to back.
pub(crate) fn requests(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| frame_to(Side::Server, TEXT, text.as_bytes())).collect()
}

pub(crate) fn subscribe(topic: &str, id: usize) -> String {
    format!("{{\"op\":\"subscribe\",\"topic\":\"{topic}\",\"id\":{id}}}")
}

pub(crate) fn publish(topic: &str, data: &str, id: usize) -> String {
    format!("{{\"op\":\"publish\",\"topic\":\"{topic}\",\"data\":{data},\"id\":{id}}}")
}

pub(crate) fn message(topic: &str, offset: usize, data: &str) -> String {
    format!("{{\"op\":\"message\",\"topic\":\"{topic}\",\"offset\":{offset},\"data\":{data}}}")
}

// What clients read -----------------------------------------------------------------------------------------------

pub(crate) fn seen_in(bytes: &[u8]) -> Vec<Seen> {
    let mut receiver = Receiver::new(Side::Client);
    receiver.hear(bytes);
    assert!(receiver.error.is_none() && !receiver.connection.is_mid_message(), "{receiver:?}");
    receiver.seen
}

pub(crate) fn texts(seen: Vec<Seen>) -> Vec<String> {
    let text = |seen| match seen {
        Seen::Text(text) => text,
        other => panic!("{other:?}"),
    };
    seen.into_iter().map(text).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
