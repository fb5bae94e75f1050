//! A whole run: the phases in order, and the report from what the workers bring back.

mod apart;
mod summary;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_protocol::handshake::client::HandshakeError;
use corecast_uring::RingError;

use crate::client::Role;
use crate::clock::now_ns;
use crate::control::{Control, Timing, WorkerBoard};
use crate::failure::Reasons;
use crate::flight::Flight;
use crate::metrics_page::MetricsError;
use crate::preflight::{Shortage, shortages};
use crate::report::{Report, ServerHistory};
use crate::scenario::{Load, Scenario};
use crate::server_process::{KernelMemory, ServerProcess, ServerProcessError, ServerSnapshot};
use crate::shards::{Shard, ShardSnapshot};
use crate::timeline::{Sampler, interval_ns};
use crate::worker::{Outcome, Shared, Worker};
use summary::{Findings, Pings};

/// How often progress is told and the end of a phase is looked for.
const LOOK: Duration = Duration::from_millis(5);
/// From the decision to start until publishing starts: longer than the longest turn of an idle worker.
const START_DELAY_NS: u64 = 50_000_000;

/// What a run tells while it goes on. The answer `Break` ends it early, in order, with a report of what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    Connecting {
        open: u32,
        failed: u32,
        wanted: u32,
    },
    /// Nothing is sent.
    Holding {
        elapsed: Duration,
        total: Duration,
    },
    Pinging {
        answered: u64,
        wanted: u64,
    },
    /// `elapsed` and `total` include the warm-up.
    Publishing {
        elapsed: Duration,
        total: Duration,
        received: u64,
    },
    /// Publishing is over; the last messages are on their way.
    Waiting {
        received: u64,
        expected: u64,
    },
    Closing,
    /// Between two runs.
    Resting {
        left: Duration,
    },
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Shortages(Vec<Shortage>),
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    #[error("--metrics {url} cannot be read: {cause}; correct the URL, or leave the option out")]
    Metrics { url: String, cause: MetricsError },
    #[error("the handshake cannot be sent: {0}; correct the option it came from")]
    Handshake(#[from] HandshakeError),
    #[error("cannot start a worker: {0}")]
    Ring(#[from] RingError),
    #[error("cannot pin a thread to core {0}: it is no longer among the allowed ones")]
    Pin(usize),
    #[error("no {who} could connect:{}", reasons(.failures))]
    NothingConnected { who: &'static str, failures: Reasons },
}

/// Runs a scenario to its end. `progress` is called from this thread, some hundred times a second.
///
/// # Errors
/// When no run is possible: [`RunError`]. A run that went wrong has a report that says so.
pub fn run(
    scenario: &Scenario,
    command_line: &[String],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    let shortages = shortages(scenario);
    if !shortages.is_empty() {
        return Err(RunError::Shortages(shortages));
    }
    let server = scenario.server_pid.map(ServerProcess::new).transpose()?;
    if let Some(page) = scenario.metrics.as_ref().filter(|page| page.is_given()) {
        ShardSnapshot::take(page).map_err(|cause| RunError::Metrics { url: page.to_string(), cause })?;
    }
    let (subscriber, publisher) = (Role::subscriber(scenario)?, Role::publisher(scenario)?);
    let in_flight = match scenario.load {
        Load::Open { .. } => 1,
        Load::Closed { in_flight } => in_flight as usize,
    };
    let control = Control::new(scenario.workers.len(), scenario.publishers, scenario.topics);
    let flight = Flight::new(scenario.publishers as usize, in_flight);
    let run = rand::random();
    let shared = Shared {
        scenario,
        control: &control,
        flight: &flight,
        run,
        subscriber: &subscriber,
        publisher: &publisher,
    };
    let mut coordinator = Coordinator {
        scenario,
        control: &control,
        server,
        history: ServerHistory::default(),
        sampler: Sampler::new(&control, server, scenario.busy_poll, interval_ns(scenario.duration), now_ns()),
        began_unix_ms: unix_ms(),
        shards: Vec::new(),
        kernel_before: KernelMemory::now(),
        kernel_connected: KernelMemory::default(),
        started_ns: 0,
        connect_seconds: 0.0,
        ping_seconds: 0.0,
        progress,
        is_interrupted: false,
    };
    coordinator.history.before = coordinator.snapshot();
    coordinator.started_ns = now_ns();
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..scenario.workers.len()).map(|number| scope.spawn(move || work(shared, number))).collect();
        coordinator.connect(&workers);
        let has_all_roles = coordinator.has_all_roles();
        if has_all_roles && !coordinator.is_interrupted {
            for index in 0..scenario.publishers {
                let topic = scenario.topic_of(index) as usize;
                let receivers = control.subscribers[topic].load(Ordering::Relaxed);
                flight.set_receivers(index as usize, receivers);
            }
            coordinator.hold(&workers);
            coordinator.ping(&workers);
            coordinator.publish(&workers);
            coordinator.wait_for_the_last(&workers);
            coordinator.sampler.finish(now_ns());
        }
        coordinator.history.end = coordinator.snapshot();
        let _ = (coordinator.progress)(Progress::Closing);
        control.close();
        let outcomes = join(workers)?;
        if !has_all_roles && !coordinator.is_interrupted {
            return Err(nothing_connected(&control, outcomes));
        }
        Ok(coordinator.report(command_line, run, outcomes))
    })
}

