//! `corecast-load worker`: waits for coordinators, and takes part in one run after the other.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::clock::now_ns;
use crate::distributed::line::{LineError, MOST_ORDER_BYTES, greet};
use crate::distributed::protocol::Answer;
use crate::distributed::session::{Session, read_orders};

const LOOK: Duration = Duration::from_millis(20);
/// How long a coordinator may take to end the connection when everything is said.
const MOST_LOOKS_FOR_END: u32 = 250;

/// The command line of `corecast-load worker`, as given.
#[derive(Clone, Debug, Parser)]
#[command(name = "corecast-load worker")]
pub struct WorkerOptions {
    /// Where coordinators connect to
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9003")]
    pub listen: SocketAddr,
}

/// A worker process's listening end.
#[derive(Debug)]
pub struct WorkerServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl WorkerServer {
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(options: &WorkerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves one coordinator at a time until `stop` is set; others are told that it is busy. `log` gets a line for what
    /// happens.
    pub fn serve(&self, stop: &AtomicBool, log: &(dyn Fn(&str) + Sync)) {
        let is_busy = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            while !stop.load(Ordering::Relaxed) {
                match self.listener.accept() {
                    Ok((stream, peer)) => {
                        let is_busy = &is_busy;
                        scope.spawn(move || {
                            if let Err(cause) = attend(&stream, peer, is_busy, stop, log) {
                                log(&format!("{peer}: {cause}"));
                            }
                        });
                    }
                    // What there is to accept may be gone again, or descriptors may be short for a while.
                    Err(_) => thread::sleep(LOOK),
                }
            }
        });
    }
}

/// One coordinator, from greeting to end.
fn attend(
    stream: &TcpStream,
    peer: SocketAddr,
    is_busy: &AtomicBool,
    stop: &AtomicBool,
    log: &(dyn Fn(&str) + Sync),
) -> Result<(), LineError> {
    stream.set_nonblocking(false)?;
    let (writer, reader) = greet(stream.try_clone()?, MOST_ORDER_BYTES)?;
    if is_busy.swap(true, Ordering::Acquire) {
        writer.send(&Answer::Busy)?;
        return Ok(());
    }
    log(&format!("{peer}: takes part in a run"));
    let heard_ns = AtomicU64::new(now_ns());
    let (sender, orders) = mpsc::channel();
    thread::scope(|scope| {
        let (writer, heard_ns) = (&writer, &heard_ns);
        let reading = scope.spawn(move || read_orders(reader, writer, sender, heard_ns));
        let session = Session { writer, orders: &orders, heard_ns, stop };
        let result = session.run();
        // Before the coordinator knows: it may begin its next run at once.
        is_busy.store(false, Ordering::Release);
        let last = match result {
            Ok(()) => {
                log(&format!("{peer}: done"));
                writer.send(&Answer::Done)
            }
            Err(cause) => {
                log(&format!("{peer}: {cause}"));
                writer.send(&Answer::Failed { cause })
            }
        };
        // What is unread when a socket is closed takes with it what the other side has not read.
        let mut looks = 0;
        while last.is_ok() && !reading.is_finished() && looks < MOST_LOOKS_FOR_END {
            looks += 1;
            thread::sleep(LOOK);
        }
        writer.shut_down();
    });
    Ok(())
}
