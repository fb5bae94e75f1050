//! The far ends of all connections: a thread on a core of its own that reads and discards.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use core_affinity::CoreId;
use rustix::event::{Timespec, epoll};

use crate::{FloorError, PATIENCE};

#[derive(Debug)]
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Bytes that were sent since the start.
    sent: u64,
}

#[derive(Debug, Default)]
struct Shared {
    read: AtomicU64,
    stop: AtomicBool,
}

impl Receiver {
    pub(crate) fn start(streams: Vec<TcpStream>, core: CoreId) -> Result<Self, FloorError> {
        let watch = || {
            let watched = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            for (index, stream) in streams.iter().enumerate() {
                epoll::add(&watched, stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            }
            Ok(watched)
        };
        let watched =
            watch().map_err(|errno: rustix::io::Errno| FloorError::system("epoll")(errno.into()))?;
        let shared = Arc::new(Shared::default());
        let counted = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("receiver".to_owned())
            .spawn(move || {
                core_affinity::set_for_current(core);
                read_all(&watched, streams, &counted);
            })
            .map_err(FloorError::system("starting the receiver"))?;
        Ok(Self { shared, thread: Some(thread), sent: 0 })
    }

    /// Waits until these bytes, on top of all before, have been read.
    pub(crate) fn await_bytes(&mut self, bytes: u64) -> Result<(), FloorError> {
        self.sent += bytes;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let read = self.shared.read.load(Ordering::Acquire);
            if read == self.sent {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(FloorError::Stalled { read, sent: self.sent });
            }
            std::hint::spin_loop();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the receiver does not panic");
        }
    }
}

/// Reads from whoever has bytes, until told to stop. Never sleeps: a sleeping receiver is woken by a send, and that send
/// would pay for it.
fn read_all(watched: &rustix::fd::OwnedFd, mut streams: Vec<TcpStream>, shared: &Shared) {
    const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; 64 * 1024];
    while !shared.stop.load(Ordering::Relaxed) {
        events.clear();
        match epoll::wait(watched, rustix::buffer::spare_capacity(&mut events), Some(&NO_WAIT)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("epoll_wait: {errno}"),
        }
        for event in &events {
            let stream = &mut streams[usize::try_from(event.data.u64()).expect("an index")];
            match stream.read(&mut buffer) {
                Ok(bytes) => {
                    shared.read.fetch_add(bytes as u64, Ordering::Release);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("reading from a loopback connection: {error}"),
            }
        }
    }
}
