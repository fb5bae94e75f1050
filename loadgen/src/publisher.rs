//! One publisher: which messages are due, and their bytes, without its connection, which it may share with others.

use std::sync::atomic::Ordering;

use corecast_protocol::frame::encode_frame;

use crate::control::{Control, Timing};
use crate::endpoint::Peer;
use crate::flight::Flight;
use crate::http_publisher::RequestHead;
use crate::json_dialect::{Answer, MessageId};
use crate::measure::Measure;
use crate::message::Message;
use crate::preset::Via;
use crate::scenario::{Load, Scenario};
use crate::schedule::Schedule;
use crate::stamp::Stamp;

/// Bytes encoded ahead of one send. More that is due follows in the next turn.
const MOST_BYTES_A_TURN: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Publisher {
    index: u32,
    run: u32,
    load: Load,
    /// Known when publishing starts.
    schedule: Option<Schedule>,
    /// Of the next message.
    sequence: u32,
    measured_from: Option<u32>,
    message: Message,
    /// Around messages that are posted.
    head: Option<RequestHead>,
    is_dead: bool,
    /// Its next sequence at each end of a connection.
    breaks: Vec<u32>,
    /// Measured messages that the server refused.
    measured_refused: u32,
    window: ClosedWindow,
    /// How many publishes are answered, where each of them is.
    answers: Option<u32>,
}

/// The closed loop's account of messages on their way.
#[derive(Clone, Copy, Debug, Default)]
struct ClosedWindow {
    /// Messages that will never reach everyone: refused, or stuck for longer than the grace time.
    given_up: u64,
    complete: u64,
    progress_ns: u64,
}

/// What publishers need to know of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) control: &'a Control,
    pub(crate) flight: &'a Flight,
    pub(crate) timing: Timing,
}

/// Where messages go: a connection that takes some now.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    pub(crate) peer: &'a mut Peer,
    pub(crate) out: &'a mut Vec<u8>,
    /// Lateness before this is not the generator's: the connection took nothing.
    pub(crate) clear_since_ns: u64,
}

/// How far a publisher got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Produced {
    /// All that was due.
    All,
    /// As much as one turn takes.
    FullTurn,
    /// As much as the server wants before it has answered.
    NoRoom,
}

