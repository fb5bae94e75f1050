//! How far a host's clock is ahead of the coordinator's, and how well that is known.
//!
//! A probe asks for the time. The answer was given between its sending and its arrival, so half of that round trip is a bound of
//! the error of taking it for the middle. The shortest of several round trips gives the best one.

/// Probes of one estimate.
pub(super) const PROBES: u32 = 32;

/// One probe: by the clock here, by the host's, by the clock here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) sent_ns: u64,
    pub(super) answered_ns: u64,
    pub(super) received_ns: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) ahead_ns: i64,
    /// The truth differs by at most this.
    pub(super) uncertainty_ns: u64,
}

impl Estimate {
    /// From all probes; `None` without any.
    pub(super) fn of(exchanges: &[Exchange]) -> Option<Self> {
        let round_trip_ns = |exchange: &Exchange| exchange.received_ns - exchange.sent_ns;
        let best = exchanges.iter().min_by_key(|exchange| round_trip_ns(exchange))?;
        let middle_ns = best.sent_ns + round_trip_ns(best) / 2;
        Some(Self {
            ahead_ns: best.answered_ns.wrapping_sub(middle_ns) as i64,
            uncertainty_ns: round_trip_ns(best).div_ceil(2),
        })
    }

    /// A time of the coordinator's by the host's clock.
    pub(super) fn there(&self, here_ns: u64) -> u64 {
        here_ns.saturating_add_signed(self.ahead_ns)
    }

    /// A time of the host's by the coordinator's clock. None stays none.
    pub(super) fn here(&self, there_ns: u64) -> u64 {
        if there_ns == 0 { 0 } else { there_ns.saturating_add_signed(-self.ahead_ns) }
    }
}

/// By how much a difference between two hosts' times may be wrong: what is not known of either clock. `bounds` has an entry for
/// each host.
pub(super) fn uncertainty_between(bounds: &[u64]) -> u64 {
    let mut sorted = bounds.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.iter().take(2).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(sent_ns: u64, answered_ns: u64, received_ns: u64) -> Exchange {
        Exchange { sent_ns, answered_ns, received_ns }
    }

    #[test]
    fn the_shortest_round_trip_counts() {
        let estimate = Estimate::of(&[
            exchange(1_000, 9_000_700, 2_000),
            exchange(3_000, 9_003_070, 3_101),
            exchange(5_000, 9_009_000, 9_000),
        ]);
        assert_eq!(estimate, Some(Estimate { ahead_ns: 9_000_020, uncertainty_ns: 51 }));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn the_truth_is_within_the_uncertainty_however_unequal_the_ways_are() {
        let ahead: i64 = -500_000;
        for there in [0, 10, 400, 990, 1_000] {
            let answered_ns = (2_000_000_u64 + there).saturating_add_signed(ahead);
            let estimate = Estimate::of(&[exchange(2_000_000, answered_ns, 2_001_000)]).expect("one probe");
            assert!(estimate.ahead_ns.abs_diff(ahead) <= estimate.uncertainty_ns, "{there}: {estimate:?}");
        }
    }

    #[test]
    fn times_lead_there_and_back() {
        let estimate = Estimate { ahead_ns: -700, uncertainty_ns: 1 };
        assert_eq!((estimate.there(1_000), estimate.here(300), estimate.here(0)), (300, 1_000, 0));
    }

    #[test]
    fn two_clocks_add_up_what_is_not_known_of_them() {
        assert_eq!(uncertainty_between(&[30, 500, 70]), 570);
        assert_eq!(uncertainty_between(&[30]), 30);
    }
}
