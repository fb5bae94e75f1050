//! Workloads beyond a plain fan-out, against a server that does exactly what it is told.

use std::cell::RefCell;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use corecast_load::{Progress, Report, RunOptions, Scenario, run};
use corecast_protocol::CloseCode;

use crate::support::{Behaviour, Fate, TestServer};

/// 200 messages from each publisher, no warm-up, and more than enough time for the last ones.
const SHORT: [&str; 8] = ["--rate", "1000", "--duration", "200ms", "--warmup", "0s", "--grace", "10s"];

fn run_against(server: &TestServer, arguments: &[&str]) -> Report {
    run_at(&server.url(), arguments, &mut |_| {})
}

fn run_at(url: &str, arguments: &[&str], watch: &mut dyn FnMut(Progress)) -> Report {
    let line = ["run", "--preset", "corecast", url, "--threads", "2"];
    let options =
        RunOptions::try_parse_from(line.iter().chain(&SHORT).chain(arguments)).expect("options that parse");
    let scenario = Scenario::from_options(&options).expect("a valid scenario");
    let report = run(&scenario, &[], &mut |progress| {
        watch(progress);
        ControlFlow::Continue(())
    })
    .expect("a run that reports");
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
    let (code, out, errors) =
        load(&["run", "--dry-run", "-c", "1000000", "--threads", "64", "--source", "127.0.0.1"]);
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
    let behaviour = Behaviour {
        fate: |number, _| if number == 3 { Fate::AddForeign } else { Fate::Deliver },
        ..Behaviour::default()
    };
    let server = TestServer::start(behaviour);
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
        grace = "30s"
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
    let report = run_against(&TestServer::start(behaviour), &["-c", "2", "--ignore", "somebody else's"]);
    assert_eq!((report.delivery.received, report.delivery.unexpected), (400, 0));
}

#[test]
fn subscribers_come_and_go_and_lose_nothing_while_they_are_there() {
    let server = TestServer::start(Behaviour::default());
    let arguments = ["-c", "20", "--churn", "50", "--churn-subscribers", "5", "--duration", "500ms"];
    let report = run_against(&server, &arguments);
    let delivery = &report.delivery;
    // Fifteen stay.
    assert_eq!((delivery.published, delivery.expected, delivery.received), (500, 7_500, 7_500));
    assert_eq!((delivery.lost, delivery.unexpected, delivery.disconnected), (0, 0, 0));
    assert_eq!(report.latency.spread.count, 500, "of those that stay");
    let churn = report.churn.expect("a part about churn");
    assert_eq!((churn.subscribers, churn.rate_milli), (5, 50_000));
    assert_eq!(churn.left + churn.nobody_left, 25, "50 a second for half a second");
    assert!(churn.left >= 5, "{churn:?}");
    assert_eq!((churn.returned, churn.away, churn.not_closed, churn.disconnected), (churn.left, 0, 0, 0));
    assert_eq!(churn.handshake.count, churn.left);
    assert_eq!(server.connections() as u64, 20 + 1 + churn.left);
    assert_eq!((churn.lost, churn.duplicated, churn.reordered, churn.unexpected), (0, 0, 0, 0));
    assert_eq!(churn.received, churn.expected);
    assert_eq!(churn.expected + churn.missed_away, 2_500);
    assert_eq!(churn.latency.count, churn.received);
}

#[test]
fn what_is_lost_inside_of_a_stay_is_found() {
    // The first 20 subscribers are those of the beginning; later ones are new stays.
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| {
            if number % 7 == 3 && subscriber >= 20 { Fate::Lose } else { Fate::Deliver }
        },
        ..Behaviour::default()
    });
    let arguments = ["-c", "20", "--churn", "20", "--churn-subscribers", "25%", "--rate", "250"];
    let report = run_against(&server, &[&arguments[..], &["--duration", "2s", "--grace", "2s"]].concat());
    assert_eq!((report.delivery.expected, report.delivery.lost), (7_500, 0));
    let churn = report.churn.expect("a part about churn");
    assert!(churn.lost > 0, "{churn:?}");
    assert_eq!(churn.received, churn.expected - churn.lost);
    assert_eq!(report.verdict.exit_code, 2, "{:?}", report.verdict);
}

