//! Stopping gently: nobody new, everybody told, a bounded wait, then the rest is cut.

use super::{Context, Shard};
use crate::ids::Slot;
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

impl Shard {
    pub(super) fn start_drain<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        if self.drain.is_some() {
            return;
        }
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
        self.drain = Some(Drain {
            deadline: self.clock.deadline(self.settings.drain),
            told,
            is_cut: false,
            is_said: false,
        });
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
