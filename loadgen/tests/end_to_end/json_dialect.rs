//! Whole runs over corecast's JSON dialect, against a server that misbehaves exactly as told.
//!
//! As in the other runs, all counts are literal: what an open loop sends follows from rate and duration alone.

use std::net::TcpListener;
use std::ops::ControlFlow;

use clap::Parser;
use corecast_load::{Report, RunError, RunOptions, Scenario, run};

use crate::support::{Behaviour, Fate, TestServer};

/// 200 messages from each publisher, no warm-up, and more than enough time for the last ones.
const SHORT: [&str; 8] = ["--rate", "1000", "--duration", "200ms", "--warmup", "0s", "--grace", "10s"];

fn try_run(server: &TestServer, arguments: &[&str]) -> Result<Report, RunError> {
    let url = server.url();
    let preset = ["run", "--preset", "corecast-json", &url, "--threads", "2"];
    let all = preset.iter().chain(&SHORT).chain(arguments);
    let options = RunOptions::try_parse_from(all).expect("options that parse");
    let scenario = Scenario::from_options(&options).expect("a valid scenario");
    run(&scenario, &[], &mut |_| ControlFlow::Continue(()))
}

fn run_against(behaviour: Behaviour, arguments: &[&str]) -> Report {
    let report = try_run(&TestServer::start(behaviour), arguments).expect("a run that reports");
    println!("{report}");
    report
}

#[test]
fn a_good_server_delivers_everything() {
    let report = run_against(Behaviour::default(), &["-c", "10", "--size", "200"]);
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.expected, delivery.received), (200, 2_000, 2_000));
    assert_eq!((delivery.lost, delivery.duplicated, delivery.reordered, delivery.unexpected), (0, 0, 0, 0));
    assert_eq!((delivery.refused, delivery.unanswered, delivery.disconnected), (0, 0, 0));
    assert_eq!(report.latency.spread.count, 200);
    assert_eq!((report.closing.closed, report.closing.not_closed), (11, 0));
    assert_eq!(report.setup.message_kind, "text");
    assert!([0, 3].contains(&report.verdict.exit_code), "{:?}", report.verdict);
}

#[test]
fn a_connection_listens_to_several_topics() {
    let arguments = ["-c", "7", "--topics", "12", "--topics-per-subscriber", "5", "--publishers", "25"];
    let report = run_against(Behaviour::default(), &arguments);
    let delivery = &report.delivery;
    // 35 subscriptions on topics 0 to 11 in turn: topics 0 to 10 have three, topic 11 has two. Topic 0 has three publishers,
    // the others two.
    let expected = 200 * (3 * 3 + 10 * 3 * 2 + 2 * 2);
    assert_eq!((delivery.published, delivery.expected, delivery.received), (5_000, expected, expected));
    assert_eq!((delivery.lost, delivery.duplicated, delivery.reordered, delivery.unexpected), (0, 0, 0, 0));
    assert_eq!(report.latency.spread.count, 5_000, "each broadcast reaches all that listen");
    assert_eq!(report.connect.connected, 32);
    assert_eq!(report.setup.total_rate_milli, Some(25_000_000));
    assert_eq!(report.setup.topic_rate_milli, Some(3_000_000));
}

#[test]
fn losses_are_judged_by_topic_and_publisher() {
    let behaviour = Behaviour {
        fate: |number, subscriber| match (number % 10, subscriber) {
            (3, 0) => Fate::Lose,
            (5, 1) => Fate::Double,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    };
    let arguments = ["-c", "3", "--topics", "3", "--topics-per-subscriber", "2", "--publishers", "6"];
    let report = run_against(behaviour, &[&arguments[..], &["--grace", "1s"]].concat());
    // Every topic has two subscribers and two publishers, which send 400 messages.
    assert_eq!((report.delivery.expected, report.delivery.lost), (3 * 2 * 400, 3 * 40));
    assert_eq!(report.delivery.duplicated, 3 * 40);
    assert_eq!((report.delivery.reordered, report.delivery.unexpected), (0, 0));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn many_publishers_of_one_topic_are_each_in_order() {
    let report = run_against(Behaviour::default(), &["-c", "4", "--publishers", "8"]);
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.expected, delivery.received), (1_600, 6_400, 6_400));
    assert_eq!((delivery.lost, delivery.reordered, delivery.unanswered), (0, 0, 0));
}