#[test]
fn who_stops_reading_is_told_apart_and_nobody_else_loses_anything() {
    let server =
        TestServer::start(Behaviour { patience: Some(Duration::from_millis(500)), ..Behaviour::default() });
    let arguments = ["-c", "10", "--slow-subscribers", "20%", "--slow-rate", "0", "--size", "64KiB"];
    let report = run_against(&server, &[&arguments[..], &["--rate", "100", "--duration", "3s"]].concat());
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.expected, delivery.received), (300, 2_400, 2_400));
    assert_eq!((delivery.lost, delivery.disconnected), (0, 0));
    let slow = report.slow.expect("a part about slow ones");
    assert_eq!((slow.subscribers, slow.bytes_per_second, slow.expected), (2, 0, 600));
    assert_eq!((slow.disconnected, slow.until_disconnected.count, slow.unread), (2, 2, 0));
    assert!(slow.missed_disconnected > 100, "20 MB do not fit into any socket's buffers: {slow:?}");
    assert_eq!(slow.received + slow.missed_disconnected, 600);
    assert_eq!((slow.skipped, slow.announced_missed, slow.duplicated, slow.reordered), (0, 0, 0, 0));
    assert_eq!(slow.disconnections.iter().map(|reason| reason.count).sum::<u64>(), 2, "{slow:?}");
    assert!([0, 3].contains(&report.verdict.exit_code), "{:?}", report.verdict);
}

#[test]
fn slow_readers_keep_their_rate() {
    let server = TestServer::start(Behaviour::default());
    let arguments = ["-c", "4", "--slow-subscribers", "1", "--slow-rate", "8KiB/s", "--size", "1KiB"];
    let report = run_against(&server, &[&arguments[..], &["--rate", "100", "--duration", "2s"]].concat());
    assert_eq!((report.delivery.expected, report.delivery.received), (600, 600));
    let slow = report.slow.expect("a part about slow ones");
    // Eight kilobytes a second: the run would have to take twelve seconds for half of the 200.
    assert!((1..100).contains(&slow.received), "{slow:?}");
    assert_eq!((slow.disconnected, slow.skipped, slow.missed_disconnected), (0, 0, 0));
    assert_eq!(slow.received + slow.unread, 200);
    assert_eq!(slow.latency.count, slow.received);
    assert_eq!((report.closing.closed, report.closing.not_closed), (5, 0), "all is read in the end");
    assert!([0, 3].contains(&report.verdict.exit_code), "{:?}", report.verdict);
}

/// A run through a restart of the server, when so many deliveries have come.
fn through_a_restart(code: Option<CloseCode>, down: Duration, arguments: &[&str]) -> Report {
    let server = RefCell::new(TestServer::start(Behaviour::default()));
    let address = server.borrow().address;
    let mut is_restarted = false;
    let report = {
        let first = TestServer::url(&server.borrow());
        assert_eq!(first, format!("ws://{address}"));
        let watch = &mut |progress: Progress| {
            if matches!(progress, Progress::Publishing { received, .. } if received >= 300) && !is_restarted {
                is_restarted = true;
                server.borrow().stop(code);
                std::thread::sleep(down);
                let next = TestServer::start_at(address, Behaviour::default());
                server.replace(next);
            }
        };
        run_at(&first, arguments, watch)
    };
    assert!(is_restarted);
    report
}

