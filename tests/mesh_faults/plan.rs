//! How one seed's world is made: how many shards, how narrow everything between and in them is.

use corecast::config::{Config, HostLimits, LagPolicy, RESERVED_CONNECTIONS};
use corecast::mesh::Capacity;
use corecast_uring::RingConfig;
use fastrand::Rng;
use std::time::Duration;

/// The longest message, in bytes.
pub(crate) const MESSAGE_MAX: usize = 4 << 10;

/// Connections of a shard: more than ever live, and those that are being closed.
const PLACES: u32 = 200;

const NEVER: Duration = Duration::from_secs(3600);

#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shards: u16,
    pub(crate) topics: usize,
    pub(crate) steps: u64,
    pub(crate) clients_max: usize,
    pub(crate) capacity: Capacity,
    /// Payloads are shorter than this.
    pub(crate) message_bytes: usize,
    /// Room in a client's socket.
    pub(crate) send_capacity: usize,
    pub(crate) lag_policy: LagPolicy,
    topic_log_bytes: usize,
    log_bytes: usize,
    pub(crate) lag_tail_bytes: usize,
    pub(crate) inbound_bytes: usize,
    pub(crate) max_topics: u32,
    pub(crate) max_subscriptions: u32,
    topic_idle: Duration,
}

impl Plan {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let topics = rng.usize(1..7);
        let topic_log_bytes = pick(rng, &[8 << 10, 8 << 10, 16 << 10, 64 << 10]);
        Self {
            shards: rng.u16(2..9),
            topics,
            steps: rng.u64(50..400),
            clients_max: rng.usize(4..24),
            capacity: Capacity {
                messages: pick(rng, &[1, 2, 5, 1024]),
                bytes: pick(rng, &[1, 1000, 20_000, 1 << 20]),
            },
            message_bytes: pick(rng, &[20, 200, 1000, 3500]),
            send_capacity: pick(rng, &[300, 1000, 4000, 100_000]),
            lag_policy: pick(rng, &[LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::SkipSilent]),
            topic_log_bytes,
            // Two of a topic's feeds may have a chunk each that is all of their log.
            log_bytes: topic_log_bytes * pick(rng, &[2, 2, 8]),
            lag_tail_bytes: pick(rng, &[0, 5000, 1 << 20, 1 << 20]),
            inbound_bytes: pick(rng, &[8 << 10, 1 << 20, 1 << 20, 1 << 20]),
            max_topics: if rng.u8(..4) == 0 { rng.u32(1..=topics as u32) } else { 1000 },
            max_subscriptions: if rng.u8(..4) == 0 { 2 } else { 128 },
            topic_idle: Duration::from_secs(pick(rng, &[1, 60, 60])),
        }
    }

    /// Whether a topic that nobody uses is forgotten while clients live, and begins again with another epoch.
    pub(crate) fn forgets_early(&self) -> bool {
        self.topic_idle < Duration::from_secs(60)
    }

    pub(crate) fn may_be_full_of_topics(&self) -> bool {
        (self.max_topics as usize) < self.topics
    }

    pub(crate) fn config(&self) -> Config {
        let host = HostLimits { open_files: 20_000, cores: 1, ..HostLimits::read() };
        Config {
            shards: u32::from(self.shards),
            max_connections: PLACES * u32::from(self.shards),
            max_topics: self.max_topics,
            max_subscriptions: self.max_subscriptions,
            max_message_bytes: MESSAGE_MAX,
            max_frame_bytes: MESSAGE_MAX,
            topic_log_bytes: self.topic_log_bytes,
            log_bytes: self.log_bytes,
            lag_tail_bytes: self.lag_tail_bytes,
            inbound_bytes: self.inbound_bytes,
            lag_policy: self.lag_policy,
            topic_idle: self.topic_idle,
            // Time passes in leaps: nobody is to be given up for having had no turn meanwhile.
            handshake_timeout: NEVER,
            http_idle_timeout: NEVER,
            ping_interval: NEVER,
            close_timeout: Duration::from_secs(60),
            ..Config::defaults(&host)
        }
    }

    pub(crate) fn ring(&self) -> RingConfig {
        RingConfig {
            submission_entries: 16,
            completion_entries: 64,
            files: PLACES + RESERVED_CONNECTIONS,
            receive_buffers: 8,
            receive_buffer_bytes: 512,
            eventfd: false,
            ..RingConfig::default()
        }
    }

    pub(crate) fn log_bytes(&self) -> usize {
        self.log_bytes
    }

    /// What may wait beside the logs of a shard: of each link what it may have under way, and a body of lines of its own.
    pub(crate) fn parked_bytes_max(&self) -> usize {
        let link = self.capacity.bytes.max(self.capacity.bytes / 2 + MESSAGE_MAX);
        link * usize::from(self.shards - 1) + self.topic_log_bytes + MESSAGE_MAX
    }
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    *rng.choice(of).expect("there are some")
}
