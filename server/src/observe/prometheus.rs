//! The metrics page, in the Prometheus text format 0.0.4: every metric with its help, type and unit.

use std::fmt::{self, Write};
use std::time::Duration;

use super::counters::{Counters, Kind, Labelled};
use super::{COMMIT, Histogram, ShardFigures, Snapshot};

/// The `Content-Type` of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page for one snapshot.
pub fn render(snapshot: &Snapshot) -> String {
    let mut page = String::with_capacity(16 * 1024);
    write(&mut page, snapshot).expect("writing to a String does not fail");
    page
}

/// Bounds of the histograms' buckets: 1, 2.5 and 5 in each power of ten from 10 us to 10 s.
const BOUNDS_US: [u64; 19] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

fn write(page: &mut String, Snapshot { metrics, shards }: &Snapshot) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    head(page, "corecast_build_info", "gauge", "Version and commit of this build; always 1.")?;
    writeln!(page, "corecast_build_info{{version=\"{version}\",commit=\"{COMMIT}\"}} 1")?;

    for (metric, value) in Counters::METRICS.iter().zip(metrics.counters.values()) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        head(page, metric.name, kind, metric.help)?;
        writeln!(page, "{} {value}", metric.name)?;
    }
    labelled(
        page,
        "corecast_protocol_errors_total",
        "rule",
        "Connections failed for breaking the protocol, by the rule they broke.",
        &metrics.counters.protocol_errors,
    )?;
    labelled(
        page,
        "corecast_closes_total",
        "code",
        "WebSocket connections that ended, by the code of the Close frame that began it.",
        &metrics.counters.closes,
    )?;
    histogram(
        page,
        "corecast_fanout_latency_seconds",
        "From the acceptance of a publish to the last send of the pass that delivered it, in seconds.",
        &metrics.fanout_latency,
    )?;
    histogram(
        page,
        "corecast_turn_duration_seconds",
        "Length of a turn of a shard's loop, in seconds.",
        &metrics.turn_duration,
    )?;
    by_shard(page, shards)
}

