//! A shard: one core's connections, topics and counters, moved forward by `step`.
//!
//! `step` is one turn: take what the ring has completed, handle it, deliver what is new, look after timeouts. It is a plain
//! function: time, randomness and the ring come in as arguments, so a test can run the whole service on a fake ring.

mod accept;
mod answers;
mod closing;
mod deliver;
mod drain;
mod echo;
pub mod executor;
mod gather;
mod interest;
mod json;
mod mesh;
mod publish;
mod receive;
mod requests;
mod timers;
mod waiting;
mod websocket;

use crate::config::{Config, RESERVED_CONNECTIONS};
use crate::deflate::Codec;
use crate::home::Homes;
use crate::http::AccessRules;
use crate::hub::{Hub, HubLimits, Plan};
use crate::ids::{FeedId, Now, Slot, TopicId};
use crate::mesh::{Mesh, Request};
use crate::message::Deflated;
use crate::net::{
    connection::{Flag, Operation, Peer, Phase},
    table::Table,
};
use crate::observe::{Metrics, MetricsSlot, log::RateLimit};
use crate::topics::Topics;
pub use accept::ListenerKind;
use accept::{ListenerState, accept_kind};
use corecast_protocol::handshake::extensions::SmallWindows;
use corecast_protocol::{Limits, ProtocolError};
use corecast_uring::{Completion, File, ListenerId, Ring, SendOutcome};
use publish::Parked;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use timers::Tick;
use waiting::Waiting;

/// What a turn works with besides the shard itself.
#[expect(missing_debug_implementations, reason = "a clock shows nothing")]
pub struct Context<'a, R> {
    /// Read once, before the turn.
    pub now: Now,
    /// Read again only at the end of a batch, for the latency of its pass.
    pub clock: &'a dyn Fn() -> Now,
    pub rng: &'a mut fastrand::Rng,
    pub ring: &'a mut R,
}

/// What reaches a shard from other threads.
#[derive(Copy, Clone, Debug, Default)]
pub struct Inbox {
    /// Stop gently: see `drain`.
    pub drain: bool,
    /// How many messages arrive on each link from another shard, of those that were sent.
    pub arrivals: usize,
}

/// What a turn led to.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Turn {
    /// There is more to do at once.
    Busy,
    /// Nothing to do until the ring's eventfd or another thread says so.
    Idle,
    /// Drained: nothing is left, and nothing will come.
    Finished,
}

/// What a shard keeps and waits for. Each of them has a bound, and all but the topics come back to nothing when everybody has
/// read what there is to read.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Levels {
    /// Connections that were held back, and requests of other shards that wait at their topics' gates.
    pub waiting: usize,
    /// Requests from other shards that wait for room on the link back; at most one from each.
    pub stalled: usize,
    /// Messages that wait beside their topics' logs.
    pub parked_bytes: usize,
    /// The logs.
    pub log_bytes: usize,
    /// Free, and kept for the logs.
    pub log_bytes_spare: usize,
    /// What finishes the frames of lapped or closed subscribers.
    pub tail_bytes: usize,
    /// Input that is not handled yet.
    pub inbound_bytes: usize,
    /// Answers that other shards owe to one connection: of the one with the most.
    pub owed_max: u16,
    /// Topics that somebody here uses.
    pub records: usize,
    /// Topics whose home is here.
    pub homes: usize,
}

#[derive(Debug)]
pub struct Shard {
    settings: Settings,
    limits: Limits,
    access: AccessRules,
    echo_path: Option<String>,
    listeners: Vec<ListenerState>,
    table: Table,
    /// The topics whose home this shard is.
    homes: Homes,
    /// The topics that somebody here uses.
    topics: Topics,
    /// Their messages, and who gets them.
    hub: Hub,
    mesh: Mesh,
    metrics: Metrics,
    /// Where this shard's metrics are left for a scrape, and where every shard's are.
    metrics_slot: MetricsSlot,
    all_metrics: Vec<MetricsSlot>,
    /// Connections with something to send outside of passes.
    attention: Vec<Slot>,
    waiting: Waiting,
    /// By shard: the request from there that has to wait for room on the link back, and its bytes on the link here.
    stalled: Vec<Option<(Request, usize)>>,
    /// What has its offsets and waits for room in its topic's log here.
    parked: BTreeMap<TopicId, VecDeque<Parked>>,
    parked_bytes: usize,
    /// Connections whose receive ended for want of a buffer.
    starved: VecDeque<Slot>,
    /// Heap bytes of unhandled input, of all connections.
    inbound_used: usize,
    /// Bytes kept to finish frames of lapped or closed subscribers.
    tails_used: usize,
    codec: Codec,
    websockets: u64,
    /// Connections of the admin listener: they do not count against `max_connections`.
    admins: u32,
    /// Connections that were accepted above `max_connections` and are still there.
    over_limit: u32,
    clock: timers::Clock,
    flush: Option<drain::Flush>,
    drain: Option<drain::Drain>,
    protocol_error_log: RateLimit,
    accept_error_log: RateLimit,
    scratch: Scratch,
}

