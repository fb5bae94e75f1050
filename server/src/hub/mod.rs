//! The hub: topics, who is subscribed to them in which encoding, and what they still have to get. No I/O, no clock, no
//! randomness. Offsets, epochs and names belong to the caller, the topic's home.
//!
//! A topic has a *feed* for each encoding that somebody follows it in. A message is encoded once for each feed and appended
//! to the feed's log. The shard then asks for *batches*: a piece of a log and the members it goes to. Members that are not
//! lagging have no state at all beyond their entry in the list; one whose socket took less than the piece becomes a lagger
//! with a cursor. There are no queues per subscriber.
//!
//! ```text
//!   append ──► feed: log ─► region ─► batch: bytes + members ──► shard sends ──► fell_behind(member, taken)
//!                                                                      │
//!                                        take_runnable / backlog ◄─────┘  socket writable again: advance(member, taken)
//! ```

use crate::config::LagPolicy;
use crate::ids::{Encoding, FeedId, Form, MemberId, Now, Offset, Slot, TopicId};
use std::rc::Rc;
use std::time::Duration;

/// User memory of one topic without messages, for `corecast budget`: its state, a name of typical length, and both feeds.
/// The index by name is the caller's.
pub const TOPIC_BYTES: usize = 512;

/// User memory of one raw subscription: the member entry and where it stands.
pub const MEMBERSHIP_BYTES: usize = 16;

/// User memory of one subscription of a JSON connection, besides the `MEMBERSHIP_BYTES` that every connection has.
pub const JSON_MEMBERSHIP_BYTES: usize = 24;

/// Bounds of a hub. Sizes in bytes.
#[derive(Copy, Clone, Debug)]
pub struct HubLimits {
    /// Slots are below this.
    pub max_subscribers: usize,
    /// All logs of the shard together.
    pub log_bytes: usize,
    /// One feed's log. Half of it may be undelivered before its publishers wait; the rest is what a slow subscriber may
    /// lag behind before it is lapped.
    pub topic_log_bytes: usize,
    pub lag_policy: LagPolicy,
}

/// The publisher has to wait: half of a feed's log is undelivered, or the shard's pool is used up. Nothing was taken.
#[derive(Debug, Eq, PartialEq)]
pub struct HeldBack;

/// A piece of a raw feed's log for a number of members.
#[derive(Debug)]
pub struct Batch<'a> {
    pub feed: FeedId,
    /// Whole frames.
    pub bytes: &'a [u8],
}

/// One batch each of several JSON feeds. The bytes of each are `Hub::batch_bytes`.
#[derive(Clone, Default, Debug)]
pub struct Plan {
    /// Each needs its `batch_done`.
    pub feeds: Vec<FeedId>,
    /// Who gets them, feed by feed. A connection is in it once for each of its feeds.
    pub parts: Vec<Part>,
}

/// A batch's way to one subscription.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Part {
    pub slot: Slot,
    pub member: MemberId,
    pub feed: FeedId,
}

impl Plan {
    pub fn clear(&mut self) {
        self.feeds.clear();
        self.parts.clear();
    }
}

/// A subscriber that was just lapped.
#[derive(Debug)]
pub struct Lapped {
    pub slot: Slot,
    pub topic: TopicId,
    pub encoding: Encoding,
    /// It is no longer subscribed. Otherwise it skips: `resume` once its socket takes bytes.
    pub is_out: bool,
    /// The rest of the frame it was inside: must go out before anything else, or its stream is torn. Empty between
    /// frames; `None` when there was no room for it, and only a reset is left.
    pub tail: Option<Vec<u8>>,
}

/// Messages that a subscriber does not get, both ends inclusive.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Missed {
    pub topic: TopicId,
    pub from: Offset,
    pub to: Offset,
}

/// What a lagging subscriber is to be sent.
#[derive(Debug, Eq, PartialEq)]
pub enum Backlog<'a> {
    /// These bytes next; none when it has to wait for the pass.
    Bytes(&'a [u8]),
    /// It was lapped: `resume` once its socket takes bytes.
    Skipping,
}

