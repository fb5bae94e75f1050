//! The hub: topics, who is subscribed to them in which encoding, and what they still have to get. No I/O, no clock, no
//! randomness. Offsets, epochs and names belong to the caller, the topic's home.
//!
//! A topic has a *feed* for each variant that somebody follows it in. A message is encoded once for each feed and appended
//! to the feed's log. The shard then asks for *batches*: a piece of a log and the members it goes to. Members that are not
//! lagging have no state at all beyond their entry in the list; one whose socket took less than the piece becomes a lagger
//! with a cursor. There are no queues per subscriber.
//!
//! ```text
//!   append ──► feed: log ─► region ─► batch: bytes + members ──► shard sends ──► fell_behind(member, taken)
//!                                                                      │
//!                                        take_runnable / backlog ◄─────┘  socket writable again: advance(member, taken)
//! ```

mod chunk;
mod deliver;
mod encode;
mod feed;
mod feeds;
mod frames;
mod log;
mod members;
mod memberships;
mod publish;
mod spare;
#[cfg(test)]
mod tests;

use crate::config::LagPolicy;
use crate::ids::{Encoding, FeedId, MemberId, Offset, Slot, TopicId, Variant, Variants};
use chunk::{Chunk, ChunkPool};
use feed::Feed;
use feeds::Feeds;
use memberships::{JsonMembership, Membership, Memberships};
use std::sync::Arc;

/// User memory of one topic without messages, for `corecast budget`: its state, a name of typical length, and the feeds of
/// both dialects.
/// The index by name is the caller's.
pub const TOPIC_BYTES: usize = size_of::<Topic>() + NAME_BYTES + 2 * (feeds::PLACE_BYTES + size_of::<Feed>());

/// A name of 32 bytes and its reference counts.
const NAME_BYTES: usize = 2 * size_of::<usize>() + 32;

/// User memory of one raw subscription: the member entry and where it stands.
pub const MEMBERSHIP_BYTES: usize = size_of::<members::Member>() + size_of::<Membership>();

/// User memory of one subscription of a JSON connection, besides the `MEMBERSHIP_BYTES` that every connection has.
pub const JSON_MEMBERSHIP_BYTES: usize = size_of::<members::Member>() + size_of::<JsonMembership>();

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

impl HubLimits {
    /// The largest pooled chunk a log may take, so that dropping one does not lap everybody.
    fn chunk_max(&self) -> usize {
        self.topic_log_bytes / 4
    }

    /// Whether a lapped subscriber is unsubscribed. Otherwise it goes on, and those that can be told are told.
    fn ends_when_lapped(&self, encoding: Encoding) -> bool {
        match (self.lag_policy, encoding) {
            (LagPolicy::Disconnect, _) | (LagPolicy::Skip, Encoding::Raw) => true,
            (LagPolicy::Skip, Encoding::Json) | (LagPolicy::SkipSilent, _) => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            max_subscribers: 100,
            log_bytes: 1 << 20,
            topic_log_bytes: 64 << 10,
            lag_policy: LagPolicy::Disconnect,
        }
    }
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
    /// Messages that JSON subscribers were told to have missed because their JSON does not go into a topic's log.
    pub too_long_in_json: u64,
}

#[derive(Debug)]
pub struct Hub {
    limits: HubLimits,
    topics: Vec<Option<Topic>>,
    vacant: Vec<TopicId>,
    feeds: Feeds,
    memberships: Memberships,
    pool: ChunkPool,
    /// Connections of laggers that the pass went past while they waited for it.
    runnable: Vec<Slot>,
    lapped: Vec<Lapped>,
    /// Where messages are written as JSON.
    scratch: Vec<u8>,
    /// Chunks for the message that is being appended.
    taken: Vec<(Variant, Chunk)>,
    stats: HubStats,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    last: Offset,
    feeds: TopicFeeds,
}

/// A topic's feeds. Most topics have one or two.
#[derive(Copy, Clone, Debug)]
struct TopicFeeds {
    there: Variants,
    /// By variant, of those that are there.
    ids: [FeedId; Variant::COUNT],
}

impl TopicFeeds {
    const NONE: Self = Self { there: Variants::NONE, ids: [FeedId(0); Variant::COUNT] };

    fn get(&self, variant: Variant) -> Option<FeedId> {
        self.there.has(variant).then(|| self.ids[variant.index()])
    }

    fn add(&mut self, variant: Variant, id: FeedId) {
        self.there.add(variant);
        self.ids[variant.index()] = id;
    }

    fn iter(self) -> impl Iterator<Item = (Variant, FeedId)> {
        self.there.iter().map(move |variant| (variant, self.ids[variant.index()]))
    }
}

impl Hub {
    pub fn new(limits: HubLimits) -> Self {
        Self {
            limits,
            topics: Vec::new(),
            vacant: Vec::new(),
            feeds: Feeds::default(),
            memberships: Memberships::new(limits.max_subscribers),
            pool: ChunkPool::new(&limits),
            runnable: Vec::new(),
            lapped: Vec::new(),
            scratch: Vec::new(),
            taken: Vec::new(),
            stats: HubStats::default(),
        }
    }

    pub fn topics(&self) -> usize {
        self.topics.len() - self.vacant.len()
    }

    /// Pool memory in use by all logs, in bytes.
    pub fn log_bytes_used(&self) -> usize {
        self.pool.used()
    }

    /// Memory of logs that is free and kept for the next messages, in bytes.
    pub fn log_bytes_spare(&self) -> usize {
        self.pool.free()
    }