/// Buffers that are reused from turn to turn, so that a turn allocates nothing.
#[derive(Debug, Default)]
struct Scratch {
    completions: Vec<Completion>,
    outcomes: Vec<SendOutcome>,
    targets: Vec<Slot>,
    /// Raw feeds in a call, each with where its targets end.
    batches: Vec<(FeedId, usize)>,
    frames: Vec<Slot>,
    replies: Vec<Slot>,
    composed: Vec<Slot>,
    backlogs: Vec<Slot>,
    paused: Vec<Slot>,
    json_backlogs: Vec<Slot>,
    plan: Plan,
    groups: Vec<gather::Group>,
    topics: Vec<TopicId>,
    deflated: Deflated,
}

/// Entries of a list that are kept whatever happens.
const SCRATCH_KEPT: usize = 512;

impl Scratch {
    /// Gives back what a crowd needed that has left: no list has more than a few entries for a connection.
    fn shrink(&mut self, connections: usize) {
        let Self {
            completions,
            outcomes,
            targets,
            batches,
            frames,
            replies,
            composed,
            backlogs,
            paused,
            json_backlogs,
            plan,
            groups,
            topics,
            deflated: _,
        } = self;
        let kept = SCRATCH_KEPT.max(2 * connections);
        completions.shrink_to(kept);
        outcomes.shrink_to(kept);
        batches.shrink_to(kept);
        for slots in [targets, frames, replies, composed, backlogs, paused, json_backlogs] {
            slots.shrink_to(kept);
        }
        plan.feeds.shrink_to(kept);
        plan.parts.shrink_to(kept);
        groups.shrink_to(kept);
        topics.shrink_to(kept);
    }
}

/// What a shard needs of the configuration.
#[derive(Clone, Debug)]
struct Settings {
    /// Of this shard.
    max_connections: u32,
    max_connections_in_all: u32,
    max_topics: u32,
    /// Of one connection.
    max_subscriptions: usize,
    topic_log_bytes: usize,
    max_message_bytes: usize,
    /// Which offers of compression are accepted, if any.
    deflate: Option<SmallWindows>,
    inbound_bytes: usize,
    lag_tail_bytes: usize,
    handshake: Tick,
    http_idle: Tick,
    ping: Tick,
    pong: Tick,
    close: Tick,
    drain: Tick,
}

