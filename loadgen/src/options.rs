//! The command line of `corecast-load run`, as given. [`crate::scenario`] resolves it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::groups::Portion;
use crate::output::OutputOptions;
use crate::preset::{Preset, Via};
use crate::sizes::{Sizes, TextShare};
use crate::sources::Source;
use crate::units::{Rate, parse_byte_rate, parse_bytes, parse_duration};
use crate::workload::Workload;

/// Connects subscribers and publishers, publishes at fixed times whatever the server does, and checks that every
/// subscriber gets every message.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "corecast-load run",
    args_override_self = true,
    after_help = "Exit status: 0 the figures are valid, 1 wrong options or failed connections, 2 messages were lost, \
                  duplicated, reordered or unexpected, 3 the generator itself was the limit. Of several runs (--repeat) the \
                  lowest that is not 0."
)]
pub struct RunOptions {
    /// ws://host:port/path of the server; {topic} stands for the topic's name [default: the preset's]
    pub url: Option<String>,

    /// Options from a TOML file: each is a key with _ for -, in sections or not. Options given here win
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,

    /// Options for a purpose; those of the file and those given here win
    #[arg(long, value_enum, value_name = "NAME")]
    pub workload: Option<Workload>,

    /// What is known about the server [default: corecast, or plain when a URL is given]
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,

    /// Connections that receive
    #[arg(short = 'c', long, visible_alias = "connections", value_name = "N", default_value_t = 100)]
    pub subscribers: u32,

    /// Publishers, each with a sequence of messages on one topic: they are dealt out to the topics in turn, each keeps
    /// the --rate, and order is checked for each. The kernel spreads connections over a server's shards by hash, so for
    /// publishers on every shard give each topic at least 4 times as many as there are shards [default: one per topic]
    #[arg(long, value_name = "P")]
    pub publishers: Option<u32>,

    /// Connections that publishers send over; publishers are dealt out to them in turn. With fewer connections than
    /// publishers each stands for a process that publishes to many topics: tens of thousands of topics then need few
    /// sockets, and the server takes many messages with one receive. Every message must name its topic, as with
    /// --preset corecast-json or --publish http. For publishers on every shard give at least 4 times as many
    /// connections as there are shards [default: one for each publisher]
    #[arg(long, value_name = "N")]
    pub publisher_connections: Option<u32>,

    /// Topics; subscribers and publishers are dealt out to them in turn
    #[arg(long, value_name = "T", default_value_t = 1)]
    pub topics: u32,

    /// Topics that each subscriber listens to, K that follow each other. Needs a server that takes several on one
    /// connection, as with --preset corecast-json
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub topics_per_subscriber: u32,

    /// Topics are called NAME-0, NAME-1 and so on
    #[arg(long, value_name = "NAME", default_value = "load")]
    pub topic_prefix: String,

    /// Messages per second of each publisher: open loop, latency counts from the intended time. With one publisher per
    /// topic this is the rate of each topic; the report gives the rates of a topic and of all together
    #[arg(long, default_value = "100", conflicts_with = "in_flight")]
    pub rate: Rate,

    /// Closed loop instead: each publisher keeps N messages on their way; one is done when every subscriber has it
    #[arg(long, value_name = "N")]
    pub in_flight: Option<u32>,

    /// Bytes of a message, at least the stamp (32 binary, 64 text). Sizes with weights, as in 64:90,1KiB:9,64KiB:1, or a range, as
    /// in uniform:32-4096, are drawn for each message from the seed
    #[arg(long, value_name = "BYTES", default_value = "64")]
    pub size: Sizes,

    /// Send text messages
    #[arg(long, conflicts_with = "binary")]
    pub text: bool,

    /// Send some messages as text and the others as binary: 30% or 0.3 of them, drawn from the seed. Over WebSocket only
    #[arg(long, value_name = "SHARE", conflicts_with_all = ["text", "binary", "publish_template"])]
    pub text_share: Option<TextShare>,

    /// Send binary messages (the default)
    #[arg(long)]
    pub binary: bool,

    /// How long is measured
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,

    /// Publishing before the measurement that is left out of every figure
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub warmup: Duration,

