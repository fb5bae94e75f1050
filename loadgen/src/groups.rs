//! Subscribers by what they do: those that stay and read, those that come and go, those that read slowly.
//!
//! The report's main figures are those of the steady ones. The others are counted for themselves: what they lose by their own
//! doing must not be taken for the server's, and whether the steady ones feel anything of it is the question.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dealing::share;

/// What a subscriber does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Steady,
    /// Leaves after a while, and comes again as a new connection.
    Churning,
    /// Reads at a bounded rate, or not at all.
    Slow,
}

/// How many subscribers each group has. By their numbers the steady ones come first, then the churning ones, then the slow
/// ones: as topics and workers are dealt out in turn, every topic and worker has its share of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    pub steady: u32,
    pub churning: u32,
    pub slow: u32,
}

impl Groups {
    pub const fn of(&self, subscriber: u32) -> Group {
        if subscriber < self.steady {
            Group::Steady
        } else if subscriber < self.steady + self.churning {
            Group::Churning
        } else {
            Group::Slow
        }
    }

    /// What one worker has of them: its subscribers go by its own numbers, in the same order.
    pub fn share(&self, worker: usize, workers: usize) -> Self {
        let below = |total: u32| share(total, worker, workers) as u32;
        let (steady, churning) = (below(self.steady), below(self.steady + self.churning));
        let all = below(self.steady + self.churning + self.slow);
        Self { steady, churning: churning - steady, slow: all - churning }
    }
}

/// Some of the subscribers: a number of them, or a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Portion {
    Number(u32),
    Percent(f64),
}

impl Portion {
    /// How many that is, rounded to the nearest; at least one of a part that is not nothing.
    pub fn of(self, all: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Percent(0.0) => 0,
            Self::Percent(percent) => ((f64::from(all) * percent / 100.0).round() as u32).max(1),
        }
    }
}

impl FromStr for Portion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let portion = match text.strip_suffix('%') {
            Some(percent) => {
                percent.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(Self::Percent)
            }
            None => text.parse().ok().map(Self::Number),
        };
        portion.ok_or_else(|| format!("'{text}' is not a number of subscribers: write 50, or 5% of them"))
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_follow_each_other_and_workers_have_their_share() {
        let groups = Groups { steady: 5, churning: 3, slow: 2 };
        let all: Vec<Group> = (0..10).map(|subscriber| groups.of(subscriber)).collect();
        assert_eq!(
            all[4..9],
            [Group::Steady, Group::Churning, Group::Churning, Group::Churning, Group::Slow]
        );
        for workers in 1..5 {
            for worker in 0..workers {
                let own = groups.share(worker, workers);
                for local in 0..share(10, worker, workers) {
                    let subscriber = (local * workers + worker) as u32;
                    assert_eq!(own.of(local as u32), groups.of(subscriber), "{subscriber} of {workers}");
                }
            }
        }
    }

    #[test]
    fn portions_are_numbers_or_parts() {
        let of = |text: &str| text.parse::<Portion>().map(|portion| portion.of(1_000));
        assert_eq!((of("50"), of("5%"), of("0.01%"), of("0%")), (Ok(50), Ok(50), Ok(1), Ok(0)));
        for text in ["", "x", "-1", "101%", "5 %%", "nan%"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
