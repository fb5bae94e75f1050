//! What a client does: making, setting up and connecting sockets.

use std::io::{Read, Write};
use std::net::TcpListener;

use corecast_uring::{Domain, Errno, File, Op, Ring, RingConfig, SocketOption};

use crate::bench::{BIND, Bench, CONNECT, OPTION, RECEIVE, SOCKET, config, token};

#[test]
fn client_makes_binds_and_connects_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bench = Bench::new(config());
    let file = File(bench.run(SOCKET, File(0), Op::Socket { domain: Domain::Ipv4 }).result.unwrap());
    for option in [
        SocketOption::NoDelay,
        SocketOption::BindAddressNoPort,
        SocketOption::ReceiveBuffer(65_536),
        SocketOption::SendBuffer(65_536),
        SocketOption::NotSentLowat(16_384),
    ] {
        let completion = bench.run(OPTION, file, Op::SetOption { file, option });
        assert_eq!((option, completion.result), (option, Ok(0)));
    }
    let bind = bench.run(BIND, file, Op::Bind { file, address: "127.0.0.9:0".parse().unwrap() });
    if bind.result == Err(Errno::EINVAL) {
        println!("SKIPPED the local address: this kernel has no IORING_OP_BIND (Linux 6.11)");
    } else {
        assert_eq!(bind.result, Ok(0));
    }
    let address = listener.local_addr().unwrap();
    assert_eq!(bench.run(CONNECT, file, Op::Connect { file, address }).result, Ok(0));
    let (mut accepted, from) = listener.accept().unwrap();
    if bind.result.is_ok() {
        assert_eq!(from.ip().to_string(), "127.0.0.9");
    }
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    accepted.write_all(b"welcome").unwrap();
    assert_eq!(bench.next(RECEIVE).buffer.as_deref(), Some(&b"welcome"[..]));
}

#[test]
fn option_of_a_small_send_buffer_takes_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut taken = Vec::new();
    for option in [SocketOption::SendBuffer(4_096), SocketOption::SendBuffer(200_000)] {
        let mut bench = Bench::new(config());
        let file = File(bench.run(SOCKET, File(0), Op::Socket { domain: Domain::Ipv4 }).result.unwrap());
        assert_eq!(bench.run(OPTION, file, Op::SetOption { file, option }).result, Ok(0));
        assert_eq!(bench.run(CONNECT, file, Op::Connect { file, address }).result, Ok(0));
        let _accepted = listener.accept().unwrap();
        taken.push(bench.send(file, &vec![0; 8 << 20]).unwrap());
    }
    assert!(taken[0] < taken[1], "bytes taken: {taken:?}");
}

#[test]
fn refused_connect_says_so() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut bench = Bench::new(config());
    let file = File(bench.run(SOCKET, File(0), Op::Socket { domain: Domain::Ipv4 }).result.unwrap());
    let completion = bench.run(CONNECT, file, Op::Connect { file, address: closed });
    assert_eq!(completion.result, Err(Errno::ECONNREFUSED));
}

#[test]
fn many_connects_at_once_each_reach_their_own_address() {
    let listeners: Vec<_> = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut bench = Bench::new(RingConfig { submission_entries: 8, ..config() });
    let files: Vec<_> = listeners
        .iter()
        .map(|_| File(bench.run(SOCKET, File(0), Op::Socket { domain: Domain::Ipv4 }).result.unwrap()))
        .collect();
    for (&file, listener) in files.iter().zip(&listeners) {
        let address = listener.local_addr().unwrap();
        bench.ring.push(token(CONNECT, file), Op::Connect { file, address });
    }
    for _ in &files {
        assert_eq!(bench.next(CONNECT).result, Ok(0));
    }
    for (n, &file) in files.iter().enumerate() {
        assert_eq!(bench.send(file, &[n as u8]), Ok(1));
        let mut byte = [0];
        listeners[n].accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [n as u8]);
    }
}
