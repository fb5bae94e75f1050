//! What happens to every message that a worker's subscribers receive: read the stamp, check it, measure it.

mod aside;

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::check::{Arrival, Check, overlap};
use crate::control::Control;
use crate::flight::{Flight, LocalArrivals};
use crate::groups::{Group, Groups};
use crate::json_dialect::{Missed, missed};
use crate::measure::Measure;
use crate::part::Part;
use crate::repeats::{Noted, Repeat, Repeats};
use crate::scenario::{Load, Scenario};
use crate::stamp::{Finder, Stamp};
pub(crate) use aside::Asides;

/// Announcements that may wait for the first acknowledgement of a measured message. More are counted whole.
const MOST_UNDECIDED: usize = 1 << 16;

/// Measured messages that one subscriber will not get, beside those that the check knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Absence {
    /// Lost, and no longer remembered by the check (see [`Arrival::New`]).
    pub(crate) given_up: u64,
    /// Left out by the server, which said so.
    pub(crate) announced: u64,
}

/// The receiving side of one worker.
#[derive(Debug)]
pub(crate) struct Receiver {
    run: u32,
    finder: Finder,
    /// Topic of each publisher, and its number among that topic's publishers.
    publishers: Box<[(u32, u32)]>,
    /// What is to be added to each publisher's times, where the run is that of several hosts: see [`Part::clocks`].
    clocks: Box<[Option<i64>]>,
    topics: u32,
    topics_per_subscriber: u32,
    publishers_per_topic: u32,
    /// How every message of a topic begins, by topic; empty when that is not known.
    prefixes: Box<[Box<[u8]>]>,
    topic_prefix: Box<str>,
    /// Messages with one of these are the server's own.
    ignored: Box<[Box<[u8]>]>,
    /// The server tells which offsets messages get.
    is_acknowledged: bool,
    /// Announcements of which it is not known yet whether measured messages are among them: subscriber, topic and range.
    undecided: Vec<(u32, u32, Missed)>,
    /// By subscriber, of those that miss something.
    pub(crate) absences: HashMap<u32, Absence>,
    arrivals: LocalArrivals,
    repeats: Repeats,
    is_closed_loop: bool,
    /// Closed loop: the publisher of each message that everyone has since the last reap.
    pub(crate) completed: Vec<u32>,
    pub(crate) check: Check,
    pub(crate) measure: Measure,
    pub(crate) asides: Asides,
    /// Publishing has begun: what is not of this run is no greeting any more.
    pub(crate) is_counting: bool,
}

impl Receiver {
    pub(crate) fn new(
        scenario: &Scenario,
        run: u32,
        flight: &Flight,
        subscribers: usize,
        groups: Groups,
    ) -> Self {
        let place = |publisher| (scenario.topic_of(publisher), publisher / scenario.topics);
        Self {
            run,
            finder: scenario.text_share.map_or_else(|| Finder::new(scenario.encoding()), |_| Finder::mixed()),
            publishers: (0..scenario.publishers).map(place).collect(),
            clocks: Box::default(),
            topics: scenario.topics,
            topics_per_subscriber: scenario.topics_per_subscriber,
            publishers_per_topic: scenario.publishers_per_topic(),
            prefixes: message_prefixes(scenario),
            topic_prefix: scenario.topic_prefix.as_str().into(),
            ignored: scenario.ignored.iter().map(|text| text.as_bytes().into()).collect(),
            is_acknowledged: scenario.is_acknowledged,
            undecided: Vec::new(),
            absences: HashMap::new(),
            arrivals: LocalArrivals::new(scenario.publishers as usize, flight.window()),
            repeats: Repeats::default(),
            is_closed_loop: matches!(scenario.load, Load::Closed { .. }),
            completed: Vec::new(),
            check: Check::new(subscribers, scenario.publishers_heard() as usize),
            measure: Measure::default(),
            asides: Asides::new(groups),
            is_counting: false,
        }
    }

    /// For one part of a run.
    pub(crate) fn with_clocks(self, part: &Part, scenario: &Scenario) -> Self {
        Self { clocks: part.clocks(scenario), ..self }
    }

