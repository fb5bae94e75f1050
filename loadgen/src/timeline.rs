//! What happened over time: a run in intervals, from the workers' ledgers and the coordinator's samples.
//!
//! Latencies, messages and the workers' time are cut by the workers, exactly at the boundaries of the measured window's
//! intervals. What the kernel tells (the server's time and memory, ours) is sampled by the coordinator, some milliseconds later
//! at most when the host is not overloaded.

mod ledger;
mod sampler;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::control::Timing;
use crate::encoded_histogram::EncodedHistogram;
use crate::measure::Recorder;
use crate::report::ratio;
pub(crate) use ledger::{Ledger, WorkerInterval};
pub(crate) use sampler::{Sample, Sampler};

/// Intervals of a measured window: at least so many, unless they would be shorter than the shortest ...
const FEWEST: u64 = 20;
/// ... and at most so many, unless they would be longer than the longest.
const MOST: u64 = 240;
/// Lengths that intervals may have, in milliseconds.
const LENGTHS_MS: [u64; 13] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 300_000];
/// The kernel counts the server's time in ticks of 10 ms: in shorter intervals, of so many seconds, that says little.
const SHORTEST_FOR_TICKS: f64 = 0.04;
/// What is long enough for any run.
const USUAL_MS: u64 = 1_000;

/// The part of a run that an interval lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Connections are opened.
    Connect,
    /// They are open, and nothing is published: `--hold` and `--ping`.
    Hold,
    /// Publishing that is left out of the figures.
    Warmup,
    /// The measured window.
    Measure,
    /// Nothing is published any more: the last messages arrive.
    Drain,
}

/// What happened in one interval. What is not known, or does not exist in that phase, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub phase: Phase,
    /// From the start of the run.
    pub begin_seconds: f64,
    pub seconds: f64,
    /// Connections open at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<u32>,
    /// Connections opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<u32>,
    /// Messages sent. Those of the measured window count as in `delivery`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
    /// Measured deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Of those, from the intended time; in the closed loop from the actual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p999_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ns: Option<u64>,
    /// Processor time of the server's processes, in cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_share: Option<f64>,
    /// Of all cores that it may run on together: at most one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_core_busy_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_resident_bytes: Option<u64>,
    /// Processor time of all workers together, in cores; outside the measured window that of the whole process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_cpu_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_resident_bytes: Option<u64>,
}

/// The latencies of one interval, for the log of histograms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalHistograms {
    /// From the start of the run.
    pub begin_ns: u64,
    pub length_ns: u64,
    /// Absent in the closed loop.
    pub from_intended: Option<EncodedHistogram>,
    pub from_sent: EncodedHistogram,
}

/// How long the intervals of a measured window are: one second, unless that makes too few or too many.
pub(crate) fn interval_ns(window: Duration) -> u64 {
    let window_ms = window.as_millis() as u64;
    let longest_ms = (window_ms / FEWEST).min(USUAL_MS).max(window_ms / MOST);
    let fits = |ms: &&u64| **ms <= longest_ms && window_ms.div_ceil(**ms) <= MOST;
    let chosen = LENGTHS_MS.iter().rev().find(fits);
    let least_long = || LENGTHS_MS.iter().find(|ms| window_ms.div_ceil(**ms) <= MOST);
    let ms = chosen.or_else(least_long).unwrap_or(LENGTHS_MS.last().expect("the list is not empty"));
    ms * 1_000_000
}

/// Puts together what the workers and the coordinator noted. Times are from `began_ns` on.
pub(crate) fn assemble(
    workers: Vec<Vec<WorkerInterval>>,
    samples: &[Sample],
    timing: &Timing,
    interval_ns: u64,
    began_ns: u64,
    is_open_loop: bool,
) -> (Vec<Interval>, Vec<IntervalHistograms>) {
    let is_before = |sample: &Sample| sample.boundary.is_none();
    let before: Vec<&Sample> = samples.iter().take_while(|sample| is_before(sample)).collect();
    let mut intervals: Vec<Interval> = before
        .windows(2)
        .filter_map(|pair| Some(sampled_between(pair[1].phase?, pair[0], pair[1], began_ns)))
        .collect();
    // The sample that begins the measured window ends the warm-up.
    let begin = samples.iter().find(|sample| sample.boundary == Some(0));
    if let (Some(last), Some(begin)) = (before.last(), begin)
        && let Some(phase) = begin.phase
    {
        intervals.push(sampled_between(phase, last, begin, began_ns));
    }

    let at_boundary = |index: u64| samples.iter().find(|sample| sample.boundary == Some(index));
    let at_end = samples.last().filter(|sample| sample.phase == Some(Phase::Drain));
    let boundary_ns = |index: u64| (timing.measure_ns + index * interval_ns).min(timing.until_ns);
    let count = workers.iter().map(Vec::len).max().unwrap_or_default();
    let mut histograms = Vec::with_capacity(count);
    for index in 0..count {
        let parts: Vec<&WorkerInterval> = workers.iter().filter_map(|worker| worker.get(index)).collect();
        let number = index as u64;
        let is_drain = parts.iter().any(|part| part.is_drain);
        let (phase, later) = match is_drain {
            true => (Phase::Drain, at_end),
            false => (Phase::Measure, at_boundary(number + 1)),
        };
        let begin_ns = boundary_ns(number);
        let until_ns = match is_drain {
            true => at_end.map_or(timing.until_ns, |sample| sample.at_ns),
            false => boundary_ns(number + 1),
        };
        let length_ns = until_ns.saturating_sub(begin_ns);
        let from_sent = sum_of(&parts, |part| &part.from_sent);
        let from_intended = is_open_loop.then(|| sum_of(&parts, |part| &part.from_intended));
        let shown = from_intended.as_ref().unwrap_or(&from_sent);
        let is_known = !shown.is_empty();
        let percentile = |quantile| is_known.then(|| shown.value_at_quantile(quantile));
        let cpu_ns: u64 = parts.iter().map(|part| part.cpu_ns).sum();
        let sampled = at_boundary(number).zip(later);
        let sampled = sampled.map(|(earlier, later)| sampled_between(phase, earlier, later, began_ns));
        intervals.push(Interval {
            phase,
            begin_seconds: seconds_of(begin_ns.saturating_sub(began_ns)),
            seconds: seconds_of(length_ns),
            published: Some(parts.iter().map(|part| part.published).sum()),
            received: Some(parts.iter().map(|part| part.received).sum()),
            p50_ns: percentile(0.5),
            p90_ns: percentile(0.9),
            p99_ns: percentile(0.99),
            p999_ns: percentile(0.999),
            max_ns: is_known.then(|| shown.max()),
            // Closing belongs to no interval, but workers go on until it is done.
            generator_cpu_share: (!is_drain).then(|| share(cpu_ns as f64, length_ns as f64)),
            ..sampled.unwrap_or_else(|| Interval::unknown(phase))
        });
        histograms.push(IntervalHistograms {
            begin_ns: begin_ns.saturating_sub(began_ns),
            length_ns,
            from_intended: from_intended.as_ref().map(EncodedHistogram::of),
            from_sent: EncodedHistogram::of(&from_sent),
        });
    }
    (intervals, histograms)
}

