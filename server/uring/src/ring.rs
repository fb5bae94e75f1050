use std::time::Duration;

use crate::buffers::ReceiveBuffer;
use crate::completion::{Completion, SendOutcome};
use crate::op::{Gather, ListenerId, Op, Send};
use crate::token::Token;

/// What the kernel's ring and the fake one have in common: everything that a server or a client does with
/// sockets.
///
/// The calling order is a turn: `poll` (or `wait`), handle the completions, `push` what follows from them,
/// `send_batch`, and again. A turn in which nothing came and after which [`has_work`](Self::has_work) is
/// false may be followed by a sleep on the ring's eventfd.
pub trait Ring {
    /// Queues an operation; the next `poll`, `wait` or batch of sends submits it. Never fails: when the
    /// submission queue is full it is submitted first, and completions that come meanwhile are kept for the
    /// next `poll` or `wait`.
    ///
    /// # Panics
    ///
    /// When the token's kind is reserved ([`Token::RESERVED_KINDS`]), or the operation is on a file beyond the
    /// table.
    fn push(&mut self, token: Token, op: Op);

    /// Sends each item once, without waiting for room in its socket, after everything pushed before. When it
    /// returns the outcome of every send is known and the kernel has let go of all `bytes`. Outcomes of those
    /// that did not go out whole are appended to `outcomes`, in any order: what is not there went out whole.
    ///
    /// Two sends to one file in one call are a mistake of the caller: when the first is short, the kernel may
    /// take the second all the same, and the stream is torn. The fake ring panics on it.
    ///
    /// # Panics
    ///
    /// When an item has no bytes or more than [`SEND_BYTES_MAX`](crate::SEND_BYTES_MAX), or its file is beyond the
    /// table.
    fn send_batch<'a>(&mut self, sends: impl Iterator<Item = Send<'a>>, outcomes: &mut Vec<SendOutcome>);

    /// Like [`send_batch`](Self::send_batch), with the bytes of each send gathered from several places. An outcome
    /// counts the bytes taken of all parts together: a short send may end inside any of them.
    ///
    /// # Panics
    ///
    /// When an item has no parts, more than [`GATHER_PARTS_MAX`](crate::GATHER_PARTS_MAX), an empty one, or more than
    /// [`SEND_BYTES_MAX`](crate::SEND_BYTES_MAX) in all, or its file is beyond the table.
    fn send_gathered<'a>(&mut self, sends: impl Iterator<Item = Gather<'a>>, outcomes: &mut Vec<SendOutcome>);

    /// Submits what is queued and appends all completions there are, without waiting for one.
    fn poll(&mut self, completions: &mut Vec<Completion>);

    /// Like `poll`, but blocks until there is at least one completion, `timeout` has passed (`None`: never),
    /// or a signal came: the last two may leave `completions` as it was.
    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>);

    /// Whether a `poll` now has something to do: operations to submit, completions kept, or work of the
    /// kernel that waits for a call. While it is true do not sleep: no event announces this work again.
    fn has_work(&self) -> bool;

    /// Gives a buffer back for further receives.
    ///
    /// # Panics
    ///
    /// When another ring lent it.
    fn release(&mut self, buffer: ReceiveBuffer);

    /// Receive buffers that are not lent.
    fn buffers_free(&self) -> usize;

    /// Closes a listener once its accept has ended, and submits what is queued before: who connects from then on is
    /// refused, and who waits to be accepted is reset.
    ///
    /// # Panics
    ///
    /// When the listener is closed already.
    fn close_listener(&mut self, listener: ListenerId);

    fn stats(&self) -> RingStats;
}

/// Counters since the ring was made.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub struct RingStats {
    /// System calls: `io_uring_enter`.
    pub enters: u64,
    /// Operations submitted: sends included, and the ring's own, of which a busy ring has a few.
    pub sqes: u64,
    /// Completions taken. A send that went out whole has none.
    pub cqes: u64,
    /// Times the completion queue was found to have overflowed. Nothing is lost by it, but it ends accepts
    /// and receives, and it costs: the queue is too small for the load.
    pub cq_overflows: u64,
    /// Sends asked for.
    pub sends: u64,
    /// Sends of which the socket took a part.
    pub sends_short: u64,
    /// Sends of which the socket took nothing: it was full or broken.
    pub sends_refused: u64,
    /// Receives that ended because all buffers were lent (`ENOBUFS`).
    pub receives_without_buffer: u64,
    /// Receive buffers lent at this moment.
    pub buffers_lent: u64,
}

/// How large to make a ring.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct RingConfig {
    /// Operations that fit between two submissions; the kernel rounds up to a power of two.
    pub submission_entries: u32,
    /// Completions that fit before the queue overflows; the kernel rounds up to a power of two.
    pub completion_entries: u32,
    /// Sockets that fit in the table of direct descriptors: at most the process's `RLIMIT_NOFILE`, for each
    /// ring anew, and at most 1,048,576.
    pub files: u32,
    /// Receive buffers: a power of two, at most 32,768.
    pub receive_buffers: u16,
    /// Size of a receive buffer, in bytes.
    pub receive_buffer_bytes: u32,
    /// With so many completions in hand a poll asks for no more. It bounds how long a turn takes when they never cease, and how
    /// long before the poll's end what it brings may have come. The kernel hands over some 20 in one call, so that much
    /// fewer are no finer.
    pub turn_completions: usize,
    /// Whether completions signal an eventfd, for a ring that is polled inside somebody else's event loop.
    pub eventfd: bool,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            submission_entries: 512,
            completion_entries: 4096,
            files: 4096,
            receive_buffers: 1024,
            receive_buffer_bytes: 4096,
            turn_completions: 1024,
            eventfd: false,
        }
    }
}
