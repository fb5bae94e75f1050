//! Whether a run's figures can be trusted, and if not, why.

use crate::report::{Connect, Delivery, Generator, Latency, Verdict};

/// A worker busier than this may have been what was measured.
const MOST_BUSY_SHARE: f64 = 0.9;
/// The generator's own lateness is of no account below this ...
const LAG_FLOOR_NS: u64 = 1_000_000;
/// ... nor below this part of the latency it adds to.
const MOST_LAG_SHARE: f64 = 0.1;
/// Part of the receives that may find no buffer.
const MOST_WITHOUT_BUFFER: f64 = 0.01;

impl Verdict {
    /// Judges a run. Failed connections come before loss, loss before a slow generator: the first explains the next.
    pub fn new(
        connect: &Connect,
        delivery: &Delivery,
        latency: &Latency,
        generator: &Generator,
        interrupted: bool,
    ) -> Self {
        let connecting = connect_problems(connect, delivery, interrupted);
        let losing = delivery_problems(delivery);
        let limiting = generator_limits(latency, generator);
        let exit_code = match (connecting.is_empty(), losing.is_empty(), limiting.is_empty()) {
            (false, _, _) => 1,
            (_, false, _) => 2,
            (_, _, false) => 3,
            _ => 0,
        };
        let generator_limited = !limiting.is_empty();
        let reasons = [connecting, losing, limiting].concat();
        Self { valid: exit_code == 0, generator_limited, interrupted, reasons, exit_code }
    }

    /// With more that went wrong with deliveries.
    pub fn with_losses(mut self, problems: Vec<String>) -> Self {
        if !problems.is_empty() {
            self.valid = false;
            self.exit_code = if self.exit_code == 1 { 1 } else { 2 };
            self.reasons.splice(0..0, problems);
        }
        self
    }
}

fn connect_problems(connect: &Connect, delivery: &Delivery, interrupted: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let not_tried = connect.wanted - connect.connected - connect.failed;
    if connect.failed > 0 {
        problems.push(format!("{} of {} connections failed", connect.failed, connect.wanted));
    }
    if not_tried > 0 {
        problems.push(format!("{not_tried} of {} connections were not made", connect.wanted));
    }
    if let Some(ping) = connect.ping.filter(|ping| ping.answered < ping.sent) {
        problems.push(format!("{} of {} pings were not answered", ping.sent - ping.answered, ping.sent));
    }
    if delivery.published == 0 {
        let cause = if interrupted { "interrupted before anything was" } else { "nothing was" };
        problems.push(format!("{cause} published in the measured window"));
    }
    problems
}

fn delivery_problems(delivery: &Delivery) -> Vec<String> {
    let problems = [
        (delivery.lost, "deliveries were lost"),
        (delivery.announced_missed, "deliveries were left out by the server, which said so"),
        (delivery.duplicated, "deliveries came twice"),
        (delivery.reordered, "deliveries came out of order"),
        (delivery.unexpected, "messages were not of this run or topic"),
        (delivery.unsent, "messages were due but not taken by the publishers' connections"),
        (delivery.refused, "messages were refused by the server"),
        (delivery.unanswered, "messages were neither acknowledged nor refused in time"),
        (delivery.disconnected, "connections ended before the run did"),
    ];
    problems.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}

