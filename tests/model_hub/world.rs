//! A hub, the sockets of its subscribers, and what clients do to them. The shard's part is in `driver`.

use super::connection::{Connection, Phase, Subscription};
use super::stream::{Reader, Topic};
use corecast::config::LagPolicy;
use corecast::hub::{Backlog, HeldBack, Hub, HubLimits, Lapped};
use corecast::ids::{Compression, Encoding, Form, MemberId, Now, Offset, Slot, Variant};
use corecast::message::{Deflated, Messages};
use corecast_tests::choices::Choices;

/// More turns than any publisher may have to wait for, and than any case needs to come to rest.
pub(crate) const TURNS_MAX: usize = 2000;

/// What has happened, to be sure that the cases reach it.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Seen {
    pub(crate) topics_closed: u64,
    pub(crate) moved_on: u64,
    pub(crate) held_back: u64,
    pub(crate) held_back_by_json: u64,
    pub(crate) in_both_encodings: u64,
    /// By encoding.
    pub(crate) compressed: [u64; 2],
    pub(crate) too_long_in_json: u64,
    pub(crate) lapped: [u64; 2],
    pub(crate) lapped_twice_at_once: u64,
    pub(crate) lapped_elsewhere: u64,
    pub(crate) lapped_beside_other_feed: u64,
    pub(crate) lapped_last: u64,
    pub(crate) tails: [u64; 2],
    pub(crate) without_tail: u64,
    pub(crate) skipped: [u64; 2],
    pub(crate) missed_nothing: u64,
    pub(crate) told_later: u64,
    pub(crate) resumed_mid_pass: u64,
    pub(crate) short: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) gathered: u64,
    pub(crate) short_between_parts: u64,
    pub(crate) short_in_later_part: u64,
    pub(crate) subscribed_while_full: u64,
    pub(crate) unsubscribed_inside_frame: u64,
    pub(crate) joined_mid_pass: [u64; 2],
    pub(crate) left_mid_pass: [u64; 2],
    pub(crate) frames_finished_first: u64,
    pub(crate) caught_up: u64,
    pub(crate) runnable: u64,
    pub(crate) delivered: u64,
}

impl Seen {
    /// All of them.
    pub(crate) fn counts(&mut self) -> [&mut u64; 38] {
        let Self {
            topics_closed,
            moved_on,
            held_back,
            held_back_by_json,
            in_both_encodings,
            compressed: [compressed_raw, compressed_json],
            too_long_in_json,
            lapped: [lapped_raw, lapped_json],
            lapped_twice_at_once,
            lapped_elsewhere,
            lapped_beside_other_feed,
            lapped_last,
            tails: [tails_raw, tails_json],
            without_tail,
            skipped: [skipped_raw, skipped_json],
            missed_nothing,
            told_later,
            resumed_mid_pass,
            short,
            refused,
            broken,
            gathered,
            short_between_parts,
            short_in_later_part,
            subscribed_while_full,
            unsubscribed_inside_frame,
            joined_mid_pass: [joined_mid_pass_raw, joined_mid_pass_json],
            left_mid_pass: [left_mid_pass_raw, left_mid_pass_json],
            frames_finished_first,
            caught_up,
            runnable,
            delivered,
        } = self;
        [
            topics_closed,
            moved_on,
            held_back,
            held_back_by_json,
            in_both_encodings,
            compressed_raw,
            compressed_json,
            too_long_in_json,
            lapped_raw,
            lapped_json,
            lapped_twice_at_once,
            lapped_elsewhere,
            lapped_beside_other_feed,
            lapped_last,
            tails_raw,
            tails_json,
            without_tail,
            skipped_raw,
            skipped_json,
            missed_nothing,
            told_later,
            resumed_mid_pass,
            short,
            refused,
            broken,
            gathered,
            short_between_parts,
            short_in_later_part,
            subscribed_while_full,
            unsubscribed_inside_frame,
            joined_mid_pass_raw,
            joined_mid_pass_json,
            left_mid_pass_raw,
            left_mid_pass_json,
            frames_finished_first,
            caught_up,
            runnable,
            delivered,
        ]
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
    pub(crate) attention: Vec<Slot>,
    /// In a hundred sends that fall short, how many break the connection.
    pub(crate) breaks_percent: u8,
    /// For the tails of those whom one publish laps.
    pub(crate) tail_room: usize,
    pub(crate) choices: Choices,
}

impl World {
    pub(crate) fn new(limits: HubLimits, slots: u32, choices: Choices) -> Self {
        Self {
            hub: Hub::new(limits),
            limits,
            now: Now(0),
            topics: Vec::new(),
            connections: (0..slots).map(|slot| Connection::new(Slot(slot))).collect(),
            seen: Seen::default(),
            attention: Vec::new(),
            breaks_percent: 0,
            tail_room: usize::MAX,
            choices,
        }
    }

