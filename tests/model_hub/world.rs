//! A hub, the sockets of its subscribers, and a driver that calls it as `shard::deliver` does.

use super::stream::{Reader, Topic};
use corecast::hub::{Backlog, HeldBack, Hub, HubLimits, Progress};
use corecast::ids::{Epoch, Now, Offset, Slot};
use corecast_protocol::{MessageKind, topic::TopicName};
use fastrand::Rng;
use std::time::Duration;

/// More turns than any publisher may have to wait for, and than any case needs to come to rest.
pub(crate) const TURNS_MAX: usize = 2000;

/// A connection and its socket.
#[derive(Debug)]
pub(crate) struct Connection {
    slot: Slot,
    /// Index of its topic in the world; it stays after the subscription's end, for the frame that is half out.
    pub(crate) topic: usize,
    pub(crate) phase: Phase,
    pub(crate) reader: Reader,
    /// Bytes the socket takes before it is full.
    pub(crate) room: usize,
    /// Waits for the socket to take bytes again.
    pub(crate) is_polling: bool,
    is_marked: bool,
    /// The rest of a frame whose log is gone; before `reply`.
    tail: Vec<u8>,
    /// Bytes to send that are not of the topic.
    reply: usize,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Phase {
    Subscribed,
    /// Its subscription has ended; the frame it is inside has to be finished.
    Closing,
    Vacant,
}

impl Connection {
    pub(crate) fn is_subscribed(&self) -> bool {
        self.phase == Phase::Subscribed
    }

    /// What a send of `bytes` does: how many the socket takes.
    fn send(&mut self, bytes: usize) -> usize {
        assert!(!self.is_polling, "{:?}: a send while its socket is known to be full", self.slot);
        let taken = bytes.min(self.room);
        self.room -= taken;
        taken
    }

    fn has_outbound(&self) -> bool {
        !self.tail.is_empty() || self.reply > 0 || self.phase == Phase::Closing
    }
}

/// What has happened, to be sure that the cases reach it.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Seen {
    pub(crate) held_back: u64,
    pub(crate) lapped: u64,
    pub(crate) lapped_elsewhere: u64,
    pub(crate) lapped_last: u64,
    pub(crate) tails: u64,
    pub(crate) without_tail: u64,
    pub(crate) skipped: u64,
    pub(crate) resumed_mid_pass: u64,
    pub(crate) short: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) joined_mid_pass: u64,
    pub(crate) left_mid_pass: u64,
    pub(crate) frames_finished_first: u64,
    pub(crate) caught_up: u64,
    pub(crate) runnable: u64,
    pub(crate) delivered: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.held_back += other.held_back;
        self.lapped += other.lapped;
        self.lapped_elsewhere += other.lapped_elsewhere;
        self.lapped_last += other.lapped_last;
        self.tails += other.tails;
        self.without_tail += other.without_tail;
        self.skipped += other.skipped;
        self.resumed_mid_pass += other.resumed_mid_pass;
        self.short += other.short;
        self.refused += other.refused;
        self.broken += other.broken;
        self.joined_mid_pass += other.joined_mid_pass;
        self.left_mid_pass += other.left_mid_pass;
        self.frames_finished_first += other.frames_finished_first;
        self.caught_up += other.caught_up;
        self.runnable += other.runnable;
        self.delivered += other.delivered;
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) limits: HubLimits,
    pub(crate) now: Now,
    /// Topics past and present; indices stay.
    pub(crate) topics: Vec<Topic>,
    /// By slot.
    pub(crate) connections: Vec<Connection>,
    pub(crate) seen: Seen,
    attention: Vec<Slot>,
    /// In a hundred sends that fall short, how many break the connection.
    pub(crate) breaks_percent: u8,
    /// For the tails of those whom one publish laps.
    pub(crate) tail_room: usize,
    rng: Rng,
}

impl World {
    pub(crate) fn new(limits: HubLimits, slots: u32, rng: &mut Rng) -> Self {
        let connection = |slot| Connection {
            slot: Slot(slot),
            topic: 0,
            phase: Phase::Vacant,
            reader: Reader::from_next(0),
            room: usize::MAX,
            is_polling: false,
            is_marked: false,
            tail: Vec::new(),
            reply: 0,
        };
        Self {
            hub: Hub::new(limits),
            limits,
            now: Now(0),
            topics: Vec::new(),
            connections: (0..slots).map(connection).collect(),
            seen: Seen::default(),
            attention: Vec::new(),
            breaks_percent: 0,
            tail_room: usize::MAX,
            rng: rng.fork(),
        }
    }

