//! Which plots a report has.

use hdrhistogram::Histogram;

use crate::encoded_histogram::{DecodeError, EncodedHistogram};
use crate::plot::{Axis, Mark, Plot, Series, Shape, Unit};
use crate::report::Report;
use crate::text::{thousands, time};
use crate::timeline::{Interval, Phase};

/// Latencies that differ by more than this are shown on a logarithmic scale.
const WIDE: f64 = 20.0;
/// Bars for each power of ten.
const BARS: f64 = 8.0;
/// Shorter spreads are one bar.
const SHORTEST_NS: f64 = 1_000.0;

/// All plots, in the order of the page.
pub(super) fn of(report: &Report) -> Result<Vec<Plot>, DecodeError> {
    Ok(vec![
        latency_by_percentile(report)?,
        latency_over_time(report),
        deliveries_over_time(report),
        published_over_time(report),
        processor_over_time(report),
        memory_over_time(report),
        latency_distribution(report)?,
        spread(report)?,
        own_delays(report)?,
        handshake_by_percentile(report)?,
        connections_over_time(report),
        connects_per_second(report),
    ])
}

fn latency_by_percentile(report: &Report) -> Result<Plot, DecodeError> {
    let histograms = &report.histograms;
    let mut series = Vec::new();
    if let Some(from_intended) = &histograms.from_intended {
        series.push(Series::new("from intended", Shape::Line, percentiles(from_intended)?));
    }
    series.push(Series::new("from sent", Shape::Line, percentiles(&histograms.from_sent)?));
    let latency = report.latency.from_intended.as_ref().unwrap_or(&report.latency.from_sent);
    // Those of the table.
    let points =
        [(0.5, latency.p50_ns), (0.9, latency.p90_ns), (0.99, latency.p99_ns), (0.999, latency.p999_ns)];
    let known = points.iter().filter(|(quantile, _)| 1.0 - quantile >= 1.0 / latency.count as f64);
    series.push(Series::new(
        "",
        Shape::Points,
        known.map(|(quantile, ns)| (*quantile, *ns as f64)).collect(),
    ));
    Ok(Plot {
        title: "Latency by percentile".into(),
        description: format!(
            "the median is {}, 99 % are below {}, the longest is {}",
            time(latency.p50_ns),
            time(latency.p99_ns),
            time(latency.max_ns)
        ),
        x: Axis::percentile("percentile"),
        y: time_axis("latency", &series),
        series,
        marks: Vec::new(),
    })
}

/// How far the generator itself may have spoiled what it measured.
fn own_delays(report: &Report) -> Result<Plot, DecodeError> {
    let histograms = &report.histograms;
    let all = [
        ("schedule lag", &histograms.schedule_lag),
        ("own part", &histograms.own_lag),
        ("reap lag", &histograms.reap_lag),
    ];
    let series: Result<Vec<Series>, DecodeError> = all
        .into_iter()
        .map(|(name, histogram)| Ok(Series::new(name, Shape::Line, percentiles(histogram)?)))
        .collect();
    // In the closed loop nothing is due, so nothing can be late.
    let series: Vec<Series> = series?.into_iter().filter(|series| !series.points.is_empty()).collect();
    let generator = &report.generator;
    Ok(Plot {
        title: "The generator's own delays".into(),
        description: format!(
            "99 % of the messages were sent at most {} late, {} by the generator's own fault",
            time(generator.schedule_lag.p99_ns),
            time(generator.own_lag.p99_ns)
        ),
        x: Axis::percentile("percentile"),
        y: time_axis("delay", &series),
        series,
        marks: Vec::new(),
    })
}