/// 50 publishers of a topic each on two connections: 8 messages from each. Every topic has a subscriber.
const SHARED: [&str; 10] = [
    "--topics",
    "50",
    "--topics-per-subscriber",
    "10",
    "-c",
    "5",
    "--publisher-connections",
    "2",
    "--rate",
    "40",
];

#[test]
fn publishers_share_connections() {
    let server = TestServer::start(Behaviour::default());
    let report = try_run(&server, &SHARED).expect("a run that reports");
    println!("{report}");
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.expected, delivery.received), (400, 400, 400));
    assert_eq!((delivery.lost, delivery.duplicated, delivery.reordered, delivery.unexpected), (0, 0, 0, 0));
    assert_eq!((delivery.unsent, delivery.refused, delivery.unanswered), (0, 0, 0));
    assert_eq!((report.connect.wanted, report.connect.connected), (7, 7));
    assert_eq!(server.connections(), 7);
    assert_eq!((report.setup.publishers, report.setup.publisher_connections), (50, 2));
    assert!(report.to_string().contains("open loop: 50 publishers (2 connections) x 40/s"), "{report}");
}

#[test]
fn on_shared_connections_answers_are_matched_too() {
    let refuse_every = Some(20);
    let report = run_against(Behaviour { refuse_every, ..Behaviour::default() }, &SHARED);
    let delivery = &report.delivery;
    // Each connection carries 200 publishes.
    assert_eq!((delivery.published, delivery.refused, delivery.unanswered), (400, 20, 0));
    assert_eq!((delivery.expected, delivery.received, delivery.lost), (380, 380, 0));
    assert_eq!((delivery.refusals.len(), delivery.refusals[0].count), (1, 20));
    let leave_unanswered = Some(50);
    let arguments = [&SHARED[..], &["--grace", "500ms"]].concat();
    let report = run_against(Behaviour { leave_unanswered, ..Behaviour::default() }, &arguments);
    assert_eq!((report.delivery.unanswered, report.delivery.received, report.delivery.lost), (8, 400, 0));
}

