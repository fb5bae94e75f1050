//! What each completion means, and the sending at the end of a turn.

use corecast_uring::{Completion, Errno, File, Op, ReceiveBuffer, Ring, Send, Token};

use crate::client::Progress;
use crate::control::Phase;
use crate::endpoint::{Endpoint, Peer, Stage};
use crate::failure::Failure;
use crate::groups::Group;
use crate::worker::{Worker, list};

/// Of no connection: how far the kernel has got with what arrived.
pub(super) const MARK: Token = Token::new(9, 0, 0);
pub(super) const MARK_CANCEL: Token = Token::new(9, 0, 1);

/// What an operation on a connection was for: the kind in its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Create = 1,
    Prepare = 2,
    Connect = 3,
    Receive = 4,
    Writable = 5,
    Close = 6,
    Cancel = 7,
    /// The peer has ended the connection.
    Ended = 8,
}

impl Kind {
    pub(super) fn token(self, at: usize, endpoint: &Endpoint) -> Token {
        Token::new(self as u8, at as u32, endpoint.socket.generation)
    }

    fn of(token: Token) -> Self {
        match token.kind() {
            1 => Self::Create,
            2 => Self::Prepare,
            3 => Self::Connect,
            4 => Self::Receive,
            5 => Self::Writable,
            6 => Self::Close,
            7 => Self::Cancel,
            8 => Self::Ended,
            other => unreachable!("no operation was pushed with kind {other}"),
        }
    }
}

