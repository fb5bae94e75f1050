//! All workers of a run, as the coordinator sees them: a crew like threads of its own.

use std::fs;

use crate::control::Timing;
use crate::distributed::clocks::{Estimate, uncertainty_between};
use crate::distributed::host::{Link, Peers};
use crate::distributed::protocol::{Answer, Order};
use crate::host::Host;
use crate::part::{Part, deal};
use crate::report::LoadHost;
use crate::run::RunError;
use crate::run::crew::{Awaited, Crew, HostFacts, Resources, Tally};
use crate::scenario::Scenario;
use crate::worker::Outcome;

/// From the decision to start until publishing starts: for the order to get there, and for an idle worker to see it.
const START_DELAY_NS: u64 = 150_000_000;

/// What became of one worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {address}: {cause}")]
pub struct HostError {
    pub address: String,
    pub cause: String,
}

/// In the order of the command line.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<Member>,
    /// Of each worker.
    host_of: Vec<usize>,
    is_cross_timed: bool,
    errors: Vec<HostError>,
}

#[derive(Debug)]
struct Member {
    link: Link,
    workers: Vec<Option<usize>>,
    host: Host,
    boot_id: String,
    clock: Estimate,
    /// At the end of the run.
    clock_later: Option<Estimate>,
    /// Subscribers that listen to each topic elsewhere.
    others: Vec<u32>,
}

impl Hosts {
    /// Asks all hosts of a scenario what they would do it with, and gives each its part. Also the scenario with all workers.
    pub(crate) fn gather(scenario: &Scenario, run: u32) -> Result<(Self, Scenario), RunError> {
        let peers = Peers::default();
        let links = each(&scenario.hosts, |address| {
            let link = Link::connect(address, &peers).map_err(|cause| error(address, cause))?;
            let server = scenario.subscribe.address;
            if server.ip().is_loopback() && !link.peer.ip().is_loopback() {
                let cause = format!(
                    "the server's address {server} means that host itself: give one that it can reach"
                );
                return Err(error(address, cause));
            }
            Ok(link)
        })?;
        let prepare = Order::Prepare { scenario: Box::new(scenario.clone()), run, hosts: links.len() };
        links.iter().for_each(|link| link.send(&prepare));
        let _ = peers.set(links.iter().map(|link| link.writer.clone()).collect());
        let hosts = each(links, Member::new)?;
        let threads: Vec<usize> = hosts.iter().map(|host| host.workers.len()).collect();
        let mut crew = Self {
            hosts,
            host_of: deal(&threads),
            is_cross_timed: scenario.cross_host_latency,
            errors: Vec::new(),
        };
        let scenario = Scenario { workers: crew.all_workers(), ..scenario.clone() };
        crew.deal_parts(&scenario)?;
        Ok((crew, scenario))
    }

    /// Each with its core.
    fn all_workers(&self) -> Vec<Option<usize>> {
        let mut own: Vec<_> = self.hosts.iter().map(|host| host.workers.iter().copied()).collect();
        let next = |host: &usize| own[*host].next().expect("every worker of a host is dealt once");
        self.host_of.iter().map(next).collect()
    }

    fn deal_parts(&mut self, scenario: &Scenario) -> Result<(), RunError> {
        let clocks_ns: Vec<i64> = self.hosts.iter().map(|host| host.clock.ahead_ns).collect();
        let bounds: Vec<u64> = self.hosts.iter().map(|host| host.clock.uncertainty_ns).collect();
        for (number, host) in self.hosts.iter().enumerate() {
            let clocks_ns = self.is_cross_timed.then(|| clocks_ns.clone());
            let part = Part::of(number, self.host_of.clone(), clocks_ns, uncertainty_between(&bounds));
            host.link.send(&Order::Take { part, workers: scenario.workers.clone() });
        }
        each(&self.hosts, |host| {
            let taken = host.link.expect(|answer| matches!(answer, Answer::Taken).then_some(()));
            host.link.set_workers(host.workers.len());
            taken.map_err(|cause| error(&host.link.address, cause))
        })?;
        Ok(())
    }

