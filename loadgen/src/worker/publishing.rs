//! The publishers of a worker: who sends when over which connection, and what the server says of it.

use crate::clock::now_ns;
use crate::control::Control;
use crate::dealing::Dealing;
use crate::endpoint::{Endpoint, Stage};
use crate::failure::Reasons;
use crate::json_dialect::{self, Answer};
use crate::measure::Measure;
use crate::publisher::{Outlet, Produced, Publisher, Surroundings};
use crate::scenario::{Load, Scenario};
use crate::stamp::Stamp;
use crate::worker::agenda::Agenda;

/// In the closed loop with several workers, how long until a worker looks whether the others' subscribers have its
/// publishers' messages.
const CLOSED_LOOP_LOOK_NS: u64 = 50_000;

/// Publishers and connections go by the worker's own numbers.
#[derive(Debug)]
pub(super) struct Publishing {
    dealing: Dealing,
    publishers: Vec<Publisher>,
    agenda: Agenda,
    is_closed_loop: bool,
    is_acknowledged: bool,
    /// The end of publishing that the agenda is made for.
    until_ns: u64,
    /// Why the server refused messages.
    pub(super) refusals: Reasons,
    /// From the other workers, reused.
    completed: Vec<u32>,
}

impl Publishing {
    pub(super) fn new(scenario: &Scenario, run: u32, dealing: Dealing) -> Self {
        let own = 0..dealing.own_publishers();
        let lines = own.clone().map(|publisher| dealing.own_connection_of(publisher));
        Self {
            agenda: Agenda::new(lines, dealing.own_connections()),
            publishers: own.map(|own| Publisher::new(scenario, run, dealing.publisher(own))).collect(),
            dealing,
            is_closed_loop: matches!(scenario.load, Load::Closed { .. }),
            is_acknowledged: scenario.is_acknowledged,
            until_ns: 0,
            refusals: Reasons::default(),
            completed: Vec::new(),
        }
    }

    pub(super) fn publishers(&self) -> &[Publisher] {
        &self.publishers
    }

    /// Publishing starts at the time that the surroundings say.
    pub(super) fn start(&mut self, surroundings: &Surroundings<'_>) {
        self.until_ns = surroundings.timing.until_ns;
        let now = now_ns();
        for (own, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.start(surroundings.scenario, surroundings.timing);
            plan(&mut self.agenda, own, publisher, now, surroundings);
        }
    }

    /// Publishes what is due. `endpoints` are the publishers' connections; `sending` is called with each that has got
    /// something. True when there is more than one turn takes.
    pub(super) fn publish(
        &mut self,
        endpoints: &mut [Endpoint],
        surroundings: &Surroundings<'_>,
        measure: &mut Measure,
        mut sending: impl FnMut(usize, &mut Endpoint),
    ) -> bool {
        let Surroundings { control, timing, .. } = surroundings;
        let Self { agenda, publishers, dealing, .. } = self;
        if self.is_closed_loop && dealing.workers > 1 {
            control.take_completed(dealing.worker, &mut self.completed);
            for publisher in self.completed.drain(..) {
                agenda.queue(
                    dealing.own_number_of(publisher).expect("completions go to the publisher's worker"),
                );
            }
        }
        if self.until_ns != timing.until_ns {
            // It ends earlier than planned.
            self.until_ns = timing.until_ns;
            agenda.queue_all();
        }
        agenda.queue_due(now_ns());
        let mut has_more = false;
        agenda.each_busy(|agenda, line| {
            let endpoint = &mut endpoints[line];
            has_more |= serve(agenda, line, publishers, endpoint, surroundings, measure);
            sending(line, endpoint);
        });
        has_more | self.settle(endpoints, control)
    }

