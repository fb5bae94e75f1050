//! Runs over several workers, all in this process: what is counted must be the same as with threads of one.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Parser;
use corecast_load::{
    Progress, Report, RunError, Scenario, VERSION, WorkerOptions, WorkerServer, run, run_series,
};

use crate::support::{Behaviour, Fate, TestServer};
use crate::{scenario, with_short};

/// A worker process's inside.
struct Host {
    address: SocketAddr,
    /// Set, it ends as with SIGTERM.
    stop: Arc<AtomicBool>,
}

impl Host {
    fn start() -> Self {
        let options =
            WorkerOptions::try_parse_from(["worker", "--listen", "127.0.0.1:0"]).expect("an address");
        let server = WorkerServer::bind(&options).expect("a free port");
        let (address, stop) = (server.address(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || server.serve(&stopped, &|line| println!("{line}")));
        Self { address, stop }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn over(hosts: &[&Host], server: &TestServer, arguments: &[&str]) -> Scenario {
    let addresses: Vec<String> = hosts.iter().map(|host| host.address.to_string()).collect();
    let workers = addresses.join(",");
    scenario(&server.url(), &[&["--workers", workers.as_str()], arguments].concat())
}

fn try_run(scenario: &Scenario) -> Result<Report, RunError> {
    run(scenario, &[], &mut |_| ControlFlow::Continue(()))
}

fn run_over(hosts: &[&Host], server: &TestServer, arguments: &[&str]) -> Report {
    let report = try_run(&over(hosts, server, &with_short(arguments))).expect("a run that reports");
    println!("{report}");
    report
}

#[test]
fn two_workers_make_one_run() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour { ping: true, ..Behaviour::default() });
    let report = run_over(&[&a, &b], &server, &["-c", "21", "--topics", "2", "--publishers", "3", "--ping"]);
    assert_eq!((report.connect.connected, report.connect.handshake.count), (24, 24));
    assert_eq!(report.connect.ping.map(|ping| (ping.sent, ping.answered)), Some((21, 21)));
    // As in one process: publishers 0 and 2 feed topic 0 with its 11 subscribers, publisher 1 feeds topic 1 with its 10.
    let delivery = &report.delivery;
    assert_eq!(delivery.published, 600);
    assert_eq!((delivery.expected, delivery.received), (400 * 11 + 200 * 10, 400 * 11 + 200 * 10));
    assert_eq!((delivery.lost, delivery.duplicated, delivery.reordered, delivery.unexpected), (0, 0, 0, 0));
    assert_eq!((delivery.unsent, delivery.disconnected), (0, 0));
    assert_eq!(report.generator.schedule_lag.count, 600);
    assert_eq!(report.generator.reap_lag.count, 6_400);
    assert_eq!((report.closing.closed, report.closing.not_closed), (24, 0));
    // Workers 0 and 2 are a's. They have the even subscribers, which are those of topic 0, and the even publishers, which
    // feed it: every pair is on one host.
    assert_eq!(report.latency.from_intended.expect("an open loop").count, 6_400);
    assert_eq!((report.latency.untimed, report.latency.clock_bound_ns), (0, None));
    assert_eq!(report.latency.spread.count, 600);
    let received: u64 = report.timeline.iter().filter_map(|interval| interval.received).sum();
    assert_eq!(received, 6_400);
    let setup = &report.setup;
    assert_eq!((setup.threads, setup.hosts.len()), (4, 2));
    let hosts: Vec<Option<usize>> = report.generator.workers.iter().map(|worker| worker.host).collect();
    assert_eq!(hosts, [Some(0), Some(1), Some(0), Some(1)]);
    for (host, worker) in setup.hosts.iter().zip([&a, &b]) {
        assert_eq!((host.address.clone(), host.threads), (worker.address.to_string(), 2));
        assert!(host.is_coordinators);
        // One clock: all of the estimate is error.
        assert!(host.clock_ahead_ns.unsigned_abs() <= host.clock_uncertainty_ns, "{host:?}");
    }
}

#[test]
fn losses_doubles_and_reorderings_are_counted_wherever_the_publisher_is() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| match (number % 10, subscriber) {
            (3, _) => Fate::Lose,
            (5, 0) => Fate::Double,
            (7, 0 | 1) => Fate::HoldBack,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    });
    let report = run_over(&[&a, &b], &server, &["-c", "5", "--grace", "1s"]);
    let delivery = &report.delivery;
    assert_eq!((delivery.expected, delivery.lost, delivery.received), (1_000, 100, 900));
    assert_eq!((delivery.duplicated, delivery.reordered, delivery.unexpected), (20, 40, 0));
    assert_eq!((delivery.subscribers_with_loss, delivery.worst_subscriber_lost), (5, 20));
    // The publisher is a's, as are subscribers 0, 2 and 4.
    assert_eq!((report.latency.from_sent.count, report.latency.untimed), (540, 360));
    assert_eq!(report.latency.spread.count, 180, "among those three");
    assert_eq!(report.verdict.exit_code, 2);
    let note = "latency is of 540 of 900 deliveries, from publishers on the same host";
    assert!(report.to_string().contains(note), "{report}");
}

