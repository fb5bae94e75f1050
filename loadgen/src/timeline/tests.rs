use super::*;
use crate::run::RunError;
use crate::run::crew::{Awaited, Crew, Resources, Tally};
use crate::worker::Outcome;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn windows_have_twenty_to_two_hundred_and_forty_intervals() {
    let cases = [
        (0.05, 10),
        (0.2, 10),
        (1.0, 50),
        (3.0, 100),
        (5.0, 200),
        (10.0, 500),
        (20.0, 1_000),
        (240.0, 1_000),
        (241.0, 2_000),
        (3_600.0, 20_000),
        (7_200.0, 60_000),
    ];
    for (window, expected_ms) in cases {
        assert_eq!(interval_ns(seconds(window)), expected_ms * 1_000_000, "{window} s");
    }
}

const MS: u64 = 1_000_000;
/// 100 ms in intervals of 40 ms: the last one is shorter.
const TIMING: Timing = Timing { start_ns: 1_000 * MS, measure_ns: 1_100 * MS, until_ns: 1_200 * MS };

fn stamp(sent_ns: u64) -> crate::stamp::Stamp {
    crate::stamp::Stamp {
        run: 1,
        publisher: 0,
        sequence: 0,
        measured: true,
        intended_ns: sent_ns - 1_000,
        sent_ns,
    }
}

/// A worker that gets `times` deliveries at each of these milliseconds, 2 us after they were sent.
fn worked(arrivals_ms: &[(u64, u32)]) -> (crate::measure::Measure, Vec<WorkerInterval>) {
    let mut ledger = Ledger::new(40 * MS);
    let mut measure = crate::measure::Measure::default();
    for &(ms, times) in arrivals_ms {
        ledger.observe(ms * MS, &TIMING, &mut measure, 0);
        measure.published += 1;
        measure.arrived(&stamp(ms * MS - 2_000), 64, ms * MS, times);
    }
    let intervals = ledger.finish(&mut measure, 0);
    (measure, intervals)
}

#[test]
fn what_was_put_away_comes_back() {
    let (mut measure, intervals) = worked(&[(1_100, 1), (1_139, 2), (1_140, 3), (1_199, 4), (1_200, 5)]);
    let published: Vec<u64> = intervals.iter().map(|interval| interval.published).collect();
    assert_eq!(published, [2, 1, 1, 1]);
    let drains: Vec<bool> = intervals.iter().map(|interval| interval.is_drain).collect();
    assert_eq!(drains, [false, false, false, true]);
    assert_eq!(measure.from_sent.histogram().count_at(2_000), 15);
    assert_eq!(measure.from_intended.histogram().count_at(3_000), 15);
}

#[test]
fn intervals_that_pass_during_one_turn_are_empty() {
    let (_, intervals) = worked(&[(1_100, 1), (1_201, 1)]);
    let published: Vec<u64> = intervals.iter().map(|interval| interval.published).collect();
    assert_eq!(published, [1, 0, 0, 1]);
}

#[test]
fn a_run_that_ends_in_its_warm_up_has_no_measured_intervals() {
    let timing = Timing { until_ns: 1_050 * MS, ..TIMING };
    let mut ledger = Ledger::new(40 * MS);
    let mut measure = crate::measure::Measure::default();
    ledger.observe(1_060 * MS, &timing, &mut measure, 0);
    assert_eq!(ledger.finish(&mut measure, 0), []);
}

fn sample(at_ms: u64, phase: Option<Phase>, boundary: Option<u64>) -> Sample {
    Sample {
        at_ns: at_ms * MS,
        phase,
        boundary,
        open: 10,
        opened: 10,
        published: at_ms,
        server: Some(crate::server_process::ServerSnapshot {
            processes: 1,
            cpu_seconds: at_ms as f64 / 2_000.0,
            cores: vec![0, 1],
            core_busy_seconds: at_ms as f64 / 1_000.0,
            resident_bytes: 1_000 + at_ms,
        }),
        cpu_ns: Some(at_ms * MS / 4),
        resident_bytes: 5_000,
    }
}

