//! Did every subscriber get every message, once, in order? Counted exactly, for each subscriber and publisher.
//!
//! The state of a pair is one number, the next sequence expected. Only a pair with a gap owns more: the ranges that
//! are missing. A message that arrives late takes itself out of its range, which turns a loss into a reordering.

use std::collections::HashMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::packed;

/// Ranges remembered for one pair. Each stands for a separate gap, so only a subscriber that loses every other message
/// for long gets here; the oldest range is then handed back as lost for good.
const MAX_MISSING_RANGES: usize = 1_024;

/// What one arriving message was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one after a gap: new either way.
    New {
        /// Sequences given up because the pair has too many gaps to remember. They are lost and
        /// [`Check::missing`] no longer reports them.
        given_up: Option<Range<u32>>,
    },
    /// New, but a later one came first.
    Reordered,
    /// Seen before (or given up before).
    Duplicate,
}

/// The check of one worker's subscribers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Check {
    /// `next[subscriber * publishers_per_topic + publisher]`: every sequence below was received or is in `gaps`.
    #[serde(with = "packed")]
    next: Box<[u32]>,
    publishers_per_topic: usize,
    /// Missing ranges by index into `next`: ascending, disjoint, not touching, none empty, all below `next`.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    /// Pairs whose `next` is [`AWAY`].
    absences: HashMap<usize, Absence>,
    /// What pairs did not get because the subscriber was away, like `gaps`.
    away: HashMap<usize, Vec<Range<u32>>>,
}

/// In `next`: the subscriber left, and nothing has come since. No message has this number.
const AWAY: u32 = u32::MAX;

/// A pair without a message since the subscriber left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Absence {
    /// The next sequence expected when it left.
    left: u32,
    /// It is back, and is to get everything from here on. Earlier ones it may get.
    back: Option<u32>,
}

impl Check {
    /// Room for `subscribers`, each of which hears `publishers_per_topic` publishers: four bytes a pair.
    pub fn new(subscribers: usize, publishers_per_topic: usize) -> Self {
        Self {
            next: vec![0; subscribers * publishers_per_topic].into_boxed_slice(),
            publishers_per_topic,
            gaps: HashMap::new(),
            absences: HashMap::new(),
            away: HashMap::new(),
        }
    }

    /// The subscriber's connection has ended, and it will come again. What it does not get meanwhile is not lost.
    pub fn leave(&mut self, subscriber: usize) {
        for pair in self.pairs(subscriber) {
            let next = std::mem::replace(&mut self.next[pair], AWAY);
            if next == AWAY {
                // Again, before anything came. Whether it should have is not known: it may have left just before.
                self.absences.entry(pair).and_modify(|absence| absence.back = None);
            } else {
                self.absences.insert(pair, Absence { left: next, back: None });
            }
        }
    }

    /// The subscriber is subscribed again. `sent` is how many messages each of its publishers had sent by now: the next ones
    /// it must get. Some before may still reach it, and from the first that does there may be no gap either.
    pub fn come_back(&mut self, subscriber: usize, sent: impl Fn(usize) -> u32) {
        for (publisher, pair) in self.pairs(subscriber).enumerate() {
            self.absences
                .entry(pair)
                .and_modify(|absence| absence.back = Some(absence.left.max(sent(publisher))));
        }
    }

    /// Notes that `subscriber` received `sequence` of the `publisher`-th publisher of its topic.
    #[inline]
    pub fn receive(&mut self, subscriber: usize, publisher: usize, sequence: u32) -> Arrival {
        let pair = self.pair(subscriber, publisher);
        if self.next[pair] == sequence {
            self.next[pair] = sequence.wrapping_add(1);
            return Arrival::New { given_up: None };
        }
        self.receive_out_of_turn(pair, sequence)
    }