#[test]
fn announced_gaps_are_no_silent_loss() {
    let behaviour = Behaviour {
        fate: |number, subscriber| match (number, subscriber) {
            (50..=79 | 120, 1) => Fate::Announce,
            (150, 0) => Fate::Lose,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    };
    let report = run_against(behaviour, &["-c", "2", "--grace", "1s"]);
    let delivery = &report.delivery;
    assert_eq!((delivery.announced_missed, delivery.lost, delivery.received), (31, 1, 400 - 32));
    assert_eq!(delivery.unexpected, 0);
    assert!(report.to_string().contains("lost 1, announced missed 31, duplicated 0"), "{report}");
}

#[test]
fn gaps_of_the_warm_up_are_nobodys_loss() {
    let behaviour = Behaviour {
        fate: |number, _| if (90..110).contains(&number) { Fate::Announce } else { Fate::Deliver },
        ..Behaviour::default()
    };
    let report =
        run_against(behaviour, &["-c", "3", "--warmup", "100ms", "--duration", "100ms", "--grace", "1s"]);
    // Offsets 101 to 110 are measured.
    let delivery = &report.delivery;
    assert_eq!((delivery.announced_missed, delivery.lost, delivery.received), (30, 0, 270));
}

#[test]
fn refused_publishes_are_told_with_the_servers_words() {
    let behaviour = Behaviour { refuse_every: Some(20), ..Behaviour::default() };
    let report = run_against(behaviour, &["-c", "3"]);
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.refused, delivery.unanswered), (200, 10, 0));
    assert_eq!((delivery.expected, delivery.received, delivery.lost), (190 * 3, 190 * 3, 0));
    assert_eq!(delivery.refusals[0].reason, "overloaded: come back later");
    assert_eq!((delivery.refusals.len(), delivery.refusals[0].count), (1, 10));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn publishes_without_an_answer_are_counted() {
    let behaviour = Behaviour { leave_unanswered: Some(50), ..Behaviour::default() };
    let report = run_against(behaviour, &["-c", "2", "--grace", "500ms"]);
    let delivery = &report.delivery;
    assert_eq!((delivery.unanswered, delivery.received, delivery.lost), (4, 400, 0));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn closed_loop_goes_on_past_refusals() {
    let report = run_closed(&["--threads", "1", "-c", "2", "--in-flight", "4"]);
    let delivery = &report.delivery;
    assert!(delivery.published > 4, "the window moves: {}", delivery.published);
    assert_eq!(delivery.refused, delivery.published / 3);
    assert_eq!(delivery.received, (delivery.published - delivery.refused) * 2);
    assert_eq!((delivery.lost, delivery.unanswered), (0, 0));
}

#[test]
fn in_the_closed_loop_publishers_that_share_connections_go_on_each() {
    let shared =
        ["--topics", "12", "--topics-per-subscriber", "6", "-c", "4", "--publisher-connections", "3"];
    for threads in ["1", "2"] {
        let report = run_closed(&[&shared[..], &["--in-flight", "1", "--threads", threads]].concat());
        let delivery = &report.delivery;
        // A publisher goes on when its message is complete, or refused.
        assert!(delivery.published > 12, "the windows move: {}", delivery.published);
        assert!(delivery.refused >= 3, "{}", delivery.refused);
        assert_eq!(delivery.received, (delivery.published - delivery.refused) * 2);
        assert_eq!((delivery.lost, delivery.reordered, delivery.unanswered), (0, 0, 0));
    }
}

/// A closed loop against a server that refuses every third publish of a connection.
fn run_closed(arguments: &[&str]) -> Report {
    let server = TestServer::start(Behaviour { refuse_every: Some(3), ..Behaviour::default() });
    let url = server.url();
    let preset = ["run", "--preset", "corecast-json", &url];
    let times = ["--warmup", "0s", "--duration", "100ms", "--grace", "10s"];
    let all = preset.iter().chain(&times).chain(arguments);
    let options = RunOptions::try_parse_from(all).expect("options that parse");
    let scenario = Scenario::from_options(&options).expect("a valid scenario");
    run(&scenario, &[], &mut |_| ControlFlow::Continue(())).expect("a run that reports")
}

#[test]
fn a_refused_subscription_is_told_with_the_servers_words() {
    let behaviour = Behaviour { refuse_topic: Some("load-1"), ..Behaviour::default() };
    let server = TestServer::start(behaviour);
    let error = try_run(&server, &["-c", "3", "--topics", "2", "--topics-per-subscriber", "2"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no subscriber could connect:\n  3 x the server refused the subscription: forbidden: not load-1"
    );
}

#[test]
fn json_subscribers_check_what_others_publish() {
    for arguments in
        [["-c", "3", "--publish", "http", "--text"], ["-c", "3", "--size", "100", "--publish=http"]]
    {
        let report = run_against(Behaviour::default(), &arguments);
        let delivery = &report.delivery;
        assert_eq!((delivery.published, delivery.received, delivery.unexpected), (200, 600, 0));
    }
    let server = TestServer::start(Behaviour::default());
    let raw = format!("{}/topics/{{topic}}", server.url());
    let report = try_run(&server, &["-c", "3", "--publish-url", &raw]).expect("a run that reports");
    let delivery = &report.delivery;
    assert_eq!((delivery.published, delivery.received, delivery.unexpected), (200, 600, 0));
    assert_eq!(delivery.unanswered, 0, "the raw dialect acknowledges nothing");
}

#[test]
fn shards_are_reported_from_the_metrics_page() {
    let server = TestServer::start(Behaviour::default());
    let page = format!("http://{}/metrics", server.address);
    let report = try_run(&server, &["-c", "5", "--topics", "2", "--metrics", &page]).expect("a report");
    println!("{report}");
    let [first, second] = report.shards.as_slice() else { panic!("two shards, not {:?}", report.shards) };
    // The run itself and three readers of the page: the check before the run, both ends of the window.
    assert_eq!((first.shard, first.connections, first.subscribers), (0, Some(7 + 3), None));
    assert_eq!((second.shard, second.subscribers, second.published), (1, Some(5), None));
    // Both pages are read while messages flow, so how many there are in between is not known exactly. The topics have three
    // and two subscribers.
    let published = first.published.expect("a count");
    assert!(published <= 400, "{first:?}");
    assert_eq!(second.relayed, Some(published));
    assert!((published * 2..=published * 3).contains(&second.deliveries.expect("a count")), "{second:?}");
    assert_eq!(second.busy_share, None);
}

#[test]
fn a_metrics_page_that_was_asked_for_must_be_there() {
    let server = TestServer::start(Behaviour::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let page = format!("http://{}/metrics", listener.local_addr().expect("a bound listener"));
    drop(listener);
    let error = try_run(&server, &["-c", "1", "--metrics", &page]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("--metrics {page} cannot be read: ")), "{error}");
    assert!(error.ends_with("; correct the URL, or leave the option out"), "{error}");
}