    fn tell_all(&self, order: &Order) {
        self.hosts.iter().for_each(|host| host.link.send(order));
    }

    /// Notes what ends the run.
    fn note<T>(&mut self, host: usize, result: Result<T, String>) -> Option<T> {
        let address = &self.hosts[host].link.address;
        result.map_err(|cause| self.errors.push(error(address, cause))).ok()
    }

    fn sum<T: std::iter::Sum>(&self, of: impl Fn(&Member) -> T) -> T {
        self.hosts.iter().map(of).sum()
    }
}

impl Member {
    fn new(link: Link) -> Result<Self, HostError> {
        let offer = link.expect(|answer| match answer {
            Answer::Offer { workers, host, boot_id } => Some((workers, host, boot_id)),
            _ => None,
        });
        let (workers, host, boot_id) = offer.map_err(|cause| error(&link.address, cause))?;
        let clock = link.estimate_clock().map_err(|cause| error(&link.address, cause))?;
        Ok(Self { link, workers, host, boot_id, clock, clock_later: None, others: Vec::new() })
    }

    fn clock_drift_ns(&self) -> i64 {
        self.clock_later.map_or(0, |later| later.ahead_ns - self.clock.ahead_ns)
    }

    /// By how much what is taken for its clock may have been wrong at any time of the run.
    fn clock_bound_ns(&self) -> u64 {
        let later = self.clock_later.unwrap_or(self.clock);
        self.clock.uncertainty_ns.max(later.uncertainty_ns) + self.clock_drift_ns().unsigned_abs()
    }
}

impl Crew for Hosts {
    fn begin(&mut self) {
        self.tell_all(&Order::Connect);
    }

    fn connected(&mut self) {
        self.tell_all(&Order::Count);
        let mut counts: Vec<Vec<u32>> = Vec::new();
        for host in 0..self.hosts.len() {
            let counted = self.hosts[host].link.expect(|answer| match answer {
                Answer::Counted { subscribers } => Some(subscribers),
                _ => None,
            });
            counts.push(self.note(host, counted).unwrap_or_default());
        }
        let topics = counts.iter().map(Vec::len).max().unwrap_or_default();
        let at = |count: &[u32], topic: usize| count.get(topic).copied().unwrap_or_default();
        let all: Vec<u32> =
            (0..topics).map(|topic| counts.iter().map(|count| at(count, topic)).sum()).collect();
        for (host, count) in self.hosts.iter_mut().zip(&counts) {
            host.others = (0..topics).map(|topic| all[topic] - at(count, topic)).collect();
        }
    }

    fn ping(&mut self) {
        self.tell_all(&Order::Ping);
    }

    fn start(&mut self, timing: Timing) {
        for host in &mut self.hosts {
            let Timing { start_ns, measure_ns, until_ns } = timing;
            let [start_ns, measure_ns, until_ns] =
                [start_ns, measure_ns, until_ns].map(|ns| host.clock.there(ns));
            let others = std::mem::take(&mut host.others);
            host.link.send(&Order::Start { timing: Timing { start_ns, measure_ns, until_ns }, others });
        }
    }

    fn stop_publishing(&mut self, at_ns: u64) {
        for host in &self.hosts {
            host.link.send(&Order::Stop { until_ns: host.clock.there(at_ns) });
        }
    }

    fn end_waiting(&mut self) {
        self.tell_all(&Order::EndWaiting);
        for host in 0..self.hosts.len() {
            let link = &self.hosts[host].link;
            let told = link.expect(|answer| matches!(answer, Answer::Told).then_some(()));
            let clock = told.and_then(|()| link.estimate_clock());
            self.hosts[host].clock_later = self.note(host, clock);
        }
    }

