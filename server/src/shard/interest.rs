//! Subscribing: at once where the topic's home is here or sends us its messages already, else once it does.

use super::publish::TopicsFull;
use super::{Context, Shard};
use crate::ids::{Encoding, MemberId, Now, Slot, TopicId, TopicInfo, Variant};
use crate::mesh::Request;
use crate::net::connection::{Flag, Phase};
use crate::topics::{HomeAt, Interest, Pending, Wants};
use corecast_protocol::topic::TopicName;
use corecast_uring::Ring;
use std::time::Duration;

/// How long a shard goes on getting a topic's messages after its last subscriber left: who comes back soon need not wait for
/// the home.
const LINGER: Duration = Duration::from_secs(5);

impl Shard {
    /// This shard's record of the topic, made when there is none.
    pub(super) fn record<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        name: &TopicName,
    ) -> Result<TopicId, TopicsFull> {
        if let Some(id) = self.topics.find(name) {
            return Ok(id);
        }
        let at = self.home_at(cx, name)?;
        let (last, epoch) = match at {
            HomeAt::Here(home) => (self.homes[home].last, Some(self.homes[home].epoch)),
            HomeAt::There(_) => (crate::ids::Offset(0), None),
        };
        let id = self.hub.open(name.shared(), last);
        self.topics.add(id, name.clone(), at, epoch, cx.now);
        if let HomeAt::Here(home) = at {
            self.homes[home].local = Some(id);
        }
        // Should nothing come of it.
        self.topics.list(id);
        Ok(id)
    }

    /// Subscribes a connection, at once or as soon as the home has answered. Until then the connection waits.
    pub(super) fn subscribe<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        id: TopicId,
        wants: Wants,
    ) {
        match self.topics[id].interest {
            Interest::On { .. } => {
                self.join(cx, slot, id, wants);
                return;
            }
            Interest::Off => self.topics.ask(id),
            Interest::Asking { .. } => {}
        }
        let generation = self.table[slot].generation;
        self.topics[id].pending.push(Pending { slot, generation, wants });
        self.await_answer(slot);
        self.tell_home(cx, id);
    }

    /// The home sends us everything from here on.
    pub(super) fn on_interest<R: Ring>(&mut self, cx: &mut Context<'_, R>, id: TopicId) {
        self.topics[id].idle_since = Some(cx.now);
        self.topics.list(id);
        self.answer_pending(cx, id, Self::join);
    }

    /// The home knows too many topics.
    pub(super) fn on_interest_refused<R: Ring>(&mut self, cx: &mut Context<'_, R>, id: TopicId) {
        self.topics.list(id);
        self.answer_pending(cx, id, |shard, cx, slot, _, wants| shard.refuse_subscription(cx, slot, wants));
    }

    /// Those who waited for the home and are still there go on.
    fn answer_pending<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        id: TopicId,
        answer: fn(&mut Self, &mut Context<'_, R>, Slot, TopicId, Wants),
    ) {
        for Pending { slot, generation, wants } in std::mem::take(&mut self.topics[id].pending) {
            if self.is_awaiting(slot, generation) {
                self.table[slot].clear(Flag::Awaiting);
                answer(self, cx, slot, id, wants);
                self.resume(cx, slot);
            }
        }
    }

    fn is_awaiting(&mut self, slot: Slot, generation: u32) -> bool {
        self.table.current(slot, generation).is_some_and(|connection| {
            connection.is(Flag::Awaiting) && matches!(connection.phase, Phase::Http | Phase::Open)
        })
    }

    fn join<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, id: TopicId, wants: Wants) {
        let compression = self.table[slot].compression();
        let variant = |encoding| Variant { encoding, compression };
        match wants {
            Wants::Raw { response } => {
                if self.drain.is_some() {
                    self.refuse_drained(cx, slot);
                    return;
                }
                self.hub.subscribe_as(slot, id, variant(Encoding::Raw));
                // It lags until its 101, and whatever answers are before that, are out.
                self.hub.hold(MemberId::from(slot));
                self.table[slot].topic = Some(id);
                self.open_websocket(slot, response);
            }
            Wants::Json { id: request } => {
                self.hub.subscribe_as(slot, id, variant(Encoding::Json));
                self.subscribed(cx, slot, id, request);
            }
        }
        self.topics[id].idle_since = None;
        self.topics.list(id);
    }

    /// A subscription has ended.
    pub(super) fn left<R: Ring>(&mut self, cx: &mut Context<'_, R>, id: TopicId) {
        if self.hub.subscribers(id) == 0 {
            self.topics[id].idle_since = Some(cx.now);
        }
        self.topics.list(id);
    }

    /// Ends all subscriptions of a connection, and its claim as a publisher.
    pub(super) fn leave_topics<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let topics: Vec<TopicId> = self.hub.members(slot).map(|member| self.hub.topic_of(member)).collect();
        self.hub.unsubscribe_all(slot);
        for id in topics {
            self.left(cx, id);
        }
        let connection = &mut self.table[slot];
        if connection.is(Flag::WebSocket) {
            connection.clear(Flag::WebSocket);
            self.websockets -= 1;
            self.mesh.set_websockets(self.websockets);
        }
        let Some(id) = connection.topic.take() else { return };
        if connection.is(Flag::PublisherOnly) {
            self.topics[id].publishers -= 1;
            self.topics.list(id);
        }
    }

    /// Tells homes what has changed here, and lets go of records that nobody uses.
    pub(super) fn tell_homes<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        if self.topics.listed() == 0 {
            return;
        }
        let mut listed = std::mem::take(&mut self.scratch.topics);
        self.topics.take_listed(&mut listed);
        for id in listed.drain(..) {
            self.tell_home(cx, id);
        }
        self.scratch.topics = listed;
    }

    fn tell_home<R: Ring>(&mut self, cx: &mut Context<'_, R>, id: TopicId) {
        let subscribers = self.hub.subscribers(id);
        let topic = &self.topics[id];
        let is_unused = subscribers == 0
            && topic.publishers == 0
            && topic.pending.is_empty()
            && !self.parked.contains_key(&id);
        let name = &topic.name;
        match (topic.home, topic.interest) {
            (HomeAt::Here(_), _) | (HomeAt::There(_), Interest::Off) => {
                if is_unused {
                    if let HomeAt::Here(home) = topic.home {
                        self.homes[home].forget_local(cx.now);
                    }
                    self.topics.remove(id);
                    self.hub.close(id);
                }
            }
            (HomeAt::There(home), Interest::Asking { is_sent: false }) => {
                let request = Request::Interest { topic: name.clone(), follower: topic.follower(id) };
                if self.mesh.has_request_room(home, &request) {
                    self.mesh.request(home, request);
                    self.topics[id].interest = Interest::Asking { is_sent: true };
                } else {
                    self.topics.list(id);
                }
            }
            (HomeAt::There(_), Interest::Asking { is_sent: true }) => {}
            (HomeAt::There(home), Interest::On { .. }) => {
                let variants = self.hub.variants(id);
                if topic.told == (subscribers, variants) {
                    return;
                }
                let (generation, count) = (topic.generation, subscribers);
                let request = Request::Subscribers { topic: name.clone(), generation, count, variants };
                if self.mesh.has_request_room(home, &request) {
                    self.mesh.request(home, request);
                    self.topics[id].told = (subscribers, variants);
                } else {
                    self.topics.list(id);
                }
            }
        }
    }

    /// Ends the interest in topics that nobody has come back to.
    pub(super) fn end_lingering<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let Some(before) = cx.now.0.checked_sub(LINGER.as_nanos() as u64) else { return };
        let mut idle = std::mem::take(&mut self.scratch.topics);
        self.topics.idle_since(Now(before), &mut idle);
        for id in idle.drain(..) {
            let topic = &self.topics[id];
            let (HomeAt::There(home), Interest::On { .. }) = (topic.home, topic.interest) else { continue };
            if self.parked.contains_key(&id) {
                continue;
            }
            let request = Request::InterestOff { topic: topic.name.clone(), generation: topic.generation };
            if self.mesh.has_request_room(home, &request) {
                self.mesh.request(home, request);
                let topic = &mut self.topics[id];
                topic.interest = Interest::Off;
                topic.idle_since = None;
                self.topics.list(id);
            }
        }
        self.scratch.topics = idle;
    }

    /// What is known of a topic whose home is here.
    pub(super) fn topic_info(&self, name: &TopicName) -> Option<TopicInfo> {
        let home = &self.homes[self.homes.find(name)?];
        Some(home.info(home.local.map_or(0, |id| self.hub.subscribers(id))))
    }
}
