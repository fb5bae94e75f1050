//! A worker's part of one run: does what the coordinator orders, and tells how far it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::client::Role;
use crate::clock::now_ns;
use crate::control::{Control, Timing};
use crate::distributed::LONGEST_SILENCE;
use crate::distributed::facts::Teller;
use crate::distributed::hosts::boot_id;
use crate::distributed::line::{Reader, Writer};
use crate::distributed::protocol::{Answer, Order};
use crate::flight::Flight;
use crate::host::Host;
use crate::preflight::shortages_of;
use crate::run::crew::{Crew, Threads};
use crate::worker::Shared;

const PROGRESS_INTERVAL_NS: u64 = 50_000_000;
/// The end of a phase is looked for this often, and told at once.
const LOOK: Duration = Duration::from_millis(5);
/// Refusals are looked for this often while messages are published.
const FACTS_INTERVAL_NS: u64 = 250_000_000;

/// Why a session ended without a result, in words for the coordinator.
pub(super) type Cause = String;

/// The connection, read by a thread of its own.
pub(super) struct Session<'a> {
    pub(super) writer: &'a Writer,
    pub(super) orders: &'a Receiver<Order>,
    /// When the coordinator was last heard of.
    pub(super) heard_ns: &'a AtomicU64,
    /// The worker is to end.
    pub(super) stop: &'a AtomicBool,
}

/// Reads until the coordinator is gone. It is told the time at once; the other orders are passed on.
pub(super) fn read_orders(mut reader: Reader, writer: &Writer, orders: Sender<Order>, heard_ns: &AtomicU64) {
    while let Ok(order) = reader.next() {
        let now = now_ns();
        heard_ns.store(now, Ordering::Relaxed);
        let is_taken = match order {
            Order::Probe { number } => writer.send(&Answer::Clock { number, now_ns: now }).is_ok(),
            order => orders.send(order).is_ok(),
        };
        if !is_taken {
            break;
        }
    }
}

