//! One topic: its numbering, its log, its members, and the pass that brings them together.

use super::chunk::{ChunkPool, Exhausted};
use super::log::{Position, TopicLog};
use super::members::{Cursor, LagState, Lagger, Lapped, Member, Membership};
use super::{Backlog, HubLimits, Progress};
use crate::config::LagPolicy;
use crate::ids::{Epoch, Now, Offset, Slot};
use corecast_protocol::{MessageKind, Opcode, frame::server_header};
use std::rc::Rc;

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Rc<str>,
    pub(super) epoch: Epoch,
    pub(super) last: Offset,
    /// Connections that publish here without being subscribed; they keep the topic from being forgotten.
    pub(super) publishers: u32,
    pub(super) last_used: Now,
    /// Stands in the hub's ready queue.
    pub(super) is_ready: bool,
    /// Stands in the hub's list of topics with laggers.
    pub(super) is_listed_lagging: bool,
    members: Vec<Member>,
    tombstones: usize,
    laggers: Vec<Lagger>,
    log: TopicLog,
    /// Everything before has been sent to every member that is not lagging.
    passed: Position,
    /// The first message after `passed`.
    passed_next: Offset,
    /// Messages times subscribers, since the hub last asked.
    delivered: u64,
    region: Option<Region>,
    /// Bytes between `passed` and the log's end.
    unpassed: usize,
    /// When the oldest message that is neither passed nor in the region was published, or somewhat earlier: when the
    /// region began.
    oldest_unpassed: Now,
}

/// The part of the log that a pass is sending: `passed..to`, within one chunk.
#[derive(Copy, Clone, Debug)]
struct Region {
    to: Position,
    /// The first message after `to`.
    to_next: Offset,
    /// Members of the current batch that were sent all of it.
    served: u64,
    /// Members before this index have had it.
    next: usize,
    /// Members from this index on joined after it began, at the log's end.
    end: usize,
    /// When its first message was published.
    oldest: Now,
}

/// What finishing a batch led to.
#[derive(Debug, Default)]
pub(super) struct BatchEnd {
    /// The region's last send is done: how long after its oldest message was published.
    pub(super) latency: Option<std::time::Duration>,
    pub(super) has_more: bool,
}

impl Topic {
    pub(super) fn new(name: Rc<str>, epoch: Epoch, now: Now) -> Self {
        Self {
            name,
            epoch,
            last: Offset(0),
            publishers: 0,
            last_used: now,
            is_ready: false,
            is_listed_lagging: false,
            members: Vec::new(),
            tombstones: 0,
            laggers: Vec::new(),
            log: TopicLog::default(),
            passed: Position::default(),
            passed_next: Offset(1),
            delivered: 0,
            region: None,
            unpassed: 0,
            oldest_unpassed: now,
        }
    }

    pub(super) fn subscribers(&self) -> usize {
        self.members.len() - self.tombstones
    }

    pub(super) fn laggers(&self) -> usize {
        self.laggers.len()
    }

    /// Log memory that only laggers need.
    pub(super) fn can_shrink(&self) -> bool {
        !self.laggers.is_empty() && self.log.oldest_is_passed(self.passed)
    }

    pub(super) fn log_capacity(&self) -> usize {
        self.log.capacity()
    }

    // Membership ------------------------------------------------------------------------------------------------

    /// Joins at the log's end: the first message it gets is the next one published.
    pub(super) fn join(&mut self, slot: Slot, memberships: &mut [Membership]) {
        memberships[slot.index()].index = self.members.len() as u32;
        self.members.push(Member::new(slot));
        if !self.is_all_passed() {
            let cursor = Cursor { at: self.log.end(), uncounted: self.last.next(), is_waiting: true };
            self.start_lagging(slot, cursor, memberships);
        }
    }

    pub(super) fn leave(&mut self, slot: Slot, memberships: &mut [Membership], pool: &mut ChunkPool) {
        if let Some(cursor) = self.cursor(memberships[slot.index()].lagger) {
            let (rest, next) = self.rest_and_next(cursor.at);
            let unfinished = u64::from(!rest.is_empty());
            self.delivered += next.0 - cursor.uncounted.0 - unfinished;
        }
        self.stop_lagging(slot, memberships);
        self.remove_member(slot, memberships);
        if self.subscribers() == 0 {
            self.forget_members(pool);
        } else {
            self.free_passed(pool);
        }
    }