    /// One message for the worker's `subscriber`-th subscriber, whose topics begin with `first_topic`.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        subscriber: usize,
        first_topic: u32,
        message: &[u8],
        now_ns: u64,
        control: &Control,
    ) {
        // No publisher sends the last sequence: see `Check`.
        let is_possible = |stamp: &Stamp| stamp.run == self.run && stamp.sequence < u32::MAX;
        let stamp = self.finder.find(message).filter(is_possible);
        let known = stamp.and_then(|stamp| Some((stamp, *self.publishers.get(stamp.publisher as usize)?)));
        let Some((mut stamp, (topic, place))) = known else {
            return self.unexpected(subscriber, first_topic, message, control);
        };
        // Which one of the subscriber's topics: they follow each other, and the last of all is followed by the first.
        let behind_first = topic.wrapping_sub(first_topic);
        let nth = if topic >= first_topic { behind_first } else { behind_first.wrapping_add(self.topics) };
        let is_labelled = self.prefixes.get(topic as usize).is_none_or(|prefix| message.starts_with(prefix));
        if nth >= self.topics_per_subscriber || !is_labelled {
            return self.unexpected(subscriber, first_topic, message, control);
        }
        let place = nth * self.publishers_per_topic + place;
        let is_timed = self.clocks.is_empty() || self.set_by_own_clock(&mut stamp);
        let noted = Noted { stamp, place: place as usize, bytes: message.len() as u64, is_timed };
        if self.receive_stamped(subscriber, &noted, now_ns, control) {
            self.repeats.note(noted);
        } else {
            self.repeats.forget();
        }
    }

    /// Bytes for the worker's `subscriber`-th subscriber, who is between two messages. True when the same came before, so
    /// that their messages are known and now received; else they are to be parsed, and [`Self::end_receive`] called.
    #[inline]
    pub(crate) fn receive_repeat(
        &mut self,
        subscriber: usize,
        first_topic: u32,
        bytes: &[u8],
        now_ns: u64,
        control: &Control,
    ) -> bool {
        let Self { repeats, arrivals, measure, check, .. } = self;
        let Some(repeat) = repeats.find(first_topic, bytes) else {
            repeats.begin(first_topic, bytes, |repeat| settle(repeat, arrivals, measure, now_ns));
            return false;
        };
        if check.receive_spans(subscriber, &repeat.spans) {
            repeat.times += 1;
            return true;
        }
        let messages = repeat.messages.clone();
        for noted in &messages {
            self.receive_stamped(subscriber, noted, now_ns, control);
        }
        true
    }

    /// Bytes that [`Self::receive_repeat`] did not know are parsed; `is_pure` when that gave messages and nothing else,
    /// and the subscriber is between two messages again.
    pub(crate) fn end_receive(&mut self, is_pure: bool) {
        if !is_pure {
            self.repeats.forget();
        }
        self.repeats.end();
    }

    /// False when that is not possible.
    fn set_by_own_clock(&self, stamp: &mut Stamp) -> bool {
        let Some(ahead_ns) = self.clocks[stamp.publisher as usize] else { return false };
        stamp.intended_ns = stamp.intended_ns.saturating_add_signed(ahead_ns);
        stamp.sent_ns = stamp.sent_ns.saturating_add_signed(ahead_ns);
        true
    }

    /// One message of this run, on the right topic. True if it was the next one.
    fn receive_stamped(&mut self, subscriber: usize, noted: &Noted, now_ns: u64, control: &Control) -> bool {
        let Noted { stamp, place, .. } = noted;
        let arrival = self.check.receive(subscriber, *place, stamp.sequence);
        let is_next = arrival == Arrival::New { given_up: None };
        let counts = &mut self.measure.counts;
        match arrival {
            Arrival::New { given_up: None } => {}
            Arrival::New { given_up: Some(lost) } => {
                // What the server refused is not lost. It has said so long before: this gap is an old one.
                let board = &control.publishers[stamp.publisher as usize];
                let measured_from = board.measured_from.load(Ordering::Relaxed);
                let given_up = board.accepted_in(&overlap(&lost, &(measured_from..u32::MAX)));
                self.absences.entry(subscriber as u32).or_default().given_up += given_up;
            }
            Arrival::Reordered => counts.reordered += u64::from(stamp.measured),
            Arrival::Duplicate => {
                counts.duplicated += u64::from(stamp.measured);
                return false;
            }
        }
        // Whether everyone has a message is asked of the steady ones.
        if !self.asides.is_in_hand() {
            self.arrivals.add(stamp.publisher as usize, stamp.sequence, 1);
        }
        if stamp.measured {
            measure_arrival(&mut self.measure, noted, now_ns, 1);
        }
        is_next
    }

    /// Enters what one reap brought into the shared windows.
    pub(crate) fn end_reap(&mut self, flight: &Flight, now_ns: u64, control: &Control) {
        for repeat in self.repeats.each() {
            settle(repeat, &mut self.arrivals, &mut self.measure, now_ns);
        }
        let Self { measure: Measure { spread, .. }, completed, is_closed_loop, .. } = self;
        self.arrivals.enter(flight, now_ns, |publisher, sequence, spread_ns| {
            if *is_closed_loop {
                completed.push(publisher as u32);
            }
            // Before the first measured message this is the largest number: warm-up is left out.
            if sequence >= control.publishers[publisher].measured_from.load(Ordering::Relaxed) {
                spread.record(spread_ns);
            }
        });
    }

    /// Nothing more will come: decides what had to wait.
    pub(crate) fn finish(&mut self, control: &Control) {
        self.decide(control);
        for group in [Group::Churning, Group::Slow] {
            if self.asides.has(group) {
                self.change_group(group);
                self.decide(control);
                self.change_group(group);
            }
        }
    }

    fn decide(&mut self, control: &Control) {
        for (subscriber, topic, missed) in std::mem::take(&mut self.undecided) {
            let first = control.measured_offset(topic).unwrap_or(0);
            self.announced(subscriber, missed.count_from(first));
        }
    }

    fn announced(&mut self, subscriber: u32, messages: u64) {
        self.measure.counts.announced_missed += messages;
        self.absences.entry(subscriber).or_default().announced += messages;
    }

    #[cold]
    fn unexpected(&mut self, subscriber: usize, first_topic: u32, message: &[u8], control: &Control) {
        self.repeats.forget();
        let is_ignored = |text: &[u8]| message.windows(text.len().max(1)).any(|window| window == text);
        if !self.is_counting || self.ignored.iter().any(|text| is_ignored(text)) {
            return;
        }
        let Some(missed) = missed(message) else {
            self.measure.counts.unexpected += 1;
            return;
        };
        let Some(topic) = self.missed_on(first_topic, &missed) else {
            self.measure.counts.unexpected += 1;
            return;
        };
        // Offsets of the warm-up do not count. Before the first acknowledgement of a measured message it is not known
        // which those are.
        match control.measured_offset(topic) {
            Some(first) => self.announced(subscriber as u32, missed.count_from(first)),
            None if !control.is_measuring(topic) => {}
            None if self.is_acknowledged && self.undecided.len() < MOST_UNDECIDED => {
                self.undecided.push((subscriber as u32, topic, missed));
            }
            None => self.announced(subscriber as u32, missed.count_from(0)),
        }
    }

    /// The topic of an announcement, if it is one of the subscriber's.
    fn missed_on(&self, first_topic: u32, missed: &Missed) -> Option<u32> {
        let Some(name) = &missed.topic else { return Some(first_topic) };
        let number = name.strip_prefix(&*self.topic_prefix)?.strip_prefix('-')?;
        let topic: u32 = number.parse().ok().filter(|topic| *topic < self.topics)?;
        let nth = (topic + self.topics - first_topic) % self.topics;
        (nth < self.topics_per_subscriber).then_some(topic)
    }
}

