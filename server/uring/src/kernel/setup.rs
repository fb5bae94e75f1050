use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, getrlimit};

use crate::errno::Errno;
use crate::error::{RingError, errno_of};
use crate::ring::RingConfig;

/// The sysctl that forbids io_uring.
const DISABLED_PATH: &str = "/proc/sys/kernel/io_uring_disabled";
/// How long to wait for locked memory that may be on its way back: the kernel counts that of a dropped ring until
/// some 30 ms after.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// The kernel's own bound for a table of direct descriptors.
const FILES_MAX: u32 = 1 << 20;
/// The kernel's own bound for a ring of provided buffers.
const RECEIVE_BUFFERS_MAX: u16 = 1 << 15;

/// Makes a ring with its empty table of sockets, and its eventfd if wanted.
pub(crate) fn ring(config: &RingConfig) -> Result<(IoUring, Option<OwnedFd>), RingError> {
    check_config(config)?;
    let ring = with_patience(|| {
        queues(config).map_err(|error| explain_setup(errno_of(&error), config, disabled_value()))
    })?;
    check_features(&ring)?;
    ring.submitter().register_files_sparse(config.files).map_err(|error| match errno_of(&error) {
        Errno::EMFILE => RingError::OpenFiles { needed: config.files.into(), limit: limit(Resource::Nofile) },
        errno => RingError::System { what: "making the table of sockets", errno },
    })?;
    let eventfd = config.eventfd.then(|| signalled_eventfd(&ring)).transpose()?;
    Ok((ring, eventfd))
}

fn queues(config: &RingConfig) -> io::Result<IoUring> {
    IoUring::builder()
        // One thread submits, and the kernel's deferred work runs only when that thread asks for it.
        .setup_single_issuer()
        .setup_defer_taskrun()
        // Says in shared memory whether such work waits, so that an idle poll needs no system call and a ring
        // that still has work is not put to sleep on.
        .setup_taskrun_flag()
        // One bad operation does not hold up those behind it.
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(config.completion_entries)
        .build(config.submission_entries)
}

/// Tries again for a while when the limit of locked memory has room for what is asked.
pub(super) fn with_patience<T>(mut attempt: impl FnMut() -> Result<T, RingError>) -> Result<T, RingError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(RingError::LockedMemoryUsedUp { .. }) if Instant::now() < deadline => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// Memory that the kernel counts against `RLIMIT_MEMLOCK` for one ring, in bytes: the submission queue, the
/// completion queue and the ring of receive buffers, in whole pages of 4 KiB. The buffers themselves are
/// ordinary memory.
pub fn locked_bytes(config: &RingConfig) -> u64 {
    const PAGE: u64 = 4096;
    /// Heads, tails, masks and flags in front of the completions.
    const RING_HEADER: u64 = 64 * 5;
    let submissions = u64::from(config.submission_entries).next_power_of_two();
    let completions = u64::from(config.completion_entries).next_power_of_two();
    let queues = RING_HEADER
        + completions * size_of::<io_uring::cqueue::Entry>() as u64
        + submissions * size_of::<u32>() as u64; // the array that maps queue positions to entries
    let entries = submissions * size_of::<io_uring::squeue::Entry>() as u64;
    let buffers = u64::from(config.receive_buffers) * size_of::<BufRingEntry>() as u64;
    [queues, entries, buffers].iter().map(|bytes| bytes.next_multiple_of(PAGE)).sum()
}

fn check_config(config: &RingConfig) -> Result<(), RingError> {
    if config.submission_entries == 0 || config.completion_entries < config.submission_entries {
        return Err(RingError::Config(
            "a ring needs at least one submission entry and no fewer completion entries than those",
        ));
    }
    if !config.receive_buffers.is_power_of_two() || config.receive_buffers > RECEIVE_BUFFERS_MAX {
        return Err(RingError::Config("the number of receive buffers must be a power of two, at most 32768"));
    }
    if config.receive_buffer_bytes == 0 || config.receive_buffer_bytes > 1 << 30 {
        return Err(RingError::Config("a receive buffer must have between 1 byte and 1 GiB"));
    }
    if config.files == 0 || config.files > FILES_MAX {
        return Err(RingError::Config(
            "a ring's table must have between 1 and 1048576 sockets, the kernel's limit: allow fewer connections, or \
             spread them over more shards",
        ));
    }
    Ok(())
}

fn check_features(ring: &IoUring) -> Result<(), RingError> {
    let parameters = ring.params();
    let needed = [
        (parameters.is_feature_nodrop(), "IORING_FEAT_NODROP (no completion is lost when the queue is full)"),
        (
            parameters.is_feature_submit_stable(),
            "IORING_FEAT_SUBMIT_STABLE (arguments are copied at submission)",
        ),
        (parameters.is_feature_ext_arg(), "IORING_FEAT_EXT_ARG (waiting with a timeout)"),
        (
            parameters.is_feature_skip_cqe_on_success(),
            "IORING_FEAT_CQE_SKIP (no completion for a healthy send)",
        ),
    ];
    match needed.iter().find(|(present, _)| !present) {
        Some((_, name)) => Err(RingError::Missing(name)),
        None => Ok(()),
    }
}

