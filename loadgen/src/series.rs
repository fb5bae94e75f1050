//! The same run several times, each with new connections: what all of them together measured, and how far apart they are.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::encoded_histogram::{DecodeError, EncodedHistogram};
use crate::figures::{Figure, figures};
use crate::measure::Recorder;
use crate::report::{Delivery, Histograms, Latency, Percentiles, Report, json, ratio};
use crate::run::{Progress, RunError, run};
use crate::scenario::Scenario;

/// Changes when a field changes its name or meaning. New fields may come without.
pub const SCHEMA: &str = "corecast-load/series/1";

/// How often a pause looks whether it is to end early.
const LOOK: Duration = Duration::from_millis(20);

/// Runs of one scenario, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub schema: String,
    /// Runs that were asked for. There are fewer when one could not be made, or the series was interrupted.
    pub wanted: u32,
    pub pause_ns: u64,
    /// Why there are fewer.
    pub ended_early: Option<String>,
    /// Of all runs: sums.
    pub totals: Totals,
    /// Of all runs: from the merged histograms. Percentiles are never averaged.
    pub latency: Latency,
    pub handshake: Percentiles,
    pub histograms: Histograms,
    /// How the runs differ.
    pub figures: Vec<Figure>,
    /// The worst of the runs' exit codes: 1 before 2 before 3.
    pub exit_code: u8,
    /// Each run's report, whole.
    pub runs: Vec<Report>,
}

/// The counts of all runs, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    pub published: u64,
    pub expected: u64,
    pub received: u64,
    /// Part of the expected that was received.
    pub ratio: f64,
    pub lost: u64,
    pub announced_missed: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub unexpected: u64,
    pub unsent: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub disconnected: u64,
}

/// Why runs cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the histograms of the runs cannot be merged: {0}")]
    Histogram(#[from] DecodeError),
}

