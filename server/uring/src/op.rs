use std::net::SocketAddr;
use std::time::Duration;

use crate::token::Token;

/// A socket in the ring's table of direct descriptors: an index, not a process descriptor. It is valid on its
/// own ring only, from the completion that named it until the completion of its [`Op::Close`].
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct File(pub u32);

/// A listening socket, as returned by the ring that it was added to.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct ListenerId(pub u8);

/// An operation as plain data. Each gives at least one [`Completion`](crate::Completion) with the token it
/// was pushed with. Sends are not among them: see [`Ring::send_batch`](crate::Ring::send_batch).
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Op {
    /// Accepts connections until it ends, each into the table at an index that the kernel chooses: the
    /// completion's result. A full table costs the connection that found it full and ends the operation with
    /// `ENFILE`.
    ///
    /// Of several rings that have duplicates of one listening socket, only the one whose accept was armed first gets
    /// connections, however busy it is: the kernel wakes one waiter, always the first in line. Use `AcceptOne` there.
    Accept { listener: ListenerId },

    /// Accepts one connection. For when the table is nearly full: unlike `Accept` it takes no more than there is room
    /// for. And for a listening socket that several rings share: each that arms again lines up behind the others.
    AcceptOne { listener: ListenerId },

    /// Receives into provided buffers until it ends. A result of 0 is the end of the peer's stream; `ENOBUFS`
    /// says that all buffers were lent: at once when it is armed, or when something comes, a FIN as well as bytes.
    Receive { file: File },

    /// Receives once, at most so many bytes, into a provided buffer. For who must not get more than it wants now.
    ReceiveOne { file: File, bytes: u32 },

    /// Completes once, when the socket takes bytes again or is broken.
    PollWritable { file: File },

    /// Completes once, when the peer has ended its stream or the connection is broken: seen without reading what came before.
    PollEnd { file: File },

    /// Asks for the peer's address: `completion.address`, absent for a Unix socket. A peer that came over IPv4 to a
    /// socket of both families has an IPv4-mapped IPv6 address.
    PeerAddress { file: File },

    /// Sends a FIN after what was sent: no bytes can follow. The kernel hands it to a worker thread, so operations
    /// pushed later may overtake it: a send before its completion may still go out.
    Shutdown { file: File },

    /// Ends the operation pushed with this token. Result 0: found, its own completion follows (`ECANCELED`).
    /// `ENOENT`: it had completed already. `EALREADY`: it is executing, its own completion follows.
    Cancel { target: Token },

    /// Takes the socket out of the table; its completion frees the index. No other operation on the file may
    /// be in flight: an armed one keeps the socket open, no FIN goes out, and its completions come in the
    /// name of an index that may have a new owner.
    Close { file: File },

    /// Completes once with `ETIME` after this long (136 years at most), or with `ECANCELED`.
    Timeout { after: Duration },

    /// A TCP socket straight into the table; the result is its index.
    Socket { domain: Domain },

    /// Sets one option of a socket.
    SetOption { file: File, option: SocketOption },

    /// Binds the local address. Linux 6.11.
    Bind { file: File, address: SocketAddr },

    /// Connects; completes when the connection is made or refused.
    Connect { file: File, address: SocketAddr },
}

impl Op {
    /// The socket in the table that the operation is on.
    pub(crate) fn file(self) -> Option<File> {
        match self {
            Self::Receive { file }
            | Self::ReceiveOne { file, .. }
            | Self::PollWritable { file }
            | Self::PollEnd { file }
            | Self::PeerAddress { file }
            | Self::Shutdown { file }
            | Self::Close { file }
            | Self::SetOption { file, .. }
            | Self::Bind { file, .. }
            | Self::Connect { file, .. } => Some(file),
            Self::Accept { .. }
            | Self::AcceptOne { .. }
            | Self::Cancel { .. }
            | Self::Timeout { .. }
            | Self::Socket { .. } => None,
        }
    }
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Domain {
    Ipv4,
    Ipv6,
}

/// Options of one socket. What all sockets of a server have is set on the listener and inherited.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum SocketOption {
    /// `TCP_NODELAY`: small sends go out at once.
    NoDelay,
    /// `IP_BIND_ADDRESS_NO_PORT`: the port is chosen at connect, so that one local port can serve many peers.
    BindAddressNoPort,
    /// `SO_RCVBUF`, in bytes; the kernel doubles it for its own use.
    ReceiveBuffer(u32),
    /// `SO_SNDBUF`, in bytes; the kernel doubles it for its own use.
    SendBuffer(u32),
    /// `SO_LINGER` of zero seconds: closing sends a reset and throws away what is not sent yet, instead of going on to
    /// send it to a peer that does not read.
    ResetOnClose,
    /// `TCP_NOTSENT_LOWAT`, in bytes: how much may wait unsent before the socket counts as not writable.
    NotSentLowat(u32),
}

/// The most bytes that one send has. The kernel cuts longer ones to what fits a 31-bit count of whole pages, which may
/// have 64 KiB, and does not say so.
pub const SEND_BYTES_MAX: usize = 0x7FFF_0000;

/// One item of a batch of sends.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Send<'a> {
    pub file: File,
    pub bytes: &'a [u8],
}

/// The most parts that a [`Gather`] has.
pub const GATHER_PARTS_MAX: usize = 64;

/// One item of a batch of gathered sends: bytes for one socket out of several places, sent as one.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Gather<'a> {
    pub file: File,
    /// In their order, at least one and at most [`GATHER_PARTS_MAX`], none of them empty.
    pub parts: &'a [&'a [u8]],
}

/// # Panics
///
/// When this is nothing that can be sent at once, as the send at this position of a batch.
pub(crate) fn assert_sendable(position: u32, parts: &[&[u8]]) {
    let count = parts.len();
    assert!(
        (1..=GATHER_PARTS_MAX).contains(&count),
        "send {position} of a batch has {count} parts, not 1 to {GATHER_PARTS_MAX}"
    );
    let mut bytes = 0;
    for (number, part) in parts.iter().enumerate() {
        assert!(!part.is_empty(), "send {position} of a batch has no bytes in part {number}");
        bytes += part.len();
    }
    assert!(
        bytes <= SEND_BYTES_MAX,
        "send {position} of a batch has {bytes} bytes, more than {SEND_BYTES_MAX}"
    );
}
