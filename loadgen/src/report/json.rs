//! How a report is laid out as JSON: a line for each of the outer members, and one for each entry of the lists in them. So a file
//! with hundreds of intervals stays short, and can be read and searched by eye.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::report::Report;

/// Down to this depth every member has a line of its own.
const LINES: usize = 2;

impl Report {
    /// What `--json` writes, with a line's end behind it.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

/// The same of what holds several reports: a line for each.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Layout::default());
    value.serialize(&mut serializer).expect("a report has no maps with other keys than strings");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is UTF-8")
}

#[derive(Default)]
struct Layout {
    lines: PrettyFormatter<'static>,
    depth: usize,
}

impl Layout {
    fn is_inline(&self) -> bool {
        self.depth > LINES
    }

    fn separate<W: ?Sized + Write>(writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.is_inline() { writer.write_all(b"[") } else { self.lines.begin_array(writer) }
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let is_inline = self.is_inline();
        self.depth -= 1;
        if is_inline { writer.write_all(b"]") } else { self.lines.end_array(writer) }
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if self.is_inline() {
            Self::separate(writer, first)
        } else {
            self.lines.begin_array_value(writer, first)
        }
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_inline() { Ok(()) } else { self.lines.end_array_value(writer) }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.is_inline() { writer.write_all(b"{") } else { self.lines.begin_object(writer) }
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let is_inline = self.is_inline();
        self.depth -= 1;
        if is_inline { writer.write_all(b"}") } else { self.lines.end_object(writer) }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if self.is_inline() {
            Self::separate(writer, first)
        } else {
            self.lines.begin_object_key(writer, first)
        }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.is_inline() { Ok(()) } else { self.lines.end_object_value(writer) }
    }
}

#[cfg(test)]
mod tests {
    use crate::encoded_histogram::EncodedHistogram;
    use crate::measure::Recorder;
    use crate::report::{Histograms, sample};
    use crate::timeline::Interval;

    #[test]
    fn inner_parts_are_lines() {
        let json = sample::report().to_json();
        let line = "    \"handshake\": {\"count\": 1000, \"min_ns\": 78000, \"p50_ns\": 123000, \"p90_ns\": 456000, \"p99_ns\": 1234000, \
                    \"p999_ns\": 45678000, \"max_ns\": 1500000000},\n    \"ping\": {";
        assert!(json.contains(line), "{json}");
        assert!(
            json.starts_with("{\n  \"schema\": \"corecast-load/1\",\n  \"version\": \"0.1.0\",\n"),
            "{json}"
        );
        assert!(
            json.contains("    \"failures\": [{\"reason\": \"cannot connect\", \"count\": 1}],\n"),
            "{json}"
        );
        assert!(json.ends_with("\n  }\n}\n"), "{json}");
    }

    #[test]
    fn it_is_the_same_json() {
        let report = sample::report();
        let value: serde_json::Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(value, serde_json::to_value(&report).expect("a report is serializable"));
    }

    #[test]
    fn long_runs_with_wide_histograms_stay_small() {
        let mut report = sample::report();
        let measured = report.timeline[2];
        let moved = |second: u32| Interval {
            begin_seconds: f64::from(second) + 1.693_218,
            published: Some(123_456),
            received: Some(12_345_678),
            p50_ns: Some(1_234_567 + u64::from(second)),
            p90_ns: Some(12_345_678),
            server_resident_bytes: Some(1_234_567_890),
            generator_resident_bytes: Some(1_234_567_890),
            ..measured
        };
        let connecting = report.timeline[0];
        report.timeline = vec![connecting; 100];
        report.timeline.extend((0..240).map(moved));
        let mut wide = Recorder::default();
        let mut ns = 20_000;
        while ns < 200_000_000 {
            wide.record_times(ns, (ns % 9_973) as u32 + 1);
            ns += ns / 1_000;
        }
        let wide = EncodedHistogram::of(wide.histogram());
        report.histograms =
            Histograms { from_intended: Some(wide.clone()), from_sent: wide, ..report.histograms };
        let bytes = report.to_json().len();
        assert!(bytes < 200_000, "{bytes}");
    }
}