    pub(crate) fn connection(&mut self, slot: Slot) -> &mut Connection {
        &mut self.connections[slot.index()]
    }

    // What clients do -------------------------------------------------------------------------------------------

    /// The topic of that name as it lives now, opened when it does not.
    pub(crate) fn open(&mut self, name: &str, last: u64) -> usize {
        if let Some(known) = self.topics.iter().position(|topic| topic.is_open && &*topic.name == name) {
            return known;
        }
        let id = self.hub.open(name.into(), Offset(last));
        self.topics.push(Topic::new(name.into(), id, last));
        self.topics.len() - 1
    }

    /// Closes a topic, unless it is used.
    pub(crate) fn close_topic(&mut self, topic: usize) {
        let state = &mut self.topics[topic];
        if state.is_open && !state.is_used() {
            state.is_open = false;
            self.hub.close(state.id);
            self.seen.topics_closed += 1;
        }
    }

    /// The topic goes on elsewhere, unless it is used here.
    pub(crate) fn move_on(&mut self, topic: usize, by: u64) {
        let state = &mut self.topics[topic];
        if state.is_open && !state.is_used() {
            state.set_last(state.last() + by);
            self.hub.set_last(state.id, Offset(state.last()));
            self.seen.moved_on += 1;
        }
    }

    pub(crate) fn connect(&mut self, slot: Slot, variant: Variant, room: usize) {
        let connection = self.connection(slot);
        assert_eq!(connection.phase, Phase::Vacant);
        connection.variant = variant;
        connection.phase = Phase::Open;
        connection.room = room;
    }

    pub(crate) fn subscribe(&mut self, slot: Slot, topic: usize) {
        let state = &mut self.topics[topic];
        let connection = &mut self.connections[slot.index()];
        let variant @ Variant { encoding, .. } = connection.variant;
        assert_eq!(self.hub.find(slot, state.id), None);
        state.subscribers[variant.index()] += 1;
        self.seen.joined_mid_pass[encoding as usize] += u64::from(state.is_mid_pass[variant.index()]);
        let member = self.hub.subscribe_as(slot, state.id, variant);
        assert_eq!(encoding == Encoding::Raw, member == slot.into(), "{member:?} of {slot:?}");
        let reader = Reader::from_next(variant, self.hub.last(state.id).0);
        let is_clear = connection.is_clear();
        assert!(!is_clear || connection.is_between_frames());
        connection.subscriptions.push(Subscription { member, topic, reader, has_to_be_told: false });
        if encoding == Encoding::Json && (!is_clear || self.choices.bool()) {
            // The answer has to go out first.
            self.seen.subscribed_while_full += u64::from(connection.is_polling);
            connection.subscription_mut(member).has_to_be_told = true;
            self.hub.hold(member);
            self.reply(slot, 50);
        }
        self.check_connection(slot);
    }

