//! What the tests share: a ring with its leftovers, and connections to it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use corecast_uring::{
    Completion, Errno, File, Gather, KernelRing, ListenerId, Op, Ring, RingConfig, Send, SendOutcome, Token,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ACCEPT: u8 = 1;
pub(crate) const RECEIVE: u8 = 2;
pub(crate) const POLL: u8 = 3;
pub(crate) const ADDRESS: u8 = 4;
pub(crate) const SHUTDOWN: u8 = 5;
pub(crate) const CANCEL: u8 = 6;
pub(crate) const CLOSE: u8 = 7;
pub(crate) const TIMEOUT: u8 = 8;
pub(crate) const SOCKET: u8 = 9;
pub(crate) const OPTION: u8 = 10;
pub(crate) const BIND: u8 = 11;
pub(crate) const CONNECT: u8 = 12;

/// A ring with the completions that a test has not asked for yet.
pub(crate) struct Bench {
    pub(crate) ring: KernelRing,
    pub(crate) waiting: Vec<Completion>,
}

pub(crate) fn config() -> RingConfig {
    RingConfig {
        submission_entries: 64,
        completion_entries: 256,
        files: 64,
        receive_buffers: 16,
        receive_buffer_bytes: 4096,
        eventfd: false,
        ..RingConfig::default()
    }
}

pub(crate) fn token(kind: u8, file: File) -> Token {
    Token::new(kind, file.0, 7)
}

impl Bench {
    pub(crate) fn new(config: RingConfig) -> Self {
        Self { ring: KernelRing::new(&config).expect("a ring on this machine"), waiting: Vec::new() }
    }

    /// The next completion of this kind; others are kept in order.
    pub(crate) fn next(&mut self, kind: u8) -> Completion {
        loop {
            if let Some(at) = self.waiting.iter().position(|completion| completion.token.kind() == kind) {
                return self.waiting.remove(at);
            }
            let before = self.waiting.len();
            self.ring.wait(Some(PATIENCE), &mut self.waiting);
            assert!(
                self.waiting.len() > before,
                "no completion of kind {kind}; there are {:?}",
                self.waiting
            );
        }
    }

    pub(crate) fn run(&mut self, kind: u8, file: File, op: Op) -> Completion {
        self.ring.push(token(kind, file), op);
        self.next(kind)
    }

    pub(crate) fn listen(&mut self, listener: impl Into<OwnedFd>) -> ListenerId {
        let listener = self.ring.add_listener(listener.into());
        self.ring.push(Token::new(ACCEPT, 0, 7), Op::Accept { listener });
        listener
    }

    pub(crate) fn listen_ipv4(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        self.listen(listener);
        address
    }

    pub(crate) fn accept(&mut self) -> File {
        let completion = self.next(ACCEPT);
        assert!(completion.more, "the accept goes on: {completion:?}");
        File(completion.result.expect("a connection"))
    }

    /// A connection: the ring's end and the far end.
    pub(crate) fn pair(&mut self) -> (File, TcpStream) {
        let address = self.listen_ipv4();
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        (self.accept(), peer)
    }

    /// Like `pair`, over a Unix socket: what one end writes has arrived at the other when the write returns.
    pub(crate) fn pair_unix(&mut self) -> (File, UnixStream) {
        self.pairs_unix(1).remove(0)
    }

    pub(crate) fn pairs_unix(&mut self, count: usize) -> Vec<(File, UnixStream)> {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-uring-{}-{number}", std::process::id());
        let address = UnixAddress::from_abstract_name(name).unwrap();
        self.listen(UnixListener::bind_addr(&address).unwrap());
        let connect = |_| {
            let peer = UnixStream::connect_addr(&address).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            (self.accept(), peer)
        };
        (0..count).map(connect).collect()
    }

    pub(crate) fn send(&mut self, file: File, bytes: &[u8]) -> Result<u32, Errno> {
        let mut outcomes = Vec::new();
        self.ring.send_batch([Send { file, bytes }].into_iter(), &mut outcomes);
        only_outcome(&outcomes, bytes.len())
    }

    pub(crate) fn gather(&mut self, file: File, parts: &[&[u8]]) -> Result<u32, Errno> {
        let mut outcomes = Vec::new();
        self.ring.send_gathered([Gather { file, parts }].into_iter(), &mut outcomes);
        only_outcome(&outcomes, parts.iter().map(|part| part.len()).sum())
    }

    /// Sends until the socket takes no more; returns what it took.
    pub(crate) fn fill(&mut self, file: File) -> Vec<u8> {
        let mut taken = Vec::new();
        for _ in 0..1_000 {
            let chunk: Vec<u8> = (0..1 << 18).map(|n: usize| ((taken.len() + n) % 251) as u8).collect();
            match self.send(file, &chunk) {
                Ok(count) => taken.extend_from_slice(&chunk[..count as usize]),
                Err(Errno::EAGAIN) => return taken,
                Err(errno) => panic!("{errno}"),
            }
        }
        panic!("the socket takes bytes without end");
    }

    pub(crate) fn close(&mut self, file: File) {
        assert_eq!(self.run(CLOSE, file, Op::Close { file }).result, Ok(0));
    }
}

/// What one send of so many bytes has come to.
fn only_outcome(outcomes: &[SendOutcome], whole: usize) -> Result<u32, Errno> {
    match outcomes {
        [] => Ok(u32::try_from(whole).unwrap()),
        [SendOutcome { index: 0, result }] => *result,
        _ => panic!("one send has one outcome: {outcomes:?}"),
    }
}
