//! Random operations on few topics and few slots, under limits so small that all of them are met.

use super::world::{Phase, Seen, World};
use corecast::config::LagPolicy;
use corecast::hub::HubLimits;
use corecast::ids::Slot;
use corecast_protocol::MessageKind;
use corecast_tests::seeds::{for_seeds, random_bytes};
use fastrand::Rng;
use std::cell::RefCell;
use std::time::Duration;

const CASES: u64 = 2000;

const NAMES: [&str; 4] = ["prices", "scores", "a.b", "~"];

/// What all cases together have met.
#[derive(Default, Debug)]
struct Coverage {
    cases: u64,
    topics_forgotten: u64,
    topics_full: u64,
    pool_exhausted: u64,
    lapped_disconnect: u64,
    lapped_skip: u64,
    seen: Seen,
}

/// A publisher that waits: its topic and its message.
type Held = (usize, MessageKind, Vec<u8>);

struct Case<'a> {
    world: World,
    held: Vec<Held>,
    /// The longest payload the configuration would allow: two messages fit a topic's log.
    payload_max: usize,
    topics_full: u64,
    rng: &'a mut Rng,
}

#[test]
fn every_subscriber_gets_every_message_once_and_in_order() {
    let coverage = RefCell::new(Coverage::default());
    for_seeds(CASES, |rng| run(rng, &mut coverage.borrow_mut()));
    let coverage = coverage.into_inner();
    if coverage.cases == CASES {
        coverage.assert_everything_was_met();
    }
}

fn run(rng: &mut Rng, coverage: &mut Coverage) {
    let policy = if rng.bool() { LagPolicy::Disconnect } else { LagPolicy::SkipSilent };
    let topic_log_bytes = *rng.choice(&[2_000, 10_000, 16 << 10, 40_000, 64 << 10, 200_000]).unwrap();
    let log_bytes = topic_log_bytes * rng.usize(100..=300) / 100;
    let limits = HubLimits {
        max_topics: rng.usize(1..=NAMES.len()),
        max_subscribers: 100_000,
        log_bytes,
        topic_log_bytes,
        lag_policy: policy,
        topic_idle: Duration::from_secs(1),
    };
    let slots = rng.u32(1..=8);
    let mut world = World::new(limits, slots, rng);
    world.breaks_percent = rng.u8(..30);
    world.tail_room = if rng.bool() { usize::MAX } else { rng.usize(..topic_log_bytes / 2) };
    let mut case =
        Case { world, held: Vec::new(), payload_max: topic_log_bytes / 2 - 10, topics_full: 0, rng };
    for _ in 0..case.rng.usize(20..150) {
        case.operation();
    }
    case.finish();

    coverage.cases += 1;
    coverage.topics_full += case.topics_full;
    let (seen, stats) = (case.world.seen, case.world.hub.stats());
    coverage.pool_exhausted += stats.pool_exhausted;
    coverage.topics_forgotten += stats.topics_forgotten;
    match policy {
        LagPolicy::Disconnect => coverage.lapped_disconnect += seen.lapped,
        LagPolicy::SkipSilent => coverage.lapped_skip += seen.lapped,
    }
    coverage.seen.add(&seen);
}

