//! Two ways for one shard to reach another: a glommio channel with a task that awaits it, and the mesh's link with the
//! doorbell, which signals the eventfd that the shard sleeps on anyway. A ping goes there and a pong comes back; half of
//! that is a hop. The executors sleep between two pings, as shards do that have little to do.
//!
//! The server's shards use the link. It needs no task for each pair of shards, its messages arrive in a turn without going
//! through the executor, and what was sent counts against its bound until it is handled, not just until it is received.

use corecast::mesh::{Capacity, Doorbell, link};
use corecast_uring::wake::{EventWait, Waker};
use corecast_uring::{KernelRing, RingConfig};
use glommio::channels::shared_channel;
use glommio::{LocalExecutorBuilder, Placement};
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const PINGS: u32 = 500;
/// Between two pings: longer than an executor spins before it sleeps.
const PAUSE: Duration = Duration::from_millis(1);

fn main() {
    let mut table: Vec<(&str, Histogram<u64>)> =
        ["glommio channel", "link"].map(|name| (name, Histogram::new(3).expect("3 digits"))).into();
    for _ in 0..ROUNDS {
        for (way, latency) in table.iter_mut().enumerate() {
            let hops = if way == 0 { through_channels() } else { through_links() };
            for hop in hops {
                latency.1.record(hop).expect("a hop is far below an hour");
            }
        }
    }
    println!("{:<20} {:>8} {:>8} {:>8} {:>8}", "us a hop", "p50", "p90", "p99", "max");
    for (name, latency) in &table {
        let us = |percentile| latency.value_at_percentile(percentile) as f64 / 1000.0;
        println!("{name:<20} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", us(50.0), us(90.0), us(99.0), us(100.0));
    }
}

fn executor(core: usize) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(Placement::Fixed(core)).io_memory(0).ring_depth(64)
}

fn cores() -> (usize, usize) {
    let cores = core_affinity::get_core_ids().expect("the allowed cores can be listed");
    (cores[0].id, cores[1 % cores.len()].id)
}

fn through_channels() -> Vec<u64> {
    let (a, b) = cores();
    let (ping, pinged) = shared_channel::new_bounded::<u32>(64);
    let (pong, ponged) = shared_channel::new_bounded::<u32>(64);
    let answering = executor(b)
        .spawn(|| async move {
            // Each end waits for the other: the order is that of the other side.
            let pinged = pinged.connect().await;
            let pong = pong.connect().await;
            while let Some(ping) = pinged.recv().await {
                if pong.try_send(ping).is_err() {
                    return;
                }
            }
        })
        .expect("an executor can be made");
    let asking = executor(a)
        .spawn(|| async move {
            let ping = ping.connect().await;
            let ponged = ponged.connect().await;
            let mut hops = Vec::new();
            for number in 0..PINGS {
                glommio::timer::sleep(PAUSE).await;
                let sent = Instant::now();
                ping.try_send(number).expect("the channel has room for one");
                assert_eq!(ponged.recv().await, Some(number));
                hops.push(sent.elapsed().as_nanos() as u64 / 2);
            }
            hops
        })
        .expect("an executor can be made");
    let hops = asking.join().expect("no panic");
    answering.join().expect("no panic");
    hops
}

fn through_links() -> Vec<u64> {
    let (a, b) = cores();
    let (bell_a, bell_b) = (Arc::<Doorbell>::default(), Arc::<Doorbell>::default());
    let capacity = Capacity { messages: 64, bytes: 1 << 20 };
    let (ping, mut pinged) = link::link::<u32>(capacity, bell_a.clone(), bell_b.clone());
    let (pong, mut ponged) = link::link::<u32>(capacity, bell_b.clone(), bell_a.clone());
    let answering = executor(b)
        .spawn(move || async move {
            let sleeper = Sleeper::new(bell_b);
            let mut left = PINGS;
            while left > 0 {
                sleeper.sleep();
                pinged.arrive(usize::MAX);
                while let Some((number, bytes)) = pinged.take() {
                    pinged.release(bytes);
                    pong.send(number, 1);
                    left -= 1;
                }
            }
        })
        .expect("an executor can be made");
    let asking = executor(a)
        .spawn(move || async move {
            let sleeper = Sleeper::new(bell_a);
            let mut hops = Vec::new();
            for number in 0..PINGS {
                glommio::timer::sleep(PAUSE).await;
                let sent = Instant::now();
                ping.send(number, 1);
                let answer = loop {
                    sleeper.sleep();
                    ponged.arrive(usize::MAX);
                    if let Some((answer, bytes)) = ponged.take() {
                        ponged.release(bytes);
                        break answer;
                    }
                };
                assert_eq!(answer, number);
                hops.push(sent.elapsed().as_nanos() as u64 / 2);
            }
            hops
        })
        .expect("an executor can be made");
    let hops = asking.join().expect("no panic");
    answering.join().expect("no panic");
    hops
}

/// Sleeps as a shard does.
struct Sleeper {
    bell: Arc<Doorbell>,
    wait: EventWait,
    _ring: KernelRing,
}

impl Sleeper {
    fn new(bell: Arc<Doorbell>) -> Self {
        let config = RingConfig { eventfd: true, files: 64, receive_buffers: 16, ..RingConfig::default() };
        let ring = KernelRing::new(&config).expect("a ring can be made");
        let eventfd = ring.eventfd().expect("the configuration asks for one");
        let wait = EventWait::new(eventfd).expect("an eventfd can be duplicated");
        let waker = Waker::new(eventfd).expect("an eventfd can be duplicated");
        bell.connect(move || waker.wake());
        Self { bell, wait, _ring: ring }
    }

    fn sleep(&self) {
        if self.bell.lie_down() {
            self.wait.wait();
        }
        self.bell.answer();
    }
}
