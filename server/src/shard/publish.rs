//! Publishing: to the topic's home, here or on another shard, at once or when there is room.

use super::{Context, Shard};
use crate::home::HomeId;
use crate::http::{self, Answer, Refusal};
use crate::hub::HeldBack;
use crate::ids::{Epoch, Form, Now, Offset, Published, ShardId, Slot, TopicId};
use crate::mesh::{About, HomeAnswer, HttpReply, MESSAGE_BYTES, Relay, ReplyTo, Request};
use crate::message::{Messages, SharedMessages};
use crate::net::connection::{Flag, Held, Phase};
use crate::net::outbound::After;
use crate::topics::HomeAt;
use corecast_protocol::{CloseCode, topic::TopicName};
use corecast_uring::Ring;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The subscriber was too slow. It may reconnect.
const LAPPED: CloseCode = CloseCode(4008);

/// The server has no room for it. It may reconnect.
const OVERLOADED: CloseCode = CloseCode(4013);

/// What publishers wait for.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub(super) enum Gate {
    /// Room for a topic whose home is here: in its log, and on the links to where it has subscribers.
    Home(HomeId),
    /// Room on the link to a topic's home.
    Link(ShardId),
}

/// Who waits.
#[derive(Debug)]
pub(super) enum Waiter {
    Connection(Slot),
    /// A publish of another shard, which counts as so many bytes on its link until it is done.
    Request {
        from: ShardId,
        request: Box<Request>,
        bytes: usize,
    },
}

/// Who waits for what, the longest waiting first. Whoever comes while others wait for the same waits behind them: else small
/// messages would go past a large one for ever.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_gate: BTreeMap<Gate, VecDeque<Waiter>>,
    /// Whose turn is first when all gates are tried again.
    first: Option<Gate>,
    /// Shards on whose relay link somebody at a gate waits for room: nobody else takes it meanwhile. Decided anew whenever all
    /// gates are tried.
    claimed: BTreeSet<ShardId>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.by_gate.values().map(VecDeque::len).sum()
    }

    pub(super) fn is_anybody_at(&self, gate: Gate) -> bool {
        self.by_gate.contains_key(&gate)
    }

    pub(super) fn add(&mut self, gate: Gate, waiter: Waiter) {
        self.by_gate.entry(gate).or_default().push_back(waiter);
    }

    /// Gives one back that found no room after all.
    fn add_first(&mut self, gate: Gate, waiter: Waiter) {
        self.by_gate.entry(gate).or_default().push_front(waiter);
    }

    fn take_first(&mut self, gate: Gate) -> Option<Waiter> {
        let queue = self.by_gate.get_mut(&gate)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.by_gate.remove(&gate);
        }
        first
    }

    fn remove(&mut self, gate: Gate, slot: Slot) {
        let queue = self.by_gate.get_mut(&gate).expect("who is held waits at a gate");
        queue.retain(|waiter| !matches!(waiter, Waiter::Connection(other) if *other == slot));
        if queue.is_empty() {
            self.by_gate.remove(&gate);
        }
    }

    /// All gates, in the order of their turns.
    fn gates(&self) -> Vec<Gate> {
        let Some(first) = self.first else { return self.by_gate.keys().copied().collect() };
        self.by_gate.range(first..).chain(self.by_gate.range(..first)).map(|(&gate, _)| gate).collect()
    }
}

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

