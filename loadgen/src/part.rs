//! Which part of a run this process has, when several share it.
//!
//! Workers are numbered over all processes, so that everything that is dealt out to workers (subscribers, publishers,
//! connections) has its place without a word between them, and every subscriber checks every publisher, wherever that is.
//! What is not known of the others' publishers follows from the schedule, or is told by the coordinator.

use serde::{Deserialize, Serialize};

use crate::control::{Control, Timing};
use crate::scenario::{Load, Scenario};
use crate::schedule::Schedule;

/// The processes are called hosts here, as a worker is a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    host: usize,
    /// Of each worker.
    host_of: Vec<usize>,
    /// How far each host's clock is ahead of the coordinator's, where deliveries between hosts are timed.
    clocks_ns: Option<Vec<i64>>,
    /// By how much two hosts' clocks may differ when all that is known of them is taken into account.
    uncertainty_ns: u64,
}

/// Deals the workers' numbers out to hosts in turn: so each has publishers when there are as many of them as hosts.
pub(crate) fn deal(threads: &[usize]) -> Vec<usize> {
    let mut left = threads.to_vec();
    let mut host_of = Vec::with_capacity(threads.iter().sum());
    while left.iter().any(|left| *left > 0) {
        for (host, left) in left.iter_mut().enumerate().filter(|(_, left)| **left > 0) {
            host_of.push(host);
            *left -= 1;
        }
    }
    host_of
}

impl Part {
    /// All of a run with so many workers.
    pub(crate) fn whole(workers: usize) -> Self {
        Self { host: 0, host_of: vec![0; workers], clocks_ns: None, uncertainty_ns: 0 }
    }

    pub(crate) fn of(
        host: usize,
        host_of: Vec<usize>,
        clocks_ns: Option<Vec<i64>>,
        uncertainty_ns: u64,
    ) -> Self {
        Self { host, host_of, clocks_ns, uncertainty_ns }
    }

    /// The workers here, by their numbers.
    pub(crate) fn workers(&self) -> impl Iterator<Item = usize> + Clone {
        self.host_of.iter().enumerate().filter(|(_, host)| **host == self.host).map(|(worker, _)| worker)
    }

    fn host_of_publisher(&self, scenario: &Scenario, publisher: u32) -> usize {
        let connection = publisher % scenario.publisher_connections;
        self.host_of[connection as usize % self.host_of.len()]
    }

    pub(crate) fn has(&self, scenario: &Scenario, publisher: u32) -> bool {
        self.host_of_publisher(scenario, publisher) == self.host
    }

    /// What is to be added to the times in each publisher's stamps, so that they are by the clock here; `None` for those that
    /// say nothing here. Empty when all are by this clock.
    pub(crate) fn clocks(&self, scenario: &Scenario) -> Box<[Option<i64>]> {
        if self.host_of.iter().all(|host| *host == self.host) {
            return Box::default();
        }
        let clock = |publisher| match self.host_of_publisher(scenario, publisher) {
            host if host == self.host => Some(0),
            host => self.clocks_ns.as_ref().map(|clocks_ns| clocks_ns[self.host] - clocks_ns[host]),
        };
        (0..scenario.publishers).map(clock).collect()
    }

    /// Messages that another host's publisher may have sent by now: all that is due, if it is late.
    pub(crate) fn most_sent(scenario: &Scenario, publisher: u32, timing: &Timing, now_ns: u64) -> u32 {
        schedule(scenario, publisher, timing)
            .map_or(0, |schedule| schedule.due_before(now_ns.min(timing.until_ns)))
            .min(u32::MAX.into()) as u32
    }

    pub(crate) fn uncertainty_ns(&self) -> u64 {
        self.uncertainty_ns
    }

    /// Nobody here is to wait for the others' publishers.
    pub(crate) fn leave_others_out(&self, scenario: &Scenario, control: &Control) {
        for publisher in (0..scenario.publishers).filter(|publisher| !self.has(scenario, *publisher)) {
            control.publishers[publisher as usize].finish();
        }
    }

    /// The measured window has begun: says with which message it did for the others' publishers.
    pub(crate) fn measuring(&self, scenario: &Scenario, control: &Control) {
        let timing = control.timing();
        for publisher in (0..scenario.publishers).filter(|publisher| !self.has(scenario, *publisher)) {
            if let Some(schedule) = schedule(scenario, publisher, &timing) {
                let first = schedule.due_before(timing.measure_ns).min(u64::from(u32::MAX)) as u32;
                control.publishers[publisher as usize].measure_from(first);
            }
        }
    }
}

fn schedule(scenario: &Scenario, publisher: u32, timing: &Timing) -> Option<Schedule> {
    let Load::Open { rate } = scenario.load else { return None };
    Some(Schedule::new(timing.start_ns, rate, publisher as usize, scenario.publishers as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn workers_are_dealt_out_to_hosts_in_turn() {
        assert_eq!(deal(&[2, 2]), [0, 1, 0, 1]);
        assert_eq!(deal(&[1, 3, 2]), [0, 1, 2, 1, 2, 1]);
        let part = Part::of(1, deal(&[1, 3, 2]), None, 0);
        assert_eq!(part.workers().collect::<Vec<_>>(), [1, 3, 5]);
    }

    #[test]
    fn times_of_other_clocks_say_nothing_unless_the_difference_is_known() {
        let scenario = Scenario::of(&["--publishers", "5"]);
        assert_eq!(Part::whole(3).clocks(&scenario), Box::default());
        let apart = Part::of(0, deal(&[1, 1]), None, 0);
        assert_eq!(*apart.clocks(&scenario), [Some(0), None, Some(0), None, Some(0)]);
        // Host 1 is ahead by 500: what it stamps as 1,500 is 1,100 here.
        let known = Part::of(0, deal(&[1, 1]), Some(vec![100, 500]), 0);
        assert_eq!(*known.clocks(&scenario), [Some(0), Some(-400), Some(0), Some(-400), Some(0)]);
    }

    #[test]
    fn the_schedule_tells_of_other_hosts_publishers() {
        let scenario = Scenario::of(&["--publishers", "2", "--rate", "1000"]);
        let control = Control::new(2, 2, 1);
        let part = Part::of(0, deal(&[1, 1]), None, 0);
        part.leave_others_out(&scenario, &control);
        assert!(!control.all_published(), "publisher 0 is here");
        control.publishers[0].finish();
        assert!(control.all_published());
        let timing = Timing { start_ns: 0, measure_ns: 10_000_000, until_ns: 20_000_000 };
        control.run(timing);
        part.measuring(&scenario, &control);
        let measured_from = |at: usize| control.publishers[at].measured_from.load(Ordering::Relaxed);
        // Publisher 1 is half a period later: its tenth message is due at 9.5 ms.
        assert_eq!((measured_from(0), measured_from(1)), (u32::MAX, 10));
        let most_sent = |now_ns| Part::most_sent(&scenario, 1, &timing, now_ns);
        assert_eq!((most_sent(0), most_sent(600_000), most_sent(90_000_000)), (0, 1, 20));
    }
}
