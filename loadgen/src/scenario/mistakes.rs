//! What is wrong with options, in words that say how to mend it.

use std::fmt;
use std::net::IpAddr;

use corecast_protocol::MessageKind;

use super::encoding;
use crate::flight::Flight;
use crate::groups::Groups;
use crate::options::RunOptions;
use crate::sources::SourceError;
use crate::target::{Target, TargetError};

/// Pairs of subscriber and publisher that are checked: four bytes each.
const MOST_CHECKED_PAIRS: u64 = 1 << 28;
/// A worker's connections are numbered with 24 bits.
const MOST_CONNECTIONS: u64 = 1 << 24;
const LARGEST_MESSAGE: u32 = 16 << 20;
const MOST_IN_FLIGHT: u32 = 1 << 20;
/// Messages on their way that are tracked: 32 bytes each, and 8 in each worker.
const MOST_TRACKED: u64 = 1 << 26;

/// Options that do not make a run: every mistake, so that one correction is enough.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

/// One mistake and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{option} must be at least 1")]
    Zero { option: &'static str },
    #[error("{option} is {given}, but at most {most} is possible; {remedy}")]
    TooMuch { option: &'static str, given: u64, most: u64, remedy: &'static str },
    #[error("--size {given} is smaller than the stamp of a {kind} message: give at least {least}")]
    Size { given: u32, kind: &'static str, least: usize },
    #[error(
        "--topics {topics} needs to tell topics apart: put {{topic}} in the URL or in --subscribe-message"
    )]
    TopicsNotNamed { topics: u32 },
    #[error("--topics {topics} needs a publisher for each: give --publishers {topics} or more")]
    TopicWithoutPublisher { topics: u32 },
    #[error("--topics-per-subscriber {given} is more than there are: give at most the {topics} of --topics")]
    TooFewTopics { given: u32, topics: u32 },
    #[error(
        "--topics-per-subscriber {given}: here a connection is one topic, the one in its URL. Use --preset \
         corecast-json, or a URL without {{topic}} and a --subscribe-message with it"
    )]
    OneTopicPerConnection { given: u32 },
    #[error(
        "--publisher-connections {given} for {publishers} publishers: here a connection publishes to one topic, the one \
         in its URL. Use --preset corecast-json, --publish http, or a URL without {{topic}} and a --publish-template \
         with it"
    )]
    OneTopicPerPublisher { given: u32, publishers: u32 },
    #[error("--binary: the preset {preset} carries text only, leave --binary out")]
    TextOnly { preset: &'static str },
    #[error("--publish-template has no {{payload}}: without it subscribers cannot check what they receive")]
    TemplateWithoutPayload,
    #[error(
        "--text-share: messages of both kinds need publishers over WebSocket, and a preset that carries both: leave it out, \
         or choose --text"
    )]
    OneKindOnly,
    #[error(
        "--churn-subscribers and --slow-subscribers make {apart} of {subscribers}: at least one must stay and read, give less"
    )]
    NobodySteady { apart: u64, subscribers: u32 },
    #[error("--reconnect cannot be checked in a closed loop: leave out --in-flight")]
    ReconnectInClosedLoop,
    #[error("--publish-template makes text: add --text")]
    TemplateNeedsText,
    #[error("--header '{0}' is not of the form 'Name: value'")]
    Header(String),
    #[error("the {family} --source cannot reach {server}: give addresses of the same family as the server's")]
    SourceFamily { family: &'static str, server: String },
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("{0}")]
    Cores(String),
    #[error("core {core} is not among the allowed ones ({allowed}): choose from those, or widen the cpuset")]
    CoreNotAllowed { core: usize, allowed: String },
    #[error(
        "--in-flight with --workers: what is complete would have to be told between hosts before the next message. Use --rate"
    )]
    ClosedLoopOverHosts,
    #[error("--workers names {0} twice: each worker takes one part of the load")]
    SameWorker(String),
    #[error(
        "--rate and --duration make {messages} messages a publisher, more than 4294967294: shorten the run"
    )]
    TooManyMessages { messages: u64 },
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

