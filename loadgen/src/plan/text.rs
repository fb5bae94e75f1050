//! A plan for people: what for, from which runs, the formula with its numbers, and what comes out.

use std::fmt;

use super::budget::Memory;
use super::cost::{Cost, Known, Term};
use super::held_out::{Figure, Prediction, What};
use super::observation::Observation;
use super::sizing::Share;
use super::wire::Network;
use super::{Plan, Service};
use crate::text::thousands;

/// Fewer messages in a send are chance.
const NOTABLY_TOGETHER: f64 = 1.5;
/// Columns of a line, unless it is a command or a table's.
const WIDTH: usize = 118;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "corecast-load {} ({}): capacity plan", self.version, self.commit)?;
        if let Some(service) = &self.service {
            service.write_target(f)?;
        }
        let runs = number(self.runs.len() as u64, "run");
        let (kind, host) = (self.runs[0].kind(), &self.runs[0].host);
        let error = self.costs.largest_error() * 100.0;
        line(f, "fitted to", &format!("{runs} of {kind}, off by at most {error:.0} %: {host}"))?;
        writeln!(f)?;
        self.write_costs(f)?;
        if let Some(service) = &self.service {
            service.write_cores(f)?;
        }
        self.write_runs(f)?;
        if let Some(service) = &self.service {
            service.write_memory(f, self.memory.kernel_bytes_both_ends)?;
            service.write_link(f)?;
            self.write_together(f)?;
            service.write_hosts(f)?;
        }
        write_check(f, &self.check)?;
        for warning in &self.warnings {
            paragraph(f, "  ! ", "    ", warning)?;
        }
        for run in &self.runs_to_make {
            paragraph(f, "  ! ", "    ", &format!("{}: {}. To tell, run", run.term, run.why))?;
            if let Some(server) = run.server {
                writeln!(f, "      (after starting the server with {server}, on the cores it had)")?;
            }
            writeln!(f, "      {}", run.command)?;
        }
        for (index, what) in self.not_included.iter().enumerate() {
            line(f, if index == 0 { "not included" } else { "" }, what)?;
        }
        Ok(())
    }
}

impl Plan {
    /// Busy cores = the sum over all terms of a cost and how much of it there is in a second.
    fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.service.as_ref().map(|service| service.whole.as_ref().unwrap_or(&service.host));
        let row = |f: &mut fmt::Formatter<'_>, name: &str, cost: &str, amounts: [&str; 2], what: &str| {
            let [amount, cores] = amounts;
            match share {
                Some(_) => writeln!(f, "  {name:14}{cost:>10}{amount:>14}{cores:>12}   {what}"),
                None => writeln!(f, "  {name:14}{cost:>10}   {what}"),
            }
        };
        row(
            f,
            "busy time =",
            "cost",
            ["in a second", "busy cores"],
            "sum of (and the run that says most about it)",
        )?;
        for cost in &self.costs.costs {
            let busy = share.and_then(|share| share.parts.iter().find(|part| part.0 == cost.term));
            let amount = share.map_or(0.0, |share| self.costs.amount(cost.term, &share.second));
            let amounts = [count(amount), format!("{:.3}", busy.map_or(0.0, |part| part.1))];
            let mut what = self.explain(cost, share);
            if let Some(witness) = self.witnesses.iter().find(|witness| witness.term == cost.term) {
                what += &format!(" ({}: {:.0} % of its time)", witness.run, witness.part * 100.0);
            }
            let name = format!("  {}", cost.term);
            row(f, &name, &cost_text(cost), [&amounts[0], &amounts[1]], &what)?;
        }
        let connect = &self.costs.connect;
        let churn = self.service.as_ref().map_or(0.0, |service| service.target.churn);
        let busy = format!("{:.3}", share.map_or(0.0, |share| share.connect_busy_cores));
        let what = format!(
            "opening a connection ({} connections of all runs; {} to {} by run)",
            count(connect.connects),
            duration(connect.least_seconds),
            duration(connect.most_seconds)
        );
        row(f, "  connect", &duration(connect.seconds), [&count(churn), &busy], &what)
    }

    fn explain(&self, cost: &Cost, share: Option<&Share>) -> String {
        let of = cost.term.of();
        match (cost.known, cost.term) {
            (Known::NotRun, _) => format!("{of}: not measured"),
            (Known::NotToldApart, _) => format!("{of}: in the other costs"),
            (Known::Yes, Term::FarSend) => {
                let near = count(self.costs.near);
                let connections = share.map_or_else(
                    || "connections of a core".to_owned(),
                    |share| format!("{} of a core", count(share.second.connections_per_core)),
                );
                format!("more for a send, x (1 - {near} near / {connections})")
            }
            (Known::Yes, _) => of.to_owned(),
        }
    }

    /// How many messages shared a send when a core was full.
    fn write_together(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let together = |run: &Observation| run.deliveries / run.sends.max(1.0);
        let most = self.runs.iter().max_by(|a, b| together(a).total_cmp(&together(b)));
        match most.filter(|run| together(run) >= NOTABLY_TOGETHER) {
            Some(run) => {
                let text =
                    format!("measured on a full core: up to {} messages in a send", plain(together(run)));
                line(f, "", &format!("{text} ({})", run.run))
            }
            None => Ok(()),
        }
    }

    fn write_runs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(
            f,
            "  {:14}{:>10}{:>10}{:>9}{:>10}{:>12}{:>12}{:>9}",
            "runs", "busy", "fitted", "off", "left out", "memory", "fitted", "off"
        )?;
        for (fit, memory) in self.costs.runs.iter().zip(&self.memory.runs) {
            let dash = || "-".to_owned();
            let left_out =
                fit.left_out_seconds.map_or_else(dash, |seconds| off(seconds, fit.measured_seconds));
            writeln!(
                f,
                "  {:14}{:>8.3} s{:>8.3} s{:>9}{left_out:>10}{:>12}{:>12}{:>9}   {}",
                "",
                fit.measured_seconds,
                fit.fitted_seconds,
                off(fit.fitted_seconds, fit.measured_seconds),
                bytes(memory.measured_bytes),
                memory.fitted_bytes.map_or_else(dash, bytes),
                memory.fitted_bytes.map_or_else(dash, |fitted| off(fitted, memory.measured_bytes)),
                fit.run,
            )?;
        }
        writeln!(f, "  {:14}left out: what a model of the other runs says about this one", "")
    }
}

