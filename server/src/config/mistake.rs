//! What is wrong with a configuration, where it was written, and what to write instead.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Where a value was written. Ordered by precedence: a later one wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nowhere: the built-in default.
    Default,
    /// In the configuration file, at a line and column counted from 1.
    File {
        /// The path as it was given.
        path: Arc<Path>,
        /// Line of the value.
        line: usize,
        /// Column of the value, in characters.
        column: usize,
    },
    /// In the environment.
    Environment,
    /// On the command line.
    Flag,
}

impl Origin {
    /// The place as an operator would look it up: `--max-connections`, `CORECAST_MAX_CONNECTIONS`, `corecast.toml:3:19`.
    pub fn of_key(&self, key: &str) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line, column } => format!("{}:{line}:{column}", path.display()),
            Self::Environment => variable_name(key),
            Self::Flag => flag_name(key),
        }
    }
}

/// The flag that sets `key`.
pub fn flag_name(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// The environment variable that sets `key`.
pub fn variable_name(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase())
}

/// What the names of all our environment variables start with.
pub const VARIABLE_PREFIX: &str = "CORECAST_";

/// One mistake: where, which setting, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was written.
    pub origin: Origin,
    /// The setting as it was written; empty when the file can't be read that far.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => write!(f, "{}: ", self.key)?,
            place @ Origin::File { .. } if self.key.is_empty() => write!(f, "{}: ", place.of_key(""))?,
            place @ Origin::File { .. } => write!(f, "{}: {}: ", place.of_key(""), self.key)?,
            place => write!(f, "{}: ", place.of_key(&self.key))?,
        }
        self.problem.fmt(f)
    }
}

/// Every mistake found, so that one look is enough to mend them all. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// What is wrong with a value, and what would be right. Numbers are shown as they are written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file could not be read at all.
    #[error("cannot read {path}: {reason}")]
    Unreadable { path: String, reason: String },

    /// The file is not TOML there.
    #[error("{0}")]
    Syntax(String),

    /// No setting has this name.
    #[error("unknown setting{}", did_you_mean(.nearest))]
    Unknown { nearest: Option<String> },

    /// The bytes of an environment variable or a flag are not text.
    #[error("expected UTF-8 text")]
    NotText,

    /// The value is of the wrong kind or can't be read as what is expected.
    #[error("expected {expected}, found {found}")]
    Unexpected { expected: &'static str, found: String },

    /// The value is readable, but too small or too large.
    #[error("{value} is out of range: expected {least} to {most}")]
    OutOfRange { value: String, least: String, most: String },

    /// The kernel takes this size in powers of two only.
    #[error("{value} is not a power of two; the nearest below is {below}")]
    NotPowerOfTwo { value: u64, below: u64 },

    /// A list that needs an entry has none.
    #[error("expected at least one entry")]
    Empty,

    /// An address appears twice, in `listen` or as `listen` and `admin`.
    #[error("{0} is given twice: each address can be bound once; remove one or change its port")]
    AddressTwice(String),

    /// All addresses of both families are asked for, and one of IPv4 with the same port.
    #[error(
        "{all} stands for all IPv4 addresses too, so {one} can't be bound beside it: remove one or change its port"
    )]
    AddressCovered { all: SocketAddr, one: SocketAddr },

    /// The text is not an origin as browsers send it.
    #[error(
        "{0:?} is no origin: expected * or scheme://host[:port] without a path, such as https://example.com"
    )]
    Origin(String),

    /// The log filter is malformed.
    #[error(
        "{filter:?} is no log filter ({reason}): expected a level such as info, or directives such as info,corecast=debug"
    )]
    LogFilter { filter: String, reason: String },

    /// The path is one of the server's own.
    #[error("{0} has something already: choose another path, such as /echo")]
    PathTaken(String),

    /// The process may not open enough files for that many connections.
    #[error(
        "{connections} connections{} need {needed} open files, but RLIMIT_NOFILE is {limit}: raise it (ulimit -n {needed}, \
         LimitNOFILE={needed} in the service unit, docker --ulimit nofile={needed}) or lower max_connections{}",
        over_shards(*.shards), fitting(*.limit, *.shards)
    )]
    OpenFiles { connections: u64, shards: u32, needed: u64, limit: u64 },

    /// A frame may be longer than a message.
    #[error(
        "a frame of {frame} can't be in a message of {message}: lower max_frame_bytes or raise max_message_bytes"
    )]
    FrameOverMessage { frame: String, message: String },

    /// A topic's log can't hold two messages.
    #[error(
        "a topic's log of {log} must hold two messages of {message}: raise topic_log_bytes to {needed} or lower \
         max_message_bytes"
    )]
    TopicLogTooSmall { log: String, message: String, needed: String },

    /// A topic's log is larger than all logs together.
    #[error(
        "a topic's log of {topic} is more than all logs together ({all}): lower topic_log_bytes or raise log_bytes"
    )]
    TopicLogTooLarge { topic: String, all: String },

    /// The plain and the compressed logs of a topic may be full of the same messages.
    #[error(
        "with compression a topic has a log of {topic} for each of its forms, which need log_bytes of {needed} at \
         least: raise log_bytes, lower topic_log_bytes, or set deflate to false"
    )]
    LogTooSmallForDeflate { topic: String, needed: String },

    /// The longest message could never arrive.
    #[error(
        "inbound_bytes of {inbound} can't hold a message of {message}: raise inbound_bytes or lower max_message_bytes"
    )]
    InboundTooSmall { inbound: String, message: String },

    /// The completion queue is smaller than the submission queue.
    #[error(
        "{completions} completion entries are fewer than {submissions} submission entries: raise completion_entries"
    )]
    CompletionsTooFew { completions: u32, submissions: u32 },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn over_shards(shards: u32) -> String {
    if shards == 1 { String::new() } else { format!(" on {shards} shards") }
}

fn fitting(limit: u64, shards: u32) -> String {
    match limit.saturating_sub(super::RESERVED_FILES.into()).saturating_mul(shards.into()) {
        0 => String::new(),
        fitting => format!(" to {fitting}"),
    }
}
