//! What both servers share: one room, a queue for each connection in it, and a loop that accepts.
//!
//! A message is made ready once and then shared by all queues. Whoever writes takes all that waits and gives it to the
//! socket in one go, so a connection that falls behind gets more in fewer writes. Queues have no bound: nothing is dropped,
//! as with all servers of the comparison.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use slab::Slab;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;

/// What waits to be sent to one connection.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: RefCell<Vec<T>>,
    is_closed: Cell<bool>,
    changed: Notify,
}

impl<T> Queue<T> {
    pub fn push(&self, item: T) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(item);
        // Whoever writes takes everything at once, so it needs to be woken for the first only.
        if waiting.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// What waits is still taken; after that there is nothing any more.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.changed.notify_one();
    }

    /// Waits until there is something and moves all of it to `taken`, which must be empty. False once the queue is closed
    /// and empty.
    pub async fn take(&self, taken: &mut Vec<T>) -> bool {
        loop {
            if !self.waiting.borrow().is_empty() {
                // The two buffers change places, so neither is allocated again.
                std::mem::swap(&mut *self.waiting.borrow_mut(), taken);
                return true;
            }
            if self.is_closed.get() {
                return false;
            }
            self.changed.notified().await;
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), is_closed: Cell::default(), changed: Notify::default() }
    }
}

/// Everybody who gets what is published.
#[derive(Debug)]
pub struct Room<T> {
    members: RefCell<Slab<Rc<Queue<T>>>>,
}

impl<T: Clone> Room<T> {
    pub fn broadcast(&self, item: &T) {
        for (_, queue) in self.members.borrow().iter() {
            queue.push(item.clone());
        }
    }

    /// Until the membership is dropped.
    pub fn join(self: &Rc<Self>, queue: &Rc<Queue<T>>) -> Membership<T> {
        let key = self.members.borrow_mut().insert(Rc::clone(queue));
        Membership { room: Rc::clone(self), key }
    }
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self { members: RefCell::default() }
    }
}

#[derive(Debug)]
pub struct Membership<T> {
    room: Rc<Room<T>>,
    key: usize,
}

impl<T> Drop for Membership<T> {
    fn drop(&mut self) {
        self.room.members.borrow_mut().remove(self.key);
    }
}

/// Whoever connects with this query publishes only; all others get what is published.
pub fn is_publisher(query: Option<&str>) -> bool {
    query == Some("role=publisher")
}

/// Listens on 127.0.0.1 at the port that is the only argument, and starts `serve` for each connection, all on one thread.
///
/// # Errors
/// When the argument is no port, or the port can't be had.
pub fn listen<T, F>(serve: impl Fn(TcpStream, Rc<Room<T>>) -> F) -> io::Result<()>
where
    T: Clone + 'static,
    F: Future<Output = ()> + 'static,
{
    let port = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other("usage: PROGRAM PORT"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
        let listener = socket.listen(BACKLOG)?;
        let room = Rc::default();
        loop {
            // Out of descriptors, or gone before it was accepted: the others go on.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(serve(stream, Rc::clone(&room)));
        }
    })
}
