//! The hub against an oracle: random topics, subscribers and sockets in both encodings, driven in the order in which the
//! shard drives them, and every small pass with a join or a leave at every place.

#[path = "model_hub/case.rs"]
mod case;
#[path = "model_hub/connection.rs"]
mod connection;
#[path = "model_hub/driver.rs"]
mod driver;
#[path = "model_hub/every_place.rs"]
mod every_place;
#[path = "model_hub/json.rs"]
mod json;
#[path = "model_hub/random.rs"]
mod random;
#[path = "model_hub/stream.rs"]
mod stream;
#[path = "model_hub/world.rs"]
mod world;
