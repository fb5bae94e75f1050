//! Proof that the generator does not lie: what a server is known to do to messages is found in the report, each loss,
//! double and reordering counted, each wait as long as it was.

use std::ops::Range;
use std::time::Duration;

use corecast_load::Report;
use corecast_load::report::Percentiles;

use crate::support::{Behaviour, Fate, Handled, NoiseMeter, Stall, TestServer};
use crate::{run_against, with_short};

/// How much later than a server delivered a message it may be reaped on a host that is busy but not overloaded: what is charged
/// to the server too much. In 20 rounds beside two busy loops on two cores the worst was 12 ms.
const NOISE_NS: u64 = 100_000_000;

/// The same on this host, now. A message passes three threads that wait to be woken.
fn noise_ns(meter: &NoiseMeter) -> u64 {
    let noise_ns = NOISE_NS + 3 * meter.worst_ns();
    println!("noise: {} ms", noise_ns / 1_000_000);
    noise_ns
}

/// 400 ms of each second. That is long beside every noise, so that quantiles differ by much more than it.
const STALL: Stall = Stall { period: Duration::from_secs(1), length: Duration::from_millis(400) };

/// A queueing model: an open loop, and a server that takes no time but stands still at times. Whoever comes while it does
/// waits for the end. The waits, ascending.
fn waits(due_ns: &[u64], stalls: &[Range<u64>]) -> Vec<u64> {
    let wait = |due: &u64| stalls.iter().find(|stall| stall.contains(due)).map_or(0, |stall| stall.end - due);
    let mut waits: Vec<u64> = due_ns.iter().map(wait).collect();
    waits.sort_unstable();
    waits
}

/// As HdrHistogram defines it: the smallest value that this part of all values does not exceed.
fn quantile(ascending: &[u64], part: f64) -> u64 {
    let rank = (part * ascending.len() as f64).ceil() as usize;
    ascending[rank.clamp(1, ascending.len()) - 1]
}

#[test]
fn the_model_gives_the_uniform_waits_of_the_books() {
    const MS: u64 = 1_000_000;
    // 1,000 messages a second for three seconds; the server stands still for the last 400 ms of each.
    let due_ns: Vec<u64> = (0..3_000).map(|number| number * MS).collect();
    let stalls = [600 * MS..1_000 * MS, 1_600 * MS..2_000 * MS, 2_600 * MS..3_000 * MS];
    let waits = waits(&due_ns, &stalls);
    // 0.6 wait for nothing, 0.4 between 0 and 400 ms, each time as likely as any other.
    let quantiles = [0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0].map(|part| quantile(&waits, part) / MS);
    assert_eq!(quantiles, [0, 0, 100, 200, 300, 390, 400]);
    let above = |ms: u64| waits.iter().filter(|wait| **wait > ms * MS).count();
    assert_eq!([above(0), above(100), above(200), above(300), above(400)], [1_200, 900, 600, 300, 0]);
}

/// The latencies must be no shorter than `least`, and no longer than `most` but for the noise: two lists of waits, ascending.
/// The first is strict: nothing makes a message arrive before it is delivered.
fn assert_between(latency: &Percentiles, least: &[u64], most: &[u64], noise_ns: u64) {
    let Percentiles { p50_ns, p90_ns, p99_ns, p999_ns, max_ns, .. } = *latency;
    for (part, measured_ns) in [(0.5, p50_ns), (0.9, p90_ns), (0.99, p99_ns), (0.999, p999_ns), (1.0, max_ns)]
    {
        let (least_ns, most_ns) = (quantile(least, part), quantile(most, part));
        println!(
            "quantile {part}: at least {} us, at most {} us, measured {} us",
            least_ns / 1_000,
            most_ns / 1_000,
            measured_ns / 1_000
        );
        // Measured values have three digits.
        assert!(measured_ns >= least_ns - least_ns / 1_000, "quantile {part}: too good to be true");
        assert!(measured_ns <= most_ns + noise_ns, "quantile {part}: nothing took that long");
    }
}

/// When messages were due. An open loop: nothing moves these times.
fn due_evenly(handled: &[Handled], period_ns: u64) -> Vec<u64> {
    let due_ns: Vec<u64> = handled.iter().map(|message| message.due_ns).collect();
    assert!(due_ns.windows(2).all(|pair| pair[1] - pair[0] == period_ns), "the schedule was moved");
    due_ns
}

/// How long after their times messages were delivered by the server's account, ascending.
fn delivered_after(handled: &[Handled]) -> Vec<u64> {
    let mut waits: Vec<u64> = handled.iter().map(|message| message.delivered_ns - message.due_ns).collect();
    waits.sort_unstable();
    waits
}

#[test]
fn stalls_are_charged_to_every_message_that_was_due_in_them() {
    let meter = NoiseMeter::start();
    let server = TestServer::start(Behaviour { stall: Some(STALL), ..Behaviour::default() });
    let pace = ["--rate", "500", "--duration", "3s", "--warmup", "0s", "--grace", "10s"];
    let report = run_against(&server, &[&["-c", "3"], &pace[..]].concat());
    let handled = server.handled();
    assert_eq!((handled.len(), report.delivery.received, report.delivery.lost), (1_500, 4_500, 0));
    // The model's distribution for the stalls as they happened.
    let model = waits(&due_evenly(&handled, 2_000_000), &server.stalls());
    assert_between(&report.latency.from_intended.expect("an open loop"), &model, &model, noise_ns(&meter));
}

