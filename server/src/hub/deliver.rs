//! Delivering: batches for those who are caught up, backlogs for those who lag.

use super::feed::Feed;
use super::{Backlog, Batch, Hub, Missed, Part, Plan, Progress};
use crate::ids::{Encoding, FeedId, MemberId, Now, Slot};
use std::time::Duration;

impl Hub {
    /// How many raw feeds have something to pass.
    pub fn ready_raw(&self) -> usize {
        self.feeds.ready(Encoding::Raw)
    }

    /// The next batch of the raw feed whose turn it is, for at most `max` members, whose slots are added to `targets`.
    /// `batch_done` must follow, with `fell_behind` between for each whose socket took less.
    pub fn next_batch(&mut self, max: usize, now: Now, targets: &mut Vec<Slot>) -> Option<Batch<'_>> {
        let id = self.feeds.begin_batch(Encoding::Raw)?;
        // A raw member has the number of its slot.
        self.feeds[id].batch(max, now, |member| targets.push(Slot(member.0)));
        Some(Batch { feed: id, bytes: self.feeds[id].batch_bytes() })
    }

    /// How many JSON feeds have something to pass.
    pub fn ready_json(&self) -> usize {
        self.feeds.ready(Encoding::Json)
    }

    /// One batch each of the JSON feeds whose turn it is, for at most `max_per_feed` members of each and `max` together, so
    /// that a connection with news from several topics gets them in one send. They are added to `plan`; `batch_done` must
    /// follow for each feed, with `fell_behind` between for each part that was not taken whole.
    pub fn next_json_batches(&mut self, max_per_feed: usize, max: usize, now: Now, plan: &mut Plan) {
        let end = plan.parts.len() + max;
        for _ in 0..self.ready_json() {
            if plan.parts.len() >= end {
                break;
            }
            let Some(feed) = self.feeds.begin_batch(Encoding::Json) else { break };
            plan.feeds.push(feed);
            let max = max_per_feed.min(end - plan.parts.len());
            let memberships = &self.memberships;
            self.feeds[feed].batch(max, now, |member| {
                plan.parts.push(Part { slot: memberships.slot(member), member, feed });
            });
        }
    }

    /// The bytes of the feed's batch that is under way: whole frames.
    pub fn batch_bytes(&self, feed: FeedId) -> &[u8] {
        self.feeds.get(feed).map_or(&[], Feed::batch_bytes)
    }

    /// Gives, when the batch was the last of its region, the time since the region's oldest message was published.
    pub fn batch_done(&mut self, feed: FeedId, now: Now) -> Option<Duration> {
        let state = self.feeds.end_batch(feed)?;
        let latency = state.batch_done(now, &mut self.memberships, &mut self.pool, &mut self.runnable);
        self.stats.delivered += state.take_delivered();
        self.feeds.note_laggers(feed);
        self.feeds.queue(feed);
        latency
    }

    /// During a batch: the socket took only `taken` of its bytes.
    pub fn fell_behind(&mut self, member: MemberId, taken: usize) {
        let id = self.feed_of(member);
        self.feeds[id].fell_behind(member, taken, &mut self.memberships);
        self.feeds.note_laggers(id);
    }

    /// Between batches: the subscriber's socket takes nothing just now, for reasons of the caller's. Nothing happens when
    /// there is no such subscription.
    pub fn hold(&mut self, member: MemberId) {
        let Some(membership) = self.memberships.get(member) else { return };
        let id = membership.feed();
        self.feeds[id].hold(member, &mut self.memberships);
        self.feeds.note_laggers(id);
    }

    /// Whether `take_runnable` has somebody to give: the shard must not wait for its ring before it has been called.
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Connections with subscriptions that waited for the pass and can go on now; once for each of those.
    pub fn take_runnable(&mut self, runnable: &mut Vec<Slot>) {
        runnable.append(&mut self.runnable);
    }

    /// Whether any of the connection's subscriptions lags.
    pub fn is_lagging(&self, slot: Slot) -> bool {
        self.members(slot).any(|member| self.memberships[member].lagger().is_some())
    }

    /// Adds the connection's subscriptions that lag to `lagging`.
    pub fn lagging(&self, slot: Slot, lagging: &mut Vec<MemberId>) {
        lagging.extend(self.members(slot).filter(|&member| self.memberships[member].lagger().is_some()));
    }

    /// The rest of the frame that the subscriber's stream is inside; empty between frames.
    pub fn rest_of_frame(&self, member: MemberId) -> &[u8] {
        self.lagger(member).map_or(&[], |(feed, lagger)| feed.rest_of_frame(lagger))
    }

    /// What a lagging subscriber is to be sent next; `None` for one that does not lag.
    pub fn backlog(&self, member: MemberId) -> Option<Backlog<'_>> {
        let (feed, lagger) = self.lagger(member)?;
        Some(feed.backlog(lagger))
    }

    /// A lagging subscriber's socket took `taken` bytes of what `backlog` or `rest_of_frame` gave.
    pub fn advance(&mut self, member: MemberId, taken: usize) -> Progress {
        let id = self.feed_of(member);
        let feed = &mut self.feeds[id];
        let progress = feed.advance(member, taken, &mut self.memberships, &mut self.pool);
        self.stats.delivered += feed.take_delivered();
        self.feeds.note_laggers(id);
        progress
    }

    /// A lapped subscriber's socket takes bytes again: it goes on from where the pass is. Gives what it missed; `None` when
    /// that is nothing, or it was not skipping. Until it has been told, `hold` keeps the pass from sending to it.
    pub fn resume(&mut self, member: MemberId) -> Option<Missed> {
        let id = self.feed_of(member);
        let missed = self.feeds[id].resume(member, &mut self.memberships);
        self.feeds.note_laggers(id);
        let missed = missed?;
        self.stats.messages_skipped += missed.to.0 - missed.from.0 + 1;
        Some(missed)
    }

    fn lagger(&self, member: MemberId) -> Option<(&Feed, u32)> {
        let membership = self.memberships.get(member)?;
        Some((&self.feeds[membership.feed()], membership.lagger()?))
    }
}
