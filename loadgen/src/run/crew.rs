//! Who does the work of a run: threads of this process, or processes on several hosts.

use std::fs;
use std::ops::AddAssign;
use std::sync::atomic::Ordering;
use std::thread::{Scope, ScopedJoinHandle};

use serde::{Deserialize, Serialize};

use crate::clock::process_cpu_ns;
use crate::control::Timing;
use crate::report::LoadHost;
use crate::run::RunError;
use crate::worker::{Outcome, Shared, Worker};

/// From the decision to start until publishing starts: longer than the longest turn of an idle worker.
const START_DELAY_NS: u64 = 50_000_000;

/// As the coordinator sees it. A crew that cannot go on says so by [`has_ended_early`](Self::has_ended_early), and why in the end.
pub(crate) trait Crew {
    /// Connections are opened.
    fn begin(&mut self);
    /// All are open, or have failed.
    fn connected(&mut self);
    fn ping(&mut self);
    fn start(&mut self, timing: Timing);
    /// Earlier than planned.
    fn stop_publishing(&mut self, at_ns: u64);
    /// Nothing more is waited for.
    fn end_waiting(&mut self) {}
    /// Closes all connections.
    fn finish(self) -> Result<Vec<Outcome>, RunError>
    where
        Self: Sized;

    fn tally(&self) -> Tally;
    /// Messages sent, warm-up included.
    fn published(&self) -> u64;
    fn awaited(&self) -> Awaited;
    fn resources(&self) -> Resources;
    fn has_ended_early(&self) -> bool;
    /// Of the processes that it consists of, when those are not this one.
    fn facts(&self) -> HostFacts {
        HostFacts::default()
    }
    /// From the decision to start until publishing can start everywhere.
    fn start_delay_ns(&self) -> u64 {
        START_DELAY_NS
    }
}

/// What a report tells of the hosts of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostFacts {
    pub(crate) hosts: Vec<LoadHost>,
    /// Of each worker.
    pub(crate) host_of: Vec<usize>,
    /// By how much a latency between hosts may be wrong, where those are measured.
    pub(crate) clock_bound_ns: Option<u64>,
}

/// How far all workers together are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) open: u32,
    /// Publishers' connections among those that were opened.
    pub(crate) publishing: u32,
    /// When the last one was opened.
    pub(crate) opened_ns: u64,
    pub(crate) failed: u32,
    pub(crate) lost: u32,
    /// Of slow subscribers.
    pub(crate) lost_slow: u32,
    /// Topics that steady subscribers listen to, each counted for itself.
    pub(crate) subscriptions: u32,
    /// Measured messages received for the first time.
    pub(crate) received: u64,
    pub(crate) pings: u64,
    pub(crate) pongs: u64,
    /// Workers that open no connection any more, that wait for no pong, whose subscribers have all that they will get, and all.
    pub(crate) settled: usize,
    pub(crate) pinged: usize,
    pub(crate) has_all: usize,
    pub(crate) workers: usize,
}

/// What is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaited {
    /// Measured deliveries, as far as is known.
    pub(crate) deliveries: u64,
    /// That is all that will be known.
    pub(crate) all_published: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resources {
    /// Processor time; `None` when workers use it up by looking for work.
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) resident_bytes: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        // Named one by one so that a new field cannot be forgotten.
        let Self {
            open,
            publishing,
            opened_ns,
            failed,
            lost,
            lost_slow,
            subscriptions,
            received,
            pings,
            pongs,
            settled,
            pinged,
            has_all,
            workers,
        } = other;
        self.open += open;
        self.publishing += publishing;
        self.opened_ns = self.opened_ns.max(opened_ns);
        self.failed += failed;
        self.lost += lost;
        self.lost_slow += lost_slow;
        self.subscriptions += subscriptions;
        self.received += received;
        self.pings += pings;
        self.pongs += pongs;
        self.settled += settled;
        self.pinged += pinged;
        self.has_all += has_all;
        self.workers += workers;
    }
}

impl Tally {
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled == self.workers
    }

    pub(crate) const fn is_pinged(&self) -> bool {
        self.pinged == self.workers
    }
}

/// Threads of this process: all workers of a run, or some of them.
pub(crate) struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: Shared<'env>,
    handles: Vec<ScopedJoinHandle<'scope, Result<Outcome, RunError>>>,
}

impl<'scope, 'env> Threads<'scope, 'env> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>, shared: Shared<'env>) -> Self {
        Self { scope, shared, handles: Vec::new() }
    }
}

impl Crew for Threads<'_, '_> {
    fn begin(&mut self) {
        let shared = self.shared;
        let spawn = |number| self.scope.spawn(move || work(shared, number));
        self.handles = shared.part.workers().map(spawn).collect();
    }

    fn connected(&mut self) {
        let Shared { scenario, control, flight, .. } = self.shared;
        for index in 0..scenario.publishers {
            let topic = scenario.topic_of(index) as usize;
            let receivers = control.subscribers[topic].load(Ordering::Relaxed);
            flight.set_receivers(index as usize, receivers);
        }
    }

    fn ping(&mut self) {
        self.shared.control.ping();
    }

    fn start(&mut self, timing: Timing) {
        self.shared.control.run(timing);
    }

    fn stop_publishing(&mut self, at_ns: u64) {
        self.shared.control.stop_publishing(at_ns);
    }

    fn finish(self) -> Result<Vec<Outcome>, RunError> {
        self.shared.control.close();
        let results = self.handles.into_iter().map(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect()
    }

    fn tally(&self) -> Tally {
        let control = self.shared.control;
        let subscriptions = control.subscribers.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let mut tally = Tally { subscriptions, ..Tally::default() };
        for board in self.shared.part.workers().map(|number| &control.workers[number]) {
            tally += Tally {
                open: board.open.load(Ordering::Relaxed),
                publishing: board.open_publishing.load(Ordering::Relaxed),
                opened_ns: board.opened_ns.load(Ordering::Relaxed),
                failed: board.failed.load(Ordering::Relaxed),
                lost: board.lost_connections.load(Ordering::Relaxed),
                lost_slow: board.lost_slow.load(Ordering::Relaxed),
                subscriptions: 0,
                received: board.received.load(Ordering::Relaxed),
                pings: board.pings.load(Ordering::Relaxed),
                pongs: board.pongs.load(Ordering::Relaxed),
                settled: board.settled.load(Ordering::Acquire).into(),
                pinged: board.pinged.load(Ordering::Acquire).into(),
                has_all: board.has_all.load(Ordering::Acquire).into(),
                workers: 1,
            };
        }
        tally
    }

    fn published(&self) -> u64 {
        let publishers = self.shared.control.publishers.iter();
        publishers.map(|publisher| u64::from(publisher.sent.load(Ordering::Relaxed))).sum()
    }

    fn awaited(&self) -> Awaited {
        // In this order: what is expected does not change once all is published.
        let all_published = self.shared.control.all_published();
        Awaited { deliveries: self.shared.control.expected_deliveries(), all_published }
    }

    fn resources(&self) -> Resources {
        Resources {
            cpu_ns: (!self.shared.scenario.busy_poll).then(process_cpu_ns),
            resident_bytes: own_resident_bytes(),
        }
    }

    /// A worker ends by itself only when it could not start (or panicked, which `finish` passes on).
    fn has_ended_early(&self) -> bool {
        self.handles.iter().any(ScopedJoinHandle::is_finished)
    }
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

fn own_resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
