//! What connections take of memory: as measured runs show it, and as the server's own budget bounds it.

use serde::Serialize;

use super::budget::{Budget, Memory, Per};
use super::cost::Known;
use super::least_squares::{new_part, non_negative};
use super::observation::Observation;

/// A part is told apart from others if so much of its column is its own.
const LEAST_NEW_PART: f64 = 0.1;

/// With fewer connections a server has not used all of its buffers yet, and the kernel puts sockets into what was left half full.
pub(super) const ENOUGH_CONNECTIONS: f64 = 1_000.0;

/// Resident memory of the server as runs show it: process + shards + connections + topics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryModel {
    pub parts: Vec<Part>,
    /// Kernel memory of a connection, its other end on the same host included. None when the server was elsewhere.
    pub kernel_bytes_both_ends: Option<f64>,
    pub runs: Vec<MemoryFit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Part {
    pub per: Per,
    pub bytes: f64,
    pub known: Known,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryFit {
    pub run: String,
    pub measured_bytes: f64,
    /// Absent when the run had too few connections to be fitted.
    pub fitted_bytes: Option<f64>,
}

/// How many there are of what takes memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Holdings {
    pub connections: f64,
    /// Of the JSON dialect, over all connections.
    pub subscriptions: f64,
    pub topics: f64,
    pub shards: f64,
}

/// One line of a host's memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryRow {
    pub name: String,
    pub per: Per,
    pub memory: Memory,
    pub bytes_each: f64,
    pub count: f64,
    pub bytes: f64,
    /// Where the bytes of one are from.
    pub source: String,
}

impl MemoryModel {
    /// In the order in which runs are asked about them. With one shard in all runs the process is found in it, which plans too
    /// much for many shards rather than too little.
    const PARTS: [Per; 5] = [Per::Connection, Per::Shard, Per::Process, Per::Topic, Per::Subscription];

    pub(super) fn fit(runs: &[Observation]) -> Self {
        let told = telling(runs);
        // Relative to what was measured: no run counts more for being larger.
        let weights: Vec<f64> = told.iter().map(|run| 1.0 / run.memory.resident_bytes_end.max(1.0)).collect();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut parts = Self::PARTS.map(|per| Part { per, bytes: 0.0, known: Known::NotRun });
        for part in &mut parts {
            let amount = |(run, weight): (&&Observation, &f64)| weight * Holdings::of(run).count(part.per);
            let column: Vec<f64> = told.iter().zip(&weights).map(amount).collect();
            if column.iter().all(|amount| *amount == 0.0) {
                continue;
            }
            let others: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            let is_new = columns.len() < told.len() && new_part(&others, &column) >= LEAST_NEW_PART;
            part.known = if is_new { Known::Yes } else { Known::NotToldApart };
            if is_new {
                columns.push(column);
            }
        }
        let wanted: Vec<f64> =
            told.iter().zip(&weights).map(|(run, weight)| weight * run.memory.resident_bytes_end).collect();
        let fitted = non_negative(&columns, &wanted);
        let known = parts.iter_mut().filter(|part| part.known == Known::Yes);
        known.zip(fitted).for_each(|(part, bytes)| part.bytes = bytes);
        let mut model =
            Self { parts: parts.to_vec(), kernel_bytes_both_ends: kernel_bytes(&told), runs: Vec::new() };
        model.runs = runs
            .iter()
            .map(|run| MemoryFit {
                run: run.run.clone(),
                measured_bytes: run.memory.resident_bytes_end,
                fitted_bytes: told
                    .iter()
                    .any(|told| std::ptr::eq(*told, run))
                    .then(|| model.resident_bytes(&Holdings::of(run))),
            })
            .collect();
        model
    }

    pub fn resident_bytes(&self, holdings: &Holdings) -> f64 {
        self.parts.iter().map(|part| part.bytes * holdings.count(part.per)).sum()
    }

    pub fn part(&self, per: Per) -> Part {
        *self.parts.iter().find(|part| part.per == per).expect("every part has its bytes")
    }

