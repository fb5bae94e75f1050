//! A shard's thread: pinned to its core, with a glommio executor that turns the shard and sleeps when there is nothing to do.

use super::{Context, Inbox, Shard, Turn};
use crate::config::Config;
use crate::ids::Now;
use crate::net::listener::Listener;
use corecast_uring::wake::{EventWait, Waker};
use corecast_uring::{KernelRing, RingConfig, RingError};
use glommio::{LocalExecutorBuilder, Placement};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Why a shard could not start or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(
        "the shard's executor could not be made: {0}; if it is out of memory, its rings lock some: raise LimitMEMLOCK= or `ulimit -l`"
    )]
    Executor(String),
    #[error("no core is allowed to this process; check its cpuset")]
    NoCore,
    #[error("the shard's thread could not be made: {0}")]
    Thread(io::Error),
    #[error("the shard's eventfd could not be duplicated: {0}; raise LimitNOFILE= or `ulimit -n`")]
    Eventfd(io::Error),
    #[error("the shard's thread ended unexpectedly; the log above says why")]
    Panicked,
}

/// A listener that a shard is to serve.
#[derive(Debug)]
pub struct ShardListener {
    pub listener: Listener,
    pub is_admin: bool,
}

/// The other threads' end of a shard.
#[derive(Debug)]
pub struct ShardHandle {
    thread: JoinHandle<()>,
    waker: Waker,
}

impl ShardHandle {
    pub fn stop(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub fn join(self) -> Result<(), ShardError> {
        self.thread.join().map_err(|_| ShardError::Panicked)
    }
}

/// Starts a shard on the first core that this process may use. Returns once it accepts connections or can't.
pub fn spawn(
    config: Config,
    ring: RingConfig,
    listeners: Vec<ShardListener>,
    stop: Arc<AtomicBool>,
) -> Result<ShardHandle, ShardError> {
    let core = core_affinity::get_core_ids().unwrap_or_default().first().ok_or(ShardError::NoCore)?.id;
    let (report, started) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("shard-0".into())
        .spawn(move || {
            let executor = LocalExecutorBuilder::new(Placement::Fixed(core))
                .name("shard-0")
                // Its own ring only wakes us up and runs timers; the data path has another.
                .io_memory(0)
                .ring_depth(64)
                .make();
            let executor = match executor {
                Ok(executor) => executor,
                Err(error) => {
                    let _ = report.send(Err(ShardError::Executor(error.to_string())));
                    return;
                }
            };
            executor.run(async move {
                match prepare(&config, &ring, listeners) {
                    Ok((shard, ring, wait, waker)) => {
                        let _ = report.send(Ok(waker));
                        turn(shard, ring, wait, &stop).await;
                    }
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            });
        })
        .map_err(ShardError::Thread)?;
    let waker = started.recv().map_err(|_| ShardError::Panicked)??;
    Ok(ShardHandle { thread, waker })
}

/// Makes everything that must be made on the shard's own thread.
fn prepare(
    config: &Config,
    ring_config: &RingConfig,
    listeners: Vec<ShardListener>,
) -> Result<(Shard, KernelRing, EventWait, Waker), ShardError> {
    let mut ring = KernelRing::new(ring_config)?;
    let mut shard = Shard::new(config);
    for ShardListener { listener, is_admin } in listeners {
        let is_loopback = listener.is_loopback();
        let id = listener.add_to(&mut ring);
        shard.add_listener(id, is_admin, is_loopback);
    }
    let eventfd = ring.eventfd().expect("the configuration asks for one");
    let wait = EventWait::new(eventfd).map_err(ShardError::Eventfd)?;
    let waker = Waker::new(eventfd).map_err(ShardError::Eventfd)?;
    Ok((shard, ring, wait, waker))
}

/// Turns the shard until it is drained. A turn too many does no harm; going to sleep with work left would. The eventfd
/// keeps count, so what completes between the last look and the wait ends the wait at once.
async fn turn(mut shard: Shard, mut ring: KernelRing, wait: EventWait, stop: &AtomicBool) {
    let started = Instant::now();
    let clock = || Now(u64::try_from(started.elapsed().as_nanos()).expect("584 years have not passed"));
    let mut rng = fastrand::Rng::with_seed(rand::random());
    let mut inbox = Inbox::default();
    loop {
        let now = clock();
        inbox.drain = stop.swap(false, Ordering::Acquire);
        let mut context = Context { now, clock: &clock, rng: &mut rng, ring: &mut ring };
        let turn = shard.step(&mut context, &mut inbox);
        shard.record_turn(clock().since(now));
        match turn {
            Turn::Busy => glommio::yield_if_needed().await,
            Turn::Idle => wait.wait().await,
            Turn::Finished => return,
        }
    }
}
