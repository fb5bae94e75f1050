//! The command line of `corecast-load search`, and what it comes to.

use std::time::Duration;

use clap::Parser;

use crate::options::RunOptions;
use crate::search::bisection::Bisection;
use crate::search::objective::Objective;
use crate::search::vary::Vary;
use crate::units::{parse_duration, parse_number, parse_share};

/// Looks for the highest rate (or number of subscribers, or of connections) that meets an objective: doubles it until it does
/// not, then halves the gap. Every step is a run of its own with new connections, repeated; takes all options of run.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "corecast-load search",
    args_override_self = true,
    after_help = "A step meets the objective when more than half of its runs do. What bounds a count (loss, delivery) must hold in \
                  every run, and so must what no objective can do without: all connections made and kept, everything due \
                  published, nothing doubled or out of order.\n\
                  Exit status: 0 a value was found, 1 wrong options, the server went away, or the time was up before anything was known, 2 not even the first value meets \
                  the objective, 3 the generator was the limit: the server may do more."
)]
pub struct SearchOptions {
    /// What every step has to meet, as in p99<50ms,loss=0: percentiles p50, p99.9, max and so on, alone (from the intended
    /// time) or as sent.p99, spread.p99, handshake.p99, ping.p99; loss=0 (as without it) or loss<0.1%; delivery>=99.9%
    #[arg(long, value_name = "TERMS", required = true)]
    pub objective: Objective,

    /// What is varied
    #[arg(long, value_enum, default_value_t = Vary::Rate)]
    pub vary: Vary,

    /// First value [default: what the option that is varied says]
    #[arg(long, value_name = "N", value_parser = parse_number)]
    pub from: Option<f64>,

    /// Highest value that is tried [default: the highest there is]
    #[arg(long, value_name = "N", value_parser = parse_number)]
    pub to: Option<f64>,

    /// How close the highest value that met the objective and the lowest that did not must be for the search to end
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = parse_share)]
    pub precision: f64,

    /// No run begins later than this
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub time_limit: Duration,

    #[command(flatten)]
    pub run: RunOptions,
}

/// Runs of one step, unless the options say otherwise: the fewest of which one may be unlucky.
const REPEATS: u32 = 3;

impl SearchOptions {
    pub fn repeats(&self) -> u32 {
        self.run.repeat.unwrap_or(REPEATS)
    }

    pub fn first(&self) -> f64 {
        self.from.unwrap_or_else(|| self.vary.start(&self.run))
    }

    pub fn last(&self) -> f64 {
        self.to.unwrap_or_else(|| self.vary.largest()).min(self.vary.largest())
    }

    /// The runs of the first step.
    pub fn first_run(&self) -> RunOptions {
        self.vary.set(self.steps(self.first()), &self.run)
    }

    pub(super) fn bisection(&self) -> Bisection {
        Bisection::new(self.steps(self.first()), self.steps(self.last()), self.precision)
    }

    fn steps(&self, value: f64) -> u64 {
        (value * self.vary.steps_per_unit()).round() as u64
    }

    /// What does not fit together.
    pub fn mistake(&self) -> Option<String> {
        let is_closed = self.run.in_flight.is_some() || self.vary == Vary::InFlight;
        if is_closed && self.vary == Vary::Rate {
            return Some(
                "--vary rate: with --in-flight there is no rate; vary in-flight, or leave it out".to_owned(),
            );
        }
        if is_closed && self.objective.needs_open_loop() {
            return Some(format!(
                "--objective {}: in the closed loop there are no intended times; write sent.p99 instead of p99",
                self.objective
            ));
        }
        if self.objective.needs_pings() && !self.run.ping {
            return Some(format!("--objective {}: nothing is pinged without --ping", self.objective));
        }
        if self.last() < self.first() {
            return Some(format!("--to {} is below the first value, {}", self.last(), self.first()));
        }
        if self.run.output.hlog.is_some() {
            return Some("--hlog: a search has no log of its histograms; --json has them all".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::bisection::Next;

    fn options(arguments: &[&str]) -> Result<SearchOptions, String> {
        let all = [&["search", "--objective", "p99<50ms"], arguments].concat();
        SearchOptions::try_parse_from(all).map_err(|error| error.to_string())
    }

    #[test]
    fn a_search_goes_from_the_runs_own_value_to_the_highest_there_is() {
        let search = options(&["--rate", "300"]).expect("valid options");
        assert_eq!(
            (search.first(), search.last(), search.precision, search.repeats()),
            (300.0, 1e7, 0.05, 3)
        );
        assert_eq!(search.bisection().next(), Next::Try(300_000));
        assert_eq!(search.first_run().rate.per_second(), 300.0);
        let search = options(&["--vary", "subscribers", "--from", "2k", "--to", "1M", "--repeat", "5"]);
        let search = search.expect("valid options");
        assert_eq!((search.first(), search.last(), search.repeats()), (2_000.0, 1e6, 5));
        assert_eq!(search.bisection().next(), Next::Try(2_000));
        assert_eq!(options(&["--step-repeats", "1"]).expect("valid options").repeats(), 1);
    }

    #[test]
    fn mistakes_are_named_before_anything_runs() {
        let mistake = |arguments: &[&str]| options(arguments).expect("options that parse").mistake();
        assert_eq!(mistake(&[]), None);
        assert_eq!(
            mistake(&["--in-flight", "8"]).as_deref(),
            Some("--vary rate: with --in-flight there is no rate; vary in-flight, or leave it out")
        );
        assert_eq!(
            mistake(&["--vary", "in-flight"]).as_deref(),
            Some(
                "--objective p99<50ms: in the closed loop there are no intended times; write sent.p99 instead of p99"
            )
        );
        assert_eq!(
            mistake(&["--objective", "ping.p99<1s"]).as_deref(),
            Some("--objective ping.p99<1s: nothing is pinged without --ping")
        );
        assert_eq!(
            mistake(&["--from", "10", "--to", "9"]).as_deref(),
            Some("--to 9 is below the first value, 10")
        );
        assert!(mistake(&["--hlog", "a.hlog"]).is_some());
        assert!(options(&["--objective", "p99"]).unwrap_err().contains("'p99' compares nothing"));
        assert!(SearchOptions::try_parse_from(["search"]).is_err(), "an objective is required");
    }
}
