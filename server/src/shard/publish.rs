//! Publishing: to the topic's home, here or on another shard, and from there into the logs.

use super::waiting::Gate;
use super::{Context, Shard};
use crate::home::HomeId;
use crate::hub::HeldBack;
use crate::ids::{Epoch, Now, Offset, Published, ShardId, Slot, TopicId, Variants};
use crate::mesh::{About, HomeAnswer, HttpReply, MESSAGE_BYTES, Relay, ReplyTo, Request};
use crate::message::{Deflated, Messages, SharedMessages};
use crate::net::connection::{Flag, Held};
use crate::topics::HomeAt;
use corecast_protocol::{CloseCode, topic::TopicName};
use corecast_uring::Ring;

/// The subscriber was too slow. It may reconnect.
const LAPPED: CloseCode = CloseCode(4008);

/// `max_topics` are known.
#[derive(Debug)]
pub(super) struct TopicsFull;

/// Messages that have their offsets but found no room in the topic's log here. They wait for the deliver pass, which waits for
/// nobody.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) first: Offset,
    pub(super) messages: SharedMessages,
    /// How many of them are in the log.
    pub(super) done: usize,
    pub(super) published: Now,
    /// The link that they count against, and how much.
    pub(super) link: Option<(ShardId, usize)>,
}

