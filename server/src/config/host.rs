//! What this host allows the process: the limits that decide whether a configuration fits.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The process limits that matter to the server. Read once and passed on, so that checks are plain functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// `RLIMIT_NOFILE` in force: bounds descriptors, and the table of sockets of each ring.
    pub open_files: u64,
    /// `RLIMIT_MEMLOCK` in force, in bytes: bounds what rings may lock. `u64::MAX` stands for unlimited.
    pub locked_bytes: u64,
    /// Cores that the process may use, its cpuset considered: at least 1.
    pub cores: u32,
}

impl HostLimits {
    /// A host like this that allows everything, for plans.
    pub fn unlimited() -> Self {
        Self { open_files: u64::MAX, locked_bytes: u64::MAX, ..Self::read() }
    }

    /// The limits of this process now.
    pub fn read() -> Self {
        Self {
            open_files: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            locked_bytes: getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX),
            cores: core_affinity::get_core_ids().map_or(1, |cores| cores.len().max(1) as u32),
        }
    }

    /// Raises the soft limit of open files to the hard one, then reads the limits.
    ///
    /// The soft limit is often 1024 for the sake of programs that use `select`; the hard one is what the operator allows.
    /// A refusal changes nothing: the configuration is checked against the limit in force either way.
    pub fn raise_and_read() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        Self::read()
    }
}