impl Service {
    fn write_target(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        let mut text = format!(
            "{} connections on {}; {} messages/s in all = {} a topic, of {} bytes, to {} subscribers = {} deliveries/s",
            count(target.connections),
            number(target.topics as u64, "topic"),
            plain(target.rate),
            plain(target.rate / target.topics),
            count(target.message_bytes),
            plain(target.fan_out),
            count(target.deliveries()),
        );
        if let Some(part) = target.compressed_to {
            text += &format!("; compressed to {:.0} %", part * 100.0);
        }
        if target.churn > 0.0 {
            text += &format!("; {} connections/s come and go", plain(target.churn));
        }
        if let Some(seconds) = target.ping_seconds {
            text += &format!("; a ping every {} s, which costs a send and a pass", plain(seconds));
        }
        if target.wait_seconds > 0.0 {
            let together = plain(target.messages_per_send());
            text += &format!(
                "; a message may wait {} for others: {together} in a send",
                duration(target.wait_seconds)
            );
        }
        line(f, "for", &text)
    }

    fn write_cores(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headroom = self.limits.headroom;
        match &self.whole {
            Some(whole) => {
                writeln!(f, "  {:38}{:>12.3}", "  all", whole.busy_cores)?;
                let needed = whole.busy_cores / (1.0 - headroom);
                let cores = number(whole.cores, "core");
                line(
                    f,
                    "cores",
                    &format!(
                        "{:.2} busy / (1 - {:.0} % headroom) = {needed:.2}: {cores}, were they all in one host",
                        whole.busy_cores,
                        headroom * 100.0
                    ),
                )?;
            }
            None => line(f, "cores", "no number of cores in one host is enough")?,
        }
        let waiting: Vec<String> = self
            .waiting
            .iter()
            .map(|waiting| {
                let cores = waiting.cores.map_or_else(|| "none".to_owned(), |cores| number(cores, "core"));
                let together = plain(waiting.messages_per_send);
                let link = bits(waiting.traffic.out * 8.0);
                format!("{}: {together} messages a send, {cores}, {link}", duration(waiting.seconds))
            })
            .collect();
        if !waiting.is_empty() {
            line(
                f,
                "",
                &format!("if messages of a topic may wait for each other (--wait) {}", waiting.join("; ")),
            )?;
        }
        Ok(())
    }

