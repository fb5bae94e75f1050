//! The kernel's ring against real sockets on the loopback interface.
//!
//! Nothing here sleeps for a fixed time: each test waits for the completion that it is about, at most
//! `PATIENCE`.

mod bench;
mod client;
mod gather;
mod listeners;
mod queues;
mod receive;
mod send;
mod table;
