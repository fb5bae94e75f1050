use super::connection::{Armed, Kind};
use super::streams::{Pending, Stream};
use super::{FakeRing, Target, last};
use crate::completion::Completion;
use crate::errno::Errno;
use crate::op::{File, Op, SocketOption};
use crate::token::Token;

/// What happens when an operation is pushed and when it is submitted.
impl FakeRing {
    /// Which connection is open at this index.
    ///
    /// # Panics
    ///
    /// When none is, or when its close has been pushed.
    pub(super) fn open(&self, file: File, what: impl Fn() -> String) -> u32 {
        let owner = self.files.get(file.0 as usize).copied().flatten();
        let connection = owner.unwrap_or_else(|| panic!("{}: no socket is open at {file:?}", what()));
        assert!(!self.connections[connection as usize].closing, "{}: {file:?} is being closed", what());
        connection
    }

    /// Checks what only a mistake of the caller can bring about, and counts the operation as in flight.
    pub(super) fn admit(&mut self, token: Token, op: Op) {
        let (file, kind) = match op {
            Op::Accept { listener } | Op::AcceptOne { listener } => {
                let listener = &mut self.listeners[usize::from(listener.0)];
                assert!(
                    !std::mem::replace(&mut listener.in_flight, true),
                    "{token:?}: Accept is armed twice"
                );
                return;
            }
            Op::Timeout { .. } | Op::Cancel { .. } => return,
            Op::Receive { file } => (file, Kind::Receive),
            Op::PollWritable { file } => (file, Kind::PollWritable),
            Op::PeerAddress { file } => (file, Kind::PeerAddress),
            Op::Shutdown { file } => (file, Kind::Shutdown),
            Op::Close { file } => (file, Kind::Close),
            Op::SetOption { file, option: SocketOption::ResetOnClose } => (file, Kind::SetOption),
            Op::Socket { .. }
            | Op::SetOption { .. }
            | Op::Bind { .. }
            | Op::Connect { .. }
            | Op::ReceiveOne { .. }
            | Op::PollEnd { .. } => {
                panic!("{op:?}: the fake ring has no client side")
            }
        };
        let connection = self.open(file, || format!("{op:?} {token:?}"));
        let connection = &mut self.connections[connection as usize];
        if kind == Kind::Close {
            let in_flight = &connection.in_flight;
            assert!(
                in_flight.is_empty(),
                "{op:?} {token:?}: operations are in flight on the file: {in_flight:?}"
            );
            connection.closing = true;
        } else if matches!(kind, Kind::Receive | Kind::PollWritable) {
            assert!(!connection.in_flight(kind), "{token:?}: {kind:?} is armed twice on {file:?}");
        }
        connection.in_flight.push((token, kind));
    }

    pub(super) fn submit(&mut self) {
        self.stats.enters += 1;
        while let Some((token, op)) = self.queued.pop_front() {
            self.stats.sqes += 1;
            self.execute(token, op);
        }
    }