fn signalled_eventfd(ring: &IoUring) -> Result<OwnedFd, RingError> {
    let failed = |error: &io::Error| RingError::system("making the ring's eventfd", error);
    // Blocking: a read through io_uring waits for a count, where a non-blocking one would fail with `EAGAIN`.
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC).map_err(|errno| failed(&errno.into()))?;
    // Not `register_eventfd_async`: that never fires when work is deferred to the submitting thread.
    ring.submitter().register_eventfd(eventfd.as_raw_fd()).map_err(|error| failed(&error))?;
    Ok(eventfd)
}

fn explain_setup(errno: Errno, config: &RingConfig, disabled: Option<u8>) -> RingError {
    match errno {
        Errno::ENOSYS => RingError::NotSupported,
        Errno::EPERM | Errno::EACCES => match disabled {
            None | Some(0) => RingError::Forbidden { errno, is_allowed_by_sysctl: disabled.is_some() },
            Some(1) => RingError::DisabledForUnprivileged,
            Some(value) => RingError::Disabled { value },
        },
        Errno::ENOMEM => no_memory(config),
        Errno::EINVAL => RingError::Missing("IORING_SETUP_DEFER_TASKRUN or another flag"),
        errno => RingError::System { what: "io_uring_setup", errno },
    }
}

/// What `ENOMEM` means where locked memory is asked for.
pub(super) fn no_memory(config: &RingConfig) -> RingError {
    RingError::locked_memory(locked_bytes(config), limit(Resource::Memlock))
}

/// The value of `kernel.io_uring_disabled`: 0 allows, 1 forbids the unprivileged, 2 forbids everybody. `None`
/// where it cannot be read, or the kernel has no such switch (before 6.6).
pub(crate) fn disabled_value() -> Option<u8> {
    fs::read_to_string(DISABLED_PATH).ok()?.trim().parse().ok()
}

/// The soft limit of a resource; `u64::MAX` when it is unlimited.
pub(crate) fn limit(resource: Resource) -> u64 {
    getrlimit(resource).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_bytes_are_whole_pages_of_each_part() {
        let config = RingConfig {
            submission_entries: 512,
            completion_entries: 4096,
            receive_buffers: 1024,
            ..RingConfig::default()
        };
        // 320 + 4096 x 16 + 512 x 4 = 67,904 -> 17 pages; 512 x 64 = 8 pages; 1024 x 16 = 4 pages.
        assert_eq!(locked_bytes(&config), (17 + 8 + 4) * 4096);
    }

    #[test]
    fn unusable_sizes_are_refused_before_the_kernel_sees_them() {
        let refused = |config: RingConfig| matches!(ring(&config), Err(RingError::Config(_)));
        let good = RingConfig::default();
        assert!(refused(RingConfig { submission_entries: 0, ..good }));
        assert!(refused(RingConfig { submission_entries: 64, completion_entries: 32, ..good }));
        assert!(refused(RingConfig { receive_buffers: 3, ..good }));
        assert!(refused(RingConfig { receive_buffers: 0, ..good }));
        assert!(refused(RingConfig { receive_buffer_bytes: 0, ..good }));
        assert!(refused(RingConfig { files: 0, ..good }));
        assert!(refused(RingConfig { files: (1 << 20) + 1, ..good }));
    }

    #[test]
    fn refusals_are_told_apart_by_errno_and_switch() {
        let explain = |errno, disabled| explain_setup(errno, &RingConfig::default(), disabled);
        assert!(matches!(explain(Errno::EPERM, Some(1)), RingError::DisabledForUnprivileged));
        assert!(matches!(explain(Errno::EPERM, Some(2)), RingError::Disabled { value: 2 }));
        assert!(matches!(
            explain(Errno::EACCES, Some(0)),
            RingError::Forbidden { errno: Errno::EACCES, is_allowed_by_sysctl: true }
        ));
        assert!(matches!(
            explain(Errno::EPERM, None),
            RingError::Forbidden { errno: Errno::EPERM, is_allowed_by_sysctl: false }
        ));
    }

    #[test]
    fn only_memory_that_may_come_back_is_waited_for() {
        let mut attempts = 0;
        let outcome = with_patience(|| {
            attempts += 1;
            if attempts < 4 { Err(RingError::locked_memory(1, 1)) } else { Ok(attempts) }
        });
        assert_eq!(outcome.ok(), Some(4));
        let mut attempts = 0;
        let outcome: Result<(), _> = with_patience(|| {
            attempts += 1;
            Err(RingError::locked_memory(2, 1))
        });
        assert!(matches!(outcome, Err(RingError::LockedMemory { needed: 2, limit: 1 })));
        assert_eq!(attempts, 1);
    }
}
