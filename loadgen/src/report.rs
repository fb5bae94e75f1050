//! What a run found, as data: its `Display` prints it for people, serde for machines, and reads it back.
//!
//! Times are nanoseconds (`_ns`) unless the name says seconds; `share` is a part of one, or of one core.

mod apart;
#[cfg(test)]
mod documented;
pub(crate) mod json;
mod read;
#[cfg(test)]
pub(crate) mod sample;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::encoded_histogram::EncodedHistogram;
use crate::failure::Reasons;
use crate::host::Host;
use crate::measure::Recorder;
use crate::server_process::{KernelMemory, ServerSnapshot};
use crate::shards::Shard;
use crate::timeline::{Interval, IntervalHistograms};

pub(crate) use apart::problems as apart_problems;
pub use apart::{Churn, Reconnect, Slow, Storm};
pub use read::ReadError;

/// Changes when a field changes its name or meaning. New fields may come without.
pub const SCHEMA: &str = "corecast-load/1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema: String,
    pub version: String,
    pub commit: String,
    pub setup: Setup,
    pub connect: Connect,
    pub delivery: Delivery,
    pub throughput: Throughput,
    pub latency: Latency,
    /// All values behind the percentiles, for merging and comparing without loss. Reports of earlier versions have none.
    #[serde(default)]
    pub histograms: Histograms,
    pub generator: Generator,
    pub server: Option<Server>,
    /// What each shard of the server did, as far as its metrics page tells; empty without.
    pub shards: Vec<Shard>,
    /// Kernel memory of both ends, when the server is on this host.
    pub kernel: Option<Kernel>,
    pub closing: Closing,
    /// Parts that only runs with such subscribers have.
    #[serde(default)]
    pub churn: Option<Churn>,
    #[serde(default)]
    pub slow: Option<Slow>,
    #[serde(default)]
    pub reconnect: Option<Reconnect>,
    /// The run in intervals. Reports of earlier versions have none.
    #[serde(default)]
    pub timeline: Vec<Interval>,
    /// The latencies of those of the measured window. Only the log of histograms has them: they are not written as JSON.
    #[serde(skip)]
    pub interval_histograms: Vec<IntervalHistograms>,
    pub verdict: Verdict,
}

/// What was run, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    pub command_line: Vec<String>,
    /// When the run began, in milliseconds since 1970. Zero in reports of earlier versions.
    #[serde(default)]
    pub began_unix_ms: u64,
    pub host: Host,
    pub preset: String,
    pub url: String,
    pub publish_url: String,
    pub subscribers: u32,
    pub publishers: u32,
    /// Connections that they send over.
    pub publisher_connections: u32,
    pub topics: u32,
    pub topics_per_subscriber: u32,
    /// `open` or `closed`.
    pub load: String,
    /// Messages per thousand seconds of one publisher: open loop.
    pub rate_milli: Option<u64>,
    /// The same of the topic with the most publishers, and of all publishers together.
    pub topic_rate_milli: Option<u64>,
    pub total_rate_milli: Option<u64>,
    /// Messages on their way for each publisher: closed loop.
    pub in_flight: Option<u32>,
    /// Of a message's stamp and filler, on average where sizes differ.
    pub message_bytes: u32,
    /// The sizes as they were asked for.
    #[serde(default)]
    pub message_sizes: String,
    /// `text`, `binary` or `mixed`.
    pub message_kind: String,
    pub warmup_ns: u64,
    pub duration_ns: u64,
    pub grace_ns: u64,
    pub threads: usize,
    /// The processes that generated the load, when they were not the one that reports; else empty.
    #[serde(default)]
    pub hosts: Vec<LoadHost>,
    /// Cores the threads were pinned to; empty when they were not.
    pub cores: Vec<usize>,
    /// They looked for work instead of sleeping.
    pub busy_poll: bool,
    /// Subscribers got messages compressed.
    pub deflate: bool,
    pub run: u32,
    pub seed: u64,
}

/// A `corecast-load worker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadHost {
    /// As given to `--workers`.
    pub address: String,
    pub host: Host,
    pub threads: usize,
    /// Cores the threads were pinned to; empty when they were not.
    pub cores: Vec<usize>,
    /// It runs on the kernel of the process that reports.
    pub is_coordinators: bool,
    /// How far its clock was ahead of that process's before the run, and by how much that may be wrong.
    pub clock_ahead_ns: i64,
    pub clock_uncertainty_ns: u64,
    /// How much more it was ahead after the run.
    pub clock_drift_ns: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    pub wanted: u32,
    pub connected: u32,
    pub failed: u32,
    pub failures: Vec<Reason>,
    /// From the start until the last one was open.
    pub seconds: f64,
    pub per_second: f64,
    /// From asking for a socket to the subscribed, or accepted, connection.
    pub handshake: Percentiles,
    /// Present when every subscriber was pinged before publishing.
    pub ping: Option<Ping>,
}

