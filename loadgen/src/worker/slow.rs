//! Subscribers that read slowly, or stop reading once they are subscribed.
//!
//! They receive one piece at a time. What it was is a debt that the rate pays off, and until then nothing is received: the
//! socket's buffer fills, and the server has to wait.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::Ordering;

use corecast_uring::{Errno, Op, Ring};
use serde::{Deserialize, Serialize};

use crate::clock::now_ns;
use crate::control::Phase;
use crate::endpoint::Stage;
use crate::failure::{Failure, Reasons};
use crate::groups::Group;
use crate::worker::dispatch::Kind;
use crate::worker::{RECEIVE_BUFFER_BYTES, Worker};

/// Debts that are paid sooner are not worth stopping for.
const SHORTEST_PAUSE_NS: u64 = 1_000_000;
const SMALLEST_RECEIVE: u32 = 256;

#[derive(Debug)]
pub(super) struct SlowReaders {
    /// Bytes per second; 0 stops reading.
    rate: u32,
    readers: HashMap<u32, Reader>,
    pauses: BinaryHeap<Reverse<(u64, u32)>>,
    pub(super) story: SlowStory,
}

/// What became of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SlowStory {
    /// When the server ended a connection, as this host's kernel learned of it, by the worker's own number.
    pub(crate) ended: HashMap<u32, u64>,
    pub(crate) disconnections: Reasons,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    /// When the debt is paid.
    free_ns: u64,
    is_paused: bool,
    /// The connection or the run is over: what is left is read at once.
    is_over: bool,
}

impl SlowReaders {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, readers: HashMap::new(), pauses: BinaryHeap::new(), story: SlowStory::default() }
    }

    /// How long there is nothing to do.
    pub(super) fn wait_ns(&self, now: u64) -> Option<u64> {
        self.pauses.peek().map(|Reverse((time_ns, _))| time_ns.saturating_sub(now))
    }

    /// Eight a second, as far as buffers are large enough.
    fn receive_bytes(&self) -> u32 {
        (self.rate / 8).clamp(SMALLEST_RECEIVE, RECEIVE_BUFFER_BYTES)
    }

    fn begin(&mut self, at: u32, now: u64) {
        self.readers.insert(at, Reader { free_ns: now, is_paused: false, is_over: false });
    }

    /// The reader goes into debt by so many bytes.
    fn owe(&mut self, at: u32, bytes: usize, now: u64) {
        let Some(reader) = self.readers.get_mut(&at) else { return };
        reader.free_ns = match self.rate {
            0 => u64::MAX,
            rate => reader.free_ns.max(now) + bytes as u64 * 1_000_000_000 / u64::from(rate),
        };
    }

    /// Whether the reader stops now, until its debt is paid.
    fn pause(&mut self, at: u32, now: u64) -> bool {
        let Some(reader) = self.readers.get_mut(&at) else { return false };
        reader.is_paused = reader.free_ns > now.saturating_add(SHORTEST_PAUSE_NS) && !reader.is_over;
        if reader.is_paused && reader.free_ns < u64::MAX {
            self.pauses.push(Reverse((reader.free_ns, at)));
        }
        reader.is_paused
    }

    /// Whose debt is paid.
    fn take_due(&mut self, now: u64) -> Option<u32> {
        while let Some(&Reverse((_, at))) = self.pauses.peek().filter(|Reverse((t, _))| *t <= now) {
            self.pauses.pop();
            let reader = self.readers.get_mut(&at);
            if reader.is_some_and(|reader| std::mem::take(&mut reader.is_paused)) {
                return Some(at);
            }
        }
        None
    }

    /// What is left is to be read at once. True when a receive has to be armed for that.
    fn hurry(&mut self, at: u32) -> bool {
        let Some(reader) = self.readers.get_mut(&at) else { return false };
        reader.is_over = true;
        std::mem::take(&mut reader.is_paused)
    }
}

