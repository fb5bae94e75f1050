//! Whole runs in process against a server that misbehaves exactly as told: what it does to messages must appear in the
//! report, to the last one.
//!
//! Open-loop runs send a number of messages that follows from rate and duration alone, however slow the machine is, so all
//! counts are literal. Whether the generator was fast enough depends on the machine and is not asserted.

mod distributed;
mod json_dialect;
mod pings;
mod reports;
mod rfc6455;
mod search;
mod support;
mod truth;
mod workloads;

use std::net::TcpListener;
use std::ops::ControlFlow;
use std::process::Command;

use clap::Parser;
use corecast_load::{Progress, Report, RunError, RunOptions, Scenario, run};
use support::{Behaviour, Fate, TestServer};

/// 200 messages from each publisher, no warm-up, and more than enough time for the last ones.
const SHORT: [&str; 8] = ["--rate", "1000", "--duration", "200ms", "--warmup", "0s", "--grace", "10s"];

fn scenario(url: &str, arguments: &[&str]) -> Scenario {
    let all =
        ["run", "--preset", "corecast", url, "--threads", "2"].into_iter().chain(arguments.iter().copied());
    Scenario::from_options(&RunOptions::try_parse_from(all).expect("options that parse"))
        .expect("a valid scenario")
}

fn try_run(url: &str, arguments: &[&str]) -> Result<Report, RunError> {
    run(&scenario(url, arguments), &[], &mut |_| ControlFlow::Continue(()))
}

fn run_against(server: &TestServer, arguments: &[&str]) -> Report {
    let report = try_run(&server.url(), arguments).expect("a run that reports");
    println!("{report}");
    report
}

fn with_short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&SHORT[..], arguments].concat()
}

#[test]
fn a_good_server_delivers_everything() {
    let server = TestServer::start(Behaviour { ping: true, ..Behaviour::default() });
    let report = run_against(&server, &with_short(&["-c", "21", "--topics", "2", "--publishers", "3"]));
    let delivery = &report.delivery;
    assert_eq!(report.connect.connected, 24);
    // Publishers 0 and 2 feed topic 0 with its 11 subscribers, publisher 1 feeds topic 1 with its 10.
    assert_eq!(delivery.published, 600);
    assert_eq!((delivery.expected, delivery.received), (400 * 11 + 200 * 10, 400 * 11 + 200 * 10));
    assert_eq!(delivery.ratio, 1.0);
    assert_eq!((delivery.lost, delivery.duplicated, delivery.reordered, delivery.unexpected), (0, 0, 0, 0));
    assert_eq!((delivery.unsent, delivery.disconnected), (0, 0));
    assert_eq!(report.latency.from_intended.expect("an open loop").count, 6_400);
    assert_eq!(report.latency.from_sent.count, 6_400);
    assert_eq!(report.latency.spread.count, 600, "one for each broadcast");
    assert_eq!(report.connect.handshake.count, 24);
    assert_eq!(report.generator.schedule_lag.count, 600);
    assert_eq!((report.closing.closed, report.closing.not_closed), (24, 0));
    assert_eq!(server.pongs(), 21);
    assert!([0, 3].contains(&report.verdict.exit_code), "{:?}", report.verdict);
    let intended = report.latency.from_intended.expect("an open loop");
    assert!(intended.max_ns >= report.latency.from_sent.max_ns, "due is never later than sent");
}

#[test]
fn losses_doubles_and_reorderings_are_counted_exactly() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| match (number % 10, subscriber) {
            (3, _) => Fate::Lose,
            (5, 0) => Fate::Double,
            (7, 0 | 1) => Fate::HoldBack,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    });
    let report = run_against(&server, &with_short(&["-c", "5", "--grace", "1s"]));
    let delivery = &report.delivery;
    assert_eq!(delivery.expected, 1_000);
    assert_eq!(delivery.lost, 20 * 5);
    assert_eq!(delivery.received, 1_000 - 20 * 5);
    assert_eq!(delivery.duplicated, 20);
    assert_eq!(delivery.reordered, 20 * 2);
    assert_eq!(delivery.unexpected, 0);
    assert_eq!(report.latency.spread.count, 180, "only what everyone received has a spread");
    assert_eq!(report.verdict.exit_code, 2);
    assert!(!report.verdict.valid);
}

