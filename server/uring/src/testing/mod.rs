//! A ring without a kernel, for tests: seeded, deterministic, and as hostile as the real one can be.

mod faults;

use std::net::SocketAddr;
use std::time::Duration;

pub use faults::Faults;

use crate::buffers::ReceiveBuffer;
use crate::completion::{Completion, SendOutcome};
use crate::op::{File, ListenerId, Op, Send};
use crate::ring::{Ring, RingConfig, RingStats};
use crate::token::Token;

/// The far end of a connection of a [`FakeRing`]. Stays valid after the connection has ended.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Peer(pub u32);

#[derive(Debug)]
pub struct FakeRing {
    stats: RingStats,
}

impl FakeRing {
    pub fn new(seed: u64, config: RingConfig, faults: Faults) -> Self {
        unimplemented!("{seed} {config:?} {faults:?}")
    }
    pub fn add_listener(&mut self) -> ListenerId {
        unimplemented!()
    }
    pub fn set_faults(&mut self, _faults: Faults) {
        unimplemented!()
    }
    pub fn connect(&mut self) -> Peer {
        unimplemented!()
    }
    pub fn connect_from(&mut self, _address: SocketAddr) -> Peer {
        unimplemented!()
    }
    pub fn peer_send(&mut self, _peer: Peer, _bytes: &[u8]) {
        unimplemented!()
    }
    pub fn peer_receive(&mut self, _peer: Peer) -> Vec<u8> {
        unimplemented!()
    }
    pub fn peer_shutdown(&mut self, _peer: Peer) {
        unimplemented!()
    }
    pub fn peer_reset(&mut self, _peer: Peer) {
        unimplemented!()
    }
    pub fn peer_is_closed(&self, _peer: Peer) -> bool {
        unimplemented!()
    }
    pub fn peer_was_reset(&self, _peer: Peer) -> bool {
        unimplemented!()
    }
    pub fn peer_file(&self, _peer: Peer) -> Option<File> {
        unimplemented!()
    }
    pub fn set_send_capacity(&mut self, _peer: Peer, _bytes: usize) {
        unimplemented!()
    }
    pub fn advance(&mut self, _by: Duration) {
        unimplemented!()
    }
    pub fn assert_quiescent(&self) {
        unimplemented!()
    }
}

impl Ring for FakeRing {
    fn push(&mut self, _token: Token, _op: Op) {
        unimplemented!()
    }
    fn send_batch<'a>(&mut self, _sends: impl Iterator<Item = Send<'a>>, _outcomes: &mut Vec<SendOutcome>) {
        unimplemented!()
    }
    fn poll(&mut self, _completions: &mut Vec<Completion>) {
        unimplemented!()
    }
    fn wait(&mut self, _timeout: Option<Duration>, _completions: &mut Vec<Completion>) {
        unimplemented!()
    }
    fn has_work(&self) -> bool {
        unimplemented!()
    }
    fn release(&mut self, _buffer: ReceiveBuffer) {
        unimplemented!()
    }
    fn buffers_free(&self) -> usize {
        unimplemented!()
    }
    fn stats(&self) -> RingStats {
        self.stats
    }
}
