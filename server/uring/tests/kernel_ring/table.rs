//! The table of sockets: accepting into it, asking who is there, closing in order.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};

use corecast_uring::{Errno, File, Op, Ring, RingConfig, SocketOption, Token};

use crate::bench::{
    ACCEPT, ADDRESS, Bench, CANCEL, CLOSE, OPTION, PATIENCE, RECEIVE, SHUTDOWN, config, token,
};

#[test]
fn peer_address_is_known_for_ipv4_and_ipv6() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let listener = match TcpListener::bind(local) {
            Ok(listener) => listener,
            Err(error) => {
                println!("SKIPPED for {local}: this host has no such loopback address ({error})");
                continue;
            }
        };
        let mut bench = Bench::new(config());
        let address = listener.local_addr().unwrap();
        bench.listen(listener);
        let peer = TcpStream::connect(address).unwrap();
        let file = bench.accept();
        let completion = bench.run(ADDRESS, file, Op::PeerAddress { file });
        assert!(completion.result.is_ok(), "{completion:?}");
        assert_eq!(completion.token, token(ADDRESS, file));
        assert_eq!(completion.address, Some(peer.local_addr().unwrap()));
        assert!(!completion.more);
    }
}

#[test]
fn many_peer_addresses_asked_at_once_go_to_their_own_askers() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        println!("SKIPPED: this host has no IPv6 loopback address");
        return;
    };
    // Each takes two questions, more than the queue holds at once.
    let mut bench = Bench::new(RingConfig { submission_entries: 4, ..config() });
    let address = listener.local_addr().unwrap();
    bench.listen(listener);
    let ends: Vec<_> = (0..30).map(|_| (TcpStream::connect(address).unwrap(), bench.accept())).collect();
    for &(_, file) in &ends {
        bench.ring.push(token(ADDRESS, file), Op::PeerAddress { file });
    }
    for _ in &ends {
        let completion = bench.next(ADDRESS);
        let (peer, _) = &ends.iter().find(|(_, file)| file.0 == completion.token.slot()).unwrap();
        assert_eq!(completion.address, Some(peer.local_addr().unwrap()));
    }
}

#[test]
fn peer_address_of_a_unix_socket_is_absent() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair_unix();
    let completion = bench.run(ADDRESS, file, Op::PeerAddress { file });
    assert!(completion.result.is_ok(), "{completion:?}");
    assert_eq!(completion.address, None);
}

#[test]
fn peer_address_of_no_socket_is_an_error() {
    let mut bench = Bench::new(config());
    let file = File(9);
    assert_eq!(bench.run(ADDRESS, file, Op::PeerAddress { file }).result, Err(Errno::EBADF));
}

#[test]
fn cancel_then_close_gives_the_peer_a_fin() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    assert_eq!(bench.send(file, b"bye"), Ok(3));
    assert_eq!(bench.run(SHUTDOWN, file, Op::Shutdown { file }).result, Ok(0));
    assert_eq!(bench.run(CANCEL, file, Op::Cancel { target: token(RECEIVE, file) }).result, Ok(0));
    let ended = bench.next(RECEIVE);
    assert_eq!(ended.result, Err(Errno::ECANCELED));
    assert!(!ended.more);
    bench.close(file);
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"bye");
}

#[test]
fn cancel_of_what_is_not_there_says_so() {
    let mut bench = Bench::new(config());
    let completion = bench.run(CANCEL, File(0), Op::Cancel { target: Token::new(RECEIVE, 5, 5) });
    assert_eq!(completion.result, Err(Errno::ENOENT));
}

#[test]
fn closed_index_is_used_again() {
    let mut bench = Bench::new(RingConfig { files: 1, ..config() });
    let address = bench.listen_ipv4();
    for _ in 0..3 {
        let mut peer = TcpStream::connect(address).unwrap();
        let file = bench.accept();
        assert_eq!(file, File(0));
        bench.close(file);
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn full_table_ends_the_accept_and_costs_the_connection() {
    let mut bench = Bench::new(RingConfig { files: 2, ..config() });
    let address = bench.listen_ipv4();
    let _kept: Vec<_> = (0..2).map(|_| (TcpStream::connect(address).unwrap(), bench.accept())).collect();
    let mut lost = TcpStream::connect(address).unwrap();
    lost.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = bench.next(ACCEPT);
    assert_eq!(ended.result, Err(Errno::ENFILE));
    assert!(!ended.more);
    match lost.read(&mut [0; 8]) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn accept_queued_before_its_listener_closes_does_not_meet_the_next_owner_of_the_number() {
    let mut bench = Bench::new(config());
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = bench.ring.add_listener(closing.into());
    bench.ring.push(Token::new(ACCEPT, 0, 7), Op::AcceptOne { listener });
    let submitted = bench.ring.stats().sqes;
    bench.ring.close_listener(listener);
    assert_eq!(bench.ring.stats().sqes, submitted + 1);
}

#[test]
#[should_panic(expected = "File(4294967295) is beyond the ring's table of 64 sockets")]
fn close_of_the_largest_index_is_refused_where_it_would_close_standard_input() {
    let file = File(u32::MAX);
    Bench::new(config()).ring.push(Token::new(CLOSE, 0, 7), Op::Close { file });
}

#[test]
#[should_panic(expected = "File(64) is beyond the ring's table of 64 sockets")]
fn option_of_a_file_beyond_the_table_is_refused() {
    let file = File(64);
    let option = SocketOption::NoDelay;
    Bench::new(config()).ring.push(token(OPTION, file), Op::SetOption { file, option });
}

#[test]
#[should_panic(expected = "File(64) is beyond the ring's table of 64 sockets")]
fn send_to_a_file_beyond_the_table_is_refused() {
    let _ = Bench::new(config()).send(File(64), b"x");
}
