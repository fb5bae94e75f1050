//! Where a plan goes beyond what was measured.

use std::fmt;

use serde::Serialize;

use super::observation::Observation;
use super::sizing::Share;
use super::target::Target;
use crate::text::thousands;

/// Up to so many times what was measured a model is believed.
const MOST_TIMES: f64 = 4.0;

/// A quantity that is planned further out than it was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Extrapolation {
    pub what: &'static str,
    pub planned: f64,
    pub measured: f64,
    /// The run that went furthest.
    pub run: String,
}

impl fmt::Display for Extrapolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: f64| thousands(number.round() as u64);
        write!(
            f,
            "{}: {} planned, {:.1} times the {} of {}; beyond {MOST_TIMES} times what was measured the model is a guess",
            self.what,
            number(self.planned),
            self.times(),
            number(self.measured),
            self.run
        )
    }
}

impl Extrapolation {
    pub fn times(&self) -> f64 {
        self.planned / self.measured
    }
}

/// Everything that one of `hosts` hosts would do more than four times of what any run did.
pub(super) fn extrapolations(
    runs: &[Observation],
    target: &Target,
    share: &Share,
    hosts: f64,
) -> Vec<Extrapolation> {
    type Measured = fn(&Observation) -> f64;
    let bytes_of_a_send = target.messages_per_send() * target.frame();
    let planned: [(&'static str, f64, Measured); 8] = [
        ("connections of a host", target.connections / hosts, |run| run.connections),
        ("connections of a core", share.second.connections_per_core, |run| run.connections / run.cores),
        ("messages/s", target.rate, |run| run.messages / run.window_seconds),
        ("message size in bytes", target.message_bytes, |run| run.message_bytes),
        ("bytes of a send", bytes_of_a_send, |run| run.bytes / run.sends.max(1.0)),
        ("subscribers of a message on a host", target.fan_out / hosts, |run| run.fan_out),
        ("topics", target.topics, |run| run.topics),
        ("shards of a host", share.cores as f64, |run| run.shards),
    ];
    let furthest = |measured: Measured| {
        runs.iter()
            .max_by(|a, b| measured(a).total_cmp(&measured(b)))
            .map(|run| (measured(run), run.run.clone()))
    };
    planned
        .into_iter()
        .filter_map(|(what, planned, measured)| {
            let (measured, run) = furthest(measured)?;
            let is_beyond = planned > measured * MOST_TIMES;
            is_beyond.then_some(Extrapolation { what, planned, measured, run })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::cost::CostModel;
    use super::super::synthetic::{Costs, Work, run};
    use super::super::target::tests::target;
    use super::*;

    const COSTS: Costs = Costs {
        send: 3e-6,
        far: 0.0,
        near: 1e9,
        byte: 0.0,
        pass: 0.0,
        message: 0.0,
        relay: 0.0,
        compression: 0.0,
        rest: 0.0,
    };

    fn beyond(target: &Target, cores: u64, hosts: f64) -> Vec<(&'static str, f64, String)> {
        let runs = [
            run("small.json", &Work { subscribers: 100.0, rate: 1_000.0, ..Work::default() }, &COSTS),
            run(
                "large.json",
                &Work { subscribers: 1_000.0, rate: 50.0, size: 256.0, topics: 2.0, ..Work::default() },
                &COSTS,
            ),
        ];
        let share = Share::of(&CostModel::fit(&runs), target, hosts as u64, cores);
        let found = extrapolations(&runs, target, &share, hosts);
        found.into_iter().map(|one| (one.what, one.times(), one.run)).collect()
    }

    /// Four times of everything that the runs did.
    fn at_the_bound() -> Target {
        Target {
            connections: 4_000.0,
            topics: 8.0,
            rate: 4_000.0,
            message_bytes: 1_024.0,
            fan_out: 2_000.0,
            ..target()
        }
    }

    #[test]
    fn four_times_is_within() {
        assert_eq!(beyond(&at_the_bound(), 4, 1.0), []);
    }

    #[test]
    fn each_quantity_beyond_is_named_with_the_run_that_went_furthest() {
        let more = Target {
            connections: 4_004.0,
            topics: 8.008,
            rate: 4_004.0,
            message_bytes: 1_025.024,
            fan_out: 2_002.0,
            ..target()
        };
        let large = "large.json".to_owned();
        let small = "small.json".to_owned();
        let times = 4.004;
        assert_eq!(
            beyond(&more, 1, 1.0),
            [
                ("connections of a host", times, large.clone()),
                ("connections of a core", times, large.clone()),
                ("messages/s", times, small),
                ("message size in bytes", times, large.clone()),
                ("subscribers of a message on a host", times, large.clone()),
                ("topics", times, large),
            ]
        );
        let shards: Vec<_> = beyond(&at_the_bound(), 5, 1.0).into_iter().map(|one| (one.0, one.1)).collect();
        assert_eq!(shards, [("shards of a host", 5.0)]);
    }

    #[test]
    fn several_hosts_each_do_less() {
        let double = Target { connections: 8_000.0, fan_out: 4_000.0, ..at_the_bound() };
        assert_eq!(beyond(&double, 4, 2.0), []);
    }
}