#[test]
fn a_publisher_that_is_held_up_is_charged_from_when_its_messages_were_due() {
    let meter = NoiseMeter::start();
    // Four requests are sent ahead, then the publisher has to wait for an answer: other generators take that for the pace
    // that they are to keep.
    let server = TestServer::start(Behaviour { stall: Some(STALL), ..Behaviour::default() });
    let posting = ["--publish", "http", "--http-pipeline", "4", "--grace", "10s"];
    let pace = ["-c", "3", "--rate", "500", "--duration", "3s", "--warmup", "0s"];
    let report = run_against(&server, &[&posting[..], &pace].concat());
    let handled = server.handled();
    assert_eq!((handled.len(), report.delivery.received, report.delivery.lost), (1_500, 4_500, 0));
    let model = waits(&due_evenly(&handled, 2_000_000), &server.stalls());
    // Behind a stall all that were held up go out four by four, which takes its time: the server says how long.
    let from_intended = report.latency.from_intended.expect("an open loop");
    let noise_ns = noise_ns(&meter);
    assert_between(&from_intended, &model, &delivered_after(&handled), noise_ns);
    // Coordinated omission: counted from when they were sent, four of the 200 messages of each stall waited.
    let model_p90_ns = quantile(&model, 0.9);
    assert!(model_p90_ns > 200_000_000, "the stalls are seen: {model_p90_ns}");
    assert!(report.latency.from_sent.p90_ns < noise_ns, "{:?}", report.latency.from_sent);
    // The lateness is told, and whose it was: not the generator's.
    assert!(report.generator.schedule_lag.p90_ns > model_p90_ns - NOISE_NS, "{:?}", report.generator);
    assert!(report.generator.own_lag.p90_ns < noise_ns, "{:?}", report.generator);
}

#[test]
fn stalls_are_charged_alike_with_several_publishers_and_topics() {
    let meter = NoiseMeter::start();
    // 6 publishers on 3 topics, each of them heard by two subscribers that listen to all topics.
    let server = TestServer::start(Behaviour { stall: Some(STALL), ..Behaviour::default() });
    let layout = ["--preset", "corecast-json", "-c", "2", "--topics", "3", "--topics-per-subscriber", "3"];
    let pace = ["--publishers", "6", "--rate", "50", "--duration", "3s", "--warmup", "0s", "--grace", "10s"];
    let report = run_against(&server, &[&layout[..], &pace].concat());
    let handled = server.handled();
    assert_eq!((handled.len(), report.delivery.received, report.delivery.lost), (900, 1_800, 0));
    // Publishers take turns: all together they are as even as one of six times the rate.
    let mut due_ns: Vec<u64> = handled.iter().map(|message| message.due_ns).collect();
    due_ns.sort_unstable();
    assert!(due_ns.windows(2).all(|pair| (3_333_333..=3_333_335).contains(&(pair[1] - pair[0]))));
    let model = waits(&due_ns, &server.stalls());
    let from_intended = report.latency.from_intended.expect("an open loop");
    assert_between(&from_intended, &model, &delivered_after(&handled), noise_ns(&meter));
}

#[test]
fn a_share_that_is_delayed_is_found_to_the_last_one() {
    let meter = NoiseMeter::start();
    let server = TestServer::start(Behaviour {
        fate: |number, _| if number % 20 == 7 { Fate::Delay } else { Fate::Deliver },
        delay: Duration::from_secs(1),
        ..Behaviour::default()
    });
    let arguments = ["-c", "4", "--rate", "200", "--warmup", "0s", "--duration", "1s", "--grace", "10s"];
    let report = run_against(&server, &arguments);
    let delivery = &report.delivery;
    assert_eq!((delivery.received, delivery.lost, delivery.duplicated), (800, 0, 0));
    assert_eq!(delivery.reordered, 10 * 4);
    let histogram = report.histograms.from_intended.expect("an open loop").decode().expect("valid");
    let delayed = histogram.count_between(999_000_000, u64::MAX);
    let noise_ns = noise_ns(&meter);
    assert_eq!(histogram.len(), 800);
    assert!(delayed == 40 || (delayed > 40 && noise_ns > 900_000_000), "{delayed}");
    assert!(histogram.max() < 1_000_000_000 + 2 * noise_ns, "{}", histogram.max());
    assert_eq!(report.latency.spread.count, 200, "all were complete in the end");
}

#[test]
fn a_late_double_is_no_reordering() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| match (number % 10, subscriber) {
            (2, 1) => Fate::DoubleLater,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    });
    let delivery = run_against(&server, &with_short(&["-c", "3"])).delivery;
    assert_eq!((delivery.received, delivery.duplicated, delivery.reordered, delivery.lost), (600, 20, 0, 0));
}

