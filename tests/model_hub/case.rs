//! Operations on few topics and few slots, one choice after the other, under limits so small that all of them are met.

use super::connection::Phase;
use super::world::{TURNS_MAX, World};
use corecast::config::LagPolicy;
use corecast::hub::HubLimits;
use corecast::ids::{Compression, Encoding, Form, Slot, Variant};
use corecast_tests::choices::Choices;
use corecast_tests::seeds::random_bytes;
use fastrand::Rng;

pub(crate) const POLICIES: [LagPolicy; 3] = [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::SkipSilent];

const NAMES: [&str; 4] = ["prices", "scores", "a.b", "~"];

/// A publisher that waits: its topic and its message.
type Held = (usize, Form, Vec<u8>);

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) world: World,
    held: Vec<Held>,
    /// The longest payload the configuration would allow: two messages fit a topic's log.
    payload_max: usize,
    /// In a hundred connections, how many are of the JSON dialect.
    json_percent: u8,
    has_deflate: bool,
    choices: Choices,
}

impl Case {
    /// With one of these for each topic's log. The smaller they are the faster a case is.
    pub(crate) fn new(topic_log_bytes: &[usize], choices: Choices) -> Self {
        let topic_log_bytes = choices.one_of(topic_log_bytes);
        let has_deflate = choices.bool();
        let limits = HubLimits {
            max_subscribers: choices.usize(8..100),
            // With compression a topic has up to six logs, and the configuration must leave room for them.
            log_bytes: topic_log_bytes * choices.usize(if has_deflate { 200..=300 } else { 100..=300 }) / 100,
            topic_log_bytes,
            lag_policy: choices.one_of(&POLICIES),
        };
        let mut world = World::new(limits, choices.u32(1..=8), choices.clone());
        world.breaks_percent = choices.u8(..30);
        world.tail_room = if choices.bool() { usize::MAX } else { choices.usize(..topic_log_bytes / 2) };
        let json_percent = choices.one_of(&[0, 50, 50, 100]);
        Self {
            world,
            held: Vec::new(),
            payload_max: topic_log_bytes / 2 - 10,
            json_percent,
            has_deflate,
            choices,
        }
    }

