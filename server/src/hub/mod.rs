//! The hub: topics, who is subscribed to them, and what they still have to get. No I/O, no clock, no randomness.
//!
//! A publish appends one encoded frame to its topic's log. The shard then asks for *batches*: a piece of the log and the
//! members it goes to. Members that are not lagging have no state at all beyond their entry in the list; one whose socket
//! took less than the piece becomes a lagger with a cursor. There are no queues per subscriber.
//!
//! ```text
//!   publish ──► log ─► region ─► batch: bytes + members ──► shard sends ──► fell_behind(slot, taken)
//!                                                                  │
//!                                    take_runnable / backlog ◄─────┘  socket writable again: advance(slot, taken)
//! ```

mod chunk;
mod frames;
mod log;
mod members;
#[cfg(test)]
mod tests;
mod topic;

pub use members::Lapped;

use crate::config::LagPolicy;
use crate::ids::{Epoch, Now, Published, Slot, TopicId, TopicInfo};
use chunk::ChunkPool;
use corecast_protocol::{MessageKind, topic::TopicName};
use members::Membership;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use topic::Topic;

/// User memory of one topic without subscribers, for `corecast budget`: its state, its name twice at a typical length,
/// and its entry in the index.
pub const TOPIC_BYTES: usize =
    size_of::<Topic>() + 2 * size_of::<usize>() + 32 + 2 * (size_of::<Rc<str>>() + 8);

/// User memory of one subscription: the member entry and where it stands.
pub const MEMBERSHIP_BYTES: usize = size_of::<members::Member>() + size_of::<Membership>();

/// Bounds of a hub. Sizes in bytes.
#[derive(Copy, Clone, Debug)]
pub struct HubLimits {
    pub max_topics: usize,
    /// Slots are below this.
    pub max_subscribers: usize,
    /// All logs of the shard together.
    pub log_bytes: usize,
    /// One topic's log. Half of it may be undelivered before its publishers wait; the rest is what a slow subscriber
    /// may lag behind before it is lapped.
    pub topic_log_bytes: usize,
    pub lag_policy: LagPolicy,
    /// How long a topic is remembered after its last subscriber, publisher and message.
    pub topic_idle: Duration,
}

impl HubLimits {
    /// The largest pooled chunk a log may take, so that dropping one does not lap everybody.
    fn chunk_max(&self) -> usize {
        self.topic_log_bytes / 4
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            max_topics: 100,
            max_subscribers: 100,
            log_bytes: 1 << 20,
            topic_log_bytes: 64 << 10,
            lag_policy: LagPolicy::Disconnect,
            topic_idle: Duration::from_secs(600),
        }
    }
}

/// `max_topics` are in use.
#[derive(Debug, Eq, PartialEq)]
pub struct TopicsFull;

/// The publisher has to wait: half the topic's log is undelivered, or the shard's pool is used up. Nothing was taken.
#[derive(Debug, Eq, PartialEq)]
pub struct HeldBack;

/// A piece of a topic's log for a number of members.
#[derive(Debug)]
pub struct Batch<'a> {
    pub topic: TopicId,
    /// Whole frames.
    pub bytes: &'a [u8],
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
    pub topics_forgotten: u64,
}

#[derive(Debug)]
pub struct Hub {
    limits: HubLimits,
    ids: HashMap<Rc<str>, TopicId>,
    topics: Vec<Option<Box<Topic>>>,
    vacant: Vec<TopicId>,
    /// By slot.
    memberships: Vec<Membership>,
    subscriptions: usize,
    pool: ChunkPool,
    /// Topics with something to pass, in turn.
    ready: VecDeque<TopicId>,
    /// Laggers that the pass went past while they waited for it.
    runnable: Vec<Slot>,
    /// Topics that had laggers when last looked at: where to find memory when the pool is used up.
    lagging: Vec<TopicId>,
    lapped: Vec<Lapped>,
    /// Where the next search for forgotten topics begins.
    sweep: usize,
    stats: HubStats,
}

impl Hub {
    pub fn new(limits: HubLimits) -> Self {
        Self {
            limits,
            ids: HashMap::new(),
            topics: Vec::new(),
            vacant: Vec::new(),
            memberships: Vec::with_capacity(limits.max_subscribers),
            subscriptions: 0,
            pool: ChunkPool::new(&limits),
            ready: VecDeque::new(),
            runnable: Vec::new(),
            lagging: Vec::new(),
            lapped: Vec::new(),
            sweep: 0,
            stats: HubStats::default(),
        }
    }

