//! How long a message takes from one client to another, by where the two and the topic's home are.
//!
//! A server with three shards and one with a single shard run in this process, idle but for one publisher and one subscriber.
//! Which shard a connection landed on is asked of the server; connections are made until there is one where it is wanted, and
//! topics are tried until one has its home there. Latency is from the publisher's `write` to the subscriber's `read`, both
//! blocking, on threads of their own. With `--pin` each runs on the core of its shard, as a network card's interrupts should:
//! then the only sleeping cores that a message has to wake are those that it crosses over to.

mod client;
mod places;

use clap::Parser;
use corecast::config::{Config, ListenAddress};
use hdrhistogram::Histogram;
use places::{Places, find_places};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Measures the latency of single messages across shards.
#[derive(Debug, Parser)]
struct Arguments {
    /// Messages a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,

    /// Messages of each measurement.
    #[arg(long, default_value_t = 300)]
    messages: u32,

    /// Rounds; every case is measured once in each.
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// Run each client on the core of its shard.
    #[arg(long)]
    pin: bool,

    /// Keep the cores awake with idle-class loops (needs chrt and taskset). Waking a core that sleeps, a virtual one above
    /// all, can take longer than everything else here, and says more of the host than of the server.
    #[arg(long)]
    awake: bool,
}

/// Loops that run when nothing else wants the core.
struct Awake(Vec<Child>);

impl Awake {
    fn start() -> std::io::Result<Self> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let spin = |core: core_affinity::CoreId| {
            let core = core.id.to_string();
            Command::new("taskset")
                .args(["-c", &core, "chrt", "--idle", "0", "sh", "-c", "while :; do :; done"])
                .spawn()
        };
        cores.into_iter().map(spin).collect::<std::io::Result<_>>().map(Self)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A line of the table.
#[derive(Debug)]
struct Case {
    name: &'static str,
    places: Places,
    latency: Histogram<u64>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let _awake = arguments.awake.then(Awake::start).transpose()?;
    let one = server(1)?;
    let three = server(3)?;
    let mut cases = Vec::new();
    for (name, server, publisher, home) in [
        ("one shard", &one, 0, 0),
        ("same shard of three", &three, 0, 0),
        ("home with the subscriber", &three, 1, 0),
        ("home with the publisher", &three, 1, 1),
        ("home on a third shard", &three, 1, 2),
    ] {
        let places = find_places(server, 0, publisher, home)?;
        cases.push(Case { name, places, latency: Histogram::new(3)? });
    }
    for _ in 0..arguments.rounds {
        for case in &mut cases {
            measure(case, &arguments)?;
        }
    }
    println!("{:<28} {:>9} {:>9} {:>9} {:>9} {:>7}", "us", "p50", "p90", "p99", "max", "count");
    let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
    for Case { name, latency, .. } in &cases {
        let [p50, p90, p99] =
            [50.0, 90.0, 99.0].map(|percentile| us(latency.value_at_percentile(percentile)));
        println!(
            "{name:<28} {p50:>9.1} {p90:>9.1} {p99:>9.1} {:>9.1} {:>7}",
            us(latency.max()),
            latency.len()
        );
    }
    let p99 = |index: usize| cases[index].latency.value_at_percentile(99.0) as f64;
    let worst = (2..cases.len()).map(p99).fold(0.0, f64::max);
    println!("worst p99 across shards / one shard's: {:.2}", worst / p99(0));
    for server in [one, three] {
        server.stop();
        server.join()?;
    }
    Ok(())
}

fn server(shards: u32) -> Result<corecast::Running, Failure> {
    let any = "127.0.0.1:0".parse()?;
    let config = Config {
        shards,
        listen: vec![ListenAddress::Tcp(any)],
        admin: Some(any),
        max_connections: 1000,
        // Clients here answer no pings.
        ping_interval: Duration::from_secs(3600),
        ..Config::default()
    };
    Ok(corecast::start(config)?)
}

/// Sends the messages at their times, and has a thread take them.
fn measure(case: &mut Case, arguments: &Arguments) -> Result<(), Failure> {
    let Places { publisher, subscriber, publisher_shard, subscriber_shard } = &mut case.places;
    let (cores, pin) = (core_affinity::get_core_ids().unwrap_or_default(), arguments.pin);
    let pin_to = move |shard: usize| {
        if pin && !cores.is_empty() {
            core_affinity::set_for_current(cores[shard % cores.len()]);
        }
    };
    let (publisher_shard, subscriber_shard) = (*publisher_shard, *subscriber_shard);
    let period = Duration::from_secs(1) / arguments.rate;
    let messages = arguments.messages;
    let latencies = std::thread::scope(|scope| {
        let began = Instant::now();
        let pin_receiver = pin_to.clone();
        let receiving = scope.spawn(move || {
            pin_receiver(subscriber_shard);
            (0..messages)
                .map(|_| {
                    let payload = subscriber.receive()?;
                    let sent: [u8; 8] =
                        payload.as_slice().try_into().map_err(|_| "a message of ours has 8 bytes")?;
                    Ok(began.elapsed().as_nanos() as u64 - u64::from_le_bytes(sent))
                })
                .collect::<Result<Vec<u64>, Box<dyn std::error::Error + Send + Sync>>>()
        });
        pin_to(publisher_shard);
        for number in 0..messages {
            let due = period * number;
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let sent = began.elapsed().as_nanos() as u64;
            publisher.publish(&sent.to_le_bytes())?;
        }
        receiving.join().expect("the receiving thread does not panic")
    });
    for latency in latencies.map_err(|error| error.to_string())? {
        case.latency.record(latency)?;
    }
    Ok(())
}
