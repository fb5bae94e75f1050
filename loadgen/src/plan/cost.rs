//! What the server's cores spend their time on: a cost for each thing they do, fitted to measured runs.
//!
//! ```text
//! busy seconds = send x sends + far x sends x (1 - near / connections of a core) + byte x bytes sent
//!              + pass x passes + message x messages published + relay x messages relayed between shards
//!              + compression x bytes compressed + rest x core-seconds
//! ```
//!
//! A send, not a delivery, is what costs: nearly the same for one message as for all that were published while the last one
//! was out, which go together in one pass over the subscribers. So deliveries get cheaper as load grows, and so do messages, of
//! which many are taken in with one receive; the model takes that from the number of sends.
//! Where a core has more connections than its cache has room for, each send finds its socket's state in memory; `near` is
//! the number of connections up to which that does not show.

use std::fmt;

use serde::Serialize;

use super::least_squares::{new_part, non_negative, residuals};
use super::observation::Observation;

/// Numbers of connections tried for `near`.
const NEAR: [f64; 5] = [1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0];
/// With so many times the near connections most sends are far: without such a run nobody knows what they cost.
const FAR_TIMES: f64 = 4.0;
/// A cost is told apart from others if this part of its column is its own: with less, errors of a few per cent in the
/// runs would become errors of half the cost.
const LEAST_NEW_PART: f64 = 0.1;
/// A misfit, in squares of what is to be expected of a run, may be larger by so much.
const BY_CHANCE: f64 = 1.0;
/// Runs that do the same differ by so much.
const RUN_NOISE: f64 = 0.05;
/// The kernel counts busy time in ticks, and sees at each only who runs then.
const TICK_SECONDS: f64 = 0.01;
/// With so many, chance is some 14 % at most.
const ENOUGH_TICKS: f64 = 50.0;
/// A run further off than this, in times of what is to be expected, counts less the further it is: something disturbed it.
const EXPECTED: f64 = 1.5;
/// Fits at most, each with the weights that follow from the one before.
const REFITS: usize = 8;

/// How much there is of what costs, in a window or a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantities {
    pub core_seconds: f64,
    pub connections_per_core: f64,
    pub sends: f64,
    pub bytes: f64,
    pub messages: f64,
    /// Times that something was taken in and passed on: messages, unless several go together.
    pub passes: f64,
    pub relays: f64,
    pub compressed_bytes: f64,
}

/// One thing that costs, in the order in which runs are asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    Send,
    Pass,
    FarSend,
    Byte,
    Relay,
    Compression,
    Message,
    Rest,
}

/// What the runs say about one cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    pub term: Term,
    /// Busy seconds of one; zero when unknown.
    pub seconds: f64,
    pub known: Known,
}

/// How a cost is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// Fitted.
    Yes,
    /// No run had any of it.
    NotRun,
    /// In all runs it went with the others, whose costs have it in them.
    NotToldApart,
}

/// A cost for each term, and the runs that they are from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostModel {
    pub costs: Vec<Cost>,
    /// Connections of a core up to which a send is near.
    pub near: f64,
    /// Busy time of a connection from its opening until it is subscribed.
    pub connect: ConnectCost,
    /// Each run beside what the model says about it.
    pub runs: Vec<Fit>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ConnectCost {
    pub seconds: f64,
    /// Connections that it is from.
    pub connects: f64,
    /// Least and most among runs with enough of them.
    pub least_seconds: f64,
    pub most_seconds: f64,
}

/// A cost and the run that says most about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Witness {
    pub term: Term,
    pub run: String,
    /// Part of the run's busy time.
    pub part: f64,
}

/// A run that was fitted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    pub run: String,
    pub measured_seconds: f64,
    pub fitted_seconds: f64,
    /// What a model of the other runs says about this one.
    pub left_out_seconds: Option<f64>,
}

impl Fit {
    /// fitted / measured - 1.
    pub fn error(&self) -> f64 {
        self.fitted_seconds / self.measured_seconds - 1.0
    }

    /// Busy for so long that the kernel's ticks say how long.
    pub fn is_telling(&self) -> bool {
        self.measured_seconds >= ENOUGH_TICKS * TICK_SECONDS
    }
}

