//! The report as one page that stands alone: no script, no font, nothing from elsewhere. The plots are SVG.

mod charts;

use std::fmt::Write;

use crate::calendar::utc;
use crate::encoded_histogram::DecodeError;
use crate::plot::{STYLE, escape};
use crate::report::{Percentiles, Report};
use crate::text::{load_text, mebibytes, thousands, time};

const PAGE_STYLE: &str = include_str!("html/style.css");

impl Report {
    /// What `--html` writes.
    ///
    /// # Errors
    /// When a histogram was damaged after it was written.
    pub fn to_html(&self) -> Result<String, DecodeError> {
        let mut body = String::new();
        self.add_head(&mut body);
        self.add_figures(&mut body);
        body.push_str("<section class=\"plots\" aria-label=\"Plots\">\n");
        for plot in charts::of(self)? {
            body.push_str(&plot.figure());
        }
        body.push_str("</section>\n");
        self.add_times(&mut body);
        self.add_shards(&mut body);
        self.add_setup(&mut body);
        self.add_timeline(&mut body);
        let text = escape(&self.to_string());
        let _ = writeln!(
            body,
            "<details><summary>As on the terminal</summary><div class=\"wide\" tabindex=\"0\"><pre>{text}</pre></div></details>"
        );
        Ok(page(&format!("corecast-load: {}", load_text(&self.setup)), &body))
    }

    fn add_head(&self, body: &mut String) {
        let verdict = &self.verdict;
        let (class, sign, validity) =
            if verdict.valid { ("good", "&#10003;", "valid") } else { ("bad", "&#10007;", "not valid") };
        let interrupted = if verdict.interrupted { ", interrupted" } else { "" };
        let limited = if verdict.generator_limited { "yes" } else { "no" };
        let _ = write!(
            body,
            "<header>\n<p class=\"what\">corecast-load, {}</p>\n<h1>{}</h1>\n<p>{} ({})</p>\n\
             <p class=\"verdict {class}\"><span aria-hidden=\"true\">{sign}</span> {validity}{interrupted}; \
             generator-limited: {limited}</p>\n",
            match self.setup.began_unix_ms {
                0 => "at an unknown time".to_owned(),
                began => utc(began),
            },
            escape(&load_text(&self.setup)),
            escape(&self.setup.url),
            escape(&self.setup.preset),
        );
        if !verdict.reasons.is_empty() {
            body.push_str("<ul class=\"reasons\">\n");
            for reason in &verdict.reasons {
                let _ = writeln!(body, "<li>{}</li>", escape(reason));
            }
            body.push_str("</ul>\n");
        }
        body.push_str("</header>\n");
    }

    fn add_figures(&self, body: &mut String) {
        let latency = self.latency.from_intended.as_ref().unwrap_or(&self.latency.from_sent);
        let from =
            if self.latency.from_intended.is_some() { "from the intended time" } else { "from sending" };
        let delivery = &self.delivery;
        let throughput = &self.throughput;
        let wrong = delivery.lost + delivery.duplicated + delivery.reordered + delivery.unexpected;
        let mut figures = vec![
            (
                "Deliveries",
                rate(throughput.deliveries_per_second),
                format!("{:.1} MB/s", throughput.megabytes_per_second),
            ),
            (
                "Messages",
                rate(throughput.messages_per_second),
                format!("{} sent", thousands(delivery.published)),
            ),
            ("Median latency", shown_time(latency, latency.p50_ns), from.to_owned()),
            (
                "p99",
                shown_time(latency, latency.p99_ns),
                format!("p99.9 {}", shown_time(latency, latency.p999_ns)),
            ),
            ("Longest", shown_time(latency, latency.max_ns), format!("of {}", thousands(latency.count))),
            (
                "Lost",
                thousands(delivery.lost),
                match wrong - delivery.lost {
                    0 => format!("of {}", thousands(delivery.expected)),
                    others => format!("{} more were wrong", thousands(others)),
                },
            ),
            (
                "Connected",
                thousands(self.connect.connected.into()),
                format!("{} in {:.2} s", rate(self.connect.per_second), self.connect.seconds),
            ),
        ];
        if let Some(server) = &self.server {
            let busy = format!("{:.0} %", server.core_busy_share * 100.0);
            let cores = format!("of {}", crate::text::plural(server.cores.len() as u64, "core"));
            figures.push(("Server's cores busy", busy, cores));
            let memory = format!("{} at the end", mebibytes(server.resident_bytes_end));
            figures.push((
                "Server's memory",
                format!("{:.0} B", server.bytes_per_connection),
                format!("a connection; {memory}"),
            ));
        }
        body.push_str("<dl class=\"figures\">\n");
        for (name, value, note) in figures {
            let _ = writeln!(body, "<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>");
        }
        body.push_str("</dl>\n");
    }

    fn add_times(&self, body: &mut String) {
        let rows = [
            (
                "from intended",
                "From the time a message was due to its arrival",
                self.latency.from_intended.as_ref(),
            ),
            ("from sent", "From the time it was sent", Some(&self.latency.from_sent)),
            ("spread", "From the first to the last subscriber", Some(&self.latency.spread)),
            (
                "handshake",
                "From asking for a socket to the subscribed connection",
                Some(&self.connect.handshake),
            ),
            ("ping", "From a ping to its pong", self.connect.ping.as_ref().map(|ping| &ping.round_trip)),
            ("schedule lag", "How late messages were sent", Some(&self.generator.schedule_lag)),
            ("own part", "Of that, the generator's own fault", Some(&self.generator.own_lag)),
            ("reap lag", "How long an arrival may have waited to be seen", Some(&self.generator.reap_lag)),
        ];
        body.push_str(
            "<section><h2>Times</h2><div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">what</th><th scope=\"col\">min</th><th scope=\"col\">p50</th>\
             <th scope=\"col\">p90</th><th scope=\"col\">p99</th><th scope=\"col\">p99.9</th><th scope=\"col\">max</th>\
             <th scope=\"col\">count</th></tr></thead>\n<tbody>\n",
        );
        for (name, meaning, percentiles) in rows {
            let Some(all) = percentiles else { continue };
            let _ = write!(body, "<tr><th scope=\"row\">{name}<small>{meaning}</small></th>");
            for ns in [all.min_ns, all.p50_ns, all.p90_ns, all.p99_ns, all.p999_ns, all.max_ns] {
                let _ = write!(body, "<td>{}</td>", shown_time(all, ns));
            }
            let _ = writeln!(body, "<td>{}</td></tr>", thousands(all.count));
        }
        body.push_str("</tbody></table></div></section>\n");
    }