    fn finish(mut self) -> Result<Vec<Outcome>, RunError> {
        // Those that are there close their connections in order, whatever became of the others.
        self.tell_all(&Order::Finish);
        let mut outcomes: Vec<Option<Outcome>> = self.host_of.iter().map(|_| None).collect();
        for host in 0..self.hosts.len() {
            let is_known = self.errors.iter().any(|error| error.address == self.hosts[host].link.address);
            // What was asked of it before, it does not answer any more.
            if is_known {
                continue;
            }
            loop {
                let next = self.hosts[host].link.expect(|answer| match answer {
                    Answer::Outcome { worker, outcome } => Some(Some((worker, outcome))),
                    Answer::Done => Some(None),
                    _ => None,
                });
                let Some(Some((worker, mut outcome))) = self.note(host, next) else { break };
                if self.host_of.get(worker) == Some(&host) {
                    outcome.set_times(|ns| self.hosts[host].clock.here(ns));
                    outcomes[worker] = Some(*outcome);
                }
            }
        }
        if !self.errors.is_empty() {
            return Err(RunError::Hosts(self.errors));
        }
        let missing = outcomes.iter().position(Option::is_none).map(|worker| self.host_of[worker]);
        if let Some(host) = missing {
            let cause = "it did not tell what all of its threads found".to_owned();
            return Err(RunError::Hosts(vec![error(&self.hosts[host].link.address, cause)]));
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn tally(&self) -> Tally {
        let mut all = Tally::default();
        for host in &self.hosts {
            let tally = host.link.progress().tally;
            all += Tally { opened_ns: host.clock.here(tally.opened_ns), ..tally };
        }
        all
    }

    fn published(&self) -> u64 {
        self.sum(|host| host.link.progress().published)
    }

    fn awaited(&self) -> Awaited {
        let mut all = Awaited { deliveries: 0, all_published: true };
        for host in &self.hosts {
            let known = host.link.progress().awaited;
            all.deliveries += known.map_or(0, |awaited| awaited.deliveries);
            all.all_published &= known.is_some_and(|awaited| awaited.all_published);
        }
        all
    }

    fn resources(&self) -> Resources {
        Resources {
            cpu_ns: self.hosts.iter().map(|host| host.link.progress().resources.cpu_ns).sum(),
            resident_bytes: self.sum(|host| host.link.progress().resources.resident_bytes),
        }
    }

    fn has_ended_early(&self) -> bool {
        !self.errors.is_empty() || self.hosts.iter().any(|host| host.link.end().is_some())
    }

    fn start_delay_ns(&self) -> u64 {
        let longest_ns = self.hosts.iter().map(|host| 2 * host.clock.uncertainty_ns).max();
        START_DELAY_NS + longest_ns.unwrap_or_default()
    }

    fn facts(&self) -> HostFacts {
        let own = boot_id();
        let host = |host: &Member| LoadHost {
            address: host.link.address.clone(),
            host: host.host.clone(),
            threads: host.workers.len(),
            cores: host.workers.iter().copied().flatten().collect(),
            is_coordinators: host.boot_id == own,
            clock_ahead_ns: host.clock.ahead_ns,
            clock_uncertainty_ns: host.clock.uncertainty_ns,
            clock_drift_ns: host.clock_drift_ns(),
        };
        let bounds: Vec<u64> = self.hosts.iter().map(Member::clock_bound_ns).collect();
        HostFacts {
            hosts: self.hosts.iter().map(host).collect(),
            host_of: self.host_of.clone(),
            clock_bound_ns: self.is_cross_timed.then(|| uncertainty_between(&bounds)),
        }
    }
}

/// What tells one start of one kernel from all others.
pub(super) fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

fn error(address: &str, cause: String) -> HostError {
    HostError { address: address.to_owned(), cause }
}

/// All of them, or all that went wrong.
fn each<I: IntoIterator, T>(
    items: I,
    act: impl FnMut(I::Item) -> Result<T, HostError>,
) -> Result<Vec<T>, RunError> {
    let (good, bad): (Vec<_>, Vec<_>) = items.into_iter().map(act).partition(Result::is_ok);
    let errors: Vec<HostError> = bad.into_iter().filter_map(Result::err).collect();
    if errors.is_empty() { Ok(good.into_iter().flatten().collect()) } else { Err(RunError::Hosts(errors)) }
}
