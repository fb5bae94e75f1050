//! Accepting connections, as many as there is room for.

use super::{Context, Shard, file};
use crate::config::RESERVED_CONNECTIONS;
use crate::ids::Slot;
use crate::net::connection::{Flag, Operation};
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
    is_admin: bool,
    is_loopback: bool,
    armed: Armed,
    is_cancelling: bool,
    /// Not armed again before this tick.
    retry_at: u32,
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
    pub(super) fn new(id: ListenerId, is_admin: bool, is_loopback: bool) -> Self {
        Self { id, is_admin, is_loopback, armed: Armed::No, is_cancelling: false, retry_at: 0 }
    }

    pub(super) fn is_armed(&self) -> bool {
        self.armed != Armed::No
    }
}

/// An accept for many takes every connection that is queued, and what then does not fit into the table is lost. So with
/// fewer free slots than a listener's queue holds, connections are accepted one a turn.
const FREE_SLOTS_FOR_MANY: usize = BACKLOG as usize + RESERVED_CONNECTIONS as usize;

impl Shard {
    /// Arms what should accept and does not.
    pub(super) fn arm_listeners<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        if self.drain.is_some() {
            return;
        }
        let free = self.table.capacity() - self.table.occupied();
        if free < FREE_SLOTS_FOR_MANY && self.listeners.iter().any(|listener| listener.armed == Armed::Many) {
            self.cancel_accepts(cx);
        }
        let mut ones = self.listeners.iter().filter(|listener| listener.armed == Armed::One).count();
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if listener.armed != Armed::No || listener.retry_at > self.clock.tick() {
                continue;
            }
            let token = Token::new(accept_kind::ACCEPT, number as u32, 0);
            if free >= FREE_SLOTS_FOR_MANY {
                listener.armed = Armed::Many;
                cx.ring.push(token, Op::Accept { listener: listener.id });
            } else if free > ones {
                ones += 1;
                listener.armed = Armed::One;
                cx.ring.push(token, Op::AcceptOne { listener: listener.id });
            } else {
                self.metrics.counters.accept_paused += 1;
                listener.retry_at = self.clock.tick() + 1;
            }
        }
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
            self.listeners[number].armed = Armed::No;
            if self.drain.is_some() {
                cx.ring.close_listener(self.listeners[number].id);
            }
        }
    }

    pub(super) fn on_accept_cancelled(&mut self, number: usize) {
        self.listeners[number].is_cancelling = false;
    }

    fn accepted<R: Ring>(&mut self, cx: &mut Context<'_, R>, number: usize, slot: Slot) {
        let listener = &self.listeners[number];
        let is_admin = listener.is_admin;
        let is_loopback = listener.is_loopback;
        if self.table.is_only_closing(slot) {
            // The descriptor is free, as its new owner shows; the completion that says so is still to come.
            self.vacate(slot);
        }
        let connection = self.table.occupy(slot);
        connection.deadline = self.clock.deadline(self.settings.handshake);
        if is_admin {
            connection.set(Flag::Admin);
        }
        if is_loopback {
            connection.set(Flag::LoopbackListener);
        }
        // Reading begins once the address is known: who may publish depends on it.
        let token = connection.begin(slot, Operation::PeerAddress);
        cx.ring.push(token, Op::PeerAddress { file: file(slot) });
        self.metrics.counters.connections_accepted += 1;
        self.admins += u32::from(is_admin);
        let clients = self.table.occupied() - self.admins as usize;
        if !is_admin && clients > self.settings.max_connections as usize {
            self.table[slot].set(Flag::OverLimit);
        }
    }

    /// Nobody new is let in: what is queued is still accepted, then the listeners are closed.
    pub(super) fn close_listeners<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        self.cancel_accepts(cx);
        for listener in self.listeners.iter().filter(|listener| !listener.is_armed()) {
            cx.ring.close_listener(listener.id);
        }
    }

    fn cancel_accepts<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if listener.armed != Armed::No && !listener.is_cancelling {
                listener.is_cancelling = true;
                let target = Token::new(accept_kind::ACCEPT, number as u32, 0);
                cx.ring.push(Token::new(accept_kind::CANCEL, number as u32, 0), Op::Cancel { target });
            }
        }
    }
}
