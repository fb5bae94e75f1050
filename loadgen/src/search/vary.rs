//! What a search varies, and how a value of it gets into the options of a run.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::options::RunOptions;
use crate::report::Report;
use crate::text::thousands;
use crate::units::Rate;

/// Part of a rate that has to take place.
const REACHED_SHARE: f64 = 0.9;

/// The option that is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vary {
    /// Messages per second of each publisher: --rate
    Rate,
    /// Connections that receive: --subscribers
    Subscribers,
    /// All connections: subscribers, and those of the publishers
    Connections,
    /// Publishers: --publishers
    Publishers,
    /// Topics, each with one publisher unless --publishers says otherwise: --topics
    Topics,
    /// Messages on their way for each publisher, in the closed loop: --in-flight
    InFlight,
    /// New connections per second: --connect-rate
    ConnectRate,
}

impl Vary {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Subscribers => "subscribers",
            Self::Connections => "connections",
            Self::Publishers => "publishers",
            Self::Topics => "topics",
            Self::InFlight => "in-flight",
            Self::ConnectRate => "connect-rate",
        }
    }

    /// What a value counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Rate => "messages/s of each publisher",
            Self::Subscribers => "subscribers",
            Self::Connections => "connections",
            Self::Publishers => "publishers",
            Self::Topics => "topics",
            Self::InFlight => "messages in flight",
            Self::ConnectRate => "connects/s",
        }
    }

    /// What is looked for.
    pub fn superlative(self) -> &'static str {
        match self {
            Self::Rate => "the highest rate",
            Self::Subscribers => "the most subscribers",
            Self::Connections => "the most connections",
            Self::Publishers => "the most publishers",
            Self::Topics => "the most topics",
            Self::InFlight => "the most messages in flight",
            Self::ConnectRate => "the highest rate of connects",
        }
    }

    /// Steps of the search for each one of its values: rates have thousandths.
    pub fn steps_per_unit(self) -> f64 {
        match self {
            Self::Rate | Self::ConnectRate => 1_000.0,
            _ => 1.0,
        }
    }

    /// What a run did of this value, if it was much less. Connects wait for each other when as many as may are being opened, so a
    /// rate that was asked for is not one that took place.
    pub fn shortfall(self, value: f64, report: &Report) -> Option<String> {
        let reached = report.connect.per_second;
        let is_short = self == Self::ConnectRate && reached < value * REACHED_SHARE;
        is_short.then(|| format!("only {} connects/s took place", thousands(reached as u64)))
    }

    /// Where a search begins that is not told: at the value of the option itself.
    pub fn start(self, options: &RunOptions) -> f64 {
        match self {
            Self::Rate => options.rate.per_second(),
            Self::Subscribers => f64::from(options.subscribers),
            Self::Connections => f64::from(options.subscribers) + f64::from(publishing(options)),
            Self::Publishers => f64::from(options.publishers.unwrap_or(options.topics)),
            Self::Topics => f64::from(options.topics),
            Self::InFlight => f64::from(options.in_flight.unwrap_or(1)),
            Self::ConnectRate => options.connect_rate.map_or(100.0, Rate::per_second),
        }
    }

    /// No option takes more.
    pub fn largest(self) -> f64 {
        match self {
            Self::Rate | Self::ConnectRate => Rate::LARGEST as f64,
            _ => 1e9,
        }
    }

    /// The options with this many steps of the varied one.
    pub fn set(self, steps: u64, options: &RunOptions) -> RunOptions {
        let mut options = options.clone();
        let count = u32::try_from(steps).unwrap_or(u32::MAX);
        match self {
            Self::Rate => options.rate = Rate::over_thousand_seconds(steps),
            Self::Subscribers => options.subscribers = count,
            Self::Connections => options.subscribers = count.saturating_sub(publishing(&options)).max(1),
            Self::Publishers => options.publishers = Some(count),
            Self::Topics => options.topics = count,
            Self::InFlight => options.in_flight = Some(count),
            Self::ConnectRate => options.connect_rate = Some(Rate::over_thousand_seconds(steps)),
        }
        options
    }
}

/// Connections that publishers send over.
fn publishing(options: &RunOptions) -> u32 {
    options.publisher_connections.or(options.publishers).unwrap_or(options.topics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn options(arguments: &[&str]) -> RunOptions {
        RunOptions::try_parse_from([&["run"], arguments].concat()).expect("valid options")
    }

    #[test]
    fn a_search_begins_with_what_the_run_would_have() {
        let given = options(&["--rate", "250", "-c", "30", "--topics", "4", "--connect-rate", "2.5"]);
        let starts = [Vary::Rate, Vary::Subscribers, Vary::Connections, Vary::Publishers, Vary::ConnectRate]
            .map(|vary| vary.start(&given));
        assert_eq!(starts, [250.0, 30.0, 34.0, 4.0, 2.5]);
        assert_eq!(Vary::InFlight.start(&options(&["--in-flight", "8"])), 8.0);
    }

    #[test]
    fn values_get_into_the_options() {
        let given = options(&["--topics", "4"]);
        assert_eq!(Vary::Rate.set(1_500, &given).rate.per_second(), 1.5);
        assert_eq!(Vary::ConnectRate.set(2_000, &given).connect_rate.map(Rate::per_second), Some(2.0));
        assert_eq!(Vary::Subscribers.set(70, &given).subscribers, 70);
        assert_eq!(Vary::Connections.set(70, &given).subscribers, 66);
        assert_eq!(Vary::Connections.set(3, &given).subscribers, 1, "never without one");
        assert_eq!(Vary::Publishers.set(7, &given).publishers, Some(7));
        assert_eq!(Vary::Topics.set(7, &given).topics, 7);
        assert_eq!(Vary::InFlight.set(7, &given).in_flight, Some(7));
        assert_eq!(Vary::Topics.set(u64::MAX, &given).topics, u32::MAX);
    }
}
