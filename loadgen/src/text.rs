//! The report for people: one screen, the verdict last.

mod apart;
mod hosts;
pub(crate) mod search;
mod series;

use std::fmt::{self, Write};

use crate::report::{Percentiles, Reason, Report, Setup, WorkerUsage, ratio};
use crate::shards::Shard;

/// Failures and disconnections that are shown; JSON has them all.
const MOST_REASONS: usize = 5;
/// Threads that are shown one by one.
const MOST_THREADS: usize = 8;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "corecast-load {} ({})", self.version, self.commit)?;
        write_setup(f, &self.setup)?;
        self.write_connect(f)?;
        self.write_times(f)?;
        self.write_delivery(f)?;
        self.write_apart(f)?;
        self.write_processes(f)?;
        self.write_verdict(f)
    }
}

fn write_setup(f: &mut fmt::Formatter<'_>, setup: &Setup) -> fmt::Result {
    line(f, "target", &format!("{} ({})", setup.url, setup.preset))?;
    if setup.publish_url != setup.url {
        line(f, "publishing", &setup.publish_url)?;
    }
    line(f, "load", &load_text(setup))?;
    line(
        f,
        "host",
        &format!(
            "{}, {}, {}; {}{}",
            setup.host.kernel,
            setup.host.cpu_model,
            plural(setup.host.allowed_cores as u64, "core"),
            setup.threads_text(),
            if setup.busy_poll { ", busy polling" } else { "" }
        ),
    )?;
    hosts::write_hosts(f, &setup.hosts)
}

/// What is sent to whom, in one line.
pub(crate) fn load_text(setup: &Setup) -> String {
    let mut publishers = plural(setup.publishers.into(), "publisher");
    if setup.publisher_connections != setup.publishers {
        let connections = plural(setup.publisher_connections.into(), "connection");
        publishers = format!("{publishers} ({connections})");
    }
    let load = match (setup.rate_milli, setup.in_flight) {
        (Some(rate), _) => format!("open loop: {publishers} x {}/s{}", per_second(rate), sums(setup, rate)),
        (_, in_flight) => format!("closed loop: {publishers} x {} in flight", in_flight.unwrap_or_default()),
    };
    let each = match setup.topics_per_subscriber {
        1 => String::new(),
        each => format!(" ({each} each)"),
    };
    format!(
        "{load}, {} bytes {}{}, {} on {}{each}",
        setup.message_sizes,
        setup.message_kind,
        if setup.deflate { " compressed" } else { "" },
        plural(setup.subscribers.into(), "subscriber"),
        plural(setup.topics.into(), "topic")
    )
}

/// What the publishers' rate makes for a topic and in all, when there are several.
fn sums(setup: &Setup, rate: u64) -> String {
    if setup.publishers == 1 {
        return String::new();
    }
    let least = per_second(rate * u64::from(setup.publishers / setup.topics));
    let most = per_second(rate * u64::from(setup.publishers.div_ceil(setup.topics)));
    let topic = if least == most { most } else { format!("{least} to {most}") };
    format!(" = {topic}/s a topic, {}/s in all", per_second(rate * u64::from(setup.publishers)))
}

fn per_second(rate_milli: u64) -> String {
    (rate_milli as f64 / 1_000.0).to_string()
}

