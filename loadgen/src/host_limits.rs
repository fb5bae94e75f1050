//! What this host allows a run to take, read from the kernel.

use std::fs;

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};

/// The kernel's default range of local ports, 32768 to 60999.
const DEFAULT_LOCAL_PORTS: u64 = 28_232;

#[derive(Clone, Copy, Debug)]
pub(crate) struct HostLimits {
    /// `RLIMIT_NOFILE`: descriptors of the process, and the most that fit in one ring's table.
    pub(crate) open_files: u64,
    /// Local ports towards one address of a server.
    pub(crate) local_ports: u64,
    /// Memory that can be had without swapping, in bytes.
    pub(crate) available_bytes: u64,
    /// Files that the whole system may still open; `None` for those who are exempt (CAP_SYS_ADMIN).
    pub(crate) system_files: Option<u64>,
    /// Connections that the firewall may still track; `None` when it tracks none.
    pub(crate) conntrack: Option<u64>,
}

impl HostLimits {
    /// Reads them, after what this process may mend itself: the limit of open files is raised as far as it goes.
    pub(crate) fn here() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let is_raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let conntrack = |what: &str| read(&format!("/proc/sys/net/netfilter/nf_conntrack_{what}"));
        Self {
            open_files: if is_raised { maximum } else { current }.unwrap_or(u64::MAX),
            local_ports: local_ports(&read("/proc/sys/net/ipv4/ip_local_port_range"))
                .unwrap_or(DEFAULT_LOCAL_PORTS),
            available_bytes: available_bytes(&read("/proc/meminfo")).unwrap_or(u64::MAX),
            system_files: free_files(&read("/proc/sys/fs/file-nr")).filter(|_| !geteuid().is_root()),
            conntrack: tracked(&conntrack("max"), &conntrack("count")),
        }
    }
}

/// `32768 60999`: both ends belong to the range.
fn local_ports(range: &str) -> Option<u64> {
    let mut ends = range.split_ascii_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    (last + 1).checked_sub(first)
}

/// `MemAvailable:   23456 kB`
fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// proc_sys_fs(5), file-nr: allocated, free (always 0), maximum.
fn free_files(file_nr: &str) -> Option<u64> {
    let mut fields = file_nr.split_ascii_whitespace();
    left(fields.nth(2)?, file_nr.split_ascii_whitespace().next()?)
}

/// A host that tracks connections has some: where there are none, the module is loaded but no rule uses it.
fn tracked(most: &str, count: &str) -> Option<u64> {
    left(most, count).filter(|_| count.trim() != "0")
}

fn left(most: &str, taken: &str) -> Option<u64> {
    let (most, taken) = (most.trim().parse::<u64>().ok()?, taken.trim().parse::<u64>().ok()?);
    Some(most.saturating_sub(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_range_includes_both_ends() {
        assert_eq!(local_ports("32768\t60999\n"), Some(28_232));
        assert_eq!(local_ports("1024 1024"), Some(1));
        assert_eq!(local_ports("nonsense"), None);
    }

    #[test]
    fn what_is_left_is_the_maximum_without_what_is_taken() {
        assert_eq!(free_files("619\t0\t2466177\n"), Some(2_465_558));
        assert_eq!(tracked("65536\n", "36\n"), Some(65_500));
        assert_eq!((tracked("65536\n", "0\n"), tracked("", "")), (None, None));
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
    }
}
