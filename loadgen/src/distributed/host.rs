//! The coordinator's end of the connection to one worker.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::clock::now_ns;
use crate::distributed::clocks::{Estimate, Exchange, PROBES};
use crate::distributed::line::{MOST_ANSWER_BYTES, Reader, Writer, greet};
use crate::distributed::protocol::{Answer, Order};
use crate::distributed::{DEFAULT_PORT, LONGEST_SILENCE};
use crate::run::crew::{Awaited, Resources, Tally};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that has nothing to do is asked for the time so often, as a sign of life.
const SIGN_OF_LIFE_NS: u64 = 1_000_000_000;

/// Everybody's writers, when all are there.
pub(super) type Peers = Arc<OnceLock<Vec<Arc<Writer>>>>;

/// Ends with its owner.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: String,
    pub(super) peer: SocketAddr,
    pub(super) writer: Arc<Writer>,
    /// All that the reader does not take itself.
    answers: mpsc::Receiver<Answer>,
    state: Arc<State>,
}

/// What the thread that reads keeps.
#[derive(Debug, Default)]
struct State {
    progress: Mutex<Progress>,
    /// Probes without an answer.
    asked: Mutex<HashMap<u32, u64>>,
    exchanges: Mutex<Vec<Exchange>>,
    next_probe: AtomicU32,
    probed_ns: AtomicU64,
    heard_ns: AtomicU64,
    /// Why the connection is over.
    end: Mutex<Option<String>>,
}

/// The latest of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) tally: Tally,
    pub(super) published: u64,
    /// Not known while messages are published.
    pub(super) awaited: Option<Awaited>,
    pub(super) resources: Resources,
}

impl Link {
    /// Connects and greets. What the worker tells of its publishers is passed on to `peers`.
    pub(super) fn connect(address: &str, peers: &Peers) -> Result<Self, String> {
        let peer = resolve(address)?;
        let stream = TcpStream::connect_timeout(&peer, CONNECT_TIMEOUT)
            .map_err(|error| format!("cannot connect: {error}; does `corecast-load worker` listen there?"))?;
        let (writer, reader) = greet(stream, MOST_ANSWER_BYTES).map_err(|error| error.to_string())?;
        let writer = Arc::new(writer);
        let state = Arc::new(State { heard_ns: AtomicU64::new(now_ns()), ..State::default() });
        let (sender, answers) = mpsc::channel();
        let reading = Reading {
            state: Arc::clone(&state),
            writer: Arc::clone(&writer),
            peers: Arc::clone(peers),
            answers: sender,
        };
        thread::spawn(move || reading.run(reader));
        Ok(Self { address: address.to_owned(), peer, writer, answers, state })
    }

    /// One that cannot be sent is not: why the connection is over is known to the thread that reads, or soon will be.
    pub(super) fn send(&self, order: &Order) {
        let _ = self.writer.send(order);
    }

