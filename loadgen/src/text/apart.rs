//! The parts of a report about subscribers that come and go, read slowly, or come back.

use std::fmt;

use super::{line, plural, thousands, write_reasons};
use crate::report::{Churn, Reconnect, Report, Slow, Storm};

impl Report {
    pub(super) fn write_apart(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(churn) = &self.churn {
            write_churn(f, churn)?;
        }
        if let Some(slow) = &self.slow {
            write_slow(f, slow)?;
        }
        if let Some(reconnect) = &self.reconnect {
            write_reconnect(f, reconnect)?;
        }
        Ok(())
    }
}

fn write_churn(f: &mut fmt::Formatter<'_>, churn: &Churn) -> fmt::Result {
    line(
        f,
        "churn",
        &format!(
            "{} left of {} ({:.1}/s of {}/s), {} came again, {} away at the end",
            thousands(churn.left),
            plural(churn.subscribers.into(), "subscriber"),
            churn.left_per_second,
            churn.rate_milli as f64 / 1_000.0,
            thousands(churn.returned),
            thousands(churn.away)
        ),
    )?;
    line(
        f,
        "",
        &format!(
            "their stays: {} of {} received, lost {}, duplicated {}, reordered {}; {} missed while away",
            thousands(churn.received),
            thousands(churn.expected),
            thousands(churn.lost),
            thousands(churn.duplicated),
            thousands(churn.reordered),
            thousands(churn.missed_away)
        ),
    )?;
    if churn.not_closed > 0 {
        line(f, "", &format!("{} not completed", plural(churn.not_closed, "closing handshake")))?;
    }
    write_reasons(f, &churn.disconnections)?;
    write_reasons(f, &churn.failures)
}

fn write_slow(f: &mut fmt::Formatter<'_>, slow: &Slow) -> fmt::Result {
    let pace = match slow.bytes_per_second {
        0 => "stopped reading".to_owned(),
        bytes => format!("read {} bytes/s", thousands(bytes.into())),
    };
    line(
        f,
        "slow",
        &format!(
            "{} {pace}: {} of {} received, {} unread at the end",
            plural(slow.subscribers.into(), "subscriber"),
            thousands(slow.received),
            thousands(slow.expected),
            thousands(slow.unread)
        ),
    )?;
    line(
        f,
        "",
        &format!(
            "announced missed {}, skipped {}, missed after their end {}; {} disconnected",
            thousands(slow.announced_missed),
            thousands(slow.skipped),
            thousands(slow.missed_disconnected),
            thousands(slow.disconnected)
        ),
    )?;
    write_reasons(f, &slow.disconnections)
}

fn write_reconnect(f: &mut fmt::Formatter<'_>, reconnect: &Reconnect) -> fmt::Result {
    line(
        f,
        "reconnect",
        &format!(
            "{} lost, {} back in {}, {} away at the end; {} deliveries missed meanwhile",
            plural(reconnect.lost, "connection"),
            thousands(reconnect.returned),
            plural(reconnect.attempts, "attempt"),
            thousands(reconnect.away),
            thousands(reconnect.missed_away)
        ),
    )?;
    if reconnect.publishers_lost > 0 {
        line(
            f,
            "",
            &format!(
                "of publishers: {} lost, {} back; {} publishes unanswered",
                plural(reconnect.publishers_lost, "connection"),
                thousands(reconnect.publishers_returned),
                thousands(reconnect.publishes_unanswered)
            ),
        )?;
    }
    for storm in &reconnect.storms {
        write_storm(f, storm)?;
    }
    write_reasons(f, &reconnect.causes)?;
    write_reasons(f, &reconnect.failures)
}

fn write_storm(f: &mut fmt::Formatter<'_>, storm: &Storm) -> fmt::Result {
    let seconds =
        |seconds: Option<f64>| seconds.map_or_else(|| "never".to_owned(), |s| format!("after {s:.2} s"));
    line(
        f,
        "",
        &format!(
            "at {:.2} s {} lost: half back {}, 99 % {}, all {}; at most {} connects/s",
            storm.began_seconds,
            thousands(storm.lost),
            seconds(storm.half_seconds),
            seconds(storm.p99_seconds),
            seconds(storm.all_seconds),
            thousands(storm.peak_returns_per_second)
        ),
    )
}
