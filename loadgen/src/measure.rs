//! What one worker measures, and how the workers' figures become one: histograms are added, never averaged.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::encoded_histogram::EncodedHistogram;
use crate::stamp::Stamp;

/// Longest time that is told apart, in nanoseconds: one hour. What takes longer is recorded as one hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Times in nanoseconds with three significant digits, from 1 ns to one hour.
///
/// Messages that arrive together often have the same latency: equal ones in a row are counted first and entered in the
/// histogram once.
#[derive(Clone, Debug)]
pub struct Recorder {
    histogram: Histogram<u64>,
    /// The values that the bucket in hand stands for: `bucket_low..=bucket_low + bucket_span`.
    bucket_low: u64,
    bucket_span: u64,
    /// Values of that bucket not entered yet.
    pending: u64,
}

impl Default for Recorder {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3)
            .expect("bounds and precision are constants that fit");
        Self { histogram, bucket_low: 0, bucket_span: 0, pending: 0 }
    }
}

impl Recorder {
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.record_times(ns, 1);
    }

    #[inline]
    pub fn record_times(&mut self, ns: u64, times: u32) {
        if ns.wrapping_sub(self.bucket_low) > self.bucket_span {
            self.change_bucket(ns);
        }
        self.pending += u64::from(times);
    }

    fn change_bucket(&mut self, ns: u64) {
        self.flush();
        self.bucket_low = self.histogram.lowest_equivalent(ns);
        self.bucket_span = self.histogram.highest_equivalent(ns) - self.bucket_low;
    }

    fn flush(&mut self) {
        if self.pending > 0 {
            self.histogram.saturating_record_n(self.bucket_low, self.pending);
            self.pending = 0;
        }
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, mut other: Self) {
        other.flush();
        self.histogram.add(other.histogram).expect("all recorders have the same bounds");
    }

    /// Adds all values to `other`, and begins anew.
    pub fn move_to(&mut self, other: &mut Self) {
        self.flush();
        other.flush();
        other.histogram.add(&self.histogram).expect("all recorders have the same bounds");
        self.histogram.reset();
    }

    /// Every value recorded so far.
    pub fn histogram(&mut self) -> &Histogram<u64> {
        self.flush();
        &self.histogram
    }
}

impl Serialize for Recorder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        EncodedHistogram::of(self.clone().histogram()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recorder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let decoded = EncodedHistogram::deserialize(deserializer)?.decode().map_err(de::Error::custom)?;
        // Into the bounds that all recorders have: what was recorded within them stays as it is.
        let mut recorder = Self::default();
        recorder.histogram.add(&decoded).map_err(de::Error::custom)?;
        Ok(recorder)
    }
}

/// Deliveries by what became of them. Only measured messages count; warm-up is left out everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages received for the first time.
    pub received: u64,
    /// Payload bytes of those.
    pub received_bytes: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Messages that are none of this run, or of another topic than the subscriber's.
    pub unexpected: u64,
    /// Messages that the server said it left out.
    pub announced_missed: u64,
}

impl Counts {
    fn merge(&mut self, other: Self) {
        // Named one by one so that a new field cannot be forgotten.
        let Self { received, received_bytes, duplicated, reordered, unexpected, announced_missed } = other;
        self.received += received;
        self.received_bytes += received_bytes;
        self.duplicated += duplicated;
        self.reordered += reordered;
        self.unexpected += unexpected;
        self.announced_missed += announced_missed;
    }
}

/// All that one worker measures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measure {
    /// From asking for the socket to a checked 101 answer.
    pub handshake: Recorder,
    /// From sending a ping to the reaping of its pong.
    pub ping: Recorder,
    /// From the intended send time to the reaping of the completion that brought the message.
    pub from_intended: Recorder,
    /// The same from the actual send time.
    pub from_sent: Recorder,
    /// From the first to the last subscriber that got a message, over all workers; noted by the worker whose subscriber was
    /// last.
    pub spread: Recorder,
    /// How late messages were sent, whoever was to blame.
    pub schedule_lag: Recorder,
    /// How late messages were sent although the publisher's connection would have taken them: the generator's own part.
    pub own_lag: Recorder,
    /// How long each delivery may have waited for the worker to reap it: its latency may be too large by this much.
    pub reap_lag: Recorder,
    pub counts: Counts,
    /// Measured messages sent.
    pub published: u64,
    /// When the last measured message was reaped; 0 when none was.
    pub last_arrival_ns: u64,
}

