//! What a search found, as data: its `Display` prints it for people, serde for machines.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::figures::{Figure, figures, median};
use crate::report::{Report, json};
use crate::search::judging::Outcome;
use crate::search::objective::{Judgement, Objective};
use crate::search::options::SearchOptions;
use crate::search::vary::Vary;
use crate::text::search::value;

/// Changes when a field changes its name or meaning. New fields may come without.
pub const SCHEMA: &str = "corecast-load/search/1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    pub schema: String,
    pub version: String,
    pub commit: String,
    pub command_line: Vec<String>,
    pub objective: String,
    pub vary: Vary,
    /// What its values count.
    pub unit: String,
    pub from: f64,
    pub to: f64,
    pub precision: f64,
    /// Runs of each step, at most: no more are made than it takes to judge it.
    pub repeats: u32,
    pub pause_ns: u64,
    pub seconds: f64,
    pub answer: Answer,
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The highest value that met the objective; absent when none did.
    pub highest_met: Option<f64>,
    /// The lowest that did not; absent when all did.
    pub lowest_failed: Option<f64>,
    /// The server may do more: nothing says that it was the limit.
    pub is_lower_bound: bool,
    pub stopped: Stopped,
    /// Why it ended, as a sentence.
    pub because: String,
    /// 0 found, 1 ended by an error or interrupted, 2 nothing met the objective, 3 the generator was the limit.
    pub exit_code: u8,
}

/// Why a search ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Both ends are as close as was asked for.
    Found,
    /// The highest value allowed met the objective.
    UpperBound,
    /// The first value did not.
    StartFails,
    /// Both ends are close, but it was the generator that failed at the higher one.
    GeneratorLimited,
    /// Runs that worked before are no longer possible.
    ServerGone {
        error: String,
    },
    TimeLimit,
    Interrupted,
}

/// One value that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub value: f64,
    pub outcome: Outcome,
    /// What was wrong; empty when the objective was met.
    pub why: String,
    /// How many of its runs met the objective.
    pub runs_met: u32,
    /// The usual percentiles and those of the objective.
    pub times: Vec<Time>,
    /// Over its runs.
    pub figures: Vec<Figure>,
    /// Of each of its runs, whole.
    pub runs: Vec<Report>,
}

/// A percentile, by its name in objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Time {
    pub name: String,
    /// The objective's, if it has one.
    pub bound_ns: Option<f64>,
    /// Of the step's runs.
    pub median_ns: Option<f64>,
}

impl SearchReport {
    pub(super) fn new(
        options: &SearchOptions,
        command_line: &[String],
        steps: Vec<Step>,
        stopped: Stopped,
        took: Duration,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("CORECAST_COMMIT").to_owned(),
            command_line: command_line.to_vec(),
            objective: options.objective.to_string(),
            vary: options.vary,
            unit: options.vary.unit().to_owned(),
            from: options.first(),
            to: options.last(),
            precision: options.precision,
            repeats: options.repeats(),
            pause_ns: options.run.pause.as_nanos() as u64,
            seconds: took.as_secs_f64(),
            answer: Answer::of(&steps, stopped, options.precision, options.last()),
            steps,
        }
    }

    /// What `--json` writes, with a line's end behind it.
    pub fn to_json(&self) -> String {
        json::to_json(self)
    }

    /// From the lowest value to the highest.
    pub fn ascending(&self) -> Vec<&Step> {
        let mut steps: Vec<&Step> = self.steps.iter().collect();
        steps.sort_by(|a, b| a.value.total_cmp(&b.value));
        steps
    }

    /// The step of the answer.
    pub fn best(&self) -> Option<&Step> {
        let met = self.answer.highest_met?;
        self.steps.iter().find(|step| step.value == met)
    }
}

