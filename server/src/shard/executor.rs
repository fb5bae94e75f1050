//! A shard's thread: pinned to its core, with a glommio executor that turns the shard.
//!
//! The shard is all that the executor has to run. So when there is nothing to do it sleeps with its whole thread, on the eventfd
//! of its ring: to await that eventfd through the executor's own ring takes two rings and several wake-ups more, which
//! made every message that finds a shard asleep some 30 us later.

use super::{Context, Inbox, ListenerKind, Shard, Turn};
use crate::config::Config;
use crate::ids::{Now, ShardId};
use crate::mesh::{Capacity, Doorbell, Mesh, mesh};
use crate::net::listener::Listener;
use crate::observe::MetricsSlot;
use corecast_protocol::ProtocolError;
use corecast_uring::wake::{EventWait, Waker};
use corecast_uring::{KernelRing, Ring, RingError};
use glommio::{LocalExecutorBuilder, Placement};
use std::hint;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the executor lets a task run before others get their turn: there are none.
///
/// No short time will do. glommio 0.9 goes to sleep with a task that is ready when this timer fires after the executor has
/// armed it and before it runs the first task. A thread that is kept from its core for so long just there, as happens with
/// many shards on a busy core, never turned its shard again.
const PREEMPT_TIMER: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a shard could not start or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error(
        "the executor of shard {shard} could not be made: {reason}; if it is out of memory, its rings lock some: raise LimitMEMLOCK= or `ulimit -l`, or lower --shards"
    )]
    Executor { shard: ShardId, reason: String },
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

/// What a shard begins with.
#[derive(Debug)]
struct Plan {
    config: Config,
    mesh: Mesh,
    metrics: Vec<MetricsSlot>,
    listeners: Vec<ShardListener>,
    /// When time began, for all shards: what one says of time, the others understand.
    began: Instant,
}

/// The other threads' end of a shard.
#[derive(Debug)]
pub struct ShardHandle {
    thread: JoinHandle<()>,
    doorbell: Arc<Doorbell>,
    stop: Arc<AtomicBool>,
}

impl ShardHandle {
    /// Begins to drain.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.doorbell.ring();
    }

    pub fn join(self) -> Result<(), ShardError> {
        self.thread.join().map_err(|_| ShardError::Panicked)
    }
}

/// Starts the shards, each with its listeners, joined by a mesh.
///
/// When one can't be started, those before it go on as they are: each waits for all others before it ends. The caller has no
/// service then, and ends the process.
pub fn spawn_all(
    config: &Config,
    listeners: Vec<Vec<ShardListener>>,
) -> Result<Vec<ShardHandle>, ShardError> {
    let count = u16::try_from(listeners.len()).expect("the configuration was checked");
    let metrics: Vec<MetricsSlot> = (0..count).map(|_| MetricsSlot::new(ProtocolError::RULES)).collect();
    let began = Instant::now();
    mesh(count, Capacity::of(config), (rand::random(), rand::random()))
        .into_iter()
        .zip(listeners)
        .map(|(mesh, listeners)| {
            spawn(Plan { config: config.clone(), mesh, metrics: metrics.clone(), listeners, began })
        })
        .collect()
}