impl Report {
    fn write_connect(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect = &self.connect;
        line(
            f,
            "connected",
            &format!(
                "{} of {} in {:.2} s, {}/s; {} failed",
                thousands(connect.connected.into()),
                thousands(connect.wanted.into()),
                connect.seconds,
                thousands(connect.per_second as u64),
                thousands(connect.failed.into())
            ),
        )?;
        write_reasons(f, &connect.failures)
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:14}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>14}",
            "", "min", "p50", "p90", "p99", "p99.9", "max", "count"
        )?;
        let latency = &self.latency;
        if let Some(from_intended) = &latency.from_intended {
            times(f, "from intended", from_intended)?;
        }
        times(f, "from sent", &latency.from_sent)?;
        times(f, "spread", &latency.spread)?;
        times(f, "handshake", &self.connect.handshake)?;
        if let Some(ping) = &self.connect.ping {
            times(f, "ping", &ping.round_trip)?;
        }
        let apart = [
            ("churn's", self.churn.as_ref().map(|churn| &churn.handshake)),
            ("churn latency", self.churn.as_ref().map(|churn| &churn.latency)),
            ("slow latency", self.slow.as_ref().map(|slow| &slow.latency)),
            ("until ended", self.slow.as_ref().map(|slow| &slow.until_disconnected)),
            ("reconnects'", self.reconnect.as_ref().map(|reconnect| &reconnect.handshake)),
            ("away", self.reconnect.as_ref().map(|reconnect| &reconnect.absence)),
        ];
        for (name, percentiles) in apart {
            percentiles.map_or(Ok(()), |percentiles| times(f, name, percentiles))?;
        }
        if latency.from_intended.is_some() {
            times(f, "schedule lag", &self.generator.schedule_lag)?;
            times(f, "  own part", &self.generator.own_lag)?;
        }
        times(f, "reap lag", &self.generator.reap_lag)?;
        if latency.from_intended.is_none() {
            writeln!(
                f,
                "  (closed loop: there are no intended times, latency runs from the actual send only)"
            )?;
        }
        if let Some(text) = self.clocks_text() {
            writeln!(f, "  ({text})")?;
        }
        f.write_char('\n')
    }

    fn write_delivery(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delivery = &self.delivery;
        let throughput = &self.throughput;
        line(
            f,
            "delivery",
            &format!(
                "{:.4} %: {} of {} received",
                delivery.ratio * 100.0,
                thousands(delivery.received),
                thousands(delivery.expected)
            ),
        )?;
        line(
            f,
            "",
            &format!(
                "lost {}, announced missed {}, duplicated {}, reordered {}, unexpected {}",
                thousands(delivery.lost),
                thousands(delivery.announced_missed),
                thousands(delivery.duplicated),
                thousands(delivery.reordered),
                thousands(delivery.unexpected)
            ),
        )?;
        let mean = ratio(delivery.published_bytes as f64, delivery.published as f64);
        let is_fixed = self.setup.message_sizes.parse::<u32>().is_ok();
        let sizes = if is_fixed { String::new() } else { format!(" of {mean:.0} bytes on average") };
        if delivery.lost > 0 {
            let unlucky = plural(delivery.subscribers_with_loss, "subscriber");
            let most = thousands(delivery.worst_subscriber_lost);
            line(f, "", &format!("lost by {unlucky}, at most {most} by one"))?;
        }
        line(
            f,
            "published",
            &format!(
                "{} messages{sizes}; {} refused, {} not taken in time",
                thousands(delivery.published),
                thousands(delivery.refused),
                thousands(delivery.unsent)
            ),
        )?;
        write_reasons(f, &delivery.refusals)?;
        if delivery.unanswered > 0 {
            let unanswered = plural(delivery.unanswered, "message");
            line(f, "", &format!("{unanswered} neither acknowledged nor refused in time"))?;
        }
        line(
            f,
            "throughput",
            &format!(
                "{} messages/s, {} deliveries/s, {:.1} MB/s over {:.2} s",
                thousands(throughput.messages_per_second.round() as u64),
                thousands(throughput.deliveries_per_second.round() as u64),
                throughput.megabytes_per_second,
                throughput.seconds
            ),
        )?;
        if delivery.disconnected > 0 {
            line(f, "disconnected", &plural(delivery.disconnected, "connection"))?;
            write_reasons(f, &delivery.disconnections)?;
        }
        if self.closing.not_closed > 0 {
            let not_closed = plural(self.closing.not_closed, "closing handshake");
            line(f, "closing", &format!("{not_closed} not completed"))?;
        }
        Ok(())
    }

    fn write_processes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "generator", &threads_busy(&self.generator.workers))?;
        if let Some(server) = &self.server {
            let shared = if server.shares_cores { ", shared with the generator" } else { "" };
            line(
                f,
                "server",
                &format!(
                    "pid {}: {:.2} s of CPU, {:.0} % of a core; core {} {:.0} % busy{shared}",
                    server.pid,
                    server.cpu_seconds,
                    server.cpu_share * 100.0,
                    list(&server.cores),
                    server.core_busy_share * 100.0
                ),
            )?;
            line(
                f,
                "",
                &format!(
                    "memory {} before, {} connected, {} at the end: {:.0} bytes a connection",
                    mebibytes(server.resident_bytes_before),
                    mebibytes(server.resident_bytes_connected),
                    mebibytes(server.resident_bytes_end),
                    server.bytes_per_connection
                ),
            )?;
        }
        write_shards(f, &self.shards)?;
        if let Some(kernel) = &self.kernel {
            line(
                f,
                "kernel",
                &format!(
                    "both ends of a connection, as this host's sums grew: {:.0} bytes slab, {:.0} bytes TCP buffers",
                    kernel.slab_bytes_per_connection, kernel.tcp_bytes_per_connection
                ),
            )?;
        }
        Ok(())
    }

    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in &self.verdict.reasons {
            writeln!(f, "  ! {reason}")?;
        }
        let validity = if self.verdict.valid { "valid" } else { "not valid" };
        let interrupted = if self.verdict.interrupted { ", interrupted" } else { "" };
        let limited = if self.verdict.generator_limited { "yes" } else { "no" };
        writeln!(f, "verdict: {validity}{interrupted}; generator-limited: {limited}")
    }
}