/// Accounts for the subscribers who got a receive again in this reap.
fn settle(repeat: &mut Repeat, arrivals: &mut LocalArrivals, measure: &mut Measure, now_ns: u64) {
    let times = std::mem::take(&mut repeat.times);
    if times == 0 {
        return;
    }
    for noted in &repeat.messages {
        let stamp = &noted.stamp;
        arrivals.add(stamp.publisher as usize, stamp.sequence, times);
        if stamp.measured {
            measure_arrival(measure, noted, now_ns, times);
        }
    }
}

#[inline]
fn measure_arrival(measure: &mut Measure, noted: &Noted, now_ns: u64, times: u32) {
    if noted.is_timed {
        measure.arrived(&noted.stamp, noted.bytes, now_ns, times);
    } else {
        measure.arrived_untimed(noted.bytes, now_ns, times);
    }
}

fn message_prefixes(scenario: &Scenario) -> Box<[Box<[u8]>]> {
    let Some(template) = &scenario.message_prefix else { return Box::default() };
    let prefix = |topic| template.replace("{topic}", &scenario.topic_name(topic)).into_bytes().into();
    (0..scenario.topics).map(prefix).collect()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of ranges, of which some have one
mod tests {
    use super::*;
    use crate::stamp::Encoding;

    struct Bench {
        receiver: Receiver,
        control: Control,
        flight: Flight,
    }

    fn bench() -> Bench {
        bench_of(&["--topics", "2", "--publishers", "3", "--subscribers", "2"])
    }

    fn bench_of(arguments: &[&str]) -> Bench {
        let scenario = Scenario::of(arguments);
        let flight = Flight::new(scenario.publishers as usize, 1);
        let mut receiver =
            Receiver::new(&scenario, 77, &flight, scenario.subscribers as usize, scenario.groups);
        receiver.is_counting = true;
        Bench { receiver, control: Control::new(1, scenario.publishers, scenario.topics), flight }
    }

    impl Bench {
        fn receive(&mut self, subscriber: usize, stamp: Stamp) {
            let mut message = [0; 64];
            stamp.write(Encoding::Binary, &mut message);
            self.receiver.receive(subscriber, subscriber as u32, &message, 10_000, &self.control);
        }
    }

    /// As the JSON dialect carries it.
    fn json(topic: u32, offset: u64, stamp: Stamp) -> String {
        let mut letters = [0; 64];
        stamp.write(Encoding::Text, &mut letters);
        let letters = std::str::from_utf8(&letters).expect("letters");
        format!(r#"{{"op":"message","topic":"load-{topic}","offset":{offset},"data":"{letters}"}}"#)
    }

    fn stamp(publisher: u32, sequence: u32) -> Stamp {
        Stamp { run: 77, publisher, sequence, measured: true, intended_ns: 4_000, sent_ns: 7_000 }
    }

    #[test]
    fn latency_runs_from_both_times() {
        let mut bench = bench();
        bench.receive(0, stamp(0, 0));
        bench.receive(0, stamp(2, 0));
        let measure = &mut bench.receiver.measure;
        assert_eq!(measure.counts.received, 2);
        assert_eq!(measure.counts.received_bytes, 128);
        assert_eq!(measure.from_intended.histogram().count_at(6_000), 2);
        assert_eq!(measure.from_sent.histogram().count_at(3_000), 2);
        assert_eq!(measure.last_arrival_ns, 10_000);
    }

    #[test]
    fn warm_up_is_checked_but_not_counted() {
        let mut bench = bench();
        bench.receive(0, Stamp { measured: false, ..stamp(0, 0) });
        bench.receive(0, Stamp { measured: false, ..stamp(0, 0) });
        bench.receive(0, stamp(0, 1));
        assert_eq!(bench.receiver.measure.counts.received, 1);
        assert_eq!(bench.receiver.measure.counts.duplicated, 0);
        assert_eq!(bench.receiver.check.missing(0, 0, 0..2), []);
    }

    #[test]
    fn messages_of_other_runs_topics_and_kinds_are_unexpected() {
        let mut bench = bench();
        bench.receive(0, Stamp { run: 78, ..stamp(0, 0) });
        bench.receive(0, stamp(1, 0));
        bench.receive(0, stamp(3, 0));
        bench.receive(0, stamp(0, u32::MAX));
        bench.receiver.receive(0, 0, b"hello", 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.unexpected, 5);
        assert_eq!(bench.receiver.measure.counts.received, 0);
    }

    #[test]
    fn gaps_that_are_given_up_are_lost_unless_they_were_refused() {
        let mut bench = bench();
        bench.control.publishers[0].measured_from.store(0, Ordering::Relaxed);
        bench.control.publishers[0].refuse(&[2, 4], 2);
        // Every even sequence is missing; after 1,024 gaps the first ones, 0 to 6, are given up.
        for gap in 0..1_028 {
            bench.receive(0, stamp(0, gap * 2 + 1));
        }
        assert_eq!(bench.receiver.absences[&0], Absence { given_up: 2, announced: 0 });
        assert_eq!(bench.receiver.absences.len(), 1);
    }

    #[test]
    fn greetings_before_the_run_are_nobodys_fault() {
        let mut bench = bench();
        bench.receiver.is_counting = false;
        bench.receiver.receive(0, 0, b"welcome", 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.unexpected, 0);
    }

    #[test]
    fn what_the_server_says_on_its_own_account_can_be_left_out() {
        let mut bench = bench_of(&["--ignore", "joined", "--ignore", "left"]);
        for message in [&b"ann joined"[..], b"left: bob", b"joine", b""] {
            bench.receiver.receive(0, 0, message, 10_000, &bench.control);
        }
        assert_eq!(bench.receiver.measure.counts.unexpected, 2);
    }

    #[test]
    fn announced_gaps_are_counted_apart() {
        let mut bench = bench();
        let notice = br#"{"op":"missed","topic":"load-0","from":11,"to":14}"#;
        bench.receiver.receive(0, 0, notice, 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.announced_missed, 0, "nothing but warm-up was sent");
        bench.control.publishers[2].measured_from.store(5, Ordering::Relaxed);
        bench.receiver.receive(0, 0, notice, 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.announced_missed, 4);
        bench.receiver.receive(0, 0, br#"{"op":"missed","from":9,"to":3}"#, 10_000, &bench.control);
        bench.receiver.receive(1, 1, notice, 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.announced_missed, 4);
        assert_eq!(
            bench.receiver.measure.counts.unexpected, 2,
            "a range that runs backwards says nothing, nor does one of somebody else's topic"
        );
    }

    #[test]
    fn announcements_count_from_the_first_measured_offset() {
        let mut bench = bench_of(&["--preset", "corecast-json", "--topics", "2"]);
        let announce = |bench: &mut Bench, from: u64, to: u64| {
            let notice = format!(r#"{{"op":"missed","topic":"load-1","from":{from},"to":{to}}}"#);
            bench.receiver.receive(0, 1, notice.as_bytes(), 10_000, &bench.control);
            bench.receiver.measure.counts.announced_missed
        };
        assert_eq!(announce(&mut bench, 1, 9), 0, "warm-up");
        bench.control.publishers[1].measured_from.store(30, Ordering::Relaxed);
        assert_eq!(
            announce(&mut bench, 20, 39),
            0,
            "not known yet: the first measured one is not acknowledged"
        );
        bench.control.publishers[1].measured_offset.store(31, Ordering::Relaxed);
        assert_eq!(announce(&mut bench, 40, 49), 10);
        assert_eq!(announce(&mut bench, 10, 30), 10);
        bench.receiver.finish(&bench.control);
        assert_eq!(bench.receiver.measure.counts.announced_missed, 19, "31 to 39 came on top");
        assert_eq!(bench.receiver.measure.counts.unexpected, 0);
    }

    #[test]
    fn each_topic_of_a_subscriber_is_checked_by_itself() {
        let arguments = ["--preset", "corecast-json", "--topics", "4", "--topics-per-subscriber", "3"];
        let mut bench = bench_of(&[&arguments[..], &["--publishers", "8", "-c", "2"]].concat());
        // The subscriber's topics are 3, 0 and 1; publishers 3 and 7 send on the first of them.
        let mut receive = |topic, stamp| {
            bench.receiver.receive(1, 3, json(topic, 5, stamp).as_bytes(), 10_000, &bench.control);
        };
        for publisher in [3, 7, 0, 4, 1, 5] {
            receive(publisher % 4, stamp(publisher, 0));
            receive(publisher % 4, stamp(publisher, 2));
        }
        receive(0, stamp(4, 1));
        receive(2, stamp(2, 0));
        receive(1, stamp(0, 3));
        let counts = bench.receiver.measure.counts;
        assert_eq!((counts.received, counts.duplicated, counts.reordered), (13, 0, 1));
        assert_eq!(counts.unexpected, 2, "a topic that it does not listen to, and one that is mislabelled");
        let missing = |place| bench.receiver.check.missing(1, place, 0..3);
        assert_eq!([0, 1, 2, 4, 5].map(missing), [const { [1..2] }; 5]);
        assert_eq!(bench.receiver.check.missing(1, 3, 0..3), [], "publisher 4 is the second one of topic 0");
        assert_eq!(bench.receiver.check.missing(0, 0, 0..3), [0..3]);
    }

    #[test]
    fn spread_of_measured_messages_is_recorded_when_everyone_has_them() {
        let mut bench = bench();
        for publisher in 0..3 {
            bench.flight.set_receivers(publisher, 1);
        }
        bench.control.publishers[0].measured_from.store(1, Ordering::Relaxed);
        for sequence in 0..2 {
            bench.flight.publish(0, sequence);
            bench.receive(0, stamp(0, sequence));
        }
        bench.receiver.end_reap(&bench.flight, 10_000, &bench.control);
        assert_eq!(bench.flight.complete(0), 2);
        assert_eq!(bench.receiver.measure.spread.histogram().len(), 1);
    }

    /// What counts, whichever way the messages came.
    fn figures(bench: &mut Bench) -> String {
        let Bench { receiver, flight, .. } = bench;
        let histogram = receiver.measure.from_intended.histogram();
        let latencies: Vec<_> =
            histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        let complete: Vec<_> = (0..3).map(|publisher| flight.complete(publisher)).collect();
        let missing: Vec<_> = (0..8)
            .flat_map(|subscriber| (0..2).map(move |place| (subscriber, place)))
            .map(|(subscriber, place)| receiver.check.missing(subscriber, place, 0..200))
            .collect();
        format!("{:?} {latencies:?} {complete:?} {missing:?}", receiver.measure.counts)
    }

    #[test]
    fn what_came_before_counts_as_if_it_were_parsed_again() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut repeated = 0;
        for _ in 0..100 {
            let arguments = ["--topics", "2", "--publishers", "3", "--subscribers", "8"];
            let (mut parsing, mut repeating) = (bench_of(&arguments), bench_of(&arguments));
            for bench in [&mut parsing, &mut repeating] {
                (0..3).for_each(|publisher| bench.flight.set_receivers(publisher, 4));
            }
            let mut sequences = [0; 3];
            for reap in 0..20 {
                let now_ns = 10_000 + reap * 1_000;
                // Subscribers of topic 0 are the even ones; publishers 0 and 2 are its.
                let publishers = if random.bool() { &[0, 2][..] } else { &[1][..] };
                let mut burst = Vec::new();
                for _ in 0..random.usize(1..6) {
                    let publisher = *random.choice(publishers).expect("not empty");
                    let sequence = &mut sequences[publisher as usize];
                    let measured = *sequence > 5;
                    let intended_ns = 5_000 + random.u64(..4_000);
                    burst.push(Stamp { measured, intended_ns, ..stamp(publisher, *sequence) });
                    for bench in [&mut parsing, &mut repeating] {
                        bench.flight.publish(publisher as usize, *sequence);
                    }
                    *sequence += 1;
                    if random.u8(..20) == 0 {
                        burst.push(*burst.last().expect("just pushed"));
                    }
                }
                for subscriber in (0..8).filter(|subscriber| publishers.contains(&(subscriber % 2))) {
                    let messages: Vec<[u8; 64]> = burst
                        .iter()
                        .filter(|_| random.u8(..30) > 0)
                        .map(|stamp| {
                            let mut message = [0; 64];
                            stamp.write(Encoding::Binary, &mut message);
                            message
                        })
                        .collect();
                    let (at, topic, bytes) = (subscriber as usize, subscriber % 2, messages.concat());
                    for message in &messages {
                        parsing.receiver.receive(at, topic, message, now_ns, &parsing.control);
                    }
                    let Bench { receiver, control, .. } = &mut repeating;
                    if receiver.receive_repeat(at, topic, &bytes, now_ns, control) {
                        repeated += 1;
                        continue;
                    }
                    for message in &messages {
                        receiver.receive(at, topic, message, now_ns, control);
                    }
                    receiver.end_receive(true);
                }
                for Bench { receiver, flight, control } in [&mut parsing, &mut repeating] {
                    receiver.end_reap(flight, now_ns, control);
                }
            }
            assert_eq!(figures(&mut parsing), figures(&mut repeating));
        }
        assert!(repeated > 1_000, "{repeated} receives were known: the test tests nothing");
    }

    #[test]
    fn known_bytes_are_still_checked_for_each_subscriber() {
        let mut bench = bench_of(&["--subscribers", "3"]);
        let mut message = [0; 64];
        stamp(0, 0).write(Encoding::Binary, &mut message);
        let mut receive = |subscriber| {
            let Bench { receiver, control, .. } = &mut bench;
            if !receiver.receive_repeat(subscriber, 0, &message, 10_000, control) {
                receiver.receive(subscriber, 0, &message, 10_000, control);
                receiver.end_receive(true);
            }
        };
        [0, 1, 2, 1].into_iter().for_each(&mut receive);
        bench.receiver.end_reap(&bench.flight, 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.received, 3);
        assert_eq!(bench.receiver.measure.counts.duplicated, 1);
    }

    #[test]
    fn bytes_with_more_than_messages_in_them_are_parsed_each_time() {
        let mut bench = bench_of(&["--subscribers", "2"]);
        let mut message = [0; 64];
        stamp(0, 0).write(Encoding::Binary, &mut message);
        let Bench { receiver, control, .. } = &mut bench;
        assert!(!receiver.receive_repeat(0, 0, &message, 10_000, control));
        receiver.receive(0, 0, &message, 10_000, control);
        receiver.end_receive(false);
        assert!(
            !receiver.receive_repeat(1, 0, &message, 10_000, control),
            "say, a ping that wants an answer"
        );
    }
}
