//! corecast: a pub/sub broadcast service over WebSocket, one shard per core, each on its own io_uring.
//!
//! `config` turns what the operator wrote into a [`Config`](config::Config); [`start`] makes a running service of it. A
//! [`shard`] joins the parts: `net` has sockets and knows nothing of topics, `hub` has topics and knows nothing of sockets,
//! `http` reads and writes requests, `dialect` what clients say over a WebSocket, `mesh` what shards say to each other, `home`
//! and `topics` how a topic is kept by the shard that numbers it and by those that follow it, `observe` shows what happens.

pub mod config;
pub mod deflate;
pub mod dialect;
pub mod home;
pub mod http;
pub mod hub;
pub mod ids;
pub mod mesh;
pub mod message;
pub mod net;
pub mod observe;
mod pages;
mod running;
pub mod shard;
pub mod topics;

pub use running::{Running, StartError, start};
