//! The command line: subcommands, and every setting as a flag with its help.
//!
//! This is the list of settings: `raw` derives the environment variables and the file's keys from it. Flags carry plain
//! text here, because all three sources are checked by the same rules, in `resolve`, which reports all mistakes together.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::observe::VERSION;

/// Pub/sub broadcast over WebSocket: a publisher sends a message once, every subscriber of the topic gets it.
#[derive(Debug, Parser)]
#[command(name = "corecast", version = VERSION, after_long_help = AFTER_HELP)]
#[command(disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do; serves when none is given.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where the configuration file is read from.
    #[command(flatten)]
    pub source: Source,

    /// Every setting.
    #[command(flatten)]
    pub settings: Settings,
}

impl Arguments {
    /// The parser. Settings may stand before the subcommand and after it.
    pub fn parser() -> clap::Command {
        Self::command().mut_args(|argument| argument.global(true))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT (the default)
    Serve,
    /// Check whether this host can serve: kernel, limits, network settings, free ports
    Doctor,
    /// Print what the configuration costs in memory, term by term, whatever this host's limits are
    Budget {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration in effect and where each value comes from, or every mistake in it
    CheckConfig,
}

#[derive(Args, Debug)]
pub struct Source {
    /// Read settings from this TOML file. Without it no file is read [environment: CORECAST_CONFIG]
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
}

/// Every setting, by the name of its key. `None` and empty stand for "not on the command line".
#[derive(Args, Debug)]
pub struct Settings {
    #[command(flatten)]
    pub listening: Listening,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub compression: Compression,
    #[command(flatten)]
    pub log: MessageLog,
    #[command(flatten)]
    pub timeouts: Timeouts,
    #[command(flatten)]
    pub access: Access,
    #[command(flatten)]
    pub sockets: Sockets,
    #[command(flatten)]
    pub logging: Logging,
    #[command(flatten)]
    pub testing: Testing,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Listening")]
pub struct Listening {
    /// Address and port for WebSocket and HTTP clients, or unix:/path; repeat it for more. `0.0.0.0` and `[::]` mean
    /// all interfaces
    /// [default: 127.0.0.1:9001]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,

    /// Address and port for /metrics, /health, /ready and /connections, or "off". Keep it away from the public
    /// [default: 127.0.0.1:9002]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,

    /// Threads that serve connections, each pinned to a core with a ring and listeners of its own. More than there are
    /// cores share them
    /// [default: one for each core this process may use]
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Most connections at once; more are answered 503. Each open one costs up to 200 bytes here and some kilobytes in
    /// the kernel (see `corecast budget`). Each shard takes an equal share; RLIMIT_NOFILE must be 256 higher than that
    /// [default: 100000, or shards x (RLIMIT_NOFILE - 256) if that is less]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<String>,

    /// Most topics at once. An idle topic keeps its name and its offset, no messages
    /// [default: 100000]
    #[arg(long, value_name = "N")]
    pub max_topics: Option<String>,

    /// Most topics that one connection of the JSON dialect may be subscribed to
    /// [default: 128]
    #[arg(long, value_name = "N")]
    pub max_subscriptions: Option<String>,

    /// Longest message; a longer one is refused from its header with close code 1009 or status 413
    /// [default: 512KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_message_bytes: Option<String>,

    /// Longest payload of a single frame
    /// [default: the value of max-message-bytes]
    #[arg(long, value_name = "SIZE")]
    pub max_frame_bytes: Option<String>,

    /// Most frames of one message. Bounds what floods of empty fragments cost, which no size limit does
    /// [default: 16384]
    #[arg(long, value_name = "N")]
    pub max_fragments: Option<String>,

    /// Longest HTTP request head, request line and headers together
    /// [default: 16KiB]
    #[arg(long, value_name = "SIZE")]
    pub max_head_bytes: Option<String>,

    /// Memory for frames and bodies that have arrived in part, per shard. When it is used up, the connection that
    /// holds most is closed with 1013
    /// [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub inbound_bytes: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Compression")]
pub struct Compression {
    /// Agree to permessage-deflate when a client offers it (RFC 7692). A message is compressed once, however many get it,
    /// and a compressed connection costs no more memory than a plain one
    /// [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub deflate: Option<String>,

    /// Shortest message that is compressed. A message that does not shrink goes plain anyway
    /// [default: 512]
    #[arg(long, value_name = "SIZE")]
    pub deflate_threshold: Option<String>,

    /// How hard to try: 1 is the fastest, 9 the smallest
    /// [default: 3]
    #[arg(long, value_name = "N")]
    pub deflate_level: Option<String>,

    /// Accept clients that can't keep a window of 32 KiB (server_max_window_bits below 15). A message is compressed once
    /// more for them all, with a window of 512 bytes; without this they get no compression
    /// [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub deflate_small_windows: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Message log")]
pub struct MessageLog {
    /// Memory for messages that some subscriber has yet to get, per shard, over all topics
    /// [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub log_bytes: Option<String>,

    /// How much of it one topic may hold: how far a subscriber can lag. At least twice max-message-bytes
    /// [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    pub topic_log_bytes: Option<String>,

    /// Memory to finish the frame in which an overtaken subscriber stands, per shard. When it is used up, such
    /// connections are reset
    /// [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub lag_tail_bytes: Option<String>,

    /// What happens to a subscriber whose next message has left the log: "disconnect" closes with 4008; "skip" goes on
    /// with the next message published and tells JSON subscribers which they missed, and closes raw ones, which can't be told;
    /// "skip-silent" goes on with raw ones too, without telling them
    /// [default: disconnect]
    #[arg(long, value_name = "POLICY")]
    pub lag_policy: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Timeouts")]
pub struct Timeouts {
    /// From accept to the end of the first request's head
    /// [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub handshake_timeout: Option<String>,

    /// Between two requests of a connection that was not upgraded
    /// [default: 1m]
    #[arg(long, value_name = "TIME")]
    pub http_idle_timeout: Option<String>,

    /// Silence of a client after which it is pinged. Keep it below the read timeout of proxies in between
    /// [default: 25s]
    #[arg(long, value_name = "TIME")]
    pub ping_interval: Option<String>,

    /// Further silence after which it is closed; any byte counts as life
    /// [default: 20s]
    #[arg(long, value_name = "TIME")]
    pub pong_timeout: Option<String>,

    /// How long a client may take to answer a Close frame
    /// [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub close_timeout: Option<String>,

    /// How long connections may take to end after SIGTERM; what is still open then is cut
    /// [default: 10s]
    #[arg(long, value_name = "TIME")]
    pub drain_timeout: Option<String>,

    /// How long a topic without subscribers and publishes keeps its offset
    /// [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub topic_idle: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// Origin of browser pages that may connect besides the server's own, as `scheme://host[:port]`; repeat it for more;
    /// "*" allows all
    /// [default: none]
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,

    /// Let everyone who reaches the server publish. Otherwise only clients on this host can, and not through a proxy
    /// [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub allow_anonymous_publish: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Sockets and ring (measure before you change these)")]
pub struct Sockets {
    /// Receive buffers of a shard, a power of two. Memory: this times receive-buffer-bytes
    /// [default: 256]
    #[arg(long, value_name = "N")]
    pub receive_buffers: Option<String>,

    /// Size of a receive buffer
    /// [default: 4KiB]
    #[arg(long, value_name = "SIZE")]
    pub receive_buffer_bytes: Option<String>,

    /// Submission queue entries of a shard's ring, a power of two. Locked memory, 64 bytes each
    /// [default: 512]
    #[arg(long, value_name = "N")]
    pub submission_entries: Option<String>,

    /// Completion queue entries of a shard's ring, a power of two. Locked memory, 16 bytes each
    /// [default: 4096]
    #[arg(long, value_name = "N")]
    pub completion_entries: Option<String>,

    /// How long a shard that has nothing to do looks for work before it sleeps. Saves the time that waking a core takes,
    /// and keeps the core busy meanwhile: for cores of its own
    /// [default: 0ms]
    #[arg(long, value_name = "TIME")]
    pub busy_poll: Option<String>,

    /// Unsent bytes in a socket below which it takes more (TCP_NOTSENT_LOWAT). Bounds kernel memory for slow clients
    /// [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    pub notsent_lowat: Option<String>,

    /// Fixed SO_SNDBUF, or "auto" for the kernel's own tuning
    /// [default: auto]
    #[arg(long, value_name = "SIZE")]
    pub tcp_send_buffer: Option<String>,

    /// Fixed SO_RCVBUF, or "auto" for the kernel's own tuning
    /// [default: auto]
    #[arg(long, value_name = "SIZE")]
    pub tcp_receive_buffer: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Logging")]
pub struct Logging {
    /// Least level logged on standard error: error, warn, info, debug or trace; or directives by module such as
    /// "warn,corecast::net=debug"
    /// [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log_filter: Option<String>,

    /// "text" for people, "json" for machines
    /// [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Testing")]
pub struct Testing {
    /// Path of a WebSocket that sends every message back to its sender, such as /echo, or "off". No topic is involved, and
    /// whoever may connect may use it: for conformance tests of the server and of clients
    /// [default: off]
    #[arg(long, value_name = "PATH")]
    pub echo_path: Option<String>,
}

/// A setting, as far as the three sources need to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its key in the file; the flag's and the variable's name follow from it.
    pub(super) key: String,
    /// Whether it may be given several times.
    pub(super) repeatable: bool,
}

/// Every setting, in the order of the help.
pub(super) fn settings() -> Vec<Setting> {
    let command = Settings::augment_args(clap::Command::new("settings"));
    let setting = |argument: &clap::Arg| Setting {
        key: argument.get_id().to_string(),
        repeatable: matches!(argument.get_action(), clap::ArgAction::Append),
    };
    command.get_arguments().map(setting).collect()
}

const AFTER_HELP: &str = "\
Sizes:  plain bytes, or KiB, MiB, GiB.  Times: ms, s, m, h.

Environment and file:
  Each setting is also an environment variable and a key of the configuration file:
    --max-connections 20000      CORECAST_MAX_CONNECTIONS=20000      max_connections = 20000
  A flag wins over the environment, the environment over the file, the file over the default.
  Lists in the environment are separated by commas. An empty variable counts as absent.

Examples:
  corecast                                          serve on 127.0.0.1:9001
  corecast --listen 0.0.0.0:9001 --allow-origin https://example.com
  corecast check-config --config /etc/corecast.toml
  corecast budget --max-connections 1000000 --json

  curl -d 'hello' http://127.0.0.1:9001/topics/news     publish
  ws://127.0.0.1:9001/topics/news                       subscribe

Exit codes:
  0 stopped as asked    1 could not start or serve    2 wrong usage or configuration    130 second signal";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, HostLimits, effective, mistake};

    const HOST: HostLimits = HostLimits { open_files: 1_000_000, locked_bytes: u64::MAX, cores: 1 };

    #[test]
    fn command_line_is_consistent() {
        Arguments::parser().debug_assert();
    }

    #[test]
    fn help_shows_every_setting_with_its_default() {
        let config = Config::defaults(&HOST);
        let parser = Arguments::parser();
        for (key, value) in effective::values(&config) {
            let argument = parser.get_arguments().find(|argument| argument.get_id() == key);
            let help = argument.and_then(|argument| argument.get_help()).map(ToString::to_string);
            let help = help.unwrap_or_else(|| panic!("no flag for {key}"));
            let default = match key {
                "shards" => "one for each core".to_owned(),
                "max_frame_bytes" => "the value of max-message-bytes".to_owned(),
                "allow_origin" => "none".to_owned(),
                _ => value.plain(),
            };
            assert!(help.contains(&format!("[default: {default}")), "{key}: {help}");
        }
    }

    #[test]
    fn long_help_names_every_flag_under_its_heading() {
        let help = Arguments::parser().render_long_help().to_string();
        for setting in settings() {
            assert!(help.contains(&mistake::flag_name(&setting.key)), "{}", setting.key);
        }
        for heading in [
            "Listening:",
            "Limits:",
            "Message log:",
            "Timeouts:",
            "Access:",
            "Logging:",
            "Testing:",
            "Examples:",
        ] {
            assert!(help.contains(heading), "{heading}");
        }
    }

    #[test]
    fn settings_may_stand_before_and_after_the_subcommand() {
        for line in
            [["corecast", "--shards", "1", "check-config"], ["corecast", "check-config", "--shards", "1"]]
        {
            let matches = Arguments::parser().try_get_matches_from(line).unwrap();
            let (_, chosen) = matches.subcommand().unwrap();
            assert_eq!(chosen.get_one::<String>("shards").map(String::as_str), Some("1"));
        }
    }

    #[test]
    fn version_names_the_commit() {
        let error = Arguments::parser().try_get_matches_from(["corecast", "--version"]).unwrap_err();
        let version = error.to_string();
        let commit =
            version.strip_prefix("corecast 0.1.0 (commit ").and_then(|rest| rest.strip_suffix(")\n"));
        let commit = commit.unwrap_or_else(|| panic!("{version:?}"));
        assert!(commit == "unknown" || (commit.len() >= 7 && commit.bytes().all(|c| c.is_ascii_hexdigit())));
    }
}
