//! What is observable and how it reaches the outside.
//!
//! ```text
//! shard: Metrics (plain memory) --publish--> MetricsSlot (atomics, one writer) --Snapshot::of--> prometheus::render
//! ```
//!
//! A scrape reads the slots and never touches a shard.

pub mod counters;
pub mod histogram;
pub mod log;
pub mod prometheus;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use counters::Counters;
pub use histogram::Histogram;

/// The commit that this was built from, or `unknown` outside a repository.
pub const COMMIT: &str = env!("CORECAST_COMMIT");

/// Version and commit, as `--version` shows them: `0.1.0 (commit 1a2b3c4)`.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("CORECAST_COMMIT"), ")");

/// What one shard measures, in plain memory that only the shard touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Events and levels.
    pub counters: Counters,
    /// From the acceptance of a publish to the last send of the pass that delivered it.
    pub fanout_latency: Histogram,
    /// Length of a turn of the shard's loop.
    pub turn_duration: Histogram,
}

/// Memory of one [`Metrics`], its labels of protocol rules left out.
pub const METRICS_BYTES: usize =
    (Counters::METRICS.len() + counters::CLOSE_CODES.len() + 2 * histogram::BUCKETS) * size_of::<u64>();

impl Metrics {
    /// All at zero. `rules` names the protocol rules that a peer can break.
    pub fn new(rules: &'static [&'static str]) -> Self {
        Self {
            counters: Counters::new(rules),
            fanout_latency: Histogram::default(),
            turn_duration: Histogram::default(),
        }
    }

    /// Every value in the fixed order in which slots hold them.
    fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.counters.values().chain(self.fanout_latency.values()).chain(self.turn_duration.values())
    }

    /// The same values in the same order, to be changed.
    fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.counters
            .values_mut()
            .chain(self.fanout_latency.values_mut())
            .chain(self.turn_duration.values_mut())
    }
}

/// Where one shard leaves its metrics for others to read. A clone is the same place.
#[derive(Clone, Debug)]
pub struct MetricsSlot {
    rules: &'static [&'static str],
    values: Arc<[AtomicU64]>,
}

impl MetricsSlot {
    /// A slot for a shard whose [`Metrics`] were made with the same `rules`.
    pub fn new(rules: &'static [&'static str]) -> Self {
        Self { rules, values: Metrics::new(rules).values().map(AtomicU64::new).collect() }
    }

    /// Leaves the present values. Only the slot's shard calls this, about every 100 ms: one relaxed store a value.
    pub fn publish(&self, metrics: &Metrics) {
        let mut values = metrics.values();
        for slot in self.values.iter() {
            slot.store(values.next().expect(SAME_RULES), Ordering::Relaxed);
        }
        assert!(values.next().is_none(), "{SAME_RULES}");
    }
}

const SAME_RULES: &str = "a slot and the metrics published in it are made with the same rules";

/// The sum of all shards' metrics as last published. A scrape during a publish may see some values from before it and
/// some from after: each is right by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The sums.
    pub metrics: Metrics,
    /// Some of them for each shard.
    pub shards: Vec<ShardFigures>,
}

/// What tells one shard from another.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardFigures {
    pub connections: u64,
    pub subscribers: u64,
    /// Accepted as their topics' home.
    pub messages_published: u64,
    /// Received from other shards' homes.
    pub messages_relayed: u64,
    pub deliveries: u64,
    /// Sends that carried them, and answers and control frames.
    pub sends: u64,
    /// Encoded bytes of the deliveries.
    pub delivered_bytes: u64,
    /// Time spent in turns.
    pub busy: Duration,
}

impl Snapshot {
    /// Sums the slots. Panics without any: a server has at least one shard.
    pub fn of(slots: &[MetricsSlot]) -> Self {
        let mut metrics = Metrics::new(slots[0].rules);
        let mut one = metrics.clone();
        let mut shards = Vec::with_capacity(slots.len());
        for slot in slots {
            for ((sum, value), loaded) in metrics.values_mut().zip(slot.values.iter()).zip(one.values_mut()) {
                *loaded = value.load(Ordering::Relaxed);
                *sum += *loaded;
            }
            shards.push(ShardFigures::of(&one));
        }
        Self { metrics, shards }
    }
}

impl ShardFigures {
    fn of(Metrics { counters, turn_duration, .. }: &Metrics) -> Self {
        Self {
            connections: counters.connections_open,
            subscribers: counters.subscribers,
            messages_published: counters.messages_published,
            messages_relayed: counters.messages_relayed,
            deliveries: counters.deliveries,
            sends: counters.sends,
            delivered_bytes: counters.delivered_bytes,
            busy: turn_duration.sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[&str] = &["mask"];

    #[test]
    fn snapshot_sums_what_the_shards_published() {
        let slots = [MetricsSlot::new(RULES), MetricsSlot::new(RULES)];
        let mut metrics = Metrics::new(RULES);
        metrics.counters.deliveries = 40;
        metrics.counters.protocol_error("mask");
        metrics.fanout_latency.record(Duration::from_micros(3));
        metrics.turn_duration.record(Duration::from_micros(5));
        slots[0].publish(&metrics);
        metrics.counters.deliveries = 2;
        metrics.turn_duration.record(Duration::from_micros(5));
        slots[1].publish(&metrics);

        let sum = Snapshot::of(&slots).metrics;
        assert_eq!(sum.counters.deliveries, 42);
        assert_eq!(sum.counters.protocol_errors.iter().collect::<Vec<_>>(), [("mask", 2), ("other", 0)]);
        assert_eq!(sum.fanout_latency.count(), 2);
        assert_eq!(sum.fanout_latency.sum(), Duration::from_micros(6));
        assert_eq!(sum.turn_duration.count(), 3);
        assert_eq!(sum.turn_duration.sum(), Duration::from_micros(15));
        let deliveries: Vec<u64> = Snapshot::of(&slots).shards.iter().map(|shard| shard.deliveries).collect();
        assert_eq!(deliveries, [40, 2]);
    }

    #[test]
    fn snapshot_shows_the_last_publish_only() {
        let slot = MetricsSlot::new(RULES);
        let mut metrics = Metrics::new(RULES);
        metrics.counters.lagging = 9;
        slot.publish(&metrics);
        metrics.counters.lagging = 4;
        assert_eq!(Snapshot::of(std::slice::from_ref(&slot)).metrics.counters.lagging, 9);
        slot.publish(&metrics);
        assert_eq!(Snapshot::of(&[slot]).metrics.counters.lagging, 4);
    }
}