/// Where a lagging subscriber stands after it took some bytes.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Progress {
    /// There is more for it.
    More,
    /// It has what the pass has; it is called runnable when there is more.
    Waiting,
    /// It is not lagging any more.
    CaughtUp,
}

/// Events of the hub that are counted.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub struct HubStats {
    /// Messages times subscribers whose socket took all of it.
    pub delivered: u64,
    pub lapped: u64,
    pub messages_skipped: u64,
    pub pool_exhausted: u64,
}

#[derive(Debug)]
pub struct Hub {
    limits: HubLimits,
}

impl Hub {
    pub fn new(limits: HubLimits) -> Self {
        Self { limits }
    }

    pub fn topics(&self) -> usize {
        todo!("{:?}", self.limits)
    }

    /// Pool memory in use by all logs, in bytes.
    pub fn log_bytes_used(&self) -> usize {
        todo!()
    }

    pub fn stats(&self) -> HubStats {
        todo!()
    }

    pub fn subscriptions(&self) -> usize {
        todo!()
    }

    /// Subscriptions that have a cursor of their own just now.
    pub fn laggers(&self) -> usize {
        todo!()
    }

    // Topics ----------------------------------------------------------------------------------------------------

    /// A new topic, whose last message has the offset `last`. Its name is taken as it is: the caller keeps the index.
    pub fn open(&mut self, name: Rc<str>, last: Offset) -> TopicId {
        let _ = (name, last);
        todo!()
    }

    /// Forgets a topic that nobody is subscribed to. Its id is used again.
    pub fn close(&mut self, topic: TopicId) {
        let _ = topic;
        todo!()
    }

    pub fn name(&self, topic: TopicId) -> &Rc<str> {
        let _ = topic;
        todo!()
    }

    /// The offset of the newest message.
    pub fn last(&self, topic: TopicId) -> Offset {
        let _ = topic;
        todo!()
    }

    /// The topic went on elsewhere while nobody here was subscribed to it.
    pub fn set_last(&mut self, topic: TopicId, last: Offset) {
        let _ = (topic, last);
        todo!()
    }

    /// In all encodings.
    pub fn subscribers(&self, topic: TopicId) -> usize {
        let _ = topic;
        todo!()
    }

    // Subscriptions ---------------------------------------------------------------------------------------------

    /// Subscribes a connection. The first message it gets is the one after `last`. A raw connection has no other
    /// subscription, a JSON connection no other to this topic.
    pub fn subscribe(&mut self, slot: Slot, topic: TopicId, encoding: Encoding) -> MemberId {
        let _ = (slot, topic, encoding);
        todo!()
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, member: MemberId) {
        let _ = member;
        todo!()
    }

    /// Ends all subscriptions of a connection, if it has any.
    pub fn unsubscribe_all(&mut self, slot: Slot) {
        let _ = slot;
        todo!()
    }

    /// A connection's subscription to a topic.
    pub fn find(&self, slot: Slot, topic: TopicId) -> Option<MemberId> {
        let _ = (slot, topic);
        todo!()
    }

    /// All subscriptions of a connection.
    pub fn members(&self, slot: Slot) -> impl Iterator<Item = MemberId> {
        let _ = slot;
        std::iter::empty()
    }

    /// How many subscriptions a connection has.
    pub fn subscriptions_of(&self, slot: Slot) -> usize {
        let _ = slot;
        todo!()
    }

    pub fn topic_of(&self, member: MemberId) -> TopicId {
        let _ = member;
        todo!()
    }

    pub fn slot_of(&self, member: MemberId) -> Slot {
        let _ = member;
        todo!()
    }

    // Publishing ------------------------------------------------------------------------------------------------

    /// Whether the publisher of such a message has to wait, as far as that can be said without encoding it: `append` may
    /// still hold it back.
    pub fn is_full(&self, topic: TopicId, payload_len: usize) -> bool {
        let _ = (topic, payload_len);
        todo!()
    }

    /// Appends a message to every feed of the topic, or to none. `offset` is the one after `last`. Subscribers who stood in
    /// the way of it have been lapped, even when it is held back: see `take_lapped`. What is copied for them to finish their
    /// frames with is at most `tail_room` bytes altogether.
    pub fn append(
        &mut self,
        topic: TopicId,
        offset: Offset,
        form: Form,
        payload: &[u8],
        published: Now,
        tail_room: usize,
    ) -> Result<(), HeldBack> {
        let _ = (topic, offset, form, payload, published, tail_room);
        todo!()
    }

