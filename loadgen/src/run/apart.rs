//! From what the workers noted of churning, slow and returning subscribers to their parts of the report.

use std::collections::HashSet;
use std::ops::Range;

use crate::check::{count_accepted, overlap};
use crate::control::Timing;
use crate::failure::Reasons;
use crate::groups::Group;
use crate::measure::{Measure, Recorder};
use crate::report::{Churn, Percentiles, Reason, Reconnect, Slow, Storm, ratio};
use crate::run::summary::Silence;
use crate::scenario::{Load, Scenario};
use crate::worker::{Outcome, PublisherOutcome};

/// Storms that a report tells of.
const MOST_STORMS: usize = 16;
const SECOND_NS: u64 = 1_000_000_000;

/// The parts of the report that not every run has.
#[derive(Debug, Default)]
pub(super) struct Apart {
    pub(super) churn: Option<Churn>,
    pub(super) slow: Option<Slow>,
    pub(super) reconnect: Option<Reconnect>,
}

impl Apart {
    /// `publishers` are in the order of their index; `silence` is that of the steady subscribers.
    pub(super) fn of(
        scenario: &Scenario,
        timing: &Timing,
        outcomes: &mut [Outcome],
        publishers: &[PublisherOutcome],
        silence: &Silence,
        lost: &[Vec<Range<u32>>],
    ) -> Self {
        let churn = scenario.churn.map(|rate| {
            let silence = Silence::of(scenario, outcomes, publishers, Group::Churning, lost);
            let all = churn(scenario, timing, outcomes, &silence);
            Churn { rate_milli: rate.per_thousand_seconds(), ..all }
        });
        let has_slow = scenario.groups.slow > 0;
        let slow = has_slow.then(|| slow(scenario, timing, outcomes, publishers));
        let reconnect = scenario.reconnect.then(|| reconnect(scenario, timing, outcomes, silence));
        Self { churn, slow, reconnect }
    }
}

/// For each publisher the measured messages that were lost with a connection of its own: the last ones before that ended, received
/// by no steady subscriber. Whether the server ever had them is not known, so they are not its loss.
pub(super) fn lost_with_publishers(
    scenario: &Scenario,
    outcomes: &[Outcome],
    publishers: &[PublisherOutcome],
) -> Vec<Vec<Range<u32>>> {
    let lost = |publisher: &PublisherOutcome| {
        let last_break = publisher.breaks.last().copied().unwrap_or(0);
        let doubtful = overlap(&publisher.measured, &(0..last_break));
        let mut nobodys = if doubtful.is_empty() { Vec::new() } else { vec![doubtful.clone()] };
        for (outcome, local, first) in subscribers(scenario, outcomes, Group::Steady) {
            if nobodys.is_empty() {
                break;
            }
            let Some(place) = place_of(scenario, first, publisher.index) else { continue };
            let mut missed = outcome.check.missing(local, place, doubtful.clone());
            missed.extend(outcome.check.missed_away(local, place, doubtful.clone()));
            missed.sort_by_key(|range| range.start);
            nobodys = intersection(&nobodys, &missed);
        }
        last_of_each(&publisher.breaks, &nobodys)
    };
    publishers.iter().map(lost).collect()
}

/// Of the ranges that nobody has, those that end where a connection did: its messages went out in order, so what is missing
/// before one that arrived was lost elsewhere.
fn last_of_each(breaks: &[u32], nobodys: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut before = 0;
    let last = breaks.iter().filter_map(|&end| {
        let of_connection = std::mem::replace(&mut before, end)..end;
        nobodys
            .iter()
            .map(|range| overlap(range, &of_connection))
            .find(|range| !range.is_empty() && range.end == end)
    });
    last.collect()
}

/// The subscribed ones of a group: outcome, number there, first topic.
pub(super) fn subscribers<'a>(
    scenario: &'a Scenario,
    outcomes: &'a [Outcome],
    group: Group,
) -> impl Iterator<Item = (&'a Outcome, usize, u32)> {
    let workers = outcomes.len();
    outcomes.iter().enumerate().flat_map(move |(worker, outcome)| {
        let own = outcome.subscribed.iter().enumerate().filter(|(_, subscribed)| **subscribed);
        own.map(move |(local, _)| (local, (local * workers + worker) as u32))
            .filter(move |(_, subscriber)| scenario.groups.of(*subscriber) == group)
            .map(move |(local, subscriber)| (outcome, local, scenario.first_topic_of(subscriber)))
    })
}

