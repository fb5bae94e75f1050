//! A run, resolved: options and preset made into values that fit together, or all mistakes at once.

mod local;
mod mistakes;
mod urls;

use std::net::IpAddr;
use std::time::Duration;

use corecast_protocol::{Limits, MessageKind};
use serde::{Deserialize, Serialize};

use crate::groups::{Group, Groups};
use crate::host_limits::HostLimits;
use crate::metrics_page::MetricsPage;
use crate::options::RunOptions;
use crate::preset::{Preset, Via};
use crate::sizes::{Sizes, TextShare};
use crate::stamp::Encoding;
use crate::target::{Scheme, Target};
use crate::units::Rate;
pub use local::LocalOptions;
pub use mistakes::{Mistake, Mistakes};
use mistakes::{
    check_hosts, check_lines, check_sizes, check_sources, check_template, check_topics, choose_groups,
};
use urls::{publish_url, subscribe_url, with_query};

/// Everything a run needs to know. As it is written to other processes it lacks what each of them decides for itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scenario {
    pub preset: Preset,
    /// The subscribers' URL as used, `{topic}` included.
    pub url: String,
    pub publish_url: String,
    pub subscribe: Target,
    pub publish: Target,
    pub via: Via,
    pub http_pipeline: u32,
    pub subscribers: u32,
    pub publishers: u32,
    /// Connections that publishers are dealt out to in turn: at most one for each.
    pub publisher_connections: u32,
    /// The subscribers by what they do.
    pub groups: Groups,
    /// Churning ones that leave per second.
    pub churn: Option<Rate>,
    /// Bytes per second that slow ones read; 0 stops them.
    pub slow_rate: u32,
    /// Connections that the server ends are made again, at first after a random time up to the delay.
    pub reconnect: bool,
    pub reconnect_delay: Duration,
    pub topics: u32,
    /// Topics that follow each other, the first one behind the last.
    pub topics_per_subscriber: u32,
    pub topic_prefix: String,
    pub load: Load,
    #[serde(with = "local::KindOnWire")]
    pub kind: MessageKind,
    /// Messages of both kinds are sent, this part as text.
    pub text_share: Option<TextShare>,
    /// Bytes of stamp and filler; a publish template comes on top.
    pub sizes: Sizes,
    pub publish_template: Option<String>,
    /// Every publish is answered, as the JSON dialect does.
    pub is_acknowledged: bool,
    pub subscribe_message: Option<String>,
    pub subscribed_match: Option<String>,
    /// What a publisher's connection sends first.
    pub publisher_message: Option<String>,
    /// How every message of a topic begins, where that is known.
    pub message_prefix: Option<String>,
    /// Messages with one of these are no concern of the run.
    pub ignored: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub origin: Option<String>,
    pub subprotocols: Vec<String>,
    pub warmup: Duration,
    pub duration: Duration,
    pub grace: Duration,
    /// Workers look for work instead of sleeping.
    pub busy_poll: bool,
    /// Subscribers offer permessage-deflate.
    pub deflate: bool,
    pub connect_rate: Option<Rate>,
    pub connect_concurrency: u32,
    pub connect_timeout: Duration,
    /// Time without traffic before publishing.
    pub hold: Duration,
    /// Every subscriber is pinged behind it.
    pub ping: bool,
    pub local: LocalOptions,
    #[serde(skip)]
    pub sources: Vec<IpAddr>,
    /// `SO_RCVBUF` of subscribers' sockets, in bytes.
    pub receive_buffer: Option<u32>,
    /// One entry per worker thread: the core it is pinned to, if any. None while others are to say that.
    #[serde(skip)]
    pub workers: Vec<Option<usize>>,
    /// Processes that generate the load, by address; none when this one does.
    #[serde(skip)]
    pub hosts: Vec<String>,
    /// Deliveries from one of them to another are timed too.
    pub cross_host_latency: bool,
    #[serde(skip)]
    pub server_pid: Option<u32>,
    #[serde(skip)]
    pub metrics: Option<MetricsPage>,
    pub seed: u64,
    #[serde(skip)]
    pub limits: Limits,
}

