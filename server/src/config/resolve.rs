//! From what was written to the values that the code reads, or to every mistake at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::effective::Effective;
use super::mistake::{Mistake, Mistakes, Origin, Problem};
use super::raw::Sources;
use super::value::{self, Value, show_duration, show_size};
use super::{
    Config, HostLimits, InvalidListenAddress, LagPolicy, ListenAddress, LogConfig, LogFormat,
    MAX_CONNECTIONS, MAX_SHARDS,
};
use super::{origin, relations};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// No timeout helps that is longer: more is a slip of the unit.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks everything that was written, each value alone and then against the others.
///
/// A value that a stronger source overrides is checked all the same: it would bite on the day the other one goes.
pub fn resolve(sources: &Sources, host: &HostLimits) -> Result<Effective, Mistakes> {
    let mut read = Reader::new(sources);
    let shards = read.count("shards", 1..=MAX_SHARDS.into(), host.cores.min(MAX_SHARDS));
    // As many connections by default as those shards can have.
    let default = Config::defaults(&HostLimits { cores: shards, ..*host });

    let max_message_bytes = read.size("max_message_bytes", 1..=GIB, default.max_message_bytes);
    let timeout = Duration::from_millis(1)..=DAY;
    let config = Config {
        listen: read.value("listen", default.listen, listen_addresses),
        admin: read.value("admin", default.admin, admin_address),
        shards,

        max_connections: read.count("max_connections", 1..=MAX_CONNECTIONS.into(), default.max_connections),
        max_topics: read.count("max_topics", 1..=1 << 24, default.max_topics),
        max_subscriptions: read.count("max_subscriptions", 1..=1 << 16, default.max_subscriptions),
        max_message_bytes,
        max_frame_bytes: read.size("max_frame_bytes", 1..=GIB, max_message_bytes),
        max_fragments: read.count("max_fragments", 1..=1 << 24, default.max_fragments),
        max_head_bytes: read.size("max_head_bytes", KIB..=MIB, default.max_head_bytes),
        inbound_bytes: read.size("inbound_bytes", 1..=TIB, default.inbound_bytes),

        deflate: read.value("deflate", default.deflate, value::boolean),
        deflate_threshold: read.size("deflate_threshold", 0..=GIB, default.deflate_threshold),
        deflate_level: read.count("deflate_level", 1..=9, default.deflate_level),
        deflate_small_windows: read.value(
            "deflate_small_windows",
            default.deflate_small_windows,
            value::boolean,
        ),

        log_bytes: read.size("log_bytes", 1..=TIB, default.log_bytes),
        topic_log_bytes: read.size("topic_log_bytes", 1..=TIB, default.topic_log_bytes),
        lag_tail_bytes: read.size("lag_tail_bytes", 0..=TIB, default.lag_tail_bytes),
        lag_policy: read.value("lag_policy", default.lag_policy, lag_policy),

        handshake_timeout: read.duration("handshake_timeout", &timeout, default.handshake_timeout),
        http_idle_timeout: read.duration("http_idle_timeout", &timeout, default.http_idle_timeout),
        ping_interval: read.duration("ping_interval", &timeout, default.ping_interval),
        pong_timeout: read.duration("pong_timeout", &timeout, default.pong_timeout),
        close_timeout: read.duration("close_timeout", &timeout, default.close_timeout),
        drain_timeout: read.duration("drain_timeout", &(Duration::ZERO..=DAY), default.drain_timeout),
        topic_idle: read.duration("topic_idle", &(Duration::from_secs(1)..=365 * DAY), default.topic_idle),

        allow_origin: read.value("allow_origin", default.allow_origin, |value| {
            value::list(value)?.into_iter().map(origin::parse).collect()
        }),
        allow_anonymous_publish: read.value(
            "allow_anonymous_publish",
            default.allow_anonymous_publish,
            value::boolean,
        ),

        receive_buffers: read.power("receive_buffers", 8..=1 << 15, default.receive_buffers),
        receive_buffer_bytes: read.size("receive_buffer_bytes", 256..=MIB, default.receive_buffer_bytes),
        // IORING_MAX_ENTRIES and twice that: beyond them the kernel would silently give less.
        submission_entries: read.power("submission_entries", 8..=1 << 15, default.submission_entries),
        completion_entries: read.power("completion_entries", 16..=1 << 16, default.completion_entries),
        busy_poll: read.duration("busy_poll", &(Duration::ZERO..=DAY), default.busy_poll),
        notsent_lowat: read.size("notsent_lowat", 1..=GIB, default.notsent_lowat),
        tcp_send_buffer: read.value("tcp_send_buffer", default.tcp_send_buffer, socket_buffer),
        tcp_receive_buffer: read.value("tcp_receive_buffer", default.tcp_receive_buffer, socket_buffer),

        log: LogConfig {
            filter: read.value("log_filter", default.log.filter, log_filter),
            format: read.value("log_format", default.log.format, log_format),
        },

        echo_path: read.value("echo_path", default.echo_path, echo_path),
    };
    relations::check(&config, host, &mut read);

    match read.finish() {
        Ok(origins) => Ok(Effective { config, origins }),
        Err(mistakes) => Err(mistakes),
    }
}

