//! The comparison for people: a table.

use std::fmt;

use crate::diff::{Compared, Comparison, Finding, Group, Kind};
use crate::text::{plural, thousands, time};

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_group(f, "base", &self.base)?;
        write_group(f, "new", &self.new)?;
        writeln!(f, "\n  {:34}{:>14}{:>14}{:>12}{:>12}", "", "base", "new", "difference", "noise")?;
        for figure in self.figures.iter().filter(|figure| figure.is_shown()) {
            let row = format!(
                "  {:34}{:>14}{:>14}{:>12}{:>12}  {}",
                figure.name,
                figure.shown(figure.base),
                figure.shown(figure.new),
                figure.shown_difference(),
                figure.shown_noise(),
                figure.judgement(self.is_estimate)
            );
            writeln!(f, "{}", row.trim_end())?;
        }
        f.write_str("\n")?;
        if self.is_estimate {
            writeln!(
                f,
                "  Noise is an estimate from the intervals within each run (batch means, 95 %; ? where there is none): runs of the\n  \
                 same thing usually differ by more. Compare several: --base A1.json A2.json A3.json --new B1.json B2.json B3.json"
            )?;
        } else {
            writeln!(
                f,
                "  Noise is from the runs of each group (Welch's t, 95 %): about one figure in twenty goes beyond it by chance."
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "  ! {warning}")?;
        }
        let count = |finding| self.figures.iter().filter(|figure| figure.finding == finding).count();
        let (better, worse) = (count(Finding::Better), count(Finding::Worse));
        let estimated = if self.is_estimate { " (estimated)" } else { "" };
        writeln!(f, "beyond noise{estimated}: {better} better, {worse} worse")
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, name: &str, group: &Group) -> fmt::Result {
    writeln!(f, "  {name:6}{} ({})", group.files.join(" "), plural(group.files.len() as u64, "run"))
}

impl Compared {
    /// Rows of things that did not go wrong would hide those that did.
    fn is_shown(&self) -> bool {
        self.kind != Kind::Wrong || self.name == "lost" || self.base != 0.0 || self.new != 0.0
    }

    fn shown(&self, value: f64) -> String {
        match self.kind {
            Kind::PerSecond if value.abs() < 100.0 => format!("{value:.2}"),
            Kind::PerSecond => thousands(value.round() as u64),
            Kind::Nanoseconds => time(value.max(0.0).round() as u64),
            Kind::Bytes if value.abs() >= 1e6 => format!("{:.2} MiB", value / f64::from(1 << 20)),
            Kind::Bytes => format!("{value:.0} B"),
            Kind::Share => format!("{:.1} %", value * 100.0),
            Kind::Wrong if value.fract() != 0.0 => format!("{value:.1}"),
            Kind::Wrong => thousands(value as u64),
        }
    }

    fn shown_difference(&self) -> String {
        match (self.kind, self.difference_share) {
            _ if self.finding == Finding::Same => "0".to_owned(),
            (Kind::Wrong, _) | (_, None) => {
                let sign = if self.new > self.base { '+' } else { '-' };
                format!("{sign}{}", self.shown((self.new - self.base).abs()))
            }
            (_, Some(share)) => format!("{:+.1} %", share * 100.0),
        }
    }

    fn shown_noise(&self) -> String {
        match self.noise_share {
            _ if self.kind == Kind::Wrong => String::new(),
            Some(share) => format!("\u{b1}{:.1} %", share * 100.0),
            None => "?".to_owned(),
        }
    }

    /// What rests on an estimate is a question.
    fn judgement(&self, is_estimate: bool) -> &'static str {
        match (self.finding, is_estimate && self.kind != Kind::Wrong) {
            (Finding::Same, _) => "",
            (Finding::Noise, _) => "~",
            (Finding::Unknown, _) => "?",
            (Finding::Better, false) => "better",
            (Finding::Better, true) => "better?",
            (Finding::Worse, false) => "WORSE",
            (Finding::Worse, true) => "WORSE?",
        }
    }
}
