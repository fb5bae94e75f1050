//! Several runs for people: what they measured together, and how they differ.

use std::fmt;

use super::{line, thousands, time, times, write_setup};
use crate::figures::{Figure, Unit};
use crate::report::Verdict;
use crate::series::Series;

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.runs.first() else { return writeln!(f, "no runs") };
        writeln!(f, "corecast-load {} ({})", first.version, first.commit)?;
        write_setup(f, &first.setup)?;
        let pause = self.pause_ns as f64 / 1e9;
        let mut runs =
            format!("{} of {}, new connections each, {pause} s apart", self.runs.len(), self.wanted);
        if let Some(reason) = &self.ended_early {
            runs.push_str(&format!("; ended early: {reason}"));
        }
        line(f, "runs", &runs)?;
        self.write_together(f)?;
        self.write_figures(f)?;
        self.write_verdicts(f)
    }
}

impl Series {
    fn write_together(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:14}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>14}",
            "all together", "min", "p50", "p90", "p99", "p99.9", "max", "count"
        )?;
        if let Some(from_intended) = &self.latency.from_intended {
            times(f, "from intended", from_intended)?;
        }
        times(f, "from sent", &self.latency.from_sent)?;
        times(f, "spread", &self.latency.spread)?;
        times(f, "handshake", &self.handshake)?;
        let totals = &self.totals;
        let [received, expected] = [totals.received, totals.expected].map(thousands);
        writeln!(f)?;
        line(f, "delivery", &format!("{:.4} %: {received} of {expected} received", totals.ratio * 100.0))?;
        let counts = [
            ("lost", totals.lost),
            ("announced missed", totals.announced_missed),
            ("duplicated", totals.duplicated),
            ("reordered", totals.reordered),
            ("unexpected", totals.unexpected),
        ];
        line(f, "", &counts.map(|(name, count)| format!("{name} {}", thousands(count))).join(", "))
    }

    fn write_figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  {:14}{:>13}{:>13}{:>13}{:>12}", "each run", "min", "median", "max", "spread")?;
        for figure in &self.figures {
            let [min, median, max] =
                [figure.min, figure.median, figure.max].map(|value| shown(value, figure.unit));
            let spread = figure.relative_spread * 100.0;
            writeln!(f, "  {:14}{min:>13}{median:>13}{max:>13}{spread:>10.1} %", name(figure))?;
        }
        f.write_str("\n")
    }

    fn write_verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, run) in (1..).zip(&self.runs) {
            for reason in &run.verdict.reasons {
                writeln!(f, "  ! run {number}: {reason}")?;
            }
        }
        let runs = self.runs.len();
        let count = |is: fn(&Verdict) -> bool| self.runs.iter().filter(|run| is(&run.verdict)).count();
        let valid = count(|verdict| verdict.valid);
        let limited = match count(|verdict| verdict.generator_limited) {
            0 => "no".to_owned(),
            limited => format!("yes, in {limited} of {runs}"),
        };
        writeln!(f, "verdict: {valid} of {runs} runs valid; generator-limited: {limited}")
    }
}

fn name(figure: &Figure) -> String {
    match figure.unit {
        Unit::PerSecond => format!("{}/s", figure.label()),
        _ => figure.label().to_owned(),
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds => time(value.round() as u64),
        Unit::PerSecond | Unit::Count => thousands(value.round() as u64),
        Unit::Share => format!("{:.0} %", value * 100.0),
        Unit::Bytes => format!("{value:.0} B"),
    }
}