    // What clients do -------------------------------------------------------------------------------------------

    /// The topic of that name as it lives now, opened when it does not.
    pub(crate) fn open(&mut self, name: &str) -> Option<usize> {
        let name = TopicName::new(name).unwrap();
        let epoch = Epoch(self.rng.u64(..));
        let is_known = self.hub.info(&name).is_some();
        let Ok(id) = self.hub.open(&name, epoch, self.now) else {
            assert!(!is_known && self.hub.topics() == self.limits.max_topics);
            return None;
        };
        if !is_known {
            self.topics.push(Topic::new(name.clone(), id, epoch));
        }
        let index = self.topics.iter().rposition(|topic| topic.name == name).unwrap();
        let (topic, info) = (&self.topics[index], self.hub.info(&name).unwrap());
        assert_eq!((topic.id, topic.epoch), (id, info.epoch));
        assert_eq!((topic.last(), topic.subscribers), (info.offset.0, info.subscribers));
        Some(index)
    }

    pub(crate) fn subscribe(&mut self, slot: Slot, topic: usize, room: usize) {
        let state = &mut self.topics[topic];
        state.subscribers += 1;
        self.seen.joined_mid_pass += u64::from(state.is_mid_pass);
        let info = self.hub.subscribe(slot, state.id);
        assert_eq!((info.offset, info.epoch), (Offset(state.last()), state.epoch));
        assert_eq!(info.subscribers, state.subscribers);
        let connection = &mut self.connections[slot.index()];
        assert_eq!(connection.phase, Phase::Vacant);
        connection.topic = topic;
        connection.phase = Phase::Subscribed;
        connection.reader = Reader::from_next(state.last());
        connection.room = room;
    }

    pub(crate) fn attach_publisher(&mut self, topic: usize) {
        self.topics[topic].publishers += 1;
        self.hub.attach_publisher(self.topics[topic].id);
    }

    pub(crate) fn detach_publisher(&mut self, topic: usize) {
        self.topics[topic].publishers -= 1;
        self.hub.detach_publisher(self.topics[topic].id, self.now);
    }

    /// The connection breaks: whatever is half out stays so.
    pub(crate) fn die(&mut self, slot: Slot) {
        self.end_subscription(slot);
        let connection = &mut self.connections[slot.index()];
        connection.phase = Phase::Vacant;
        connection.is_polling = false;
        connection.tail = Vec::new();
        connection.reply = 0;
    }

    /// The connection is closed in order: the frame it is inside is finished first.
    pub(crate) fn close(&mut self, slot: Slot) {
        let tail = self.hub.rest_of_frame(slot).to_vec();
        self.end_subscription(slot);
        self.keep_tail(slot, tail);
        self.connections[slot.index()].phase = Phase::Closing;
        self.mark(slot);
    }

    fn end_subscription(&mut self, slot: Slot) {
        self.hub.unsubscribe(slot, self.now);
        assert_eq!(self.hub.topic_of(slot), None);
        self.count_leave(slot);
    }

    fn count_leave(&mut self, slot: Slot) {
        let connection = &self.connections[slot.index()];
        if connection.is_subscribed() {
            let topic = &mut self.topics[connection.topic];
            topic.subscribers -= 1;
            self.seen.left_mid_pass += u64::from(topic.is_mid_pass);
        }
    }

    /// Something for the connection alone, whatever it says: it may only stand between two frames of the topic.
    pub(crate) fn reply(&mut self, slot: Slot, bytes: usize) {
        self.connections[slot.index()].reply += bytes;
        self.mark(slot);
    }

    /// The socket is read by its peer.
    pub(crate) fn drain(&mut self, slot: Slot, room: usize) {
        let connection = &mut self.connections[slot.index()];
        connection.room = connection.room.saturating_add(room);
        if connection.room > 0 && std::mem::take(&mut connection.is_polling) {
            self.mark(slot);
        }
    }

