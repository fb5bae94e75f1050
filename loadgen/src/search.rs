//! A search for the highest value that meets an objective: runs, one after the other, each with new connections.
//!
//! ```text
//!   options --> bisection: what to try next --> run, several times --> objective: met or not --> bisection ... --> report
//! ```

mod bisection;
mod judging;
mod objective;
mod options;
mod page;
mod report;
mod vary;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::report::Report;
use crate::run::{Progress, RunError, run};
use crate::scenario::{Mistakes, Scenario};
use crate::series::rest;
use bisection::Next;
use judging::Jury;
pub use judging::Outcome;
use objective::Judgement;
pub use objective::Objective;
pub use options::SearchOptions;
pub use report::{Answer, SCHEMA, SearchReport, Step, Stopped, Time};
pub use vary::Vary;

/// Longest time that a server gets to catch up, beside the pause.
const MOST_BEHIND: Duration = Duration::from_secs(30);

/// Why a search could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("{0}")]
    Mistake(String),
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Searches. `progress` is told of each run as in [`run`], `stepped` gets every step when it is done.
///
/// # Errors
/// When the first run is not possible: [`SearchError`]. What happens later ends the search and is in its report.
pub fn search(
    options: &SearchOptions,
    command_line: &[String],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    stepped: &mut dyn FnMut(&Step),
) -> Result<SearchReport, SearchError> {
    if let Some(mistake) = options.mistake() {
        return Err(SearchError::Mistake(mistake));
    }
    let began = Instant::now();
    let mut bisection = options.bisection();
    let mut steps: Vec<Step> = Vec::new();
    let stopped = loop {
        let value = match bisection.next() {
            Next::Try(value) => value,
            Next::Found => break Stopped::Found,
            Next::UpperBound => break Stopped::UpperBound,
            Next::StartFails => break Stopped::StartFails,
        };
        match take_step(options, value, steps.last(), began, command_line, progress)? {
            Ok(step) => {
                bisection.note(value, step.outcome == Outcome::Met);
                stepped(&step);
                steps.push(step);
            }
            Err(stopped) => break stopped,
        }
    };
    Ok(SearchReport::new(options, command_line, steps, stopped, began.elapsed()))
}

/// Runs one value as often as it takes to judge it. The inner error ends the search.
fn take_step(
    options: &SearchOptions,
    value: u64,
    previous: Option<&Step>,
    began: Instant,
    command_line: &[String],
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Result<Step, Stopped>, SearchError> {
    let is_first = previous.is_none();
    let mut jury = Jury::new(options.repeats());
    let mut runs = Vec::new();
    let number = value as f64 / options.vary.steps_per_unit();
    let step = |outcome, why, runs| Ok(Ok(Step::new(number, outcome, why, runs, &options.objective)));
    let scenario = match Scenario::from_options(&options.vary.set(value, &options.run)) {
        Ok(scenario) => scenario,
        Err(mistakes) if is_first => return Err(mistakes.into()),
        Err(mistakes) => return step(Outcome::GeneratorLimited, mistakes.to_string(), runs),
    };
    loop {
        // A server that fell behind gets as long as that was to catch up: what is left of one run must not meet the next.
        let behind = match (runs.last(), previous) {
            (Some(run), _) => Some(behind(run)),
            (None, Some(step)) => Some(step.runs.last().map_or(Duration::ZERO, behind)),
            (None, None) => None,
        };
        if behind.is_some_and(|behind| rest(options.run.pause + behind, progress).is_break()) {
            return Ok(Err(Stopped::Interrupted));
        }
        if began.elapsed() >= options.time_limit {
            return Ok(Err(Stopped::TimeLimit));
        }
        match run(&scenario, command_line, progress) {
            Ok(report) if report.verdict.interrupted => return Ok(Err(Stopped::Interrupted)),
            Ok(report) => {
                let judgement = match options.vary.shortfall(number, &report) {
                    Some(shortfall) => Judgement::TooSlow(shortfall),
                    None => options.objective.judge(&report),
                };
                // What limits comes last among the reasons.
                let limit =
                    report.verdict.reasons.last().filter(|_| report.verdict.generator_limited).cloned();
                runs.push(report);
                if let Some((outcome, why)) = jury.hear(judgement, limit) {
                    return step(outcome, why, runs);
                }
            }
            Err(error) if is_first && runs.is_empty() => return Err(error.into()),
            // This host cannot make so many connections.
            Err(error @ RunError::Shortages(_)) => {
                return step(Outcome::GeneratorLimited, error.to_string(), runs);
            }
            Err(error) => return Ok(Err(Stopped::ServerGone { error: error.to_string() })),
        }
    }
}

/// How long the server was behind at the worst.
fn behind(run: &Report) -> Duration {
    let latency = run.latency.from_intended.as_ref().unwrap_or(&run.latency.from_sent);
    Duration::from_nanos(latency.max_ns).min(MOST_BEHIND)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::bisection::Bisection;
    pub(crate) use super::report::tests::a_search;
    use super::*;

    /// Searches a made-up server, which says of each run whether it met the objective and whether the generator was the limit.
    fn hunt(repeats: u32, mut run: impl FnMut(u64) -> (Judgement, bool)) -> (u64, u64, Outcome, usize) {
        let mut bisection = Bisection::new(100, 1_000_000, 0.05);
        let (mut highest, mut lowest, mut runs) = (0, (u64::MAX, Outcome::Met), 0);
        while let Next::Try(value) = bisection.next() {
            let mut jury = Jury::new(repeats);
            let outcome = loop {
                runs += 1;
                let (judgement, is_limited) = run(value);
                if let Some((outcome, _)) = jury.hear(judgement, is_limited.then(String::new)) {
                    break outcome;
                }
            };
            bisection.note(value, outcome == Outcome::Met);
            match outcome {
                Outcome::Met => highest = highest.max(value),
                failed => lowest = if value < lowest.0 { (value, failed) } else { lowest },
            }
        }
        (highest, lowest.0, lowest.1, runs)
    }

    fn slow_unless(is_met: bool) -> Judgement {
        if is_met { Judgement::Met } else { Judgement::TooSlow(String::new()) }
    }

    #[test]
    fn repeats_keep_single_unlucky_runs_from_deciding() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        // Able to do 10,000, but one run in ten is disturbed.
        let mut share_found = |repeats| {
            let found = |_| {
                let (highest, ..) =
                    hunt(repeats, |value| (slow_unless(value <= 10_000 && random.u8(..10) > 0), false));
                usize::from((9_500..=10_000).contains(&highest))
            };
            (0..1_000).map(found).sum::<usize>()
        };
        // About eight steps have to be met: 0.9^8 = 0.43 with one run each, 0.972^8 = 0.80 with three.
        let (once, thrice) = (share_found(1), share_found(3));
        assert!((370..550).contains(&once), "{once}");
        assert!((720..890).contains(&thrice), "{thrice}");
    }

    #[test]
    fn where_the_generator_gives_up_first_it_is_told() {
        // The server would do 10,000, the generator 3,000.
        let (highest, lowest, outcome, _) = hunt(3, |value| (slow_unless(value <= 3_000), value > 3_000));
        assert_eq!((highest, lowest, outcome), (3_000, 3_100, Outcome::GeneratorLimited));
        // It is the limit only far above what the server does.
        let (highest, lowest, outcome, runs) = hunt(3, |value| (slow_unless(value <= 1_000), value > 3_000));
        assert_eq!((highest, lowest, outcome), (1_000, 1_050, Outcome::Failed));
        assert_eq!(runs, 2 * 9, "two runs each decide");
    }
}