impl Answer {
    fn of(steps: &[Step], stopped: Stopped, precision: f64, to: f64) -> Self {
        let met = |step: &&Step| step.outcome == Outcome::Met;
        let highest = steps.iter().filter(met).max_by(|a, b| a.value.total_cmp(&b.value));
        let lowest = steps.iter().filter(|step| !met(step)).min_by(|a, b| a.value.total_cmp(&b.value));
        let is_limited = lowest.is_some_and(|step| step.outcome == Outcome::GeneratorLimited);
        let stopped = match stopped {
            Stopped::Found | Stopped::StartFails if is_limited => Stopped::GeneratorLimited,
            stopped => stopped,
        };
        let has_answer = highest.is_some();
        Self {
            highest_met: highest.map(|step| step.value),
            lowest_failed: lowest.map(|step| step.value),
            is_lower_bound: is_limited || lowest.is_none(),
            because: because(&stopped, highest, lowest, precision, to),
            exit_code: match &stopped {
                Stopped::Found | Stopped::UpperBound => 0,
                Stopped::TimeLimit if is_limited => 3,
                Stopped::TimeLimit if has_answer => 0,
                // Nothing is known of the first value.
                Stopped::TimeLimit if lowest.is_none() => 1,
                Stopped::StartFails | Stopped::TimeLimit => 2,
                Stopped::GeneratorLimited => 3,
                Stopped::ServerGone { .. } | Stopped::Interrupted => 1,
            },
            stopped,
        }
    }
}

fn because(
    stopped: &Stopped,
    highest: Option<&Step>,
    lowest: Option<&Step>,
    precision: f64,
    to: f64,
) -> String {
    let why = lowest.map_or("", |step| step.why.as_str());
    let [met, failed] = [highest, lowest].map(|step| value(step.map_or(0.0, |step| step.value)));
    match stopped {
        Stopped::Found => {
            format!(
                "{met} met the objective and {failed} did not ({why}): they are no more than {} % apart",
                precision * 100.0
            )
        }
        Stopped::UpperBound => format!("the highest value allowed, {}, met the objective", value(to)),
        Stopped::StartFails => {
            format!("the first value, {failed}, did not meet the objective ({why}): begin lower, with --from")
        }
        Stopped::GeneratorLimited => {
            // Without a run it is this host that has too little of something, as the text says.
            let remedy =
                if lowest.is_some_and(|step| step.runs.is_empty()) { "" } else { ": give it more cores" };
            format!("at {failed} the generator was the limit, not the server ({why}){remedy}")
        }
        Stopped::ServerGone { error } => format!("the server is gone: {error}"),
        Stopped::TimeLimit => match (highest, lowest) {
            (Some(_), Some(_)) => {
                format!(
                    "--time-limit is up: {met} met the objective and {failed} did not ({why}), what lies between was not tried"
                )
            }
            (Some(_), None) => {
                format!("--time-limit is up: {met} met the objective, no higher value was tried to the end")
            }
            (None, Some(_)) => format!(
                "--time-limit is up: {failed} did not meet the objective ({why}), no lower value was tried"
            ),
            (None, None) => "--time-limit is up before the first value was judged".to_owned(),
        },
        Stopped::Interrupted => "it was interrupted".to_owned(),
    }
}

impl Step {
    pub(super) fn new(
        value: f64,
        outcome: Outcome,
        why: String,
        runs: Vec<Report>,
        objective: &Objective,
    ) -> Self {
        let runs_met = runs.iter().filter(|run| objective.judge(run) == Judgement::Met).count() as u32;
        Self { value, outcome, why, runs_met, times: times(&runs, objective), figures: figures(&runs), runs }
    }

    /// The median of a figure over the step's runs.
    pub fn figure(&self, name: &str) -> Option<f64> {
        Some(self.figures.iter().find(|figure| figure.name == name)?.median)
    }
}