#[test]
fn the_last_message_is_missed_too() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| if number >= 190 && subscriber == 2 { Fate::Lose } else { Fate::Deliver },
        ..Behaviour::default()
    });
    let report = run_against(&server, &with_short(&["-c", "3", "--grace", "500ms"]));
    assert_eq!((report.delivery.lost, report.delivery.received), (10, 590));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn warm_up_is_left_out_of_every_count() {
    let server = TestServer::start(Behaviour {
        fate: |number, _| if number < 100 { Fate::Lose } else { Fate::Deliver },
        ..Behaviour::default()
    });
    let arguments =
        ["-c", "4", "--rate", "1000", "--warmup", "100ms", "--duration", "100ms", "--grace", "10s", "--text"];
    let report = run_against(&server, &arguments);
    assert_eq!((report.delivery.published, report.delivery.expected), (100, 400));
    assert_eq!((report.delivery.received, report.delivery.lost), (400, 0));
    assert_eq!(report.latency.from_sent.count, 400);
    assert_eq!(report.generator.schedule_lag.count, 100);
}

#[test]
fn foreign_messages_are_unexpected() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| {
            if number % 50 == 0 && subscriber == 0 { Fate::AddForeign } else { Fate::Deliver }
        },
        ..Behaviour::default()
    });
    let report = run_against(&server, &with_short(&["-c", "2"]));
    assert_eq!((report.delivery.unexpected, report.delivery.received), (4, 400));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn a_subscriber_that_is_thrown_out_is_named_and_its_messages_are_lost() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| match (number, subscriber) {
            (50, 1) => Fate::Disconnect,
            (51.., 1) => Fate::Lose,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    });
    let report = run_against(&server, &with_short(&["-c", "4", "--grace", "500ms"]));
    assert_eq!(report.delivery.disconnected, 1);
    assert_eq!(report.delivery.disconnections[0].reason, "the server closed: 4008 (private use) lapped");
    assert_eq!((report.delivery.lost, report.delivery.received), (150, 650));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn closed_loop_delivers_everything_it_sends() {
    let server = TestServer::start(Behaviour::default());
    let arguments = [
        "-c",
        "10",
        "--in-flight",
        "8",
        "--warmup",
        "50ms",
        "--duration",
        "200ms",
        "--grace",
        "10s",
        "--size",
        "100",
    ];
    let report = run_against(&server, &arguments);
    let delivery = &report.delivery;
    assert!(delivery.published > 8, "the window moves: {}", delivery.published);
    assert_eq!((delivery.expected, delivery.received), (delivery.published * 10, delivery.published * 10));
    assert_eq!(delivery.lost + delivery.duplicated + delivery.reordered + delivery.unexpected, 0);
    assert_eq!(report.latency.from_intended, None);
    assert_eq!(report.latency.from_sent.count, delivery.received);
    assert_eq!(report.latency.spread.count, delivery.published);
    assert_eq!(report.setup.load, "closed");
}

#[test]
fn posts_are_matched_with_their_answers_over_several_connections() {
    let server = TestServer::start(Behaviour {
        refuse_every: Some(20),
        close_after: Some(70),
        ..Behaviour::default()
    });
    let report = run_against(&server, &with_short(&["-c", "3", "--publish", "http"]));
    let delivery = &report.delivery;
    // Requests 20, 40 and 60 of each connection are refused: 70 + 70 + 60 requests.
    assert_eq!((delivery.published, delivery.refused), (200, 9));
    assert_eq!((delivery.expected, delivery.received, delivery.lost), (191 * 3, 191 * 3, 0));
    assert_eq!(delivery.disconnected, 0);
    assert_eq!(server.connections(), 3 + 3);
    assert_eq!(report.verdict.exit_code, 2, "refused messages are no valid run");
}

