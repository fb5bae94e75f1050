//! The ring of the kernel.

mod arguments;
mod commands;
mod gate;
mod gathers;
mod provided;
mod setup;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use std::{ptr, thread};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

pub use setup::locked_bytes;
pub(crate) use setup::{disabled_value, limit, ring as set_up};

use crate::buffers::ReceiveBuffer;
use crate::completion::{Completion, SendOutcome};
use crate::errno::Errno;
use crate::error::RingError;
use crate::op::{Domain, File, Gather, ListenerId, Op, Send, assert_sendable};
use crate::ring::{Ring, RingConfig, RingStats};
use crate::token::Token;
use arguments::Arguments;
use commands::{Answer, Commands};
use gate::{Events, Gate};
use gathers::Gathers;
use provided::{BUFFER_GROUP, ProvidedBuffers};

/// Kind of the tokens that a batch gives its sends: the generation is the position in the batch.
const KIND_SEND: u8 = 0xF0;
/// Kind of the tokens that commands have: the slot is the command's.
const KIND_COMMAND: u8 = 0xF1;
/// Kind of the token that a nudge has.
const KIND_NUDGE: u8 = 0xF2;

/// WAITALL: a short send is a failure with its count, where it would else be a success and so be skipped. DONTWAIT: a
/// full socket is a failure as well, where the operation would else wait for room.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// How long a nudge takes. A static, as the kernel reads it when it takes the operation.
static NUDGE_TIME: types::Timespec = types::Timespec::new();

/// How often in a row the kernel may say that it cannot take an operation now (no memory, completions to be
/// taken first) before that counts as broken.
const REFUSALS_MAX: u32 = 1_000;
/// After so many of them the thread sleeps between one and the next, so that others can free memory.
const REFUSALS_AT_ONCE: u32 = 8;
const REFUSAL_PAUSE: Duration = Duration::from_millis(1);

/// Whoever waits for what was dropped would wait for ever, and its socket would never be closed.
const COMPLETIONS_DROPPED: &str = "the kernel dropped completions: out of memory";

/// An io_uring with its table of sockets and its receive buffers. It is made, used and dropped on one thread:
///
/// ```compile_fail,E0277
/// fn on_another_thread<T: std::marker::Send>() {}
/// on_another_thread::<corecast_uring::KernelRing>();
/// ```
pub struct KernelRing {
    // Dropped in this order: the thread's index of the ring, then the ring, then the memory that it uses.
    gate: Gate,
    ring: IoUring,
    provided: ProvidedBuffers,
    arguments: Arguments,
    gathers: Gathers,
    commands: Commands,
    listeners: Vec<Option<OwnedFd>>,
    eventfd: Option<OwnedFd>,

    /// How many sockets the table has.
    files: u32,
    /// With so many completions in hand a poll asks for no more.
    turn_completions: usize,
    /// Operations in the submission queue.
    queued: u32,
    /// Completions for the next `poll`.
    kept: Vec<Completion>,
    /// Outcomes of the sends of the batch in hand.
    outcomes: Vec<SendOutcome>,
    /// Commands with another question, to be queued by the next `poll`.
    again: Vec<squeue::Entry>,
    /// Set while a batch's entries point to the caller's bytes.
    sending: bool,
    /// The completion queue had overflowed when it was last looked at.
    overflowed: bool,
    /// A nudge is queued or in flight.
    nudged: bool,
    stats: RingStats,
}

impl KernelRing {
    /// # Errors
    ///
    /// See [`RingError`]: what this host lacks or forbids, and how to get it.
    pub fn new(config: &RingConfig) -> Result<Self, RingError> {
        let (ring, eventfd) = setup::ring(config)?;
        let provided = ProvidedBuffers::new(&ring, config)?;
        Ok(Self {
            gate: Gate::new(ring.as_raw_fd()),
            arguments: Arguments::new(ring.params().sq_entries()),
            gathers: Gathers::new(ring.params().sq_entries()),
            ring,
            provided,
            commands: Commands::default(),
            listeners: Vec::new(),
            eventfd,
            files: config.files,
            turn_completions: config.turn_completions,
            queued: 0,
            kept: Vec::new(),
            outcomes: Vec::new(),
            again: Vec::new(),
            sending: false,
            overflowed: false,
            nudged: false,
            stats: RingStats::default(),
        })
    }

