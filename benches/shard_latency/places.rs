//! Clients on chosen shards, and topics with chosen homes.

use super::Failure;
use super::client::{Client, get};
use corecast::Running;
use corecast::config::ListenAddress;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

/// A publisher and a subscriber of one topic.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) publisher: Client,
    pub(crate) subscriber: Client,
    pub(crate) publisher_shard: usize,
    pub(crate) subscriber_shard: usize,
}

/// Tries, of connections and of topics, before something must be wrong.
const TRIES: u32 = 200;

pub(crate) fn find_places(
    server: &Running,
    subscriber: usize,
    publisher: usize,
    home: usize,
) -> Result<Places, Failure> {
    static TOPICS: AtomicU32 = AtomicU32::new(0);
    let Some(ListenAddress::Tcp(clients)) = server.addresses().first().cloned() else {
        unreachable!("asked for")
    };
    let admin = server.admin_address().expect("asked for");
    for _ in 0..TRIES {
        let topic = format!("/topics/topic-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
        if home_of(clients, admin, server.shards(), &topic)? == home {
            return Ok(Places {
                publisher: on_shard(clients, admin, publisher, &format!("{topic}?role=publisher"))?,
                subscriber: on_shard(clients, admin, subscriber, &format!("{topic}?role=subscriber"))?,
                publisher_shard: publisher,
                subscriber_shard: subscriber,
            });
        }
    }
    Err("no topic has its home there".into())
}

/// Connects until the kernel has chosen that shard.
fn on_shard(clients: SocketAddr, admin: SocketAddr, shard: usize, path: &str) -> Result<Client, Failure> {
    for _ in 0..TRIES {
        let client = Client::connect(clients, path)?;
        let page = get(admin, &format!("/connections?shard={shard}"))?;
        if page.contains(&format!("\"127.0.0.1:{}\"", client.port()?)) {
            return Ok(client);
        }
    }
    Err("no connection came to that shard".into())
}

/// Publishes to the topic and looks which shard's count of accepted messages has grown.
fn home_of(clients: SocketAddr, admin: SocketAddr, shards: usize, topic: &str) -> Result<usize, Failure> {
    let before = published(admin, shards)?;
    let mut publisher = Client::connect(clients, &format!("{topic}?role=publisher"))?;
    publisher.publish(&[0; 8])?;
    for _ in 0..TRIES {
        // Shards leave their figures four times a second.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let after = published(admin, shards)?;
        if let Some(home) = (0..shards).find(|&shard| after[shard] > before[shard]) {
            return Ok(home);
        }
    }
    Err("a published message was counted nowhere".into())
}

fn published(admin: SocketAddr, shards: usize) -> Result<Vec<u64>, Failure> {
    let page = get(admin, "/metrics")?;
    (0..shards)
        .map(|shard| {
            let name = format!("corecast_shard_messages_published_total{{shard=\"{shard}\"}} ");
            let value = page.lines().find_map(|line| line.strip_prefix(&name));
            Ok(value.ok_or("the page has every shard's figures")?.parse()?)
        })
        .collect()
}