#[test]
fn posts_of_several_publishers_share_connections() {
    let server = TestServer::start(Behaviour {
        refuse_every: Some(20),
        close_after: Some(70),
        ..Behaviour::default()
    });
    let shared = ["-c", "6", "--topics", "6", "--publish", "http", "--publisher-connections", "2"];
    let report = run_against(&server, &with_short(&shared));
    let delivery = &report.delivery;
    // 600 requests of each of the two: eight times 70, of which three are refused, and 40, of which two are.
    assert_eq!((delivery.published, delivery.refused), (1_200, 2 * (8 * 3 + 2)));
    assert_eq!((delivery.expected, delivery.received, delivery.lost), (1_148, 1_148, 0));
    assert_eq!((delivery.reordered, delivery.disconnected), (0, 0));
    assert_eq!(server.connections(), 6 + 2 * 9);
}

#[test]
fn templates_wrap_what_is_published() {
    let server = TestServer::start(Behaviour::default());
    let template = r#"{"topic":"{topic}","data":"{payload}"}"#;
    let report = run_against(&server, &with_short(&["-c", "2", "--text", "--publish-template", template]));
    assert_eq!((report.delivery.received, report.delivery.lost, report.delivery.unexpected), (400, 0, 0));
}

#[test]
fn an_early_end_reports_what_was_measured() {
    let server = TestServer::start(Behaviour::default());
    let scenario = scenario(
        &server.url(),
        &["-c", "3", "--rate", "1000", "--warmup", "0s", "--duration", "1h", "--grace", "10s"],
    );
    let report = run(&scenario, &[], &mut |progress| match progress {
        Progress::Publishing { received, .. } if received >= 30 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .expect("a run that reports");
    let delivery = &report.delivery;
    assert!(report.verdict.interrupted);
    assert!(delivery.published >= 10);
    assert_eq!((delivery.received, delivery.lost), (delivery.published * 3, 0));
    assert_eq!(report.closing.closed, 4);
}

#[test]
fn a_server_that_is_down_is_named_with_the_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    drop(listener);
    let error = try_run(&format!("ws://{address}"), &["-c", "3"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no subscriber could connect:\n  4 x connection refused: is the server up at {address}? Start it, or correct the URL"
        )
    );
}

#[test]
fn a_refused_handshake_is_reported_with_the_servers_words() {
    let server =
        TestServer::start(Behaviour { refuse_upgrades: Some("403 Forbidden"), ..Behaviour::default() });
    let error = try_run(&server.url(), &["-c", "1"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no subscriber could connect:\n  2 x the server refused the handshake: 403 Forbidden; it says: \"not today\""
    );
}

#[test]
fn the_server_process_is_measured() {
    let server = TestServer::start(Behaviour::default());
    let pid = std::process::id().to_string();
    let report = run_against(&server, &with_short(&["-c", "3", "--server-pid", &pid]));
    let measured = report.server.expect("a server to measure");
    assert_eq!(measured.pid, std::process::id());
    assert!(measured.resident_bytes_connected > 0);
    assert!(!measured.cores.is_empty());
    assert!(measured.shares_cores, "it is this very process");
}

/// The command itself: exit status and where output goes.
#[test]
fn command_exits_as_documented() {
    let load = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_corecast-load")).args(arguments).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, _, errors) = load(&["run", "wss://127.0.0.1/", "--size", "1"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        errors,
        "corecast-load: --size 1 is smaller than the stamp of a binary message: give at least 32\n\
         corecast-load: 'wss://127.0.0.1/' needs TLS, which this generator does not speak: point it at the server's \
         plain port\n"
    );
    let (code, _, errors) = load(&["run", "--no-such-option"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("--no-such-option"), "{errors}");
    let (code, out, _) = load(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("corecast-load 0.1.0 ("), "{out}");

    let server = TestServer::start(Behaviour {
        fate: |number, _| if number == 7 { Fate::Lose } else { Fate::Deliver },
        ..Behaviour::default()
    });
    let url = server.url();
    let arguments = with_short(&["-c", "2", "--preset", "corecast", "--grace", "500ms", "--json", "-"]);
    let (code, out, errors) = load(&[&["run", &url], &arguments[..]].concat());
    assert_eq!(code, Some(2), "{errors}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON and nothing else");
    assert_eq!(json["schema"], "corecast-load/1");
    assert_eq!(json["delivery"]["lost"], 2);
    assert_eq!(errors, "");
}
