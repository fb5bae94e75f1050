//! What an axis counts, and how its figures are written.

/// Values are given in the unit of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Nanoseconds,
    Seconds,
    Bytes,
    /// Parts of one, shown in percent.
    Share,
    /// Parts of one, shown as percentiles.
    Quantile,
}

impl Unit {
    /// A round distance between ticks, at least this much.
    pub(crate) fn step(self, least: f64) -> f64 {
        if self == Self::Bytes && least >= 1_024.0 {
            let power = 2_f64.powi(10 * (least.log2() / 10.0).floor() as i32);
            let part = least / power;
            let factors = [
                1.0, 2.0, 4.0, 5.0, 8.0, 10.0, 16.0, 20.0, 32.0, 50.0, 64.0, 100.0, 128.0, 200.0, 256.0,
                512.0,
            ];
            return factors.into_iter().find(|factor| *factor >= part).unwrap_or(1_024.0) * power;
        }
        if self == Self::Seconds && least > 10.0 {
            let steps = [20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0];
            return steps
                .into_iter()
                .find(|step| *step >= least)
                .unwrap_or_else(|| (least / 21_600.0).ceil() * 21_600.0);
        }
        if self == Self::Count && least <= 1.0 {
            return 1.0;
        }
        let power = 10_f64.powf(least.max(1e-12).log10().floor());
        [1.0, 2.0, 5.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= least * 0.999_999)
            .unwrap_or(10.0 * power)
    }

    /// For a tick. All of an axis are written alike where it matters: `most` is the largest.
    pub(crate) fn tick(self, value: f64, most: f64) -> String {
        match self {
            Self::Count => with_prefix(value, &[(1e9, "G"), (1e6, "M"), (1e3, "k")], ""),
            Self::Nanoseconds => duration(value),
            Self::Seconds if most >= 7_200.0 => format!("{} h", trimmed(value / 3_600.0, 2)),
            Self::Seconds if most >= 300.0 => format!("{} min", trimmed(value / 60.0, 2)),
            Self::Seconds => format!("{} s", trimmed(value, 3)),
            Self::Bytes => {
                let units = [
                    (1_099_511_627_776.0, " TiB"),
                    (1_073_741_824.0, " GiB"),
                    (1_048_576.0, " MiB"),
                    (1_024.0, " KiB"),
                ];
                with_prefix(value, &units, " B")
            }
            Self::Share => format!("{} %", trimmed(value * 100.0, 1)),
            Self::Quantile => quantile(value),
        }
    }

    /// For a value that was pointed at: three significant digits or more.
    pub(crate) fn exact(self, value: f64) -> String {
        match self {
            Self::Count => crate::text::thousands(value.max(0.0).round() as u64),
            Self::Nanoseconds => crate::text::time(value.max(0.0) as u64),
            Self::Seconds => format!("{} s", trimmed(value, 3)),
            Self::Bytes => self.tick((value * 10.0).round() / 10.0, value),
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Quantile => format!("{} %", trimmed(value * 100.0, 7)),
        }
    }
}

fn with_prefix(value: f64, prefixes: &[(f64, &str)], plain: &str) -> String {
    let found = prefixes.iter().find(|(size, _)| value.abs() >= *size * 0.999_999);
    match found {
        Some((size, prefix)) => format!("{}{prefix}", trimmed(value / size, 2)),
        None => format!("{}{plain}", trimmed(value, 3)),
    }
}

fn duration(ns: f64) -> String {
    if ns == 0.0 {
        return "0".to_owned();
    }
    with_prefix(ns, &[(1e9, " s"), (1e6, " ms"), (1e3, " us")], " ns")
}

/// `99.9 %` for 0.999: as many nines as there are.
fn quantile(value: f64) -> String {
    let behind_point = (-(1.0 - value).log10()).round().max(0.0) as usize;
    format!("{} %", trimmed(value * 100.0, behind_point.saturating_sub(2)))
}

/// With at most so many digits behind the point, and without zeros at the end.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
