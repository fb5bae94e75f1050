//! The WebSocket that sends back what it gets: for conformance tests. It knows no topics.

use super::{Context, Shard};
use crate::http::Refusal;
use crate::ids::Slot;
use crate::net::connection::Flag;
use corecast_protocol::MessageKind;
use corecast_protocol::frame::{encode_deflated, encode_frame};
use corecast_protocol::http1::RequestHead;
use corecast_uring::Ring;

impl Shard {
    pub(super) fn upgrade_echo(&mut self, slot: Slot, head: &RequestHead<'_>) -> Result<(), Refusal> {
        let accepted = self.accept_upgrade(slot, head, &[])?;
        let mut response = Vec::new();
        accepted.write_response(&mut response);
        self.table[slot].set(Flag::Echo);
        self.open_websocket(slot, response);
        Ok(())
    }

    /// Bounded as answers are: who does not take what comes back is not read from. So at most one message waits above that
    /// bound, and it counts against `inbound_bytes`.
    pub(super) fn echo<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        kind: MessageKind,
        payload: &[u8],
    ) {
        let connection = &mut self.table[slot];
        let compression = connection.compression();
        let reply = connection.outbound_mut().reply();
        let mut deflated = Vec::new();
        if self.codec.deflate(compression, payload, &mut deflated) {
            encode_deflated(reply, kind, &deflated, None);
        } else {
            encode_frame(reply, kind.opcode(), payload, None);
        }
        self.mark(slot);
        self.pause_if_over_bound(cx, slot);
    }
}