    pub fn topics(&self) -> usize {
        self.ids.len()
    }

    /// Pool memory in use by all logs, in bytes.
    pub fn log_bytes_used(&self) -> usize {
        self.pool.used()
    }

    pub fn stats(&self) -> HubStats {
        self.stats
    }

    pub fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Subscribers that have a cursor of their own just now.
    pub fn laggers(&self) -> usize {
        self.lagging
            .iter()
            .filter_map(|id| self.topics[id.0 as usize].as_ref())
            .map(|topic| topic.laggers())
            .sum()
    }

    // Topics ----------------------------------------------------------------------------------------------------

    /// What is known of a topic; asking about an unknown one creates nothing.
    pub fn info(&self, name: &TopicName) -> Option<TopicInfo> {
        let topic = self.topic(*self.ids.get(name.as_str())?);
        Some(TopicInfo { offset: topic.last, epoch: topic.epoch, subscribers: topic.subscribers() })
    }

    /// The topic of that name, made when it is new; `epoch` is used only then and must be random.
    pub fn open(&mut self, name: &TopicName, epoch: Epoch, now: Now) -> Result<TopicId, TopicsFull> {
        if let Some(&id) = self.ids.get(name.as_str()) {
            return Ok(id);
        }
        if self.ids.len() >= self.limits.max_topics {
            return Err(TopicsFull);
        }
        let name: Rc<str> = Rc::from(name.as_str());
        let topic = Some(Box::new(Topic::new(name.clone(), epoch, now)));
        let id = match self.vacant.pop() {
            Some(id) => {
                self.topics[id.0 as usize] = topic;
                id
            }
            None => {
                self.topics.push(topic);
                TopicId(self.topics.len() as u32 - 1)
            }
        };
        self.ids.insert(name, id);
        Ok(id)
    }

    /// A connection that publishes without being subscribed keeps the topic from being forgotten.
    pub fn attach_publisher(&mut self, topic: TopicId) {
        self.topic_mut(topic).publishers += 1;
    }

    pub fn detach_publisher(&mut self, topic: TopicId, now: Now) {
        let topic = self.topic_mut(topic);
        topic.publishers -= 1;
        topic.last_used = now;
    }

    /// Forgets topics that nobody has used for `topic_idle`. Looks at a bounded share of them each time.
    pub fn forget_idle(&mut self, now: Now) {
        for _ in 0..self.topics.len().min(64 + self.topics.len() / 8) {
            self.sweep = (self.sweep + 1) % self.topics.len();
            let Some(topic) = &self.topics[self.sweep] else { continue };
            let is_unused = topic.subscribers() == 0 && topic.publishers == 0 && !topic.is_ready;
            if is_unused && now.since(topic.last_used) >= self.limits.topic_idle {
                if topic.is_listed_lagging {
                    // Or the place's next topic would be listed twice.
                    self.lagging.retain(|id| id.0 as usize != self.sweep);
                }
                self.ids.remove(&topic.name);
                self.topics[self.sweep] = None;
                self.vacant.push(TopicId(self.sweep as u32));
                self.stats.topics_forgotten += 1;
            }
        }
    }

    // Subscribers -----------------------------------------------------------------------------------------------

    /// Subscribes a connection that has no subscription yet. The first message it gets is the one after the returned
    /// offset.
    pub fn subscribe(&mut self, slot: Slot, topic: TopicId) -> TopicInfo {
        if self.memberships.len() <= slot.index() {
            self.memberships.resize(slot.index() + 1, Membership::VACANT);
        }
        let membership = &mut self.memberships[slot.index()];
        assert_eq!(membership.topic, Membership::NONE, "a connection has one subscription");
        membership.topic = topic.0;
        let state = self.topics[topic.0 as usize].as_mut().expect("a topic id in use is valid");
        state.join(slot, &mut self.memberships);
        self.subscriptions += 1;
        let info = TopicInfo { offset: state.last, epoch: state.epoch, subscribers: state.subscribers() };
        self.note_laggers(topic);
        info
    }

    /// Ends a connection's subscription, if it has one.
    pub fn unsubscribe(&mut self, slot: Slot, now: Now) {
        let Some(id) = self.topic_of(slot) else { return };
        let topic = self.topics[id.0 as usize].as_mut().expect("a subscribed topic exists");
        topic.leave(slot, &mut self.memberships, &mut self.pool);
        topic.last_used = now;
        self.stats.delivered += topic.take_delivered();
        self.memberships[slot.index()] = Membership::VACANT;
        self.subscriptions -= 1;
    }