/// Starts a shard on its core: the first shard on the first core that this process may use, and round again when there are
/// more shards than cores. Returns once it accepts connections or can't.
fn spawn(plan: Plan) -> Result<ShardHandle, ShardError> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let shard = plan.mesh.me;
    let core = cores.get(usize::from(shard.0) % cores.len().max(1)).ok_or(ShardError::NoCore)?.id;
    let (report, started) = mpsc::sync_channel(1);
    let doorbell = Arc::clone(plan.mesh.doorbell());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let name = format!("shard-{shard}");
    let thread = std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let executor = LocalExecutorBuilder::new(Placement::Fixed(core))
                .name(&name)
                // Its own ring has next to nothing to do; the data path has another.
                .io_memory(0)
                .ring_depth(64)
                .preempt_timer(PREEMPT_TIMER)
                .make();
            let executor = match executor {
                Ok(executor) => executor,
                Err(error) => {
                    let _ = report.send(Err(ShardError::Executor { shard, reason: error.to_string() }));
                    return;
                }
            };
            executor.run(async move {
                let (began, doorbell) = (plan.began, Arc::clone(plan.mesh.doorbell()));
                let busy_poll = plan.config.busy_poll;
                match prepare(plan) {
                    Ok((shard, ring, wait)) => {
                        let _ = report.send(Ok(()));
                        turn(shard, ring, wait, &doorbell, &stopped, began, busy_poll).await;
                    }
                    Err(error) => {
                        let _ = report.send(Err(error));
                    }
                }
            });
        })
        .map_err(ShardError::Thread)?;
    started.recv().map_err(|_| ShardError::Panicked)??;
    Ok(ShardHandle { thread, doorbell, stop })
}

/// Makes everything that must be made on the shard's own thread.
fn prepare(plan: Plan) -> Result<(Shard, KernelRing, EventWait), ShardError> {
    let Plan { config, mesh, metrics, listeners, .. } = plan;
    let mut ring = KernelRing::new(&config.ring())?;
    let doorbell = Arc::clone(mesh.doorbell());
    let mut shard = Shard::new(&config, mesh, metrics);
    for ShardListener { listener, is_admin } in listeners {
        let is_loopback = listener.is_loopback();
        let kind = match listener.tcp_address() {
            _ if is_admin => ListenerKind::Admin { is_loopback },
            Some(_) => ListenerKind::Tcp { is_loopback },
            None => ListenerKind::Unix,
        };
        let id = listener.add_to(&mut ring);
        shard.add_listener(id, kind);
    }
    let eventfd = ring.eventfd().expect("the configuration asks for one");
    let wait = EventWait::new(eventfd).map_err(ShardError::Eventfd)?;
    let waker = Waker::new(eventfd).map_err(ShardError::Eventfd)?;
    doorbell.connect(move || waker.wake());
    Ok((shard, ring, wait))
}

/// Turns the shard until it is drained. A turn too many does no harm; going to sleep with work left would. The eventfd
/// keeps count, so what completes between the last look and the wait ends the wait at once; and whoever rings the doorbell
/// either finds the shard asleep and signals that eventfd, or keeps it from lying down.
async fn turn(
    mut shard: Shard,
    mut ring: KernelRing,
    wait: EventWait,
    doorbell: &Doorbell,
    stop: &AtomicBool,
    began: Instant,
    busy_poll: Duration,
) {
    let clock = || Now(u64::try_from(began.elapsed().as_nanos()).expect("584 years have not passed"));
    let mut rng = fastrand::Rng::with_seed(rand::random());
    loop {
        let now = clock();
        let is_rung = doorbell.answer();
        let mut inbox = Inbox {
            drain: is_rung && stop.swap(false, Ordering::Acquire),
            arrivals: if is_rung { usize::MAX } else { 0 },
        };
        let mut context = Context { now, clock: &clock, rng: &mut rng, ring: &mut ring };
        let turn = shard.step(&mut context, &mut inbox);
        shard.record_turn(clock().since(now));
        match turn {
            Turn::Busy => glommio::yield_if_needed().await,
            Turn::Idle if finds_work(&ring, doorbell, clock, busy_poll) => {}
            Turn::Idle if doorbell.lie_down() => wait.wait(),
            Turn::Idle => {}
            Turn::Finished => return,
        }
    }
}

/// Looks for work for so long; whether there is some.
fn finds_work(ring: &KernelRing, doorbell: &Doorbell, clock: impl Fn() -> Now, busy_poll: Duration) -> bool {
    if busy_poll.is_zero() {
        return false;
    }
    let began = clock();
    loop {
        if ring.has_work() || doorbell.has_rung() {
            return true;
        }
        if clock().since(began) >= busy_poll {
            return false;
        }
        hint::spin_loop();
    }
}