/// Runs a scenario `wanted` times with a pause between two runs. An error after the first run, or a `Break`, ends the series
/// with what there is.
///
/// # Errors
/// When the first run is not possible.
pub fn run_series(
    scenario: &Scenario,
    wanted: u32,
    pause: Duration,
    command_line: &[String],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Series, SeriesError> {
    let mut runs: Vec<Report> = Vec::new();
    let mut ended_early = None;
    for number in 0..wanted {
        if number > 0 && rest(pause, progress).is_break() {
            ended_early = Some("interrupted".to_owned());
            break;
        }
        match run(scenario, command_line, progress) {
            Ok(report) => runs.push(report),
            Err(error) if runs.is_empty() => return Err(error.into()),
            Err(error) => {
                ended_early = Some(format!("run {}: {error}", number + 1));
                break;
            }
        }
        if runs.last().is_some_and(|report| report.verdict.interrupted) {
            ended_early = Some("interrupted".to_owned());
            break;
        }
    }
    Ok(Series::of(runs, wanted, pause, ended_early)?)
}

/// A pause, so that the sockets of a run are gone before the next one.
pub(crate) fn rest(
    pause: Duration,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let ends = Instant::now() + pause;
    loop {
        let left = ends.saturating_duration_since(Instant::now());
        progress(Progress::Resting { left })?;
        if left.is_zero() {
            return ControlFlow::Continue(());
        }
        thread::sleep(left.min(LOOK));
    }
}

impl Series {
    /// What `--json` writes, with a line's end behind it: a line for each run.
    pub fn to_json(&self) -> String {
        json::to_json(self)
    }

    fn of(
        runs: Vec<Report>,
        wanted: u32,
        pause: Duration,
        ended_early: Option<String>,
    ) -> Result<Self, DecodeError> {
        let merged = Merged::of(&runs)?;
        let worst = runs.iter().map(|run| run.verdict.exit_code).filter(|code| *code > 0).min();
        Ok(Self {
            schema: SCHEMA.to_owned(),
            wanted,
            pause_ns: pause.as_nanos() as u64,
            totals: Totals::of(&runs),
            latency: Latency {
                from_intended: merged.from_intended.as_ref().map(Percentiles::of_histogram),
                from_sent: Percentiles::of_histogram(&merged.from_sent),
                spread: Percentiles::of_histogram(&merged.spread),
                untracked: runs.iter().map(|run| run.latency.untracked).sum(),
                untimed: runs.iter().map(|run| run.latency.untimed).sum(),
                clock_bound_ns: runs.iter().filter_map(|run| run.latency.clock_bound_ns).max(),
            },
            handshake: Percentiles::of_histogram(&merged.handshake),
            histograms: merged.encoded(),
            figures: figures(&runs),
            exit_code: worst.unwrap_or_else(|| u8::from(ended_early.is_some())),
            ended_early,
            runs,
        })
    }
}

impl Totals {
    fn of(runs: &[Report]) -> Self {
        let sum = |count: fn(&Delivery) -> u64| runs.iter().map(|run| count(&run.delivery)).sum::<u64>();
        let expected = sum(|d| d.expected);
        let received: f64 = runs.iter().map(|run| run.delivery.ratio * run.delivery.expected as f64).sum();
        Self {
            published: sum(|d| d.published),
            expected,
            received: sum(|d| d.received),
            ratio: ratio(received, expected as f64),
            lost: sum(|d| d.lost),
            announced_missed: sum(|d| d.announced_missed),
            duplicated: sum(|d| d.duplicated),
            reordered: sum(|d| d.reordered),
            unexpected: sum(|d| d.unexpected),
            unsent: sum(|d| d.unsent),
            refused: sum(|d| d.refused),
            unanswered: sum(|d| d.unanswered),
            disconnected: sum(|d| d.disconnected),
        }
    }
}

/// All values of all runs: histograms are added, so nothing is lost.
struct Merged {
    /// Only if every run has one, as the next.
    from_intended: Option<Histogram<u64>>,
    ping: Option<Histogram<u64>>,
    from_sent: Histogram<u64>,
    spread: Histogram<u64>,
    handshake: Histogram<u64>,
    schedule_lag: Histogram<u64>,
    own_lag: Histogram<u64>,
    reap_lag: Histogram<u64>,
}

impl Merged {
    fn of(runs: &[Report]) -> Result<Self, DecodeError> {
        let all = |histogram: fn(&Histograms) -> &EncodedHistogram| {
            merge(runs.iter().map(|run| histogram(&run.histograms)))
        };
        let all_if_any = |histogram: fn(&Histograms) -> Option<&EncodedHistogram>| {
            let all: Option<Vec<_>> = runs.iter().map(|run| histogram(&run.histograms)).collect();
            all.map(|all| merge(all.into_iter())).transpose()
        };
        Ok(Self {
            from_intended: all_if_any(|h| h.from_intended.as_ref())?,
            ping: all_if_any(|h| h.ping.as_ref())?,
            from_sent: all(|h| &h.from_sent)?,
            spread: all(|h| &h.spread)?,
            handshake: all(|h| &h.handshake)?,
            schedule_lag: all(|h| &h.schedule_lag)?,
            own_lag: all(|h| &h.own_lag)?,
            reap_lag: all(|h| &h.reap_lag)?,
        })
    }

    fn encoded(&self) -> Histograms {
        Histograms {
            from_intended: self.from_intended.as_ref().map(EncodedHistogram::of),
            ping: self.ping.as_ref().map(EncodedHistogram::of),
            from_sent: EncodedHistogram::of(&self.from_sent),
            spread: EncodedHistogram::of(&self.spread),
            handshake: EncodedHistogram::of(&self.handshake),
            schedule_lag: EncodedHistogram::of(&self.schedule_lag),
            own_lag: EncodedHistogram::of(&self.own_lag),
            reap_lag: EncodedHistogram::of(&self.reap_lag),
        }
    }
}

fn merge<'a>(histograms: impl Iterator<Item = &'a EncodedHistogram>) -> Result<Histogram<u64>, DecodeError> {
    let mut merged = Recorder::default().histogram().clone();
    for histogram in histograms {
        let other = histogram.decode()?;
        merged.add(other).map_err(|error| DecodeError::Encoding(error.to_string()))?;
    }
    Ok(merged)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::sample;

    /// A run whose latencies were these, in milliseconds, and of whose deliveries so many were lost.
    fn a_run(latencies_ms: &[u64], lost: u64, exit_code: u8) -> Report {
        let mut recorder = Recorder::default();
        latencies_ms.iter().for_each(|ms| recorder.record(ms * 1_000_000));
        let mut report = sample::report();
        report.histograms.from_intended = Some(EncodedHistogram::of(recorder.histogram()));
        report.latency.from_intended = Some(Percentiles::of(&mut recorder));
        report.delivery = Delivery {
            expected: 100,
            received: 100 - lost,
            ratio: (100 - lost) as f64 / 100.0,
            lost,
            ..Delivery::default()
        };
        report.verdict.exit_code = exit_code;
        report.verdict.valid = exit_code == 0;
        report
    }

    fn series(runs: &[Report]) -> Series {
        Series::of(runs.to_vec(), 3, Duration::from_secs(1), None).expect("histograms that merge")
    }

    pub(crate) fn a_series() -> Series {
        series(&[a_run(&[1, 2], 0, 0)])
    }

    fn ms(ns: u64) -> u64 {
        (ns + 500_000) / 1_000_000
    }

    #[test]
    fn percentiles_of_all_runs_come_from_all_values() {
        let series = series(&[a_run(&[1; 98], 0, 0), a_run(&[1; 98], 0, 0), a_run(&[500; 4], 0, 0)]);
        let all = series.latency.from_intended.expect("an open loop");
        assert_eq!((all.count, ms(all.p90_ns), ms(all.p99_ns), ms(all.max_ns)), (200, 1, 500, 500));
        let figure = &series.figures[2];
        assert_eq!(figure.name, "latency.from_intended.p99_ns");
        assert_eq!([figure.min, figure.median, figure.max].map(|ns| ms(ns as u64)), [1, 1, 500]);
        let merged = series.histograms.from_intended.as_ref().expect("an open loop").decode();
        assert_eq!(merged.expect("just encoded").len(), 200);
    }

    #[test]
    fn counts_add_up() {
        let totals = series(&[a_run(&[1], 0, 0), a_run(&[1], 2, 2), a_run(&[1], 1, 2)]).totals;
        assert_eq!((totals.expected, totals.received, totals.lost, totals.ratio), (300, 297, 3, 0.99));
    }

    #[test]
    fn the_worst_run_decides_the_exit_code() {
        let code = |codes: &[u8]| {
            series(&codes.iter().map(|code| a_run(&[1], 0, *code)).collect::<Vec<_>>()).exit_code
        };
        assert_eq!([code(&[0, 0]), code(&[0, 3]), code(&[3, 2, 0]), code(&[2, 1, 3])], [0, 3, 2, 1]);
        let broken = Series::of(vec![a_run(&[1], 0, 0)], 3, Duration::ZERO, Some("run 2: gone".into()));
        assert_eq!(broken.expect("histograms that merge").exit_code, 1);
    }

    #[test]
    fn a_series_can_be_read_back() {
        let series = a_series();
        let json = series.to_json();
        assert!(
            json.starts_with("{\n  \"schema\": \"corecast-load/series/1\",\n  \"wanted\": 3,\n"),
            "{json}"
        );
        assert_eq!(json.lines().filter(|line| line.contains("corecast-load/1")).count(), 1, "{json}");
        assert_eq!(serde_json::from_str::<Series>(&json).expect("it was just written"), series);
    }

    #[test]
    fn text_has_all_runs_first_and_then_how_they_differ() {
        let mut second = a_run(&[1, 3], 4, 2);
        second.verdict.reasons = vec!["4 deliveries were lost".into()];
        let mut first = a_run(&[1, 2], 0, 0);
        first.verdict.reasons = Vec::new();
        let mut series = series(&[first, second]);
        series.ended_early = Some("run 3: the server is gone".into());
        let text = series.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "corecast-load 0.1.0 (abc1234)");
        assert_eq!(
            lines[5],
            "  runs          2 of 3, new connections each, 1 s apart; ended early: run 3: the server is gone"
        );
        let rows =
            |name: &str| lines.iter().filter(|line| line.starts_with(name)).copied().collect::<Vec<_>>();
        assert_eq!(
            rows("  from intended"),
            ["  from intended   1.00 ms  1.00 ms  3.00 ms  3.00 ms  3.00 ms  3.00 ms             4"]
        );
        assert_eq!(
            rows("  intended p99 "),
            ["  intended p99        2.00 ms      2.50 ms      3.00 ms      40.0 %"]
        );
        assert_eq!(
            rows("  deliveries/s"),
            ["  deliveries/s         99,999       99,999       99,999       0.0 %"]
        );
        assert_eq!(rows("  lost"), ["  lost                      0            2            4     200.0 %"]);
        assert_eq!(rows("  ! "), ["  ! run 2: 4 deliveries were lost"]);
        assert_eq!(lines.last(), Some(&"verdict: 1 of 2 runs valid; generator-limited: no"));
    }
}
