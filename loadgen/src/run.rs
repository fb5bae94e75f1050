//! A whole run: the phases in order, and the report from what the workers bring back.

mod apart;
pub(crate) mod crew;
mod summary;

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_protocol::handshake::client::HandshakeError;
use corecast_uring::RingError;

use crate::client::Role;
use crate::clock::now_ns;
use crate::control::{Control, Timing};
use crate::distributed::{HostError, Hosts};
use crate::failure::Reasons;
use crate::flight::Flight;
use crate::metrics_page::MetricsError;
use crate::part::Part;
use crate::preflight::{Shortage, shortages};
use crate::report::{Report, ServerHistory};
use crate::scenario::{Load, Scenario};
use crate::server_process::{KernelMemory, ServerProcess, ServerProcessError, ServerSnapshot};
use crate::shards::{Shard, ShardSnapshot};
use crate::timeline::{Sampler, interval_ns};
use crate::worker::{Outcome, Shared};
use crew::{Crew, Tally, Threads};
use summary::{Findings, Pings};

/// How often progress is told and the end of a phase is looked for.
const LOOK: Duration = Duration::from_millis(5);

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
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Hosts(Vec<HostError>),
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
    let server = scenario.server_pid.map(ServerProcess::new).transpose()?;
    if let Some(page) = scenario.metrics.as_ref().filter(|page| page.is_given()) {
        ShardSnapshot::take(page).map_err(|cause| RunError::Metrics { url: page.to_string(), cause })?;
    }
    let (subscriber, publisher) = (Role::subscriber(scenario)?, Role::publisher(scenario)?);
    let run = rand::random();
    if !scenario.hosts.is_empty() {
        let (hosts, scenario) = Hosts::gather(scenario, run)?;
        return Coordinator::new(&scenario, server, progress).conduct(hosts, command_line, run);
    }
    let shortages = shortages(scenario);
    if !shortages.is_empty() {
        return Err(RunError::Shortages(shortages));
    }
    let in_flight = match scenario.load {
        Load::Open { .. } => 1,
        Load::Closed { in_flight } => in_flight as usize,
    };
    let shared = Shared {
        scenario,
        control: &Control::new(scenario.workers.len(), scenario.publishers, scenario.topics),
        flight: &Flight::new(scenario.publishers as usize, in_flight),
        part: &Part::whole(scenario.workers.len()),
        run,
        subscriber: &subscriber,
        publisher: &publisher,
    };
    let coordinator = Coordinator::new(scenario, server, progress);
    thread::scope(|scope| coordinator.conduct(Threads::new(scope, shared), command_line, run))
}

struct Coordinator<'a> {
    scenario: &'a Scenario,
    server: Option<ServerProcess>,
    timing: Timing,
    history: ServerHistory,
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