    /// Gives back memory that was not needed since the last call. To be called now and then.
    pub fn trim(&mut self) {
        self.pool.trim();
    }

    pub fn stats(&self) -> HubStats {
        self.stats
    }

    pub fn subscriptions(&self) -> usize {
        self.memberships.len()
    }

    /// Subscriptions that have a cursor of their own just now.
    pub fn laggers(&self) -> usize {
        self.feeds.laggers()
    }

    // Topics ----------------------------------------------------------------------------------------------------

    /// A new topic, whose last message has the offset `last`. Its name is taken as it is: the caller keeps the index.
    pub fn open(&mut self, name: Arc<str>, last: Offset) -> TopicId {
        let topic = Some(Topic { name, last, feeds: TopicFeeds::NONE });
        match self.vacant.pop() {
            Some(id) => {
                self.topics[id.0 as usize] = topic;
                id
            }
            None => {
                self.topics.push(topic);
                TopicId(self.topics.len() as u32 - 1)
            }
        }
    }

    /// Forgets a topic that nobody is subscribed to. Its id is used again.
    pub fn close(&mut self, topic: TopicId) {
        assert_eq!(self.subscribers(topic), 0, "a topic with subscribers is not closed");
        self.topics[topic.0 as usize] = None;
        self.vacant.push(topic);
    }

    pub fn name(&self, topic: TopicId) -> &Arc<str> {
        &self.topic(topic).name
    }

    /// The offset of the newest message.
    pub fn last(&self, topic: TopicId) -> Offset {
        self.topic(topic).last
    }

    /// The topic went on elsewhere while nobody here was subscribed to it.
    pub fn set_last(&mut self, topic: TopicId, last: Offset) {
        assert_eq!(self.subscribers(topic), 0, "subscribers get every message");
        self.topic_mut(topic).last = last;
    }

    /// In all encodings.
    pub fn subscribers(&self, topic: TopicId) -> usize {
        self.feeds_of(topic).map(|(_, feed)| self.feeds[feed].subscribers()).sum()
    }

    /// In which somebody follows the topic.
    pub fn variants(&self, topic: TopicId) -> Variants {
        self.topic(topic).feeds.there
    }

    // Subscriptions ---------------------------------------------------------------------------------------------

    /// Subscribes a connection that does without compression.
    pub fn subscribe(&mut self, slot: Slot, topic: TopicId, encoding: Encoding) -> MemberId {
        self.subscribe_as(slot, topic, Variant::plain(encoding))
    }

    /// Subscribes a connection. The first message it gets is the one after `last`. A raw connection has no other
    /// subscription, a JSON connection no other to this topic.
    pub fn subscribe_as(&mut self, slot: Slot, topic: TopicId, variant: Variant) -> MemberId {
        debug_assert_eq!(self.find(slot, topic), None, "a connection subscribes to a topic once");
        let state = self.topics[topic.0 as usize].as_mut().expect(OPEN);
        let feed = state.feeds.get(variant).unwrap_or_else(|| {
            let feed = self.feeds.add(Feed::new(topic, variant, state.last));
            state.feeds.add(variant, feed);
            feed
        });
        let member = self.memberships.add(slot, feed, variant.encoding);
        self.feeds[feed].join(member, &mut self.memberships);
        self.feeds.note_laggers(feed);
        member
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, member: MemberId) {
        let id = self.feed_of(member);
        let feed = &mut self.feeds[id];
        feed.leave(member, &mut self.memberships, &mut self.pool);
        self.stats.delivered += feed.take_delivered();
        self.memberships.remove(member);
        self.settle(id);
    }

    /// Ends all subscriptions of a connection, if it has any.
    pub fn unsubscribe_all(&mut self, slot: Slot) {
        loop {
            let Some(newest) = self.memberships.of(slot).next() else { return };
            self.unsubscribe(newest);
        }
    }

    /// A connection's subscription to a topic.
    pub fn find(&self, slot: Slot, topic: TopicId) -> Option<MemberId> {
        self.members(slot).find(|&member| self.topic_of(member) == topic)
    }

    /// All subscriptions of a connection.
    pub fn members(&self, slot: Slot) -> impl Iterator<Item = MemberId> {
        self.memberships.of(slot)
    }

    /// How many subscriptions a connection has.
    pub fn subscriptions_of(&self, slot: Slot) -> usize {
        self.memberships.count_of(slot)
    }

    pub fn topic_of(&self, member: MemberId) -> TopicId {
        self.feeds[self.feed_of(member)].topic
    }

    pub fn slot_of(&self, member: MemberId) -> Slot {
        self.memberships.slot(member)
    }

    // Look-ups --------------------------------------------------------------------------------------------------

    /// After members of a feed may have left: ends it with the last of them.
    fn settle(&mut self, id: FeedId) {
        if self.feeds[id].subscribers() > 0 {
            self.feeds.note_laggers(id);
            return;
        }
        let feed = self.feeds.remove(id);
        self.topic_mut(feed.topic).feeds.there.remove(feed.variant);
        self.stats.delivered += feed.retire(&mut self.pool);
    }

    fn feed_of(&self, member: MemberId) -> FeedId {
        self.memberships.get(member).expect("a member is subscribed").feed()
    }

    fn feeds_of(&self, topic: TopicId) -> impl Iterator<Item = (Variant, FeedId)> + use<> {
        self.topic(topic).feeds.iter()
    }

    fn topic(&self, id: TopicId) -> &Topic {
        self.topics[id.0 as usize].as_ref().expect(OPEN)
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        self.topics[id.0 as usize].as_mut().expect(OPEN)
    }
}

const OPEN: &str = "a topic is used only while it is open";