    pub(crate) fn publish(
        &mut self,
        topic: usize,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), HeldBack> {
        let (id, epoch, offset) = {
            let topic = &self.topics[topic];
            (topic.id, topic.epoch, topic.last() + 1)
        };
        let result = self.hub.publish(id, kind, payload, self.now, self.tail_room);
        let policy = self.limits.lag_policy;
        let mut tail_room = self.tail_room;
        for lapped in self.hub.take_lapped() {
            let slot = lapped.slot;
            let connection = &self.connections[slot.index()];
            assert!(connection.is_subscribed(), "{slot:?} was lapped and is not subscribed");
            let owed = connection.reader.owed_of_frame(&self.topics[connection.topic]);
            self.seen.lapped += 1;
            self.seen.lapped_elsewhere += u64::from(connection.topic != topic);
            let Some(tail) = lapped.tail else {
                assert!(owed > tail_room, "{slot:?} got no tail of {owed} bytes with room for {tail_room}");
                self.seen.without_tail += 1;
                self.die(slot);
                continue;
            };
            assert_eq!(tail.len(), owed, "{slot:?}");
            assert!(owed <= tail_room, "{slot:?} got a tail of {owed} bytes with room for {tail_room}");
            tail_room -= owed;
            // The frame that the tail finishes counts as delivered from here on.
            self.seen.delivered += u64::from(!tail.is_empty());
            self.keep_tail(slot, tail);
            if policy == corecast::config::LagPolicy::Disconnect {
                assert_eq!(self.hub.topic_of(slot), None);
                self.count_leave(slot);
                let connection = &mut self.connections[slot.index()];
                connection.phase = Phase::Closing;
                self.seen.lapped_last += u64::from(self.topics[connection.topic].subscribers == 0);
                self.mark(slot);
            } else {
                assert_eq!(self.hub.backlog(slot), Some(Backlog::Skipping));
            }
        }
        self.check_levels();
        match result {
            Ok(published) => {
                assert_eq!((published.offset, published.epoch), (Offset(offset), epoch));
                self.topics[topic].push(kind, payload);
                Ok(())
            }
            Err(HeldBack) => {
                self.seen.held_back += 1;
                let info = self.hub.info(&self.topics[topic].name).unwrap();
                assert_eq!(info.offset, Offset(offset - 1), "a message held back took an offset");
                Err(HeldBack)
            }
        }
    }

    /// Publishes however often it is held back, while no socket takes more than it does now: slow subscribers cannot keep
    /// a publisher waiting.
    pub(crate) fn insist(&mut self, topic: usize, kind: MessageKind, payload: &[u8]) {
        for _ in 0..TURNS_MAX {
            if self.publish(topic, kind, payload).is_ok() {
                return;
            }
            assert!(self.hub.ready_topics() > 0, "held back, and no pass to wait for");
            self.turn(3);
        }
        panic!("a publisher was held back for {TURNS_MAX} turns");
    }

    // What the shard does ---------------------------------------------------------------------------------------

    pub(crate) fn turn(&mut self, max: usize) {
        self.attend();
        for _ in 0..self.hub.ready_topics() {
            self.pass(max);
        }
    }

    /// Nothing will happen until a client does something.
    pub(crate) fn is_quiet(&self) -> bool {
        self.attention.is_empty() && self.hub.ready_topics() == 0 && !self.hub.has_runnable()
    }

    /// One batch to at most `max` members.
    pub(crate) fn pass(&mut self, max: usize) {
        let mut targets = Vec::new();
        let Some(batch) = self.hub.next_batch(max, self.now, &mut targets) else { return };
        let (id, bytes) = (batch.topic, batch.bytes.to_vec());
        let topic = self.topics.iter().rposition(|topic| topic.id == id).expect("a topic that was opened");
        assert!(targets.len() <= max);
        let mut outcomes = Vec::new();
        for &slot in &targets {
            assert_eq!(self.hub.topic_of(slot), Some(id), "a batch for somebody who is not subscribed");
            assert!(!self.hub.is_lagging(slot), "{slot:?} lags and is in a batch");
            assert_eq!(targets.iter().filter(|&&other| other == slot).count(), 1, "{slot:?} is in it twice");
            let taken = self.connections[slot.index()].send(bytes.len());
            self.took_of_topic(slot, &bytes[..taken]);
            if taken < bytes.len() {
                outcomes.push((slot, taken));
            }
        }
        // Completions come in any order.
        self.rng.shuffle(&mut outcomes);
        for (slot, taken) in outcomes {
            if taken == 0 && self.rng.u8(..100) < self.breaks_percent {
                self.seen.broken += 1;
                self.hub.fell_behind(slot, 0);
                self.die(slot);
                continue;
            }
            self.seen.short += u64::from(taken > 0);
            self.seen.refused += u64::from(taken == 0);
            self.hub.fell_behind(slot, taken);
            self.await_writable(slot);
        }
        let latency = self.hub.batch_done(id, self.now);
        self.topics[topic].is_mid_pass =
            !bytes.is_empty() && latency.is_none() && self.topics[topic].subscribers > 0;
        self.check_levels();
    }

