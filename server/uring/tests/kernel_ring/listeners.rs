//! Listeners of every kind: both IP families on one socket, Unix sockets, and one socket in several rings.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use corecast_uring::{Completion, File, ListenerId, Op, Ring, Token};
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
fn experiment() {
    for multishot in [true, false] {
        let path = std::env::temp_dir().join(format!("corecast-exp-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let mut benches: Vec<Bench> = (0..3).map(|_| Bench::new(config())).collect();
        let ids: Vec<ListenerId> = benches.iter_mut().map(|b| b.ring.add_listener(listener.try_clone().unwrap().into())).collect();
        let arm = |b: &mut Bench, id| b.ring.push(Token::new(ACCEPT, 0, 7), if multishot { Op::Accept { listener: id } } else { Op::AcceptOne { listener: id } });
        for (b, &id) in benches.iter_mut().zip(&ids) { arm(b, id); b.ring.poll(&mut b.waiting); }
        let mut got = Vec::new();
        let mut peers = Vec::new();
        for burst in [1, 1, 1, 1, 1, 1, 5, 5] {
            for _ in 0..burst { peers.push(UnixStream::connect(&path).unwrap()); }
            let mut left = burst;
            while left > 0 {
                for (n, b) in benches.iter_mut().enumerate() {
                    b.ring.poll(&mut b.waiting);
                    for c in std::mem::take(&mut b.waiting) { assert!(c.result.is_ok(), "{c:?}"); got.push(n); left -= 1; if !c.more { arm(b, ids[n]); b.ring.poll(&mut b.waiting); } }
                }
            }
            got.push(99);
        }
        println!("multishot {multishot}: {got:?}");
        fs::remove_file(&path).unwrap();
    }
}
