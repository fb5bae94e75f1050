//! The command line of `corecast-load plan`, as given.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser};

use super::wire::IpVersion;
use crate::units::{Rate, parse_bytes, parse_duration};

/// Says how many cores, hosts, and how much memory and bandwidth a service needs, from measured runs of the server.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "corecast-load plan",
    group = ArgGroup::new("rates").args(["rate", "topic_rate"]),
    after_help = "The costs are fitted to the time that the server's cores were busy, so runs need --server-pid and cores of \
                  the server's own. A plan is as good as its runs: vary subscribers, rate and size, and have some with \
                  --metrics of a busy server. Exit status: 0 there is a plan, 1 wrong options or runs, 2 a run of --check \
                  is further off than 25 % (memory: 10 %), 3 no number of such hosts is enough."
)]
pub struct PlanOptions {
    /// Reports that `corecast-load run --json FILE` wrote: what the costs are fitted to
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub runs: Vec<PathBuf>,

    /// Reports that are not fitted but predicted, to see how far off the model is; then --connections may be left out
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub check: Vec<PathBuf>,

    /// What `corecast budget --json` printed, for the server's memory term by term
    #[arg(long, value_name = "FILE", conflicts_with = "server_binary")]
    pub budget: Option<PathBuf>,

    /// The server's program: its budget is asked for the number of shards that is planned
    #[arg(long, value_name = "PROGRAM")]
    pub server_binary: Option<PathBuf>,

    /// Connections that receive, over all hosts
    #[arg(long, value_name = "N", required_unless_present = "check", requires = "rates")]
    pub connections: Option<u64>,

    /// Topics
    #[arg(long, value_name = "T", default_value_t = 1)]
    pub topics: u64,

    /// Topics that each connection listens to
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub subscriptions: u32,

    /// Messages published per second, all topics together. Give the rate of the busiest minute
    #[arg(long, value_name = "RATE")]
    pub rate: Option<Rate>,

    /// Messages published per second to each topic, instead of --rate
    #[arg(long, value_name = "RATE")]
    pub topic_rate: Option<Rate>,

    /// Bytes of a message as a subscriber gets it, uncompressed
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_bytes)]
    pub size: u32,

    /// Subscribers that a message goes to [default: connections x subscriptions / topics]
    #[arg(long, value_name = "F")]
    pub fan_out: Option<f64>,

    /// Subscribers connect with TLS: its bytes are counted, its processor time is not known
    #[arg(long)]
    pub tls: bool,

    /// Messages go compressed, and become this part of their size, as in 0.35 or 35%
    #[arg(long, value_name = "PART", value_parser = parse_part)]
    pub deflate: Option<f64>,

    /// Connections per second that come, while as many go
    #[arg(long, value_name = "RATE")]
    pub churn: Option<Rate>,

    /// How long messages of a topic may wait for each other to go out in one send. The server does so by itself when its
    /// cores are full; with 0 the plan has room for each message alone
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub wait: Duration,

    /// Silence after which the server pings a connection, as it is configured; 0 for never
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = parse_duration)]
    pub ping_interval: Duration,

    /// Part of each host's cores, memory and bandwidth that stays free, as in 30% or 0.3
    #[arg(long, value_name = "PART", default_value = "30%", value_parser = parse_part)]
    pub headroom: f64,

    /// Cores of a host that the server may use
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub host_cores: u64,

    /// Memory of a host
    #[arg(long, value_name = "BYTES", default_value = "32GiB", value_parser = parse_memory)]
    pub host_memory: u64,

    /// A host's link, each direction
    #[arg(long, value_name = "BITS", default_value = "10Gbit", value_parser = parse_bits)]
    pub nic: f64,

    /// Largest IP packet on that link
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(576..=65_535))]
    pub mtu: u32,

    /// Version of IP that subscribers use
    #[arg(long, value_enum, default_value = "v4")]
    pub ip: IpVersion,

    /// Write the plan as JSON to a file, or to standard output instead of the text with -
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `30%` or `0.3`: at least 0, below 1.
fn parse_part(text: &str) -> Result<f64, String> {
    let refuse = || format!("'{text}' is not a part: write 30% or 0.3 (from 0 to below 1)");
    let (number, whole) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let part = number.trim().parse::<f64>().map_err(|_| refuse())? / whole;
    if (0.0..1.0).contains(&part) { Ok(part) } else { Err(refuse()) }
}