impl Shard {
    /// `metrics`: where every shard leaves its metrics.
    pub fn new(config: &Config, mesh: Mesh, metrics: Vec<MetricsSlot>) -> Self {
        assert_eq!(metrics.len(), usize::from(mesh.shards()), "every shard has a place for its metrics");
        let share = config.connections_of_shard(mesh.me.0);
        let limits = Limits::default()
            .with_max_frame_bytes(config.max_frame_bytes as u64)
            .and_then(|limits| limits.with_max_message_bytes(config.max_message_bytes))
            .and_then(|limits| limits.with_max_fragments(config.max_fragments))
            .and_then(|limits| limits.with_max_head_bytes(config.max_head_bytes))
            .expect("the configuration was checked");
        let shards = usize::from(mesh.shards());
        Self {
            settings: Settings {
                max_connections: share,
                max_connections_in_all: config.max_connections,
                max_topics: config.max_topics,
                max_subscriptions: config.max_subscriptions as usize,
                topic_log_bytes: config.topic_log_bytes,
                max_message_bytes: config.max_message_bytes,
                deflate: config.deflate.then_some(if config.deflate_small_windows {
                    SmallWindows::Accept
                } else {
                    SmallWindows::Decline
                }),
                inbound_bytes: config.inbound_bytes,
                lag_tail_bytes: config.lag_tail_bytes,
                handshake: Tick::of(config.handshake_timeout),
                http_idle: Tick::of(config.http_idle_timeout),
                ping: Tick::of(config.ping_interval),
                pong: Tick::of(config.pong_timeout),
                close: Tick::of(config.close_timeout),
                drain: Tick::of(config.drain_timeout),
            },
            limits,
            access: AccessRules {
                allow_origin: config.allow_origin.clone(),
                allow_anonymous_publish: config.allow_anonymous_publish,
            },
            echo_path: config.echo_path.clone(),
            listeners: Vec::new(),
            table: Table::new((config.connections_per_shard() + RESERVED_CONNECTIONS) as usize),
            hub: Hub::new(HubLimits {
                max_subscribers: (config.connections_per_shard() + RESERVED_CONNECTIONS) as usize,
                log_bytes: config.log_bytes,
                topic_log_bytes: config.topic_log_bytes,
                lag_policy: config.lag_policy,
            }),
            homes: Homes::new(config.topic_idle),
            topics: Topics::default(),
            metrics: Metrics::new(ProtocolError::RULES),
            metrics_slot: metrics[usize::from(mesh.me.0)].clone(),
            all_metrics: metrics,
            mesh,
            attention: Vec::new(),
            waiting: Waiting::default(),
            stalled: (0..shards).map(|_| None).collect(),
            parked: BTreeMap::new(),
            parked_bytes: 0,
            starved: VecDeque::new(),
            inbound_used: 0,
            tails_used: 0,
            codec: Codec::new(config.deflate_threshold..=config.topic_log_bytes, config.deflate_level),
            websockets: 0,
            admins: 0,
            over_limit: 0,
            clock: timers::Clock::default(),
            flush: None,
            drain: None,
            protocol_error_log: RateLimit::new(10, Duration::from_secs(1)),
            accept_error_log: RateLimit::new(1, Duration::from_secs(1)),
            scratch: Scratch::default(),
        }
    }

    /// The only shard of its server.
    pub fn alone(config: &Config) -> Self {
        Self::new(config, Mesh::alone(), vec![MetricsSlot::new(ProtocolError::RULES)])
    }

    /// Tells the shard of a listener that was added to its ring.
    pub fn add_listener(&mut self, id: ListenerId, kind: ListenerKind) {
        self.listeners.push(ListenerState::new(id, kind));
    }

    /// This shard's end of the mesh.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// One turn.
    pub fn step<R: Ring>(&mut self, cx: &mut Context<'_, R>, inbox: &mut Inbox) -> Turn {
        self.metrics.counters.turns += 1;
        self.clock.read(cx.now);
        self.arm_listeners(cx);

        let mut completions = std::mem::take(&mut self.scratch.completions);
        cx.ring.poll(&mut completions);
        let mut is_busy = !completions.is_empty();
        for completion in completions.drain(..) {
            self.dispatch(cx, completion);
        }
        self.scratch.completions = completions;

        if std::mem::take(&mut inbox.drain) {
            // After what was accepted before it was said.
            self.start_flush();
        }
        self.mesh.arrive(std::mem::take(&mut inbox.arrivals));
        self.take_relays(cx);
        self.serve_requests(cx);
        self.deliver(cx);
        self.retry_parked(cx);
        self.flush(cx);
        // Before the publishes that wait for the same links: those take all the room there is, and subscribers would wait for ever.
        self.tell_homes(cx);
        let left_untold = self.topics.listed();
        self.retry_held(cx);
        self.rearm_starved(cx);
        self.run_timers(cx);
        is_busy |= !self.attention.is_empty()
            || self.hub.ready_raw() > 0
            || self.hub.ready_json() > 0
            || self.hub.has_runnable()
            || self.topics.listed() > left_untold
            || (self.drain.is_some() && !self.are_listeners_closed())
            || (!self.starved.is_empty() && cx.ring.buffers_free() > 0)
            || cx.ring.has_work();
        if self.is_drained() {
            Turn::Finished
        } else if is_busy {
            Turn::Busy
        } else {
            Turn::Idle
        }
    }

    /// The one place that knows which kind of token belongs to whom.
    fn dispatch<R: Ring>(&mut self, cx: &mut Context<'_, R>, completion: Completion) {
        let (kind, slot) = (completion.token.kind(), Slot(completion.token.slot()));
        match Operation::from_kind(kind) {
            Some(operation) => self.on_connection(cx, slot, operation, completion),
            None if kind == accept_kind::ACCEPT => self.on_accept(cx, slot.index(), completion),
            None if kind == accept_kind::CANCEL => self.on_accept_cancelled(slot.index()),
            None if kind == timers::KIND => self.clock.on_timer(),
            None => panic!("completion of unknown kind {kind:#x}"),
        }
    }

