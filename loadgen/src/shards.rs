//! What each shard of the server did in the measured window, from its metrics page read at both ends.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::metrics_page::{MetricsError, MetricsPage, Sample};

/// One shard's figures. What the page does not have is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    pub shard: u32,
    /// At the end of the window.
    pub connections: Option<u64>,
    pub subscribers: Option<u64>,
    /// Messages accepted as home of their topic, in the window.
    pub published: Option<u64>,
    /// Messages that came from other shards, in the window.
    pub relayed: Option<u64>,
    pub deliveries: Option<u64>,
    /// Sends to the kernel: one may carry several deliveries.
    pub sends: Option<u64>,
    /// Encoded bytes of the deliveries.
    pub delivered_bytes: Option<u64>,
    pub busy_seconds: Option<f64>,
    /// Part of the window.
    pub busy_share: Option<f64>,
}

/// The shards' figures at one moment, since the server's start.
#[derive(Clone, Debug)]
pub struct ShardSnapshot {
    taken: Instant,
    shards: BTreeMap<u32, Sums>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    connections: Option<f64>,
    subscribers: Option<f64>,
    published: Option<f64>,
    relayed: Option<f64>,
    deliveries: Option<f64>,
    sends: Option<f64>,
    delivered_bytes: Option<f64>,
    busy_seconds: Option<f64>,
}

impl ShardSnapshot {
    /// # Errors
    /// When there is no page. A page without shards has an empty snapshot.
    pub fn take(page: &MetricsPage) -> Result<Self, MetricsError> {
        Ok(Self::parse(&page.fetch()?, Instant::now()))
    }

    fn parse(page: &str, taken: Instant) -> Self {
        let mut shards: BTreeMap<u32, Sums> = BTreeMap::new();
        for sample in Sample::all(page) {
            let Some(metric) = sample.name.strip_prefix("corecast_shard_") else { continue };
            let Some(shard) = sample.label("shard").and_then(|shard| shard.parse().ok()) else { continue };
            let sums = shards.entry(shard).or_default();
            let sum = match metric {
                "connections" => &mut sums.connections,
                "subscribers" => &mut sums.subscribers,
                "messages_published_total" => &mut sums.published,
                "relayed_total" => &mut sums.relayed,
                "deliveries_total" => &mut sums.deliveries,
                "sends_total" => &mut sums.sends,
                "delivered_bytes_total" => &mut sums.delivered_bytes,
                "busy_seconds_total" => &mut sums.busy_seconds,
                _ => continue,
            };
            *sum = Some(sum.unwrap_or_default() + sample.value);
        }
        shards.retain(|_, sums| *sums != Sums::default());
        Self { taken, shards }
    }

    /// Connections of all shards.
    pub fn connections(&self) -> u64 {
        self.shards.values().filter_map(|sums| sums.connections).sum::<f64>() as u64
    }

    /// What happened from `earlier` until now.
    pub fn since(&self, earlier: &Self) -> Vec<Shard> {
        let seconds = self.taken.saturating_duration_since(earlier.taken).as_secs_f64();
        let shard = |(&shard, now): (&u32, &Sums)| {
            let before = earlier.shards.get(&shard).copied().unwrap_or_default();
            let grown = |now: Option<f64>, before: Option<f64>| {
                now.map(|now| (now - before.unwrap_or_default()).max(0.0))
            };
            let count = |sum: Option<f64>| sum.map(|sum| sum.round() as u64);
            let busy_seconds = grown(now.busy_seconds, before.busy_seconds);
            Shard {
                shard,
                connections: count(now.connections),
                subscribers: count(now.subscribers),
                published: count(grown(now.published, before.published)),
                relayed: count(grown(now.relayed, before.relayed)),
                deliveries: count(grown(now.deliveries, before.deliveries)),
                sends: count(grown(now.sends, before.sends)),
                delivered_bytes: count(grown(now.delivered_bytes, before.delivered_bytes)),
                busy_seconds,
                busy_share: busy_seconds.filter(|_| seconds > 0.0).map(|busy| busy / seconds),
            }
        };
        self.shards.iter().map(shard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BEFORE: &str = r#"
# HELP corecast_shard_connections Open connections of a shard.
# TYPE corecast_shard_connections gauge
corecast_shard_connections{shard="0"} 3
corecast_shard_connections{shard="1"} 4
corecast_shard_subscribers{shard="0"} 1
corecast_shard_messages_published_total{shard="0"} 100
corecast_shard_messages_published_total{shard="1"} 50
corecast_shard_relayed_total{shard="1"} 7
corecast_shard_deliveries_total{shard="0"} 1000
corecast_shard_sends_total{shard="0"} 900
corecast_shard_delivered_bytes_total{shard="0"} 66000
corecast_shard_busy_seconds_total{shard="0"} 1.5
corecast_connections 7
"#;

    const AFTER: &str = r#"
corecast_shard_connections{shard="0"} 5
corecast_shard_connections{shard="1"} 6
corecast_shard_connections{shard="10"} 2
corecast_shard_subscribers{shard="0"} 2
corecast_shard_messages_published_total{shard="0"} 350
corecast_shard_messages_published_total{shard="1"} 50
corecast_shard_relayed_total{shard="1"} 257
corecast_shard_deliveries_total{shard="0"} 21000
corecast_shard_sends_total{shard="0"} 5900
corecast_shard_delivered_bytes_total{shard="0"} 1386000
corecast_shard_busy_seconds_total{shard="0"} 2.25
corecast_shard_something_else{shard="99"} 1
"#;

    #[test]
    fn counters_are_differences_and_gauges_are_not() {
        let start = Instant::now();
        let before = ShardSnapshot::parse(BEFORE, start);
        let after = ShardSnapshot::parse(AFTER, start + Duration::from_secs(3));
        let first = Shard {
            shard: 0,
            connections: Some(5),
            subscribers: Some(2),
            published: Some(250),
            relayed: None,
            deliveries: Some(20_000),
            sends: Some(5_000),
            delivered_bytes: Some(1_320_000),
            busy_seconds: Some(0.75),
            busy_share: Some(0.25),
        };
        let second = Shard {
            shard: 1,
            connections: Some(6),
            published: Some(0),
            relayed: Some(250),
            ..Shard::default()
        };
        let third = Shard { shard: 10, connections: Some(2), ..Shard::default() };
        assert_eq!(after.since(&before), [first, second, third]);
        assert_eq!(after.connections(), 13);
    }

    #[test]
    fn a_server_that_began_anew_has_no_negative_counts() {
        let now = Instant::now();
        let shards = ShardSnapshot::parse(BEFORE, now).since(&ShardSnapshot::parse(AFTER, now));
        assert_eq!((shards[0].published, shards[0].busy_seconds), (Some(0), Some(0.0)));
        assert_eq!(shards[0].busy_share, None, "no time passed");
    }

    #[test]
    fn a_page_without_shards_has_none() {
        let now = Instant::now();
        let snapshot = ShardSnapshot::parse("corecast_connections 7\ncorecast_shard_connections 7\n", now);
        assert_eq!(snapshot.since(&snapshot), []);
    }
}