/// The check's number for a publisher, at a subscriber whose topics begin with `first`.
pub(super) fn place_of(scenario: &Scenario, first: u32, publisher: u32) -> Option<usize> {
    let topic = scenario.topic_of(publisher);
    let nth = (topic + scenario.topics - first) % scenario.topics;
    let in_topic = publisher / scenario.topics;
    (nth < scenario.topics_per_subscriber)
        .then(|| (nth * scenario.publishers_per_topic() + in_topic) as usize)
}

/// The parts of ascending ranges that lie in those of `others` too.
pub(super) fn intersection(ranges: &[Range<u32>], others: &[Range<u32>]) -> Vec<Range<u32>> {
    let pairs = ranges.iter().flat_map(|range| others.iter().map(move |other| overlap(range, other)));
    pairs.filter(|range| !range.is_empty()).collect()
}

fn churn(scenario: &Scenario, timing: &Timing, outcomes: &mut [Outcome], silence: &Silence) -> Churn {
    let mut churn = Churn {
        subscribers: subscribers(scenario, outcomes, Group::Churning).count() as u32,
        expected: silence.expected,
        lost: silence.lost,
        missed_away: silence.missed_away,
        ..Churn::default()
    };
    let (mut measure, mut handshake) = (Measure::default(), Recorder::default());
    let (mut failures, mut disconnections) = (Reasons::default(), Reasons::default());
    for (worker, outcome) in outcomes.iter_mut().enumerate() {
        if let Some(aside) = outcome.asides.churning.take() {
            measure.merge(aside.measure);
        }
        let story = std::mem::take(&mut outcome.story.churn);
        churn.left += story.left;
        churn.returned += story.returned;
        churn.nobody_left += story.nobody_left;
        churn.not_closed += story.not_closed;
        handshake.merge(story.handshake);
        failures.merge(story.failures);
        disconnections.merge(story.disconnections);
        churn.away += away(scenario, worker, outcome, Group::Churning);
    }
    let publishing_ns = timing.until_ns.saturating_sub(timing.start_ns);
    churn.left_per_second = ratio(churn.left as f64, publishing_ns as f64 / 1e9);
    churn.handshake = Percentiles::of(&mut handshake);
    churn.failures = Reason::list(&failures);
    churn.disconnected = disconnections.total();
    churn.disconnections = Reason::list(&disconnections);
    let counts = measure.counts;
    churn.received = counts.received;
    churn.announced_missed = counts.announced_missed;
    churn.duplicated = counts.duplicated;
    churn.reordered = counts.reordered;
    churn.unexpected = counts.unexpected;
    churn.latency = latency(scenario, &mut measure);
    churn
}

fn slow(
    scenario: &Scenario,
    timing: &Timing,
    outcomes: &mut [Outcome],
    publishers: &[PublisherOutcome],
) -> Slow {
    let mut slow = Slow { bytes_per_second: scenario.slow_rate, ..Slow::default() };
    let ended: Vec<HashSet<u32>> =
        outcomes.iter().map(|outcome| outcome.slow.ended.keys().copied().collect()).collect();
    let mut skipped = 0;
    for (worker, outcome) in outcomes.iter().enumerate() {
        for (_, local, first) in
            subscribers(scenario, outcomes, Group::Slow).filter(|(other, _, _)| std::ptr::eq(*other, outcome))
        {
            slow.subscribers += 1;
            let is_over = ended[worker].contains(&(local as u32));
            for publisher in publishers {
                let Some(place) = place_of(scenario, first, publisher.index) else { continue };
                slow.expected += count_accepted(&publisher.measured, &publisher.refused);
                for range in outcome.check.missing(local, place, publisher.measured.clone()) {
                    let messages = count_accepted(&range, &publisher.refused);
                    // Behind the last one there are no gaps.
                    match (range.end == publisher.measured.end, is_over) {
                        (true, true) => slow.missed_disconnected += messages,
                        (true, false) => slow.unread += messages,
                        (false, _) => skipped += messages,
                    }
                }
            }
            skipped += outcome.absences.get(&(local as u32)).map_or(0, |absence| absence.given_up);
        }
    }
    let (mut measure, mut until) = (Measure::default(), Recorder::default());
    let mut disconnections = Reasons::default();
    for outcome in outcomes {
        if let Some(aside) = outcome.asides.slow.take() {
            measure.merge(aside.measure);
        }
        let story = std::mem::take(&mut outcome.slow);
        for ended_ns in story.ended.values() {
            until.record(ended_ns.saturating_sub(timing.start_ns));
        }
        slow.disconnected += story.ended.len() as u64;
        disconnections.merge(story.disconnections);
    }
    slow.until_disconnected = Percentiles::of(&mut until);
    slow.disconnections = Reason::list(&disconnections);
    let counts = measure.counts;
    slow.received = counts.received;
    slow.announced_missed = counts.announced_missed;
    slow.skipped = skipped.saturating_sub(counts.announced_missed);
    slow.duplicated = counts.duplicated;
    slow.reordered = counts.reordered;
    slow.unexpected = counts.unexpected;
    slow.latency = latency(scenario, &mut measure);
    slow
}

