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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Reason, sample};

    #[test]
    fn what_became_of_the_others_is_told_in_a_few_lines() {
        let reason = |reason: &str, count| vec![Reason { reason: reason.into(), count }];
        let mut report = sample::report();
        report.churn = Some(Churn {
            subscribers: 500,
            rate_milli: 100_000,
            left: 1_998,
            left_per_second: 99.9,
            returned: 1_997,
            away: 1,
            not_closed: 2,
            expected: 1_000_000,
            received: 999_998,
            lost: 2,
            missed_away: 12_345,
            failures: reason("connection refused", 3),
            ..Churn::default()
        });
        report.slow = Some(Slow {
            subscribers: 50,
            bytes_per_second: 16_384,
            expected: 50_000,
            received: 10_000,
            announced_missed: 1,
            skipped: 2,
            unread: 3,
            missed_disconnected: 39_994,
            disconnected: 49,
            disconnections: reason("the server closed: 4008 (private use) too slow", 49),
            ..Slow::default()
        });
        report.reconnect = Some(Reconnect {
            lost: 1_000,
            returned: 990,
            attempts: 2_500,
            away: 10,
            missed_away: 7_654_321,
            publishers_lost: 1,
            publishers_returned: 1,
            publishes_unanswered: 4,
            storms: vec![Storm {
                began_seconds: -0.5,
                lost: 1_000,
                half_seconds: Some(2.5),
                p99_seconds: Some(4.999),
                peak_returns_per_second: 288,
                ..Storm::default()
            }],
            causes: reason("the stream ended without a Close frame", 1_000),
            ..Reconnect::default()
        });
        let text = report.to_string();
        let begin = text.find("  churn         1,998").expect("a part about churn");
        let end = text.find("  generator     ").expect("the part behind it");
        assert_eq!(
            text[begin..end].lines().map(str::trim_end).collect::<Vec<_>>(),
            [
                "  churn         1,998 left of 500 subscribers (99.9/s of 100/s), 1,997 came again, 1 away at the end",
                "                their stays: 999,998 of 1,000,000 received, lost 2, duplicated 0, reordered 0; 12,345 missed while away",
                "                2 closing handshakes not completed",
                "                3 x connection refused",
                "  slow          50 subscribers read 16,384 bytes/s: 10,000 of 50,000 received, 3 unread at the end",
                "                announced missed 1, skipped 2, missed after their end 39,994; 49 disconnected",
                "                49 x the server closed: 4008 (private use) too slow",
                "  reconnect     1,000 connections lost, 990 back in 2,500 attempts, 10 away at the end; 7,654,321 deliveries missed meanwhile",
                "                of publishers: 1 connection lost, 1 back; 4 publishes unanswered",
                "                at -0.50 s 1,000 lost: half back after 2.50 s, 99 % after 5.00 s, all never; at most 288 connects/s",
                "                1,000 x the stream ended without a Close frame",
            ]
        );
    }
}
