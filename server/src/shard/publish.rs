//! Publishing: into the hub at once, or held back until there is room.

use super::{Context, Shard};
use crate::http::{Answer, Refusal, published};
use crate::hub::HeldBack;
use crate::ids::{Epoch, Published, Slot, TopicId};
use crate::net::connection::{Flag, Phase};
use crate::net::outbound::After;
use corecast_protocol::{CloseCode, MessageKind, topic::TopicName};
use corecast_uring::Ring;

/// The subscriber was too slow. It may reconnect.
pub(super) const LAPPED: CloseCode = CloseCode(4008);

impl Shard {
    /// Finds or makes a topic.
    pub(super) fn open_topic<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        name: &TopicName,
    ) -> Result<TopicId, Refusal> {
        self.hub.open(name, Epoch(cx.rng.u64(..)), cx.now).map_err(|_| {
            self.metrics.counters.topics_refused_full += 1;
            Refusal::topics_full(self.settings.max_topics)
        })
    }

    /// Appends a message to its topic, and sees to the subscribers that were in the way of it.
    pub(super) fn publish<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        topic: TopicId,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<Published, HeldBack> {
        let result = self.hub.publish(topic, kind, payload, cx.now);
        for lapped in self.hub.take_lapped() {
            self.keep_tail(cx, lapped.slot, lapped.tail);
            if self.hub.topic_of(lapped.slot).is_none() {
                self.close_websocket(cx, lapped.slot, LAPPED, "too slow: messages were missed; reconnect");
            }
        }
        if result.is_ok() {
            self.metrics.counters.messages_published += 1;
            self.metrics.counters.published_bytes += payload.len() as u64;
        }
        result
    }

    /// Makes a publisher wait its turn. What it wanted to publish is kept in its inbound state.
    pub(super) fn hold_back<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        self.metrics.counters.publishes_held_back += 1;
        self.table[slot].set(Flag::Held);
        self.held.push_back(slot);
        self.pause(cx, slot);
    }

    /// Publishers that were held back try again, each once a turn, the longest waiting first.
    pub(super) fn retry_held<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for _ in 0..self.held.len() {
            let slot = self.held.pop_front().expect("counted above");
            if !self.table[slot].is(Flag::Held) {
                continue;
            }
            if self.publish_held(cx, slot) {
                self.table[slot].clear(Flag::Held);
                self.resume(cx, slot);
            } else {
                self.held.push_back(slot);
            }
        }
    }

    /// Whether what was held back is done with.
    fn publish_held<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) -> bool {
        let connection = &mut self.table[slot];
        let topic = connection.topic;
        let inbound = connection.inbound_mut();
        let is_done = if let Some((kind, payload)) = inbound.message.take() {
            let topic = topic.expect("a WebSocket publisher has a topic");
            let is_done = self.publish(cx, topic, kind, &payload).is_ok();
            if !is_done && self.table[slot].is(Flag::Held) {
                self.table[slot].inbound_mut().message = Some((kind, payload));
            }
            is_done
        } else if let Some(pending) = inbound.publish.take() {
            match self.post(cx, &pending.topic, pending.kind, &pending.body) {
                Ok(Some(answer)) => {
                    self.answer(cx, slot, &answer, false);
                    true
                }
                Ok(None) => {
                    self.table[slot].inbound_mut().publish = Some(pending);
                    false
                }
                Err(refusal) => {
                    self.answer(cx, slot, &Answer::refusal(&refusal), false);
                    true
                }
            }
        } else {
            true
        };
        self.account_inbound(cx, slot);
        is_done
    }

    /// Publishes a request's body. `None`: held back.
    pub(super) fn post<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        name: &TopicName,
        kind: MessageKind,
        body: &[u8],
    ) -> Result<Option<Answer>, Refusal> {
        if kind == MessageKind::Text
            && let Err(error) = std::str::from_utf8(body)
        {
            return Err(Refusal::new(
                400,
                "bad_request",
                format!(
                    "the body is not UTF-8 at byte {}; publish binary data with Content-Type: application/octet-stream",
                    error.valid_up_to()
                ),
            ));
        }
        let topic = self.open_topic(cx, name)?;
        Ok(self.publish(cx, topic, kind, body).ok().map(|at| published(name.as_str(), at)))
    }

    /// The connection ends or is being closed: what it wanted to publish is not waited for.
    pub(super) fn forget_held<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        if connection.is(Flag::Held) {
            connection.clear(Flag::Held);
            connection.inbound = None;
            self.account_inbound(cx, slot);
            self.resume(cx, slot);
        }
    }

    /// Queues an answer. After the last one the connection is closed in order.
    pub(super) fn answer<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        answer: &Answer,
        is_head: bool,
    ) {
        self.metrics.counters.http_requests += 1;
        if answer.status >= 400 {
            self.metrics.counters.http_errors += 1;
        }
        let connection = &mut self.table[slot];
        let is_last = connection.is(Flag::LastRequest);
        let outbound = connection.outbound_mut();
        answer.write(is_last, is_head, outbound.reply());
        if is_last {
            outbound.after = After::Linger;
        }
        let is_over_bound = outbound.is_over_bound();
        if is_last {
            connection.phase = Phase::Lingering;
            connection.deadline = self.clock.deadline(self.settings.close);
        }
        self.mark(slot);
        if is_over_bound {
            self.metrics.counters.replies_bound_hit += 1;
            self.pause(cx, slot);
        }
    }
}