    /// Notes that `subscriber` received `spans` of sequences, each of another publisher, if all of them are the next ones.
    /// Else it notes nothing and says false.
    #[inline]
    pub fn receive_spans(&mut self, subscriber: usize, spans: &[(usize, Range<u32>)]) -> bool {
        if spans.iter().any(|(publisher, span)| self.next[self.pair(subscriber, *publisher)] != span.start) {
            return false;
        }
        for (publisher, span) in spans {
            let pair = self.pair(subscriber, *publisher);
            self.next[pair] = span.end;
        }
        true
    }

    #[cold]
    fn receive_out_of_turn(&mut self, pair: usize, sequence: u32) -> Arrival {
        let mut next = self.next[pair];
        if next == AWAY {
            let Absence { left, back } = self.absences[&pair];
            if sequence >= left {
                self.absences.remove(&pair);
                let first = back.map_or(sequence, |back| back.min(sequence));
                if left < first {
                    self.away.entry(pair).or_default().push(left..first);
                }
                if first == sequence {
                    self.next[pair] = sequence + 1;
                    return Arrival::New { given_up: None };
                }
                next = first;
            }
        }
        if sequence > next {
            self.next[pair] = sequence + 1;
            let ranges = self.gaps.entry(pair).or_default();
            ranges.push(next..sequence);
            let given_up = (ranges.len() > MAX_MISSING_RANGES).then(|| ranges.remove(0));
            return Arrival::New { given_up };
        }
        for ranges_of in [&mut self.gaps, &mut self.away] {
            let Some(ranges) = ranges_of.get_mut(&pair) else { continue };
            if take_out(ranges, sequence) {
                if ranges.is_empty() {
                    ranges_of.remove(&pair);
                }
                return Arrival::Reordered;
            }
        }
        Arrival::Duplicate
    }

    /// The ranges inside `published` that `subscriber` did not receive from the `publisher`-th publisher of its
    /// topic, ascending, without those given up before.
    pub fn missing(&self, subscriber: usize, publisher: usize, published: Range<u32>) -> Vec<Range<u32>> {
        let pair = self.pair(subscriber, publisher);
        let known = self.gaps.get(&pair).map_or(&[][..], Vec::as_slice);
        let from = match self.absences.get(&pair) {
            Some(absence) => absence.back.unwrap_or(AWAY),
            None => self.next[pair],
        };
        inside(known, from..u32::MAX, &published)
    }

    /// Whether the subscriber has everything that it must get of what its publishers have sent.
    pub fn has_all(&self, subscriber: usize, sent: impl Fn(usize) -> u32) -> bool {
        self.pairs(subscriber).enumerate().all(|(publisher, pair)| {
            let sent = sent(publisher);
            match self.absences.get(&pair).filter(|_| self.next[pair] == AWAY) {
                Some(absence) => absence.back.is_some_and(|back| back >= sent),
                None => self.next[pair] >= sent && !self.gaps.contains_key(&pair),
            }
        })
    }

    /// The ranges inside `published` that `subscriber` did not receive because it was away, ascending.
    pub fn missed_away(&self, subscriber: usize, publisher: usize, published: Range<u32>) -> Vec<Range<u32>> {
        let pair = self.pair(subscriber, publisher);
        let known = self.away.get(&pair).map_or(&[][..], Vec::as_slice);
        let last = self.absences.get(&pair).map_or(0..0, |a| a.left..a.back.unwrap_or(u32::MAX));
        inside(known, last, &published)
    }

    /// Of all pairs of a subscriber.
    fn pairs(&self, subscriber: usize) -> Range<usize> {
        let first = subscriber * self.publishers_per_topic;
        first..first + self.publishers_per_topic
    }

    fn pair(&self, subscriber: usize, publisher: usize) -> usize {
        assert!(publisher < self.publishers_per_topic, "publisher {publisher} is not one of this topic");
        subscriber * self.publishers_per_topic + publisher
    }
}

/// The parts of `known`, and of the `last` range behind them, that lie inside `published`.
fn inside(known: &[Range<u32>], last: Range<u32>, published: &Range<u32>) -> Vec<Range<u32>> {
    let all = known.iter().chain([&last]);
    all.map(|range| overlap(range, published)).filter(|range| !range.is_empty()).collect()
}

