//! The topics that somebody on this shard uses, and how each stands with its home. No I/O, no clock, no randomness.

use crate::dialect::json::RequestId;
use crate::home::HomeId;
use crate::ids::{Epoch, Now, ShardId, Slot, TopicId, Variants};
use crate::mesh::{Follower, Generation};
use corecast_protocol::topic::TopicName;
use std::collections::HashMap;

/// User memory of a topic's record on a shard that uses it, beside the hub's.
pub const TOPIC_RECORD_BYTES: usize =
    size_of::<Topic>() + size_of::<usize>() + size_of::<(TopicName, TopicId)>() + 8;

/// Where a topic's home is.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum HomeAt {
    Here(HomeId),
    There(ShardId),
}

/// How this shard stands with a home on another. A home on this one is always `On`.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Interest {
    /// The home does not know of us.
    Off,
    /// It is to be asked, or was and has not answered.
    Asking { is_sent: bool },
    /// It sends us everything.
    On { epoch: Epoch },
}

/// What this shard knows of one topic.
#[derive(Debug)]
pub struct Topic {
    pub name: TopicName,
    pub home: HomeAt,
    pub interest: Interest,
    /// Of the interest in its present state.
    pub generation: Generation,
    /// Connections that publish here without being subscribed; they keep the record.
    pub publishers: u32,
    /// Who subscribes as soon as the home has answered.
    pub pending: Vec<Pending>,
    /// Subscribers that the home was last told of, and their variants.
    pub told: (usize, Variants),
    /// Since when nobody is subscribed.
    pub idle_since: Option<Now>,
    /// Stands in the list of topics whose home may have to be told something.
    pub is_listed: bool,
}

/// A subscription that waits for the topic's home.
#[derive(Debug)]
pub struct Pending {
    pub slot: Slot,
    /// Of the connection in that slot.
    pub generation: u32,
    pub wants: Wants,
}

#[derive(Debug)]
pub enum Wants {
    /// The upgrade of a raw connection: its 101.
    Raw { response: Vec<u8> },
    /// The answer to a subscribe request with this id.
    Json { id: Option<RequestId> },
}

impl Topic {
    /// What the home is to send the topic's messages to.
    pub fn follower(&self, id: TopicId) -> Follower {
        Follower { topic: id, generation: self.generation }
    }
}

/// The records, under the hub's ids.
#[derive(Debug, Default)]
pub struct Topics {
    by_name: HashMap<TopicName, TopicId>,
    topics: Vec<Option<Box<Topic>>>,
    generation: u64,
    /// Those whose home may have to be told something.
    listed: Vec<TopicId>,
    /// Where the next search for idle topics begins.
    sweep: usize,
}

impl Topics {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub fn find(&self, name: &TopicName) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    /// Adds a record under the id that the hub has just given. `epoch` is known when the home is here.
    pub fn add(&mut self, id: TopicId, name: TopicName, home: HomeAt, epoch: Option<Epoch>, now: Now) {
        let index = id.0 as usize;
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, || None);
        }
        let topic = Topic {
            name: name.clone(),
            home,
            interest: epoch.map_or(Interest::Off, |epoch| Interest::On { epoch }),
            generation: Generation(0),
            publishers: 0,
            pending: Vec::new(),
            told: (0, Variants::default()),
            idle_since: Some(now),
            is_listed: false,
        };
        assert!(self.topics[index].replace(Box::new(topic)).is_none(), "the hub gives an id once");
        assert!(self.by_name.insert(name, id).is_none(), "a topic has one record");
    }

    /// Removes a record that nobody uses.
    pub fn remove(&mut self, id: TopicId) -> Box<Topic> {
        let topic = self.topics[id.0 as usize].take().expect("a topic in use has a record");
        assert!(topic.publishers == 0 && topic.pending.is_empty(), "a record that is used stays");
        self.by_name.remove(&topic.name);
        if topic.is_listed {
            self.listed.retain(|&other| other != id);
        }
        topic
    }

    /// The record that a home means, if it is still in that life.
    pub fn followed(&mut self, follower: Follower) -> Option<&mut Topic> {
        let topic = self.topics.get_mut(follower.topic.0 as usize)?.as_deref_mut()?;
        (topic.generation == follower.generation && topic.interest != Interest::Off).then_some(topic)
    }

    /// Begins a new life of the interest.
    pub fn ask(&mut self, id: TopicId) {
        self.generation += 1;
        let generation = Generation(self.generation);
        let topic = &mut self[id];
        topic.interest = Interest::Asking { is_sent: false };
        topic.generation = generation;
        topic.told = (0, Variants::default());
        self.list(id);
    }

    /// Lists a topic as one whose home may have to be told something.
    pub fn list(&mut self, id: TopicId) {
        let topic = &mut self[id];
        if !topic.is_listed {
            topic.is_listed = true;
            self.listed.push(id);
        }
    }

    /// Takes the list of topics whose home may have to be told something.
    pub fn take_listed(&mut self, listed: &mut Vec<TopicId>) {
        listed.append(&mut self.listed);
        for &id in listed.iter() {
            self[id].is_listed = false;
        }
    }

    /// How many are listed.
    pub fn listed(&self) -> usize {
        self.listed.len()
    }

    /// Some of the topics that nobody has been subscribed to since `before`, found by a bounded search.
    pub fn idle_since(&mut self, before: Now, idle: &mut Vec<TopicId>) {
        for _ in 0..self.topics.len().min(64 + self.topics.len() / 8) {
            self.sweep = (self.sweep + 1) % self.topics.len();
            if let Some(topic) = &self.topics[self.sweep]
                && topic.idle_since.is_some_and(|since| since <= before)
            {
                idle.push(TopicId(self.sweep as u32));
            }
        }
    }
}

impl std::ops::Index<TopicId> for Topics {
    type Output = Topic;

    fn index(&self, id: TopicId) -> &Topic {
        self.topics[id.0 as usize].as_deref().expect("a topic in use has a record")
    }
}

impl std::ops::IndexMut<TopicId> for Topics {
    fn index_mut(&mut self, id: TopicId) -> &mut Topic {
        self.topics[id.0 as usize].as_deref_mut().expect("a topic in use has a record")
    }
}
