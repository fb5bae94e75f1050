//! Workloads beyond a plain fan-out, against a server that does exactly what it is told.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use corecast_load::{Report, RunOptions, Scenario, run};

use crate::support::{Behaviour, Fate, TestServer};

/// 200 messages from each publisher, no warm-up, and more than enough time for the last ones.
const SHORT: [&str; 8] = ["--rate", "1000", "--duration", "200ms", "--warmup", "0s", "--grace", "10s"];

fn run_against(server: &TestServer, arguments: &[&str]) -> Report {
    let url = server.url();
    let line = ["run", "--preset", "corecast", &url, "--threads", "2"];
    let options =
        RunOptions::try_parse_from(line.iter().chain(&SHORT).chain(arguments)).expect("options that parse");
    let scenario = Scenario::from_options(&options).expect("a valid scenario");
    let report = run(&scenario, &[], &mut |_| ControlFlow::Continue(())).expect("a run that reports");
    println!("{report}");
    report
}

fn load(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_corecast-load")).args(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_example_of_a_scenario_makes_a_dry_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut examples = 0;
    for entry in fs::read_dir(folder).expect("the folder of examples") {
        let path = entry.expect("a file").path();
        let (code, out, errors) = load(&["run", "--scenario", path.to_str().expect("UTF-8"), "--dry-run"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{}", path.display());
        assert!(out.starts_with("dry run: nothing is connected\n"), "{out}");
        examples += 1;
    }
    assert!(examples >= 7, "{examples}");
}

#[test]
fn a_dry_run_tells_mistakes_and_shortages() {
    let (code, out, errors) = load(&["run", "--dry-run", "--size", "1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        errors,
        "corecast-load: --size 1 is smaller than the stamp of a binary message: give at least 32\n"
    );
    let (code, out, errors) = load(&["run", "--dry-run", "-c", "1000000", "--threads", "64"]);
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    assert!(
        out.contains("1,000,001: 1,000,000 subscribers") && out.contains("\n  ! 1000001 connections"),
        "{out}"
    );
}

#[test]
fn messages_of_several_sizes_and_both_kinds_all_arrive() {
    let server = TestServer::start(Behaviour::default());
    let sizes = ["-c", "3", "--size", "64:8,1KiB:1,40KiB:1", "--text-share", "40%", "--seed", "5"];
    let report = run_against(&server, &sizes);
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.received, delivery.lost, delivery.unexpected), (200, 600, 0, 0));
    assert_eq!(
        (report.setup.message_kind.as_str(), report.setup.message_sizes.as_str()),
        ("mixed", "64:8,1KiB:1,40KiB:1")
    );
    assert_eq!(report.setup.message_bytes, 4_250);
    assert_eq!(delivery.published_bytes, 778_688);
}

#[test]
fn another_servers_protocol_is_described_by_options() {
    let server = TestServer::start(Behaviour {
        fate: |number, _| if number == 3 { Fate::AddForeign } else { Fate::Deliver },
        ..Behaviour::default()
    });
    let url = format!("{}/ws", server.url());
    let file = format!(
        r#"
        url = "{url}"
        quiet = true
        json = "-"
        [server]
        subprotocol = ["corecast.json.v1"]
        subscribe_message = '{{"op":"subscribe","topic":"{{topic}}"}}'
        subscribed_match = '{{"op":"subscribed","topic":"{{topic}}"'
        publisher_message = '{{"op":"subscribe","topic":"elsewhere-{{topic}}"}}'
        publish_template = '{{"op":"publish","topic":"{{topic}}","data":"{{payload}}","id":"{{sequence}}"}}'
        message_prefix = '{{"op":"message","topic":"{{topic}}","offset":'
        [load]
        subscribers = 4
        topics = 2
        rate = 1000
        [messages]
        text = true
        [time]
        warmup = 0
        duration = "100ms"
        "#
    );
    let path = std::env::temp_dir().join(format!("corecast-load-{}.toml", std::process::id()));
    fs::write(&path, file).expect("a folder for temporary files");
    let (_, out, errors) = load(&["run", "--scenario", path.to_str().expect("UTF-8"), "--duration=200ms"]);
    fs::remove_file(&path).expect("it was written");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{errors}"));
    let delivery = &report["delivery"];
    assert_eq!((&delivery["published"], &delivery["received"]), (&400.into(), &800.into()), "{delivery}");
    assert_eq!(delivery["unexpected"], 4, "one for each subscriber");
}