/// What decides when a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Its place in a schedule.
    Open { rate: Rate },
    /// The completion of an earlier one.
    Closed { in_flight: u32 },
}

impl Scenario {
    /// Resolves options: what is left open is filled in by the preset.
    pub fn from_options(options: &RunOptions) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let preset = match (options.preset, &options.url) {
            (Some(preset), _) => preset,
            (None, Some(_)) => Preset::Plain,
            (None, None) => Preset::Corecast,
        };
        let via = match (options.publish, &options.publish_url) {
            (Some(via), _) => via,
            (None, Some(url)) if url.starts_with("http") => Via::Http,
            (None, Some(_)) => Via::Ws,
            (None, None) => preset.default_via(),
        };
        let url = subscribe_url(options, preset);
        let publish_url = publish_url(options, preset, via, &url);
        let subscribe = Target::parse(&url, Scheme::WebSocket);
        let publish = Target::parse(
            &publish_url,
            match via {
                Via::Ws => Scheme::WebSocket,
                Via::Http => Scheme::Http,
            },
        );
        let url = with_query(&url, preset.subscriber_query());
        // Such a path takes plain payloads.
        let names_topic = publish_url.contains("{topic}");
        let publish_url = match via {
            Via::Ws => with_query(&publish_url, preset.publisher_query(names_topic)),
            Via::Http => publish_url,
        };
        let given_kind = if options.text { MessageKind::Text } else { MessageKind::Binary };
        let kind = preset.only_kind().unwrap_or(given_kind);
        if options.binary && kind == MessageKind::Text {
            mistakes.push(Mistake::TextOnly { preset: preset.name() });
        }
        // The preset's match belongs to its message.
        let (subscribe_message, subscribed_match) = match &options.subscribe_message {
            Some(message) => (Some(message.clone()), options.subscribed_match.clone()),
            None => (owned(preset.subscribe_message()), owned(preset.subscribed_match())),
        };
        let publishers = options.publishers.unwrap_or(options.topics);
        let publisher_connections = options.publisher_connections.unwrap_or(publishers);
        let preset_template = preset
            .publish_template(publisher_connections != publishers)
            .filter(|_| via == Via::Ws && !names_topic);
        let publish_template = options.publish_template.as_deref().or(preset_template);
        // By its request, or by the text around its payload.
        let names_its_topic = via == Via::Http
            || (!names_topic && publish_template.is_some_and(|template| template.contains("{topic}")));
        let largest_stamp = if options.text_share.is_some() { MessageKind::Text } else { kind };
        if options.text_share.is_some() && (via == Via::Http || preset.only_kind().is_some()) {
            mistakes.push(Mistake::OneKindOnly);
        }
        check_sizes(options, publishers, largest_stamp, &mut mistakes);
        let groups = choose_groups(options, &mut mistakes);
        check_topics(options, publishers, &url, subscribe_message.as_deref(), &mut mistakes);
        check_lines(publisher_connections, publishers, names_its_topic, &mut mistakes);
        check_template(options, kind, &mut mistakes);
        let metrics = match &options.metrics {
            Some(url) => Target::parse(url, Scheme::Http).map(|target| Some(MetricsPage::given(target))),
            None => Ok(None),
        };
        let headers = parse_headers(&options.header, &mut mistakes);
        let connections = options.subscribers.saturating_add(publisher_connections);
        let local = LocalOptions::of(options);
        let limits = HostLimits::here();
        let is_here = check_hosts(options, &mut mistakes);
        let workers =
            if is_here { local.workers(connections, limits.open_files, &mut mistakes) } else { Vec::new() };
        let targets = match (subscribe, publish) {
            (Ok(subscribe), Ok(publish)) => Some((subscribe, publish)),
            (subscribe, publish) => {
                let mut errors: Vec<_> = [subscribe.err(), publish.err()].into_iter().flatten().collect();
                errors.dedup();
                mistakes.extend(errors.into_iter().map(Mistake::Target));
                None
            }
        };
        let metrics = metrics.unwrap_or_else(|error| {
            mistakes.push(Mistake::Target(error));
            None
        });
        let mut sources = Vec::new();
        if let Some((subscribe, publish)) = &targets {
            match local.addresses(subscribe.address.ip(), connections, limits.local_ports) {
                Ok(chosen) if is_here => sources = chosen,
                // Not this host's.
                Ok(_) => {}
                Err(_) if !is_here => {}
                Err(error) => mistakes.push(Mistake::Source(error)),
            }
            check_sources(&sources, [subscribe, publish], &mut mistakes);
        }
        let (Some((subscribe, publish)), true) = (targets, mistakes.is_empty()) else {
            return Err(Mistakes(mistakes));
        };
        Ok(Self {
            preset,
            metrics: metrics.or_else(|| MetricsPage::beside(subscribe.address, preset.metrics_port()?)),
            subscribe: Target { path: with_query(&subscribe.path, preset.subscriber_query()), ..subscribe },
            publish: match via {
                Via::Ws => {
                    let query = preset.publisher_query(names_topic);
                    Target { path: with_query(&publish.path, query), ..publish }
                }
                Via::Http => publish,
            },
            url,
            publish_url,
            via,
            http_pipeline: options.http_pipeline,
            subscribers: options.subscribers,
            publishers,
            publisher_connections,
            groups,
            churn: options.churn,
            slow_rate: options.slow_rate,
            reconnect: options.reconnect,
            reconnect_delay: options.reconnect_delay,
            topics: options.topics,
            topics_per_subscriber: options.topics_per_subscriber,
            topic_prefix: options.topic_prefix.clone(),
            load: match options.in_flight {
                Some(in_flight) => Load::Closed { in_flight },
                None => Load::Open { rate: options.rate },
            },
            kind,
            text_share: options.text_share,
            sizes: options.size.clone(),
            is_acknowledged: preset_template.is_some() && options.publish_template.is_none(),
            publish_template: owned(publish_template),
            subscribe_message,
            subscribed_match,
            publisher_message: options.publisher_message.clone(),
            message_prefix: options.message_prefix.clone().or_else(|| owned(preset.message_prefix())),
            ignored: match options.ignore.as_slice() {
                [] => preset.ignored().iter().map(|text| (*text).to_owned()).collect(),
                given => given.to_vec(),
            },
            headers,
            origin: options.origin.clone(),
            subprotocols: match options.subprotocol.as_slice() {
                [] => preset.subprotocol().map(str::to_owned).into_iter().collect(),
                given => given.to_vec(),
            },
            warmup: options.warmup,
            duration: options.duration,
            grace: options.grace,
            busy_poll: options.busy_poll,
            deflate: options.deflate,
            connect_rate: options.connect_rate,
            connect_concurrency: local.concurrency(workers.len()),
            connect_timeout: options.connect_timeout,
            hold: options.hold,
            ping: options.ping,
            local,
            sources,
            receive_buffer: options.receive_buffer,
            workers,
            hosts: options.workers.clone(),
            cross_host_latency: options.cross_host_latency,
            server_pid: options.server_pid,
            seed: options.seed.unwrap_or_else(rand::random),
            limits: message_limits(options.size.largest()),
        })
    }

    /// How stamps are written; the one that takes more where messages are of both kinds.
    pub const fn encoding(&self) -> Encoding {
        match self.text_share {
            Some(_) => Encoding::Text,
            None => encoding(self.kind),
        }
    }

    pub fn topic_name(&self, topic: u32) -> String {
        format!("{}-{topic}", self.topic_prefix)
    }

    /// Topic of the publisher with this index.
    pub const fn topic_of(&self, publisher: u32) -> u32 {
        publisher % self.topics
    }

    /// First topic of the subscriber with this index.
    pub const fn first_topic_of(&self, subscriber: u32) -> u32 {
        let dealt = subscriber as u64 * self.topics_per_subscriber as u64;
        (dealt % self.topics as u64) as u32
    }

    /// All topics of a subscriber, by its first one.
    pub fn topics_from(&self, first: u32) -> impl Iterator<Item = u32> + use<> {
        let topics = self.topics;
        (0..self.topics_per_subscriber).map(move |nth| (first + nth) % topics)
    }

    /// Publishers of one topic, at most.
    pub const fn publishers_per_topic(&self) -> u32 {
        self.publishers.div_ceil(self.topics)
    }

    /// Publishers that a subscriber hears at most.
    pub const fn publishers_heard(&self) -> u32 {
        self.topics_per_subscriber * self.publishers_per_topic()
    }

    /// Connections end and are made again in the course of a run.
    pub const fn has_returning(&self) -> bool {
        self.churn.is_some() || self.reconnect
    }

    /// `SO_RCVBUF` of a subscriber's socket. A slow one has little room, or it would seem fast for long.
    pub fn receive_buffer_of(&self, subscriber: u32) -> Option<u32> {
        let is_slow = self.groups.of(subscriber) == Group::Slow;
        if is_slow { Some(SLOW_RECEIVE_BUFFER) } else { self.receive_buffer }
    }

    pub const fn connections(&self) -> u32 {
        self.subscribers + self.publisher_connections
    }
}