/// The body of a worker's thread.
fn work(shared: Shared<'_>, number: usize) -> Result<Outcome, RunError> {
    if let Some(core) = shared.scenario.workers[number]
        && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
    {
        return Err(RunError::Pin(core));
    }
    Ok(Worker::new(shared, number)?.run())
}

type Handles<'scope> = [ScopedJoinHandle<'scope, Result<Outcome, RunError>>];

struct Coordinator<'a> {
    scenario: &'a Scenario,
    control: &'a Control,
    server: Option<ServerProcess>,
    history: ServerHistory,
    sampler: Sampler<'a>,
    began_unix_ms: u64,
    shards: Vec<Shard>,
    kernel_before: KernelMemory,
    kernel_connected: KernelMemory,
    /// When the workers were.
    started_ns: u64,
    connect_seconds: f64,
    ping_seconds: f64,
    progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    is_interrupted: bool,
}

impl Coordinator<'_> {
    /// Until every connection is open or has failed.
    fn connect(&mut self, workers: &Handles<'_>) {
        let boards = &self.control.workers;
        loop {
            let is_settled = boards.iter().all(|board| board.settled.load(Ordering::Acquire));
            let open = boards.iter().map(|board| board.open.load(Ordering::Relaxed)).sum();
            let failed = boards.iter().map(|board| board.failed.load(Ordering::Relaxed)).sum();
            let wanted = self.scenario.connections();
            if !is_settled {
                self.tell(Progress::Connecting { open, failed, wanted });
            }
            if is_settled || self.is_interrupted || has_ended_early(workers) {
                break;
            }
            self.sampler.connecting(now_ns());
            thread::sleep(LOOK);
        }
        // Not when it was noticed, nor when the last failure was given up.
        let opened_ns = boards.iter().map(|board| board.opened_ns.load(Ordering::Relaxed)).max();
        self.connect_seconds = opened_ns.unwrap_or_default().saturating_sub(self.started_ns) as f64 / 1e9;
        self.sampler.connected(now_ns());
        self.history.connected = self.snapshot();
        self.kernel_connected = KernelMemory::now();
    }

    fn has_all_roles(&self) -> bool {
        let has_subscriber = self.control.subscribers.iter().any(|count| count.load(Ordering::Relaxed) > 0);
        let has_publisher =
            self.control.workers.iter().any(|board| board.open_publishing.load(Ordering::Relaxed) > 0);
        has_subscriber && has_publisher
    }

    /// Until the connections have been idle for long enough.
    fn hold(&mut self, workers: &Handles<'_>) {
        let (began_ns, total) = (now_ns(), self.scenario.hold);
        loop {
            let elapsed = Duration::from_nanos(now_ns() - began_ns);
            if elapsed >= total || self.is_interrupted || has_ended_early(workers) {
                break;
            }
            self.tell(Progress::Holding { elapsed, total });
            self.sampler.holding(now_ns(), total);
            thread::sleep(LOOK.min(total - elapsed));
        }
        if !total.is_zero() {
            self.sampler.held(now_ns());
        }
    }

    /// Until every subscriber has answered its ping, or it is plain that some do not.
    fn ping(&mut self, workers: &Handles<'_>) {
        if !self.scenario.ping || self.is_interrupted {
            return;
        }
        let began_ns = now_ns();
        self.control.ping();
        let boards = &self.control.workers;
        let wanted = self.scenario.subscribers.into();
        while !boards.iter().all(|board| board.pinged.load(Ordering::Acquire)) {
            let answered = boards.iter().map(|board| board.pongs.load(Ordering::Relaxed)).sum();
            self.tell(Progress::Pinging { answered, wanted });
            if self.is_interrupted || has_ended_early(workers) {
                break;
            }
            self.sampler.holding(now_ns(), Duration::ZERO);
            thread::sleep(LOOK);
        }
        self.sampler.held(now_ns());
        self.ping_seconds = (now_ns() - began_ns) as f64 / 1e9;
    }

    /// Warm-up and measured window.
    fn publish(&mut self, workers: &Handles<'_>) {
        let start_ns = now_ns() + START_DELAY_NS;
        let measure_ns = start_ns + self.scenario.warmup.as_nanos() as u64;
        let until_ns = measure_ns + self.scenario.duration.as_nanos() as u64;
        self.control.run(Timing { start_ns, measure_ns, until_ns });
        let mut is_measuring = false;
        let mut shards_before = None;
        loop {
            let now = now_ns();
            if now >= measure_ns && !is_measuring {
                is_measuring = true;
                self.history.measure_begin = self.snapshot();
                shards_before =
                    self.scenario.metrics.as_ref().and_then(|page| ShardSnapshot::take(page).ok());
            }
            self.sampler.publishing(now, &self.control.timing());
            if now >= until_ns || has_ended_early(workers) {
                break;
            }
            self.tell(Progress::Publishing {
                elapsed: Duration::from_nanos(now.saturating_sub(start_ns)),
                total: Duration::from_nanos(until_ns - start_ns),
                received: self.control.received(),
            });
            if self.is_interrupted {
                self.control.stop_publishing(now_ns());
                self.sampler.publishing(now_ns(), &self.control.timing());
                break;
            }
            let mark_ns = if is_measuring { until_ns } else { measure_ns };
            let next_ns = mark_ns.min(self.sampler.next_ns(&self.control.timing()));
            thread::sleep(LOOK.min(Duration::from_nanos(next_ns.saturating_sub(now_ns()))));
        }
        self.history.measure_end = self.snapshot();
        if let Some(before) = shards_before {
            self.shards = self.shards_since(&before);
        }
        if !is_measuring {
            self.history.measure_begin = self.history.measure_end.clone();
        }
    }

    /// Until everything has arrived, at most the grace time.
    fn wait_for_the_last(&mut self, workers: &Handles<'_>) {
        let until_ns = self.control.timing().until_ns;
        let deadline_ns = until_ns + self.scenario.grace.as_nanos() as u64;
        loop {
            let (received, expected) = (self.control.received(), self.control.expected_deliveries());
            // A subscriber that is gone may have received more than counts here: wait for the others in any case.
            let is_whole =
                self.control.workers.iter().all(|w| w.lost_connections.load(Ordering::Relaxed) == 0);
            let is_there = match self.scenario.has_returning() {
                // What they are to get depends on when they were there.
                true => self.control.workers.iter().all(|w| w.has_all.load(Ordering::Acquire)),
                false => is_whole && received >= expected,
            };
            let has_all = self.control.all_published() && is_there;
            if has_all || now_ns() >= deadline_ns || has_ended_early(workers) {
                break;
            }
            self.tell(Progress::Waiting { received, expected });
            thread::sleep(LOOK);
        }
    }

    fn tell(&mut self, progress: Progress) {
        self.is_interrupted |= (self.progress)(progress).is_break();
    }

    fn snapshot(&self) -> ServerSnapshot {
        self.server.map(|server| server.snapshot()).unwrap_or_default()
    }

    /// From the server's metrics page. One that was only guessed may be another server's: that one has fewer connections
    /// than there are here.
    fn shards_since(&self, before: &ShardSnapshot) -> Vec<Shard> {
        let Some(page) = &self.scenario.metrics else { return Vec::new() };
        let Ok(snapshot) = ShardSnapshot::take(page) else { return Vec::new() };
        let boards = &self.control.workers;
        let made: u32 = boards.iter().map(|board| board.open.load(Ordering::Relaxed)).sum();
        let lost: u32 = boards.iter().map(|board| board.lost_connections.load(Ordering::Relaxed)).sum();
        let is_ours = page.is_given() || snapshot.connections() >= u64::from(made.saturating_sub(lost));
        if is_ours { snapshot.since(before) } else { Vec::new() }
    }

    fn pings(&self) -> Pings {
        let sum = |count: fn(&WorkerBoard) -> &AtomicU64| {
            self.control.workers.iter().map(|board| count(board).load(Ordering::Relaxed)).sum()
        };
        Pings {
            sent: sum(|board| &board.pings),
            answered: sum(|board| &board.pongs),
            seconds: self.ping_seconds,
        }
    }

    fn report(self, command_line: &[String], run: u32, outcomes: Vec<Outcome>) -> Report {
        summary::report(Findings {
            scenario: self.scenario,
            timing: self.control.timing(),
            command_line,
            run,
            outcomes,
            connect_seconds: self.connect_seconds,
            ping: self.scenario.ping.then(|| self.pings()),
            shards: self.shards,
            began: (self.sampler.began_ns(), self.began_unix_ms),
            samples: self.sampler.into_samples(),
            server: self.server.map(|server| (server.pid(), self.history)),
            kernel: (self.kernel_before, self.kernel_connected),
            is_interrupted: self.is_interrupted,
        })
    }
}

/// The time of day. A clock before 1970 is taken for 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// A worker ends by itself only when it could not start (or panicked, which `join` passes on).
fn has_ended_early(workers: &Handles<'_>) -> bool {
    workers.iter().any(ScopedJoinHandle::is_finished)
}

fn join(workers: Vec<ScopedJoinHandle<'_, Result<Outcome, RunError>>>) -> Result<Vec<Outcome>, RunError> {
    let results = workers.into_iter().map(|worker| match worker.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    results.collect()
}

fn nothing_connected(control: &Control, outcomes: Vec<Outcome>) -> RunError {
    let mut failures = Reasons::default();
    for outcome in outcomes {
        failures.merge(outcome.failures);
        failures.merge(outcome.disconnections);
    }
    let has_subscriber = control.subscribers.iter().any(|count| count.load(Ordering::Relaxed) > 0);
    RunError::NothingConnected { who: if has_subscriber { "publisher" } else { "subscriber" }, failures }
}

fn reasons(failures: &Reasons) -> String {
    failures.sorted().iter().map(|(reason, count)| format!("\n  {count} x {reason}")).collect()
}
