//! How fast connections are opened: at most so many a second, at most so many at once.

use crate::units::Rate;

/// One worker's share of the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacing {
    rate: Option<Rate>,
    concurrency: usize,
    start_ns: u64,
}

impl Pacing {
    pub(crate) fn new(rate: Option<Rate>, concurrency: u32, workers: usize, start_ns: u64) -> Self {
        Self {
            rate: rate.map(|rate| rate.split(workers)),
            concurrency: (concurrency as usize / workers.max(1)).max(1),
            start_ns,
        }
    }

    /// How many more may be started now, when `started` have been and `opening` of them are not settled.
    pub(crate) fn allowance(&self, now_ns: u64, started: usize, opening: usize) -> usize {
        let by_concurrency = self.concurrency.saturating_sub(opening);
        let by_rate = self.rate.map_or(usize::MAX, |rate| {
            let elapsed_ns = u128::from(now_ns.saturating_sub(self.start_ns));
            let due = elapsed_ns * u128::from(rate.per_thousand_seconds()) / 1_000_000_000_000 + 1;
            usize::try_from(due).unwrap_or(usize::MAX).saturating_sub(started)
        });
        by_concurrency.min(by_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_shared_between_workers_and_kept_over_time() {
        let pacing = Pacing::new(Some("2000".parse().unwrap()), 1_000, 2, 5_000);
        assert_eq!(pacing.allowance(5_000, 0, 0), 1);
        assert_eq!(pacing.allowance(5_000, 1, 1), 0);
        assert_eq!(pacing.allowance(1_000_005_000, 1, 1), 1_000 / 2 - 1, "bounded by concurrency");
        assert_eq!(pacing.allowance(100_005_000, 50, 0), 51, "1000 a second for 0.1 s, and the first one");
    }

    #[test]
    fn concurrency_bounds_what_is_open_at_once() {
        let pacing = Pacing::new(None, 10, 3, 0);
        assert_eq!(pacing.allowance(0, 0, 0), 3);
        assert_eq!(pacing.allowance(0, 100, 3), 0);
        assert_eq!(Pacing::new(None, 1, 8, 0).allowance(0, 0, 0), 1, "never zero");
    }
}