    /// Nobody is left to deliver to: nothing is owed to anyone.
    fn forget_members(&mut self, pool: &mut ChunkPool) {
        self.members = Vec::new();
        self.tombstones = 0;
        self.region = None;
        self.unpassed = 0;
        while !self.log.is_empty() {
            self.log.drop_oldest(pool);
        }
        self.passed = self.log.end();
    }

    // Publishing ------------------------------------------------------------------------------------------------

    /// Whether undelivered messages and this one are more than half the log: the publisher has to wait for the pass.
    pub(super) fn is_full(&self, payload_len: usize, limits: &HubLimits) -> bool {
        self.unpassed > 0 && self.unpassed + frame_len(payload_len) > limits.topic_log_bytes / 2
    }

    /// Numbers the message and, when anyone is subscribed, appends its frame.
    pub(super) fn append(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        now: Now,
        limits: &HubLimits,
        pool: &mut ChunkPool,
    ) -> Result<Offset, Exhausted> {
        let offset = self.last.next();
        if self.subscribers() > 0 {
            let header = server_header(kind.opcode(), payload.len());
            self.log.append(&header, payload, offset, now, limits.chunk_max(), pool)?;
            if self.unpassed == 0 {
                self.oldest_unpassed = now;
                self.passed_next = offset;
            }
            self.unpassed += header.len() + payload.len();
        }
        self.last = offset;
        self.last_used = now;
        Ok(offset)
    }

    /// Whether appending `payload_len` bytes would need a chunk beyond `topic_log_bytes`.
    pub(super) fn is_over_log_limit(&self, payload_len: usize, limits: &HubLimits) -> bool {
        let len = frame_len(payload_len);
        !self.log.has_room(len) && self.log.capacity() + len.max(limits.chunk_max()) > limits.topic_log_bytes
    }

    /// Drops the oldest chunk, lapping everybody who stands in it. Only what the pass is done with can go. `tail_room`
    /// is lessened by what is copied of it.
    pub(super) fn drop_oldest_passed(
        &mut self,
        policy: LagPolicy,
        memberships: &mut [Membership],
        pool: &mut ChunkPool,
        lapped: &mut Vec<Lapped>,
        tail_room: &mut usize,
    ) -> bool {
        if !self.log.oldest_is_passed(self.passed) {
            return false;
        }
        let mut index = 0;
        while self.log.oldest_cursors() > 0 {
            let Lagger { slot, state } = self.laggers[index];
            let LagState::Behind(cursor) = state else {
                index += 1;
                continue;
            };
            if !self.log.is_in_oldest(cursor.at) {
                index += 1;
                continue;
            }
            self.log.remove_cursor(cursor.at);
            if let Some(next) = self.log.beyond_chunk(cursor.at) {
                let at = self.log.add_cursor(next);
                self.laggers[index].state = LagState::Behind(Cursor { at, ..cursor });
                index += 1;
                continue;
            }
            let (rest, first_missed) = self.log.rest_of_frame(cursor.at);
            let tail = (rest.len() <= *tail_room).then(|| rest.to_vec());
            *tail_room -= tail.as_ref().map_or(0, Vec::len);
            // The message that it is inside counts if the tail completes it.
            self.delivered += first_missed.0 - cursor.uncounted.0 - u64::from(tail.is_none());
            lapped.push(Lapped { slot, tail });
            self.laggers[index].state = LagState::Skipping { first_missed };
            if policy == LagPolicy::Disconnect {
                self.leave_lapped(slot, memberships);
            } else {
                index += 1;
            }
        }
        self.log.drop_oldest(pool);
        if self.subscribers() == 0 {
            // Messages are not appended from here on: what is left in the log would have a gap behind it.
            self.forget_members(pool);
        } else {
            self.free_passed(pool);
        }
        true
    }