fn latency_distribution(report: &Report) -> Result<Plot, DecodeError> {
    let encoded = report.histograms.from_intended.as_ref().unwrap_or(&report.histograms.from_sent);
    let latency = report.latency.from_intended.as_ref().unwrap_or(&report.latency.from_sent);
    let mark = |ns: u64, label: &str| Mark::Vertical { x: ns as f64, label: label.to_owned() };
    let marks = [mark(latency.p50_ns, "p50"), mark(latency.p99_ns, "p99")];
    Ok(Plot {
        title: "Latencies".into(),
        description: format!(
            "half of the deliveries took at most {}, 99 % at most {}",
            time(latency.p50_ns),
            time(latency.p99_ns)
        ),
        x: Axis::log("latency, logarithmic", Unit::Nanoseconds),
        y: Axis::linear("share of deliveries", Unit::Share),
        series: vec![Series::new("deliveries", Shape::Bars, bars(&encoded.decode()?))],
        marks: marks.into_iter().filter(|_| latency.count > 0).collect(),
    })
}

fn handshake_by_percentile(report: &Report) -> Result<Plot, DecodeError> {
    let series = vec![Series::new("handshake", Shape::Line, percentiles(&report.histograms.handshake)?)];
    let handshake = &report.connect.handshake;
    Ok(Plot {
        title: "Handshake by percentile".into(),
        description: format!(
            "the median is {}, 99 % are below {}, the longest is {}",
            time(handshake.p50_ns),
            time(handshake.p99_ns),
            time(handshake.max_ns)
        ),
        x: Axis::percentile("percentile"),
        y: time_axis("until subscribed", &series),
        series,
        marks: Vec::new(),
    })
}

fn latency_over_time(report: &Report) -> Plot {
    let parts: Vec<&Interval> = publishing(report).filter(|interval| interval.seconds > 0.0).collect();
    let of = |name: &str, value: fn(&Interval) -> Option<u64>| {
        Series::new(name, Shape::Steps, steps(&parts, |interval| value(interval).map(|ns| ns as f64)))
    };
    let series = vec![
        of("max", |interval| interval.max_ns),
        of("p99", |interval| interval.p99_ns),
        of("p50", |interval| interval.p50_ns),
    ];
    let longest = parts.iter().max_by_key(|interval| interval.max_ns);
    Plot {
        title: "Latency over time".into(),
        description: longest.map_or_else(String::new, |interval| {
            let max = interval.max_ns.map_or_else(|| "unknown".to_owned(), time);
            format!("the longest, {max}, arrived after {:.1} s", interval.begin_seconds)
        }),
        x: Axis::linear("time since the start of the run", Unit::Seconds),
        y: time_axis("latency", &series),
        series,
        marks: draining(report),
    }
}

fn deliveries_over_time(report: &Report) -> Plot {
    per_second_plot(
        report,
        "Deliveries over time",
        "deliveries/s",
        report.throughput.deliveries_per_second,
        |interval| interval.received,
    )
}

fn published_over_time(report: &Report) -> Plot {
    let mut plot = per_second_plot(
        report,
        "Messages published over time",
        "messages/s",
        report.throughput.messages_per_second,
        |interval| interval.published,
    );
    let intended = report.setup.total_rate_milli.map(|rate| rate as f64 / 1_000.0);
    plot.marks.extend(intended.map(|y| Mark::Horizontal { y, label: "intended".into() }));
    plot
}

fn per_second_plot(
    report: &Report,
    title: &str,
    name: &str,
    mean: f64,
    count: fn(&Interval) -> Option<u64>,
) -> Plot {
    let parts: Vec<&Interval> =
        publishing(report).filter(|interval| interval.phase == Phase::Measure).collect();
    let points = steps(&parts, |interval| count(interval).map(|count| count as f64 / interval.seconds));
    Plot {
        title: title.into(),
        description: format!("{}/s on average", thousands(mean.round() as u64)),
        x: Axis::linear("time since the start of the run", Unit::Seconds),
        y: Axis::linear(name, Unit::Count),
        series: vec![Series::new(name, Shape::Steps, points)],
        marks: Vec::new(),
    }
}

