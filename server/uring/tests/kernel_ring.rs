//! The kernel's ring against real sockets on the loopback interface.
//!
//! Nothing here sleeps for a fixed time: each test waits for the completion that it is about, at most `PATIENCE`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use corecast_uring::{
    Completion, Domain, Errno, File, KernelRing, ListenerId, Op, Ring, RingConfig, RingError, Send,
    SendOutcome, SocketOption, Token,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const PATIENCE: Duration = Duration::from_secs(20);

const ACCEPT: u8 = 1;
const RECEIVE: u8 = 2;
const POLL: u8 = 3;
const ADDRESS: u8 = 4;
const SHUTDOWN: u8 = 5;
const CANCEL: u8 = 6;
const CLOSE: u8 = 7;
const TIMEOUT: u8 = 8;
const SOCKET: u8 = 9;
const OPTION: u8 = 10;
const BIND: u8 = 11;
const CONNECT: u8 = 12;

/// A ring with the completions that a test has not asked for yet.
struct Bench {
    ring: KernelRing,
    waiting: Vec<Completion>,
}

fn config() -> RingConfig {
    RingConfig {
        submission_entries: 64,
        completion_entries: 256,
        files: 64,
        receive_buffers: 16,
        receive_buffer_bytes: 4096,
        eventfd: false,
    }
}

fn token(kind: u8, file: File) -> Token {
    Token::new(kind, file.0, 7)
}

impl Bench {
    fn new(config: RingConfig) -> Self {
        Self { ring: KernelRing::new(&config).expect("a ring on this machine"), waiting: Vec::new() }
    }

    /// The next completion of this kind; others are kept in order.
    fn next(&mut self, kind: u8) -> Completion {
        loop {
            if let Some(at) = self.waiting.iter().position(|completion| completion.token.kind() == kind) {
                return self.waiting.remove(at);
            }
            let before = self.waiting.len();
            self.ring.wait(Some(PATIENCE), &mut self.waiting);
            assert!(
                self.waiting.len() > before,
                "no completion of kind {kind}; there are {:?}",
                self.waiting
            );
        }
    }

    fn run(&mut self, kind: u8, file: File, op: Op) -> Completion {
        self.ring.push(token(kind, file), op);
        self.next(kind)
    }

    fn listen(&mut self, listener: impl Into<OwnedFd>) -> ListenerId {
        let listener = self.ring.add_listener(listener.into());
        self.ring.push(Token::new(ACCEPT, 0, 7), Op::Accept { listener });
        listener
    }

    fn listen_ipv4(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        self.listen(listener);
        address
    }

    fn accept(&mut self) -> File {
        let completion = self.next(ACCEPT);
        assert!(completion.more, "the accept goes on: {completion:?}");
        File(completion.result.expect("a connection"))
    }

    /// A connection: the ring's end and the far end.
    fn pair(&mut self) -> (File, TcpStream) {
        let address = self.listen_ipv4();
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        (self.accept(), peer)
    }

    fn send(&mut self, file: File, bytes: &[u8]) -> Result<u32, Errno> {
        let mut outcomes = Vec::new();
        self.ring.send_batch([Send { file, bytes }].into_iter(), &mut outcomes);
        match outcomes[..] {
            [] => Ok(u32::try_from(bytes.len()).unwrap()),
            [SendOutcome { index: 0, result }] => result,
            _ => panic!("one send has one outcome: {outcomes:?}"),
        }
    }

    /// Sends until the socket takes no more; returns what it took.
    fn fill(&mut self, file: File) -> Vec<u8> {
        let mut taken = Vec::new();
        for _ in 0..1_000 {
            let chunk: Vec<u8> = (0..1 << 18).map(|n: usize| ((taken.len() + n) % 251) as u8).collect();
            match self.send(file, &chunk) {
                Ok(count) => taken.extend_from_slice(&chunk[..count as usize]),
                Err(Errno::EAGAIN) => return taken,
                Err(errno) => panic!("{errno}"),
            }
        }
        panic!("the socket takes bytes without end");
    }

    fn close(&mut self, file: File) {
        assert_eq!(self.run(CLOSE, file, Op::Close { file }).result, Ok(0));
    }
}