fn sum_of(parts: &[&WorkerInterval], recording: fn(&WorkerInterval) -> &Recording) -> Histogram<u64> {
    let mut sum = Recorder::default().histogram().clone();
    for part in parts {
        recording(part).add_to(&mut sum);
    }
    sum
}

/// What two samples tell of the time between them.
fn sampled_between(phase: Phase, earlier: &Sample, later: &Sample, began_ns: u64) -> Interval {
    let seconds = seconds_of(later.at_ns.saturating_sub(earlier.at_ns));
    let servers = earlier.server.as_ref().zip(later.server.as_ref());
    let timed = servers.filter(|_| seconds >= SHORTEST_FOR_TICKS);
    Interval {
        phase,
        begin_seconds: seconds_of(earlier.at_ns.saturating_sub(began_ns)),
        seconds,
        open: Some(later.open),
        opened: Some(later.opened.saturating_sub(earlier.opened)),
        published: (!matches!(phase, Phase::Connect | Phase::Hold))
            .then(|| later.published.saturating_sub(earlier.published)),
        server_cpu_share: timed
            .map(|(before, after)| share((after.cpu_seconds - before.cpu_seconds).max(0.0), seconds)),
        server_core_busy_share: timed.map(|(before, after)| {
            let busy = after.core_busy_seconds - before.core_busy_seconds;
            share(busy, seconds * after.cores.len() as f64).clamp(0.0, 1.0)
        }),
        server_resident_bytes: servers.map(|(_, after)| after.resident_bytes),
        generator_cpu_share: earlier
            .cpu_ns
            .zip(later.cpu_ns)
            .map(|(before, after)| share(after.saturating_sub(before) as f64 / 1e9, seconds)),
        generator_resident_bytes: Some(later.resident_bytes),
        ..Interval::unknown(phase)
    }
}

impl Phase {
    /// As JSON has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Hold => "hold",
            Self::Warmup => "warmup",
            Self::Measure => "measure",
            Self::Drain => "drain",
        }
    }
}

impl Interval {
    const fn unknown(phase: Phase) -> Self {
        Self {
            phase,
            begin_seconds: 0.0,
            seconds: 0.0,
            open: None,
            opened: None,
            published: None,
            received: None,
            p50_ns: None,
            p90_ns: None,
            p99_ns: None,
            p999_ns: None,
            max_ns: None,
            server_cpu_share: None,
            server_core_busy_share: None,
            server_resident_bytes: None,
            generator_cpu_share: None,
            generator_resident_bytes: None,
        }
    }
}

/// To a microsecond: hundreds of intervals are written, and no figure is finer than that.
fn seconds_of(ns: u64) -> f64 {
    (ns / 1_000) as f64 / 1e6
}

/// To a tenth of a thousandth.
fn share(part: f64, whole: f64) -> f64 {
    (ratio(part, whole) * 1e4).round() / 1e4
}

/// A histogram put away: a fraction of the memory of one in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recording(Vec<u8>);

impl Serialize for Recording {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        STANDARD.encode(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recording {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
        // Here, where a mistake can still be told: they are only added later.
        if !bytes.is_empty() {
            let decoded: Histogram<u64> = hdrhistogram::serialization::Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .map_err(|error| de::Error::custom(format!("it is no histogram: {error}")))?;
            Recorder::default().histogram().clone().add(decoded).map_err(de::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}

impl Recording {
    /// Bytes of HdrHistogram's V2 encoding; none for an empty histogram.
    fn add_to(&self, all: &mut Histogram<u64>) {
        if self.0.is_empty() {
            return;
        }
        let part: Histogram<u64> = hdrhistogram::serialization::Deserializer::new()
            .deserialize(&mut self.0.as_slice())
            .expect("a worker encoded it, and it was tried where it came from another process");
        all.add(part).expect("all recorders have the same bounds");
    }
}

#[cfg(test)]
mod tests;
