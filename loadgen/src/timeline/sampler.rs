//! The coordinator's part of the timeline: what the kernel and the crew tell at the boundaries of intervals.

use std::time::Duration;

use crate::control::Timing;
use crate::run::crew::{Crew, Resources, Tally};
use crate::server_process::{ServerProcess, ServerSnapshot};
use crate::timeline::Phase;

/// While connections are opened nobody knows for how long: samples begin dense, and every second one is dropped when there are
/// too many.
const FIRST_CONNECT_NS: u64 = 50_000_000;
const MOST_CONNECT_SAMPLES: usize = 80;
const MOST_WARMUP_SAMPLES: u64 = 20;
/// While connections are idle.
const MOST_HOLD_SAMPLES: u64 = 60;
const SHORTEST_HOLD_NS: u64 = 500_000_000;

/// Sums at one moment, which ends an interval of `phase`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) at_ns: u64,
    /// `None` at the begin of a phase: what lies before belongs to none.
    pub(crate) phase: Option<Phase>,
    /// Number of the measured window's boundary; its begin is number 0.
    pub(crate) boundary: Option<u64>,
    pub(crate) open: u32,
    pub(crate) opened: u32,
    pub(crate) published: u64,
    pub(crate) server: Option<ServerSnapshot>,
    /// Of the crew's processes; `None` when workers use it up by looking for work.
    pub(crate) cpu_ns: Option<u64>,
    pub(crate) resident_bytes: u64,
}

pub(crate) struct Sampler {
    server: Option<ServerProcess>,
    interval_ns: u64,
    began_ns: u64,
    connect_interval_ns: u64,
    /// The next boundary of the phase, by number.
    next: u64,
    phase: Option<Phase>,
    samples: Vec<Sample>,
}

impl Sampler {
    pub(crate) fn new(
        crew: &dyn Crew,
        server: Option<ServerProcess>,
        interval_ns: u64,
        began_ns: u64,
    ) -> Self {
        let mut sampler = Self {
            server,
            interval_ns,
            began_ns,
            connect_interval_ns: FIRST_CONNECT_NS,
            next: 1,
            phase: Some(Phase::Connect),
            samples: Vec::new(),
        };
        sampler.take(crew, began_ns, None, None);
        sampler
    }

    pub(crate) fn began_ns(&self) -> u64 {
        self.began_ns
    }

    pub(crate) fn connecting(&mut self, crew: &dyn Crew, now_ns: u64) {
        if now_ns < self.began_ns + self.next * self.connect_interval_ns {
            return;
        }
        self.take(crew, now_ns, Some(Phase::Connect), None);
        if self.samples.len() > MOST_CONNECT_SAMPLES {
            let mut number = 0;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.connect_interval_ns *= 2;
        }
        self.next = (now_ns - self.began_ns) / self.connect_interval_ns + 1;
    }

    /// All connections are open, or have failed.
    pub(crate) fn connected(&mut self, crew: &dyn Crew, now_ns: u64) {
        self.take(crew, now_ns, Some(Phase::Connect), None);
        self.phase = None;
    }

    /// While nothing is published although all connections are open.
    pub(crate) fn holding(&mut self, crew: &dyn Crew, now_ns: u64, planned: Duration) {
        let interval_ns = SHORTEST_HOLD_NS.max(planned.as_nanos() as u64 / MOST_HOLD_SAMPLES);
        if now_ns >= self.last_ns() + interval_ns {
            self.take(crew, now_ns, Some(Phase::Hold), None);
        }
    }

    /// That is over.
    pub(crate) fn held(&mut self, crew: &dyn Crew, now_ns: u64) {
        self.take(crew, now_ns, Some(Phase::Hold), None);
    }

    /// While messages are published.
    pub(crate) fn publishing(&mut self, crew: &dyn Crew, now_ns: u64, timing: &Timing) {
        if now_ns >= timing.start_ns && self.phase.is_none() {
            self.phase = Some(Phase::Warmup);
            self.next = 1;
            if timing.start_ns < timing.measure_ns {
                self.take(crew, now_ns, None, None);
            }
        }
        let warmup_ns = timing.measure_ns - timing.start_ns;
        let warmup_interval_ns = self.interval_ns.max(warmup_ns / MOST_WARMUP_SAMPLES);
        let is_due = now_ns >= timing.start_ns + self.next * warmup_interval_ns;
        if self.phase == Some(Phase::Warmup) && now_ns < timing.measure_ns && is_due {
            self.take(crew, now_ns, Some(Phase::Warmup), None);
            self.next = (now_ns - timing.start_ns) / warmup_interval_ns + 1;
        }
        if self.phase == Some(Phase::Warmup) && now_ns >= timing.measure_ns {
            self.phase = Some(Phase::Measure);
            self.next = 1;
            self.take(crew, now_ns, (warmup_ns > 0).then_some(Phase::Warmup), Some(0));
        }
        if self.phase == Some(Phase::Measure) {
            self.measuring(crew, now_ns, timing);
        }
    }

    /// When [`publishing`](Self::publishing) has something to do, at the latest.
    pub(crate) fn next_ns(&self, timing: &Timing) -> u64 {
        match self.phase {
            None => timing.start_ns,
            Some(Phase::Measure) => timing.measure_ns + self.next * self.interval_ns,
            Some(Phase::Warmup | Phase::Connect | Phase::Hold | Phase::Drain) => timing.measure_ns,
        }
    }

    /// Everything has arrived that will.
    pub(crate) fn finish(&mut self, crew: &dyn Crew, now_ns: u64) {
        if self.phase == Some(Phase::Drain) {
            self.take(crew, now_ns, Some(Phase::Drain), None);
        }
    }

    pub(crate) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    fn last_ns(&self) -> u64 {
        self.samples.last().map_or(self.began_ns, |sample| sample.at_ns)
    }

    fn measuring(&mut self, crew: &dyn Crew, now_ns: u64, timing: &Timing) {
        let boundaries = timing.until_ns.saturating_sub(timing.measure_ns).div_ceil(self.interval_ns);
        if now_ns >= timing.until_ns {
            self.take(crew, now_ns, Some(Phase::Measure), Some(boundaries));
            self.phase = Some(Phase::Drain);
        } else if now_ns >= timing.measure_ns + self.next * self.interval_ns {
            // Where the host was too busy to sample in time, what lies between two boundaries is not known.
            let passed = (now_ns - timing.measure_ns) / self.interval_ns;
            self.take(crew, now_ns, Some(Phase::Measure), Some(passed));
            self.next = passed + 1;
        }
    }

    fn take(&mut self, crew: &dyn Crew, now_ns: u64, phase: Option<Phase>, boundary: Option<u64>) {
        let Tally { open: opened, lost, lost_slow, .. } = crew.tally();
        let Resources { cpu_ns, resident_bytes } = crew.resources();
        self.samples.push(Sample {
            at_ns: now_ns,
            phase,
            boundary,
            open: opened.saturating_sub(lost + lost_slow),
            opened,
            published: crew.published(),
            server: self.server.map(|server| server.snapshot()),
            cpu_ns,
            resident_bytes,
        });
    }
}
