//! A capacity plan: what a service of a given size needs, from what measured runs of the server cost.
//!
//! ```text
//!   reports --> observation --+--> cost (least squares) ---+--> sizing --> cores, hosts --+
//!                             |                            |                              |
//!   options --> target -------+----------------------------+--> wire --> bandwidth -------+--> plan --> text, JSON
//!                             |                            |                              |
//!   budget -------------------+--> memory -----------------+------------------------------+
//!                             |
//!                             +--> held out: runs that were not fitted, and what is predicted for them
//! ```
//!
//! The costs are fitted to the time that the server's cores were busy, whoever they were busy for: on loopback much of the kernel's
//! work is booked to nobody's process.

mod budget;
mod cost;
mod extrapolation;
mod held_out;
mod least_squares;
mod memory;
mod observation;
mod options;
mod sizing;
#[cfg(test)]
mod synthetic;
mod target;
mod text;
mod wire;

use std::path::{Path, PathBuf};

use serde::Serialize;

use budget::{Budget, BudgetError, BudgetSource, Memory};
use cost::{CostModel, Fit, Known, Term, Witness};
use extrapolation::{Extrapolation, extrapolations};
use held_out::Prediction;
use memory::{JSON_PRESET, MemoryModel, MemoryRow};
use observation::{Observation, UnusableRun};
pub use options::PlanOptions;
use sizing::{HostLimits, Hosts, Share, share};
use target::{COMPRESSED_FROM, Target};
use wire::{Network, Traffic};

use crate::output::print;
use crate::written::Written;

/// Changes when a field changes its name or meaning. New fields may come without.
pub const SCHEMA: &str = "corecast-load/plan/1";

/// Waits for which the plan says how many cores they would save.
const WAITS_SECONDS: [f64; 3] = [0.001, 0.01, 0.1];
/// What one server is configured for at most.
const MOST_CONNECTIONS: u64 = 16_777_152;
const MOST_TOPICS: u64 = 16_777_216;
/// Largest number of cores on one host of any size.
const MOST_CORES: u64 = 1 << 16;
/// A run this far off the model is told.
const NOTABLE_ERROR: f64 = 0.25;
/// Fewer connections than this have been opened in no time that ticks can tell.
const ENOUGH_CONNECTS: f64 = 5_000.0;

/// All that is planned, and what it is from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    pub schema: &'static str,
    pub version: &'static str,
    pub commit: &'static str,
    /// The runs that were fitted.
    pub runs: Vec<Observation>,
    pub costs: CostModel,
    pub witnesses: Vec<Witness>,
    pub memory: MemoryModel,
    /// Absent when runs were only checked.
    pub service: Option<Service>,
    /// Runs that were not fitted.
    pub check: Vec<Prediction>,
    pub extrapolations: Vec<Extrapolation>,
    /// What makes the plan less sure.
    pub warnings: Vec<String>,
    /// Runs that would tell what these do not.
    pub runs_to_make: Vec<RunToMake>,
    /// What the plan leaves out.
    pub not_included: Vec<&'static str>,
}

/// What the service needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    pub target: Target,
    pub limits: HostLimits,
    /// All of it on one host with as many cores as it takes. None when cores cannot do it.
    pub whole: Option<Share>,
    /// None when no number of such hosts is enough.
    pub hosts: Option<Hosts>,
    /// The share of one of the hosts needed, or of one that is not enough.
    pub host: Share,
    pub host_memory: Vec<MemoryRow>,
    /// Where the budget among them is from: its file, or the command that printed it.
    pub budget: Option<String>,
    pub host_user_bytes: f64,
    pub host_kernel_bytes: f64,
    /// What the server's process is likely to show, where the rows above have the bounds of its queues too.
    pub host_resident_bytes: f64,
    /// What it would take on one host of any size were messages of a topic to wait for each other.
    pub waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Waiting {
    pub seconds: f64,
    pub messages_per_send: f64,
    pub cores: Option<u64>,
    /// On the link of one host of any size.
    pub traffic: Traffic,
}

