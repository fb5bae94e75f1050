//! What is planned for, and what one of several hosts has to do of it in a second.

use serde::Serialize;

use super::cost::Quantities;
use super::memory::{Holdings, JSON_PRESET};
use super::observation::Observation;
use super::wire::{Network, Traffic, frame_bytes, masked_frame_bytes};

/// The server passes on at most one chunk of a topic's log at once.
const MOST_BATCH_BYTES: f64 = 65_536.0;
/// Payload of the server's pings, and of the answers.
const PING_BYTES: u64 = 0;

/// `{"op":"published","offset":...,"id":...}` with usual numbers.
const ACKNOWLEDGEMENT_BYTES: u64 = 64;
/// The server's default for the shortest message that is compressed.
pub(super) const COMPRESSED_FROM: f64 = 512.0;

/// A service as it is to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    pub connections: f64,
    pub topics: f64,
    /// Topics of each connection.
    pub subscriptions: f64,
    /// Messages per second, all topics together.
    pub rate: f64,
    pub message_bytes: f64,
    /// Subscribers of each message.
    pub fan_out: f64,
    /// What compression leaves of a message.
    pub compressed_to: Option<f64>,
    /// Connections per second that come, and as many that go.
    pub churn: f64,
    /// Seconds between pings to a connection that says nothing.
    pub ping_seconds: Option<f64>,
    /// How long messages of a topic may wait for each other.
    pub wait_seconds: f64,
    /// Each publish is acknowledged, as in the JSON dialect.
    pub is_acknowledged: bool,
    pub is_json: bool,
    pub network: Network,
}

impl Target {
    /// What a run did, as if it were to be planned.
    pub(super) fn like(run: &Observation, network: Network) -> Self {
        let is_json = run.preset == JSON_PRESET;
        Self {
            connections: run.connections,
            topics: run.topics,
            subscriptions: run.subscriptions,
            rate: run.messages / run.window_seconds,
            message_bytes: run.message_bytes,
            fan_out: if run.messages > 0.0 { run.deliveries / run.messages } else { 0.0 },
            compressed_to: run.is_compressed.then(|| {
                run.bytes / (run.deliveries * frame_bytes(run.message_bytes as u64) as f64).max(1.0)
            }),
            churn: 0.0,
            // Runs are shorter than the silence after which one is pinged.
            ping_seconds: None,
            wait_seconds: 0.0,
            is_acknowledged: is_json,
            is_json,
            network,
        }
    }

    pub fn deliveries(&self) -> f64 {
        self.rate * self.fan_out
    }

    /// Messages that go out together to each subscriber: those of a topic in the time that they may wait.
    pub fn messages_per_send(&self) -> f64 {
        let waiting = self.rate / self.topics * self.wait_seconds;
        let most = (MOST_BATCH_BYTES / self.frame()).max(1.0);
        waiting.clamp(1.0, most)
    }

    /// What compression leaves of a message, where it is long enough for that.
    fn compression(&self) -> Option<f64> {
        self.compressed_to.filter(|_| self.message_bytes >= COMPRESSED_FROM)
    }

    /// Encoded bytes of a message for a subscriber.
    pub fn frame(&self) -> f64 {
        let payload = self.message_bytes * self.compression().unwrap_or(1.0);
        frame_bytes(payload.round() as u64) as f64
    }

    /// A second of one of `hosts` hosts with so many shards on its cores. Connections are spread evenly; every message goes to
    /// every host, and there to every shard with subscribers of its topic.
    pub fn second(&self, hosts: f64, cores: f64, shards: f64) -> Quantities {
        let fan_out = self.fan_out / hosts;
        let pings = self.ping_seconds.map_or(0.0, |seconds| self.connections / hosts / seconds);
        let acknowledgements = if self.is_acknowledged { self.rate } else { 0.0 };
        // A topic's home is any shard; the others that have one of its subscribers are told.
        let interested = shards * (1.0 - (1.0 - 1.0 / shards).powf(fan_out));
        let relays = self.rate * interested * (shards - 1.0) / shards;
        Quantities {
            core_seconds: cores,
            connections_per_core: self.connections / hosts / cores,
            sends: self.rate * fan_out / self.messages_per_send() + pings + acknowledgements,
            bytes: self.rate * fan_out * self.frame(),
            // A pong is read like a publish, and goes nowhere.
            messages: self.rate + pings,
            passes: self.rate / self.messages_per_send() + pings,
            relays,
            compressed_bytes: if self.compression().is_some() { self.rate * self.message_bytes } else { 0.0 },
        }
    }