/// The usual ones first, in the closed loop from the actual send.
fn times(runs: &[Report], objective: &Objective) -> Vec<Time> {
    let is_closed = runs.iter().any(|run| run.latency.from_intended.is_none());
    let usual = if is_closed { ["sent.p50", "sent.p90", "sent.p99"] } else { ["p50", "p90", "p99"] };
    let bounds = objective.times();
    let others = bounds.iter().map(|(name, _)| name.as_str()).filter(|name| !usual.contains(name));
    let names: Vec<&str> = usual.into_iter().chain(others).collect();
    let time = |name: &str| Time {
        name: name.to_owned(),
        bound_ns: bounds.iter().find(|(bounded, _)| bounded == name).map(|(_, bound_ns)| *bound_ns),
        median_ns: {
            let mut values: Vec<f64> = runs.iter().filter_map(|run| Objective::value(name, run)).collect();
            values.sort_unstable_by(f64::total_cmp);
            median(&values)
        },
    };
    names.into_iter().map(time).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::search::objective::tests::{a_run, lossy};
    use crate::series::tests::a_series;
    use clap::Parser;

    /// A search for p99 below 50 ms that tried these values, with a run whose latency was this, in milliseconds.
    pub(crate) fn a_search(tried: &[(f64, u64)], stopped: Stopped) -> SearchReport {
        let options = SearchOptions::try_parse_from(["search", "--objective", "p99<50ms", "--to", "4000"]);
        let options = options.expect("valid options");
        let step = |(value, latency_ms): &(f64, u64)| {
            let (outcome, why) = match latency_ms {
                0..50 => (Outcome::Met, String::new()),
                50..1_000 => (Outcome::Failed, format!("p99 was {latency_ms} ms")),
                _ => (Outcome::GeneratorLimited, format!("p99 was {latency_ms} ms")),
            };
            Step::new(*value, outcome, why, vec![a_run(&[*latency_ms])], &options.objective)
        };
        let steps = tried.iter().map(step).collect();
        SearchReport::new(&options, &["corecast-load".into()], steps, stopped, Duration::from_secs(90))
    }

    fn answer(tried: &[(f64, u64)], stopped: Stopped) -> (Option<f64>, Option<f64>, bool, u8, String) {
        let Answer { highest_met, lowest_failed, is_lower_bound, exit_code, because, .. } =
            a_search(tried, stopped).answer;
        (highest_met, lowest_failed, is_lower_bound, exit_code, because)
    }

    #[test]
    fn answers_say_why_the_search_ended() {
        let both = [(100.0, 5), (200.0, 80), (150.0, 9)];
        assert_eq!(
            answer(&both, Stopped::Found),
            (
                Some(150.0),
                Some(200.0),
                false,
                0,
                "150 met the objective and 200 did not (p99 was 80 ms): they are no more than 5 % apart"
                    .into()
            )
        );
        assert_eq!(
            answer(&[(2_000.0, 5), (4_000.0, 6)], Stopped::UpperBound),
            (Some(4_000.0), None, true, 0, "the highest value allowed, 4,000, met the objective".into())
        );
        assert_eq!(
            answer(&[(100.0, 80)], Stopped::StartFails),
            (
                None,
                Some(100.0),
                false,
                2,
                "the first value, 100, did not meet the objective (p99 was 80 ms): begin lower, with --from"
                    .into()
            )
        );
        let gone = Stopped::ServerGone { error: "connection refused".into() };
        assert_eq!(
            answer(&both, gone),
            (Some(150.0), Some(200.0), false, 1, "the server is gone: connection refused".into())
        );
        let between = "--time-limit is up: 150 met the objective and 200 did not (p99 was 80 ms), what lies between was not tried";
        assert_eq!(answer(&both, Stopped::TimeLimit), (Some(150.0), Some(200.0), false, 0, between.into()));
        assert_eq!(answer(&[(100.0, 80)], Stopped::TimeLimit).3, 2);
        assert_eq!(
            answer(&[], Stopped::TimeLimit),
            (None, None, true, 1, "--time-limit is up before the first value was judged".into())
        );
        assert_eq!(answer(&both, Stopped::Interrupted).3, 1);
    }

    #[test]
    fn where_the_generator_was_the_limit_the_answer_is_a_lower_bound() {
        let limit =
            "at 200 the generator was the limit, not the server (p99 was 1000 ms): give it more cores";
        assert_eq!(
            answer(&[(100.0, 5), (200.0, 1_000)], Stopped::Found),
            (Some(100.0), Some(200.0), true, 3, limit.into())
        );
        assert_eq!(
            answer(&[(200.0, 1_000)], Stopped::StartFails),
            (None, Some(200.0), true, 3, limit.into())
        );
        assert_eq!(answer(&[(100.0, 5), (200.0, 1_000)], Stopped::TimeLimit).3, 3);
        let other = answer(&[(100.0, 5), (400.0, 1_000), (200.0, 80)], Stopped::Found);
        assert_eq!((other.0, other.1, other.2, other.3), (Some(100.0), Some(200.0), false, 0));
    }

    #[test]
    fn steps_tell_the_usual_times_and_those_of_the_objective() {
        let objective: Objective = "p99<50ms,max<80ms,sent.p50<9ms".parse().expect("an objective");
        let runs = vec![a_run(&[10]), a_run(&[30]), lossy(2)];
        let step = Step::new(7.0, Outcome::Failed, "lost".into(), runs, &objective);
        let names: Vec<&str> = step.times.iter().map(|time| time.name.as_str()).collect();
        assert_eq!(names, ["p50", "p90", "p99", "max", "sent.p50"]);
        let bounds: Vec<_> = step.times.iter().map(|time| time.bound_ns).collect();
        assert_eq!(bounds, [None, None, Some(5e7), Some(8e7), Some(9e6)]);
        let medians = step.times.iter().map(|time| time.median_ns.map(|ns| (ns / 1e6).round()));
        assert_eq!(medians.collect::<Vec<_>>(), [Some(10.0); 5]);
        assert_eq!(step.runs_met, 0, "the second is too slow for sent.p50, the first too");
        assert_eq!(step.figure("delivery.lost"), Some(0.0));
    }

    /// Names of all members, without those of reports.
    fn names(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    found.push(name.clone());
                    if !["runs", "histograms", "latency", "handshake"].contains(&name.as_str()) {
                        names(member, found);
                    }
                }
            }
            serde_json::Value::Array(entries) => entries.iter().for_each(|entry| names(entry, found)),
            _ => {}
        }
    }

    #[test]
    fn every_field_is_documented() {
        let document = include_str!("../../REPORT.md");
        let (_, document) = document.split_once("## Several runs").expect("a part about series and searches");
        let search = a_search(&[(100.0, 5)], Stopped::ServerGone { error: "gone".into() });
        for json in [search.to_json(), a_series().to_json()] {
            let mut found = Vec::new();
            names(&serde_json::from_str(&json).expect("JSON"), &mut found);
            found.retain(|name| !document.contains(&format!("`{name}`")));
            assert!(found.is_empty(), "not in loadgen/REPORT.md: {found:?}");
        }
    }

    #[test]
    fn a_search_can_be_read_back() {
        let search = a_search(&[(100.0, 5), (200.0, 80)], Stopped::ServerGone { error: "gone".into() });
        let json = search.to_json();
        assert!(json.starts_with("{\n  \"schema\": \"corecast-load/search/1\",\n"), "{json}");
        assert_eq!(serde_json::from_str::<SearchReport>(&json).expect("it was just written"), search);
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["vary"], "rate");
        assert_eq!(value["answer"]["stopped"]["server_gone"]["error"], "gone");
        assert_eq!(value["steps"][1]["outcome"], "failed");
        assert_eq!(value["steps"][1]["runs"][0]["schema"], "corecast-load/1");
    }
}
