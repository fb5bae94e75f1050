//! What a send costs on this machine with nothing around it: the floor under every broadcast.
//!
//! One pass sends the same bytes once to each of N loopback connections, the way a broadcast without framing, topics or
//! bookkeeping would. Two ways take turns: a loop of `send(2)`, and `Ring::send_batch` as the server uses it. A thread on
//! another core empties all sockets and polls without sleeping, so that no send pays for waking it. Only the passes are
//! timed; between two of them the sender waits until everything has been read, so every send finds an empty socket.
//!
//! With `--seconds` there is only the loop of `send(2)`, which never waits: a load that keeps a core busy with nothing but
//! sends, to prove a meter of busy time on.

mod receiver;
mod senders;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use core_affinity::CoreId;
use corecast_uring::RingError;
use receiver::Receiver;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use senders::{RingBatch, SendLoop, Sender};

/// Measures a plain send() loop beside io_uring batches, in microseconds a send.
#[derive(Parser, Debug)]
struct Options {
    /// Connections of each of the two ways; as many descriptors for the ring's table, three times as many for the process (with
    /// --ring-only, as many)
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,

    /// Bytes of a send; repeat it for more sizes
    #[arg(long, default_values_t = [64, 16 * 1024], value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    bytes: Vec<u32>,

    /// Passes over all connections in one measurement
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    passes: u32,

    /// Measurements of each way and size, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,

    /// Run only the loop of send(2) for so long, with the first of the sizes, without waiting for the receiver: says
    /// when it starts and how many sends it made, a line of JSON each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: Option<u32>,

    /// Only the ring, which leaves room for three times the connections below RLIMIT_NOFILE
    #[arg(long, conflicts_with = "seconds")]
    ring_only: bool,

    /// Print only the medians, a line of JSON for each size
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum FloorError {
    #[error(
        "this process may use {cores} core; sender and receiver need one each: widen the cpuset or the affinity"
    )]
    Cores { cores: usize },
    #[error(
        "{needed} open files are needed, RLIMIT_NOFILE is {limit}: raise it (ulimit -n {needed}) or lower --connections"
    )]
    OpenFiles { needed: u64, limit: u64 },
    #[error(transparent)]
    Ring(#[from] RingError),
    #[error("{step} failed: {source}")]
    System { step: &'static str, source: io::Error },
    #[error("the receiver has read {read} of {sent} bytes and no more for {}: is its core taken?", PATIENCE.as_secs())]
    Stalled { read: u64, sent: u64 },
    #[error("a send failed: {0}")]
    Broken(io::Error),
}

impl FloorError {
    fn system(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { step, source }
    }
}

/// How long the receiver may take to empty the sockets after a pass.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("send_floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), FloorError> {
    let [sending, receiving] = two_cores()?;
    raise_open_files(options)?;
    core_affinity::set_for_current(sending);

    let mut streams = Vec::new();
    let mut send_loop =
        (!options.ring_only).then(|| SendLoop::connect(options.connections, &mut streams)).transpose()?;
    if let (Some(seconds), Some(send_loop)) = (options.seconds, &mut send_loop) {
        let mut receiver = Receiver::start(streams, receiving)?;
        return send_for(Duration::from_secs(seconds.into()), send_loop, options, &mut receiver);
    }
    let mut ring_batch = RingBatch::connect(options.connections, &mut streams)?;
    let mut receiver = Receiver::start(streams, receiving)?;

    let shown = !options.json;
    if shown {
        print_head(options, sending, receiving);
    }
    for &bytes in &options.bytes {
        let message = vec![b'x'; bytes as usize];
        if shown {
            println!(
                "\n{bytes} bytes a send\n  round   send() us   ring us   ring / send()   sends not whole"
            );
        }
        let (mut plain, mut ring) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            // Who goes first alternates, so that neither always finds what the other left.
            for is_ring in [round % 2 == 1, round % 2 == 0] {
                if is_ring {
                    ring.push(measure(&mut ring_batch, &message, options, &mut receiver)?);
                } else if let Some(send_loop) = &mut send_loop {
                    plain.push(measure(send_loop, &message, options, &mut receiver)?);
                }
            }
            if shown {
                print_row(&(round + 1).to_string(), plain.last(), ring.last());
            }
        }
        let (plain, ring) = (Measurement::median(plain), Measurement::median(ring));
        if shown {
            print_row("median", plain.as_ref(), ring.as_ref());
        } else {
            print_json(bytes, plain.as_ref(), ring.as_ref());
        }
    }
    Ok(())
}

fn print_head(options: &Options, sending: CoreId, receiving: CoreId) {
    println!(
        "{} connections, {} passes a measurement, sender on core {}, receiver on core {}, load average {}",
        options.connections,
        options.passes,
        sending.id,
        receiving.id,
        load_average()
    );
}