    fn write_memory(&self, f: &mut fmt::Formatter<'_>, both_ends: Option<f64>) -> fmt::Result {
        writeln!(f)?;
        writeln!(
            f,
            "  {:22}{:>12}{:>14}{:>12}{:>12}   from",
            "memory of a host", "each", "times", "user", "kernel"
        )?;
        for row in &self.host_memory {
            let (user, kernel) = match row.memory {
                Memory::User => (bytes(row.bytes), String::new()),
                Memory::Kernel => (String::new(), bytes(row.bytes)),
            };
            let times = thousands(row.count.ceil() as u64);
            let (name, each) = (format!("  {}", row.name), bytes(row.bytes_each));
            writeln!(f, "  {name:22}{each:>12}{times:>14}{user:>12}{kernel:>12}   {}", row.source)?;
        }
        let (user, kernel) = (self.host_user_bytes, self.host_kernel_bytes);
        writeln!(
            f,
            "  {:48}{:>12}{:>12}   {} in all; the process is likely to show {}",
            "  all",
            bytes(user),
            bytes(kernel),
            bytes(user + kernel),
            bytes(self.host_resident_bytes)
        )?;
        if let Some(budget) = &self.budget {
            line(f, "", &format!("budget: {budget}"))?;
        }
        if let Some(both) = both_ends {
            let mut text = format!("kernel memory of both ends of a connection was measured: {both:.0} B");
            if self.budget.is_some() {
                text += "; counted is the budget's socket, the server's end";
            }
            line(f, "", &text)?;
        }
        Ok(())
    }

    fn write_link(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, limits, host, .. } = self;
        let link = limits.link_bits_per_second;
        let part = |bytes: f64| format!("{} = {:.1} %", bits(bytes * 8.0), bytes * 8.0 / link * 100.0);
        writeln!(f)?;
        let text =
            format!("{} out, {} back of {}", part(host.traffic.out), part(host.traffic.back), bits(link));
        line(f, "link of a host", &text)?;
        let Network { ip: _, mtu, tls } = target.network;
        let together = target.messages_per_send();
        let sent = (together * target.frame()).round();
        let one = target.network.send(sent as u64);
        line(
            f,
            "",
            &format!(
                "a send of {} message{} = {} bytes with its frame header{}; {} on the wire (for each {}: {} of IP and TCP, \
                 38 of Ethernet; MTU {mtu}), {} back",
                plain(together),
                if together == 1.0 { "" } else { "s" },
                thousands(sent as u64),
                if tls { ", 22 more for each TLS record" } else { "" },
                thousands(one.out as u64),
                thousands(target.network.segment_bytes()),
                target.network.header_bytes(),
                thousands(one.back as u64),
            ),
        )
    }

    fn write_hosts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, host, .. } = self;
        let each = format!(
            "{}, {}, {} and {:.0} % headroom",
            number(limits.cores, "core"),
            bytes(limits.memory_bytes),
            bits(limits.link_bits_per_second),
            limits.headroom * 100.0
        );
        let Some(hosts) = self.hosts else {
            return line(
                f,
                "hosts",
                &format!(
                    "no number of hosts with {each} is enough: what each has to do whatever the others do is too much"
                ),
            );
        };
        let text = format!(
            "{} needed ({} for cores, {} for memory, {} for the link), {} with one to spare; each with {each}",
            hosts.needed, hosts.for_cores, hosts.for_memory, hosts.for_link, hosts.with_spare
        );
        line(f, "hosts", &text)?;
        let memory = self.host_user_bytes + self.host_kernel_bytes;
        let text = format!(
            "of each, with the spare one missing: {} with a shard each, {:.0} % busy; {:.0} % of its memory; every host gets \
             every message",
            number(host.cores, "core"),
            host.busy_cores / host.cores as f64 * 100.0,
            memory / limits.memory_bytes * 100.0
        );
        line(f, "", &text)
    }
}

