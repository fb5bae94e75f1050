//! The figures that runs are compared by.

use serde::Serialize;

use crate::report::{Percentiles, Report};
use crate::timeline::{Interval, Phase};

/// What a figure counts: how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    PerSecond,
    Nanoseconds,
    Bytes,
    /// Parts of one.
    Share,
    /// Deliveries that went wrong: no noise excuses them.
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) better: Better,
    /// Of a whole run; `None` when that does not have it.
    pub(super) value: fn(&Report) -> Option<f64>,
    /// The same, or what moves with it, in an interval.
    in_interval: Option<fn(&Report, &Interval) -> Option<f64>>,
}

type InInterval = fn(&Report, &Interval) -> Option<f64>;

impl Figure {
    const fn rate(
        name: &'static str,
        value: fn(&Report) -> Option<f64>,
        in_interval: Option<InInterval>,
    ) -> Self {
        Self { name, kind: Kind::PerSecond, better: Better::Higher, value, in_interval }
    }

    const fn time(
        name: &'static str,
        value: fn(&Report) -> Option<f64>,
        in_interval: Option<InInterval>,
    ) -> Self {
        Self { name, kind: Kind::Nanoseconds, better: Better::Lower, value, in_interval }
    }

    const fn wrong(name: &'static str, value: fn(&Report) -> Option<f64>) -> Self {
        Self::lower(name, Kind::Wrong, value, None)
    }

    const fn lower(
        name: &'static str,
        kind: Kind,
        value: fn(&Report) -> Option<f64>,
        in_interval: Option<InInterval>,
    ) -> Self {
        Self { name, kind, better: Better::Lower, value, in_interval }
    }

    /// Its values in the intervals of the measured window, where they are known.
    pub(super) fn over_time(&self, report: &Report) -> Vec<f64> {
        let Some(in_interval) = self.in_interval else { return Vec::new() };
        let measured =
            report.timeline.iter().filter(|part| part.phase == Phase::Measure && part.seconds > 0.0);
        measured.filter_map(|part| in_interval(report, part)).collect()
    }
}

/// In the order of the table.
pub(super) const FIGURES: &[Figure] = &[
    Figure::rate(
        "deliveries/s",
        |report| Some(report.throughput.deliveries_per_second),
        Some(|_, part| Some(part.received? as f64 / part.seconds)),
    ),
    Figure::rate(
        "messages/s",
        |report| Some(report.throughput.messages_per_second),
        Some(|_, part| Some(part.published? as f64 / part.seconds)),
    ),
    Figure::time(
        "from intended p50",
        |report| intended(report, |p| p.p50_ns),
        Some(|_, part| ns(part.p50_ns)),
    ),
    Figure::time(
        "from intended p90",
        |report| intended(report, |p| p.p90_ns),
        Some(|_, part| ns(part.p90_ns)),
    ),
    Figure::time(
        "from intended p99",
        |report| intended(report, |p| p.p99_ns),
        Some(|_, part| ns(part.p99_ns)),
    ),
    Figure::time(
        "from intended p99.9",
        |report| intended(report, |p| p.p999_ns),
        Some(|_, part| ns(part.p999_ns)),
    ),
    Figure::time(
        "from intended max",
        |report| intended(report, |p| p.max_ns),
        Some(|_, part| ns(part.max_ns)),
    ),
    // Its own intervals are not in the timeline unless there is no intended time; they move together.
    Figure::time("from sent p50", |report| sent(report, |p| p.p50_ns), Some(|_, part| ns(part.p50_ns))),
    Figure::time("from sent p99", |report| sent(report, |p| p.p99_ns), Some(|_, part| ns(part.p99_ns))),
    Figure::time("from sent p99.9", |report| sent(report, |p| p.p999_ns), Some(|_, part| ns(part.p999_ns))),
    Figure::time("spread p50", |report| known(&report.latency.spread, |p| p.p50_ns), None),
    Figure::time("spread p99", |report| known(&report.latency.spread, |p| p.p99_ns), None),
    Figure::rate("connects/s", |report| Some(report.connect.per_second).filter(|rate| *rate > 0.0), None),
    Figure::time("handshake p50", |report| known(&report.connect.handshake, |p| p.p50_ns), None),
    Figure::time("handshake p99", |report| known(&report.connect.handshake, |p| p.p99_ns), None),
    Figure::time("ping p50", |report| known(&report.connect.ping?.round_trip, |p| p.p50_ns), None),
    Figure::time("ping p99", |report| known(&report.connect.ping?.round_trip, |p| p.p99_ns), None),
    Figure::time(
        "server's CPU per delivery",
        |report| per(report.server.as_ref()?.cpu_seconds, report.delivery.received),
        Some(|_, part| per(part.server_cpu_share? * part.seconds, part.received?)),
    ),
    Figure::time(
        "its cores' busy time per delivery",
        |report| per(report.server.as_ref()?.core_busy_seconds, report.delivery.received),
        Some(|report, part| {
            let cores = report.server.as_ref()?.cores.len() as f64;
            per(part.server_core_busy_share? * cores * part.seconds, part.received?)
        }),
    ),
    Figure::time(
        "server's CPU per connect",
        |report| per(report.server.as_ref()?.connect_cpu_seconds, report.connect.connected.into()),
        None,
    ),
    Figure::lower(
        "server's cores busy",
        Kind::Share,
        |report| Some(report.server.as_ref()?.core_busy_share),
        Some(|_, part| part.server_core_busy_share),
    ),
    Figure::lower(
        "server's bytes per connection",
        Kind::Bytes,
        |report| Some(report.server.as_ref()?.bytes_per_connection),
        None,
    ),
    Figure::lower(
        "server's memory at the end",
        Kind::Bytes,
        |report| Some(report.server.as_ref()?.resident_bytes_end as f64),
        None,
    ),
    Figure::wrong("lost", |report| count(report.delivery.lost)),
    Figure::wrong("announced missed", |report| count(report.delivery.announced_missed)),
    Figure::wrong("duplicated", |report| count(report.delivery.duplicated)),
    Figure::wrong("reordered", |report| count(report.delivery.reordered)),
    Figure::wrong("unexpected", |report| count(report.delivery.unexpected)),
    Figure::wrong("not taken in time", |report| count(report.delivery.unsent)),
    Figure::wrong("refused", |report| count(report.delivery.refused)),
    Figure::wrong("disconnected", |report| count(report.delivery.disconnected)),
    Figure::wrong("failed connections", |report| count(report.connect.failed.into())),
    Figure::wrong("unanswered pings", |report| {
        let ping = report.connect.ping?;
        count(ping.sent.saturating_sub(ping.answered))
    }),
];

fn intended(report: &Report, at: fn(&Percentiles) -> u64) -> Option<f64> {
    known(report.latency.from_intended.as_ref()?, at)
}

fn sent(report: &Report, at: fn(&Percentiles) -> u64) -> Option<f64> {
    known(&report.latency.from_sent, at)
}

fn known(percentiles: &Percentiles, at: fn(&Percentiles) -> u64) -> Option<f64> {
    (percentiles.count > 0).then(|| at(percentiles) as f64)
}

fn ns(value: Option<u64>) -> Option<f64> {
    value.map(|ns| ns as f64)
}

fn count(value: u64) -> Option<f64> {
    Some(value as f64)
}

/// Nanoseconds for each.
fn per(seconds: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| seconds * 1e9 / count as f64)
}
