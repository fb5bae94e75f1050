//! The whole shard on a fake ring: clients connect, subscribe, publish, stall, ping, close, break off and break the protocol
//! at random, while the ring sends short, refuses, ends receives, runs out of buffers and completes late.
//!
//! Some speak HTTP first, without waiting for the answers, and upgrade the same connection behind it: every answer is that of
//! its request, in order, and nothing but the 101 follows them.
//!
//! What is checked, for every subscriber: its stream is whole frames; its messages are a piece without gap of what the
//! topic's witness got (a subscriber that was there first, always reads, and itself must have every accepted message once, in
//! each publisher's order); the piece begins no later than the first message sent after its 101; it ends with the topic's
//! last message, unless the subscriber was told and closed. And in the end every byte of memory is back.
//!
//! A failure prints its seed and how to run it again.

mod shard_faults {
    pub(crate) mod client;
    pub(crate) mod pipeline;
    pub(crate) mod world;
}

use corecast_tests::seeds::for_seeds;
use corecast_uring::testing::Faults;
use shard_faults::world::{Plan, World};

#[test]
fn nothing_is_torn_lost_doubled_or_reordered_under_faults() {
    for_seeds(150, |rng| World::new(rng.u64(..), Plan::random(rng), Faults::all()).run());
}

#[test]
fn nothing_is_torn_lost_doubled_or_reordered_without_faults() {
    for_seeds(50, |rng| World::new(rng.u64(..), Plan::random(rng), Faults::none()).run());
}

#[test]
fn drain_tells_everybody_and_leaves_nothing() {
    for_seeds(50, |rng| World::new(rng.u64(..), Plan::random(rng), Faults::all()).run_and_drain());
}
