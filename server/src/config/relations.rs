//! Checks that need several settings at once, or a setting and the host.

use std::net::{Ipv6Addr, SocketAddr};

use super::mistake::Problem;
use super::resolve::Reader;
use super::value::show_size;
use super::{Config, HostLimits, ListenAddress, RESERVED_FILES};

/// What only shows when several values are seen together.
pub(super) fn check(config: &Config, host: &HostLimits, read: &mut Reader<'_>) {
    // The limit holds for the table of each shard's ring.
    let needed = u64::from(config.connections_per_shard()) + u64::from(RESERVED_FILES);
    read.require(host.open_files >= needed, &["max_connections"], || Problem::OpenFiles {
        connections: config.max_connections.into(),
        shards: config.shards,
        needed,
        limit: host.open_files,
    });

    addresses_are_apart(config, read);

    let message = config.max_message_bytes as u64;
    let frame = config.max_frame_bytes as u64;
    read.require(frame <= message, &["max_frame_bytes", "max_message_bytes"], || Problem::FrameOverMessage {
        frame: show_size(frame),
        message: show_size(message),
    });
    let topic_log = config.topic_log_bytes as u64;
    read.require(topic_log >= 2 * message, &["topic_log_bytes", "max_message_bytes"], || {
        let needed = show_size(2 * message);
        Problem::TopicLogTooSmall { log: show_size(topic_log), message: show_size(message), needed }
    });
    let log = config.log_bytes as u64;
    read.require(topic_log <= log, &["topic_log_bytes", "log_bytes"], || Problem::TopicLogTooLarge {
        topic: show_size(topic_log),
        all: show_size(log),
    });
    // Else a message that does not shrink could wait for ever for room in all forms of its topic.
    let logs = match (config.deflate, config.deflate_small_windows) {
        (false, _) => 1,
        (true, false) => 2,
        (true, true) => 3,
    };
    let fits = topic_log > log || logs * topic_log <= log;
    read.require(fits, &["log_bytes", "topic_log_bytes", "deflate"], || {
        let needed = show_size(logs * topic_log);
        Problem::LogTooSmallForDeflate { topic: show_size(topic_log), needed }
    });
    let inbound = config.inbound_bytes as u64;
    read.require(inbound >= message, &["inbound_bytes", "max_message_bytes"], || Problem::InboundTooSmall {
        inbound: show_size(inbound),
        message: show_size(message),
    });
    let (completions, submissions) = (config.completion_entries, config.submission_entries);
    read.require(completions >= submissions, &["completion_entries", "submission_entries"], || {
        Problem::CompletionsTooFew { completions, submissions }
    });
}

/// Each address can be bound once, and `[::]` with its port is bound for IPv4 as well.
fn addresses_are_apart(config: &Config, read: &mut Reader<'_>) {
    let listen = config.listen.iter().cloned().map(|address| (address, "listen"));
    let admin = config.admin.map(|address| (ListenAddress::Tcp(address), "admin"));
    let mut before: Vec<ListenAddress> = Vec::new();
    for (address, key) in listen.chain(admin) {
        // Port 0 asks for any free port, a different one each time.
        if matches!(address, ListenAddress::Tcp(tcp) if tcp.port() == 0) {
            continue;
        }
        let keys = [key, "listen"];
        read.require(!before.contains(&address), &keys, || Problem::AddressTwice(address.to_string()));
        if let Some((all, one)) = before.iter().find_map(|other| covering(other, &address)) {
            read.require(false, &keys, || Problem::AddressCovered { all, one });
        }
        before.push(address);
    }
}

