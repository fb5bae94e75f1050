//! How long a client waits before it connects again (RFC 6455 §7.2.3): "a random amount of time" first, "increasingly longer"
//! ones after attempts that failed, by truncated binary exponential backoff.

use std::time::Duration;

/// Doublings after which the time grows no further.
const MOST_DOUBLINGS: u32 = 4;

/// The waiting times of all clients of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first_ns: u64,
    random: fastrand::Rng,
}

impl Backoff {
    /// The first time is between nothing and `first`.
    pub(crate) fn new(first: Duration, seed: u64) -> Self {
        Self { first_ns: first.as_nanos() as u64, random: fastrand::Rng::with_seed(seed) }
    }

    /// How long before the next attempt, in nanoseconds, when so many have failed.
    pub(crate) fn wait_ns(&mut self, failed: u32) -> u64 {
        self.random.u64(0..=self.first_ns << failed.min(MOST_DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_double_up_to_a_bound_and_are_spread_evenly() {
        let mut backoff = Backoff::new(Duration::from_secs(5), 1);
        let seconds = [0, 1, 2, 4, 5, 1_000].map(|failed| {
            let waits: Vec<u64> = (0..1_000).map(|_| backoff.wait_ns(failed)).collect();
            let longest = waits.iter().max().copied().unwrap_or_default();
            let mean = waits.iter().sum::<u64>() / 1_000;
            (longest.div_ceil(1_000_000_000), mean as f64 / longest as f64)
        });
        assert_eq!(seconds.map(|(longest, _)| longest), [5, 10, 20, 80, 80, 80]);
        assert!(seconds.iter().all(|(_, mean)| (0.45..0.55).contains(mean)), "{seconds:?}");
    }

    #[test]
    fn clients_need_not_wait() {
        assert_eq!(Backoff::new(Duration::ZERO, 1).wait_ns(7), 0);
    }
}
