//! Searches and series of whole runs, against a server whose limit is a number and no matter of time.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use corecast_load::search::{Stopped, search};
use corecast_load::{Report, SearchOptions, SearchReport, run_series};

use crate::scenario;
use crate::support::{Behaviour, Fate, TestServer};

/// Runs of 200 ms: a rate of 100 makes 20 messages. Their time is no matter.
const STEPS: [&str; 14] = [
    "--objective",
    "max<1h",
    "--publish",
    "http",
    "--duration",
    "200ms",
    "--warmup",
    "0s",
    "--pause",
    "0s",
    "--grace",
    "10s",
    "--threads",
    "2",
];

fn options(url: &str, arguments: &[&str]) -> SearchOptions {
    let all = [&["search", url, "--preset", "corecast", "-c", "2"], &STEPS[..], arguments].concat();
    SearchOptions::try_parse_from(all).expect("options that parse")
}

/// A server that refuses the 61st message of a connection: a rate of 300 is the highest without.
fn refusing() -> TestServer {
    TestServer::start(Behaviour { refuse_every: Some(61), ..Behaviour::default() })
}

fn search_for(url: &str, arguments: &[&str]) -> SearchReport {
    let found = search(&options(url, arguments), &[], &mut |_| ControlFlow::Continue(()), &mut |_| {});
    let found = found.expect("a first run");
    println!("{found}");
    found
}

fn tried(found: &SearchReport) -> Vec<f64> {
    found.steps.iter().map(|step| step.value).collect()
}

#[test]
fn the_highest_rate_is_found() {
    let server = refusing();
    let found = search_for(&server.url(), &["--rate", "100", "--repeat", "2", "--precision", "20%"]);
    assert_eq!(tried(&found), [100.0, 200.0, 400.0, 300.0, 350.0]);
    assert_eq!((found.answer.highest_met, found.answer.lowest_failed), (Some(300.0), Some(350.0)));
    let runs: Vec<(u32, usize)> = found.steps.iter().map(|step| (step.runs_met, step.runs.len())).collect();
    assert_eq!(runs, [(2, 2), (2, 2), (0, 1), (2, 2), (0, 1)], "a refusal is enough");
    assert_eq!(found.steps[2].runs[0].delivery.refused, 1);
    assert!(found.steps[2].why.starts_with("1 message refused"), "{}", found.steps[2].why);
    // On a busy machine the generator may have been slow besides.
    assert!([Stopped::Found, Stopped::GeneratorLimited].contains(&found.answer.stopped));
    // New connections for each of the eight runs.
    assert_eq!(server.connections(), 8 * 3);
}

#[test]
fn a_search_ends_at_its_upper_bound() {
    let server = refusing();
    let found = search_for(&server.url(), &["--from", "100", "--to", "250", "--repeat", "1"]);
    assert_eq!(tried(&found), [100.0, 200.0, 250.0]);
    assert_eq!((found.answer.stopped, found.answer.exit_code), (Stopped::UpperBound, 0));
    assert!(found.answer.is_lower_bound);
}

#[test]
fn a_first_value_that_fails_ends_the_search() {
    let server = refusing();
    let found = search_for(&server.url(), &["--from", "310", "--repeat", "1"]);
    assert_eq!((tried(&found), found.answer.highest_met), (vec![310.0], None));
    assert!([2, 3].contains(&found.answer.exit_code), "{:?}", found.answer);
}

#[test]
fn subscribers_are_varied_too() {
    // The server counts all subscribers it ever had: it can serve those of the first four steps.
    let server = TestServer::start(Behaviour {
        fate: |_, subscriber| if subscriber < 1 + 2 + 4 + 8 { Fate::Deliver } else { Fate::Lose },
        ..Behaviour::default()
    });
    let varied = ["--vary", "subscribers", "--from", "1", "--repeat", "1", "--precision", "100%"];
    let found = search_for(&server.url(), &[&varied[..], &["--grace", "200ms"]].concat());
    assert_eq!(tried(&found), [1.0, 2.0, 4.0, 8.0, 16.0]);
    assert_eq!((found.answer.highest_met, found.answer.lowest_failed), (Some(8.0), Some(16.0)));
    assert_eq!(found.steps[4].runs[0].delivery.lost, 16 * 20);
}

