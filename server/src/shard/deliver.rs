//! Delivering: the one place where a cursor meets a socket.
//!
//! First the connections that need attention, in three batches, so that a connection is in each of them at most once:
//!
//! ```text
//!   frames    the rest of a frame that is half out, where a reply or control frame waits behind it
//!   replies   answers and control frames, between two frames of the topic
//!   backlogs  what a lagging subscriber still has to get
//! ```
//!
//! Then the passes: for each topic with news one batch to the members that do not lag, those of several topics in one call. A
//! connection of the JSON dialect with news from several topics gets them in one send. The ring's sends return only when every
//! outcome is known, so no connection ever has two sends of unknown outcome.

use super::{Context, Shard, file};
use crate::hub::{Backlog, Progress};
use crate::ids::{MemberId, Slot};
use crate::net::connection::{Flag, Operation, Phase};
use corecast_uring::{Errno, Op, Ring, Send};

/// Sends of one topic's pass in one turn. More would let a large topic keep everybody else waiting.
const SENDS_PER_TOPIC_AND_TURN: usize = 1024;

/// With so many, no further topic's are added to a call.
const SENDS_PER_CALL: usize = 1024;

/// Rounds of replies in one turn: a reply, then control frames behind it, then done.
const REPLY_ROUNDS: usize = 3;

