//! Two to eight whole shards on fake rings, joined by a mesh whose links are as narrow as one message: clients of all dialects
//! connect to any of them, subscribe, publish, stall and break off at random moments, while shards turn in any order or not
//! at all for a while, messages between them arrive late, and the rings do to their sockets what rings can do.
//!
//! What is checked. For every subscriber: the messages after its confirmation are there, once, in order, with what was
//! published and the offsets that everybody else was told; or it was told what it missed, or was closed. For every request:
//! one answer, and what it says is true. For the shards: every bound, after every turn; and that they come to rest when
//! everybody reads, without a tick to remind them, with nothing left under way, waiting or parked; and that everything is
//! given back, and every topic forgotten, when everybody has left.
//!
//! A failure prints its seed and how to run it again.

mod mesh_faults {
    mod check;
    mod client;
    mod http;
    mod json;
    pub(crate) mod plan;
    mod raw;
    mod truth;
    pub(crate) mod world;
}

use corecast_tests::seeds::for_seeds;
use corecast_uring::testing::Faults;
use mesh_faults::plan::Plan;
use mesh_faults::world::World;

#[test]
fn nothing_is_lost_doubled_or_reordered_between_shards_under_faults() {
    for_seeds(120, |rng| World::new(rng.u64(..), Plan::random(rng), Faults::all()).run());
}

#[test]
fn nothing_is_lost_doubled_or_reordered_between_shards_without_faults() {
    for_seeds(60, |rng| World::new(rng.u64(..), Plan::random(rng), Faults::none()).run());
}

#[test]
fn drain_of_all_shards_tells_everybody_and_leaves_nothing() {
    for_seeds(60, |rng| World::new(rng.u64(..), Plan::random(rng), Faults::all()).run_and_drain());
}
