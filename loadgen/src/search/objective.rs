//! What a search asks of each run: `p99<50ms,loss=0`.
//!
//! Times may be missed by chance, as a host is never quite at rest, so they are judged over several runs. What is lost is lost:
//! counts must hold in every run.

use std::fmt;
use std::str::FromStr;

use crate::encoded_histogram::EncodedHistogram;
use crate::report::{Report, apart_problems, ratio};
use crate::text::{thousands, time};
use crate::units::{parse_duration, parse_share};

/// All terms must hold. Where none speaks of loss, nothing may be lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    terms: Vec<Term>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Term {
    figure: Figure,
    comparison: Comparison,
    /// Nanoseconds, or a part of one.
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    /// A percentile of these times; 100 is the largest.
    Time(Times, f64),
    /// Part of the expected that was not received.
    Loss,
    /// Part that was.
    Delivery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Intended,
    Sent,
    Spread,
    Handshake,
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// How one run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Met,
    /// A time was too long: another run may be luckier.
    TooSlow(String),
    /// Something was lost, refused, or not even sent: no other run makes that good.
    Broken(String),
}

const NOTHING_LOST: Term = Term { figure: Figure::Loss, comparison: Comparison::Equal, bound: 0.0 };

impl Objective {
    /// Judges a run. Of several things that are wrong it names the first: what explains others comes before them.
    pub fn judge(&self, report: &Report) -> Judgement {
        if let Some(problem) = problem(report) {
            return Judgement::Broken(problem);
        }
        let (times, counts): (Vec<&Term>, Vec<&Term>) =
            self.terms.iter().partition(|term| matches!(term.figure, Figure::Time(..)));
        let counts = if counts.is_empty() { vec![&NOTHING_LOST] } else { counts };
        if let Some(term) = counts.iter().find(|term| !term.holds(report)) {
            return Judgement::Broken(term.miss(report));
        }
        match times.iter().find(|term| !term.holds(report)) {
            Some(term) => Judgement::TooSlow(term.miss(report)),
            None => Judgement::Met,
        }
    }

    /// Whether a term counts from the intended time, which a closed loop does not have.
    pub fn needs_open_loop(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.figure, Figure::Time(Times::Intended, _)))
    }

    pub fn needs_pings(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.figure, Figure::Time(Times::Ping, _)))
    }

    /// A figure of a run, by its name in objectives; times in nanoseconds.
    pub fn value(name: &str, report: &Report) -> Option<f64> {
        parse_figure(name).ok()?.of(report)
    }

    /// The times that it bounds, in nanoseconds, by name: `p99`, `spread.p90`.
    pub fn times(&self) -> Vec<(String, f64)> {
        let times = self.terms.iter().filter(|term| matches!(term.figure, Figure::Time(..)));
        times.map(|term| (term.figure.to_string(), term.bound)).collect()
    }
}

/// What makes a run none that any objective could be met by: not all of what was to be measured took place.
fn problem(report: &Report) -> Option<String> {
    let (connect, delivery) = (&report.connect, &report.delivery);
    let missing = u64::from(connect.wanted.saturating_sub(connect.connected));
    let problems = [
        (missing, "connection", "not made"),
        (connect.ping.map_or(0, |ping| ping.sent.saturating_sub(ping.answered)), "ping", "not answered"),
        (delivery.disconnected, "connection", "ended early"),
        (delivery.refused, "message", "refused"),
        (delivery.unsent, "message", "not taken in time"),
        (delivery.unanswered, "message", "not answered"),
        (delivery.duplicated, "delivery", "doubled"),
        (delivery.reordered, "delivery", "out of order"),
        (delivery.unexpected, "message", "unexpected"),
    ];
    let first = problems.iter().find(|(count, ..)| *count > 0).map(|(count, noun, what)| match *count {
        1 => format!("1 {noun} {what}"),
        count => format!("{} {}s {what}", thousands(count), noun.replace("delivery", "deliverie")),
    });
    // What is told apart in the report, in the words of its verdict.
    let apart = || {
        let (churn, slow) = (report.churn.as_ref(), report.slow.as_ref());
        apart_problems(churn, slow, report.reconnect.as_ref()).into_iter().next()
    };
    first
        .or_else(apart)
        .or_else(|| (delivery.expected == 0).then(|| "no delivery was to be expected".to_owned()))
}