    /// What a host has to have. With a budget its terms, the bounds of logs and queues among them, and what was measured above
    /// it; without one only what was measured.
    pub(super) fn rows(&self, budget: Option<&Budget>, holdings: &Holdings) -> Vec<MemoryRow> {
        let row = |name: &str, per, memory, bytes_each: f64, source: String| MemoryRow {
            name: name.to_owned(),
            per,
            memory,
            bytes_each,
            count: holdings.count(per),
            bytes: bytes_each * holdings.count(per),
            source,
        };
        let measured = || "measured in the runs above".to_owned();
        let connection = self.part(Per::Connection).bytes;
        let has_process = self.part(Per::Process).known == Known::Yes;
        let shard = if has_process { "shard at rest" } else { "shard and process" };
        let mut rows = vec![
            row("process at rest", Per::Process, Memory::User, self.part(Per::Process).bytes, measured()),
            row(shard, Per::Shard, Memory::User, self.part(Per::Shard).bytes, measured()),
        ];
        let Some(budget) = budget else {
            rows.push(row("connection", Per::Connection, Memory::User, connection, measured()));
            rows.push(row("topic", Per::Topic, Memory::User, self.part(Per::Topic).bytes, measured()));
            rows.push(row(
                "subscription",
                Per::Subscription,
                Memory::User,
                self.part(Per::Subscription).bytes,
                measured(),
            ));
            let both = self.kernel_bytes_both_ends.unwrap_or_default();
            rows.push(row("socket, both ends", Per::Connection, Memory::Kernel, both, measured()));
            rows.retain(|row| row.bytes >= 1.0);
            return rows;
        };
        let terms = budget.terms.iter().map(|term| {
            row(&term.name, term.per, term.memory, term.bytes as f64, format!("budget: {}", term.explanation))
        });
        rows.extend(terms);
        let budgeted: f64 = budget
            .terms
            .iter()
            .filter(|term| term.per == Per::Connection && term.memory == Memory::User)
            .map(|term| term.bytes as f64)
            .sum();
        let more = (connection - budgeted).max(0.0);
        let source = format!("measured: {connection:.0} B, the budget has {budgeted:.0} B");
        rows.push(row("above the budget", Per::Connection, Memory::User, more, source));
        rows.retain(|row| row.bytes >= 1.0);
        rows
    }
}

/// The runs that tell what connections take; all of them when there are no two with enough connections.
fn telling(runs: &[Observation]) -> Vec<&Observation> {
    let enough: Vec<_> = runs.iter().filter(|run| run.connections >= ENOUGH_CONNECTIONS).collect();
    if enough.len() < 2 { runs.iter().collect() } else { enough }
}

/// The line through zero that is nearest to all runs, in bytes: large runs say more.
fn kernel_bytes(runs: &[&Observation]) -> Option<f64> {
    let measured = runs.iter().filter_map(|run| Some((run.connections, run.memory.kernel_bytes?)));
    let (products, squares) = measured.fold((0.0, 0.0), |(products, squares), (connections, bytes)| {
        (products + connections * bytes, squares + connections * connections)
    });
    (squares > 0.0).then(|| (products / squares).max(0.0))
}

impl Holdings {
    pub(super) fn of(run: &Observation) -> Self {
        let is_json = run.preset == JSON_PRESET;
        Self {
            connections: run.connections,
            subscriptions: if is_json { run.connections * run.subscriptions } else { 0.0 },
            topics: run.topics,
            shards: run.shards,
        }
    }

    fn count(&self, per: Per) -> f64 {
        match per {
            Per::Connection => self.connections,
            Per::Subscription => self.subscriptions,
            Per::Topic => self.topics,
            Per::Shard => self.shards,
            Per::Process => 1.0,
        }
    }
}

/// In this dialect a connection may have several subscriptions, and publishes are acknowledged.
pub(super) const JSON_PRESET: &str = "corecast-json";

#[cfg(test)]
mod tests {
    use super::super::budget::tests::TEXT;
    use super::super::synthetic::{Costs, Work, run};
    use super::*;

    const NOTHING: Costs = Costs {
        send: 0.0,
        far: 0.0,
        near: 1.0,
        byte: 0.0,
        pass: 0.0,
        message: 0.0,
        relay: 0.0,
        compression: 0.0,
        rest: 0.0,
    };

    fn model(works: &[Work]) -> MemoryModel {
        let runs: Vec<Observation> = works.iter().map(|work| run("a.json", work, &NOTHING)).collect();
        MemoryModel::fit(&runs)
    }

