//! A search as a page: the knee plotted.

use std::fmt::Write;

use crate::html::page;
use crate::plot::{Axis, Mark, Plot, Series, Shape, Unit, escape};
use crate::search::judging::Outcome;
use crate::search::report::{SearchReport, Step, Time};
use crate::text::search::value;
use crate::text::{thousands, time};

/// Series that a plot can tell apart, less the three of what became of the steps.
const MOST_TIMES: usize = 3;

impl SearchReport {
    /// What `--html` writes.
    pub fn to_html(&self) -> String {
        let mut body = String::new();
        self.add_head(&mut body);
        body.push_str("<section class=\"plots\" aria-label=\"Plots\">\n");
        for plot in [self.latency(), self.throughput(), self.usage()] {
            body.push_str(&plot.figure());
        }
        body.push_str("</section>\n");
        self.add_steps(&mut body);
        self.add_setup(&mut body);
        let text = escape(&self.to_string());
        let _ = writeln!(
            body,
            "<details><summary>As on the terminal</summary><div class=\"wide\"><pre>{text}</pre></div></details>"
        );
        page(&format!("corecast-load search: {}", self.objective), &body)
    }

    fn add_head(&self, body: &mut String) {
        let answer = &self.answer;
        let (class, shown) = match answer.highest_met {
            Some(met) => {
                let at_least = if answer.is_lower_bound { "at least " } else { "" };
                ("good", format!("{at_least}{} {}", value(met), self.unit))
            }
            None => ("bad", "no value met the objective".to_owned()),
        };
        let target = self.steps.iter().find_map(|step| step.runs.first()).map(|run| &run.setup);
        let url = target.map_or_else(String::new, |setup| format!("{} ({})", setup.url, setup.preset));
        let _ = writeln!(
            body,
            "<header>\n<p class=\"what\">corecast-load search</p>\n<h1>{}: {}</h1>\n<p>{}</p>\n\
             <p class=\"verdict {class}\">{}</p>\n<p>{}</p>\n</header>",
            escape(&self.objective),
            self.vary.superlative(),
            escape(&url),
            escape(&shown),
            escape(&answer.because)
        );
    }

    /// Percentiles against the varied value; what met the objective and what did not is marked at the time it bounds.
    fn latency(&self) -> Plot {
        let steps = self.ascending();
        let names = plotted(steps.first().copied());
        let mut series: Vec<Series> = names
            .iter()
            .map(|name| Series::new(name, Shape::Line, points(&steps, |step| median(step, name))))
            .collect();
        let bounded = steps.first().and_then(|step| step.times.iter().find(|time| time.bound_ns.is_some()));
        let shown =
            bounded.map_or_else(|| names.last().copied().unwrap_or_default(), |time| time.name.as_str());
        let outcomes = [
            ("met", Outcome::Met),
            ("not met", Outcome::Failed),
            ("generator-limited", Outcome::GeneratorLimited),
        ];
        for (name, outcome) in outcomes {
            let chosen: Vec<&Step> = steps.iter().filter(|step| step.outcome == outcome).copied().collect();
            if !chosen.is_empty() {
                let at = points(&chosen, |step| median(step, shown));
                series.push(Series::new(name, Shape::Points, at));
            }
        }
        let bound = bounded.and_then(|time| {
            let y = time.bound_ns?;
            Some(Mark::Horizontal { y, label: format!("{} objective", time.name) })
        });
        let at_answer = self.best().and_then(|step| median(step, shown));
        Plot {
            title: format!("Latency against {}", self.vary.name()),
            description: match (self.answer.highest_met, at_answer) {
                (Some(met), Some(ns)) => {
                    format!(
                        "{shown} is {} at {met}, the highest value that met the objective",
                        time(ns as u64)
                    )
                }
                _ => "no value met the objective".to_owned(),
            },
            x: self.x_axis(),
            y: Axis::log("time, log scale", Unit::Nanoseconds),
            series,
            marks: bound.into_iter().chain(self.knee()).collect(),
        }
    }

    fn throughput(&self) -> Plot {
        let steps = self.ascending();
        let deliveries = points(&steps, |step| step.figure("throughput.deliveries_per_second"));
        let most = deliveries.iter().map(|(_, y)| *y).filter(|y| y.is_finite()).fold(0.0, f64::max);
        Plot {
            title: format!("Deliveries against {}", self.vary.name()),
            description: format!("at most {} deliveries a second", thousands(most.round() as u64)),
            x: self.x_axis(),
            y: Axis::linear("deliveries/s", Unit::Count),
            series: vec![Series::new("received", Shape::Line, deliveries)],
            marks: self.knee().into_iter().collect(),
        }
    }

    fn usage(&self) -> Plot {
        let steps = self.ascending();
        let of = |name| points(&steps, |step| step.figure(name));
        let (server, generator) = (of("server.cpu_share"), of("generator.workers.cpu_share"));
        let mut series = vec![Series::new("generator's busiest thread", Shape::Line, generator)];
        if server.iter().any(|(_, y)| y.is_finite()) {
            series.insert(0, Series::new("server's processes", Shape::Line, server));
        }
        Plot {
            title: format!("Processor time against {}", self.vary.name()),
            description: "in parts of one core".to_owned(),
            x: self.x_axis(),
            y: Axis::linear("share of a core", Unit::Share).covering(&[1.0]),
            series,
            marks: self.knee().into_iter().collect(),
        }
    }

    fn x_axis(&self) -> Axis {
        // Doubling leaves the upper half to what is around the answer.
        Axis::linear(&self.unit, Unit::Count)
    }

