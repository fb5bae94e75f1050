//! How far figures differ by chance.

/// Intervals are averaged in so many batches: what happens in one interval still shows in the next, less so in batches.
const BATCHES: usize = 10;
/// With fewer intervals nothing can be said.
const FEWEST_BATCHES: usize = 5;
/// Histograms tell values apart to a thousandth.
const PRECISION: f64 = 0.001;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Noise {
    /// Every difference is real.
    None,
    /// Differences up to this may be chance.
    UpTo(f64),
    Unknown,
}

impl Noise {
    /// From what repeated runs differ by. One run alone is taken to scatter as the other side's do.
    pub(super) fn between_runs(base: &[f64], new: &[f64]) -> Self {
        let (base, new) = match (Sample::of(base), Sample::of(new)) {
            (Some(base), Some(new)) => (base, new),
            // The variance of both is one estimate, of the group's: no more certain for being used twice.
            (Some(group), None) | (None, Some(group)) => {
                let error = group.variance * (1.0 + 1.0 / group.count);
                let noise = Self::UpTo(student(group.freedom) * error.sqrt());
                return noise.at_least(group.mean.abs() * PRECISION);
            }
            (None, None) => return Self::Unknown,
        };
        let mean = base.mean.abs().max(new.mean.abs());
        Self::of_difference(base, new).at_least(mean * PRECISION)
    }

    /// From what the intervals of each run differ by. They may be of something that only moves with the figure: noise is taken
    /// relative to it.
    pub(super) fn within_runs(base: &[f64], new: &[f64], base_figure: f64, new_figure: f64) -> Self {
        let relative = |values: &[f64], figure: f64| {
            let batches = batches(values)?;
            let sample = Sample::of(&batches)?;
            if sample.mean == 0.0 {
                return None;
            }
            let scale = figure / sample.mean;
            Some(Sample { mean: figure, variance: sample.variance * scale * scale, ..sample })
        };
        match (relative(base, base_figure), relative(new, new_figure)) {
            (Some(base), Some(new)) => {
                Self::of_difference(base, new).at_least(base_figure.abs().max(new_figure.abs()) * PRECISION)
            }
            _ => Self::Unknown,
        }
    }

    /// Welch: half the width of the 95 % confidence interval of the difference of two means.
    fn of_difference(base: Sample, new: Sample) -> Self {
        let (base_error, new_error) = (base.variance / base.count, new.variance / new.count);
        let error = base_error + new_error;
        if error == 0.0 {
            return Self::UpTo(0.0);
        }
        let part = |error: f64, sample: Sample| error * error / sample.freedom;
        let freedom = error * error / (part(base_error, base) + part(new_error, new));
        Self::UpTo(student(freedom) * error.sqrt())
    }