/// Subscriber 0 loses 5 messages in a row, the next ones 10, 15 and 20, at different times. The others lose nothing.
fn bursts(number: usize, subscriber: usize) -> Fate {
    let begin = 100 + 20 * subscriber;
    let burst = begin..begin + 5 * (subscriber + 1);
    if subscriber < 4 && burst.contains(&number) { Fate::Lose } else { Fate::Deliver }
}

#[test]
fn bursts_of_loss_are_counted_for_each_subscriber() {
    for threads in ["1", "2", "3"] {
        let server = TestServer::start(Behaviour { fate: bursts, ..Behaviour::default() });
        let report =
            run_against(&server, &with_short(&["-c", "6", "--grace", "1500ms", "--threads", threads]));
        let delivery = &report.delivery;
        assert_eq!((delivery.expected, delivery.received, delivery.lost), (1_200, 1_150, 50));
        assert_eq!((delivery.subscribers_with_loss, delivery.worst_subscriber_lost), (4, 20));
        assert_eq!((delivery.duplicated, delivery.reordered, delivery.unexpected), (0, 0, 0));
        // Messages 100 to 104, 120 to 129, 140 to 154 and 160 to 179 did not reach everybody.
        assert_eq!((report.latency.spread.count, report.latency.untracked), (150, 50));
        assert!(report.to_string().contains("lost by 4 subscribers, at most 20 by one\n"), "{report}");
    }
}

#[test]
fn loss_is_found_behind_a_warm_up_that_lost_too() {
    let server = TestServer::start(Behaviour {
        fate: |number, subscriber| match (number, subscriber) {
            // Across the beginning of what is measured: 10 of the warm-up, 5 that count.
            (90..105, 0) => Fate::Lose,
            (150, _) => Fate::Double,
            (40 | 160, 1) => Fate::HoldBack,
            _ => Fate::Deliver,
        },
        ..Behaviour::default()
    });
    let arguments = ["--rate", "1000", "--warmup", "100ms", "--duration", "100ms", "--grace", "1500ms"];
    let delivery = run_against(&server, &[&["-c", "4"], &arguments[..]].concat()).delivery;
    assert_eq!((delivery.published, delivery.expected, delivery.received), (100, 400, 395));
    assert_eq!((delivery.lost, delivery.duplicated, delivery.reordered), (5, 4, 1));
    assert_eq!((delivery.subscribers_with_loss, delivery.worst_subscriber_lost), (1, 5));
}

/// By the message's number in its topic: 1 of 20 lost, 1 doubled, 1 behind the next, each for one subscriber of the topic.
fn mixed(number: usize, subscriber: usize) -> Fate {
    match (number % 20, subscriber) {
        (3, 0) => Fate::Lose,
        (8, 1) => Fate::Double,
        (13, 1) => Fate::HoldBack,
        _ => Fate::Deliver,
    }
}

fn assert_mixed(report: &Report, expected: u64, topics: u64, each: u64) {
    let delivery = &report.delivery;
    let sum = topics * each;
    assert_eq!((delivery.expected, delivery.received, delivery.lost), (expected, expected - sum, sum));
    assert_eq!((delivery.duplicated, delivery.unexpected), (sum, 0));
    assert_eq!((delivery.subscribers_with_loss, delivery.worst_subscriber_lost), (topics, each));
    assert_eq!((delivery.refused, delivery.unsent, delivery.unanswered), (0, 0, 0));
    assert_eq!(report.verdict.exit_code, 2);
}

#[test]
fn every_way_to_publish_is_checked_alike() {
    // Four topics with three subscribers and one publisher each: 200 messages, of which 10 suffer each fate.
    let layout = ["-c", "12", "--topics", "4", "--grace", "1500ms"];
    let json = ["--preset", "corecast-json", "--size", "100"];
    let ways: [&[&str]; 4] =
        [&["--text"], &["--publish", "http"], &json, &["--publish", "http", "--publisher-connections", "2"]];
    for way in ways {
        let server = TestServer::start(Behaviour { fate: mixed, ..Behaviour::default() });
        let report = run_against(&server, &with_short(&[&layout[..], way].concat()));
        assert_mixed(&report, 4 * 3 * 200, 4, 10);
        assert_eq!(report.delivery.reordered, 4 * 10);
    }
}

#[test]
fn several_publishers_of_a_topic_are_told_apart() {
    // Two topics with two subscribers and four publishers each: 800 messages, of which 40 suffer each fate. What is
    // behind a message of another publisher is not out of order: reorderings are no fixed number.
    let layout = ["-c", "4", "--topics", "2", "--publishers", "8", "--grace", "1500ms"];
    for way in [&["--binary"][..], &["--publish", "http"]] {
        let server = TestServer::start(Behaviour { fate: mixed, ..Behaviour::default() });
        let report = run_against(&server, &with_short(&[&layout[..], way].concat()));
        assert_mixed(&report, 2 * 2 * 800, 2, 40);
        assert!(report.delivery.reordered <= 2 * 40, "{:?}", report.delivery);
    }
}