    /// The topic's name.
    pub fn name(&self, topic: TopicId) -> &str {
        &self.topic(topic).name
    }

    pub fn topic_of(&self, slot: Slot) -> Option<TopicId> {
        let membership = self.memberships.get(slot.index())?;
        (membership.topic != Membership::NONE).then_some(TopicId(membership.topic))
    }

    pub fn is_lagging(&self, slot: Slot) -> bool {
        self.lagger(slot).is_some()
    }

    // Publishing ------------------------------------------------------------------------------------------------

    /// Appends a message. Subscribers who stood in the way of it have been lapped: see `take_lapped`. What is copied for
    /// them to finish their frames with is at most `tail_room` bytes altogether.
    pub fn publish(
        &mut self,
        id: TopicId,
        kind: MessageKind,
        payload: &[u8],
        now: Now,
        mut tail_room: usize,
    ) -> Result<Published, HeldBack> {
        if self.topic(id).is_full(payload.len(), &self.limits) {
            return Err(HeldBack);
        }
        while self.topic(id).is_over_log_limit(payload.len(), &self.limits)
            && self.drop_oldest(id, now, &mut tail_room)
        {}
        let offset = loop {
            let topic = self.topics[id.0 as usize].as_mut().expect("a topic id in use is valid");
            match topic.append(kind, payload, now, &self.limits, &mut self.pool) {
                Ok(offset) => break offset,
                Err(chunk::Exhausted) => {
                    self.stats.pool_exhausted += 1;
                    if !self.reclaim(now, &mut tail_room) {
                        return Err(HeldBack);
                    }
                }
            }
        };
        let topic = self.topics[id.0 as usize].as_mut().expect("a topic id in use is valid");
        if topic.has_unpassed() && !topic.is_ready {
            topic.is_ready = true;
            self.ready.push_back(id);
        }
        Ok(Published { offset, epoch: topic.epoch })
    }

    /// Takes a chunk from the topic whose laggers hold the most.
    fn reclaim(&mut self, now: Now, tail_room: &mut usize) -> bool {
        let topics = &mut self.topics;
        self.lagging.retain(|id| match &mut topics[id.0 as usize] {
            Some(topic) => {
                topic.is_listed_lagging = topic.laggers() > 0;
                topic.is_listed_lagging
            }
            None => false,
        });
        let largest = self
            .lagging
            .iter()
            .filter_map(|id| self.topics[id.0 as usize].as_ref().map(|topic| (id, topic)))
            .filter(|(_, topic)| topic.can_shrink())
            .max_by_key(|(_, topic)| topic.log_capacity())
            .map(|(id, _)| *id);
        largest.is_some_and(|id| self.drop_oldest(id, now, tail_room))
    }

    /// Drops a topic's oldest chunk if the pass is done with it, lapping who stands in it.
    fn drop_oldest(&mut self, id: TopicId, now: Now, tail_room: &mut usize) -> bool {
        let topic = self.topics[id.0 as usize].as_mut().expect("a topic id in use is valid");
        let laps_before = self.lapped.len();
        let policy = self.limits.lag_policy;
        let has_dropped = topic.drop_oldest_passed(
            policy,
            &mut self.memberships,
            &mut self.pool,
            &mut self.lapped,
            tail_room,
        );
        let laps = self.lapped.len() - laps_before;
        self.stats.lapped += laps as u64;
        self.stats.delivered += topic.take_delivered();
        if policy == LagPolicy::Disconnect && laps > 0 {
            self.subscriptions -= laps;
            topic.last_used = now;
        }
        has_dropped
    }

    /// Subscribers lapped since the last call. Under `LagPolicy::Disconnect` they are no longer subscribed.
    pub fn take_lapped(&mut self) -> Vec<Lapped> {
        std::mem::take(&mut self.lapped)
    }

    // Delivering ------------------------------------------------------------------------------------------------

    /// How many topics have something to pass.
    pub fn ready_topics(&self) -> usize {
        self.ready.len()
    }

