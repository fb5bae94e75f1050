//! What one measured run says about costs: how long the server's cores were busy, and with what.

use serde::Serialize;

use super::cost::Quantities;
use super::target::COMPRESSED_FROM;
use super::wire::frame_bytes;
use crate::report::{ReadError, Report, Server};

/// The kernel's ticks see cores busy for at least this part of the time that the server's process ran on them; less is chance, or
/// work in step with the ticks.
const LEAST_SEEN_PART: f64 = 0.8;
/// Some ticks, for short runs.
const LEAST_BY_CHANCE: f64 = 0.1;
/// On loopback up to about half of the work is done in nobody's name; what is busy beyond that is somebody else's.
const MOST_TIMES_OF_PROCESS: f64 = 2.2;
/// Part of the cores' time that others may have.
const MOST_BY_OTHERS: f64 = 0.05;

/// Busier than this, a server sends several messages at once: without its own count nobody knows how many sends there were.
const MOST_BUSY_UNCOUNTED: f64 = 0.7;

/// A run, as far as a plan is concerned. Counts are those of the measured window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Observation {
    /// The report's file.
    pub run: String,
    pub preset: String,
    /// Messages were posted over HTTP.
    pub is_posted: bool,
    /// Processor and kernel.
    pub host: String,
    pub window_seconds: f64,
    /// Cores of the server, and how many of its shards shared them.
    pub cores: f64,
    pub shards: f64,
    pub busy_seconds: f64,
    /// How long the server's process ran: what others did on its cores is not in it, nor all that was done for it.
    pub process_seconds: f64,
    pub connections: f64,
    pub topics: f64,
    pub subscriptions: f64,
    /// Subscribers that each message went to.
    pub fan_out: f64,
    /// Payload of a message as it was received.
    pub message_bytes: f64,
    pub messages: f64,
    pub relays: f64,
    pub deliveries: f64,
    pub sends: f64,
    pub sends_from: SendsFrom,
    /// Encoded bytes of the deliveries.
    pub bytes: f64,
    pub is_compressed: bool,
    /// Connections opened before anything was published, and the cores' busy time for it.
    pub connects: f64,
    pub connect_busy_seconds: f64,
    pub memory: MemorySeen,
    pub is_generator_limited: bool,
    /// Cores that the generator was pinned to.
    pub generator_cores: Vec<usize>,
}

/// Who counted the sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SendsFrom {
    /// The server, on its metrics page.
    Server,
    /// Nobody: the server had time for every message by itself.
    Deliveries,
}

/// Memory of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MemorySeen {
    pub resident_bytes_before: f64,
    pub resident_bytes_end: f64,
    /// Slab and TCP buffers of both ends of all connections; none when the server is elsewhere.
    pub kernel_bytes: Option<f64>,
}

/// Why a run says nothing about costs.
#[derive(Debug, thiserror::Error)]
pub enum UnusableRun {
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    #[error(
        "{0}: the server's cores were not measured; run it again with --server-pid, the server on this host"
    )]
    NoServer(String),
    #[error(
        "{0}: the generator could run on the server's cores, so its own time is among theirs; give the two cores of \
         their own (taskset -c 0 corecast, corecast-load --cores 1)"
    )]
    SharedCores(String),
    #[error("{run}: the run is not valid: {why}")]
    NotValid { run: String, why: String },
    #[error(
        "{run}: {which} in it, and what that costs cannot be told from the rest; run it without, connecting is measured in \
         every run"
    )]
    NotSteady { run: String, which: &'static str },
    #[error(
        "{run}: the server ran for {ran:.2} s, of which the kernel's ticks saw its cores busy for {seen:.2} s: work that is in \
         step with them, 100 a second, is seen always or never; take a rate such as 97.3"
    )]
    InStepWithTicks { run: String, ran: f64, seen: f64 },
    #[error(
        "{0}: the server was too busy to tell what a send costs without its count of sends; run it again with \
         --metrics http://127.0.0.1:9002/metrics and a server of this version"
    )]
    UncountedSends(String),
}