impl Shard {
    /// The topic at its home, which is here; made when it is new.
    pub(super) fn open_home<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        name: &TopicName,
    ) -> Result<HomeId, TopicsFull> {
        if let Some(home) = self.homes.find(name) {
            return Ok(home);
        }
        // A topic that is forgotten leaves its place to this one.
        if !self.mesh.add_topic(self.settings.max_topics) && !self.homes.forget_empty() {
            self.metrics.counters.topics_refused_full += 1;
            return Err(TopicsFull);
        }
        Ok(self.homes.add(name, Epoch(cx.rng.u64(..)), cx.now))
    }

    /// Where a topic is published that this connection has not published to before.
    pub(super) fn home_at<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        name: &TopicName,
    ) -> Result<HomeAt, TopicsFull> {
        let shard = self.mesh.home_of(name);
        if shard == self.mesh.me {
            self.open_home(cx, name).map(HomeAt::Here)
        } else {
            Ok(HomeAt::There(shard))
        }
    }

    /// Publishes a connection's messages, or holds them back.
    pub(super) fn publish<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        at: HomeAt,
        name: &TopicName,
        messages: Messages<'_>,
        about: About,
    ) {
        let held = match at {
            HomeAt::Here(home) => {
                if !self.waiting.is_anybody_at(Gate::Home(home))
                    && let Ok(at) = self.accept_publish(cx, home, messages, None, None)
                {
                    self.on_home_answer(cx, slot, about, HomeAnswer::Published(at));
                    return;
                }
                Held::Here { home, messages: messages.to_shared(), about }
            }
            HomeAt::There(shard) => {
                let reply = ReplyTo { slot, generation: self.table[slot].generation, about };
                let messages = messages.to_shared();
                let request = Request::Publish { topic: name.clone(), messages, reply };
                match self.try_request(cx, slot, shard, request) {
                    Ok(()) => return,
                    Err(request) => Held::There { shard, request },
                }
            }
        };
        self.hold_request(cx, slot, held);
    }

    /// Asks another shard on behalf of a connection, or holds the request back.
    pub(super) fn request<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        shard: ShardId,
        request: Request,
    ) {
        if let Err(request) = self.try_request(cx, slot, shard, request) {
            self.hold_request(cx, slot, Held::There { shard, request });
        }
    }

    fn try_request<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        shard: ShardId,
        request: Request,
    ) -> Result<(), Request> {
        if self.waiting.is_anybody_at(Gate::Link(shard)) || !self.mesh.has_request_room(shard, &request) {
            return Err(request);
        }
        self.requested(cx, slot, &request);
        self.mesh.request(shard, request);
        Ok(())
    }

    /// A request of the connection is on its way: who has an answer coming waits for it, or owes it.
    pub(super) fn requested<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, request: &Request) {
        match request {
            Request::Publish { reply: ReplyTo { about: About::Raw, .. }, .. } => {}
            Request::Publish { reply: ReplyTo { about: About::Json(_), .. }, .. } => {
                self.table[slot].outbound_mut().owed += 1;
                self.pause_if_over_bound(cx, slot);
            }
            // HTTP answers requests in order, so the next one waits.
            _ => self.await_answer(slot),
        }
    }

    /// Leaves what the connection sends alone until another shard has answered. Reading goes on for a while: that is cheaper
    /// than to stop for so short a time.
    pub(super) fn await_answer(&mut self, slot: Slot) {
        let connection = &mut self.table[slot];
        connection.set(Flag::Awaiting);
        connection.set(Flag::Paused);
    }

    /// Publishes a request's body, which has been checked.
    pub(super) fn publish_body<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        messages: Messages<'_>,
        reply: HttpReply,
    ) {
        let name = reply.topic.clone().expect("a publish has a topic");
        match self.home_at(cx, &name) {
            Ok(at) => self.publish(cx, slot, at, &name, messages, About::Http(Box::new(reply))),
            Err(TopicsFull) => {
                self.on_home_answer(cx, slot, About::Http(Box::new(reply)), HomeAnswer::TopicsFull)
            }
        }
    }

    // At the home -------------------------------------------------------------------------------------------------

    /// Takes a publish at its topic's home: numbers it, appends it here, and relays it to where it has subscribers. All of that
    /// or, when there is no room somewhere, nothing. `answer_to` needs room for the answer too.
    pub(super) fn accept_publish<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        home: HomeId,
        messages: Messages<'_>,
        shared: Option<&SharedMessages>,
        answer_to: Option<ShardId>,
    ) -> Result<Published, HeldBack> {
        let (bytes, held_bytes) = (messages.bytes(), messages.held_bytes());
        let topic = &self.homes[home];
        let mut needs_answer_room = answer_to;
        let mut has_room = true;
        for interest in topic.interested() {
            let answers = usize::from(answer_to == Some(interest.shard));
            let load = MESSAGE_BYTES + held_bytes + answers * MESSAGE_BYTES;
            let is_claimed = self.waiting.is_claimed(interest.shard);
            if is_claimed || !self.mesh.has_relay_room(interest.shard, 1 + answers, load) {
                // Else small messages of other topics could take all room that comes up, for ever. Every link that lacks it
                // is claimed, for all of them must have it at once.
                self.waiting.claim(interest.shard);
                has_room = false;
            }
            needs_answer_room = needs_answer_room.filter(|&shard| shard != interest.shard);
        }
        if !has_room
            || needs_answer_room.is_some_and(|shard| !self.mesh.has_relay_room(shard, 1, MESSAGE_BYTES))
        {
            return Err(HeldBack);
        }
        let local = topic.local;
        let first = topic.last.next();
        if let Some(local) = local {
            let parked = self.parked_bytes;
            // What of a long body finds no room later is parked, so that all of it or nothing is published.
            let is_parking_full =
                messages.count() > 1 && parked > 0 && parked + held_bytes > self.settings.topic_log_bytes;
            if self.parked.contains_key(&local)
                || is_parking_full
                || self.hub.is_full(local, bytes)
                || self.hub.is_exhausted_for(local, messages.get(0).len())
            {
                // Before anything is compressed: it is tried again in every turn.
                return Err(HeldBack);
            }
        }
        let mut deflated = std::mem::take(&mut self.scratch.deflated);
        self.deflate(home, first, messages, &mut deflated);
        let result = self.spread_from_home(cx, home, messages.with_deflated(&deflated), shared);
        deflated.clear();
        self.scratch.deflated = deflated;
        result
    }

    /// Makes the compressed forms in which the topic is followed, here and on other shards: once, for all of them.
    fn deflate(&mut self, home: HomeId, first: Offset, messages: Messages<'_>, forms: &mut Deflated) {
        let topic = &self.homes[home];
        let here = topic.local.map_or_else(Variants::default, |local| self.hub.variants(local));
        let wanted = topic.variants().union(here).compressed();
        let name = topic.name().as_str();
        let done = self.codec.deflate_all(wanted, name, first, messages, forms);
        let counters = &mut self.metrics.counters;
        counters.messages_deflated += done.messages;
        counters.deflate_input_bytes += done.bytes_in;
        counters.deflate_output_bytes += done.bytes_out;
    }

    /// Appends a publish here and relays it. There is room for it, but in the log here that is not certain yet.
    fn spread_from_home<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        home: HomeId,
        messages: Messages<'_>,
        shared: Option<&SharedMessages>,
    ) -> Result<Published, HeldBack> {
        let topic = &self.homes[home];
        let (local, first) = (topic.local, topic.last.next());
        if let Some(local) = local {
            self.append(cx, local, first, messages, 0, cx.now)?;
        }

        let topic = &mut self.homes[home];
        topic.number(messages.count(), cx.now);
        let newest = topic.newest();
        self.metrics.counters.messages_published += messages.count() as u64;
        self.metrics.counters.published_bytes += messages.bytes() as u64;
        let rest_at = local.filter(|_| messages.count() > 1);
        if rest_at.is_some() || !topic.interested().is_empty() {
            let shared = match shared {
                Some(shared) => shared.with_deflated_of(messages),
                None => messages.to_shared(),
            };
            for interest in topic.interested() {
                let (follower, messages) = (interest.follower, shared.clone());
                self.mesh
                    .relay(interest.shard, Relay::Messages { follower, first, messages, published: cx.now });
            }
            if let Some(local) = rest_at {
                let rest = Parked { first, messages: shared, done: 1, published: cx.now, link: None };
                self.spread(cx, local, rest);
            }
        }
        Ok(newest)
    }

    // In the topic's log here -------------------------------------------------------------------------------------

    /// Appends messages that have their offsets, or parks what there is no room for.
    pub(super) fn spread<R: Ring>(&mut self, cx: &mut Context<'_, R>, topic: TopicId, mut batch: Parked) {
        if self.parked.contains_key(&topic) || !self.append_batch(cx, topic, &mut batch) {
            self.parked_bytes += batch.messages.held_bytes();
            self.metrics.counters.messages_parked += 1;
            self.parked.entry(topic).or_default().push_back(batch);
        }
    }

    /// Whether all of the batch is in the log.
    fn append_batch<R: Ring>(&mut self, cx: &mut Context<'_, R>, topic: TopicId, batch: &mut Parked) -> bool {
        let messages = batch.messages.as_ref();
        while batch.done < messages.count() {
            let offset = Offset(batch.first.0 + batch.done as u64);
            if self.append(cx, topic, offset, messages, batch.done, batch.published).is_err() {
                return false;
            }
            batch.done += 1;
        }
        if let Some((shard, bytes)) = batch.link {
            self.mesh.release_relay(shard, bytes);
        }
        true
    }

    /// What was parked goes into the logs as the passes make room.
    pub(super) fn retry_parked<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        if self.parked.is_empty() {
            return;
        }
        let topics: Vec<TopicId> = self.parked.keys().copied().collect();
        for topic in topics {
            let mut batches = self.parked.remove(&topic).expect("listed above");
            while let Some(batch) = batches.front_mut() {
                if !self.append_batch(cx, topic, batch) {
                    break;
                }
                self.parked_bytes -= batch.messages.held_bytes();
                batches.pop_front();
            }
            if batches.is_empty() {
                // It may have been what kept the record.
                self.topics.list(topic);
            } else {
                self.parked.insert(topic, batches);
            }
        }
    }

    /// Appends one message, and sees to the subscribers that were in the way of it.
    fn append<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        topic: TopicId,
        offset: Offset,
        messages: Messages<'_>,
        index: usize,
        published: Now,
    ) -> Result<(), HeldBack> {
        let tail_room = self.settings.lag_tail_bytes - self.tails_used;
        let result = self.hub.append_one_of(topic, offset, messages, index, published, tail_room);
        for lapped in self.hub.take_lapped() {
            if lapped.is_out {
                self.left(cx, lapped.topic);
            }
            let Some(tail) = lapped.tail else {
                // Its stream is inside a frame that will never end: only a reset is honest.
                self.metrics.counters.lag_tail_exhausted += 1;
                self.reset(cx, lapped.slot);
                continue;
            };
            self.keep_tail(cx, lapped.slot, tail);
            if lapped.is_out {
                self.close_websocket(cx, lapped.slot, LAPPED, "too slow: messages were missed; reconnect");
            }
        }
        result
    }
}
