//! Connections that are held without traffic, and pinged before anything is published.

use crate::support::{Behaviour, TestServer};
use crate::{run_against, with_short};

#[test]
fn every_subscriber_is_pinged_once() {
    let server = TestServer::start(Behaviour::default());
    let report = run_against(&server, &with_short(&["-c", "150", "--hold", "50ms", "--ping"]));
    let ping = report.connect.ping.expect("it was asked for");
    assert_eq!((ping.sent, ping.answered, ping.round_trip.count), (150, 150, 150));
    assert!(ping.round_trip.max_ns > 0);
    assert_eq!(report.delivery.received, 30_000);
    assert!([0, 3].contains(&report.verdict.exit_code), "{:?}", report.verdict);
    assert!(report.to_string().contains("\n  ping  "), "{report}");
}

#[test]
fn pings_without_pong_are_told() {
    let server = TestServer::start(Behaviour { leave_pings: Some(4), ..Behaviour::default() });
    let report = run_against(&server, &with_short(&["-c", "20", "--ping", "--connect-timeout", "1s"]));
    let ping = report.connect.ping.expect("it was asked for");
    assert_eq!((ping.sent, ping.answered), (20, 15));
    assert_eq!(report.verdict.exit_code, 1);
    assert_eq!(report.verdict.reasons[0], "5 of 20 pings were not answered");
    assert_eq!(report.delivery.received, 4_000, "the run goes on");
}

#[test]
fn without_the_option_there_is_no_ping() {
    let server = TestServer::start(Behaviour::default());
    let report = run_against(&server, &with_short(&["-c", "2"]));
    assert_eq!(report.connect.ping, None);
}
