//! What a configuration costs in memory, as sums with one term for each thing that is held.
//!
//! Logged at the start, printed by `corecast budget`, and read as JSON by the load generator's capacity plan.

use std::fmt;

use serde::Serialize;

use super::Config;

/// Sizes that other modules own, so that the sums are those of the code in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetInputs {
    /// User memory of one connection's slot.
    pub slot_bytes: usize,
    /// User memory of one topic without messages.
    pub topic_bytes: usize,
    /// User memory of one raw subscription.
    pub membership_bytes: usize,
    /// User memory of one subscription of a JSON connection, besides `membership_bytes` of the connection itself.
    pub json_membership_bytes: usize,
    /// User memory of a shard's compressor and decompressor.
    pub codec_bytes: usize,
    /// Locked kernel memory of one shard's ring.
    pub ring_locked_bytes: u64,
}

/// What a term is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each open connection.
    Connection,
    /// Each topic that a connection is subscribed to in the JSON dialect; not in the totals, for their number is the
    /// clients' choice.
    Subscription,
    /// Each known topic.
    Topic,
    /// Each shard.
    Shard,
    /// Once.
    Process,
}

/// Whose memory it is: what the process's resident size shows, or what only the kernel's figures do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    User,
    Kernel,
}

/// One thing that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// What it is.
    pub name: &'static str,
    /// Bytes of one.
    pub bytes: u64,
    /// How many there are.
    pub per: Per,
    /// Whose memory it is.
    pub memory: Memory,
    /// When it is held, and how sure the figure is.
    pub explanation: &'static str,
}

/// Bytes on both sides of the system call boundary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    pub user_bytes: u64,
    pub kernel_bytes: u64,
}

/// All terms and their sums, at the configured maxima.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Version of this layout; changes when a reader of the JSON would have to.
    pub schema: u32,
    /// The maxima that the totals are for.
    pub max_connections: u64,
    pub max_topics: u64,
    pub shards: u64,
    /// Everything that is held.
    pub terms: Vec<Term>,
    /// One idle connection that subscribes to one topic, raw.
    pub per_connection: Sum,
    /// One topic that a JSON connection subscribes to.
    pub per_subscription: Sum,
    /// One topic without messages.
    pub per_topic: Sum,
    /// One shard with every bound used up.
    pub per_shard: Sum,
    /// What is there once.
    pub per_process: Sum,
    /// Everything at the maxima.
    pub total: Sum,
}

/// What glommio's executor locks for its own rings at depth 64: with an `RLIMIT_MEMLOCK` of 8 MiB the 46th fails, so one
/// takes 45 pages.
const EXECUTOR_LOCKED_BYTES: u64 = 45 * 4096;

/// What an idle TCP socket holds in the kernel.
const SOCKET_KERNEL_BYTES: u64 = 4096;

impl Budget {
    /// Sums up what `config` allows.
    pub fn of(config: &Config, inputs: &BudgetInputs) -> Self {
        let terms = terms(config, inputs);
        let sum = |per: Per| {
            let of = |memory: Memory| {
                terms
                    .iter()
                    .filter(|term| term.per == per && term.memory == memory)
                    .map(|term| term.bytes)
                    .sum()
            };
            Sum { user_bytes: of(Memory::User), kernel_bytes: of(Memory::Kernel) }
        };
        let mut budget = Self {
            schema: 1,
            max_connections: config.max_connections.into(),
            max_topics: config.max_topics.into(),
            shards: config.shards.into(),
            per_connection: sum(Per::Connection),
            per_subscription: sum(Per::Subscription),
            per_topic: sum(Per::Topic),
            per_shard: sum(Per::Shard),
            per_process: sum(Per::Process),
            total: Sum::default(),
            terms,
        };
        for per in [Per::Connection, Per::Topic, Per::Shard, Per::Process] {
            let (sum, count) = (budget.sum(per), budget.count(per));
            budget.total.user_bytes += sum.user_bytes * count;
            budget.total.kernel_bytes += sum.kernel_bytes * count;
        }
        budget
    }

    /// The totals in one line, for the log.
    pub fn summary(&self) -> String {
        format!(
            "at most {} user and {} kernel memory with {} connections ({} B + {} each) and {} topics",
            readable(self.total.user_bytes),
            readable(self.total.kernel_bytes),
            self.max_connections,
            self.per_connection.user_bytes,
            readable(self.per_connection.kernel_bytes),
            self.max_topics,
        )
    }