    fn sized(subscribers: f64, shards: f64) -> Work {
        Work { subscribers, shards, ..Work::default() }
    }

    fn bytes(model: &MemoryModel, per: Per) -> f64 {
        (model.part(per).bytes * 1e3).round() / 1e3
    }

    #[test]
    fn connections_shards_and_process_are_told_apart_by_runs_that_differ_in_them() {
        let model = model(&[sized(1_000.0, 1.0), sized(10_000.0, 1.0), sized(5_000.0, 4.0)]);
        assert_eq!(bytes(&model, Per::Connection), 110.0);
        assert_eq!((bytes(&model, Per::Shard), bytes(&model, Per::Process)), (2e6, 4e6));
        let holdings = Holdings { connections: 19_000.0, shards: 1.0, topics: 1.0, subscriptions: 0.0 };
        let resident = model.resident_bytes(&holdings);
        assert_eq!(resident.round(), 4e6 + 2e6 + 19_000.0 * 110.0);
        assert_eq!(model.kernel_bytes_both_ends, Some(8_000.0));
    }

    #[test]
    fn with_one_shard_in_all_runs_the_process_is_found_in_it() {
        let model = model(&[sized(100.0, 1.0), sized(10_000.0, 1.0)]);
        assert_eq!((bytes(&model, Per::Connection), bytes(&model, Per::Shard)), (110.0, 6e6));
        assert_eq!(model.part(Per::Process).known, Known::NotToldApart);
    }

    #[test]
    fn few_connections_say_nothing_as_long_as_others_have_many() {
        let mut runs: Vec<Observation> = [1_000.0, 5_000.0, 10.0]
            .iter()
            .map(|&subscribers| run("a.json", &sized(subscribers, 1.0), &NOTHING))
            .collect();
        runs[2].memory.resident_bytes_end = 5e6;
        runs[2].memory.kernel_bytes = Some(0.0);
        let fitted = MemoryModel::fit(&runs);
        assert_eq!((bytes(&fitted, Per::Connection), bytes(&fitted, Per::Shard)), (110.0, 6e6));
        assert_eq!(fitted.kernel_bytes_both_ends, Some(8_000.0));
        let shown: Vec<bool> = fitted.runs.iter().map(|fit| fit.fitted_bytes.is_some()).collect();
        assert_eq!(shown, [true, true, false]);
        let only_few = MemoryModel::fit(&runs[1..]);
        assert!(only_few.runs.iter().all(|fit| fit.fitted_bytes.is_some()));
    }

    #[test]
    fn a_budget_has_a_row_for_each_term_and_for_what_was_measured_above_it() {
        let model = model(&[sized(100.0, 1.0), sized(10_000.0, 1.0)]);
        let budget = Budget::parse(TEXT, "budget.json").expect("a budget");
        let holdings = Holdings { connections: 1_000.0, subscriptions: 0.0, topics: 10.0, shards: 2.0 };
        let rows = model.rows(Some(&budget), &holdings);
        let found: Vec<(&str, f64)> = rows.iter().map(|row| (row.name.as_str(), row.bytes.round())).collect();
        assert_eq!(
            found,
            [
                ("shard and process", 12e6),
                ("connection slot", 88_000.0),
                ("subscription", 16_000.0),
                ("socket", 4_096_000.0),
                ("topic", 9_760.0),
                ("message log", 134_217_728.0),
                ("ring", 237_568.0),
                ("scrape", 20_000.0),
                ("above the budget", 6_000.0),
            ]
        );
        assert_eq!(rows[1].source, "budget: state");
        assert_eq!(rows[8].source, "measured: 110 B, the budget has 104 B");
    }

    #[test]
    fn without_a_budget_there_is_what_was_measured() {
        let model = model(&[sized(100.0, 1.0), sized(10_000.0, 1.0)]);
        let holdings = Holdings { connections: 1_000.0, shards: 1.0, topics: 1.0, subscriptions: 0.0 };
        let rows = model.rows(None, &holdings);
        let found: Vec<(&str, Memory, f64)> =
            rows.iter().map(|row| (row.name.as_str(), row.memory, row.bytes.round())).collect();
        assert_eq!(
            found,
            [
                ("shard and process", Memory::User, 6e6),
                ("connection", Memory::User, 110_000.0),
                ("socket, both ends", Memory::Kernel, 8e6),
            ]
        );
    }
}
