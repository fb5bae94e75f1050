//! What comes from other shards: requests for the topics whose home is here, and relays from the homes of others.

use super::publish::{Gate, Parked, TopicsFull, Waiter};
use super::{Context, Shard};
use crate::hub::HeldBack;
use crate::ids::ShardId;
use crate::mesh::{About, HomeAnswer, MESSAGE_BYTES, Relay, Request};
use crate::topics::Interest;
use corecast_uring::Ring;

/// Why a request from another shard has to wait.
#[derive(Debug)]
enum Blocked {
    /// At a gate, in the order in which it came there.
    AtGate(Gate),
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

    /// Serves the requests of each other shard, in order, as far as there is room for what follows from them.
    pub(super) fn serve_requests<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        for from in self.mesh.others() {
            while !self.is_waiting_at_gate[usize::from(from.0)] && self.serve_next(cx, from) {}
        }
    }

    /// Whether there was a request and it is done.
    fn serve_next<R: Ring>(&mut self, cx: &mut Context<'_, R>, from: ShardId) -> bool {
        let stalled = self.stalled[usize::from(from.0)].take();
        let Some(request) = stalled.or_else(|| self.mesh.take_request(from)) else { return false };
        match self.serve_request(cx, from, request, None) {
            Ok(()) => true,
            Err((request, blocked)) => {
                self.stalled[usize::from(from.0)] = Some(request);
                if let Blocked::AtGate(gate) = blocked {
                    if let Gate::Home(home) = gate {
                        self.homes[home].waiting += 1;
                    }
                    self.is_waiting_at_gate[usize::from(from.0)] = true;
                    self.waiting.add(gate, Waiter::Requests(from));
                }
                false
            }
        }
    }

    /// It is the turn of a shard's first request at this gate; whether it waits no more.
    pub(super) fn retry_requests<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        from: ShardId,
        gate: Gate,
    ) -> bool {
        let request = self.stalled[usize::from(from.0)].take().expect("who waits at a gate has a request");
        if let Err((request, _)) = self.serve_request(cx, from, request, Some(gate)) {
            self.stalled[usize::from(from.0)] = Some(request);
            return false;
        }
        if let Gate::Home(home) = gate {
            self.homes[home].waiting -= 1;
        }
        self.is_waiting_at_gate[usize::from(from.0)] = false;
        // The others behind it are served in the next turn at the latest, if nothing new comes before.
        self.serve_again = true;
        true
    }

    /// `at_gate`: it is the request's turn there.
    fn serve_request<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        from: ShardId,
        request: Request,
        at_gate: Option<Gate>,
    ) -> Result<(), (Request, Blocked)> {
        // Every request but a notice is answered on the link back.
        let is_notice = matches!(request, Request::Subscribers { .. } | Request::InterestOff { .. });
        if !is_notice && !self.mesh.has_relay_room(from, 1, MESSAGE_BYTES) {
            return Err((request, Blocked::ForRelay));
        }
        match request {
            Request::Publish { topic, messages, reply } => {
                let home = match self.open_home(cx, &topic) {
                    Ok(home) => home,
                    Err(TopicsFull) => {
                        self.mesh.relay(from, Relay::Answer { reply, answer: HomeAnswer::TopicsFull });
                        return Ok(());
                    }
                };
                let gate = Gate::Home(home);
                let is_queued = at_gate.is_none() && self.waiting.is_anybody_at(gate);
                let wants_answer = !matches!(reply.about, About::Raw);
                let answer_to = wants_answer.then_some(from);
                let result = if is_queued {
                    Err(HeldBack)
                } else {
                    self.accept_publish(cx, home, messages.as_ref(), Some(&messages), answer_to)
                };
                match result {
                    Ok(at) if wants_answer => {
                        self.mesh.relay(from, Relay::Answer { reply, answer: HomeAnswer::Published(at) });
                    }
                    Ok(_) => {}
                    Err(_) => {
                        return Err((Request::Publish { topic, messages, reply }, Blocked::AtGate(gate)));
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
            Request::Subscribers { topic, generation, count } => {
                if let Some(home) = self.homes.find(&topic) {
                    self.homes[home].set_subscribers(from, generation, count);
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
