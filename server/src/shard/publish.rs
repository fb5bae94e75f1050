//! Publishing: into the hub at once, or held back until there is room.

use super::{Context, Shard};
use crate::http::{Answer, Refusal, published};
use crate::hub::HeldBack;
use crate::ids::{Epoch, Published, Slot, TopicId};
use crate::net::connection::{Flag, HeldPublish, Phase};
use crate::net::outbound::After;
use corecast_protocol::{CloseCode, MessageKind, topic::TopicName};
use corecast_uring::Ring;
use std::collections::{BTreeMap, VecDeque};

/// The subscriber was too slow. It may reconnect.
const LAPPED: CloseCode = CloseCode(4008);

/// Publishers that wait, by topic, the longest waiting first. Whoever comes while others wait for the same topic waits
/// behind them: else small messages would go past a large one for ever.
#[derive(Debug, Default)]
pub(super) struct HeldPublishers {
    by_topic: BTreeMap<TopicId, VecDeque<Slot>>,
}

impl HeldPublishers {
    fn are_waiting_for(&self, topic: TopicId) -> bool {
        self.by_topic.contains_key(&topic)
    }

    fn add(&mut self, topic: TopicId, slot: Slot) {
        self.by_topic.entry(topic).or_default().push_back(slot);
    }

    /// Gives one back that found no room after all.
    fn add_first(&mut self, topic: TopicId, slot: Slot) {
        self.by_topic.entry(topic).or_default().push_front(slot);
    }

    fn take_first(&mut self, topic: TopicId) -> Option<Slot> {
        let queue = self.by_topic.get_mut(&topic)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.by_topic.remove(&topic);
        }
        first
    }

    fn remove(&mut self, topic: TopicId, slot: Slot) {
        let queue = self.by_topic.get_mut(&topic).expect("who is held waits for a topic");
        queue.retain(|&other| other != slot);
        if queue.is_empty() {
            self.by_topic.remove(&topic);
        }
    }

    fn topics(&self) -> Vec<TopicId> {
        self.by_topic.keys().copied().collect()
    }
}

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

    /// Publishes a connection's message, or holds it back. `name` is given when an answer is wanted.
    pub(super) fn publish<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        topic: TopicId,
        kind: MessageKind,
        payload: &[u8],
        name: Option<TopicName>,
    ) {
        if !self.held.are_waiting_for(topic)
            && let Ok(at) = self.append(cx, topic, kind, payload)
        {
            if let Some(name) = name {
                self.answer(cx, slot, &published(name.as_str(), at), false);
            }
            return;
        }
        if !matches!(self.table[slot].phase, Phase::Http | Phase::Open) {
            // Its own message lapped it, and it is being closed.
            return;
        }
        self.metrics.counters.publishes_held_back += 1;
        if name.is_some() {
            // Nothing else keeps the topic until this is done; a WebSocket has a claim of its own.
            self.hub.attach_publisher(topic);
        }
        let held = HeldPublish { topic, name, kind, payload: payload.to_vec() };
        let connection = &mut self.table[slot];
        connection.inbound_mut().held = Some(Box::new(held));
        connection.set(Flag::Held);
        self.held.add(topic, slot);
        self.pause(cx, slot);
    }

    /// Publishes a request's body.
    pub(super) fn publish_body<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        name: TopicName,
        kind: MessageKind,
        body: &[u8],
    ) -> Result<(), Refusal> {
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
        let topic = self.open_topic(cx, &name)?;
        self.publish(cx, slot, topic, kind, body, Some(name));
        Ok(())
    }

    /// Appends a message to its topic, and sees to the subscribers that were in the way of it.
    fn append<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        topic: TopicId,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<Published, HeldBack> {
        let tail_room = self.settings.lag_tail_bytes - self.tails_used;
        let result = self.hub.publish(topic, kind, payload, cx.now, tail_room);
        for lapped in self.hub.take_lapped() {
            let Some(tail) = lapped.tail else {
                // Its stream is inside a frame that will never end: only a reset is honest.
                self.metrics.counters.lag_tail_exhausted += 1;
                self.reset(cx, lapped.slot);
                continue;
            };
            self.keep_tail(cx, lapped.slot, tail);
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

    /// Publishers that were held back try again, topic by topic, until one still finds no room.
    pub(super) fn retry_held<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for topic in self.held.topics() {
            while let Some(slot) = self.held.take_first(topic) {
                let connection = &mut self.table[slot];
                connection.clear(Flag::Held);
                let inbound = connection.inbound.as_mut();
                let held =
                    inbound.and_then(|inbound| inbound.held.take()).expect("who is held has a publish");
                let result = self.append(cx, topic, held.kind, &held.payload);
                // The message may have lapped its own publisher, which is then being closed.
                let is_wanted = matches!(self.table[slot].phase, Phase::Http | Phase::Open);
                if result.is_err() && is_wanted {
                    let connection = &mut self.table[slot];
                    connection.set(Flag::Held);
                    connection.inbound_mut().held = Some(held);
                    self.held.add_first(topic, slot);
                    break;
                }
                if held.name.is_some() {
                    self.hub.detach_publisher(topic, cx.now);
                }
                self.recount_inbound(slot);
                if !is_wanted {
                    continue;
                }
                if let (Ok(at), Some(name)) = (result, &held.name) {
                    self.answer(cx, slot, &published(name.as_str(), at), false);
                }
                self.resume(cx, slot);
            }
        }
    }

    /// The connection ends or is being closed: what it wanted to publish is not waited for. What it has sent besides is
    /// kept: its Close frame may be in there.
    pub(super) fn forget_held<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        if !connection.is(Flag::Held) {
            return;
        }
        connection.clear(Flag::Held);
        let held = connection.inbound_mut().held.take().expect("who is held has a publish");
        self.held.remove(held.topic, slot);
        if held.name.is_some() {
            self.hub.detach_publisher(held.topic, cx.now);
        }
        self.recount_inbound(slot);
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
        let is_over_bound = outbound.is_over_bound();
        if is_last {
            outbound.after = After::Linger;
            connection.phase = Phase::Lingering;
            connection.deadline = self.clock.deadline(self.settings.close);
        } else {
            connection.deadline = self.clock.deadline(self.settings.http_idle);
        }
        self.mark(slot);
        if is_over_bound && !is_last {
            self.metrics.counters.replies_bound_hit += 1;
            self.pause(cx, slot);
        }
    }
}