/// Takes values out of the sources, and collects what is wrong with them on the way.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    mistakes: Vec<Mistake>,
    origins: BTreeMap<String, Origin>,
}

impl<'a> Reader<'a> {
    fn new(sources: &'a Sources) -> Self {
        Self { sources, mistakes: sources.mistakes.clone(), origins: BTreeMap::new() }
    }

    /// The value from the strongest source that has one, or the default.
    fn value<T>(&mut self, key: &str, default: T, parse: impl Fn(&Value) -> Result<T, Problem>) -> T {
        let mut strongest = (&Origin::Default, default);
        for written in self.sources.written.iter().filter(|written| written.key == key) {
            match parse(&written.value) {
                Ok(value) if written.origin >= *strongest.0 => strongest = (&written.origin, value),
                Ok(_) => {}
                Err(problem) => self.mistakes.push(Mistake {
                    origin: written.origin.clone(),
                    key: key.to_owned(),
                    problem,
                }),
            }
        }
        let (origin, value) = strongest;
        if *origin != Origin::Default {
            self.origins.insert(key.to_owned(), origin.clone());
        }
        value
    }

    fn count<T: TryFrom<u64>>(&mut self, key: &str, range: RangeInclusive<u64>, default: T) -> T {
        self.value(key, default, |value| narrow(value::count(value)?, &range, |count| count.to_string()))
    }

    fn size<T: TryFrom<u64>>(&mut self, key: &str, range: RangeInclusive<u64>, default: T) -> T {
        self.value(key, default, |value| narrow(value::size(value)?, &range, show_size))
    }

    fn power<T: TryFrom<u64>>(&mut self, key: &str, range: RangeInclusive<u64>, default: T) -> T {
        self.value(key, default, |value| {
            let count = value::count(value)?;
            let power = narrow(count, &range, |count| count.to_string())?;
            if !count.is_power_of_two() {
                return Err(Problem::NotPowerOfTwo { value: count, below: 1 << count.ilog2() });
            }
            Ok(power)
        })
    }

    fn duration(&mut self, key: &str, range: &RangeInclusive<Duration>, default: Duration) -> Duration {
        self.value(key, default, |value| within(value::duration(value)?, range, show_duration))
    }

    /// Reports `problem` if a relation between several settings doesn't hold, at the first of `keys` that somebody wrote.
    pub(super) fn require(&mut self, holds: bool, keys: &[&str], problem: impl FnOnce() -> Problem) {
        // A value with a mistake of its own was replaced by its default: what follows from that is not the operator's.
        let unsure = keys.iter().any(|key| self.mistakes.iter().any(|mistake| mistake.key == *key));
        if holds || unsure {
            return;
        }
        let key = keys.iter().find(|key| self.origins.contains_key(**key)).unwrap_or(&keys[0]);
        let origin = self.origins.get(*key).unwrap_or(&Origin::Default).clone();
        let key = (*key).to_owned();
        self.mistakes.push(Mistake { origin, key, problem: problem() });
    }

    fn finish(mut self) -> Result<BTreeMap<String, Origin>, Mistakes> {
        if self.mistakes.is_empty() {
            return Ok(self.origins);
        }
        self.mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
        Err(Mistakes(self.mistakes))
    }
}

