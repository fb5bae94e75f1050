//! The ways a connection ends, and the order in which its parts are let go.

use super::{Context, Shard, file};
use crate::ids::Slot;
use crate::net::connection::{Flag, Operation, Phase};
use crate::net::outbound::After;
use corecast_protocol::{CloseCode, ProtocolError};
use corecast_uring::{Op, Ring, SocketOption};
use tracing::info;

impl Shard {
    /// Begins the closing handshake (RFC 6455 §7.1.2): a Close frame, then the peer's, then the end.
    pub(super) fn close_websocket<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        code: CloseCode,
        reason: &str,
    ) {
        if self.table[slot].phase != Phase::Open {
            return;
        }
        self.metrics.counters.connections_closed_by_us += 1;
        self.metrics.counters.close(code.0);
        self.send_close(cx, slot, Phase::Closing, code, reason, After::Nothing);
        self.resume(cx, slot);
    }

    /// Answers the peer's Close frame (RFC 6455 §5.5.1). The server closes TCP first (§7.1.1).
    pub(super) fn answer_close<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        code: Option<CloseCode>,
    ) {
        let code = code.unwrap_or(CloseCode::NO_STATUS);
        self.metrics.counters.connections_closed_by_peer += 1;
        self.metrics.counters.close(code.0);
        self.send_close(cx, slot, Phase::Closing, code, "", After::Die);
    }

    /// Fails the connection (RFC 6455 §7.1.7): a Close frame, and nothing that still comes is looked at.
    pub(super) fn fail<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        code: CloseCode,
        reason: &str,
    ) {
        let connection = &mut self.table[slot];
        if connection.protocol.close_sent() {
            // The Close frame is out or on its way: what it said stands.
            connection.phase = Phase::Lingering;
            connection.outbound_mut().after = After::Linger;
            self.mark(slot);
        } else {
            self.metrics.counters.connections_closed_by_us += 1;
            self.metrics.counters.close(code.0);
            self.send_close(cx, slot, Phase::Lingering, code, reason, After::Linger);
        }
        self.resume(cx, slot);
    }

    /// Fails a connection that broke the protocol, and says so where its owner will look.
    pub(super) fn fail_protocol<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        error: ProtocolError,
        seen: &[u8],
    ) {
        self.metrics.counters.protocol_error(error.rule());
        if let Some(suppressed) = self.protocol_error_log.allow(cx.now) {
            let connection = &self.table[slot];
            info!(
                peer = %connection.peer, connection = slot.0, rule = error.rule(), section = error.section(),
                bytes = %Hex::start_of(seen), suppressed,
                "{error}"
            );
        }
        self.fail(cx, slot, error.close_code(), &error.reason());
    }

    fn send_close<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        phase: Phase,
        code: CloseCode,
        reason: &str,
        after: After,
    ) {
        self.forget_held(cx, slot);
        // RFC 6455 §5.5.1: no data after a Close, but a frame of the topic that is half out is finished first.
        let tail =
            self.mid_frame(slot).map_or_else(Vec::new, |member| self.hub.rest_of_frame(member).to_vec());
        self.leave_topics(cx, slot);
        self.keep_tail(cx, slot, tail);
        if self.table[slot].phase == Phase::Dying {
            return;
        }
        let connection = &mut self.table[slot];
        connection.phase = phase;
        connection.deadline = self.clock.deadline(self.settings.close);
        connection.protocol.mark_close_sent();
        let outbound = connection.outbound_mut();
        outbound.queue_close(code, reason);
        outbound.after = after;
        self.mark(slot);
    }

    /// Keeps the rest of a frame for a connection, within `lag_tail_bytes`.
    pub(super) fn keep_tail<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, tail: Vec<u8>) {
        if tail.is_empty() || self.table[slot].phase == Phase::Dying {
            return;
        }
        if self.tails_used + tail.len() > self.settings.lag_tail_bytes {
            // Its stream is inside a frame that will never end: only a reset is honest.
            self.metrics.counters.lag_tail_exhausted += 1;
            self.reset(cx, slot);
            return;
        }
        self.tails_used += tail.len();
        self.table[slot].outbound_mut().put_first(tail);
    }

    /// All that was to be sent is sent: the step that was to follow.
    pub(super) fn after_flush<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        let Some(outbound) = &mut connection.outbound else { return };
        match std::mem::take(&mut outbound.after) {
            After::Nothing => {}
            After::Die => self.die(cx, slot),
            After::Linger if connection.is(Flag::PeerFinished) => self.die(cx, slot),
            // RFC 6455 §7.1.1: a clean end of TCP, by the server first.
            After::Linger => {
                connection.phase = Phase::Lingering;
                connection.deadline = self.clock.deadline(self.settings.close);
                if connection.set_newly(Flag::ShutDown) {
                    let token = connection.begin(slot, Operation::Shutdown);
                    cx.ring.push(token, Op::Shutdown { file: file(slot) });
                }
            }
        }
        self.table[slot].tidy_outbound();
    }

    /// Ends a connection whose peer had its time: what the kernel still holds for it is thrown away.
    pub(super) fn reset<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        if connection.phase == Phase::Dying {
            return;
        }
        let token = connection.begin(slot, Operation::ResetOnClose);
        cx.ring.push(token, Op::SetOption { file: file(slot), option: SocketOption::ResetOnClose });
        self.die(cx, slot);
    }

    /// Lets go of everything and closes the descriptor as soon as no operation is in flight: the kernel would keep the
    /// socket open for one that is armed, and complete it in the name of the slot's next owner.
    pub(super) fn die<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        if connection.phase == Phase::Dying {
            return;
        }
        connection.phase = Phase::Dying;
        self.forget_held(cx, slot);
        self.leave_topics(cx, slot);
        if let Some(outbound) = self.table[slot].outbound.take() {
            self.tails_used -= outbound.tail_bytes();
        }
        self.release_inbound(slot);
        self.cancel_receive(cx, slot);
        let connection = &mut self.table[slot];
        if connection.has_in_flight(Operation::PollWritable)
            && !connection.has_in_flight(Operation::CancelPoll)
        {
            let target = connection.token(slot, Operation::PollWritable);
            let token = connection.begin(slot, Operation::CancelPoll);
            cx.ring.push(token, Op::Cancel { target });
        }
        self.close_when_quiet(cx, slot);
    }

    pub(super) fn close_when_quiet<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        if connection.phase == Phase::Dying && connection.is_quiet() {
            let token = connection.begin(slot, Operation::Close);
            cx.ring.push(token, Op::Close { file: file(slot) });
        }
    }
}

/// The first bytes that were seen, as a log shows them.
pub(super) struct Hex<'a>(&'a [u8]);

impl<'a> Hex<'a> {
    pub(super) fn start_of(bytes: &'a [u8]) -> Self {
        Self(&bytes[..bytes.len().min(16)])
    }
}

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}
