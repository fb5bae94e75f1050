//! A ring without a kernel, for tests: seeded, deterministic, and as hostile as the real one can be.

mod connection;
mod execution;
mod far_side;
mod faults;
mod progress;
mod sends;
mod streams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

pub use far_side::Peer;
pub use faults::Faults;

use crate::buffers::{BufferMemory, ReceiveBuffer};
use crate::completion::{Completion, SendOutcome};
use crate::errno::Errno;
use crate::op::{File, Gather, ListenerId, Op, Send};
use crate::ring::{Ring, RingConfig, RingStats};
use crate::token::Token;
use connection::{Armed, Connection, Place};
use streams::Streams;

/// What a released buffer is filled with: whoever still relies on its bytes reads nonsense.
const RELEASED: u8 = 0xDD;
/// How many polls without a completion `wait` makes before it calls the ring stuck.
const POLLS_MAX: u32 = 100_000;

/// The server's side of [`Ring`] on sockets that exist only in memory. The far side is driven by the methods
/// that [`connect`](Self::connect) and its [`Peer`] begin with.
///
/// The same seed and the same calls give the same run. Misuse that a kernel would punish with torn streams,
/// leaked sockets or stale completions panics at the call that commits it: an operation on a file that is not
/// open, a close with operations in flight, an accept, a receive or a poll armed twice, two sends to one file
/// in one batch.
///
/// Operations that only clients need (`Socket`, `Bind`, `Connect`, and `SetOption` but for `ResetOnClose`) are not supported, and panic.
#[derive(Debug)]
pub struct FakeRing {
    rng: Rng,
    faults: Faults,
    completion_entries: usize,
    submission_entries: usize,
    now: Duration,
    double_sends_permitted: bool,

    listeners: Vec<Listener>,
    connections: Vec<Connection>,
    /// Which connection is at which index of the table.
    files: Vec<Option<u32>>,
    /// The next index to be given out is the last: the one freed most recently.
    free_files: Vec<File>,
    memory: Rc<BufferMemory>,
    free_buffers: Vec<u16>,

    queued: VecDeque<(Token, Op)>,
    /// What a cancel can find.
    armed: BTreeMap<u64, Target>,
    timers: Vec<(Duration, Token)>,
    /// Connections that may have something to complete.
    touched: BTreeSet<u32>,
    pending: Streams,
    stats: RingStats,
}

#[derive(Debug, Default)]
struct Listener {
    waiting: VecDeque<u32>,
    accept: Option<Armed>,
    /// An accept was pushed and its last completion has not been handed out.
    in_flight: bool,
    closed: bool,
}

/// An operation that the kernel holds, as a cancel finds it.
#[derive(Copy, Clone, Debug)]
enum Target {
    Accept(usize),
    Receive(u32),
    PollWritable(u32),
    Timer,
}

impl FakeRing {
    /// # Panics
    ///
    /// When the memory for the receive buffers cannot be mapped.
    pub fn new(seed: u64, config: RingConfig, faults: Faults) -> Self {
        let memory = BufferMemory::new(config.receive_buffers, config.receive_buffer_bytes);
        Self {
            rng: Rng::with_seed(seed),
            faults,
            completion_entries: config.completion_entries as usize,
            submission_entries: config.submission_entries as usize,
            now: Duration::ZERO,
            double_sends_permitted: false,
            listeners: Vec::new(),
            connections: Vec::new(),
            files: vec![None; config.files as usize],
            free_files: (0..config.files).rev().map(File).collect(),
            memory: memory.expect("memory for the receive buffers"),
            free_buffers: (0..config.receive_buffers).rev().collect(),
            queued: VecDeque::new(),
            armed: BTreeMap::new(),
            timers: Vec::new(),
            touched: BTreeSet::new(),
            pending: Streams::default(),
            stats: RingStats::default(),
        }
    }

    pub fn add_listener(&mut self) -> ListenerId {
        self.listeners.push(Listener::default());
        ListenerId(u8::try_from(self.listeners.len() - 1).expect("a ring has at most 256 listeners"))
    }

    /// From now on these faults happen, and no others.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Lets one batch have two sends to one file, and treats them as the kernel may: the second is taken
    /// although the first was short. For tests that must see a torn stream.
    pub fn permit_double_sends(&mut self) {
        self.double_sends_permitted = true;
    }

