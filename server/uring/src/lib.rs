//! One io_uring as a data path for many sockets, and a fake one with the same surface.
//!
//! ```text
//!   push(token, op) --> submission queue --> kernel --> completion queue --> poll(&mut completions)
//!   send_batch(..)  --> submission queue --> kernel --> outcomes of the sends that did not go out whole
//!   send_gathered(..)   the same, each send out of several places
//!   Completion::buffer <-- lent from the provided buffers; release(buffer) gives it back
//! ```
//!
//! Who may touch which memory, and when:
//! - **Received bytes** lie in buffers that belong to the ring. A completion lends one as a
//!   [`ReceiveBuffer`], the only handle to it; until it is released the kernel does not know the buffer.
//! - **Sent bytes** belong to the caller. The kernel reads them inside [`Ring::send_batch`] and
//!   [`Ring::send_gathered`] and at no other time: no send waits for room, none is handed to a worker thread.
//! - **Arguments** of operations (addresses, times, options) are copied into memory of the ring that stays in
//!   place until the kernel is done with them.
//!
//! Sockets are direct descriptors: indexes into a table of the ring, not file descriptors of the process.
//!
//! This crate is where the workspace has its unsafe code, but for the vectors of `protocol::mask` and an option of the
//! server's allocator, and knows nothing of WebSocket.

#![allow(unsafe_code)] // the kernel's rings are shared memory and its interface is raw pointers

mod address;
mod buffers;
mod completion;
mod errno;
mod error;
mod kernel;
mod op;
pub mod probe;
mod ring;
pub mod socket;
pub mod testing;
mod token;
pub mod wake;

pub use buffers::ReceiveBuffer;
pub use completion::{Completion, SendOutcome};
pub use errno::Errno;
pub use error::RingError;
pub use kernel::KernelRing;
pub use op::{Domain, File, GATHER_PARTS_MAX, Gather, ListenerId, Op, SEND_BYTES_MAX, Send, SocketOption};
pub use ring::{Ring, RingConfig, RingStats};
pub use token::Token;