    fn at_least(self, least: f64) -> Self {
        match self {
            Self::UpTo(most) => Self::UpTo(most.max(least)),
            Self::None | Self::Unknown => self,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    mean: f64,
    variance: f64,
    count: f64,
    /// How many values the variance rests on, less one.
    freedom: f64,
}

impl Sample {
    /// `None` for fewer than two values.
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let mean = mean(values);
        let freedom = (values.len() - 1) as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom;
        Some(Self { mean, variance, count: values.len() as f64, freedom })
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Means of as many neighbouring values each. Those left over at the end are dropped.
fn batches(values: &[f64]) -> Option<Vec<f64>> {
    let each = (values.len() / BATCHES).max(1);
    let batches: Vec<f64> = values.chunks_exact(each).take(BATCHES).map(mean).collect();
    (batches.len() >= FEWEST_BATCHES).then_some(batches)
}

/// The 97.5 % quantile of Student's distribution. Between the table's rows it is nearly straight over the inverse.
fn student(freedom: f64) -> f64 {
    const TABLE: [(f64, f64); 15] = [
        (1.0, 12.706),
        (2.0, 4.303),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (7.0, 2.365),
        (8.0, 2.306),
        (9.0, 2.262),
        (10.0, 2.228),
        (12.0, 2.179),
        (15.0, 2.131),
        (20.0, 2.086),
        (40.0, 2.021),
        (f64::INFINITY, 1.960),
    ];
    let above = TABLE.partition_point(|(row, _)| *row < freedom);
    let (upper, at_upper) = TABLE[above];
    if above == 0 {
        return at_upper;
    }
    let (lower, at_lower) = TABLE[above - 1];
    let share = (1.0 / freedom - 1.0 / upper) / (1.0 / lower - 1.0 / upper);
    at_upper + share * (at_lower - at_upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(noise: Noise) -> f64 {
        match noise {
            Noise::UpTo(most) => (most * 1_000.0).round() / 1_000.0,
            Noise::None | Noise::Unknown => panic!("known noise, not {noise:?}"),
        }
    }

    #[test]
    fn equal_groups_scatter_as_students_distribution_says() {
        // Both have a variance of 1 and 4 degrees of freedom in all: 2.776 * sqrt(1/3 + 1/3).
        assert_eq!(up_to(Noise::between_runs(&[9.0, 10.0, 11.0], &[19.0, 20.0, 21.0])), 2.267);
    }

    #[test]
    fn unequal_variances_leave_fewer_degrees_of_freedom() {
        // R: t.test(c(9,10,11), c(15,20,25)) has df = 2.1598 and a standard error of 2.9439.
        assert_eq!(up_to(Noise::between_runs(&[9.0, 10.0, 11.0], &[15.0, 20.0, 25.0])), 11.935);
    }

    #[test]
    fn a_single_run_scatters_as_the_others() {
        // With the two degrees of freedom of three runs: 4.303 * sqrt(1/3 + 1).
        assert_eq!(up_to(Noise::between_runs(&[9.0, 10.0, 11.0], &[20.0])), 4.969);
        assert_eq!(Noise::between_runs(&[1.0], &[2.0]), Noise::Unknown);
    }

    #[test]
    fn figures_that_never_change_still_have_the_histograms_precision() {
        assert_eq!(up_to(Noise::between_runs(&[1_000.0; 3], &[1_001.0; 3])), 1.001);
    }

    #[test]
    fn intervals_are_averaged_in_batches() {
        let values: Vec<f64> = (0..25).map(|number| f64::from(number % 2)).collect();
        assert_eq!(batches(&values), Some(vec![0.5; 10]));
        assert_eq!(batches(&[1.0, 2.0, 3.0, 4.0]), None);
        assert_eq!(batches(&[1.0, 2.0, 3.0, 4.0, 5.0]), Some(vec![1.0, 2.0, 3.0, 4.0, 5.0]));
    }

    #[test]
    fn noise_within_runs_is_relative_to_the_figure() {
        let intervals: Vec<f64> = (0..10).map(|number| 100.0 + f64::from(number % 2)).collect();
        let of_intervals = Noise::within_runs(&intervals, &intervals, 100.5, 100.5);
        let of_ten_times_that = Noise::within_runs(&intervals, &intervals, 1_005.0, 1_005.0);
        // A variance of 0.2778 each, and 18 degrees of freedom: 2.101 * sqrt(2 * 0.02778).
        assert_eq!((up_to(of_intervals), up_to(of_ten_times_that)), (0.495, 4.952));
        assert_eq!(Noise::within_runs(&[], &intervals, 1.0, 1.0), Noise::Unknown);
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        // R: qt(0.975, c(1, 2, 11, 18, 30, 1000))
        let expected = [
            (0.5, 12.706),
            (1.0, 12.706),
            (2.0, 4.303),
            (11.0, 2.201),
            (18.0, 2.101),
            (30.0, 2.042),
            (1e3, 1.962),
        ];
        for (freedom, quantile) in expected {
            assert!((student(freedom) - quantile).abs() < 0.002, "{freedom}: {}", student(freedom));
        }
    }

    /// Nearly normal: the sum of twelve even ones.
    fn normal(random: &mut fastrand::Rng) -> f64 {
        (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
    }

    /// Part of the comparisons of equal things that find a difference.
    fn false_findings(mut values: impl FnMut() -> Vec<f64>, noise: impl Fn(&[f64], &[f64]) -> Noise) -> f64 {
        const PAIRS: u32 = 4_000;
        let found = (0..PAIRS).filter(|_| {
            let (base, new) = (values(), values());
            match noise(&base, &new) {
                Noise::UpTo(most) => (mean(&base) - mean(&new)).abs() > most,
                Noise::None | Noise::Unknown => panic!("there are values enough"),
            }
        });
        found.count() as f64 / f64::from(PAIRS)
    }

    #[test]
    fn one_comparison_of_equal_groups_in_twenty_finds_a_difference() {
        let mut random = fastrand::Rng::with_seed(7);
        let runs = || (0..4).map(|_| 100.0 + normal(&mut random)).collect();
        let share = false_findings(runs, Noise::between_runs);
        assert!((0.035..0.055).contains(&share), "{share}");
    }

    #[test]
    fn intervals_that_resemble_their_neighbours_do_not_fool_batches() {
        let mut random = fastrand::Rng::with_seed(7);
        // Each one is half the one before.
        let intervals = || {
            let mut last = normal(&mut random);
            let next = |_| {
                last = last * 0.5 + normal(&mut random);
                20.0 + last
            };
            (0..200).map(next).collect::<Vec<f64>>()
        };
        let share =
            false_findings(intervals, |base, new| Noise::within_runs(base, new, mean(base), mean(new)));
        assert!((0.04..0.075).contains(&share), "{share}");
    }
}
