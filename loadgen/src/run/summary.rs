//! From the workers' outcomes to the report.

use std::ops::Range;

use corecast_protocol::MessageKind;

use crate::check::count_accepted;
use crate::control::Timing;
use crate::encoded_histogram::EncodedHistogram;
use crate::failure::Reasons;
use crate::groups::Group;
use crate::host::Host;
use crate::measure::{Counts, Measure};
use crate::receiver::Absence;
use crate::report::{
    Closing, Connect, Delivery, Generator, Histograms, Kernel, Latency, LoadHost, Percentiles, Ping, Reason,
    Report, SCHEMA, Server, ServerHistory, Setup, Throughput, Verdict, WorkerUsage, apart_problems, ratio,
};
use crate::run::apart::{Apart, intersection, lost_with_publishers, subscribers};
use crate::run::crew::HostFacts;
use crate::scenario::{Load, Scenario};
use crate::server_process::KernelMemory;
use crate::shards::Shard;
use crate::timeline::{Sample, assemble, interval_ns};
use crate::worker::{Outcome, PublisherOutcome};

/// Everything a report is made from.
pub(super) struct Findings<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) timing: Timing,
    pub(super) command_line: &'a [String],
    pub(super) run: u32,
    pub(super) hosts: HostFacts,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) connect_seconds: f64,
    pub(super) ping: Option<Pings>,
    /// By the run's clock, and by the calendar's.
    pub(super) began: (u64, u64),
    pub(super) samples: Vec<Sample>,
    pub(super) server: Option<(u32, ServerHistory)>,
    pub(super) shards: Vec<Shard>,
    pub(super) kernel: (KernelMemory, KernelMemory),
    pub(super) is_interrupted: bool,
}

/// What the workers told of their pings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pings {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) seconds: f64,
}