    /// Ends one subscription of a connection that stays open: the frame it is inside is finished.
    pub(crate) fn unsubscribe(&mut self, slot: Slot, index: usize) {
        let member = self.connection(slot).subscriptions[index].member;
        let tail = self.hub.rest_of_frame(member).len();
        self.hub.unsubscribe(member);
        self.count_leave(slot, index);
        self.seen.unsubscribed_inside_frame += u64::from(tail > 0);
        self.connection(slot).keep_tail(tail);
        self.reply(slot, 40);
        self.check_connection(slot);
    }

    /// The connection breaks: whatever is half out stays so.
    pub(crate) fn die(&mut self, slot: Slot) {
        self.end_subscriptions(slot);
        let connection = self.connection(slot);
        connection.phase = Phase::Vacant;
        connection.is_polling = false;
        connection.tail = 0;
        connection.reply = 0;
    }

    /// The connection is closed in order: the frame it is inside is finished first.
    pub(crate) fn close(&mut self, slot: Slot) {
        for member in self.hub.members(slot).collect::<Vec<_>>() {
            let tail = self.hub.rest_of_frame(member).len();
            self.connection(slot).keep_tail(tail);
        }
        self.end_subscriptions(slot);
        self.connection(slot).phase = Phase::Closing;
        self.mark(slot);
    }

    fn end_subscriptions(&mut self, slot: Slot) {
        self.hub.unsubscribe_all(slot);
        while !self.connection(slot).subscriptions.is_empty() {
            self.count_leave(slot, 0);
        }
        self.check_connection(slot);
    }

    fn count_leave(&mut self, slot: Slot, index: usize) {
        let connection = &mut self.connections[slot.index()];
        let variant = connection.variant;
        let subscription = connection.subscriptions.remove(index);
        let topic = &mut self.topics[subscription.topic];
        let index = variant.index();
        topic.subscribers[index] -= 1;
        self.seen.left_mid_pass[variant.encoding as usize] += u64::from(topic.is_mid_pass[index]);
        topic.is_mid_pass[index] &= topic.subscribers[index] > 0;
    }

    /// Something for the connection alone, whatever it says: it may only stand between two frames.
    pub(crate) fn reply(&mut self, slot: Slot, bytes: usize) {
        self.connection(slot).reply += bytes;
        self.mark(slot);
    }

    /// The socket is read by its peer.
    pub(crate) fn drain(&mut self, slot: Slot, room: usize) {
        let connection = self.connection(slot);
        connection.room = connection.room.saturating_add(room);
        if connection.room > 0 && std::mem::take(&mut connection.is_polling) {
            self.mark(slot);
        }
    }

    pub(crate) fn publish(&mut self, topic: usize, form: Form, payload: &[u8]) -> Result<(), HeldBack> {
        let (id, offset) = (self.topics[topic].id, self.topics[topic].last() + 1);
        let was_full = self.hub.is_full(id, payload.len());
        let exhausted_before = self.hub.stats().pool_exhausted;
        let deflated = self.deflate(topic, payload);
        let messages = Messages::one(form, payload).with_deflated(&deflated);
        let result = self.hub.append_one_of(id, Offset(offset), messages, 0, self.now, self.tail_room);
        if result.is_ok() {
            assert!(!was_full, "a message was taken where its publisher had to wait");
            assert_eq!(self.hub.last(id), Offset(offset));
            let topic = &mut self.topics[topic];
            let is_too_long = topic.push(form, payload, &deflated, &self.limits);
            let [has_raw, has_json] = Encoding::ALL.map(|encoding| topic.followed_in(encoding) > 0);
            for variant in topic.followed().filter(|&variant| deflated.get(0, variant).is_some()) {
                self.seen.compressed[variant.encoding as usize] += 1;
            }
            self.seen.in_both_encodings += u64::from(has_raw && has_json);
            self.seen.too_long_in_json += u64::from(is_too_long);
        } else {
            self.seen.held_back += 1;
            let is_exhausted = self.hub.stats().pool_exhausted > exhausted_before;
            self.seen.held_back_by_json += u64::from(!was_full && !is_exhausted);
            assert_eq!(self.hub.last(id), Offset(offset - 1), "a message held back took an offset");
        }
        self.take_lapped(topic);
        self.check_levels();
        result
    }