impl Term {
    fn holds(&self, report: &Report) -> bool {
        self.figure.of(report).is_some_and(|value| match self.comparison {
            Comparison::Below => value < self.bound,
            Comparison::AtMost => value <= self.bound,
            Comparison::Equal => value == self.bound,
            Comparison::AtLeast => value >= self.bound,
            Comparison::Above => value > self.bound,
        })
    }

    /// Says how far it was missed.
    fn miss(&self, report: &Report) -> String {
        let name = self.figure;
        match (name, name.of(report)) {
            (_, None) => format!("{name} was not measured"),
            (Figure::Time(..), Some(ns)) => format!("{name} was {}", time(ns as u64)),
            (Figure::Loss, Some(_)) => {
                let [lost, expected] = [lost(report), report.delivery.expected].map(thousands);
                format!("{lost} of {expected} deliveries lost")
            }
            (Figure::Delivery, Some(share)) => format!("delivery was {:.4} %", share * 100.0),
        }
    }
}

/// Whether the server said so or not.
fn lost(report: &Report) -> u64 {
    report.delivery.lost + report.delivery.announced_missed
}

impl Figure {
    /// Its value in a run, if that has one.
    fn of(&self, report: &Report) -> Option<f64> {
        match self {
            Self::Time(times, percentile) => {
                let histogram = times.of(report)?.decode().ok().filter(|histogram| !histogram.is_empty())?;
                Some(histogram.value_at_quantile(percentile / 100.0) as f64)
            }
            Self::Loss => Some(ratio(lost(report) as f64, report.delivery.expected as f64)),
            Self::Delivery => Some(report.delivery.ratio),
        }
    }
}

impl Times {
    const ALL: [Self; 5] = [Self::Intended, Self::Sent, Self::Spread, Self::Handshake, Self::Ping];

    fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Sent => "sent",
            Self::Spread => "spread",
            Self::Handshake => "handshake",
            Self::Ping => "ping",
        }
    }

    fn of(self, report: &Report) -> Option<&EncodedHistogram> {
        let histograms = &report.histograms;
        match self {
            Self::Intended => histograms.from_intended.as_ref(),
            Self::Sent => Some(&histograms.from_sent),
            Self::Spread => Some(&histograms.spread),
            Self::Handshake => Some(&histograms.handshake),
            Self::Ping => histograms.ping.as_ref(),
        }
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let terms = text.split(',').map(|term| parse_term(term.trim())).collect::<Result<_, _>>()?;
        Ok(Self { terms, text: text.to_owned() })
    }
}

fn parse_term(text: &str) -> Result<Term, String> {
    // The longer signs first: each begins with a shorter one.
    let signs = [
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Below),
        (">", Comparison::Above),
        ("=", Comparison::Equal),
    ];
    let (name, bound, comparison) = signs
        .iter()
        .find_map(|(sign, comparison)| {
            let (name, bound) = text.split_once(sign)?;
            Some((name.trim(), bound.trim(), *comparison))
        })
        .ok_or_else(|| {
            format!("'{text}' compares nothing: write p99<50ms, spread.p90<=5ms, loss=0 or delivery>=99.9%")
        })?;
    let figure = parse_figure(name)?;
    let is_upper = matches!(comparison, Comparison::Below | Comparison::AtMost);
    let is_lower = matches!(comparison, Comparison::Above | Comparison::AtLeast);
    let (bound, is_sensible, example) = match figure {
        Figure::Time(..) => (parse_duration(bound)?.as_nanos() as f64, is_upper, "p99<50ms"),
        Figure::Loss => (parse_share(bound)?, !is_lower, "loss=0 or loss<0.1%"),
        Figure::Delivery => (parse_share(bound)?, !is_upper, "delivery>=99.9%"),
    };
    if is_sensible {
        Ok(Term { figure, comparison, bound })
    } else {
        Err(format!("'{text}' asks for the wrong side: write {example}"))
    }
}

