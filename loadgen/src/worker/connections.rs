//! The life of a worker's connections: started at a pace, opened step by step, failed or closed.

use std::sync::atomic::Ordering;

use corecast_uring::{Op, Ring};

use crate::control::Phase;
use crate::endpoint::{Endpoint, Peer, Stage, creation, preparation};
use crate::failure::Failure;
use crate::groups::Group;
use crate::pacing::Pacing;
use crate::worker::dispatch::Kind;
use crate::worker::{Shared, Worker, list};

/// Failures without one success after which the rest is not tried.
const HOPELESS_FAILURES: u32 = 64;
/// Closing handshakes of one worker that wait for their answers at the same time.
const MOST_CLOSING: usize = 256;

impl Worker<'_> {
    /// Starts as many connections as the pace allows and gives up on those that take too long.
    pub(super) fn connect(&mut self, now: u64, pacing: &Pacing) {
        let board = self.board();
        let failed = board.failed.load(Ordering::Relaxed);
        let is_hopeless = failed >= HOPELESS_FAILURES && board.open.load(Ordering::Relaxed) == 0;
        let allowance = if is_hopeless { 0 } else { pacing.allowance(now, self.started, self.opening_count) };
        for at in self.started..self.endpoints.len().min(self.started.saturating_add(allowance)) {
            self.start(at, now);
            self.started += 1;
        }
        self.give_up_slow_ones(now);
        let is_done = self.started == self.endpoints.len() || is_hopeless;
        board.settled.store(is_done && self.opening_count == 0, Ordering::Release);
    }

    fn start(&mut self, at: usize, now: u64) {
        self.endpoints[at].socket.started_ns = now;
        self.opening.push_back(at as u32);
        self.opening_count += 1;
        self.create(at);
    }

    /// Asks for a socket: the first step, also of a poster that connects again.
    pub(super) fn create(&mut self, at: usize) {
        let endpoint = &mut self.endpoints[at];
        endpoint.socket.stage = Stage::Creating;
        let op = creation(self.shared.scenario, endpoint.is_subscriber());
        self.ring.push(Kind::Create.token(at, endpoint), op);
    }

    /// Does step `step` of the preparation. The last one is the connect.
    pub(super) fn prepare(&mut self, at: usize, step: u8) {
        let scenario = self.shared.scenario;
        let endpoint = &mut self.endpoints[at];
        endpoint.socket.stage = Stage::Preparing(step);
        let subscriber =
            endpoint.is_subscriber().then_some((at * scenario.workers.len() + self.number) as u32);
        let (place, places) = self.place;
        let op = preparation(scenario, subscriber, at * places + place, endpoint.socket.open_file(), step)
            .expect("the connect ends the preparation and has another completion");
        let kind = if matches!(op, Op::Connect { .. }) { Kind::Connect } else { Kind::Prepare };
        self.ring.push(kind.token(at, endpoint), op);
    }

    /// Connected: bytes may come, and the handshake goes out.
    pub(super) fn come_up(&mut self, at: usize) {
        self.receive(at);
        let endpoint = &mut self.endpoints[at];
        endpoint.socket.stage = Stage::Up;
        let out = &mut endpoint.socket.out;
        // RFC 6455 §4.1, number 7: the key is random and new for each connection.
        match &mut endpoint.peer {
            Peer::Subscriber(client) => client.begin(rand::random(), self.shared.subscriber, out),
            Peer::Publisher(client) => client.begin(rand::random(), self.shared.publisher, out),
            Peer::Poster(poster) => {
                for stamp in poster.unanswered() {
                    self.publishing.repeat(stamp, out);
                }
            }
        }
        list(&mut self.to_send, at, endpoint);
    }

    /// The connection is ready for its purpose.
    pub(super) fn opened(&mut self, at: usize, now: u64) {
        let endpoint = &mut self.endpoints[at];
        if std::mem::replace(&mut endpoint.socket.was_open, true) {
            if !self.returning.is_empty() {
                self.came_back(at, now);
            }
            return;
        }
        self.opening_count -= 1;
        self.receiver.measure.handshake.record(now - endpoint.socket.started_ns);
        let board = &self.shared.control.workers[self.number];
        board.open.fetch_add(1, Ordering::Relaxed);
        board.opened_ns.store(now, Ordering::Relaxed);
        if at >= self.subscribers {
            board.open_publishing.fetch_add(1, Ordering::Relaxed);
        }
        if let Peer::Subscriber(client) = &endpoint.peer {
            match self.groups.of(at as u32) {
                Group::Steady => {
                    for topic in self.shared.scenario.topics_from(client.topic()) {
                        self.shared.control.subscribers[topic as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
                Group::Churning => self.returning.arrived(at as u32),
                Group::Slow => self.begin_slowly(at, now),
            }
        }
    }

    /// The connection failed: before it was open that is a failure, after it a disconnection. What still waits to be
    /// sent (a Close frame) is sent; the socket is closed when its receive ends, or with the ring.
    pub(super) fn fail(&mut self, at: usize, failure: &Failure) {
        if self.phase == Phase::Close {
            return self.end_before_closing(at);
        }
        let is_apart = self.endpoints[at].socket.was_open && self.endpoints[at].socket.stage != Stage::Down;
        if is_apart && self.phase == Phase::Run && self.comes_back(at, failure) {
            return self.gone(at, failure);
        }
        if is_apart && self.is_slow(at) {
            return self.slow_gone(at, failure);
        }
        let endpoint = &mut self.endpoints[at];
        match std::mem::replace(&mut endpoint.socket.stage, Stage::Down) {
            Stage::Down => return,
            Stage::Closing => unreachable!("what happens while closing goes to end_closing"),
            Stage::New | Stage::Creating | Stage::Preparing(_) | Stage::Up => {}
        }
        let control = self.shared.control;
        let board = &control.workers[self.number];
        if !endpoint.socket.was_open {
            self.opening_count -= 1;
            board.failed.fetch_add(1, Ordering::Relaxed);
            self.failures.add(failure);
        } else {
            board.lost_connections.fetch_add(1, Ordering::Relaxed);
            self.disconnections.add(failure);
            self.remove_receiver(at);
        }
        if at >= self.subscribers {
            self.publishing.kill(at - self.subscribers);
        }
    }

    /// Messages are complete without this subscriber.
    pub(super) fn remove_receiver(&self, at: usize) {
        let Shared { scenario, control, flight, .. } = self.shared;
        let Peer::Subscriber(client) = &self.endpoints[at].peer else { return };
        if self.groups.of(at as u32) != Group::Steady {
            return;
        }
        for topic in scenario.topics_from(client.topic()) {
            control.subscribers[topic as usize].fetch_sub(1, Ordering::Relaxed);
            for publisher in (topic..scenario.publishers).step_by(scenario.topics as usize) {
                flight.remove_receiver(publisher as usize);
            }
        }
    }

    /// Begins the closing handshake (RFC 6455 §7.1.2) of every open connection. The others are left to the end of the ring.
    /// Not all at once: behind a million closing handshakes in hand each would wait for longer than servers have patience.
    pub(super) fn close_more(&mut self) {
        while self.unanswered < MOST_CLOSING && self.closing_began < self.endpoints.len() {
            let at = self.closing_began;
            self.closing_began += 1;
            let endpoint = &mut self.endpoints[at];
            let has_handshake = match &mut endpoint.peer {
                _ if endpoint.socket.stage != Stage::Up => false,
                Peer::Subscriber(client) | Peer::Publisher(client) => client.close(&mut endpoint.socket.out),
                Peer::Poster(_) => false,
            };
            endpoint.socket.stage = if has_handshake { Stage::Closing } else { Stage::Down };
            self.closing += usize::from(has_handshake);
            self.unanswered += usize::from(has_handshake);
            list(&mut self.to_send, at, endpoint);
        }
    }

    /// A connection ended before it was its turn to be closed: the run is over, so nothing is lost by that.
    fn end_before_closing(&mut self, at: usize) {
        let endpoint = &mut self.endpoints[at];
        if std::mem::replace(&mut endpoint.socket.stage, Stage::Down) == Stage::Up {
            self.not_closed += 1;
        }
    }

    /// The server has answered a Close frame of ours: only its end of TCP is to come.
    pub(super) fn answered_close(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// A closing handshake is complete, or its connection ended without.
    pub(super) fn end_closing(&mut self, at: usize, is_complete: bool) {
        let stage = std::mem::replace(&mut self.endpoints[at].socket.stage, Stage::Down);
        assert_eq!(stage, Stage::Closing, "only a closing handshake that began can end");
        self.closing -= 1;
        if is_complete {
            self.closed += 1;
        } else {
            self.answered_close();
            self.not_closed += 1;
        }
    }

    fn give_up_slow_ones(&mut self, now: u64) {
        let timeout = self.shared.scenario.connect_timeout;
        while let Some(&at) = self.opening.front() {
            let at = at as usize;
            let socket = &self.endpoints[at].socket;
            let is_settled = socket.was_open || socket.stage == Stage::Down;
            if !is_settled && now.saturating_sub(socket.started_ns) < timeout.as_nanos() as u64 {
                return;
            }
            self.opening.pop_front();
            if !is_settled {
                let endpoint = &mut self.endpoints[at];
                let waits_for = endpoint.waits_for();
                // RFC 6455 §7.3: one that is established is closed by a closing handshake.
                if let Peer::Subscriber(client) | Peer::Publisher(client) = &mut endpoint.peer
                    && client.close(&mut endpoint.socket.out)
                {
                    list(&mut self.to_send, at, endpoint);
                }
                self.fail(at, &Failure::TooSlow(timeout, waits_for));
            }
        }
    }
}

impl Endpoint {
    /// Takes messages now: not before the handshake is done, nor after a Close (RFC 6455 §4.1, §6.1).
    pub(super) fn is_clear(&self) -> bool {
        self.socket.stage == Stage::Up
            && !self.socket.blocked
            && match &self.peer {
                Peer::Subscriber(client) | Peer::Publisher(client) => client.is_open(),
                Peer::Poster(poster) => poster.has_room(),
            }
    }

    /// The closing handshake is complete.
    pub(super) fn is_closed(&self) -> bool {
        matches!(&self.peer, Peer::Subscriber(client) | Peer::Publisher(client) if client.is_closed())
    }

    /// Requests whose answers are still to come.
    pub(super) fn has_unanswered(&self) -> bool {
        matches!(&self.peer, Peer::Poster(poster) if self.socket.stage != Stage::Down && !poster.is_idle())
    }

    pub(super) fn waits_for(&self) -> &'static str {
        match (self.socket.stage, &self.peer) {
            (Stage::New | Stage::Creating | Stage::Preparing(_), _) => "the connection was not accepted",
            (_, Peer::Subscriber(client) | Peer::Publisher(client)) if client.is_upgraded() => {
                "not every topic was confirmed by a message with the --subscribed-match text"
            }
            _ => "the handshake was not answered",
        }
    }
}