/// `SO_RCVBUF` of slow subscribers.
const SLOW_RECEIVE_BUFFER: u32 = 4 << 10;

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

pub(crate) const fn encoding(kind: MessageKind) -> Encoding {
    match kind {
        MessageKind::Text => Encoding::Text,
        MessageKind::Binary => Encoding::Binary,
    }
}

fn parse_headers(lines: &[String], mistakes: &mut Vec<Mistake>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for line in lines {
        let parts = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let printable = |text: &str| text.bytes().all(|byte| (b' '..0x7F).contains(&byte));
        match parts {
            Some((name, value)) if !name.is_empty() && !name.contains(' ') && printable(line) => {
                headers.push((name.to_owned(), value.to_owned()));
            }
            _ => mistakes.push(Mistake::Header(line.clone())),
        }
    }
    headers
}

/// Servers may wrap what was published: room for that, and no more than is checked anyway.
fn message_limits(message_bytes: u32) -> Limits {
    let bytes = (message_bytes as usize) * 4 + (64 << 10);
    Limits::default()
        .with_max_message_bytes(bytes)
        .and_then(|limits| limits.with_max_frame_bytes(bytes as u64))
        .expect("the size of a message was checked")
}

#[cfg(test)]
impl Scenario {
    /// What `corecast-load run` does with these arguments.
    pub(crate) fn parsed(arguments: &[&str]) -> Result<Self, Mistakes> {
        let line = [&["run"], arguments].concat();
        Self::from_options(&<RunOptions as clap::Parser>::try_parse_from(line).expect("options that parse"))
    }

