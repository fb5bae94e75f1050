use std::net::{Ipv4Addr, SocketAddr};

use super::FakeRing;
use super::connection::{Connection, Place};
use crate::op::{File, ListenerId};

/// The far end of a connection of a [`FakeRing`]. It stays valid after the connection has ended.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Peer(pub u32);

/// The far side of the wire.
impl FakeRing {
    /// Connects to the first listener from an address of its own.
    pub fn connect(&mut self) -> Peer {
        let number = u32::try_from(self.connections.len()).expect("fewer connections than that");
        let [_, high, middle, low] = number.to_be_bytes();
        self.connect_from((Ipv4Addr::new(10, high, middle, low), 40_000).into())
    }

    /// Connects to the first listener from this address.
    pub fn connect_from(&mut self, address: SocketAddr) -> Peer {
        self.connect_to(ListenerId(0), address)
    }

    pub fn connect_to(&mut self, listener: ListenerId, address: SocketAddr) -> Peer {
        let number = u32::try_from(self.connections.len()).expect("fewer connections than that");
        let mut connection = Connection::new(address);
        let listener = &mut self.listeners[usize::from(listener.0)];
        if listener.closed {
            connection.place = Place::Gone;
            connection.reset = true;
        } else {
            listener.waiting.push_back(number);
        }
        self.connections.push(connection);
        Peer(number)
    }

    /// Sends bytes; they may be received in any portions. To an end that is gone they bring back a reset.
    pub fn peer_send(&mut self, peer: Peer, bytes: &[u8]) {
        let end = self.touch(peer);
        assert!(!end.peer_finished && !end.peer_reset, "{peer:?} has ended its stream");
        if end.place == Place::Gone {
            end.reset |= !bytes.is_empty();
        } else {
            end.inbound.extend(bytes);
        }
    }

    /// Takes what has arrived, which makes room for further sends.
    pub fn peer_receive(&mut self, peer: Peer) -> Vec<u8> {
        std::mem::take(&mut self.touch(peer).outbound)
    }

    /// Takes at most `most` bytes of what has arrived.
    pub fn peer_receive_some(&mut self, peer: Peer, most: usize) -> Vec<u8> {
        let end = self.touch(peer);
        let count = most.min(end.outbound.len());
        end.outbound.drain(..count).collect()
    }

    /// Sends a FIN: nothing can follow.
    pub fn peer_shutdown(&mut self, peer: Peer) {
        self.touch(peer).peer_finished = true;
    }

    /// Sends a reset. What was sent before can still be received.
    pub fn peer_reset(&mut self, peer: Peer) {
        self.touch(peer).meet_reset();
    }

    /// Whether a FIN or a reset has come from the ring's end. Bytes sent before a FIN can still be taken.
    pub fn peer_is_closed(&self, peer: Peer) -> bool {
        let end = self.end(peer);
        end.finished || end.reset
    }

    /// Whether a reset has come from the ring's end.
    pub fn peer_was_reset(&self, peer: Peer) -> bool {
        self.end(peer).reset
    }

    /// Where the connection is in the table; `None` before it is accepted and after it is closed.
    pub fn peer_file(&self, peer: Peer) -> Option<File> {
        match self.end(peer).place {
            Place::Accepted(file) => Some(file),
            Place::Waiting | Place::Gone => None,
        }
    }

    /// Bounds how many bytes the ring's end can send before the far end takes some.
    pub fn set_send_capacity(&mut self, peer: Peer, bytes: usize) {
        self.touch(peer).send_capacity = bytes;
    }

    fn touch(&mut self, peer: Peer) -> &mut Connection {
        self.touched.insert(peer.0);
        &mut self.connections[peer.0 as usize]
    }

    fn end(&self, peer: Peer) -> &Connection {
        &self.connections[peer.0 as usize]
    }
}
