//! Accepting connections, as many as there is room for.

use super::{Context, Shard, file};
use crate::config::RESERVED_CONNECTIONS;
use crate::ids::Slot;
use crate::net::connection::{Flag, Operation};
use corecast_uring::{Completion, Errno, ListenerId, Op, Ring, Token};
use tracing::warn;

/// Token kinds; the token's slot is the listener's number. Connections' operations use single bits below 0x80.
pub(super) mod accept_kind {
    pub(in super::super) const ACCEPT: u8 = 0x80;
    pub(in super::super) const CANCEL: u8 = 0x81;
}

#[derive(Debug)]
pub(super) struct ListenerState {
    id: ListenerId,
    is_admin: bool,
    is_loopback: bool,
    is_armed: bool,
    is_cancelling: bool,
    /// Not armed again before this tick.
    retry_at: u32,
}

impl ListenerState {
    pub(super) fn new(id: ListenerId, is_admin: bool, is_loopback: bool) -> Self {
        Self { id, is_admin, is_loopback, is_armed: false, is_cancelling: false, retry_at: 0 }
    }

    pub(super) fn is_armed(&self) -> bool {
        self.is_armed
    }
}

/// An accept takes every connection that is queued, and what does not fit into the table is lost. So it is paused when
/// half of the reserve is in use: the other half takes the rest of a burst.
const PAUSE_BELOW: usize = RESERVED_CONNECTIONS as usize / 2;

impl Shard {
    /// Arms what should accept and does not.
    pub(super) fn arm_listeners<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        if self.drain.is_some() || self.is_reserve_in_use() {
            return;
        }
        let tick = self.clock.tick();
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if !listener.is_armed && listener.retry_at <= tick {
                listener.is_armed = true;
                cx.ring.push(
                    Token::new(accept_kind::ACCEPT, number as u32, 0),
                    Op::Accept { listener: listener.id },
                );
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
            self.listeners[number].is_armed = false;
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
            self.table.vacate(slot);
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
        if !is_admin && self.table.occupied() > self.settings.max_connections as usize {
            self.table[slot].set(Flag::OverLimit);
        }
        if self.is_reserve_in_use() {
            self.metrics.counters.accept_paused += 1;
            self.cancel_accepts(cx);
        }
    }

    pub(super) fn cancel_accepts<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            if listener.is_armed && !listener.is_cancelling {
                listener.is_cancelling = true;
                let target = Token::new(accept_kind::ACCEPT, number as u32, 0);
                cx.ring.push(Token::new(accept_kind::CANCEL, number as u32, 0), Op::Cancel { target });
            }
        }
    }

    fn is_reserve_in_use(&self) -> bool {
        self.table.occupied() + PAUSE_BELOW >= self.table.capacity()
    }
}