    /// A completion for a connection.
    fn on_connection<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        operation: Operation,
        completion: Completion,
    ) {
        let Some(connection) = self.table.current(slot, completion.token.generation()) else {
            self.metrics.counters.completions_stale += 1;
            if let Some(buffer) = completion.buffer {
                cx.ring.release(buffer);
            }
            return;
        };
        if !completion.more {
            connection.end(operation);
        }
        match operation {
            Operation::Receive => self.on_receive(cx, slot, completion),
            Operation::PollWritable => self.mark(slot),
            Operation::PeerAddress => {
                connection.peer = completion.address.map_or(Peer::UNKNOWN, Peer::new);
                self.go_on(cx, slot);
            }
            // Whatever it met has ended or will say so, and asking again until then would keep the ring too busy to say it. But
            // it may have met nothing, or the receive before.
            Operation::CancelReceive if connection.is(Flag::Paused) || connection.phase == Phase::Dying => {
                if completion.result.is_err() || connection.is(Flag::ArmedAnew) {
                    self.cancel_receive(cx, slot);
                }
            }
            Operation::CancelReceive
            | Operation::CancelPoll
            | Operation::Shutdown
            | Operation::ResetOnClose => {}
            Operation::Close => {
                self.vacate(slot);
                return;
            }
        }
        self.close_when_quiet(cx, slot);
    }

    fn vacate(&mut self, slot: Slot) {
        self.admins -= u32::from(self.table[slot].is(Flag::Admin));
        self.over_limit -= u32::from(self.table[slot].is(Flag::OverLimit));
        self.table.vacate(slot);
    }

    /// Lists a connection as having something to send outside of passes.
    fn mark(&mut self, slot: Slot) {
        if self.table[slot].set_newly(Flag::Attention) {
            self.attention.push(slot);
        }
    }

    /// Brings the metrics that mirror a level or another part's count up to date, and leaves all of them for a scrape.
    fn publish_metrics<R: Ring>(&mut self, ring: &R) {
        let counters = &mut self.metrics.counters;
        counters.connections_open = self.table.occupied() as u64;
        counters.subscribers = self.hub.subscriptions() as u64;
        counters.topics = self.homes.len() as u64;
        counters.websockets_open = self.websockets;
        counters.parked_bytes = self.parked_bytes as u64;
        counters.lagging = self.hub.laggers() as u64;
        counters.log_bytes_used = self.hub.log_bytes_used() as u64;
        counters.inbound_bytes_used = self.inbound_used as u64;
        let hub = self.hub.stats();
        counters.deliveries = hub.delivered;
        counters.lapped = hub.lapped;
        counters.messages_skipped = hub.messages_skipped;
        counters.log_pool_exhausted = hub.pool_exhausted;
        counters.messages_too_long_in_json = hub.too_long_in_json;
        let ring = ring.stats();
        counters.cq_overflows = ring.cq_overflows;
        counters.sends_short = ring.sends_short;
        counters.sends_refused = ring.sends_refused;
        counters.receive_buffers_exhausted = ring.receives_without_buffer;
        self.metrics_slot.publish(&self.metrics);
    }

    /// What this shard has measured, as of its last published metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How long the last turn took.
    pub fn record_turn(&mut self, duration: Duration) {
        self.metrics.turn_duration.record(duration);
    }

    /// What is kept and waited for at this moment.
    pub fn levels(&self) -> Levels {
        let owed = self.table.iter().filter_map(|(_, connection)| Some(connection.outbound.as_ref()?.owed));
        Levels {
            waiting: self.waiting.len(),
            stalled: self.stalled.iter().flatten().count(),
            parked_bytes: self.parked_bytes,
            log_bytes: self.hub.log_bytes_used(),
            log_bytes_spare: self.hub.log_bytes_spare(),
            tail_bytes: self.tails_used,
            inbound_bytes: self.inbound_used,
            owed_max: owed.max().unwrap_or(0),
            records: self.topics.len(),
            homes: self.homes.len(),
        }
    }

    /// Whether nothing is left of any connection: all memory they used is back.
    pub fn is_clean(&self) -> bool {
        self.table.is_empty()
            && self.inbound_used == 0
            && self.tails_used == 0
            && self.hub.log_bytes_used() == 0
            && self.hub.subscriptions() == 0
            && self.parked.is_empty()
            && self.parked_bytes == 0
            && self.stalled.iter().all(Option::is_none)
            && self.waiting.len() == 0
    }
}

/// A connection's slot is its socket's index in the ring's table.
fn file(slot: Slot) -> File {
    File(slot.0)
}
