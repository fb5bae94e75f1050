//! What connections cost on this machine with nothing around them: the floor under connecting to a server, and under a
//! broadcast to all of it.
//!
//! `pair` has both ends in this process: N bare TCP connections over loopback, accepted and connected by rings with direct
//! descriptors, as many rings on each side as the limit of open files demands. Then the accepting side sends 64 bytes once to
//! each of them, and the connecting side receives them all.
//!
//! `answer` is a trivial WebSocket server: it accepts, answers every handshake, and does nothing else. A load generator
//! that connects to it shows what its own side of a handshake costs.

mod acceptor;
mod connector;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use corecast_uring::{Errno, RingError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Measures bare connects and one send to each, or answers WebSocket handshakes.
#[derive(Parser, Debug)]
struct Options {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand, Debug)]
enum Mode {
    /// Connect N times, send once to each, and print both times as a line of JSON
    Pair {
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
        connections: u32,

        /// Rings (and threads) of each side [default: one per allowed core, or as many as the limit of open files demands]
        #[arg(long)]
        rings: Option<u32>,

        /// Send so often to all of them, one pass after the other
        #[arg(long, default_value_t = 3)]
        passes: u32,
    },
    /// Accept and answer WebSocket handshakes until the process is ended
    Answer {
        #[arg(long, default_value = "127.0.0.1:9001")]
        listen: SocketAddr,

        /// Connections that there will be at most
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
        connections: u32,

        #[arg(long)]
        rings: Option<u32>,
    },
}

#[derive(Debug, thiserror::Error)]
enum FloorError {
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error("{step} failed: {source}")]
    System { step: &'static str, source: std::io::Error },
    #[error("{step} failed: {errno}")]
    Step { step: &'static str, errno: Errno },
    #[error(
        "{rings} rings hold {room} connections at most, RLIMIT_NOFILE being {limit}: give more --rings, or raise it"
    )]
    NoRoom { rings: u32, room: u64, limit: u64 },
    #[error("{done} of {wanted} {what} after {} s without progress", PATIENCE.as_secs())]
    Stalled { what: &'static str, done: u64, wanted: u64 },
}

/// What the threads tell each other.
#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicU32,
    connected: AtomicU32,
    /// Sends that were not taken whole.
    not_sent: AtomicU32,
    received_bytes: AtomicU64,
    /// Passes that are to be sent.
    passes: AtomicU32,
    is_over: AtomicBool,
}

/// How long nothing may happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the numbers are looked at.
const LOOK: Duration = Duration::from_millis(1);
/// Bytes of a send.
const MESSAGE: [u8; 64] = [b'x'; 64];
/// The kernel spreads connections over listeners by hash: the fullest of many gets so much more than its share.
const UNEVEN: f64 = 1.1;
/// Connections from one address: a third of the default range of local ports, where the kernel finds a free one at once.
const PER_SOURCE: u32 = 9_000;