/// Which of two addresses is `[::]`, and which one of IPv4 that it covers.
fn covering(a: &ListenAddress, b: &ListenAddress) -> Option<(SocketAddr, SocketAddr)> {
    let (&ListenAddress::Tcp(a), &ListenAddress::Tcp(b)) = (a, b) else { return None };
    let covers = |all: SocketAddr, one: SocketAddr| {
        all.ip() == Ipv6Addr::UNSPECIFIED && one.ip().to_canonical().is_ipv4() && all.port() == one.port()
    };
    if covers(a, b) { Some((a, b)) } else { covers(b, a).then_some((b, a)) }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::Arguments;
    use super::super::raw::tests::{HOST, load, mistakes};
    use super::super::{Sources, resolve};
    use super::*;

    #[test]
    fn more_connections_than_open_files_says_what_to_raise() {
        let host = HostLimits { open_files: 1024, ..HOST };
        let sources = |flags: &[&str]| {
            let line = ["corecast"].iter().chain(flags);
            let matches = Arguments::parser().try_get_matches_from(line).unwrap();
            Sources::read(&matches, [])
        };
        assert_eq!(resolve(&sources(&[]), &host).unwrap().config.max_connections, 768);
        assert_eq!(
            resolve(&sources(&["--max-connections", "768"]), &host).unwrap().config.max_connections,
            768
        );
        let mistakes = resolve(&sources(&["--max-connections", "20000"]), &host).unwrap_err();
        assert_eq!(
            mistakes.0[0].to_string(),
            "--max-connections: 20000 connections need 20256 open files, but RLIMIT_NOFILE is 1024: raise it \
             (ulimit -n 20256, LimitNOFILE=20256 in the service unit, docker --ulimit nofile=20256) \
             or lower max_connections to 768"
        );
        let nothing = HostLimits { open_files: 100, ..HOST };
        assert_eq!(
            resolve(&sources(&[]), &nothing).unwrap_err().0[0].to_string(),
            "max_connections: 1 connections need 257 open files, but RLIMIT_NOFILE is 100: raise it \
             (ulimit -n 257, LimitNOFILE=257 in the service unit, docker --ulimit nofile=257) \
             or lower max_connections"
        );
    }

    #[test]
    fn relations_between_sizes_are_checked_where_one_was_written() {
        assert_eq!(
            mistakes("max_message_bytes = \"1MiB\""),
            ["c.toml:1:21: max_message_bytes: a topic's log of 1MiB must hold two messages of 1MiB: raise \
              topic_log_bytes to 2MiB or lower max_message_bytes"]
        );
        assert_eq!(
            mistakes("topic_log_bytes = \"128MiB\""),
            [
                "c.toml:1:19: topic_log_bytes: a topic's log of 128MiB is more than all logs together (64MiB): lower \
              topic_log_bytes or raise log_bytes"
            ]
        );
        assert_eq!(
            mistakes("max_frame_bytes = \"1MiB\""),
            ["c.toml:1:19: max_frame_bytes: a frame of 1MiB can't be in a message of 512KiB: lower \
              max_frame_bytes or raise max_message_bytes"]
        );
        let small_log = "log_bytes = \"2MiB\"\ndeflate_small_windows = true";
        assert_eq!(
            mistakes(small_log),
            [
                "c.toml:1:13: log_bytes: with compression a topic has a log of 1MiB for each of its forms, which need \
              log_bytes of 3MiB at least: raise log_bytes, lower topic_log_bytes, or set deflate to false"
            ]
        );
        for enough in ["log_bytes = \"2MiB\"", "log_bytes = \"1MiB\"\ndeflate = false"] {
            assert!(load(&[], &[], enough).is_ok(), "{enough}");
        }
        assert_eq!(
            mistakes("inbound_bytes = 4096"),
            ["c.toml:1:17: inbound_bytes: inbound_bytes of 4KiB can't hold a message of 512KiB: raise \
              inbound_bytes or lower max_message_bytes"]
        );
        assert_eq!(
            mistakes("completion_entries = 256"),
            [
                "c.toml:1:22: completion_entries: 256 completion entries are fewer than 512 submission entries: \
              raise completion_entries"
            ]
        );
        let larger = "max_message_bytes = \"2MiB\"\ntopic_log_bytes = \"4MiB\"";
        let config = load(&[], &[], larger).unwrap().config;
        assert_eq!((config.max_message_bytes, config.max_frame_bytes), (2 << 20, 2 << 20));
    }

    #[test]
    fn a_mistaken_value_causes_no_further_mistakes() {
        assert_eq!(mistakes("max_message_bytes = \"1MB\"\ntopic_log_bytes = 8192").len(), 1);
    }

    #[test]
    fn addresses_are_bound_once() {
        assert_eq!(
            mistakes("listen = [\"127.0.0.1:9002\"]"),
            [
                "c.toml:1:10: listen: 127.0.0.1:9002 is given twice: each address can be bound once; remove one or \
              change its port"
            ]
        );
        assert_eq!(
            mistakes("listen = [\"unix:/run/c.sock\", \"[::1]:9001\", \"unix:/run/c.sock\"]"),
            [
                "c.toml:1:10: listen: unix:/run/c.sock is given twice: each address can be bound once; remove one or \
              change its port"
            ]
        );
        for listen in ["[\"[::]:9001\", \"0.0.0.0:9001\"]", "[\"0.0.0.0:9001\", \"[::]:9001\"]"] {
            assert_eq!(
                mistakes(&format!("listen = {listen}")),
                [
                    "c.toml:1:10: listen: [::]:9001 stands for all IPv4 addresses too, so 0.0.0.0:9001 can't be bound \
                  beside it: remove one or change its port"
                ]
            );
        }
        assert_eq!(
            mistakes("listen = \"[::]:9002\"")[0],
            "c.toml:1:10: listen: [::]:9002 stands for all IPv4 addresses too, so 127.0.0.1:9002 can't be bound \
             beside it: remove one or change its port"
        );
        assert_eq!(mistakes("listen = []"), ["c.toml:1:10: listen: expected at least one entry"]);
        let config =
            load(&[], &[], "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nadmin = \"off\"").unwrap().config;
        assert_eq!((config.listen.len(), config.admin), (2, None));
    }
}
