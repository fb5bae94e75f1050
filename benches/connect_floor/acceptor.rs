//! One ring that accepts: bare connections that get a message each, or handshakes that are answered.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corecast_protocol::Limits;
use corecast_protocol::handshake::server::accept_upgrade;
use corecast_protocol::http1::{Parsed, parse_request};
use corecast_uring::{
    Completion, File, KernelRing, ListenerId, Op, Ring, RingConfig, Send, SendOutcome, Token,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{FloorError, MESSAGE, Shared};

const ACCEPT: u8 = 1;
const RECEIVE: u8 = 2;
const BACKLOG: i32 = 4_096;
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// A listener, and what its ring is to be.
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    listener: OwnedFd,
    table: u32,
    /// WebSocket handshakes are answered.
    answers: bool,
}

struct Acceptor<'a> {
    ring: KernelRing,
    listener: ListenerId,
    answers: bool,
    files: Vec<File>,
    passes_sent: u32,
    outcomes: Vec<SendOutcome>,
    shared: &'a Shared,
}

impl Plan {
    /// Listens; from now on connections wait.
    pub(crate) fn new(address: SocketAddr, table: u32, answers: bool) -> Result<Self, FloorError> {
        let system = |step| move |source| FloorError::System { step, source };
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
            .map_err(system("socket"))?;
        socket.set_reuse_port(true).map_err(system("SO_REUSEPORT"))?;
        socket.set_reuse_address(true).map_err(system("SO_REUSEADDR"))?;
        socket.set_tcp_nodelay(true).map_err(system("TCP_NODELAY"))?;
        socket.bind(&address.into()).map_err(system("bind"))?;
        socket.listen(BACKLOG).map_err(system("listen"))?;
        let bound = socket.local_addr().map_err(system("getsockname"))?;
        let address = bound.as_socket().expect("it was bound to an internet address");
        Ok(Self { address, listener: socket.into(), table, answers })
    }

    /// Accepts until it is over. The ring belongs to the thread that makes it.
    pub(crate) fn run(self, shared: &Shared) -> Result<(), FloorError> {
        let mut ring = KernelRing::new(&RingConfig {
            files: self.table,
            receive_buffers: 256,
            receive_buffer_bytes: 1 << 10,
            ..RingConfig::default()
        })?;
        let listener = ring.add_listener(self.listener);
        let (files, outcomes) = (Vec::new(), Vec::new());
        Acceptor { ring, listener, answers: self.answers, files, passes_sent: 0, outcomes, shared }.run();
        Ok(())
    }
}

impl Acceptor<'_> {
    fn run(mut self) {
        let shared = self.shared;
        self.accept();
        let mut completions = Vec::new();
        while !shared.is_over.load(Ordering::Relaxed) {
            self.ring.wait(Some(LONGEST_WAIT), &mut completions);
            let mut replies: Vec<(File, Vec<u8>)> = Vec::new();
            for completion in completions.drain(..) {
                replies.extend(self.handle(completion));
            }
            let sends = replies.iter().map(|(file, bytes)| Send { file: *file, bytes });
            self.ring.send_batch(sends, &mut self.outcomes);
            if self.passes_sent < shared.passes.load(Ordering::Acquire) {
                self.send_to_all();
            }
            shared.not_sent.fetch_add(self.outcomes.len() as u32, Ordering::Relaxed);
            self.outcomes.clear();
        }
    }

    fn accept(&mut self) {
        self.ring.push(Token::new(ACCEPT, 0, 0), Op::Accept { listener: self.listener });
    }

    /// Gives what is to be sent.
    fn handle(&mut self, completion: Completion) -> Option<(File, Vec<u8>)> {
        if completion.token.kind() == ACCEPT {
            if let Ok(file) = completion.result {
                self.accepted(File(file));
            }
            if !completion.more {
                self.accept();
            }
            return None;
        }
        let file = File(completion.token.slot());
        // What follows the handshake is read and left unanswered.
        let reply = completion.buffer.as_deref().and_then(reply);
        if let Some(buffer) = completion.buffer {
            self.ring.release(buffer);
        }
        if !completion.more && completion.result.is_ok_and(|bytes| bytes > 0) {
            self.receive(file);
        }
        reply.map(|reply| (file, reply))
    }

    fn accepted(&mut self, file: File) {
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        if self.answers {
            self.receive(file);
        } else {
            self.files.push(file);
        }
    }

    fn receive(&mut self, file: File) {
        self.ring.push(Token::new(RECEIVE, file.0, 0), Op::Receive { file });
    }

    fn send_to_all(&mut self) {
        let sends = self.files.iter().map(|&file| Send { file, bytes: &MESSAGE });
        self.ring.send_batch(sends, &mut self.outcomes);
        self.passes_sent += 1;
    }
}

/// The answer to a handshake that came in one piece, as small requests do over loopback.
fn reply(bytes: &[u8]) -> Option<Vec<u8>> {
    let Ok(Parsed::Complete { head, .. }) = parse_request(bytes, &Limits::default()) else { return None };
    let mut answer = Vec::new();
    accept_upgrade(&head, &[]).ok()?.write_response(&mut answer);
    Some(answer)
}
