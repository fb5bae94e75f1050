//! Waiting for room: at a topic's home or for a link, in line, and the turn of those that wait.

use super::{Context, Shard};
use crate::home::HomeId;
use crate::ids::{ShardId, Slot};
use crate::mesh::{HomeAnswer, Request};
use crate::net::connection::{Flag, Held, Phase};
use corecast_uring::Ring;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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
    /// When somebody at a gate last got something, or the first came to wait there; in rounds of trying them all.
    since: BTreeMap<Gate, u64>,
    round: u64,
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
        self.since.entry(gate).or_insert(self.round);
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

    /// Whether room on the relay link to this shard is kept for somebody at a gate.
    pub(super) fn is_claimed(&self, shard: ShardId) -> bool {
        self.claimed.contains(&shard)
    }

    /// Keeps room on that link for whoever just found none.
    pub(super) fn claim(&mut self, shard: ShardId) {
        self.claimed.insert(shard);
    }

    /// All gates. Several may wait for room on the same link, so the one whose turn was the longest ago comes first.
    fn gates(&self) -> Vec<Gate> {
        let mut gates: Vec<Gate> = self.by_gate.keys().copied().collect();
        gates.sort_by_key(|gate| self.since.get(gate));
        gates
    }

    fn begin_round(&mut self) {
        self.round += 1;
        self.claimed.clear();
        let by_gate = &self.by_gate;
        self.since.retain(|gate, _| by_gate.contains_key(gate));
    }
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
    /// Keeps what there is no room for, and its connection from sending more.
    pub(super) fn hold_request<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, held: Held) {
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

    /// Who was held back tries again, gate by gate, until one still finds no room.
    pub(super) fn retry_held<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        self.waiting.begin_round();
        for gate in self.waiting.gates() {
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
                self.waiting.since.insert(gate, self.waiting.round);
            }
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_whose_turn_was_the_longest_ago_comes_first() {
        let [one, two, three] = [1, 3, 5].map(|shard| Gate::Link(ShardId(shard)));
        let mut waiting = Waiting::default();
        for gate in [one, two, three] {
            waiting.add(gate, Waiter::Connection(Slot(0)));
        }
        assert_eq!(waiting.gates(), [one, two, three]);
        waiting.begin_round();
        waiting.since.insert(one, waiting.round);
        assert_eq!(waiting.gates(), [two, three, one]);
        waiting.begin_round();
        waiting.since.insert(two, waiting.round);
        // A gate that never gets anything does not keep the others from taking turns.
        assert_eq!(waiting.gates(), [three, one, two]);
        waiting.remove(one, Slot(0));
        waiting.begin_round();
        waiting.add(one, Waiter::Connection(Slot(0)));
        assert_eq!(waiting.gates(), [three, two, one], "who comes anew comes last");
    }
}