/// A run that would tell what a cost is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunToMake {
    pub term: &'static str,
    pub why: String,
    /// Options that the server needs for it.
    pub server: Option<&'static str>,
    pub command: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Run(#[from] UnusableRun),
    #[error(transparent)]
    Budget(#[from] BudgetError),
    #[error(
        "the runs are of different kinds of work, {0} and {1}, which do not cost the same: give runs with one --preset \
         and one way to publish"
    )]
    MixedKinds(String, String),
    #[error("cannot write the plan to {}: {cause}", path.display())]
    NotWritten { path: PathBuf, cause: std::io::Error },
    #[error("cannot print the plan: {0}")]
    NotPrinted(std::io::Error),
    #[error("{} is among --runs and --check: what was fitted proves nothing", .0.display())]
    CheckedRunFitted(PathBuf),
    #[error("{name} is {given}: give {wanted}")]
    OutOfRange { name: &'static str, given: String, wanted: &'static str },
}

/// Fits the runs and plans what the options ask for.
///
/// # Errors
/// When a run cannot be used, or the options do not fit together.
pub fn plan(options: &PlanOptions) -> Result<Plan, PlanError> {
    if let Some(both) = options.check.iter().find(|path| options.runs.contains(path)) {
        return Err(PlanError::CheckedRunFitted(both.clone()));
    }
    let runs = read(&options.runs)?;
    let held_out = read(&options.check)?;
    let kind = runs[0].kind();
    if let Some(other) = runs.iter().chain(&held_out).find(|run| run.kind() != kind) {
        return Err(PlanError::MixedKinds(kind, other.kind()));
    }
    let budget = match (&options.budget, &options.server_binary) {
        (Some(path), _) => BudgetSource::File(path.clone()),
        (None, Some(path)) => BudgetSource::Binary(path.clone()),
        (None, None) => BudgetSource::None,
    };
    let target =
        options.connections.map(|connections| target(options, connections, &runs[0].preset)).transpose()?;
    let limits = HostLimits {
        cores: options.host_cores,
        memory_bytes: options.host_memory as f64,
        link_bits_per_second: options.nic,
        headroom: options.headroom,
    };
    let network = Network { mtu: options.mtu, ip: options.ip, tls: options.tls };
    planned(runs, &held_out, target, limits, network, &budget)
}

/// Makes the plan, and prints it or writes it as JSON. The command's exit status.
///
/// # Errors
/// As [`plan`], or when it cannot be written.
pub fn print_plan(options: &PlanOptions) -> Result<u8, PlanError> {
    let plan = plan(options)?;
    match options.json.as_deref() {
        Some(path) if path == Path::new("-") => print(&plan.to_json()),
        Some(path) => {
            let written = std::fs::write(path, plan.to_json());
            written.map_err(|cause| PlanError::NotWritten { path: path.to_owned(), cause })?;
            print(&plan.to_string())
        }
        None => print(&plan.to_string()),
    }
    .map_err(PlanError::NotPrinted)?;
    Ok(plan.exit_code())
}

/// The runs of all files, of which each holds one or a series.
fn read(paths: &[PathBuf]) -> Result<Vec<Observation>, UnusableRun> {
    let mut found = Vec::new();
    for path in paths {
        let runs = Written::read_runs(path)?;
        for (number, run) in (1..).zip(&runs) {
            let name = match runs.len() {
                1 => path.display().to_string(),
                _ => format!("{} (run {number})", path.display()),
            };
            found.push(Observation::of(run, name)?);
        }
    }
    Ok(found)
}