fn processor_over_time(report: &Report) -> Plot {
    let parts: Vec<&Interval> = report.timeline.iter().collect();
    let cores = report.server.as_ref().map_or(0.0, |server| server.cores.len() as f64);
    let mut series = Vec::new();
    if report.server.is_some() {
        let busy = steps(&parts, |interval| interval.server_core_busy_share.map(|share| share * cores));
        series.push(Series::new("server's cores", Shape::Steps, busy));
        series.push(Series::new(
            "server's processes",
            Shape::Steps,
            steps(&parts, |interval| interval.server_cpu_share),
        ));
    }
    series.push(Series::new(
        "generator",
        Shape::Steps,
        steps(&parts, |interval| interval.generator_cpu_share),
    ));
    let generator: f64 = report.generator.workers.iter().map(|worker| worker.cpu_share).sum();
    let server = report.server.as_ref().map_or_else(String::new, |server| {
        format!(
            "; the server used {:.0} %, its cores were busy {:.0} %",
            server.cpu_share * 100.0,
            server.core_busy_share * cores * 100.0
        )
    });
    Plot {
        title: "Processor over time".into(),
        description: format!("the generator's threads used {:.0} % of a core{server}", generator * 100.0),
        x: Axis::linear("time since the start of the run", Unit::Seconds),
        y: Axis::linear("100 % is one core", Unit::Share).covering(&[1.0]),
        series,
        marks: phases(report),
    }
}

fn memory_over_time(report: &Report) -> Plot {
    let parts: Vec<&Interval> = report.timeline.iter().collect();
    let bytes = |value: fn(&Interval) -> Option<u64>| {
        steps(&parts, |interval| value(interval).map(|bytes| bytes as f64))
    };
    let mut series = Vec::new();
    if report.server.is_some() {
        series.push(Series::new("server", Shape::Steps, bytes(|interval| interval.server_resident_bytes)));
    }
    series.push(Series::new("generator", Shape::Steps, bytes(|interval| interval.generator_resident_bytes)));
    let server = report.server.as_ref().map_or_else(
        || "the server was not watched".to_owned(),
        |server| format!("the server ends with {}", crate::text::mebibytes(server.resident_bytes_end)),
    );
    Plot {
        title: "Memory over time".into(),
        description: server,
        x: Axis::linear("time since the start of the run", Unit::Seconds),
        y: Axis::linear("resident memory", Unit::Bytes),
        series,
        marks: phases(report),
    }
}

fn spread(report: &Report) -> Result<Plot, DecodeError> {
    let histogram = report.histograms.spread.decode()?;
    let is_open_below = (histogram.min() as f64) < SHORTEST_NS;
    let first_bar = if is_open_below { " (the first bar: up to 1 us)" } else { "" };
    let spread = &report.latency.spread;
    Ok(Plot {
        title: "Spread over subscribers".into(),
        description: format!(
            "from the first to the last subscriber half of the messages took at most {}, 99 % at most {}",
            time(spread.p50_ns),
            time(spread.p99_ns)
        ),
        x: Axis::log(&format!("from the first to the last subscriber{first_bar}"), Unit::Nanoseconds),
        y: Axis::linear("share of messages", Unit::Share),
        series: vec![Series::new("messages", Shape::Bars, bars(&histogram))],
        marks: Vec::new(),
    })
}

fn connections_over_time(report: &Report) -> Plot {
    // Sampled at the ends of intervals: a line through them, from nothing on.
    let mut points: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    points.extend(report.timeline.iter().filter_map(|interval| {
        interval.open.map(|open| (interval.begin_seconds + interval.seconds, f64::from(open)))
    }));
    let known = points.len() > 1;
    Plot {
        title: "Connections over time".into(),
        description: format!(
            "{} of {} were open after {:.2} s",
            thousands(report.connect.connected.into()),
            thousands(report.connect.wanted.into()),
            report.connect.seconds
        ),
        x: Axis::linear("time since the start of the run", Unit::Seconds),
        y: Axis::linear("open connections", Unit::Count),
        series: vec![Series::new("open", Shape::Line, if known { points } else { Vec::new() })],
        marks: phases(report),
    }
}

fn connects_per_second(report: &Report) -> Plot {
    let parts: Vec<&Interval> =
        report.timeline.iter().filter(|interval| interval.phase == Phase::Connect).collect();
    let points = steps(&parts, |interval| interval.opened.map(|opened| f64::from(opened) / interval.seconds));
    Plot {
        title: "Connects per second while connecting".into(),
        description: format!("{}/s on average", thousands(report.connect.per_second.round() as u64)),
        x: Axis::linear("time since the start of the run", Unit::Seconds),
        y: Axis::linear("connects/s", Unit::Count),
        series: vec![Series::new("connects/s", Shape::Bars, points)],
        marks: Vec::new(),
    }
}

