//! How long messages are, and which of them are text: drawn from the seed, for each message by itself.
//!
//! What a message is like follows from seed, publisher and sequence alone. So it is the same in every run with the same seed,
//! whatever the order in which publishers come up, and a message that is sent again is the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::parse_bytes;

/// Most sizes of one distribution.
const MOST_SIZES: usize = 64;
/// Weights are kept to a thousandth.
const WEIGHT_UNIT: f64 = 1_000.0;

/// A distribution of message sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    shape: Shape,
    /// As it was written.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Shape {
    Fixed(u32),
    /// Both ends included.
    Uniform(u32, u32),
    /// Size and weight, in thousandths.
    Weighted(Vec<(u32, u32)>),
}

impl Sizes {
    pub fn fixed(bytes: u32) -> Self {
        Self { shape: Shape::Fixed(bytes), text: bytes.to_string() }
    }

    pub const fn is_fixed(&self) -> bool {
        matches!(self.shape, Shape::Fixed(_))
    }

    pub fn least(&self) -> u32 {
        match &self.shape {
            Shape::Fixed(bytes) | Shape::Uniform(bytes, _) => *bytes,
            Shape::Weighted(sizes) => sizes.iter().map(|(bytes, _)| *bytes).min().unwrap_or_default(),
        }
    }

    pub fn largest(&self) -> u32 {
        match &self.shape {
            Shape::Fixed(bytes) | Shape::Uniform(_, bytes) => *bytes,
            Shape::Weighted(sizes) => sizes.iter().map(|(bytes, _)| *bytes).max().unwrap_or_default(),
        }
    }

    /// Bytes of a message on average, as many messages come to it.
    pub fn mean(&self) -> f64 {
        match &self.shape {
            Shape::Fixed(bytes) => f64::from(*bytes),
            Shape::Uniform(least, largest) => (f64::from(*least) + f64::from(*largest)) / 2.0,
            Shape::Weighted(sizes) => {
                let weights: f64 = sizes.iter().map(|(_, weight)| f64::from(*weight)).sum();
                sizes.iter().map(|(bytes, weight)| f64::from(*bytes) * f64::from(*weight)).sum::<f64>()
                    / weights
            }
        }
    }

    /// Bytes of one message.
    #[inline]
    pub fn of(&self, seed: u64, publisher: u32, sequence: u32) -> u32 {
        match &self.shape {
            Shape::Fixed(bytes) => *bytes,
            Shape::Uniform(least, largest) => {
                let span = u64::from(largest - least) + 1;
                least + below(span, drawn(seed, publisher, sequence)) as u32
            }
            Shape::Weighted(sizes) => {
                let weights = sizes.iter().map(|(_, weight)| u64::from(*weight)).sum();
                let mut place = below(weights, drawn(seed, publisher, sequence));
                for &(bytes, weight) in sizes {
                    match place.checked_sub(weight.into()) {
                        Some(rest) => place = rest,
                        None => return bytes,
                    }
                }
                unreachable!("the place is below the sum of the weights")
            }
        }
    }

    /// Bytes of these messages together.
    pub fn sum(&self, seed: u64, publisher: u32, sequences: std::ops::Range<u32>) -> u64 {
        match &self.shape {
            Shape::Fixed(bytes) => sequences.len() as u64 * u64::from(*bytes),
            _ => sequences.map(|sequence| u64::from(self.of(seed, publisher, sequence))).sum(),
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "'{text}' is not a size: write 64, 4KiB, sizes with weights as in 64:90,1KiB:9,64KiB:1, or a range as in \
                 uniform:32-4096"
            )
        };
        let shape = if let Some(range) = text.strip_prefix("uniform:") {
            let (least, largest) = range.split_once('-').ok_or_else(refuse)?;
            let (least, largest) = (parse_bytes(least), parse_bytes(largest));
            let (Ok(least), Ok(largest)) = (least, largest) else { return Err(refuse()) };
            if least > largest {
                return Err(refuse());
            }
            Shape::Uniform(least, largest)
        } else if text.contains(':') {
            let part = |part: &str| {
                let (bytes, weight) = part.split_once(':')?;
                let weight: f64 = weight.parse().ok()?;
                let weight = (weight * WEIGHT_UNIT).round();
                (1.0..=1e9).contains(&weight).then_some((parse_bytes(bytes).ok()?, weight as u32))
            };
            let sizes: Option<Vec<_>> = text.split(',').map(part).collect();
            Shape::Weighted(sizes.filter(|sizes| sizes.len() <= MOST_SIZES).ok_or_else(refuse)?)
        } else {
            return parse_bytes(text).map(Self::fixed).map_err(|_| refuse());
        };
        Ok(Self { shape, text: text.to_owned() })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which messages are text: this part of 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextShare(u32);

impl TextShare {
    #[inline]
    pub fn is_text(self, seed: u64, publisher: u32, sequence: u32) -> bool {
        // Another drawing than that of the size: else all text would be short.
        (drawn(!seed, publisher, sequence) >> 32) < u64::from(self.0)
    }
}

impl FromStr for TextShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse =
            || format!("'{text}' is not a share: write 30% or 0.3, more than nothing and less than all");
        let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let share = number.parse::<f64>().map_err(|_| refuse())? / unit;
        if share > 0.0 && share < 1.0 { Ok(Self((share * 4_294_967_296.0) as u32)) } else { Err(refuse()) }
    }
}

