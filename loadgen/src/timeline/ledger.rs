//! One worker's part of the timeline: at the end of each interval of the measured window what was recorded in it is put away.
//!
//! Nothing is done for a message. A turn costs a comparison, an interval's end about a tenth of a millisecond.

use hdrhistogram::serialization::{Serializer, V2Serializer};
use serde::{Deserialize, Serialize};

use crate::clock::thread_cpu_ns;
use crate::control::Timing;
use crate::measure::{Measure, Recorder};
use crate::timeline::Recording;

/// What one worker did in one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerInterval {
    /// It is the time behind the measured window, in which the last messages arrived.
    pub(crate) is_drain: bool,
    pub(crate) published: u64,
    /// Measured deliveries, whether they could be timed or not.
    pub(crate) received: u64,
    /// Processor time without what was spent looking for work.
    pub(crate) cpu_ns: u64,
    pub(crate) from_intended: Recording,
    pub(crate) from_sent: Recording,
}

/// The histograms of `measure` hold the interval in hand; those of earlier ones are kept here.
pub(crate) struct Ledger {
    interval_ns: u64,
    /// Boundaries passed so far; the begin of the window is the first.
    passed: u64,
    is_over: bool,
    /// What had accumulated at the last boundary.
    before: Account,
    /// Everything recorded up to the last boundary.
    from_intended: Recorder,
    from_sent: Recorder,
    intervals: Vec<WorkerInterval>,
    serializer: V2Serializer,
}

/// Sums since the worker's start.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    published: u64,
    received: u64,
    cpu_ns: u64,
    idle_ns: u64,
}

impl Ledger {
    pub(crate) fn new(interval_ns: u64) -> Self {
        Self {
            interval_ns,
            passed: 0,
            is_over: false,
            before: Account::default(),
            from_intended: Recorder::default(),
            from_sent: Recorder::default(),
            intervals: Vec::new(),
            serializer: V2Serializer::new(),
        }
    }

    /// To be called before anything that came is recorded with the time `now_ns`. `idle_ns` is processor time that was spent
    /// looking for work.
    #[inline]
    pub(crate) fn observe(&mut self, now_ns: u64, timing: &Timing, measure: &mut Measure, idle_ns: u64) {
        let is_planned = timing.measure_ns > 0 && now_ns >= timing.measure_ns;
        if is_planned && !self.is_over && now_ns >= self.boundary_ns(timing) {
            self.pass(now_ns, timing, measure, idle_ns);
        }
    }

    /// Ends the last interval, and gives `measure` back what was recorded in all of them.
    pub(crate) fn finish(mut self, measure: &mut Measure, idle_ns: u64) -> Vec<WorkerInterval> {
        if self.passed > 0 {
            self.put_away(self.is_over, measure, idle_ns);
        }
        measure.from_intended.merge(self.from_intended);
        measure.from_sent.merge(self.from_sent);
        self.intervals
    }

    fn boundary_ns(&self, timing: &Timing) -> u64 {
        timing.until_ns.min(timing.measure_ns + self.passed * self.interval_ns)
    }

    #[cold]
    fn pass(&mut self, now_ns: u64, timing: &Timing, measure: &mut Measure, idle_ns: u64) {
        while now_ns >= self.boundary_ns(timing) && !self.is_over {
            if self.passed == 0 {
                self.before = Account::of(measure, idle_ns);
            } else {
                self.is_over = self.boundary_ns(timing) == timing.until_ns;
                // After a long turn several have passed: all that was recorded belongs to the first.
                self.put_away(false, measure, idle_ns);
            }
            self.passed += 1;
        }
    }

    fn put_away(&mut self, is_drain: bool, measure: &mut Measure, idle_ns: u64) {
        let account = Account::of(measure, idle_ns);
        let before = std::mem::replace(&mut self.before, account);
        let busy_ns = (account.cpu_ns - before.cpu_ns).saturating_sub(account.idle_ns - before.idle_ns);
        let interval = WorkerInterval {
            is_drain,
            published: account.published - before.published,
            received: account.received - before.received,
            cpu_ns: busy_ns,
            from_intended: record(&mut self.serializer, &mut measure.from_intended),
            from_sent: record(&mut self.serializer, &mut measure.from_sent),
        };
        measure.from_intended.move_to(&mut self.from_intended);
        measure.from_sent.move_to(&mut self.from_sent);
        self.intervals.push(interval);
    }
}

impl Account {
    fn of(measure: &Measure, idle_ns: u64) -> Self {
        Self {
            published: measure.published,
            received: measure.counts.received,
            cpu_ns: thread_cpu_ns(),
            idle_ns,
        }
    }
}

fn record(serializer: &mut V2Serializer, recorder: &mut Recorder) -> Recording {
    let histogram = recorder.histogram();
    let mut bytes = Vec::new();
    if !histogram.is_empty() {
        serializer
            .serialize(histogram, &mut bytes)
            .expect("counts are below 2^63, and a vector takes every write");
    }
    Recording(bytes)
}