    /// Takes a listening socket, from which [`Op::Accept`] accepts. It is closed with the ring, or by
    /// [`Ring::close_listener`].
    ///
    /// # Panics
    ///
    /// When there are 256 already.
    pub fn add_listener(&mut self, listener: OwnedFd) -> ListenerId {
        let id = u8::try_from(self.listeners.len()).expect("a ring has at most 256 listeners");
        self.listeners.push(Some(listener));
        ListenerId(id)
    }

    /// The eventfd that completions signal, if the ring was configured with one. It counts up at least once
    /// whenever there is new work after a time without.
    pub fn eventfd(&self) -> Option<BorrowedFd<'_>> {
        self.eventfd.as_ref().map(AsFd::as_fd)
    }

    fn entry(&mut self, op: Op) -> squeue::Entry {
        let fixed = |file: File| types::Fixed(file.0);
        match op {
            Op::Accept { listener } => {
                opcode::AcceptMulti::new(self.listener(listener)).allocate_file_index(true).build()
            }
            Op::AcceptOne { listener } => {
                opcode::Accept::new(self.listener(listener), ptr::null_mut(), ptr::null_mut())
                    .file_index(Some(types::DestinationSlot::auto_target()))
                    .build()
            }
            Op::Receive { file } => opcode::RecvMulti::new(fixed(file), BUFFER_GROUP).build(),
            Op::ReceiveOne { file, bytes } => opcode::Recv::new(fixed(file), ptr::null_mut(), bytes)
                .buf_group(BUFFER_GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT),
            Op::PollWritable { file } => {
                opcode::PollAdd::new(fixed(file), u32::from(libc::POLLOUT.cast_unsigned())).build()
            }
            Op::PollEnd { file } => {
                // The kernel reports errors and a full end (POLLERR, POLLHUP) without being asked.
                opcode::PollAdd::new(fixed(file), u32::from(libc::POLLRDHUP.cast_unsigned())).build()
            }
            Op::Shutdown { file } => opcode::Shutdown::new(fixed(file), libc::SHUT_WR).build(),
            Op::Cancel { target } => opcode::AsyncCancel::new(target.to_u64()).build(),
            Op::Close { file } => opcode::Close::new(fixed(file)).build(),
            Op::Timeout { after } => opcode::Timeout::new(self.arguments.time(after)).build(),
            Op::Socket { domain } => {
                let domain = match domain {
                    Domain::Ipv4 => libc::AF_INET,
                    Domain::Ipv6 => libc::AF_INET6,
                };
                opcode::Socket::new(domain, libc::SOCK_STREAM, 0)
                    .file_index(Some(types::DestinationSlot::auto_target()))
                    .build()
            }
            Op::Bind { file, address } => {
                let (address, bytes) = self.arguments.address(address);
                opcode::Bind::new(fixed(file), address, bytes).build()
            }
            Op::Connect { file, address } => {
                let (address, bytes) = self.arguments.address(address);
                opcode::Connect::new(fixed(file), address, bytes).build()
            }
            Op::PeerAddress { .. } | Op::SetOption { .. } => {
                unreachable!("commands have entries of their own")
            }
        }
    }

    fn listener(&self, id: ListenerId) -> types::Fd {
        let listener = self.listeners[usize::from(id.0)].as_ref().expect("the listener is not closed");
        types::Fd(listener.as_raw_fd())
    }

    /// # Safety
    ///
    /// What the entry points to must stay valid until the operation has completed, or until it has been
    /// submitted for operations whose arguments the kernel copies then.
    unsafe fn queue(&mut self, entry: &squeue::Entry) {
        while self.queued == self.ring.params().sq_entries() {
            self.submit();
        }
        // SAFETY: the caller's promise.
        unsafe { self.ring.submission().push(entry) }.expect("the queue has room after a submission");
        self.queued += 1;
    }

    /// Hands all queued operations to the kernel and takes what completes on the spot, so that the completion
    /// queue is as good as empty before each submission: it has no fewer entries than a submission, and a
    /// batch of sends cannot overflow it. If other operations do, that is put right here, as an outcome of a
    /// send may be behind them.
    fn submit(&mut self) {
        while self.queued > 0 {
            self.enter(Events::Leave);
        }
        self.reap();
        while self.ring.submission().cq_overflow() {
            self.enter(Events::Run);
            self.reap();
        }
    }

    /// One call into the kernel. Interruptions and passing refusals are dealt with; the caller looks at what
    /// there is to reap and what is still queued.
    fn enter(&mut self, events: Events) {
        for refusals in 1..=REFUSALS_MAX {
            // A refusal's retry may have taken what a wait is for.
            let events = if self.kept.is_empty() { events } else { events.without_waiting() };
            self.stats.enters += 1;
            match self.gate.enter(self.queued, events) {
                Ok(submitted) => {
                    self.queued -= submitted;
                    self.stats.sqes += u64::from(submitted);
                    return;
                }
                Err(Errno::ETIME | Errno::EINTR) => return,
                Err(Errno::EBUSY | Errno::EAGAIN) => {
                    self.stats.enters += 1;
                    // Its own refusal is the same as the one at hand, and is met by the next round.
                    let _ = self.gate.enter(0, Events::Run);
                    self.reap();
                    if refusals > REFUSALS_AT_ONCE {
                        thread::sleep(REFUSAL_PAUSE);
                    }
                }
                Err(Errno::EBADR) => panic!("{COMPLETIONS_DROPPED}"),
                Err(errno @ Errno::EEXIST) => {
                    panic!("io_uring_enter failed: {errno}; a ring works only on the thread that made it")
                }
                Err(errno) => panic!("io_uring_enter failed: {errno}"),
            }
        }
        panic!("the kernel refused operations {REFUSALS_MAX} times in a row: is the machine out of memory?");
    }

    /// Takes all completions there are: outcomes of sends apart, the others for the next `poll`.
    fn reap(&mut self) {
        let overflowed = self.ring.submission().cq_overflow();
        self.stats.cq_overflows += u64::from(overflowed && !self.overflowed);
        self.overflowed = overflowed;
        let entries = self.ring.completion();
        assert!(entries.overflow() == 0, "{COMPLETIONS_DROPPED}");
        for entry in entries {
            self.stats.cqes += 1;
            let token = Token::from_u64(entry.user_data());
            let result = Errno::from_result(entry.result());
            match token.kind() {
                KIND_SEND => {
                    assert!(self.sending, "a send's outcome came after its batch");
                    match result {
                        Ok(_) => self.stats.sends_short += 1,
                        Err(_) => self.stats.sends_refused += 1,
                    }
                    self.outcomes.push(SendOutcome { index: token.generation(), result });
                }
                KIND_COMMAND => match self.commands.complete(token.slot(), result) {
                    Answer::Done { token, result, address } => {
                        self.kept.push(Completion { token, result, more: false, buffer: None, address });
                    }
                    Answer::Again(entry) => self.again.push(entry),
                },
                KIND_NUDGE => self.nudged = false,
                _ => {
                    let mut buffer = None;
                    if let Some(id) = cqueue::buffer_select(entry.flags()) {
                        let lent = self.provided.lend(id, result.unwrap_or(0));
                        // The end of a stream has no bytes to show.
                        if lent.is_empty() { self.provided.release(lent) } else { buffer = Some(lent) }
                    }
                    if result == Err(Errno::ENOBUFS) {
                        self.stats.receives_without_buffer += 1;
                    }
                    let more = cqueue::more(entry.flags());
                    self.kept.push(Completion { token, result, more, buffer, address: None });
                }
            }
        }
    }

    /// Queues the commands that have another question, as far as there is room. Not part of `reap`, which
    /// must not submit: it runs while a submission is being retried.
    fn ask_again(&mut self) {
        while self.queued < self.ring.params().sq_entries()
            && let Some(entry) = self.again.pop()
        {
            // SAFETY: the command's memory stays in place until its completion is taken.
            unsafe { self.queue(&entry) };
        }
    }

    /// Queues a piece of work that completes at once, to find out whether the kernel's flag is true.
    ///
    /// The kernel adds work first and raises its flag after. Work that a call has run in between leaves a flag
    /// behind that stays up, as a call without work does not touch it. That a call brought nothing proves
    /// nothing, though: it runs only some of the work (20 pieces), not all work makes a completion, and what
    /// the kernel has set aside it does not announce again. A nudge lines up behind all there is. Running it
    /// lowers the flag, which the kernel then raises only if something is left.
    fn nudge(&mut self) {
        self.nudged = true;
        let token = Token::new(KIND_NUDGE, 0, 0);
        let entry = opcode::Timeout::new(&raw const NUDGE_TIME).build().user_data(token.to_u64());
        // SAFETY: the entry points to a static.
        unsafe { self.queue(&entry) };
    }

    /// Whether the kernel has work for this thread that only a call runs: received data to be copied,
    /// connections to be accepted, completions that did not fit into the queue.
    fn kernel_waits(&self) -> bool {
        // SAFETY: no other handle to the submission queue exists while this one does.
        let submission = unsafe { self.ring.submission_shared() };
        submission.taskrun() || submission.cq_overflow()
    }

    /// The kernel would not only refuse an index beyond the table: of a close's it adds 1, and a result of 0 stands
    /// for the process's own descriptors, so that the largest index closes standard input.
    fn assert_in_table(&self, file: File) {
        assert!(file.0 < self.files, "{file:?} is beyond the ring's table of {} sockets", self.files);
    }

    /// Submits what is left of a batch and hands out its outcomes.
    fn finish_batch(&mut self, count: u32, outcomes: &mut Vec<SendOutcome>) {
        self.submit();
        self.sending = false;
        self.stats.sends += u64::from(count);
        outcomes.append(&mut self.outcomes);
    }

    fn assert_not_abandoned(&self) {
        assert!(
            !self.sending,
            "an earlier batch of sends panicked: its entries point to memory that may be gone"
        );
    }
}