    /// The same of arguments without a mistake.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self::parsed(arguments).expect("a valid scenario")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(arguments: &[&str]) -> Vec<String> {
        Scenario::parsed(arguments).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_arguments_it_drives_a_local_corecast() {
        let scenario = Scenario::parsed(&[]).unwrap();
        assert_eq!(scenario.url, "ws://127.0.0.1:9001/topics/{topic}?role=subscriber");
        assert_eq!(scenario.publish_url, "ws://127.0.0.1:9001/topics/{topic}?role=publisher");
        assert_eq!(scenario.subscribe.path_for("load-0"), "/topics/load-0?role=subscriber");
        assert_eq!(scenario.publish.path_for("load-0"), "/topics/load-0?role=publisher");
        assert_eq!(scenario.load, Load::Open { rate: "100".parse().unwrap() });
        assert_eq!(scenario.topic_name(0), "load-0");
    }

    #[test]
    fn corecast_is_published_to_over_http_on_the_same_path() {
        let scenario = Scenario::parsed(&["--publish", "http"]).unwrap();
        assert_eq!(scenario.publish_url, "http://127.0.0.1:9001/topics/{topic}");
        assert_eq!(scenario.url, "ws://127.0.0.1:9001/topics/{topic}?role=subscriber");
    }

    #[test]
    fn nchan_subscribes_and_publishes_on_two_paths() {
        let scenario = Scenario::parsed(&["--preset", "nchan", "ws://127.0.0.1:8081"]).unwrap();
        assert_eq!(scenario.url, "ws://127.0.0.1:8081/sub/{topic}");
        assert_eq!(scenario.publish_url, "http://127.0.0.1:8081/pub/{topic}");
        assert_eq!(scenario.via, Via::Http);
    }