impl<'a> Coordinator<'a> {
    fn new(
        scenario: &'a Scenario,
        server: Option<ServerProcess>,
        progress: &'a mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Self {
        let mut coordinator = Self {
            scenario,
            server,
            timing: Timing::default(),
            history: ServerHistory::default(),
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
        coordinator
    }

    /// The phases in order.
    fn conduct<C: Crew>(
        mut self,
        mut crew: C,
        command_line: &[String],
        run: u32,
    ) -> Result<Report, RunError> {
        let interval_ns = interval_ns(self.scenario.duration);
        let mut sampler = Sampler::new(&crew, self.server, interval_ns, now_ns());
        self.started_ns = now_ns();
        crew.begin();
        self.connect(&crew, &mut sampler);
        let has_all_roles = self.has_all_roles(&crew);
        if has_all_roles && !self.is_interrupted {
            crew.connected();
            self.hold(&crew, &mut sampler);
            self.ping(&mut crew, &mut sampler);
            self.publish(&mut crew, &mut sampler);
            self.wait_for_the_last(&crew);
            sampler.finish(&crew, now_ns());
        }
        crew.end_waiting();
        self.history.end = self.snapshot();
        let _ = (self.progress)(Progress::Closing);
        let tally = crew.tally();
        let hosts = crew.facts();
        let outcomes = crew.finish()?;
        if !has_all_roles && !self.is_interrupted {
            return Err(nothing_connected(tally, outcomes));
        }
        let pings = self.scenario.ping.then_some(Pings {
            sent: tally.pings,
            answered: tally.pongs,
            seconds: self.ping_seconds,
        });
        Ok(summary::report(Findings {
            scenario: self.scenario,
            timing: self.timing,
            command_line,
            run,
            hosts,
            outcomes,
            connect_seconds: self.connect_seconds,
            ping: pings,
            shards: self.shards,
            began: (sampler.began_ns(), self.began_unix_ms),
            samples: sampler.into_samples(),
            server: self.server.map(|server| (server.pid(), self.history)),
            kernel: (self.kernel_before, self.kernel_connected),
            is_interrupted: self.is_interrupted,
        }))
    }

    /// Until every connection is open or has failed.
    fn connect(&mut self, crew: &dyn Crew, sampler: &mut Sampler) {
        loop {
            let tally = crew.tally();
            let is_settled = tally.is_settled();
            let wanted = self.scenario.connections();
            if !is_settled {
                self.tell(Progress::Connecting { open: tally.open, failed: tally.failed, wanted });
            }
            if is_settled || self.is_interrupted || crew.has_ended_early() {
                break;
            }
            sampler.connecting(crew, now_ns());
            thread::sleep(LOOK);
        }
        // Not when it was noticed, nor when the last failure was given up.
        let opened_ns = crew.tally().opened_ns;
        self.connect_seconds = opened_ns.saturating_sub(self.started_ns) as f64 / 1e9;
        sampler.connected(crew, now_ns());
        self.history.connected = self.snapshot();
        self.kernel_connected = KernelMemory::now();
    }

    fn has_all_roles(&self, crew: &dyn Crew) -> bool {
        let Tally { subscriptions, publishing, .. } = crew.tally();
        subscriptions > 0 && publishing > 0
    }

    /// Until the connections have been idle for long enough.
    fn hold(&mut self, crew: &dyn Crew, sampler: &mut Sampler) {
        let (began_ns, total) = (now_ns(), self.scenario.hold);
        loop {
            let elapsed = Duration::from_nanos(now_ns() - began_ns);
            if elapsed >= total || self.is_interrupted || crew.has_ended_early() {
                break;
            }
            self.tell(Progress::Holding { elapsed, total });
            sampler.holding(crew, now_ns(), total);
            thread::sleep(LOOK.min(total - elapsed));
        }
        if !total.is_zero() {
            sampler.held(crew, now_ns());
        }
    }

    /// Until every subscriber has answered its ping, or it is plain that some do not.
    fn ping(&mut self, crew: &mut dyn Crew, sampler: &mut Sampler) {
        if !self.scenario.ping || self.is_interrupted {
            return;
        }
        let began_ns = now_ns();
        crew.ping();
        let wanted = self.scenario.subscribers.into();
        loop {
            let tally = crew.tally();
            if tally.is_pinged() {
                break;
            }
            self.tell(Progress::Pinging { answered: tally.pongs, wanted });
            if self.is_interrupted || crew.has_ended_early() {
                break;
            }
            sampler.holding(crew, now_ns(), Duration::ZERO);
            thread::sleep(LOOK);
        }
        sampler.held(crew, now_ns());
        self.ping_seconds = (now_ns() - began_ns) as f64 / 1e9;
    }

    /// Warm-up and measured window.
    fn publish(&mut self, crew: &mut dyn Crew, sampler: &mut Sampler) {
        let start_ns = now_ns() + crew.start_delay_ns();
        let measure_ns = start_ns + self.scenario.warmup.as_nanos() as u64;
        let until_ns = measure_ns + self.scenario.duration.as_nanos() as u64;
        self.timing = Timing { start_ns, measure_ns, until_ns };
        crew.start(self.timing);
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
            sampler.publishing(crew, now, &self.timing);
            if now >= until_ns || crew.has_ended_early() {
                break;
            }
            self.tell(Progress::Publishing {
                elapsed: Duration::from_nanos(now.saturating_sub(start_ns)),
                total: Duration::from_nanos(until_ns - start_ns),
                received: crew.tally().received,
            });
            if self.is_interrupted {
                self.timing.until_ns = until_ns.min(now_ns());
                crew.stop_publishing(self.timing.until_ns);
                sampler.publishing(crew, now_ns(), &self.timing);
                break;
            }
            let mark_ns = if is_measuring { until_ns } else { measure_ns };
            let next_ns = mark_ns.min(sampler.next_ns(&self.timing));
            thread::sleep(LOOK.min(Duration::from_nanos(next_ns.saturating_sub(now_ns()))));
        }
        self.history.measure_end = self.snapshot();
        if let Some(before) = shards_before {
            self.shards = self.shards_since(&before, crew);
        }
        if !is_measuring {
            self.history.measure_begin = self.history.measure_end.clone();
        }
    }

    /// Until everything has arrived, at most the grace time.
    fn wait_for_the_last(&mut self, crew: &dyn Crew) {
        let deadline_ns = self.timing.until_ns + self.scenario.grace.as_nanos() as u64;
        loop {
            // In this order: what is received later is not missed.
            let (awaited, tally) = (crew.awaited(), crew.tally());
            // A subscriber that is gone may have received more than counts here: wait for the others in any case.
            let is_there = match self.scenario.has_returning() {
                // What they are to get depends on when they were there.
                true => tally.has_all == tally.workers,
                false => tally.lost == 0 && tally.received >= awaited.deliveries,
            };
            let has_all = awaited.all_published && is_there;
            if has_all || now_ns() >= deadline_ns || crew.has_ended_early() {
                break;
            }
            self.tell(Progress::Waiting { received: tally.received, expected: awaited.deliveries });
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
    fn shards_since(&self, before: &ShardSnapshot, crew: &dyn Crew) -> Vec<Shard> {
        let Some(page) = &self.scenario.metrics else { return Vec::new() };
        let Ok(snapshot) = ShardSnapshot::take(page) else { return Vec::new() };
        let Tally { open, lost, .. } = crew.tally();
        let is_ours = page.is_given() || snapshot.connections() >= u64::from(open.saturating_sub(lost));
        if is_ours { snapshot.since(before) } else { Vec::new() }
    }
}

/// The time of day. A clock before 1970 is taken for 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn nothing_connected(tally: Tally, outcomes: Vec<Outcome>) -> RunError {
    let mut failures = Reasons::default();
    for outcome in outcomes {
        failures.merge(outcome.failures);
        failures.merge(outcome.disconnections);
    }
    RunError::NothingConnected {
        who: if tally.subscriptions > 0 { "publisher" } else { "subscriber" },
        failures,
    }
}

fn reasons(failures: &Reasons) -> String {
    failures.sorted().iter().map(|(reason, count)| format!("\n  {count} x {reason}")).collect()
}
