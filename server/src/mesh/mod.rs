//! What shards say to each other. Nothing is shared between them but these messages.
//!
//! Every topic has a home shard. Publishes and interest go there over *request* links; messages, and answers to requests,
//! come back over *relay* links:
//!
//! ```text
//!   any shard ──request──► home: numbers the message ──relay──► every shard with subscribers
//!       ▲                    │
//!       └──────answer────────┘  (on the same relay link)
//! ```
//!
//! A request is taken only when every relay link that it needs has room. A relay is always taken: what its topic's log has no
//! room for waits beside the log, and counts against its link until the deliver pass has made room, and the pass waits for
//! nobody. So request waits for relay, relay waits for the pass, and there is no cycle.

mod doorbell;
pub mod link;

pub use doorbell::Doorbell;
pub use link::{Capacity, Passed};

use crate::dialect::json::RequestId;
use crate::http::CorsOrigin;
use crate::ids::{Epoch, Now, Offset, Published, ShardId, Slot, TopicId, TopicInfo, Variants};
use crate::message::SharedMessages;
use corecast_protocol::topic::TopicName;
use link::{Receiver, Sender};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Tells one life of a shard's interest in a topic from the next, so that what was sent for an earlier one is recognised.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub struct Generation(pub u64);

/// Who is interested: a topic's record on another shard, in one of its lives.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Follower {
    pub topic: TopicId,
    pub generation: Generation,
}

/// To a topic's home.
#[derive(Debug)]
pub enum Request {
    Publish {
        topic: TopicName,
        messages: SharedMessages,
        reply: ReplyTo,
    },
    /// Relay the topic from now on. Answered with `InterestOn` or `InterestRefused`.
    Interest {
        topic: TopicName,
        follower: Follower,
    },
    /// How many subscribers an interested shard has, and in which variants. None at all does not end the interest: they may
    /// come back soon.
    Subscribers {
        topic: TopicName,
        generation: Generation,
        count: usize,
        variants: Variants,
    },
    /// The shard has let go of the topic.
    InterestOff {
        topic: TopicName,
        generation: Generation,
    },
    Info {
        topic: TopicName,
        reply: ReplyTo,
    },
    /// The page of connections, which each shard has its own of.
    Connections {
        reply: ReplyTo,
    },
}

/// From a topic's home.
#[derive(Debug)]
pub enum Relay {
    InterestOn {
        follower: Follower,
        epoch: Epoch,
        last: Offset,
    },
    /// The home knows `max_topics` already.
    InterestRefused {
        follower: Follower,
    },
    Messages {
        follower: Follower,
        first: Offset,
        messages: SharedMessages,
        published: Now,
    },
    Answer {
        reply: ReplyTo,
        answer: HomeAnswer,
    },
}

/// What a home says to a request.
#[derive(Debug)]
pub enum HomeAnswer {
    /// Of several messages, where the last one is.
    Published(Published),
    TopicsFull,
    Info(Option<TopicInfo>),
    Connections(String),
}

/// Whom an answer is for. It travels with the request and comes back with the answer, so nobody keeps a table of them.
#[derive(Debug)]
pub struct ReplyTo {
    pub slot: Slot,
    /// Of the connection in that slot.
    pub generation: u32,
    pub about: About,
}

/// What the connection needs for the answer.
#[derive(Debug)]
pub enum About {
    /// A raw publisher hears only of refusals.
    Raw,
    Json(Option<RequestId>),
    Http(Box<HttpReply>),
}

/// How an HTTP request is to be answered.
#[derive(Debug)]
pub struct HttpReply {
    pub topic: Option<TopicName>,
    /// Of an ndjson body: how many messages it had.
    pub count: Option<usize>,
    pub is_head: bool,
    pub cors: Option<CorsOrigin>,
}

impl Request {
    /// What it counts for on its link, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Publish { messages, .. } => MESSAGE_BYTES + messages.held_bytes(),
            _ => MESSAGE_BYTES,
        }
    }
}

impl Relay {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Messages { messages, .. } => MESSAGE_BYTES + messages.held_bytes(),
            Self::Answer { answer: HomeAnswer::Connections(page), .. } => MESSAGE_BYTES + page.len(),
            _ => MESSAGE_BYTES,
        }
    }
}

/// What a message costs besides its payload.
pub const MESSAGE_BYTES: usize = 128;

/// One shard's end of the mesh.
#[derive(Debug)]
pub struct Mesh {
    pub me: ShardId,
    common: Arc<Common>,
    /// By shard. Its own place is empty.
    peers: Vec<Option<Peer>>,
}

/// Both directions between two shards.
#[derive(Debug)]
struct Peer {
    requests_out: Sender<Request>,
    relays_out: Sender<Relay>,
    requests_in: Receiver<Request>,
    relays_in: Receiver<Relay>,
}