    /// Like `leave`, but never lets go of the log: the caller is dropping a chunk of it, and sees to the rest.
    fn leave_lapped(&mut self, slot: Slot, memberships: &mut [Membership]) {
        self.stop_lagging(slot, memberships);
        self.remove_member(slot, memberships);
        memberships[slot.index()] = Membership::VACANT;
    }

    fn remove_member(&mut self, slot: Slot, memberships: &mut [Membership]) {
        let index = memberships[slot.index()].index as usize;
        if self.region.is_some() {
            // A pass walks the list by index: nothing may move under it.
            self.members[index].bury();
            self.tombstones += 1;
            return;
        }
        self.members.swap_remove(index);
        if let Some(moved) = self.members.get(index) {
            memberships[moved.slot().index()].index = index as u32;
        }
        if self.members.len() < self.members.capacity() / 4 {
            self.members.shrink_to(self.members.len() * 2);
        }
    }

    // The pass --------------------------------------------------------------------------------------------------

    /// Whether the members that are not lagging have everything.
    fn is_all_passed(&self) -> bool {
        self.unpassed == 0
    }

    pub(super) fn has_unpassed(&self) -> bool {
        !self.is_all_passed()
    }

    /// Collects the next members of the pass, at most `max`, beginning a region if none is under way; gives the bytes
    /// that each of them is to be sent. `batch_done` must follow once the sends are made.
    pub(super) fn batch(&mut self, max: usize, now: Now, targets: &mut Vec<Slot>) -> &[u8] {
        if self.region.is_none() {
            let (_, to) = self.log.region(self.passed, self.log.end());
            let first = self.log.chunk_beginning_at(self.passed);
            let next = self.log.chunk_beginning_at(to);
            self.region = Some(Region {
                to,
                to_next: next.map_or_else(|| self.last.next(), |chunk| chunk.first_offset),
                served: 0,
                next: 0,
                end: self.members.len(),
                oldest: first.map_or(self.oldest_unpassed, |chunk| chunk.first_published),
            });
            // What is appended to its chunk from here on waits for the next region.
            self.oldest_unpassed = now;
        }
        let region = self.region.as_mut().expect("begun above");
        while region.next < region.end && targets.len() < max {
            let member = self.members[region.next];
            if member.is_caught_up() {
                targets.push(member.slot());
            }
            region.next += 1;
        }
        region.served = targets.len() as u64;
        self.log.region(self.passed, region.to).0
    }

    /// The batch's sends are made and those that fell short were reported with `fell_behind`.
    pub(super) fn batch_done(
        &mut self,
        now: Now,
        memberships: &mut [Membership],
        pool: &mut ChunkPool,
        runnable: &mut Vec<Slot>,
    ) -> BatchEnd {
        // Everybody may have left meanwhile.
        let Some(region) = self.region else { return BatchEnd::default() };
        self.delivered += region.served * (region.to_next.0 - self.passed_next.0);
        if region.next < region.end {
            return BatchEnd { latency: None, has_more: true };
        }
        self.unpassed -= self.log.region(self.passed, region.to).0.len();
        self.passed = region.to;
        self.passed_next = region.to_next;
        self.region = None;
        self.compact(memberships);
        self.settle_laggers(memberships, runnable);
        self.free_passed(pool);
        BatchEnd { latency: Some(now.since(region.oldest)), has_more: self.has_unpassed() }
    }

    /// The socket took only `taken` bytes of the region.
    pub(super) fn fell_behind(&mut self, slot: Slot, taken: usize, memberships: &mut [Membership]) {
        if let Some(region) = &mut self.region {
            region.served -= 1;
        }
        let at = self.log.advance(self.passed, taken);
        self.start_lagging(slot, Cursor { at, uncounted: self.passed_next, is_waiting: false }, memberships);
    }

    /// Takes the subscriber out of the pass where it stands, because its socket takes nothing just now.
    pub(super) fn hold(&mut self, slot: Slot, memberships: &mut [Membership]) {
        let Membership { index, lagger, .. } = memberships[slot.index()];
        if lagger != Membership::NONE {
            if let LagState::Behind(cursor) = &mut self.laggers[lagger as usize].state {
                cursor.is_waiting = false;
            }
            return;
        }
        let (at, uncounted) = match self.region {
            Some(region) if (index as usize) < region.next => (region.to, region.to_next),
            // Nobody is past `end` without a cursor: who joins during a region lags from the start.
            _ if self.is_all_passed() => (self.passed, self.last.next()),
            _ => (self.passed, self.passed_next),
        };
        self.start_lagging(slot, Cursor { at, uncounted, is_waiting: false }, memberships);
    }

