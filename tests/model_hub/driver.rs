//! What the shard does: it calls the hub as `shard::deliver` is to call it.

use super::connection::Phase;
use super::world::World;
use corecast::hub::{Backlog, Missed, Part, Plan, Progress};
use corecast::ids::{Encoding, FeedId, MemberId, Slot};

/// A send that was not taken whole.
struct Short {
    slot: Slot,
    taken: usize,
    /// Who fell behind with it, and what was taken of theirs.
    behind: Vec<(MemberId, usize)>,
}

impl World {
    pub(crate) fn turn(&mut self, max: usize) {
        self.attend();
        for _ in 0..self.hub.ready_raw() {
            self.pass_raw(max);
        }
        // No feed has to wait for more turns than there are feeds.
        for _ in 0..self.hub.ready_json().min(3) {
            self.pass_json(max);
        }
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.hub.ready_raw() + self.hub.ready_json() > 0
    }

    /// Nothing will happen until a client does something.
    pub(crate) fn is_quiet(&self) -> bool {
        self.attention.is_empty() && !self.has_ready() && !self.hub.has_runnable()
    }

    // Passes ----------------------------------------------------------------------------------------------------

    pub(crate) fn pass(&mut self, max: usize) {
        self.pass_raw(max);
        self.pass_json(max);
    }

    /// One batch to at most `max` raw members.
    fn pass_raw(&mut self, max: usize) {
        let mut targets = Vec::new();
        let Some(batch) = self.hub.next_batch(max, self.now, &mut targets) else { return };
        let (feed, bytes) = (batch.feed, batch.bytes.to_vec());
        assert!(targets.len() <= max);
        assert_eq!(self.hub.batch_bytes(feed), bytes);
        let parts: Vec<Part> =
            targets.iter().map(|&slot| Part { slot, member: MemberId::from(slot), feed }).collect();
        self.check_parts(&parts, Encoding::Raw);
        let mut short = Vec::new();
        for part in &parts {
            let taken = self.connection(part.slot).send(bytes.len());
            self.took_of_topic(part.slot, part.member, &bytes[..taken]);
            if taken < bytes.len() {
                short.push(Short { slot: part.slot, taken, behind: vec![(part.member, taken)] });
            }
        }
        self.fall_behind(short);
        self.end_batch(feed, &parts);
        self.check_levels();
    }

