//! What a run would do, without doing it: connections, rates, bytes, times, and the first bytes of each kind as they would be
//! sent.

use std::fmt;
use std::mem::size_of;
use std::time::Duration;

use corecast_protocol::MessageKind;
use corecast_protocol::frame::encode_frame;
use corecast_protocol::handshake::client::HandshakeError;

use crate::client::{Client, Role};
use crate::dealing::share;
use crate::endpoint::Endpoint;
use crate::flight::Flight;
use crate::groups::Groups;
use crate::http_publisher::RequestHead;
use crate::message::Message;
use crate::preflight::{Shortage, shortages};
use crate::preset::Via;
use crate::scenario::{Load, Scenario};
use crate::stamp::Stamp;
use crate::text::{plural, thousands};
use crate::worker::{RECEIVE_BUFFERS, receive_buffer_bytes};

/// IPv4 or IPv6 header, and TCP's with timestamps.
const SEGMENT_BYTES: [u32; 2] = [52, 72];
/// Messages that sizes are averaged over.
const SAMPLE: u32 = 4_096;
/// Where the bytes of a message are cut.
const MOST_BYTES_SHOWN: usize = 512;

/// A run as it would be. Its `Display` is what `--dry-run` prints.
#[derive(Debug)]
pub struct DryRun {
    lines: Vec<(&'static str, String)>,
    /// Title and text.
    shown: Vec<(String, String)>,
    shortages: Vec<Shortage>,
}

impl DryRun {
    /// # Errors
    /// When the handshake cannot be sent: an option that it came from is wrong.
    pub fn of(scenario: &Scenario) -> Result<Self, HandshakeError> {
        let mut lines = Vec::new();
        let target = format!("{} ({})", scenario.url, scenario.preset.name());
        lines.push(("target", format!("{target} at {}", scenario.subscribe.address)));
        if scenario.publish_url != scenario.url {
            lines.push(("publishing", format!("{} at {}", scenario.publish_url, scenario.publish.address)));
        }
        lines.push(("connections", connections(scenario)));
        lines.push(("topics", topics(scenario)));
        lines.extend(apart(scenario));
        lines.extend(rates(scenario));
        lines.push(("phases", phases(scenario)));
        lines.push(("memory", memory(scenario)));
        Ok(Self { lines, shown: first_bytes(scenario)?, shortages: shortages(scenario) })
    }

    /// Whether this host cannot do it.
    pub fn falls_short(&self) -> bool {
        !self.shortages.is_empty()
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "dry run: nothing is connected")?;
        for (name, text) in &self.lines {
            writeln!(f, "  {name:14}{text}")?;
        }
        for (title, text) in &self.shown {
            writeln!(f, "\n  {title}")?;
            for line in text.trim_end().lines() {
                writeln!(f, "    {line}")?;
            }
        }
        if self.falls_short() {
            writeln!(f)?;
        }
        for shortage in &self.shortages {
            writeln!(f, "  ! {shortage}")?;
        }
        Ok(())
    }
}

fn connections(scenario: &Scenario) -> String {
    let Scenario { subscribers, publishers, publisher_connections: lines, .. } = *scenario;
    let publishing = match scenario.via {
        Via::Ws => plural(lines.into(), "WebSocket connection"),
        Via::Http => plural(lines.into(), "HTTP connection"),
    };
    let threads = scenario.workers.len();
    let fullest = share(subscribers, 0, threads) + share(lines, 0, threads);
    format!(
        "{}: {}, {} over {publishing}; {}, {} on the fullest",
        thousands(scenario.connections().into()),
        plural(subscribers.into(), "subscriber"),
        plural(publishers.into(), "publisher"),
        plural(threads as u64, "thread"),
        thousands(fullest as u64),
    )
}

