//! The hub against an oracle: random topics, subscribers and sockets, driven in the order in which the shard drives them,
//! and every small pass with a join or a leave at every place.

#[path = "model_hub/every_place.rs"]
mod every_place;
#[path = "model_hub/random.rs"]
mod random;
#[path = "model_hub/stream.rs"]
mod stream;
#[path = "model_hub/world.rs"]
mod world;