fn latency(scenario: &Scenario, measure: &mut Measure) -> Percentiles {
    match scenario.load {
        Load::Open { .. } => Percentiles::of(&mut measure.from_intended),
        Load::Closed { .. } => Percentiles::of(&mut measure.from_sent),
    }
}

/// Of a group, those that a worker's subscribers were away of at the end.
fn away(scenario: &Scenario, worker: usize, outcome: &Outcome, group: Group) -> u64 {
    let own = scenario.groups.share(worker, scenario.workers.len());
    outcome.away.iter().filter(|at| own.of(**at as u32) == group).count() as u64
}

fn reconnect(scenario: &Scenario, timing: &Timing, outcomes: &mut [Outcome], silence: &Silence) -> Reconnect {
    let mut reconnect = Reconnect {
        delay_ns: scenario.reconnect_delay.as_nanos() as u64,
        missed_away: silence.missed_away,
        ..Reconnect::default()
    };
    let (mut losses, mut returns, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut causes, mut failures) = (Reasons::default(), Reasons::default());
    let (mut handshake, mut absence) = (Recorder::default(), Recorder::default());
    for (worker, outcome) in outcomes.iter_mut().enumerate() {
        let story = std::mem::take(&mut outcome.story.reconnect);
        for (lost_ns, back_ns) in story.returns {
            absence.record(back_ns - lost_ns);
            returns.push(back_ns);
        }
        losses.extend(story.losses);
        attempts.extend(story.attempts);
        causes.merge(story.causes);
        failures.merge(story.failures);
        handshake.merge(story.handshake);
        reconnect.publishers_lost += story.publishers_lost;
        reconnect.publishers_returned += story.publishers_returned;
        reconnect.publishes_unanswered += story.unanswered;
        reconnect.away += away(scenario, worker, outcome, Group::Steady);
        reconnect.publishers_away += outcome.publishers_away;
    }
    reconnect.lost = losses.len() as u64;
    reconnect.returned = returns.len() as u64;
    reconnect.attempts = attempts.len() as u64;
    reconnect.causes = Reason::list(&causes);
    reconnect.failures = Reason::list(&failures);
    reconnect.handshake = Percentiles::of(&mut handshake);
    reconnect.absence = Percentiles::of(&mut absence);
    reconnect.storms = storms(losses, returns, attempts, timing.measure_ns);
    reconnect
}

/// Takes the moments when connections were lost, were back, and were tried, in any order.
fn storms(
    mut losses: Vec<u64>,
    mut returns: Vec<u64>,
    mut attempts: Vec<u64>,
    measure_ns: u64,
) -> Vec<Storm> {
    losses.sort_unstable();
    returns.sort_unstable();
    attempts.sort_unstable();
    let mut storms = Vec::new();
    let (mut lost, mut back) = (0, 0);
    while lost < losses.len() {
        let (first_lost, first_back) = (lost, back);
        let began_ns = losses[lost];
        // Until as many are back as have gone. A return at the same moment as a loss is that of another one.
        while lost < losses.len() && (lost == first_lost || lost > back) {
            match returns.get(back) {
                Some(back_ns) if *back_ns < losses[lost] => back += 1,
                _ => lost += 1,
            }
        }
        while back < lost && back < returns.len() {
            back += 1;
        }
        let own = &returns[first_back..back];
        let until_ns = if back == lost { own.last().copied() } else { None };
        let count = lost - first_lost;
        let after = |part: f64| {
            let nth = ((count as f64 * part).ceil() as usize).max(1);
            own.get(nth - 1).map(|back_ns| back_ns.saturating_sub(began_ns) as f64 / 1e9)
        };
        let from = attempts.partition_point(|time_ns| *time_ns < began_ns);
        let to = until_ns.map_or(attempts.len(), |until_ns| attempts.partition_point(|t| *t <= until_ns));
        let tried = &attempts[from..to.max(from)];
        storms.push(Storm {
            began_seconds: (began_ns as f64 - measure_ns as f64) / 1e9,
            lost: count as u64,
            half_seconds: after(0.5),
            p99_seconds: after(0.99),
            all_seconds: after(1.0),
            attempts: tried.len() as u64,
            peak_attempts_per_second: peak(tried),
            peak_returns_per_second: peak(own),
        });
    }
    if storms.len() > MOST_STORMS {
        storms.sort_by_key(|storm| std::cmp::Reverse(storm.lost));
        storms.truncate(MOST_STORMS);
        storms.sort_by(|a, b| a.began_seconds.total_cmp(&b.began_seconds));
    }
    storms
}

