//! The world of one seed: a shard, its ring, its clients, and what they do.

use super::client::{Client, Message, Part, State};
use corecast::config::{Config, HostLimits, LagPolicy};
use corecast::ids::Now;
use corecast::shard::{Context, Inbox, ListenerKind, Shard, Turn};
use corecast_protocol::{
    CloseCode, MessageKind, Opcode,
    frame::{encode_close, encode_frame},
};
use corecast_uring::RingConfig;
use corecast_uring::testing::{FakeRing, Faults};
use fastrand::Rng;
use std::net::SocketAddr;
use std::time::Duration;

const TOPICS: usize = 2;

/// How hostile a seed is, beyond the ring's faults.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: u64,
    pub(crate) clients_max: usize,
    pub(crate) message_bytes_max: usize,
    /// Room in a client's socket, in bytes.
    pub(crate) send_capacity: usize,
    pub(crate) lag_policy: LagPolicy,
    pub(crate) topic_log_bytes: usize,
}

impl Plan {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self {
            steps: rng.u64(50..400),
            clients_max: rng.usize(3..16),
            message_bytes_max: *rng.choice(&[20, 200, 3000, 16_000]).expect("there are some"),
            send_capacity: *rng.choice(&[300, 4000, 100_000]).expect("there are some"),
            lag_policy: if rng.bool() { LagPolicy::Disconnect } else { LagPolicy::SkipSilent },
            topic_log_bytes: *rng.choice(&[128 << 10, 512 << 10]).expect("there are some"),
        }
    }
}