fn time_axis(name: &str, series: &[Series]) -> Axis {
    let values = || series.iter().flat_map(|series| &series.points).map(|(_, y)| *y).filter(|y| *y > 0.0);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if most > least * WIDE {
        Axis::log(&format!("{name}, logarithmic"), Unit::Nanoseconds)
    } else {
        Axis::linear(name, Unit::Nanoseconds)
    }
}

/// Quantile and nanoseconds, up to the one where a single value is left.
fn percentiles(encoded: &EncodedHistogram) -> Result<Vec<(f64, f64)>, DecodeError> {
    let histogram = encoded.decode()?;
    if histogram.is_empty() {
        return Ok(Vec::new());
    }
    let last = 1.0 - 1.0 / histogram.len() as f64;
    let quantiles = (0..).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / 20.0));
    let mut points: Vec<(f64, f64)> = quantiles
        .take_while(|quantile| *quantile < last)
        .map(|quantile| (quantile, histogram.value_at_quantile(quantile) as f64))
        .collect();
    points.push((last, histogram.max() as f64));
    Ok(points)
}

/// Begin of each bar with its share of all values.
fn bars(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let bar_of = |ns: u64| ((ns as f64 / SHORTEST_NS).log10() * BARS).floor().max(-1.0) as i32;
    let begin_of = |bar: i32| SHORTEST_NS * 10_f64.powf(f64::from(bar) / BARS);
    let first = bar_of(histogram.min());
    let last = bar_of(histogram.max());
    let mut counts = vec![0_u64; (last - first + 1) as usize];
    for value in histogram.iter_recorded() {
        counts[(bar_of(value.value_iterated_to()).min(last) - first) as usize] += value.count_at_value();
    }
    let share = |count: u64| count as f64 / histogram.len() as f64;
    let mut points: Vec<(f64, f64)> =
        (first..).zip(counts).map(|(bar, count)| (begin_of(bar), share(count))).collect();
    points.push((begin_of(last + 1), f64::NAN));
    points
}

/// Levels from interval to interval, with gaps where intervals do not follow each other.
fn steps(parts: &[&Interval], value: impl Fn(&Interval) -> Option<f64>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(parts.len() + 1);
    let mut end: Option<f64> = None;
    for interval in parts {
        if let Some(end) = end.filter(|end| interval.begin_seconds - end > 0.001) {
            points.push((end, f64::NAN));
        }
        points.push((interval.begin_seconds, value(interval).unwrap_or(f64::NAN)));
        end = Some(interval.begin_seconds + interval.seconds);
    }
    points.extend(end.map(|end| (end, f64::NAN)));
    points
}

/// The measured window, and the last arrivals.
fn publishing(report: &Report) -> impl Iterator<Item = &Interval> {
    report.timeline.iter().filter(|interval| matches!(interval.phase, Phase::Measure | Phase::Drain))
}

/// The phases around the measured window.
fn phases(report: &Report) -> Vec<Mark> {
    [
        (Phase::Connect, "connecting"),
        (Phase::Hold, "idle"),
        (Phase::Warmup, "warm-up"),
        (Phase::Drain, "last ones"),
    ]
    .into_iter()
    .filter_map(|(phase, label)| band(report, phase, label))
    .collect()
}

fn draining(report: &Report) -> Vec<Mark> {
    band(report, Phase::Drain, "last ones").into_iter().collect()
}

fn band(report: &Report, phase: Phase, label: &str) -> Option<Mark> {
    let mut parts = report.timeline.iter().filter(|interval| interval.phase == phase);
    let first = parts.next()?;
    let last = parts.next_back().unwrap_or(first);
    Some(Mark::Band {
        from: first.begin_seconds,
        to: last.begin_seconds + last.seconds,
        label: label.to_owned(),
    })
}