    /// How long to wait for the last messages after publishing ends
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub grace: Duration,

    /// Run so many times, each with new connections, and report all of them together and how far apart they are: a single
    /// run says nothing of its noise [default: 1; 3 for each step of a search]
    #[arg(long, alias = "step-repeats", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: Option<u32>,

    /// Rest between two runs, so that the sockets of one are gone before the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    pub pause: Duration,

    /// New connections per second over all threads [default: as fast as they are answered]
    #[arg(long, value_name = "RATE")]
    pub connect_rate: Option<Rate>,

    /// Connections being opened at once, over all threads [default: 256, or 64 for each thread if that is more]
    #[arg(long, value_name = "N")]
    pub connect_concurrency: Option<u32>,

    /// How long one connection may take until it is subscribed
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub connect_timeout: Duration,

    /// How long all connections are held without traffic before anything is published
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub hold: Duration,

    /// Ping every subscriber once before anything is published, behind --hold: every pong must come
    #[arg(long)]
    pub ping: bool,

    /// How publishers reach the server [default: the preset's, else ws]
    #[arg(long, value_enum)]
    pub publish: Option<Via>,

    /// Where publishers go when it is not the subscribers' URL: ws://... or http://...
    #[arg(long, value_name = "URL")]
    pub publish_url: Option<String>,

    /// POST requests sent ahead of their answers on each publisher connection
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub http_pipeline: u32,

    /// Text message that each subscriber sends first, once for each of its topics; {topic} is replaced
    #[arg(long, value_name = "TEMPLATE")]
    pub subscribe_message: Option<String>,

    /// A subscriber counts as subscribed when a message with this text arrived for each of its topics; {topic} is
    /// replaced
    #[arg(long, value_name = "TEXT", requires = "subscribe_message")]
    pub subscribed_match: Option<String>,

    /// Text around each published message; {topic}, {payload}, {publisher} and {sequence} (ten digits each) are replaced.
    /// Needs --text
    #[arg(long, value_name = "TEMPLATE")]
    pub publish_template: Option<String>,

    /// Text message that each publisher's connection sends first, where servers want one; {topic} is replaced. Messages follow
    /// without waiting for an answer
    #[arg(long, value_name = "TEMPLATE")]
    pub publisher_message: Option<String>,

    /// How every message begins that a subscriber gets of a topic; others are unexpected. {topic} is replaced
    /// [default: the preset's, else not checked]
    #[arg(long, value_name = "TEMPLATE")]
    pub message_prefix: Option<String>,

    /// Messages with this text are not unexpected, whoever sent them: notices and heartbeats of the server (repeatable)
    /// [default: the preset's]
    #[arg(long, value_name = "TEXT")]
    pub ignore: Vec<String>,

    /// Additional request header, "Name: value" (repeatable)
    #[arg(long, value_name = "HEADER")]
    pub header: Vec<String>,

    /// Origin header
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,

    /// Subprotocol to offer (repeatable)
    #[arg(long, value_name = "NAME")]
    pub subprotocol: Vec<String>,

    /// Subscribers get messages compressed (permessage-deflate); a server that does not agree to that fails them.
    /// Filler bytes are random: use --publish-template for messages that compress
    #[arg(long)]
    pub deflate: bool,

    /// Connections per second that leave during the run, warm-up included, by a closing handshake; each comes again as a new
    /// one at once. Nothing may be lost inside of a stay
    #[arg(long, value_name = "RATE")]
    pub churn: Option<Rate>,

    /// Subscribers that come and go with --churn: 50, or 10% of them. The report's main figures are those of the others
    #[arg(long, value_name = "PORTION", default_value = "10%")]
    pub churn_subscribers: Portion,

    /// Subscribers that read slowly: 50, or 5% of them. What they miss and what becomes of them is told apart from the others; they do not connect again
    #[arg(long, value_name = "PORTION", default_value = "0")]
    pub slow_subscribers: Portion,

    /// How fast they read, on average, as in 1KiB/s; 0 stops reading after the subscription. Their SO_RCVBUF is 4 KiB
    #[arg(long, value_name = "BYTES", default_value = "1KiB/s", value_parser = parse_byte_rate)]
    pub slow_rate: u32,