fn target(options: &PlanOptions, connections: u64, preset: &str) -> Result<Target, PlanError> {
    let refuse = |name, given: String, wanted| Err(PlanError::OutOfRange { name, given, wanted });
    if connections == 0 || options.topics == 0 || options.subscriptions == 0 {
        return refuse("--connections, --topics or --subscriptions", "0".to_owned(), "at least 1");
    }
    let is_json = preset == JSON_PRESET;
    if options.subscriptions > 1 && !is_json {
        let wanted = "1, or runs with --preset corecast-json, where a connection may have several";
        return refuse("--subscriptions", options.subscriptions.to_string(), wanted);
    }
    let topics = options.topics as f64;
    let all = connections as f64 * f64::from(options.subscriptions);
    let fan_out = options.fan_out.unwrap_or(all / topics);
    if !(fan_out > 0.0 && fan_out <= connections as f64) {
        return refuse("--fan-out", fan_out.to_string(), "more than 0, and no more than --connections");
    }
    let rate = match (options.rate, options.topic_rate) {
        (Some(rate), _) => rate.per_second(),
        (None, Some(rate)) => rate.per_second() * topics,
        (None, None) => return refuse("--rate", "missing".to_owned(), "messages per second"),
    };
    let ping = options.ping_interval.as_secs_f64();
    Ok(Target {
        connections: connections as f64,
        topics,
        subscriptions: options.subscriptions.into(),
        rate,
        message_bytes: options.size.into(),
        fan_out,
        compressed_to: options.deflate,
        churn: options.churn.map_or(0.0, crate::units::Rate::per_second),
        ping_seconds: (ping > 0.0).then_some(ping),
        wait_seconds: options.wait.as_secs_f64(),
        is_acknowledged: is_json,
        is_json,
        network: Network { mtu: options.mtu, ip: options.ip, tls: options.tls },
    })
}

/// The plan, once everything has been read.
fn planned(
    runs: Vec<Observation>,
    held_out: &[Observation],
    target: Option<Target>,
    limits: HostLimits,
    network: Network,
    budget: &BudgetSource,
) -> Result<Plan, PlanError> {
    let costs = CostModel::fit(&runs);
    let memory = MemoryModel::fit(&runs);
    let mut check: Vec<Prediction> =
        held_out.iter().map(|run| Prediction::of(run, &costs, &memory, network)).collect();
    check.extend(Prediction::of_connects(held_out, &costs));
    let mut warnings = warnings_of_runs(&runs, &costs);
    let mut extrapolated = Vec::new();
    let mut runs_to_make = Vec::new();
    let mut service = None;
    if let Some(target) = target {
        let found = Service::plan(target, limits, &costs, &memory, budget, &mut warnings)?;
        let hosts = found.hosts.map_or(1.0, |hosts| hosts.needed as f64);
        extrapolated = extrapolations(&runs, &found.target, &found.host, hosts);
        warnings.extend(extrapolated.iter().map(Extrapolation::to_string));
        runs_to_make = missing_runs(&runs, &costs, &found);
        service = Some(found);
    }
    let not_included = not_included(&runs, network, service.as_ref());
    Ok(Plan {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("CORECAST_COMMIT"),
        witnesses: costs.witnesses(&runs),
        runs,
        costs,
        memory,
        service,
        check,
        extrapolations: extrapolated,
        warnings,
        runs_to_make,
        not_included,
    })
}