    /// Bytes per second on the link of one of `hosts` hosts.
    pub fn traffic(&self, hosts: f64) -> Traffic {
        let network = self.network;
        let together = self.messages_per_send();
        let sends =
            network.send((together * self.frame()).round() as u64) * (self.deliveries() / hosts / together);
        let publishes = network.receive(masked_frame_bytes(self.message_bytes.round() as u64)) * self.rate;
        let pings = self.ping_seconds.map_or(0.0, |seconds| self.connections / hosts / seconds);
        let pinging =
            (network.send(frame_bytes(PING_BYTES)) + network.receive(masked_frame_bytes(PING_BYTES))) * pings;
        let answers = if self.is_acknowledged { self.rate } else { 0.0 };
        let answering = network.send(frame_bytes(ACKNOWLEDGEMENT_BYTES)) * answers;
        sends + publishes + answering + pinging + network.connect() * (self.churn / hosts)
    }

    pub fn holdings(&self, hosts: f64, shards: f64) -> Holdings {
        let connections = self.connections / hosts;
        Holdings {
            connections,
            subscriptions: if self.is_json { connections * self.subscriptions } else { 0.0 },
            topics: self.topics,
            shards,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::wire::IpVersion;
    use super::*;

    pub(in super::super) fn target() -> Target {
        Target {
            connections: 100_000.0,
            topics: 100.0,
            subscriptions: 1.0,
            rate: 200.0,
            message_bytes: 64.0,
            fan_out: 1_000.0,
            compressed_to: None,
            churn: 0.0,
            ping_seconds: None,
            wait_seconds: 0.0,
            is_acknowledged: false,
            is_json: false,
            network: Network { mtu: 1_500, ip: IpVersion::V4, tls: false },
        }
    }

    #[test]
    fn hosts_share_subscribers_and_not_messages() {
        let second = target().second(2.0, 1.0, 1.0);
        assert_eq!((second.sends, second.bytes), (100_000.0, 6_600_000.0));
        assert_eq!((second.messages, second.relays), (200.0, 0.0));
        assert_eq!((second.core_seconds, second.connections_per_core), (1.0, 50_000.0));
    }

    #[test]
    fn messages_are_relayed_to_the_shards_that_have_subscribers() {
        let many = target().second(1.0, 4.0, 4.0);
        assert_eq!(many.relays.round(), 600.0, "to the three that are not its home");
        // One subscriber is on one of four shards, which is not the home three times of four.
        let one = Target { fan_out: 1.0, ..target() }.second(1.0, 4.0, 4.0);
        assert_eq!((one.relays * 1e6).round() / 1e6, 150.0);
    }

    #[test]
    fn messages_that_may_wait_go_out_together() {
        // Two a second of each topic: ten in five seconds.
        let waiting = Target { wait_seconds: 5.0, ..target() };
        assert_eq!(waiting.messages_per_send(), 10.0);
        let second = waiting.second(1.0, 1.0, 1.0);
        assert_eq!((second.sends, second.bytes), (20_000.0, 13_200_000.0));
        assert_eq!((second.messages, second.passes), (200.0, 20.0));
        assert_eq!(Target { wait_seconds: 0.1, ..target() }.messages_per_send(), 1.0);
        let large = Target { wait_seconds: 100.0, message_bytes: 16_380.0, ..target() };
        assert_eq!(large.messages_per_send(), 4.0 * 16_384.0 / 16_384.0, "a chunk of 64 KiB");
    }

    #[test]
    fn traffic_has_all_headers_and_what_comes_back() {
        let traffic = target().traffic(1.0);
        // 200,000 sends of 156 bytes; 200 publishes of 70 bytes and 90 of headers, each acknowledged.
        assert_eq!(traffic.out, 200_000.0 * 156.0 + 200.0 * 90.0);
        assert_eq!(traffic.back, 200_000.0 * 90.0 + 200.0 * 160.0);
        let together = Target { wait_seconds: 5.0, ..target() }.traffic(1.0);
        assert_eq!(together.out, 20_000.0 * (660.0 + 90.0) + 200.0 * 90.0);
        let compressed = Target { compressed_to: Some(0.25), message_bytes: 1_000.0, ..target() };
        assert_eq!(compressed.frame(), 254.0);
    }

    #[test]
    fn pings_are_a_send_and_a_receive_each() {
        let pinged = Target { ping_seconds: Some(25.0), ..target() };
        let (with, without) = (pinged.second(2.0, 1.0, 1.0), target().second(2.0, 1.0, 1.0));
        assert_eq!((with.sends - without.sends, with.messages - without.messages), (2_000.0, 2_000.0));
        assert_eq!(with.passes - without.passes, 2_000.0);
        let (with, without) = (pinged.traffic(2.0), target().traffic(2.0));
        assert_eq!(with.out - without.out, 2_000.0 * (92.0 + 90.0));
        assert_eq!(with.back - without.back, 2_000.0 * (90.0 + 96.0));
    }

    #[test]
    fn json_publishes_are_acknowledged() {
        let json = Target { is_acknowledged: true, is_json: true, subscriptions: 3.0, ..target() };
        assert_eq!(json.second(1.0, 1.0, 1.0).sends, 200_200.0);
        assert_eq!(json.holdings(2.0, 1.0).subscriptions, 150_000.0);
        assert_eq!(target().holdings(2.0, 1.0).subscriptions, 0.0);
    }
}