impl Measure {
    /// A measured message of `bytes` payload bytes arrived at `times` subscribers.
    #[inline]
    pub fn arrived(&mut self, stamp: &Stamp, bytes: u64, now_ns: u64, times: u32) {
        self.arrived_untimed(bytes, now_ns, times);
        self.from_intended.record_times(now_ns.saturating_sub(stamp.intended_ns), times);
        self.from_sent.record_times(now_ns.saturating_sub(stamp.sent_ns), times);
    }

    /// The same of a message whose stamp is by another clock.
    #[inline]
    pub fn arrived_untimed(&mut self, bytes: u64, now_ns: u64, times: u32) {
        self.counts.received += u64::from(times);
        self.counts.received_bytes += u64::from(times) * bytes;
        self.last_arrival_ns = now_ns;
    }

    /// Adds what another worker measured.
    pub fn merge(&mut self, other: Self) {
        self.handshake.merge(other.handshake);
        self.ping.merge(other.ping);
        self.from_intended.merge(other.from_intended);
        self.from_sent.merge(other.from_sent);
        self.spread.merge(other.spread);
        self.schedule_lag.merge(other.schedule_lag);
        self.own_lag.merge(other.own_lag);
        self.reap_lag.merge(other.reap_lag);
        self.counts.merge(other.counts);
        self.published += other.published;
        self.last_arrival_ns = self.last_arrival_ns.max(other.last_arrival_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_in_a_row_are_all_counted() {
        let mut recorder = Recorder::default();
        for ns in [1_000, 1_000, 1_000, 2_000, 1_000, 0] {
            recorder.record(ns);
        }
        let histogram = recorder.histogram();
        assert_eq!(histogram.len(), 6);
        assert_eq!(histogram.count_at(1_000), 4);
        assert_eq!(histogram.count_at(2_000), 1);
        assert_eq!(histogram.count_at(0), 1);
    }

    #[test]
    fn values_keep_three_significant_digits() {
        let mut recorder = Recorder::default();
        recorder.record(1_234_567_890);
        let value = recorder.histogram().value_at_quantile(0.5);
        assert!((1_233_333_000..=1_235_803_000).contains(&value), "{value}");
    }

    #[test]
    fn what_takes_longer_than_an_hour_counts_as_one_hour() {
        let mut recorder = Recorder::default();
        recorder.record(10 * 3_600_000_000_000);
        assert_eq!(recorder.histogram().len(), 1);
        assert!(recorder.histogram().max() >= 3_600_000_000_000);
    }

    #[test]
    fn merged_percentiles_come_from_all_values() {
        let mut fast = Recorder::default();
        let mut slow = Recorder::default();
        for _ in 0..99 {
            fast.record(1_000);
        }
        slow.record(1_000_000);
        fast.merge(slow);
        let histogram = fast.histogram();
        assert_eq!(histogram.len(), 100);
        assert_eq!(histogram.value_at_quantile(0.99), 1_000);
        assert!(histogram.max() >= 1_000_000);
    }

    #[test]
    fn moved_values_are_counted_once() {
        let (mut interval, mut all) = (Recorder::default(), Recorder::default());
        interval.record_times(1_000, 3);
        interval.move_to(&mut all);
        assert!(interval.histogram().is_empty());
        interval.record_times(1_000, 2);
        interval.move_to(&mut all);
        assert_eq!((interval.histogram().len(), all.histogram().count_at(1_000)), (0, 5));
    }

    #[test]
    fn counts_of_workers_add_up() {
        let mut all = Measure::default();
        for worker in 1..=2 {
            all.merge(Measure {
                counts: Counts {
                    received: 10 * worker,
                    received_bytes: 640 * worker,
                    duplicated: worker,
                    reordered: 2 * worker,
                    unexpected: 3 * worker,
                    announced_missed: 5 * worker,
                },
                last_arrival_ns: 100 * worker,
                ..Measure::default()
            });
        }
        let expected = Counts {
            received: 30,
            received_bytes: 1_920,
            duplicated: 3,
            reordered: 6,
            unexpected: 9,
            announced_missed: 15,
        };
        assert_eq!(all.counts, expected);
        assert_eq!(all.last_arrival_ns, 200);
    }
}
