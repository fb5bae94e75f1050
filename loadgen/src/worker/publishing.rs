//! The publishers of a worker: who sends when over which connection, and what the server says of it.

use std::sync::atomic::Ordering;

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
        for own in 0..self.publishers.len() {
            self.publishers[own].start(surroundings.scenario, surroundings.timing);
            self.plan(own, now, surroundings);
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
        let Some(next_ns) = self.agenda.next_ns() else { return None };
        let wait_ns = next_ns.saturating_sub(now_ns);
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

    /// A connection is gone for good, and with it all its publishers.
    pub(super) fn kill(&mut self, line: usize) {
        for own in self.dealing.own_publishers_of(line) {
            self.publishers[own].kill();
            self.agenda.queue(own);
        }
    }

    fn plan(&mut self, own: usize, now_ns: u64, surroundings: &Surroundings<'_>) {
        plan(&mut self.agenda, own, &self.publishers[own], now_ns, surroundings);
    }

    /// Tells which publishers have nothing left to send and to hear. True when there may be more of them.
    fn settle(&mut self, endpoints: &[Endpoint], control: &Control) -> bool {
        self.agenda.settle(|own| {
            let publisher = &self.publishers[own];
            let endpoint = &endpoints[self.dealing.own_connection_of(own)];
            let has_answers = endpoint.socket.stage == Stage::Down || publisher.unanswered() == 0;
            let is_finished = endpoint.socket.out.is_empty() && !endpoint.has_unanswered() && has_answers;
            if is_finished {
                let board = &control.publishers[publisher.index() as usize];
                board.finished.store(true, Ordering::Release);
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
    if !is_gone && (endpoint.socket.blocked || !endpoint.is_ready()) {
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
