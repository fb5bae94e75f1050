//! What a run needs of this host, checked before the first connection: what falls short is named with the command that
//! mends it.

use std::net::IpAddr;

use crate::dealing::share;
use crate::endpoint::Endpoint;
use crate::host_limits::HostLimits;
use crate::part::Part;
use crate::preset::Via;
use crate::scenario::Scenario;
use crate::worker::table_size;

/// Kernel memory of one end of an idle connection, in bytes: measured at 9.3 to 9.7 KB for both ends together (Linux 6.18).
const KERNEL_BYTES: u64 = 4_900;
/// What a ring and a thread take, in bytes: most of it receive buffers.
const WORKER_BYTES: u64 = 4 << 20;
/// Descriptors of the process besides those for its workers: standard streams, files of the report.
const OTHER_FILES: u64 = 64;

/// A shortage of this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    #[error(
        "each of {workers} threads needs a table of {needed} sockets, but the limit of open files is {limit}: run \
         `ulimit -n {needed}`, or use --threads {workers_needed}"
    )]
    OpenFiles { workers: usize, needed: u64, limit: u64, workers_needed: usize },
    #[error(
        "{connections} connections from {sources} source address(es) need more local ports than the {ports} there are: run \
         `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or give {sources_needed} --source addresses{example}"
    )]
    LocalPorts { connections: u64, sources: u64, ports: u64, sources_needed: u64, example: &'static str },
    #[error(
        "{connections} connections need some {} MiB of memory{}, but {} MiB are available: stop what else runs here, or connect \
         less",
        .needed >> 20,
        if *.is_local { ", both ends being on this host" } else { "" },
        .available >> 20
    )]
    Memory { connections: u64, needed: u64, is_local: bool, available: u64 },
    #[error(
        "{needed} sockets are more than the {left} files that this system may still open: run `sysctl -w fs.file-max={needed_in_all}`"
    )]
    SystemFiles { needed: u64, left: u64, needed_in_all: u64 },
    #[error(
        "{needed} connections are more than the {left} that the firewall may still track: run `sysctl -w \
         net.netfilter.nf_conntrack_max={needed_in_all}`, or exempt them with a notrack rule"
    )]
    Conntrack { needed: u64, left: u64, needed_in_all: u64 },
}

/// Everything that falls short.
pub fn shortages(scenario: &Scenario) -> Vec<Shortage> {
    shortages_of(scenario, &Part::whole(scenario.workers.len()))
}

/// The same for a part of a run.
pub(crate) fn shortages_of(scenario: &Scenario, part: &Part) -> Vec<Shortage> {
    check(scenario, part, &HostLimits::here())
}

fn check(scenario: &Scenario, part: &Part, limits: &HostLimits) -> Vec<Shortage> {
    let mut found = Vec::new();
    let own = |total| part.workers().map(|w| share(total, w, scenario.workers.len()) as u64).sum::<u64>();
    let subscribers = own(scenario.subscribers);
    let all = subscribers + own(scenario.publisher_connections);
    let is_local = scenario.subscribe.address.ip().is_loopback();
    let workers = scenario.workers.len();
    let publishing = share(scenario.publisher_connections, 0, workers);
    let table = u64::from(table_size(share(scenario.subscribers, 0, workers) + publishing, publishing));
    let own_workers = part.workers().count();
    let needed = table.max(OTHER_FILES + own_workers as u64);
    if needed > limits.open_files {
        let workers_needed = workers_for(all as u32, limits.open_files);
        found.push(Shortage::OpenFiles {
            workers: own_workers,
            needed,
            limit: limits.open_files,
            workers_needed,
        });
    }
    // Publishers on another address do not compete for ports.
    let same_server = scenario.via == Via::Ws || scenario.publish.address == scenario.subscribe.address;
    let connections = if same_server { all } else { subscribers };
    let (sources, ports) = (scenario.sources.len().max(1) as u64, limits.local_ports);
    if connections > ports * sources {
        let sources_needed = connections.div_ceil(ports.max(1));
        let example = match scenario.subscribe.address.ip() {
            IpAddr::V4(address) if address.is_loopback() => ", as in 127.0.0.2-127.0.0.99",
            _ => ": `ip address add` gives an interface more of them",
        };
        found.push(Shortage::LocalPorts { connections, sources, ports, sources_needed, example });
    }
    // User memory of the generator, and kernel memory of the sockets of this host. What a server on this host needs for itself is
    // not in it.
    let ends = if is_local { 2 } else { 1 };
    let checked = 4 * subscribers * u64::from(scenario.publishers_heard());
    let of_connections = all * (size_of::<Endpoint>() as u64 + ends * KERNEL_BYTES);
    let needed = of_connections + checked + own_workers as u64 * WORKER_BYTES;
    if needed > limits.available_bytes {
        found.push(Shortage::Memory {
            connections: all,
            needed,
            is_local,
            available: limits.available_bytes,
        });
    }
    let sockets = if is_local { 2 * all } else { all };
    if let Some(left) = limits.system_files.filter(|left| sockets > *left) {
        // In round numbers, and with room for everything else.
        found.push(Shortage::SystemFiles {
            needed: sockets,
            left,
            needed_in_all: (2 * sockets).max(1 << 20),
        });
    }
    if let Some(left) = limits.conntrack.filter(|left| all > *left) {
        found.push(Shortage::Conntrack { needed: all, left, needed_in_all: 2 * all });
    }
    found
}

