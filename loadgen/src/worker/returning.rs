//! Connections that come back: subscribers that leave and come again as new ones (`--churn`), and everybody whose connection
//! the server ended (`--reconnect`).
//!
//! ```text
//!   present --leave--> Leaving --+                     +--> Trying --subscribed--> present
//!      |                         +--> Ending --> Waiting <----+ failed
//!      +--connection ended-------+   (socket still open)
//! ```

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;

use corecast_protocol::CloseCode;
use corecast_uring::{Op, Ring};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::clock::now_ns;
use crate::control::Timing;
use crate::endpoint::{Endpoint, Peer, Stage};
use crate::failure::{Failure, Reasons};
use crate::groups::{Group, Groups};
use crate::measure::Recorder;
use crate::part::Part;
use crate::scenario::Scenario;
use crate::units::Rate;
use crate::worker::dispatch::Kind;
use crate::worker::{CLOSE_TIMEOUT_NS, Shared, Worker, list};

/// Codes with which a server says that trying again is of no use: the connection, or what was said on it, was wrong.
const FINAL_CODES: [u16; 8] = [1002, 1003, 1007, 1008, 1009, 4001, 4003, 4004];

/// How long the server may take to end a connection that it has refused.
const REFUSAL_TIMEOUT_NS: u64 = 500_000_000;
/// How often it is looked for what is still to come.
const LOOK_NS: u64 = 100_000_000;

/// Who is away, and what comes next for them.
#[derive(Debug)]
pub(super) struct Returning {
    absences: HashMap<u32, Absence>,
    /// Ends of steps. Entries that [`Absence::until_ns`] does not confirm are out of date.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    backoff: Backoff,
    is_reconnecting: bool,
    leaving: Option<Leaving>,
    next_look_ns: u64,
    pub(super) story: Story,
}

