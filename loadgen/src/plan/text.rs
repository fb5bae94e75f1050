//! A plan for people: what for, from which runs, the formula with its numbers, and what comes out.

use std::fmt;

use super::budget::Memory;
use super::cost::{Cost, Known, Term};
use super::held_out::{Figure, Prediction, What};
use super::sizing::Share;
use super::wire::Network;
use super::{Plan, Service};
use crate::text::thousands;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "corecast-load {} ({}): capacity plan", self.version, self.commit)?;
        if let Some(service) = &self.service {
            service.write_target(f)?;
        }
        let count = self.runs.len();
        let runs = if count == 1 { "run" } else { "runs" };
        line(f, "fitted to", &format!("{count} {runs} of {}: {}", self.runs[0].preset, self.runs[0].host))?;
        writeln!(f)?;
        self.write_costs(f)?;
        if let Some(service) = &self.service {
            service.write_cores(f)?;
        }
        self.write_runs(f)?;
        if let Some(service) = &self.service {
            service.write_memory(f, self.memory.kernel_bytes_both_ends)?;
            service.write_link(f)?;
            service.write_hosts(f)?;
        }
        write_check(f, &self.check)?;
        for warning in &self.warnings {
            writeln!(f, "  ! {warning}")?;
        }
        for run in &self.runs_to_make {
            writeln!(f, "  ! {}: {}. To tell, run", run.term, run.why)?;
            if let Some(server) = run.server {
                writeln!(f, "      (server with {server})")?;
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
    /// busy cores = sum over terms of cost x how much of it there is in a second.
    fn write_costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.service.as_ref().map(|service| service.whole.as_ref().unwrap_or(&service.host));
        let amounts = if share.is_some() { ["in a second", "busy cores"] } else { ["", ""] };
        writeln!(
            f,
            "  {:14}{:>10}  {:53}{:>13}{:>12}   mostly from",
            "busy time =", "cost", "sum of", amounts[0], amounts[1]
        )?;
        for cost in &self.costs.costs {
            let name = format!("  {}", cost.term);
            let what = self.explain(cost, share);
            write!(f, "  {name:14}{:>10}  {what:53}", cost_text(cost))?;
            let busy = share.and_then(|share| share.parts.iter().find(|part| part.0 == cost.term));
            if let (Some(share), Some((_, busy))) = (share, busy) {
                let seconds = if cost.seconds > 0.0 { busy / cost.seconds } else { 0.0 };
                let amount = if cost.known == Known::Yes && cost.seconds > 0.0 {
                    seconds
                } else {
                    amount_of(cost.term, share)
                };
                write!(f, "{:>13}{busy:>12.3}", thousands(amount.round() as u64))?;
            } else {
                write!(f, "{:25}", "")?;
            }
            if let Some(witness) = self.witnesses.iter().find(|witness| witness.term == cost.term) {
                write!(f, "   {} ({:.0} % of its time)", witness.run, witness.part * 100.0)?;
            }
            writeln!(f)?;
        }
        let connect = &self.costs.connect;
        let churn = self.service.as_ref().map_or(0.0, |service| service.target.churn);
        let what = format!(
            "opening a connection ({} to {} in single runs)",
            duration(connect.least_seconds),
            duration(connect.most_seconds)
        );
        write!(f, "  {:14}{:>10}  {what:53}", "  connect", duration(connect.seconds))?;
        if let Some(share) = share {
            let (amount, busy) = (thousands(churn.round() as u64), share.connect_busy_cores);
            write!(f, "{amount:>13}{busy:>12.3}")?;
        } else {
            write!(f, "{:25}", "")?;
        }
        writeln!(f, "   {} connections of all runs", thousands(connect.connects as u64))
    }

    fn explain(&self, cost: &Cost, share: Option<&Share>) -> String {
        let of = cost.term.of();
        match (cost.known, cost.term) {
            (Known::NotRun, _) => format!("{of}: not measured"),
            (Known::NotToldApart, _) => format!("{of}: in the other costs"),
            (Known::Yes, Term::FarSend) => {
                let near = thousands(self.costs.near as u64);
                let connections = share.map_or_else(
                    || "connections of a core".to_owned(),
                    |share| thousands(share.second.connections_per_core.round() as u64),
                );
                format!("a send, x (1 - {near} / {connections})")
            }
            (Known::Yes, _) => of.to_owned(),
        }
    }

    fn write_runs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(
            f,
            "  {:40}{:>10}{:>10}{:>9}{:>11}{:>12}{:>12}{:>9}",
            "runs, busy time and resident memory",
            "busy",
            "fitted",
            "off",
            "left out",
            "memory",
            "fitted",
            "off"
        )?;
        for (fit, memory) in self.costs.runs.iter().zip(&self.memory.runs) {
            let left_out = fit.left_out_seconds.map(|seconds| off(seconds, fit.measured_seconds));
            writeln!(
                f,
                "  {:40}{:>8.3} s{:>8.3} s{:>9}{:>11}{:>12}{:>12}{:>9}",
                format!("  {}", fit.run),
                fit.measured_seconds,
                fit.fitted_seconds,
                off(fit.fitted_seconds, fit.measured_seconds),
                left_out.unwrap_or_else(|| "-".to_owned()),
                bytes(memory.measured_bytes),
                bytes(memory.fitted_bytes),
                off(memory.fitted_bytes, memory.measured_bytes),
            )?;
        }
        writeln!(f, "  {:40}left out: what a model of the other runs says about this one", "")
    }
}