impl Session<'_> {
    /// From the order to prepare to the outcomes. What a worker did is told, whatever became of the others.
    pub(super) fn run(&self) -> Result<(), Cause> {
        let Order::Prepare { mut scenario, run, hosts } = self.next()? else { return Err(misplaced()) };
        scenario.settle_here(hosts).map_err(|mistakes| mistakes.to_string())?;
        let workers = scenario.workers.clone();
        self.tell(&Answer::Offer { workers, host: Host::here(), boot_id: boot_id() })?;
        let Order::Take { part, workers } = self.next()? else { return Err(misplaced()) };
        scenario.connect_concurrency = scenario.local.concurrency(workers.len());
        scenario.workers = workers;
        let shortages = shortages_of(&scenario, &part);
        if !shortages.is_empty() {
            return Err(shortages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
        let role =
            |role: Result<Role, _>| role.map_err(|error| format!("the handshake cannot be sent: {error}"));
        let shared = Shared {
            scenario: &scenario,
            control: &Control::new(scenario.workers.len(), scenario.publishers, scenario.topics),
            flight: &Flight::new(scenario.publishers as usize, 1),
            part: &part,
            run,
            subscriber: &role(Role::subscriber(&scenario))?,
            publisher: &role(Role::publisher(&scenario))?,
        };
        part.leave_others_out(&scenario, shared.control);
        self.tell(&Answer::Taken)?;
        let outcomes = thread::scope(|scope| {
            let mut work = Work {
                session: self,
                shared,
                crew: Threads::new(scope, shared),
                teller: Teller::new(&scenario, &part),
                timing: None,
                is_measuring: false,
                milestone: Milestone::default(),
                told_ns: 0,
                facts_told_ns: 0,
            };
            let ending = work.follow();
            let outcomes = work.crew.finish().map_err(|error| error.to_string());
            ending.and(outcomes)
        })?;
        for (worker, outcome) in part.workers().zip(outcomes) {
            self.tell(&Answer::Outcome { worker, outcome: Box::new(outcome) })?;
        }
        Ok(())
    }

    /// The next order, however long it takes.
    fn next(&self) -> Result<Order, Cause> {
        loop {
            match self.orders.recv_timeout(Duration::from_millis(50)) {
                Ok(order) => return Ok(order),
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
    }

    /// Whether to go on.
    fn check(&self) -> Result<(), Cause> {
        if self.stop.load(Ordering::Relaxed) {
            return Err("it was stopped".to_owned());
        }
        let silent_ns = now_ns().saturating_sub(self.heard_ns.load(Ordering::Relaxed));
        if silent_ns > LONGEST_SILENCE.as_nanos() as u64 { Err(gone()) } else { Ok(()) }
    }

    fn tell(&self, answer: &Answer) -> Result<(), Cause> {
        self.writer.send(answer).map_err(|_| gone())
    }
}

/// What the coordinator waits for, phase by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Milestone {
    is_settled: bool,
    is_pinged: bool,
    all_published: bool,
    has_all: bool,
}

/// While connections are open.
struct Work<'a, 'scope, 'env> {
    session: &'a Session<'a>,
    shared: Shared<'env>,
    crew: Threads<'scope, 'env>,
    teller: Teller,
    timing: Option<Timing>,
    is_measuring: bool,
    milestone: Milestone,
    told_ns: u64,
    facts_told_ns: u64,
}

impl Work<'_, '_, '_> {
    /// Follows orders until it is to finish.
    fn follow(&mut self) -> Result<(), Cause> {
        loop {
            match self.session.orders.recv_timeout(self.wait()) {
                Ok(Order::Finish) => return Ok(()),
                Ok(order) => self.obey(order)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
            self.session.check()?;
            let now = now_ns();
            if self.timing.is_some_and(|timing| now >= timing.measure_ns) && !self.is_measuring {
                self.is_measuring = true;
                self.shared.part.measuring(self.shared.scenario, self.shared.control);
            }
            if self.timing.is_some() && now - self.facts_told_ns >= FACTS_INTERVAL_NS {
                self.tell_facts(now)?;
            }
            let milestone = self.milestone(now);
            if now - self.told_ns >= PROGRESS_INTERVAL_NS || milestone != self.milestone {
                self.milestone = milestone;
                self.tell_progress(now)?;
            }
            if self.crew.has_ended_early() {
                // Why is known when it is joined.
                return Ok(());
            }
        }
    }

    fn wait(&self) -> Duration {
        match self.timing {
            Some(timing) if !self.is_measuring => {
                LOOK.min(Duration::from_nanos(timing.measure_ns.saturating_sub(now_ns())))
            }
            _ => LOOK,
        }
    }

    /// Changes when the coordinator waits for something no longer.
    fn milestone(&self, now: u64) -> Milestone {
        let control = self.shared.control;
        let is_over = self.timing.is_some() && now >= control.timing().until_ns;
        let tally = self.crew.tally();
        Milestone {
            is_settled: tally.is_settled(),
            is_pinged: tally.is_pinged(),
            all_published: is_over && control.all_published(),
            has_all: tally.has_all == tally.workers,
        }
    }

    fn obey(&mut self, order: Order) -> Result<(), Cause> {
        let Shared { control, .. } = self.shared;
        match order {
            Order::Connect => self.crew.begin(),
            Order::Count => {
                self.crew.connected();
                let subscribers = control.subscribers.iter().map(|count| count.load(Ordering::Relaxed));
                self.session.tell(&Answer::Counted { subscribers: subscribers.collect() })?;
            }
            Order::Ping => self.crew.ping(),
            Order::Start { timing, others } => {
                for (count, others) in control.subscribers.iter().zip(others) {
                    count.fetch_add(others, Ordering::Relaxed);
                }
                self.crew.start(timing);
                self.timing = Some(timing);
            }
            Order::Stop { until_ns } => self.crew.stop_publishing(until_ns),
            Order::Facts(facts) => facts.note(control),
            Order::EndWaiting => {
                self.tell_facts(now_ns())?;
                self.session.tell(&Answer::Told)?;
            }
            Order::Prepare { .. } | Order::Take { .. } | Order::Probe { .. } | Order::Finish => {
                return Err(misplaced());
            }
        }
        Ok(())
    }

    fn tell_facts(&mut self, now: u64) -> Result<(), Cause> {
        self.facts_told_ns = now;
        self.teller
            .news(self.shared.control)
            .into_iter()
            .try_for_each(|facts| self.session.tell(&Answer::Facts(facts)))
    }

    fn tell_progress(&mut self, now: u64) -> Result<(), Cause> {
        self.told_ns = now;
        let is_over = self.timing.is_some() && now >= self.shared.control.timing().until_ns;
        // In this order: what is received later is not missed.
        let awaited = is_over.then(|| self.crew.awaited());
        let tally = self.crew.tally();
        let (published, resources) = (self.crew.published(), self.crew.resources());
        self.session.tell(&Answer::Progress { tally, published, awaited, resources })
    }
}

fn gone() -> Cause {
    "the coordinator is gone".to_owned()
}

fn misplaced() -> Cause {
    "the coordinator's orders came out of order".to_owned()
}