impl Term {
    pub const ALL: [Self; 8] = [
        Self::Send,
        Self::Pass,
        Self::FarSend,
        Self::Byte,
        Self::Relay,
        Self::Compression,
        Self::Message,
        Self::Rest,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::FarSend => "far",
            Self::Byte => "byte",
            Self::Pass => "pass",
            Self::Message => "message",
            Self::Relay => "relay",
            Self::Compression => "compression",
            Self::Rest => "rest",
        }
    }

    /// What it is a cost of.
    pub const fn of(self) -> &'static str {
        match self {
            Self::Send => "a send to a subscriber",
            Self::FarSend => "what a send costs more when a core has many connections",
            Self::Byte => "a byte sent",
            Self::Pass => "taking in what was published together, and beginning to send it",
            Self::Message => "each message of it",
            Self::Relay => "a message relayed to another shard",
            Self::Compression => "a byte compressed",
            Self::Rest => "a core's second with whatever else runs there",
        }
    }

    /// Options of a run that tells it from the others. Rates are out of step with the kernel's ticks, 100 a second, which would
    /// otherwise see all of the work or none.
    pub const fn run_options(self) -> &'static str {
        match self {
            Self::Send => "--subscribers 1000 --rate 97.3",
            Self::Pass => "--subscribers 10 --rate 6007",
            Self::Message => "--subscribers 4 --in-flight 256",
            Self::FarSend => {
                "--subscribers 20000 --rate 7.3 --source 127.0.0.1 --source 127.0.0.2 --source 127.0.0.3"
            }
            Self::Byte => "--subscribers 1000 --rate 47.3 --size 16KiB",
            Self::Relay => "--subscribers 64 --publishers 8 --rate 403",
            Self::Compression => "--subscribers 10 --rate 403 --size 4KiB --deflate",
            Self::Rest => "--subscribers 10 --rate 1.3",
        }
    }

    /// What the server must be started with for that run.
    pub const fn server_options(self) -> Option<&'static str> {
        match self {
            Self::Relay => Some("--shards 2"),
            _ => None,
        }
    }

    fn amount(self, quantities: &Quantities, near: f64) -> f64 {
        match self {
            Self::Send => quantities.sends,
            Self::FarSend => quantities.sends * far_part(quantities.connections_per_core, near),
            Self::Byte => quantities.bytes,
            Self::Pass => quantities.passes,
            Self::Message => quantities.messages,
            Self::Relay => quantities.relays,
            Self::Compression => quantities.compressed_bytes,
            Self::Rest => quantities.core_seconds,
        }
    }
}

