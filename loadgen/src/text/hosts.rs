//! What a report says of the hosts that generated the load, and of what their clocks leave open.

use std::fmt;

use super::{line, list, plural, thousands, time};
use crate::report::{LoadHost, Report, Setup};

impl Setup {
    /// Threads, and where they ran, in a few words.
    pub(crate) fn threads_text(&self) -> String {
        let threads = plural(self.threads as u64, "thread");
        match self.hosts.len() {
            0 => format!("{threads} on {}", cores_text(&self.cores)),
            hosts => format!("{threads} on {}", plural(hosts as u64, "worker")),
        }
    }
}

fn cores_text(cores: &[usize]) -> String {
    match cores {
        [] => "any core".to_owned(),
        cores => format!("core {}", list(cores)),
    }
}

impl LoadHost {
    /// What it is, in one line.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}: {}, {}, {}; {} on {}",
            self.address,
            self.host.kernel,
            self.host.cpu_model,
            plural(self.host.allowed_cores as u64, "core"),
            plural(self.threads as u64, "thread"),
            cores_text(&self.cores)
        )
    }

    /// Its clock against the coordinator's.
    pub(crate) fn clock_text(&self) -> String {
        let signed = |ns: i64| format!("{}{}", if ns < 0 { "-" } else { "+" }, time(ns.unsigned_abs()));
        format!(
            "clock {} from here, known to {}, {} more at the end",
            signed(self.clock_ahead_ns),
            time(self.clock_uncertainty_ns),
            signed(self.clock_drift_ns)
        )
    }
}

pub(super) fn write_hosts(f: &mut fmt::Formatter<'_>, hosts: &[LoadHost]) -> fmt::Result {
    for (number, host) in hosts.iter().enumerate() {
        line(f, if number == 0 { "workers" } else { "" }, &host.text())?;
        line(f, "", &format!("  {}", host.clock_text()))?;
    }
    Ok(())
}

impl Report {
    /// Which latencies there are, and how good, when there are several clocks; `None` with one.
    pub(crate) fn clocks_text(&self) -> Option<String> {
        if self.setup.hosts.len() < 2 {
            return None;
        }
        let spread = "spread is among the subscribers on the publisher's host";
        Some(match self.latency.clock_bound_ns {
            Some(bound_ns) => {
                format!("latency from one host to another may be wrong by {}; {spread}", time(bound_ns))
            }
            None => format!(
                "latency is of {} of {} deliveries, from publishers on the same host; {spread}",
                thousands(self.latency.from_sent.count),
                thousands(self.delivery.received)
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::report::sample::{load_host, report};

    #[test]
    fn each_worker_is_told_with_its_clock() {
        let mut report = report();
        report.setup.hosts = vec![load_host("a:9003", -1_500_000), load_host("b:9003", 250)];
        report.setup.threads = 4;
        report.delivery.received = 2_000_000;
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().skip(4).take(5).collect();
        assert_eq!(
            lines,
            [
                "  host          Linux 6.18.0, Example CPU, 2 cores; 4 threads on 2 workers",
                "  workers       a:9003: Linux 6.18.0, Example CPU, 2 cores; 2 threads on core 0,1",
                "                  clock -1.50 ms from here, known to 42.0 us, -7 ns more at the end",
                "                b:9003: Linux 6.18.0, Example CPU, 2 cores; 2 threads on core 0,1",
                "                  clock +250 ns from here, known to 42.0 us, -7 ns more at the end",
            ]
        );
        let local = "  (latency is of 999,990 of 2,000,000 deliveries, from publishers on the same host; spread is among the \
                     subscribers on the publisher's host)";
        assert!(text.lines().any(|line| line == local), "{text}");
        report.latency.clock_bound_ns = Some(84_000);
        let across = "  (latency from one host to another may be wrong by 84.0 us; spread is among the subscribers on the \
                      publisher's host)";
        assert!(report.to_string().lines().any(|line| line == across), "{report}");
    }
}
