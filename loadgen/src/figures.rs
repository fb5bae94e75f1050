//! The main figures of several runs side by side: their median, and how far apart they are.

use serde::{Deserialize, Serialize};

use crate::report::{Percentiles, Report, WorkerUsage, ratio};

/// One figure over several runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Where it stands in each run's report: `latency.from_intended.p99_ns`.
    pub name: String,
    pub unit: Unit,
    pub min: f64,
    /// The middle one; of an even number of runs the mean of the two in the middle.
    pub median: f64,
    pub max: f64,
    /// From the smallest to the largest, as a part of the median; zero when that is zero.
    pub relative_spread: f64,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Nanoseconds,
    PerSecond,
    /// A part of one, or of one core.
    Share,
    Bytes,
    Count,
}

/// A figure's place in the report, what it is called in text, its unit, and how to get it.
type Definition = (&'static str, &'static str, Unit, fn(&Report) -> Option<f64>);

const DEFINITIONS: [Definition; 15] = [
    ("latency.from_intended.p50_ns", "intended p50", Unit::Nanoseconds, |r| intended(r, |p| p.p50_ns)),
    ("latency.from_intended.p90_ns", "intended p90", Unit::Nanoseconds, |r| intended(r, |p| p.p90_ns)),
    ("latency.from_intended.p99_ns", "intended p99", Unit::Nanoseconds, |r| intended(r, |p| p.p99_ns)),
    ("latency.from_intended.p999_ns", "intended p99.9", Unit::Nanoseconds, |r| intended(r, |p| p.p999_ns)),
    ("latency.from_intended.max_ns", "intended max", Unit::Nanoseconds, |r| intended(r, |p| p.max_ns)),
    ("latency.from_sent.p50_ns", "sent p50", Unit::Nanoseconds, |r| of(&r.latency.from_sent, |p| p.p50_ns)),
    ("latency.from_sent.p99_ns", "sent p99", Unit::Nanoseconds, |r| of(&r.latency.from_sent, |p| p.p99_ns)),
    ("latency.spread.p99_ns", "spread p99", Unit::Nanoseconds, |r| of(&r.latency.spread, |p| p.p99_ns)),
    ("connect.handshake.p99_ns", "handshake p99", Unit::Nanoseconds, |r| {
        of(&r.connect.handshake, |p| p.p99_ns)
    }),
    ("connect.per_second", "connects", Unit::PerSecond, |r| Some(r.connect.per_second)),
    ("throughput.deliveries_per_second", "deliveries", Unit::PerSecond, |r| {
        Some(r.throughput.deliveries_per_second)
    }),
    ("delivery.lost", "lost", Unit::Count, |r| Some(r.delivery.lost as f64)),
    ("generator.workers.cpu_share", "busiest thread", Unit::Share, |r| {
        let share = |worker: &WorkerUsage| worker.cpu_share;
        r.generator.workers.iter().map(share).max_by(f64::total_cmp)
    }),
    ("server.cpu_share", "server CPU", Unit::Share, |r| Some(r.server.as_ref()?.cpu_share)),
    ("server.bytes_per_connection", "server memory", Unit::Bytes, |r| {
        Some(r.server.as_ref()?.bytes_per_connection)
    }),
];

fn intended(report: &Report, value: fn(&Percentiles) -> u64) -> Option<f64> {
    of(report.latency.from_intended.as_ref()?, value)
}

fn of(percentiles: &Percentiles, value: fn(&Percentiles) -> u64) -> Option<f64> {
    (percentiles.count > 0).then(|| value(percentiles) as f64)
}

/// All figures that every one of these runs has.
pub fn figures(runs: &[Report]) -> Vec<Figure> {
    let figure = |(name, _, unit, value): &Definition| {
        let values: Vec<f64> = runs.iter().map(value).collect::<Option<_>>()?;
        Figure::of(name, *unit, values)
    };
    DEFINITIONS.iter().filter_map(figure).collect()
}

impl Figure {
    /// `None` for no values.
    fn of(name: &str, unit: Unit, mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let median = median(&values)?;
        Some(Self {
            name: name.to_owned(),
            unit,
            min,
            median,
            max,
            relative_spread: ratio(max - min, median.abs()),
        })
    }

    /// What it is called in text.
    pub fn label(&self) -> &str {
        let known = DEFINITIONS.iter().find(|(name, ..)| *name == self.name);
        known.map_or(&self.name, |(_, label, ..)| label)
    }
}

/// Of ascending values.
pub(crate) fn median(ascending: &[f64]) -> Option<f64> {
    let middle = ascending.len() / 2;
    let upper = *ascending.get(middle)?;
    Some(if ascending.len() % 2 == 1 { upper } else { (ascending[middle - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn run(p99_ns: u64, deliveries_per_second: f64) -> Report {
        let mut report = sample::report();
        report.latency.from_intended.as_mut().expect("an open loop").p99_ns = p99_ns;
        report.throughput.deliveries_per_second = deliveries_per_second;
        report
    }

    fn figure(runs: &[Report], name: &str) -> Option<Figure> {
        figures(runs).into_iter().find(|figure| figure.name == name)
    }

    #[test]
    fn runs_are_told_by_median_and_spread() {
        let runs = [run(30_000, 100.0), run(10_000, 102.0), run(20_000, 98.0)];
        let p99 = figure(&runs, "latency.from_intended.p99_ns").expect("an open loop");
        assert_eq!((p99.min, p99.median, p99.max, p99.relative_spread), (10_000.0, 20_000.0, 30_000.0, 1.0));
        assert_eq!((p99.unit, p99.label()), (Unit::Nanoseconds, "intended p99"));
        let rate = figure(&runs, "throughput.deliveries_per_second").expect("always there");
        assert_eq!((rate.min, rate.median, rate.max, rate.relative_spread), (98.0, 100.0, 102.0, 0.04));
    }

    #[test]
    fn of_two_runs_the_median_is_the_mean() {
        let rate = figure(&[run(1, 100.0), run(1, 300.0)], "throughput.deliveries_per_second");
        assert_eq!(rate.expect("always there").median, 200.0);
    }

    #[test]
    fn figures_that_not_every_run_has_are_left_out() {
        let mut closed = run(1, 1.0);
        closed.latency.from_intended = None;
        closed.server = None;
        let names: Vec<String> = figures(&[run(1, 1.0), closed]).into_iter().map(|f| f.name).collect();
        assert_eq!(
            names,
            [
                "latency.from_sent.p50_ns",
                "latency.from_sent.p99_ns",
                "latency.spread.p99_ns",
                "connect.handshake.p99_ns",
                "connect.per_second",
                "throughput.deliveries_per_second",
                "delivery.lost",
                "generator.workers.cpu_share"
            ]
        );
        assert_eq!(figures(&[]), []);
    }

    #[test]
    fn names_are_places_in_the_report() {
        let json = serde_json::to_value(sample::report()).expect("a report is serializable");
        for (name, ..) in DEFINITIONS {
            let found = name.split('.').try_fold(&json, |value, key| match value {
                serde_json::Value::Array(items) => items.first()?.get(key),
                value => value.get(key),
            });
            assert!(found.is_some_and(serde_json::Value::is_number), "{name}");
        }
    }
}