    /// Subscribers and publishers connect again when the server ends their connections in the run, unless its close code says
    /// that this is of no use. What they miss meanwhile is told apart; publishers send late what was due
    #[arg(long)]
    pub reconnect: bool,

    /// The first attempt comes after a random time up to this; after attempts that fail the bound doubles, up to 16 times this
    /// (RFC 6455 section 7.2.3)
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub reconnect_delay: Duration,

    /// Local address to connect from, a range of them (127.0.0.2-127.0.0.9), or an interface (eth0) for all its addresses;
    /// several are used in turn (repeatable). Each has room for as many connections to one server as there are local ports,
    /// 28,232 by default, and connects get slow beyond half of them [default: the kernel's choice, or for a server on
    /// 127.0.0.0/8 as many addresses from 127.1.0.1 on as it takes]
    #[arg(long, value_name = "SOURCE")]
    pub source: Vec<Source>,

    /// SO_RCVBUF of the subscribers' sockets; the kernel doubles it [default: the kernel's]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub receive_buffer: Option<u32>,

    /// Worker threads [default: one per core given by --cores, else one per allowed core; more where the limit of open
    /// files is too low for so few: each thread's ring has a table of sockets of its own, as large as that limit]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// Cores to pin worker threads to, as in 1 or 0,2-3
    #[arg(long, value_name = "LIST")]
    pub cores: Option<String>,

    /// Generate the load from these instead, each a host on which `corecast-load worker` listens (port 9003 unless given):
    /// connections are dealt out to all their threads in turn, this process only tells them what to do and puts their figures
    /// together, and options for threads, cores and sources hold on each of them. Deliveries are timed where publisher and
    /// subscriber are on one host, by one clock: give at least as many publishers as there are hosts, or as many topics as
    /// there are threads, or a multiple of that
    #[arg(long, value_name = "HOST,...", value_delimiter = ',', conflicts_with = "dry_run")]
    pub workers: Vec<String>,

    /// With --workers, time deliveries from one host to another too, by estimated differences between their clocks: the
    /// report tells how uncertain they are
    #[arg(long, requires = "workers")]
    pub cross_host_latency: bool,

    /// Process id of the server on this host: its processor time and memory are measured
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,

    /// The server's metrics page, http://host:port/path: what each shard did is reported [default: for corecast on
    /// this host, /metrics on port 9002, if it is there]
    #[arg(long, value_name = "URL")]
    pub metrics: Option<String>,

    /// Seed of the run id and the filler bytes [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    #[command(flatten)]
    pub output: OutputOptions,

    /// Print what would happen (of a search, its first run) and connect nothing; exit status 1 when this host falls short of it
    #[arg(long)]
    pub dry_run: bool,

    /// Worker threads never sleep: what arrives is seen at once, and no server is charged for waking them. For cores that
    /// they have to themselves; time without work does not count as busy
    #[arg(long)]
    pub busy_poll: bool,

    /// No progress bars
    #[arg(long)]
    pub quiet: bool,
}

/// The command line as a report may show it: values of headers are often secret and are left out.
pub fn shown_command_line(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_header = false;
    let hide = |header: &str| match header.split_once(':') {
        Some((name, _)) => format!("{name}: ..."),
        None => "...".to_owned(),
    };
    arguments
        .map(|argument| {
            if std::mem::take(&mut is_header) {
                return hide(&argument);
            }
            is_header = argument == "--header";
            match argument.strip_prefix("--header=") {
                Some(header) => format!("--header={}", hide(header)),
                None => argument,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_not_shown() {
        let given =
            ["run", "--header", "Authorization: Bearer x", "--header=X-Key: 1", "--header=odd", "-c", "5"];
        let shown = shown_command_line(given.iter().map(ToString::to_string));
        assert_eq!(
            shown,
            ["run", "--header", "Authorization: ...", "--header=X-Key: ...", "--header=...", "-c", "5"]
        );
    }

    #[test]
    fn a_later_option_overrides_an_earlier_one() {
        let options = RunOptions::try_parse_from(["run", "-c", "5", "-c", "7"]).expect("valid options");
        assert_eq!(options.subscribers, 7);
    }
}