impl Service {
    fn write_target(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        let count = |count: f64| thousands(count.round() as u64);
        let topics = if target.topics == 1.0 { "topic" } else { "topics" };
        let mut text = format!(
            "{} connections on {} {topics}, {} bytes, {} messages/s in all = {} a topic, to {} subscribers each",
            count(target.connections),
            count(target.topics),
            count(target.message_bytes),
            plain(target.rate),
            plain(target.rate / target.topics),
            plain(target.fan_out),
        );
        line(f, "for", &text)?;
        text = format!("= {} deliveries/s", count(target.deliveries()));
        if let Some(part) = target.compressed_to {
            text += &format!("; compressed to {:.0} %", part * 100.0);
        }
        if target.churn > 0.0 {
            text += &format!("; {} connections/s come and go", plain(target.churn));
        }
        if let Some(seconds) = target.ping_seconds {
            text += &format!("; a ping every {} s, which costs a send and a message", plain(seconds));
        }
        if target.wait_seconds > 0.0 {
            let together = plain(target.messages_per_send());
            text += &format!(
                "; a message may wait {} for others: {together} a send",
                duration(target.wait_seconds)
            );
        }
        line(f, "", &text)
    }

    fn write_cores(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headroom = self.limits.headroom;
        match &self.whole {
            Some(whole) => {
                writeln!(f, "  {:90}{:>12.3}", "  all", whole.busy_cores)?;
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
                format!("{}: {together} messages a send, {cores}", duration(waiting.seconds))
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
        if let Some(both) = both_ends {
            let text = format!(
                "the kernel's part was measured at {both:.0} B for both ends of a connection on one host"
            );
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
                "a send of {} message{} = {} bytes with frame header{}; {} on the wire with {} of IP and TCP for each {} \
                 (MTU {mtu}) and 38 of Ethernet; {} back",
                plain(together),
                if together == 1.0 { "" } else { "s" },
                thousands(sent as u64),
                if tls { ", 22 more for each TLS record" } else { "" },
                thousands(one.out as u64),
                target.network.header_bytes(),
                thousands(target.network.segment_bytes()),
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
    writeln!(
        f,
        "  {:40}{:24}{:>12}{:>12}{:>9}{:>8}",
        "runs that were not fitted", "", "predicted", "measured", "off", "bound"
    )?;
    for prediction in check {
        for (index, figure) in prediction.figures.iter().enumerate() {
            let name = if index == 0 { format!("  {}", prediction.run) } else { String::new() };
            let note = if index == 0 && prediction.is_coalesced { " (sends as counted)" } else { "" };
            let what = format!("{}{note}", what_text(figure));
            writeln!(
                f,
                "  {name:40}{what:24}{:>12}{:>12}{:>9}{:>8}{}",
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

/// How much of a term there is, where its cost does not tell.
fn amount_of(term: Term, share: &Share) -> f64 {
    let second = &share.second;
    match term {
        Term::Send | Term::FarSend => second.sends,
        Term::Byte => second.bytes,
        Term::Message => second.messages,
        Term::Relay => second.relays,
        Term::Compression => second.compressed_bytes,
        Term::Rest => second.core_seconds,
    }
}

fn cost_text(cost: &Cost) -> String {
    match cost.known {
        Known::Yes => duration(cost.seconds),
        Known::NotRun | Known::NotToldApart => "-".to_owned(),
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {name:14}  {text}")
}

fn number(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `+3.2 %`: how far a prediction is from what was measured.
fn off(predicted: f64, measured: f64) -> String {
    let error = (predicted / measured - 1.0) * 100.0;
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
    let (size, unit) = units.iter().find(|(size, _)| value >= *size).unwrap_or(last);
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
        let durations = [2.714e-6, 1.3e-10, 0.0042, 1.0, 0.0, 25.0].map(duration);
        assert_eq!(durations, ["2.71 us", "130 ps", "4.20 ms", "1.00 s", "0 ps", "25.0 s"]);
        assert_eq!([110.0, 4_096.0, 1.5e9].map(bytes), ["110 B", "4.00 KiB", "1.40 GiB"]);
        assert_eq!([1e10, 2.5e8, 12.0].map(bits), ["10.0 Gbit/s", "250 Mbit/s", "12.0 bit/s"]);
        assert_eq!([0.5, 12.0, 1_234.5, 0.0].map(plain), ["0.5", "12", "1,235", "0"]);
        assert_eq!([off(1.1, 1.0), off(0.5, 1.0), off(1.0, 0.0)], ["+10.0 %", "-50.0 %", "-"]);
    }
}
