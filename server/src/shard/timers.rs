//! Timeouts: one tick for the shard, and a sweep that looks at every connection once a second. No timer per connection.

use super::{Context, Shard};
use crate::ids::{Now, Slot};
use crate::net::connection::{Flag, Phase};
use corecast_protocol::CloseCode;
use corecast_uring::{Op, Ring, Token};
use std::time::Duration;
use tracing::debug;

/// Token kind of the tick. Connections' operations are single bits.
pub(super) const KIND: u8 = 0x83;

const TICK: Duration = Duration::from_millis(250);

/// A sweep over all connections takes this many ticks: a timeout is noticed up to a second late.
const TICKS_PER_SWEEP: u32 = 4;

/// A duration in ticks, at least one.
#[derive(Copy, Clone, Debug)]
pub(super) struct Tick(u32);

impl Tick {
    pub(super) fn of(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX).max(1))
    }
}

#[derive(Debug, Default)]
pub(super) struct Clock {
    tick: u32,
    /// The last tick that was worked off.
    done: u32,
    is_armed: bool,
}

impl Clock {
    pub(super) fn read(&mut self, now: Now) {
        self.tick =
            u32::try_from(now.0 / TICK.as_nanos() as u64).expect("a shard runs for less than 34 years");
    }

    pub(super) fn tick(&self) -> u32 {
        self.tick
    }

    /// The tick by which something must have happened that starts now.
    pub(super) fn deadline(&self, after: Tick) -> u32 {
        // The present tick has begun already, so one more makes sure that the whole time passes.
        self.tick.saturating_add(after.0).saturating_add(1)
    }

    pub(super) fn on_timer(&mut self) {
        self.is_armed = false;
    }
}

impl Shard {
    pub(super) fn run_timers<R: Ring>(&mut self, cx: &mut Context<'_, R>) {
        while self.clock.done < self.clock.tick {
            // After a long stop one sweep of everything is enough.
            self.clock.done = (self.clock.done + 1).max(self.clock.tick.saturating_sub(TICKS_PER_SWEEP));
            self.sweep(cx, self.clock.done % TICKS_PER_SWEEP);
            self.publish_metrics(cx.ring);
            self.end_lingering(cx);
            self.scratch.shrink(self.table.occupied());
            self.hub.trim();
            self.attention.shrink_to(self.table.occupied());
            for _ in 0..self.homes.forget_idle(cx.now) {
                self.mesh.remove_topic();
            }
            self.check_drain(cx);
        }
        if !self.clock.is_armed {
            self.clock.is_armed = true;
            cx.ring.push(Token::new(KIND, 0, 0), Op::Timeout { after: TICK });
        }
    }

    /// Looks at one share of the connections.
    fn sweep<R: Ring>(&mut self, cx: &mut Context<'_, R>, share: u32) {
        let mut index = share;
        while (index as usize) < self.table.len() {
            // Who is held back, or waits for another shard, or for as many answers of others as it may, is silent because of
            // us: what it sends is not read. Once it is to be closed, it waits for nothing.
            let is_over = self.table.get(Slot(index)).is_some_and(|connection| {
                let is_owed_most =
                    || connection.outbound.as_ref().is_some_and(|outbound| outbound.is_owed_most());
                let waits_for_us = matches!(connection.phase, Phase::Http | Phase::Open)
                    && (connection.is(Flag::Held) || connection.is(Flag::Awaiting) || is_owed_most());
                connection.deadline <= self.clock.tick && !waits_for_us
            });
            if is_over {
                self.on_deadline(cx, Slot(index));
            }
            index += TICKS_PER_SWEEP;
        }
    }

    fn on_deadline<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &mut self.table[slot];
        let what = match connection.phase {
            Phase::Vacant | Phase::Dying => return,
            Phase::Open if !connection.is(Flag::Pinged) => {
                connection.set(Flag::Pinged);
                connection.deadline = self.clock.deadline(self.settings.pong);
                connection.outbound_mut().queue_ping();
                self.metrics.counters.pings_sent += 1;
                self.mark(slot);
                return;
            }
            Phase::Open => {
                "no answer to a ping: the client is gone, or something between drops the connection"
            }
            Phase::Http if connection.inbound.is_none() && connection.outbound.is_none() => {
                // Before its first request or between two: nothing is lost, so it ends in order.
                debug!(peer = %connection.peer, connection = slot.0, "no request in time");
                self.metrics.counters.connections_timed_out += 1;
                self.die(cx, slot);
                return;
            }
            Phase::Http => "no complete request in time, or its answers are not taken",
            Phase::Closing => "no Close frame in answer to ours",
            Phase::Lingering => "the peer did not close its side",
        };
        debug!(peer = %connection.peer, connection = slot.0, "timed out: {what}");
        self.metrics.counters.connections_timed_out += 1;
        if connection.phase == Phase::Open {
            self.metrics.counters.close(CloseCode::ABNORMAL.0);
        }
        self.reset(cx, slot);
    }
}
