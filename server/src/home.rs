//! The topics whose home a shard is: their numbering, and who is interested in them. No I/O, no clock, no randomness.

use crate::ids::{Epoch, Now, Offset, Published, ShardId, TopicId, TopicInfo, Variants};
use crate::mesh::{Follower, Generation};
use corecast_protocol::topic::TopicName;
use std::collections::HashMap;
use std::time::Duration;

/// A topic's place among those of its home.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct HomeId(u32);

/// User memory of a topic at its home without anybody interested: its state, its name at a typical length, and its entry
/// in the index.
pub const HOME_BYTES: usize =
    size_of::<Home>() + 2 * size_of::<usize>() + 32 + size_of::<(TopicName, HomeId)>() + 8;

/// The authority over one topic.
#[derive(Debug)]
pub struct Home {
    name: TopicName,
    pub epoch: Epoch,
    pub last: Offset,
    /// The other shards that get what is published.
    interested: Vec<Interest>,
    /// This shard's own record of the topic, while anybody here uses it.
    pub local: Option<TopicId>,
    /// Publishers that wait for room.
    pub waiting: u32,
    last_used: Now,
}

#[derive(Copy, Clone, Debug)]
pub struct Interest {
    pub shard: ShardId,
    pub follower: Follower,
    pub subscribers: usize,
    /// In which they follow.
    pub variants: Variants,
}

#[derive(Debug)]
pub struct Homes {
    by_name: HashMap<TopicName, HomeId>,
    topics: Vec<Option<Box<Home>>>,
    vacant: Vec<HomeId>,
    topic_idle: Duration,
    /// Where the next search for forgotten topics begins.
    sweep: usize,
}

impl Homes {
    /// `topic_idle`: how long a topic is remembered after its last subscriber and message.
    pub fn new(topic_idle: Duration) -> Self {
        Self { by_name: HashMap::new(), topics: Vec::new(), vacant: Vec::new(), topic_idle, sweep: 0 }
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn find(&self, name: &TopicName) -> Option<HomeId> {
        self.by_name.get(name).copied()
    }

    /// Adds a topic that is not known yet. `epoch` must be random.
    pub fn add(&mut self, name: &TopicName, epoch: Epoch, now: Now) -> HomeId {
        let home = Home {
            name: name.clone(),
            epoch,
            last: Offset(0),
            interested: Vec::new(),
            local: None,
            waiting: 0,
            last_used: now,
        };
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.topics.push(None);
            HomeId(self.topics.len() as u32 - 1)
        });
        self.topics[id.0 as usize] = Some(Box::new(home));
        assert!(self.by_name.insert(name.clone(), id).is_none(), "a topic is added once");
        id
    }

    /// Forgets topics that nobody has used for `topic_idle`; gives how many. Looks at a bounded share of them each time.
    pub fn forget_idle(&mut self, now: Now) -> u32 {
        let mut forgotten = 0;
        for _ in 0..self.topics.len().min(64 + self.topics.len() / 8) {
            let topic_idle = self.topic_idle;
            forgotten += u32::from(self.forget_next(|home| now.since(home.last_used) >= topic_idle));
        }
        forgotten
    }

    /// Forgets a topic that nobody uses and that never had a message, if a bounded search finds one: it has nothing to
    /// remember but its epoch. Without this one client could use up all topics by subscribing to one after the other.
    pub fn forget_empty(&mut self) -> bool {
        (0..self.topics.len().min(EMPTY_SEARCH)).any(|_| self.forget_next(|home| home.last == Offset(0)))
    }

    /// Looks at the next topic, and forgets it if nobody uses it and it is to go.
    fn forget_next(&mut self, is_to_go: impl Fn(&Home) -> bool) -> bool {
        self.sweep = (self.sweep + 1) % self.topics.len();
        let Some(home) = &self.topics[self.sweep] else { return false };
        let is_unused = home.interested.is_empty() && home.local.is_none() && home.waiting == 0;
        if !is_unused || !is_to_go(home) {
            return false;
        }
        self.by_name.remove(&home.name);
        self.topics[self.sweep] = None;
        self.vacant.push(HomeId(self.sweep as u32));
        true
    }
}

/// Topics that a search for an empty one looks at: it is made for every new topic while `max_topics` are known, and the next
/// goes on where it ended.
const EMPTY_SEARCH: usize = 64;

impl std::ops::Index<HomeId> for Homes {
    type Output = Home;

    fn index(&self, id: HomeId) -> &Home {
        self.topics[id.0 as usize].as_ref().expect("a home id in use is valid")
    }
}

impl std::ops::IndexMut<HomeId> for Homes {
    fn index_mut(&mut self, id: HomeId) -> &mut Home {
        self.topics[id.0 as usize].as_mut().expect("a home id in use is valid")
    }
}

impl Home {
    /// Gives `count` messages their offsets; the first of them is returned.
    pub fn number(&mut self, count: usize, now: Now) -> Offset {
        let first = self.last.next();
        for _ in 0..count {
            self.last = self.last.next();
        }
        self.last_used = now;
        first
    }

    /// The newest message.
    pub fn newest(&self) -> Published {
        Published { offset: self.last, epoch: self.epoch }
    }