pub(super) fn report(findings: Findings<'_>) -> Report {
    let Findings { scenario, timing, mut outcomes, .. } = findings;
    let mut publishers: Vec<PublisherOutcome> =
        outcomes.iter_mut().flat_map(|outcome| std::mem::take(&mut outcome.publishers)).collect();
    publishers.sort_by_key(|publisher| publisher.index);
    let lost_with_them = lost_with_publishers(scenario, &outcomes, &publishers);
    let silent = Silence::of(scenario, &outcomes, &publishers, Group::Steady, &lost_with_them);
    let apart = Apart::of(scenario, &timing, &mut outcomes, &publishers, &silent, &lost_with_them);

    let mut measure = Measure::default();
    let mut failures = Reasons::default();
    let mut disconnections = Reasons::default();
    let mut refusals = Reasons::default();
    let mut generator = Generator::default();
    let mut closing = Closing::default();
    let mut intervals = Vec::new();
    for (number, outcome) in outcomes.into_iter().enumerate() {
        measure.merge(outcome.measure);
        intervals.push(outcome.intervals);
        failures.merge(outcome.failures);
        disconnections.merge(outcome.disconnections);
        refusals.merge(outcome.refusals);
        let wall_ns = outcome.usage.wall_ns as f64;
        generator.workers.push(WorkerUsage {
            host: findings.hosts.host_of.get(number).copied(),
            core: scenario.workers[number],
            cpu_share: ratio(outcome.usage.cpu_ns as f64, wall_ns),
            run_queue_share: ratio(outcome.usage.run_queue_ns as f64, wall_ns),
        });
        generator.receives += outcome.receives;
        generator.receives_without_buffer += outcome.receives_without_buffer;
        generator.completion_queue_overflows += outcome.completion_queue_overflows;
        closing.closed += outcome.closed;
        closing.not_closed += outcome.not_closed;
    }
    generator.schedule_lag = Percentiles::of(&mut measure.schedule_lag);
    generator.own_lag = Percentiles::of(&mut measure.own_lag);
    generator.reap_lag = Percentiles::of(&mut measure.reap_lag);

    let connect = connect(scenario, &mut measure, &failures, findings.connect_seconds, findings.ping);
    let mut delivery = delivery(&publishers, &measure.counts, &silent, &disconnections, &refusals);
    let sum = |publisher: &PublisherOutcome| {
        scenario.sizes.sum(scenario.seed, publisher.index, publisher.measured.clone())
    };
    delivery.published_bytes = publishers.iter().map(sum).sum();
    let throughput = throughput(&timing, &delivery, &measure);
    let spread = Percentiles::of(&mut measure.spread);
    let heard = publishers.iter().filter(|publisher| silent.is_heard(scenario, publisher));
    let broadcasts: u64 = heard.map(|p| count_accepted(&p.measured, &p.refused)).sum();
    let latency = Latency {
        from_intended: matches!(scenario.load, Load::Open { .. })
            .then(|| Percentiles::of(&mut measure.from_intended)),
        from_sent: Percentiles::of(&mut measure.from_sent),
        spread,
        untracked: broadcasts.saturating_sub(spread.count),
        untimed: delivery.received - measure.from_sent.histogram().len(),
        clock_bound_ns: findings.hosts.clock_bound_ns,
    };
    let (began_ns, began_unix_ms) = findings.began;
    let (timeline, interval_histograms) = assemble(
        intervals,
        &findings.samples,
        &timing,
        interval_ns(scenario.duration),
        began_ns,
        matches!(scenario.load, Load::Open { .. }),
    );
    let histograms = Histograms {
        from_intended: latency.from_intended.map(|_| EncodedHistogram::of(measure.from_intended.histogram())),
        from_sent: EncodedHistogram::of(measure.from_sent.histogram()),
        spread: EncodedHistogram::of(measure.spread.histogram()),
        handshake: EncodedHistogram::of(measure.handshake.histogram()),
        ping: connect.ping.map(|_| EncodedHistogram::of(measure.ping.histogram())),
        schedule_lag: EncodedHistogram::of(measure.schedule_lag.histogram()),
        own_lag: EncodedHistogram::of(measure.own_lag.histogram()),
        reap_lag: EncodedHistogram::of(measure.reap_lag.histogram()),
    };
    let verdict = Verdict::new(&connect, &delivery, &latency, &generator, findings.is_interrupted)
        .with_losses(apart_problems(apart.churn.as_ref(), apart.slow.as_ref(), apart.reconnect.as_ref()));
    let (can_share, generator_cores) = cores_here(scenario, &findings.hosts);
    let window_seconds = timing.until_ns.saturating_sub(timing.measure_ns) as f64 / 1e9;
    let is_local = scenario.subscribe.address.ip().is_loopback();
    let (kernel_before, kernel_connected) = findings.kernel;
    Report {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("CORECAST_COMMIT").to_owned(),
        setup: setup(scenario, findings.command_line, findings.run, began_unix_ms, findings.hosts.hosts),
        server: findings.server.map(|(pid, history)| {
            let server = Server::new(pid, &history, window_seconds, connect.connected, &generator_cores);
            Server { shares_cores: can_share && server.shares_cores, ..server }
        }),
        shards: findings.shards,
        kernel: is_local.then(|| Kernel::new(kernel_before, kernel_connected, connect.connected)),
        connect,
        delivery,
        throughput,
        latency,
        histograms,
        generator,
        closing,
        churn: apart.churn,
        slow: apart.slow,
        reconnect: apart.reconnect,
        timeline,
        interval_histograms,
        verdict,
    }
}

/// Whether workers may run on this host, and on which cores of it; none for any.
fn cores_here(scenario: &Scenario, hosts: &HostFacts) -> (bool, Vec<usize>) {
    let is_here = |number: &usize| match hosts.host_of.get(*number) {
        None => true,
        Some(host) => hosts.hosts[*host].is_coordinators,
    };
    let here: Vec<usize> = (0..scenario.workers.len()).filter(is_here).collect();
    let is_pinned = here.iter().all(|number| scenario.workers[*number].is_some());
    let cores = here.iter().filter_map(|number| scenario.workers[*number].filter(|_| is_pinned));
    (!here.is_empty(), cores.collect())
}