    /// Everybody who was marked, and the laggers that the passes left behind.
    pub(crate) fn attend(&mut self) {
        let mut marked = std::mem::take(&mut self.attention);
        let marked_before = marked.len();
        self.hub.take_runnable(&mut marked);
        self.seen.runnable += (marked.len() - marked_before) as u64;
        let (mut frames, mut replies, mut backlogs) = (Vec::new(), Vec::new(), Vec::new());
        for slot in marked {
            let connection = &mut self.connections[slot.index()];
            connection.is_marked = false;
            let is_listed = [&frames, &replies, &backlogs].iter().any(|list| list.contains(&slot));
            if connection.phase == Phase::Vacant || connection.is_polling || is_listed {
                continue;
            }
            if !connection.has_outbound() {
                backlogs.push(slot);
            } else if self.hub.rest_of_frame(slot).is_empty() {
                replies.push(slot);
            } else {
                frames.push(slot);
            }
        }
        self.finish_frames(&frames, &mut replies);
        self.send_replies(&replies, &mut backlogs);
        self.send_backlogs(&backlogs);
        self.check_levels();
    }

    fn finish_frames(&mut self, frames: &[Slot], replies: &mut Vec<Slot>) {
        for &slot in frames {
            let rest = self.hub.rest_of_frame(slot).to_vec();
            let taken = self.connections[slot.index()].send(rest.len());
            let completed = self.took_of_topic(slot, &rest[..taken]);
            assert_eq!(completed, u64::from(taken == rest.len()), "the rest of one frame");
            self.hub.advance(slot, taken);
            if taken < rest.len() {
                self.await_writable(slot);
            } else {
                self.seen.frames_finished_first += 1;
                replies.push(slot);
            }
        }
    }

    fn send_replies(&mut self, replies: &[Slot], backlogs: &mut Vec<Slot>) {
        for &slot in replies {
            let connection = &mut self.connections[slot.index()];
            let tail = std::mem::take(&mut connection.tail);
            let taken_of_tail = connection.send(tail.len());
            connection.reader.take(&self.topics[connection.topic], &tail[..taken_of_tail]);
            connection.tail = tail[taken_of_tail..].to_vec();
            if connection.tail.is_empty() {
                let taken = connection.send(connection.reply);
                assert!(taken == 0 || connection.reader.is_between_frames(), "a reply inside a frame");
                connection.reply -= taken;
            }
            if connection.tail.is_empty() && connection.reply == 0 {
                backlogs.push(slot);
            } else {
                self.await_writable(slot);
            }
        }
    }

    fn send_backlogs(&mut self, backlogs: &[Slot]) {
        for &slot in backlogs {
            let connection = &mut self.connections[slot.index()];
            if connection.phase == Phase::Closing {
                assert!(connection.reader.is_between_frames(), "{slot:?} ends inside a frame");
                connection.phase = Phase::Vacant;
                continue;
            }
            if self.hub.backlog(slot) == Some(Backlog::Skipping) {
                let missed = self.hub.resume(slot);
                connection.reader.miss(missed);
                self.seen.skipped += missed;
                self.seen.resumed_mid_pass += u64::from(self.topics[connection.topic].is_mid_pass);
            }
            let bytes = match self.hub.backlog(slot) {
                Some(Backlog::Bytes(bytes)) => bytes.to_vec(),
                Some(Backlog::Skipping) => panic!("{slot:?} skips after it was resumed"),
                None => continue,
            };
            if bytes.is_empty() {
                assert_ne!(self.hub.advance(slot, 0), Progress::More, "{slot:?}: more, and no bytes");
                continue;
            }
            let taken = self.connections[slot.index()].send(bytes.len());
            self.took_of_topic(slot, &bytes[..taken]);
            let progress = self.hub.advance(slot, taken);
            assert_eq!(progress == Progress::CaughtUp, !self.hub.is_lagging(slot));
            if taken < bytes.len() {
                assert_eq!(progress, Progress::More);
                self.await_writable(slot);
            } else if progress == Progress::More {
                self.mark(slot);
            }
            self.seen.caught_up += u64::from(progress == Progress::CaughtUp);
        }
    }

