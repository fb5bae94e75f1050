//! Runs for tests, made from costs that are known.

use super::cost::Quantities;
use super::observation::{MemorySeen, Observation, SendsFrom};
use super::wire::frame_bytes;

pub(super) struct Costs {
    pub(super) send: f64,
    pub(super) far: f64,
    pub(super) near: f64,
    pub(super) byte: f64,
    pub(super) pass: f64,
    pub(super) message: f64,
    pub(super) relay: f64,
    pub(super) compression: f64,
    pub(super) rest: f64,
}

/// One topic on one core for ten seconds.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub(super) subscribers: f64,
    pub(super) rate: f64,
    pub(super) size: f64,
    pub(super) messages_per_send: f64,
    pub(super) shards: f64,
    pub(super) relays_each: f64,
    pub(super) topics: f64,
    pub(super) is_compressed: bool,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            subscribers: 1_000.0,
            rate: 100.0,
            size: 64.0,
            messages_per_send: 1.0,
            shards: 1.0,
            relays_each: 0.0,
            topics: 1.0,
            is_compressed: false,
        }
    }
}

pub(super) const CONNECT_SECONDS: f64 = 10e-6;
/// Resident memory: of the process, of each shard, of each connection.
pub(super) const PROCESS_BYTES: f64 = 4e6;
pub(super) const SHARD_BYTES: f64 = 2e6;
pub(super) const CONNECTION_BYTES: f64 = 110.0;
pub(super) const KERNEL_BYTES: f64 = 8_000.0;

pub(super) fn run(name: &str, work: &Work, costs: &Costs) -> Observation {
    let window_seconds = 10.0;
    let messages = work.rate * window_seconds;
    let fan_out = work.subscribers / work.topics;
    let deliveries = messages * fan_out;
    let at_rest = PROCESS_BYTES + SHARD_BYTES / 2.0 * work.shards;
    let mut observation = Observation {
        run: name.to_owned(),
        preset: "corecast".to_owned(),
        is_posted: false,
        host: "Example CPU, Linux 6.18.0".to_owned(),
        window_seconds,
        cores: 1.0,
        shards: work.shards,
        busy_seconds: 0.0,
        process_seconds: 0.0,
        connections: work.subscribers,
        topics: work.topics,
        subscriptions: 1.0,
        fan_out,
        message_bytes: work.size,
        messages,
        relays: messages * work.relays_each,
        deliveries,
        sends: deliveries / work.messages_per_send,
        sends_from: SendsFrom::Server,
        bytes: deliveries * frame_bytes(work.size as u64) as f64,
        is_compressed: work.is_compressed,
        connects: work.subscribers,
        connect_busy_seconds: work.subscribers * CONNECT_SECONDS,
        memory: MemorySeen {
            resident_bytes_before: at_rest,
            resident_bytes_end: PROCESS_BYTES
                + SHARD_BYTES * work.shards
                + CONNECTION_BYTES * work.subscribers,
            kernel_bytes: Some(KERNEL_BYTES * work.subscribers),
        },
        is_generator_limited: false,
        generator_cores: vec![1],
    };
    observation.busy_seconds = busy(&observation.quantities(), costs);
    observation.process_seconds = observation.busy_seconds * 0.9;
    observation
}

fn busy(quantities: &Quantities, costs: &Costs) -> f64 {
    let far_part = (1.0 - costs.near / quantities.connections_per_core).max(0.0);
    quantities.sends * (costs.send + costs.far * far_part)
        + quantities.bytes * costs.byte
        + quantities.passes * costs.pass
        + quantities.messages * costs.message
        + quantities.relays * costs.relay
        + quantities.compressed_bytes * costs.compression
        + quantities.core_seconds * costs.rest
}
