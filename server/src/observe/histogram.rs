//! Durations counted in fixed buckets: recording is an index and two additions, and never allocates.
//!
//! Buckets are log-linear, sixteen to each power of two of nanoseconds, so a duration is known within 1/16 of itself:
//!
//! ```text
//! ns      0 1 2 .. 15 | 16 17 .. 31 | 32 34 .. 62 | 64 68 .. 124 | ..
//! bucket  0 1 2 .. 15 | 16 17 .. 31 | 32 33 .. 47 | 48 49 ..  63 | ..
//! width        1      |      1      |      2      |       4      | ..
//! ```

use std::time::Duration;

/// Linear buckets to each power of two, as a power of two.
const LINEAR_BITS: u32 = 4;
const LINEAR: usize = 1 << LINEAR_BITS;

/// Durations from 2^36 ns (69 s) on are counted in the last bucket.
const RANGE_BITS: u32 = 36;

/// Buckets of a histogram.
pub const BUCKETS: usize = (RANGE_BITS - LINEAR_BITS + 1) as usize * LINEAR;

/// How often which durations were seen. 4.2 KB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), sum_ns: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// Durations recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Sum of all durations recorded.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// For each bound, in rising order, how many durations are surely at or below it.
    ///
    /// A bucket that a bound cuts counts for the next bound: the page may say slower than it was, by 1/16, never faster.
    pub fn cumulative(
        &self,
        bounds: impl Iterator<Item = Duration>,
    ) -> impl Iterator<Item = (Duration, u64)> {
        let mut next = 0;
        let mut count = 0;
        bounds.map(move |bound| {
            while next < BUCKETS && u128::from(highest(next)) <= bound.as_nanos() {
                count += self.buckets[next];
                next += 1;
            }
            (bound, count)
        })
    }

    /// Every value in a fixed order, to be published.
    pub(super) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.buckets.iter().copied().chain([self.sum_ns])
    }

    /// The same values in the same order, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        self.buckets.iter_mut().chain([&mut self.sum_ns])
    }
}

/// The bucket that counts `ns`.
fn bucket(ns: u64) -> usize {
    let ns = ns.min((1 << RANGE_BITS) - 1);
    // Below 2 x LINEAR a bucket is one nanosecond wide; above, the leading LINEAR_BITS + 1 bits choose it.
    let shift = (u64::BITS - LINEAR_BITS - 1).saturating_sub(ns.leading_zeros());
    shift as usize * LINEAR + (ns >> shift) as usize
}

/// The longest duration that `bucket` counts, in nanoseconds; the last counts everything.
fn highest(bucket: usize) -> u64 {
    if bucket == BUCKETS - 1 {
        return u64::MAX;
    }
    let shift = (bucket / LINEAR).saturating_sub(1);
    let leading = bucket - shift * LINEAR;
    ((leading as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_sixteen_to_a_power_of_two() {
        let starts = [
            (0, 0),
            (15, 15),
            (16, 16),
            (31, 31),
            (32, 32),
            (33, 32),
            (34, 33),
            (63, 47),
            (64, 48),
            (127, 63),
            (128, 64),
            (1_000, 111),
            ((1 << 36) - 1, 527),
            (1 << 36, 527),
            (u64::MAX, 527),
        ];
        for (ns, expected) in starts {
            assert_eq!(bucket(ns), expected, "{ns} ns");
        }
        assert_eq!(BUCKETS, 528);
    }

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(highest(index)), index);
            assert_eq!(bucket(highest(index) + 1), index + 1);
        }
        assert_eq!(bucket(highest(BUCKETS - 1)), BUCKETS - 1);
    }

    #[test]
    fn cumulative_counts_never_say_faster_than_it_was() {
        let mut histogram = Histogram::default();
        for ns in [900, 1_000, 1_100, 5_000, 200_000_000_000] {
            histogram.record(Duration::from_nanos(ns));
        }
        let bounds = [1_000, 2_000, 10_000, 100_000_000_000].map(Duration::from_nanos);
        let counts: Vec<u64> = histogram.cumulative(bounds.into_iter()).map(|(_, count)| count).collect();
        // 1,000 ns shares its bucket with 992..1,024, which the first bound cuts.
        assert_eq!(counts, [1, 3, 4, 4]);
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), Duration::from_nanos(200_000_008_000));
    }
}
