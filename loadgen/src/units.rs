//! Quantities as people write them on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Messages (or connections) per second, to a thousandth. From 0.001 to ten million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rate(u64);

impl Rate {
    /// Messages per second.
    pub const LARGEST: u64 = 10_000_000;

    /// From the number over a thousand seconds; one too small or too large becomes the nearest there is.
    pub fn over_thousand_seconds(number: u64) -> Self {
        Self(number.clamp(1, Self::LARGEST * 1_000))
    }

    /// The same rate over a thousand seconds: never zero.
    pub const fn per_thousand_seconds(self) -> u64 {
        self.0
    }

    pub fn per_second(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// The rate that each of `parts` has to keep for all to keep this one.
    pub fn split(self, parts: usize) -> Self {
        Self((self.0 / parts.max(1) as u64).max(1))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("'{text}' is not a rate: give a number per second from 0.001 to 10000000");
        let value: f64 = text.parse().map_err(|_| refuse())?;
        let in_range = (0.001..=Self::LARGEST as f64).contains(&value);
        if in_range { Ok(Self((value * 1_000.0).round() as u64)) } else { Err(refuse()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.per_second())
    }
}

/// `250ms`, `10s`, `1.5s`, `2m`, `1h`; a bare number is seconds. At most 24 hours.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || format!("'{text}' is not a duration: write 250ms, 10s, 2m or 1h (at most 24h)");
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let unit_seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(refuse()),
    };
    let seconds = number.parse::<f64>().map_err(|_| refuse())? * unit_seconds;
    if seconds <= 86_400.0 { Ok(Duration::from_secs_f64(seconds)) } else { Err(refuse()) }
}

/// `5%`, or `0.05`: a part of one.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let refuse = || format!("'{text}' is not a share: write 5% or 0.05");
    let share: f64 = match text.strip_suffix('%') {
        // Not divided: 99.9 % is to be the same number as 0.999.
        Some(number) => format!("{}e-2", number.trim()).parse().map_err(|_| refuse())?,
        None => text.parse().map_err(|_| refuse())?,
    };
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(refuse()) }
}

/// `1500`, `2.5k`, `1M`: a number of things, or a rate.
pub fn parse_number(text: &str) -> Result<f64, String> {
    let refuse = || format!("'{text}' is not a number: write 1500, 2.5k or 1M");
    let (number, times) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |number| (number, 1e6)),
    };
    let number: f64 = number.parse().map_err(|_| refuse())?;
    let value = number * times;
    if (0.001..=1e12).contains(&value) { Ok(value) } else { Err(refuse()) }
}

/// `64`, `4KiB`, `1MiB`, also `4k` and `1m`: powers of 1,024.
pub fn parse_bytes(text: &str) -> Result<u32, String> {
    let refuse = || format!("'{text}' is not a size: write bytes, or 4KiB, 1MiB");
    let number_ends = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let unit_bytes: u32 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        _ => return Err(refuse()),
    };
    number.parse::<u32>().ok().and_then(|count| count.checked_mul(unit_bytes)).ok_or_else(refuse)
}

/// `1KiB/s`, `500`: bytes per second.
pub fn parse_byte_rate(text: &str) -> Result<u32, String> {
    let refuse = |_| format!("'{text}' is not a rate in bytes: write 1KiB/s, or 0 for none");
    parse_bytes(text.strip_suffix("/s").unwrap_or(text)).map_err(refuse)
}

/// `0`, `1,3`, `0-3,8`: processor numbers, ascending, without repetition. As in the kernel's own lists.
pub fn parse_cores(text: &str) -> Result<Vec<usize>, String> {
    let refuse = || format!("'{text}' is not a list of cores: write 1 or 0,2 or 0-3");
    let number = |part: &str| part.trim().parse::<usize>().ok().filter(|&core| core < 4_096);
    let mut cores = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = number(first).zip(number(last)).ok_or_else(refuse)?;
        if first > last {
            return Err(refuse());
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    cores.dedup();
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_keep_thousandths_and_have_bounds() {
        assert_eq!("100".parse::<Rate>().unwrap().per_thousand_seconds(), 100_000);
        assert_eq!("0.001".parse::<Rate>().unwrap().per_thousand_seconds(), 1);
        assert_eq!("10000000".parse::<Rate>().unwrap().per_thousand_seconds(), 10_000_000_000);
        for text in ["0", "-1", "0.0001", "10000001", "NaN", "inf", "fast", ""] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert_eq!("2.5".parse::<Rate>().unwrap().to_string(), "2.5");
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        for text in ["", "s", "10x", "-1s", "25h", "1e9s", "1.2.3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(parse_bytes("64"), Ok(64));
        assert_eq!(parse_bytes("4KiB"), Ok(4_096));
        assert_eq!(parse_bytes("1m"), Ok(1_048_576));
        for text in ["", "k", "1GiB", "5000MiB", "-1"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_parts_of_one() {
        assert_eq!(parse_share("5%"), Ok(0.05));
        assert_eq!(parse_share("0.25"), Ok(0.25));
        assert_eq!(parse_share("99.9 %"), Ok(0.999));
        for text in ["", "%", "5", "101%", "-1%", "x"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_may_be_thousands_and_millions() {
        assert_eq!(parse_number("1500"), Ok(1_500.0));
        assert_eq!(parse_number("2.5k"), Ok(2_500.0));
        assert_eq!(parse_number("1M"), Ok(1_000_000.0));
        for text in ["", "k", "0", "-1", "1G", "nan", "inf"] {
            assert!(parse_number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn core_lists_are_the_kernels() {
        assert_eq!(parse_cores("1"), Ok(vec![1]));
        assert_eq!(parse_cores("8,0-2,1\n"), Ok(vec![0, 1, 2, 8]));
        for text in ["", "a", "3-1", "0,,1", "4096", "0-"] {
            assert!(parse_cores(text).is_err(), "{text}");
        }
    }
}
