//! Sleeping until a ring has something, and ending that sleep from another thread.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;

/// Waits for a ring's eventfd with the whole thread.
///
/// ```text
///   socket --> data ring --> eventfd <-- Waker::wake, from any thread
///                               |
///                    read(2): EventWait::wait returns
/// ```
#[derive(Debug)]
pub struct EventWait {
    eventfd: OwnedFd,
}

impl EventWait {
    /// # Errors
    ///
    /// When the descriptor cannot be duplicated.
    pub fn new(eventfd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { eventfd: eventfd.try_clone_to_owned()? })
    }

    /// Returns when the eventfd was signalled since the last return: at once if it was already. It may also return without
    /// need; after it, poll the ring.
    ///
    /// # Panics
    ///
    /// When the eventfd cannot be read, which no eventfd of a ring refuses.
    pub fn wait(&self) {
        // Its count is 8 bytes, and reading resets it.
        match rustix::io::read(&self.eventfd, &mut [0; 8]) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => panic!("reading a ring's eventfd failed: {errno}"),
        }
    }
}

/// Ends an [`EventWait`] from any thread.
#[derive(Clone, Debug)]
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    /// # Errors
    ///
    /// When the descriptor cannot be duplicated.
    pub fn new(eventfd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { eventfd: Arc::new(eventfd.try_clone_to_owned()?) })
    }

    /// Ends the wait in progress, or the next one. Many calls before it count as one.
    pub fn wake(&self) {
        // Fails only for a count near 2^64, which then wakes anyway.
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }
}
