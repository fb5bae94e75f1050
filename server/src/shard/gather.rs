//! Delivering to the JSON dialect: what a connection gets from several topics goes out in one send.

use super::{Context, Shard, file};
use crate::hub::{Backlog, Part, Plan};
use crate::ids::{FeedId, MemberId, Slot};
use crate::net::connection::{Operation, Phase};
use corecast_uring::{Errno, GATHER_PARTS_MAX, Gather, Ring, SEND_BYTES_MAX, Send};
use std::ops::Range;

/// Sends of one topic's pass in one turn, and of all passes that go together.
const SENDS_PER_FEED: usize = 1024;
const SENDS_PER_PLAN: usize = 4096;

/// What a part of a gathered send came to.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Taken {
    Whole,
    Bytes(usize),
}

/// The parts that go to one connection.
#[derive(Clone, Debug)]
pub(super) struct Group {
    all: Range<usize>,
    /// How many of them go out now, in one send.
    sent: usize,
}

impl Shard {
    /// One batch of each JSON feed with news.
    pub(super) fn pass_json<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let mut left = self.hub.ready_json();
        let mut plan = std::mem::take(&mut self.scratch.plan);
        while left > 0 {
            self.hub.next_json_batches(SENDS_PER_FEED, SENDS_PER_PLAN, cx.now, &mut plan);
            left = left.saturating_sub(plan.feeds.len().max(1));
            self.send_plan(cx, &mut plan);
            let now = (cx.clock)();
            for &feed in &plan.feeds {
                if let Some(latency) = self.hub.batch_done(feed, now) {
                    self.metrics.fanout_latency.record(latency);
                }
            }
            plan.clear();
        }
        self.scratch.plan = plan;
    }

    fn send_plan<R: Ring>(&mut self, cx: &mut Context<'_, R>, plan: &mut Plan) {
        let Plan { feeds, parts } = plan;
        parts.retain(|part| {
            let can_send = self.can_send(part.slot) && !self.hub.batch_bytes(part.feed).is_empty();
            if !can_send {
                self.hub.fell_behind(part.member, 0);
                self.mark_unless_waiting(part.slot);
            }
            can_send
        });
        if feeds.len() > 1 {
            // Stable: each connection's parts stay in the order of the feeds.
            parts.sort_by_key(|part| part.slot);
        }
        self.send_parts(cx, parts, Self::batch_of_part, Self::on_pass_part);
    }

    fn batch_of_part(&self, part: &Part) -> &[u8] {
        self.hub.batch_bytes(part.feed)
    }

    fn backlog_of_part(&self, part: &Part) -> &[u8] {
        self.backlog_of(part.member)
    }

    fn on_pass_part(&mut self, part: &Part, taken: Taken) {
        let bytes = match taken {
            Taken::Whole => self.hub.batch_bytes(part.feed).len(),
            Taken::Bytes(bytes) => {
                self.hub.fell_behind(part.member, bytes);
                bytes
            }
        };
        self.metrics.counters.delivered_bytes += bytes as u64;
    }

    /// What lagging subscribers have still to get, of all their topics.
    pub(super) fn send_json_backlogs<R: Ring>(&mut self, cx: &mut Context<'_, R>, slots: &[Slot]) {
        if slots.is_empty() {
            return;
        }
        let mut parts = Vec::new();
        let mut skipping = Vec::new();
        let mut lagging: Vec<MemberId> = Vec::new();
        for &slot in slots {
            if !self.can_send(slot) {
                // Something was said meanwhile: it goes first.
                self.mark_unless_waiting(slot);
                continue;
            }
            let inside = self.mid_frame(slot);
            lagging.clear();
            lagging.extend(inside);
            self.hub.lagging(slot, &mut lagging);
            for (index, &member) in lagging.iter().enumerate() {
                if index > 0 && Some(member) == inside {
                    continue;
                }
                match self.hub.backlog(member) {
                    // It goes on once the frame that is half out is finished.
                    Some(Backlog::Skipping) => skipping.push(slot),
                    Some(Backlog::Bytes([])) | None => {
                        // It has what the pass has.
                        self.hub.advance(member, 0);
                    }
                    // The feed is not asked for: a backlog belongs to its member.
                    Some(Backlog::Bytes(_)) => parts.push(Part { slot, member, feed: FeedId(u32::MAX) }),
                }
            }
        }
        self.send_parts(cx, &parts, Self::backlog_of_part, Self::on_backlog_part);
        for slot in skipping {
            self.mark_unless_waiting(slot);
        }
    }

    fn on_backlog_part(&mut self, part: &Part, taken: Taken) {
        let bytes = match taken {
            Taken::Whole => self.backlog_of(part.member).len(),
            Taken::Bytes(bytes) => bytes,
        };
        if bytes > 0 {
            self.backlog_of_taken(part.slot, part.member, bytes);
        }
    }

    /// Whether topics' messages may go to the connection now: its socket is not known to be full, and nothing of its own waits,
    /// which would have to go first.
    fn can_send(&self, slot: Slot) -> bool {
        let connection = &self.table[slot];
        connection.phase == Phase::Open
            && !connection.has_in_flight(Operation::PollWritable)
            && connection.outbound.as_ref().is_none_or(|outbound| outbound.is_sent())
    }

    fn mark_unless_waiting(&mut self, slot: Slot) {
        let connection = &self.table[slot];
        if connection.phase == Phase::Open && !connection.has_in_flight(Operation::PollWritable) {
            self.mark(slot);
        }
    }

    /// Sends parts, those of each connection in one send. They are sorted by connection. `done` is told of every part.
    fn send_parts<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        parts: &[Part],
        bytes: for<'a> fn(&'a Self, &Part) -> &'a [u8],
        done: fn(&mut Self, &Part, Taken),
    ) {
        if parts.is_empty() {
            return;
        }
        let mut groups = std::mem::take(&mut self.scratch.groups);
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        let slices: Vec<&[u8]> = parts.iter().map(|part| bytes(self, part)).collect();
        groups.extend(group_by_slot(parts).map(|all| {
            let sent = sendable(slices[all.clone()].iter().map(|slice| slice.len()));
            Group { all, sent }
        }));
        if groups.len() == parts.len() {
            let sends = parts.iter().zip(&slices).map(|(part, &bytes)| Send { file: file(part.slot), bytes });
            cx.ring.send_batch(sends, &mut outcomes);
        } else {
            let sends = groups.iter().map(|Group { all, sent }| Gather {
                file: file(parts[all.start].slot),
                parts: &slices[all.start..all.start + sent],
            });
            cx.ring.send_gathered(sends, &mut outcomes);
        }
        drop(slices);
        self.metrics.counters.sends += groups.len() as u64;
        outcomes.sort_unstable_by_key(|outcome| outcome.index);
        let mut unfinished = outcomes.drain(..).peekable();
        for (index, group) in groups.iter().enumerate() {
            let slot = parts[group.all.start].slot;
            let (sent, rest) = parts[group.all.clone()].split_at(group.sent);
            for part in rest {
                done(self, part, Taken::Bytes(0));
            }
            match unfinished.next_if(|outcome| outcome.index as usize == index).map(|outcome| outcome.result)
            {
                None => {
                    for part in sent {
                        done(self, part, Taken::Whole);
                    }
                    if !rest.is_empty() {
                        self.mark(slot);
                    }
                }
                Some(Ok(taken)) => {
                    let mut left = taken as usize;
                    for part in sent {
                        let len = bytes(self, part).len();
                        let taken = if left >= len { Taken::Whole } else { Taken::Bytes(left) };
                        left = left.saturating_sub(len);
                        done(self, part, taken);
                    }
                    self.await_writable(cx, slot);
                }
                Some(Err(errno)) => {
                    for part in sent {
                        done(self, part, Taken::Bytes(0));
                    }
                    if errno == Errno::EAGAIN {
                        self.await_writable(cx, slot)
                    } else {
                        self.on_broken(cx, slot, errno)
                    }
                }
            }
        }
        drop(unfinished);
        groups.clear();
        self.scratch.groups = groups;
        self.scratch.outcomes = outcomes;
    }
}

/// The ranges of parts that go to one connection.
fn group_by_slot(parts: &[Part]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    parts.chunk_by(|a, b| a.slot == b.slot).map(move |chunk| {
        let group = start..start + chunk.len();
        start = group.end;
        group
    })
}

/// How many of a connection's parts, given their lengths, the kernel takes in one send.
fn sendable(lens: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |len: &usize| {
        bytes += len;
        bytes <= SEND_BYTES_MAX
    };
    lens.take(GATHER_PARTS_MAX).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_has_no_more_parts_and_bytes_than_the_kernel_takes() {
        let sent = |lens: &[usize]| sendable(lens.iter().copied());
        assert_eq!(sent(&[1]), 1);
        assert_eq!(sent(&[1; 64]), 64);
        assert_eq!(sent(&[1; 65]), 64);
        assert_eq!(sent(&[1 << 30, 1 << 29, 1 << 29, 1]), 2);
        assert_eq!(sent(&[1, SEND_BYTES_MAX, 1]), 1);
    }
}
