//! From the judgements on a step's runs to that on the step.

use serde::{Deserialize, Serialize};

use crate::search::objective::Judgement;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The objective.
    Met,
    Failed,
    /// It failed, but the generator was the limit, or could not even try.
    GeneratorLimited,
}

/// The runs of one step so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jury {
    runs: u32,
    met: u32,
    slow: u32,
    /// Of the slow ones: where the generator was not the limit.
    slow_by_itself: u32,
}

impl Jury {
    /// Of a step with at most so many runs.
    pub(super) fn new(runs: u32) -> Self {
        Self { runs, met: 0, slow: 0, slow_by_itself: 0 }
    }

    /// Hears of one more run; `limit` says how the generator was its limit, if it was. The outcome and why, as soon as
    /// further runs could not change it.
    pub(super) fn hear(&mut self, judgement: Judgement, limit: Option<String>) -> Option<(Outcome, String)> {
        let why = match judgement {
            Judgement::Met => {
                self.met += 1;
                // The others, if any, were unlucky.
                let is_enough = self.met * 2 > self.runs;
                return is_enough.then(|| (Outcome::Met, String::new()));
            }
            Judgement::Broken(why) => return Some(failed(why, limit)),
            Judgement::TooSlow(why) => why,
        };
        self.slow += 1;
        self.slow_by_itself += u32::from(limit.is_none());
        // Of an even number half is enough to fail.
        let is_enough = self.slow * 2 >= self.runs;
        is_enough.then(|| failed(why, limit.filter(|_| self.slow_by_itself == 0)))
    }
}

fn failed(why: String, limit: Option<String>) -> (Outcome, String) {
    match limit {
        Some(limit) => (Outcome::GeneratorLimited, format!("{why}; {limit}")),
        None => (Outcome::Failed, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `m`et, `s`low or `b`roken, in capitals where the generator was the limit. The outcome, and after how many runs.
    fn outcome(runs: u32, judgements: &str) -> (Option<Outcome>, usize) {
        let mut jury = Jury::new(runs);
        for (number, judgement) in (1..).zip(judgements.chars()) {
            let heard = match judgement.to_ascii_lowercase() {
                'm' => Judgement::Met,
                's' => Judgement::TooSlow("slow".into()),
                _ => Judgement::Broken("broken".into()),
            };
            if let Some((outcome, _)) =
                jury.hear(heard, judgement.is_uppercase().then(|| "worker 0 was busy".to_owned()))
            {
                return (Some(outcome), number);
            }
        }
        (None, judgements.len())
    }

    #[test]
    fn most_of_the_runs_decide_and_no_more_are_made_than_that_takes() {
        assert_eq!(outcome(3, "mm"), (Some(Outcome::Met), 2));
        assert_eq!(outcome(3, "smm"), (Some(Outcome::Met), 3));
        assert_eq!(outcome(3, "sms"), (Some(Outcome::Failed), 3));
        assert_eq!(outcome(3, "ss"), (Some(Outcome::Failed), 2));
        assert_eq!(outcome(3, "sm"), (None, 2));
        assert_eq!(outcome(1, "m"), (Some(Outcome::Met), 1));
        assert_eq!(outcome(1, "s"), (Some(Outcome::Failed), 1));
        assert_eq!(outcome(5, "smsmm"), (Some(Outcome::Met), 5));
        assert_eq!(outcome(2, "ms"), (Some(Outcome::Failed), 2), "half is not most");
        assert_eq!(outcome(2, "mm"), (Some(Outcome::Met), 2));
    }

    #[test]
    fn one_run_that_lost_something_is_enough() {
        assert_eq!(outcome(3, "mb"), (Some(Outcome::Failed), 2));
        assert_eq!(outcome(5, "b"), (Some(Outcome::Failed), 1));
        let mut jury = Jury::new(3);
        let heard = jury.hear(Judgement::Broken("7 messages were refused".into()), None);
        assert_eq!(heard, Some((Outcome::Failed, "7 messages were refused".into())));
    }

    #[test]
    fn the_generator_is_the_limit_when_no_run_failed_without_it() {
        assert_eq!(outcome(3, "SS"), (Some(Outcome::GeneratorLimited), 2));
        assert_eq!(outcome(3, "sS"), (Some(Outcome::Failed), 2));
        assert_eq!(outcome(3, "mB"), (Some(Outcome::GeneratorLimited), 2));
        assert_eq!(outcome(3, "MM"), (Some(Outcome::Met), 2), "met all the same");
        let heard =
            Jury::new(1).hear(Judgement::TooSlow("p99 was 1 s".into()), Some("worker 0 was busy".into()));
        assert_eq!(heard, Some((Outcome::GeneratorLimited, "p99 was 1 s; worker 0 was busy".into())));
    }
}
