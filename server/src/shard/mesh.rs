//! What comes from other shards: requests for the topics whose home is here, and relays from the homes of others.

use super::publish::{Parked, TopicsFull};
use super::waiting::{Gate, Waiter};
use super::{Context, Shard};
use crate::home::HomeId;
use crate::hub::HeldBack;
use crate::ids::ShardId;
use crate::mesh::{About, HomeAnswer, MESSAGE_BYTES, Relay, Request};
use crate::topics::Interest;
use corecast_uring::Ring;

/// Why a request from another shard has to wait.
#[derive(Debug)]
enum Blocked {
    /// At its topic's gate, in the order in which it came there.
    AtGate(HomeId),
    /// For room on the link back.
    ForRelay,
}

impl Shard {
    /// Takes everything that homes have sent.
    pub(super) fn take_relays<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for from in self.mesh.others() {
            while let Some((relay, bytes)) = self.mesh.take_relay(from) {
                match relay {
                    Relay::Messages { follower, first, messages, published } => {
                        if self.topics.followed(follower).is_none() {
                            // For an interest that has ended meanwhile.
                            self.mesh.release_relay(from, bytes);
                            continue;
                        }
                        self.metrics.counters.messages_relayed += messages.as_ref().count() as u64;
                        let link = Some((from, bytes));
                        let batch = Parked { first, messages, done: 0, published, link };
                        self.spread(cx, follower.topic, batch);
                        continue;
                    }
                    Relay::InterestOn { follower, epoch, last } => {
                        if let Some(topic) = self.topics.followed(follower) {
                            topic.interest = Interest::On { epoch };
                            self.hub.set_last(follower.topic, last);
                            self.on_interest(cx, follower.topic);
                        }
                    }
                    Relay::InterestRefused { follower } => {
                        if let Some(topic) = self.topics.followed(follower) {
                            topic.interest = Interest::Off;
                            self.on_interest_refused(cx, follower.topic);
                        }
                    }
                    Relay::Answer { reply, answer } => self.on_answer(cx, reply, answer),
                }
                self.mesh.release_relay(from, bytes);
            }
        }
    }

    /// Serves the requests of each other shard, as far as there is room for what follows from them. A publish that has to wait
    /// does so at its topic's gate, and those to other topics go past it.
    pub(super) fn serve_requests<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for from in self.mesh.others() {
            while let Some((request, bytes)) = self.next_request(from) {
                match self.serve_request(cx, from, request, false) {
                    Ok(()) => self.mesh.release_request(from, bytes),
                    Err((request, Blocked::AtGate(home))) => {
                        // Nothing else may keep the topic until this is done.
                        self.homes[home].waiting += 1;
                        self.metrics.counters.publishes_held_back += 1;
                        let request = Box::new(request);
                        self.waiting.add(Gate::Home(home), Waiter::Request { from, request, bytes });
                    }
                    Err((request, Blocked::ForRelay)) => {
                        self.stalled[usize::from(from.0)] = Some((request, bytes));
                        break;
                    }
                }
            }
        }
    }

    fn next_request(&mut self, from: ShardId) -> Option<(Request, usize)> {
        self.stalled[usize::from(from.0)].take().or_else(|| self.mesh.take_request(from))
    }

    /// It is a request's turn at its topic's gate. Gives it back if it still has to wait.
    pub(super) fn retry_request<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        home: HomeId,
        from: ShardId,
        request: Request,
        bytes: usize,
    ) -> Result<(), Request> {
        self.serve_request(cx, from, request, true).map_err(|(request, _)| request)?;
        self.homes[home].waiting -= 1;
        self.mesh.release_request(from, bytes);
        Ok(())
    }

    /// `is_its_turn`: of those that wait at its topic's gate.
    fn serve_request<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        from: ShardId,
        request: Request,
        is_its_turn: bool,
    ) -> Result<(), (Request, Blocked)> {
        // On the link back. A publish that needs no answer must not wait for it: others may be behind it at its topic's gate.
        let is_answered = match &request {
            Request::Subscribers { .. } | Request::InterestOff { .. } => false,
            Request::Publish { reply, .. } => !matches!(reply.about, About::Raw),
            _ => true,
        };
        if is_answered && !self.mesh.has_relay_room(from, 1, MESSAGE_BYTES) {
            return Err((request, Blocked::ForRelay));
        }
        match request {
            Request::Publish { topic, messages, reply } => {
                let home = match self.open_home(cx, &topic) {
                    Ok(home) => home,
                    // This is the one thing that a raw publisher hears of.
                    Err(TopicsFull) if !self.mesh.has_relay_room(from, 1, MESSAGE_BYTES) => {
                        return Err((Request::Publish { topic, messages, reply }, Blocked::ForRelay));
                    }
                    Err(TopicsFull) => {
                        self.mesh.relay(from, Relay::Answer { reply, answer: HomeAnswer::TopicsFull });
                        return Ok(());
                    }
                };
                let is_queued = !is_its_turn && self.waiting.is_anybody_at(Gate::Home(home));
                let answer_to = is_answered.then_some(from);
                let result = if is_queued {
                    Err(HeldBack)
                } else {
                    self.accept_publish(cx, home, messages.as_ref(), Some(&messages), answer_to)
                };
                match result {
                    Ok(at) if is_answered => {
                        self.mesh.relay(from, Relay::Answer { reply, answer: HomeAnswer::Published(at) });
                    }
                    Ok(_) => {}
                    Err(_) => {
                        return Err((Request::Publish { topic, messages, reply }, Blocked::AtGate(home)));
                    }
                }
            }
            Request::Interest { topic, follower } => {
                let relay = match self.open_home(cx, &topic) {
                    Ok(home) => {
                        let home = &mut self.homes[home];
                        home.add_interest(from, follower);
                        Relay::InterestOn { follower, epoch: home.epoch, last: home.last }
                    }
                    Err(TopicsFull) => Relay::InterestRefused { follower },
                };
                self.mesh.relay(from, relay);
            }
            Request::Subscribers { topic, generation, count, variants } => {
                if let Some(home) = self.homes.find(&topic) {
                    self.homes[home].set_subscribers(from, generation, count, variants);
                }
            }
            Request::InterestOff { topic, generation } => {
                if let Some(home) = self.homes.find(&topic) {
                    self.homes[home].remove_interest(from, generation, cx.now);
                }
            }
            Request::Info { topic, reply } => {
                let answer = HomeAnswer::Info(self.topic_info(&topic));
                self.mesh.relay(from, Relay::Answer { reply, answer });
            }
            Request::Connections { reply } => {
                let answer = HomeAnswer::Connections(self.connections_page());
                self.mesh.relay(from, Relay::Answer { reply, answer });
            }
        }
        Ok(())
    }
}
