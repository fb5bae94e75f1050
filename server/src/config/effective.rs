//! The configuration in effect, shown as a file that would produce it, each value with the place it came from.

use std::collections::BTreeMap;
use std::fmt;

use super::mistake::Origin;
use super::value::{show_duration, show_size};
use super::{Config, LogConfig};

/// A configuration and the origin of each of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The values.
    pub config: Config,
    /// Where those came from that were written somewhere, by key.
    pub(super) origins: BTreeMap<String, Origin>,
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> =
            values(&self.config).into_iter().map(|(key, value)| (key, format!("{key} = {value}"))).collect();
        let width = lines.iter().map(|(_, line)| line.chars().count()).max().unwrap_or(0);
        for (key, line) in lines {
            let origin = self.origins.get(key).unwrap_or(&Origin::Default).of_key(key);
            writeln!(f, "{line:width$}  # {origin}")?;
        }
        Ok(())
    }
}

/// A value as TOML shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// A number or a boolean.
    Bare(String),
    /// A string.
    Quoted(String),
    /// A list of strings.
    List(Vec<String>),
}

impl Shown {
    /// The value as a flag or an environment variable takes it.
    #[cfg(test)]
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Bare(text) | Self::Quoted(text) => text.clone(),
            Self::List(texts) => texts.join(","),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(text) => f.write_str(text),
            Self::Quoted(text) => toml::Value::from(text.as_str()).fmt(f),
            Self::List(texts) => toml::Value::from(texts.clone()).fmt(f),
        }
    }
}

/// Every setting's key and value, in the order of the help.
pub(super) fn values(config: &Config) -> Vec<(&'static str, Shown)> {
    // Named one by one, so that a new field is an error here until it is shown.
    let Config {
        listen,
        admin,
        shards,
        max_connections,
        max_topics,
        max_subscriptions,
        max_message_bytes,
        max_frame_bytes,
        max_fragments,
        max_head_bytes,
        inbound_bytes,
        deflate,
        deflate_threshold,
        deflate_level,
        deflate_small_windows,
        log_bytes,
        topic_log_bytes,
        lag_tail_bytes,
        lag_policy,
        handshake_timeout,
        http_idle_timeout,
        ping_interval,
        pong_timeout,
        close_timeout,
        drain_timeout,
        topic_idle,
        allow_origin,
        allow_anonymous_publish,
        receive_buffers,
        receive_buffer_bytes,
        submission_entries,
        completion_entries,
        busy_poll,
        notsent_lowat,
        tcp_send_buffer,
        tcp_receive_buffer,
        log: LogConfig { filter, format },
        echo_path,
    } = config;

    let bare = |value: &dyn fmt::Display| Shown::Bare(value.to_string());
    let quoted = |value: &dyn fmt::Display| Shown::Quoted(value.to_string());
    let bytes = |bytes: &usize| size(*bytes as u64);
    let time = |time: &std::time::Duration| Shown::Quoted(show_duration(*time));
    let buffer =
        |bytes: &Option<u32>| bytes.map_or(Shown::Quoted("auto".to_owned()), |bytes| size(bytes.into()));

    vec![
        ("listen", Shown::List(listen.iter().map(ToString::to_string).collect())),
        ("admin", Shown::Quoted(admin.map_or_else(|| "off".to_owned(), |address| address.to_string()))),
        ("shards", bare(shards)),
        ("max_connections", bare(max_connections)),
        ("max_topics", bare(max_topics)),
        ("max_subscriptions", bare(max_subscriptions)),
        ("max_message_bytes", bytes(max_message_bytes)),
        ("max_frame_bytes", bytes(max_frame_bytes)),
        ("max_fragments", bare(max_fragments)),
        ("max_head_bytes", bytes(max_head_bytes)),
        ("inbound_bytes", bytes(inbound_bytes)),
        ("deflate", bare(deflate)),
        ("deflate_threshold", bytes(deflate_threshold)),
        ("deflate_level", bare(deflate_level)),
        ("deflate_small_windows", bare(deflate_small_windows)),
        ("log_bytes", bytes(log_bytes)),
        ("topic_log_bytes", bytes(topic_log_bytes)),
        ("lag_tail_bytes", bytes(lag_tail_bytes)),
        ("lag_policy", quoted(lag_policy)),
        ("handshake_timeout", time(handshake_timeout)),
        ("http_idle_timeout", time(http_idle_timeout)),
        ("ping_interval", time(ping_interval)),
        ("pong_timeout", time(pong_timeout)),
        ("close_timeout", time(close_timeout)),
        ("drain_timeout", time(drain_timeout)),
        ("topic_idle", time(topic_idle)),
        ("allow_origin", Shown::List(allow_origin.clone())),
        ("allow_anonymous_publish", bare(allow_anonymous_publish)),
        ("receive_buffers", bare(receive_buffers)),
        ("receive_buffer_bytes", size((*receive_buffer_bytes).into())),
        ("submission_entries", bare(submission_entries)),
        ("completion_entries", bare(completion_entries)),
        ("busy_poll", time(busy_poll)),
        ("notsent_lowat", size((*notsent_lowat).into())),
        ("tcp_send_buffer", buffer(tcp_send_buffer)),
        ("tcp_receive_buffer", buffer(tcp_receive_buffer)),
        ("log_filter", quoted(filter)),
        ("log_format", quoted(format)),
        ("echo_path", Shown::Quoted(echo_path.clone().unwrap_or_else(|| "off".to_owned()))),
    ]
}