    fn add_shards(&self, body: &mut String) {
        if self.shards.is_empty() {
            return;
        }
        body.push_str(
            "<section><h2>Shards of the server</h2><div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">shard</th>\
             <th scope=\"col\">connections</th><th scope=\"col\">subscribers</th><th scope=\"col\">published</th>\
             <th scope=\"col\">relayed</th><th scope=\"col\">deliveries</th><th scope=\"col\">busy</th></tr></thead>\n<tbody>\n",
        );
        for shard in &self.shards {
            let _ = write!(body, "<tr><th scope=\"row\">{}</th>", shard.shard);
            for count in
                [shard.connections, shard.subscribers, shard.published, shard.relayed, shard.deliveries]
            {
                let _ = write!(body, "<td>{}</td>", count.map_or_else(|| "-".to_owned(), thousands));
            }
            let busy =
                shard.busy_share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0));
            let _ = writeln!(body, "<td>{busy}</td></tr>");
        }
        body.push_str("</tbody></table></div></section>\n");
    }

    fn add_setup(&self, body: &mut String) {
        let setup = &self.setup;
        let seconds = |ns: u64| format!("{} s", ns as f64 / 1e9);
        let mut rows = vec![
            ("Host", format!("{}, {}", setup.host.kernel, setup.host.cpu_model)),
            ("Cores", setup.host.allowed_cores.to_string()),
            ("Server", format!("{} ({})", setup.url, setup.preset)),
            ("Publishing to", setup.publish_url.clone()),
            (
                "Phases",
                format!(
                    "{} warm-up, {} measured, at most {} for the last messages",
                    seconds(setup.warmup_ns),
                    seconds(setup.duration_ns),
                    seconds(setup.grace_ns)
                ),
            ),
            ("Generator", format!("{} ({}), {}", self.version, self.commit, setup.threads_text())),
            ("How busy it was", crate::text::threads_busy(&self.generator.workers)),
            ("Seed, run", format!("{}, {}", setup.seed, setup.run)),
            ("Command line", setup.command_line.join(" ")),
        ];
        for host in &setup.hosts {
            rows.push(("Worker", format!("{}; {}", host.text(), host.clock_text())));
        }
        rows.extend(self.clocks_text().map(|text| ("Clocks", text)));
        if let Some(server) = &self.server {
            let shared = if server.shares_cores { ", shared with the generator" } else { "" };
            let text = format!("{}; cores {}{shared}", server.pid, crate::text::list(&server.cores));
            rows.insert(3, ("Server's process", text));
        }
        body.push_str("<section><h2>Set-up</h2><dl class=\"setup\">\n");
        for (name, value) in rows {
            let _ = writeln!(body, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
        }
        body.push_str("</dl></section>\n");
    }

    /// What the plots over time show, as a table.
    fn add_timeline(&self, body: &mut String) {
        if self.timeline.is_empty() {
            return;
        }
        body.push_str(
            "<details><summary>Every interval</summary><div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr><th scope=\"col\">begin</th>\
             <th scope=\"col\">phase</th><th scope=\"col\">open</th><th scope=\"col\">published</th><th scope=\"col\">received</th>\
             <th scope=\"col\">p50</th><th scope=\"col\">p99</th><th scope=\"col\">max</th><th scope=\"col\">server's cores</th>\
             <th scope=\"col\">its memory</th><th scope=\"col\">generator</th><th scope=\"col\">its memory</th></tr></thead>\n<tbody>\n",
        );
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        for interval in &self.timeline {
            let _ = write!(
                body,
                "<tr><th scope=\"row\">{:.2} s</th><td>{}</td>",
                interval.begin_seconds,
                interval.phase.name()
            );
            let cells = [
                interval.open.map(|count| thousands(count.into())),
                interval.published.map(thousands),
                interval.received.map(thousands),
                interval.p50_ns.map(time),
                interval.p99_ns.map(time),
                interval.max_ns.map(time),
                interval.server_core_busy_share.map(percent),
                interval.server_resident_bytes.map(mebibytes),
                interval.generator_cpu_share.map(percent),
                interval.generator_resident_bytes.map(mebibytes),
            ];
            for cell in cells {
                let _ = write!(body, "<td>{}</td>", or_dash(cell));
            }
            body.push_str("</tr>\n");
        }
        body.push_str("</tbody></table></div></details>\n");
    }
}

/// A whole document. The title is text, the body HTML.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{STYLE}{PAGE_STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escape(title)
    )
}

fn rate(per_second: f64) -> String {
    let shown =
        if per_second >= 100.0 { thousands(per_second.round() as u64) } else { format!("{per_second:.1}") };
    format!("{shown}/s")
}

fn shown_time(of: &Percentiles, ns: u64) -> String {
    if of.count == 0 { "-".to_owned() } else { time(ns) }
}

#[cfg(test)]
mod tests;