/// The little that all shards have in common.
#[derive(Debug)]
struct Common {
    /// Keys of the hash that gives a topic its home: random in each process, so that nobody outside can choose topics
    /// that all have one home.
    keys: (u64, u64),
    doorbells: Vec<Arc<Doorbell>>,
    /// Topics that any home knows.
    topics: AtomicU32,
    /// Shards that have nothing left to do of their own.
    drained: AtomicU32,
    /// Shards whose requests from before the stop are done.
    flushed: AtomicU32,
    /// Open WebSockets, by shard.
    websockets: Vec<AtomicU64>,
}

/// The ends of a mesh of `shards`, each to go to its shard.
pub fn mesh(shards: u16, capacity: Capacity, keys: (u64, u64)) -> Vec<Mesh> {
    let doorbells: Vec<Arc<Doorbell>> = (0..shards).map(|_| Arc::default()).collect();
    let common = Arc::new(Common {
        keys,
        doorbells: doorbells.clone(),
        topics: AtomicU32::new(0),
        drained: AtomicU32::new(0),
        flushed: AtomicU32::new(0),
        websockets: (0..shards).map(|_| AtomicU64::new(0)).collect(),
    });
    let mut meshes: Vec<Mesh> = (0..shards)
        .map(|me| Mesh {
            me: ShardId(me),
            common: Arc::clone(&common),
            peers: (0..shards).map(|_| None).collect(),
        })
        .collect();
    for a in 0..usize::from(shards) {
        for b in a + 1..usize::from(shards) {
            let (requests_ab, requests_at_b) =
                link::link(capacity, doorbells[a].clone(), doorbells[b].clone());
            let (requests_ba, requests_at_a) =
                link::link(capacity, doorbells[b].clone(), doorbells[a].clone());
            let (relays_ab, relays_at_b) = link::link(capacity, doorbells[a].clone(), doorbells[b].clone());
            let (relays_ba, relays_at_a) = link::link(capacity, doorbells[b].clone(), doorbells[a].clone());
            meshes[a].peers[b] = Some(Peer {
                requests_out: requests_ab,
                relays_out: relays_ab,
                requests_in: requests_at_a,
                relays_in: relays_at_a,
            });
            meshes[b].peers[a] = Some(Peer {
                requests_out: requests_ba,
                relays_out: relays_ba,
                requests_in: requests_at_b,
                relays_in: relays_at_b,
            });
        }
    }
    meshes
}

impl Mesh {
    /// The mesh of a server with one shard.
    pub fn alone() -> Self {
        let capacity = Capacity { messages: 1, bytes: 1 };
        mesh(1, capacity, (0, 0)).pop().expect("a mesh of one has one end")
    }

    pub fn shards(&self) -> u16 {
        self.peers.len() as u16
    }