    /// All of it as one JSON object, for programs.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a budget is plain data");
        json + "\n"
    }

    fn sum(&self, per: Per) -> Sum {
        match per {
            Per::Connection => self.per_connection,
            Per::Subscription => self.per_subscription,
            Per::Topic => self.per_topic,
            Per::Shard => self.per_shard,
            Per::Process => self.per_process,
        }
    }

    fn count(&self, per: Per) -> u64 {
        match per {
            Per::Connection => self.max_connections,
            Per::Subscription => 0,
            Per::Topic => self.max_topics,
            Per::Shard => self.shards,
            Per::Process => 1,
        }
    }
}

/// Everything that is held. A limit is a term like any other: what it allows has to fit.
fn terms(config: &Config, inputs: &BudgetInputs) -> Vec<Term> {
    use Memory::{Kernel, User};
    use Per::{Connection, Process, Shard, Subscription, Topic};

    let receive_buffers = u64::from(config.receive_buffers) * u64::from(config.receive_buffer_bytes);
    let reserve = u64::from(super::RESERVED_CONNECTIONS) * inputs.slot_bytes as u64;
    let metrics = crate::observe::METRICS_BYTES as u64;
    // Half a link takes a message of any size.
    let (capacity, message) = (config.topic_log_bytes as u64 / 2, config.max_message_bytes as u64);
    let links = u64::from(config.shards - 1) * 2 * capacity.max(capacity / 2 + message);
    let (codec, deflated) = match (config.deflate, config.deflate_small_windows) {
        (false, _) => (0, 0),
        (true, false) => (inputs.codec_bytes as u64, 2 * links),
        (true, true) => (2 * inputs.codec_bytes as u64, 4 * links),
    };
    let term = |per, memory, name, bytes, explanation| Term { name, bytes, per, memory, explanation };
    let (slot, subscription) = (inputs.slot_bytes as u64, inputs.membership_bytes as u64);
    let json_subscription = inputs.json_membership_bytes as u64;
    let (log, inbound) = (config.log_bytes as u64, config.inbound_bytes as u64);
    vec![
        term(Connection, User, "connection slot", slot, "state of one open connection"),
        term(Connection, User, "subscription", subscription, "to one topic, raw; or where JSON ones are"),
        term(Connection, Kernel, "socket", SOCKET_KERNEL_BYTES, SOCKET_NOTE),
        term(
            Subscription,
            User,
            "subscription",
            json_subscription,
            "held while subscribed; not in the totals",
        ),
        term(
            Topic,
            User,
            "topic",
            inputs.topic_bytes as u64,
            "name, offset, epoch, who follows it; no messages",
        ),
        term(Shard, User, "receive buffers", receive_buffers, "receive_buffers x receive_buffer_bytes"),
        term(Shard, User, "reserved slots", reserve, "64 above the maximum, to be answered 503"),
        term(Shard, User, "message log", log, "log_bytes; held while subscribers lag"),
        term(Shard, User, "inbound", inbound, "inbound_bytes; held for what arrived in part"),
        term(
            Shard,
            User,
            "lag tails",
            config.lag_tail_bytes as u64,
            "lag_tail_bytes; held for the overtaken",
        ),
        term(Shard, User, "metrics", 2 * metrics, "counters and histograms, and the copy for scrapes"),
        term(Shard, Kernel, "ring", inputs.ring_locked_bytes, "queues and buffer ring; RLIMIT_MEMLOCK"),
        term(
            Shard,
            Kernel,
            "executor",
            EXECUTOR_LOCKED_BYTES,
            "glommio's own rings; RLIMIT_MEMLOCK; measured",
        ),
        term(
            Shard,
            User,
            "links",
            links,
            "two from each other shard: topic_log_bytes / 2, or half of that and a message",
        ),
        term(Shard, User, "compression", codec, "compressor and decompressor, once both were used; deflate"),
        term(Shard, User, "compressed links", deflated, "compressed forms of what is on the links, at most"),
        term(Process, User, "scrape", metrics, "the sum over all shards while it is printed"),
    ]
}