    /// The next batch of the topic whose turn it is, for at most `max` members, whose slots are put into `targets`.
    /// `batch_done` must follow, with `fell_behind` between for each whose socket took less.
    pub fn next_batch(&mut self, max: usize, now: Now, targets: &mut Vec<Slot>) -> Option<Batch<'_>> {
        let id = self.ready.pop_front()?;
        let topic = self.topics[id.0 as usize].as_mut().expect("a ready topic is not forgotten");
        topic.is_ready = false;
        if !topic.has_unpassed() {
            // Its subscribers have all left.
            return Some(Batch { topic: id, bytes: &[] });
        }
        Some(Batch { topic: id, bytes: topic.batch(max, now, targets) })
    }

    /// Gives, when the batch was the last of its region, the time since the region's oldest message was published.
    pub fn batch_done(&mut self, id: TopicId, now: Now) -> Option<Duration> {
        let topic = self.topics[id.0 as usize].as_mut().expect("a topic in a pass is not forgotten");
        let end = topic.batch_done(now, &mut self.memberships, &mut self.pool, &mut self.runnable);
        self.stats.delivered += topic.take_delivered();
        if end.has_more && !topic.is_ready {
            topic.is_ready = true;
            self.ready.push_back(id);
        }
        end.latency
    }

    /// During a batch: the socket took only `taken` of its bytes.
    pub fn fell_behind(&mut self, slot: Slot, taken: usize) {
        let id = self.topic_of(slot).expect("a batch goes to subscribers");
        let topic = self.topics[id.0 as usize].as_mut().expect("a subscribed topic exists");
        topic.fell_behind(slot, taken, &mut self.memberships);
        self.note_laggers(id);
    }

    /// Between batches: the subscriber's socket takes nothing just now, for reasons of the caller's.
    pub fn hold(&mut self, slot: Slot) {
        let Some(id) = self.topic_of(slot) else { return };
        let topic = self.topics[id.0 as usize].as_mut().expect("a subscribed topic exists");
        topic.hold(slot, &mut self.memberships);
        self.note_laggers(id);
    }

    /// Whether `take_runnable` has somebody to give: the shard must not wait for its ring before it has been called.
    pub fn has_runnable(&self) -> bool {
        !self.runnable.is_empty()
    }

    /// Laggers that waited for the pass and can go on now.
    pub fn take_runnable(&mut self, runnable: &mut Vec<Slot>) {
        runnable.append(&mut self.runnable);
    }

    /// What a lagging subscriber is to be sent next; `None` for one that does not lag.
    pub fn backlog(&self, slot: Slot) -> Option<Backlog<'_>> {
        let (topic, lagger) = self.lagger(slot)?;
        Some(topic.backlog(lagger))
    }

    /// The rest of the frame that the subscriber's stream is inside; empty between frames.
    pub fn rest_of_frame(&self, slot: Slot) -> &[u8] {
        self.lagger(slot).map_or(&[], |(topic, lagger)| topic.rest_of_frame(lagger))
    }

    /// A lagging subscriber's socket took `taken` bytes of what `backlog` or `rest_of_frame` gave.
    pub fn advance(&mut self, slot: Slot, taken: usize) -> Progress {
        let id = self.topic_of(slot).expect("a lagger is subscribed");
        let topic = self.topics[id.0 as usize].as_mut().expect("a subscribed topic exists");
        let progress = topic.advance(slot, taken, &mut self.memberships, &mut self.pool);
        self.stats.delivered += topic.take_delivered();
        progress
    }

    /// A lapped subscriber under `SkipSilent` takes bytes again. Gives how many messages it missed.
    pub fn resume(&mut self, slot: Slot) -> u64 {
        let id = self.topic_of(slot).expect("a lagger is subscribed");
        let topic = self.topics[id.0 as usize].as_mut().expect("a subscribed topic exists");
        let missed = topic.resume(slot, &mut self.memberships);
        self.stats.messages_skipped += missed;
        missed
    }

    // Look-ups --------------------------------------------------------------------------------------------------

    fn lagger(&self, slot: Slot) -> Option<(&Topic, u32)> {
        let membership = self.memberships.get(slot.index())?;
        if membership.topic == Membership::NONE || membership.lagger == Membership::NONE {
            return None;
        }
        Some((self.topic(TopicId(membership.topic)), membership.lagger))
    }

    /// Lists a topic as one with laggers, once.
    fn note_laggers(&mut self, id: TopicId) {
        let topic = self.topics[id.0 as usize].as_mut().expect("a subscribed topic exists");
        if topic.laggers() > 0 && !topic.is_listed_lagging {
            topic.is_listed_lagging = true;
            self.lagging.push(id);
        }
    }

    fn topic(&self, id: TopicId) -> &Topic {
        self.topics[id.0 as usize].as_ref().expect("a topic id in use is valid")
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        self.topics[id.0 as usize].as_mut().expect("a topic id in use is valid")
    }
}