impl Worker<'_> {
    pub(super) fn dispatch(&mut self, completion: Completion, now: u64) {
        let at = completion.token.slot() as usize;
        let socket = &mut self.endpoints[at].socket;
        if completion.token.generation() != socket.generation {
            // Of a socket that this connection had before.
            if let Some(buffer) = completion.buffer {
                self.ring.release(buffer);
            }
            return;
        }
        match Kind::of(completion.token) {
            Kind::Create => self.created(at, completion.result),
            Kind::Prepare => self.prepared(at, completion.result),
            Kind::Connect => self.connected(at, completion.result, now),
            Kind::Receive => self.received(at, completion, now),
            Kind::Writable => {
                socket.blocked = false;
                list(&mut self.to_send, at, &mut self.endpoints[at]);
            }
            Kind::Ended => self.slow_ended(at, now),
            Kind::Close | Kind::Cancel => {}
        }
    }

    fn created(&mut self, at: usize, result: Result<u32, Errno>) {
        match result {
            Ok(file) => {
                self.endpoints[at].socket.file = Some(File(file));
                if self.endpoints[at].socket.stage == Stage::Creating {
                    self.prepare(at, 0);
                }
            }
            Err(errno) => self.fail(at, &Failure::from_prepare(errno)),
        }
    }

    fn prepared(&mut self, at: usize, result: Result<u32, Errno>) {
        match (result, self.endpoints[at].socket.stage) {
            (Ok(_), Stage::Preparing(step)) => self.prepare(at, step + 1),
            (Err(errno), _) => self.fail(at, &Failure::from_prepare(errno)),
            // Given up meanwhile.
            (Ok(_), _) => {}
        }
    }

    fn connected(&mut self, at: usize, result: Result<u32, Errno>, now: u64) {
        let endpoint = &self.endpoints[at];
        match result {
            // Given up meanwhile.
            Ok(_) if matches!(endpoint.socket.stage, Stage::Down | Stage::New) => {}
            Ok(_) => {
                self.come_up(at);
                if matches!(self.endpoints[at].peer, Peer::Poster(_)) {
                    self.opened(at, now);
                }
            }
            Err(errno) => {
                let scenario = self.shared.scenario;
                let target = if endpoint.is_subscriber() { &scenario.subscribe } else { &scenario.publish };
                self.fail(at, &Failure::from_connect(errno, target.address));
            }
        }
    }

    fn received(&mut self, at: usize, completion: Completion, now: u64) {
        self.endpoints[at].socket.is_receiving = completion.more;
        if let Some(mut buffer) = completion.buffer {
            self.handle_bytes(at, &mut buffer, now);
            self.ring.release(buffer);
        }
        if self.is_slow(at) && self.read_slowly(at, completion.result, now) {
            return;
        }
        match completion.result {
            Ok(0) => self.end_of_stream(at),
            Ok(_) if completion.more => {}
            Ok(_) | Err(Errno::ENOBUFS) => self.to_rearm.push(at as u32),
            Err(errno) => self.broke(at, errno),
        }
    }

    fn handle_bytes(&mut self, at: usize, buffer: &mut ReceiveBuffer, now: u64) {
        let Self { endpoints, receiver, scratch, shared, groups, phase, .. } = self;
        let endpoint = &mut endpoints[at];
        if matches!(endpoint.socket.stage, Stage::Down | Stage::New) {
            return;
        }
        let control = shared.control;
        let out = &mut endpoint.socket.out;
        let progress = match &mut endpoint.peer {
            Peer::Subscriber(client) => {
                let first_topic = client.topic();
                let group = groups.of(at as u32);
                // What comes when all is over is late, and does not count any more.
                let is_counted = *phase != Phase::Close;
                let is_noted = is_counted && group == Group::Steady && client.is_between_messages();
                if is_noted && receiver.receive_repeat(at, first_topic, buffer, now, control) {
                    return;
                }
                let answers = out.len();
                receiver.change_group(group);
                let progress =
                    client.handle_bytes(buffer, shared.subscriber, scratch, out, |_, message, _| {
                        if is_counted {
                            receiver.receive(at, first_topic, message, now, control);
                        }
                    });
                receiver.change_group(group);
                let is_plain = progress == Ok(Progress::Open) && out.len() == answers;
                receiver.end_receive(is_noted && is_plain && client.is_between_messages());
                progress
            }
            Peer::Publisher(client) => {
                client.handle_bytes(buffer, shared.publisher, scratch, out, |_, message, _| {
                    self.publishing.take_answer(at - self.subscribers, message, control);
                })
            }
            Peer::Poster(poster) => poster.handle_bytes(buffer, &shared.scenario.limits).map(|answers| {
                if answers.refused > 0 {
                    self.publishing.refused(&poster.take_refused(), control);
                }
                Progress::Open
            }),
        };
        list(&mut self.to_send, at, endpoint);
        match (progress, endpoint.socket.stage) {
            (Ok(Progress::Opening), _) => {}
            (Ok(Progress::Open), Stage::Closing) => {}
            (Ok(Progress::Open), _) => self.opened(at, now),
            // RFC 6455 §7.1.1: the server ends TCP, so that not this host's ports are left in TIME_WAIT.
            (Ok(Progress::Closed), Stage::Closing) => self.answered_close(),
            (Ok(Progress::Closed), _) => {}
            (Err(_), Stage::Closing) => self.end_closing(at, false),
            (Err(failure), _) => self.fail(at, &failure),
        }
    }

    /// The peer's stream is over.
    fn end_of_stream(&mut self, at: usize) {
        let endpoint = &mut self.endpoints[at];
        let failure = match &mut endpoint.peer {
            Peer::Subscriber(client) | Peer::Publisher(client) => client.end_of_stream(),
            Peer::Poster(poster) => {
                let again = poster.end_of_stream();
                self.publishing.refused(&poster.take_refused(), self.shared.control);
                if again && endpoint.socket.stage == Stage::Up {
                    return self.connect_again(at);
                }
                Some(Failure::EndOfStream(false))
            }
        };
        self.close_socket(at);
        match self.endpoints[at].socket.stage {
            Stage::Closing => self.end_closing(at, failure.is_none()),
            _ => self.fail(at, &failure.unwrap_or(Failure::EndOfStream(false))),
        }
    }

    /// A receive or a send failed for good (RFC 6455 §7.2.1).
    fn broke(&mut self, at: usize, errno: Errno) {
        match self.endpoints[at].socket.stage {
            Stage::Closing => self.end_closing(at, self.endpoints[at].is_closed()),
            _ => self.fail(at, &Failure::Broken(errno)),
        }
    }

    /// An HTTP server may close a kept connection at any time (RFC 9112 §9.5): the next requests go over a new one.
    fn connect_again(&mut self, at: usize) {
        self.close_socket(at);
        let socket = &mut self.endpoints[at].socket;
        socket.generation += 1;
        socket.blocked = false;
        self.create(at);
    }

    /// Closes a socket whose receive has ended. One that is still watched for room is left to the end of the ring: a
    /// socket may be closed only when no operation is in flight on it.
    pub(super) fn close_socket(&mut self, at: usize) {
        let endpoint = &mut self.endpoints[at];
        endpoint.socket.out = Vec::new();
        if let Some(file) = endpoint.socket.file.take()
            && !endpoint.socket.blocked
        {
            self.ring.push(Kind::Close.token(at, endpoint), Op::Close { file });
        }
    }

    /// Sends what endpoints have to send: one send each, as a second one could overtake the rest of the first.
    pub(super) fn flush(&mut self) {
        let Self { endpoints, batch, outcomes, .. } = self;
        batch.clear();
        for at in self.to_send.drain(..) {
            let socket = &mut endpoints[at as usize].socket;
            socket.listed = false;
            if socket.file.is_some() && !socket.blocked && !socket.out.is_empty() {
                batch.push(at);
            }
        }
        if batch.is_empty() {
            return;
        }
        let sends = batch.iter().map(|&at| {
            let socket = &endpoints[at as usize].socket;
            Send { file: socket.open_file(), bytes: &socket.out }
        });
        self.ring.send_batch(sends, outcomes);
        let mut broken = Vec::new();
        for outcome in outcomes.drain(..) {
            let at = batch[outcome.index as usize];
            let socket = &mut endpoints[at as usize].socket;
            match outcome.result {
                Ok(sent) => {
                    socket.out.drain(..sent as usize);
                    socket.blocked = true;
                }
                Err(Errno::EAGAIN) => socket.blocked = true,
                Err(errno) => broken.push((at as usize, errno)),
            }
        }
        for &at in batch.iter() {
            let endpoint = &mut endpoints[at as usize];
            if endpoint.socket.blocked {
                let poll = Op::PollWritable { file: endpoint.socket.open_file() };
                self.ring.push(Kind::Writable.token(at as usize, endpoint), poll);
            } else if (at as usize) < self.subscribers {
                // A subscriber seldom sends: it gives its memory back.
                endpoint.socket.out = Vec::new();
            } else {
                endpoint.socket.out.clear();
            }
        }
        for (at, errno) in broken {
            self.broke(at, errno);
        }
    }

    /// Arms receives again that had ended for want of a buffer, now that buffers are back.
    pub(super) fn rearm(&mut self) {
        for at in std::mem::take(&mut self.to_rearm) {
            self.receive(at as usize);
        }
    }
}