pub(super) fn check_sizes(
    options: &RunOptions,
    publishers: u32,
    kind: MessageKind,
    mistakes: &mut Vec<Mistake>,
) {
    let least = encoding(kind).stamp_bytes();
    if (options.size.least() as usize) < least {
        let kind = if kind == MessageKind::Text { "text" } else { "binary" };
        mistakes.push(Mistake::Size { given: options.size.least(), kind, least });
    }
    let counts = [
        ("--subscribers", options.subscribers),
        ("--publishers", options.publishers.unwrap_or(1)),
        ("--publisher-connections", options.publisher_connections.unwrap_or(1)),
        ("--topics", options.topics),
        ("--topics-per-subscriber", options.topics_per_subscriber),
        ("--connect-concurrency", options.connect_concurrency.unwrap_or(1)),
        ("--http-pipeline", options.http_pipeline),
        ("--in-flight", options.in_flight.unwrap_or(1)),
        ("--duration", u32::from(!options.duration.is_zero())),
    ];
    mistakes.extend(counts.iter().filter(|c| c.1 == 0).map(|&(option, _)| Mistake::Zero { option }));
    let mut bound = |option, given: u64, most: u64, remedy| {
        if given > most {
            mistakes.push(Mistake::TooMuch { option, given, most, remedy });
        }
    };
    let connections = u64::from(options.subscribers)
        + u64::from(options.publisher_connections.unwrap_or(publishers).min(publishers));
    bound("--size", options.size.largest().into(), LARGEST_MESSAGE.into(), "send smaller messages");
    bound("--in-flight", options.in_flight.unwrap_or(0).into(), MOST_IN_FLIGHT.into(), "give less");
    bound("the number of connections", connections, MOST_CONNECTIONS, "start several generators");
    let in_flight = options.in_flight.filter(|in_flight| *in_flight <= MOST_IN_FLIGHT).unwrap_or(1);
    let tracked = u64::from(publishers)
        .saturating_mul(Flight::window_for(publishers as usize, in_flight as usize) as u64);
    let remedy = "give fewer --publishers, or less --in-flight";
    bound("the number of messages on their way", tracked, MOST_TRACKED, remedy);
    let per_topic = u64::from(publishers.div_ceil(options.topics.max(1)));
    let heard = per_topic.saturating_mul(options.topics_per_subscriber.into());
    let pairs = u64::from(options.subscribers).saturating_mul(heard);
    bound("subscribers times publishers they hear", pairs, MOST_CHECKED_PAIRS, "use fewer publishers");
    let seconds = (options.warmup + options.duration).as_millis();
    let messages = (seconds * u128::from(options.rate.per_thousand_seconds()) / 1_000_000) as u64;
    if options.in_flight.is_none() && messages >= u64::from(u32::MAX) {
        mistakes.push(Mistake::TooManyMessages { messages });
    }
}

pub(super) fn check_topics(
    options: &RunOptions,
    publishers: u32,
    url: &str,
    subscribe_message: Option<&str>,
    mistakes: &mut Vec<Mistake>,
) {
    let (topics, given) = (options.topics, options.topics_per_subscriber);
    let by_message = subscribe_message.is_some_and(|message| message.contains("{topic}"));
    let by_url = url.contains("{topic}");
    if topics > 1 && !by_url && !by_message {
        mistakes.push(Mistake::TopicsNotNamed { topics });
    }
    if topics > publishers.max(1) {
        mistakes.push(Mistake::TopicWithoutPublisher { topics });
    }
    if given > 1 && (by_url || !by_message) {
        mistakes.push(Mistake::OneTopicPerConnection { given });
    } else if given > topics.max(1) {
        mistakes.push(Mistake::TooFewTopics { given, topics });
    }
}

/// Whether the load is generated here.
pub(super) fn check_hosts(options: &RunOptions, mistakes: &mut Vec<Mistake>) -> bool {
    let workers = &options.workers;
    if !workers.is_empty() && options.in_flight.is_some() {
        mistakes.push(Mistake::ClosedLoopOverHosts);
    }
    if let Some((_, twice)) = workers.iter().enumerate().find(|(at, worker)| workers[..*at].contains(worker))
    {
        mistakes.push(Mistake::SameWorker(twice.clone()));
    }
    workers.is_empty()
}

