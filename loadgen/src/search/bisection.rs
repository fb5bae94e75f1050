//! Which value to try next, and when to stop: doubling until one fails, then halving the gap between the highest that met
//! the objective and the lowest that did not. Pure: it knows nothing of runs.

/// A search that is going on. Values are whole numbers of the smallest unit that is told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bisection {
    from: u64,
    to: u64,
    /// How close the two ends must be, as a part of the lower one.
    precision: f64,
    /// The highest value that met the objective, and the lowest that did not. The first is always below the second: only
    /// values in between are tried.
    met: Option<u64>,
    failed: Option<u64>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Try(u64),
    /// The ends are close enough.
    Found,
    /// The highest value allowed met the objective.
    UpperBound,
    /// The lowest value allowed did not.
    StartFails,
}

impl Bisection {
    /// From `from` (at least 1) up to `to`.
    pub(super) fn new(from: u64, to: u64, precision: f64) -> Self {
        Self { from: from.max(1), to: to.max(from).max(1), precision, met: None, failed: None }
    }

    pub(super) fn next(&self) -> Next {
        match (self.met, self.failed) {
            (None, None) => Next::Try(self.from),
            (None, Some(_)) => Next::StartFails,
            (Some(met), None) if met >= self.to => Next::UpperBound,
            (Some(met), None) => Next::Try(met.saturating_mul(2).min(self.to)),
            (Some(met), Some(failed)) if self.is_close(met, failed) => Next::Found,
            (Some(met), Some(failed)) => Next::Try(round_middle(met, failed)),
        }
    }

    /// A value was tried.
    pub(super) fn note(&mut self, value: u64, is_met: bool) {
        if is_met {
            self.met = Some(self.met.map_or(value, |met| met.max(value)));
        } else {
            self.failed = Some(self.failed.map_or(value, |failed| failed.min(value)));
        }
    }

    fn is_close(&self, met: u64, failed: u64) -> bool {
        let gap = failed.saturating_sub(met);
        gap <= 1 || gap as f64 <= self.precision * met as f64
    }
}

