//! One connection of a worker: its socket's stage on the ring, and the peer that speaks over it.

use corecast_uring::{Domain, File, Op, SocketOption};

use crate::client::Client;
use crate::http_publisher::HttpPublisher;
use crate::scenario::Scenario;

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
}

/// Who speaks.
#[derive(Debug)]
pub(crate) enum Peer {
    Subscriber(Client),
    Publisher(Client),
    /// Boxed: rare beside a million subscribers.
    Poster(Box<HttpPublisher>),
}

/// A socket in the ring's table, and what waits to be sent on it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stage: Stage,
    /// `None` before the socket is made and after it is closed.
    pub(crate) file: Option<File>,
    /// Counts reconnections: completions of an earlier socket are recognised by it.
    pub(crate) generation: u32,
    pub(crate) started_ns: u64,
    pub(crate) out: Vec<u8>,
    /// The socket was full; its next room is being waited for.
    pub(crate) blocked: bool,
    /// Already on the worker's list of sockets with something to send.
    pub(crate) listed: bool,
    /// The peer became open at some time.
    pub(crate) was_open: bool,
    /// A receive is armed.
    pub(crate) is_receiving: bool,
}

/// How far a socket is. Only forward, but for connections that are made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    Creating,
    /// This step of [`preparation`] is being done.
    Preparing(u8),
    /// Connected: bytes flow.
    Up,
    /// Our Close frame at the end of the run waits for its answer.
    Closing,
    /// Failed or closed: what still arrives is dropped.
    Down,
}

impl Endpoint {
    pub(crate) fn new(peer: Peer) -> Self {
        let socket = Socket {
            stage: Stage::New,
            file: None,
            generation: 0,
            started_ns: 0,
            out: Vec::new(),
            blocked: false,
            listed: false,
            was_open: false,
            is_receiving: false,
        };
        Self { socket, peer }
    }

    /// Queues a Ping frame that carries the time. False when there is no open WebSocket.
    pub(crate) fn ping(&mut self, now_ns: u64) -> bool {
        let Self { peer: Peer::Subscriber(client) | Peer::Publisher(client), socket } = self else {
            return false;
        };
        socket.stage == Stage::Up && client.ping(now_ns, &mut socket.out)
    }

    pub(crate) fn is_subscriber(&self) -> bool {
        matches!(self.peer, Peer::Subscriber(_))
    }
}

impl Socket {
    /// # Panics
    /// When there is no socket: operations are only asked of one that was made.
    pub(crate) fn open_file(&self) -> File {
        self.file.expect("an operation needs a socket")
    }
}

pub(crate) fn creation(scenario: &Scenario, is_subscriber: bool) -> Op {
    let target = if is_subscriber { &scenario.subscribe } else { &scenario.publish };
    Op::Socket { domain: if target.address.is_ipv4() { Domain::Ipv4 } else { Domain::Ipv6 } }
}

/// The operations between a new socket and a connected one, by number; the last is the connect. `subscriber` is its
/// number, if it is one; `index` spreads connections over the source addresses.
pub(crate) fn preparation(
    scenario: &Scenario,
    subscriber: Option<u32>,
    index: usize,
    file: File,
    step: u8,
) -> Option<Op> {
    let target = if subscriber.is_some() { &scenario.subscribe } else { &scenario.publish };
    let source = match scenario.sources.len() {
        0 => None,
        count => Some(scenario.sources[index % count]),
    };
    let option = |option| Op::SetOption { file, option };
    let steps = [
        subscriber
            .and_then(|subscriber| scenario.receive_buffer_of(subscriber))
            .map(|bytes| option(SocketOption::ReceiveBuffer(bytes))),
        // A message that is due must not wait for the acknowledgement of the one before.
        subscriber.is_none().then_some(option(SocketOption::NoDelay)),
        // Without it a bound address uses up one local port for all destinations.
        source.map(|_| option(SocketOption::BindAddressNoPort)),
        source.map(|source| Op::Bind { file, address: (source, 0).into() }),
        Some(Op::Connect { file, address: target.address }),
    ];
    steps.into_iter().flatten().nth(usize::from(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(scenario: &Scenario, is_subscriber: bool, index: usize) -> Vec<Op> {
        let subscriber = is_subscriber.then_some(index as u32);
        (0..).map_while(|step| preparation(scenario, subscriber, index, File(3), step)).collect()
    }

    #[test]
    fn a_plain_subscriber_only_connects() {
        let connect = Op::Connect { file: File(3), address: "127.0.0.1:9001".parse().unwrap() };
        assert_eq!(steps(&Scenario::of(&[]), true, 0), [connect]);
    }

    #[test]
    fn a_publisher_sends_at_once() {
        let ops = steps(&Scenario::of(&[]), false, 0);
        assert_eq!(ops[0], Op::SetOption { file: File(3), option: SocketOption::NoDelay });
        assert_eq!(ops.len(), 2);
    }

    #[test]
    fn sources_are_taken_in_turn() {
        let scenario =
            Scenario::of(&["--source", "127.0.0.2", "--source", "127.0.0.3", "--receive-buffer", "4KiB"]);
        let ops = steps(&scenario, true, 3);
        assert_eq!(ops[0], Op::SetOption { file: File(3), option: SocketOption::ReceiveBuffer(4_096) });
        assert_eq!(ops[1], Op::SetOption { file: File(3), option: SocketOption::BindAddressNoPort });
        assert_eq!(ops[2], Op::Bind { file: File(3), address: "127.0.0.3:0".parse().unwrap() });
        assert!(matches!(ops[3], Op::Connect { .. }));
        assert_eq!(ops.len(), 4);
    }
}