/// `value`, if it is within `range`.
fn within<T: PartialOrd + Copy>(
    value: T,
    range: &RangeInclusive<T>,
    show: fn(T) -> String,
) -> Result<T, Problem> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Problem::OutOfRange { value: show(value), least: show(*range.start()), most: show(*range.end()) })
}

/// The same as a narrower type, which the range must fit.
fn narrow<T: TryFrom<u64>>(
    value: u64,
    range: &RangeInclusive<u64>,
    show: fn(u64) -> String,
) -> Result<T, Problem> {
    let value = within(value, range, show)?;
    Ok(T::try_from(value).unwrap_or_else(|_| panic!("a setting's range {range:?} exceeds its type")))
}

fn listen_addresses(value: &Value) -> Result<Vec<ListenAddress>, Problem> {
    match value::list(value)?.as_slice() {
        [] => Err(Problem::Empty),
        texts => texts.iter().map(|text| listen_address(text)).collect(),
    }
}

fn listen_address(text: &str) -> Result<ListenAddress, Problem> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(InvalidListenAddress) => Err(Problem::Unexpected {
            expected: "a numeric address and a port such as 127.0.0.1:9001 or [::]:9001, or unix:/path",
            found: format!("{text:?}"),
        }),
    }
}

fn admin_address(value: &Value) -> Result<Option<SocketAddr>, Problem> {
    let text = value::text(value)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Problem::Unexpected {
        expected: "a numeric address and a port such as 127.0.0.1:9002, or off",
        found: format!("{text:?}"),
    })
}

fn lag_policy(value: &Value) -> Result<LagPolicy, Problem> {
    let choices = [LagPolicy::Disconnect, LagPolicy::Skip, LagPolicy::SkipSilent]
        .map(|policy| (policy.to_string(), policy));
    value::choice(value, "disconnect, skip or skip-silent", &choices)
}

fn log_format(value: &Value) -> Result<LogFormat, Problem> {
    let choices = [LogFormat::Text, LogFormat::Json].map(|format| (format.to_string(), format));
    value::choice(value, "text or json", &choices)
}

fn log_filter(value: &Value) -> Result<String, Problem> {
    let text = value::text(value)?;
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Problem::LogFilter { filter: text.to_owned(), reason: error.to_string() }),
    }
}

/// Places where something else is; so is everything below `/topics`.
const OWN_PATHS: [&str; 5] = ["/", "/ws", "/page.js", "/client.js", "/health"];

fn echo_path(value: &Value) -> Result<Option<String>, Problem> {
    let text = value::text(value)?;
    if text == "off" {
        return Ok(None);
    }
    // What a request line can carry as a path (RFC 9112 §3.2.1).
    let is_path = text.starts_with('/') && text.bytes().all(|c| c.is_ascii_graphic() && !b"?#".contains(&c));
    if !is_path {
        let expected = "an absolute path such as /echo, without a query, or off";
        return Err(Problem::Unexpected { expected, found: format!("{text:?}") });
    }
    if OWN_PATHS.contains(&text) || text == "/topics" || text.starts_with("/topics/") {
        return Err(Problem::PathTaken(text.to_owned()));
    }
    Ok(Some(text.to_owned()))
}

