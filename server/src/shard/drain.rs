//! Stopping gently: nobody new, everybody told, a bounded wait, then the rest is cut.

use super::{Context, Shard};
use crate::ids::Slot;
use crate::mesh::Passed;
use crate::net::connection::{Flag, Operation, Phase};
use crate::net::outbound::After;
use corecast_protocol::CloseCode;
use corecast_uring::Ring;
use tracing::{info, warn};

#[derive(Debug)]
pub(super) struct Drain {
    /// Tick at which what is still open is cut.
    deadline: u32,
    told: usize,
    is_cut: bool,
    /// Nothing is left here, and the other shards were told.
    is_said: bool,
}

/// Before anybody is told that the server stops: what was published until then, and answered as such, still has to come from
/// its publisher's shard to the topic's home and from there to the subscribers' shards.
///
/// ```text
///   Requests  what this shard had asked of others is done
///   Others    the same is true of all shards
///   Relays    what was relayed to this shard until then is in its logs, passed, and with those that lag
/// ```
#[derive(Debug)]
pub(super) struct Flush {
    /// Tick at which the stop begins all the same: under pressure, what waits may wait for long.
    deadline: u32,
    /// Tick at which what is still open is cut: it counts from the signal.
    drain_by: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// As many as were sent on each link.
    Requests(Vec<u64>),
    Others,
    Relays(Vec<u64>),
}

const FLUSH_TICKS: u32 = 4;

fn sent(links: Vec<Passed>) -> Vec<u64> {
    links.into_iter().map(|link| link.sent).collect()
}

fn are_released(links: Vec<Passed>, sent: &[u64]) -> bool {
    links.into_iter().zip(sent).all(|(link, &sent)| link.released >= sent)
}

impl Shard {
    pub(super) fn start_flush(&mut self) {
        if self.flush.is_none() && self.drain.is_none() {
            let stage = Stage::Requests(sent(self.mesh.requests_passed()));
            let drain_by = self.clock.deadline(self.settings.drain);
            let deadline = drain_by.min(self.clock.tick() + FLUSH_TICKS);
            self.flush = Some(Flush { deadline, drain_by, stage });
        }
    }

    /// From the stop on no request over HTTP begins anything new.
    pub(super) fn is_stopping(&self) -> bool {
        self.flush.is_some() || self.drain.is_some()
    }

    /// Goes as far as it can; at the end the drain begins.
    pub(super) fn flush<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        while let Some(flush) = &mut self.flush {
            let is_late = self.clock.tick() >= flush.deadline;
            match &flush.stage {
                // Those of others that wait at gates here are theirs to wait for, but they can't see in which order.
                Stage::Requests(sent)
                    if is_late
                        || (self.waiting.len() == 0 && are_released(self.mesh.requests_passed(), sent)) =>
                {
                    self.mesh.say_flushed();
                    flush.stage = Stage::Others;
                }
                Stage::Others if is_late || self.mesh.are_all_flushed() => {
                    flush.stage = Stage::Relays(sent(self.mesh.relays_passed()));
                }
                Stage::Relays(sent) => {
                    let is_passed = self.hub.ready_raw() == 0
                        && self.hub.ready_json() == 0
                        && self.parked.is_empty()
                        && self.waiting.len() == 0
                        // Most take the rest within a round trip.
                        && self.hub.laggers() == 0;
                    let is_done = is_passed && are_released(self.mesh.relays_passed(), sent);
                    if !is_late && !is_done {
                        return;
                    }
                    let drain_by = flush.drain_by;
                    self.flush = None;
                    self.start_drain(cx, drain_by);
                }
                Stage::Requests(_) | Stage::Others => return,
            }
        }
    }

    fn start_drain<R: Ring>(&mut self, cx: &mut Context<'_, R>, drain_by: u32) {
        let slots: Vec<Slot> = self.table.iter().map(|(slot, _)| slot).collect();
        let mut told = 0;
        for slot in slots {
            match self.table[slot].phase {
                Phase::Open => {
                    self.close_websocket(
                        cx,
                        slot,
                        CloseCode::GOING_AWAY,
                        "server is shutting down; reconnect",
                    );
                    told += 1;
                }
                // In the middle of a request: it is still answered. Between two: there is nothing to wait for.
                Phase::Http if self.table[slot].inbound.is_some() || self.table[slot].is(Flag::Awaiting) => {
                    self.table[slot].set(Flag::LastRequest);
                }
                Phase::Http if self.table[slot].outbound.is_some() => {
                    let connection = &mut self.table[slot];
                    connection.phase = Phase::Lingering;
                    connection.deadline = self.clock.deadline(self.settings.close);
                    connection.outbound_mut().after = After::Linger;
                    self.mark(slot);
                }
                // Accepted a moment ago: what it asks for is on its way.
                Phase::Http if self.table[slot].has_in_flight(Operation::PeerAddress) => {
                    self.table[slot].deadline = self.clock.deadline(self.settings.close);
                }
                Phase::Http => self.die(cx, slot),
                _ => {}
            }
        }
        info!(shard = self.mesh.me.0, connections = told, "stopping: every WebSocket was sent Close 1001");
        self.drain = Some(Drain { deadline: drain_by, told, is_cut: false, is_said: false });
    }

    pub(super) fn check_drain<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        let tick = self.clock.tick();
        let Some(drain) = &mut self.drain else { return };
        if drain.is_cut || tick < drain.deadline || self.table.is_empty() {
            return;
        }
        drain.is_cut = true;
        let slots: Vec<Slot> = self.table.iter().map(|(slot, _)| slot).collect();
        warn!(connections = slots.len(), "drain_timeout has passed; cutting what is still open");
        for slot in slots {
            self.reset(cx, slot);
        }
    }

    /// Nothing is left here, nor on any other shard: until then others may want something of the topics whose home is here.
    pub(super) fn is_drained(&mut self) -> bool {
        let is_empty = self.table.is_empty() && self.are_listeners_closed();
        let Some(drain) = self.drain.as_mut().filter(|_| is_empty) else { return false };
        if !drain.is_said {
            drain.is_said = true;
            info!(shard = self.mesh.me.0, told = drain.told, "stopped: no connection is left");
            self.mesh.say_drained();
        }
        self.mesh.are_all_drained()
    }
}
