//! One worker: a thread with its ring, its share of the connections, and the loop that drives them.
//!
//! A turn: wait for completions until the next message is due, read the clock once, handle what came, publish what is due,
//! send.

mod agenda;
mod connections;
mod dispatch;
mod pinging;
mod publishing;
mod reap_lag;
mod returning;
mod slow;

use std::collections::{HashMap, VecDeque};
use std::hint;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corecast_uring::{Completion, KernelRing, Op, Ring, RingConfig, RingError, RingStats, SendOutcome};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::client::{Client, Role, Scratch};
use crate::clock::{now_ns, thread_cpu_ns, thread_run_queue_ns};
use crate::control::{Control, Phase, Timing, WorkerBoard};
use crate::dealing::{Dealing, share};
use crate::endpoint::{Endpoint, Peer, Stage};
use crate::failure::Reasons;
use crate::flight::Flight;
use crate::groups::Groups;
use crate::http_publisher::HttpPublisher;
use crate::measure::Measure;
use crate::pacing::Pacing;
use crate::packed;
use crate::part::Part;
use crate::preset::Via;
use crate::publisher::Surroundings;
use crate::receiver::{Absence, Asides, Receiver};
use crate::scenario::Scenario;
use crate::timeline::{Ledger, WorkerInterval, interval_ns};
use dispatch::{MARK, MARK_CANCEL};
use pinging::Pinging;
use publishing::Publishing;
use reap_lag::ReapLag;
use returning::Returning;
pub(crate) use returning::Story;
use slow::SlowReaders;
pub(crate) use slow::SlowStory;

/// Longest wait: phases change and stuck connections are looked for at least this often.
const LONGEST_WAIT_NS: u64 = 20_000_000;
/// How long closing goes on without one more closing handshake complete.
const CLOSE_TIMEOUT_NS: u64 = 5_000_000_000;
/// Completions taken in one turn, about; with fewer there were no more. All of a turn have one arrival time, that of its end:
/// larger turns would make it coarser. It is what the kernel hands over in one call, so smaller ones would not make it finer.
const TURN_COMPLETIONS: usize = 20;
const COMPLETION_ENTRIES: u32 = 1_024;
/// Fewer are slower with thousands of messages in flight: a socket with much waiting takes many in one turn.
pub(crate) const RECEIVE_BUFFERS: u16 = 2_048;
/// Of many workers, 60 for instance, whose large buffers would take a gigabyte. They are for many connections that each get little.
const SMALL_RECEIVE_BUFFER_BYTES: u32 = 1 << 10;
/// Those have so many connections each, on average: with fewer the large ones hold more of what comes together.
const MANY_CONNECTIONS: u32 = 8_192;
/// Up to so many workers always have large ones.
const FEW_WORKERS: usize = 8;
pub(crate) const RECEIVE_BUFFER_BYTES: u32 = 8 << 10;

/// What all workers of a run share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) control: &'a Control,
    pub(crate) flight: &'a Flight,
    pub(crate) part: &'a Part,
    pub(crate) run: u32,
    pub(crate) subscriber: &'a Role,
    pub(crate) publisher: &'a Role,
}

/// What a worker found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) measure: Measure,
    pub(crate) intervals: Vec<WorkerInterval>,
    pub(crate) check: Check,
    /// By the subscriber's number in the check.
    pub(crate) absences: HashMap<u32, Absence>,
    /// Which of the worker's subscribers were subscribed, by their number in the check.
    #[serde(with = "packed")]
    pub(crate) subscribed: Vec<bool>,
    /// Connections that were not made.
    pub(crate) failures: Reasons,
    /// Open connections that ended before the run did.
    pub(crate) disconnections: Reasons,
    /// Why the server refused messages.
    pub(crate) refusals: Reasons,
    pub(crate) publishers: Vec<PublisherOutcome>,
    pub(crate) closed: u64,
    pub(crate) not_closed: u64,
    pub(crate) usage: Usage,
    /// Receives that found no buffer in the measured window.
    pub(crate) receives_without_buffer: u64,
    pub(crate) receives: u64,
    pub(crate) completion_queue_overflows: u64,
    /// What subscribers received that are not steady.
    pub(crate) asides: Asides,
    pub(crate) story: Story,
    pub(crate) slow: SlowStory,
    /// Subscribers, by the worker's own numbers, and publishers' connections that were still away at the end.
    pub(crate) away: Vec<usize>,
    pub(crate) publishers_away: u64,
}

