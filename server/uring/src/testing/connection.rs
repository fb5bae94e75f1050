use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::errno::Errno;
use crate::op::File;
use crate::token::Token;

/// Room that a socket has for sent bytes the far end has not taken, unless a test says otherwise.
const SEND_CAPACITY: usize = 256 * 1024;

/// Both ends of one connection and the bytes between them.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) address: SocketAddr,
    pub(super) place: Place,

    /// Sent by the far end, not yet received.
    pub(super) inbound: VecDeque<u8>,
    /// Sent by the ring's end, not yet taken by the far end.
    pub(super) outbound: Vec<u8>,
    /// Invariant: `outbound` grows only up to this.
    pub(super) send_capacity: usize,

    /// The far end has sent its FIN.
    pub(super) peer_finished: bool,
    /// The far end has sent a reset.
    pub(super) peer_reset: bool,
    /// What the reset is reported as.
    reset_errno: Errno,
    /// The reset has been reported to one operation; later ones are told otherwise.
    reset_reported: bool,
    /// The ring's end has sent its FIN.
    pub(super) finished: bool,
    /// Closing will send a reset.
    pub(super) resets_on_close: bool,
    /// The ring's end has answered with a reset.
    pub(super) reset: bool,

    pub(super) receive: Option<Armed>,
    /// The kernel has not tried the receive yet.
    pub(super) receive_is_new: bool,
    pub(super) poll_writable: Option<Armed>,
    /// Operations on the file whose last completion has not been handed out.
    pub(super) in_flight: Vec<(Token, Kind)>,
    /// A close has been pushed: nothing may follow it.
    pub(super) closing: bool,
    /// The index that becomes free when the close's completion is handed out.
    pub(super) freed_by_close: Option<File>,
}

/// Where the ring's end is.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Place {
    /// In a listener's queue.
    Waiting,
    Accepted(File),
    /// Closed, or lost when the table was full.
    Gone,
}

/// An operation that the kernel holds.
#[derive(Copy, Clone, Debug)]
pub(super) struct Armed {
    pub(super) token: Token,
    /// Its next completion is its last.
    pub(super) ends: bool,
}

/// Operations on a file that count as in flight.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) enum Kind {
    Receive,
    PollWritable,
    PeerAddress,
    Shutdown,
    SetOption,
    Close,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            place: Place::Waiting,
            inbound: VecDeque::new(),
            outbound: Vec::new(),
            send_capacity: SEND_CAPACITY,
            peer_finished: false,
            peer_reset: false,
            reset_errno: Errno::ECONNRESET,
            reset_reported: false,
            finished: false,
            resets_on_close: false,
            reset: false,
            receive: None,
            receive_is_new: false,
            poll_writable: None,
            in_flight: Vec::new(),
            closing: false,
            freed_by_close: None,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.send_capacity.saturating_sub(self.outbound.len())
    }

    pub(super) fn is_writable(&self) -> bool {
        self.room() > 0 || self.peer_reset || self.finished
    }

    pub(super) fn has_something_to_receive(&self) -> bool {
        !self.inbound.is_empty() || self.peer_finished || self.peer_reset
    }

    /// Whether an operation that the kernel holds can complete.
    pub(super) fn is_ready(&self) -> bool {
        (self.receive.is_some() && (self.receive_is_new || self.has_something_to_receive()))
            || (self.poll_writable.is_some() && self.is_writable())
    }

    /// A reset comes from the far end. After its FIN it is a broken pipe, unless our FIN has gone out as well.
    pub(super) fn meet_reset(&mut self) {
        self.peer_reset = true;
        if self.peer_finished && !self.finished {
            self.reset_errno = Errno::EPIPE;
        }
    }

    /// What a receive is told when there are no bytes left: the end of the stream, which hides a reset behind it, or the
    /// reset, once.
    pub(super) fn receive_end(&mut self) -> Result<u32, Errno> {
        if self.peer_finished {
            return Ok(0);
        }
        if self.peer_reset && !std::mem::replace(&mut self.reset_reported, true) {
            Err(self.reset_errno)
        } else {
            Ok(0)
        }
    }

    /// Why a send can take nothing at all, full sockets apart.
    pub(super) fn send_error(&mut self) -> Option<Errno> {
        if self.peer_reset && !std::mem::replace(&mut self.reset_reported, true) {
            return Some(self.reset_errno);
        }
        (self.peer_reset || self.finished).then_some(Errno::EPIPE)
    }

    /// The ring's end is closed. Bytes that nobody received turn the FIN into a reset (RFC 1122 §4.2.2.13).
    pub(super) fn close(&mut self) {
        self.place = Place::Gone;
        self.finished = true;
        self.reset |= !self.inbound.is_empty() || self.resets_on_close;
        self.inbound.clear();
    }

    pub(super) fn in_flight(&self, kind: Kind) -> bool {
        self.in_flight.iter().any(|&(_, other)| other == kind)
    }
}
