//! Listeners of every kind: both IP families on one socket, Unix sockets, and one socket in several rings.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use corecast_uring::{Errno, File, ListenerId, Op, Ring, Token};
use socket2::{Domain, Socket, Type};

use crate::bench::{ACCEPT, ADDRESS, Bench, CANCEL, PATIENCE, config};

#[test]
fn peers_of_a_dual_stack_listener_are_ipv6_and_mapped_ipv4() {
    let socket = match dual_stack() {
        Ok(socket) => socket,
        Err(error) => {
            println!("SKIPPED: this host has no IPv6 ({error})");
            return;
        }
    };
    let mut bench = Bench::new(config());
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    bench.listen(TcpListener::from(socket));

    let over_ipv4 = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let file = bench.accept();
    let seen = bench.run(ADDRESS, file, Op::PeerAddress { file }).address;
    let own = over_ipv4.local_addr().unwrap();
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{}", own.port()).parse().unwrap();
    assert_eq!(seen, Some(mapped));

    let Ok(over_ipv6) = TcpStream::connect(("::1", port)) else {
        println!("SKIPPED in part: this host has no IPv6 loopback address");
        return;
    };
    let file = bench.accept();
    let seen = bench.run(ADDRESS, file, Op::PeerAddress { file }).address;
    assert_eq!(seen, Some(over_ipv6.local_addr().unwrap()));
}

fn dual_stack() -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into())?;
    socket.listen(16)?;
    Ok(socket)
}

#[test]
fn rings_that_accept_one_at_a_time_take_turns_at_a_shared_unix_socket() {
    let mut shared = Shared::new(3, false);
    let takers: Vec<usize> = (0..9).map(|_| shared.connect_and_accept().ring).collect();
    for ring in 0..3 {
        assert_eq!(takers.iter().filter(|&&taker| taker == ring).count(), 3, "{takers:?}");
    }
}

/// Which ring they get is the kernel's affair: as it is, the one that armed its accept first gets all of them.
#[test]
fn rings_with_lasting_accepts_lose_and_double_nothing_of_a_shared_unix_socket() {
    let mut shared = Shared::new(3, true);
    for number in 0..9_u8 {
        let Accepted { ring, file, mut peer } = shared.connect_and_accept();
        assert_eq!(shared.benches[ring].send(file, &[number]), Ok(1));
        let mut arrived = [0];
        peer.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, [number]);
    }
    for bench in &mut shared.benches {
        bench.ring.poll(&mut bench.waiting);
        assert_eq!(bench.waiting.len(), 0, "{:?}", bench.waiting);
    }
}

#[test]
fn shared_unix_socket_listens_until_the_last_ring_has_closed_it() {
    let mut shared = Shared::new(2, false);
    shared.close_listener(0);
    assert_eq!(shared.connect_and_accept().ring, 1);
    let waiting = shared.connect();
    shared.close_listener(1);
    // The one that was not accepted is reset; nobody else gets in.
    let lost = shared.benches[1].waiting.iter().all(|completion| completion.result.is_err());
    assert!(lost, "{:?}", shared.benches[1].waiting);
    assert_eq!((&waiting).read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = UnixStream::connect(&shared.path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// A ring that was chosen for a connection and cancels its accept leaves the connection in the queue.
#[test]
fn connection_that_a_cancelled_accept_was_woken_for_goes_to_the_next_accept() {
    let mut shared = Shared::new(2, false);
    let peer = shared.connect();
    let target = Token::new(ACCEPT, 0, 7);
    shared.benches[0].ring.push(Token::new(CANCEL, 0, 7), Op::Cancel { target });
    shared.benches[0].next(CANCEL);
    let ended = shared.benches[0].next(ACCEPT);
    if ended.result.is_err() {
        shared.arm(0);
    } else {
        shared.benches[0].waiting.push(ended);
    }
    let file = shared.accept().file;
    assert_eq!(shared.benches[0].send(file, b"in"), Ok(2));
    let mut arrived = [0; 2];
    (&peer).read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"in");
}

/// Rings on one thread, each with a duplicate of one listening Unix socket.
struct Shared {
    benches: Vec<Bench>,
    listeners: Vec<ListenerId>,
    lasting: bool,
    path: PathBuf,
}

struct Accepted {
    ring: usize,
    file: File,
    peer: UnixStream,
}

struct Taken {
    ring: usize,
    file: File,
}

impl Shared {
    fn new(rings: usize, lasting: bool) -> Self {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("corecast-shared-{}-{number}", std::process::id()));
        let _ = fs::remove_file(&path);
        let socket = UnixListener::bind(&path).unwrap();
        let mut benches: Vec<Bench> = (0..rings).map(|_| Bench::new(config())).collect();
        let listeners = benches
            .iter_mut()
            .map(|bench| bench.ring.add_listener(socket.try_clone().unwrap().into()))
            .collect();
        let mut shared = Self { benches, listeners, lasting, path };
        (0..rings).for_each(|ring| shared.arm(ring));
        shared
    }

    fn arm(&mut self, ring: usize) {
        let listener = self.listeners[ring];
        let op = if self.lasting { Op::Accept { listener } } else { Op::AcceptOne { listener } };
        let bench = &mut self.benches[ring];
        bench.ring.push(Token::new(ACCEPT, 0, 7), op);
        bench.ring.poll(&mut bench.waiting);
    }

    fn connect(&self) -> UnixStream {
        let peer = UnixStream::connect(&self.path).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer
    }

    /// The next connection that any ring has accepted.
    fn accept(&mut self) -> Taken {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for ring in 0..self.benches.len() {
                let bench = &mut self.benches[ring];
                bench.ring.poll(&mut bench.waiting);
                if bench.waiting.is_empty() {
                    continue;
                }
                let completion = bench.waiting.remove(0);
                assert_eq!((completion.token.kind(), completion.more), (ACCEPT, self.lasting));
                let file = File(completion.result.expect("a connection"));
                if !completion.more {
                    self.arm(ring);
                }
                return Taken { ring, file };
            }
        }
        panic!("no ring accepts");
    }

    fn connect_and_accept(&mut self) -> Accepted {
        let peer = self.connect();
        let Taken { ring, file } = self.accept();
        Accepted { ring, file, peer }
    }

    fn close_listener(&mut self, ring: usize) {
        let target = Token::new(ACCEPT, 0, 7);
        let bench = &mut self.benches[ring];
        bench.ring.push(Token::new(CANCEL, 0, 7), Op::Cancel { target });
        assert!(bench.next(CANCEL).result.is_ok());
        assert_eq!(bench.next(ACCEPT).result, Err(Errno::ECANCELED));
        bench.ring.close_listener(self.listeners[ring]);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