#[test]
fn everybody_comes_back_after_a_restart() {
    let arguments = ["-c", "20", "--publishers", "2", "--rate", "200", "--duration", "2s", "--grace", "30s"];
    let reconnecting = ["--reconnect", "--reconnect-delay", "200ms"];
    for (code, down) in [(None, Duration::ZERO), (Some(CloseCode(1012)), Duration::from_millis(700))] {
        let report = through_a_restart(code, down, &[&arguments[..], &reconnecting].concat());
        let delivery = &report.delivery;
        assert_eq!((delivery.published, delivery.unsent), (800, 0), "late, but all of it");
        let reconnect = report.reconnect.expect("a part about those that came back");
        assert_eq!((reconnect.lost, reconnect.returned, reconnect.away), (20, 20, 0));
        assert_eq!((reconnect.publishers_lost, reconnect.publishers_returned), (2, 2));
        assert_eq!((reconnect.handshake.count, reconnect.absence.count), (20, 20));
        let causes: u64 = reconnect.causes.iter().map(|cause| cause.count).sum();
        assert_eq!(causes, 20);
        let failures: u64 = reconnect.failures.iter().map(|failure| failure.count).sum();
        assert!(failures >= reconnect.attempts - 20, "those of publishers too: {reconnect:?}");
        assert!(down.is_zero() || failures > 0, "first attempts come while nobody listens: {reconnect:?}");
        let storms: Vec<_> =
            reconnect.storms.iter().map(|storm| (storm.lost, storm.all_seconds.is_some())).collect();
        assert_eq!(storms, [(20, true)]);
        assert!(reconnect.missed_away > 0);
        assert_eq!(delivery.expected + reconnect.missed_away, 16_000);
        assert_eq!((delivery.received, delivery.lost), (delivery.expected, 0));
        assert_eq!((delivery.duplicated, delivery.reordered, delivery.disconnected), (0, 0, 0));
        assert!([0, 3].contains(&report.verdict.exit_code), "{:?}", report.verdict);
    }
}

#[test]
fn groups_are_told_apart_through_a_restart_too() {
    let arguments = ["-c", "20", "--rate", "200", "--duration", "3s", "--grace", "30s", "--size", "1KiB"];
    let groups =
        ["--churn", "10", "--churn-subscribers", "6", "--slow-subscribers", "2", "--slow-rate", "4KiB/s"];
    let reconnecting = ["--reconnect", "--reconnect-delay", "200ms"];
    let all = [&arguments[..], &groups, &reconnecting].concat();
    let report = through_a_restart(None, Duration::from_millis(300), &all);
    let (delivery, reconnect) =
        (report.delivery, report.reconnect.expect("a part about those that came back"));
    assert_eq!((reconnect.lost, reconnect.returned, reconnect.away), (12, 12, 0), "the steady ones");
    assert_eq!((delivery.published, delivery.expected + reconnect.missed_away), (600, 600 * 12));
    assert_eq!((delivery.received, delivery.lost, delivery.disconnected), (delivery.expected, 0, 0));
    let churn = report.churn.expect("a part about churn");
    assert_eq!(churn.left + churn.nobody_left, 30);
    assert_eq!(
        churn.returned,
        churn.left + churn.disconnected,
        "whoever was there when it stopped came back as well"
    );
    assert!((1..=6).contains(&churn.disconnected), "{churn:?}");
    assert_eq!((churn.away, churn.lost, churn.received), (0, 0, churn.expected));
    assert_eq!(churn.expected + churn.missed_away, 600 * 6);
    let slow = report.slow.expect("a part about slow ones");
    // They have yet to read what comes before the end of their connections.
    assert_eq!((slow.disconnected, slow.skipped, slow.received + slow.unread), (0, 0, 600 * 2));
    let last = report.timeline.last().and_then(|interval| interval.open);
    assert_eq!(last, Some(20 + 1), "all are there");
}

#[test]
fn who_is_told_not_to_come_back_does_not() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| match (number, subscriber) {
            (50, 1) => Fate::Disconnect,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    });
    let arguments = ["-c", "4", "--reconnect", "--reconnect-delay", "0s", "--grace", "30s"];
    let report = run_against(&server, &arguments);
    let reconnect = report.reconnect.expect("a part about those that came back");
    assert_eq!((reconnect.lost, reconnect.returned), (1, 1), "4008 says: come again");
    assert_eq!(reconnect.causes[0].reason, "the server closed: 4008 (private use) lapped");
    assert_eq!((report.delivery.lost, report.delivery.received), (0, report.delivery.expected));

    let server = RefCell::new(TestServer::start(Behaviour::default()));
    let url = server.borrow().url();
    let report =
        run_at(&url, &["-c", "4", "--reconnect", "--duration", "2s", "--grace", "1s"], &mut |progress| {
            if matches!(progress, Progress::Publishing { received, .. } if received >= 100) {
                server.borrow().stop(Some(CloseCode(4003)));
            }
        });
    let reconnect = report.reconnect.expect("a part about those that came back");
    assert_eq!((reconnect.lost, reconnect.attempts), (0, 0));
    assert_eq!(report.delivery.disconnected, 4, "the publisher goes on trying");
    assert_eq!(report.verdict.exit_code, 2);
}