fn size(bytes: u64) -> Shown {
    let shown = show_size(bytes);
    if shown.ends_with('B') { Shown::Quoted(shown) } else { Shown::Bare(shown) }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::settings;
    use super::super::raw::tests::{HOST, load};
    use super::*;

    /// The example that the repository ships.
    const EXAMPLE: &str = include_str!("../../config.toml");

    #[test]
    fn example_file_names_every_key_once_and_gives_the_defaults() {
        for setting in settings() {
            let assignment = format!("{} = ", setting.key);
            let lines = EXAMPLE.lines().map(|line| line.strip_prefix('#').unwrap_or(line));
            assert_eq!(lines.filter(|line| line.starts_with(&assignment)).count(), 1, "{}", setting.key);
        }
        assert_eq!(load(&[], &[], EXAMPLE).unwrap().config, Config::defaults(&HOST));

        // Keys that are left to the host show their default too.
        let all = EXAMPLE.replace("#max_connections", "max_connections").replace("#shards", "shards");
        let effective = load(&[], &[], &all).unwrap();
        assert_eq!(effective.config, Config::defaults(&HOST));
        assert_eq!(effective.origins.len(), settings().len());
    }

    #[test]
    fn every_setting_is_shown_in_the_order_of_the_help() {
        let shown: Vec<_> = values(&Config::defaults(&HOST)).into_iter().map(|(key, _)| key).collect();
        let declared: Vec<_> = settings().into_iter().map(|setting| setting.key).collect();
        assert_eq!(shown, declared);
    }

    #[test]
    fn each_value_is_shown_with_its_origin() {
        let flags = ["--ping-interval", "90s", "--allow-origin", "https://a.example", "--allow-origin", "*"];
        let environment = [("CORECAST_LOG_BYTES", "128MiB")];
        let shown = load(&flags, &environment, "\nadmin = \"off\"\nmax_topics = 0x10").unwrap().to_string();
        let lines: Vec<Vec<&str>> =
            shown.lines().map(|line| line.splitn(2, "  #").map(str::trim).collect()).collect();
        for line in [
            ["listen = [\"127.0.0.1:9001\"]", "default"],
            ["admin = \"off\"", "c.toml:2:9"],
            ["max_topics = 16", "c.toml:3:14"],
            ["log_bytes = \"128MiB\"", "CORECAST_LOG_BYTES"],
            ["ping_interval = \"90s\"", "--ping-interval"],
            ["allow_origin = [\"https://a.example\", \"*\"]", "--allow-origin"],
            ["allow_anonymous_publish = false", "default"],
        ] {
            assert!(lines.contains(&line.to_vec()), "{line:?} is not in\n{shown}");
        }
    }

    #[test]
    fn what_is_shown_is_a_file_that_gives_the_same() {
        let flags =
            ["--listen", "[::1]:0", "--tcp-send-buffer", "5000", "--log-filter", "info,corecast=debug"];
        let first = load(&flags, &[], EXAMPLE).unwrap();
        let second = load(&[], &[], &first.to_string()).unwrap();
        assert_eq!(first.config, second.config);
    }
}