/// The part that both ranges cover; empty when there is none.
pub fn overlap(a: &Range<u32>, b: &Range<u32>) -> Range<u32> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// Sequences of `range` that are not among the ascending `refused`.
pub fn count_accepted(range: &Range<u32>, refused: &[u32]) -> u64 {
    // What overlaps nothing may end before it begins.
    if range.is_empty() {
        return 0;
    }
    let below = |end| refused.partition_point(|sequence| *sequence < end);
    range.len() as u64 - (below(range.end) - below(range.start)) as u64
}

/// Removes `sequence` from the range that holds it; false when none does.
fn take_out(ranges: &mut Vec<Range<u32>>, sequence: u32) -> bool {
    let at = ranges.partition_point(|range| range.end <= sequence);
    let Some(range) = ranges.get(at).filter(|range| range.contains(&sequence)).cloned() else { return false };
    let rest = [range.start..sequence, sequence + 1..range.end];
    ranges.splice(at..=at, rest.into_iter().filter(|r| !r.is_empty()));
    true
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of ranges, of which some have one
mod tests {
    use super::*;

    const NEW: Arrival = Arrival::New { given_up: None };

    fn receive_all(check: &mut Check, sequences: &[u32]) -> Vec<Arrival> {
        sequences.iter().map(|&sequence| check.receive(0, 0, sequence)).collect()
    }

    #[test]
    fn nothing_is_counted_where_ranges_do_not_meet() {
        let apart = overlap(&(3..5), &(9..20));
        assert_eq!(apart, Range { start: 9, end: 5 });
        assert_eq!(count_accepted(&apart, &[6, 7, 8]), 0);
        assert_eq!(count_accepted(&(3..9), &[1, 6, 7, 9]), 4);
    }

    #[test]
    fn in_order_nothing_is_missing() {
        let mut check = Check::new(1, 1);
        assert_eq!(receive_all(&mut check, &[0, 1, 2, 3]), [NEW, NEW, NEW, NEW]);
        assert_eq!(check.missing(0, 0, 0..4), []);
    }

    #[test]
    fn a_drop_is_one_loss_and_the_tail_counts_too() {
        let mut check = Check::new(1, 1);
        assert_eq!(receive_all(&mut check, &[0, 1, 4, 5]), [NEW, NEW, NEW, NEW]);
        assert_eq!(check.missing(0, 0, 0..8), [2..4, 6..8]);
    }

    #[test]
    fn nothing_received_is_everything_lost() {
        assert_eq!(Check::new(1, 1).missing(0, 0, 5..9), [5..9]);
    }

    #[test]
    fn warm_up_losses_are_outside_the_measured_range() {
        let mut check = Check::new(1, 1);
        receive_all(&mut check, &[3, 7]);
        assert_eq!(check.missing(0, 0, 5..8), [5..7]);
    }

    #[test]
    fn a_late_message_turns_a_loss_into_a_reordering() {
        let mut check = Check::new(1, 1);
        assert_eq!(
            receive_all(&mut check, &[0, 3, 1, 2, 4]),
            [NEW, NEW, Arrival::Reordered, Arrival::Reordered, NEW]
        );
        assert_eq!(check.missing(0, 0, 0..5), []);
        assert!(check.gaps.is_empty(), "a closed gap costs no memory");
    }

    #[test]
    fn a_range_is_split_by_a_message_from_its_middle() {
        let mut check = Check::new(1, 1);
        receive_all(&mut check, &[0, 10, 5]);
        assert_eq!(check.missing(0, 0, 0..11), [1..5, 6..10]);
    }

    #[test]
    fn repeated_messages_are_duplicates_wherever_they_fall() {
        let mut check = Check::new(1, 1);
        receive_all(&mut check, &[0, 1, 5, 3]);
        assert_eq!(
            receive_all(&mut check, &[1, 5, 3, 0]),
            [Arrival::Duplicate, Arrival::Duplicate, Arrival::Duplicate, Arrival::Duplicate]
        );
        assert_eq!(check.missing(0, 0, 0..6), [2..3, 4..5]);
    }

    #[test]
    fn spans_are_all_taken_or_none() {
        let mut check = Check::new(2, 2);
        assert!(check.receive_spans(1, &[(0, 0..3), (1, 0..1)]));
        assert!(
            !check.receive_spans(1, &[(0, 3..4), (1, 2..3)]),
            "sequence 1 of the second is not there yet"
        );
        assert!(check.receive_spans(1, &[(0, 3..4), (1, 1..3)]));
        assert_eq!(check.receive(1, 0, 4), NEW);
        assert_eq!(check.receive(1, 1, 2), Arrival::Duplicate);
        assert_eq!(check.missing(1, 0, 0..6), [5..6]);
        assert_eq!(check.missing(0, 0, 0..6), [0..6]);
    }

    #[test]
    fn pairs_do_not_disturb_each_other() {
        let mut check = Check::new(2, 2);
        assert_eq!(check.receive(0, 0, 0), NEW);
        assert_eq!(check.receive(0, 1, 0), NEW);
        assert_eq!(check.receive(1, 1, 1), NEW);
        assert_eq!(check.missing(0, 0, 0..2), [1..2]);
        assert_eq!(check.missing(0, 1, 0..2), [1..2]);
        assert_eq!(check.missing(1, 0, 0..2), [0..2]);
        assert_eq!(check.missing(1, 1, 0..2), [0..1]);
    }

    #[test]
    fn gaps_are_bounded_and_what_is_given_up_is_handed_back() {
        let mut check = Check::new(1, 1);
        // Every even sequence is lost: one range each.
        for gap in 0..1_024 {
            assert_eq!(check.receive(0, 0, gap * 2 + 1), NEW);
        }
        assert_eq!(check.receive(0, 0, 2_049), Arrival::New { given_up: Some(0..1) });
        assert_eq!(check.receive(0, 0, 0), Arrival::Duplicate, "given up: not counted as received later");
        assert_eq!(check.missing(0, 0, 0..2_050).len(), 1_024);
    }

    #[test]
    fn refused_messages_are_not_expected() {
        assert_eq!(count_accepted(&(10..20), &[]), 10);
        assert_eq!(count_accepted(&(10..20), &[9, 10, 15, 19, 20]), 7);
        assert_eq!(count_accepted(&(10..10), &[10]), 0);
    }

    #[test]
    fn agrees_with_a_set_on_random_streams() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let mut check = Check::new(1, 1);
            let mut seen = std::collections::HashSet::new();
            let mut highest = None;
            for _ in 0..random.usize(..300) {
                let sequence = random.u32(..150);
                let expected = if !seen.insert(sequence) {
                    Arrival::Duplicate
                } else if highest.is_some_and(|h| sequence < h) {
                    Arrival::Reordered
                } else {
                    highest = Some(sequence);
                    NEW
                };
                assert_eq!(check.receive(0, 0, sequence), expected);
            }
            let missing: Vec<u32> = check.missing(0, 0, 20..150).into_iter().flatten().collect();
            let expected: Vec<u32> = (20..150).filter(|sequence| !seen.contains(sequence)).collect();
            assert_eq!(missing, expected);
        }
    }

    #[test]
    fn what_is_sent_while_a_subscriber_is_away_is_not_lost() {
        let mut check = Check::new(2, 1);
        receive_all(&mut check, &[0, 1, 2]);
        check.leave(0);
        assert_eq!(check.missing(0, 0, 0..9), []);
        assert_eq!(check.missed_away(0, 0, 0..9), [3..9]);
        check.come_back(0, |_| 6);
        assert_eq!(check.missing(0, 0, 0..9), [6..9], "those it must get");
        assert_eq!(receive_all(&mut check, &[6, 7, 8]), [NEW, NEW, NEW]);
        assert_eq!((check.missing(0, 0, 0..9), check.missed_away(0, 0, 0..9)), (vec![], vec![3..6]));
        assert_eq!(check.missed_away(0, 0, 4..5), [4..5]);
        assert_eq!(check.missing(1, 0, 0..9), [0..9], "the other one stayed");
    }

    #[test]
    fn nothing_more_is_waited_for_when_all_is_there_that_must_be() {
        let mut check = Check::new(1, 2);
        let has_all = |check: &Check, sent: [u32; 2]| check.has_all(0, |publisher| sent[publisher]);
        assert!(has_all(&check, [0, 0]) && !has_all(&check, [0, 1]));
        check.receive(0, 1, 0);
        assert!(has_all(&check, [0, 1]));
        check.leave(0);
        assert!(!has_all(&check, [0, 1]), "it may come back");
        check.come_back(0, |_| 4);
        assert!(has_all(&check, [4, 3]) && !has_all(&check, [5, 4]));
        check.receive(0, 0, 2);
        assert!(has_all(&check, [3, 4]) && !has_all(&check, [4, 4]));
        check.receive(0, 0, 4);
        assert!(!has_all(&check, [5, 4]), "3 may still come");
        check.receive(0, 0, 3);
        assert!(has_all(&check, [5, 4]));
    }

    #[test]
    fn from_the_first_message_of_a_stay_on_there_may_be_no_gap() {
        let mut check = Check::new(1, 1);
        receive_all(&mut check, &[0, 1]);
        check.leave(0);
        check.come_back(0, |_| 9);
        assert_eq!(receive_all(&mut check, &[5, 6, 8, 9]), [NEW, NEW, NEW, NEW]);
        assert_eq!((check.missing(0, 0, 0..10), check.missed_away(0, 0, 0..10)), (vec![7..8], vec![2..5]));
        check.leave(0);
        check.come_back(0, |_| 12);
        assert_eq!(receive_all(&mut check, &[14]), [NEW]);
        assert_eq!(check.missing(0, 0, 0..15), [7..8, 12..14]);
        assert_eq!(check.missed_away(0, 0, 0..15), [2..5, 10..12]);
    }

    #[test]
    fn a_stay_without_a_message_lost_what_was_sent_in_it_unless_it_ended() {
        let mut check = Check::new(1, 1);
        receive_all(&mut check, &[0]);
        for back in [3, 5] {
            check.leave(0);
            check.come_back(0, |_| back);
        }
        assert_eq!((check.missing(0, 0, 0..7), check.missed_away(0, 0, 0..7)), (vec![5..7], vec![1..5]));
        check.leave(0);
        assert_eq!((check.missing(0, 0, 0..7), check.missed_away(0, 0, 0..7)), (vec![], vec![1..7]));
    }

    #[test]
    fn what_comes_late_is_told_from_what_comes_twice_over_an_absence_too() {
        let mut check = Check::new(1, 1);
        receive_all(&mut check, &[0, 2]);
        check.leave(0);
        check.come_back(0, |_| 3);
        let late = receive_all(&mut check, &[1, 0, 2]);
        assert_eq!(late, [Arrival::Reordered, Arrival::Duplicate, Arrival::Duplicate]);
        assert_eq!(receive_all(&mut check, &[3, 4]), [NEW, NEW]);
        check.leave(0);
        check.come_back(0, |_| 8);
        assert_eq!(receive_all(&mut check, &[8, 6, 6]), [NEW, Arrival::Reordered, Arrival::Duplicate]);
        assert_eq!(check.missed_away(0, 0, 0..9), [5..6, 7..8]);
    }

    #[test]
    fn runs_of_messages_end_an_absence_like_single_ones() {
        let mut check = Check::new(1, 2);
        check.leave(0);
        check.come_back(0, |publisher| [4, 0][publisher]);
        assert!(!check.receive_spans(0, &[(0, 4..6)]), "one by one, please");
        assert_eq!(check.receive(0, 0, 4), NEW);
        assert!(check.receive_spans(0, &[(0, 5..7)]));
        assert_eq!(check.missed_away(0, 0, 0..7), [0..4]);
        assert_eq!((check.missing(0, 1, 0..2), check.missed_away(0, 1, 0..2)), (vec![0..2], vec![]));
    }
}