/// The most of these ascending times that lie within one second.
fn peak(times: &[u64]) -> u64 {
    let mut first = 0;
    let mut most = 0;
    for (last, time_ns) in times.iter().enumerate() {
        while times[first] + SECOND_NS <= *time_ns {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most as u64
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of ranges, of which some have one
mod tests {
    use super::*;

    #[test]
    fn only_the_last_messages_of_a_connection_went_down_with_it() {
        // 3 and 4 are missing before 5 arrived: the server lost those itself.
        assert_eq!(last_of_each(&[10], &[3..5, 8..10]), [8..10]);
        assert_eq!(last_of_each(&[10], &[3..5]), []);
        // The second connection lost nothing, the third all it had.
        assert_eq!(last_of_each(&[10, 20, 25], &[9..10, 12..13, 18..25]), [9..10, 18..20, 20..25]);
        assert_eq!(last_of_each(&[], &[3..5]), []);
    }

    const MS: u64 = 1_000_000;

    fn ms(times: &[u64]) -> Vec<u64> {
        times.iter().map(|time| time * MS).collect()
    }

    #[test]
    fn a_storm_lasts_until_as_many_are_back_as_have_gone() {
        let storms = storms(
            ms(&[2_000, 2_000, 2_010, 2_500, 9_000]),
            ms(&[9_500, 3_000, 3_500, 2_400, 4_250]),
            ms(&[2_200, 2_300, 2_900, 3_400, 4_200, 9_400, 9_100]),
            5_000 * MS,
        );
        let first = Storm {
            began_seconds: -3.0,
            lost: 4,
            half_seconds: Some(1.0),
            p99_seconds: Some(2.25),
            all_seconds: Some(2.25),
            attempts: 5,
            peak_attempts_per_second: 3,
            peak_returns_per_second: 2,
        };
        let second = Storm {
            began_seconds: 4.0,
            lost: 1,
            half_seconds: Some(0.5),
            p99_seconds: Some(0.5),
            all_seconds: Some(0.5),
            attempts: 2,
            peak_attempts_per_second: 2,
            peak_returns_per_second: 1,
        };
        assert_eq!(storms, [first, second]);
    }

    #[test]
    fn who_never_comes_back_leaves_its_times_open() {
        let storms = storms(ms(&[1_000, 1_001, 1_002]), ms(&[1_500, 2_000]), ms(&[1_400, 1_900, 6_000]), 0);
        assert_eq!(storms.len(), 1);
        let Storm { lost, half_seconds, p99_seconds, all_seconds, attempts, .. } = storms[0];
        assert_eq!((lost, half_seconds, p99_seconds, all_seconds), (3, Some(1.0), None, None));
        assert_eq!(attempts, 3);
    }

    #[test]
    fn the_largest_storms_are_told() {
        let losses: Vec<u64> = (0..40).map(|nth| nth * 1_000).chain([7_000, 7_001]).collect();
        let returns: Vec<u64> = (0..40).map(|nth| nth * 1_000 + 500).chain([7_600, 7_600]).collect();
        let storms = storms(ms(&losses), ms(&returns), Vec::new(), 0);
        assert_eq!(storms.len(), 16);
        assert_eq!(storms.iter().map(|storm| storm.lost).max(), Some(3));
    }

    #[test]
    fn peaks_are_within_any_second() {
        assert_eq!(peak(&ms(&[0, 100, 999, 1_000, 1_050, 1_099, 5_000])), 5);
        assert_eq!(peak(&[]), 0);
    }

    #[test]
    fn ranges_in_common() {
        assert_eq!(intersection(&[2..8, 10..12], &[0..3, 5..11]), [2..3, 5..8, 10..11]);
        assert_eq!(intersection(&[2..8], &[]), []);
    }
}