    fn took_of_topic(&mut self, slot: Slot, bytes: &[u8]) -> u64 {
        let connection = &mut self.connections[slot.index()];
        let completed = connection.reader.take(&self.topics[connection.topic], bytes);
        self.seen.delivered += completed;
        completed
    }

    fn keep_tail(&mut self, slot: Slot, tail: Vec<u8>) {
        let connection = &mut self.connections[slot.index()];
        assert!(tail.is_empty() || connection.tail.is_empty(), "{slot:?} is inside two frames");
        if !tail.is_empty() {
            self.seen.tails += 1;
            connection.tail = tail;
        }
    }

    fn await_writable(&mut self, slot: Slot) {
        self.connections[slot.index()].is_polling = true;
        self.hub.hold(slot);
    }

    fn mark(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.connections[slot.index()].is_marked, true) {
            self.attention.push(slot);
        }
    }

    // What must hold --------------------------------------------------------------------------------------------

    /// What holds at any time.
    pub(crate) fn check_levels(&self) {
        let subscribed = self.connections.iter().filter(|connection| connection.is_subscribed());
        assert_eq!(self.hub.subscriptions(), subscribed.clone().count());
        let laggers = subscribed.filter(|connection| self.hub.is_lagging(connection.slot)).count();
        assert_eq!(self.hub.laggers(), laggers);
        assert!(
            self.hub.log_bytes_used() <= self.limits.log_bytes,
            "{} bytes used",
            self.hub.log_bytes_used()
        );
        let stats = self.hub.stats();
        assert_eq!((stats.lapped, stats.messages_skipped), (self.seen.lapped, self.seen.skipped));
    }

    /// Nobody's topic was forgotten.
    pub(crate) fn check_known(&self) {
        for topic in self.topics.iter().filter(|topic| topic.subscribers + topic.publishers > 0) {
            let info = self.hub.info(&topic.name).expect("a topic in use is not forgotten");
            assert_eq!((info.epoch, info.offset), (topic.epoch, Offset(topic.last())));
        }
    }

    /// Lets every socket take everything, and checks what holds then: everybody has every message, and nothing is kept.
    pub(crate) fn come_to_rest(&mut self, max: usize) {
        for slot in 0..self.connections.len() {
            self.drain(Slot(slot as u32), usize::MAX);
        }
        let mut turns = 0;
        while !self.is_quiet() {
            self.turn(max);
            turns += 1;
            assert!(turns < TURNS_MAX, "not quiet after {turns} turns");
        }
        for connection in &self.connections {
            assert_ne!(connection.phase, Phase::Closing, "{connection:?}");
            if connection.is_subscribed() {
                let topic = &self.topics[connection.topic];
                assert!(connection.reader.has_all(topic), "{connection:?} is not at {}", topic.last());
            }
        }
        self.check_levels();
        assert_eq!(self.hub.laggers(), 0);
        assert_eq!(self.hub.log_bytes_used(), 0);
        assert_eq!(self.hub.stats().delivered, self.seen.delivered);
    }

    /// Everybody leaves and time passes: nothing is left of any topic.
    pub(crate) fn be_forgotten(&mut self) {
        for slot in 0..self.connections.len() {
            self.die(Slot(slot as u32));
        }
        for index in 0..self.topics.len() {
            while self.topics[index].publishers > 0 {
                self.detach_publisher(index);
            }
        }
        assert_eq!(self.hub.log_bytes_used(), 0);
        self.now = self.now.after(self.limits.topic_idle.saturating_sub(Duration::from_nanos(1)));
        let known = self.hub.topics();
        let forgotten = self.hub.stats().topics_forgotten;
        self.hub.forget_idle(self.now);
        let idle_before = self.hub.stats().topics_forgotten - forgotten;
        self.now = self.now.after(Duration::from_nanos(1));
        self.hub.forget_idle(self.now);
        assert_eq!(self.hub.topics(), 0);
        assert_eq!(self.hub.stats().topics_forgotten - forgotten, known as u64);
        assert!(idle_before <= known as u64);
        assert_eq!(self.hub.subscriptions(), 0);
    }
}