    /// How long nothing is due.
    pub(super) fn wait_ns(&self, now_ns: u64, surroundings: &Surroundings<'_>) -> Option<u64> {
        let wait_ns = self.agenda.next_ns()?.saturating_sub(now_ns);
        // Alone, this worker sees every completion itself.
        let is_looking =
            self.is_closed_loop && self.dealing.workers > 1 && now_ns >= surroundings.timing.start_ns;
        Some(if is_looking { wait_ns.min(CLOSED_LOOP_LOOK_NS) } else { wait_ns })
    }

    /// Everyone has one more message of each of these publishers.
    pub(super) fn completed(&mut self, publishers: &mut Vec<u32>, control: &Control) {
        for publisher in publishers.drain(..) {
            match self.dealing.own_number_of(publisher) {
                Some(own) => self.agenda.queue(own),
                None => control.complete(self.dealing.worker_of(publisher), publisher),
            }
        }
    }

    /// Takes what the server sent on a connection. One that sends publishers what they publish does nothing wrong.
    pub(super) fn take_answer(&mut self, line: usize, message: &[u8], control: &Control) {
        if !self.is_acknowledged {
            return;
        }
        let Some(answer) = json_dialect::answer(message) else { return };
        let (Answer::Published { id, .. } | Answer::Refused { id: Some(id), .. }) = &answer else {
            return self.add_refusal(answer);
        };
        let own = match id.publisher {
            // The only one has the number of its connection.
            None => Some(line),
            Some(publisher) => self.dealing.own_number_of(publisher),
        };
        let Some(own) = own.filter(|own| self.dealing.own_connection_of(*own) == line) else { return };
        self.publishers[own].take_answer(&answer, control);
        if matches!(answer, Answer::Refused { .. }) {
            // In the closed loop another message may take its place.
            self.agenda.queue(own);
            self.add_refusal(answer);
        }
    }

    /// The server did not accept these messages.
    pub(super) fn refused(&mut self, stamps: &[Stamp], control: &Control) {
        for stamp in stamps {
            let own = self.dealing.own_number_of(stamp.publisher).expect("it was sent from here");
            self.publishers[own].refused(&[stamp.sequence], control);
            self.agenda.queue(own);
        }
    }

    /// Appends the request of a message that was posted before.
    pub(super) fn repeat(&mut self, stamp: &Stamp, out: &mut Vec<u8>) {
        let own = self.dealing.own_number_of(stamp.publisher).expect("it was sent from here");
        self.publishers[own].repeat(stamp, out);
    }

    /// A connection is gone, but will be made again: publishes whose answers will never come.
    pub(super) fn break_off(&mut self, line: usize) -> u64 {
        self.dealing.own_publishers_of(line).map(|own| u64::from(self.publishers[own].break_off())).sum()
    }

    /// A connection is gone for good, and with it all its publishers.
    pub(super) fn kill(&mut self, line: usize) {
        for own in self.dealing.own_publishers_of(line) {
            self.publishers[own].kill();
            self.agenda.queue(own);
        }
    }

    /// Tells which publishers have nothing left to send and to hear. True when there may be more of them.
    fn settle(&mut self, endpoints: &[Endpoint], control: &Control) -> bool {
        self.agenda.settle(|own| {
            let publisher = &self.publishers[own];
            let endpoint = &endpoints[self.dealing.own_connection_of(own)];
            let has_answers = endpoint.socket.stage == Stage::Down || publisher.unanswered() == 0;
            let is_finished = endpoint.socket.out.is_empty() && !endpoint.has_unanswered() && has_answers;
            if is_finished {
                control.publishers[publisher.index() as usize].finish();
            }
            is_finished
        })
    }

    fn add_refusal(&mut self, answer: Answer) {
        if let Answer::Refused { reason, .. } = answer {
            self.refusals.add_reason(reason);
        }
    }
}