    #[test]
    fn a_url_alone_is_used_as_it_is() {
        let scenario = Scenario::parsed(&["ws://127.0.0.1:7000/live?x=1"]).unwrap();
        assert_eq!(scenario.preset, Preset::Plain);
        assert_eq!(scenario.url, "ws://127.0.0.1:7000/live?x=1");
        assert_eq!(scenario.publish_url, "ws://127.0.0.1:7000/live?x=1");
    }

    #[test]
    fn the_json_dialect_names_topics_in_messages() {
        let scenario = Scenario::parsed(&["--preset", "corecast-json"]).unwrap();
        assert_eq!(scenario.url, "ws://127.0.0.1:9001/ws");
        assert_eq!(scenario.publish_url, "ws://127.0.0.1:9001/ws");
        assert_eq!(scenario.subprotocols, ["corecast.json.v1"]);
        assert_eq!(scenario.kind, MessageKind::Text);
        assert_eq!(scenario.subscribe_message.as_deref(), Some(r#"{"op":"subscribe","topic":"{topic}"}"#));
        assert_eq!(
            scenario.publish_template.as_deref(),
            Some(r#"{"op":"publish","topic":"{topic}","data":"{payload}","id":"{sequence}"}"#)
        );
        assert!(scenario.is_acknowledged);
    }

    #[test]
    fn json_subscribers_hear_publishers_of_the_other_dialects() {
        let posted = Scenario::parsed(&["--preset", "corecast-json", "--publish", "http"]).unwrap();
        assert_eq!(posted.publish_url, "http://127.0.0.1:9001/topics/{topic}");
        assert_eq!((posted.publish_template, posted.is_acknowledged), (None, false));
        let raw = "ws://127.0.0.1:9001/topics/{topic}";
        let raw = Scenario::parsed(&["--preset", "corecast-json", "--publish-url", raw]).unwrap();
        assert_eq!((raw.publish_template, raw.is_acknowledged), (None, false));
        assert_eq!(raw.url, "ws://127.0.0.1:9001/ws");
        assert_eq!(raw.publish.path_for("a"), "/topics/a?role=publisher");
    }

    #[test]
    fn each_topic_has_a_publisher_of_its_own() {
        assert_eq!(Scenario::parsed(&["--topics", "5"]).unwrap().publishers, 5);
        assert_eq!(Scenario::parsed(&[]).unwrap().publishers, 1);
        let many = Scenario::parsed(&["--topics", "2", "--publishers", "9"]).unwrap();
        assert_eq!((many.publishers, many.publishers_per_topic()), (9, 5));
    }

    #[test]
    fn several_topics_of_a_subscriber_follow_each_other() {
        let arguments = ["--preset", "corecast-json", "--topics", "5", "--topics-per-subscriber", "3"];
        let scenario = Scenario::parsed(&arguments).unwrap();
        assert_eq!([0, 1, 2, 3].map(|subscriber| scenario.first_topic_of(subscriber)), [0, 3, 1, 4]);
        assert_eq!(scenario.topics_from(3).collect::<Vec<_>>(), [3, 4, 0]);
        assert_eq!(scenario.first_topic_of(u32::MAX), 0);
    }

    #[test]
    fn several_topics_need_a_dialect_that_takes_them() {
        assert_eq!(
            mistakes(&["--topics", "2", "--topics-per-subscriber", "2"]),
            ["--topics-per-subscriber 2: here a connection is one topic, the one in its URL. Use --preset \
                 corecast-json, or a URL without {topic} and a --subscribe-message with it"]
        );
        assert_eq!(
            mistakes(&["--preset", "corecast-json", "--topics-per-subscriber", "2", "--binary"]),
            [
                "--binary: the preset corecast-json carries text only, leave --binary out",
                "--topics-per-subscriber 2 is more than there are: give at most the 1 of --topics",
            ]
        );
    }

    #[test]
    fn publishers_share_connections_where_each_message_names_its_topic() {
        let shared = |arguments: &[&str]| {
            let base = ["--topics", "60", "--publisher-connections", "4", "-c", "7"];
            Scenario::parsed(&[&base[..], arguments].concat())
        };
        let json = shared(&["--preset", "corecast-json"]).unwrap();
        assert_eq!((json.publishers, json.publisher_connections, json.connections()), (60, 4, 11));
        assert_eq!(
            json.publish_template.as_deref(),
            Some(r#"{"op":"publish","topic":"{topic}","data":"{payload}","id":"{publisher}.{sequence}"}"#)
        );
        assert!(json.is_acknowledged);
        assert_eq!(shared(&["--publish", "http"]).unwrap().publisher_connections, 4);
        let others = ["ws://127.0.0.1:9001/", "--subscribe-message", "+{topic}", "--text"];
        let others = [&others[..], &["--publish-template", "{topic} {payload}"]].concat();
        assert_eq!(shared(&others).unwrap().publisher_connections, 4);
        assert_eq!(Scenario::parsed(&["--topics", "60"]).unwrap().publisher_connections, 60);
    }

    #[test]
    fn where_a_connection_is_one_topic_each_publisher_has_its_own() {
        let remedy = "here a connection publishes to one topic, the one in its URL. Use --preset corecast-json, \
                      --publish http, or a URL without {topic} and a --publish-template with it";
        let given = ["--topics", "3", "--publisher-connections", "2"];
        assert_eq!(mistakes(&given), [format!("--publisher-connections 2 for 3 publishers: {remedy}")]);
        let raw = ["--preset", "corecast-json", "--publish-url", "ws://127.0.0.1:9001/topics/{topic}"];
        let raw = mistakes(&[&given[..], &raw].concat());
        assert_eq!(raw, [format!("--publisher-connections 2 for 3 publishers: {remedy}")]);
        let each = Scenario::parsed(&["--topics", "3", "--publisher-connections", "3"]).unwrap();
        assert_eq!(each.publisher_connections, 3);
        let json = ["--preset", "corecast-json", "--publishers", "3", "--publisher-connections"];
        assert_eq!(
            mistakes(&[&json[..], &["4"]].concat()),
            ["--publisher-connections is 4, but at most 3 is possible; give one for each publisher, or less"]
        );
        assert_eq!(mistakes(&[&json[..], &["0"]].concat()), ["--publisher-connections must be at least 1"]);
    }

    #[test]
    fn tens_of_thousands_of_topics_fit() {
        let many = ["--topics", "20000", "--topics-per-subscriber", "60", "--subscribers", "1000"];
        let few = ["--preset", "corecast-json", "--publisher-connections", "4", "--rate", "0.05"];
        let scenario = Scenario::parsed(&[&many[..], &few].concat()).unwrap();
        assert_eq!((scenario.publishers, scenario.connections()), (20_000, 1_004));
        assert_eq!((scenario.publishers_per_topic(), scenario.publishers_heard()), (1, 60));
    }

    #[test]
    fn metrics_are_looked_for_beside_a_local_corecast() {
        let page =
            |arguments: &[&str]| Scenario::parsed(arguments).unwrap().metrics.map(|page| page.to_string());
        assert_eq!(page(&[]).as_deref(), Some("http://127.0.0.1:9002/metrics"));
        assert_eq!(
            page(&["--preset", "corecast-json", "ws://[::1]:9001"]).as_deref(),
            Some("http://[::1]:9002/metrics")
        );
        assert_eq!(page(&["--preset", "corecast", "ws://192.0.2.7:9001"]), None);
        assert_eq!(page(&["ws://127.0.0.1:9001/"]), None, "any server");
        let given = ["ws://192.0.2.7:9001/", "--metrics", "http://192.0.2.7:9100/m"];
        assert_eq!(page(&given).as_deref(), Some("http://192.0.2.7:9100/m"));
        assert_eq!(
            mistakes(&["--metrics", "127.0.0.1:9002"]),
            ["'127.0.0.1:9002' does not begin with http://: write http://host:port/path"]
        );
    }

    #[test]
    fn a_role_that_is_given_stays() {
        let scenario =
            Scenario::parsed(&["--preset", "corecast", "ws://127.0.0.1:9001/topics/{topic}?role=both"])
                .unwrap();
        assert_eq!(scenario.url, "ws://127.0.0.1:9001/topics/{topic}?role=both");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        assert_eq!(
            mistakes(&[
                "http://127.0.0.1/",
                "--subscribers",
                "0",
                "--size",
                "20",
                "--topics",
                "3",
                "--publishers",
                "2",
                "--header",
                "no colon",
                "--publish-template",
                "x",
            ]),
            [
                "--size 20 is smaller than the stamp of a binary message: give at least 32",
                "--subscribers must be at least 1",
                "--topics 3 needs to tell topics apart: put {topic} in the URL or in --subscribe-message",
                "--topics 3 needs a publisher for each: give --publishers 3 or more",
                "--publish-template has no {payload}: without it subscribers cannot check what they receive",
                "--publish-template makes text: add --text",
                "--header 'no colon' is not of the form 'Name: value'",
                "'http://127.0.0.1/' does not begin with ws://: write ws://host:port/path",
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_bound() {
        assert_eq!(
            mistakes(&["--rate", "10000000", "--duration", "1h"]),
            [
                "--rate and --duration make 36010000000 messages a publisher, more than 4294967294: shorten the run"
            ]
        );
        assert_eq!(
            mistakes(&["--in-flight", "1048577"]),
            ["--in-flight is 1048577, but at most 1048576 is possible; give less"]
        );
        assert_eq!(
            mistakes(&["--publishers", "1025", "--in-flight", "65536"]),
            [
                "the number of messages on their way is 67174400, but at most 67108864 is possible; give fewer \
                 --publishers, or less --in-flight"
            ]
        );
        assert_eq!(
            mistakes(&["--source", "::1"]),
            [
                "the IPv6 --source cannot reach 127.0.0.1:9001: give addresses of the same family as the server's"
            ]
        );
    }

    #[test]
    fn named_cores_decide_the_number_of_workers() {
        let first = core_affinity::get_core_ids().expect("Linux has cores")[0].id;
        let list = first.to_string();
        assert_eq!(Scenario::parsed(&["--cores", &list]).unwrap().workers, [Some(first)]);
        assert_eq!(
            Scenario::parsed(&["--cores", &list, "--threads", "2"]).unwrap().workers,
            [Some(first), Some(first)]
        );
        assert!(mistakes(&["--cores", "4000"])[0].starts_with("core 4000 is not among the allowed ones ("));
    }
}