#[test]
fn echo_goes_through_accept_receive_and_send() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    for text in ["one", "two", "three"] {
        peer.write_all(text.as_bytes()).unwrap();
        let mut completion = bench.next(RECEIVE);
        assert_eq!(completion.token, token(RECEIVE, file));
        assert_eq!(completion.result, Ok(u32::try_from(text.len()).unwrap()));
        assert!(completion.more);
        let mut buffer = completion.buffer.take().expect("received bytes");
        assert_eq!(&*buffer, text.as_bytes());
        buffer.make_ascii_uppercase();
        let echo = buffer.to_vec();
        bench.ring.release(buffer);
        assert_eq!(bench.send(file, &echo), Ok(u32::try_from(text.len()).unwrap()));
        let mut answer = vec![0; text.len()];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(answer, text.to_uppercase().as_bytes());
    }
    let stats = bench.ring.stats();
    assert_eq!((stats.sends, stats.sends_short, stats.sends_refused, stats.buffers_lent), (3, 0, 0, 0));
    assert_eq!(bench.ring.buffers_free(), 16);
}

#[test]
fn end_of_stream_is_a_receive_of_nothing() {
    let mut bench = Bench::new(config());
    let (file, peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.shutdown(Shutdown::Write).unwrap();
    let completion = bench.next(RECEIVE);
    assert_eq!(completion.result, Ok(0));
    assert!(!completion.more && completion.buffer.is_none(), "{completion:?}");
}

#[test]
fn short_send_gives_the_count_and_full_socket_eagain_until_writable() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    let huge = vec![1; 64 << 20];
    let first = bench.send(file, &huge).expect("an empty socket takes something");
    assert!(first > 0 && (first as usize) < huge.len(), "{first} bytes taken");
    let more = bench.fill(file);
    assert_eq!(bench.send(file, b"x"), Err(Errno::EAGAIN));
    let stats = bench.ring.stats();
    assert!(stats.sends_short >= 1, "{stats:?}");
    assert!(stats.sends_refused >= 2, "{stats:?}");

    bench.ring.push(token(POLL, file), Op::PollWritable { file });
    bench.ring.poll(&mut bench.waiting);
    assert!(bench.waiting.is_empty(), "a full socket is not writable: {:?}", bench.waiting);

    let mut arrived = vec![0; first as usize + more.len()];
    peer.read_exact(&mut arrived).unwrap();
    assert!(arrived[..first as usize].iter().all(|&byte| byte == 1));
    assert_eq!(arrived[first as usize..], more);
    let writable = bench.next(POLL);
    assert!(writable.result.unwrap() & u32::from(libc_pollout()) != 0, "{writable:?}");
    assert!(!writable.more);
    assert_eq!(bench.send(file, b"again"), Ok(5));
}

/// `POLLOUT` is 4 on every Linux.
fn libc_pollout() -> u16 {
    4
}

#[test]
fn two_thousand_sends_in_one_batch_name_those_that_failed() {
    let sockets = 2_000;
    let mut bench = Bench::new(RingConfig { files: 2_048, ..config() });
    let address = bench.listen_ipv4();
    let mut ends = Vec::new();
    for _ in 0..sockets {
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        ends.push((bench.accept(), peer));
    }
    // Every 97th send goes to an index where there is no socket.
    let texts: Vec<String> = (0..sockets).map(|n| format!("message {n}")).collect();
    let sends: Vec<Send<'_>> = (0..sockets)
        .map(|n| Send { file: if n % 97 == 0 { File(2_047) } else { ends[n].0 }, bytes: texts[n].as_bytes() })
        .collect();
    let mut outcomes = Vec::new();
    bench.ring.send_batch(sends.into_iter(), &mut outcomes);
    outcomes.sort_by_key(|outcome| outcome.index);
    let expected: Vec<_> =
        (0..2_000).step_by(97).map(|index| SendOutcome { index, result: Err(Errno::EBADF) }).collect();
    assert_eq!(outcomes, expected);
    for (n, (_, peer)) in ends.iter_mut().enumerate().filter(|(n, _)| n % 97 != 0) {
        let mut arrived = vec![0; texts[n].len()];
        peer.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, texts[n].as_bytes());
    }
    assert_eq!(bench.ring.stats().sends, 2_000);
    assert_eq!(bench.ring.stats().cq_overflows, 0);
}

#[test]
fn send_to_a_reset_connection_is_refused_without_a_signal() {
    let mut bench = Bench::new(config());
    let (file, peer) = bench.pair();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    drop(peer);
    assert_eq!(bench.next(RECEIVE).result, Err(Errno::ECONNRESET));
    assert_eq!(bench.send(file, b"x"), Err(Errno::EPIPE));
}