/// Who does not just stay and read.
fn apart(scenario: &Scenario) -> Vec<(&'static str, String)> {
    let Groups { churning, slow, .. } = scenario.groups;
    let mut lines = Vec::new();
    if let Some(rate) = scenario.churn {
        let stay = f64::from(churning) / rate.per_second();
        let churning = plural(churning.into(), "subscriber");
        lines.push(("churn", format!("{churning} come and go, {rate} a second: each stays for {stay:.1} s")));
    }
    if slow > 0 {
        let pace = match scenario.slow_rate {
            0 => "stop reading once they are subscribed".to_owned(),
            rate => format!("read {} bytes/s each", thousands(rate.into())),
        };
        lines.push(("slow", format!("{} {pace}", plural(slow.into(), "subscriber"))));
    }
    if scenario.reconnect {
        let delay = scenario.reconnect_delay.as_secs_f64();
        let longest = delay * 16.0;
        let text = format!(
            "within {delay} s when the server ends a connection, later attempts within up to {longest} s"
        );
        lines.push(("reconnect", text));
    }
    lines
}

/// Subscribers of each topic, from the topic with the fewest to that with the most.
fn subscribers_per_topic(scenario: &Scenario) -> Vec<u32> {
    let mut counts = vec![0; scenario.topics as usize];
    for subscriber in 0..scenario.subscribers {
        for topic in scenario.topics_from(scenario.first_topic_of(subscriber)) {
            counts[topic as usize] += 1;
        }
    }
    counts
}

fn topics(scenario: &Scenario) -> String {
    let counts = subscribers_per_topic(scenario);
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let (least, most) = (least.copied().unwrap_or_default(), most.copied().unwrap_or_default());
    let subscribers = range(least.into(), most.into());
    let publishers =
        range((scenario.publishers / scenario.topics).into(), scenario.publishers_per_topic().into());
    let last = match scenario.topics {
        1 => String::new(),
        topics => format!(" to {}", scenario.topic_name(topics - 1)),
    };
    format!(
        "{}, {}{last}; subscribers of each: {subscribers}, publishers: {publishers}",
        thousands(scenario.topics.into()),
        scenario.topic_name(0)
    )
}

fn range(least: u64, most: u64) -> String {
    if least == most { thousands(most) } else { format!("{} to {}", thousands(least), thousands(most)) }
}

/// Messages, deliveries and bytes per second.
fn rates(scenario: &Scenario) -> Vec<(&'static str, String)> {
    let Load::Open { rate } = scenario.load else {
        let in_flight = match scenario.load {
            Load::Closed { in_flight } => in_flight,
            Load::Open { .. } => 0,
        };
        let text =
            format!("closed loop: {in_flight} in flight for each publisher, as fast as they get through");
        return vec![("rates", text)];
    };
    let each = rate.per_second();
    let per_topic = range_of_rates(
        each * f64::from(scenario.publishers / scenario.topics),
        each * f64::from(scenario.publishers_per_topic()),
    );
    let all = each * f64::from(scenario.publishers);
    let counts = subscribers_per_topic(scenario);
    let heard: u64 = (0..scenario.publishers).map(|p| u64::from(counts[scenario.topic_of(p) as usize])).sum();
    let deliveries = each * heard as f64;
    let sizes = MeanSizes::of(scenario);
    let measured = scenario.duration.as_secs_f64();
    let segment = f64::from(SEGMENT_BYTES[usize::from(scenario.subscribe.address.is_ipv6())]);
    vec![
        (
            "rates",
            format!("{} a publisher, {per_topic} a topic, {} in all", per_second(each), per_second(all)),
        ),
        (
            "deliveries",
            format!(
                "{} expected, {} in the measured {measured} s",
                per_second(deliveries),
                thousands((deliveries * measured).round() as u64)
            ),
        ),
        (
            "sizes",
            format!(
                "{} bytes of {}, {:.0} on average",
                scenario.sizes,
                kind_name(scenario),
                scenario.sizes.mean()
            ),
        ),
        (
            "payload",
            format!(
                "{} published, {} delivered if the server puts nothing around it",
                byte_rate(all * sizes.published),
                byte_rate(deliveries * sizes.payload)
            ),
        ),
        (
            "on the wire",
            format!(
                "{} to subscribers with frame headers; {} with TCP and IP headers if every message goes alone",
                byte_rate(deliveries * sizes.framed),
                byte_rate(deliveries * (sizes.framed + segment))
            ),
        ),
    ]
}