/// A short number about halfway, strictly between both, which are at least 2 apart.
fn round_middle(low: u64, high: u64) -> u64 {
    let gap = high - low;
    let middle = low + gap / 2;
    // Rounding moves it by at most an eighth of the gap.
    let unit = 10_u64.pow((gap / 4).max(1).ilog10());
    (middle + unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value tried, and the end.
    fn hunt(mut bisection: Bisection, mut is_met: impl FnMut(u64) -> bool) -> (Vec<u64>, Next, Bisection) {
        let mut tried = Vec::new();
        loop {
            match bisection.next() {
                Next::Try(value) => {
                    assert!(tried.len() < 200, "it does not end: {tried:?}");
                    tried.push(value);
                    let is_met = is_met(value);
                    bisection.note(value, is_met);
                }
                end => return (tried, end, bisection),
            }
        }
    }

    fn ends(found: &Bisection) -> (Option<u64>, Option<u64>) {
        (found.met, found.failed)
    }

    #[test]
    fn doubles_and_then_halves_the_gap() {
        let (tried, end, found) = hunt(Bisection::new(100, 1_000_000, 0.05), |value| value <= 1_300);
        assert_eq!(tried, [100, 200, 400, 800, 1_600, 1_200, 1_400, 1_300, 1_350]);
        assert_eq!((end, ends(&found)), (Next::Found, (Some(1_300), Some(1_350))));
    }

    #[test]
    fn precision_decides_how_long_it_takes() {
        let steps =
            |precision| hunt(Bisection::new(100, 1_000_000, precision), |value| value <= 1_300).0.len();
        assert_eq!([steps(0.5), steps(0.2), steps(0.01)], [6, 7, 12]);
        let (_, end, found) = hunt(Bisection::new(100, 1_000_000, 0.0), |value| value <= 1_333);
        assert_eq!((end, ends(&found)), (Next::Found, (Some(1_333), Some(1_334))));
    }

    #[test]
    fn a_server_that_never_fails_ends_at_the_upper_bound() {
        let (tried, end, found) = hunt(Bisection::new(100, 1_000, 0.05), |_| true);
        assert_eq!(tried, [100, 200, 400, 800, 1_000]);
        assert_eq!((end, ends(&found)), (Next::UpperBound, (Some(1_000), None)));
        let (tried, end, _) = hunt(Bisection::new(u64::MAX / 3, u64::MAX, 0.05), |_| true);
        assert_eq!((tried.len(), end), (3, Next::UpperBound));
    }

    #[test]
    fn a_server_that_always_fails_ends_at_the_start() {
        let (tried, end, found) = hunt(Bisection::new(100, 1_000, 0.05), |_| false);
        assert_eq!(tried, [100]);
        assert_eq!((end, ends(&found)), (Next::StartFails, (None, Some(100))));
    }

    #[test]
    fn one_value_is_a_search_too() {
        assert_eq!(hunt(Bisection::new(7, 7, 0.05), |_| true).1, Next::UpperBound);
        assert_eq!(hunt(Bisection::new(7, 3, 0.05), |_| true).0, [7], "an end below the start is the start");
        assert_eq!(hunt(Bisection::new(0, 1, 0.05), |_| true).0, [1]);
    }

    #[test]
    fn whole_numbers_are_told_apart_to_the_last_one() {
        let (tried, end, found) = hunt(Bisection::new(1, 1_000, 0.01), |value| value < 3);
        assert_eq!(tried, [1, 2, 4, 3]);
        assert_eq!((end, ends(&found)), (Next::Found, (Some(2), Some(3))));
    }

    #[test]
    fn of_a_server_with_a_hole_one_of_its_edges_is_found() {
        // Fails from 300 to 699, and from 5,000. Doubling steps over the first or into it; either way both ends are true.
        let is_met = |value| !(300..700).contains(&value) && value < 5_000;
        let edges = [100, 90, 75, 64].map(|from| {
            let (_, end, found) = hunt(Bisection::new(from, 1_000_000, 0.02), is_met);
            assert_eq!(end, Next::Found);
            let (met, failed) = (found.met.expect("found"), found.failed.expect("found"));
            assert!(is_met(met) && !is_met(failed) && met < failed, "{met} {failed}");
            assert!((failed - met) as f64 <= 0.02 * met as f64, "{met} {failed}");
            met > 700
        });
        assert_eq!(edges, [false, false, false, false]);
        assert!(hunt(Bisection::new(200, 1_000_000, 0.02), |v| v != 400 && is_met(v)).2.met < Some(400));
        let over =
            hunt(Bisection::new(290, 1_000_000, 0.02), |value| !(300..500).contains(&value) && value < 5_000);
        assert_eq!(over.1, Next::Found);
        assert!(over.2.met > Some(4_800), "doubling from 290 steps over the hole");
    }

    #[test]
    fn noise_at_the_edge_moves_the_answer_within_the_noise() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..1_000 {
            // Between 900 and 1,100 it is chance.
            let is_met = |value| value < 900 || (value < 1_100 && random.bool());
            let (tried, end, found) = hunt(Bisection::new(10, 100_000, 0.05), is_met);
            assert_eq!(end, Next::Found);
            assert!(tried.len() <= 15, "{tried:?}");
            let (met, failed) = (found.met.expect("found"), found.failed.expect("found"));
            assert!(failed >= 900 && met < 1_100 && met < failed, "{met} {failed}");
        }
    }

    #[test]
    fn values_to_try_are_short_numbers_in_between() {
        let gaps =
            [(800, 1_600), (1_200, 1_600), (999_000, 1_000_000), (5, 7), (5, 8), (64_000_000, 128_000_000)];
        let middles = gaps.map(|(low, high)| round_middle(low, high));
        assert_eq!(middles, [1_200, 1_400, 999_500, 6, 6, 100_000_000]);
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..10_000 {
            let low = random.u64(1..1_000_000);
            let high = low + random.u64(2..1_000_000);
            let middle = round_middle(low, high);
            assert!(low < middle && middle < high, "{low} {middle} {high}");
        }
    }
}