    fn knee(&self) -> Option<Mark> {
        Some(Mark::Vertical { x: self.answer.highest_met?, label: "highest that met it".to_owned() })
    }

    fn add_steps(&self, body: &mut String) {
        body.push_str("<section><h2>Steps</h2><div class=\"wide\"><table>\n<thead><tr>");
        let steps = self.ascending();
        let times =
            steps.first().map_or(Vec::new(), |step| step.times.iter().map(|time| &time.name).collect());
        let heads = [self.vary.name(), "outcome", "runs that met it"].into_iter().map(str::to_owned);
        let others = ["deliveries/s", "lost", "why"].into_iter().map(str::to_owned);
        for head in heads.chain(times.into_iter().cloned()).chain(others) {
            let _ = write!(body, "<th scope=\"col\">{}</th>", escape(&head));
        }
        body.push_str("</tr></thead>\n<tbody>\n");
        for step in steps {
            let outcome = match step.outcome {
                Outcome::Met => "met",
                Outcome::Failed => "not met",
                Outcome::GeneratorLimited => "generator-limited",
            };
            let number = |name| {
                step.figure(name).map_or_else(|| "-".to_owned(), |value| thousands(value.round() as u64))
            };
            let _ = write!(
                body,
                "<tr><th scope=\"row\">{}</th><td>{outcome}</td><td>{} of {}</td>",
                value(step.value),
                step.runs_met,
                step.runs.len()
            );
            for each in &step.times {
                let shown = each.median_ns.map_or_else(|| "-".to_owned(), |ns| time(ns as u64));
                let _ = write!(body, "<td>{shown}</td>");
            }
            let _ = writeln!(
                body,
                "<td>{}</td><td>{}</td><td style=\"text-align:left\">{}</td></tr>",
                number("throughput.deliveries_per_second"),
                number("delivery.lost"),
                escape(&step.why)
            );
        }
        body.push_str("</tbody></table></div></section>\n");
    }

    fn add_setup(&self, body: &mut String) {
        let host = self.steps.iter().find_map(|step| step.runs.first()).map(|run| &run.setup.host);
        let rows = [
            ("Host", host.map_or_else(String::new, |host| format!("{}, {}", host.kernel, host.cpu_model))),
            ("Searched", format!("{} from {} to {}", self.unit, value(self.from), value(self.to))),
            ("Precision", format!("{} %", self.precision * 100.0)),
            ("Runs a step", format!("at most {}, as many as it takes to judge it", self.repeats)),
            ("Took", format!("{:.0} s, {} steps", self.seconds, self.steps.len())),
            ("Generator", format!("{} ({})", self.version, self.commit)),
            ("Command line", self.command_line.join(" ")),
        ];
        body.push_str("<section><h2>Set-up</h2><dl class=\"setup\">\n");
        for (name, text) in rows {
            let _ = writeln!(body, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&text));
        }
        body.push_str("</dl></section>\n");
    }
}

/// The names of the times that there is room for: those of the objective before the usual ones.
fn plotted(step: Option<&Step>) -> Vec<&str> {
    let times = step.map_or(&[][..], |step| step.times.as_slice());
    let (bounded, usual): (Vec<&Time>, Vec<&Time>) = times.iter().partition(|time| time.bound_ns.is_some());
    let mut chosen: Vec<&Time> = bounded.into_iter().chain(usual).take(MOST_TIMES).collect();
    chosen.sort_by_key(|chosen| times.iter().position(|time| time.name == chosen.name));
    chosen.into_iter().map(|time| time.name.as_str()).collect()
}

/// A gap where a step has no value.
fn points(steps: &[&Step], figure: impl Fn(&Step) -> Option<f64>) -> Vec<(f64, f64)> {
    steps.iter().map(|step| (step.value, figure(step).unwrap_or(f64::NAN))).collect()
}

fn median(step: &Step, name: &str) -> Option<f64> {
    step.times.iter().find(|time| time.name == name)?.median_ns
}

#[cfg(test)]
mod tests {
    use crate::search::Stopped;
    use crate::search::tests::a_search;

    #[test]
    fn the_page_has_the_knee_and_every_step() {
        let html = a_search(&[(100.0, 5), (200.0, 80), (150.0, 9)], Stopped::Found).to_html();
        assert_eq!(html.matches("<svg ").count(), 3);
        for part in [
            "<title>corecast-load search: p99&lt;50ms</title>",
            "<h1>p99&lt;50ms: the highest rate</h1>",
            "<p class=\"verdict good\">150 messages/s of each publisher</p>",
            "150 met the objective and 200 did not (p99 was 80 ms)",
            "aria-label=\"Latency against rate: p99 is 9.00 ms at 150, the highest value that met the objective\"",
            "p99 objective",
            "highest that met it",
            "<tr><th scope=\"row\">200</th><td>not met</td><td>0 of 1</td><td>80.0 ms</td>",
        ] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
        assert!(
            !html.contains("<script") && !html.contains("http://") && !html.contains("https://"),
            "{html}"
        );
    }

    #[test]
    fn a_search_without_an_answer_has_a_page_too() {
        let html = a_search(&[(100.0, 80)], Stopped::StartFails).to_html();
        assert!(html.contains("<p class=\"verdict bad\">no value met the objective</p>"), "{html}");
        let html = a_search(&[], Stopped::TimeLimit).to_html();
        assert!(html.contains("no data") && html.contains("--time-limit is up"), "{html}");
    }
}