/// Threads whose tables together have room for so many connections.
pub(crate) fn workers_for(connections: u32, open_files: u64) -> usize {
    let room = open_files.saturating_sub(u64::from(table_size(0, 0)) + OTHER_FILES).max(1);
    u64::from(connections).div_ceil(room).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HostLimits = HostLimits {
        open_files: 1_024,
        local_ports: 28_232,
        available_bytes: 1 << 40,
        system_files: None,
        conntrack: None,
    };

    fn texts(arguments: &[&str], limits: &HostLimits) -> Vec<String> {
        let scenario = Scenario::of(arguments);
        check(&scenario, &Part::whole(scenario.workers.len()), limits)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_fits_is_not_complained_about() {
        assert_eq!(texts(&["-c", "1000", "--threads", "1"], &LIMITS), [] as [&str; 0]);
    }

    #[test]
    fn too_few_files_name_the_command() {
        assert_eq!(
            texts(&["-c", "1100", "--threads", "1"], &LIMITS),
            [
                "each of 1 threads needs a table of 1110 sockets, but the limit of open files is 1024: run `ulimit -n 1110`, or \
              use --threads 2"
            ]
        );
    }

    #[test]
    fn too_few_ports_name_the_number_of_sources() {
        let given =
            ["-c", "60000", "--threads", "1", "--source", "127.0.0.1", "--source", "127.0.0.2-127.0.0.2"];
        assert_eq!(
            texts(&given, &HostLimits { open_files: 1 << 20, ..LIMITS }),
            [
                "60001 connections from 2 source address(es) need more local ports than the 28232 there are: run \
              `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or give 3 --source addresses, as in \
              127.0.0.2-127.0.0.99"
            ]
        );
    }

    #[test]
    fn memory_files_and_tracked_connections_are_counted() {
        let limits = HostLimits {
            available_bytes: 8 << 20,
            system_files: Some(1_999),
            conntrack: Some(1_000),
            ..LIMITS
        };
        let texts = texts(&["-c", "1000", "--threads", "1"], &limits);
        assert!(
            texts[0].starts_with(
                "1001 connections need some 13 MiB of memory, both ends being on this host, but 8 MiB"
            ),
            "{texts:?}"
        );
        assert_eq!(
            texts[1..],
            [
                "2002 sockets are more than the 1999 files that this system may still open: run `sysctl -w \
                 fs.file-max=1048576`",
                "1001 connections are more than the 1000 that the firewall may still track: run `sysctl -w \
                 net.netfilter.nf_conntrack_max=2002`, or exempt them with a notrack rule"
            ]
        );
    }

    #[test]
    fn a_million_needs_many_tables_of_twenty_thousand() {
        assert_eq!(workers_for(1_000_001, 20_000), 51);
        assert_eq!(workers_for(19_000, 20_000), 1);
        assert_eq!(workers_for(5, 10), 5, "never a table without room");
    }
}
