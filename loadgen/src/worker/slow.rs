//! Subscribers that read slowly, or stop reading once they are subscribed.
//!
//! What has been read in excess of the rate is a debt: while there is one, no receive is armed, the socket's buffer fills, and
//! the server has to wait. So the rate holds on average, whatever a single receive brings.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use corecast_uring::{Errno, Op, Ring};

use crate::clock::now_ns;
use crate::endpoint::Stage;
use crate::failure::{Failure, Reasons};
use crate::groups::Group;
use crate::worker::Worker;
use crate::worker::dispatch::Kind;

/// Debts that are paid sooner are not worth stopping for.
const SHORTEST_PAUSE_NS: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct SlowReaders {
    /// Bytes per second; 0 stops reading.
    rate: u64,
    readers: HashMap<u32, Reader>,
    pauses: BinaryHeap<Reverse<(u64, u32)>>,
    pub(super) story: SlowStory,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct SlowStory {
    /// When the server ended a connection, as this host's kernel learned of it, by the worker's own number.
    pub(crate) ended: Vec<(u32, u64)>,
    pub(crate) disconnections: Reasons,
}

#[derive(Clone, Copy, Debug)]
struct Reader {
    state: State,
    /// When the debt is paid.
    free_ns: u64,
    /// The connection or the run is over: what is left is read at once.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// The receive is being cancelled.
    Stopping,
    Paused,
}

impl SlowReaders {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate: rate.into(),
            readers: HashMap::new(),
            pauses: BinaryHeap::new(),
            story: SlowStory::default(),
        }
    }

    /// How long there is nothing to do.
    pub(super) fn wait_ns(&self, now: u64) -> Option<u64> {
        self.pauses.peek().map(|Reverse((time_ns, _))| time_ns.saturating_sub(now))
    }

    /// The reader goes into debt by so many bytes. True when it is to stop.
    fn owe(&mut self, at: u32, bytes: usize, now: u64) -> bool {
        let rate = self.rate;
        let Some(reader) = self.readers.get_mut(&at) else { return false };
        reader.free_ns = match rate {
            0 => u64::MAX,
            rate => reader.free_ns.max(now) + bytes as u64 * 1_000_000_000 / rate,
        };
        let is_in_debt = reader.free_ns > now + SHORTEST_PAUSE_NS;
        let stops = reader.state == State::Reading && is_in_debt && !reader.is_over;
        if stops {
            reader.state = State::Stopping;
        }
        stops
    }

    /// The receive has ended. `None` when that was not wanted, else whether to arm it again all the same.
    fn stopped(&mut self, at: u32) -> Option<bool> {
        let reader = self.readers.get_mut(&at).filter(|reader| reader.state == State::Stopping)?;
        reader.state = if reader.is_over { State::Reading } else { State::Paused };
        if !reader.is_over && reader.free_ns < u64::MAX {
            self.pauses.push(Reverse((reader.free_ns, at)));
        }
        Some(reader.is_over)
    }

    /// Whose debt is paid.
    fn take_due(&mut self, now: u64) -> Option<u32> {
        while let Some(&Reverse((_, at))) = self.pauses.peek().filter(|Reverse((t, _))| *t <= now) {
            self.pauses.pop();
            if let Some(reader) = self.readers.get_mut(&at).filter(|reader| reader.state == State::Paused) {
                reader.state = State::Reading;
                return Some(at);
            }
        }
        None
    }

    /// What is left is to be read at once. True when a receive has to be armed for that.
    fn hurry(&mut self, at: u32) -> bool {
        let Some(reader) = self.readers.get_mut(&at) else { return false };
        reader.is_over = true;
        // While a cancel is under way it is not known yet whether the receive ends.
        let is_paused = reader.state == State::Paused;
        if is_paused {
            reader.state = State::Reading;
        }
        is_paused
    }
}

impl Worker<'_> {
    pub(super) fn is_slow(&self, at: usize) -> bool {
        self.groups.slow > 0 && at < self.subscribers && self.groups.of(at as u32) == Group::Slow
    }

    /// A slow subscriber is subscribed.
    pub(super) fn begin_slowly(&mut self, at: usize, now: u64) {
        let endpoint = &self.endpoints[at];
        self.slow.readers.insert(at as u32, Reader { state: State::Reading, free_ns: now, is_over: false });
        // Who does not read does not see the end either.
        let watch = Op::PollEnd { file: endpoint.socket.open_file() };
        self.ring.push(Kind::Ended.token(at, endpoint), watch);
        if self.slow.rate == 0 && self.slow.owe(at as u32, 0, now) {
            self.stop_reading(at);
        }
    }

    /// It has received something.
    pub(super) fn read_slowly(&mut self, at: usize, bytes: usize, now: u64) {
        if self.slow.owe(at as u32, bytes, now) {
            self.stop_reading(at);
        }
    }

    /// Its receive has ended, and not with the stream. True when it is not to be armed again now.
    pub(super) fn has_stopped(&mut self, at: usize, result: Result<u32, Errno>) -> bool {
        if !matches!(result, Ok(1..) | Err(Errno::ECANCELED | Errno::ENOBUFS)) {
            return false;
        }
        let again = self.slow.stopped(at as u32);
        if again == Some(true) {
            self.to_rearm.push(at as u32);
        }
        again.is_some()
    }

    /// Goes on reading where the debt is paid.
    pub(super) fn tend_slow(&mut self, now: u64) {
        while let Some(at) = self.slow.take_due(now) {
            self.to_rearm.push(at);
        }
    }

    /// The server has ended a slow subscriber's connection, or it broke.
    pub(super) fn slow_ended(&mut self, at: usize, now: u64) {
        if self.endpoints[at].socket.stage != Stage::Up {
            return;
        }
        self.slow.story.ended.push((at as u32, now));
        if self.slow.hurry(at as u32) {
            self.to_rearm.push(at as u32);
        }
    }

    /// The run is over: whoever paused reads on, so that closing handshakes can be completed.
    pub(super) fn hurry_slow(&mut self) {
        let all: Vec<u32> = self.slow.readers.keys().copied().collect();
        for at in all {
            if self.slow.hurry(at) && self.endpoints[at as usize].socket.file.is_some() {
                self.to_rearm.push(at);
            }
        }
    }

    /// A slow subscriber's connection has ended, which is between it and the server.
    pub(super) fn slow_gone(&mut self, at: usize, failure: &Failure) {
        self.endpoints[at].socket.stage = Stage::Down;
        self.slow.story.disconnections.add(failure);
        if !self.slow.story.ended.iter().any(|(other, _)| *other as usize == at) {
            self.slow.story.ended.push((at as u32, now_ns()));
        }
    }

    fn stop_reading(&mut self, at: usize) {
        let endpoint = &self.endpoints[at];
        let target = Kind::Receive.token(at, endpoint);
        self.ring.push(Kind::Cancel.token(at, endpoint), Op::Cancel { target });
    }
}
