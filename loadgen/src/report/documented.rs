//! REPORT.md names every field that is written, and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::encoded_histogram::EncodedHistogram;
use crate::report::{Churn, Reason, Reconnect, Report, Slow, Storm, sample};
use crate::shards::Shard;

const DOCUMENT: &str = include_str!("../../REPORT.md");

/// A report of which no list is empty and no optional part is absent that has members.
fn full_report() -> Report {
    let mut report = sample::report();
    report.setup.hosts = vec![sample::load_host("host:9003", 1)];
    let reasons = vec![Reason { reason: "why".into(), count: 1 }];
    report.connect.failures = reasons.clone();
    report.delivery.refusals = reasons.clone();
    report.delivery.disconnections = reasons.clone();
    report.histograms.ping = Some(EncodedHistogram::default());
    report.churn =
        Some(Churn { failures: reasons.clone(), disconnections: reasons.clone(), ..Churn::default() });
    report.slow = Some(Slow { disconnections: reasons.clone(), ..Slow::default() });
    report.reconnect = Some(Reconnect {
        causes: reasons.clone(),
        failures: reasons,
        storms: vec![Storm::default()],
        ..Reconnect::default()
    });
    report.shards = vec![Shard::default()];
    report
}

/// Paths of all members, as `a.b` and `list[].c`; of percentiles only the whole.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) if !members.contains_key("p50_ns") || path == "timeline[]" => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(member, &path, found);
            }
        }
        Value::Array(entries) if entries.first().is_some_and(Value::is_object) => {
            for entry in entries {
                paths(entry, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// The code in the first column of the tables.
fn documented() -> BTreeSet<String> {
    let fields = DOCUMENT.split("## The log of histograms").next().expect("the part about JSON comes first");
    let fields = fields.split("## The report as JSON").nth(1).expect("it has a heading");
    let rows = fields.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    rows.flat_map(|names| names.trim_end_matches('`').split("`, `")).map(ToOwned::to_owned).collect()
}

#[test]
fn every_field_is_documented_and_nothing_else() {
    let mut written = BTreeSet::new();
    let json = serde_json::to_value(full_report()).expect("a report is serializable");
    paths(&json, "", &mut written);
    let documented = documented();
    let missing: Vec<&String> = written.difference(&documented).collect();
    assert!(missing.is_empty(), "not in loadgen/REPORT.md: {missing:?}");
    let stale: Vec<&String> = documented.difference(&written).collect();
    assert!(stale.is_empty(), "in loadgen/REPORT.md, but not written: {stale:?}");
}

#[test]
fn members_of_percentiles_are_documented() {
    let json = serde_json::to_value(sample::report()).expect("a report is serializable");
    for name in json["latency"]["from_sent"].as_object().expect("percentiles").keys() {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}