impl Worker<'_> {
    pub(super) fn is_slow(&self, at: usize) -> bool {
        self.groups.slow > 0 && at < self.subscribers && self.groups.of(at as u32) == Group::Slow
    }

    /// Arms the receive of a connection.
    pub(super) fn receive(&mut self, at: usize) {
        let is_slow = self.is_slow(at);
        let endpoint = &mut self.endpoints[at];
        // Closed meanwhile.
        let Some(file) = endpoint.socket.file else { return };
        endpoint.socket.is_receiving = true;
        let receive = if is_slow {
            Op::ReceiveOne { file, bytes: self.slow.receive_bytes() }
        } else {
            Op::Receive { file }
        };
        self.ring.push(Kind::Receive.token(at, endpoint), receive);
    }

    /// A slow subscriber is subscribed.
    pub(super) fn begin_slowly(&mut self, at: usize, now: u64) {
        self.slow.begin(at as u32, now);
        let endpoint = &self.endpoints[at];
        // Who does not read does not see the end either.
        let watch = Op::PollEnd { file: endpoint.socket.open_file() };
        self.ring.push(Kind::Ended.token(at, endpoint), watch);
    }

    /// Its receive is done. True when the next one has to wait.
    pub(super) fn read_slowly(&mut self, at: usize, result: Result<u32, Errno>, now: u64) -> bool {
        let bytes = match result {
            Ok(bytes @ 1..) => bytes,
            Err(Errno::ENOBUFS) => 0,
            Ok(0) | Err(_) => return false,
        };
        self.slow.owe(at as u32, bytes as usize, now);
        self.slow.pause(at as u32, now)
    }

    /// Goes on reading where the debt is paid.
    pub(super) fn tend_slow(&mut self, now: u64) {
        while let Some(at) = self.slow.take_due(now) {
            self.to_rearm.push(at);
        }
    }

    /// The server has ended a slow subscriber's connection, or it broke.
    pub(super) fn slow_ended(&mut self, at: usize, now: u64) {
        if self.endpoints[at].socket.stage != Stage::Up || self.phase == Phase::Close {
            return;
        }
        self.slow.story.ended.insert(at as u32, now);
        if self.slow.hurry(at as u32) {
            self.to_rearm.push(at as u32);
        }
    }

    /// The run is over: whoever paused reads on, so that closing handshakes can be completed.
    pub(super) fn hurry_slow(&mut self) {
        let all: Vec<u32> = self.slow.readers.keys().copied().collect();
        for at in all {
            if self.slow.hurry(at) {
                self.to_rearm.push(at);
            }
        }
    }

    /// A slow subscriber's connection has ended, which is between it and the server.
    pub(super) fn slow_gone(&mut self, at: usize, failure: &Failure) {
        self.endpoints[at].socket.stage = Stage::Down;
        self.slow.story.disconnections.add(failure);
        self.board().lost_slow.fetch_add(1, Ordering::Relaxed);
        self.slow.story.ended.entry(at as u32).or_insert_with(now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_rate_holds_on_average_whatever_a_receive_brings() {
        let mut slow = SlowReaders::new(1_000);
        slow.begin(7, 0);
        slow.owe(7, 250, 0);
        assert!(slow.pause(7, 0));
        assert_eq!((slow.wait_ns(0), slow.take_due(SECOND / 4 - 1)), (Some(SECOND / 4), None));
        assert_eq!(slow.take_due(SECOND / 4), Some(7));
        // It looks late, and nothing came for a while: no credit is given for that.
        slow.owe(7, 2_000, SECOND);
        assert!(slow.pause(7, SECOND));
        assert_eq!((slow.take_due(3 * SECOND - 1), slow.take_due(3 * SECOND)), (None, Some(7)));
        slow.owe(7, 1, 4 * SECOND);
        assert!(!slow.pause(7, 4 * SECOND), "a millisecond");
    }

    #[test]
    fn who_stops_goes_on_only_in_the_end() {
        let mut slow = SlowReaders::new(0);
        assert!(!slow.pause(3, 5), "not subscribed yet");
        slow.begin(3, 5);
        slow.owe(3, 100, 5);
        assert!(slow.pause(3, 5));
        assert_eq!((slow.wait_ns(5), slow.take_due(u64::MAX)), (None, None));
        assert!(slow.hurry(3));
        slow.owe(3, 100, 6);
        assert!(!slow.pause(3, 6));
        assert!(!slow.hurry(3), "it reads already");
    }

    #[test]
    fn receives_are_as_small_as_the_rate_wants() {
        let bytes = [0, 1_000, 16_384, 10_000_000].map(|rate| SlowReaders::new(rate).receive_bytes());
        assert_eq!(bytes, [256, 256, 2_048, 8_192]);
    }
}