const SOCKET_NOTE: &str = "our end, idle; a loopback pair was measured at 6.5-9.4 KB";

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Memory at {} connections, {} topics, {} shard{}",
            self.max_connections,
            self.max_topics,
            self.shards,
            if self.shards == 1 { "" } else { "s" }
        )?;
        line(f, "", "user", "kernel", "")?;
        for (per, heading) in [
            (Per::Connection, "each connection"),
            (Per::Subscription, "each JSON subscription"),
            (Per::Topic, "each topic"),
            (Per::Shard, "each shard"),
            (Per::Process, "once"),
        ] {
            writeln!(f, "{heading}")?;
            for term in self.terms.iter().filter(|term| term.per == per) {
                let (user, kernel) = match term.memory {
                    Memory::User => (readable(term.bytes), String::new()),
                    Memory::Kernel => (String::new(), readable(term.bytes)),
                };
                line(f, term.name, &user, &kernel, term.explanation)?;
            }
            let sum = self.sum(per);
            line(f, "sum", &readable(sum.user_bytes), &readable(sum.kernel_bytes), "")?;
        }
        writeln!(f, "all together")?;
        line(f, "sum", &readable(self.total.user_bytes), &readable(self.total.kernel_bytes), "")
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, user: &str, kernel: &str, note: &str) -> fmt::Result {
    let row = format!("  {name:<16} {user:>10} {kernel:>10}  {note}");
    writeln!(f, "{}", row.trim_end())
}

/// Bytes with three digits or so: `156 B`, `4.0 KiB`, `64 MiB`.
fn readable(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(amount < 10.0);
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostLimits;

    const INPUTS: BudgetInputs = BudgetInputs {
        slot_bytes: 152,
        topic_bytes: 300,
        membership_bytes: 4,
        json_membership_bytes: 24,
        codec_bytes: 300_000,
        ring_locked_bytes: 118_784,
    };

    fn budget() -> Budget {
        let host = HostLimits { open_files: 1_000_000, locked_bytes: u64::MAX, cores: 1 };
        Budget::of(&Config::defaults(&host), &INPUTS)
    }

    #[test]
    fn sums_are_those_of_the_terms() {
        let budget = budget();
        assert_eq!(budget.per_connection, Sum { user_bytes: 156, kernel_bytes: 4096 });
        assert_eq!(budget.per_subscription, Sum { user_bytes: 24, kernel_bytes: 0 });
        assert_eq!(budget.per_topic, Sum { user_bytes: 300, kernel_bytes: 0 });
        // 256 x 4 KiB + 64 x 152 + 64 MiB + 64 MiB + 16 MiB + 300 kB, and twice the metrics.
        let metrics = budget.per_process.user_bytes;
        assert_eq!(budget.per_shard.user_bytes, 1_048_576 + 9_728 + 150_994_944 + 300_000 + 2 * metrics);
        assert_eq!(budget.per_shard.kernel_bytes, 118_784 + 184_320);
        assert_eq!(budget.total.user_bytes, 15_600_000 + 30_000_000 + budget.per_shard.user_bytes + metrics);
        assert_eq!(budget.total.kernel_bytes, 409_600_000 + 303_104);
    }

    #[test]
    fn json_has_a_version_and_every_term_with_its_unit() {
        let json: serde_json::Value = serde_json::from_str(&budget().to_json()).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["max_connections"], 100_000);
        assert_eq!(json["terms"][0]["name"], "connection slot");
        assert_eq!(json["terms"][0]["bytes"], 152);
        assert_eq!(json["terms"][0]["per"], "connection");
        assert_eq!(json["terms"][2]["memory"], "kernel");
        assert_eq!(json["per_connection"]["kernel_bytes"], 4096);
        assert_eq!(json["total"]["kernel_bytes"], 409_903_104);
    }

    #[test]
    fn table_lines_up() {
        let table = budget().to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[..7],
            [
                "Memory at 100000 connections, 100000 topics, 1 shard",
                "                         user     kernel",
                "each connection",
                "  connection slot       152 B             state of one open connection",
                "  subscription            4 B             to one topic, raw; or where JSON ones are",
                "  socket                         4.0 KiB  our end, idle; a loopback pair was measured at 6.5-9.4 KB",
                "  sum                   156 B    4.0 KiB",
            ]
        );
        assert_eq!(lines[lines.len() - 2..], ["all together", "  sum                 189 MiB    391 MiB"]);
    }

    #[test]
    fn summary_fits_a_line() {
        assert_eq!(
            budget().summary(),
            "at most 189 MiB user and 391 MiB kernel memory with 100000 connections (156 B + 4.0 KiB each) and \
             100000 topics"
        );
    }

    #[test]
    fn amounts_are_readable() {
        for (bytes, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10 << 10, "10 KiB"), (3 << 40, "3.0 TiB")]
        {
            assert_eq!(readable(bytes), shown);
        }
    }
}
