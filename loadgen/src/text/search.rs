//! A search for people: a line for each step as it goes on, and at the end all of them in order with the answer below.

use std::fmt::{self, Write};

use super::{line, load_text, thousands, time};
use crate::search::{Outcome, SearchReport, Step};

impl fmt::Display for SearchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "corecast-load {} ({}), search", self.version, self.commit)?;
        if let Some(run) = self.best().or_else(|| self.steps.last()).and_then(|step| step.runs.first()) {
            line(f, "target", &format!("{} ({})", run.setup.url, run.setup.preset))?;
            line(f, "load", &load_text(&run.setup))?;
        }
        let runs = match self.repeats {
            1 => "one run a step".to_owned(),
            repeats => format!("in most of {repeats} runs a step"),
        };
        line(f, "objective", &format!("{}, {runs}", self.objective))?;
        let range = [self.from, self.to].map(value);
        line(
            f,
            "varied",
            &format!("{}, from {} to {}, to {} %", self.unit, range[0], range[1], self.precision * 100.0),
        )?;
        f.write_char('\n')?;
        for (number, step) in self.ascending().into_iter().enumerate() {
            f.write_str(&step.line(number == 0))?;
        }
        self.write_answer(f)
    }
}

impl SearchReport {
    fn write_answer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = &self.answer;
        writeln!(f, "\nstopped after {} steps, {:.0} s: {}", self.steps.len(), self.seconds, answer.because)?;
        let at_least = if answer.is_lower_bound { "at least " } else { "" };
        match (answer.highest_met, self.best()) {
            (Some(met), Some(best)) => {
                let deliveries = best.figure("throughput.deliveries_per_second").unwrap_or_default();
                let deliveries = thousands(deliveries.round() as u64);
                writeln!(f, "answer: {at_least}{} {} ({deliveries} deliveries/s)", value(met), self.unit)
            }
            _ => writeln!(f, "answer: none, no value that was tried met the objective"),
        }
    }
}

impl Step {
    /// One line, with the line of names above it.
    pub fn line(&self, with_head: bool) -> String {
        let mut text = String::new();
        if with_head {
            let _ = write!(text, "  {:>12}  {:9}{:>6}", "value", "outcome", "runs");
            self.times.iter().for_each(|time| {
                let _ = write!(text, "{:>width$}", time.name, width = width(&time.name));
            });
            let _ = writeln!(text, "{:>15}{:>9}{:>9}  why", "deliveries/s", "server", "busiest");
        }
        let outcome = match self.outcome {
            Outcome::Met => "met",
            Outcome::Failed => "failed",
            Outcome::GeneratorLimited => "generator",
        };
        let runs = format!("{}/{}", self.runs_met, self.runs.len());
        let _ = write!(text, "  {:>12}  {outcome:9}{runs:>6}", value(self.value));
        for each in &self.times {
            let shown = each.median_ns.map_or_else(|| "-".to_owned(), |ns| time(ns as u64));
            let _ = write!(text, "{shown:>width$}", width = width(&each.name));
        }
        let percent = |name| {
            self.figure(name).map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
        };
        let deliveries = self.figure("throughput.deliveries_per_second");
        let deliveries = deliveries.map_or_else(|| "-".to_owned(), |rate| thousands(rate.round() as u64));
        let (server, busiest) = (percent("server.cpu_share"), percent("generator.workers.cpu_share"));
        let _ = write!(text, "{deliveries:>15}{server:>9}{busiest:>9}  {}", self.why.replace('\n', "; "));
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }
}

fn width(name: &str) -> usize {
    (name.len() + 2).max(10)
}

/// Whole numbers in groups; rates may have thousandths.
pub(crate) fn value(value: f64) -> String {
    let whole = thousands(value.trunc() as u64);
    let rest = format!("{:.3}", value.fract());
    let rest = rest.trim_start_matches('0').trim_end_matches('0').trim_end_matches('.');
    format!("{whole}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Stopped;
    use crate::search::tests::a_search;

    #[test]
    fn steps_are_a_table_in_order_and_the_answer_is_last() {
        let tried = [(100.0, 5), (200.0, 80), (150.5, 9)];
        let text = a_search(&tried, Stopped::Found).to_string();
        let expected = "\
  objective     p99<50ms, in most of 3 runs a step
  varied        messages/s of each publisher, from 100 to 4,000, to 5 %

         value  outcome    runs       p50       p90       p99   deliveries/s   server  busiest  why
           100  met         1/1   5.00 ms   5.00 ms   5.00 ms         99,999     32 %     42 %
         150.5  met         1/1   9.00 ms   9.00 ms   9.00 ms         99,999     32 %     42 %
           200  failed      0/1   80.0 ms   80.0 ms   80.0 ms         99,999     32 %     42 %  p99 was 80 ms

stopped after 3 steps, 90 s: 150.5 met the objective and 200 did not (p99 was 80 ms): they are no more than 5 % apart
answer: 150.5 messages/s of each publisher (99,999 deliveries/s)
";
        assert!(text.ends_with(expected), "{text}");
        assert!(
            text.contains("  target        ws://127.0.0.1:9001/topics/{topic}?role=subscriber (corecast)\n")
        );
    }

    #[test]
    fn lower_bounds_are_told_as_such() {
        let text = a_search(&[(100.0, 5), (200.0, 1_000)], Stopped::Found).to_string();
        assert!(
            text.ends_with("answer: at least 100 messages/s of each publisher (99,999 deliveries/s)\n"),
            "{text}"
        );
        let text = a_search(&[(100.0, 80)], Stopped::StartFails).to_string();
        assert!(text.ends_with("answer: none, no value that was tried met the objective\n"), "{text}");
    }

    #[test]
    fn values_are_grouped_and_keep_their_thousandths() {
        assert_eq!([1_234_567.0, 0.5, 1_000.125, 7.0].map(value), ["1,234,567", "0.5", "1,000.125", "7"]);
    }
}