fn generator_limits(latency: &Latency, generator: &Generator) -> Vec<String> {
    let mut limits = Vec::new();
    let busy = |worker: &crate::report::WorkerUsage| worker.cpu_share + worker.run_queue_share;
    let busiest = generator.workers.iter().enumerate().max_by(|a, b| busy(a.1).total_cmp(&busy(b.1)));
    if let Some((number, worker)) = busiest.filter(|(_, worker)| busy(worker) > MOST_BUSY_SHARE) {
        limits.push(format!(
            "worker {number} was busy {:.0} % of the time ({:.0} % running, {:.0} % waiting for a core; the bound is {:.0} %)",
            busy(worker) * 100.0,
            worker.cpu_share * 100.0,
            worker.run_queue_share * 100.0,
            MOST_BUSY_SHARE * 100.0
        ));
    }
    if let Some(from_intended) = latency.from_intended {
        let bound_ns = LAG_FLOOR_NS.max((from_intended.p99_ns as f64 * MOST_LAG_SHARE) as u64);
        let lags = [
            (generator.own_lag, "messages were sent late by the generator's own fault"),
            (generator.reap_lag, "deliveries may have waited for the generator to look"),
        ];
        for (lag, what) in lags.iter().filter(|(lag, _)| lag.p99_ns > bound_ns) {
            let [lag_ms, bound_ms] = [lag.p99_ns, bound_ns].map(|ns| ns as f64 / 1e6);
            limits.push(format!("{what} (p99 {lag_ms:.1} ms; the bound is {bound_ms:.1} ms)"));
        }
    }
    let without_buffer = generator.receives_without_buffer as f64;
    if without_buffer > generator.receives as f64 * MOST_WITHOUT_BUFFER {
        limits.push(format!("{without_buffer} receives found no buffer ({} did)", generator.receives));
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Percentiles, WorkerUsage};

    fn connect() -> Connect {
        Connect {
            wanted: 10,
            connected: 10,
            failed: 0,
            failures: Vec::new(),
            seconds: 1.0,
            per_second: 10.0,
            handshake: Percentiles::default(),
            ping: None,
        }
    }

    fn delivery() -> Delivery {
        Delivery { published: 100, expected: 900, received: 900, ratio: 1.0, ..Delivery::default() }
    }

    fn latency(p99_ns: u64) -> Latency {
        let percentiles = Percentiles { count: 1, p99_ns, ..Percentiles::default() };
        Latency { from_intended: Some(percentiles), ..Latency::default() }
    }

    #[test]
    fn a_clean_run_is_valid() {
        let verdict = Verdict::new(&connect(), &delivery(), &latency(1), &Generator::default(), false);
        assert_eq!((verdict.valid, verdict.generator_limited, verdict.exit_code), (true, false, 0));
        assert!(verdict.reasons.is_empty());
    }

    #[test]
    fn every_kind_of_wrong_delivery_is_loss() {
        let cases = [
            Delivery { lost: 3, ..delivery() },
            Delivery { announced_missed: 3, ..delivery() },
            Delivery { duplicated: 3, ..delivery() },
            Delivery { reordered: 3, ..delivery() },
            Delivery { unexpected: 3, ..delivery() },
            Delivery { unsent: 3, ..delivery() },
            Delivery { refused: 3, ..delivery() },
            Delivery { unanswered: 3, ..delivery() },
            Delivery { disconnected: 3, ..delivery() },
        ];
        for case in cases {
            let verdict = Verdict::new(&connect(), &case, &latency(1), &Generator::default(), false);
            assert_eq!(verdict.exit_code, 2, "{case:?}");
            assert_eq!(verdict.reasons.len(), 1);
            assert!(verdict.reasons[0].starts_with("3 "), "{verdict:?}");
        }
    }

    #[test]
    fn failed_connections_come_before_loss() {
        let failed = Connect { connected: 7, failed: 2, ..connect() };
        let lossy = Delivery { lost: 1, ..delivery() };
        let verdict = Verdict::new(&failed, &lossy, &latency(1), &Generator::default(), false);
        assert_eq!(verdict.exit_code, 1);
        assert_eq!(
            verdict.reasons,
            ["2 of 10 connections failed", "1 of 10 connections were not made", "1 deliveries were lost"]
        );
    }

    #[test]
    fn a_busy_worker_limits() {
        let worker =
            |cpu_share, run_queue_share| WorkerUsage { host: None, core: None, cpu_share, run_queue_share };
        let generator =
            Generator { workers: vec![worker(0.2, 0.0), worker(0.8, 0.15)], ..Generator::default() };
        let verdict = Verdict::new(&connect(), &delivery(), &latency(1), &generator, false);
        assert_eq!((verdict.generator_limited, verdict.exit_code), (true, 3));
        assert_eq!(
            verdict.reasons,
            ["worker 1 was busy 95 % of the time (80 % running, 15 % waiting for a core; the bound is 90 %)"]
        );
    }

    #[test]
    fn lags_of_its_own_limit_when_they_matter_for_the_latency() {
        let lag = |p99_ns| Percentiles { p99_ns, ..Percentiles::default() };
        let own = |p99_ns| Generator { own_lag: lag(p99_ns), ..Generator::default() };
        let reap = |p99_ns| Generator { reap_lag: lag(p99_ns), ..Generator::default() };
        let limits = |generator, latency_ns| {
            Verdict::new(&connect(), &delivery(), &latency(latency_ns), &generator, false).reasons
        };
        for lagging in [&own as &dyn Fn(u64) -> Generator, &reap] {
            assert_eq!(limits(lagging(900_000), 1_000_000).len(), 0, "below a millisecond");
            assert_eq!(limits(lagging(1_100_000), 1_000_000).len(), 1);
            assert_eq!(limits(lagging(9_000_000), 100_000_000).len(), 0, "a tenth of the latency");
        }
        assert_eq!(
            [limits(own(11_000_000), 100_000_000), limits(reap(12_000_000), 1_000_000)].concat(),
            [
                "messages were sent late by the generator's own fault (p99 11.0 ms; the bound is 10.0 ms)",
                "deliveries may have waited for the generator to look (p99 12.0 ms; the bound is 1.0 ms)"
            ]
        );
    }

    #[test]
    fn missing_buffers_limit() {
        let generator = Generator { receives: 1_000, receives_without_buffer: 11, ..Generator::default() };
        let verdict = Verdict::new(&connect(), &delivery(), &latency(1), &generator, false);
        assert_eq!(verdict.reasons, ["11 receives found no buffer (1000 did)"]);
    }

    #[test]
    fn nothing_published_is_no_result() {
        let verdict =
            Verdict::new(&connect(), &Delivery::default(), &Latency::default(), &Generator::default(), true);
        assert_eq!(verdict.exit_code, 1);
        assert_eq!(verdict.reasons, ["interrupted before anything was published in the measured window"]);
    }
}