impl Held {
    fn gate(&self) -> Gate {
        match self {
            Self::Here { home, .. } => Gate::Home(*home),
            Self::There { shard, .. } => Gate::Link(*shard),
        }
    }
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
    fn requested<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, request: &Request) {
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

    fn hold_request<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, held: Held) {
        if !matches!(self.table[slot].phase, Phase::Http | Phase::Open) {
            // Its own message lapped it, and it is being closed.
            return;
        }
        self.metrics.counters.publishes_held_back += 1;
        let gate = held.gate();
        if let Held::Here { home, .. } = held {
            // Nothing else may keep the topic until this is done.
            self.homes[home].waiting += 1;
        }
        let connection = &mut self.table[slot];
        connection.inbound_mut().held = Some(Box::new(held));
        connection.set(Flag::Held);
        self.waiting.add(gate, Waiter::Connection(slot));
        self.pause(cx, slot);
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
        for interest in topic.interested() {
            let answers = usize::from(answer_to == Some(interest.shard));
            let load = MESSAGE_BYTES + held_bytes + answers * MESSAGE_BYTES;
            let is_claimed = self.waiting.claimed.contains(&interest.shard);
            if is_claimed || !self.mesh.has_relay_room(interest.shard, 1 + answers, load) {
                // Else small messages of other topics could take all room that comes up, for ever.
                self.waiting.claimed.insert(interest.shard);
                return Err(HeldBack);
            }
            needs_answer_room = needs_answer_room.filter(|&shard| shard != interest.shard);
        }
        if needs_answer_room.is_some_and(|shard| !self.mesh.has_relay_room(shard, 1, MESSAGE_BYTES)) {
            return Err(HeldBack);
        }
        let local = topic.local;
        let first = topic.last.next();
        if let Some(local) = local {
            let parked = self.parked_bytes;
            // What of a long body finds no room later is parked, so that all of it or nothing is published.
            let is_parking_full =
                messages.count() > 1 && parked > 0 && parked + held_bytes > self.settings.topic_log_bytes;
            if self.parked.contains_key(&local) || is_parking_full || self.hub.is_full(local, bytes) {
                return Err(HeldBack);
            }
            self.append(cx, local, first, messages.form, messages.get(0), cx.now)?;
        }

        let topic = &mut self.homes[home];
        topic.number(messages.count(), cx.now);
        let newest = topic.newest();
        self.metrics.counters.messages_published += messages.count() as u64;
        self.metrics.counters.published_bytes += bytes as u64;
        let rest_at = local.filter(|_| messages.count() > 1);
        if rest_at.is_some() || !topic.interested().is_empty() {
            let shared = shared.map_or_else(|| messages.to_shared(), SharedMessages::clone);
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
            let payload = messages.get(batch.done);
            if self.append(cx, topic, offset, messages.form, payload, batch.published).is_err() {
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
        form: Form,
        payload: &[u8],
        published: Now,
    ) -> Result<(), HeldBack> {
        let tail_room = self.settings.lag_tail_bytes - self.tails_used;
        let result = self.hub.append(topic, offset, form, payload, published, tail_room);
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

    // Waiting -----------------------------------------------------------------------------------------------------

    /// Who was held back tries again, gate by gate, until one still finds no room. The first gate that got nothing begins the
    /// next time.
    pub(super) fn retry_held<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        self.waiting.claimed.clear();
        let mut got_nothing = None;
        for gate in self.waiting.gates() {
            let mut has_got_something = false;
            while let Some(waiter) = self.waiting.take_first(gate) {
                let back = match waiter {
                    Waiter::Connection(slot) => {
                        (!self.retry_connection(cx, slot)).then_some(Waiter::Connection(slot))
                    }
                    Waiter::Request { from, request, bytes } => {
                        let Gate::Home(home) = gate else { panic!("requests wait at the home") };
                        let result = self.retry_request(cx, home, from, *request, bytes);
                        result.err().map(|request| Waiter::Request {
                            from,
                            request: Box::new(request),
                            bytes,
                        })
                    }
                };
                if let Some(waiter) = back {
                    self.waiting.add_first(gate, waiter);
                    break;
                }
                has_got_something = true;
            }
            if !has_got_something {
                got_nothing = got_nothing.or(Some(gate));
            }
        }
        self.waiting.first = got_nothing;
    }

    /// Whether the connection waits no more.
    fn retry_connection<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) -> bool {
        let connection = &mut self.table[slot];
        connection.clear(Flag::Held);
        let inbound = connection.inbound.as_mut();
        let held = inbound.and_then(|inbound| inbound.held.take()).expect("who is held has a request");
        connection.tidy_inbound();
        match *held {
            Held::Here { home, messages, about } => {
                let result = self.accept_publish(cx, home, messages.as_ref(), Some(&messages), None);
                // The message may have lapped its own publisher, which is then being closed.
                let is_wanted = matches!(self.table[slot].phase, Phase::Http | Phase::Open);
                if result.is_err() && is_wanted {
                    self.hold_again(slot, Held::Here { home, messages, about });
                    return false;
                }
                self.homes[home].waiting -= 1;
                self.recount_inbound(slot);
                if let (Ok(at), true) = (result, is_wanted) {
                    self.on_home_answer(cx, slot, about, HomeAnswer::Published(at));
                    self.resume(cx, slot);
                }
            }
            Held::There { shard, request } => {
                if !self.mesh.has_request_room(shard, &request) {
                    self.hold_again(slot, Held::There { shard, request });
                    return false;
                }
                self.requested(cx, slot, &request);
                self.mesh.request(shard, request);
                self.recount_inbound(slot);
                self.resume(cx, slot);
            }
        }
        true
    }

    fn hold_again(&mut self, slot: Slot, held: Held) {
        let connection = &mut self.table[slot];
        connection.set(Flag::Held);
        connection.inbound_mut().held = Some(Box::new(held));
    }

    /// The connection ends or is being closed: what it wanted to publish is not waited for. What it has sent besides is
    /// kept: its Close frame may be in there.
    pub(super) fn forget_held<R: Ring>(&mut self, _cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        connection.clear(Flag::Awaiting);
        if !connection.is(Flag::Held) {
            return;
        }
        connection.clear(Flag::Held);
        let held = connection.inbound_mut().held.take().expect("who is held has a request");
        connection.tidy_inbound();
        self.waiting.remove(held.gate(), slot);
        if let Held::Here { home, .. } = *held {
            self.homes[home].waiting -= 1;
        }
        self.recount_inbound(slot);
    }

    // Answers -----------------------------------------------------------------------------------------------------

    /// An answer from another shard.
    pub(super) fn on_answer<R: Ring>(&mut self, cx: &mut Context<'_, R>, reply: ReplyTo, answer: HomeAnswer) {
        let ReplyTo { slot, generation, about } = reply;
        let Some(connection) = self.table.current(slot, generation) else { return };
        if !matches!(connection.phase, Phase::Http | Phase::Open) {
            return;
        }
        let is_awaited = connection.is(Flag::Awaiting) && matches!(about, About::Http(_));
        if matches!(about, About::Json(_)) {
            connection.outbound_mut().owed -= 1;
        }
        if is_awaited {
            connection.clear(Flag::Awaiting);
        }
        self.on_home_answer(cx, slot, about, answer);
        if is_awaited && self.table[slot].phase == Phase::Http {
            self.resume(cx, slot);
        }
    }

    /// Tells a connection what the home said.
    pub(super) fn on_home_answer<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        about: About,
        answer: HomeAnswer,
    ) {
        if matches!(answer, HomeAnswer::TopicsFull) {
            self.metrics.counters.publishes_refused += 1;
        }
        match about {
            About::Raw => {
                if let HomeAnswer::TopicsFull = answer {
                    self.close_websocket(cx, slot, OVERLOADED, "max_topics are known; try again later");
                }
            }
            About::Json(id) => self.answer_json(cx, slot, id, &answer),
            About::Http(reply) => {
                let answer = self.http_answer(&reply, answer);
                self.answer(cx, slot, &answer.with_cors(reply.cors.as_ref()), reply.is_head);
            }
        }
    }

    fn http_answer(&self, reply: &HttpReply, answer: HomeAnswer) -> Answer {
        let name = reply.topic.as_ref().map_or("", |topic| topic.as_str());
        match (answer, reply.count) {
            (HomeAnswer::Published(at), None) => http::published(name, at),
            (HomeAnswer::Published(at), Some(count)) => http::published_many(name, at, count),
            (HomeAnswer::TopicsFull, _) => Answer::refusal(&Refusal::topics_full(self.settings.max_topics)),
            (HomeAnswer::Info(Some(info)), _) => http::topic_info(name, info),
            (HomeAnswer::Info(None), _) => Answer::refusal(&Refusal::new(
                404,
                "bad_topic",
                format!("no topic {name} is known; it comes to be with its first subscriber or message"),
            )),
            (HomeAnswer::Connections(page), _) => Answer::text(200, "application/json", page),
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
            connection.phase = Phase::Lingering;
            connection.deadline = self.clock.deadline(self.settings.close);
        } else {
            connection.deadline = self.clock.deadline(self.settings.http_idle);
            self.pause_if_over_bound(cx, slot);
        }
        self.mark(slot);
    }

    /// A peer that does not take its answers gets no more requests read.
    pub(super) fn pause_if_over_bound<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &self.table[slot];
        let is_over_bound = connection.outbound.as_ref().is_some_and(|outbound| outbound.is_over_bound());
        if is_over_bound && !connection.is(Flag::Paused) {
            self.metrics.counters.replies_bound_hit += 1;
            self.pause(cx, slot);
        }
    }
}

/// `max_topics` are known.
#[derive(Debug)]
pub(super) struct TopicsFull;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_whose_turn_is_first_comes_before_all_others() {
        let gates = [Gate::Link(ShardId(1)), Gate::Link(ShardId(3)), Gate::Link(ShardId(5))];
        let mut waiting = Waiting::default();
        for gate in gates {
            waiting.add(gate, Waiter::Connection(Slot(0)));
        }
        let [first, second, third] = gates;
        assert_eq!(waiting.gates(), [first, second, third]);
        waiting.first = Some(second);
        assert_eq!(waiting.gates(), [second, third, first]);
        waiting.first = Some(first);
        assert_eq!(waiting.gates(), [first, second, third]);
        // Nobody may be left at the gate whose turn it was.
        waiting.first = Some(Gate::Link(ShardId(2)));
        assert_eq!(waiting.gates(), [second, third, first]);
    }
}
