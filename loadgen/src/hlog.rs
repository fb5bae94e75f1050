//! The histograms as a log that HdrHistogram's own tools read: format 1.3, times in nanoseconds.
//!
//! A line is an interval with its begin and length in seconds, its maximum in milliseconds, and its histogram; the tag says which
//! one. Latencies have a line for each interval of the measured window, the other histograms one for all of it.

use std::fmt::Write;

use crate::calendar::utc;
use crate::encoded_histogram::{DecodeError, EncodedHistogram};
use crate::report::Report;
use crate::timeline::{IntervalHistograms, Phase};

/// Nanoseconds in the unit of the column Interval_Max, as HdrHistogram's log writers have it.
const MAX_UNIT: f64 = 1e6;

impl Report {
    /// What `--hlog` writes. A report that was read from JSON has one line for each histogram.
    ///
    /// # Errors
    /// When a histogram was damaged after it was written.
    pub fn to_hlog(&self) -> Result<String, DecodeError> {
        let mut lines = Vec::new();
        let window = self.window();
        let whole = IntervalHistograms {
            from_intended: self.histograms.from_intended.clone(),
            from_sent: self.histograms.from_sent.clone(),
            ..window.clone()
        };
        let has_intervals = !self.interval_histograms.is_empty();
        let latencies =
            if has_intervals { self.interval_histograms.as_slice() } else { std::slice::from_ref(&whole) };
        let connecting = IntervalHistograms {
            begin_ns: 0,
            length_ns: (self.connect.seconds * 1e9) as u64,
            ..IntervalHistograms::default()
        };
        lines.push(line("handshake", &connecting, &self.histograms.handshake)?);
        if let Some(ping) = &self.histograms.ping {
            lines.push(line("ping", &self.held(), ping)?);
        }
        let others = [
            ("spread", &self.histograms.spread),
            ("schedule_lag", &self.histograms.schedule_lag),
            ("own_lag", &self.histograms.own_lag),
            ("reap_lag", &self.histograms.reap_lag),
        ];
        for (tag, histogram) in others {
            lines.push(line(tag, &window, histogram)?);
        }
        for interval in latencies {
            if let Some(from_intended) = &interval.from_intended {
                lines.push(line("from_intended", interval, from_intended)?);
            }
            lines.push(line("from_sent", interval, &interval.from_sent)?);
        }
        let began = self.setup.began_unix_ms as f64 / 1e3;
        let mut log = format!(
            "#[Logged with corecast-load {} ({})]\n\
             #[Histogram log format version 1.3]\n\
             #[StartTime: {began:.3} (seconds since epoch), {}]\n\
             #[BaseTime: {began:.3} (seconds since epoch)]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
            self.version,
            self.commit,
            utc(self.setup.began_unix_ms),
        );
        // Empty ones are left out: they say nothing, and not every reader takes them.
        for line in lines.iter().flatten() {
            log.push_str(line);
        }
        Ok(log)
    }

    /// While subscribers were pinged: before publishing.
    fn held(&self) -> IntervalHistograms {
        let seconds = self.connect.ping.map_or(0.0, |ping| ping.seconds);
        let mut held = self.timeline.iter().filter(|interval| interval.phase == Phase::Hold);
        let end = held
            .next_back()
            .map_or(self.connect.seconds, |interval| interval.begin_seconds + interval.seconds);
        IntervalHistograms {
            begin_ns: ((end - seconds).max(0.0) * 1e9) as u64,
            length_ns: (seconds * 1e9) as u64,
            ..IntervalHistograms::default()
        }
    }

    /// The measured window.
    fn window(&self) -> IntervalHistograms {
        let mut measured = self.timeline.iter().filter(|interval| interval.phase == Phase::Measure);
        let begin = measured.next().map_or(0.0, |interval| interval.begin_seconds);
        IntervalHistograms {
            begin_ns: (begin * 1e9) as u64,
            length_ns: (self.throughput.seconds * 1e9) as u64,
            ..IntervalHistograms::default()
        }
    }
}

fn line(
    tag: &str,
    interval: &IntervalHistograms,
    histogram: &EncodedHistogram,
) -> Result<Option<String>, DecodeError> {
    let decoded = histogram.decode()?;
    if decoded.is_empty() {
        return Ok(None);
    }
    let mut line = String::new();
    writeln!(
        line,
        "Tag={tag},{:.3},{:.3},{:.3},{}",
        interval.begin_ns as f64 / 1e9,
        interval.length_ns as f64 / 1e9,
        decoded.max() as f64 / MAX_UNIT,
        histogram.as_str()
    )
    .expect("a string takes every write");
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Recorder;
    use crate::report::{Histograms, sample};

    fn histogram(ns: u64) -> EncodedHistogram {
        let mut recorder = Recorder::default();
        recorder.record(ns);
        EncodedHistogram::of(recorder.histogram())
    }

    /// Without the histograms themselves, which other tests read.
    fn short(log: &str) -> Vec<&str> {
        log.lines().map(|line| line.split_once(",HISTFAA").map_or(line, |(head, _)| head)).collect()
    }

    #[test]
    fn every_line_has_its_time_and_tag() {
        let mut report = sample::report();
        report.histograms = Histograms::default();
        report.histograms.handshake = histogram(2_000_000);
        report.histograms.spread = histogram(3_000_000);
        report.interval_histograms = [(1_250, 1_000_000), (1_750, 7_340_031)]
            .map(|(begin_ms, ns)| IntervalHistograms {
                begin_ns: begin_ms * 1_000_000,
                length_ns: 500_000_000,
                from_intended: Some(histogram(ns)),
                from_sent: histogram(ns / 2),
            })
            .to_vec();
        let log = report.to_hlog().expect("what was encoded");
        assert_eq!(
            short(&log),
            [
                "#[Logged with corecast-load 0.1.0 (abc1234)]",
                "#[Histogram log format version 1.3]",
                "#[StartTime: 1795212000.500 (seconds since epoch), 2026-11-20 22:00:00 UTC]",
                "#[BaseTime: 1795212000.500 (seconds since epoch)]",
                "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
                "Tag=handshake,0.000,0.250,2.001",
                "Tag=spread,1.300,10.000,3.000",
                "Tag=from_intended,1.250,0.500,1.000",
                "Tag=from_sent,1.250,0.500,0.500",
                "Tag=from_intended,1.750,0.500,7.340",
                "Tag=from_sent,1.750,0.500,3.670",
            ]
        );
    }

    #[test]
    fn a_report_from_a_file_has_whole_histograms() {
        let mut report = sample::report();
        report.histograms = Histograms::default();
        report.histograms.from_sent = histogram(4_000_000);
        let log = report.to_hlog().expect("what was encoded");
        assert_eq!(short(&log)[5..], ["Tag=from_sent,1.300,10.000,4.002"]);
    }
}
