//! Accepting connections, as many as there is room for.

use super::{Context, Shard, file};
use crate::config::RESERVED_CONNECTIONS;
use crate::ids::Slot;
use crate::net::connection::{Flag, Operation, Peer};
use crate::net::listener::BACKLOG;
use corecast_uring::{Completion, Errno, ListenerId, Op, Ring, Token};
use tracing::warn;

/// Token kinds; the token's slot is the listener's number. Connections' operations are single bits.
pub(super) mod accept_kind {
    pub(in super::super) const ACCEPT: u8 = 0x81;
    pub(in super::super) const CANCEL: u8 = 0x82;
}

#[derive(Debug)]
pub(super) struct ListenerState {
    id: ListenerId,
    kind: ListenerKind,
    armed: Armed,
    is_cancelling: bool,
    is_closed: bool,
    /// Not armed again before this tick.
    retry_at: u32,
}

/// What a listener is for, and who can reach it.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum ListenerKind {
    /// For clients; `is_loopback`: only of this host.
    Tcp { is_loopback: bool },
    /// For clients of this host.
    Unix,
    /// For the operator.
    Admin { is_loopback: bool },
}

impl ListenerKind {
    fn is_admin(self) -> bool {
        matches!(self, Self::Admin { .. })
    }

    fn is_loopback(self) -> bool {
        match self {
            Self::Tcp { is_loopback } | Self::Admin { is_loopback } => is_loopback,
            Self::Unix => true,
        }
    }
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Armed {
    No,
    /// For one connection.
    One,
    /// For as many as come.
    Many,
}

impl ListenerState {
    pub(super) fn new(id: ListenerId, kind: ListenerKind) -> Self {
        Self { id, kind, armed: Armed::No, is_cancelling: false, is_closed: false, retry_at: 0 }
    }

    fn arm<R: Ring>(&mut self, number: usize, armed: Armed, ring: &mut R) {
        self.armed = armed;
        let listener = self.id;
        let op = if armed == Armed::Many { Op::Accept { listener } } else { Op::AcceptOne { listener } };
        ring.push(Token::new(accept_kind::ACCEPT, number as u32, 0), op);
    }

    fn cancel<R: Ring>(&mut self, number: usize, ring: &mut R) {
        if !self.is_cancelling {
            self.is_cancelling = true;
            let target = Token::new(accept_kind::ACCEPT, number as u32, 0);
            ring.push(Token::new(accept_kind::CANCEL, number as u32, 0), Op::Cancel { target });
        }
    }

    fn close<R: Ring>(&mut self, ring: &mut R) {
        self.is_closed = true;
        ring.close_listener(self.id);
    }
}

/// An accept for many takes every connection that is queued, and what then does not fit into the table is lost. So with
/// fewer free slots than a listener's queue holds, connections are accepted one a turn.
const FREE_SLOTS_FOR_MANY: usize = BACKLOG as usize + RESERVED_CONNECTIONS as usize;

/// Slots that only the admin listener gets: a full server must still be seen to be full.
const ADMIN_SLOTS: usize = 8;

impl Shard {
    /// Arms what should accept and does not.
    pub(super) fn arm_listeners<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        if self.drain.is_some() {
            self.drain_listeners(cx);
            return;
        }
        let mut free = self.table.capacity() - self.table.occupied();
        free -= self.listeners.iter().filter(|listener| listener.armed == Armed::One).count().min(free);
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if listener.armed == Armed::Many && free < FREE_SLOTS_FOR_MANY {
                listener.cancel(number, cx.ring);
            }
            if listener.armed != Armed::No || listener.retry_at > self.clock.tick() {
                continue;
            }
            let kept = if listener.kind.is_admin() { 0 } else { ADMIN_SLOTS };
            // A Unix socket is every shard's: an accept for many would take all its connections to one of them.
            if free >= FREE_SLOTS_FOR_MANY && listener.kind != ListenerKind::Unix {
                listener.arm(number, Armed::Many, cx.ring);
            } else if free > kept {
                free -= 1;
                listener.arm(number, Armed::One, cx.ring);
            } else {
                self.metrics.counters.accept_paused += 1;
                listener.retry_at = self.clock.tick() + 1;
            }
        }
    }

    /// Lets in who is queued already, to be told that the server is stopping, then closes the listeners.
    fn drain_listeners<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let has_room = self.table.occupied() < self.table.capacity();
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            match listener.armed {
                _ if listener.is_closed || listener.is_cancelling => {}
                Armed::No if has_room => listener.arm(number, Armed::One, cx.ring),
                Armed::No => listener.close(cx.ring),
                // An accept for one that is still armed a turn later has found nobody.
                Armed::One | Armed::Many => listener.cancel(number, cx.ring),
            }
        }
    }

    pub(super) fn are_listeners_closed(&self) -> bool {
        self.listeners.iter().all(|listener| listener.is_closed)
    }

    pub(super) fn on_accept<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        number: usize,
        completion: Completion,
    ) {
        match completion.result {
            Ok(index) => self.accepted(cx, number, Slot(index)),
            Err(Errno::ECANCELED) => {}
            Err(errno) => {
                self.metrics.counters.accept_errors += 1;
                // Out of descriptors or memory: trying again at once would spin.
                self.listeners[number].retry_at = self.clock.tick() + 1;
                if let Some(suppressed) = self.accept_error_log.allow(cx.now) {
                    warn!(
                        %errno, suppressed,
                        "a connection could not be accepted and is lost; trying again in a moment"
                    );
                }
            }
        }
        if !completion.more {
            let listener = &mut self.listeners[number];
            let armed = std::mem::replace(&mut listener.armed, Armed::No);
            if self.drain.is_some() && armed == Armed::One && completion.result.is_err() {
                listener.close(cx.ring);
            }
        }
    }

    pub(super) fn on_accept_cancelled(&mut self, number: usize) {
        self.listeners[number].is_cancelling = false;
    }

    fn accepted<R: Ring>(&mut self, cx: &mut Context<'_, R>, number: usize, slot: Slot) {
        let kind = self.listeners[number].kind;
        let is_admin = kind.is_admin();
        if self.table.is_only_closing(slot) {
            // The descriptor is free, as its new owner shows; the completion that says so is still to come.
            self.vacate(slot);
        }
        let connection = self.table.occupy(slot);
        let patience = if self.drain.is_some() { self.settings.close } else { self.settings.handshake };
        connection.deadline = self.clock.deadline(patience);
        if is_admin {
            connection.set(Flag::Admin);
        }
        if kind.is_loopback() {
            connection.set(Flag::LoopbackListener);
        }
        self.metrics.counters.connections_accepted += 1;
        self.admins += u32::from(is_admin);
        // Whoever is only there to be told so takes nobody's place.
        let clients = self.table.occupied() - self.admins as usize - self.over_limit as usize;
        if !is_admin && clients > self.settings.max_connections as usize {
            self.table[slot].set(Flag::OverLimit);
            self.over_limit += 1;
        }
        if kind == ListenerKind::Unix {
            self.table[slot].peer = Peer::UNIX;
        } else {
            // What comes before the address is kept until it is known: who may publish depends on it.
            let token = self.table[slot].begin(slot, Operation::PeerAddress);
            cx.ring.push(token, Op::PeerAddress { file: file(slot) });
        }
        self.arm_receive(cx, slot);
    }
}