/// The figures that show whether the shards share the work.
fn by_shard(page: &mut String, shards: &[ShardFigures]) -> fmt::Result {
    type Value = fn(&ShardFigures) -> f64;
    let rows: [(&str, &str, &str, Value); 8] = [
        ("corecast_shard_connections", "gauge", "Connections open now, by shard.", |shard| {
            shard.connections as f64
        }),
        ("corecast_shard_subscribers", "gauge", "Subscriptions held now, by shard.", |shard| {
            shard.subscribers as f64
        }),
        (
            "corecast_shard_messages_published_total",
            "counter",
            "Messages accepted by their topics' home shard.",
            |shard| shard.messages_published as f64,
        ),
        (
            "corecast_shard_relayed_total",
            "counter",
            "Messages that a shard received from other shards' homes.",
            |shard| shard.messages_relayed as f64,
        ),
        (
            "corecast_shard_deliveries_total",
            "counter",
            "Messages handed whole to the kernel by a shard, counted once for each subscriber.",
            |shard| shard.deliveries as f64,
        ),
        (
            "corecast_shard_sends_total",
            "counter",
            "Sends that a shard handed to the kernel; one may carry several messages.",
            |shard| shard.sends as f64,
        ),
        (
            "corecast_shard_delivered_bytes_total",
            "counter",
            "Encoded bytes of a shard's deliveries.",
            |shard| shard.delivered_bytes as f64,
        ),
        (
            "corecast_shard_busy_seconds_total",
            "counter",
            "Time that a shard spent in turns, in seconds.",
            |shard| shard.busy.as_secs_f64(),
        ),
    ];
    for (name, kind, help, value) in rows {
        head(page, name, kind, help)?;
        for (number, shard) in shards.iter().enumerate() {
            writeln!(page, "{name}{{shard=\"{number}\"}} {}", value(shard))?;
        }
    }
    Ok(())
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn labelled(page: &mut String, name: &str, label: &str, help: &str, values: &Labelled) -> fmt::Result {
    head(page, name, "counter", help)?;
    values.iter().try_for_each(|(key, value)| writeln!(page, "{name}{{{label}=\"{key}\"}} {value}"))
}

fn histogram(page: &mut String, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
    head(page, name, "histogram", help)?;
    for (bound, count) in histogram.cumulative(BOUNDS_US.into_iter().map(Duration::from_micros)) {
        writeln!(page, "{name}_bucket{{le=\"{}\"}} {count}", bound.as_secs_f64())?;
    }
    // The count is taken from the buckets themselves, so that it always equals the last of them.
    let count = histogram.count();
    writeln!(page, "{name}_bucket{{le=\"+Inf\"}} {count}")?;
    writeln!(page, "{name}_sum {}", histogram.sum().as_secs_f64())?;
    writeln!(page, "{name}_count {count}")
}

#[cfg(test)]
mod tests {
    use super::super::{Metrics, MetricsSlot};
    use super::*;

    fn page(change: impl FnOnce(&mut Metrics)) -> String {
        let mut metrics = Metrics::new(&["mask-required", "opcode-reserved"]);
        change(&mut metrics);
        let slot = MetricsSlot::new(&["mask-required", "opcode-reserved"]);
        slot.publish(&metrics);
        render(&Snapshot::of(&[slot]))
    }

    #[track_caller]
    fn assert_lines(page: &str, expected: &str) {
        assert!(page.contains(expected), "expected\n{expected}\nin\n{page}");
    }

    #[test]
    fn counters_and_gauges_have_help_and_type() {
        let page = page(|metrics| {
            metrics.counters.deliveries = 18_446_744_073_709_551_615;
            metrics.counters.subscribers = 1_000;
        });
        assert_lines(
            &page,
            "# HELP corecast_deliveries_total Messages handed whole to the kernel, counted once for each subscriber.\n\
             # TYPE corecast_deliveries_total counter\n\
             corecast_deliveries_total 18446744073709551615\n",
        );
        assert_lines(
            &page,
            "# HELP corecast_subscribers Subscriptions held now.\n\
             # TYPE corecast_subscribers gauge\n\
             corecast_subscribers 1000\n",
        );
        assert_lines(&page, "corecast_upgrades_total 0\n");
    }

    #[test]
    fn shards_are_told_apart() {
        let page = page(|metrics| {
            metrics.counters.messages_relayed = 3;
            metrics.counters.sends = 7;
            metrics.turn_duration.record(Duration::from_millis(1500));
        });
        assert_lines(
            &page,
            "# TYPE corecast_shard_relayed_total counter\ncorecast_shard_relayed_total{shard=\"0\"} 3\n",
        );
        assert_lines(&page, "corecast_shard_sends_total{shard=\"0\"} 7\n");
        assert_lines(&page, "corecast_shard_busy_seconds_total{shard=\"0\"} 1.5\n");
    }

    #[test]
    fn build_info_names_version_and_commit() {
        let page = page(|_| ());
        assert_lines(
            &page,
            "# TYPE corecast_build_info gauge\ncorecast_build_info{version=\"0.1.0\",commit=\"",
        );
    }

    #[test]
    fn labels_are_all_there_from_the_start() {
        let page = page(|metrics| {
            metrics.counters.protocol_error("opcode-reserved");
            metrics.counters.close(1002);
            metrics.counters.close(3999);
        });
        assert_lines(
            &page,
            "# TYPE corecast_protocol_errors_total counter\n\
             corecast_protocol_errors_total{rule=\"mask-required\"} 0\n\
             corecast_protocol_errors_total{rule=\"opcode-reserved\"} 1\n\
             corecast_protocol_errors_total{rule=\"other\"} 0\n",
        );
        assert_lines(&page, "corecast_closes_total{code=\"1002\"} 1\n");
        assert_lines(&page, "corecast_closes_total{code=\"4008\"} 0\n");
        assert_lines(&page, "corecast_closes_total{code=\"other\"} 1\n");
    }

    #[test]
    fn histograms_are_in_seconds_and_cumulative() {
        let page = page(|metrics| {
            metrics.turn_duration.record(Duration::from_micros(5));
            metrics.turn_duration.record(Duration::from_micros(30));
            metrics.turn_duration.record(Duration::from_secs(20));
        });
        assert_lines(
            &page,
            "# TYPE corecast_turn_duration_seconds histogram\n\
             corecast_turn_duration_seconds_bucket{le=\"0.00001\"} 1\n\
             corecast_turn_duration_seconds_bucket{le=\"0.000025\"} 1\n\
             corecast_turn_duration_seconds_bucket{le=\"0.00005\"} 2\n",
        );
        assert_lines(
            &page,
            "corecast_turn_duration_seconds_bucket{le=\"10\"} 2\n\
             corecast_turn_duration_seconds_bucket{le=\"+Inf\"} 3\n\
             corecast_turn_duration_seconds_sum 20.000035\n\
             corecast_turn_duration_seconds_count 3\n",
        );
    }

    #[test]
    fn every_sample_follows_its_own_type_line() {
        let mut name = String::new();
        let page = page(|_| ());
        for line in page.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => rest.split(' ').next().unwrap().clone_into(&mut name),
                None if line.starts_with("# HELP ") => {}
                None => {
                    let rest = line.strip_prefix(&name).unwrap_or_else(|| panic!("{line} after {name}"));
                    assert!(
                        rest.starts_with([' ', '{'])
                            || ["_bucket{", "_sum ", "_count "].iter().any(|suffix| rest.starts_with(suffix)),
                        "{line}"
                    );
                    assert!(rest.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
                }
            }
        }
        assert!(page.ends_with('\n'));
    }
}