fn kind_name(scenario: &Scenario) -> String {
    match (scenario.text_share, scenario.kind) {
        (Some(share), _) => format!("binary, {share} of it text"),
        (None, MessageKind::Text) => "text".to_owned(),
        (None, MessageKind::Binary) => "binary".to_owned(),
    }
}

/// Bytes of a message on average.
struct MeanSizes {
    /// With what the template puts around it.
    published: f64,
    payload: f64,
    /// The payload in an unmasked frame.
    framed: f64,
}

impl MeanSizes {
    fn of(scenario: &Scenario) -> Self {
        let mut message = Message::new(scenario, 0);
        let messages = if scenario.sizes.is_fixed() { 1 } else { SAMPLE };
        let (mut published, mut payload, mut framed) = (0, 0, 0);
        let mut frame = Vec::new();
        for sequence in 0..messages {
            let (kind, bytes) = message.stamped(&stamp(sequence));
            let size = scenario.sizes.of(scenario.seed, 0, sequence) as usize;
            frame.clear();
            encode_frame(&mut frame, kind.opcode(), &bytes[..size], None);
            published += bytes.len();
            payload += size;
            framed += frame.len();
        }
        // Only what comes on top is sampled: the mean of the payload is known.
        let on_top = |sum: usize| (sum - payload) as f64 / f64::from(messages);
        let mean = scenario.sizes.mean();
        Self { published: mean + on_top(published), payload: mean, framed: mean + on_top(framed) }
    }
}

fn stamp(sequence: u32) -> Stamp {
    Stamp { run: 0, publisher: 0, sequence, measured: true, intended_ns: 0, sent_ns: 0 }
}

fn range_of_rates(least: f64, most: f64) -> String {
    if least == most { per_second(most) } else { format!("{least} to {}", per_second(most)) }
}

fn per_second(rate: f64) -> String {
    if rate >= 1_000.0 {
        return format!("{}/s", thousands(rate.round() as u64));
    }
    format!("{}/s", (rate * 1_000.0).round() / 1_000.0)
}

fn byte_rate(bytes: f64) -> String {
    let (value, unit) = match bytes {
        ..1e3 => (bytes, "B/s"),
        1e3..1e6 => (bytes / 1e3, "kB/s"),
        1e6..1e9 => (bytes / 1e6, "MB/s"),
        _ => (bytes / 1e9, "GB/s"),
    };
    format!("{value:.1} {unit}")
}

fn phases(scenario: &Scenario) -> String {
    let connecting = match scenario.connect_rate {
        Some(rate) => {
            let seconds = f64::from(scenario.connections()) / rate.per_second();
            format!("connect {seconds:.1} s at {rate}/s")
        }
        None => format!("connect as fast as it goes, {} at once", scenario.connect_concurrency),
    };
    let time = |time: Duration| format!("{} s", time.as_secs_f64());
    let held =
        if scenario.hold.is_zero() { String::new() } else { format!("held {}; ", time(scenario.hold)) };
    let pinged = if scenario.ping { "every subscriber pinged; " } else { "" };
    format!(
        "{connecting}; {held}{pinged}warm-up {}; measured {}; up to {} for the last messages",
        time(scenario.warmup),
        time(scenario.duration),
        time(scenario.grace)
    )
}

/// The terms that grow with the scenario. What the kernel has for sockets is not among them.
fn memory(scenario: &Scenario) -> String {
    let threads = scenario.workers.len() as f64;
    let in_flight = match scenario.load {
        Load::Open { .. } => 1,
        Load::Closed { in_flight } => in_flight as usize,
    };
    let window = Flight::window_for(scenario.publishers as usize, in_flight) as f64;
    let publishers = f64::from(scenario.publishers);
    let terms = [
        ("connections", f64::from(scenario.connections()) * size_of::<Endpoint>() as f64),
        ("checks", f64::from(scenario.subscribers) * f64::from(scenario.publishers_heard()) * 4.0),
        ("messages on their way", publishers * window * (32.0 + 8.0 * threads)),
        ("messages", publishers * f64::from(scenario.sizes.largest())),
        (
            "receive buffers",
            threads
                * f64::from(RECEIVE_BUFFERS)
                * f64::from(receive_buffer_bytes(scenario.workers.len(), scenario.connections())),
        ),
    ];
    let mebibytes = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
    let listed: Vec<String> =
        terms.iter().map(|(name, bytes)| format!("{name} {}", mebibytes(*bytes))).collect();
    let sum = terms.iter().map(|(_, bytes)| bytes).sum();
    format!("about {} of this process: {}", mebibytes(sum), listed.join(", "))
}