    /// One batch each of some JSON feeds, to at most `max` members of each.
    fn pass_json(&mut self, max_per_feed: usize) {
        let mut plan = Plan::default();
        let (ready, max) = (self.hub.ready_json(), self.choices.usize(1..=8));
        self.hub.next_json_batches(max_per_feed, max, self.now, &mut plan);
        assert!(plan.feeds.len() <= ready && plan.parts.len() <= max);
        self.check_parts(&plan.parts, Encoding::Json);
        for &feed in &plan.feeds {
            assert!(plan.parts.iter().filter(|part| part.feed == feed).count() <= max_per_feed);
        }
        let mut slots: Vec<Slot> = plan.parts.iter().map(|part| part.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut short = Vec::new();
        for slot in slots {
            let parts: Vec<Part> = plan.parts.iter().copied().filter(|part| part.slot == slot).collect();
            self.seen.gathered += u64::from(parts.len() > 1);
            short.extend(self.send_gathered(slot, &parts));
        }
        self.fall_behind(short);
        for &feed in &plan.feeds {
            self.end_batch(feed, &plan.parts);
        }
        plan.clear();
        assert!(plan.feeds.is_empty() && plan.parts.is_empty());
        self.check_levels();
    }

    /// One send of all a connection's parts.
    fn send_gathered(&mut self, slot: Slot, parts: &[Part]) -> Option<Short> {
        if parts.len() > 1 && self.choices.u8(..8) == 0 {
            // Full just between two of them.
            let first = self.hub.batch_bytes(parts[0].feed).len();
            let connection = self.connection(slot);
            if connection.room < usize::MAX / 2 {
                connection.room = connection.room.min(first);
            }
        }
        let all: usize = parts.iter().map(|part| self.hub.batch_bytes(part.feed).len()).sum();
        let taken = self.connection(slot).send(all);
        let (mut left, mut behind) = (taken, Vec::new());
        for part in parts {
            let bytes = self.hub.batch_bytes(part.feed).to_vec();
            let of_this = bytes.len().min(left);
            left -= of_this;
            self.took_of_topic(slot, part.member, &bytes[..of_this]);
            if of_this < bytes.len() {
                behind.push((part.member, of_this));
            }
        }
        let (&(_, of_first), others) = behind.split_first()?;
        assert!(others.iter().all(|&(_, of_other)| of_other == 0));
        self.seen.short_between_parts += u64::from(taken > 0 && of_first == 0);
        self.seen.short_in_later_part += u64::from(of_first > 0 && of_first < taken);
        Some(Short { slot, taken, behind })
    }

    /// Completions come in any order.
    fn fall_behind(&mut self, mut short: Vec<Short>) {
        self.choices.shuffle(&mut short);
        for Short { slot, taken, behind } in short {
            for (member, taken) in behind {
                self.hub.fell_behind(member, taken);
            }
            if taken == 0 && self.choices.u8(..100) < self.breaks_percent {
                self.seen.broken += 1;
                self.die(slot);
                continue;
            }
            self.seen.short += u64::from(taken > 0);
            self.seen.refused += u64::from(taken == 0);
            self.await_writable(slot);
        }
    }

    fn end_batch(&mut self, feed: FeedId, parts: &[Part]) {
        let latency = self.hub.batch_done(feed, self.now);
        let to = parts.iter().filter(|part| part.feed == feed);
        for part in to {
            let connection = &self.connections[part.slot.index()];
            let variant = connection.variant.index();
            let subscription = connection.subscriptions.iter().find(|other| other.member == part.member);
            if let Some(subscription) = subscription {
                self.topics[subscription.topic].is_mid_pass[variant] = latency.is_none();
            }
        }
    }

    fn check_parts(&self, parts: &[Part], encoding: Encoding) {
        let mut lagging = Vec::new();
        for (index, &Part { slot, member, feed }) in parts.iter().enumerate() {
            let variant = self.connections[slot.index()].variant;
            assert_eq!((self.hub.slot_of(member), variant.encoding), (slot, encoding));
            self.hub.lagging(slot, &mut lagging);
            assert!(!lagging.contains(&member), "{member:?} lags and is in a batch");
            for other in &parts[..index] {
                assert_ne!(other.member, member, "{member:?} is in it twice");
                let is_same_topic = self.hub.topic_of(other.member) == self.hub.topic_of(member);
                let is_same_variant = self.connections[other.slot.index()].variant == variant;
                assert_eq!(is_same_topic && is_same_variant, other.feed == feed);
            }
        }
    }

    // Connections that need attention ---------------------------------------------------------------------------

    /// Everybody who was marked, and the laggers that the passes left behind.
    pub(crate) fn attend(&mut self) {
        let mut marked = std::mem::take(&mut self.attention);
        let marked_before = marked.len();
        self.hub.take_runnable(&mut marked);
        self.seen.runnable += (marked.len() - marked_before) as u64;
        for &slot in &marked {
            self.connection(slot).is_marked = false;
        }
        marked.sort_unstable();
        marked.dedup();
        self.choices.shuffle(&mut marked);
        for slot in marked {
            let connection = self.connection(slot);
            if connection.phase != Phase::Vacant && !connection.is_polling {
                self.serve(slot);
            }
        }
        self.check_levels();
    }

    /// In order: the rest of a frame, what is to stand between two, what was missed, the backlogs. A socket that takes less
    /// ends it.
    fn serve(&mut self, slot: Slot) {
        let mut lagging = Vec::new();
        self.hub.lagging(slot, &mut lagging);
        // At most one is inside a frame, and that one goes on first.
        lagging.sort_by_key(|&member| self.hub.rest_of_frame(member).is_empty());
        let skips = |member: &MemberId| self.hub.backlog(*member) == Some(Backlog::Skipping);
        let skipping: Vec<MemberId> = lagging.iter().copied().filter(skips).collect();
        if (self.connection(slot).has_outbound() || !skipping.is_empty())
            && !lagging.first().is_none_or(|&first| self.finish_frame(slot, first))
        {
            return;
        }
        if !self.send_outbound(slot) {
            return;
        }
        let connection = self.connection(slot);
        if connection.phase == Phase::Closing {
            assert!(connection.is_between_frames(), "{slot:?} ends inside a frame");
            connection.phase = Phase::Vacant;
            return;
        }
        for member in skipping {
            self.resume(slot, member);
        }
        if self.connection(slot).reply > 0 {
            if self.choices.bool() {
                self.seen.told_later += 1;
                self.mark(slot);
                return;
            }
            if !self.send_outbound(slot) {
                return;
            }
        }
        for member in lagging {
            if !self.send_backlog(slot, member) {
                return;
            }
        }
    }

    /// Whether the connection is between two frames after it.
    fn finish_frame(&mut self, slot: Slot, member: MemberId) -> bool {
        let rest = self.hub.rest_of_frame(member).to_vec();
        if rest.is_empty() {
            return true;
        }
        let taken = self.connection(slot).send(rest.len());
        let completed = self.took_of_topic(slot, member, &rest[..taken]);
        assert_eq!(completed, u64::from(taken == rest.len()), "the rest of one frame");
        self.hub.advance(member, taken);
        if taken < rest.len() {
            self.await_writable(slot);
            return false;
        }
        self.seen.frames_finished_first += 1;
        true
    }

    /// The tail and then the replies; whether all of it went out.
    fn send_outbound(&mut self, slot: Slot) -> bool {
        let connection = self.connection(slot);
        if !connection.has_outbound() {
            return true;
        }
        connection.tail -= connection.send(connection.tail);
        if connection.tail == 0 {
            let taken = connection.send(connection.reply);
            assert!(taken == 0 || connection.is_between_frames(), "{slot:?}: a reply inside a frame");
            connection.reply -= taken;
        }
        if connection.tail > 0 || connection.reply > 0 {
            self.await_writable(slot);
            return false;
        }
        for subscription in &mut connection.subscriptions {
            subscription.has_to_be_told = false;
        }
        true
    }

    /// A lapped subscriber goes on. A JSON subscriber is told before its next message.
    fn resume(&mut self, slot: Slot, member: MemberId) {
        let missed = self.hub.resume(member);
        assert_eq!(self.hub.resume(member), None, "it skips no more");
        let Some(Missed { topic, from, to }) = missed else {
            self.seen.missed_nothing += 1;
            return;
        };
        assert_eq!(self.hub.topic_of(member), topic);
        let connection = &mut self.connections[slot.index()];
        let variant = connection.variant;
        let subscription = connection.subscription_mut(member);
        subscription.reader.miss(from.0, to.0);
        self.seen.skipped[variant.encoding as usize] += to.0 - from.0 + 1;
        let is_mid_pass = self.topics[subscription.topic].is_mid_pass[variant.index()];
        self.seen.resumed_mid_pass += u64::from(is_mid_pass);
        if variant.encoding == Encoding::Json {
            subscription.has_to_be_told = true;
            connection.reply += 60;
            self.hub.hold(member);
        }
    }

    /// Whether the socket may take more.
    fn send_backlog(&mut self, slot: Slot, member: MemberId) -> bool {
        let bytes = match self.hub.backlog(member) {
            Some(Backlog::Bytes(bytes)) => bytes.to_vec(),
            Some(Backlog::Skipping) => panic!("{member:?} skips after it was resumed"),
            // It was level with the pass when it was resumed, or when its frame was finished.
            None => return true,
        };
        if bytes.is_empty() {
            assert_ne!(self.hub.advance(member, 0), Progress::More, "{member:?}: more, and no bytes");
            return true;
        }
        let taken = self.connection(slot).send(bytes.len());
        self.took_of_topic(slot, member, &bytes[..taken]);
        let progress = self.hub.advance(member, taken);
        self.seen.caught_up += u64::from(progress == Progress::CaughtUp);
        assert_eq!(progress == Progress::CaughtUp, self.hub.backlog(member).is_none());
        if taken < bytes.len() {
            assert_eq!(progress, Progress::More);
            self.await_writable(slot);
            return false;
        }
        if progress == Progress::More {
            self.mark(slot);
        }
        true
    }

    fn took_of_topic(&mut self, slot: Slot, member: MemberId, bytes: &[u8]) -> u64 {
        let completed = self.connections[slot.index()].took(member, &self.topics, bytes);
        self.seen.delivered += completed;
        completed
    }

    /// Nothing may go out before the socket takes bytes again: of none of its topics.
    pub(crate) fn await_writable(&mut self, slot: Slot) {
        self.connection(slot).is_polling = true;
        for member in self.hub.members(slot).collect::<Vec<_>>() {
            self.hub.hold(member);
        }
        // A connection without a subscription may be held too.
        self.hub.hold(slot.into());
    }

    pub(crate) fn mark(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.connection(slot).is_marked, true) {
            self.attention.push(slot);
        }
    }
}