/// Lets the publishers of a connection send, in the order they came up. True when there is more than one turn takes.
fn serve(
    agenda: &mut Agenda,
    line: usize,
    publishers: &mut [Publisher],
    endpoint: &mut Endpoint,
    surroundings: &Surroundings<'_>,
    measure: &mut Measure,
) -> bool {
    let is_gone = endpoint.socket.stage == Stage::Down;
    if !is_gone && !endpoint.is_clear() {
        agenda.lines[line].hold();
        return false;
    }
    while let Some(own) = agenda.first(line) {
        // Handling completions took time: lateness is measured against now, not against the reap.
        let now = now_ns();
        let clear_since_ns = agenda.lines[line].clear(now);
        let Endpoint { peer, socket } = &mut *endpoint;
        let mut outlet = Outlet { peer, out: &mut socket.out, clear_since_ns };
        match publishers[own].produce(now, surroundings, &mut outlet, measure) {
            Produced::All => {
                agenda.leave(line);
                plan(agenda, own, &publishers[own], now, surroundings);
            }
            Produced::FullTurn => {
                agenda.lines[line].rotate();
                return true;
            }
            Produced::NoRoom => {
                agenda.lines[line].rotate();
                agenda.lines[line].hold();
                return false;
            }
        }
    }
    false
}