/// `512MiB`, `32GiB`, `1.5TiB`: powers of 1,024.
fn parse_memory(text: &str) -> Result<u64, String> {
    let units =
        [("tib", 1_u64 << 40), ("gib", 1 << 30), ("mib", 1 << 20), ("kib", 1 << 10), ("b", 1), ("", 1)];
    let bytes = with_unit(text, &units.map(|(unit, bytes)| (unit, bytes as f64)));
    let bytes = bytes.filter(|bytes| (1.0..1e18).contains(bytes));
    bytes
        .map(|bytes| bytes as u64)
        .ok_or_else(|| format!("'{text}' is not an amount of memory: write 512MiB or 32GiB"))
}

/// `10Gbit`, `2.5Gbit`, `100Mbit`: powers of 1,000, per second.
fn parse_bits(text: &str) -> Result<f64, String> {
    let bits = with_unit(text, &[("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)]);
    bits.filter(|bits| (1.0..1e15).contains(bits))
        .ok_or_else(|| format!("'{text}' is not a bandwidth: write 10Gbit or 100Mbit"))
}

/// A number times the first unit that it ends with.
fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, times) = units.iter().find_map(|(unit, times)| Some((text.strip_suffix(unit)?, times)))?;
    Some(number.trim().parse::<f64>().ok()? * times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<PlanOptions, String> {
        let arguments = std::iter::once("plan").chain(arguments.iter().copied());
        PlanOptions::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn parts_memory_and_bandwidth_have_units() {
        assert_eq!([parse_part("30%"), parse_part("0.3"), parse_part("0")], [Ok(0.3), Ok(0.3), Ok(0.0)]);
        assert!(["100%", "1", "-1%", "x", "", "NaN"].iter().all(|text| parse_part(text).is_err()));
        assert_eq!(parse_memory("32GiB"), Ok(34_359_738_368));
        assert_eq!(
            [parse_memory("1.5kib"), parse_memory("7"), parse_memory("7 B")],
            [Ok(1_536), Ok(7), Ok(7)]
        );
        assert!(["", "GiB", "0", "-1MiB", "32GB"].iter().all(|text| parse_memory(text).is_err()));
        assert_eq!([parse_bits("10Gbit"), parse_bits("2.5 gbit")], [Ok(10e9), Ok(2.5e9)]);
        assert!(["10", "10GB", "Gbit", "0bit"].iter().all(|text| parse_bits(text).is_err()));
    }

    #[test]
    fn a_plan_needs_runs_connections_and_one_rate() {
        let given = options(&["--runs", "a.json", "b.json", "--connections", "5", "--rate", "10"]);
        assert_eq!(given.expect("enough").runs, [PathBuf::from("a.json"), PathBuf::from("b.json")]);
        assert!(options(&["--runs", "a", "--connections", "5", "--topic-rate", "1"]).is_ok());
        let both = ["--runs", "a", "--connections", "5", "--topic-rate", "1", "--rate", "1"];
        assert!(options(&both).unwrap_err().contains("cannot be used with"));
        assert!(options(&["--runs", "a", "--connections", "5"]).unwrap_err().contains("--rate"));
        assert!(options(&["--runs", "a"]).unwrap_err().contains("--connections"));
        assert!(options(&["--connections", "5", "--rate", "1"]).unwrap_err().contains("--runs"));
    }

    #[test]
    fn a_check_needs_no_target() {
        let given = options(&["--runs", "a", "--check", "b", "c"]).expect("enough");
        assert_eq!((given.check.len(), given.connections), (2, None));
    }
}