    /// Compressed forms of some of the variants that the topic is followed in: any bytes that are fewer.
    fn deflate(&self, topic: usize, payload: &[u8]) -> Deflated {
        let mut forms = Deflated::default();
        for variant in self.topics[topic].followed() {
            if variant.compression == Compression::Plain || self.choices.u8(..4) == 0 {
                continue;
            }
            let length = payload.len() / self.choices.usize(1..=8);
            forms.add(0, variant, |out| {
                out.extend(std::iter::repeat_n(b'a' + variant.index() as u8, length.saturating_sub(1)));
                length > 1
            });
        }
        forms
    }

    /// What the publish to `topic` has led to.
    fn take_lapped(&mut self, topic: usize) {
        let mut tail_room = self.tail_room;
        let (mut slots, mut closing, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for lapped in self.hub.take_lapped() {
            let slot = lapped.slot;
            self.seen.lapped[lapped.encoding as usize] += 1;
            self.seen.lapped_elsewhere += u64::from(lapped.topic != self.topics[topic].id);
            let own = self.connections[slot.index()].variant;
            let others = self.topics[topic].followed().filter(|&variant| variant != own).count();
            self.seen.lapped_beside_other_feed +=
                u64::from(lapped.topic == self.topics[topic].id && others > 0);
            self.seen.lapped_twice_at_once += u64::from(slots.contains(&slot));
            slots.push(slot);
            if lapped.tail.is_none() {
                broken.push(slot);
            } else if lapped.is_out {
                closing.push(slot);
            }
            self.on_lapped(lapped, &mut tail_room);
        }
        // Only now is it known what of each connection is left.
        for slot in broken {
            self.die(slot);
        }
        for slot in closing {
            if self.connection(slot).is_open() {
                self.close(slot);
            }
        }
    }

    fn on_lapped(&mut self, lapped: Lapped, tail_room: &mut usize) {
        let Lapped { slot, topic, encoding, is_out, tail } = lapped;
        let has_to_end = match self.limits.lag_policy {
            LagPolicy::Disconnect => true,
            LagPolicy::Skip => encoding == Encoding::Raw,
            LagPolicy::SkipSilent => false,
        };
        assert_eq!(is_out, has_to_end);
        let (topics, connection) = (&self.topics, &mut self.connections[slot.index()]);
        assert_eq!(connection.variant.encoding, encoding);
        let variant = connection.variant;
        let is_it = |subscription: &Subscription| topics[subscription.topic].id == topic;
        let index = connection.subscriptions.iter().position(is_it).expect("who was lapped was subscribed");
        let Subscription { topic, reader, member, .. } = &mut connection.subscriptions[index];
        let topic = *topic;
        let owed = reader.owed_of_frame(&topics[topic]).to_vec();
        if let Some(tail) = tail {
            assert_eq!(tail, owed, "{slot:?}");
            assert!(tail.len() <= *tail_room, "{slot:?}: {} bytes with room for {tail_room}", tail.len());
            *tail_room -= tail.len();
            // The frame that the tail finishes counts as delivered from here on.
            self.seen.delivered += reader.take(&topics[topic], &tail);
            self.seen.tails[encoding as usize] += u64::from(!tail.is_empty());
            if !is_out {
                assert_eq!(self.hub.backlog(*member), Some(Backlog::Skipping));
                assert_eq!(self.hub.rest_of_frame(*member), b"");
            }
            connection.keep_tail(tail.len());
        } else {
            assert!(owed.len() > *tail_room, "{slot:?}: no tail of {} with room for {tail_room}", owed.len());
            self.seen.without_tail += 1;
        }
        if is_out {
            self.count_leave(slot, index);
            self.seen.lapped_last += u64::from(self.topics[topic].subscribers[variant.index()] == 0);
        }
    }

    /// Publishes however often it is held back, while no socket takes more than it does now: slow subscribers cannot keep
    /// a publisher waiting.
    pub(crate) fn insist(&mut self, topic: usize, form: Form, payload: &[u8]) {
        for _ in 0..TURNS_MAX {
            if self.publish(topic, form, payload).is_ok() {
                return;
            }
            assert!(self.has_ready(), "held back, and no pass to wait for");
            self.turn(3);
        }
        panic!("a publisher was held back for {TURNS_MAX} turns");
    }

    // What must hold --------------------------------------------------------------------------------------------

    /// What holds at any time.
    pub(crate) fn check_levels(&self) {
        let mut lagging = Vec::new();
        for connection in &self.connections {
            self.hub.lagging(connection.slot, &mut lagging);
        }
        assert_eq!(self.hub.laggers(), lagging.len());
        assert!(
            self.hub.log_bytes_used() <= self.limits.log_bytes,
            "{} bytes used",
            self.hub.log_bytes_used()
        );
        let stats = self.hub.stats();
        assert_eq!(stats.too_long_in_json, self.seen.too_long_in_json);
        assert_eq!(stats.lapped, self.seen.lapped.iter().sum::<u64>());
        assert_eq!(stats.messages_skipped, self.seen.skipped.iter().sum::<u64>());
    }

    /// What the hub says of a connection and its topics.
    fn check_connection(&self, slot: Slot) {
        let connection = &self.connections[slot.index()];
        let mut expected: Vec<MemberId> =
            connection.subscriptions.iter().map(|subscription| subscription.member).collect();
        let mut members: Vec<MemberId> = self.hub.members(slot).collect();
        expected.sort_unstable();
        members.sort_unstable();
        assert_eq!(members, expected);
        assert_eq!(self.hub.subscriptions_of(slot), expected.len());
        let mut lagging = Vec::new();
        self.hub.lagging(slot, &mut lagging);
        assert_eq!(self.hub.is_lagging(slot), !lagging.is_empty());
        for &Subscription { member, topic, .. } in &connection.subscriptions {
            let topic = &self.topics[topic];
            assert_eq!((self.hub.topic_of(member), self.hub.slot_of(member)), (topic.id, slot));
            assert_eq!(self.hub.find(slot, topic.id), Some(member));
            assert_eq!(self.hub.backlog(member).is_some(), lagging.contains(&member));
        }
        let all: usize = self.connections.iter().map(|connection| connection.subscriptions.len()).sum();
        assert_eq!(self.hub.subscriptions(), all);
        for topic in self.topics.iter().filter(|topic| topic.is_open) {
            assert_eq!(self.hub.subscribers(topic.id), topic.subscribers.iter().sum::<usize>());
            assert_eq!((self.hub.name(topic.id), self.hub.last(topic.id).0), (&topic.name, topic.last()));
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
            for subscription in &connection.subscriptions {
                let topic = &self.topics[subscription.topic];
                assert!(subscription.reader.has_all(topic), "{connection:?} is not at {}", topic.last());
                assert!(!subscription.has_to_be_told, "{connection:?}");
            }
        }
        self.check_levels();
        assert_eq!(self.hub.laggers(), 0);
        assert_eq!(self.hub.log_bytes_used(), 0);
        assert_eq!(self.hub.stats().delivered, self.seen.delivered);
    }

    /// Everybody leaves: nothing is left of any topic.
    pub(crate) fn end(&mut self) {
        for slot in 0..self.connections.len() {
            self.die(Slot(slot as u32));
        }
        assert_eq!((self.hub.log_bytes_used(), self.hub.subscriptions()), (0, 0));
        assert_eq!((self.hub.ready_raw(), self.hub.ready_json()), (0, 0));
        for index in 0..self.topics.len() {
            assert_eq!(self.topics[index].held, 0);
            self.close_topic(index);
        }
        assert_eq!(self.hub.topics(), 0);
    }
}
