//! What the threads of a run tell each other: the phase and its times from the coordinator, progress from workers.
//!
//! Nearly everything is a plain number that one side writes. Nobody waits for anybody longer than it takes to append to a
//! list: workers look once a turn.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::check::count_accepted;

/// What workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Open connections and subscribe.
    Connect,
    /// Ping every subscriber once.
    Ping,
    /// Publish as [`Timing`] says, and receive.
    Run,
    /// Close all connections and end.
    Close,
}

/// When what happens, in nanoseconds of [`crate::clock::now_ns`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// Publishing starts: warm-up.
    pub(crate) start_ns: u64,
    /// Messages due from here on count.
    pub(crate) measure_ns: u64,
    /// No message is due from here on.
    pub(crate) until_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Control {
    phase: AtomicU8,
    start_ns: AtomicU64,
    measure_ns: AtomicU64,
    until_ns: AtomicU64,
    pub(crate) workers: Box<[WorkerBoard]>,
    pub(crate) publishers: Box<[PublisherBoard]>,
    /// Open subscribers of each topic.
    pub(crate) subscribers: Box<[AtomicU32]>,
    /// Closed loop: for each worker those of its publishers of which the others completed messages.
    completed: Box<[Mutex<Vec<u32>>]>,
}

/// One worker's progress. On cache lines of its own: the worker writes it every turn.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerBoard {
    pub(crate) open: AtomicU32,
    /// When the last one was opened.
    pub(crate) opened_ns: AtomicU64,
    pub(crate) failed: AtomicU32,
    /// No connection is being opened any more.
    pub(crate) settled: AtomicBool,
    /// Measured messages received for the first time.
    pub(crate) received: AtomicU64,
    pub(crate) lost_connections: AtomicU32,
    /// Of slow subscribers, whose messages nobody waits for.
    pub(crate) lost_slow: AtomicU32,
    /// Nobody is away, and all have everything that was published. Told when some come and go, once publishing is over.
    pub(crate) has_all: AtomicBool,
    /// Publishers' connections that were made.
    pub(crate) open_publishing: AtomicU32,
    pub(crate) pings: AtomicU64,
    pub(crate) pongs: AtomicU64,
    /// No pong is waited for any more.
    pub(crate) pinged: AtomicBool,
}

/// One publisher's progress.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct PublisherBoard {
    /// Sequence of the first measured message; `u32::MAX` before there is one.
    pub(crate) measured_from: AtomicU32,
    /// Lowest offset that the server gave a measured message; `u64::MAX` while none is known.
    pub(crate) measured_offset: AtomicU64,
    /// Messages sent, refused ones included.
    pub(crate) sent: AtomicU32,
    /// Measured messages that the server refused.
    pub(crate) refused: AtomicU32,
    /// Sequences of all messages that it refused, ascending.
    refused_sequences: Mutex<Vec<u32>>,
    /// Everything due was sent and answered, or cannot be.
    pub(crate) finished: AtomicBool,
}

impl Control {
    pub(crate) fn new(workers: usize, publishers: u32, topics: u32) -> Self {
        let board = |_| PublisherBoard {
            measured_from: AtomicU32::new(u32::MAX),
            measured_offset: AtomicU64::new(u64::MAX),
            sent: AtomicU32::new(0),
            refused: AtomicU32::new(0),
            refused_sequences: Mutex::default(),
            finished: AtomicBool::new(false),
        };
        Self {
            phase: AtomicU8::new(Phase::Connect as u8),
            start_ns: AtomicU64::new(0),
            measure_ns: AtomicU64::new(0),
            until_ns: AtomicU64::new(0),
            workers: (0..workers).map(|_| WorkerBoard::default()).collect(),
            publishers: (0..publishers).map(board).collect(),
            subscribers: (0..topics).map(|_| AtomicU32::new(0)).collect(),
            completed: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Connect,
            1 => Phase::Ping,
            2 => Phase::Run,
            _ => Phase::Close,
        }
    }

    pub(crate) fn ping(&self) {
        self.phase.store(Phase::Ping as u8, Ordering::Release);
    }

    /// Starts the run phase.
    pub(crate) fn run(&self, timing: Timing) {
        self.start_ns.store(timing.start_ns, Ordering::Relaxed);
        self.measure_ns.store(timing.measure_ns, Ordering::Relaxed);
        self.until_ns.store(timing.until_ns, Ordering::Relaxed);
        self.phase.store(Phase::Run as u8, Ordering::Release);
    }