/// One ping to every subscriber, after the connections were held without traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ping {
    pub sent: u64,
    pub answered: u64,
    pub seconds: f64,
    /// From the ping to its pong.
    pub round_trip: Percentiles,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub reason: String,
    pub count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Messages sent in the measured window.
    pub published: u64,
    /// Their stamps and fillers: what a publish template puts around them is not counted.
    #[serde(default)]
    pub published_bytes: u64,
    /// Messages that were due but that publishers' connections did not take.
    pub unsent: u64,
    /// Messages that the server refused.
    pub refused: u64,
    /// What it said, where it says so on the publisher's connection. Warm-up included.
    pub refusals: Vec<Reason>,
    /// Messages that were neither acknowledged nor refused in time, where the server does one of both. Warm-up included.
    pub unanswered: u64,
    /// One for each accepted message and subscriber.
    pub expected: u64,
    pub received: u64,
    /// Part of the expected that was received. Not above one, even where the server delivers what it refused.
    pub ratio: f64,
    /// Expected, not received within the grace time, and not announced as missed.
    pub lost: u64,
    /// Subscribers that lost anything, and how much the one lost that lost most.
    #[serde(default)]
    pub subscribers_with_loss: u64,
    #[serde(default)]
    pub worst_subscriber_lost: u64,
    /// Not received, but the server said so.
    pub announced_missed: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub unexpected: u64,
    /// Connections that ended before the run did.
    pub disconnected: u64,
    pub disconnections: Vec<Reason>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// From the start of the measured window to its end, or to the last arrival if that was later.
    pub seconds: f64,
    pub messages_per_second: f64,
    pub deliveries_per_second: f64,
    /// Payload received, in millions of bytes per second.
    pub megabytes_per_second: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// From the intended send time. Absent in the closed loop, which has none.
    pub from_intended: Option<Percentiles>,
    pub from_sent: Percentiles,
    /// From the first to the last subscriber, over the messages that every subscriber received.
    pub spread: Percentiles,
    /// Accepted messages without a spread: not every subscriber got them, or too many were on their way.
    pub untracked: u64,
    /// Measured deliveries without a latency: their publishers were on other hosts, with clocks of their own.
    #[serde(default)]
    pub untimed: u64,
    /// By how much a latency from one host to another may be wrong, where those were measured.
    #[serde(default)]
    pub clock_bound_ns: Option<u64>,
}

/// The histograms that [`Percentiles`] are taken from; empty for reports of versions that did not write them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histograms {
    /// Absent in the closed loop.
    pub from_intended: Option<EncodedHistogram>,
    pub from_sent: EncodedHistogram,
    pub spread: EncodedHistogram,
    pub handshake: EncodedHistogram,
    /// Absent when subscribers were not pinged.
    #[serde(default)]
    pub ping: Option<EncodedHistogram>,
    pub schedule_lag: EncodedHistogram,
    pub own_lag: EncodedHistogram,
    pub reap_lag: EncodedHistogram,
}

/// How the generator itself did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// How late messages were sent.
    pub schedule_lag: Percentiles,
    /// The part of it that was not the server's back-pressure.
    pub own_lag: Percentiles,
    /// How long each delivery may have waited for its completion to be reaped: that much of its latency may be the
    /// generator's.
    pub reap_lag: Percentiles,
    pub workers: Vec<WorkerUsage>,
    /// Receives in the measured window, and those of them that found no buffer free.
    pub receives: u64,
    pub receives_without_buffer: u64,
    pub completion_queue_overflows: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerUsage {
    /// Its host's number in `setup.hosts`, when there are any.
    #[serde(default)]
    pub host: Option<usize>,
    pub core: Option<usize>,
    /// Processor time over the measured window.
    pub cpu_share: f64,
    /// Time it was ready to run but had no core.
    pub run_queue_share: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    pub pid: u32,
    pub processes: u32,
    /// Over the measured window.
    pub cpu_seconds: f64,
    pub cpu_share: f64,
    /// Cores it may run on, and how long they were busy with anything.
    pub cores: Vec<usize>,
    pub core_busy_seconds: f64,
    /// Of all those cores together: at most one.
    pub core_busy_share: f64,
    /// Workers of this generator may run on those cores too.
    pub shares_cores: bool,
    /// The same two times while connections were opened: accepts and handshakes, before anything was published.
    pub connect_cpu_seconds: f64,
    pub connect_core_busy_seconds: f64,
    pub resident_bytes_before: u64,
    pub resident_bytes_connected: u64,
    pub resident_bytes_end: u64,
    /// Growth from before connecting to the end, over the connections. Negative when the server gave memory back.
    pub bytes_per_connection: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kernel {
    pub tcp_bytes_per_connection: f64,
    pub slab_bytes_per_connection: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Closing handshakes that were completed.
    pub closed: u64,
    /// Those that were not answered in time, or ended otherwise.
    pub not_closed: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub valid: bool,
    pub generator_limited: bool,
    pub interrupted: bool,
    /// One sentence for each thing that spoils the result.
    pub reasons: Vec<String>,
    /// 0 valid, 1 connections failed or interrupted, 2 loss, 3 generator-limited.
    pub exit_code: u8,
}

/// Percentiles of a histogram, in nanoseconds. All zero when it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    /// The first one: of one broadcast, its first receipt.
    #[serde(default)]
    pub min_ns: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub max_ns: u64,
}