fn write_check(f: &mut fmt::Formatter<'_>, check: &[Prediction]) -> fmt::Result {
    if check.is_empty() {
        return Ok(());
    }
    writeln!(f)?;
    writeln!(f, "  {:26}{:>12}{:>12}{:>10}{:>8}", "not fitted", "predicted", "measured", "off", "bound")?;
    for prediction in check {
        let note = if prediction.is_coalesced { ": a full core, sends as counted" } else { "" };
        let disturbed = if prediction.is_disturbed { "; others ran on the server's cores" } else { "" };
        writeln!(f, "  {}{note}{disturbed}", prediction.run)?;
        for figure in &prediction.figures {
            writeln!(
                f,
                "    {:24}{:>12}{:>12}{:>10}{:>8}{}",
                what_text(figure),
                figure_text(figure, figure.predicted),
                figure_text(figure, figure.measured),
                off(figure.predicted, figure.measured),
                format!("{:.0} %", figure.most_error * 100.0),
                if figure.is_within { "" } else { "  too far off" }
            )?;
        }
    }
    Ok(())
}

fn what_text(figure: &Figure) -> &'static str {
    match figure.what {
        What::BusySeconds => "busy",
        What::ConnectBusySeconds => "busy while connecting",
        What::ResidentBytes => "resident memory",
        What::KernelBytes => "kernel, both ends",
    }
}

fn figure_text(figure: &Figure, value: f64) -> String {
    match figure.what {
        What::BusySeconds | What::ConnectBusySeconds => format!("{value:.3} s"),
        What::ResidentBytes | What::KernelBytes => bytes(value),
    }
}

fn cost_text(cost: &Cost) -> String {
    match cost.known {
        Known::Yes => duration(cost.seconds),
        Known::NotRun | Known::NotToldApart => "-".to_owned(),
    }
}

/// A name and a text, which goes on below itself.
fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    paragraph(f, &format!("  {name:14}  "), &format!("{:18}", ""), text)
}

fn paragraph(f: &mut fmt::Formatter<'_>, first: &str, rest: &str, text: &str) -> fmt::Result {
    let mut row = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && row.len() + 1 + word.len() > WIDTH {
            writeln!(f, "{row}")?;
            row = rest.to_owned();
            is_empty = true;
        }
        if !is_empty {
            row.push(' ');
        }
        row += word;
        is_empty = false;
    }
    writeln!(f, "{row}")
}

fn count(amount: f64) -> String {
    thousands(amount.round() as u64)
}

fn number(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `+3.2 %`: how far a prediction is from what was measured.
fn off(predicted: f64, measured: f64) -> String {
    let error = (predicted / measured - 1.0) * 100.0;
    if error.abs() < 0.05 {
        return "0.0 %".to_owned();
    }
    if error.is_finite() { format!("{error:+.1} %") } else { "-".to_owned() }
}

/// At most three digits behind the point, none that say nothing.
fn plain(number: f64) -> String {
    if number >= 1_000.0 {
        return thousands(number.round() as u64);
    }
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Three digits with a unit, from picoseconds on: a byte costs a part of a nanosecond.
fn duration(seconds: f64) -> String {
    scaled(seconds, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"), (1e-12, "ps")])
}

fn bytes(count: f64) -> String {
    let units = [
        (1024_f64.powi(4), "TiB"),
        (1024_f64.powi(3), "GiB"),
        (1024_f64.powi(2), "MiB"),
        (1024.0, "KiB"),
        (1.0, "B"),
    ];
    scaled(count, &units)
}

fn bits(count: f64) -> String {
    scaled(count, &[(1e12, "Tbit/s"), (1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")])
}

/// Three digits in the largest unit that there is at least one of.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let last = units.last().expect("there are units");
    let (size, unit) = units.iter().find(|(size, _)| value >= *size * 0.9995).unwrap_or(last);
    let value = value / size;
    let digits = match value {
        0.0 => 0,
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_unit() {
        let durations = [2.714e-6, 1.3e-10, 0.0042, 0.99999, 0.0, 25.0].map(duration);
        assert_eq!(durations, ["2.71 us", "130 ps", "4.20 ms", "1.00 s", "0 ps", "25.0 s"]);
        assert_eq!([110.0, 4_096.0, 1.5e9].map(bytes), ["110 B", "4.00 KiB", "1.40 GiB"]);
        assert_eq!([1e10, 2.5e8, 12.0].map(bits), ["10.0 Gbit/s", "250 Mbit/s", "12.0 bit/s"]);
        assert_eq!([0.5, 12.0, 1_234.5, 0.0].map(plain), ["0.5", "12", "1,235", "0"]);
        let errors = [(1.1, 1.0), (0.5, 1.0), (0.9999, 1.0), (1.0, 0.0)].map(|(a, b)| off(a, b));
        assert_eq!(errors, ["+10.0 %", "-50.0 %", "0.0 %", "-"]);
    }
}