impl fmt::Display for TextShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f64::from(self.0) / 42_949_672.96;
        write!(f, "{} %", (percent * 1_000.0).round() / 1_000.0)
    }
}

/// A number for one message that looks random: the finalizer of SplitMix64 over what names the message.
fn drawn(seed: u64, publisher: u32, sequence: u32) -> u64 {
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    mix(mix(seed ^ u64::from(publisher).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(sequence.into()))
}

/// A drawn number as one below `bound`.
fn below(bound: u64, drawn: u64) -> u64 {
    ((u128::from(drawn) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> Sizes {
        text.parse().expect("a size")
    }

    /// How often each size comes among the first messages of a publisher.
    fn count(sizes: &Sizes, messages: u32) -> Vec<(u32, u32)> {
        let mut counts = std::collections::BTreeMap::new();
        for sequence in 0..messages {
            *counts.entry(sizes.of(7, 3, sequence)).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    #[test]
    fn one_size_is_every_messages() {
        let fixed = sizes("1KiB");
        assert!(fixed.is_fixed());
        assert_eq!((fixed.least(), fixed.largest(), fixed.mean()), (1_024, 1_024, 1_024.0));
        assert_eq!(count(&fixed, 5), [(1_024, 5)]);
        assert_eq!(fixed.sum(7, 3, 10..20), 10_240);
    }

    #[test]
    fn weights_decide_how_often_a_size_comes() {
        let weighted = sizes("64:90,1KiB:9,64KiB:1");
        assert_eq!((weighted.least(), weighted.largest()), (64, 65_536));
        assert_eq!(weighted.mean(), (64.0 * 90.0 + 1_024.0 * 9.0 + 65_536.0) / 100.0);
        assert_eq!(count(&weighted, 100_000), [(64, 90_011), (1_024, 9_003), (65_536, 986)]);
        assert_eq!(weighted.sum(7, 3, 0..100_000), 90_011 * 64 + 9_003 * 1_024 + 986 * 65_536);
        assert_eq!(sizes("100:0.5,200:0.5").mean(), 150.0);
    }

    #[test]
    fn a_range_is_even_and_has_both_ends() {
        let uniform = sizes("uniform:40-43");
        assert_eq!((uniform.least(), uniform.largest(), uniform.mean()), (40, 43, 41.5));
        assert_eq!(count(&uniform, 40_000), [(40, 10_001), (41, 10_051), (42, 10_097), (43, 9_851)]);
        assert_eq!(count(&sizes("uniform:50-50"), 3), [(50, 3)]);
    }

    #[test]
    fn sizes_follow_from_the_seed_and_differ_between_publishers() {
        let uniform = sizes("uniform:32-4096");
        let first =
            |seed, publisher| -> Vec<u32> { (0..8).map(|s| uniform.of(seed, publisher, s)).collect() };
        assert_eq!(first(1, 0), first(1, 0));
        assert_ne!(first(1, 0), first(2, 0));
        assert_ne!(first(1, 0), first(1, 1));
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_forms_there_are() {
        for text in [
            "",
            "x",
            "64:",
            "64:0",
            ":5",
            "64:90;1KiB:9",
            "uniform:",
            "uniform:5",
            "uniform:9-5",
            "64:-1",
            "64:nan",
        ] {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
        assert_eq!(
            "64,128".parse::<Sizes>().unwrap_err(),
            "'64,128' is not a size: write 64, 4KiB, sizes with weights as in 64:90,1KiB:9,64KiB:1, or a range as in \
             uniform:32-4096"
        );
    }

    #[test]
    fn text_is_the_share_asked_for_whatever_the_size() {
        let share: TextShare = "30%".parse().unwrap();
        assert_eq!(share, "0.3".parse().unwrap());
        assert_eq!(share.to_string(), "30 %");
        let all = (0..10_000).filter(|sequence| share.is_text(7, 0, *sequence)).count();
        let halves = sizes("64:1,128:1");
        let short = (0..10_000)
            .filter(|sequence| share.is_text(7, 0, *sequence) && halves.of(7, 0, *sequence) == 64)
            .count();
        assert_eq!((all, short), (3_013, 1_492));
        for text in ["0", "1", "100%", "-0.1", "x", "%", "nan"] {
            assert!(text.parse::<TextShare>().is_err(), "{text}");
        }
    }
}