fn first_bytes(scenario: &Scenario) -> Result<Vec<(String, String)>, HandshakeError> {
    let (subscriber, publisher) = (Role::subscriber(scenario)?, Role::publisher(scenario)?);
    let mut shown = Vec::new();
    let first = scenario.topic_name(0);
    shown.push((
        "handshake of the first subscriber (keys are random)".to_owned(),
        handshake(&subscriber, scenario),
    ));
    if let Some(message) = &scenario.subscribe_message {
        shown.push(("its first message".to_owned(), message.replace("{topic}", &first)));
    }
    if let Some(text) = &scenario.subscribed_match {
        shown.push(("which a message with this text confirms".to_owned(), text.replace("{topic}", &first)));
    }
    if scenario.via == Via::Ws {
        shown.push(("handshake of the first publisher".to_owned(), handshake(&publisher, scenario)));
        if let Some(message) = &scenario.publisher_message {
            shown.push(("its first message".to_owned(), message.replace("{topic}", &first)));
        }
    }
    let mut message = Message::new(scenario, 0);
    let (kind, bytes) = message.stamped(&stamp(0));
    let kind_name = if kind == MessageKind::Text { "text" } else { "binary" };
    let bytes = match scenario.via {
        Via::Ws => bytes.to_vec(),
        Via::Http => {
            let mut request = Vec::new();
            RequestHead::new(scenario, 0).write_request(bytes, &mut request);
            without_secrets(&request, scenario)
        }
    };
    shown.push((format!("first message published ({kind_name}, {} bytes)", bytes.len()), printable(&bytes)));
    if let Some(prefix) = &scenario.message_prefix {
        let text = prefix.replace("{topic}", &first);
        shown.push(("how what subscribers get of it must begin".to_owned(), text));
    }
    Ok(shown)
}

fn handshake(role: &Role, scenario: &Scenario) -> String {
    let mut request = Vec::new();
    Client::new(0).begin([0; 16], role, &mut request);
    String::from_utf8_lossy(&without_secrets(&request, scenario)).into_owned()
}

/// Values of headers that were given are often secret.
fn without_secrets(request: &[u8], scenario: &Scenario) -> Vec<u8> {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n").map_or(request.len(), |at| at + 4);
    let mut text = String::from_utf8_lossy(&request[..head]).into_owned();
    for (name, value) in &scenario.headers {
        text = text.replace(&format!("{name}: {value}\r\n"), &format!("{name}: ...\r\n"));
    }
    [text.as_bytes(), &request[head..]].concat()
}