    /// What a lagging subscriber is to be sent next.
    pub(super) fn backlog(&self, lagger: u32) -> Backlog<'_> {
        match self.cursor(lagger) {
            Some(cursor) => Backlog::Bytes(self.log.region(cursor.at, self.limit().0).0),
            None => Backlog::Skipping,
        }
    }

    /// The rest of the frame that a lagging subscriber is inside.
    pub(super) fn rest_of_frame(&self, lagger: u32) -> &[u8] {
        self.cursor(lagger).map_or(&[], |cursor| self.rest_and_next(cursor.at).0)
    }

    /// A lagging subscriber's socket took `taken` more bytes.
    pub(super) fn advance(
        &mut self,
        slot: Slot,
        taken: usize,
        memberships: &mut [Membership],
        pool: &mut ChunkPool,
    ) -> Progress {
        let lagger = memberships[slot.index()].lagger;
        let Some(cursor) = self.cursor(lagger) else { return Progress::Waiting };
        self.log.remove_cursor(cursor.at);
        let at = self.log.advance(cursor.at, taken);
        let at = self.log.add_cursor(at);
        let is_waiting = at >= self.log.normal(self.limit().0);
        self.laggers[lagger as usize].state = LagState::Behind(Cursor { at, is_waiting, ..cursor });
        let progress = if !is_waiting {
            Progress::More
        } else if self.is_level(at) {
            self.catch_up(slot, memberships);
            Progress::CaughtUp
        } else {
            Progress::Waiting
        };
        self.free_passed(pool);
        progress
    }

    /// A skipping subscriber's socket takes bytes again: it goes on from where the pass is. Gives how many messages
    /// it missed.
    pub(super) fn resume(&mut self, slot: Slot, memberships: &mut [Membership]) -> u64 {
        let lagger = memberships[slot.index()].lagger as usize;
        let LagState::Skipping { first_missed } = self.laggers[lagger].state else { return 0 };
        let (limit, next) = self.limit();
        let at = self.log.add_cursor(limit);
        self.laggers[lagger].state = LagState::Behind(Cursor { at, uncounted: next, is_waiting: true });
        if self.is_level(at) {
            self.catch_up(slot, memberships);
        }
        next.0 - first_missed.0
    }

    fn cursor(&self, lagger: u32) -> Option<Cursor> {
        match self.laggers.get(lagger as usize)?.state {
            LagState::Behind(cursor) => Some(cursor),
            LagState::Skipping { .. } => None,
        }
    }

    /// The rest of the frame around `at`, and the first message that starts at or after it.
    fn rest_and_next(&self, at: Position) -> (&[u8], Offset) {
        // A cursor at the log's end may have no chunk any more, and is not inside a frame.
        if self.log.normal(at) >= self.log.end() {
            (&[], self.last.next())
        } else {
            self.log.rest_of_frame(at)
        }
    }

    /// How far a lagging subscriber may read, and the message that begins there.
    fn limit(&self) -> (Position, Offset) {
        match self.region {
            Some(region) => (region.to, region.to_next),
            None if self.is_all_passed() => (self.passed, self.last.next()),
            None => (self.passed, self.passed_next),
        }
    }

    /// Whether a subscriber that stands at `at` has exactly what the pass has given everybody.
    fn is_level(&self, at: Position) -> bool {
        self.region.is_none() && self.log.normal(at) == self.log.normal(self.passed)
    }

    fn start_lagging(&mut self, slot: Slot, cursor: Cursor, memberships: &mut [Membership]) {
        let membership = &mut memberships[slot.index()];
        assert_eq!(membership.lagger, Membership::NONE, "a subscriber has one cursor");
        let at = self.log.add_cursor(cursor.at);
        membership.lagger = self.laggers.len() as u32;
        self.members[membership.index as usize].set_lagging(true);
        self.laggers.push(Lagger { slot, state: LagState::Behind(Cursor { at, ..cursor }) });
    }

    /// A lagger that is level with the pass goes back into it.
    fn catch_up(&mut self, slot: Slot, memberships: &mut [Membership]) {
        if let Some(cursor) = self.cursor(memberships[slot.index()].lagger) {
            self.delivered += self.limit().1.0 - cursor.uncounted.0;
        }
        self.stop_lagging(slot, memberships);
    }

    fn stop_lagging(&mut self, slot: Slot, memberships: &mut [Membership]) {
        let membership = &mut memberships[slot.index()];
        if membership.lagger == Membership::NONE {
            return;
        }
        let lagger = membership.lagger as usize;
        membership.lagger = Membership::NONE;
        self.members[membership.index as usize].set_lagging(false);
        if let LagState::Behind(cursor) = self.laggers.swap_remove(lagger).state {
            self.log.remove_cursor(cursor.at);
        }
        if let Some(moved) = self.laggers.get(lagger) {
            memberships[moved.slot.index()].lagger = lagger as u32;
        }
        if self.laggers.is_empty() {
            self.laggers = Vec::new();
        }
    }

    /// Between two regions: laggers that stand where the pass stands are caught up, and those that waited for it to
    /// go on can go on themselves.
    fn settle_laggers(&mut self, memberships: &mut [Membership], runnable: &mut Vec<Slot>) {
        let mut index = 0;
        while index < self.laggers.len() {
            let slot = self.laggers[index].slot;
            match self.cursor(index as u32) {
                Some(cursor) if cursor.is_waiting && self.is_level(cursor.at) => {
                    self.catch_up(slot, memberships);
                    continue;
                }
                Some(cursor)
                    if cursor.is_waiting && self.log.normal(cursor.at) < self.log.normal(self.passed) =>
                {
                    self.laggers[index].state = LagState::Behind(Cursor { is_waiting: false, ..cursor });
                    runnable.push(slot);
                }
                _ => {}
            }
            index += 1;
        }
    }

    pub(super) fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }

    /// Removes tombstones. Only between regions.
    fn compact(&mut self, memberships: &mut [Membership]) {
        if self.tombstones == 0 {
            return;
        }
        let mut kept = 0;
        for index in 0..self.members.len() {
            let member = self.members[index];
            if !member.is_gone() {
                self.members[kept] = member;
                memberships[member.slot().index()].index = kept as u32;
                kept += 1;
            }
        }
        self.members.truncate(kept);
        self.tombstones = 0;
    }

    fn free_passed(&mut self, pool: &mut ChunkPool) {
        while self.log.oldest_cursors() == 0 && self.log.oldest_is_passed(self.passed) {
            self.log.drop_oldest(pool);
        }
    }
}

