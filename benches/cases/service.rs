//! A whole shard with its clients, on a ring whose passes go nowhere.

use corecast::config::{Config, HostLimits, RESERVED_CONNECTIONS};
use corecast::ids::Now;
use corecast::shard::{Context, Inbox, ListenerKind, Shard, Turn};
use corecast_protocol::{Opcode, frame::encode_frame};
use corecast_uring::testing::{FakeRing, Faults, Peer};
use corecast_uring::{
    Completion, Gather, ListenerId, Op, ReceiveBuffer, Ring, RingConfig, RingStats, Send, SendOutcome, Token,
};
use fastrand::Rng;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use crate::frames::KEY;

/// One publisher and a number of subscribers of one raw topic.
#[derive(Debug)]
pub struct Service {
    shard: Shard,
    ring: Sink,
    rng: Rng,
    publisher: Peer,
    frame: Vec<u8>,
}

impl Service {
    pub fn new(subscribers: u32, payload_length: usize) -> Self {
        let host = HostLimits { open_files: 1 << 20, locked_bytes: u64::MAX, cores: 1 };
        let config = Config { max_connections: subscribers + 1, ..Config::defaults(&host) };
        let ring_config = RingConfig {
            files: config.max_connections + RESERVED_CONNECTIONS,
            receive_buffer_bytes: config.receive_buffer_bytes,
            ..RingConfig::default()
        };
        let mut ring =
            Sink { ring: FakeRing::new(0, ring_config, Faults::none()), swallows: false, swallowed: 0 };
        let mut shard = Shard::alone(&config);
        shard.add_listener(ring.ring.add_listener(), ListenerKind::Tcp { is_loopback: true });
        let publisher = connect(&mut ring.ring, "publisher");
        let peers: Vec<Peer> = (0..subscribers).map(|_| connect(&mut ring.ring, "subscriber")).collect();
        let mut frame = Vec::new();
        encode_frame(&mut frame, Opcode::Binary, &vec![b'x'; payload_length], Some(KEY));
        let mut service = Self { shard, ring, rng: Rng::with_seed(0), publisher, frame };
        service.settle();
        for peer in peers.into_iter().chain([publisher]) {
            let answer = service.ring.ring.peer_receive(peer);
            assert!(answer.starts_with(b"HTTP/1.1 101 "), "everybody is connected");
        }
        service.ring.swallows = true;
        service
    }

    /// The publisher's messages arrive; gives how many sends it took until everybody had them.
    pub fn publish(&mut self, messages: usize) -> u64 {
        for _ in 0..messages {
            self.ring.ring.peer_send(self.publisher, &self.frame);
        }
        let before = self.ring.swallowed;
        self.settle();
        self.ring.swallowed - before
    }

    fn settle(&mut self) {
        let now = Now::default();
        let mut inbox = Inbox::default();
        loop {
            let mut context = Context { now, clock: &|| now, rng: &mut self.rng, ring: &mut self.ring };
            if self.shard.step(&mut context, &mut inbox) == Turn::Idle {
                return;
            }
        }
    }
}

fn connect(ring: &mut FakeRing, role: &str) -> Peer {
    let peer = ring.connect_from(SocketAddr::from(([127, 0, 0, 1], 40_000)));
    let request = format!(
        "GET /topics/bench?role={role} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    ring.peer_send(peer, request.as_bytes());
    peer
}

/// The fake ring, except that once everybody is connected its batches of sends go out whole and nowhere. The fake ring keeps
/// what is sent and checks every send for misuse, which would take longer than what is to be measured.
#[derive(Debug)]
struct Sink {
    ring: FakeRing,
    swallows: bool,
    swallowed: u64,
}

impl Ring for Sink {
    fn send_batch<'a>(&mut self, sends: impl Iterator<Item = Send<'a>>, outcomes: &mut Vec<SendOutcome>) {
        if !self.swallows {
            return self.ring.send_batch(sends, outcomes);
        }
        for send in sends {
            black_box((send.file, send.bytes));
            self.swallowed += 1;
        }
    }

    fn send_gathered<'a>(
        &mut self,
        sends: impl Iterator<Item = Gather<'a>>,
        outcomes: &mut Vec<SendOutcome>,
    ) {
        self.ring.send_gathered(sends, outcomes);
    }

    fn push(&mut self, token: Token, op: Op) {
        self.ring.push(token, op);
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        self.ring.poll(completions);
    }

    fn wait(&mut self, timeout: Option<Duration>, completions: &mut Vec<Completion>) {
        self.ring.wait(timeout, completions);
    }

    fn has_work(&self) -> bool {
        self.ring.has_work()
    }

    fn release(&mut self, buffer: ReceiveBuffer) {
        self.ring.release(buffer);
    }

    fn buffers_free(&self) -> usize {
        self.ring.buffers_free()
    }

    fn close_listener(&mut self, listener: ListenerId) {
        self.ring.close_listener(listener);
    }

    fn stats(&self) -> RingStats {
        self.ring.stats()
    }
}