#[test]
fn workers_and_samples_are_put_together() {
    let samples = [
        Sample { open: 0, opened: 0, ..sample(900, None, None) },
        Sample { open: 6, opened: 6, ..sample(950, Some(Phase::Connect), None) },
        sample(980, Some(Phase::Connect), None),
        sample(1_000, None, None),
        sample(1_100, Some(Phase::Warmup), Some(0)),
        sample(1_140, Some(Phase::Measure), Some(1)),
        // The second boundary was missed.
        sample(1_200, Some(Phase::Measure), Some(3)),
        sample(1_230, Some(Phase::Drain), None),
    ];
    let workers = vec![worked(&[(1_100, 1), (1_140, 3), (1_210, 1)]).1, worked(&[(1_105, 2), (1_190, 7)]).1];
    let (intervals, histograms) = assemble(workers, &samples, &TIMING, 40 * MS, 900 * MS, true);

    let phases: Vec<Phase> = intervals.iter().map(|interval| interval.phase).collect();
    let measure = Phase::Measure;
    assert_eq!(
        phases,
        [Phase::Connect, Phase::Connect, Phase::Warmup, measure, measure, measure, Phase::Drain]
    );
    let times: Vec<(f64, f64)> =
        intervals.iter().map(|interval| (interval.begin_seconds, interval.seconds)).collect();
    let expected =
        [(0.0, 0.05), (0.05, 0.03), (0.1, 0.1), (0.2, 0.04), (0.24, 0.04), (0.28, 0.02), (0.3, 0.03)];
    assert_eq!(times, expected);
    let opened: Vec<Option<u32>> = intervals.iter().map(|interval| interval.opened).collect();
    assert_eq!(opened, [Some(6), Some(4), Some(0), Some(0), None, None, Some(0)]);
    let received: Vec<Option<u64>> = intervals.iter().map(|interval| interval.received).collect();
    assert_eq!(received, [None, None, None, Some(3), Some(3), Some(7), Some(1)]);
    let published: Vec<Option<u64>> = intervals.iter().map(|interval| interval.published).collect();
    assert_eq!(published, [None, None, Some(100), Some(2), Some(1), Some(1), Some(1)]);

    let warmup = intervals[2];
    assert_eq!((warmup.server_cpu_share, warmup.server_core_busy_share), (Some(0.5), Some(0.5)));
    assert_eq!((warmup.server_resident_bytes, warmup.generator_resident_bytes), (Some(2_100), Some(5_000)));
    assert_eq!((warmup.generator_cpu_share, warmup.max_ns), (Some(0.25), None));
    assert_eq!((intervals[3].p50_ns, intervals[3].max_ns), (Some(3_001), Some(3_001)));
    assert_eq!(intervals[4].server_resident_bytes, None, "not sampled");
    assert_eq!(intervals[6].generator_cpu_share, None, "workers close meanwhile");

    let lengths: Vec<(u64, u64)> =
        histograms.iter().map(|histogram| (histogram.begin_ns / MS, histogram.length_ns / MS)).collect();
    assert_eq!(lengths, [(200, 40), (240, 40), (280, 20), (300, 30)]);
    let counts: Vec<u64> = histograms
        .iter()
        .map(|histogram| histogram.from_sent.decode().expect("what was encoded").count_at(2_000))
        .collect();
    assert_eq!(counts, [3, 3, 7, 1]);
}

#[test]
fn connecting_that_takes_long_has_longer_intervals() {
    let mut sampler = Sampler::new(&Nobody, None, 1_000 * MS, 0);
    for ms in (0..60_000).step_by(5) {
        sampler.connecting(&Nobody, ms * MS);
    }
    sampler.connected(&Nobody, 60_000 * MS);
    let samples = sampler.into_samples();
    let times: Vec<u64> = samples.iter().map(|sample| sample.at_ns / MS).collect();
    assert_eq!((times[0], times[1], times[2]), (0, 800, 1_600));
    assert_eq!(times.last_chunk(), Some(&[59_200, 60_000]));
    assert_eq!(samples.len(), 76);
}

#[test]
fn idle_connections_are_sampled_at_most_sixty_times() {
    let mut sampler = Sampler::new(&Nobody, None, 40 * MS, 0);
    sampler.connected(&Nobody, 100 * MS);
    for ms in (100..60_100).step_by(5) {
        sampler.holding(&Nobody, ms * MS, seconds(60.0));
    }
    sampler.held(&Nobody, 60_100 * MS);
    let samples = sampler.into_samples();
    let times: Vec<u64> = samples.iter().map(|sample| sample.at_ns / MS).collect();
    assert_eq!((times.len(), times[2], times[3]), (62, 1_100, 2_100));
    assert!(samples[2..].iter().all(|sample| sample.phase == Some(Phase::Hold)));
}

#[test]
fn the_coordinator_samples_at_the_same_boundaries() {
    let mut sampler = Sampler::new(&Nobody, None, 40 * MS, 0);
    sampler.connected(&Nobody, 20 * MS);
    for ms in (980..1_300).step_by(5) {
        sampler.publishing(&Nobody, ms * MS, &TIMING);
    }
    sampler.finish(&Nobody, 1_300 * MS);
    let marks: Vec<(u64, Option<Phase>, Option<u64>)> = sampler
        .into_samples()
        .iter()
        .map(|sample| (sample.at_ns / MS, sample.phase, sample.boundary))
        .collect();
    assert_eq!(
        marks,
        [
            (0, None, None),
            (20, Some(Phase::Connect), None),
            (1_000, None, None),
            (1_040, Some(Phase::Warmup), None),
            (1_080, Some(Phase::Warmup), None),
            (1_100, Some(Phase::Warmup), Some(0)),
            (1_140, Some(Phase::Measure), Some(1)),
            (1_180, Some(Phase::Measure), Some(2)),
            (1_200, Some(Phase::Measure), Some(3)),
            (1_300, Some(Phase::Drain), None),
        ]
    );
}

/// A crew of which only time is asked.
struct Nobody;

impl Crew for Nobody {
    fn begin(&mut self) {}
    fn connected(&mut self) {}
    fn ping(&mut self) {}
    fn start(&mut self, _timing: Timing) {}
    fn stop_publishing(&mut self, _at_ns: u64) {}

    fn finish(self) -> Result<Vec<Outcome>, RunError> {
        Ok(Vec::new())
    }

    fn tally(&self) -> Tally {
        Tally::default()
    }

    fn published(&self) -> u64 {
        0
    }

    fn awaited(&self) -> Awaited {
        Awaited { deliveries: 0, all_published: true }
    }

    fn resources(&self) -> Resources {
        Resources::default()
    }

    fn has_ended_early(&self) -> bool {
        false
    }
}
