//! Configuration: what the operator wrote, checked and turned into the values that the code reads.
//!
//! Every setting is a flag (`--max-connections`), an environment variable (`CORECAST_MAX_CONNECTIONS`) and a key of the
//! configuration file (`max_connections`). A flag wins over the environment, the environment over the file, the file over
//! the default.
//!
//! ```text
//! flags, environment, file --raw--> written values --resolve--> Config | every mistake --budget--> bytes
//! ```

pub mod arguments;
pub mod budget;
mod effective;
mod host;
pub mod mistake;
mod origin;
mod raw;
mod relations;
mod resolve;
mod value;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use corecast_uring::RingConfig;

pub use budget::{Budget, BudgetInputs};
pub use effective::Effective;
pub use host::HostLimits;
pub use mistake::Mistakes;
pub use raw::Sources;
pub use resolve::resolve;

/// The values that the server runs with. Every field has been checked, alone and against the others.
///
/// Limits "per shard" are for one core; the server holds that much once per shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where WebSocket and HTTP clients connect. Never empty.
    pub listen: Vec<ListenAddress>,
    /// Where metrics and readiness are served; `None` serves them nowhere.
    pub admin: Option<SocketAddr>,
    /// Threads that serve connections, one for each core used.
    pub shards: u32,

    /// Most connections open at once, over all shards. More are answered 503.
    pub max_connections: u32,
    /// Most topics known at once, over all shards.
    pub max_topics: u32,
    /// Most topics that one connection of the JSON dialect may be subscribed to.
    pub max_subscriptions: u32,
    /// Longest message, in bytes. Checked from the frame's header or the body's declared length.
    pub max_message_bytes: usize,
    /// Longest payload of a single frame, in bytes; at most `max_message_bytes`.
    pub max_frame_bytes: usize,
    /// Most frames of one message.
    pub max_fragments: u32,
    /// Longest HTTP request head, in bytes.
    pub max_head_bytes: usize,
    /// Bytes of incomplete frames and bodies that a shard keeps for its connections.
    pub inbound_bytes: usize,

    /// Whether clients that offer permessage-deflate get it (RFC 7692).
    pub deflate: bool,
    /// Messages shorter than this are not compressed, in bytes.
    pub deflate_threshold: usize,
    /// 1 is the fastest, 9 the smallest.
    pub deflate_level: u8,
    /// Accepts offers that demand a smaller window than 32 KiB: they share a second compressed form, with one of 512 bytes.
    pub deflate_small_windows: bool,

    /// Bytes of encoded messages that a shard keeps for subscribers that lag.
    pub log_bytes: usize,
    /// Bytes of those that one topic may hold; at least twice `max_message_bytes`, at most `log_bytes`.
    pub topic_log_bytes: usize,
    /// Bytes that a shard keeps to finish the frame in which a lapped subscriber stands.
    pub lag_tail_bytes: usize,
    /// What happens to a subscriber whose next message has left the log.
    pub lag_policy: LagPolicy,

    /// From accept to the end of the first request's head.
    pub handshake_timeout: Duration,
    /// Between two requests on an HTTP connection that was not upgraded.
    pub http_idle_timeout: Duration,
    /// Silence of a peer after which it is pinged.
    pub ping_interval: Duration,
    /// Further silence after which it is closed. Any byte from the peer counts as life.
    pub pong_timeout: Duration,
    /// From our Close frame to the end of the connection, if the peer does not end it.
    pub close_timeout: Duration,
    /// From the stop signal until what is still open is cut.
    pub drain_timeout: Duration,
    /// How long a topic without subscribers and publishes keeps its offset and epoch.
    pub topic_idle: Duration,

    /// Origins of browser pages that may connect besides the server's own; `*` stands for every origin.
    pub allow_origin: Vec<String>,
    /// Lets anyone who reaches the listener publish, not only local clients.
    pub allow_anonymous_publish: bool,

    /// Buffers that a shard lends to the kernel for receiving; a power of two.
    pub receive_buffers: u16,
    /// Size of each of them, in bytes.
    pub receive_buffer_bytes: u32,
    /// Submission queue entries of a shard's ring; a power of two.
    pub submission_entries: u32,
    /// Completion queue entries of a shard's ring; a power of two, at least `submission_entries`.
    pub completion_entries: u32,
    /// How long a shard without work looks for some before it sleeps.
    pub busy_poll: Duration,
    /// Unsent bytes in a socket below which the kernel calls it writable (`TCP_NOTSENT_LOWAT`).
    pub notsent_lowat: u32,
    /// Fixed `SO_SNDBUF` in bytes; `None` leaves the size to the kernel's own tuning.
    pub tcp_send_buffer: Option<u32>,
    /// Fixed `SO_RCVBUF` in bytes; `None` leaves the size to the kernel's own tuning.
    pub tcp_receive_buffer: Option<u32>,

    /// What is logged and how it looks.
    pub log: LogConfig,

    /// Where a WebSocket gets its own messages back; `None` has no such place.
    pub echo_path: Option<String>,
}

/// Connections that a shard can hold above its share of `max_connections`, so that a full server can still answer 503.
pub const RESERVED_CONNECTIONS: u32 = 64;

/// Most connections that the numbering of connections allows: a slot is 24 bits of a ring token.
pub const MAX_CONNECTIONS: u32 = (1 << 24) - RESERVED_CONNECTIONS;

/// Most shards: more than the largest machines have cores, and few enough for every two to have links.
pub const MAX_SHARDS: u32 = 512;