#[test]
fn across_hosts_latencies_are_measured_on_request() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour::default());
    let report = run_over(&[&a, &b], &server, &["-c", "5", "--cross-host-latency"]);
    assert_eq!((report.delivery.received, report.delivery.lost), (1_000, 0));
    assert_eq!((report.latency.from_sent.count, report.latency.untimed), (1_000, 0));
    let bound_ns = report.latency.clock_bound_ns.expect("two clocks");
    let least_ns: u64 = report.setup.hosts.iter().map(|host| host.clock_uncertainty_ns).sum();
    assert!(bound_ns >= least_ns, "what is not known of two clocks adds up: {bound_ns}");
    assert!(report.to_string().contains("latency from one host to another may be wrong by "), "{report}");
}

#[test]
fn one_worker_is_a_run_like_any() {
    let a = Host::start();
    let server = TestServer::start(Behaviour::default());
    let arguments = ["-c", "6", "--publishers", "2", "--rate", "1000", "--warmup", "100ms"];
    let report = run_over(&[&a], &server, &arguments);
    assert_eq!((report.delivery.published, report.delivery.received), (400, 2_400));
    assert_eq!((report.latency.from_sent.count, report.latency.untimed), (2_400, 0));
    assert_eq!(report.latency.spread.count, 400);
}

#[test]
fn what_the_server_tells_one_publisher_all_hosts_know() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour {
        fate: |number, _| if number % 10 == 3 { Fate::Announce } else { Fate::Deliver },
        refuse_every: Some(10),
        ..Behaviour::default()
    });
    // 100 messages of warm-up, whose announcements count for nothing; the publisher is a's.
    let arguments = ["--preset", "corecast-json", "-c", "4", "--warmup", "100ms", "--grace", "1s"];
    let scenario = over(&[&a, &b], &server, &with_short(&arguments));
    let over_hosts = try_run(&scenario).expect("a run that reports");
    let here = try_run(&crate::scenario(&server.url(), &with_short(&arguments))).expect("a run that reports");
    println!("{over_hosts}{here}");
    let figures = |report: &Report| {
        let delivery = &report.delivery;
        let announced = (delivery.announced_missed, delivery.lost, delivery.duplicated);
        (delivery.published, delivery.refused, delivery.expected, delivery.received, announced)
    };
    assert_eq!(figures(&over_hosts), figures(&here));
    assert_eq!((over_hosts.delivery.published, over_hosts.delivery.refused), (200, 20));
}

#[test]
fn those_that_come_and_go_do_so_over_hosts() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour::default());
    let arguments =
        ["-c", "20", "--publishers", "2", "--churn", "50", "--churn-subscribers", "8", "--duration", "1s"];
    let report = run_over(&[&a, &b], &server, &[&arguments[..], &["--grace", "500ms"]].concat());
    assert_eq!((report.delivery.expected, report.delivery.lost), (2_000 * 12, 0));
    let churn = report.churn.as_ref().expect("a run with churn");
    assert_eq!((churn.subscribers, churn.lost, churn.duplicated, churn.unexpected), (8, 0, 0, 0));
    assert!(churn.left > 0 && churn.returned > 0, "{churn:?}");
}

#[test]
fn runs_follow_each_other() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour::default());
    let scenario = over(&[&a, &b], &server, &with_short(&["-c", "4"]));
    let pause = std::time::Duration::ZERO;
    let series =
        run_series(&scenario, 3, pause, &[], &mut |_| ControlFlow::Continue(())).expect("runs that report");
    assert_eq!((series.runs.len(), series.totals.received, series.totals.lost), (3, 2_400, 0));
    assert_eq!((series.latency.from_sent.count, series.latency.untimed), (1_200, 1_200));
}

