//! When each message is due.
//!
//! Open loop, after wrk2: the times follow from the rate alone. Nothing that happened to earlier messages moves
//! them, so a stall of the server shows as latency instead of as messages that were never tried.

use crate::units::Rate;

/// Nanoseconds in the thousand seconds that a [`Rate`] counts messages over.
const THOUSAND_SECONDS_NS: u128 = 1_000_000_000_000;

/// The intended send times of one publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    start_ns: u64,
    /// Messages per thousand seconds.
    rate_milli: u64,
}

impl Schedule {
    /// Message 0 of the publisher at `position` of `publishers` is due `position / publishers` of a period after
    /// `start_ns`: publishers of equal rate take turns instead of firing together.
    pub fn new(start_ns: u64, rate: Rate, position: usize, publishers: usize) -> Self {
        let rate_milli = rate.per_thousand_seconds();
        let period_ns = THOUSAND_SECONDS_NS / u128::from(rate_milli);
        let offset_ns = period_ns * position as u128 / publishers.max(1) as u128;
        Self { start_ns: start_ns + offset_ns as u64, rate_milli }
    }

    /// Intended send time of message `sequence`, in nanoseconds of [`crate::clock::now_ns`].
    pub fn due_ns(&self, sequence: u32) -> u64 {
        // sequence < 2^32 and THOUSAND_SECONDS_NS < 2^40, so the product stays far inside 128 bits.
        self.start_ns + (u128::from(sequence) * THOUSAND_SECONDS_NS / u128::from(self.rate_milli)) as u64
    }

    /// How many messages are due before `end_ns`.
    pub fn due_before(&self, end_ns: u64) -> u64 {
        let Some(elapsed) = end_ns.checked_sub(self.start_ns) else { return 0 };
        // The smallest n with floor(n * P / r) >= elapsed, which is ceil(elapsed * r / P).
        (u128::from(elapsed) * u128::from(self.rate_milli)).div_ceil(THOUSAND_SECONDS_NS) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a valid rate")
    }

    #[test]
    fn messages_are_due_one_period_apart() {
        let schedule = Schedule::new(1_000, rate("100"), 0, 1);
        assert_eq!(schedule.due_ns(0), 1_000);
        assert_eq!(schedule.due_ns(1), 10_001_000);
        assert_eq!(schedule.due_ns(250), 2_500_001_000);
    }

    #[test]
    fn a_period_that_is_no_whole_nanosecond_does_not_drift() {
        let schedule = Schedule::new(0, rate("3"), 0, 1);
        assert_eq!(schedule.due_ns(1), 333_333_333);
        assert_eq!(schedule.due_ns(2), 666_666_666);
        assert_eq!(schedule.due_ns(3), 1_000_000_000);
        assert_eq!(schedule.due_ns(3_000_000_000), 1_000_000_000_000_000_000);
    }

    #[test]
    fn slow_rates_keep_thousandths() {
        let schedule = Schedule::new(0, rate("0.125"), 0, 1);
        assert_eq!(schedule.due_ns(1), 8_000_000_000);
    }

    #[test]
    fn publishers_of_one_rate_take_turns() {
        let due: Vec<u64> = (0..4).map(|p| Schedule::new(0, rate("10"), p, 4).due_ns(0)).collect();
        assert_eq!(due, [0, 25_000_000, 50_000_000, 75_000_000]);
    }

    #[test]
    fn due_before_counts_exactly_the_messages_due_earlier() {
        let schedule = Schedule::new(500, rate("1000"), 0, 1);
        assert_eq!(schedule.due_before(0), 0);
        assert_eq!(schedule.due_before(500), 0);
        assert_eq!(schedule.due_before(501), 1);
        assert_eq!(schedule.due_before(1_000_500), 1);
        assert_eq!(schedule.due_before(1_000_501), 2);
        assert_eq!(schedule.due_before(10_000_000_500), 10_000);
    }

    #[test]
    fn due_before_agrees_with_due_for_odd_rates() {
        for text in ["3", "7", "0.333", "999.999", "123456.789"] {
            let schedule = Schedule::new(17, rate(text), 1, 3);
            for sequence in [0, 1, 2, 3, 10, 1_000, 999_999] {
                let due = schedule.due_ns(sequence);
                assert_eq!(schedule.due_before(due), u64::from(sequence), "rate {text}");
                assert_eq!(schedule.due_before(due + 1), u64::from(sequence) + 1, "rate {text}");
            }
        }
    }
}
