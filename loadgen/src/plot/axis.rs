//! From values to places, and where ticks stand.

use crate::plot::unit::Unit;

/// How an axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Linear,
    /// By powers of ten. Values that are not positive stand at its begin.
    Log,
    /// For quantiles from 0 to 1: each further nine takes as much room, as HdrHistogram's plots have it.
    Percentile,
}

/// One axis of a plot.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) growth: Growth,
    /// It reaches at least from here to there.
    pub(crate) covers: Vec<f64>,
}

impl Axis {
    pub(crate) fn linear(name: &str, unit: Unit) -> Self {
        Self { name: name.to_owned(), unit, growth: Growth::Linear, covers: Vec::new() }
    }

    pub(crate) fn log(name: &str, unit: Unit) -> Self {
        Self { growth: Growth::Log, ..Self::linear(name, unit) }
    }

    pub(crate) fn percentile(name: &str) -> Self {
        Self { growth: Growth::Percentile, ..Self::linear(name, Unit::Quantile) }
    }

    /// The same axis, which reaches these values too.
    pub(crate) fn covering(mut self, values: &[f64]) -> Self {
        self.covers.extend_from_slice(values);
        self
    }

    /// The scale for these values between two places. Linear ones begin at zero.
    pub(crate) fn fit(&self, values: impl Iterator<Item = f64>, from_place: f64, to_place: f64) -> Scale {
        let is_fit = |value: &f64| value.is_finite() && (self.growth != Growth::Log || *value > 0.0);
        let all: Vec<f64> = values.chain(self.covers.iter().copied()).filter(is_fit).collect();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let is_x = to_place > from_place;
        let (from, to) = match self.growth {
            Growth::Linear => {
                // Heights begin at zero; time and rates may begin where they are.
                let from = if is_x && least > most / 20.0 { least } else { least.min(0.0) };
                let to = if most > from { most } else { from + 1.0 };
                let step = self.unit.step((to - from) / if is_x { 6.0 } else { 5.0 });
                // Time ends where the run does; heights end at a tick.
                let to = if is_x { to } else { (to / step).ceil() * step };
                (if is_x { from } else { (from / step).floor() * step }, to)
            }
            Growth::Log if least > most => (1.0, 10.0),
            Growth::Log => {
                let (from, to) = (step_down(least), step_up(most));
                if to > from { (from, to) } else { (from, to * 10.0) }
            }
            Growth::Percentile => (0.0, most.clamp(0.9, 1.0 - 1e-12)),
        };
        Scale { growth: self.growth, unit: self.unit, from, to, from_place, to_place }
    }
}

/// An axis between two places.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    growth: Growth,
    unit: Unit,
    from: f64,
    to: f64,
    from_place: f64,
    to_place: f64,
}

impl Scale {
    /// Not a number for what has no place.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let along = |value: f64| match self.growth {
            Growth::Linear => value,
            Growth::Log => value.max(self.from).log10(),
            Growth::Percentile => -(1.0 - value.min(1.0 - 1e-13)).log10(),
        };
        if value.is_nan() {
            return f64::NAN;
        }
        let share = (along(value) - along(self.from)) / (along(self.to) - along(self.from));
        self.from_place + share.clamp(0.0, 1.0) * (self.to_place - self.from_place)
    }

    /// Where bars stand.
    pub(crate) fn floor(&self) -> f64 {
        self.from_place
    }

    /// Values with their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let values = match self.growth {
            Growth::Linear => self.linear_ticks(),
            Growth::Log => self.log_ticks(),
            Growth::Percentile => self.percentile_ticks(),
        };
        values.into_iter().map(|value| (value, self.unit.tick(value, self.to))).collect()
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let parts = if self.to_place > self.from_place { 6.0 } else { 5.0 };
        let step = self.unit.step((self.to - self.from) / parts);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|number| number as f64 * step).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
        let decades = self.to.log10() - self.from.log10();
        let factors: &[f64] = if decades > 3.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        // Twelve decades are as many as can be told apart.
        let every = ((last - first) as usize).div_ceil(12).max(1);
        (first..=last)
            .step_by(every)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
            .filter(|value| (self.from * 0.999..=self.to * 1.001).contains(value))
            .collect()
    }

    fn percentile_ticks(&self) -> Vec<f64> {
        let nines = (1..=12).map(|nines| 1.0 - 10_f64.powi(-nines));
        let mut ticks = vec![0.0, 0.5];
        ticks.extend(nines.filter(|value| *value <= self.to + 1e-13));
        ticks
    }
}

/// The largest of 1, 2 and 5 times a power of ten that is not above.
fn step_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step <= value * 1.000_001)
        .unwrap_or(power)
}

fn step_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= value * 0.999_999).unwrap_or(power * 10.0)
}