pub(crate) struct World {
    plan: Plan,
    rng: Rng,
    shard_rng: Rng,
    shard: Shard,
    ring: FakeRing,
    now: Duration,
    step: u64,
    inbox: Inbox,
    clients: Vec<Client>,
    next_message: u64,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, faults: Faults) -> Self {
        let host = HostLimits { open_files: 20_000, cores: 1, ..HostLimits::read() };
        let config = Config {
            max_connections: plan.clients_max as u32 + 2,
            max_message_bytes: 16 << 10,
            max_frame_bytes: 16 << 10,
            topic_log_bytes: plan.topic_log_bytes,
            log_bytes: plan.topic_log_bytes + (64 << 10),
            inbound_bytes: 1 << 20,
            lag_policy: plan.lag_policy,
            ..Config::defaults(&host)
        };
        let ring_config = RingConfig {
            submission_entries: 16,
            completion_entries: 64,
            files: config.max_connections + corecast::config::RESERVED_CONNECTIONS,
            receive_buffers: 8,
            receive_buffer_bytes: 512,
            eventfd: false,
            ..RingConfig::default()
        };
        let mut ring = FakeRing::new(seed, ring_config, Faults::none());
        let mut shard = Shard::alone(&config);
        shard.add_listener(ring.add_listener(), ListenerKind::Tcp { is_loopback: true });
        let mut world = Self {
            plan,
            rng: Rng::with_seed(seed),
            shard_rng: Rng::with_seed(seed ^ 0x00c0_ffee),
            shard,
            ring,
            now: Duration::ZERO,
            step: 0,
            inbox: Inbox::default(),
            clients: Vec::new(),
            next_message: 0,
        };
        for topic in 0..TOPICS {
            world.connect(Part::Witness, topic);
        }
        world.settle();
        assert!(
            world.clients.iter().all(|client| client.state == State::Open),
            "every witness is subscribed"
        );
        world.ring.set_faults(faults);
        world
    }

    pub(crate) fn run(mut self) {
        self.live();
        self.ring.set_faults(Faults::none());
        for index in 0..self.clients.len() {
            self.clients[index].stalled = false;
        }
        self.settle();
        self.check();
        self.everybody_leaves();
        assert!(self.shard.is_clean(), "everything is given back: {:?}", self.shard);
    }

    pub(crate) fn run_and_drain(mut self) {
        self.live();
        self.inbox.drain = true;
        for _ in 0..2000 {
            self.now += Duration::from_millis(20);
            self.ring.advance(Duration::from_millis(20));
            self.read_all();
            if self.turn() == Turn::Finished {
                self.read_all();
                assert!(self.shard.is_clean(), "everything is given back: {:?}", self.shard);
                for client in &self.clients {
                    let told = client.close_code == Some(CloseCode::GOING_AWAY);
                    // Who reads and did nothing wrong was told.
                    let excused = client.broken || client.stalled || client.part == Part::Poster;
                    assert!(told || excused || client.state != State::Open, "not told: {client:?}");
                }
                return;
            }
        }
        panic!("the drain did not end within 40 s");
    }

    /// The random part.
    fn live(&mut self) {
        for _ in 0..self.plan.steps {
            for _ in 0..self.rng.usize(0..4) {
                self.act();
            }
            let pause = Duration::from_micros(self.rng.u64(1..30_000));
            self.now += pause;
            self.ring.advance(pause);
            self.turn();
            self.read_all();
        }
    }

    fn act(&mut self) {
        if self.clients.len() < self.plan.clients_max && self.rng.u8(..) < 60 {
            let part = *self
                .rng
                .choice(&[
                    Part::Both,
                    Part::Subscriber,
                    Part::Subscriber,
                    Part::Publisher,
                    Part::Poster,
                    Part::Pipeliner,
                ])
                .expect("there are some");
            let topic = self.rng.usize(..TOPICS);
            self.connect(part, topic);
            return;
        }
        let index = self.rng.usize(..self.clients.len());
        if self.clients[index].part == Part::Pipeliner && self.clients[index].state != State::Open {
            self.act_before_upgrade(index);
            return;
        }
        if self.clients[index].state != State::Open {
            return;
        }
        match self.rng.u8(..100) {
            0..70 => self.publish_some(index),
            _ if self.clients[index].part == Part::Witness => {}
            70..80 => self.clients[index].stalled = !self.clients[index].stalled,
            80..88 => self.send_frame(index, Opcode::Ping, b"are you there"),
            88..93 => {
                let mut bytes = Vec::new();
                encode_close(&mut bytes, CloseCode::NORMAL, "done", Some([3, 3, 3, 3]));
                if self.clients[index].part != Part::Poster {
                    self.ring.peer_send(self.clients[index].peer, &bytes);
                    self.clients[index].state = State::Closing;
                }
            }
            93..95 => {
                self.ring.peer_reset(self.clients[index].peer);
                self.gone(index);
            }
            95..97 => {
                self.ring.peer_shutdown(self.clients[index].peer);
                self.clients[index].state = State::Closing;
                self.clients[index].broken = true;
            }
            _ => {
                // An unmasked frame, or no HTTP.
                self.clients[index].broken = true;
                self.ring.peer_send(self.clients[index].peer, b"\x81\x05hello");
            }
        }
    }

    /// What a pipeliner does while it speaks HTTP or waits for its 101.
    fn act_before_upgrade(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let chance = self.rng.u8(..100);
        if matches!(client.state, State::Requesting | State::Connecting) && chance < 25 {
            client.stalled = !client.stalled;
        }
        if client.state != State::Requesting || client.broken {
            return;
        }
        match chance {
            0..60 => self.ask_some(index),
            60..75 => self.publish_some(index),
            75..97 => {
                client.state = State::Connecting;
                let request = client.request();
                self.ring.peer_send(client.peer, &request);
            }
            97..98 => {
                self.ring.peer_reset(client.peer);
                self.gone(index);
            }
            _ => {
                client.broken = true;
                self.ring.peer_send(client.peer, b"\x81\x05hello\r\n\r\n");
            }
        }
    }

    /// Often more than answers may wait for.
    fn ask_some(&mut self, index: usize) {
        let client = &mut self.clients[index];
        for _ in 0..self.rng.usize(1..150) {
            let request = if self.rng.bool() {
                client.pipeline.health()
            } else {
                self.next_message += 1;
                client.pipeline.unknown_topic(format!("nobody-has-{}-", self.next_message))
            };
            self.ring.peer_send(client.peer, &request);
        }
    }

    fn connect(&mut self, part: Part, topic: usize) {
        let peer = self.ring.connect_from(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        let capacity = if part == Part::Witness { 1 << 30 } else { self.plan.send_capacity };
        self.ring.set_send_capacity(peer, capacity);
        let client = Client::new(peer, part, topic);
        if client.state == State::Connecting {
            self.ring.peer_send(peer, &client.request());
        }
        self.clients.push(client);
    }

    fn publish_some(&mut self, index: usize) {
        if !self.clients[index].publishes() || self.clients[index].broken {
            return;
        }
        for _ in 0..self.rng.usize(1..6) {
            let kind = if self.rng.bool() { MessageKind::Text } else { MessageKind::Binary };
            let mut payload = format!("{index}:{}:", self.next_message).into_bytes();
            self.next_message += 1;
            let extra = self.rng.usize(..self.plan.message_bytes_max);
            payload.extend(std::iter::repeat_n(b'x', extra.min(16_000)));
            let fragments = self.rng.usize(1..3);
            let bytes = self.clients[index].publish(self.step, kind, payload, fragments);
            self.ring.peer_send(self.clients[index].peer, &bytes);
        }
    }

    fn send_frame(&mut self, index: usize, opcode: Opcode, payload: &[u8]) {
        if self.clients[index].part != Part::Poster {
            let mut bytes = Vec::new();
            encode_frame(&mut bytes, opcode, payload, Some([4, 4, 4, 4]));
            self.ring.peer_send(self.clients[index].peer, &bytes);
        }
    }

    fn turn(&mut self) -> Turn {
        self.step += 1;
        let now = Now(u64::try_from(self.now.as_nanos()).expect("a short time"));
        let mut context = Context { now, clock: &|| now, rng: &mut self.shard_rng, ring: &mut self.ring };
        self.shard.step(&mut context, &mut self.inbox)
    }

    fn read_all(&mut self) {
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            if client.stalled || client.state == State::Gone {
                continue;
            }
            let bytes = self.ring.peer_receive(client.peer);
            let answer = client.receive(self.step, bytes);
            if self.ring.peer_is_closed(client.peer) {
                let is_excused = client.broken || client.part == Part::Poster;
                assert!(
                    client.state != State::Open || is_excused,
                    "closed without a Close frame: {client:?}"
                );
                self.gone(index);
            } else if !answer.is_empty() {
                self.ring.peer_send(self.clients[index].peer, &answer);
            }
        }
    }

    fn gone(&mut self, index: usize) {
        self.clients[index].state = State::Gone;
    }

    /// Lets everything that is under way come to its end: as long as anybody receives anything.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..200_000 {
            let before: usize = self.clients.iter().map(Client::progress).sum();
            self.now += Duration::from_millis(1);
            self.ring.advance(Duration::from_millis(1));
            self.turn();
            self.read_all();
            let after: usize = self.clients.iter().map(Client::progress).sum();
            quiet = if before == after { quiet + 1 } else { 0 };
            if quiet == 300 {
                return;
            }
        }
        panic!("the shard does not come to rest");
    }

    fn check(&self) {
        for topic in 0..TOPICS {
            let witness = &self.clients[topic].received;
            assert_eq!(
                self.clients[topic].state,
                State::Open,
                "nobody may hurt the witness: {:?}",
                self.clients[topic]
            );
            self.check_accepted(topic, witness);
            self.check_pipelines(topic, witness);
            for client in self.clients.iter().filter(|client| client.topic == topic && client.subscribes()) {
                if self.plan.lag_policy == LagPolicy::SkipSilent {
                    assert!(is_subsequence(&client.received, witness), "out of order or doubled: {client:?}");
                } else {
                    self.check_subscriber(client, witness);
                }
            }
        }
    }

    /// Every publisher's messages reached the witness once, in order, and all of them if it was not broken off.
    fn check_accepted(&self, topic: usize, witness: &[Message]) {
        if self.plan.lag_policy == LagPolicy::SkipSilent {
            return;
        }
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| client.topic == topic) {
            let prefix = format!("{index}:").into_bytes();
            let arrived: Vec<&[u8]> = witness
                .iter()
                .map(|(_, payload)| payload.as_slice())
                .filter(|payload| payload.starts_with(&prefix))
                .collect();
            let sent: Vec<&[u8]> = client.sent.iter().map(|(_, payload)| payload.as_slice()).collect();
            assert!(sent.starts_with(&arrived), "client {index}'s messages arrive in order and once");
            if client.state == State::Open && !client.broken {
                assert_eq!(
                    arrived.len(),
                    sent.len(),
                    "client {index} is open, and none of its messages is lost"
                );
            }
            if client.part == Part::Poster && !client.broken {
                assert!(client.answers <= arrived.len(), "client {index}: 200 only for what was published");
            }
        }
    }

    /// Every request was answered, and what a POST was told is true.
    fn check_pipelines(&self, topic: usize, witness: &[Message]) {
        for client in self.clients.iter().filter(|client| client.topic == topic) {
            if client.part != Part::Pipeliner {
                continue;
            }
            let is_there = !client.broken && client.state != State::Gone;
            assert!(!is_there || client.pipeline.is_answered(), "not all answered: {client:?}");
            assert!(!is_there || client.state != State::Connecting, "no 101: {client:?}");
            if self.plan.lag_policy == LagPolicy::Disconnect {
                for (offset, body) in &client.pipeline.published {
                    let index = usize::try_from(*offset - 1).expect("offsets begin at 1");
                    assert_eq!(&witness[index].1, body, "published at {offset}: {client:?}");
                }
            }
        }
    }

    fn check_subscriber(&self, client: &Client, witness: &[Message]) {
        let begin = match client.received.first() {
            Some(first) => {
                witness.iter().position(|message| message == first).expect("the witness has it too")
            }
            None => witness.len(),
        };
        let end = begin + client.received.len();
        assert!(
            end <= witness.len() && witness[begin..end] == client.received[..],
            "a gap, or out of order: {client:?}"
        );
        if client.opened_at > 0 && client.state == State::Open && !client.broken {
            let later: Vec<&[u8]> = self
                .clients
                .iter()
                .filter(|publisher| publisher.topic == client.topic)
                .flat_map(|publisher| &publisher.sent)
                .filter(|(step, _)| *step > client.opened_at)
                .map(|(_, payload)| payload.as_slice())
                .collect();
            let first_later = witness.iter().position(|(_, payload)| later.contains(&payload.as_slice()));
            assert!(
                begin <= first_later.unwrap_or(witness.len()),
                "missed what was sent after its 101: {client:?}"
            );
            assert_eq!(end, witness.len(), "open and caught up, but without the last messages: {client:?}");
        }
    }

    fn everybody_leaves(&mut self) {
        for index in 0..self.clients.len() {
            if self.clients[index].state != State::Gone {
                self.ring.peer_reset(self.clients[index].peer);
                self.gone(index);
            }
        }
        // Longer than every timeout.
        for _ in 0..1200 {
            self.now += Duration::from_millis(50);
            self.ring.advance(Duration::from_millis(50));
            self.turn();
        }
    }
}

fn is_subsequence(part: &[Message], whole: &[Message]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|message| whole.any(|other| other == message))
}
