//! Which messages are on their way: who has how many of them, since when, and which have reached everyone.
//!
//! One window of recent messages per publisher, shared by all workers. A worker adds up what its own subscribers
//! received in one reap ([`LocalArrivals`]) and enters each message once, so the shared cache lines are touched per
//! message and worker, not per delivery.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Messages tracked in all windows together, unless the smallest ones make more: 32 bytes each.
const TRACKED_MESSAGES: usize = 1 << 20;
const SMALLEST_WINDOW: usize = 64;
/// Largest window of one publisher.
const LARGEST_WINDOW: usize = 1 << 16;

/// The shared windows of all publishers.
#[derive(Debug)]
pub struct Flight {
    window: usize,
    slots: Box<[Slot]>,
    publishers: Box<[PublisherFlight]>,
}

/// One message. Its sequence names the slot's owner: `sequence % window` is its place.
#[derive(Debug, Default)]
struct Slot {
    /// `sequence + 1` in the high half (0: never used), deliveries in the low half.
    state: AtomicU64,
    first_ns: AtomicU64,
    last_ns: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))] // one cache line each: publishers of different workers do not slow each other
struct PublisherFlight {
    /// Subscribers that are to receive each message.
    receivers: AtomicU32,
    /// Messages that everyone has.
    complete: AtomicU64,
}

impl Flight {
    /// Windows for `publishers`, each of at least `in_flight` messages, to be received by as many subscribers as
    /// [`set_receivers`](Self::set_receivers) says.
    pub fn new(publishers: usize, in_flight: usize) -> Self {
        let window = Self::window_for(publishers, in_flight);
        Self {
            window,
            slots: (0..publishers * window).map(|_| Slot::default()).collect(),
            publishers: (0..publishers).map(|_| PublisherFlight::default()).collect(),
        }
    }

    /// The window of each of so many publishers: tens of thousands of them have 64 messages each, which makes 41 MB for
    /// 20,000.
    pub fn window_for(publishers: usize, in_flight: usize) -> usize {
        let share = (TRACKED_MESSAGES / publishers.max(1)).clamp(SMALLEST_WINDOW, LARGEST_WINDOW);
        (1 << share.ilog2()).max(in_flight.next_power_of_two())
    }

    /// Messages of one publisher that can be tracked at once: a power of two.
    pub fn window(&self) -> usize {
        self.window
    }

    /// Says how many subscribers hear `publisher`.
    pub fn set_receivers(&self, publisher: usize, receivers: u32) {
        self.publishers[publisher].receivers.store(receivers, Ordering::Relaxed);
    }

    /// One subscriber of `publisher` is gone.
    pub fn remove_receiver(&self, publisher: usize) {
        let _ = self.publishers[publisher].receivers.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |receivers| receivers.checked_sub(1),
        );
    }

    /// One subscriber of `publisher` is back. Messages on their way count as complete when as many have them as there are now.
    pub fn add_receiver(&self, publisher: usize) {
        self.publishers[publisher].receivers.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages of `publisher` that everyone has received.
    pub fn complete(&self, publisher: usize) -> u64 {
        self.publishers[publisher].complete.load(Ordering::Relaxed)
    }

    /// Begins to track a message. Called by its publisher's worker before the message is sent. The message that had the
    /// slot before is no longer tracked, if it was still incomplete.
    pub fn publish(&self, publisher: usize, sequence: u32) {
        let slot = self.slot(publisher, sequence);
        slot.first_ns.store(u64::MAX, Ordering::Relaxed);
        slot.last_ns.store(0, Ordering::Relaxed);
        slot.state.store(owner(sequence), Ordering::Release);
    }

    /// Adds `count` deliveries of one message, reaped at `now_ns`. The spread in nanoseconds, from the first to the last
    /// receiver, when these were the last ones; `None` while some are missing or when the message is not tracked.
    pub fn arrive(&self, publisher: usize, sequence: u32, count: u32, now_ns: u64) -> Option<u64> {
        let slot = self.slot(publisher, sequence);
        if slot.state.load(Ordering::Acquire) & OWNER_MASK != owner(sequence) {
            return None;
        }
        slot.first_ns.fetch_min(now_ns, Ordering::Relaxed);
        slot.last_ns.fetch_max(now_ns, Ordering::Relaxed);
        // The slot may get its next owner in between, a whole window of messages later: then nothing is added.
        let before = slot
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state & OWNER_MASK == owner(sequence)).then(|| state + u64::from(count))
            })
            .ok()? as u32;
        let target = &self.publishers[publisher];
        let receivers = target.receivers.load(Ordering::Relaxed);
        // The one delivery that reaches the number of receivers completes the message.
        if before >= receivers || before + count < receivers {
            return None;
        }
        target.complete.fetch_add(1, Ordering::Relaxed);
        Some(slot.last_ns.load(Ordering::Relaxed).saturating_sub(slot.first_ns.load(Ordering::Relaxed)))
    }

    fn slot(&self, publisher: usize, sequence: u32) -> &Slot {
        &self.slots[publisher * self.window + (sequence as usize & (self.window - 1))]
    }
}

const OWNER_MASK: u64 = 0xFFFF_FFFF_0000_0000;

/// Sequences stay below `u32::MAX`, so `sequence + 1` is never the 0 of an unused slot.
fn owner(sequence: u32) -> u64 {
    u64::from(sequence.wrapping_add(1)) << 32
}