/// Each thread's share of a core, or what they have in common when they are many.
pub(crate) fn threads_busy(workers: &[WorkerUsage]) -> String {
    let share = |worker: &WorkerUsage| {
        format!("{:.0} % (+{:.0} % waiting)", worker.cpu_share * 100.0, worker.run_queue_share * 100.0)
    };
    if workers.len() <= MOST_THREADS {
        return format!("threads busy {}", workers.iter().map(share).collect::<Vec<_>>().join(", "));
    }
    let sum: f64 = workers.iter().map(|worker| worker.cpu_share).sum();
    let total = |worker: &WorkerUsage| worker.cpu_share + worker.run_queue_share;
    let busiest = workers.iter().max_by(|a, b| total(a).total_cmp(&total(b)));
    let busiest = busiest.map(share).unwrap_or_default();
    format!("{} threads busy {:.0} % of a core in all, the busiest {busiest}", workers.len(), sum * 100.0)
}

/// Connections and subscribers as they were at the end, the rest as it grew in the measured window.
fn write_shards(f: &mut fmt::Formatter<'_>, shards: &[Shard]) -> fmt::Result {
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), thousands);
    for (index, shard) in shards.iter().enumerate() {
        if index == 0 {
            writeln!(
                f,
                "  {:14}{:>11}{:>13}{:>12}{:>12}{:>15}{:>8}",
                "shards", "connections", "subscribers", "published", "relayed", "deliveries", "busy"
            )?;
        }
        let busy = shard.busy_share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
        writeln!(
            f,
            "  {:14}{:>11}{:>13}{:>12}{:>12}{:>15}{busy:>8}",
            format!("  {}", shard.shard),
            count(shard.connections),
            count(shard.subscribers),
            count(shard.published),
            count(shard.relayed),
            count(shard.deliveries),
        )?;
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {name:14}{text}")
}

fn write_reasons(f: &mut fmt::Formatter<'_>, reasons: &[Reason]) -> fmt::Result {
    for reason in reasons.iter().take(MOST_REASONS) {
        line(f, "", &format!("{} x {}", thousands(reason.count), reason.reason))?;
    }
    match reasons.len().saturating_sub(MOST_REASONS) {
        0 => Ok(()),
        more => line(f, "", &format!("and {more} more reasons")),
    }
}

fn times(f: &mut fmt::Formatter<'_>, name: &str, percentiles: &Percentiles) -> fmt::Result {
    let Percentiles { count, min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns } = *percentiles;
    write!(f, "  {name:14}")?;
    for ns in [min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns] {
        let text = if count == 0 { "-".to_owned() } else { time(ns) };
        write!(f, "{text:>9}")?;
    }
    writeln!(f, "{:>14}", thousands(count))
}