/// Text as it is, other bytes escaped.
fn printable(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(MOST_BYTES_SHOWN)];
    let mut text: String = match str::from_utf8(shown) {
        Ok(text) => text.to_owned(),
        Err(_) => shown
            .iter()
            .map(|&byte| match byte {
                b'\n' | b' '..=b'~' => char::from(byte).to_string(),
                b'\r' => String::new(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect(),
    };
    if shown.len() < bytes.len() {
        text.push_str(&format!("... and {} more bytes", bytes.len() - shown.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dry_run(arguments: &[&str]) -> DryRun {
        let scenario = Scenario::of(&[&["--threads", "1", "--seed", "1"], arguments].concat());
        DryRun::of(&scenario).expect("a handshake")
    }

    fn line(dry_run: &DryRun, name: &str) -> String {
        let found = dry_run.lines.iter().find(|(other, _)| *other == name);
        found.map(|(_, text)| text.clone()).unwrap_or_default()
    }

    #[test]
    fn sums_are_those_of_the_whole_run() {
        let arguments =
            ["-c", "101", "--topics", "2", "--publishers", "5", "--rate", "10", "--duration", "4s"];
        let dry_run = dry_run(&arguments);
        assert_eq!(
            line(&dry_run, "connections"),
            "106: 101 subscribers, 5 publishers over 5 WebSocket connections; 1 thread, 106 on the fullest"
        );
        assert_eq!(
            line(&dry_run, "topics"),
            "2, load-0 to load-1; subscribers of each: 50 to 51, publishers: 2 to 3"
        );
        assert_eq!(line(&dry_run, "rates"), "10/s a publisher, 20 to 30/s a topic, 50/s in all");
        // Three publishers reach 51, two reach 50: 253 deliveries for each round of messages.
        assert_eq!(line(&dry_run, "deliveries"), "2,530/s expected, 10,120 in the measured 4 s");
        assert_eq!(
            line(&dry_run, "payload"),
            "3.2 kB/s published, 161.9 kB/s delivered if the server puts nothing around it"
        );
        // A header of two bytes for each message of 64, and 52 of TCP and IP.
        assert_eq!(
            line(&dry_run, "on the wire"),
            "167.0 kB/s to subscribers with frame headers; 298.5 kB/s with TCP and IP headers if every message goes alone"
        );
    }

    #[test]
    fn phases_and_pace_are_told() {
        let paced = dry_run(&["-c", "999", "--connect-rate", "100", "--warmup", "500ms", "--grace", "3s"]);
        assert_eq!(
            line(&paced, "phases"),
            "connect 10.0 s at 100/s; warm-up 0.5 s; measured 10 s; up to 3 s for the last messages"
        );
        let closed = dry_run(&["--in-flight", "4"]);
        assert_eq!(
            line(&closed, "rates"),
            "closed loop: 4 in flight for each publisher, as fast as they get through"
        );
        assert_eq!(line(&closed, "deliveries"), "");
    }

    #[test]
    fn groups_and_returns_are_told() {
        let churning = ["-c", "1000", "--churn", "20", "--slow-subscribers", "1", "--reconnect"];
        let dry_run = dry_run(&churning);
        assert_eq!(line(&dry_run, "churn"), "100 subscribers come and go, 20 a second: each stays for 5.0 s");
        assert_eq!(line(&dry_run, "slow"), "1 subscriber read 1,024 bytes/s each");
        assert_eq!(
            line(&dry_run, "reconnect"),
            "within 5 s when the server ends a connection, later attempts within up to 80 s"
        );
    }

    #[test]
    fn first_bytes_are_shown_as_they_would_be_sent_but_for_secrets() {
        let text = dry_run(&["--preset", "corecast-json", "--header", "Authorization: Bearer x"]).to_string();
        assert!(text.starts_with("dry run: nothing is connected\n"), "{text}");
        assert!(text.contains("    GET /ws HTTP/1.1\n    Host: 127.0.0.1:9001\n"), "{text}");
        assert!(text.contains("    Authorization: ...\n") && !text.contains("Bearer"), "{text}");
        assert!(text.contains("    {\"op\":\"subscribe\",\"topic\":\"load-0\"}\n"), "{text}");
        assert!(text.contains("    {\"op\":\"publish\",\"topic\":\"load-0\",\"data\":\"amkmhf"), "{text}");
        assert!(text.contains("    {\"op\":\"message\",\"topic\":\"load-0\",\"offset\":\n"), "{text}");
        let posted = dry_run(&["--publish", "http", "--size", "40"]).to_string();
        assert!(posted.contains("    POST /topics/load-0 HTTP/1.1\n"), "{posted}");
        assert!(posted.contains("\n    \\xc0\\xcaW\\x01\\x00"), "{posted}");
    }

    #[test]
    fn sizes_that_differ_are_averaged() {
        let mixed = dry_run(&["--size", "100:1,200:1", "--text-share", "25%", "-c", "1", "--rate", "1"]);
        assert_eq!(line(&mixed, "sizes"), "100:1,200:1 bytes of binary, 25 % of it text, 150 on average");
        assert_eq!(
            line(&mixed, "payload"),
            "150.0 B/s published, 150.0 B/s delivered if the server puts nothing around it"
        );
    }

    #[test]
    fn long_messages_are_cut() {
        assert_eq!(printable(&[b'a'; 600]).len(), 512 + "... and 88 more bytes".len());
    }
}