/// The deliveries of one reap, added up per message before they are entered in the shared windows.
#[derive(Debug)]
pub struct LocalArrivals {
    window: usize,
    /// `(sequence, deliveries)` by publisher and place in the window.
    counts: Box<[(u32, u32)]>,
    /// Indexes into `counts` with deliveries.
    touched: Vec<u32>,
}

impl LocalArrivals {
    pub fn new(publishers: usize, window: usize) -> Self {
        Self { window, counts: vec![(0, 0); publishers * window].into_boxed_slice(), touched: Vec::new() }
    }

    /// Notes `times` deliveries. A message whose place is taken by another one (a whole window apart) is not tracked.
    #[inline]
    pub fn add(&mut self, publisher: usize, sequence: u32, times: u32) {
        let at = publisher * self.window + (sequence as usize & (self.window - 1));
        let (owner, count) = &mut self.counts[at];
        if *count == 0 {
            *owner = sequence;
            self.touched.push(at as u32);
        }
        *count += if *owner == sequence { times } else { 0 };
    }

    /// Enters everything in the shared windows; `completed` gets publisher, sequence and spread in nanoseconds of each
    /// message that everyone now has.
    pub fn enter(&mut self, flight: &Flight, now_ns: u64, mut completed: impl FnMut(usize, u32, u64)) {
        for at in self.touched.drain(..) {
            let (sequence, count) = std::mem::take(&mut self.counts[at as usize]);
            let publisher = at as usize / self.window;
            if let Some(spread_ns) = flight.arrive(publisher, sequence, count, now_ns) {
                completed(publisher, sequence, spread_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(receivers: u32) -> Flight {
        let flight = Flight::new(1, 1);
        flight.set_receivers(0, receivers);
        flight
    }

    #[test]
    fn spread_is_from_the_first_to_the_last_receiver() {
        let flight = flight(3);
        flight.publish(0, 0);
        assert_eq!(flight.arrive(0, 0, 1, 1_000), None);
        assert_eq!(flight.arrive(0, 0, 1, 5_000), None);
        assert_eq!(flight.complete(0), 0);
        assert_eq!(flight.arrive(0, 0, 1, 4_000), Some(4_000));
        assert_eq!(flight.complete(0), 1);
    }

    #[test]
    fn a_broadcast_reaped_at_once_has_no_spread() {
        let flight = flight(1_000);
        flight.publish(0, 7);
        assert_eq!(flight.arrive(0, 7, 1_000, 9), Some(0));
    }

    #[test]
    fn a_message_completes_once() {
        let flight = flight(2);
        flight.publish(0, 0);
        assert_eq!(flight.arrive(0, 0, 2, 10), Some(0));
        assert_eq!(flight.arrive(0, 0, 1, 20), None, "one more than there are receivers");
        assert_eq!(flight.complete(0), 1);
    }

    #[test]
    fn a_message_that_left_the_window_is_not_mistaken_for_its_successor() {
        let flight = flight(2);
        let window = flight.window() as u32;
        flight.publish(0, 0);
        flight.arrive(0, 0, 1, 10);
        flight.publish(0, window);
        assert_eq!(flight.arrive(0, 0, 1, 20), None);
        assert_eq!(flight.arrive(0, window, 1, 30), None);
        assert_eq!(flight.arrive(0, window, 1, 35), Some(5));
    }

    #[test]
    fn a_subscriber_that_is_gone_is_not_waited_for() {
        let flight = flight(3);
        flight.remove_receiver(0);
        flight.publish(0, 0);
        assert_eq!(flight.arrive(0, 0, 2, 10), Some(0));
    }

    #[test]
    fn windows_hold_what_may_be_in_flight() {
        assert_eq!(Flight::new(1, 1).window(), 65_536);
        assert_eq!(Flight::new(1, 100_000).window(), 131_072);
        assert_eq!(Flight::new(1_000, 1).window(), 1_024);
        assert_eq!(Flight::window_for(20_000, 1), 64);
    }

    #[test]
    fn local_arrivals_are_entered_once_per_message() {
        let flight = Flight::new(2, 1);
        flight.set_receivers(0, 2);
        flight.set_receivers(1, 3);
        flight.publish(0, 0);
        flight.publish(1, 5);
        let mut local = LocalArrivals::new(2, flight.window());
        let mut spreads = Vec::new();
        local.add(0, 0, 1);
        local.add(1, 5, 2);
        local.enter(&flight, 100, |publisher, sequence, spread| spreads.push((publisher, sequence, spread)));
        assert_eq!(spreads, []);
        local.add(1, 5, 1);
        local.add(0, 0, 1);
        local.enter(&flight, 350, |publisher, sequence, spread| spreads.push((publisher, sequence, spread)));
        assert_eq!(spreads, [(1, 5, 250), (0, 0, 250)]);
        local.enter(&flight, 900, |publisher, sequence, spread| spreads.push((publisher, sequence, spread)));
        assert_eq!(spreads.len(), 2, "nothing is entered twice");
    }

    #[test]
    fn workers_together_complete_each_message_exactly_once() {
        let flight = flight(4);
        let messages = 10_000_u32;
        for sequence in 0..messages {
            flight.publish(0, sequence);
        }
        let completed: u32 = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let flight = &flight;
                    scope
                        .spawn(move || (0..messages).filter_map(|s| flight.arrive(0, s, 1, 1)).count() as u32)
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        assert_eq!(completed, messages);
        assert_eq!(flight.complete(0), 10_000);
    }
}
