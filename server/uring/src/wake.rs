//! Sleeping on a ring's eventfd inside a glommio executor, and ending that sleep from another thread.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use glommio::io::BufferedFile;

/// Waits for a ring's eventfd through the executor's own ring, so that the executor sleeps in the kernel as
/// usual.
///
/// ```text
///   socket --> data ring --> eventfd <-- Waker::wake, from any thread
///                               |
///              executor's ring: read(eventfd) --> EventWait::wait returns
/// ```
#[derive(Debug)]
pub struct EventWait {
    eventfd: BufferedFile,
}

impl EventWait {
    /// Call it on the executor's thread, inside the executor.
    ///
    /// # Errors
    ///
    /// When the descriptor cannot be duplicated.
    ///
    /// # Panics
    ///
    /// Outside an executor.
    pub fn new(eventfd: BorrowedFd<'_>) -> io::Result<Self> {
        let owned = eventfd.try_clone_to_owned()?;
        // SAFETY: the descriptor is open and owned by nobody else; the file closes it.
        let eventfd = unsafe { BufferedFile::from_raw_fd(owned.into_raw_fd()) };
        Ok(Self { eventfd })
    }

    /// Returns when the eventfd was signalled since the last return: at once if it was already. It may also
    /// return without need; after it, poll the ring. A wait that is dropped may take the signal with it: poll
    /// the ring then too.
    ///
    /// # Panics
    ///
    /// When the eventfd cannot be read, which no eventfd of a ring refuses.
    pub async fn wait(&self) {
        // An eventfd has no positions; its count is 8 bytes, and reading resets it.
        if let Err(error) = self.eventfd.read_at(0, 8).await {
            panic!("reading a ring's eventfd failed: {error}");
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