    /// At most so many operations, then everything comes to rest.
    pub(crate) fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            if self.choices.are_used_up() {
                break;
            }
            self.operation();
        }
        self.finish();
    }

    fn operation(&mut self) {
        let slot = Slot(self.choices.u32(..self.world.connections.len() as u32));
        let connection = &self.world.connections[slot.index()];
        let (phase, is_json) = (connection.phase, connection.variant.encoding == Encoding::Json);
        match self.choices.u8(..100) {
            0..14 if phase == Phase::Vacant => self.connect(slot),
            0..14 if phase == Phase::Open && is_json => self.subscribe(slot),
            0..14 => self.drain(slot),
            14..17 if phase == Phase::Open && is_json => self.unsubscribe(slot),
            14..19 => match phase {
                Phase::Open if self.choices.bool() => self.world.close(slot),
                Phase::Open | Phase::Closing => self.world.die(slot),
                Phase::Vacant => self.connect(slot),
            },
            19..24 if phase == Phase::Open => {
                let bytes = self.room();
                self.world.reply(slot, bytes);
            }
            19..30 => self.drain(slot),
            30..60 => self.publish(),
            60..62 => self.close_or_move_on(),
            62..80 => self.world.pass(self.choices.usize(1..=5)),
            80..87 => self.world.attend(),
            _ => {
                self.retry_held();
                self.world.turn(self.choices.usize(1..=5));
            }
        }
        self.world.check_levels();
    }

    fn open(&mut self) -> usize {
        self.world.open(NAMES[self.choices.usize(..NAMES.len())], self.choices.u64(..3))
    }

    fn connect(&mut self, slot: Slot) {
        let room = if self.choices.u8(..3) == 0 { usize::MAX } else { self.room() };
        let is_json = self.choices.u8(..100) < self.json_percent;
        let encoding = if is_json { Encoding::Json } else { Encoding::Raw };
        let compressions = [Compression::Plain, Compression::Deflate, Compression::SmallWindow];
        let compression =
            if self.has_deflate { self.choices.one_of(&compressions) } else { Compression::Plain };
        self.world.connect(slot, Variant { encoding, compression }, room);
        for _ in 0..if is_json { self.choices.usize(..=NAMES.len()) } else { 1 } {
            self.subscribe(slot);
        }
    }

    /// To one of the topics, unless it is already.
    fn subscribe(&mut self, slot: Slot) {
        let topic = self.open();
        let subscriptions = &self.world.connections[slot.index()].subscriptions;
        if subscriptions.iter().all(|subscription| subscription.topic != topic) {
            self.world.subscribe(slot, topic);
        }
    }

    fn unsubscribe(&mut self, slot: Slot) {
        let count = self.world.connections[slot.index()].subscriptions.len();
        if count > 0 {
            self.world.unsubscribe(slot, self.choices.usize(..count));
        }
    }

    fn drain(&mut self, slot: Slot) {
        let room = self.room();
        self.world.drain(slot, room);
    }

    /// Sometimes a few bytes, so that sockets stop inside headers; sometimes some messages' worth.
    fn room(&mut self) -> usize {
        match self.choices.u8(..3) {
            0 => self.choices.usize(..30),
            1 => self.choices.usize(..3_000),
            _ => self.choices.usize(..2 * self.world.limits.topic_log_bytes),
        }
    }

    fn publish(&mut self) {
        let topic = self.open();
        for _ in 0..self.choices.u8(1..=4) {
            let length = match self.choices.u8(..20) {
                0 => 0,
                1 => 125 + self.choices.usize(..3),
                2 if self.payload_max > 0xffff => 0xffff + self.choices.usize(..3),
                3 => self.payload_max,
                4..8 => self.choices.usize(..=self.payload_max),
                _ => self.choices.usize(..=self.payload_max / 16),
            };
            let form = self.choices.one_of(&[Form::Text, Form::Binary, Form::Json]);
            let payload = self.payload(form, length);
            if self.choices.u8(..4) == 0 {
                self.world.insist(topic, form, &payload);
            } else if self.world.publish(topic, form, &payload).is_err() {
                // A topic with a publisher is not closed: the index stays right.
                self.world.topics[topic].held += 1;
                self.held.push((topic, form, payload));
            }
        }
    }

    /// At most `length` bytes, or a number.
    fn payload(&mut self, form: Form, length: usize) -> Vec<u8> {
        const PLAIN: [char; 8] = ['a', 'b', ' ', '{', '\u{7f}', 'é', '→', '🦀'];
        const ESCAPED: [char; 8] = ['"', '\\', '\n', '\u{0}', '\u{1}', '\u{1f}', '"', '\n'];
        // What it says means nothing to the hub: one choice for all of it.
        let bytes = random_bytes(length, &mut Rng::with_seed(self.choices.u64(..256)));
        if form == Form::Binary {
            return bytes;
        }
        let escaped = if form == Form::Text { self.choices.one_of(&[0, 1, 16, 255]) } else { 0 };
        let mut text = String::new();
        for byte in bytes {
            let letters = if byte < escaped { ESCAPED } else { PLAIN };
            let letter = letters[usize::from(byte % 8)];
            if text.len() + letter.len_utf8() + 2 <= length {
                text.push(letter);
            }
        }
        match form {
            Form::Json if length < 2 => b"7".to_vec(),
            Form::Json => format!("\"{text}\"").into_bytes(),
            Form::Text | Form::Binary => text.into_bytes(),
        }
    }

    fn retry_held(&mut self) {
        for (topic, form, payload) in std::mem::take(&mut self.held) {
            if self.world.publish(topic, form, &payload).is_ok() {
                self.world.topics[topic].held -= 1;
            } else {
                self.held.push((topic, form, payload));
            }
        }
    }

    /// A topic that nobody uses is closed, or goes on elsewhere.
    fn close_or_move_on(&mut self) {
        let topic = self.open();
        if self.choices.bool() {
            self.world.close_topic(topic);
        } else {
            self.world.move_on(topic, self.choices.u64(1..1000));
        }
    }

    fn finish(&mut self) {
        for _ in 0..TURNS_MAX {
            if self.held.is_empty() {
                break;
            }
            self.retry_held();
            self.world.turn(2);
        }
        assert!(self.held.is_empty(), "publishers are still held back");
        let max = self.choices.usize(1..=5);
        self.world.come_to_rest(max);
        self.world.end();
    }
}