impl Case<'_> {
    fn operation(&mut self) {
        let slot = Slot(self.rng.u32(..self.world.connections.len() as u32));
        let phase = self.world.connections[slot.index()].phase;
        match self.rng.u8(..100) {
            0..14 if phase == Phase::Vacant => self.subscribe(slot),
            0..14 => self.drain(slot),
            14..19 => match phase {
                Phase::Subscribed if self.rng.bool() => self.world.close(slot),
                Phase::Subscribed | Phase::Closing => self.world.die(slot),
                Phase::Vacant => self.subscribe(slot),
            },
            19..24 if phase == Phase::Subscribed => {
                let bytes = self.room();
                self.world.reply(slot, bytes);
            }
            19..30 => self.drain(slot),
            30..60 => self.publish(),
            60..62 => self.attach_publisher(),
            62..80 => self.world.pass(self.rng.usize(1..=5)),
            80..86 => self.world.attend(),
            86..88 => self.forget(),
            _ => {
                self.retry_held();
                self.world.turn(self.rng.usize(1..=5));
            }
        }
        self.world.check_levels();
    }

    fn open(&mut self) -> Option<usize> {
        let topic = self.world.open(NAMES[self.rng.usize(..NAMES.len())]);
        self.topics_full += u64::from(topic.is_none());
        topic
    }

    fn subscribe(&mut self, slot: Slot) {
        let room = if self.rng.u8(..3) == 0 { usize::MAX } else { self.room() };
        if let Some(topic) = self.open() {
            self.world.subscribe(slot, topic, room);
        }
    }

    fn drain(&mut self, slot: Slot) {
        let room = self.room();
        self.world.drain(slot, room);
    }

    /// Sometimes a few bytes, so that sockets stop inside headers; sometimes some messages' worth.
    fn room(&mut self) -> usize {
        match self.rng.u8(..3) {
            0 => self.rng.usize(..30),
            1 => self.rng.usize(..3_000),
            _ => self.rng.usize(..2 * self.world.limits.topic_log_bytes),
        }
    }

    fn publish(&mut self) {
        let Some(topic) = self.open() else { return };
        for _ in 0..self.rng.u8(1..=4) {
            let length = match self.rng.u8(..20) {
                0 => 0,
                1 => 125 + self.rng.usize(..3),
                2 if self.payload_max > 0xffff => 0xffff + self.rng.usize(..3),
                3 => self.payload_max,
                4..8 => self.rng.usize(..=self.payload_max),
                _ => self.rng.usize(..=self.payload_max / 16),
            };
            let payload = random_bytes(length, self.rng);
            let kind = if self.rng.bool() { MessageKind::Text } else { MessageKind::Binary };
            if self.rng.u8(..4) == 0 {
                self.world.insist(topic, kind, &payload);
            } else if self.world.publish(topic, kind, &payload).is_err() {
                // A topic with a publisher is not forgotten: the index stays right.
                self.world.attach_publisher(topic);
                self.held.push((topic, kind, payload));
            }
        }
    }

    fn retry_held(&mut self) {
        for (topic, kind, payload) in std::mem::take(&mut self.held) {
            if self.world.publish(topic, kind, &payload).is_ok() {
                self.world.detach_publisher(topic);
            } else {
                self.held.push((topic, kind, payload));
            }
        }
    }

    /// A publisher that is not subscribed comes, or one leaves.
    fn attach_publisher(&mut self) {
        let Some(topic) = self.open() else { return };
        let waiting = self.held.iter().filter(|held| held.0 == topic).count();
        if self.world.topics[topic].publishers > waiting {
            self.world.detach_publisher(topic);
        } else {
            self.world.attach_publisher(topic);
        }
    }

    fn forget(&mut self) {
        self.world.now = self.world.now.after(Duration::from_millis(self.rng.u64(..2_000)));
        self.world.hub.forget_idle(self.world.now);
        self.world.check_known();
    }

    fn finish(&mut self) {
        for _ in 0..super::world::TURNS_MAX {
            if self.held.is_empty() {
                break;
            }
            self.retry_held();
            self.world.turn(2);
        }
        assert!(self.held.is_empty(), "publishers are still held back");
        let max = self.rng.usize(1..=5);
        self.world.come_to_rest(max);
        self.world.be_forgotten();
    }
}

impl Coverage {
    fn assert_everything_was_met(&self) {
        let Seen {
            held_back,
            lapped: _,
            lapped_elsewhere,
            lapped_last,
            tails,
            without_tail,
            skipped,
            resumed_mid_pass,
            short,
            refused,
            broken,
            joined_mid_pass,
            left_mid_pass,
            frames_finished_first,
            caught_up,
            runnable,
            delivered,
        } = self.seen;
        let met = [
            self.topics_forgotten,
            self.topics_full,
            self.pool_exhausted,
            self.lapped_disconnect,
            self.lapped_skip,
            held_back,
            // Memory was taken from another topic's laggers.
            lapped_elsewhere,
            lapped_last,
            tails,
            without_tail,
            skipped,
            resumed_mid_pass,
            short,
            refused,
            broken,
            joined_mid_pass,
            left_mid_pass,
            frames_finished_first,
            caught_up,
            runnable,
            delivered,
        ];
        assert!(met.iter().all(|&times| times > 0), "the cases miss something: {self:#?}");
    }
}