    /// Moves the clock that [`Op::Timeout`] runs on.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// # Panics
    ///
    /// When anything is left over: operations or completions, open files, lent buffers. The message lists it.
    pub fn assert_quiescent(&self) {
        let mut left = Vec::new();
        left.extend(self.queued.iter().map(|(token, op)| format!("not submitted: {op:?} {token:?}")));
        left.extend(
            self.armed
                .iter()
                .map(|(&token, target)| format!("armed: {target:?} {:?}", Token::from_u64(token))),
        );
        left.extend(self.pending.iter().map(|pending| format!("not polled: {:?}", pending.completion)));
        left.extend(
            self.files
                .iter()
                .enumerate()
                .filter(|(_, owner)| owner.is_some())
                .map(|(n, _)| format!("open: file {n}")),
        );
        if self.memory.lent_count() > 0 {
            left.push(format!("receive buffers not released: {}", self.memory.lent_count()));
        }
        assert!(left.is_empty(), "the ring is not quiescent:\n{}", left.join("\n"));
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }
}

/// A completion that is its operation's last and brings nothing but a result.
fn last(token: Token, result: Result<u32, Errno>) -> Completion {
    Completion { token, result, more: false, buffer: None, address: None }
}

impl Ring for FakeRing {
    fn push(&mut self, token: Token, op: Op) {
        assert!(!token.is_reserved(), "{token:?}: kinds from 0xF0 belong to the ring");
        self.admit(token, op);
        if self.queued.len() == self.submission_entries {
            self.submit();
        }
        self.queued.push_back((token, op));
    }

    fn send_batch<'a>(&mut self, sends: impl Iterator<Item = Send<'a>>, outcomes: &mut Vec<SendOutcome>) {
        self.send_all(sends.map(|Send { file, bytes }| (file, [bytes])), outcomes);
    }

    fn send_gathered<'a>(
        &mut self,
        sends: impl Iterator<Item = Gather<'a>>,
        outcomes: &mut Vec<SendOutcome>,
    ) {
        self.send_all(sends.map(|Gather { file, parts }| (file, parts)), outcomes);
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        self.submit();
        self.progress();
        self.hand_out(completions);
    }

    /// Lets virtual time pass where the kernel's ring would block: up to the next timer, or the whole
    /// timeout.
    ///
    /// # Panics
    ///
    /// When nothing will ever happen: no timeout, no timer, and no work.
    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) {
        let before = completions.len();
        for _ in 0..POLLS_MAX {
            self.poll(completions);
            if completions.len() > before {
                return;
            }
            if self.has_work() {
                continue;
            }
            let deadline = timeout.map(|timeout| self.now.saturating_add(timeout));
            let timer = self.timers.iter().map(|&(due, _)| due).min();
            match (timer, deadline) {
                (Some(due), None) => self.now = due,
                (Some(due), Some(deadline)) if due <= deadline => self.now = due,
                (_, Some(deadline)) => {
                    self.now = deadline;
                    return;
                }
                (None, None) => {
                    panic!("this wait would never end: nothing is in flight that can complete by itself")
                }
            }
        }
        panic!("{POLLS_MAX} polls brought no completion although the ring has work");
    }

    fn has_work(&self) -> bool {
        !self.queued.is_empty()
            || self.pending.len() > 0
            || self.listeners.iter().any(|listener| listener.accept.is_some() && !listener.waiting.is_empty())
            || self.touched.iter().any(|&connection| self.connections[connection as usize].is_ready())
            || self.timers.iter().any(|&(due, _)| due <= self.now)
    }

    fn release(&mut self, mut buffer: ReceiveBuffer) {
        buffer.fill(RELEASED);
        self.free_buffers.push(self.memory.take_back(buffer));
    }

    fn buffers_free(&self) -> usize {
        self.free_buffers.len()
    }

    fn close_listener(&mut self, listener: ListenerId) {
        let listener = &mut self.listeners[usize::from(listener.0)];
        assert!(!listener.in_flight, "{listener:?} is closed with its accept in flight");
        assert!(!std::mem::replace(&mut listener.closed, true), "{listener:?} is closed twice");
        for connection in listener.waiting.drain(..) {
            let end = &mut self.connections[connection as usize];
            end.place = Place::Gone;
            end.reset = true;
        }
    }

    fn stats(&self) -> RingStats {
        RingStats { buffers_lent: self.memory.lent_count() as u64, ..self.stats }
    }
}