impl Outcome {
    /// Sets all times by another clock.
    pub(crate) fn set_times(&mut self, set: impl Fn(u64) -> u64) {
        let asides = [&mut self.asides.churning, &mut self.asides.slow];
        let asides = asides.into_iter().flatten().map(|aside| &mut aside.measure);
        let arrivals = asides.chain([&mut self.measure]).map(|measure| &mut measure.last_arrival_ns);
        let reconnect = &mut self.story.reconnect;
        let times = reconnect.losses.iter_mut().chain(&mut reconnect.attempts);
        let times = times.chain(reconnect.returns.iter_mut().flat_map(|(lost, back)| [lost, back]));
        times.chain(self.slow.ended.values_mut()).chain(arrivals).for_each(|ns| *ns = set(*ns));
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublisherOutcome {
    pub(crate) index: u32,
    /// Sequences of measured messages.
    pub(crate) measured: Range<u32>,
    /// Those among all that the server refused, ascending.
    pub(crate) refused: Vec<u32>,
    /// Due, but never sent.
    pub(crate) unsent: u64,
    /// Sent, and neither acknowledged nor refused, where the server does one of both.
    pub(crate) unanswered: u64,
    /// Its next sequence at each end of a connection, ascending: messages right before may have gone down with it.
    pub(crate) breaks: Vec<u32>,
}

/// What the worker's thread did during the measured window.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) wall_ns: u64,
    pub(crate) cpu_ns: u64,
    /// Ready to run, but without a core.
    pub(crate) run_queue_ns: u64,
}

pub(crate) struct Worker<'a> {
    shared: Shared<'a>,
    number: usize,
    /// Among the workers of this process, and how many those are.
    place: (usize, usize),
    ring: KernelRing,
    /// Subscribers first, then the publishers' connections.
    endpoints: Vec<Endpoint>,
    subscribers: usize,
    /// Of the worker's own subscribers.
    groups: Groups,
    publishing: Publishing,
    pinging: Pinging,
    returning: Returning,
    slow: SlowReaders,
    receiver: Receiver,
    scratch: Scratch,

    /// Endpoints started so far: the next one to start.
    started: usize,
    /// Started and not settled, in the order of their start; settled ones are taken out when they come first.
    opening: VecDeque<u32>,
    opening_count: usize,
    /// Endpoints with something to send.
    to_send: Vec<u32>,
    /// Receives that ended for want of a buffer.
    to_rearm: Vec<u32>,
    /// Endpoints whose closing has begun, the first ones.
    closing_began: usize,
    /// Closing handshakes that are not complete, and those of them that the server has not answered.
    closing: usize,
    unanswered: usize,
    phase: Phase,

    failures: Reasons,
    disconnections: Reasons,
    closed: u64,
    not_closed: u64,
    receives: u64,
    /// Time spent looking for work.
    idle_ns: u64,
    usage: UsageMeter,
    ledger: Ledger,

    outcomes: Vec<SendOutcome>,
    batch: Vec<u32>,
}

impl<'a> Worker<'a> {
    /// # Errors
    /// When the ring cannot be made.
    pub(crate) fn new(shared: Shared<'a>, number: usize) -> Result<Self, RingError> {
        let scenario = shared.scenario;
        let workers = scenario.workers.len();
        let subscribers = share(scenario.subscribers, number, workers);
        let global = |local: usize| (local * workers + number) as u32;
        let mut endpoints: Vec<Endpoint> = (0..subscribers)
            .map(|local| Endpoint::new(Peer::Subscriber(Client::new(scenario.first_topic_of(global(local))))))
            .collect();
        let Scenario { publishers, publisher_connections: connections, .. } = *scenario;
        let dealing = Dealing { publishers, connections, worker: number, workers };
        for own in 0..dealing.own_connections() {
            endpoints.push(Endpoint::new(match scenario.via {
                // The topic of its first publisher. Where there are several it is not in the path.
                Via::Ws => Peer::Publisher(Client::new(scenario.topic_of(dealing.publisher(own)))),
                Via::Http => Peer::Poster(Box::new(HttpPublisher::new(scenario))),
            }));
        }
        let groups = scenario.groups.share(number, workers);
        let own_workers = shared.part.workers().count();
        let ring = KernelRing::new(&RingConfig {
            completion_entries: COMPLETION_ENTRIES,
            files: table_size(endpoints.len(), dealing.own_connections()),
            receive_buffers: RECEIVE_BUFFERS,
            turn_completions: TURN_COMPLETIONS,
            receive_buffer_bytes: receive_buffer_bytes(own_workers, (endpoints.len() * own_workers) as u32),
            ..RingConfig::default()
        })?;
        Ok(Self {
            scratch: Scratch::default(),
            pinging: Pinging::default(),
            receiver: Receiver::new(scenario, shared.run, shared.flight, subscribers, groups)
                .with_clocks(shared.part, scenario),
            shared,
            number,
            place: place_of(number, shared.part),
            ring,
            endpoints,
            subscribers,
            groups,
            returning: Returning::new(scenario, number, groups),
            slow: SlowReaders::new(scenario.slow_rate),
            publishing: Publishing::new(scenario, shared.run, dealing),
            started: 0,
            opening: VecDeque::new(),
            opening_count: 0,
            to_send: Vec::new(),
            to_rearm: Vec::new(),
            closing_began: 0,
            closing: 0,
            unanswered: 0,
            phase: Phase::Connect,
            failures: Reasons::default(),
            disconnections: Reasons::default(),
            closed: 0,
            not_closed: 0,
            receives: 0,
            idle_ns: 0,
            usage: UsageMeter::default(),
            ledger: Ledger::new(interval_ns(scenario.duration)),
            outcomes: Vec::new(),
            batch: Vec::new(),
        })
    }

