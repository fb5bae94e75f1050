//! What this host lets us do with io_uring, found out before anything depends on it.

use std::fmt;
use std::thread;

use io_uring::{Probe, opcode};
use rustix::process::Resource;
use rustix::system::uname;

pub use crate::kernel::locked_bytes;

use crate::error::{RingError, shown_limit};
use crate::kernel::{disabled_value, limit, set_up};
use crate::ring::RingConfig;

/// The first kernel with everything a ring needs; the last to come was reading a socket option through the
/// ring.
const KERNEL_MIN: (u32, u32) = (6, 7);

/// Why a service with these rings cannot run here. Each message names the cause and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error(
        "this kernel is Linux {release}, which is too old: Linux 6.7 or newer is needed. Upgrade the kernel"
    )]
    Kernel { release: String },

    #[error("this kernel's io_uring lacks {}. Run Linux 6.7 or newer, unrestricted", .operations.join(", "))]
    Operations { operations: Vec<&'static str> },

    #[error(transparent)]
    Ring(#[from] RingError),
}

/// What was found. Displays as one line for each fact.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Capabilities {
    /// As `uname -r` has it.
    pub kernel_release: String,
    /// `kernel.io_uring_disabled`, where the kernel has it.
    pub io_uring_disabled: Option<u8>,
    /// Whether [`Op::Bind`](crate::Op::Bind) works (Linux 6.11): only load generators need it.
    pub binds: bool,
    pub shards: u32,
    /// Locked memory of one ring, in bytes.
    pub ring_locked_bytes: u64,
    /// `RLIMIT_MEMLOCK`, in bytes; `u64::MAX` when unlimited.
    pub locked_bytes_limit: u64,
    /// Sockets in each ring's table.
    pub files: u32,
    /// `RLIMIT_NOFILE`; `u64::MAX` when unlimited.
    pub open_files_limit: u64,
}

/// Makes a ring and asks the kernel what it supports. Where the locked memory of all shards' rings is beyond
/// the limit, makes as many rings as there are shards: neither privileged processes nor all kernels are bound
/// by that limit.
///
/// # Errors
///
/// The first thing that is missing.
pub fn check(config: &RingConfig, shards: u32) -> Result<Capabilities, ProbeError> {
    let release = uname().release().to_string_lossy().into_owned();
    if parse_release(&release).is_some_and(|version| version < KERNEL_MIN) {
        return Err(ProbeError::Kernel { release });
    }
    let ring_locked_bytes = locked_bytes(config);
    let locked_bytes_limit = limit(Resource::Memlock);
    let rings = if ring_locked_bytes * u64::from(shards) > locked_bytes_limit { shards } else { 1 };
    // On a thread of its own: taking a ring apart interrupts system calls of the thread that made it.
    let config = *config;
    let probing = thread::spawn(move || try_rings(&config, rings));
    let supported = probing.join().expect("probing does not panic")?;
    let missing = missing(&supported);
    if !missing.is_empty() {
        return Err(ProbeError::Operations { operations: missing });
    }
    Ok(Capabilities {
        kernel_release: release,
        io_uring_disabled: disabled_value(),
        binds: supported.is_supported(opcode::Bind::CODE),
        shards,
        ring_locked_bytes,
        locked_bytes_limit,
        files: config.files,
        open_files_limit: limit(Resource::Nofile),
    })
}

fn try_rings(config: &RingConfig, count: u32) -> Result<Probe, RingError> {
    let for_all = |error| match error {
        RingError::LockedMemory { needed, limit } | RingError::LockedMemoryUsedUp { needed, limit } => {
            RingError::locked_memory(needed * u64::from(count), limit)
        }
        other => other,
    };
    let (ring, _) = set_up(config).map_err(for_all)?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| RingError::system("asking for supported operations", &error))?;
    let mut others = Vec::new();
    for _ in 1..count {
        others.push(set_up(config).map_err(for_all)?);
    }
    Ok(probe)
}

