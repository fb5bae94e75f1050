//! One ring that connects, some at a time, and then reads what comes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use corecast_uring::{Domain, Errno, File, KernelRing, Op, Ring, RingConfig, SocketOption, Token};

use crate::{FloorError, PER_SOURCE, Shared};

const CREATE: u8 = 1;
const OPTION: u8 = 2;
const BIND: u8 = 3;
const CONNECT: u8 = 4;
const RECEIVE: u8 = 5;
/// Connections that one ring opens at the same time.
const AT_ONCE: u32 = 64;
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// Where to connect, and how often.
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// Which one of the rings it is: each has source addresses of its own.
    pub(crate) number: u32,
    pub(crate) wanted: u32,
}

struct Connector {
    address: SocketAddr,
    first_source: Ipv4Addr,
    wanted: u32,
    ring: KernelRing,
    files: Vec<File>,
    started: u32,
    connected: u32,
}

impl Plan {
    /// Connects and receives until it is over. The ring belongs to the thread that makes it.
    pub(crate) fn run(self, shared: &Shared) -> Result<(), FloorError> {
        let Self { address, number, wanted } = self;
        let ring = KernelRing::new(&RingConfig {
            files: wanted + 8,
            receive_buffers: 256,
            receive_buffer_bytes: 1 << 10,
            ..RingConfig::default()
        })?;
        let sources_each = wanted / PER_SOURCE + 1;
        let first_source = Ipv4Addr::from(u32::from(FIRST_SOURCE) + number * sources_each);
        let files = vec![File(0); wanted as usize];
        Connector { address, first_source, wanted, ring, files, started: 0, connected: 0 }.run(shared)
    }
}

impl Connector {
    fn run(mut self, shared: &Shared) -> Result<(), FloorError> {
        let mut completions = Vec::new();
        while !shared.is_over.load(Ordering::Relaxed) {
            while self.started < self.wanted && self.started - self.connected < AT_ONCE {
                self.ring.push(Token::new(CREATE, self.started, 0), Op::Socket { domain: Domain::Ipv4 });
                self.started += 1;
            }
            self.ring.wait(Some(LONGEST_WAIT), &mut completions);
            let mut bytes = 0;
            for completion in completions.drain(..) {
                let (at, kind) = (completion.token.slot(), completion.token.kind());
                if let Some(buffer) = completion.buffer {
                    bytes += buffer.len() as u64;
                    self.ring.release(buffer);
                }
                match (kind, completion.result) {
                    (RECEIVE, Ok(_)) if completion.more => continue,
                    // Armed again: buffers are back by then.
                    (RECEIVE, Err(Errno::ENOBUFS)) => {}
                    (_, Err(errno)) => return Err(FloorError::Step { step: step_name(kind), errno }),
                    (CREATE, Ok(file)) => self.files[at as usize] = File(file),
                    (CONNECT, Ok(_)) => {
                        self.connected += 1;
                        shared.connected.fetch_add(1, Ordering::Relaxed);
                    }
                    (_, Ok(_)) => {}
                }
                self.go_on(at, kind);
            }
            if bytes > 0 {
                shared.received_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Pushes the step that follows one of this kind.
    fn go_on(&mut self, at: u32, kind: u8) {
        let file = self.files[at as usize];
        let (next, op) = match kind {
            CREATE => (OPTION, Op::SetOption { file, option: SocketOption::BindAddressNoPort }),
            OPTION => {
                let source = Ipv4Addr::from(u32::from(self.first_source) + at / PER_SOURCE);
                (BIND, Op::Bind { file, address: (source, 0).into() })
            }
            BIND => (CONNECT, Op::Connect { file, address: self.address }),
            _ => (RECEIVE, Op::Receive { file }),
        };
        self.ring.push(Token::new(next, at, 0), op);
    }
}

fn step_name(kind: u8) -> &'static str {
    match kind {
        CREATE => "making a socket",
        OPTION => "IP_BIND_ADDRESS_NO_PORT",
        BIND => "bind",
        CONNECT => "connect",
        _ => "receiving",
    }
}
