//! What a WebSocket client sends: messages to publish, control frames to answer.

use super::{Context, Shard};
use crate::ids::Slot;
use crate::mesh::About;
use crate::message::Messages;
use crate::net::connection::{Flag, Phase};
use crate::net::outbound::After;
use corecast_protocol::{CloseCode, Event, Input, MessageKind, Payload, ProtocolError};
use corecast_uring::Ring;

/// In a Close reason (RFC 6455 §5.5: at most 123 bytes) and in answers of the JSON dialect.
pub(super) const PUBLISHING_FORBIDDEN: &str =
    "publishing is not allowed here; the server has --allow-anonymous-publish for it";

/// Longer than any request of the JSON dialect but a publish, in bytes.
const REQUEST_MAX: usize = 4 << 10;

impl Shard {
    /// The handshake is done, all but its answer.
    pub(super) fn open_websocket(&mut self, slot: Slot, response: Vec<u8>) {
        let connection = &mut self.table[slot];
        connection.phase = Phase::Open;
        connection.deadline = self.clock.deadline(self.settings.ping);
        connection.set(Flag::WebSocket);
        connection.outbound_mut().queue_reply(response);
        self.mark(slot);
        self.websockets += 1;
        self.mesh.set_websockets(self.websockets);
        self.metrics.counters.upgrades += 1;
        self.metrics.counters.upgrades_deflate += u64::from(self.table[slot].protocol.has_deflate());
    }

    /// Handles frames; gives how many bytes were taken. Less than all only when a publish was held back.
    pub(super) fn on_websocket_input<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        bytes: &mut [u8],
    ) -> usize {
        let total = bytes.len();
        // For the log, should what follows break the protocol. Unmasking happens in place, so the first bytes are kept.
        let mut seen = [0; 16];
        let seen_length = total.min(seen.len());
        seen[..seen_length].copy_from_slice(&bytes[..seen_length]);
        let mut input = Input::new(bytes);
        loop {
            let connection = &mut self.table[slot];
            match connection.protocol.poll_event(&mut input, &self.limits) {
                Ok(None) => return total,
                Ok(Some(Event::Message { kind, payload })) => self.on_message(cx, slot, kind, payload),
                Ok(Some(Event::Deflated { kind, payload })) => {
                    if let Err(error) = self.on_deflated(cx, slot, kind, &payload) {
                        self.fail_protocol(cx, slot, error, &seen[..seen_length]);
                        return total;
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    // RFC 6455 §5.5.2: answered unless a Close was received, and after that no event comes. Having sent one
                    // is no excuse: only data may not follow it (§5.5.1).
                    connection.outbound_mut().queue_pong(&payload);
                    self.mark(slot);
                }
                Ok(Some(Event::Pong(_))) => self.metrics.counters.pongs_received += 1,
                Ok(Some(Event::Close(close))) => {
                    self.on_close_frame(cx, slot, close.map(|(code, _)| code));
                    return total;
                }
                Err(error) => {
                    self.fail_protocol(cx, slot, error, &seen[..seen_length]);
                    return total;
                }
            }
            let connection = &self.table[slot];
            match connection.phase {
                Phase::Open | Phase::Closing if connection.is(Flag::Paused) => {
                    return total - input.remaining();
                }
                Phase::Open | Phase::Closing => {}
                _ => return total,
            }
        }
    }

    /// A compressed message. Inflating can cost a thousand times what sending it did, so it is done for those whose messages are
    /// wanted, and for others as far as requests are long.
    fn on_deflated<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        let connection = &self.table[slot];
        if connection.phase != Phase::Open {
            return Ok(());
        }
        let is_wanted = connection.is(Flag::MayPublish) || connection.is(Flag::Echo);
        let longest = self.limits.max_message_bytes();
        let limit = match (is_wanted, connection.is(Flag::Json)) {
            (true, _) => longest,
            (false, true) => longest.min(REQUEST_MAX),
            (false, false) => {
                // Refused whatever it says.
                self.on_message(cx, slot, kind, Payload::Assembled(Vec::new()));
                return Ok(());
            }
        };
        match self.codec.inflate(kind, payload, limit) {
            Ok(message) => {
                self.metrics.counters.messages_inflated += 1;
                self.on_message(cx, slot, kind, Payload::Assembled(message));
            }
            // Nothing else is as long. What it says is not known, and so neither is its id.
            Err(ProtocolError::InflatedTooBig { .. }) if limit < longest => {
                self.metrics.counters.publishes_refused += 1;
                self.refuse_json(cx, slot, None, "forbidden", PUBLISHING_FORBIDDEN);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn on_message<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        kind: MessageKind,
        payload: Payload<'_>,
    ) {
        let connection = &self.table[slot];
        if connection.phase != Phase::Open {
            // RFC 6455 §6.1, §7.1.3: after our Close frame nothing is published any more.
            return;
        }
        if connection.is(Flag::Echo) {
            self.echo(cx, slot, kind, &payload);
            return;
        }
        if connection.is(Flag::Json) {
            self.on_json_message(cx, slot, kind, &payload);
            return;
        }
        if !connection.is(Flag::MayPublish) {
            self.metrics.counters.publishes_refused += 1;
            let reason = if connection.is(Flag::SubscriberOnly) {
                "this connection only subscribes: role=subscriber"
            } else {
                PUBLISHING_FORBIDDEN
            };
            self.close_websocket(cx, slot, CloseCode::POLICY, reason);
            return;
        }
        let topic = &self.topics[connection.topic.expect("a raw connection has a topic")];
        let (at, name) = (topic.home, topic.name.clone());
        self.publish(cx, slot, at, &name, Messages::one(kind.into(), &payload), About::Raw);
    }

    fn on_close_frame<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, code: Option<CloseCode>) {
        let connection = &mut self.table[slot];
        if connection.phase == Phase::Open {
            // RFC 6455 §5.5.1: the answer typically echoes the code, or has none either.
            self.answer_close(cx, slot, code);
            return;
        }
        // RFC 6455 §5.5.1: the answer to ours; with both of them TCP is closed at once.
        match &mut connection.outbound {
            Some(outbound) if !outbound.is_sent() => outbound.after = After::Die,
            _ => self.die(cx, slot),
        }
    }
}