fn setup(
    scenario: &Scenario,
    command_line: &[String],
    run: u32,
    began_unix_ms: u64,
    hosts: Vec<LoadHost>,
) -> Setup {
    let is_here = hosts.is_empty();
    let (load, rate_milli, in_flight) = match scenario.load {
        Load::Open { rate } => ("open", Some(rate.per_thousand_seconds()), None),
        Load::Closed { in_flight } => ("closed", None, Some(in_flight)),
    };
    Setup {
        command_line: command_line.to_vec(),
        began_unix_ms,
        host: Host::here(),
        preset: scenario.preset.name().to_owned(),
        url: scenario.url.clone(),
        publish_url: scenario.publish_url.clone(),
        subscribers: scenario.subscribers,
        publishers: scenario.publishers,
        publisher_connections: scenario.publisher_connections,
        topics: scenario.topics,
        topics_per_subscriber: scenario.topics_per_subscriber,
        load: load.to_owned(),
        rate_milli,
        topic_rate_milli: rate_milli.map(|rate| rate * u64::from(scenario.publishers_per_topic())),
        total_rate_milli: rate_milli.map(|rate| rate * u64::from(scenario.publishers)),
        in_flight,
        message_bytes: scenario.sizes.mean().round() as u32,
        message_sizes: scenario.sizes.to_string(),
        message_kind: match scenario.kind {
            _ if scenario.text_share.is_some() => "mixed",
            MessageKind::Text => "text",
            MessageKind::Binary => "binary",
        }
        .to_owned(),
        warmup_ns: scenario.warmup.as_nanos() as u64,
        duration_ns: scenario.duration.as_nanos() as u64,
        grace_ns: scenario.grace.as_nanos() as u64,
        threads: scenario.workers.len(),
        busy_poll: scenario.busy_poll,
        deflate: scenario.deflate,
        // Those of other hosts are told with each of them.
        cores: scenario.workers.iter().copied().flatten().filter(|_| is_here).collect(),
        hosts,
        run,
        seed: scenario.seed,
    }
}

fn connect(
    scenario: &Scenario,
    measure: &mut Measure,
    failures: &Reasons,
    seconds: f64,
    pings: Option<Pings>,
) -> Connect {
    let handshake = Percentiles::of(&mut measure.handshake);
    Connect {
        wanted: scenario.connections(),
        connected: handshake.count as u32,
        failed: failures.total() as u32,
        failures: Reason::list(failures),
        seconds,
        per_second: ratio(handshake.count as f64, seconds),
        handshake,
        ping: pings.map(|Pings { sent, answered, seconds }| Ping {
            sent,
            answered,
            seconds,
            round_trip: Percentiles::of(&mut measure.ping),
        }),
    }
}

/// What subscribers did not get.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Silence {
    /// Over all subscribers, as the next three.
    pub(super) expected: u64,
    not_received: u64,
    /// Not received, and not announced by the server.
    pub(super) lost: u64,
    /// Not expected, as the subscriber was away, or the message went down with its publisher's connection.
    pub(super) missed_away: u64,
    subscribers_with_loss: u64,
    worst_subscriber_lost: u64,
    /// By topic: somebody listens.
    heard: Vec<bool>,
}

impl Silence {
    /// Of the subscribers of one group. `publishers` are in the order of their index; `lost_with_them` are the messages that
    /// went down with each of them.
    pub(super) fn of(
        scenario: &Scenario,
        outcomes: &[Outcome],
        publishers: &[PublisherOutcome],
        group: Group,
        lost_with_them: &[Vec<Range<u32>>],
    ) -> Self {
        let mut silence = Self { heard: vec![false; scenario.topics as usize], ..Self::default() };
        for (outcome, local, first) in subscribers(scenario, outcomes, group) {
            let mut missing = 0;
            for (nth, topic) in scenario.topics_from(first).enumerate() {
                silence.heard[topic as usize] = true;
                for publisher in publishers.iter().skip(topic as usize).step_by(scenario.topics as usize) {
                    let in_topic = (publisher.index / scenario.topics) as usize;
                    let place = nth * scenario.publishers_per_topic() as usize + in_topic;
                    let accepted = |ranges: &[Range<u32>]| -> u64 {
                        ranges.iter().map(|range| count_accepted(range, &publisher.refused)).sum()
                    };
                    let ranges = outcome.check.missing(local, place, publisher.measured.clone());
                    let with_it = match lost_with_them[publisher.index as usize].as_slice() {
                        [] => 0,
                        lost => accepted(&intersection(&ranges, lost)),
                    };
                    let away = outcome.check.missed_away(local, place, publisher.measured.clone());
                    let missed_away = accepted(&away) + with_it;
                    silence.missed_away += missed_away;
                    silence.expected += count_accepted(&publisher.measured, &publisher.refused) - missed_away;
                    missing += accepted(&ranges) - with_it;
                }
            }
            silence.add(missing, outcome.absences.get(&(local as u32)).copied().unwrap_or_default());
        }
        silence
    }