impl Shard {
    pub(super) fn deliver<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        self.attend(cx);
        self.pass_raw(cx);
        self.pass_json(cx);
    }

    /// One batch of each raw feed with news. They go out together: a call for each of many topics with few subscribers would
    /// cost as much as the sends.
    fn pass_raw<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let mut left = self.hub.ready_raw();
        if left == 0 {
            return;
        }
        let mut targets = std::mem::take(&mut self.scratch.targets);
        let mut batches = std::mem::take(&mut self.scratch.batches);
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        while left > 0 {
            while left > 0 && targets.len() < SENDS_PER_CALL {
                left -= 1;
                let first = targets.len();
                let Some(batch) = self.hub.next_batch(SENDS_PER_TOPIC_AND_TURN, cx.now, &mut targets) else {
                    break;
                };
                // As if all were sent whole: what was not is taken off below.
                let sends = targets.len() - first;
                self.metrics.counters.delivered_bytes += (batch.bytes.len() * sends) as u64;
                batches.push((batch.feed, targets.len()));
            }
            let mut start = 0;
            let sends = batches.iter().flat_map(|&(feed, end)| {
                let bytes = self.hub.batch_bytes(feed);
                let of_feed = &targets[std::mem::replace(&mut start, end)..end];
                of_feed.iter().map(move |&slot| Send { file: file(slot), bytes })
            });
            cx.ring.send_batch(sends, &mut outcomes);
            self.metrics.counters.sends += targets.len() as u64;
            for outcome in outcomes.drain(..) {
                let index = outcome.index as usize;
                let slot = targets[index];
                let feed = batches[batches.partition_point(|&(_, end)| end <= index)].0;
                let len = self.hub.batch_bytes(feed).len();
                let taken = match outcome.result {
                    Ok(taken) => taken as usize,
                    Err(_) => 0,
                };
                self.metrics.counters.delivered_bytes -= (len - taken) as u64;
                self.hub.fell_behind(slot.into(), taken);
                match outcome.result {
                    Ok(_) | Err(Errno::EAGAIN) => self.await_writable(cx, slot),
                    Err(errno) => self.on_broken(cx, slot, errno),
                }
            }
            let now = (cx.clock)();
            for (feed, _) in batches.drain(..) {
                if let Some(latency) = self.hub.batch_done(feed, now) {
                    self.metrics.fanout_latency.record(latency);
                }
            }
            targets.clear();
        }
        self.scratch.targets = targets;
        self.scratch.batches = batches;
        self.scratch.outcomes = outcomes;
    }

    /// Serves the connections that were marked, and the laggers that the passes left behind.
    fn attend<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let mut runnable = std::mem::take(&mut self.scratch.targets);
        self.hub.take_runnable(&mut runnable);
        for slot in runnable.drain(..) {
            self.mark(slot);
        }
        self.scratch.targets = runnable;
        if self.attention.is_empty() {
            return;
        }

        let mut frames = std::mem::take(&mut self.scratch.frames);
        let mut replies = std::mem::take(&mut self.scratch.replies);
        let mut backlogs = std::mem::take(&mut self.scratch.backlogs);
        let mut json_backlogs = std::mem::take(&mut self.scratch.json_backlogs);
        let mut marked = std::mem::take(&mut self.attention);
        for slot in marked.drain(..) {
            let connection = &mut self.table[slot];
            connection.clear(Flag::Attention);
            let is_gone = matches!(connection.phase, Phase::Dying | Phase::Vacant);
            if is_gone || connection.has_in_flight(Operation::PollWritable) {
                continue;
            }
            let is_mid_frame = self.mid_frame(slot).is_some();
            if !is_mid_frame {
                self.resume_lapped(cx, slot);
            }
            match self.table[slot].outbound {
                None => backlogs.push(slot),
                Some(_) if is_mid_frame => frames.push(slot),
                Some(_) => replies.push(slot),
            }
        }
        // What is said in the loop marks those that are in it.
        for slot in self.attention.drain(..) {
            self.table[slot].clear(Flag::Attention);
        }
        self.attention = marked;

        self.send_each(cx, &frames, Self::frame_bytes, Self::frame_taken, &mut replies);
        self.send_replies(cx, &mut replies, &mut backlogs);
        backlogs.retain(|&slot| self.finish_replies(cx, slot));
        let mut paused = std::mem::take(&mut self.scratch.paused);
        paused.extend(backlogs.iter().filter(|&&slot| self.is_paused_for_replies(slot)));
        json_backlogs.extend(backlogs.extract_if(.., |slot| self.table[*slot].is(Flag::Json)));
        backlogs.retain(|&slot| self.has_backlog(slot));
        self.send_each(cx, &backlogs, Self::backlog_bytes, Self::backlog_taken, &mut replies);
        self.send_json_backlogs(cx, &json_backlogs);

        // Only now, for what they have sent meanwhile may be published, and lap somebody.
        for slot in paused.drain(..) {
            if self.is_paused_for_replies(slot) {
                self.resume(cx, slot);
            }
        }
        frames.clear();
        replies.clear();
        backlogs.clear();
        json_backlogs.clear();
        self.scratch.json_backlogs = json_backlogs;
        self.scratch.frames = frames;
        self.scratch.replies = replies;
        self.scratch.backlogs = backlogs;
        self.scratch.paused = paused;
    }

    /// Sends replies, then the control frames behind them. `replies` is empty afterwards; who has sent everything is in
    /// `done`.
    fn send_replies<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        replies: &mut Vec<Slot>,
        done: &mut Vec<Slot>,
    ) {
        let mut composed = std::mem::take(&mut self.scratch.composed);
        for _ in 0..REPLY_ROUNDS {
            for slot in replies.drain(..) {
                let has_more = self.table[slot].outbound.as_mut().is_some_and(|outbound| outbound.compose());
                if has_more { composed.push(slot) } else { done.push(slot) }
            }
            self.send_each(cx, &composed, Self::reply_bytes, Self::reply_taken, replies);
            composed.clear();
        }
        self.scratch.composed = composed;
        // What was composed behind the last round goes out in the next turn.
        for slot in replies.drain(..) {
            self.mark(slot);
        }
    }

    /// Everything of its own is sent: does what was to follow; whether the connection lives on.
    fn finish_replies<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) -> bool {
        self.after_flush(cx, slot);
        self.table[slot].phase != Phase::Dying
    }

    fn is_paused_for_replies(&self, slot: Slot) -> bool {
        let connection = &self.table[slot];
        connection.is(Flag::Paused) && !connection.is(Flag::Held) && !connection.is(Flag::Awaiting)
    }

    /// The subscription whose frame the connection's stream is inside.
    pub(super) fn mid_frame(&self, slot: Slot) -> Option<MemberId> {
        if !self.hub.is_lagging(slot) {
            return None;
        }
        let is_inside = |member: &MemberId| !self.hub.rest_of_frame(*member).is_empty();
        if !self.table[slot].is(Flag::Json) {
            return Some(slot.into()).filter(is_inside);
        }
        let mut lagging = Vec::new();
        self.hub.lagging(slot, &mut lagging);
        lagging.into_iter().find(is_inside)
    }

    /// The socket takes bytes again: who was lapped goes on with the newest messages.
    fn resume_lapped<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        if !self.hub.is_lagging(slot) {
            return;
        }
        if !self.table[slot].is(Flag::Json) {
            self.hub.resume(slot.into());
            return;
        }
        let mut lagging = Vec::new();
        self.hub.lagging(slot, &mut lagging);
        for member in lagging {
            if let Some(missed) = self.hub.resume(member) {
                self.tell_missed(cx, slot, missed);
            }
        }
    }

    /// Whether a lagging subscriber has bytes to get.
    fn has_backlog(&mut self, slot: Slot) -> bool {
        let has_bytes = !self.backlog_bytes(slot).is_empty();
        if !has_bytes && self.hub.is_lagging(slot) {
            // It has what the pass has.
            self.hub.advance(slot.into(), 0);
        }
        has_bytes
    }

    fn frame_bytes(&self, slot: Slot) -> &[u8] {
        self.mid_frame(slot).map_or(&[], |member| self.hub.rest_of_frame(member))
    }

    fn frame_taken(&mut self, slot: Slot, taken: usize) {
        if let Some(member) = self.mid_frame(slot) {
            self.backlog_of_taken(slot, member, taken);
        }
        self.note_alive(slot, taken);
    }

    fn backlog_bytes(&self, slot: Slot) -> &[u8] {
        self.backlog_of(slot.into())
    }

    pub(super) fn backlog_of(&self, member: MemberId) -> &[u8] {
        match self.hub.backlog(member) {
            Some(Backlog::Bytes(bytes)) => bytes,
            Some(Backlog::Skipping) | None => &[],
        }
    }

    fn backlog_taken(&mut self, slot: Slot, taken: usize) {
        self.backlog_of_taken(slot, slot.into(), taken);
    }

    pub(super) fn backlog_of_taken(&mut self, slot: Slot, member: MemberId, taken: usize) {
        self.metrics.counters.delivered_bytes += taken as u64;
        if self.hub.advance(member, taken) == Progress::More {
            self.mark(slot);
        }
    }

    fn reply_bytes(&self, slot: Slot) -> &[u8] {
        self.table[slot].outbound.as_ref().map_or(&[], |outbound| outbound.unsent())
    }

    fn reply_taken(&mut self, slot: Slot, taken: usize) {
        let connection = &mut self.table[slot];
        let Some(outbound) = &mut connection.outbound else { return };
        let tail_before = outbound.tail_bytes();
        outbound.advance(taken);
        self.tails_used -= tail_before - outbound.tail_bytes();
        if connection.is(Flag::Echo) {
            self.recount_inbound(slot);
        }
        self.note_alive(slot, taken);
    }

    /// A peer that takes what waits for it is alive.
    fn note_alive(&mut self, slot: Slot, taken: usize) {
        let connection = &mut self.table[slot];
        match connection.phase {
            Phase::Http if taken > 0 => connection.deadline = self.clock.deadline(self.settings.http_idle),
            // Its pong would not be read.
            Phase::Open if taken > 0 && connection.is(Flag::Paused) => {
                connection.clear(Flag::Pinged);
                connection.deadline = self.clock.deadline(self.settings.ping);
            }
            // With a Close among it, `close_timeout` is all there is.
            Phase::Lingering if taken > 0 && !connection.protocol.close_sent() => {
                connection.deadline = self.clock.deadline(self.settings.close);
            }
            _ => {}
        }
    }

    /// Sends each target its bytes, and reports what was taken. Who got all of it is added to `whole`; who did not is
    /// left alone until its socket takes bytes again.
    fn send_each<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        targets: &[Slot],
        bytes: fn(&Self, Slot) -> &[u8],
        taken: fn(&mut Self, Slot, usize),
        whole: &mut Vec<Slot>,
    ) {
        if targets.is_empty() {
            return;
        }
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        cx.ring.send_batch(
            targets.iter().map(|&slot| Send { file: file(slot), bytes: bytes(self, slot) }),
            &mut outcomes,
        );
        self.metrics.counters.sends += targets.len() as u64;
        outcomes.sort_unstable_by_key(|outcome| outcome.index);
        let mut unfinished = outcomes.drain(..).peekable();
        for (index, &slot) in targets.iter().enumerate() {
            match unfinished.next_if(|outcome| outcome.index as usize == index).map(|outcome| outcome.result)
            {
                None => {
                    let all = bytes(self, slot).len();
                    taken(self, slot, all);
                    whole.push(slot);
                }
                Some(Ok(part)) => {
                    taken(self, slot, part as usize);
                    self.await_writable(cx, slot);
                }
                Some(Err(Errno::EAGAIN)) => self.await_writable(cx, slot),
                Some(Err(errno)) => self.on_broken(cx, slot, errno),
            }
        }
        drop(unfinished);
        self.scratch.outcomes = outcomes;
    }

    /// The socket is full: the connection is left alone until it takes bytes again.
    pub(super) fn await_writable<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        let token = connection.begin(slot, Operation::PollWritable);
        cx.ring.push(token, Op::PollWritable { file: file(slot) });
        // The passes of the JSON dialect ask the connection itself: it may have many subscriptions.
        if !self.table[slot].is(Flag::Json) {
            self.hub.hold(slot.into());
        }
    }
}
