//! A report for tests, with every part present.

use crate::encoded_histogram::EncodedHistogram;
use crate::host::Host;
use crate::measure::Recorder;
use crate::report::{
    Closing, Connect, Delivery, Generator, Histograms, Kernel, Latency, LoadHost, Percentiles, Ping, Reason,
    Report, SCHEMA, Server, Setup, Throughput, Verdict, WorkerUsage,
};
use crate::timeline::{Interval, Phase};

fn percentiles(scale: u64, count: u64) -> Percentiles {
    Percentiles {
        count,
        min_ns: 78 * scale,
        p50_ns: 123 * scale,
        p90_ns: 456 * scale,
        p99_ns: 1_234 * scale,
        p999_ns: 45_678 * scale,
        max_ns: 1_500_000 * scale,
    }
}

/// One of two workers of a run.
pub(crate) fn load_host(address: &str, clock_ahead_ns: i64) -> LoadHost {
    LoadHost {
        address: address.to_owned(),
        host: report().setup.host,
        threads: 2,
        cores: vec![0, 1],
        is_coordinators: false,
        clock_ahead_ns,
        clock_uncertainty_ns: 42_000,
        clock_drift_ns: -7,
    }
}

pub(crate) fn report() -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        version: "0.1.0".into(),
        commit: "abc1234".into(),
        setup: Setup {
            command_line: vec!["corecast-load".into(), "run".into()],
            began_unix_ms: 1_795_212_000_500,
            host: Host { kernel: "Linux 6.18.0".into(), cpu_model: "Example CPU".into(), allowed_cores: 2 },
            preset: "corecast".into(),
            url: "ws://127.0.0.1:9001/topics/{topic}?role=subscriber".into(),
            publish_url: "ws://127.0.0.1:9001/topics/{topic}?role=publisher".into(),
            subscribers: 1_000,
            publishers: 1,
            publisher_connections: 1,
            topics: 1,
            topics_per_subscriber: 1,
            load: "open".into(),
            rate_milli: Some(100_000),
            topic_rate_milli: Some(100_000),
            total_rate_milli: Some(100_000),
            in_flight: None,
            message_bytes: 64,
            message_sizes: "64".into(),
            message_kind: "binary".into(),
            warmup_ns: 1_000_000_000,
            duration_ns: 10_000_000_000,
            grace_ns: 2_000_000_000,
            threads: 1,
            hosts: Vec::new(),
            cores: vec![1],
            busy_poll: false,
            deflate: false,
            run: 7,
            seed: 42,
        },
        connect: Connect {
            wanted: 1_001,
            connected: 1_000,
            failed: 1,
            failures: vec![Reason { reason: "cannot connect".into(), count: 1 }],
            seconds: 0.25,
            per_second: 4_000.0,
            handshake: percentiles(1_000, 1_000),
            ping: Some(Ping {
                sent: 1_000,
                answered: 1_000,
                seconds: 0.05,
                round_trip: percentiles(100, 1_000),
            }),
        },
        delivery: Delivery {
            published: 1_000,
            expected: 1_000_000,
            received: 999_990,
            ratio: 0.99999,
            lost: 10,
            subscribers_with_loss: 3,
            worst_subscriber_lost: 7,
            ..Delivery::default()
        },
        throughput: Throughput {
            seconds: 10.0,
            messages_per_second: 100.0,
            deliveries_per_second: 99_999.0,
            megabytes_per_second: 6.4,
        },
        latency: Latency {
            from_intended: Some(percentiles(1_000, 999_990)),
            from_sent: percentiles(100, 999_990),
            spread: percentiles(10, 990),
            untracked: 0,
            untimed: 0,
            clock_bound_ns: None,
        },
        histograms: histograms(),
        generator: Generator {
            schedule_lag: percentiles(1, 1_000),
            own_lag: percentiles(1, 1_000),
            reap_lag: Percentiles::default(),
            workers: vec![WorkerUsage { host: None, core: Some(1), cpu_share: 0.42, run_queue_share: 0.01 }],
            receives: 1,
            receives_without_buffer: 0,
            completion_queue_overflows: 0,
        },
        server: Some(Server {
            pid: 77,
            processes: 1,
            cpu_seconds: 3.21,
            cpu_share: 0.321,
            cores: vec![0],
            core_busy_seconds: 4.5,
            core_busy_share: 0.45,
            connect_cpu_seconds: 0.25,
            connect_core_busy_seconds: 0.5,
            shares_cores: false,
            resident_bytes_before: 4 << 20,
            resident_bytes_connected: 5 << 20,
            resident_bytes_end: 5 << 20,
            bytes_per_connection: 1_048.6,
        }),
        shards: Vec::new(),
        kernel: Some(Kernel { tcp_bytes_per_connection: 12.3, slab_bytes_per_connection: 7_890.1 }),
        timeline: timeline(),
        interval_histograms: Vec::new(),
        churn: None,
        slow: None,
        reconnect: None,
        closing: Closing { closed: 998, not_closed: 2 },
        verdict: Verdict {
            valid: false,
            generator_limited: false,
            interrupted: false,
            reasons: vec!["1 of 1001 connections failed".into(), "10 deliveries were lost".into()],
            exit_code: 1,
        },
    }
}

/// Connecting, warm-up, four intervals of the measured window of which nothing arrived in the third, and what came behind them.
fn timeline() -> Vec<Interval> {
    use Phase::{Connect, Drain, Measure, Warmup};
    let parts = [
        (Connect, 0.0, 0.25, None),
        (Warmup, 0.3, 1.0, None),
        (Measure, 1.3, 2.5, Some(400_000)),
        (Measure, 3.8, 2.5, Some(300_000)),
        (Measure, 6.3, 2.5, Some(0)),
        (Measure, 8.8, 2.5, Some(299_980)),
        (Drain, 11.3, 0.1, Some(10)),
    ];
    parts
        .map(|(phase, begin_seconds, seconds, received)| {
            let ns = |ns| received.filter(|count| *count > 0).map(|_: u64| ns);
            Interval {
                phase,
                begin_seconds,
                seconds,
                open: Some(1_000),
                opened: Some(if phase == Connect { 1_000 } else { 0 }),
                published: (phase != Connect).then_some(250),
                received,
                p50_ns: ns(100_000),
                p90_ns: ns(200_000),
                p99_ns: ns(3_000_000),
                p999_ns: ns(40_000_000),
                max_ns: ns(1_500_000_000),
                server_cpu_share: Some(0.321),
                server_core_busy_share: Some(0.45),
                server_resident_bytes: Some(5 << 20),
                generator_cpu_share: (phase != Drain).then_some(0.42),
                generator_resident_bytes: Some(20 << 20),
            }
        })
        .to_vec()
}

fn histograms() -> Histograms {
    let of = |values: &[u64]| {
        let mut recorder = Recorder::default();
        for &ns in values {
            recorder.record(ns);
        }
        EncodedHistogram::of(recorder.histogram())
    };
    Histograms {
        from_intended: Some(of(&[100_000, 120_000, 150_000, 3_000_000])),
        from_sent: of(&[90_000, 110_000, 140_000, 300_000]),
        spread: of(&[0, 500, 12_300, 45_600]),
        handshake: of(&[123_000, 456_000]),
        ping: None,
        schedule_lag: of(&[100, 200]),
        own_lag: of(&[100, 200]),
        reap_lag: EncodedHistogram::default(),
    }
}
