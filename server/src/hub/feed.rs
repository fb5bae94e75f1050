//! One feed: a topic in one encoding. Its log, its members, and the pass that brings them together.

use super::chunk::{Chunk, ChunkPool, ChunkSize, Exhausted};
use super::encode::{Frame, frame_len_min};
use super::log::{FeedLog, Position};
use super::members::{Cursor, LagState, Lagger, Member};
use super::memberships::{Membership, Memberships};
use super::{Backlog, HubLimits, Lapped, Missed, Progress};
use crate::ids::{MemberId, Now, Offset, Slot, TopicId, Variant};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Feed {
    pub(super) topic: TopicId,
    pub(super) variant: Variant,
    /// The topic's newest message.
    last: Offset,
    members: Vec<Member>,
    tombstones: usize,
    laggers: Vec<Lagger>,
    log: FeedLog,
    /// Everything before has been sent to every member that is not lagging.
    passed: Position,
    /// The first message after `passed`.
    passed_next: Offset,
    /// Messages times subscribers, since the hub last asked.
    delivered: u64,
    region: Option<Region>,
    /// Bytes between `passed` and the log's end.
    unpassed: usize,
    /// The most that `unpassed` was since the log was last empty, and the time before. So much is likely to come again.
    peaks: [usize; 2],
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

impl Feed {
    /// A feed whose first message will be the one after `last`.
    pub(super) fn new(topic: TopicId, variant: Variant, last: Offset) -> Self {
        Self {
            topic,
            variant,
            last,
            members: Vec::new(),
            tombstones: 0,
            laggers: Vec::new(),
            log: FeedLog::default(),
            passed: Position::default(),
            passed_next: last.next(),
            delivered: 0,
            region: None,
            unpassed: 0,
            peaks: [0; 2],
            oldest_unpassed: Now::default(),
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
    pub(super) fn join(&mut self, member: MemberId, memberships: &mut Memberships) {
        memberships[member].index = self.members.len() as u32;
        self.members.push(Member::new(member));
        if !self.is_all_passed() {
            let cursor = Cursor { at: self.log.end(), uncounted: self.last.next(), is_waiting: true };
            self.start_lagging(member, cursor, memberships);
        }
    }

    /// The membership itself is the caller's to remove. The last one's feed has to be retired.
    pub(super) fn leave(&mut self, member: MemberId, memberships: &mut Memberships, pool: &mut ChunkPool) {
        if let Some(cursor) = memberships[member].lagger().and_then(|lagger| self.cursor(lagger)) {
            let (rest, next) = self.rest_and_next(cursor.at);
            let unfinished = u64::from(!rest.is_empty());
            self.delivered += next.0 - cursor.uncounted.0 - unfinished;
        }
        self.stop_lagging(member, memberships);
        self.remove_member(member, memberships);
        self.free_passed(pool);
    }

    /// Nobody is left to deliver to: nothing is owed to anyone. Gives what was delivered and not yet asked for.
    pub(super) fn retire(mut self, pool: &mut ChunkPool) -> u64 {
        debug_assert_eq!(self.subscribers(), 0);
        while !self.log.is_empty() {
            self.log.drop_oldest(pool);
        }
        let in_batch = self.region.map_or(0, |region| self.served_messages(region));
        self.delivered + in_batch
    }

    // Publishing ------------------------------------------------------------------------------------------------

    /// Whether undelivered messages and a frame of this length are more than half the log: the publisher has to wait for
    /// the pass.
    pub(super) fn is_full(&self, frame_len: usize, limits: &HubLimits) -> bool {
        self.unpassed > 0 && self.unpassed + frame_len > limits.topic_log_bytes / 2
    }

    /// The same for a message that is not encoded yet.
    pub(super) fn is_full_for(&self, payload_len: usize, limits: &HubLimits) -> bool {
        self.is_full(frame_len_min(payload_len), limits)
    }

    /// Whether a frame of `len` bytes goes into the log as it is.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.log.has_room(len)
    }

    /// A chunk for the message, if it has no room without.
    pub(super) fn take_chunk(
        &self,
        len: usize,
        offset: Offset,
        published: Now,
        limits: &HubLimits,
        pool: &mut ChunkPool,
    ) -> Result<Chunk, Exhausted> {
        // A pass is of one chunk: what comes together is to fit into one, or every subscriber costs two sends.
        let burst = if self.log.is_empty() { self.peaks.into_iter().max().unwrap_or(0) } else { 0 };
        let size = ChunkSize {
            need: len,
            wanted: burst,
            previous: self.log.last_capacity(),
            largest: limits.chunk_max(),
        };
        pool.take(size, offset, published)
    }

    /// Appends the next message, after `chunk` if it needed one.
    pub(super) fn append(
        &mut self,
        frame: &Frame<'_>,
        chunk: Option<Chunk>,
        offset: Offset,
        published: Now,
        pool: &mut ChunkPool,
    ) {
        if let Some(chunk) = chunk {
            if self.log.is_empty() {
                self.peaks = [0, self.peaks[0]];
            }
            self.log.add_chunk(chunk, pool);
        }
        self.log.append(&frame.header, frame.payload);
        if self.unpassed == 0 {
            self.oldest_unpassed = published;
            self.passed_next = offset;
        }
        self.unpassed += frame.len();
        self.peaks[0] = self.peaks[0].max(self.unpassed);
        self.last = offset;
    }

    /// Whether appending a frame of this length would need a chunk beyond `topic_log_bytes`.
    pub(super) fn is_over_log_limit(&self, len: usize, limits: &HubLimits) -> bool {
        !self.log.has_room(len) && self.log.capacity() + len.max(limits.chunk_max()) > limits.topic_log_bytes
    }

    /// Drops the oldest chunk, lapping everybody who stands in it; they leave if `is_out`. Only what the pass is done with
    /// can go. `tail_room` is lessened by what is copied of it. When nobody is left, the feed has to be retired.
    pub(super) fn drop_oldest_passed(
        &mut self,
        is_out: bool,
        memberships: &mut Memberships,
        pool: &mut ChunkPool,
        lapped: &mut Vec<Lapped>,
        tail_room: &mut usize,
    ) -> bool {
        if !self.log.oldest_is_passed(self.passed) {
            return false;
        }
        let mut index = 0;
        while self.log.oldest_cursors() > 0 {
            let Lagger { member, state } = self.laggers[index];
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
            let slot = memberships.slot(member);
            lapped.push(Lapped { slot, topic: self.topic, encoding: self.variant.encoding, is_out, tail });
            self.laggers[index].state = LagState::Skipping { first_missed };
            if is_out {
                self.leave_lapped(member, memberships);
            } else {
                index += 1;
            }
        }
        self.log.drop_oldest(pool);
        self.free_passed(pool);
        true
    }

    /// Like `leave`, but never lets go of the log: the caller is dropping a chunk of it, and sees to the rest.
    fn leave_lapped(&mut self, member: MemberId, memberships: &mut Memberships) {
        self.stop_lagging(member, memberships);
        self.remove_member(member, memberships);
        memberships.remove(member);
    }

    fn remove_member(&mut self, member: MemberId, memberships: &mut Memberships) {
        let index = memberships[member].index as usize;
        if self.region.is_some() {
            // A pass walks the list by index: nothing may move under it.
            self.members[index].bury();
            self.tombstones += 1;
            return;
        }
        self.members.swap_remove(index);
        if let Some(moved) = self.members.get(index) {
            memberships[moved.id()].index = index as u32;
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

    /// Names the next members of the pass, at most `max`, beginning a region if none is under way. Each of them is to be
    /// sent `batch_bytes`; `batch_done` must follow once the sends are made.
    pub(super) fn batch(&mut self, max: usize, now: Now, mut target: impl FnMut(MemberId)) {
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
        let mut room = max;
        for member in &self.members[region.next..region.end] {
            if room == 0 {
                break;
            }
            if member.is_caught_up() {
                target(member.id());
                room -= 1;
            }
            region.next += 1;
        }
        region.served = (max - room) as u64;
    }

    /// What the members of the batch are to be sent: whole frames.
    pub(super) fn batch_bytes(&self) -> &[u8] {
        self.region.map_or(&[], |region| self.log.region(self.passed, region.to).0)
    }

    /// Messages times members of a region's current batch.
    fn served_messages(&self, region: Region) -> u64 {
        region.served * (region.to_next.0 - self.passed_next.0)
    }

    /// The batch's sends are made and those that fell short were reported with `fell_behind`. Gives, when the region's
    /// last send is done, how long after its oldest message was published that is.
    pub(super) fn batch_done(
        &mut self,
        now: Now,
        memberships: &mut Memberships,
        pool: &mut ChunkPool,
        runnable: &mut Vec<Slot>,
    ) -> Option<Duration> {
        let region = self.region.expect("a batch is of a region");
        self.delivered += self.served_messages(region);
        if region.next < region.end {
            self.region = Some(Region { served: 0, ..region });
            return None;
        }
        self.unpassed -= self.log.region(self.passed, region.to).0.len();
        self.passed = region.to;
        self.passed_next = region.to_next;
        self.region = None;
        self.compact(memberships);
        self.settle_laggers(memberships, runnable);
        self.free_passed(pool);
        Some(now.since(region.oldest))
    }

    /// The socket took only `taken` bytes of the region.
    pub(super) fn fell_behind(&mut self, member: MemberId, taken: usize, memberships: &mut Memberships) {
        self.region.as_mut().expect("a batch is of a region").served -= 1;
        let at = self.log.advance(self.passed, taken);
        let cursor = Cursor { at, uncounted: self.passed_next, is_waiting: false };
        self.start_lagging(member, cursor, memberships);
    }

    /// Takes the subscriber out of the pass where it stands, because its socket takes nothing just now.
    pub(super) fn hold(&mut self, member: MemberId, memberships: &mut Memberships) {
        let index = memberships[member].index;
        if let Some(lagger) = memberships[member].lagger() {
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
        self.start_lagging(member, Cursor { at, uncounted, is_waiting: false }, memberships);
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
        member: MemberId,
        taken: usize,
        memberships: &mut Memberships,
        pool: &mut ChunkPool,
    ) -> Progress {
        let lagger = memberships[member].lagger().expect("only a lagger takes a backlog");
        let Some(cursor) = self.cursor(lagger) else { return Progress::Waiting };
        self.log.remove_cursor(cursor.at);
        let at = self.log.advance(cursor.at, taken);
        let at = self.log.add_cursor(at);
        let is_waiting = at >= self.log.normal(self.limit().0);
        self.laggers[lagger as usize].state = LagState::Behind(Cursor { at, is_waiting, ..cursor });
        let progress = if !is_waiting {
            Progress::More
        } else if self.is_level(at) {
            self.catch_up(member, memberships);
            Progress::CaughtUp
        } else {
            Progress::Waiting
        };
        self.free_passed(pool);
        progress
    }

    /// A skipping subscriber's socket takes bytes again: it goes on from where the pass is. Gives what it missed, if
    /// anything.
    pub(super) fn resume(&mut self, member: MemberId, memberships: &mut Memberships) -> Option<Missed> {
        let lagger = memberships[member].lagger()? as usize;
        let LagState::Skipping { first_missed } = self.laggers[lagger].state else { return None };
        let (limit, next) = self.limit();
        let at = self.log.add_cursor(limit);
        self.laggers[lagger].state = LagState::Behind(Cursor { at, uncounted: next, is_waiting: true });
        if self.is_level(at) {
            self.catch_up(member, memberships);
        }
        let missed = Missed { topic: self.topic, from: first_missed, to: Offset(next.0 - 1) };
        (missed.from <= missed.to).then_some(missed)
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

    fn start_lagging(&mut self, member: MemberId, cursor: Cursor, memberships: &mut Memberships) {
        let membership = &mut memberships[member];
        assert_eq!(membership.lagger(), None, "a subscriber has one cursor");
        let at = self.log.add_cursor(cursor.at);
        membership.lagger = self.laggers.len() as u32;
        self.members[membership.index as usize].set_lagging(true);
        self.laggers.push(Lagger { member, state: LagState::Behind(Cursor { at, ..cursor }) });
    }

    /// A lagger that is level with the pass goes back into it.
    fn catch_up(&mut self, member: MemberId, memberships: &mut Memberships) {
        if let Some(cursor) = memberships[member].lagger().and_then(|lagger| self.cursor(lagger)) {
            self.delivered += self.limit().1.0 - cursor.uncounted.0;
        }
        self.stop_lagging(member, memberships);
    }

    fn stop_lagging(&mut self, member: MemberId, memberships: &mut Memberships) {
        let membership = &mut memberships[member];
        let Some(lagger) = membership.lagger() else { return };
        let lagger = lagger as usize;
        membership.lagger = Membership::NONE;
        self.members[membership.index as usize].set_lagging(false);
        if let LagState::Behind(cursor) = self.laggers.swap_remove(lagger).state {
            self.log.remove_cursor(cursor.at);
        }
        if let Some(moved) = self.laggers.get(lagger) {
            memberships[moved.member].lagger = lagger as u32;
        }
        if self.laggers.is_empty() {
            self.laggers = Vec::new();
        }
    }

    /// Between two regions: laggers that stand where the pass stands are caught up, and those that waited for it to
    /// go on can go on themselves.
    fn settle_laggers(&mut self, memberships: &mut Memberships, runnable: &mut Vec<Slot>) {
        let mut index = 0;
        while index < self.laggers.len() {
            let member = self.laggers[index].member;
            match self.cursor(index as u32) {
                Some(cursor) if cursor.is_waiting && self.is_level(cursor.at) => {
                    self.catch_up(member, memberships);
                    continue;
                }
                Some(cursor)
                    if cursor.is_waiting && self.log.normal(cursor.at) < self.log.normal(self.passed) =>
                {
                    self.laggers[index].state = LagState::Behind(Cursor { is_waiting: false, ..cursor });
                    runnable.push(memberships.slot(member));
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
    fn compact(&mut self, memberships: &mut Memberships) {
        if self.tombstones == 0 {
            return;
        }
        let mut kept = 0;
        for index in 0..self.members.len() {
            let member = self.members[index];
            if !member.is_gone() {
                self.members[kept] = member;
                memberships[member.id()].index = kept as u32;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Encoding, FeedId, Form};

    #[test]
    fn entries_of_members_that_left_during_a_pass_go_with_it() {
        let limits = HubLimits::for_tests();
        let mut pool = ChunkPool::new(&limits);
        let mut feed = Feed::new(TopicId(0), Variant::plain(Encoding::Raw), Offset(0));
        let mut memberships = Memberships::new(3);
        let members = [0, 1, 2].map(|slot| memberships.add(Slot(slot), FeedId(0), Encoding::Raw));
        for member in members {
            feed.join(member, &mut memberships);
        }
        let frame = Frame::raw(Form::Text, b"x");
        let chunk = feed.take_chunk(frame.len(), Offset(1), Now(0), &limits, &mut pool).unwrap();
        feed.append(&frame, Some(chunk), Offset(1), Now(0), &mut pool);
        feed.batch(1, Now(0), |_| {});
        feed.leave(members[0], &mut memberships, &mut pool);
        memberships.remove(members[0]);
        assert_eq!((feed.members.len(), feed.subscribers()), (3, 2));
        feed.batch_done(Now(0), &mut memberships, &mut pool, &mut Vec::new());
        feed.batch(2, Now(0), |_| {});
        feed.batch_done(Now(0), &mut memberships, &mut pool, &mut Vec::new());
        assert_eq!((feed.members.len(), feed.subscribers()), (2, 2));
        assert_eq!(members[1..].iter().map(|&member| memberships[member].index).collect::<Vec<_>>(), [0, 1]);
    }
}