#[test]
fn a_server_that_goes_away_ends_the_search_with_what_was_found() {
    let server = refusing();
    let options = options(&server.url(), &["--from", "100", "--repeat", "1"]);
    let mut server = Some(server);
    let mut steps = 0;
    let mut stepped = |_: &corecast_load::search::Step| {
        steps += 1;
        if steps == 2 {
            server = None;
        }
    };
    let found = search(&options, &[], &mut |_| ControlFlow::Continue(()), &mut stepped).expect("a first run");
    assert_eq!((tried(&found), found.answer.highest_met), (vec![100.0, 200.0], Some(200.0)));
    assert_eq!(found.answer.exit_code, 1);
    assert!(matches!(found.answer.stopped, Stopped::ServerGone { .. }), "{:?}", found.answer);
    assert!(found.answer.because.starts_with("the server is gone: no subscriber could connect"), "{found}");
}

#[test]
fn time_and_ctrl_c_end_a_search() {
    let server = refusing();
    let found = search_for(&server.url(), &["--time-limit", "0s"]);
    assert_eq!((found.steps.len(), found.answer.stopped), (0, Stopped::TimeLimit));
    let options = options(&server.url(), &[]);
    let found = search(&options, &[], &mut |_| ControlFlow::Break(()), &mut |_| {}).expect("a report");
    assert_eq!((found.answer.stopped, found.answer.exit_code), (Stopped::Interrupted, 1));
}

#[test]
fn a_series_adds_up_what_was_lost() {
    let server = TestServer::start(Behaviour {
        fate: |number, _| if number % 20 == 3 { Fate::Lose } else { Fate::Deliver },
        ..Behaviour::default()
    });
    let times = ["--rate", "1000", "--duration", "200ms", "--warmup", "0s", "--grace", "200ms"];
    let scenario = scenario(&server.url(), &[&["-c", "3"], &times[..]].concat());
    let mut progress = |_| ControlFlow::Continue(());
    let series = run_series(&scenario, 3, Duration::from_millis(10), &[], &mut progress).expect("three runs");
    assert_eq!((series.runs.len(), series.ended_early.as_deref(), series.exit_code), (3, None, 2));
    let totals = series.totals;
    assert_eq!((totals.published, totals.expected, totals.received, totals.lost), (600, 1_800, 1_710, 90));
    assert_eq!(totals.ratio, 0.95);
    assert_eq!(series.latency.from_intended.expect("an open loop").count, 1_710);
    assert_eq!(series.latency.untracked, 30);
    let lost = series.figures.iter().find(|figure| figure.name == "delivery.lost").expect("always there");
    assert_eq!((lost.min, lost.median, lost.max, lost.relative_spread), (30.0, 30.0, 30.0, 0.0));
}

/// The command itself: exit status and files.
#[test]
fn commands_write_what_they_found() {
    let server = refusing();
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let [search_json, page, series_page] =
        ["search.json", "search.html", "series.html"].map(|name| directory.join(name).display().to_string());
    let url = server.url();
    let load = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_corecast-load")).args(arguments).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let common = ["--preset", "corecast", "-c", "2"];
    let bounds = ["--from", "100", "--to", "200", "--repeat", "1", "--json", &search_json, "--html", &page];
    let (code, out, errors) = load(&[&["search", &url], &common[..], &STEPS, &bounds].concat());
    assert_eq!(code, Some(0), "{errors}");
    assert!(out.contains("answer: at least 200 messages/s of each publisher"), "{out}");
    assert_eq!(errors.lines().count(), 3, "a line for each step, and names: {errors}");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&search_json).expect("written")).expect("JSON");
    assert_eq!(
        (&json["schema"], &json["answer"]["highest_met"]),
        (&"corecast-load/search/1".into(), &200.0.into())
    );
    assert!(std::fs::read_to_string(&page).expect("written").starts_with("<!DOCTYPE html>"));

    let times = ["--duration", "100ms", "--warmup", "0s", "--pause", "0s", "--repeat", "2"];
    let files = ["--json", "-", "--html", &series_page, "--quiet"];
    let (_, out, errors) = load(&[&["run", &url], &common[..], &times, &files].concat());
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON and nothing else");
    assert_eq!((&json["schema"], errors.as_str()), (&"corecast-load/series/1".into(), ""));
    assert_eq!(json["totals"]["received"], 2 * 10 * 2);
    let runs: Vec<Report> = serde_json::from_value(json["runs"].clone()).expect("two reports");
    assert_eq!(runs.len(), 2);
    for number in [1, 2] {
        assert!(directory.join(format!("series-{number}.html")).is_file());
    }
    let (code, _, errors) = load(&["search", &url, "--objective", "p99>1s"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("asks for the wrong side: write p99<50ms"), "{errors}");
}