fn main() -> ExitCode {
    match run(Options::parse().mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("connect_floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: Mode) -> Result<(), FloorError> {
    match mode {
        Mode::Pair { connections, rings, passes } => pair(connections, rings, passes),
        Mode::Answer { listen, connections, rings } => {
            let rings = choose_rings(connections, rings)?;
            let acceptors = acceptors(listen, rings, connections, true)?;
            println!("answering on {listen} with {rings} rings");
            let shared = Shared::default();
            thread::scope(|scope| {
                let threads: Vec<_> =
                    acceptors.into_iter().map(|acceptor| scope.spawn(|| acceptor.run(&shared))).collect();
                join(threads)
            })
        }
    }
}

fn pair(connections: u32, rings: Option<u32>, passes: u32) -> Result<(), FloorError> {
    let rings = choose_rings(connections, rings)?;
    let acceptors = acceptors((Ipv4Addr::LOCALHOST, 0).into(), rings, connections, false)?;
    let address = acceptors[0].address;
    let shared = &Shared::default();
    let measured = thread::scope(|scope| {
        let began = Instant::now();
        let mut threads: Vec<_> =
            acceptors.into_iter().map(|acceptor| scope.spawn(|| acceptor.run(shared))).collect();
        threads.extend((0..rings).map(|number| {
            let wanted = connections / rings + u32::from(number < connections % rings);
            scope.spawn(move || connector::Plan { address, number, wanted }.run(shared))
        }));
        let measured = measure(connections, passes, shared, began);
        shared.is_over.store(true, Ordering::Relaxed);
        join(threads).and(measured)
    });
    let (connect_seconds, mut pass_seconds) = measured?;
    pass_seconds.sort_by(f64::total_cmp);
    let median = pass_seconds.get(pass_seconds.len() / 2).copied().unwrap_or_default();
    println!(
        r#"{{"connections":{connections},"rings":{rings},"connect_seconds":{connect_seconds:.3},"connects_per_second":{:.0},"send_to_all_seconds":{median:.3},"not_sent":{}}}"#,
        f64::from(connections) / connect_seconds,
        shared.not_sent.load(Ordering::Relaxed)
    );
    Ok(())
}

fn join(threads: Vec<ScopedJoinHandle<'_, Result<(), FloorError>>>) -> Result<(), FloorError> {
    threads.into_iter().try_for_each(|thread| thread.join().expect("threads do not panic"))
}

/// Seconds until all are connected, and of each pass until all have received it.
fn measure(
    connections: u32,
    passes: u32,
    shared: &Shared,
    began: Instant,
) -> Result<(f64, Vec<f64>), FloorError> {
    let all = u64::from(connections);
    let both_ends = || {
        let ends = [&shared.accepted, &shared.connected].map(|end| end.load(Ordering::Relaxed));
        u64::from(ends[0].min(ends[1]))
    };
    await_count("connections", all, both_ends)?;
    let connect_seconds = began.elapsed().as_secs_f64();
    let mut pass_seconds = Vec::new();
    for pass in 1..=passes {
        let began = Instant::now();
        shared.passes.store(pass, Ordering::Release);
        let wanted = all * u64::from(pass) * MESSAGE.len() as u64;
        await_count("bytes", wanted, || shared.received_bytes.load(Ordering::Relaxed))?;
        pass_seconds.push(began.elapsed().as_secs_f64());
    }
    Ok((connect_seconds, pass_seconds))
}

fn await_count(what: &'static str, wanted: u64, count: impl Fn() -> u64) -> Result<(), FloorError> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let done = count();
        if done >= wanted {
            return Ok(());
        }
        if done != last {
            (last, since) = (done, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Err(FloorError::Stalled { what, done, wanted });
        }
        thread::sleep(LOOK);
    }
}

/// As many rings as were asked for, or as the limit of open files demands for their tables.
fn choose_rings(connections: u32, given: Option<u32>) -> Result<u32, FloorError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if is_raised { maximum } else { current }.unwrap_or(1 << 20);
    let needed = (f64::from(connections) * UNEVEN / limit as f64).ceil() as u32;
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let rings = given.unwrap_or_else(|| cores.max(needed)).max(1);
    let room = limit * u64::from(rings);
    if rings < needed { Err(FloorError::NoRoom { rings, room, limit }) } else { Ok(rings) }
}

fn acceptors(
    address: SocketAddr,
    rings: u32,
    connections: u32,
    answers: bool,
) -> Result<Vec<acceptor::Plan>, FloorError> {
    // With few rings the shares may differ by more, and memory does not matter.
    let table = (f64::from(connections) * UNEVEN / f64::from(rings)) as u32 + 4_000;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20).min(1 << 20) as u32;
    let first = acceptor::Plan::new(address, table.min(limit), answers)?;
    let address = first.address;
    let others = (1..rings).map(|_| acceptor::Plan::new(address, table.min(limit), answers));
    std::iter::once(Ok(first)).chain(others).collect()
}