#[test]
fn an_early_end_is_one_everywhere() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour::default());
    let scenario =
        over(&[&a, &b], &server, &["-c", "4", "--rate", "100", "--warmup", "0s", "--duration", "1h"]);
    let mut tell = |progress| match progress {
        Progress::Publishing { received, .. } if received >= 40 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let report = run(&scenario, &[], &mut tell).expect("a run that reports");
    assert!(report.verdict.interrupted);
    assert_eq!(report.delivery.received, report.delivery.published * 4);
    assert_eq!((report.delivery.lost, report.delivery.unsent), (0, 0));
}

#[test]
fn a_worker_that_ends_ends_the_run() {
    let (a, b) = (Host::start(), Host::start());
    let server = TestServer::start(Behaviour::default());
    let scenario =
        over(&[&a, &b], &server, &["-c", "4", "--rate", "100", "--warmup", "0s", "--duration", "1h"]);
    let address = b.address;
    let mut tell = |progress| {
        if let Progress::Publishing { received: 40.., .. } = progress {
            b.stop.store(true, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    };
    let error = run(&scenario, &[], &mut tell).expect_err("a worker is gone");
    assert_eq!(error.to_string(), format!("worker {address}: it was stopped"));
    // The other one has left the run in order, and takes part in the next.
    let report = run_over(&[&a], &server, &["-c", "4"]);
    assert_eq!(report.delivery.received, 800);
}

#[test]
fn a_worker_does_one_run_at_a_time() {
    let a = Host::start();
    let server = TestServer::start(Behaviour::default());
    let scenario = over(&[&a], &server, &["-c", "2", "--rate", "100", "--warmup", "0s", "--duration", "1h"]);
    let mut refusal = None;
    let mut tell = |progress| match progress {
        Progress::Publishing { received: 20.., .. } => {
            refusal = Some(try_run(&scenario).expect_err("it is busy").to_string());
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    };
    let report = run(&scenario, &[], &mut tell).expect("a run that reports");
    assert_eq!(report.delivery.lost, 0);
    assert_eq!(refusal, Some(format!("worker {}: it is busy with another coordinator's run", a.address)));
}

#[test]
fn every_worker_that_is_not_there_is_named() {
    let a = Host::start();
    let server = TestServer::start(Behaviour::default());
    let nobody = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let (first, second) = (nobody(), nobody());
    let mut scenario = over(&[&a], &server, &["-c", "2"]);
    scenario.hosts = vec![first.to_string(), a.address.to_string(), second.to_string()];
    let error = try_run(&scenario).expect_err("two are missing").to_string();
    let line = |address| {
        format!(
            "worker {address}: cannot connect: Connection refused (os error 111); does `corecast-load worker` listen there?"
        )
    };
    assert_eq!(error, format!("{}\n{}", line(first), line(second)));
}

#[test]
fn other_versions_are_refused_by_both() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let old = "{\"program\":\"corecast-load\",\"version\":\"0.0.1 (old)\"}\n";
    let worker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a coordinator");
        stream.write_all(old.as_bytes()).expect("room for a line");
        let mut greeting = String::new();
        BufReader::new(stream).read_line(&mut greeting).expect("a greeting");
        greeting
    });
    let server = TestServer::start(Behaviour::default());
    let a = Host::start();
    let mut scenario = over(&[&a], &server, &["-c", "2"]);
    scenario.hosts = vec![address.to_string()];
    let error = try_run(&scenario).expect_err("another version").to_string();
    let cause =
        format!("it is corecast-load 0.0.1 (old), but this is {VERSION}: run the same version everywhere");
    assert_eq!(error, format!("worker {address}: {cause}"));
    let greeting = worker.join().expect("no panic");
    assert_eq!(greeting, format!("{{\"program\":\"corecast-load\",\"version\":\"{VERSION}\"}}\n"));

    let mut stream = TcpStream::connect(a.address).expect("it listens");
    stream.write_all(old.as_bytes()).expect("room for a line");
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().expect("a greeting").expect("text"), greeting.trim_end());
    assert!(lines.next().is_none(), "it hangs up");
}

#[test]
fn what_makes_no_sense_over_hosts_is_refused() {
    let mistakes = |arguments: &[&str]| {
        let line = ["run", "--workers", "a:1,b:1"].iter().chain(arguments);
        let options = corecast_load::RunOptions::try_parse_from(line).expect("options that parse");
        Scenario::from_options(&options).expect_err("no scenario").to_string()
    };
    assert_eq!(
        mistakes(&["--in-flight", "1"]),
        "--in-flight with --workers: what is complete would have to be told between hosts before the next message. Use --rate"
    );
    let twice = ["--workers", "a:1,b:1,a:1"];
    assert_eq!(mistakes(&twice), "--workers names a:1 twice: each worker takes one part of the load");
}