impl Percentiles {
    pub fn of(recorder: &mut Recorder) -> Self {
        Self::of_histogram(recorder.histogram())
    }

    pub fn of_histogram(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            min_ns: if histogram.is_empty() { 0 } else { histogram.min() },
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: histogram.max(),
        }
    }
}

impl Reason {
    pub fn list(reasons: &Reasons) -> Vec<Self> {
        reasons.sorted().into_iter().map(|(reason, count)| Self { reason, count }).collect()
    }
}

/// The server at four moments of a run.
#[derive(Clone, Debug, Default)]
pub struct ServerHistory {
    pub before: ServerSnapshot,
    pub connected: ServerSnapshot,
    pub measure_begin: ServerSnapshot,
    pub measure_end: ServerSnapshot,
    pub end: ServerSnapshot,
}

impl Server {
    /// `generator_cores` are those that workers are pinned to; empty when they may run anywhere.
    pub fn new(
        pid: u32,
        history: &ServerHistory,
        seconds: f64,
        connections: u32,
        generator_cores: &[usize],
    ) -> Self {
        let cpu_seconds = history.measure_end.cpu_seconds - history.measure_begin.cpu_seconds;
        let core_busy_seconds =
            history.measure_end.core_busy_seconds - history.measure_begin.core_busy_seconds;
        let cores = history.measure_end.cores.clone();
        let core_seconds = seconds * cores.len() as f64;
        let growth = history.end.resident_bytes as f64 - history.before.resident_bytes as f64;
        Self {
            pid,
            processes: history.measure_end.processes,
            cpu_seconds,
            cpu_share: ratio(cpu_seconds, seconds),
            core_busy_seconds,
            core_busy_share: ratio(core_busy_seconds, core_seconds),
            shares_cores: generator_cores.is_empty()
                || generator_cores.iter().any(|core| cores.contains(core)),
            cores,
            connect_cpu_seconds: history.connected.cpu_seconds - history.before.cpu_seconds,
            connect_core_busy_seconds: history.connected.core_busy_seconds - history.before.core_busy_seconds,
            resident_bytes_before: history.before.resident_bytes,
            resident_bytes_connected: history.connected.resident_bytes,
            resident_bytes_end: history.end.resident_bytes,
            bytes_per_connection: ratio(growth, connections.into()),
        }
    }
}

impl Kernel {
    /// What the connections of a run added.
    pub fn new(before: KernelMemory, connected: KernelMemory, connections: u32) -> Self {
        let growth = |before: u64, after: u64| ratio(after as f64 - before as f64, connections.into());
        Self {
            tcp_bytes_per_connection: growth(before.tcp_bytes, connected.tcp_bytes),
            slab_bytes_per_connection: growth(before.slab_bytes, connected.slab_bytes),
        }
    }
}

/// Zero instead of a division by zero: JSON has no infinity.
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_versioned_schema() {
        let json = serde_json::to_value(sample::report()).expect("a report is serializable");
        assert_eq!(json["schema"], "corecast-load/1");
        assert_eq!(json["setup"]["rate_milli"], 100_000);
        assert_eq!(json["setup"]["host"]["cpu_model"], "Example CPU");
        assert_eq!(json["connect"]["failures"][0]["reason"], "cannot connect");
        assert_eq!(json["delivery"]["lost"], 10);
        assert_eq!(json["latency"]["from_intended"]["p999_ns"], 45_678_000);
        assert_eq!(json["generator"]["workers"][0]["core"], 1);
        assert_eq!(json["server"]["core_busy_share"], 0.45);
        assert_eq!(json["verdict"]["exit_code"], 1);
        let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        let expected = [
            "churn",
            "closing",
            "commit",
            "connect",
            "delivery",
            "generator",
            "histograms",
            "kernel",
            "latency",
            "reconnect",
            "schema",
            "server",
            "setup",
            "shards",
            "slow",
            "throughput",
            "timeline",
            "verdict",
            "version",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let report = sample::report();
        let json = serde_json::to_string_pretty(&report).expect("a report is serializable");
        assert_eq!(serde_json::from_str::<Report>(&json).expect("it was just written"), report);
    }

    #[test]
    fn reports_without_the_newer_parts_can_be_read() {
        let mut json = serde_json::to_value(sample::report()).expect("a report is serializable");
        let object = json.as_object_mut().expect("an object");
        object.retain(|key, _| key != "histograms" && key != "timeline");
        object["setup"].as_object_mut().expect("an object").remove("began_unix_ms");
        let report: Report = serde_json::from_value(json).expect("a report of an earlier version");
        assert_eq!((report.histograms, report.timeline), (Histograms::default(), Vec::new()));
    }
}