    /// The next answer that is meant, by what `take` makes of it. Others are out of place.
    pub(super) fn expect<T>(&self, take: impl Fn(Answer) -> Option<T>) -> Result<T, String> {
        loop {
            match self.answers.recv_timeout(Duration::from_nanos(SIGN_OF_LIFE_NS)) {
                Ok(answer) => {
                    return take(answer).ok_or_else(|| "it answered what was not asked".to_owned());
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.state.probe(&self.writer),
                Err(mpsc::RecvTimeoutError::Disconnected) => {}
            }
            if let Some(cause) = self.end() {
                return Err(cause);
            }
        }
    }

    /// Why nothing more is to come from there, if so.
    pub(super) fn end(&self) -> Option<String> {
        let end = lock(&self.state.end).clone();
        let silent_ns = now_ns().saturating_sub(self.state.heard_ns.load(Ordering::Relaxed));
        let is_silent = silent_ns > LONGEST_SILENCE.as_nanos() as u64;
        end.or_else(|| {
            is_silent.then(|| format!("nothing was heard of it for {} s", LONGEST_SILENCE.as_secs()))
        })
    }

    pub(super) fn progress(&self) -> Progress {
        *lock(&self.state.progress)
    }

    /// It has so many workers, of which nothing is known yet.
    pub(super) fn set_workers(&self, workers: usize) {
        lock(&self.state.progress).tally.workers = workers;
    }

    /// How far its clock is ahead.
    pub(super) fn estimate_clock(&self) -> Result<Estimate, String> {
        lock(&self.state.exchanges).clear();
        for number in 1..=PROBES as usize {
            self.state.probe(&self.writer);
            while lock(&self.state.exchanges).len() < number {
                if let Some(cause) = self.end() {
                    return Err(cause);
                }
                // Short against a round trip over a network. The answer's time is taken by the thread that reads.
                thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(Estimate::of(&lock(&self.state.exchanges)).expect("there are probes"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.writer.shut_down();
    }
}

impl State {
    fn probe(&self, writer: &Writer) {
        let number = self.next_probe.fetch_add(1, Ordering::Relaxed);
        let mut asked = lock(&self.asked);
        let now = now_ns();
        asked.insert(number, now);
        drop(asked);
        self.probed_ns.store(now, Ordering::Relaxed);
        let _ = writer.send(&Order::Probe { number });
    }
}

/// The thread that reads.
struct Reading {
    state: Arc<State>,
    writer: Arc<Writer>,
    peers: Peers,
    answers: mpsc::Sender<Answer>,
}

impl Reading {
    fn run(self, mut reader: Reader) {
        let end = loop {
            let answer = reader.next();
            let now = now_ns();
            self.state.heard_ns.store(now, Ordering::Relaxed);
            match answer {
                Ok(Answer::Clock { number, now_ns: answered_ns }) => {
                    if let Some(sent_ns) = lock(&self.state.asked).remove(&number) {
                        let exchange = Exchange { sent_ns, answered_ns, received_ns: now };
                        lock(&self.state.exchanges).push(exchange);
                    }
                }
                Ok(Answer::Progress { tally, published, awaited, resources }) => {
                    *lock(&self.state.progress) = Progress { tally, published, awaited, resources };
                    if now.saturating_sub(self.state.probed_ns.load(Ordering::Relaxed)) > SIGN_OF_LIFE_NS {
                        self.state.probe(&self.writer);
                    }
                }
                Ok(Answer::Facts(facts)) => {
                    let order = Order::Facts(facts);
                    for peer in self.peers.get().into_iter().flatten() {
                        if !Arc::ptr_eq(peer, &self.writer) {
                            let _ = peer.send(&order);
                        }
                    }
                }
                Ok(Answer::Failed { cause }) => break cause,
                Ok(Answer::Busy) => break "it is busy with another coordinator's run".to_owned(),
                Ok(answer) => {
                    // Nobody waits any more: then nobody is interested.
                    let _ = self.answers.send(answer);
                }
                Err(error) => break error.to_string(),
            }
        };
        lock(&self.state.end).get_or_insert(end);
    }
}

/// The first address of a name, with the usual port unless one is given.
fn resolve(address: &str) -> Result<SocketAddr, String> {
    let is_bare = address.parse::<std::net::IpAddr>().is_ok();
    let has_port = !is_bare && address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let found = match has_port {
        true => address.to_socket_addrs(),
        false => (address.trim_matches(['[', ']']), DEFAULT_PORT).to_socket_addrs(),
    };
    let first = found.map_err(|error| format!("the name cannot be resolved: {error}"))?.next();
    first.ok_or_else(|| "the name has no address".to_owned())
}

/// Nothing is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_may_be_left_out() {
        let resolved = |address| resolve(address).map(|address| address.to_string());
        assert_eq!(resolved("127.0.0.1"), Ok("127.0.0.1:9003".to_owned()));
        assert_eq!(resolved("127.0.0.1:7"), Ok("127.0.0.1:7".to_owned()));
        assert_eq!(resolved("::1"), Ok("[::1]:9003".to_owned()));
        assert_eq!(resolved("[::1]"), Ok("[::1]:9003".to_owned()));
        assert_eq!(resolved("[::1]:7"), Ok("[::1]:7".to_owned()));
    }
}