/// A batch's send, as the kernel is to treat it: silent when it goes out whole, else known by its position.
///
/// With `SEND_FLAGS` the kernel completes a send while it takes it from the queue, and reads its memory then and at no
/// other time: it waits for nothing and hands nothing to a worker. So the memory must last until the submission, which
/// a batch makes before it returns. Should it unwind before that, `sending` stays set and the queue is never submitted
/// again.
fn send_entry(entry: squeue::Entry, position: u32) -> squeue::Entry {
    let token = Token::new(KIND_SEND, 0, position);
    entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(token.to_u64())
}

impl Ring for KernelRing {
    fn push(&mut self, token: Token, op: Op) {
        assert!(!token.is_reserved(), "{token:?}: kinds from 0xF0 belong to the ring");
        self.assert_not_abandoned();
        if let Some(file) = op.file() {
            self.assert_in_table(file);
        }
        let entry = match op {
            Op::PeerAddress { file } => self.commands.peer_address(token, file),
            Op::SetOption { file, option } => self.commands.set_option(token, file, option),
            other => self.entry(other).user_data(token.to_u64()),
        };
        // SAFETY: an entry points to nothing, to a command (in place until its completion), or to a cell of
        // `arguments` (in place until it is submitted, by when the kernel has copied it:
        // IORING_FEAT_SUBMIT_STABLE is checked).
        unsafe { self.queue(&entry) };
    }