/// The operations that a server cannot do without and this kernel does not have.
fn missing(probe: &Probe) -> Vec<&'static str> {
    let needed = [
        ("ACCEPT", opcode::AcceptMulti::CODE),
        ("RECV", opcode::RecvMulti::CODE),
        ("SEND", opcode::Send::CODE),
        ("SENDMSG", opcode::SendMsg::CODE),
        ("POLL_ADD", opcode::PollAdd::CODE),
        ("URING_CMD", opcode::SetSockOpt::CODE),
        ("SHUTDOWN", opcode::Shutdown::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
        ("CLOSE", opcode::Close::CODE),
        ("TIMEOUT", opcode::Timeout::CODE),
    ];
    needed.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|&(name, _)| name).collect()
}

/// Major and minor number of a release such as `6.18.44-generic`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel: Linux {} (6.7 or newer needed)", self.kernel_release)?;
        match self.io_uring_disabled {
            Some(value) => writeln!(f, "io_uring: allowed (kernel.io_uring_disabled is {value})")?,
            None => writeln!(f, "io_uring: allowed")?,
        }
        writeln!(
            f,
            "operations: all that a server needs{}",
            if self.binds { ", and BIND" } else { "; BIND is missing" }
        )?;
        writeln!(
            f,
            "locked memory: {} bytes for each of {} rings, RLIMIT_MEMLOCK is {} for all processes of this user",
            self.ring_locked_bytes,
            self.shards,
            shown_limit(self.locked_bytes_limit)
        )?;
        write!(
            f,
            "sockets: {} in each ring, RLIMIT_NOFILE is {}",
            self.files,
            shown_limit(self.open_files_limit)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_is_compared_by_number() {
        assert_eq!(parse_release("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(parse_release("6.7"), Some((6, 7)));
        assert_eq!(parse_release("5.15.0-1051-aws"), Some((5, 15)));
        assert_eq!(parse_release("unknown"), None);
        assert!(parse_release("6.6.99").unwrap() < KERNEL_MIN);
        assert!(parse_release("6.10.1").unwrap() > KERNEL_MIN);
    }

    #[test]
    fn kernel_without_anything_lacks_everything() {
        assert_eq!(
            missing(&Probe::new()),
            [
                "ACCEPT",
                "RECV",
                "SEND",
                "SENDMSG",
                "POLL_ADD",
                "URING_CMD",
                "SHUTDOWN",
                "ASYNC_CANCEL",
                "CLOSE",
                "TIMEOUT"
            ]
        );
    }

    #[test]
    fn capabilities_are_one_line_a_fact() {
        let capabilities = Capabilities {
            kernel_release: "6.18.1".to_owned(),
            io_uring_disabled: Some(0),
            binds: true,
            shards: 4,
            ring_locked_bytes: 118_784,
            locked_bytes_limit: u64::MAX,
            files: 10_000,
            open_files_limit: 20_000,
        };
        assert_eq!(
            capabilities.to_string(),
            "kernel: Linux 6.18.1 (6.7 or newer needed)\n\
             io_uring: allowed (kernel.io_uring_disabled is 0)\n\
             operations: all that a server needs, and BIND\n\
             locked memory: 118784 bytes for each of 4 rings, RLIMIT_MEMLOCK is unlimited for all processes of this user\n\
             sockets: 10000 in each ring, RLIMIT_NOFILE is 20000"
        );
    }

    #[test]
    fn this_host_passes() {
        let capabilities =
            check(&RingConfig { files: 64, ..RingConfig::default() }, 1).expect("tests need io_uring");
        assert_eq!((capabilities.files, capabilities.shards), (64, 1));
    }

    #[test]
    fn table_beyond_the_limit_of_open_files_is_explained() {
        let limit = limit(Resource::Nofile);
        let Some(files) = u32::try_from(limit).ok().filter(|&limit| limit < 1 << 20) else {
            println!("SKIPPED: RLIMIT_NOFILE is too large to exceed here");
            return;
        };
        let error = check(&RingConfig { files: files + 1, ..RingConfig::default() }, 1).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("RLIMIT_NOFILE is too small") && text.contains(&format!("ulimit -n {}", files + 1)),
            "{text}"
        );
    }
}