impl Observation {
    /// What a plan needs of a report.
    pub(super) fn of(report: &Report, run: String) -> Result<Self, UnusableRun> {
        let Report { setup, delivery, throughput, verdict, .. } = report;
        let Some(server) = report.server.as_ref().filter(|server| !server.cores.is_empty()) else {
            return Err(UnusableRun::NoServer(run));
        };
        if server.shares_cores {
            return Err(UnusableRun::SharedCores(run));
        }
        // A limited generator spoils latencies, not what the server's cores did for what they sent.
        if verdict.interrupted || verdict.exit_code == 1 || verdict.exit_code == 2 {
            let why = verdict.reasons.first().cloned().unwrap_or_else(|| "it was interrupted".to_owned());
            return Err(UnusableRun::NotValid { run, why });
        }
        let unsteady = [
            (report.churn.is_some(), "connections came and went"),
            (report.slow.is_some(), "subscribers read slowly"),
            (report.reconnect.is_some(), "connections came back"),
        ];
        if let Some((_, which)) = unsteady.into_iter().find(|(is_so, _)| *is_so) {
            return Err(UnusableRun::NotSteady { run, which });
        }
        let (ran, seen) = (server.cpu_seconds, server.core_busy_seconds);
        if seen < LEAST_SEEN_PART * ran - LEAST_BY_CHANCE {
            return Err(UnusableRun::InStepWithTicks { run, ran, seen });
        }
        let window_seconds = setup.duration_ns as f64 / 1e9;
        // The throughput's time goes on until the last arrival; cores were looked at in the window.
        let deliveries = throughput.deliveries_per_second * window_seconds;
        let payload = throughput.megabytes_per_second * 1e6 * window_seconds;
        let message_bytes = if deliveries > 0.0 { payload / deliveries } else { setup.message_bytes.into() };
        let counts = Counts::of(report);
        // Pages are up to a quarter of a second old, so their counts are taken as parts of each other.
        let per_delivery = |count: Option<f64>| Some(count? / counts.deliveries.filter(|&all| all > 0.0)?);
        let (sends, sends_from) = match per_delivery(counts.sends) {
            Some(each) => (deliveries * each, SendsFrom::Server),
            None if server.core_busy_share > MOST_BUSY_UNCOUNTED => {
                return Err(UnusableRun::UncountedSends(run));
            }
            None => (deliveries, SendsFrom::Deliveries),
        };
        let encoded = per_delivery(counts.bytes).unwrap_or_else(|| {
            message_bytes + (frame_bytes(message_bytes as u64) - message_bytes as u64) as f64
        });
        let messages = throughput.messages_per_second * window_seconds;
        let relays_each = match (counts.relays, counts.messages) {
            (Some(relays), Some(messages)) if messages > 0.0 => relays / messages,
            _ => 0.0,
        };
        Ok(Self {
            run,
            preset: setup.preset.clone(),
            is_posted: setup.publish_url.starts_with("http"),
            host: format!("{}, {}", setup.host.cpu_model, setup.host.kernel),
            window_seconds,
            cores: server.cores.len() as f64,
            shards: report.shards.len().max(1) as f64,
            busy_seconds: server.core_busy_seconds,
            process_seconds: server.cpu_seconds,
            connections: report.connect.connected.into(),
            topics: setup.topics.into(),
            subscriptions: setup.topics_per_subscriber.into(),
            fan_out: if delivery.published > 0 {
                delivery.expected as f64 / delivery.published as f64
            } else {
                0.0
            },
            message_bytes,
            messages,
            relays: messages * relays_each,
            deliveries,
            sends,
            sends_from,
            bytes: deliveries * encoded,
            is_compressed: setup.deflate,
            connects: report.connect.connected.into(),
            connect_busy_seconds: server.connect_core_busy_seconds,
            memory: MemorySeen::of(report, server),
            is_generator_limited: verdict.generator_limited,
            generator_cores: setup.cores.clone(),
        })
    }

    /// Others ran on the server's cores, and are counted as the server.
    pub(super) fn is_disturbed(&self) -> bool {
        let others = MOST_BY_OTHERS * self.cores * self.window_seconds;
        self.busy_seconds > MOST_TIMES_OF_PROCESS * self.process_seconds + others
    }

    /// Runs of one kind have the same costs.
    pub(super) fn kind(&self) -> String {
        let posted = if self.is_posted { ", posted over HTTP" } else { "" };
        format!("{}{posted}", self.preset)
    }

    /// What the cores did in the window.
    pub(super) fn quantities(&self) -> Quantities {
        Quantities {
            core_seconds: self.cores * self.window_seconds,
            connections_per_core: self.connections / self.cores,
            sends: self.sends,
            bytes: self.bytes,
            messages: self.messages,
            passes: if self.deliveries > 0.0 {
                self.messages * (self.sends / self.deliveries).min(1.0)
            } else {
                self.messages
            },
            relays: self.relays,
            compressed_bytes: if self.is_compressed && self.message_bytes >= COMPRESSED_FROM {
                self.messages * self.message_bytes
            } else {
                0.0
            },
        }
    }
}

/// What the metrics page counted, over all shards.
struct Counts {
    deliveries: Option<f64>,
    sends: Option<f64>,
    bytes: Option<f64>,
    messages: Option<f64>,
    relays: Option<f64>,
}

impl Counts {
    fn of(report: &Report) -> Self {
        let sum = |value: fn(&crate::shards::Shard) -> Option<u64>| {
            let values: Vec<u64> = report.shards.iter().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<u64>() as f64)
        };
        Self {
            deliveries: sum(|shard| shard.deliveries),
            sends: sum(|shard| shard.sends),
            bytes: sum(|shard| shard.delivered_bytes),
            messages: sum(|shard| shard.published),
            relays: sum(|shard| shard.relayed),
        }
    }
}