/// Descriptors kept for what is no connection: listeners, rings, files.
pub const RESERVED_FILES: u32 = 256;

impl Config {
    /// The values of a server that nobody configured, on a host with these limits.
    pub fn defaults(host: &HostLimits) -> Self {
        Self {
            listen: vec![ListenAddress::Tcp(([127, 0, 0, 1], 9001).into())],
            admin: Some(([127, 0, 0, 1], 9002).into()),
            shards: host.cores.min(MAX_SHARDS),

            max_connections: default_connections(host, host.cores),
            max_topics: 100_000,
            max_subscriptions: 128,
            max_message_bytes: 512 * KIB,
            max_frame_bytes: 512 * KIB,
            max_fragments: 16 * 1024,
            max_head_bytes: 16 * KIB,
            inbound_bytes: 64 * MIB,

            deflate: true,
            deflate_threshold: 512,
            deflate_level: 3,
            deflate_small_windows: false,

            log_bytes: 64 * MIB,
            topic_log_bytes: MIB,
            lag_tail_bytes: 16 * MIB,
            lag_policy: LagPolicy::Disconnect,

            handshake_timeout: Duration::from_secs(10),
            http_idle_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(10),
            topic_idle: Duration::from_secs(600),

            allow_origin: Vec::new(),
            allow_anonymous_publish: false,

            receive_buffers: 256,
            receive_buffer_bytes: 4096,
            submission_entries: 512,
            completion_entries: 4096,
            busy_poll: Duration::ZERO,
            notsent_lowat: 64 * 1024,
            tcp_send_buffer: None,
            tcp_receive_buffer: None,

            log: LogConfig { filter: "info".to_owned(), format: LogFormat::Text },

            echo_path: None,
        }
    }

    /// Connections that a shard may have: an equal share, and one more on the first shards if they can't be equal.
    pub fn connections_of_shard(&self, shard: u16) -> u32 {
        self.max_connections / self.shards + u32::from(u32::from(shard) < self.max_connections % self.shards)
    }

    /// The most that any shard may have.
    pub fn connections_per_shard(&self) -> u32 {
        self.connections_of_shard(0)
    }

    /// The ring of one shard.
    pub fn ring(&self) -> RingConfig {
        RingConfig {
            submission_entries: self.submission_entries,
            completion_entries: self.completion_entries,
            files: self.connections_per_shard() + RESERVED_CONNECTIONS,
            receive_buffers: self.receive_buffers,
            receive_buffer_bytes: self.receive_buffer_bytes,
            eventfd: true,
            ..RingConfig::default()
        }
    }

    /// Silence of a peer after which its connection is closed: a ping's interval and the wait for an answer.
    pub fn idle_timeout(&self) -> Duration {
        self.ping_interval + self.pong_timeout
    }
}

/// What is served when nobody says how many: what the limit of open files, which holds for each shard, allows.
fn default_connections(host: &HostLimits, shards: u32) -> u32 {
    let each = u32::try_from(host.open_files).unwrap_or(u32::MAX).saturating_sub(RESERVED_FILES);
    each.saturating_mul(shards).clamp(1, 100_000)
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Default for Config {
    /// [`Self::defaults`] under the limits of this process.
    fn default() -> Self {
        Self::defaults(&HostLimits::read())
    }
}

/// An address to listen at: `127.0.0.1:9001`, `[::1]:9001` or `unix:/run/corecast.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IPv4 or IPv6 address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

/// The text is neither `host:port` with a numeric host nor `unix:/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a numeric address and a port such as 127.0.0.1:9001 or [::]:9001, or unix:/path")]
pub struct InvalidListenAddress;

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(_) => Err(InvalidListenAddress),
            None => text.parse().map(Self::Tcp).map_err(|_| InvalidListenAddress),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What happens to a subscriber so slow that its next message has left the topic's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagPolicy {
    /// Close with 4008. The client knows that it missed messages and can reconnect.
    #[default]
    Disconnect,
    /// Go on with the next message published. JSON subscribers are told what they missed; raw ones can't be told, and are
    /// closed with 4008.
    Skip,
    /// Go on with the next message published. Raw subscribers aren't told: for topics where only the latest matters.
    SkipSilent,
}

impl fmt::Display for LagPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnect => "disconnect",
            Self::Skip => "skip",
            Self::SkipSilent => "skip-silent",
        })
    }
}

/// What is logged and how it looks. The log goes to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level (`info`) or filter directives (`info,corecast::net=debug`); known to be well-formed.
    pub filter: String,
    /// The form of a log line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_address_reads_ipv4_ipv6_and_unix() {
        assert_eq!("127.0.0.1:9001".parse(), Ok(ListenAddress::Tcp(([127, 0, 0, 1], 9001).into())));
        assert_eq!("[::]:80".parse(), Ok(ListenAddress::Tcp(([0u16; 8], 80).into())));
        assert_eq!("unix:/run/c.sock".parse(), Ok(ListenAddress::Unix("/run/c.sock".into())));
    }

    #[test]
    fn listen_address_refuses_names_bare_ports_and_relative_paths() {
        for text in ["localhost:9001", "9001", ":9001", "127.0.0.1", "unix:run/c.sock", ""] {
            assert_eq!(text.parse::<ListenAddress>(), Err(InvalidListenAddress), "{text:?}");
        }
    }

    #[test]
    fn listen_address_prints_what_it_reads() {
        for text in ["127.0.0.1:9001", "[::1]:9001", "unix:/run/c.sock"] {
            assert_eq!(text.parse::<ListenAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
    }
}