    /// Works until the run is over.
    pub(crate) fn run(mut self) -> Outcome {
        // The kernel may round sleeps up to 50 us to save wake-ups. Schedules are finer.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let scenario = self.shared.scenario;
        let workers = scenario.workers.len();
        let mut now = now_ns();
        let pacing = Pacing::new(scenario.connect_rate, scenario.connect_concurrency, workers, now);
        let mut completions: Vec<Completion> = Vec::new();
        let mut closing = None;
        let mut has_more = false;
        let mut reap_lag = ReapLag::default();
        loop {
            // What came meanwhile, before any sleep: it has waited for this.
            self.ring.poll(&mut completions);
            let mut woken_ns = None;
            if completions.is_empty() {
                let wait_ns = if has_more { 0 } else { self.wait_ns(now_ns(), &pacing) };
                if scenario.busy_poll {
                    woken_ns = Some(self.look_for_work(wait_ns));
                    self.ring.poll(&mut completions);
                } else {
                    self.ring.wait(Some(Duration::from_nanos(wait_ns)), &mut completions);
                    // Nothing tells when within the call it ended: the reap behind it is short.
                    woken_ns = Some(now_ns());
                }
            }
            now = now_ns();
            let is_all = completions.len() < TURN_COMPLETIONS;
            let is_marked = Self::take_mark(&mut completions);
            let lag_ns = match woken_ns {
                Some(woken_ns) => reap_lag.woken(woken_ns, now, is_all, is_marked),
                None => reap_lag.found(now, is_all, is_marked),
            };
            if reap_lag.wants_mark(now) {
                self.send_mark();
            }
            let timing = self.shared.control.timing();
            self.ledger.observe(now, &timing, &mut self.receiver.measure, self.idle_ns);
            let received_before = self.receiver.measure.counts.received;
            self.receives +=
                completions.iter().filter(|completion| completion.buffer.is_some()).count() as u64;
            for completion in completions.drain(..) {
                self.dispatch(completion, now);
            }
            self.receiver.end_reap(self.shared.flight, now, self.shared.control);
            let received = self.receiver.measure.counts.received - received_before;
            self.receiver.measure.reap_lag.record_times(lag_ns, received as u32);
            self.publishing.completed(&mut self.receiver.completed, self.shared.control);
            self.change_phase(now);
            let timing = self.shared.control.timing();
            match self.phase {
                Phase::Connect => self.connect(now, &pacing),
                Phase::Ping => self.ping(now),
                Phase::Run => {
                    self.tend_returning(now, &timing);
                    self.tend_slow(now);
                    has_more = self.publish(&timing);
                    self.look_whether_all_is_there(now, &timing);
                }
                Phase::Close => {
                    has_more = false;
                    self.close_more();
                    let done = self.closing_began - self.closing;
                    let answered = self.closing_began - self.unanswered;
                    if closing.is_none_or(|(before, _)| before != (done, answered)) {
                        closing = Some(((done, answered), now + CLOSE_TIMEOUT_NS));
                    }
                    let is_late = closing.is_some_and(|(_, deadline_ns)| now >= deadline_ns);
                    if done == self.endpoints.len() || is_late {
                        break;
                    }
                }
            }
            self.usage.observe(now, &timing, &self.ring.stats(), self.receives, self.idle_ns);
            self.flush();
            self.rearm();
            self.report_progress();
        }
        self.into_outcome()
    }

