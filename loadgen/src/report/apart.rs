//! What became of subscribers that are not steady, and of connections that the server ended.

use serde::{Deserialize, Serialize};

use super::{Percentiles, Reason};

/// Subscribers that came and went: `--churn`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    pub subscribers: u32,
    /// Stays to be ended per thousand seconds.
    pub rate_milli: u64,
    /// Stays that were ended by a closing handshake, and per second of publishing.
    pub left: u64,
    pub left_per_second: f64,
    /// New stays that began.
    pub returned: u64,
    /// Subscribers that were not there at the end.
    pub away: u64,
    /// Leaves that were due when nobody was there to leave.
    pub nobody_left: u64,
    /// Closing handshakes that the server did not complete in time.
    pub not_closed: u64,
    /// From asking for a socket to the subscribed connection, for the stays that began in the run.
    pub handshake: Percentiles,
    /// Attempts that failed.
    pub failures: Vec<Reason>,
    /// Stays that the server ended.
    pub disconnected: u64,
    pub disconnections: Vec<Reason>,
    /// Deliveries that stays were to get: all from the first that came, or from the first that was sent after the
    /// subscription was confirmed if that was earlier, to the last that came. Of the stays that were not over, to the end.
    pub expected: u64,
    pub received: u64,
    pub lost: u64,
    pub announced_missed: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub unexpected: u64,
    /// Not received because the subscriber was not there.
    pub missed_away: u64,
    /// From the intended time; in the closed loop from the actual send.
    pub latency: Percentiles,
}

/// Subscribers that read slowly, or not at all: `--slow-subscribers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slow {
    pub subscribers: u32,
    /// At which they read; 0 when they stopped.
    pub bytes_per_second: u32,
    /// One for each accepted message and subscriber. The next five add up to it, but for what was duplicated.
    pub expected: u64,
    pub received: u64,
    /// Left out by the server, which said so.
    pub announced_missed: u64,
    /// Left out between others that they got, and nothing said.
    pub skipped: u64,
    /// Behind the last one that they got, of those whose connection held: they may be on their way still.
    pub unread: u64,
    /// The same, of those whose connection the server ended.
    pub missed_disconnected: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub unexpected: u64,
    /// Whose connection the server ended, or that broke, before the run did.
    pub disconnected: u64,
    /// What they learned of it.
    pub disconnections: Vec<Reason>,
    /// From the start of publishing, warm-up included, until this host's kernel learned of the end.
    pub until_disconnected: Percentiles,
    /// Of what they received, from the intended time; in the closed loop from the actual send.
    pub latency: Percentiles,
}

/// Connections that the server ended and that were made again: `--reconnect`. Subscribers are the steady ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reconnect {
    pub delay_ns: u64,
    /// Subscribers' connections that ended.
    pub lost: u64,
    /// How they did.
    pub causes: Vec<Reason>,
    pub returned: u64,
    /// Subscribers that were not back at the end.
    pub away: u64,
    pub attempts: u64,
    /// Of subscribers and publishers.
    pub failures: Vec<Reason>,
    /// Of the attempts that succeeded.
    pub handshake: Percentiles,
    /// From the loss of a connection until its subscriber was subscribed again.
    pub absence: Percentiles,
    /// Times in which somebody was away, in their order; of many the largest.
    pub storms: Vec<Storm>,
    /// Deliveries that subscribers did not get because they were away, or because the message went down with its
    /// publisher's connection and reached nobody.
    pub missed_away: u64,
    pub publishers_lost: u64,
    pub publishers_returned: u64,
    pub publishers_away: u64,
    /// Publishes that had no answer yet when their connection ended, where the server answers them.
    pub publishes_unanswered: u64,
}

/// From the first loss of a connection to the moment when everybody was back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Storm {
    /// From the start of the measured window; negative in the warm-up.
    pub began_seconds: f64,
    /// Connections that ended.
    pub lost: u64,
    /// From its beginning until half of them were back; absent when they never were.
    pub half_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
    pub all_seconds: Option<f64>,
    pub attempts: u64,
    /// The most in any second of it.
    pub peak_attempts_per_second: u64,
    pub peak_returns_per_second: u64,
}

/// What spoils a run of what is told apart, in the words of the verdict.
pub(crate) fn problems(
    churn: Option<&Churn>,
    slow: Option<&Slow>,
    reconnect: Option<&Reconnect>,
) -> Vec<String> {
    let mut counts = Vec::new();
    if let Some(churn) = churn {
        counts.extend([
            (churn.lost, "deliveries were lost inside of stays"),
            (churn.announced_missed, "deliveries to stays were left out by the server, which said so"),
            (churn.duplicated, "deliveries to stays came twice"),
            (churn.reordered, "deliveries to stays came out of order"),
            (churn.unexpected, "messages to stays were not of this run or topic"),
            (if reconnect.is_some() { 0 } else { churn.disconnected }, "stays were ended by the server"),
            (churn.nobody_left, "leaves were due when nobody was there: give more --churn-subscribers"),
        ]);
    }
    if let Some(slow) = slow {
        counts.extend([
            (slow.duplicated, "deliveries to slow subscribers came twice"),
            (slow.reordered, "deliveries to slow subscribers came out of order"),
            (slow.unexpected, "messages to slow subscribers were not of this run or topic"),
            (slow.skipped, "deliveries to slow subscribers were left out, and nothing was said"),
        ]);
    }
    if let Some(reconnect) = reconnect {
        counts.extend([
            (reconnect.away, "subscribers were not back at the end"),
            (reconnect.publishers_away, "publishers' connections were not back at the end"),
        ]);
    }
    counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}