    fn execute(&mut self, token: Token, op: Op) {
        match op {
            Op::Accept { listener } | Op::AcceptOne { listener } => {
                let ends = matches!(op, Op::AcceptOne { .. });
                let listener = usize::from(listener.0);
                self.listeners[listener].accept = Some(Armed { token, ends });
                self.arm(token, Target::Accept(listener));
            }
            Op::Receive { file } => {
                let connection = self.owner(file);
                let end = &mut self.connections[connection as usize];
                end.receive = Some(Armed { token, ends: false });
                end.receive_is_new = true;
                self.arm(token, Target::Receive(connection));
                self.touched.insert(connection);
            }
            Op::PollWritable { file } => {
                let connection = self.owner(file);
                self.connections[connection as usize].poll_writable = Some(Armed { token, ends: true });
                self.arm(token, Target::PollWritable(connection));
                self.touched.insert(connection);
            }
            Op::PeerAddress { file } => {
                let connection = self.owner(file);
                let address = Some(self.connections[connection as usize].address);
                let completion = Completion { address, ..last(token, Ok(0)) };
                // An IPv6 socket is asked twice: what is received may come first.
                let settles = Some((connection, Kind::PeerAddress));
                let stream = self.pending.loose();
                self.pending.push(Pending { completion, stream, settles, may_be_late: true });
            }
            Op::Shutdown { file } => {
                let connection = self.owner(file);
                // A worker thread does it, at a moment of its own: sends pushed later may go out before.
                if self.chance(self.faults.late_completion) {
                    self.finish(connection);
                }
                let end = &self.connections[connection as usize];
                let result = if end.peer_reset { Err(Errno::ENOTCONN) } else { Ok(0) };
                self.complete(connection, last(token, result), Some(Kind::Shutdown), true);
            }
            Op::SetOption { file, .. } => {
                let connection = self.owner(file);
                self.connections[connection as usize].resets_on_close = true;
                self.complete(connection, last(token, Ok(0)), Some(Kind::SetOption), true);
            }
            Op::Cancel { target } => self.cancel(token, target),
            Op::Close { file } => {
                let connection = self.owner(file);
                self.connections[connection as usize].close();
                self.files[file.0 as usize] = None;
                // Kernels before 6.16 may post an accept's completion before that of the close which made
                // room for it.
                if self.chance(self.faults.late_completion) {
                    self.free_files.push(file);
                } else {
                    self.connections[connection as usize].freed_by_close = Some(file);
                }
                self.complete(connection, last(token, Ok(0)), Some(Kind::Close), true);
            }
            Op::Timeout { after } => {
                self.timers.push((self.now.saturating_add(after), token));
                self.arm(token, Target::Timer);
            }
            Op::Socket { .. }
            | Op::Bind { .. }
            | Op::Connect { .. }
            | Op::ReceiveOne { .. }
            | Op::PollEnd { .. } => {
                unreachable!("refused by admit")
            }
        }
    }

    /// The ring's end sends its FIN.
    pub(super) fn finish(&mut self, connection: u32) {
        self.connections[connection as usize].finished = true;
        self.touched.insert(connection);
    }

    fn owner(&self, file: File) -> u32 {
        self.files[file.0 as usize].expect("checked when it was pushed, and nothing follows a close")
    }

    fn arm(&mut self, token: Token, target: Target) {
        let other = self.armed.insert(token.to_u64(), target);
        assert!(
            other.is_none(),
            "{token:?}: two operations in flight have one token: {other:?} and {target:?}"
        );
    }

    fn cancel(&mut self, token: Token, target: Token) {
        let Some(found) = self.armed.remove(&target.to_u64()) else {
            self.complete_loose(last(token, Err(Errno::ENOENT)), true);
            return;
        };
        let result = if self.chance(self.faults.cancel_already) { Err(Errno::EALREADY) } else { Ok(0) };
        self.complete_loose(last(token, result), true);
        let cancelled = last(target, Err(Errno::ECANCELED));
        match found {
            Target::Accept(listener) => {
                self.listeners[listener].accept = None;
                self.complete_accept(listener, cancelled, true);
            }
            Target::Receive(connection) => {
                self.connections[connection as usize].receive = None;
                self.complete(connection, cancelled, Some(Kind::Receive), true);
            }
            Target::PollWritable(connection) => {
                self.connections[connection as usize].poll_writable = None;
                self.complete(connection, cancelled, Some(Kind::PollWritable), true);
            }
            Target::Timer => {
                self.timers.retain(|&(_, other)| other != target);
                self.complete_loose(cancelled, true);
            }
        }
    }

    /// Queues a completion in its connection's stream.
    pub(super) fn complete(
        &mut self,
        connection: u32,
        completion: Completion,
        over: Option<Kind>,
        may_be_late: bool,
    ) {
        let settles = over.map(|kind| (connection, kind));
        let stream = Stream::Connection(connection);
        self.pending.push(Pending { completion, stream, settles, may_be_late });
    }

    pub(super) fn complete_accept(&mut self, listener: usize, completion: Completion, may_be_late: bool) {
        let stream = Stream::Listener(listener);
        self.pending.push(Pending { completion, stream, settles: None, may_be_late });
    }

    pub(super) fn complete_loose(&mut self, completion: Completion, may_be_late: bool) {
        let stream = self.pending.loose();
        self.pending.push(Pending { completion, stream, settles: None, may_be_late });
    }
}