    /// A timeout that is cancelled completes behind all that waits for a call by then. (One that runs out does so as well,
    /// but interrupts the core for it: 25 us on a virtual machine.)
    fn send_mark(&mut self) {
        self.ring.push(MARK, Op::Timeout { after: Duration::from_secs(3_600) });
        self.ring.push(MARK_CANCEL, Op::Cancel { target: MARK });
    }

    /// Whether the mark is among them, which belongs to no connection.
    fn take_mark(completions: &mut Vec<Completion>) -> bool {
        let mut is_marked = false;
        completions.retain(|completion| {
            is_marked |= completion.token == MARK;
            completion.token != MARK && completion.token != MARK_CANCEL
        });
        is_marked
    }

    /// Returns when the ring has something to do, or after this long: the time by then.
    fn look_for_work(&mut self, wait_ns: u64) -> u64 {
        let began = now_ns();
        let mut now = began;
        while !self.ring.has_work() && now - began < wait_ns {
            hint::spin_loop();
            now = now_ns();
        }
        self.idle_ns += now - began;
        now
    }

    fn board(&self) -> &'a WorkerBoard {
        &self.shared.control.workers[self.number]
    }

    fn surroundings(&self, timing: Timing) -> Surroundings<'a> {
        let Shared { scenario, control, flight, .. } = self.shared;
        Surroundings { scenario, control, flight, timing }
    }

    /// How long the ring may wait, so that nothing that is due comes late.
    fn wait_ns(&self, now: u64, pacing: &Pacing) -> u64 {
        if !self.to_send.is_empty() {
            return 0;
        }
        let mut wait_ns = LONGEST_WAIT_NS;
        match self.phase {
            Phase::Connect if self.started < self.endpoints.len() => {
                // One millisecond is fine enough for pacing: what fell due meanwhile is started together.
                let is_paced = pacing.allowance(now, self.started, self.opening_count) == 0;
                wait_ns = if is_paced { 1_000_000 } else { 0 };
            }
            Phase::Run => {
                let timing = self.shared.control.timing();
                let surroundings = self.surroundings(timing);
                for mark_ns in [timing.measure_ns, timing.until_ns] {
                    wait_ns = if mark_ns > now { wait_ns.min(mark_ns - now) } else { wait_ns };
                }
                wait_ns = wait_ns.min(self.publishing.wait_ns(now, &surroundings).unwrap_or(wait_ns));
                wait_ns = wait_ns.min(self.returning.wait_ns(now, &timing).unwrap_or(wait_ns));
                wait_ns = wait_ns.min(self.slow.wait_ns(now).unwrap_or(wait_ns));
            }
            Phase::Connect | Phase::Ping | Phase::Close => {}
        }
        wait_ns
    }

    fn change_phase(&mut self, now: u64) {
        let phase = self.shared.control.phase();
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        match phase {
            Phase::Connect => unreachable!("no phase comes before connecting"),
            Phase::Ping => self.start_pinging(now),
            Phase::Run => {
                self.receiver.is_counting = true;
                self.publishing.start(&self.surroundings(self.shared.control.timing()));
            }
            Phase::Close => {
                // That others leave may be told to those that are still there.
                self.receiver.is_counting = false;
                self.hurry_slow();
            }
        }
    }

    /// Publishes what is due. True when there is more than one turn takes.
    fn publish(&mut self, timing: &Timing) -> bool {
        let surroundings = self.surroundings(*timing);
        let Self { publishing, endpoints, subscribers, receiver, to_send, .. } = self;
        let connections = &mut endpoints[*subscribers..];
        publishing.publish(connections, &surroundings, &mut receiver.measure, |line, endpoint| {
            list(to_send, *subscribers + line, endpoint);
        })
    }

    fn report_progress(&self) {
        self.board().received.store(self.receiver.measure.counts.received, Ordering::Relaxed);
    }

    fn into_outcome(mut self) -> Outcome {
        let timing = self.shared.control.timing();
        self.receiver.finish(self.shared.control);
        let intervals = self.ledger.finish(&mut self.receiver.measure, self.idle_ns);
        let subscribers = &self.endpoints[..self.subscribers];
        let rest = self.endpoints.iter().skip(self.closing_began);
        let not_begun = rest.filter(|endpoint| endpoint.socket.stage == Stage::Up).count() as u64;
        // Of some the server has not ended TCP.
        let endings = self.endpoints.iter().filter(|endpoint| endpoint.socket.stage == Stage::Closing);
        let complete = endings.filter(|endpoint| endpoint.is_closed()).count() as u64;
        let boards = &self.shared.control.publishers;
        let publishers = self.publishing.publishers().iter().map(|publisher| PublisherOutcome {
            index: publisher.index(),
            measured: publisher.measured(),
            refused: boards[publisher.index() as usize].refused_sequences(),
            unsent: publisher.unsent(&timing),
            unanswered: publisher.unanswered().into(),
            breaks: publisher.breaks().to_vec(),
        });
        let (away, publishers_away): (Vec<usize>, Vec<usize>) =
            self.returning.away().partition(|at| *at < self.subscribers);
        Outcome {
            publishers: publishers.collect(),
            subscribed: subscribers.iter().map(|endpoint| endpoint.socket.was_open).collect(),
            measure: self.receiver.measure,
            intervals,
            check: self.receiver.check,
            absences: self.receiver.absences,
            failures: self.failures,
            disconnections: self.disconnections,
            refusals: self.publishing.refusals,
            closed: self.closed + complete,
            not_closed: self.not_closed + self.closing as u64 - complete + not_begun,
            usage: self.usage.usage,
            receives_without_buffer: self.usage.receives_without_buffer,
            receives: self.usage.receives,
            completion_queue_overflows: self.ring.stats().cq_overflows,
            asides: self.receiver.asides,
            story: self.returning.story,
            slow: self.slow.story,
            away,
            publishers_away: publishers_away.len() as u64,
        }
    }
}