impl Service {
    fn plan(
        target: Target,
        limits: HostLimits,
        costs: &CostModel,
        memory: &MemoryModel,
        source: &BudgetSource,
        warnings: &mut Vec<String>,
    ) -> Result<Self, PlanError> {
        let asked = |hosts: u64, cores: u64| {
            let connections = (target.connections / hosts as f64).ceil() as u64;
            // What it says of one connection or topic does not depend on how many there are, and one server has its bounds.
            source.get(cores, connections.min(MOST_CONNECTIONS), (target.topics as u64).min(MOST_TOPICS))
        };
        let rows = |budget: Option<&Budget>, hosts: u64, cores: u64| {
            memory.rows(budget, &target.holdings(hosts as f64, cores as f64))
        };
        let total = |rows: &[MemoryRow]| rows.iter().map(|row| row.bytes).sum::<f64>();
        // For as many shards as a host can have; once it is known how many there are, for those.
        let most = asked(1, limits.cores)?;
        let hosts = limits.hosts(costs, &target, |hosts, cores| total(&rows(most.as_ref(), hosts, cores)));
        let count = hosts.map_or(1, |hosts| hosts.needed);
        let host = share(costs, &target, count, limits.cores, limits.headroom)
            .unwrap_or_else(|| Share::of(costs, &target, count, limits.cores));
        let budget = if host.cores == limits.cores { most } else { asked(count, host.cores)? };
        if let Some(budget) = budget.as_ref().filter(|budget| budget.shards != host.cores) {
            warnings.push(format!(
                "the budget is for {} shards, the plan has {}, and some terms depend on that: give what `corecast budget \
                 --json --shards {}` prints, or --server-binary",
                budget.shards, host.cores, host.cores
            ));
        }
        let host_memory = rows(budget.as_ref(), count, host.cores);
        let of = |memory: Memory| -> f64 {
            host_memory.iter().filter(|row| row.memory == memory).map(|row| row.bytes).sum()
        };
        if target.compressed_to.is_some() && target.message_bytes < COMPRESSED_FROM {
            warnings.push(format!(
                "messages of {:.0} bytes go plain, and are planned so, unless the server's deflate_threshold is lowered: it compresses \
                 from {COMPRESSED_FROM} bytes on",
                target.message_bytes
            ));
        }
        warnings.extend(warn_of_busiest_topic(costs, &target, limits.headroom));
        let waits = WAITS_SECONDS.into_iter().filter(|&seconds| seconds > target.wait_seconds);
        let waiting = waits.filter_map(|seconds| {
            let waiting = Target { wait_seconds: seconds, ..target.clone() };
            let messages_per_send = waiting.messages_per_send();
            let cores = share(costs, &waiting, 1, MOST_CORES, limits.headroom).map(|share| share.cores);
            let traffic = waiting.traffic(1.0);
            (messages_per_send > 1.0).then_some(Waiting { seconds, messages_per_send, cores, traffic })
        });
        Ok(Self {
            whole: share(costs, &target, 1, MOST_CORES, limits.headroom),
            hosts,
            host_user_bytes: of(Memory::User),
            host_kernel_bytes: of(Memory::Kernel),
            host_resident_bytes: memory.resident_bytes(&target.holdings(count as f64, host.cores as f64)),
            waiting: waiting.collect(),
            budget: source.name(host.cores),
            host_memory,
            host,
            limits,
            target,
        })
    }
}

/// A topic's messages are all numbered by one core, its home.
fn warn_of_busiest_topic(costs: &CostModel, target: &Target, headroom: f64) -> Option<String> {
    let each =
        costs.cost(Term::Pass).seconds + costs.cost(Term::Message).seconds + costs.cost(Term::Relay).seconds;
    let busy = target.rate / target.topics * each;
    (busy > 1.0 - headroom).then(|| {
        format!(
            "each topic's messages are taken in by one core, which would be {:.0} % busy with that alone: more topics with \
             fewer messages each are needed",
            busy * 100.0
        )
    })
}

fn warnings_of_runs(runs: &[Observation], costs: &CostModel) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(other) = runs.iter().find(|run| run.host != runs[0].host) {
        warnings.push(format!(
            "the runs are of different hosts: {} ({}), {} ({}); a cost is that of one",
            runs[0].host, runs[0].run, other.host, other.run
        ));
    }
    for run in runs.iter().filter(|run| run.is_disturbed()) {
        warnings.push(format!(
            "{}: the server's cores were busy for {:.2} s, its process ran for {:.2} s: others ran there, or its work was in \
             step with the kernel's ticks",
            run.run, run.busy_seconds, run.process_seconds
        ));
    }
    let fitted = costs.costs.iter().filter(|cost| cost.known == Known::Yes).count();
    if fitted >= runs.len() {
        let (fitted, runs) = (number(fitted, "cost"), number(runs.len(), "run"));
        warnings
            .push(format!("{fitted} from {runs}: there is nothing left to see an error by; give more runs"));
    }
    for fit in costs.runs.iter().filter(|fit| fit.is_telling() && fit.error().abs() > NOTABLE_ERROR) {
        let error = fit.error() * 100.0;
        warnings.push(format!("the model is {error:+.0} % off for {}, which it was fitted to", fit.run));
    }
    let busy_at_most = runs.iter().map(|run| run.busy_seconds).fold(0.0, f64::max);
    if !costs.runs.iter().any(Fit::is_telling) {
        warnings.push(format!(
            "no run kept the server busy for more than {busy_at_most:.2} s, a few ticks of 10 ms: run longer, or with more \
             to do"
        ));
    }
    warnings
}

