//! The two ways to send one message to many sockets.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use corecast_uring::{Completion, Errno, File, KernelRing, Op, Ring, RingConfig, Send, SendOutcome, Token};
use rustix::net::{SendFlags, send};
use socket2::SockRef;

use crate::FloorError;

/// As the server sets it by default.
const NOTSENT_LOWAT_BYTES: u32 = 64 * 1024;
/// On loopback an accept is due as soon as the connect has returned.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(20);

pub(crate) trait Sender {
    /// Sends the message once to every connection, without waiting for room.
    fn pass(&mut self, message: &[u8]) -> Result<Taken, FloorError>;
}

/// What the sockets took in a pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: u64,
    pub(crate) not_whole: u64,
}

/// A system call for each send.
#[derive(Debug)]
pub(crate) struct SendLoop {
    streams: Vec<TcpStream>,
}

impl SendLoop {
    /// The far ends are appended to `far_ends`.
    pub(crate) fn connect(connections: u32, far_ends: &mut Vec<TcpStream>) -> Result<Self, FloorError> {
        let listener = listener()?;
        let mut streams = Vec::new();
        for _ in 0..connections {
            far_ends.push(connect(&listener)?);
            let (stream, _) = listener.accept().map_err(FloorError::system("accept"))?;
            streams.push(stream);
        }
        Ok(Self { streams })
    }
}

impl Sender for SendLoop {
    fn pass(&mut self, message: &[u8]) -> Result<Taken, FloorError> {
        let mut taken = Taken::default();
        for stream in &self.streams {
            match send(stream, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(bytes) => {
                    taken.bytes += bytes as u64;
                    taken.not_whole += u64::from(bytes < message.len());
                }
                Err(rustix::io::Errno::AGAIN) => taken.not_whole += 1,
                Err(errno) => return Err(FloorError::Broken(errno.into())),
            }
        }
        Ok(taken)
    }
}

/// Batches on a ring with direct descriptors.
#[derive(Debug)]
pub(crate) struct RingBatch {
    ring: KernelRing,
    files: Vec<File>,
    outcomes: Vec<SendOutcome>,
}

impl RingBatch {
    /// The far ends are appended to `far_ends`.
    pub(crate) fn connect(connections: u32, far_ends: &mut Vec<TcpStream>) -> Result<Self, FloorError> {
        let mut ring = KernelRing::new(&RingConfig { files: connections, ..RingConfig::default() })?;
        let listener = listener()?;
        let accepting = ring.add_listener(listener.try_clone().map_err(FloorError::system("dup"))?.into());
        ring.push(Token::new(0, 0, 0), Op::Accept { listener: accepting });
        let mut files = Vec::new();
        for _ in 0..connections {
            far_ends.push(connect(&listener)?);
            files.push(accepted(&mut ring)?);
        }
        Ok(Self { ring, files, outcomes: Vec::new() })
    }
}

impl Sender for RingBatch {
    fn pass(&mut self, message: &[u8]) -> Result<Taken, FloorError> {
        self.outcomes.clear();
        let sends = self.files.iter().map(|&file| Send { file, bytes: message });
        self.ring.send_batch(sends, &mut self.outcomes);
        let whole = self.files.len() - self.outcomes.len();
        let mut taken =
            Taken { bytes: (whole * message.len()) as u64, not_whole: self.outcomes.len() as u64 };
        for outcome in &self.outcomes {
            match outcome.result {
                Ok(bytes) => taken.bytes += u64::from(bytes),
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(FloorError::Broken(errno.into())),
            }
        }
        Ok(taken)
    }
}

/// A listener on a free loopback port, with the options that the server's connections inherit from theirs.
fn listener() -> Result<TcpListener, FloorError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(FloorError::system("bind"))?;
    let socket = SockRef::from(&listener);
    socket.set_tcp_nodelay(true).map_err(FloorError::system("TCP_NODELAY"))?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES).map_err(FloorError::system("TCP_NOTSENT_LOWAT"))?;
    Ok(listener)
}

fn connect(listener: &TcpListener) -> Result<TcpStream, FloorError> {
    let connected = || {
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    connected().map_err(FloorError::system("connect"))
}

fn accepted(ring: &mut KernelRing) -> Result<File, FloorError> {
    let mut completions = Vec::new();
    ring.wait(Some(ACCEPT_PATIENCE), &mut completions);
    match completions[..] {
        [Completion { result, .. }] => result.map(File).map_err(io::Error::from),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
    .map_err(FloorError::system("accept on the ring"))
}