fn place_of(number: usize, part: &Part) -> (usize, usize) {
    let own = part.workers();
    (own.clone().position(|own| own == number).expect("a worker is in its own part"), own.count())
}

/// Size of the receive buffers of each of so many workers, with so many connections in all.
pub(crate) const fn receive_buffer_bytes(workers: usize, connections: u32) -> u32 {
    if workers > FEW_WORKERS && connections / workers as u32 >= MANY_CONNECTIONS {
        SMALL_RECEIVE_BUFFER_BYTES
    } else {
        RECEIVE_BUFFER_BYTES
    }
}

/// Slots of a worker's table: posters that connect again need a second one while the first is being closed.
pub(crate) fn table_size(endpoints: usize, publishing: usize) -> u32 {
    (endpoints + publishing + 8) as u32
}

/// Notes that an endpoint has something to send.
fn list(to_send: &mut Vec<u32>, at: usize, endpoint: &mut Endpoint) {
    if !endpoint.socket.out.is_empty() && !endpoint.socket.listed {
        endpoint.socket.listed = true;
        to_send.push(at as u32);
    }
}

/// Takes the thread's account at both ends of the measured window.
#[derive(Debug, Default)]
struct UsageMeter {
    begin: Option<Snapshot>,
    is_over: bool,
    usage: Usage,
    receives_without_buffer: u64,
    receives: u64,
}

#[derive(Clone, Copy, Debug)]
struct Snapshot {
    now_ns: u64,
    cpu_ns: u64,
    idle_ns: u64,
    run_queue_ns: u64,
    receives_without_buffer: u64,
    receives: u64,
}

impl UsageMeter {
    /// `idle_ns` is processor time that was spent without work.
    fn observe(&mut self, now_ns: u64, timing: &Timing, stats: &RingStats, receives: u64, idle_ns: u64) {
        let is_planned = timing.measure_ns > 0;
        let is_before = now_ns < timing.measure_ns || (self.begin.is_some() && now_ns < timing.until_ns);
        if self.is_over || !is_planned || is_before {
            return;
        }
        let snapshot = Snapshot {
            now_ns,
            cpu_ns: thread_cpu_ns(),
            idle_ns,
            run_queue_ns: thread_run_queue_ns(),
            receives_without_buffer: stats.receives_without_buffer,
            receives,
        };
        let Some(begin) = self.begin else {
            self.begin = Some(snapshot);
            return;
        };
        self.is_over = true;
        let wall_ns = snapshot.now_ns - begin.now_ns;
        // Looking for work is timed by the clock, which goes on when the thread is interrupted.
        let cpu_ns = (snapshot.cpu_ns - begin.cpu_ns).saturating_sub(snapshot.idle_ns - begin.idle_ns);
        // The kernel enters a wait when it ends: one that began before may be longer than the window.
        let run_queue_ns = (snapshot.run_queue_ns - begin.run_queue_ns).min(wall_ns.saturating_sub(cpu_ns));
        self.usage = Usage { wall_ns, cpu_ns, run_queue_ns };
        self.receives_without_buffer = snapshot.receives_without_buffer - begin.receives_without_buffer;
        self.receives = snapshot.receives - begin.receives;
    }
}