fn socket_buffer(value: &Value) -> Result<Option<u32>, Problem> {
    if let Ok("auto") = value::text(value) {
        return Ok(None);
    }
    narrow(value::size(value)?, &(4 * KIB..=GIB), show_size).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::raw::tests::{HOST, load, mistakes};
    use super::*;

    #[test]
    fn all_mistakes_of_all_sources_come_at_once() {
        let file = "max_conections = 5\n\
                    max_topics = \"many\"\n\
                    \n\
                    log_bytes = \"64MB\"\n\
                    ping_interval = 25\n  \
                    receive_buffers = 1_000\n";
        let environment = [("CORECAST_LAG_POLICY", "latest"), ("CORECAST_SHARDS", "1000")];
        let flags = ["--handshake-timeout", "0s", "--listen", "localhost:9001"];
        let mistakes = load(&flags, &environment, file).unwrap_err();
        assert_eq!(
            mistakes.to_string(),
            "the configuration has 9 mistakes:\n  \
             c.toml:1:1: max_conections: unknown setting; did you mean max_connections?\n  \
             c.toml:2:14: max_topics: expected a whole number, found the string \"many\"\n  \
             c.toml:4:13: log_bytes: expected a number of bytes such as 4096, 512KiB, 64MiB or 1GiB, found the string \"64MB\"\n  \
             c.toml:5:17: ping_interval: expected a time with its unit such as 500ms, 10s, 10m or 1h, found the integer 25\n  \
             c.toml:6:21: receive_buffers: 1000 is not a power of two; the nearest below is 512\n  \
             CORECAST_SHARDS: 1000 is out of range: expected 1 to 512\n  \
             CORECAST_LAG_POLICY: expected disconnect, skip or skip-silent, found \"latest\"\n  \
             --listen: expected a numeric address and a port such as 127.0.0.1:9001 or [::]:9001, or unix:/path, found \"localhost:9001\"\n  \
             --handshake-timeout: 0ms is out of range: expected 1ms to 24h"
        );
    }

    #[test]
    fn overridden_values_are_checked_too() {
        let mistakes = load(&["--max-topics", "5"], &[], "max_topics = 0").unwrap_err();
        assert_eq!(
            mistakes.0[0].to_string(),
            "c.toml:1:14: max_topics: 0 is out of range: expected 1 to 16777216"
        );
    }

    #[test]
    fn connections_are_bounded_by_the_slot_number() {
        let host = HostLimits { open_files: 1 << 30, ..HOST };
        let mut sources = Sources::default();
        sources.read_file(
            "c.toml".as_ref(),
            "max_connections = 16777152",
            &super::super::arguments::settings(),
        );
        assert_eq!(resolve(&sources, &host).unwrap().config.max_connections, 16_777_152);
        assert_eq!(
            mistakes("max_connections = 16777153"),
            ["c.toml:1:19: max_connections: 16777153 is out of range: expected 1 to 16777152"]
        );
    }

    #[test]
    fn socket_buffers_are_automatic_or_a_size() {
        let config =
            load(&["--tcp-send-buffer", "128KiB"], &[], "tcp_receive_buffer = \"auto\"").unwrap().config;
        assert_eq!((config.tcp_send_buffer, config.tcp_receive_buffer), (Some(131_072), None));
        assert_eq!(
            mistakes("tcp_send_buffer = 1"),
            ["c.toml:1:19: tcp_send_buffer: 1 is out of range: expected 4KiB to 1GiB"]
        );
    }

    #[test]
    fn the_echo_path_is_absolute_and_not_one_that_has_something() {
        let echo_path = |file| load(&[], &[], file).unwrap().config.echo_path;
        assert_eq!(echo_path("echo_path = \"/echo\""), Some("/echo".to_owned()));
        assert_eq!(echo_path("echo_path = \"off\""), None);
        for text in ["echo", "", "/\u{e9}", "/a b", "/echo?x=1", "ws://localhost/echo"] {
            assert_eq!(
                mistakes(&format!("echo_path = \"{text}\"")),
                [format!(
                    "c.toml:1:13: echo_path: expected an absolute path such as /echo, without a query, or off, \
                     found {text:?}"
                )]
            );
        }
        for text in ["/", "/ws", "/topics", "/topics/a", "/health", "/client.js", "/page.js"] {
            assert_eq!(
                mistakes(&format!("echo_path = \"{text}\"")),
                [format!(
                    "c.toml:1:13: echo_path: {text} has something already: choose another path, such as /echo"
                )]
            );
        }
    }

    #[test]
    fn log_filters_are_parsed_before_the_start() {
        let config =
            load(&["--log-filter", "warn,corecast::net=debug"], &[], "log_format = \"json\"").unwrap().config;
        assert_eq!(config.log.filter, "warn,corecast::net=debug");
        assert_eq!(config.log.format, LogFormat::Json);
        let mistakes = mistakes("log_filter = \"corecast=loud\"");
        assert!(
            mistakes[0].starts_with("c.toml:1:14: log_filter: \"corecast=loud\" is no log filter ("),
            "{mistakes:?}"
        );
    }
}