/// Three significant digits with a unit.
pub(crate) fn time(ns: u64) -> String {
    // The bounds are where rounding makes a digit more.
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (ns as f64 / 1e3, "us"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = match value {
        ..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn plural(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(crate) fn list(numbers: &[usize]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::report;

    #[test]
    fn text_is_one_aligned_screen_with_the_verdict_last() {
        let expected = "\
corecast-load 0.1.0 (abc1234)
  target        ws://127.0.0.1:9001/topics/{topic}?role=subscriber (corecast)
  publishing    ws://127.0.0.1:9001/topics/{topic}?role=publisher
  load          open loop: 1 publisher x 100/s, 64 bytes binary, 1,000 subscribers on 1 topic
  host          Linux 6.18.0, Example CPU, 2 cores; 1 thread on core 1
  connected     1,000 of 1,001 in 0.25 s, 4,000/s; 1 failed
                1 x cannot connect

                      min      p50      p90      p99    p99.9      max         count
  from intended   78.0 us   123 us   456 us  1.23 ms  45.7 ms   1.50 s       999,990
  from sent       7.80 us  12.3 us  45.6 us   123 us  4.57 ms   150 ms       999,990
  spread           780 ns  1.23 us  4.56 us  12.3 us   457 us  15.0 ms           990
  handshake       78.0 us   123 us   456 us  1.23 ms  45.7 ms   1.50 s         1,000
  ping            7.80 us  12.3 us  45.6 us   123 us  4.57 ms   150 ms         1,000
  schedule lag      78 ns   123 ns   456 ns  1.23 us  45.7 us  1.50 ms         1,000
    own part        78 ns   123 ns   456 ns  1.23 us  45.7 us  1.50 ms         1,000
  reap lag              -        -        -        -        -        -             0

  delivery      99.9990 %: 999,990 of 1,000,000 received
                lost 10, announced missed 0, duplicated 0, reordered 0, unexpected 0
                lost by 3 subscribers, at most 7 by one
  published     1,000 messages; 0 refused, 0 not taken in time
  throughput    100 messages/s, 99,999 deliveries/s, 6.4 MB/s over 10.00 s
  closing       2 closing handshakes not completed
  generator     threads busy 42 % (+1 % waiting)
  server        pid 77: 3.21 s of CPU, 32 % of a core; core 0 45 % busy
                memory 4.0 MiB before, 5.0 MiB connected, 5.0 MiB at the end: 1049 bytes a connection
  kernel        both ends of a connection, as this host's sums grew: 7890 bytes slab, 12 bytes TCP buffers
  ! 1 of 1001 connections failed
  ! 10 deliveries were lost
verdict: not valid; generator-limited: no
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn many_threads_are_summed_up() {
        let mut report = report();
        let worker =
            |cpu_share, run_queue_share| WorkerUsage { host: None, core: None, cpu_share, run_queue_share };
        report.generator.workers = vec![worker(0.02, 0.5); 61];
        report.generator.workers[7] = worker(0.01, 0.95);
        let text = report.to_string();
        let expected =
            "generator     61 threads busy 121 % of a core in all, the busiest 1 % (+95 % waiting)\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn closed_loop_says_that_it_has_no_intended_times() {
        let mut report = report();
        report.setup = Setup { rate_milli: None, in_flight: Some(64), load: "closed".into(), ..report.setup };
        report.latency.from_intended = None;
        let text = report.to_string();
        assert!(text.contains("closed loop: 1 publisher x 64 in flight"), "{text}");
        assert!(text.contains("there are no intended times"), "{text}");
        assert!(!text.contains("from intended") && !text.contains("schedule lag"), "{text}");
    }

    #[test]
    fn several_publishers_have_their_rates_added_up() {
        let mut report = report();
        report.setup = Setup {
            publishers: 8,
            publisher_connections: 8,
            topics: 4,
            topics_per_subscriber: 2,
            ..report.setup
        };
        let text = report.to_string();
        let load = "open loop: 8 publishers x 100/s = 200/s a topic, 800/s in all, 64 bytes binary, \
                    1,000 subscribers on 4 topics (2 each)\n";
        assert!(text.contains(load), "{text}");
        report.setup =
            Setup { publishers: 9, publisher_connections: 9, topics_per_subscriber: 1, ..report.setup };
        let text = report.to_string();
        assert!(text.contains("9 publishers x 100/s = 200 to 300/s a topic, 900/s in all, 64"), "{text}");
        report.setup.publisher_connections = 2;
        let text = report.to_string();
        assert!(text.contains("open loop: 9 publishers (2 connections) x 100/s = "), "{text}");
    }

    #[test]
    fn refusals_are_told_in_the_servers_words() {
        let mut report = report();
        report.delivery.refused = 3;
        report.delivery.unanswered = 1;
        report.delivery.refusals = vec![Reason { reason: "too_large: at most 9 bytes".into(), count: 3 }];
        let text = report.to_string();
        let published = "  published     1,000 messages; 3 refused, 0 not taken in time
                3 x too_large: at most 9 bytes
                1 message neither acknowledged nor refused in time
  throughput";
        assert!(text.contains(published), "{text}");
    }

    #[test]
    fn shards_are_a_table_behind_the_server() {
        let mut report = report();
        let full = Shard {
            shard: 0,
            connections: Some(510),
            subscribers: Some(500),
            published: Some(1_000),
            relayed: Some(1_000_000),
            deliveries: Some(1_500_000_000),
            sends: Some(1_000_000),
            delivered_bytes: None,
            busy_seconds: Some(4.2),
            busy_share: Some(0.42),
        };
        report.shards = vec![full, Shard { shard: 1, connections: Some(7), ..Shard::default() }];
        let expected =
            "  shards        connections  subscribers   published     relayed     deliveries    busy
    0                   510          500       1,000   1,000,000  1,500,000,000    42 %
    1                     7            -           -           -              -       -
  kernel  ";
        let text = report.to_string();
        assert!(text.contains(expected), "{text}");
        let json = serde_json::to_value(&report).expect("a report is serializable");
        assert_eq!(json["shards"][0]["deliveries"], 1_500_000_000_u64);
        assert_eq!(json["shards"][1]["busy_share"], serde_json::Value::Null);
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let shown =
            [0, 999, 1_000, 9_994, 9_996, 12_345, 99_970, 999_499, 999_936, 123_456_789, 61_000_000_000]
                .map(time);
        let expected = [
            "0 ns", "999 ns", "1.00 us", "9.99 us", "10.0 us", "12.3 us", "100 us", "999 us", "1.00 ms",
            "123 ms", "61.0 s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
