use std::net::SocketAddr;

use crate::buffers::ReceiveBuffer;
use crate::errno::Errno;
use crate::token::Token;

/// What the kernel says about one operation.
#[derive(Debug)]
pub struct Completion {
    /// The token that the operation was pushed with.
    pub token: Token,
    /// What it means depends on the operation: see [`Op`](crate::Op).
    pub result: Result<u32, Errno>,
    /// Whether more completions of this operation follow. When false it has ended: whoever still wants an
    /// accept or a receive pushes it anew.
    pub more: bool,
    /// The bytes of a receive. Give it back with [`Ring::release`](crate::Ring::release).
    pub buffer: Option<ReceiveBuffer>,
    /// The answer to [`Op::PeerAddress`](crate::Op::PeerAddress).
    pub address: Option<SocketAddr>,
}

/// A send that did not go out whole.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct SendOutcome {
    /// Position in the batch, from 0.
    pub index: u32,
    /// How many bytes the socket took, fewer than asked; or why it took none: `EAGAIN` (full), `EPIPE`,
    /// `ECONNRESET` and so on.
    pub result: Result<u32, Errno>,
}
