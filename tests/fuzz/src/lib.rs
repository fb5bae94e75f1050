//! What each target does with the fuzzer's bytes. It panics where what we do with them differs from what an oracle says,
//! from what we do with the same bytes cut elsewhere, or from what has to hold whatever a peer sends.

pub mod connection;
pub mod deflate;
pub mod handshake;
pub mod http1;
pub mod hub_operations;
pub mod json_command;

mod extensions;
mod heads;
mod inflate;
mod json;
mod pieces;
