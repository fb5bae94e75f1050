//! What happens to every message that a worker's subscribers receive: read the stamp, check it, measure it.

use std::sync::atomic::Ordering;

use crate::check::{Arrival, Check, overlap};
use crate::control::Control;
use crate::flight::{Flight, LocalArrivals};
use crate::measure::Measure;
use crate::scenario::Scenario;
use crate::stamp::Finder;

/// The receiving side of one worker.
#[derive(Debug)]
pub(crate) struct Receiver {
    run: u32,
    finder: Finder,
    /// Topic of each publisher, and its number among that topic's publishers.
    publishers: Box<[(u32, u32)]>,
    arrivals: LocalArrivals,
    pub(crate) check: Check,
    pub(crate) measure: Measure,
    /// Publishing has begun: what is not of this run is no greeting any more.
    pub(crate) is_counting: bool,
}

impl Receiver {
    pub(crate) fn new(scenario: &Scenario, run: u32, flight: &Flight, subscribers: usize) -> Self {
        let place = |publisher| (scenario.topic_of(publisher), publisher / scenario.topics);
        Self {
            run,
            finder: Finder::new(scenario.encoding()),
            publishers: (0..scenario.publishers).map(place).collect(),
            arrivals: LocalArrivals::new(scenario.publishers as usize, flight.window()),
            check: Check::new(subscribers, scenario.publishers_per_topic() as usize),
            measure: Measure::default(),
            is_counting: false,
        }
    }

    /// One message for the worker's `subscriber`-th subscriber, which listens to `topic`.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        subscriber: usize,
        topic: u32,
        message: &[u8],
        now_ns: u64,
        control: &Control,
    ) {
        let stamp = self.finder.find(message).filter(|stamp| stamp.run == self.run);
        let known = stamp.and_then(|stamp| Some((stamp, *self.publishers.get(stamp.publisher as usize)?)));
        let Some((stamp, (_, place))) = known.filter(|(_, (heard_on, _))| *heard_on == topic) else {
            return self.unexpected(message);
        };
        let arrival = self.check.receive(subscriber, place as usize, stamp.sequence);
        let counts = &mut self.measure.counts;
        match arrival {
            Arrival::New { given_up: None } => {}
            Arrival::New { given_up: Some(lost) } => {
                let measured_from =
                    control.publishers[stamp.publisher as usize].measured_from.load(Ordering::Relaxed);
                counts.given_up += overlap(&lost, &(measured_from..u32::MAX)).len() as u64;
            }
            Arrival::Reordered => counts.reordered += u64::from(stamp.measured),
            Arrival::Duplicate => {
                counts.duplicated += u64::from(stamp.measured);
                return;
            }
        }
        self.arrivals.add(stamp.publisher as usize, stamp.sequence);
        if stamp.measured {
            counts.received += 1;
            counts.received_bytes += message.len() as u64;
            self.measure.from_intended.record(now_ns.saturating_sub(stamp.intended_ns));
            self.measure.from_sent.record(now_ns.saturating_sub(stamp.sent_ns));
            self.measure.last_arrival_ns = now_ns;
        }
    }

    /// Enters what one reap brought into the shared windows.
    pub(crate) fn end_reap(&mut self, flight: &Flight, now_ns: u64, control: &Control) {
        let spread = &mut self.measure.spread;
        self.arrivals.enter(flight, now_ns, |publisher, sequence, spread_ns| {
            // Before the first measured message this is the largest number: warm-up is left out.
            if sequence >= control.publishers[publisher].measured_from.load(Ordering::Relaxed) {
                spread.record(spread_ns);
            }
        });
    }

    #[cold]
    fn unexpected(&mut self, message: &[u8]) {
        if !self.is_counting {
            return;
        }
        match announced_missed(message) {
            Some(count) => self.measure.counts.announced_missed += count,
            None => self.measure.counts.unexpected += 1,
        }
    }
}

/// How many messages corecast's JSON dialect says the subscriber was not sent:
/// `{"op":"missed","topic":...,"from":...,"to":...}`, both ends included.
fn announced_missed(message: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Missed {
        op: String,
        from: u64,
        to: u64,
    }
    let missed: Missed = serde_json::from_slice(message).ok()?;
    (missed.op == "missed").then(|| missed.to.checked_sub(missed.from)?.checked_add(1)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::{Encoding, Stamp};
    use clap::Parser;

    struct Bench {
        receiver: Receiver,
        control: Control,
        flight: Flight,
    }

    fn bench() -> Bench {
        let arguments = ["run", "--topics", "2", "--publishers", "3", "--subscribers", "2"];
        let options = crate::options::RunOptions::try_parse_from(arguments).expect("valid options");
        let scenario = Scenario::from_options(&options).expect("a valid scenario");
        let flight = Flight::new(3, 1);
        let mut receiver = Receiver::new(&scenario, 77, &flight, 2);
        receiver.is_counting = true;
        Bench { receiver, control: Control::new(1, 3, 2), flight }
    }

    impl Bench {
        fn receive(&mut self, subscriber: usize, stamp: Stamp) {
            let mut message = [0; 64];
            stamp.write(Encoding::Binary, &mut message);
            self.receiver.receive(subscriber, subscriber as u32, &message, 10_000, &self.control);
        }
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
        bench.receiver.receive(0, 0, b"hello", 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.unexpected, 4);
        assert_eq!(bench.receiver.measure.counts.received, 0);
    }

    #[test]
    fn greetings_before_the_run_are_nobodys_fault() {
        let mut bench = bench();
        bench.receiver.is_counting = false;
        bench.receiver.receive(0, 0, b"welcome", 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.unexpected, 0);
    }

    #[test]
    fn announced_gaps_are_counted_apart() {
        let mut bench = bench();
        let notice = br#"{"op":"missed","topic":"load-0","from":11,"to":14}"#;
        bench.receiver.receive(0, 0, notice, 10_000, &bench.control);
        bench.receiver.receive(0, 0, br#"{"op":"missed","from":9,"to":3}"#, 10_000, &bench.control);
        assert_eq!(bench.receiver.measure.counts.announced_missed, 4);
        assert_eq!(bench.receiver.measure.counts.unexpected, 1, "a range that runs backwards says nothing");
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
}