    fn send_batch<'a>(&mut self, sends: impl Iterator<Item = Send<'a>>, outcomes: &mut Vec<SendOutcome>) {
        self.assert_not_abandoned();
        self.sending = true;
        let mut count = 0;
        for Send { file, bytes } in sends {
            self.assert_in_table(file);
            assert_sendable(count, &[bytes]);
            let length = u32::try_from(bytes.len()).expect("a sendable length has 31 bits");
            let entry =
                opcode::Send::new(types::Fixed(file.0), bytes.as_ptr(), length).flags(SEND_FLAGS).build();
            // SAFETY: the bytes live for 'a, longer than this call, and no send outlives it: see `send_entry`.
            unsafe { self.queue(&send_entry(entry, count)) };
            count += 1;
        }
        self.finish_batch(count, outcomes);
    }

    fn send_gathered<'a>(
        &mut self,
        sends: impl Iterator<Item = Gather<'a>>,
        outcomes: &mut Vec<SendOutcome>,
    ) {
        self.assert_not_abandoned();
        self.sending = true;
        self.gathers.clear();
        let mut count = 0;
        for Gather { file, parts } in sends {
            self.assert_in_table(file);
            assert_sendable(count, parts);
            if !self.gathers.has_room(parts.len()) {
                self.submit();
                self.gathers.clear();
            }
            let header = self.gathers.add(parts);
            let entry =
                opcode::SendMsg::new(types::Fixed(file.0), header).flags(SEND_FLAGS.cast_unsigned()).build();
            // SAFETY: the parts live for 'a, longer than this call. The header and its list stay as they are until
            // `gathers` is cleared: above, after a submission, or by the next call. No send outlives its submission:
            // see `send_entry`.
            unsafe { self.queue(&send_entry(entry, count)) };
            count += 1;
        }
        self.finish_batch(count, outcomes);
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        self.assert_not_abandoned();
        self.reap();
        self.ask_again();
        // But one call at least is made when the kernel waits: completions that are there already must not keep it from
        // getting on with the rest for good.
        let mut has_run = false;
        while (self.queued > 0 || self.kernel_waits())
            && (self.kept.len() < self.turn_completions || !has_run)
        {
            has_run = true;
            let before = self.stats.cqes;
            self.enter(Events::Run);
            self.reap();
            self.ask_again();
            let brought_nothing = self.stats.cqes == before && self.queued == 0;
            if brought_nothing && !self.nudged && self.kernel_waits() {
                self.nudge();
            }
        }
        if completions.is_empty() {
            std::mem::swap(completions, &mut self.kept);
        } else {
            completions.append(&mut self.kept);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) {
        self.assert_not_abandoned();
        self.reap();
        self.ask_again();
        while self.kept.is_empty() {
            let nudged = self.nudged;
            // The kernel waits only if it took all that was queued.
            self.enter(Events::Await { timeout });
            while self.queued > 0 {
                self.enter(Events::Await { timeout });
            }
            self.reap();
            self.ask_again();
            // Our own nudge is no reason to return. It comes at once, so that the timeout may begin anew.
            if !nudged || self.nudged {
                break;
            }
        }
        self.poll(completions);
    }

    fn has_work(&self) -> bool {
        self.queued > 0 || !self.kept.is_empty() || !self.again.is_empty() || self.kernel_waits()
    }

    fn release(&mut self, buffer: ReceiveBuffer) {
        self.provided.release(buffer);
    }

    fn buffers_free(&self) -> usize {
        self.provided.free()
    }

    fn close_listener(&mut self, listener: ListenerId) {
        self.assert_not_abandoned();
        // An accept that is queued names the descriptor, whose number may soon have a new owner.
        self.submit();
        let listener = self.listeners[usize::from(listener.0)].take();
        drop(listener.expect("a listener is closed once"));
    }

    fn stats(&self) -> RingStats {
        RingStats { buffers_lent: self.provided.lent() as u64, ..self.stats }
    }
}

impl fmt::Debug for KernelRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelRing")
            .field("gate", &self.gate)
            .field("queued", &self.queued)
            .field("kept", &self.kept.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
