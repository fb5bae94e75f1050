use std::io;

use crate::errno::Errno;

/// Why a ring could not be made. Each message names the cause and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error("{0}")]
    Config(&'static str),

    /// `io_uring_setup` gave `ENOSYS`.
    #[error(
        "this kernel has no io_uring, or a seccomp filter hides it (io_uring_setup: ENOSYS). Run Linux 6.7 or \
         newer with CONFIG_IO_URING. {SECCOMP_FIX}"
    )]
    NotSupported,

    /// `io_uring_setup` gave `EPERM` because `kernel.io_uring_disabled` is 1.
    #[error(
        "kernel.io_uring_disabled is 1, which forbids io_uring to processes without CAP_SYS_ADMIN outside the \
         group kernel.io_uring_group. Put the service's group id there, or run \
         `sysctl -w kernel.io_uring_disabled=0`"
    )]
    DisabledForUnprivileged,

    /// `io_uring_setup` gave `EPERM` because `kernel.io_uring_disabled` is 2.
    #[error(
        "kernel.io_uring_disabled is {value}, which forbids io_uring to every process. Run \
         `sysctl -w kernel.io_uring_disabled=0`"
    )]
    Disabled { value: u8 },

    /// `io_uring_setup` gave `EPERM` or `EACCES` and the sysctl does not explain it.
    #[error("{}", forbidden(*.errno, *.is_allowed_by_sysctl))]
    Forbidden { errno: Errno, is_allowed_by_sysctl: bool },

    /// The kernel counts a ring's memory as locked.
    #[error(
        "RLIMIT_MEMLOCK is too small: {needed} bytes of locked memory are needed, the limit for all rings of this \
         user is {limit}. Raise it {MEMLOCK_FIX} or use fewer shards"
    )]
    LockedMemory { needed: u64, limit: u64 },

    /// The limit of locked memory has room for what was asked, but something else uses it.
    #[error(
        "there is no memory for a ring: {needed} bytes of locked memory are needed, and RLIMIT_MEMLOCK, {}, has room \
         for them. Other processes of this user use it up, or the host is out of memory (`free -m`). Run the service as \
         a user of its own, or raise the limit {MEMLOCK_FIX}",
        shown_limit(*.limit)
    )]
    LockedMemoryUsedUp { needed: u64, limit: u64 },

    /// A table of direct descriptors may be as large as the limit of open files.
    #[error(
        "RLIMIT_NOFILE is too small: a ring for {needed} sockets needs it to be at least that, it is {limit}. \
         Raise it (`ulimit -n {needed}`, systemd: LimitNOFILE={needed}, docker: --ulimit nofile={needed}), allow \
         fewer connections, or spread them over more shards"
    )]
    OpenFiles { needed: u64, limit: u64 },

    #[error("this kernel's io_uring lacks {0}. Run Linux 6.7 or newer")]
    Missing(&'static str),

    #[error("{what} failed: {errno}")]
    System { what: &'static str, errno: Errno },
}

/// The three calls, and how to allow them where they are commonly forbidden.
const SECCOMP_FIX: &str = "In a container, allow io_uring_setup, io_uring_enter and io_uring_register in the \
    seccomp profile (docker, podman: --security-opt seccomp=profile.json, or seccomp=unconfined to try; systemd: \
    SystemCallFilter=io_uring_setup io_uring_enter io_uring_register)";

/// How to raise the limit of locked memory.
const MEMLOCK_FIX: &str = "(`ulimit -l`, systemd: LimitMEMLOCK=infinity, docker: --ulimit memlock=-1)";

/// A resource limit as an operator knows it.
pub(crate) fn shown_limit(limit: u64) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
}

/// Seccomp answers `EPERM` where it is not told otherwise; SELinux and AppArmor answer `EACCES`.
fn forbidden(errno: Errno, is_allowed_by_sysctl: bool) -> String {
    let sysctl = if is_allowed_by_sysctl {
        "though kernel.io_uring_disabled allows it"
    } else {
        "and kernel.io_uring_disabled could not be read: make sure that it is 0"
    };
    let fix = if errno == Errno::EACCES {
        "It is most likely SELinux or AppArmor: look for the denial (`ausearch -m avc`, or `dmesg`) and allow io_uring \
         in the service's policy or profile"
    } else {
        SECCOMP_FIX
    };
    format!("a security policy forbids io_uring (io_uring_setup: {}, {sysctl}). {fix}", errno.name())
}

impl RingError {
    /// Why a ring's memory was refused with `ENOMEM`.
    pub(crate) fn locked_memory(needed: u64, limit: u64) -> Self {
        if limit < needed {
            Self::LockedMemory { needed, limit }
        } else {
            Self::LockedMemoryUsedUp { needed, limit }
        }
    }

    pub(crate) fn system(what: &'static str, error: &io::Error) -> Self {
        Self::System { what, errno: errno_of(error) }
    }
}

pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_names_the_cause_and_the_fix() {
        let cases = [
            (RingError::NotSupported, ["ENOSYS", "CONFIG_IO_URING"]),
            (RingError::DisabledForUnprivileged, ["io_uring_disabled is 1", "kernel.io_uring_group"]),
            (
                RingError::Disabled { value: 2 },
                ["io_uring_disabled is 2", "sysctl -w kernel.io_uring_disabled=0"],
            ),
            (
                RingError::Forbidden { errno: Errno::EPERM, is_allowed_by_sysctl: true },
                ["EPERM, though kernel.io_uring_disabled allows it", "--security-opt seccomp=profile.json"],
            ),
            (
                RingError::Forbidden { errno: Errno::EACCES, is_allowed_by_sysctl: false },
                ["EACCES, and kernel.io_uring_disabled could not be read", "SELinux or AppArmor"],
            ),
            (
                RingError::locked_memory(118_784, 65_536),
                ["RLIMIT_MEMLOCK is too small: 118784", "LimitMEMLOCK="],
            ),
            (RingError::locked_memory(65_536, 65_536), ["Other processes of this user", "LimitMEMLOCK="]),
            (
                RingError::locked_memory(65_536, u64::MAX),
                ["RLIMIT_MEMLOCK, unlimited,", "host is out of memory"],
            ),
            (RingError::OpenFiles { needed: 10_064, limit: 1_024 }, ["is 1024", "ulimit -n 10064"]),
        ];
        for (error, parts) in cases {
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert!(!text.contains("  "), "{text}");
        }
    }
}