/// Bytes of a message in the log.
fn frame_len(payload_len: usize) -> usize {
    // Text has the same header but for its opcode.
    server_header(Opcode::Binary, payload_len).len() + payload_len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_members_that_left_during_a_pass_go_with_it() {
        let limits = HubLimits::for_tests();
        let mut pool = ChunkPool::new(&limits);
        let mut topic = Topic::new(Rc::from("a"), Epoch(1), Now(0));
        let mut memberships = vec![Membership::VACANT; 3];
        for slot in 0..3 {
            topic.join(Slot(slot), &mut memberships);
        }
        topic.append(MessageKind::Text, b"x", Now(0), &limits, &mut pool).unwrap();
        topic.batch(1, Now(0), &mut Vec::new());
        topic.leave(Slot(0), &mut memberships, &mut pool);
        assert_eq!((topic.members.len(), topic.subscribers()), (3, 2));
        topic.batch_done(Now(0), &mut memberships, &mut pool, &mut Vec::new());
        topic.batch(2, Now(0), &mut Vec::new());
        topic.batch_done(Now(0), &mut memberships, &mut pool, &mut Vec::new());
        assert_eq!((topic.members.len(), topic.subscribers()), (2, 2));
        assert_eq!((memberships[1].index, memberships[2].index), (0, 1));
    }
}
