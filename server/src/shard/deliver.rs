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
//! Then the passes: for each topic with news, in turn, one batch to the members that do not lag. `Ring::send_batch` returns
//! only when every outcome is known, so no connection ever has two sends of unknown outcome.

use super::{Context, Shard, file};
use crate::hub::{Backlog, Progress};
use crate::ids::Slot;
use crate::net::connection::{Flag, Operation, Phase};
use corecast_uring::{Errno, Op, Ring, Send, SendOutcome};

/// Sends of one topic's pass in one turn. More would let a large topic keep everybody else waiting.
const SENDS_PER_TOPIC_AND_TURN: usize = 1024;

/// Rounds of replies in one turn: a reply, then control frames behind it, then done.
const REPLY_ROUNDS: usize = 3;

/// What became of one send.
enum Sent {
    Whole,
    Short(usize),
    Broken(Errno),
}

impl Shard {
    pub(super) fn deliver<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        self.attend(cx);
        for _ in 0..self.hub.ready_topics() {
            self.pass(cx);
        }
    }

    /// One batch of the pass of the topic whose turn it is.
    fn pass<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let mut targets = std::mem::take(&mut self.scratch.targets);
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        if let Some(batch) = self.hub.next_batch(SENDS_PER_TOPIC_AND_TURN, cx.now, &mut targets) {
            let (topic, len) = (batch.topic, batch.bytes.len());
            let sends = targets.iter().map(|&slot| Send { file: file(slot), bytes: batch.bytes });
            cx.ring.send_batch(sends, &mut outcomes);
            self.metrics.counters.delivered_bytes += (len * (targets.len() - outcomes.len())) as u64;
            for outcome in outcomes.drain(..) {
                let slot = targets[outcome.index as usize];
                let taken = match outcome.result {
                    Ok(taken) => taken as usize,
                    Err(Errno::EAGAIN) => 0,
                    Err(errno) => {
                        self.hub.fell_behind(slot, 0);
                        self.on_broken(cx, slot, errno);
                        continue;
                    }
                };
                self.metrics.counters.delivered_bytes += taken as u64;
                self.hub.fell_behind(slot, taken);
                self.await_writable(cx, slot);
            }
            if let Some(latency) = self.hub.batch_done(topic, (cx.clock)()) {
                self.metrics.fanout_latency.record(latency);
            }
        }
        targets.clear();
        self.scratch.targets = targets;
        self.scratch.outcomes = outcomes;
    }

    /// Serves the connections that were marked, and the laggers that the passes left behind.
    fn attend<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let mut marked = std::mem::take(&mut self.attention);
        self.hub.take_runnable(&mut marked);
        if marked.is_empty() {
            self.attention = marked;
            return;
        }
        let mut frames = std::mem::take(&mut self.scratch.frames);
        let mut replies = std::mem::take(&mut self.scratch.replies);
        let mut backlogs = std::mem::take(&mut self.scratch.backlogs);
        for slot in marked.drain(..) {
            let connection = &mut self.table[slot];
            connection.clear(Flag::Attention);
            let is_gone = matches!(connection.phase, Phase::Dying | Phase::Vacant);
            // A runnable lagger may be marked too: whoever is already listed is not listed again.
            if is_gone
                || connection.has_in_flight(Operation::PollWritable)
                || !connection.set_newly(Flag::Listed)
            {
                continue;
            }
            if connection.outbound.is_none() {
                backlogs.push(slot);
            } else if self.hub.rest_of_frame(slot).is_empty() {
                replies.push(slot);
            } else {
                frames.push(slot);
            }
        }
        self.attention = marked;

        for &slot in frames.iter().chain(&replies).chain(&backlogs) {
            self.table[slot].clear(Flag::Listed);
        }
        self.finish_frames(cx, &frames, &mut replies);
        self.send_replies(cx, &mut replies, &mut backlogs);
        self.send_backlogs(cx, &mut backlogs);
        frames.clear();
        self.scratch.frames = frames;
        self.scratch.replies = replies;
        self.scratch.backlogs = backlogs;
    }

    fn finish_frames<R: Ring>(&mut self, cx: &mut Context<'_, R>, frames: &[Slot], replies: &mut Vec<Slot>) {
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        let sends = frames.iter().map(|&slot| Send { file: file(slot), bytes: self.hub.rest_of_frame(slot) });
        cx.ring.send_batch(sends, &mut outcomes);
        for_each_result(frames, &mut outcomes, |slot, sent| match sent {
            Sent::Whole => {
                let len = self.hub.rest_of_frame(slot).len();
                self.metrics.counters.delivered_bytes += len as u64;
                self.hub.advance(slot, len);
                replies.push(slot);
            }
            Sent::Short(taken) => {
                self.metrics.counters.delivered_bytes += taken as u64;
                self.hub.advance(slot, taken);
                self.await_writable(cx, slot);
            }
            Sent::Broken(errno) => self.on_broken(cx, slot, errno),
        });
        self.scratch.outcomes = outcomes;
    }

    /// Leaves `replies` empty; who has everything goes on to `backlogs`.
    fn send_replies<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        replies: &mut Vec<Slot>,
        backlogs: &mut Vec<Slot>,
    ) {
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        for _ in 0..REPLY_ROUNDS {
            let mut composed = std::mem::take(replies);
            composed.retain(|&slot| {
                let has_more = self.table[slot].outbound.as_mut().is_some_and(|outbound| outbound.compose());
                if !has_more {
                    backlogs.push(slot);
                }
                has_more
            });
            let sends = composed.iter().map(|&slot| {
                let outbound = self.table[slot].outbound.as_ref().expect("it was just composed");
                Send { file: file(slot), bytes: outbound.unsent() }
            });
            cx.ring.send_batch(sends, &mut outcomes);
            for_each_result(&composed, &mut outcomes, |slot, sent| match sent {
                Sent::Whole => {
                    self.reply_sent(slot, None);
                    replies.push(slot);
                }
                Sent::Short(taken) => {
                    self.reply_sent(slot, Some(taken));
                    self.await_writable(cx, slot);
                }
                Sent::Broken(errno) => self.on_broken(cx, slot, errno),
            });
            if replies.is_empty() {
                break;
            }
        }
        // Three rounds send a reply, what was composed behind it, and find nothing more.
        for slot in replies.drain(..) {
            self.mark(slot);
        }
        self.scratch.outcomes = outcomes;
    }

    /// A socket took a connection's reply: all of it, or `taken` bytes.
    fn reply_sent(&mut self, slot: Slot, taken: Option<usize>) {
        let Some(outbound) = &mut self.table[slot].outbound else { return };
        let tail_before = outbound.tail_bytes();
        outbound.advance(taken.unwrap_or_else(|| outbound.unsent().len()));
        self.tails_used -= tail_before - outbound.tail_bytes();
    }

    fn send_backlogs<R: Ring>(&mut self, cx: &mut Context<'_, R>, backlogs: &mut Vec<Slot>) {
        backlogs.retain(|&slot| self.has_backlog(cx, slot));
        let mut outcomes = std::mem::take(&mut self.scratch.outcomes);
        let sends = backlogs.iter().map(|&slot| Send { file: file(slot), bytes: self.backlog_bytes(slot) });
        cx.ring.send_batch(sends, &mut outcomes);
        for_each_result(backlogs, &mut outcomes, |slot, sent| match sent {
            Sent::Whole => {
                let len = self.backlog_bytes(slot).len();
                self.metrics.counters.delivered_bytes += len as u64;
                if self.hub.advance(slot, len) == Progress::More {
                    self.mark(slot);
                }
            }
            Sent::Short(taken) => {
                self.metrics.counters.delivered_bytes += taken as u64;
                self.hub.advance(slot, taken);
                self.await_writable(cx, slot);
            }
            Sent::Broken(errno) => self.on_broken(cx, slot, errno),
        });
        backlogs.clear();
        self.scratch.outcomes = outcomes;
    }

    /// Everything of its own is sent: does what was to follow, and says whether a lagging subscriber has bytes to get.
    fn has_backlog<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) -> bool {
        self.after_flush(cx, slot);
        let connection = &self.table[slot];
        if connection.phase == Phase::Dying {
            return false;
        }
        if connection.is(Flag::Paused) && !connection.is(Flag::Held) {
            // It was paused until its replies were out.
            self.resume(cx, slot);
        }
        if self.hub.backlog(slot) == Some(Backlog::Skipping) {
            self.hub.resume(slot);
        }
        match self.hub.backlog(slot) {
            Some(Backlog::Bytes([])) => {
                // It has what the pass has.
                self.hub.advance(slot, 0);
                false
            }
            Some(Backlog::Bytes(_)) => true,
            Some(Backlog::Skipping) | None => false,
        }
    }

    fn backlog_bytes(&self, slot: Slot) -> &[u8] {
        match self.hub.backlog(slot) {
            Some(Backlog::Bytes(bytes)) => bytes,
            Some(Backlog::Skipping) | None => &[],
        }
    }

    /// The socket is full: the connection is left alone until it takes bytes again.
    fn await_writable<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        let token = connection.begin(slot, Operation::PollWritable);
        cx.ring.push(token, Op::PollWritable { file: file(slot) });
        self.hub.hold(slot);
    }
}

/// Matches a batch's targets with what became of their sends.
fn for_each_result(targets: &[Slot], outcomes: &mut Vec<SendOutcome>, mut handle: impl FnMut(Slot, Sent)) {
    outcomes.sort_unstable_by_key(|outcome| outcome.index);
    let mut outcomes = outcomes.drain(..).peekable();
    for (index, &slot) in targets.iter().enumerate() {
        let sent = match outcomes.next_if(|outcome| outcome.index as usize == index) {
            None => Sent::Whole,
            Some(SendOutcome { result: Ok(taken), .. }) => Sent::Short(taken as usize),
            Some(SendOutcome { result: Err(Errno::EAGAIN), .. }) => Sent::Short(0),
            Some(SendOutcome { result: Err(errno), .. }) => Sent::Broken(errno),
        };
        handle(slot, sent);
    }
}