    /// The other shards.
    pub fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.me;
        (0..self.shards()).map(ShardId).filter(move |&shard| shard != me)
    }

    pub fn home_of(&self, topic: &TopicName) -> ShardId {
        let (k0, k1) = self.common.keys;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        hasher.write(topic.as_str().as_bytes());
        ShardId((hasher.finish() % self.peers.len() as u64) as u16)
    }

    pub fn doorbell(&self) -> &Arc<Doorbell> {
        &self.common.doorbells[usize::from(self.me.0)]
    }

    fn peer(&self, shard: ShardId) -> &Peer {
        self.peers[usize::from(shard.0)].as_ref().expect("a shard has no link to itself")
    }

    fn peer_mut(&mut self, shard: ShardId) -> &mut Peer {
        self.peers[usize::from(shard.0)].as_mut().expect("a shard has no link to itself")
    }

    // Sending: whoever sends has asked for room -------------------------------------------------------------------

    /// Publishes leave some room for the rest: nobody could subscribe beyond a link that publishers keep full.
    pub fn has_request_room(&self, to: ShardId, request: &Request) -> bool {
        let link = &self.peer(to).requests_out;
        match request {
            Request::Publish { .. } => link.has_room_to_spare(1, request.bytes()),
            _ => link.has_room(1, request.bytes()),
        }
    }

    pub fn request(&self, to: ShardId, request: Request) {
        let bytes = request.bytes();
        self.peer(to).requests_out.send(request, bytes);
    }

    pub fn has_relay_room(&self, to: ShardId, messages: usize, bytes: usize) -> bool {
        self.peer(to).relays_out.has_room(messages, bytes)
    }

    pub fn relay(&self, to: ShardId, relay: Relay) {
        let bytes = relay.bytes();
        self.peer(to).relays_out.send(relay, bytes);
    }

    // Receiving ---------------------------------------------------------------------------------------------------

    /// Lets at most `max` messages of each link arrive.
    pub fn arrive(&mut self, max: usize) {
        // Nobody has rung: there is no need to lock all links to find them empty.
        if max == 0 {
            return;
        }
        for peer in self.peers.iter_mut().flatten() {
            peer.requests_in.arrive(max);
            peer.relays_in.arrive(max);
        }
    }

    /// Takes a request, and the bytes that are to be released when it is done.
    pub fn take_request(&mut self, from: ShardId) -> Option<(Request, usize)> {
        self.peer_mut(from).requests_in.take()
    }

    pub fn release_request(&self, from: ShardId, bytes: usize) {
        self.peer(from).requests_in.release(bytes);
    }

    /// Takes a relay, and the bytes that are to be released for it later.
    pub fn take_relay(&mut self, from: ShardId) -> Option<(Relay, usize)> {
        self.peer_mut(from).relays_in.take()
    }

    pub fn release_relay(&self, from: ShardId, bytes: usize) {
        self.peer(from).relays_in.release(bytes);
    }

    /// Whether nothing is under way to this shard.
    pub fn is_idle(&self) -> bool {
        self.peers.iter().flatten().all(|peer| peer.requests_in.is_idle() && peer.relays_in.is_idle())
    }

    /// What is under way on each link to this shard.
    pub fn loads(&self) -> impl Iterator<Item = Capacity> {
        self.peers.iter().flatten().flat_map(|peer| [peer.requests_in.load(), peer.relays_in.load()])
    }

    // In common ---------------------------------------------------------------------------------------------------

    /// Counts a new topic, if fewer than `max` are known.
    pub fn add_topic(&self, max: u32) -> bool {
        let topics = &self.common.topics;
        topics
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1))
            .is_ok()
    }

    pub fn remove_topic(&self) {
        self.common.topics.fetch_sub(1, Ordering::Relaxed);
    }

    /// Says how many WebSockets are open on this shard.
    pub fn set_websockets(&self, count: u64) {
        self.common.websockets[usize::from(self.me.0)].store(count, Ordering::Relaxed);
    }

    /// WebSockets that are open on all shards.
    pub fn websockets(&self) -> u64 {
        self.common.websockets.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// What this shard has asked of others, link by link.
    pub fn requests_passed(&self) -> Vec<Passed> {
        self.peers.iter().flatten().map(|peer| peer.requests_out.passed()).collect()
    }

    /// What others have relayed to this shard, link by link.
    pub fn relays_passed(&self) -> Vec<Passed> {
        self.peers.iter().flatten().map(|peer| peer.relays_in.passed()).collect()
    }

    /// What this shard asked for before the stop is done. Said once.
    pub fn say_flushed(&self) {
        if self.common.flushed.fetch_add(1, Ordering::AcqRel) + 1 == u32::from(self.shards()) {
            self.ring_all();
        }
    }

    pub fn are_all_flushed(&self) -> bool {
        self.common.flushed.load(Ordering::Acquire) == u32::from(self.shards())
    }

    /// This shard has nothing left to do of its own. Said once.
    pub fn say_drained(&self) {
        if self.common.drained.fetch_add(1, Ordering::AcqRel) + 1 == u32::from(self.shards()) {
            self.ring_all();
        }
    }

    fn ring_all(&self) {
        for doorbell in &self.common.doorbells {
            doorbell.ring();
        }
    }

    /// No shard has anything left: no request can come any more.
    pub fn are_all_drained(&self) -> bool {
        self.common.drained.load(Ordering::Acquire) == u32::from(self.shards())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_gives_a_topic_the_same_home_and_all_are_used() {
        let meshes = mesh(4, Capacity { messages: 1, bytes: 1 }, (1, 2));
        let mut topics_at = [0; 4];
        for number in 0..1000 {
            let topic = TopicName::new(&format!("topic-{number}")).unwrap();
            let home = meshes[0].home_of(&topic);
            assert!(meshes.iter().all(|mesh| mesh.home_of(&topic) == home));
            topics_at[usize::from(home.0)] += 1;
        }
        assert!(topics_at.iter().all(|&count| count > 200), "{topics_at:?}");
    }

    #[test]
    fn what_a_shard_sends_arrives_at_the_shard_it_was_sent_to() {
        let mut meshes = mesh(3, Capacity { messages: 8, bytes: 8000 }, (1, 2));
        let info = |number: u32| Request::Info {
            topic: TopicName::new("a").unwrap(),
            reply: ReplyTo { slot: Slot(number), generation: 0, about: About::Raw },
        };
        meshes[0].request(ShardId(2), info(7));
        meshes[1].request(ShardId(2), info(8));
        meshes[2].arrive(usize::MAX);
        let mut slot_from = |shard| match meshes[2].take_request(ShardId(shard)) {
            Some((Request::Info { reply, .. }, bytes)) => {
                meshes[2].release_request(ShardId(shard), bytes);
                reply.slot
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((slot_from(0), slot_from(1)), (Slot(7), Slot(8)));
        assert!(meshes[0].is_idle() && meshes[2].is_idle());
    }

    #[test]
    fn topics_are_counted_over_all_shards() {
        let meshes = mesh(2, Capacity { messages: 1, bytes: 1 }, (1, 2));
        assert!(meshes[0].add_topic(2) && meshes[1].add_topic(2));
        assert!(!meshes[0].add_topic(2));
        meshes[1].remove_topic();
        assert!(meshes[0].add_topic(2));
    }
}