    /// One more subscriber, of which the check misses so many. What the server announces to one subscriber explains no
    /// other's loss.
    fn add(&mut self, missing: u64, absence: Absence) {
        let not_received = missing + absence.given_up;
        let lost = not_received.saturating_sub(absence.announced);
        self.not_received += not_received;
        self.lost += lost;
        self.subscribers_with_loss += u64::from(lost > 0);
        self.worst_subscriber_lost = self.worst_subscriber_lost.max(lost);
    }

    fn is_heard(&self, scenario: &Scenario, publisher: &PublisherOutcome) -> bool {
        self.heard[scenario.topic_of(publisher.index) as usize]
    }
}

fn delivery(
    publishers: &[PublisherOutcome],
    counts: &Counts,
    silence: &Silence,
    disconnections: &Reasons,
    refusals: &Reasons,
) -> Delivery {
    let refused_in = |publisher: &PublisherOutcome| {
        publisher.measured.len() as u64 - count_accepted(&publisher.measured, &publisher.refused)
    };
    Delivery {
        published: publishers.iter().map(|publisher| publisher.measured.len() as u64).sum(),
        published_bytes: 0,
        unsent: publishers.iter().map(|publisher| publisher.unsent).sum(),
        refused: publishers.iter().map(refused_in).sum(),
        refusals: Reason::list(refusals),
        unanswered: publishers.iter().map(|publisher| publisher.unanswered).sum(),
        expected: silence.expected,
        received: counts.received,
        ratio: ratio((silence.expected - silence.not_received) as f64, silence.expected as f64),
        lost: silence.lost,
        subscribers_with_loss: silence.subscribers_with_loss,
        worst_subscriber_lost: silence.worst_subscriber_lost,
        announced_missed: counts.announced_missed,
        duplicated: counts.duplicated,
        reordered: counts.reordered,
        unexpected: counts.unexpected,
        disconnected: disconnections.total(),
        disconnections: Reason::list(disconnections),
    }
}

fn throughput(timing: &Timing, delivery: &Delivery, measure: &Measure) -> Throughput {
    let end_ns = timing.until_ns.max(measure.last_arrival_ns);
    let seconds = end_ns.saturating_sub(timing.measure_ns) as f64 / 1e9;
    Throughput {
        seconds,
        messages_per_second: ratio(delivery.published as f64, seconds),
        deliveries_per_second: ratio(delivery.received as f64, seconds),
        megabytes_per_second: ratio(measure.counts.received_bytes as f64 / 1e6, seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_to_one_subscriber_explains_no_other_ones_loss() {
        let mut silence = Silence::default();
        silence.add(0, Absence::default());
        silence.add(3, Absence { given_up: 4, announced: 0 });
        silence.add(5, Absence { given_up: 0, announced: 5 });
        // Says more than there was.
        silence.add(2, Absence { given_up: 0, announced: 9 });
        silence.add(1, Absence::default());
        assert_eq!((silence.not_received, silence.lost), (15, 8));
        assert_eq!((silence.subscribers_with_loss, silence.worst_subscriber_lost), (2, 7));
    }

    #[test]
    fn throughput_counts_until_the_last_arrival() {
        let timing = Timing { start_ns: 0, measure_ns: 1_000_000_000, until_ns: 3_000_000_000 };
        let delivery = Delivery { published: 200, received: 2_000, ..Delivery::default() };
        let mut measure = Measure { last_arrival_ns: 2_999_000_000, ..Measure::default() };
        measure.counts.received_bytes = 128_000_000;
        let in_time = throughput(&timing, &delivery, &measure);
        assert_eq!((in_time.seconds, in_time.messages_per_second), (2.0, 100.0));
        assert_eq!((in_time.deliveries_per_second, in_time.megabytes_per_second), (1_000.0, 64.0));
        measure.last_arrival_ns = 5_000_000_000;
        assert_eq!(throughput(&timing, &delivery, &measure).deliveries_per_second, 500.0);
    }
}