    /// In which other shards follow the topic, as far as they have said so.
    pub fn variants(&self) -> Variants {
        self.interested.iter().fold(Variants::default(), |all, interest| all.union(interest.variants))
    }

    pub fn name(&self) -> &TopicName {
        &self.name
    }

    pub fn interested(&self) -> &[Interest] {
        &self.interested
    }

    /// A shard wants the topic's messages from now on; what it wanted before is over.
    pub fn add_interest(&mut self, shard: ShardId, follower: Follower) {
        self.interested.retain(|interest| interest.shard != shard);
        self.interested.push(Interest { shard, follower, subscribers: 0, variants: Variants::default() });
    }

    pub fn remove_interest(&mut self, shard: ShardId, generation: Generation, now: Now) {
        self.interested
            .retain(|interest| interest.shard != shard || interest.follower.generation != generation);
        self.last_used = now;
    }

    pub fn set_subscribers(
        &mut self,
        shard: ShardId,
        generation: Generation,
        count: usize,
        variants: Variants,
    ) {
        let is_it =
            |interest: &&mut Interest| interest.shard == shard && interest.follower.generation == generation;
        if let Some(interest) = self.interested.iter_mut().find(is_it) {
            interest.subscribers = count;
            interest.variants = variants;
        }
    }

    /// This shard has let go of its own record.
    pub fn forget_local(&mut self, now: Now) {
        self.local = None;
        self.last_used = now;
    }

    /// What is known of the topic, with `local` subscribers on this shard.
    pub fn info(&self, local: usize) -> TopicInfo {
        let elsewhere: usize = self.interested.iter().map(|interest| interest.subscribers).sum();
        TopicInfo { offset: self.last, epoch: self.epoch, subscribers: local + elsewhere }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::new(name).unwrap()
    }

    fn homes() -> Homes {
        Homes::new(Duration::from_secs(10))
    }

    const fn seconds(seconds: u64) -> Now {
        Now(seconds * 1_000_000_000)
    }

    fn follower(generation: u64) -> Follower {
        Follower { topic: TopicId(0), generation: Generation(generation) }
    }

    #[test]
    fn offsets_are_consecutive_from_one() {
        let mut homes = homes();
        let id = homes.add(&topic("a"), Epoch(1), seconds(0));
        assert_eq!(homes[id].number(1, seconds(0)), Offset(1));
        assert_eq!(homes[id].number(3, seconds(0)), Offset(2));
        assert_eq!(homes[id].number(1, seconds(0)), Offset(5));
        assert_eq!(homes[id].newest(), Published { offset: Offset(5), epoch: Epoch(1) });
    }

    #[test]
    fn an_unused_topic_is_forgotten_after_its_time_and_not_before() {
        let mut homes = homes();
        let id = homes.add(&topic("a"), Epoch(1), seconds(0));
        homes[id].number(1, seconds(5));
        assert_eq!(homes.forget_idle(seconds(14)), 0);
        assert_eq!(homes.forget_idle(seconds(15)), 1);
        assert_eq!(homes.find(&topic("a")), None);
        let again = homes.add(&topic("a"), Epoch(2), seconds(16));
        assert_eq!(homes[again].newest(), Published { offset: Offset(0), epoch: Epoch(2) });
    }

    #[test]
    fn a_topic_without_messages_makes_room_once_nobody_uses_it() {
        let mut homes = homes();
        let used = homes.add(&topic("a"), Epoch(1), seconds(0));
        let published = homes.add(&topic("b"), Epoch(1), seconds(0));
        homes[used].local = Some(TopicId(0));
        homes[published].number(1, seconds(0));
        assert!(!homes.forget_empty());
        homes[used].forget_local(seconds(0));
        assert!(homes.forget_empty());
        assert_eq!((homes.find(&topic("a")), homes.find(&topic("b"))), (None, Some(published)));
        assert!(!homes.forget_empty());
    }

    #[test]
    fn who_uses_a_topic_keeps_it() {
        let mut homes = homes();
        let id = homes.add(&topic("a"), Epoch(1), seconds(0));
        homes[id].add_interest(ShardId(1), follower(1));
        assert_eq!(homes.forget_idle(seconds(100)), 0);
        homes[id].remove_interest(ShardId(1), Generation(1), seconds(100));
        homes[id].local = Some(TopicId(0));
        assert_eq!(homes.forget_idle(seconds(200)), 0);
        homes[id].forget_local(seconds(200));
        homes[id].waiting = 1;
        assert_eq!(homes.forget_idle(seconds(300)), 0);
        homes[id].waiting = 0;
        assert_eq!(homes.forget_idle(seconds(300)), 1);
    }

    #[test]
    fn what_belongs_to_an_earlier_interest_changes_nothing() {
        let mut homes = homes();
        let id = homes.add(&topic("a"), Epoch(1), seconds(0));
        homes[id].add_interest(ShardId(1), follower(1));
        homes[id].add_interest(ShardId(1), follower(2));
        homes[id].set_subscribers(ShardId(1), Generation(1), 100, Variants::default());
        homes[id].remove_interest(ShardId(1), Generation(1), seconds(0));
        homes[id].set_subscribers(ShardId(1), Generation(2), 3, Variants::default());
        assert_eq!(homes[id].interested().len(), 1);
        assert_eq!(homes[id].info(2).subscribers, 5);
    }
}
