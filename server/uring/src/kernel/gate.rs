use std::fmt;
use std::os::fd::RawFd;
use std::ptr;

use io_uring::EnterFlags;
use io_uring::types::SubmitArgs;

use super::arguments::timespec_of;
use crate::errno::Errno;

/// Number of `IORING_REGISTER_RING_FDS` in `linux/io_uring.h`.
const REGISTER_RING_FDS: libc::c_uint = 20;
/// Number of `IORING_UNREGISTER_RING_FDS` in `linux/io_uring.h`.
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// The way into the kernel for one ring: `io_uring_enter` through the ring's registered index, which saves
/// looking up the file descriptor in each call.
///
/// The io-uring crate can register the index too, but forgets it with its short-lived `Submitter`.
///
/// The index belongs to the thread and keeps the ring alive. So a gate is dropped before the ring, on its
/// thread.
pub(crate) struct Gate {
    ring_fd: RawFd,
    /// Absent when the thread has no free index (it has 16): the file descriptor does as well.
    registered: Option<u32>,
}

/// `struct io_uring_rsrc_update` of `linux/io_uring.h`.
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

impl Gate {
    pub(crate) fn new(ring_fd: RawFd) -> Self {
        let mut gate = Self { ring_fd, registered: None };
        let data = u64::try_from(ring_fd).expect("a file descriptor is not negative");
        // An offset of all ones asks for any free index, and is replaced by it.
        let mut update = ResourceUpdate { offset: u32::MAX, reserved: 0, data };
        if gate.register(REGISTER_RING_FDS, &mut update) == 1 {
            gate.registered = Some(update.offset);
        }
        gate
    }

    /// Submits up to `submit` operations. With `Events::Run` it then runs the kernel's deferred work, with
    /// `Events::Await` until one completion is there or the time is over (`ETIME`).
    ///
    /// Returns how many operations the kernel took. Fewer than asked: it did not get to the events.
    pub(crate) fn enter(&self, submit: u32, events: Events) -> Result<u32, Errno> {
        let timespec;
        let arguments;
        let (mut argument, mut argument_bytes) = (ptr::null(), 0);
        let (mut flags, mut wanted) = (EnterFlags::empty(), 0);
        match events {
            Events::Leave => {}
            Events::Run => flags |= EnterFlags::GETEVENTS,
            Events::Await { timeout } => {
                flags |= EnterFlags::GETEVENTS;
                wanted = 1;
                if let Some(timeout) = timeout {
                    timespec = timespec_of(timeout);
                    arguments = SubmitArgs::new().timespec(&timespec);
                    argument = ptr::from_ref(&arguments);
                    argument_bytes = size_of::<SubmitArgs<'_, '_>>();
                    flags |= EnterFlags::EXT_ARG;
                }
            }
        }
        let fd = match self.registered {
            Some(index) => {
                flags |= EnterFlags::REGISTERED_RING;
                libc::c_long::from(index)
            }
            None => libc::c_long::from(self.ring_fd),
        };
        // SAFETY: the ring is open as long as the gate (its owner drops the gate first). The argument is
        // null, or points to a live `io_uring_getevents_arg` of that size whose timespec lives as well. What
        // queued operations point to is the promise of whoever queued them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                fd,
                submit,
                wanted,
                flags.bits(),
                argument,
                argument_bytes,
            )
        };
        if result < 0 {
            Err(last_errno())
        } else {
            Ok(u32::try_from(result).expect("at most the submissions"))
        }
    }

    fn register(&self, operation: libc::c_uint, update: &mut ResourceUpdate) -> libc::c_long {
        // SAFETY: one `io_uring_rsrc_update`, live and writable for the call, as both operations want it.
        unsafe {
            libc::syscall(libc::SYS_io_uring_register, self.ring_fd, operation, ptr::from_mut(update), 1)
        }
    }
}

/// What `Gate::enter` does after submitting.
#[derive(Copy, Clone)]
pub(crate) enum Events {
    /// Nothing: only operations that complete on the spot post completions.
    Leave,
    /// Deferred work is run.
    Run,
    /// Deferred work is run until there is a completion.
    Await { timeout: Option<std::time::Duration> },
}

impl Events {
    pub(crate) fn without_waiting(self) -> Self {
        match self {
            Self::Await { .. } => Self::Run,
            other => other,
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(index) = self.registered {
            self.register(UNREGISTER_RING_FDS, &mut ResourceUpdate { offset: index, reserved: 0, data: 0 });
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("ring_fd", &self.ring_fd).field("registered", &self.registered).finish()
    }
}

fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