fn parse_figure(name: &str) -> Result<Figure, String> {
    match name {
        "loss" => return Ok(Figure::Loss),
        "delivery" => return Ok(Figure::Delivery),
        _ => {}
    }
    let refuse = || {
        format!(
            "'{name}' is no figure: there are p50, p99.9, max and so on, alone (from the intended time) or behind sent., \
             spread., handshake. or ping., and loss and delivery"
        )
    };
    // The dot of p99.9 stands behind no name.
    let named = Times::ALL.into_iter().find_map(|times| {
        let rest = name.strip_prefix(times.name())?.strip_prefix('.')?;
        Some((times, rest))
    });
    let (times, percentile) = named.unwrap_or((Times::Intended, name));
    let percentile = match percentile {
        "max" => 100.0,
        _ => percentile.strip_prefix('p').and_then(|number| number.parse().ok()).ok_or_else(refuse)?,
    };
    if (0.0..=100.0).contains(&percentile) { Ok(Figure::Time(times, percentile)) } else { Err(refuse()) }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss => f.write_str("loss"),
            Self::Delivery => f.write_str("delivery"),
            Self::Time(times, percentile) => {
                if *times != Times::Intended {
                    write!(f, "{}.", times.name())?;
                }
                if *percentile == 100.0 { f.write_str("max") } else { write!(f, "p{percentile}") }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::Recorder;
    use crate::report::{Connect, Delivery, Percentiles, sample};

    /// A run whose latencies were these, in milliseconds.
    pub(crate) fn a_run(latencies_ms: &[u64]) -> Report {
        let mut recorder = Recorder::default();
        latencies_ms.iter().for_each(|ms| recorder.record(ms * 1_000_000));
        let encoded = EncodedHistogram::of(recorder.histogram());
        let mut report = sample::report();
        report.latency.from_intended = Some(Percentiles::of(&mut recorder));
        report.histograms.from_intended = Some(encoded.clone());
        report.histograms.from_sent = encoded;
        report.histograms.spread = EncodedHistogram::default();
        report.connect = Connect { wanted: 1_001, connected: 1_001, failed: 0, ..report.connect };
        report.delivery =
            Delivery { published: 100, expected: 1_000, received: 1_000, ratio: 1.0, ..Delivery::default() };
        report
    }

    pub(crate) fn lossy(lost: u64) -> Report {
        let mut report = a_run(&[1]);
        report.delivery.lost = lost;
        report.delivery.ratio = (1_000 - lost) as f64 / 1_000.0;
        report
    }

    fn judge(objective: &str, report: &Report) -> Judgement {
        objective.parse::<Objective>().expect("an objective").judge(report)
    }

    fn slow(why: &str) -> Judgement {
        Judgement::TooSlow(why.to_owned())
    }

    fn broken(why: &str) -> Judgement {
        Judgement::Broken(why.to_owned())
    }

    #[test]
    fn percentiles_are_taken_from_the_histogram() {
        let run = a_run(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 40]);
        assert_eq!(judge("p90<10ms", &run), Judgement::Met);
        assert_eq!(judge("p90<10ms,p91<10ms", &run), slow("p91 was 40.0 ms"));
        assert_eq!(judge("max<40ms", &run), slow("max was 40.0 ms"));
        assert_eq!(judge("max<41ms", &run), Judgement::Met);
        assert_eq!(judge("sent.p50<3ms", &run), slow("sent.p50 was 5.00 ms"));
        assert_eq!(judge("spread.p99<1s", &run), slow("spread.p99 was not measured"));
    }

    #[test]
    fn nothing_may_be_lost_unless_the_objective_allows_it() {
        assert_eq!(judge("p99<1s", &lossy(1)), broken("1 of 1,000 deliveries lost"));
        assert_eq!(judge("loss=0", &lossy(0)), Judgement::Met);
        assert_eq!(judge("loss<1%", &lossy(9)), Judgement::Met);
        assert_eq!(judge("p99<1us,loss<1%", &lossy(10)), broken("10 of 1,000 deliveries lost"));
        assert_eq!(judge("delivery>=99.9%", &lossy(1)), Judgement::Met);
        assert_eq!(judge("delivery>=99.9%", &lossy(2)), broken("delivery was 99.8000 %"));
        assert_eq!(judge("delivery=100%", &lossy(0)), Judgement::Met);
        let mut announced = lossy(0);
        announced.delivery.announced_missed = 3;
        assert_eq!(judge("p99<1s", &announced), broken("3 of 1,000 deliveries lost"));
    }

    #[test]
    fn a_run_that_did_not_take_place_meets_nothing() {
        let with = |change: fn(&mut Report)| {
            let mut report = a_run(&[1]);
            change(&mut report);
            judge("p99<1h", &report)
        };
        assert_eq!(with(|r| r.connect.connected = 999), broken("2 connections not made"));
        assert_eq!(with(|r| r.delivery.unsent = 7), broken("7 messages not taken in time"));
        assert_eq!(with(|r| r.delivery.disconnected = 1), broken("1 connection ended early"));
        assert_eq!(with(|r| r.delivery.refused = 2), broken("2 messages refused"));
        assert_eq!(with(|r| r.delivery.unanswered = 2), broken("2 messages not answered"));
        assert_eq!(with(|r| r.delivery.duplicated = 2), broken("2 deliveries doubled"));
        assert_eq!(with(|r| r.delivery.reordered = 2), broken("2 deliveries out of order"));
        assert_eq!(with(|r| r.delivery.unexpected = 2), broken("2 messages unexpected"));
        assert_eq!(with(|r| r.delivery.expected = 0), broken("no delivery was to be expected"));
    }

    #[test]
    fn objectives_are_shown_as_given() {
        let objective: Objective = "p99.9 < 50ms, handshake.p50<=1s,loss=0".parse().expect("an objective");
        assert_eq!(objective.to_string(), "p99.9 < 50ms, handshake.p50<=1s,loss=0");
        let times = [("p99.9".to_owned(), 50_000_000.0), ("handshake.p50".to_owned(), 1_000_000_000.0)];
        assert_eq!(objective.times(), times);
        assert!(objective.needs_open_loop());
        let closed: Objective = "sent.p99<1s,loss=0".parse().expect("an objective");
        assert!(!closed.needs_open_loop());
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| text.parse::<Objective>().unwrap_err();
        assert_eq!(
            error("p99"),
            "'p99' compares nothing: write p99<50ms, spread.p90<=5ms, loss=0 or delivery>=99.9%"
        );
        assert_eq!(error("p99>50ms"), "'p99>50ms' asks for the wrong side: write p99<50ms");
        assert_eq!(error("p99=50ms"), "'p99=50ms' asks for the wrong side: write p99<50ms");
        assert_eq!(error("loss>1%"), "'loss>1%' asks for the wrong side: write loss=0 or loss<0.1%");
        assert_eq!(error("delivery<1%"), "'delivery<1%' asks for the wrong side: write delivery>=99.9%");
        assert!(error("p99<50x").starts_with("'50x' is not a duration"));
        for text in ["", "q99<1s", "p101<1s", "round.p99<1s", "loss=x", "p99<1s,", "spread<1s", "p99<"] {
            assert!(text.parse::<Objective>().is_err(), "{text}");
        }
    }
}