/// When the publisher comes up next, or that it never does.
fn plan(
    agenda: &mut Agenda,
    own: usize,
    publisher: &Publisher,
    now_ns: u64,
    surroundings: &Surroundings<'_>,
) {
    match publisher.wake_ns(now_ns, surroundings) {
        Some(wake_ns) => agenda.wake_at(own, wake_ns),
        None => agenda.end(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Timing;
    use crate::endpoint::Peer;
    use crate::flight::Flight;
    use crate::http_publisher::HttpPublisher;
    use std::sync::atomic::Ordering;

    /// One worker's publishers, six on two connections.
    struct Bench {
        scenario: Scenario,
        control: Control,
        flight: Flight,
        timing: Timing,
        publishing: Publishing,
        endpoints: Vec<Endpoint>,
    }

    const OVER: u64 = 1_000_000_000;

    fn bench(arguments: &[&str], workers: usize) -> Bench {
        let given = ["--topics", "6", "--publisher-connections", "2", "--seed", "1"];
        let scenario = Scenario::of(&[&given, arguments].concat());
        let dealing = Dealing { publishers: 6, connections: 2, worker: 0, workers };
        let publishing = Publishing::new(&scenario, 7, dealing);
        // With posters a connection is ready when its socket is.
        let endpoint = |_| {
            let mut endpoint = Endpoint::new(Peer::Poster(Box::new(HttpPublisher::new(&scenario))));
            endpoint.socket.stage = Stage::Up;
            endpoint
        };
        let endpoints = (0..dealing.own_connections()).map(endpoint).collect();
        let flight = Flight::new(6, 1);
        for publisher in 0..6 {
            flight.set_receivers(publisher, 1);
        }
        // A second of publishing that is over: all that was due in it is due now.
        let until_ns = now_ns() - OVER;
        let start_ns = until_ns - 1_000_000_000;
        let timing = Timing { start_ns, measure_ns: start_ns, until_ns };
        Bench { control: Control::new(workers, 6, 6), scenario, flight, timing, publishing, endpoints }
    }

    impl Bench {
        fn with_publishing(
            &mut self,
            act: impl FnOnce(&mut Publishing, &mut [Endpoint], &Surroundings<'_>) -> bool,
        ) -> bool {
            let Self { scenario, control, flight, timing, publishing, endpoints } = self;
            act(publishing, endpoints, &Surroundings { scenario, control, flight, timing: *timing })
        }

        fn start(&mut self) {
            self.with_publishing(|publishing, _, surroundings| {
                publishing.start(surroundings);
                false
            });
        }

        fn publish(&mut self) -> bool {
            let mut measure = Measure::default();
            self.with_publishing(|publishing, endpoints, surroundings| {
                publishing.publish(endpoints, surroundings, &mut measure, |_, _| {})
            })
        }

        /// Topics in the requests on a connection, in order. They are sent.
        fn topics(&mut self, line: usize) -> Vec<String> {
            let out = std::mem::take(&mut self.endpoints[line].socket.out);
            let text = String::from_utf8_lossy(&out).into_owned();
            let requests = text.split("POST /topics/").skip(1);
            requests.map(|request| request.split(' ').next().unwrap_or_default().to_owned()).collect()
        }

        /// The server accepts so many requests.
        fn accept(&mut self, line: usize, count: usize) {
            let Peer::Poster(poster) = &mut self.endpoints[line].peer else { panic!("a poster") };
            let answers = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".repeat(count);
            poster.handle_bytes(&answers, &self.scenario.limits).expect("valid answers");
        }

        fn finished(&self) -> [bool; 6] {
            [0, 1, 2, 3, 4, 5].map(|at| self.control.publishers[at].finished.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn publishers_of_a_connection_send_in_the_order_of_their_times() {
        let mut bench = bench(&["--publish", "http", "--rate", "2"], 1);
        bench.start();
        assert!(!bench.publish());
        assert_eq!(bench.topics(0), ["load-0", "load-0", "load-2", "load-2", "load-4", "load-4"]);
        assert_eq!(bench.topics(1), ["load-1", "load-1", "load-3", "load-3", "load-5", "load-5"]);
        assert_eq!(bench.finished(), [false; 6], "nothing is answered");
        bench.accept(0, 6);
        bench.accept(1, 5);
        bench.publish();
        assert!(!bench.finished()[5], "one is unanswered");
        bench.accept(1, 1);
        bench.publish();
        assert_eq!(bench.finished(), [true; 6]);
    }

    #[test]
    fn a_full_connection_holds_all_its_publishers() {
        let mut bench = bench(&["--publish", "http", "--rate", "1"], 1);
        bench.endpoints[0].socket.blocked = true;
        bench.start();
        assert!(!bench.publish());
        assert_eq!((bench.topics(0).len(), bench.topics(1).len()), (0, 3));
        bench.endpoints[0].socket.blocked = false;
        bench.publish();
        assert_eq!(bench.topics(0), ["load-0", "load-2", "load-4"]);
    }

    #[test]
    fn requests_ahead_are_bounded_for_all_publishers_of_a_connection() {
        let mut bench = bench(&["--publish", "http", "--rate", "2", "--http-pipeline", "3"], 1);
        bench.start();
        assert!(!bench.publish(), "only answers make room");
        assert_eq!(bench.topics(0), ["load-0", "load-0", "load-2"]);
        bench.publish();
        assert_eq!(bench.topics(0), [""; 0]);
        bench.accept(0, 3);
        bench.publish();
        assert_eq!(
            bench.topics(0),
            ["load-4", "load-4", "load-2"],
            "whoever had to stop is behind the others"
        );
    }

    #[test]
    fn a_lost_connection_loses_all_its_publishers() {
        let mut bench = bench(&["--publish", "http", "--rate", "5"], 1);
        bench.start();
        bench.endpoints[1].socket.stage = Stage::Down;
        bench.publishing.kill(1);
        bench.publish();
        assert_eq!((bench.topics(0).len(), bench.topics(1).len()), (15, 0));
        let unsent: Vec<u64> =
            bench.publishing.publishers().iter().map(|publisher| publisher.unsent(&bench.timing)).collect();
        assert_eq!(unsent, [0, 5, 0, 5, 0, 5]);
        bench.accept(0, 15);
        bench.publish();
        assert_eq!(bench.finished(), [true; 6]);
    }

    #[test]
    fn in_the_closed_loop_only_those_whose_messages_got_on_come_up() {
        let mut bench = bench(&["--publish", "http", "--in-flight", "1", "--grace", "1h"], 1);
        bench.timing.until_ns += 3_600_000_000_000;
        bench.start();
        bench.publish();
        assert_eq!(bench.topics(0), ["load-0", "load-2", "load-4"]);
        assert_eq!(bench.topics(1), ["load-1", "load-3", "load-5"]);
        bench.publish();
        assert_eq!((bench.topics(0).len(), bench.topics(1).len()), (0, 0));
        bench.flight.arrive(4, 0, 1, now_ns());
        let mut completed = vec![4];
        bench.publishing.completed(&mut completed, &bench.control);
        assert!(completed.is_empty());
        bench.publish();
        assert_eq!((bench.topics(0).as_slice(), bench.topics(1).len()), (&["load-4".to_owned()][..], 0));
        let refused = Stamp { run: 7, publisher: 3, sequence: 0, measured: true, intended_ns: 0, sent_ns: 0 };
        bench.publishing.refused(&[refused], &bench.control);
        bench.publish();
        assert_eq!((bench.topics(0).len(), bench.topics(1)), (0, vec!["load-3".to_owned()]));
        assert_eq!(bench.control.publishers[3].refused_sequences(), [0]);
    }

    #[test]
    fn workers_tell_each_other_what_is_complete() {
        let mut bench = bench(&["--publish", "http", "--in-flight", "1", "--grace", "1h"], 2);
        bench.timing.until_ns += 3_600_000_000_000;
        bench.start();
        bench.publish();
        assert_eq!(
            bench.topics(0),
            ["load-0", "load-2", "load-4"],
            "the other connection is the other worker's"
        );
        bench.publishing.completed(&mut vec![3], &bench.control);
        let mut others = Vec::new();
        bench.control.take_completed(1, &mut others);
        assert_eq!(others, [3]);
        bench.flight.arrive(2, 0, 1, now_ns());
        bench.control.complete(0, 2);
        bench.publish();
        assert_eq!(bench.topics(0), ["load-2"]);
    }

    #[test]
    fn an_early_end_brings_everybody_up() {
        let mut bench = bench(&["--publish", "http", "--rate", "0.001"], 1);
        // The first messages are due over a thousand seconds: that of publisher 0 only now.
        bench.timing.until_ns += 3_600_000_000_000;
        bench.start();
        bench.publish();
        assert_eq!((bench.topics(0), bench.topics(1).len()), (vec!["load-0".to_owned()], 0));
        bench.accept(0, 1);
        bench.publish();
        assert_eq!(bench.finished(), [false; 6]);
        bench.timing.until_ns = now_ns();
        bench.publish();
        assert_eq!(bench.finished(), [true; 6]);
    }

    #[test]
    fn answers_find_their_publisher_on_their_connection() {
        let mut bench = bench(&["--preset", "corecast-json", "--rate", "5"], 1);
        let mut answer =
            |line, text: &str| bench.publishing.take_answer(line, text.as_bytes(), &bench.control);
        let refusal =
            |id: &str| format!(r#"{{"op":"error","code":"overloaded","message":"wait","id":"{id}"}}"#);
        answer(0, &refusal("0000000004.0000000002"));
        answer(1, &refusal("0000000005.0000000001"));
        answer(0, &refusal("0000000003.0000000001"));
        answer(0, &refusal("0000000006.0000000001"));
        answer(0, r#"{"op":"error","code":"bad_request","message":"no JSON"}"#);
        answer(1, r#"{"op":"pong"}"#);
        let refused = |publisher: usize| bench.control.publishers[publisher].refused_sequences();
        assert_eq!([4, 5, 3].map(refused), [vec![2], vec![1], vec![]], "3 is not on connection 0");
        let reasons = bench.publishing.refusals.sorted();
        let reasons: Vec<(&str, u64)> =
            reasons.iter().map(|(reason, count)| (reason.as_ref(), *count)).collect();
        assert_eq!(reasons, [("overloaded: wait", 2), ("bad_request: no JSON", 1)]);
    }
}