/// Part of a core's connections for which there is no room near it.
fn far_part(connections: f64, near: f64) -> f64 {
    if connections > near { 1.0 - near / connections } else { 0.0 }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl CostModel {
    /// Fits the costs to runs, and asks of each run what the others say about it.
    pub fn fit(runs: &[Observation]) -> Self {
        let mut model = Self::of(runs);
        for (index, run) in runs.iter().enumerate() {
            let others: Vec<Observation> = [&runs[..index], &runs[index + 1..]].concat();
            let quantities = run.quantities();
            let of_others = Self::of(&others);
            // What only this run has, others say nothing about.
            let is_known = model.costs.iter().zip(&of_others.costs).all(|(all, others)| {
                all.known == others.known || all.term.amount(&quantities, model.near) == 0.0
            });
            model.runs.push(Fit {
                run: run.run.clone(),
                measured_seconds: run.busy_seconds,
                fitted_seconds: model.busy(&quantities),
                left_out_seconds: is_known.then(|| of_others.busy(&quantities)),
            });
        }
        model
    }

    fn of(runs: &[Observation]) -> Self {
        let most = runs.iter().map(|run| run.quantities().connections_per_core).fold(0.0, f64::max);
        let tried = NEAR.into_iter().filter(|near| *near == NEAR[0] || most >= FAR_TIMES * near);
        let fits: Vec<_> = tried.map(|near| (near, fit_at(runs, near))).collect();
        // The smallest of those that fit as well: beyond the runs it has sends get least dearer.
        let least = fits.iter().map(|(_, fit)| fit.misfit).fold(f64::INFINITY, f64::min);
        let best = fits.into_iter().find(|(_, fit)| fit.misfit <= least + BY_CHANCE);
        let (near, Fitted { costs, .. }) = best.expect("one of them is the best");
        Self { costs, near, connect: ConnectCost::of(runs), runs: Vec::new() }
    }

    /// Busy seconds that quantities cost.
    pub fn busy(&self, quantities: &Quantities) -> f64 {
        self.parts(quantities).map(|(_, seconds)| seconds).sum()
    }

    /// The same, term by term.
    pub fn parts(&self, quantities: &Quantities) -> impl Iterator<Item = (Term, f64)> {
        let near = self.near;
        let quantities = *quantities;
        self.costs.iter().map(move |cost| (cost.term, cost.seconds * cost.term.amount(&quantities, near)))
    }

    /// How much of a term there is in quantities.
    pub fn amount(&self, term: Term, quantities: &Quantities) -> f64 {
        term.amount(quantities, self.near)
    }

    pub fn cost(&self, term: Term) -> Cost {
        *self.costs.iter().find(|cost| cost.term == term).expect("every term has a cost")
    }

    /// The run that says most about each cost: the one with the largest part of its time in it, and that part.
    pub(super) fn witnesses(&self, runs: &[Observation]) -> Vec<Witness> {
        let part_of = |term: Term, run: &Observation| {
            let quantities = run.quantities();
            let seconds = self.parts(&quantities).find(|part| part.0 == term).map_or(0.0, |part| part.1);
            seconds / self.busy(&quantities).max(f64::MIN_POSITIVE)
        };
        let witness = |cost: &Cost| {
            let parts = runs.iter().map(|run| (part_of(cost.term, run), &run.run));
            let (part, run) = parts.max_by(|a, b| a.0.total_cmp(&b.0))?;
            (part > 0.0).then(|| Witness { term: cost.term, run: run.clone(), part })
        };
        self.costs.iter().filter_map(witness).collect()
    }

    /// Terms that quantities have some of, and whose cost is not known.
    pub fn unknown_of(&self, quantities: &Quantities) -> Vec<Cost> {
        let has = |cost: &&Cost| cost.known != Known::Yes && cost.term.amount(quantities, self.near) > 0.0;
        self.costs.iter().filter(has).copied().collect()
    }

    /// The largest error of a run that was fitted, as a part of what was measured; runs of a few ticks do not count.
    pub fn largest_error(&self) -> f64 {
        self.runs.iter().filter(|fit| fit.is_telling()).map(|fit| fit.error().abs()).fold(0.0, f64::max)
    }
}

/// Costs, and the sum of squares that they leave.
struct Fitted {
    costs: Vec<Cost>,
    misfit: f64,
}

/// Fits the terms that are told apart. One that comes out as nothing makes room for others: it may have been taken up for what is
/// theirs, and have the wrong sign for it.
fn fit_at(runs: &[Observation], near: f64) -> Fitted {
    let mut order = Term::ALL.to_vec();
    let mut best = fit_in_order(runs, near, &order);
    for _ in Term::ALL {
        let is_nothing = |cost: &Cost| cost.known == Known::Yes && cost.seconds == 0.0;
        let nothing: Vec<Term> =
            best.costs.iter().filter(|cost| is_nothing(cost)).map(|cost| cost.term).collect();
        order.retain(|term| !nothing.contains(term));
        order.extend(nothing);
        let other = fit_in_order(runs, near, &order);
        if other.misfit >= best.misfit {
            break;
        }
        best = other;
    }
    best.costs.sort_by_key(|cost| cost.term);
    best
}

/// Each run counts by how sure it is; one that others contradict counts less and less (Huber's weights), for a disturbed run is off by
/// much, and squares would follow it.
fn fit_in_order(runs: &[Observation], near: f64, order: &[Term]) -> Fitted {
    let measured: Vec<f64> = runs.iter().map(|run| run.busy_seconds).collect();
    let mut weights: Vec<f64> = measured.iter().map(|&busy| 1.0 / uncertainty(busy)).collect();
    let (mut costs, columns) = told_apart(runs, &weights, near, order);
    let mut fitted = Vec::new();
    let mut misfit = 0.0;
    for _ in 0..REFITS {
        let weigh =
            |values: &[f64]| values.iter().zip(&weights).map(|(value, weight)| value * weight).collect();
        let weighed: Vec<Vec<f64>> = columns.iter().map(|column| weigh(column)).collect();
        fitted = non_negative(&weighed, &weigh(&measured));
        let left = residuals(&columns, &fitted, &measured);
        let weighed_anew = left.iter().zip(&measured).map(|(left, &measured)| {
            // A run that saw next to nothing is not sure of that.
            let uncertainty = uncertainty(measured.max(measured - left));
            (EXPECTED / (left / uncertainty).abs().max(EXPECTED)).sqrt() / uncertainty
        });
        let before = std::mem::replace(&mut weights, weighed_anew.collect());
        misfit = left.iter().zip(&weights).map(|(left, weight)| (left * weight).powi(2)).sum();
        if weights.iter().zip(&before).all(|(weight, before)| (weight / before - 1.0).abs() < 1e-6) {
            break;
        }
    }
    let known = costs.iter_mut().filter(|cost| cost.known == Known::Yes);
    known.zip(&fitted).for_each(|(cost, seconds)| cost.seconds = *seconds);
    Fitted { costs, misfit }
}

/// Takes up term after term as long as each is told apart from those before it, in runs that count by their weights: those that are,
/// with their columns.
fn told_apart(
    runs: &[Observation],
    weights: &[f64],
    near: f64,
    order: &[Term],
) -> (Vec<Cost>, Vec<Vec<f64>>) {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    let mut weighed: Vec<Vec<f64>> = Vec::new();
    let mut costs: Vec<Cost> =
        order.iter().map(|&term| Cost { term, seconds: 0.0, known: Known::NotRun }).collect();
    for cost in &mut costs {
        let column: Vec<f64> = runs.iter().map(|run| cost.term.amount(&run.quantities(), near)).collect();
        let is_run = cost.term != Term::FarSend
            || runs.iter().any(|run| run.quantities().connections_per_core >= FAR_TIMES * near);
        if !is_run || column.iter().all(|amount| *amount == 0.0) {
            continue;
        }
        let counted: Vec<f64> = column.iter().zip(weights).map(|(amount, weight)| amount * weight).collect();
        let others: Vec<&[f64]> = weighed.iter().map(Vec::as_slice).collect();
        let is_new = columns.len() < runs.len() && new_part(&others, &counted) >= LEAST_NEW_PART;
        cost.known = if is_new { Known::Yes } else { Known::NotToldApart };
        if is_new {
            columns.push(column);
            weighed.push(counted);
        }
    }
    (costs, columns)
}

/// By how much a run's busy time may be off.
fn uncertainty(busy_seconds: f64) -> f64 {
    let noise = RUN_NOISE * busy_seconds;
    (noise * noise + TICK_SECONDS * busy_seconds + TICK_SECONDS * TICK_SECONDS).sqrt()
}

impl ConnectCost {
    /// Fewer connections take less time than the ticks can tell.
    const ENOUGH: f64 = 10_000.0;

    fn of(runs: &[Observation]) -> Self {
        let connects: f64 = runs.iter().map(|run| run.connects).sum();
        let busy: f64 = runs.iter().map(|run| run.connect_busy_seconds).sum();
        let seconds = if connects > 0.0 { busy / connects } else { 0.0 };
        let each = runs
            .iter()
            .filter(|run| run.connects >= Self::ENOUGH)
            .map(|run| run.connect_busy_seconds / run.connects);
        let (least, most) = each
            .fold((seconds, seconds), |(least, most): (f64, f64), each| (least.min(each), most.max(each)));
        Self { seconds, connects, least_seconds: least, most_seconds: most }
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{Costs, Work, run};
    use super::*;

    const COSTS: Costs = Costs {
        send: 2.7e-6,
        far: 1.1e-6,
        near: 1_000.0,
        byte: 0.1e-9,
        pass: 8e-6,
        message: 0.5e-6,
        relay: 6e-6,
        compression: 0.0,
        rest: 0.004,
    };

    /// Sizes, rates and shapes that tell all costs apart but that of compression.
    fn varied() -> Vec<Observation> {
        let works = [
            Work { subscribers: 100.0, rate: 1_003.0, ..Work::default() },
            Work { subscribers: 1_000.0, rate: 97.3, ..Work::default() },
            Work { subscribers: 1_000.0, rate: 203.0, ..Work::default() },
            Work { subscribers: 10.0, rate: 6_007.0, ..Work::default() },
            Work { subscribers: 1_000.0, rate: 47.3, size: 16_384.0, ..Work::default() },
            Work { subscribers: 5_000.0, rate: 29.3, ..Work::default() },
            Work { subscribers: 10.0, rate: 1.3, ..Work::default() },
            Work { subscribers: 64.0, rate: 3_209.0, shards: 2.0, relays_each: 1.0, ..Work::default() },
            Work { subscribers: 1_000.0, rate: 2_003.0, messages_per_send: 7.3, ..Work::default() },
            Work { subscribers: 10.0, rate: 300_007.0, messages_per_send: 64.0, ..Work::default() },
            Work { subscribers: 12_000.0, rate: 13.3, ..Work::default() },
        ];
        works.iter().enumerate().map(|(index, work)| run(&format!("{index}.json"), work, &COSTS)).collect()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found / expected - 1.0).abs() < 1e-6
    }

    #[test]
    fn costs_that_runs_were_made_from_come_back() {
        let model = CostModel::fit(&varied());
        assert_eq!(model.near, 1_000.0);
        for (term, expected) in [
            (Term::Send, 2.7e-6),
            (Term::FarSend, 1.1e-6),
            (Term::Byte, 0.1e-9),
            (Term::Pass, 8e-6),
            (Term::Message, 0.5e-6),
            (Term::Relay, 6e-6),
            (Term::Rest, 0.004),
        ] {
            let cost = model.cost(term);
            assert_eq!(cost.known, Known::Yes, "{term}");
            assert!(close(cost.seconds, expected), "{term}: {}", cost.seconds);
        }
        assert_eq!(model.cost(Term::Compression).known, Known::NotRun);
        assert!(model.largest_error() < 1e-6);
        assert!(close(model.connect.seconds, 10e-6));
        let witnesses = model.witnesses(&varied());
        let pass = witnesses.iter().find(|witness| witness.term == Term::Pass).expect("a witness");
        assert_eq!(pass.run, "3.json", "6,007 messages/s to ten subscribers");
        // 48 ms a second for passes, 3 for messages, 162 for sends, 0.4 for bytes, 4 for the rest.
        assert!((pass.part - 0.221).abs() < 0.001, "{}", pass.part);
        let larger = run("larger", &Work { subscribers: 19_000.0, rate: 7.3, ..Work::default() }, &COSTS);
        assert!(close(model.busy(&larger.quantities()), larger.busy_seconds));
    }

    #[test]
    fn each_run_is_asked_what_the_others_say() {
        let runs = varied();
        let model = CostModel::fit(&runs);
        let left_out: Vec<bool> = model
            .runs
            .iter()
            .map(|fit| fit.left_out_seconds.is_some_and(|seconds| close(seconds, fit.measured_seconds)))
            .collect();
        // Only one run has relays, and only one many messages for few: nobody else knows their costs.
        assert_eq!(left_out, [true, true, true, true, true, true, true, false, true, false, true]);
        assert_eq!(model.runs[7].left_out_seconds, None);
    }

    #[test]
    fn what_always_goes_together_is_not_told_apart() {
        let works = [50.0, 97.3, 203.0].map(|rate| Work { subscribers: 1_000.0, rate, ..Work::default() });
        let model = CostModel::fit(&works.map(|work| run("a.json", &work, &COSTS)));
        let known = |term| model.cost(term).known;
        assert_eq!(known(Term::Send), Known::Yes);
        assert_eq!(known(Term::Pass), Known::NotToldApart, "each message went to 1,000");
        assert_eq!(known(Term::Byte), Known::NotToldApart, "each send had 66 bytes");
        assert_eq!(known(Term::FarSend), Known::NotRun, "a core never had more than 1,000 connections");
        assert_eq!(known(Term::Relay), Known::NotRun);
        // The send has them in it, so such runs are predicted all the same.
        let like = run("b", &Work { subscribers: 1_000.0, rate: 150.0, ..Work::default() }, &COSTS);
        assert!((model.busy(&like.quantities()) / like.busy_seconds - 1.0).abs() < 0.01);
        let wanted = Quantities { sends: 1.0, messages: 1.0, relays: 1.0, ..Quantities::default() };
        let unknown: Vec<Term> = model.unknown_of(&wanted).iter().map(|cost| cost.term).collect();
        assert_eq!(unknown, [Term::Relay, Term::Message]);
    }

    #[test]
    fn a_term_that_has_the_wrong_sign_makes_room_for_the_right_one() {
        // With two sizes only, passes might explain what far sends cost, if they cost less than nothing.
        let sizes = [(1_000.0, 97.3), (1_000.0, 203.0), (10_000.0, 13.3), (10_000.0, 9.3)];
        let runs = sizes.map(|(subscribers, rate)| {
            let work = Work { subscribers, rate, ..Work::default() };
            run("a.json", &work, &Costs { pass: 0.0, message: 0.0, ..COSTS })
        });
        let model = CostModel::fit(&runs);
        assert_eq!(model.cost(Term::FarSend).known, Known::Yes, "{model:?}");
        let larger = run("b", &Work { subscribers: 19_000.0, rate: 7.3, ..Work::default() }, &COSTS);
        assert!((model.busy(&larger.quantities()) / larger.busy_seconds - 1.0).abs() < 0.02, "{model:?}");
    }

    #[test]
    fn there_are_never_more_costs_than_runs() {
        let runs = varied();
        for count in 1..=3 {
            let model = CostModel::fit(&runs[..count]);
            let fitted = model.costs.iter().filter(|cost| cost.known == Known::Yes).count();
            assert!(fitted <= count, "{fitted} of {count}");
        }
    }

    #[test]
    fn coalesced_messages_share_a_send() {
        let model = CostModel::fit(&varied());
        let second = |messages_per_send: f64| Quantities {
            core_seconds: 1.0,
            connections_per_core: 1_000.0,
            sends: 1e6 / messages_per_send,
            bytes: 66e6,
            ..Quantities::default()
        };
        let (alone, together) = (model.busy(&second(1.0)), model.busy(&second(16.0)));
        assert!(close(alone, 2.7 + 0.0066 + 0.004), "{alone}");
        assert!(close(together, 2.7 / 16.0 + 0.0066 + 0.004), "{together}");
    }

    #[test]
    fn a_run_that_was_disturbed_does_not_spoil_the_others() {
        let mut runs = varied();
        runs.push(Observation { busy_seconds: 0.1, ..runs[1].clone() });
        runs.push(Observation { busy_seconds: 9.9, ..runs[0].clone() });
        runs.extend([runs[0].clone(), runs[1].clone()]);
        let model = CostModel::fit(&runs);
        let send = model.cost(Term::Send).seconds;
        assert!((send / 2.7e-6 - 1.0).abs() < 0.1, "{send}");
    }

    #[test]
    fn noise_of_a_few_per_cent_stays_noise_of_a_few_per_cent() {
        let mut runs = varied();
        for (run, factor) in
            runs.iter_mut().zip([1.04, 0.97, 1.02, 0.96, 1.03, 1.0, 0.98, 1.03, 0.97, 1.02, 0.96])
        {
            run.busy_seconds *= factor;
        }
        let model = CostModel::fit(&runs);
        let larger = run("larger", &Work { subscribers: 12_000.0, rate: 15.3, ..Work::default() }, &COSTS);
        let error = model.busy(&larger.quantities()) / larger.busy_seconds - 1.0;
        assert!(error.abs() < 0.15, "{error}");
    }
}