impl MemorySeen {
    fn of(report: &Report, server: &Server) -> Self {
        let connections = f64::from(report.connect.connected);
        Self {
            resident_bytes_before: server.resident_bytes_before as f64,
            resident_bytes_end: server.resident_bytes_end as f64,
            // TCP's part is counted by the MiB for each core, so that it seems to fall where nothing was taken.
            kernel_bytes: report.kernel.map(|kernel| {
                connections * (kernel.slab_bytes_per_connection + kernel.tcp_bytes_per_connection.max(0.0))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Verdict, sample};
    use crate::shards::Shard;

    fn valid() -> Verdict {
        Verdict {
            valid: true,
            generator_limited: false,
            interrupted: false,
            reasons: Vec::new(),
            exit_code: 0,
        }
    }

    /// 10 s at 100 messages/s to 999.99 subscribers each: 4.5 s of core 0.
    fn report() -> Report {
        Report { verdict: valid(), ..sample::report() }
    }

    fn observed(report: &Report) -> Observation {
        Observation::of(report, "a.json".into()).expect("a usable run")
    }

    fn refused(report: &Report) -> String {
        Observation::of(report, "a.json".into()).expect_err("an unusable run").to_string()
    }

    #[test]
    fn counts_are_those_of_the_window() {
        let seen = observed(&report());
        assert_eq!((seen.window_seconds, seen.cores, seen.busy_seconds), (10.0, 1.0, 4.5));
        assert_eq!((seen.messages, seen.deliveries), (1_000.0, 999_990.0));
        assert_eq!((seen.sends, seen.sends_from), (999_990.0, SendsFrom::Deliveries));
        assert!((seen.message_bytes - 64.0).abs() < 0.01, "{}", seen.message_bytes);
        assert_eq!((seen.connections, seen.connects, seen.connect_busy_seconds), (1_000.0, 1_000.0, 0.5));
        assert_eq!(seen.fan_out, 1_000.0);
    }

    #[test]
    fn sends_and_bytes_are_counted_by_the_server() {
        let shard = |shard, published, relayed| Shard {
            shard,
            deliveries: Some(250_000),
            sends: Some(25_000),
            delivered_bytes: Some(16_500_000),
            published: Some(published),
            relayed: Some(relayed),
            ..Shard::default()
        };
        let mut report = report();
        report.shards = vec![shard(0, 1_000, 0), shard(1, 0, 1_000)];
        let seen = observed(&report);
        assert_eq!((seen.sends, seen.sends_from), (99_999.0, SendsFrom::Server));
        assert_eq!((seen.bytes, seen.relays), (66.0 * 999_990.0, 1_000.0));
        assert_eq!(seen.shards, 2.0);
    }

    #[test]
    fn runs_whose_connections_change_are_refused() {
        let slow = Report { slow: Some(Default::default()), ..report() };
        assert!(refused(&slow).starts_with("a.json: subscribers read slowly in it"));
        let churn = Report { churn: Some(Default::default()), ..report() };
        assert!(refused(&churn).starts_with("a.json: connections came and went in it"));
    }

    #[test]
    fn runs_that_say_nothing_about_costs_are_refused() {
        let mut given = report();
        given.verdict = Verdict { exit_code: 2, reasons: vec!["10 deliveries were lost".into()], ..valid() };
        assert_eq!(refused(&given), "a.json: the run is not valid: 10 deliveries were lost");
        given.verdict = Verdict { interrupted: true, exit_code: 0, ..valid() };
        assert_eq!(refused(&given), "a.json: the run is not valid: it was interrupted");
        given.verdict = Verdict { generator_limited: true, exit_code: 3, ..valid() };
        assert!(observed(&given).is_generator_limited);
        let server = given.server.as_mut().expect("a server");
        server.cpu_seconds = 5.8;
        assert_eq!(
            refused(&given),
            "a.json: the server ran for 5.80 s, of which the kernel's ticks saw its cores busy for 4.50 s: work that is in \
             step with them, 100 a second, is seen always or never; take a rate such as 97.3"
        );
        let server = given.server.as_mut().expect("a server");
        server.cpu_seconds = 5.7;
        assert!(!observed(&given).is_disturbed());
        let server = given.server.as_mut().expect("a server");
        server.cpu_seconds = 1.8;
        assert!(observed(&given).is_disturbed(), "4.5 s of the cores");
        let server = given.server.as_mut().expect("a server");
        server.core_busy_share = 0.71;
        assert!(refused(&given).contains("without its count of sends"));
        given.server.as_mut().expect("a server").shares_cores = true;
        assert!(refused(&given).contains("its own time is among theirs"));
        given.server = None;
        assert!(refused(&given).contains("run it again with --server-pid"));
    }
}