impl Publisher {
    pub(crate) fn new(scenario: &Scenario, run: u32, index: u32) -> Self {
        Self {
            index,
            run,
            load: scenario.load,
            schedule: None,
            sequence: 0,
            measured_from: None,
            message: Message::new(scenario, index),
            head: (scenario.via == Via::Http).then(|| RequestHead::new(scenario, scenario.topic_of(index))),
            is_dead: false,
            breaks: Vec::new(),
            measured_refused: 0,
            window: ClosedWindow::default(),
            answers: scenario.is_acknowledged.then_some(0),
        }
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Publishing starts at `timing.start_ns`.
    pub(crate) fn start(&mut self, scenario: &Scenario, timing: Timing) {
        if let Load::Open { rate } = self.load {
            let publishers = scenario.publishers as usize;
            self.schedule = Some(Schedule::new(timing.start_ns, rate, self.index as usize, publishers));
        }
        self.window.progress_ns = timing.start_ns;
    }

    /// The connection is gone for good.
    pub(crate) fn kill(&mut self) {
        self.is_dead = true;
    }

    /// The connection is gone and will be made again. Answers that are still to come never will: how many.
    pub(crate) fn break_off(&mut self) -> u32 {
        self.breaks.push(self.sequence);
        let unanswered = self.unanswered();
        self.answers = self.answers.map(|answers| answers + unanswered);
        unanswered
    }

    /// Its next sequence at each end of a connection, ascending: messages right before may have gone down with it.
    pub(crate) fn breaks(&self) -> &[u32] {
        &self.breaks
    }

    /// The server refused these messages too. In the closed loop others may take their place.
    pub(crate) fn refused(&mut self, sequences: &[u32], control: &Control) {
        let first = self.measured().start;
        self.measured_refused += sequences.iter().filter(|sequence| **sequence >= first).count() as u32;
        self.window.given_up += sequences.len() as u64;
        control.publishers[self.index as usize].refuse(sequences, self.measured_refused);
    }

    /// Takes what the server says of one of its messages.
    pub(crate) fn take_answer(&mut self, answer: &Answer, control: &Control) {
        let Some(answers) = &mut self.answers else { return };
        match *answer {
            Answer::Published { id: MessageId { sequence, .. }, offset } => {
                *answers += 1;
                let board = &control.publishers[self.index as usize];
                let is_measured = self.measured_from.is_some_and(|first| sequence >= first);
                if is_measured && offset < board.measured_offset.load(Ordering::Relaxed) {
                    board.measured_offset.store(offset, Ordering::Relaxed);
                }
            }
            Answer::Refused { id: Some(MessageId { sequence, .. }), .. } => {
                *answers += 1;
                self.refused(&[sequence], control);
            }
            Answer::Refused { id: None, .. } => {}
        }
    }

    /// Publishes whose answers are still to come.
    pub(crate) fn unanswered(&self) -> u32 {
        self.answers.map_or(0, |answers| self.sequence.saturating_sub(answers))
    }

    /// Appends all messages that are due at `now_ns` and fit.
    pub(crate) fn produce(
        &mut self,
        now_ns: u64,
        surroundings: &Surroundings<'_>,
        outlet: &mut Outlet<'_>,
        measure: &mut Measure,
    ) -> Produced {
        self.give_up_stuck(now_ns, surroundings);
        let mut produced = Produced::All;
        while let Some(intended_ns) = self.due(now_ns, surroundings) {
            if outlet.out.len() >= MOST_BYTES_A_TURN {
                produced = Produced::FullTurn;
                break;
            }
            if matches!(outlet.peer, Peer::Poster(poster) if !poster.has_room()) {
                produced = Produced::NoRoom;
                break;
            }
            self.send(intended_ns, now_ns, surroundings, outlet, measure);
        }
        let board = &surroundings.control.publishers[self.index as usize];
        board.sent.store(self.sequence, Ordering::Release);
        produced
    }

    /// When [`produce`](Self::produce) is to be called next if nothing happens to its messages before: publishing has not
    /// begun, or all that is due was produced. `None` when nothing will ever be due again.
    pub(crate) fn wake_ns(&self, now_ns: u64, surroundings: &Surroundings<'_>) -> Option<u64> {
        let timing = &surroundings.timing;
        if self.is_dead {
            return None;
        }
        match self.load {
            Load::Open { .. } => {
                Some(self.schedule?.due_ns(self.sequence)).filter(|due_ns| *due_ns < timing.until_ns)
            }
            Load::Closed { .. } if now_ns >= timing.until_ns => None,
            Load::Closed { .. } if self.sequence == 0 => Some(timing.start_ns),
            // Completions bring it up before, unless one of its messages is stuck.
            Load::Closed { .. } => Some((self.patience_ends_ns(surroundings) + 1).min(timing.until_ns)),
        }
    }

    /// The measured messages sent, by sequence.
    pub(crate) fn measured(&self) -> std::ops::Range<u32> {
        self.measured_from.unwrap_or(self.sequence)..self.sequence
    }

    /// Messages that were due but not sent: the connection did not take them.
    pub(crate) fn unsent(&self, timing: &Timing) -> u64 {
        self.schedule.map_or(0, |schedule| {
            schedule.due_before(timing.until_ns).saturating_sub(u64::from(self.sequence))
        })
    }

    /// Appends the request of a message that was posted before.
    pub(crate) fn repeat(&mut self, stamp: &Stamp, out: &mut Vec<u8>) {
        self.write(stamp, out);
    }

    /// Intended time of the next message, if it is due.
    fn due(&self, now_ns: u64, surroundings: &Surroundings<'_>) -> Option<u64> {
        let timing = &surroundings.timing;
        // The last sequence is kept free: see `Flight` and `Check`.
        if self.is_dead || self.sequence == u32::MAX - 1 {
            return None;
        }
        match (self.load, self.schedule) {
            (Load::Open { .. }, Some(schedule)) => Some(schedule.due_ns(self.sequence))
                .filter(|due_ns| *due_ns <= now_ns && *due_ns < timing.until_ns),
            (Load::Open { .. }, None) => None,
            (Load::Closed { in_flight }, _) => {
                let has_time = (timing.start_ns..timing.until_ns).contains(&now_ns);
                let settled = surroundings.flight.complete(self.index as usize) + self.window.given_up;
                let on_their_way = u64::from(self.sequence).saturating_sub(settled);
                (has_time && on_their_way < u64::from(in_flight)).then_some(now_ns)
            }
        }
    }

    fn send(
        &mut self,
        intended_ns: u64,
        now_ns: u64,
        surroundings: &Surroundings<'_>,
        outlet: &mut Outlet<'_>,
        measure: &mut Measure,
    ) {
        let measured = intended_ns >= surroundings.timing.measure_ns;
        let stamp = Stamp {
            run: self.run,
            publisher: self.index,
            sequence: self.sequence,
            measured,
            intended_ns,
            sent_ns: now_ns,
        };
        if measured && self.measured_from.is_none() {
            self.measured_from = Some(self.sequence);
            // Before the message is on its way: its receivers look here.
            let board = &surroundings.control.publishers[self.index as usize];
            board.measure_from(self.sequence);
        }
        surroundings.flight.publish(self.index as usize, self.sequence);
        if let Peer::Poster(poster) = outlet.peer {
            poster.sent(stamp);
        }
        self.write(&stamp, outlet.out);
        measure.published += u64::from(measured);
        if measured && matches!(self.load, Load::Open { .. }) {
            measure.schedule_lag.record(now_ns - intended_ns);
            measure.own_lag.record(now_ns.saturating_sub(intended_ns.max(outlet.clear_since_ns)));
        }
        self.sequence += 1;
    }

    fn write(&mut self, stamp: &Stamp, out: &mut Vec<u8>) {
        let (kind, payload) = self.message.stamped(stamp);
        match &self.head {
            Some(head) => head.write_request(payload, out),
            // RFC 6455 §5.3: the key is new for each frame and cannot be foretold.
            None => encode_frame(out, kind.opcode(), payload, Some(rand::random())),
        }
    }

    /// A subscriber that never gets a message must not stop the closed loop for good.
    fn give_up_stuck(&mut self, now_ns: u64, surroundings: &Surroundings<'_>) {
        if !matches!(self.load, Load::Closed { .. }) {
            return;
        }
        let complete = surroundings.flight.complete(self.index as usize);
        if complete != self.window.complete {
            self.window.complete = complete;
            self.window.progress_ns = now_ns;
        }
        let stuck = u64::from(self.sequence).saturating_sub(complete + self.window.given_up);
        if now_ns > self.patience_ends_ns(surroundings) {
            self.window.given_up += stuck;
            self.window.progress_ns = now_ns;
        }
    }

    /// How long the closed loop waits for progress.
    fn patience_ends_ns(&self, surroundings: &Surroundings<'_>) -> u64 {
        self.window.progress_ns + surroundings.scenario.grace.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::stamp::{Encoding, Finder};
    use corecast_protocol::{Connection, Event, Input, Limits, Side};

    const TIMING: Timing =
        Timing { start_ns: 1_000_000_000, measure_ns: 1_500_000_000, until_ns: 2_000_000_000 };

    struct Bench {
        scenario: Scenario,
        control: Control,
        flight: Flight,
        publisher: Publisher,
        peer: Peer,
        clear_since_ns: u64,
        measure: Measure,
    }

    fn bench(arguments: &[&str]) -> Bench {
        let scenario = Scenario::of(arguments);
        let mut publisher = Publisher::new(&scenario, 5, 0);
        publisher.start(&scenario, TIMING);
        let flight = Flight::new(1, 64);
        flight.set_receivers(0, 1);
        let control = Control::new(1, 1, 1);
        let peer = Peer::Publisher(Client::new(0));
        Bench { scenario, control, flight, publisher, peer, clear_since_ns: 0, measure: Measure::default() }
    }

    impl Bench {
        fn produce_into(&mut self, now_ns: u64, out: &mut Vec<u8>) -> Produced {
            let Self { scenario, control, flight, publisher, peer, clear_since_ns, measure } = self;
            let surroundings = Surroundings { scenario, control, flight, timing: TIMING };
            let mut outlet = Outlet { peer, out, clear_since_ns: *clear_since_ns };
            publisher.produce(now_ns, &surroundings, &mut outlet, measure)
        }

        /// The stamps of all messages produced at this time.
        fn produce(&mut self, now_ns: u64) -> Vec<Stamp> {
            let mut out = Vec::new();
            assert_eq!(self.produce_into(now_ns, &mut out), Produced::All);
            let mut server = Connection::new(Side::Server);
            let mut input = Input::new(&mut out);
            let mut stamps = Vec::new();
            while let Some(event) = server.poll_event(&mut input, &Limits::default()).expect("valid frames") {
                let Event::Message { payload, .. } = event else { panic!("only messages, not {event:?}") };
                stamps.push(Finder::new(Encoding::Binary).find(&payload).expect("a stamp"));
            }
            stamps
        }

        fn wake_ns(&self, now_ns: u64) -> Option<u64> {
            let Self { scenario, control, flight, .. } = self;
            self.publisher.wake_ns(now_ns, &Surroundings { scenario, control, flight, timing: TIMING })
        }
    }

    #[test]
    fn late_messages_keep_their_intended_time() {
        let mut bench = bench(&["--rate", "1000"]);
        assert_eq!(bench.produce(999_999_999), []);
        let sent = bench.produce(1_002_500_000);
        let intended: Vec<u64> = sent.iter().map(|stamp| stamp.intended_ns).collect();
        assert_eq!(intended, [1_000_000_000, 1_001_000_000, 1_002_000_000]);
        assert!(sent.iter().all(|stamp| stamp.sent_ns == 1_002_500_000 && !stamp.measured));
        assert_eq!(bench.produce(1_002_500_000), []);
    }

    #[test]
    fn the_measured_part_begins_and_ends_by_intended_time() {
        let mut bench = bench(&["--rate", "1000"]);
        let sent = bench.produce(3_000_000_000);
        assert_eq!(sent.len(), 1_000, "one second of messages, however late");
        assert_eq!(sent.iter().filter(|stamp| stamp.measured).count(), 500);
        assert_eq!(bench.publisher.measured(), 500..1_000);
        assert_eq!(bench.control.publishers[0].measured_from.load(Ordering::Relaxed), 500);
        assert_eq!(bench.wake_ns(3_000_000_000), None);
        assert_eq!(bench.publisher.unsent(&TIMING), 0);
        assert_eq!(bench.measure.schedule_lag.histogram().len(), 500);
    }

    #[test]
    fn lateness_while_the_connection_was_full_is_not_our_own() {
        let mut bench = bench(&["--rate", "1000"]);
        bench.produce(1_600_000_000);
        bench.measure = Measure::default();
        bench.clear_since_ns = 1_700_000_000;
        assert_eq!(bench.produce(1_700_000_000).len(), 100);
        assert!(bench.measure.schedule_lag.histogram().max() >= 99_000_000);
        // All of them fell due before the connection took messages again, which is when they were sent.
        assert_eq!(bench.measure.own_lag.histogram().count_at(0), 100);
    }

    #[test]
    fn what_a_dead_connection_never_took_is_unsent() {
        let mut bench = bench(&["--rate", "1000"]);
        bench.produce(1_099_000_000);
        bench.publisher.kill();
        assert_eq!(bench.produce(2_500_000_000), []);
        assert_eq!(bench.wake_ns(1_100_000_000), None);
        assert_eq!(bench.publisher.unsent(&TIMING), 900);
    }

    #[test]
    fn between_messages_a_publisher_rests() {
        let mut bench = bench(&["--rate", "1000"]);
        assert_eq!(bench.wake_ns(0), Some(1_000_000_000));
        bench.produce(1_000_500_000);
        assert_eq!(bench.wake_ns(1_000_500_000), Some(1_001_000_000));
        bench.produce(1_999_500_000);
        assert_eq!(bench.wake_ns(1_999_500_000), None, "nothing will be due");
    }

    #[test]
    fn in_the_closed_loop_a_publisher_comes_up_by_itself_when_its_patience_ends() {
        let mut bench = bench(&["--in-flight", "1", "--grace", "100ms"]);
        assert_eq!(bench.wake_ns(0), Some(1_000_000_000));
        bench.produce(1_000_000_000);
        assert_eq!(bench.wake_ns(1_000_000_000), Some(1_100_000_001));
        bench.flight.arrive(0, 0, 1, 1_950_000_000);
        bench.produce(1_950_000_000);
        assert_eq!(bench.wake_ns(1_950_000_000), Some(2_000_000_000), "or when its time is over");
        assert_eq!(bench.wake_ns(2_000_000_000), None);
    }

    #[test]
    fn a_turn_takes_a_bounded_number_of_bytes() {
        let mut bench = bench(&["--rate", "1000000", "--size", "1KiB"]);
        let mut out = Vec::new();
        assert_eq!(bench.produce_into(1_900_000_000, &mut out), Produced::FullTurn);
        // 1,032 bytes each, with the frame's header.
        assert_eq!(out.len(), 255 * 1_032);
    }

    #[test]
    fn answers_are_matched_by_sequence() {
        let mut bench = bench(&["--preset", "corecast-json", "--rate", "1000"]);
        // Sequences 0 to 502; from 500 on they are measured.
        bench.produce_into(1_502_000_000, &mut Vec::new());
        assert_eq!(bench.publisher.unanswered(), 503);
        let id = |sequence| MessageId { publisher: None, sequence };
        let mut answer = |answer| bench.publisher.take_answer(&answer, &bench.control);
        let offset = || bench.control.publishers[0].measured_offset.load(Ordering::Relaxed);
        answer(Answer::Published { id: id(499), offset: 900 });
        assert_eq!(offset(), u64::MAX, "warm-up");
        answer(Answer::Published { id: id(501), offset: 902 });
        answer(Answer::Published { id: id(500), offset: 901 });
        assert_eq!(offset(), 901);
        for sequence in [502, 3] {
            answer(Answer::Refused { id: Some(id(sequence)), reason: "overloaded: wait".to_owned() });
        }
        answer(Answer::Refused { id: None, reason: "bad_request: no JSON".to_owned() });
        assert_eq!(bench.control.publishers[0].refused.load(Ordering::Relaxed), 1, "measured ones");
        assert_eq!(bench.publisher.unanswered(), 498);
        assert_eq!(bench.control.publishers[0].refused_sequences(), [3, 502]);
    }

    #[test]
    fn closed_loop_keeps_so_many_on_their_way() {
        let mut bench = bench(&["--in-flight", "3"]);
        let sent = bench.produce(1_600_000_000);
        assert_eq!(sent.iter().map(|stamp| stamp.sequence).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(sent.iter().all(|stamp| stamp.intended_ns == stamp.sent_ns));
        assert_eq!(bench.produce(1_600_100_000), []);
        bench.flight.arrive(0, 1, 1, 1_600_200_000);
        assert_eq!(bench.produce(1_600_200_000).len(), 1);
        bench.publisher.refused(&[1], &bench.control);
        assert_eq!(bench.produce(1_600_300_000).len(), 1);
        assert_eq!(bench.produce(2_000_000_000), [], "its time is over");
    }

    #[test]
    fn closed_loop_goes_on_when_a_message_is_lost() {
        let mut bench = bench(&["--in-flight", "2", "--grace", "100ms"]);
        assert_eq!(bench.produce(1_000_000_000).len(), 2);
        assert_eq!(bench.produce(1_100_000_000).len(), 0);
        assert_eq!(bench.produce(1_100_000_001).len(), 2, "longer than the grace time without any progress");
    }
}