#[test]
fn batch_whose_source_panics_is_never_sent() {
    let mut bench = Bench::new(config());
    let (file, _peer) = bench.pair();
    let sends =
        (0..2).map(|n| if n == 0 { Send { file, bytes: b"x" } } else { panic!("the source is broken") });
    assert!(catch_unwind(AssertUnwindSafe(|| bench.ring.send_batch(sends, &mut Vec::new()))).is_err());
    let later = catch_unwind(AssertUnwindSafe(|| bench.ring.poll(&mut Vec::new())));
    let message = later.expect_err("the ring must not be used again");
    assert!(message.downcast_ref::<&str>().is_some_and(|text| text.contains("earlier batch")));
}

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
fn peer_address_of_a_unix_socket_is_absent() {
    let directory = std::env::temp_dir().join(format!("corecast-uring-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let mut bench = Bench::new(config());
    bench.listen(listener);
    let _peer = UnixStream::connect(&path).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let file = bench.accept();
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
fn receive_without_free_buffers_ends_and_works_again_after_a_release() {
    let mut bench = Bench::new(RingConfig { receive_buffers: 2, receive_buffer_bytes: 4, ..config() });
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.write_all(b"aaaabbbbcccc").unwrap();
    let first = bench.next(RECEIVE).buffer.expect("bytes");
    let second = bench.next(RECEIVE).buffer.expect("bytes");
    assert_eq!((&*first, &*second), (&b"aaaa"[..], &b"bbbb"[..]));
    let ended = bench.next(RECEIVE);
    assert_eq!(ended.result, Err(Errno::ENOBUFS));
    assert!(!ended.more);
    assert_eq!((bench.ring.buffers_free(), bench.ring.stats().receives_without_buffer), (0, 1));

    bench.ring.release(second);
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    let third = bench.next(RECEIVE).buffer.expect("bytes");
    assert_eq!((&*first, &*third), (&b"aaaa"[..], &b"cccc"[..]));
    bench.ring.release(first);
    bench.ring.release(third);
    assert_eq!(bench.ring.buffers_free(), 2);
}

#[test]
fn buffers_come_round_many_times() {
    let mut bench = Bench::new(RingConfig { receive_buffers: 4, receive_buffer_bytes: 64, ..config() });
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    // More than 65,536 / 4 times round would take the 16-bit tail over its end; 1,000 times round the mask is enough here.
    for n in 0..4_000u32 {
        peer.write_all(&n.to_be_bytes()).unwrap();
        let completion = bench.next(RECEIVE);
        assert!(completion.more);
        let buffer = completion.buffer.expect("bytes");
        assert_eq!(*buffer, n.to_be_bytes());
        bench.ring.release(buffer);
    }
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
fn eventfd_counts_when_something_arrives() {
    let mut bench = Bench::new(RingConfig { eventfd: true, ..config() });
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    while bench.ring.has_work() {
        bench.ring.poll(&mut bench.waiting);
    }
    let eventfd = bench.ring.eventfd().expect("configured").try_clone_to_owned().unwrap();
    let ready = |timeout: Timespec| {
        let mut fds = [PollFd::new(&eventfd, PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).unwrap() == 1
    };
    // What has happened so far may have been announced.
    if ready(Timespec { tv_sec: 0, tv_nsec: 0 }) {
        rustix::io::read(&eventfd, &mut [0; 8]).unwrap();
    }
    assert!(!ready(Timespec { tv_sec: 0, tv_nsec: 0 }));
    peer.write_all(b"x").unwrap();
    assert!(
        ready(Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 }),
        "the eventfd never fired"
    );
    assert!(bench.ring.has_work());
    assert_eq!(bench.next(RECEIVE).result, Ok(1));
}

#[test]
fn idle_poll_makes_no_system_call() {
    let mut bench = Bench::new(config());
    let (_file, _peer) = bench.pair();
    while bench.ring.has_work() {
        bench.ring.poll(&mut bench.waiting);
    }
    let enters = bench.ring.stats().enters;
    bench.ring.poll(&mut bench.waiting);
    assert_eq!(bench.ring.stats().enters, enters);
}

#[test]
fn one_poll_brings_all_that_has_arrived() {
    let sockets = 60;
    let mut bench = Bench::new(RingConfig { receive_buffers: 64, ..config() });
    let address = bench.listen_ipv4();
    let mut peers = Vec::new();
    for _ in 0..sockets {
        peers.push(TcpStream::connect(address).unwrap());
        let file = bench.accept();
        bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    }
    bench.ring.poll(&mut bench.waiting);
    assert!(bench.waiting.is_empty());
    // On the loopback interface a write has reached the far socket when it returns.
    for peer in &mut peers {
        peer.write_all(b"x").unwrap();
    }
    bench.ring.poll(&mut bench.waiting);
    assert_eq!(bench.waiting.len(), sockets);
}

#[test]
fn timeout_fires_once() {
    let mut bench = Bench::new(config());
    let completion = bench.run(TIMEOUT, File(0), Op::Timeout { after: Duration::from_millis(1) });
    assert_eq!(completion.result, Err(Errno::ETIME));
    assert!(!completion.more);
}

#[test]
fn cancelled_timeout_does_not_fire() {
    let mut bench = Bench::new(config());
    bench.ring.push(token(TIMEOUT, File(0)), Op::Timeout { after: Duration::from_secs(3600) });
    let cancel = bench.run(CANCEL, File(0), Op::Cancel { target: token(TIMEOUT, File(0)) });
    assert_eq!(cancel.result, Ok(0));
    assert_eq!(bench.next(TIMEOUT).result, Err(Errno::ECANCELED));
}

#[test]
fn wait_returns_with_nothing_when_the_time_is_over() {
    let mut bench = Bench::new(config());
    bench.ring.wait(Some(Duration::from_millis(1)), &mut bench.waiting);
    assert!(bench.waiting.is_empty());
}

#[test]
fn more_operations_than_the_queue_holds_submit_themselves() {
    let mut bench = Bench::new(RingConfig { submission_entries: 4, ..config() });
    for generation in 0..100 {
        let after = Duration::from_micros(u64::from(generation));
        bench.ring.push(Token::new(TIMEOUT, 0, generation), Op::Timeout { after });
    }
    let mut generations: Vec<u32> = (0..100).map(|_| bench.next(TIMEOUT).token.generation()).collect();
    generations.sort_unstable();
    assert_eq!(generations, (0..100).collect::<Vec<_>>());
    assert_eq!(bench.ring.stats().sqes, 100);
}

#[test]
fn overflowing_completion_queue_loses_nothing() {
    let mut bench = Bench::new(RingConfig { submission_entries: 4, completion_entries: 4, ..config() });
    for generation in 0..100 {
        bench.ring.push(Token::new(TIMEOUT, 0, generation), Op::Timeout { after: Duration::from_hours(1) });
    }
    for generation in 0..100 {
        let target = Token::new(TIMEOUT, 0, generation);
        bench.ring.push(Token::new(CANCEL, 0, generation), Op::Cancel { target });
    }
    let mut generations: Vec<u32> = (0..100).map(|_| bench.next(TIMEOUT).token.generation()).collect();
    generations.sort_unstable();
    assert_eq!(generations, (0..100).collect::<Vec<_>>());
    for _ in 0..100 {
        assert_eq!(bench.next(CANCEL).result, Ok(0));
    }
    assert!(bench.ring.stats().cq_overflows > 0, "{:?}", bench.ring.stats());
}

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

#[test]
fn more_rings_than_a_thread_has_indexes_work_on_one_thread() {
    // A thread can register 16. Making, dropping and making anew shows that a dropped ring gives its index back.
    for _ in 0..3 {
        let mut benches: Vec<_> = (0..20).map(|_| Bench::new(config())).collect();
        for bench in &mut benches {
            assert_eq!(
                bench.run(TIMEOUT, File(0), Op::Timeout { after: Duration::from_millis(1) }).result,
                Err(Errno::ETIME)
            );
        }
    }
}

#[test]
fn dropped_ring_closes_its_sockets_and_leaves_lent_bytes_readable() {
    let mut bench = Bench::new(config());
    let (file, mut peer) = bench.pair();
    bench.ring.push(token(RECEIVE, file), Op::Receive { file });
    peer.write_all(b"last words").unwrap();
    let buffer = bench.next(RECEIVE).buffer.expect("bytes");
    drop(bench);
    // The kernel takes the ring apart after the call and may interrupt this thread for it; `read_to_end` tries again.
    assert_eq!(peer.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(&*buffer, b"last words");
}

#[test]
#[should_panic(expected = "kinds from 0xF0 belong to the ring")]
fn reserved_kinds_are_refused() {
    Bench::new(config()).ring.push(Token::new(0xF0, 0, 0), Op::Close { file: File(0) });
}

#[test]
fn table_beyond_the_limit_of_open_files_is_explained() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let Some(limit) = limit.filter(|&limit| limit < 1 << 20) else {
        println!("SKIPPED: RLIMIT_NOFILE is too large to exceed here");
        return;
    };
    let files = u32::try_from(limit).unwrap() + 1;
    let error = KernelRing::new(&RingConfig { files, ..config() }).expect_err("one more than the limit");
    assert!(
        matches!(error, RingError::OpenFiles { needed, limit: seen } if needed == limit + 1 && seen == limit)
    );
    assert!(error.to_string().contains("LimitNOFILE="), "{error}");
}