/// Who stays, who comes and goes, who reads slowly.
pub(super) fn choose_groups(options: &RunOptions, mistakes: &mut Vec<Mistake>) -> Groups {
    let subscribers = options.subscribers;
    let churning = options.churn.map_or(0, |_| options.churn_subscribers.of(subscribers));
    let slow = options.slow_subscribers.of(subscribers);
    let apart = u64::from(churning) + u64::from(slow);
    if options.churn.is_some() && churning == 0 {
        mistakes.push(Mistake::Zero { option: "--churn-subscribers" });
    }
    if options.reconnect && options.in_flight.is_some() {
        mistakes.push(Mistake::ReconnectInClosedLoop);
    }
    if apart > 0 && apart >= u64::from(subscribers) {
        mistakes.push(Mistake::NobodySteady { apart, subscribers });
        return Groups { steady: subscribers, churning: 0, slow: 0 };
    }
    Groups { steady: subscribers - churning - slow, churning, slow }
}

/// `names_its_topic`: every message does, so that a connection can carry messages of several topics.
pub(super) fn check_lines(
    connections: u32,
    publishers: u32,
    names_its_topic: bool,
    mistakes: &mut Vec<Mistake>,
) {
    if connections > publishers.max(1) {
        mistakes.push(Mistake::TooMuch {
            option: "--publisher-connections",
            given: connections.into(),
            most: publishers.into(),
            remedy: "give one for each publisher, or less",
        });
    } else if (1..publishers).contains(&connections) && !names_its_topic {
        mistakes.push(Mistake::OneTopicPerPublisher { given: connections, publishers });
    }
}

pub(super) fn check_template(options: &RunOptions, kind: MessageKind, mistakes: &mut Vec<Mistake>) {
    let Some(template) = &options.publish_template else { return };
    if !template.contains("{payload}") {
        mistakes.push(Mistake::TemplateWithoutPayload);
    }
    if kind != MessageKind::Text {
        mistakes.push(Mistake::TemplateNeedsText);
    }
}

pub(super) fn check_sources(sources: &[IpAddr], targets: [&Target; 2], mistakes: &mut Vec<Mistake>) {
    for target in targets {
        if let Some(source) = sources.iter().find(|source| source.is_ipv4() != target.address.is_ipv4()) {
            let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
            mistakes.push(Mistake::SourceFamily { family, server: target.address.to_string() });
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    fn mistakes(arguments: &[&str]) -> Vec<String> {
        let mistakes = Scenario::parsed(arguments).err();
        mistakes.map_or_else(Vec::new, |mistakes| mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn somebody_must_stay_and_read() {
        let nobody = ["-c", "10", "--churn", "5", "--churn-subscribers", "60%", "--slow-subscribers", "4"];
        assert_eq!(
            mistakes(&nobody),
            [
                "--churn-subscribers and --slow-subscribers make 10 of 10: at least one must stay and read, give less"
            ]
        );
        assert_eq!(mistakes(&["-c", "10", "--churn", "5", "--slow-subscribers", "8"]), [""; 0]);
        assert_eq!(mistakes(&["-c", "1"]), [""; 0]);
        assert_eq!(
            mistakes(&["--churn", "5", "--churn-subscribers", "0"]),
            ["--churn-subscribers must be at least 1"]
        );
    }

    #[test]
    fn what_could_not_be_checked_is_refused() {
        assert_eq!(
            mistakes(&["--reconnect", "--in-flight", "4"]),
            ["--reconnect cannot be checked in a closed loop: leave out --in-flight"]
        );
        let both = "--text-share: messages of both kinds need publishers over WebSocket, and a preset that carries both: \
                    leave it out, or choose --text";
        assert_eq!(mistakes(&["--text-share", "30%", "--publish", "http"]), [both]);
        assert_eq!(mistakes(&["--text-share", "30%", "--preset", "bun"]), [both]);
        assert_eq!(
            mistakes(&["--text-share", "30%", "--size", "32:1,200:1"]),
            ["--size 32 is smaller than the stamp of a text message: give at least 64"]
        );
    }

    #[test]
    fn the_largest_of_several_sizes_counts_for_the_bound() {
        assert_eq!(
            mistakes(&["--size", "64:99,20MiB:1"]),
            ["--size is 20971520, but at most 16777216 is possible; send smaller messages"]
        );
    }
}
