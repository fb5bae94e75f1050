//! What comes from a socket: to the parser at once, or kept while the connection's reading is paused.

use super::{Context, Shard, file};
use crate::http::Refusal;
use crate::ids::Slot;
use crate::net::connection::{Flag, Operation, Phase};
use crate::net::outbound::After;
use corecast_protocol::{CloseCode, Connection as Protocol, Side};
use corecast_uring::{Completion, Errno, Op, Ring};
use tracing::debug;

/// What is kept of a connection that waits for another shard before reading from it stops, in bytes.
const KEPT_MAX: usize = 16 << 10;

impl Shard {
    pub(super) fn on_receive<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        completion: Completion,
    ) {
        match (completion.result, completion.buffer) {
            (Ok(_), Some(mut buffer)) if !buffer.is_empty() => {
                self.input(cx, slot, &mut buffer);
                cx.ring.release(buffer);
            }
            (Ok(_), buffer) => {
                if let Some(buffer) = buffer {
                    cx.ring.release(buffer);
                }
                self.on_end_of_stream(cx, slot);
            }
            // Paused or dying.
            (Err(Errno::ECANCELED), _) => {}
            (Err(Errno::ENOBUFS), _) => {
                let connection = &mut self.table[slot];
                if connection.phase != Phase::Dying && connection.set_newly(Flag::Starved) {
                    self.starved.push_back(slot);
                }
            }
            (Err(errno), _) => self.on_broken(cx, slot, errno),
        }
        self.arm_receive(cx, slot);
    }

    /// Asks for more input, if the connection is to be read from and nothing is asked for yet.
    pub(super) fn arm_receive<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        let reads = matches!(connection.phase, Phase::Http | Phase::Open | Phase::Closing | Phase::Lingering);
        let waits =
            connection.is(Flag::Paused) || connection.is(Flag::Starved) || connection.is(Flag::PeerFinished);
        if reads && !waits && !connection.has_in_flight(Operation::Receive) {
            if connection.has_in_flight(Operation::CancelReceive) {
                connection.set(Flag::ArmedAnew);
            }
            let token = connection.begin(slot, Operation::Receive);
            cx.ring.push(token, Op::Receive { file: file(slot) });
        }
    }

    /// Buffers have come back: as many as can get one try again, who has waited longest first. All at once would find the
    /// pool empty again.
    pub(super) fn rearm_starved<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let count = self.starved.len().min(cx.ring.buffers_free());
        for _ in 0..count {
            let slot = self.starved.pop_front().expect("counted above");
            let connection = &mut self.table[slot];
            if connection.is(Flag::Starved) {
                connection.clear(Flag::Starved);
                self.arm_receive(cx, slot);
            }
        }
    }

    /// Handles new input, after whatever is kept from before.
    fn input<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, bytes: &mut [u8]) {
        let connection = &mut self.table[slot];
        // RFC 6455 §7.1.7: nothing of a failed connection is processed any more.
        if matches!(connection.phase, Phase::Lingering | Phase::Dying) {
            return;
        }
        if connection.phase == Phase::Open {
            connection.clear(Flag::Pinged);
            connection.deadline = self.clock.deadline(self.settings.ping);
        }
        let has_kept = connection.inbound.as_ref().is_some_and(|inbound| !inbound.bytes.is_empty());
        let waits = connection.is_handled_later();
        if has_kept || waits {
            let kept = &mut connection.inbound_mut().bytes;
            kept.extend_from_slice(bytes);
            let is_enough = kept.len() > KEPT_MAX;
            if !waits {
                self.handle_kept(cx, slot);
            } else if is_enough {
                self.cancel_receive(cx, slot);
            }
        } else {
            let handled = self.handle(cx, slot, bytes);
            self.keep(slot, &bytes[handled..]);
        }
        self.account_inbound(cx, slot);
    }

    fn handle_kept<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let mut bytes = std::mem::take(&mut self.table[slot].inbound_mut().bytes);
        let handled = self.handle(cx, slot, &mut bytes);
        bytes.drain(..handled);
        let connection = &mut self.table[slot];
        if !bytes.is_empty() && matches!(connection.phase, Phase::Http | Phase::Open | Phase::Closing) {
            connection.inbound_mut().bytes = bytes;
        }
        connection.tidy_inbound();
    }

    fn keep(&mut self, slot: Slot, rest: &[u8]) {
        let connection = &mut self.table[slot];
        if !rest.is_empty() && matches!(connection.phase, Phase::Http | Phase::Open | Phase::Closing) {
            connection.inbound_mut().bytes.extend_from_slice(rest);
        }
        connection.tidy_inbound();
    }

    /// Handles as much as can be handled now; gives how much that was.
    fn handle<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, bytes: &mut [u8]) -> usize {
        let mut handled = 0;
        while handled < bytes.len() {
            let connection = &self.table[slot];
            if connection.is(Flag::Paused) {
                break;
            }
            let rest = &mut bytes[handled..];
            match connection.phase {
                Phase::Http => match self.on_http_input(cx, slot, rest) {
                    0 => break,
                    consumed => handled += consumed,
                },
                Phase::Open | Phase::Closing => handled += self.on_websocket_input(cx, slot, rest),
                Phase::Lingering | Phase::Dying | Phase::Vacant => handled = bytes.len(),
            }
        }
        handled
    }

    /// Stops reading from a connection: the kernel's socket buffer fills, and TCP slows the peer down.
    pub(super) fn pause<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        connection.set(Flag::Paused);
        self.cancel_receive(cx, slot);
    }

    pub(super) fn cancel_receive<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        if connection.has_in_flight(Operation::Receive) && !connection.has_in_flight(Operation::CancelReceive)
        {
            let target = connection.token(slot, Operation::Receive);
            connection.clear(Flag::ArmedAnew);
            let token = connection.begin(slot, Operation::CancelReceive);
            cx.ring.push(token, Op::Cancel { target });
        }
    }

    /// Goes on reading, if it was paused: first what was kept, then the socket.
    pub(super) fn resume<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        let is_owed_much = connection.outbound.as_ref().is_some_and(|outbound| outbound.is_over_bound());
        let is_bounded = matches!(connection.phase, Phase::Http | Phase::Open);
        let waits = connection.is(Flag::Held) || connection.is(Flag::Awaiting);
        if !connection.is(Flag::Paused) || waits || (is_bounded && is_owed_much) {
            return;
        }
        connection.clear(Flag::Paused);
        // Its silence was ours.
        match connection.phase {
            Phase::Open => {
                connection.clear(Flag::Pinged);
                connection.deadline = self.clock.deadline(self.settings.ping);
            }
            Phase::Http => connection.deadline = self.clock.deadline(self.settings.http_idle),
            _ => {}
        }
        self.go_on(cx, slot);
    }

    /// Nothing is to be waited for any longer: handles what was kept, then asks for more.
    pub(super) fn go_on<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &self.table[slot];
        if connection.inbound.as_ref().is_some_and(|inbound| !inbound.bytes.is_empty()) {
            self.handle_kept(cx, slot);
        }
        self.account_inbound(cx, slot);
        let connection = &mut self.table[slot];
        if connection.is(Flag::PeerFinished) && !connection.is(Flag::Paused) {
            self.on_end_of_stream(cx, slot);
        }
        self.arm_receive(cx, slot);
    }

    /// Keeps the sum of what connections hold, and the bound on it. Call it after every change; twice does no harm.
    pub(super) fn account_inbound<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        self.recount_inbound(slot);
        if self.inbound_used > self.settings.inbound_bytes {
            self.close_biggest_holder(cx);
        }
    }

    pub(super) fn recount_inbound(&mut self, slot: Slot) {
        let connection = &mut self.table[slot];
        let bytes = connection.inbound_bytes();
        self.inbound_used = self.inbound_used - connection.inbound_accounted as usize + bytes;
        connection.inbound_accounted = u32::try_from(bytes).expect("messages are bounded far below 4 GiB");
    }

    /// Over the bound, who holds the most has to go.
    fn close_biggest_holder<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let biggest = self.table.iter().max_by_key(|(_, connection)| connection.inbound_bytes());
        let Some((slot, connection)) = biggest else { return };
        debug!(peer = %connection.peer, bytes = connection.inbound_bytes(), "inbound_bytes are in use; closing who holds the most");
        self.metrics.counters.inbound_exhausted += 1;
        let is_websocket = connection.is_websocket();
        if connection.is(Flag::Echo) && connection.outbound.is_some() {
            // What it does not take is the most of it, and a Close frame would wait behind that.
            self.reset(cx, slot);
            return;
        }
        self.forget_held(cx, slot);
        if is_websocket {
            self.fail(cx, slot, CloseCode::TRY_AGAIN, "server is out of receive memory, try again");
        } else {
            let message = "the server is out of receive memory; try again later, or raise inbound_bytes";
            self.refuse(cx, slot, &Refusal::new(503, "overloaded", message), None, false);
        }
        self.release_inbound(slot);
    }

    /// Gives back everything that is kept of a connection's input.
    pub(super) fn release_inbound(&mut self, slot: Slot) {
        let connection = &mut self.table[slot];
        connection.inbound = None;
        if connection.protocol.buffered_bytes() > 0 {
            connection.protocol = Protocol::new(Side::Server);
            connection.protocol.mark_close_sent();
        }
        self.recount_inbound(slot);
    }

    /// The peer's FIN, after all its bytes.
    fn on_end_of_stream<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        connection.set(Flag::PeerFinished);
        if connection.is_handled_later() {
            return;
        }
        let has_unsent = connection.outbound.is_some();
        match connection.phase {
            Phase::Open => {
                self.metrics.counters.connections_closed_by_peer += 1;
                // RFC 6455 §7.1.5: so it is considered to be without a Close frame.
                self.metrics.counters.close(CloseCode::ABNORMAL.0);
                debug!(
                    peer = %connection.peer, mid_message = connection.protocol.is_mid_message(),
                    "end of stream without a Close frame: the client went away, or a proxy's read timeout cut the connection"
                );
                self.die(cx, slot);
            }
            // It may have shut down its sending side only: what is on its way to it still goes out.
            Phase::Http | Phase::Closing | Phase::Lingering if has_unsent => {
                connection.outbound_mut().after = After::Die;
                self.mark(slot);
            }
            phase @ (Phase::Http | Phase::Closing | Phase::Lingering) => {
                self.metrics.counters.connections_closed_by_peer += u64::from(phase == Phase::Http);
                self.die(cx, slot);
            }
            Phase::Dying | Phase::Vacant => {}
        }
    }

    /// The socket failed, on either side of it.
    pub(super) fn on_broken<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, errno: Errno) {
        let connection = &self.table[slot];
        if connection.phase == Phase::Dying {
            return;
        }
        self.metrics.counters.connections_reset += 1;
        if connection.is_websocket() {
            self.metrics.counters.close(CloseCode::ABNORMAL.0);
        }
        debug!(peer = %self.table[slot].peer, %errno, "the connection broke: the peer or something between reset it");
        self.die(cx, slot);
    }
}