/// Sends without a pause, so that the core is never idle for a reason of ours.
fn send_for(
    time: Duration,
    sender: &mut SendLoop,
    options: &Options,
    receiver: &mut Receiver,
) -> Result<(), FloorError> {
    let message = vec![b'x'; options.bytes[0] as usize];
    let mut bytes = 0;
    let mut not_whole = 0;
    let mut passes = 0;
    println!(r#"{{"event":"sending"}}"#);
    let start = Instant::now();
    while start.elapsed() < time {
        let taken = sender.pass(&message)?;
        bytes += taken.bytes;
        not_whole += taken.not_whole;
        passes += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let sends = passes * u64::from(options.connections);
    println!(r#"{{"event":"sent","sends":{sends},"seconds":{seconds:.3},"not_whole":{not_whole}}}"#);
    receiver.await_bytes(bytes)
}

fn print_row(name: &str, plain: Option<&Measurement>, ring: Option<&Measurement>) {
    let shown = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), |us| format!("{us:.3}"));
    let [plain_us, ring_us] = [plain, ring].map(|way| way.map(|way| way.send_us));
    let ratio = plain_us.zip(ring_us).map(|(plain_us, ring_us)| ring_us / plain_us);
    println!(
        "  {name:<6}  {:>9}  {:>8}  {:>14}  {:>16}",
        shown(plain_us),
        shown(ring_us),
        shown(ratio),
        not_whole(plain, ring)
    );
}

/// The way that was left out is null.
fn print_json(bytes: u32, plain: Option<&Measurement>, ring: Option<&Measurement>) {
    let [send_us, ring_us] =
        [plain, ring].map(|way| way.map_or_else(|| "null".to_owned(), |way| format!("{:.3}", way.send_us)));
    let not_whole = not_whole(plain, ring);
    println!(r#"{{"bytes":{bytes},"send_us":{send_us},"ring_us":{ring_us},"not_whole":{not_whole}}}"#);
}

fn not_whole(plain: Option<&Measurement>, ring: Option<&Measurement>) -> u64 {
    [plain, ring].into_iter().flatten().map(|way| way.not_whole).sum()
}

/// What some passes of one way cost.
#[derive(Clone, Copy, Debug)]
struct Measurement {
    /// Time of a send, in microseconds.
    send_us: f64,
    /// Sends of which the socket took only a part, or nothing. Anything but zero makes the time one of something else.
    not_whole: u64,
}

impl Measurement {
    /// The median time, of two in the middle the lower one; all sends that were not whole. None of nothing.
    fn median(mut measurements: Vec<Self>) -> Option<Self> {
        measurements.sort_by(|a, b| a.send_us.total_cmp(&b.send_us));
        let middle = *measurements.get(measurements.len().checked_sub(1)? / 2)?;
        Some(Self { not_whole: measurements.iter().map(|measurement| measurement.not_whole).sum(), ..middle })
    }
}

fn measure(
    sender: &mut impl Sender,
    message: &[u8],
    options: &Options,
    receiver: &mut Receiver,
) -> Result<Measurement, FloorError> {
    // One pass that does not count: buffers grow to the message's size, caches fill.
    receiver.await_bytes(sender.pass(message)?.bytes)?;
    let mut time = Duration::ZERO;
    let mut not_whole = 0;
    for _ in 0..options.passes {
        let start = Instant::now();
        let taken = sender.pass(message)?;
        time += start.elapsed();
        not_whole += taken.not_whole;
        receiver.await_bytes(taken.bytes)?;
    }
    let sends = f64::from(options.passes) * f64::from(options.connections);
    Ok(Measurement { send_us: time.as_secs_f64() * 1e6 / sends, not_whole })
}

fn two_cores() -> Result<[CoreId; 2], FloorError> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    match cores[..] {
        [sending, receiving, ..] => Ok([sending, receiving]),
        _ => Err(FloorError::Cores { cores: cores.len() }),
    }
}

/// Raises the soft limit to the hard one and checks that it suffices.
fn raise_open_files(options: &Options) -> Result<(), FloorError> {
    const OTHERS: u64 = 64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .map_err(|errno| FloorError::System { step: "raising RLIMIT_NOFILE", source: errno.into() })?;
    // The far ends of the ring, both ends of the send loop.
    let of_connection = if options.ring_only { 1 } else { 3 };
    let needed = of_connection * u64::from(options.connections) + OTHERS;
    match maximum {
        Some(limit) if limit < needed => Err(FloorError::OpenFiles { needed, limit }),
        _ => Ok(()),
    }
}

/// The last minute's, as a hint whether the machine was busy with something else.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|first| !first.is_empty()).unwrap_or("unknown").to_owned()
}
