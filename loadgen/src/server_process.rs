//! What the server uses, read from `/proc`: processor time and memory of its process tree, busy time of the cores it may
//! run on, and the kernel memory behind the connections.

use std::collections::BTreeSet;
use std::fs;

use crate::units::parse_cores;

/// Largest process tree that is followed.
const MOST_PROCESSES: usize = 4_096;

/// The process whose tree is watched.
#[derive(Clone, Copy, Debug)]
pub struct ServerProcess {
    pid: u32,
}

/// Sums at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerSnapshot {
    pub processes: u32,
    /// User and system time of the tree, ended children included, in seconds.
    pub cpu_seconds: f64,
    /// Cores that the process may run on.
    pub cores: Vec<usize>,
    /// Time that those cores worked, in seconds: also on what the kernel does in nobody's name.
    pub core_busy_seconds: f64,
    /// Resident memory of the tree.
    pub resident_bytes: u64,
}

/// Kernel memory of this host at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// Buffers of all TCP sockets.
    pub tcp_bytes: u64,
    /// Kernel objects of all kinds, sockets among them.
    pub slab_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerProcessError {
    #[error("--server-pid {pid}: there is no such process; give the id of the running server")]
    NoProcess { pid: u32 },
}

impl ServerProcess {
    /// # Errors
    /// When there is no such process.
    pub fn new(pid: u32) -> Result<Self, ServerProcessError> {
        match read_stat(pid) {
            Some(_) => Ok(Self { pid }),
            None => Err(ServerProcessError::NoProcess { pid }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Reads everything now. A process that has ended meanwhile counts nothing.
    pub fn snapshot(&self) -> ServerSnapshot {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let page_bytes = rustix::param::page_size() as u64;
        let mut snapshot = ServerSnapshot { cores: allowed_cores(self.pid), ..ServerSnapshot::default() };
        for pid in tree(self.pid) {
            let Some(ticks) = read_stat(pid).and_then(|stat| cpu_ticks(&stat)) else { continue };
            snapshot.processes += 1;
            snapshot.cpu_seconds += ticks as f64 / ticks_per_second;
            let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
            snapshot.resident_bytes += field(&statm, 1) * page_bytes;
        }
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: u64 = snapshot.cores.iter().filter_map(|&core| busy_ticks(&stat, core)).sum();
        snapshot.core_busy_seconds = ticks as f64 / ticks_per_second;
        snapshot
    }
}

impl KernelMemory {
    pub fn now() -> Self {
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            tcp_bytes: tcp_pages(&sockstat) * rustix::param::page_size() as u64,
            slab_bytes: slab_kib(&meminfo) * 1_024,
        }
    }
}

/// The process and all its descendants.
fn tree(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for child in children(pid) {
            if found.len() < MOST_PROCESSES && found.insert(child) {
                open.push(child);
            }
        }
    }
    found
}

/// Each thread of a process has its own list of children.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn read_stat(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// proc_pid_stat(5): fields 14 to 17 are utime, stime, cutime and cstime. The name before them may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // The first field after the name is the third.
    let times = fields.get(11..15)?;
    times.iter().map(|time| time.parse::<u64>().ok()).sum()
}

fn allowed_cores(pid: u32) -> Vec<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(|list| parse_cores(list).ok()).unwrap_or_default()
}

/// proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal. Guest time is part of user time. Steal is time in
/// which another guest of the host had the core: no work of this one.
fn busy_ticks(stat: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    Some([0, 1, 2, 5, 6].into_iter().map(|index| field(line, index)).sum())
}

/// `TCP: inuse 9 orphan 0 tw 0 alloc 12 mem 3`
fn tcp_pages(sockstat: &str) -> u64 {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"));
    line.and_then(|line| line.split_once(" mem ")).map_or(0, |(_, pages)| field(pages, 0))
}

/// `Slab:             123456 kB`
fn slab_kib(meminfo: &str) -> u64 {
    meminfo.lines().find_map(|line| line.strip_prefix("Slab:")).map_or(0, |rest| field(rest, 0))
}

fn field(line: &str, index: usize) -> u64 {
    line.split_ascii_whitespace().nth(index).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 500 0 0 0 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(127));
        assert_eq!(cpu_ticks("42 (cut"), None);
        assert_eq!(cpu_ticks("42 (short) S 1 2 3"), None);
    }

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 1000 2000 4 5 6 0 0\ncpu10 7 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(busy_ticks(stat, 0), Some(15));
        assert_eq!(busy_ticks(stat, 10), Some(7));
        assert_eq!(busy_ticks(stat, 1), None);
    }

    #[test]
    fn kernel_memory_is_read_from_its_lines() {
        let sockstat = "sockets: used 200\nTCP: inuse 9 orphan 0 tw 0 alloc 12 mem 37\nUDP: inuse 2 mem 5\n";
        assert_eq!(tcp_pages(sockstat), 37);
        assert_eq!(slab_kib("MemTotal: 5 kB\nSlab:             123456 kB\nSReclaimable: 7 kB\n"), 123_456);
        assert_eq!((tcp_pages(""), slab_kib("")), (0, 0));
    }

    #[test]
    fn this_process_is_measured_with_its_children() {
        let process = ServerProcess::new(std::process::id()).expect("this process runs");
        let alone = process.snapshot();
        assert!(alone.resident_bytes > 100_000, "{alone:?}");
        assert!(!alone.cores.is_empty());
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().expect("cat");
        // Other tests may have children of their own, so more is possible, less is not.
        assert!(tree(std::process::id()).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().expect("cat ends with its input");
    }

    #[test]
    fn a_process_that_does_not_exist_is_named() {
        let error = ServerProcess::new(u32::MAX).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--server-pid 4294967295: there is no such process; give the id of the running server"
        );
    }
}