    /// Ends publishing earlier than planned.
    pub(crate) fn stop_publishing(&self, now_ns: u64) {
        self.until_ns.fetch_min(now_ns, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.phase.store(Phase::Close as u8, Ordering::Release);
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing {
            start_ns: self.start_ns.load(Ordering::Relaxed),
            measure_ns: self.measure_ns.load(Ordering::Relaxed),
            until_ns: self.until_ns.load(Ordering::Relaxed),
        }
    }

    /// Measured deliveries that are to come to all subscribers together, as far as is known now.
    pub(crate) fn expected_deliveries(&self) -> u64 {
        let topics = self.subscribers.len();
        let deliveries = |(index, publisher): (usize, &PublisherBoard)| {
            let measured_from = publisher.measured_from.load(Ordering::Relaxed);
            let refused = publisher.refused.load(Ordering::Relaxed);
            let messages = publisher.sent.load(Ordering::Relaxed).saturating_sub(measured_from);
            let subscribers = self.subscribers[index % topics].load(Ordering::Relaxed);
            u64::from(messages.saturating_sub(refused)) * u64::from(subscribers)
        };
        self.publishers.iter().enumerate().map(deliveries).sum()
    }

    /// Whether a measured message was sent to a topic.
    pub(crate) fn is_measuring(&self, topic: u32) -> bool {
        self.publishers_of(topic).any(|publisher| publisher.measured_from.load(Ordering::Relaxed) != u32::MAX)
    }

    /// The lowest offset that a topic's measured messages have; `None` while the server has not told.
    pub(crate) fn measured_offset(&self, topic: u32) -> Option<u64> {
        let offsets = self.publishers_of(topic).map(|p| p.measured_offset.load(Ordering::Relaxed));
        offsets.min().filter(|offset| *offset != u64::MAX)
    }

    fn publishers_of(&self, topic: u32) -> impl Iterator<Item = &PublisherBoard> {
        self.publishers.iter().skip(topic as usize).step_by(self.subscribers.len())
    }

    pub(crate) fn all_published(&self) -> bool {
        self.publishers.iter().all(|publisher| publisher.finished.load(Ordering::Acquire))
    }

    /// Tells a worker that everyone has one more message of its publisher.
    pub(crate) fn complete(&self, worker: usize, publisher: u32) {
        self.completed[worker].lock().expect("nobody panics while holding it").push(publisher);
    }

    /// Takes what others have told a worker so. `publishers` is empty and becomes the next list.
    pub(crate) fn take_completed(&self, worker: usize, publishers: &mut Vec<u32>) {
        std::mem::swap(
            &mut *self.completed[worker].lock().expect("nobody panics while holding it"),
            publishers,
        );
    }
}

impl PublisherBoard {
    /// This is the first measured message.
    pub(crate) fn measure_from(&self, sequence: u32) {
        self.measured_from.store(sequence, Ordering::Release);
    }

    /// Nothing more is to be waited for.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// The server refused these messages; `measured` is how many measured ones that makes in all.
    pub(crate) fn refuse(&self, sequences: &[u32], measured: u32) {
        let mut refused = self.refused_sequences.lock().expect("nobody panics while holding it");
        for &sequence in sequences {
            let at = refused.partition_point(|known| *known < sequence);
            if refused.get(at) != Some(&sequence) {
                refused.insert(at, sequence);
            }
        }
        self.refused.store(measured, Ordering::Release);
    }

    /// Sequences of `range` that the server did not refuse, as far as it has said.
    pub(crate) fn accepted_in(&self, range: &Range<u32>) -> u64 {
        count_accepted(range, &self.refused_sequences.lock().expect("nobody panics while holding it"))
    }

    /// All sequences that the server refused, ascending.
    pub(crate) fn refused_sequences(&self) -> Vec<u32> {
        self.refused_sequences.lock().expect("nobody panics while holding it").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_deliveries_leave_warm_up_and_refusals_out() {
        let control = Control::new(1, 3, 2);
        control.subscribers[0].store(10, Ordering::Relaxed);
        control.subscribers[1].store(7, Ordering::Relaxed);
        let set = |publisher: usize, measured_from, sent, refused| {
            control.publishers[publisher].measured_from.store(measured_from, Ordering::Relaxed);
            control.publishers[publisher].sent.store(sent, Ordering::Relaxed);
            control.publishers[publisher].refused.store(refused, Ordering::Relaxed);
        };
        set(0, 5, 9, 0);
        set(1, 0, 3, 1);
        set(2, u32::MAX, 50, 0);
        assert_eq!(control.expected_deliveries(), 4 * 10 + 2 * 7);
    }

    #[test]
    fn refusals_may_come_in_any_order_and_twice() {
        let control = Control::new(1, 1, 1);
        let board = &control.publishers[0];
        board.refuse(&[4, 9], 1);
        board.refuse(&[7, 4], 2);
        assert_eq!(board.refused_sequences(), [4, 7, 9]);
        assert_eq!(board.refused.load(Ordering::Relaxed), 2);
        assert_eq!(board.accepted_in(&(5..10)), 3);
    }

    #[test]
    fn a_topics_first_measured_offset_is_the_lowest_of_its_publishers() {
        let control = Control::new(1, 5, 2);
        let set = |publisher: usize, offset| {
            control.publishers[publisher].measured_offset.store(offset, Ordering::Relaxed);
        };
        assert_eq!(control.measured_offset(1), None);
        set(1, 70);
        set(3, 60);
        set(4, 50);
        assert_eq!((control.measured_offset(0), control.measured_offset(1)), (Some(50), Some(60)));
        control.publishers[3].measured_from.store(8, Ordering::Relaxed);
        assert_eq!((control.is_measuring(0), control.is_measuring(1)), (false, true));
    }
}