fn number(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn missing_runs(runs: &[Observation], costs: &CostModel, service: &Service) -> Vec<RunToMake> {
    let run = |name: &'static str, why: String, server, options: &str| {
        let cores = runs[0].generator_cores.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let cores = if cores.is_empty() { String::new() } else { format!("--cores {cores} ") };
        let preset = &runs[0].preset;
        let command = format!(
            "corecast-load run --preset {preset} --server-pid $(pidof corecast) {cores}--busy-poll {options} \
             --json {name}.json"
        );
        RunToMake { term: name, why, server, command }
    };
    let mut missing: Vec<RunToMake> = costs
        .unknown_of(&service.host.second)
        .into_iter()
        .map(|cost| {
            let why = match cost.known {
                Known::NotToldApart => format!(
                    "these runs cannot tell {} from the other costs, which have it in them: right where it goes with them \
                     again",
                    cost.term.of()
                ),
                Known::NotRun if cost.term == Term::FarSend => {
                    "no run had 4,000 connections on a core, from where on sends cost more: none do in this plan".to_owned()
                }
                Known::NotRun | Known::Yes => {
                    format!("no run had any of it, so {} costs nothing in this plan", cost.term.of())
                }
            };
            run(cost.term.name(), why, cost.term.server_options(), cost.term.run_options())
        })
        .collect();
    if service.target.churn > 0.0 && costs.connect.connects < ENOUGH_CONNECTS {
        let why = format!(
            "only {:.0} connections were opened in all runs, which is too short to tell what one costs",
            costs.connect.connects
        );
        missing.push(run(
            "connect",
            why,
            None,
            "--subscribers 20000 --rate 1.3 --source 127.0.0.1 --source 127.0.0.2",
        ));
    }
    missing
}

fn not_included(runs: &[Observation], network: Network, service: Option<&Service>) -> Vec<&'static str> {
    let mut left_out = Vec::new();
    if runs.iter().all(|run| run.memory.kernel_bytes.is_some()) {
        left_out.push(
            "what a network card costs: its driver, interrupts and queues take cores too. All runs were over loopback, \
             which has none, but has the receiving side's TCP on the server's core instead",
        );
    }
    if network.tls {
        left_out.push("the processor time of TLS: the server has none yet, so nothing was measured; its bytes are counted");
    }
    let Some(service) = service else { return left_out };
    if service.target.churn > 0.0 {
        left_out.push("closing connections: their opening was measured");
    }
    left_out.push(
        "what the kernel holds for subscribers that read slowly, up to the socket's send buffer each; and packets on \
         their way",
    );
    left_out.push("latency: cores that are free most of the time answer soon, how soon is for measuring");
    left_out
}

impl Plan {
    /// As `--json` writes it, a line's end behind it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plan has no maps with other keys than text") + "\n"
    }

    /// 0, or 2 when a checked run is beyond its bounds, or 3 when no number of hosts is enough.
    pub fn exit_code(&self) -> u8 {
        let is_possible = self.service.as_ref().is_none_or(|service| service.hosts.is_some());
        match (self.check.iter().all(Prediction::is_within), is_possible) {
            (false, _) => 2,
            (true, false) => 3,
            (true, true) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