/// What happened, as far as the report tells it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Story {
    pub(crate) churn: ChurnStory,
    pub(crate) reconnect: ReconnectStory,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ChurnStory {
    /// Stays that ended by a closing handshake of ours.
    pub(crate) left: u64,
    pub(crate) returned: u64,
    /// Leaves that were due while all who could have left were away.
    pub(crate) nobody_left: u64,
    pub(crate) not_closed: u64,
    pub(crate) handshake: Recorder,
    pub(crate) failures: Reasons,
    /// Stays that the server ended.
    pub(crate) disconnections: Reasons,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReconnectStory {
    /// When steady subscribers lost their connections.
    pub(crate) losses: Vec<u64>,
    /// When they had lost it, and when they were subscribed again.
    pub(crate) returns: Vec<(u64, u64)>,
    /// When they tried.
    pub(crate) attempts: Vec<u64>,
    pub(crate) causes: Reasons,
    pub(crate) failures: Reasons,
    pub(crate) handshake: Recorder,
    pub(crate) publishers_lost: u64,
    pub(crate) publishers_returned: u64,
    /// Publishes without an answer when their connection ended, where the server answers them.
    pub(crate) unanswered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Absence {
    since_ns: u64,
    attempts: u32,
    step: Step,
    until_ns: u64,
    /// It was the subscriber that closed the connection.
    has_left: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Our Close frame is on its way; messages may still come.
    Leaving,
    /// The connection is over, but its socket has an operation in flight.
    Ending,
    Waiting,
    Trying,
}

/// Who leaves when.
#[derive(Debug)]
struct Leaving {
    rate: Rate,
    own: u128,
    all: u128,
    done: u64,
    /// In the order of their coming.
    present: VecDeque<u32>,
    queued: HashSet<u32>,
}

impl Returning {
    pub(super) fn new(scenario: &Scenario, worker: usize, own: Groups) -> Self {
        let leaving = |rate| Leaving {
            rate,
            own: own.churning.into(),
            all: scenario.groups.churning.into(),
            done: 0,
            present: VecDeque::new(),
            queued: HashSet::new(),
        };
        Self {
            absences: HashMap::new(),
            timers: BinaryHeap::new(),
            backoff: Backoff::new(scenario.reconnect_delay, scenario.seed ^ (worker as u64) << 32),
            is_reconnecting: scenario.reconnect,
            next_look_ns: 0,
            leaving: scenario.churn.filter(|_| own.churning > 0).map(leaving),
            story: Story::default(),
        }
    }

    /// Nobody is away.
    pub(super) fn is_empty(&self) -> bool {
        self.absences.is_empty()
    }

    /// How long there is nothing to do.
    pub(super) fn wait_ns(&self, now: u64, timing: &Timing) -> Option<u64> {
        let leaves = self.leaving.as_ref().and_then(|leaving| leaving.next_ns(timing));
        let timer = self.timers.peek().map(|Reverse((time_ns, _))| *time_ns);
        leaves.into_iter().chain(timer).min().map(|next_ns| next_ns.saturating_sub(now))
    }

    /// A churning subscriber is there.
    pub(super) fn arrived(&mut self, at: u32) {
        if let Some(leaving) = &mut self.leaving
            && leaving.queued.insert(at)
        {
            leaving.present.push_back(at);
        }
    }

    /// How many have not come back.
    pub(super) fn away(&self) -> impl Iterator<Item = usize> {
        self.absences.keys().map(|at| *at as usize)
    }

    fn step(&self, at: usize) -> Option<Step> {
        self.absences.get(&(at as u32)).map(|absence| absence.step)
    }

    fn set(&mut self, at: usize, step: Step, until_ns: u64) {
        if let Some(absence) = self.absences.get_mut(&(at as u32)) {
            absence.step = step;
            absence.until_ns = until_ns;
            self.timers.push(Reverse((until_ns, at as u32)));
        }
    }

    fn begin(&mut self, at: usize, since_ns: u64, has_left: bool) {
        let absence = Absence { since_ns, attempts: 0, step: Step::Ending, until_ns: u64::MAX, has_left };
        self.absences.insert(at as u32, absence);
    }

    /// Whose step is over.
    fn take_due(&mut self, now: u64) -> Option<(usize, Step)> {
        while let Some(&Reverse((time_ns, at))) = self.timers.peek().filter(|Reverse((t, _))| *t <= now) {
            self.timers.pop();
            if let Some(absence) = self.absences.get(&at).filter(|absence| absence.until_ns == time_ns) {
                return Some((at as usize, absence.step));
            }
        }
        None
    }
}

impl Leaving {
    /// Leaves that were due by `now`: this worker's part of them.
    fn due(&self, now: u64, timing: &Timing) -> u64 {
        let elapsed_ns = u128::from(now.min(timing.until_ns).saturating_sub(timing.start_ns));
        let milli = u128::from(self.rate.per_thousand_seconds());
        (elapsed_ns * milli * self.own / (self.all * 1_000_000_000_000)) as u64
    }

    fn next_ns(&self, timing: &Timing) -> Option<u64> {
        let milli = u128::from(self.rate.per_thousand_seconds());
        let after_ns = (u128::from(self.done) + 1) * self.all * 1_000_000_000_000 / (milli * self.own) + 1;
        Some(timing.start_ns + after_ns as u64).filter(|next_ns| *next_ns < timing.until_ns)
    }
}

/// How many messages a subscriber's publisher has sent, by the check's number for it.
fn sent(shared: &Shared<'_>, first_topic: u32, place: usize) -> u32 {
    let Shared { scenario, control, part, .. } = shared;
    let each = scenario.publishers_per_topic();
    let topic = (first_topic + place as u32 / each) % scenario.topics;
    let publisher = place as u32 % each * scenario.topics + topic;
    match control.publishers.get(publisher as usize) {
        None => 0,
        Some(board) if part.has(scenario, publisher) => board.sent.load(Ordering::Acquire),
        // On another host: all that was due there, at most.
        Some(_) => Part::most_sent(scenario, publisher, &control.timing(), now_ns() + part.uncertainty_ns()),
    }
}

impl Worker<'_> {
    /// Lets subscribers leave whose time has come, and does what is due for those that are away.
    pub(super) fn tend_returning(&mut self, now: u64, timing: &Timing) {
        while let Some(at) = self.next_to_leave(now, timing) {
            self.leave(at, now);
        }
        while let Some((at, step)) = self.returning.take_due(now) {
            match step {
                Step::Leaving => {
                    self.returning.story.churn.not_closed += 1;
                    self.cut_off(at, now);
                }
                Step::Ending => self.cut_off(at, now),
                Step::Waiting => self.try_again(at, now),
                Step::Trying => {
                    let endpoint = &mut self.endpoints[at];
                    let timeout = self.shared.scenario.connect_timeout;
                    let failure = Failure::TooSlow(timeout, endpoint.waits_for());
                    // RFC 6455 §7.3: one that is established is closed by a closing handshake.
                    if let Peer::Subscriber(client) | Peer::Publisher(client) = &mut endpoint.peer
                        && client.close(&mut endpoint.socket.out)
                    {
                        list(&mut self.to_send, at, endpoint);
                    }
                    self.note_failure(at, &failure);
                    self.cut_off(at, now);
                }
            }
        }
    }

    /// Whether the connection is one that comes back after this.
    pub(super) fn comes_back(&self, at: usize, failure: &Failure) -> bool {
        if !self.returning.absences.is_empty() && self.returning.step(at).is_some() {
            return true;
        }
        let is_final = matches!(failure, Failure::Closed { code: Some(CloseCode(code)), .. } if FINAL_CODES.contains(code));
        let is_churning = at < self.subscribers && self.groups.of(at as u32) == Group::Churning;
        let is_slow = at < self.subscribers && self.groups.of(at as u32) == Group::Slow;
        !is_final
            && !is_slow
            && (self.returning.is_reconnecting || (is_churning && self.returning.leaving.is_some()))
    }

    /// The connection has ended, or an attempt to make it again has.
    pub(super) fn gone(&mut self, at: usize, failure: &Failure) {
        let now = now_ns();
        let before = self.returning.step(at);
        match before {
            None => self.note_loss(at, failure, now),
            Some(Step::Leaving) => self.note_leave(at),
            Some(Step::Trying) => self.note_failure(at, failure),
            Some(Step::Ending | Step::Waiting) => {}
        }
        let socket = &mut self.endpoints[at].socket;
        socket.stage = Stage::New;
        if !socket.is_receiving {
            self.close_socket(at);
            self.wait_for_next_attempt(at, now);
        } else if before != Some(Step::Ending) {
            // An attempt that was refused need not keep its connection as long as one that was open.
            let patience_ns =
                if before == Some(Step::Trying) { REFUSAL_TIMEOUT_NS } else { CLOSE_TIMEOUT_NS };
            self.returning.set(at, Step::Ending, now + patience_ns);
        }
    }

    /// The connection is there again if it was being made.
    pub(super) fn came_back(&mut self, at: usize, now: u64) {
        if self.returning.step(at) != Some(Step::Trying) {
            return;
        }
        let absence = self.returning.absences.remove(&(at as u32)).expect("it has a step");
        self.board().open.fetch_add(1, Ordering::Relaxed);
        let took_ns = now - self.endpoints[at].socket.started_ns;
        let Peer::Subscriber(client) = &self.endpoints[at].peer else {
            self.returning.story.reconnect.publishers_returned += 1;
            return;
        };
        let (scenario, control) = (self.shared.scenario, self.shared.control);
        let first = client.topic();
        self.receiver.check.come_back(at, |place| sent(&self.shared, first, place));
        if self.groups.of(at as u32) == Group::Churning {
            self.returning.story.churn.returned += 1;
            self.returning.story.churn.handshake.record(took_ns);
            self.returning.arrived(at as u32);
            return;
        }
        self.returning.story.reconnect.returns.push((absence.since_ns, now));
        self.returning.story.reconnect.handshake.record(took_ns);
        for topic in scenario.topics_from(first) {
            control.subscribers[topic as usize].fetch_add(1, Ordering::Relaxed);
            for publisher in (topic..scenario.publishers).step_by(scenario.topics as usize) {
                self.shared.flight.add_receiver(publisher as usize);
            }
        }
    }

    /// Tells whether there is nothing more to wait for, now and then.
    pub(super) fn look_whether_all_is_there(&mut self, now: u64, timing: &Timing) {
        if !self.shared.scenario.has_returning() || now < timing.until_ns || now < self.returning.next_look_ns
        {
            return;
        }
        self.returning.next_look_ns = now + LOOK_NS;
        let has_all = |at: usize| match &self.endpoints[at] {
            Endpoint { peer: Peer::Subscriber(client), socket } if socket.was_open => {
                self.receiver.check.has_all(at, |place| sent(&self.shared, client.topic(), place))
            }
            _ => true,
        };
        let reading = (self.groups.steady + self.groups.churning) as usize;
        let is_settled = self.returning.is_empty() && self.shared.control.all_published();
        self.board().has_all.store(is_settled && (0..reading).all(has_all), Ordering::Release);
    }

    fn next_to_leave(&mut self, now: u64, timing: &Timing) -> Option<usize> {
        let Returning { leaving, absences, story, .. } = &mut self.returning;
        let leaving = leaving.as_mut()?;
        while leaving.done < leaving.due(now, timing) {
            let Some(at) = leaving.present.pop_front() else {
                story.churn.nobody_left += 1;
                leaving.done += 1;
                continue;
            };
            leaving.queued.remove(&at);
            // One that lost its connection meanwhile queues again when it is back.
            if !absences.contains_key(&at) && self.endpoints[at as usize].socket.stage == Stage::Up {
                leaving.done += 1;
                return Some(at as usize);
            }
        }
        None
    }

    /// Begins the closing handshake of a subscriber (RFC 6455 §7.1.2). It counts as there until the connection has ended.
    fn leave(&mut self, at: usize, now: u64) {
        let endpoint = &mut self.endpoints[at];
        if let Peer::Subscriber(client) = &mut endpoint.peer {
            client.close(&mut endpoint.socket.out);
        }
        list(&mut self.to_send, at, endpoint);
        self.returning.begin(at, now, true);
        self.returning.set(at, Step::Leaving, now + CLOSE_TIMEOUT_NS);
    }

    fn note_leave(&mut self, at: usize) {
        self.returning.story.churn.left += 1;
        self.receiver.check.leave(at);
        self.board().lost_connections.fetch_add(1, Ordering::Relaxed);
    }

    fn note_loss(&mut self, at: usize, failure: &Failure, now: u64) {
        self.returning.begin(at, now, false);
        self.board().lost_connections.fetch_add(1, Ordering::Relaxed);
        if at >= self.subscribers {
            self.returning.story.reconnect.publishers_lost += 1;
            self.returning.story.reconnect.unanswered += self.publishing.break_off(at - self.subscribers);
            return;
        }
        self.receiver.check.leave(at);
        if self.groups.of(at as u32) == Group::Churning {
            self.returning.story.churn.disconnections.add(failure);
            return;
        }
        self.returning.story.reconnect.losses.push(now);
        self.returning.story.reconnect.causes.add(failure);
        self.remove_receiver(at);
    }

    fn note_failure(&mut self, at: usize, failure: &Failure) {
        let is_churning = at < self.subscribers && self.groups.of(at as u32) == Group::Churning;
        let story = &mut self.returning.story;
        if is_churning { &mut story.churn.failures } else { &mut story.reconnect.failures }.add(failure);
    }

    /// Ends what is in flight on a socket that is not wanted any more; closes it when nothing is.
    fn cut_off(&mut self, at: usize, now: u64) {
        let endpoint = &self.endpoints[at];
        if !endpoint.socket.is_receiving && self.returning.step(at) == Some(Step::Ending) {
            self.close_socket(at);
            return self.wait_for_next_attempt(at, now);
        }
        for kind in [Kind::Connect, Kind::Receive] {
            let target = kind.token(at, endpoint);
            self.ring.push(Kind::Cancel.token(at, endpoint), Op::Cancel { target });
        }
        if self.returning.step(at) == Some(Step::Leaving) {
            self.note_leave(at);
        }
        self.endpoints[at].socket.stage = Stage::New;
        self.returning.set(at, Step::Ending, now + CLOSE_TIMEOUT_NS);
    }

    fn wait_for_next_attempt(&mut self, at: usize, now: u64) {
        let Some(absence) = self.returning.absences.get(&(at as u32)).copied() else { return };
        // Who left by itself comes again at once.
        let is_free = absence.has_left && absence.attempts == 0;
        let wait_ns = if is_free { 0 } else { self.returning.backoff.wait_ns(absence.attempts) };
        self.returning.set(at, Step::Waiting, now + wait_ns);
    }

    /// Makes the connection anew.
    fn try_again(&mut self, at: usize, now: u64) {
        let endpoint = &mut self.endpoints[at];
        let socket = &mut endpoint.socket;
        socket.generation += 1;
        socket.blocked = false;
        socket.started_ns = now;
        socket.out = Vec::new();
        match &mut endpoint.peer {
            Peer::Subscriber(client) | Peer::Publisher(client) => *client = Client::new(client.topic()),
            Peer::Poster(poster) => {
                poster.end_of_stream();
                self.publishing.refused(&poster.take_refused(), self.shared.control);
            }
        }
        self.create(at);
        if let Some(absence) = self.returning.absences.get_mut(&(at as u32)) {
            absence.attempts += 1;
        }
        let is_steady = at < self.subscribers && self.groups.of(at as u32) == Group::Steady;
        if is_steady {
            self.returning.story.reconnect.attempts.push(now);
        }
        let timeout_ns = self.shared.scenario.connect_timeout.as_nanos() as u64;
        self.returning.set(at, Step::Trying, now + timeout_ns);
    }
}
