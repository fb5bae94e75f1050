//! The world of one seed: the shards, their rings, the clients, and what they do.

use super::client::{Client, Dialect, Hearing, State};
use super::http::Http;
use super::json::Json;
use super::plan::Plan;
use super::raw::{Raw, Role};
use super::truth::{Form, Truth};
use corecast::config::LagPolicy;
use corecast::ids::Now;
use corecast::mesh::{Mesh, mesh};
use corecast::observe::MetricsSlot;
use corecast::shard::{Context, Inbox, ListenerKind, Shard, Turn};
use corecast_protocol::{ProtocolError, Side};
use corecast_tests::wire::{CLOSE, PING, close_body, frame_to};
use corecast_uring::Ring;
use corecast_uring::testing::{FakeRing, Faults};
use fastrand::Rng;
use std::net::SocketAddr;
use std::time::Duration;

/// Turns of all shards within which everything has come to rest.
const ROUNDS_TO_REST: usize = 20_000;

/// A shard with its ring, as its thread has them.
pub(crate) struct Seat {
    pub(crate) shard: Shard,
    ring: FakeRing,
    rng: Rng,
    last_turn: Turn,
    is_told_to_drain: bool,
    /// Does not get a turn before this step.
    asleep_until: u64,
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    rng: Rng,
    now: Duration,
    pub(crate) step: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) clients: Vec<Client>,
    pub(crate) truth: Truth,
    is_draining: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan, faults: Faults) -> Self {
        let mut rng = Rng::with_seed(seed);
        let config = plan.config();
        let slots: Vec<_> = (0..plan.shards).map(|_| MetricsSlot::new(ProtocolError::RULES)).collect();
        let seats = mesh(plan.shards, plan.capacity, (rng.u64(..), rng.u64(..)))
            .into_iter()
            .map(|end: Mesh| {
                let mut ring = FakeRing::new(rng.u64(..), plan.ring(), faults);
                let mut shard = Shard::new(&config, end, slots.clone());
                shard.add_listener(ring.add_listener(), ListenerKind::Tcp { is_loopback: true });
                let rng = Rng::with_seed(rng.u64(..));
                Seat { shard, ring, rng, last_turn: Turn::Busy, is_told_to_drain: false, asleep_until: 0 }
            })
            .collect();
        Self {
            plan,
            rng,
            now: Duration::ZERO,
            step: 0,
            seats,
            clients: Vec::new(),
            truth: Truth::default(),
            is_draining: false,
        }
    }

    pub(crate) fn run(mut self) {
        self.live();
        self.calm();
        self.rest();
        let idle = self.seats.iter().all(|seat| seat.shard.mesh().is_idle());
        assert!(idle, "messages are under way that nobody looks after: {}", self.levels());
        self.let_time_pass(Duration::from_millis(800));
        self.rest();
        self.check_rest();
        let infos = self.ask_about_topics();
        self.check(&infos);
        self.everybody_leaves();
    }

    pub(crate) fn run_and_drain(mut self) {
        self.live();
        self.is_draining = true;
        for seat in &mut self.seats {
            seat.is_told_to_drain = true;
            seat.asleep_until = self.step + self.rng.u64(..20);
        }
        for _ in 0..2000 {
            self.act_if(0.3);
            self.pass(Duration::from_millis(20));
            self.turn_some();
            self.read_all();
            if self.seats.iter().all(|seat| seat.last_turn == Turn::Finished) {
                self.check_drained();
                return;
            }
        }
        panic!("the drain did not end within 40 s: {}", self.levels());
    }

    // Time --------------------------------------------------------------------------------------------------------

    /// The random part.
    fn live(&mut self) {
        for _ in 0..self.plan.steps {
            for _ in 0..self.rng.usize(0..4) {
                self.act();
            }
            let pause = Duration::from_micros(self.rng.u64(1..30_000));
            // Longer than interest outlives its last subscriber.
            let leap = if self.rng.u8(..100) == 0 { Duration::from_secs(6) } else { Duration::ZERO };
            self.pass(pause + leap);
            self.turn_some();
            self.read_all();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for seat in &mut self.seats {
            seat.ring.advance(time);
        }
    }

    /// Shards turn in any order, some not at all, and any part of what others sent has arrived.
    fn turn_some(&mut self) {
        self.step += 1;
        let mut order: Vec<usize> = (0..self.seats.len()).collect();
        self.rng.shuffle(&mut order);
        for index in order {
            if self.rng.u8(..200) == 0 {
                self.seats[index].asleep_until = self.step + self.rng.u64(..50);
            }
            if self.seats[index].asleep_until > self.step || self.rng.u8(..4) == 0 {
                continue;
            }
            let arrivals = *self.rng.choice(&[0, 1, 2, 7, usize::MAX]).expect("there are some");
            self.turn(index, arrivals);
        }
        self.check_topics();
    }

    fn turn(&mut self, index: usize, arrivals: usize) {
        let now = Now(u64::try_from(self.now.as_nanos()).expect("a short time"));
        let seat = &mut self.seats[index];
        let mut inbox = Inbox { drain: std::mem::take(&mut seat.is_told_to_drain), arrivals };
        let mut context = Context { now, clock: &|| now, rng: &mut seat.rng, ring: &mut seat.ring };
        seat.last_turn = seat.shard.step(&mut context, &mut inbox);
        self.check_bounds(index);
    }

    /// Nobody does anything new, and everybody reads.
    fn calm(&mut self) {
        for seat in &mut self.seats {
            seat.ring.set_faults(Faults::none());
            // What had not arrived in its turns is looked for once more.
            seat.shard.mesh().doorbell().ring();
            seat.last_turn = Turn::Busy;
        }
        for client in &mut self.clients {
            client.is_stalled = false;
        }
    }

    /// Turns the shards as their threads would: only those that are busy, were rung, or whose ring has something. Time stands
    /// still, so no tick helps anybody who was forgotten.
    fn rest(&mut self) {
        for _ in 0..ROUNDS_TO_REST {
            self.step += 1;
            let has_read = self.read_all();
            let mut has_turned = false;
            for index in 0..self.seats.len() {
                let seat = &self.seats[index];
                let is_rung = seat.shard.mesh().doorbell().answer();
                if is_rung || seat.last_turn == Turn::Busy || seat.ring.has_work() {
                    has_turned = true;
                    self.turn(index, if is_rung { usize::MAX } else { 0 });
                }
            }
            if !has_turned && !has_read {
                return;
            }
        }
        panic!("the shards do not come to rest: {}", self.levels());
    }

    /// Lets ticks come.
    fn let_time_pass(&mut self, time: Duration) {
        let ticks = time.as_millis() / 200;
        for _ in 0..ticks {
            self.pass(Duration::from_millis(200));
            self.rest();
        }
    }

    pub(crate) fn levels(&self) -> String {
        let levels: Vec<String> = self
            .seats
            .iter()
            .map(|seat| {
                let loads: Vec<_> = seat.shard.mesh().loads().filter(|load| load.messages > 0).collect();
                format!("{:?} {:?} {loads:?}", seat.last_turn, seat.shard.levels())
            })
            .collect();
        format!("{}\n{:?}", levels.join("\n"), self.plan)
    }

    // What clients do ---------------------------------------------------------------------------------------------

    fn act_if(&mut self, chance: f64) {
        if self.rng.f64() < chance {
            self.act();
        }
    }

    fn act(&mut self) {
        let alive: Vec<usize> =
            (0..self.clients.len()).filter(|&index| self.clients[index].state == State::Alive).collect();
        if alive.is_empty() || (alive.len() < self.plan.clients_max && self.rng.u8(..) < 60) {
            self.somebody_connects();
            return;
        }
        let index = alive[self.rng.usize(..alive.len())];
        match self.rng.u8(..200) {
            0..160 => self.say_something(index),
            160..180 => {
                let client = &mut self.clients[index];
                client.is_stalled = !client.is_stalled;
                client.has_stalled = true;
            }
            180..192 if self.has_websocket(index) => {
                self.send(index, &frame_to(Side::Server, PING, b"are you there"));
            }
            192..194 if self.has_websocket(index) => {
                self.send(index, &frame_to(Side::Server, CLOSE, &close_body(1000, "done")));
                self.clients[index].state = State::Left;
            }
            194..196 => {
                let Client { shard, peer, .. } = self.clients[index];
                self.seats[shard].ring.peer_reset(peer);
                self.clients[index].state = State::Left;
            }
            196..198 => {
                let Client { shard, peer, .. } = self.clients[index];
                self.seats[shard].ring.peer_shutdown(peer);
                self.clients[index].state = State::Left;
            }
            198 if self.is_at_liberty(index) => {
                // An unmasked frame, or no HTTP.
                self.send(index, b"\x81\x05hello\r\n\r\n");
                self.clients[index].state = State::Left;
            }
            _ => {}
        }
    }

    fn somebody_connects(&mut self) {
        let topic = self.rng.usize(..self.plan.topics);
        let role =
            *self.rng.choice(&[Role::Both, Role::Subscriber, Role::Publisher]).expect("there are some");
        let speaks = match self.rng.u8(..10) {
            0..4 => Dialect::Raw(Raw::new(topic, role)),
            4..8 => Dialect::Json(Json::new(self.plan.max_subscriptions as usize)),
            _ => Dialect::Http(Http::default()),
        };
        let room = if self.rng.u8(..4) == 0 { 1 << 30 } else { self.plan.send_capacity };
        self.connect(speaks, room);
    }

    fn connect(&mut self, speaks: Dialect, room: usize) -> usize {
        let shard = self.rng.usize(..self.seats.len());
        let ring = &mut self.seats[shard].ring;
        let peer = ring.connect_from(SocketAddr::from(([127, 0, 0, 1], 40_000)));
        ring.set_send_capacity(peer, room);
        let client =
            Client { shard, peer, state: State::Alive, is_stalled: false, has_stalled: false, speaks };
        let greeting = client.greeting();
        if !greeting.is_empty() {
            ring.peer_send(peer, &greeting);
        }
        self.clients.push(client);
        self.clients.len() - 1
    }

    fn send(&mut self, index: usize, bytes: &[u8]) {
        let client = &self.clients[index];
        self.seats[client.shard].ring.peer_send(client.peer, bytes);
    }

    fn say_something(&mut self, index: usize) {
        if !self.clients[index].is_open() {
            return;
        }
        let topics = self.plan.topics;
        // Sometimes more than is kept, answered or held for one connection.
        let count = if self.rng.u8(..16) == 0 { self.rng.usize(..200) } else { self.rng.usize(1..8) };
        let mut bytes = Vec::new();
        for _ in 0..count {
            let topic = self.rng.usize(..topics);
            let choice = self.rng.u8(..100);
            let said = match &self.clients[index].speaks {
                Dialect::Raw(raw) if raw.role == Role::Subscriber => break,
                Dialect::Raw(raw) => {
                    let topic = raw.topic;
                    let form = if self.rng.bool() { Form::Text } else { Form::Binary };
                    let id = self.message(index, topic, form);
                    let Dialect::Raw(raw) = &mut self.clients[index].speaks else { unreachable!() };
                    raw.publish(id, &self.truth, &mut self.rng)
                }
                Dialect::Json(_) => self.request_json(index, topic, choice),
                Dialect::Http(http) if !http.may_ask() => break,
                Dialect::Http(_) => self.request_http(index, topic, choice),
            };
            bytes.extend(said);
        }
        if !bytes.is_empty() {
            self.send(index, &bytes);
        }
    }

    fn has_websocket(&self, index: usize) -> bool {
        let client = &self.clients[index];
        !matches!(client.speaks, Dialect::Http(_)) && client.is_open()
    }

    /// Nothing of a body is missing.
    fn is_at_liberty(&self, index: usize) -> bool {
        !matches!(&self.clients[index].speaks, Dialect::Http(http) if !http.may_ask())
    }

    fn request_json(&mut self, index: usize, topic: usize, choice: u8) -> Vec<u8> {
        let id = (choice >= 50).then(|| self.message(index, topic, Form::Json));
        let Dialect::Json(json) = &mut self.clients[index].speaks else { unreachable!() };
        match (choice, id) {
            (_, Some(id)) => json.publish(id, &self.truth, choice >= 55),
            (0..35, _) => json.subscribe(topic),
            (35..45, _) => json.unsubscribe(topic),
            _ => json.ping(),
        }
    }

    fn request_http(&mut self, index: usize, topic: usize, choice: u8) -> Vec<u8> {
        let ids: Vec<usize> = match choice {
            0..30 => return self.with_http(index, |http, truth, _| http.ask_info(topic, truth)),
            30..35 => return self.with_http(index, |http, _, _| http.ask_health()),
            35..75 => {
                let form = *self.rng.choice(&[Form::Text, Form::Binary, Form::Json]).expect("there are some");
                let id = self.message(index, topic, form);
                return self.with_http(index, |http, truth, rng| http.post(id, truth, rng));
            }
            _ => {
                // A body is at most a message long.
                let filler = 2000 / self.plan.message_bytes.min(2000);
                let count = self.rng.usize(1..=filler.clamp(1, 20));
                (0..count)
                    .map(|_| self.message_of(index, topic, Form::Json, self.plan.message_bytes.min(100)))
                    .collect()
            }
        };
        self.with_http(index, |http, truth, rng| http.post_lines(ids, truth, rng))
    }

    /// Nothing is said behind a body that waits for the server's word.
    fn with_http(
        &mut self,
        index: usize,
        say: impl FnOnce(&mut Http, &Truth, &mut Rng) -> Vec<u8>,
    ) -> Vec<u8> {
        let Dialect::Http(http) = &mut self.clients[index].speaks else { unreachable!() };
        say(http, &self.truth, &mut self.rng)
    }

    fn message(&mut self, client: usize, topic: usize, form: Form) -> usize {
        self.message_of(client, topic, form, self.plan.message_bytes)
    }

    fn message_of(&mut self, client: usize, topic: usize, form: Form, bytes: usize) -> usize {
        let filler = self.rng.usize(..bytes);
        self.truth.add(client, topic, form, filler, self.step)
    }

    // What they hear ----------------------------------------------------------------------------------------------

    /// Whether anybody heard anything.
    fn read_all(&mut self) -> bool {
        let mut has_heard = false;
        for client in &mut self.clients {
            if client.is_stalled || client.state == State::Gone {
                continue;
            }
            let seat = &mut self.seats[client.shard];
            let bytes = seat.ring.peer_receive(client.peer);
            has_heard |= !bytes.is_empty();
            let mut hearing = Hearing {
                truth: &mut self.truth,
                step: self.step,
                may_be_full: self.plan.may_be_full_of_topics(),
                may_miss: self.plan.lag_policy != LagPolicy::Disconnect,
                has_left: false,
            };
            let answer = client.hear(&bytes, &mut hearing);
            if seat.ring.peer_is_closed(client.peer) {
                let is_cut = seat.shard.metrics().counters.lag_tail_exhausted > 0;
                // A stop finds some between two requests, and some too late.
                let was_idle =
                    self.is_draining && (!client.is_open() || matches!(client.speaks, Dialect::Http(_)));
                let is_excused = client.has_stalled || is_cut || was_idle;
                assert!(client.state != State::Alive || is_excused, "closed without a word: {client:?}");
                if client.state == State::Alive || client.state == State::Left {
                    client.state = State::Gone;
                }
            } else if !answer.is_empty() {
                seat.ring.peer_send(client.peer, &answer);
            }
        }
        has_heard
    }

    // The end -----------------------------------------------------------------------------------------------------

    /// What a client that comes now is told about each topic.
    fn ask_about_topics(&mut self) -> Vec<Option<super::http::Info>> {
        let asker = self.connect(Dialect::Http(Http::default()), 1 << 30);
        (0..self.plan.topics)
            .map(|topic| {
                let request = self.with_http(asker, |http, truth, _| {
                    http.info = None;
                    http.ask_info(topic, truth)
                });
                self.send(asker, &request);
                self.let_time_pass(Duration::from_millis(if topic == 0 { 600 } else { 0 }));
                self.rest();
                let Dialect::Http(http) = &self.clients[asker].speaks else { unreachable!() };
                assert!(http.is_answered(), "about topic {topic}: {}", self.levels());
                http.info
            })
            .collect()
    }

    fn everybody_leaves(&mut self) {
        for client in &mut self.clients {
            let ring = &mut self.seats[client.shard].ring;
            if !ring.peer_is_closed(client.peer) {
                ring.peer_reset(client.peer);
            }
            client.state = State::Gone;
        }
        // Longer than every timeout, and than a topic is remembered.
        for _ in 0..100 {
            self.pass(Duration::from_secs(1));
            self.rest();
        }
        for seat in &self.seats {
            let levels = seat.shard.levels();
            assert!(seat.shard.is_clean(), "everything is given back: {}", self.levels());
            assert_eq!((levels.waiting, levels.records, levels.homes), (0, 0, 0), "{}", self.levels());
        }
        let mesh = self.seats[0].shard.mesh();
        assert!(mesh.add_topic(1), "no topic is counted any more");
        mesh.remove_topic();
    }
}