    /// Subscribers lapped since the last call.
    pub fn take_lapped(&mut self) -> Vec<Lapped> {
        todo!()
    }

    // Delivering ------------------------------------------------------------------------------------------------

    /// How many raw feeds have something to pass.
    pub fn ready_raw(&self) -> usize {
        todo!()
    }

    /// The next batch of the raw feed whose turn it is, for at most `max` members, whose slots are added to `targets`.
    /// `batch_done` must follow, with `fell_behind` between for each whose socket took less.
    pub fn next_batch(&mut self, max: usize, now: Now, targets: &mut Vec<Slot>) -> Option<Batch<'_>> {
        let _ = (max, now, targets);
        todo!()
    }

    /// How many JSON feeds have something to pass.
    pub fn ready_json(&self) -> usize {
        todo!()
    }

    /// One batch each of the JSON feeds whose turn it is, for at most `max_per_feed` members of each and `max` together, so
    /// that a connection with news from several topics gets them in one send. They are added to `plan`; `batch_done` must
    /// follow for each feed, with `fell_behind` between for each part that was not taken whole.
    pub fn next_json_batches(&mut self, max_per_feed: usize, max: usize, now: Now, plan: &mut Plan) {
        let _ = (max_per_feed, max, now, plan);
        todo!()
    }

    /// The bytes of the feed's batch that is under way: whole frames.
    pub fn batch_bytes(&self, feed: FeedId) -> &[u8] {
        let _ = feed;
        todo!()
    }

    /// Gives, when the batch was the last of its region, the time since the region's oldest message was published.
    pub fn batch_done(&mut self, feed: FeedId, now: Now) -> Option<Duration> {
        let _ = (feed, now);
        todo!()
    }

    /// During a batch: the socket took only `taken` of its bytes.
    pub fn fell_behind(&mut self, member: MemberId, taken: usize) {
        let _ = (member, taken);
        todo!()
    }

    /// Between batches: the subscriber's socket takes nothing just now, for reasons of the caller's. Nothing happens when
    /// there is no such subscription.
    pub fn hold(&mut self, member: MemberId) {
        let _ = member;
        todo!()
    }

    /// Whether `take_runnable` has somebody to give: the shard must not wait for its ring before it has been called.
    pub fn has_runnable(&self) -> bool {
        todo!()
    }

    /// Connections with subscriptions that waited for the pass and can go on now; once for each of those.
    pub fn take_runnable(&mut self, runnable: &mut Vec<Slot>) {
        let _ = runnable;
        todo!()
    }

    /// Whether any of the connection's subscriptions lags.
    pub fn is_lagging(&self, slot: Slot) -> bool {
        let _ = slot;
        todo!()
    }

    /// Adds the connection's subscriptions that lag to `lagging`.
    pub fn lagging(&self, slot: Slot, lagging: &mut Vec<MemberId>) {
        let _ = (slot, lagging);
        todo!()
    }

    /// The rest of the frame that the subscriber's stream is inside; empty between frames.
    pub fn rest_of_frame(&self, member: MemberId) -> &[u8] {
        let _ = member;
        todo!()
    }

    /// What a lagging subscriber is to be sent next; `None` for one that does not lag.
    pub fn backlog(&self, member: MemberId) -> Option<Backlog<'_>> {
        let _ = member;
        todo!()
    }

    /// A lagging subscriber's socket took `taken` bytes of what `backlog` or `rest_of_frame` gave.
    pub fn advance(&mut self, member: MemberId, taken: usize) -> Progress {
        let _ = (member, taken);
        todo!()
    }

    /// A lapped subscriber's socket takes bytes again: it goes on from where the pass is. Gives what it missed; `None` when
    /// that is nothing, or it was not skipping. Until it has been told, `hold` keeps the pass from sending to it.
    pub fn resume(&mut self, member: MemberId) -> Option<Missed> {
        let _ = member;
        todo!()
    }
}
