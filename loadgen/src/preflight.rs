//! What a run needs of this host, checked before the first connection: what falls short is named with the command that
//! mends it.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::dealing::share;
use crate::preset::Via;
use crate::scenario::Scenario;
use crate::worker::table_size;

/// A shortage of this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    #[error(
        "each of {workers} threads needs a table of {needed} sockets, but the limit of open files is {limit}: run \
         `ulimit -n {needed}`, or use more --threads"
    )]
    OpenFiles { workers: usize, needed: u64, limit: u64 },
    #[error(
        "{connections} connections from {sources} source address(es) need more local ports than the {ports} there are: run \
         `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or give {sources_needed} --source addresses"
    )]
    LocalPorts { connections: u64, sources: u64, ports: u64, sources_needed: u64 },
}

/// Everything that falls short, after what this process may mend itself: the limit of open files is raised as far as its
/// hard limit allows.
pub fn shortages(scenario: &Scenario) -> Vec<Shortage> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    check(scenario, limit, local_ports(&range).unwrap_or(28_232))
}

fn check(scenario: &Scenario, file_limit: u64, ports: u64) -> Vec<Shortage> {
    let workers = scenario.workers.len();
    let publishing = share(scenario.publisher_connections, 0, workers);
    let table = u64::from(table_size(share(scenario.subscribers, 0, workers) + publishing, publishing));
    // Everything else of the process: rings, standard streams, files of the report.
    let needed = table.max(64 + workers as u64);
    let mut found = Vec::new();
    if needed > file_limit {
        found.push(Shortage::OpenFiles { workers, needed, limit: file_limit });
    }
    // Publishers on another address do not compete for ports.
    let same_server = scenario.via == Via::Ws || scenario.publish.address == scenario.subscribe.address;
    let connections = u64::from(if same_server { scenario.connections() } else { scenario.subscribers });
    let sources = scenario.sources.len().max(1) as u64;
    if connections > ports * sources {
        let sources_needed = connections.div_ceil(ports.max(1));
        found.push(Shortage::LocalPorts { connections, sources, ports, sources_needed });
    }
    found
}

/// `32768 60999`: both ends belong to the range.
fn local_ports(range: &str) -> Option<u64> {
    let mut ends = range.split_ascii_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    (last + 1).checked_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn scenario(arguments: &[&str]) -> Scenario {
        let arguments = std::iter::once(&"run").chain(arguments);
        let options = crate::options::RunOptions::try_parse_from(arguments).expect("valid options");
        Scenario::from_options(&options).expect("a valid scenario")
    }

    #[test]
    fn port_range_includes_both_ends() {
        assert_eq!(local_ports("32768\t60999\n"), Some(28_232));
        assert_eq!(local_ports("1024 1024"), Some(1));
        assert_eq!(local_ports("nonsense"), None);
    }

    #[test]
    fn what_fits_is_not_complained_about() {
        assert_eq!(check(&scenario(&["-c", "1000", "--threads", "1"]), 1_024, 28_232), []);
    }

    #[test]
    fn too_few_files_name_the_command() {
        let shortages = check(&scenario(&["-c", "1100", "--threads", "1"]), 1_024, 28_232);
        assert_eq!(shortages.len(), 1);
        assert_eq!(
            shortages[0].to_string(),
            "each of 1 threads needs a table of 1110 sockets, but the limit of open files is 1024: run `ulimit -n 1110`, \
             or use more --threads"
        );
    }

    #[test]
    fn too_few_ports_name_the_number_of_sources() {
        let scenario =
            scenario(&["-c", "60000", "--threads", "1", "--source", "127.0.0.1", "--source", "127.0.0.2"]);
        let shortages = check(&scenario, 1 << 20, 28_232);
        assert_eq!(
            shortages,
            [Shortage::LocalPorts { connections: 60_001, sources: 2, ports: 28_232, sources_needed: 3 }]
        );
    }
}
