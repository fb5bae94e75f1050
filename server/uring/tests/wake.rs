//! A thread that sleeps until the data ring has something, or another thread says so.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use corecast_uring::wake::{EventWait, Waker};
use corecast_uring::{File, KernelRing, Op, Ring, RingConfig, Send, Token};

const PATIENCE: Duration = Duration::from_secs(20);
const ACCEPT: u8 = 1;
const RECEIVE: u8 = 2;

/// A ring on its own thread, and what it sleeps on.
fn ring() -> (KernelRing, EventWait, Waker) {
    let config = RingConfig { files: 8, receive_buffers: 8, eventfd: true, ..RingConfig::default() };
    let ring = KernelRing::new(&config).unwrap();
    let eventfd = ring.eventfd().unwrap();
    let (wait, waker) = (EventWait::new(eventfd).unwrap(), Waker::new(eventfd).unwrap());
    (ring, wait, waker)
}

/// Echoes on one connection until it ends; returns how many bytes.
fn echo(mut ring: KernelRing, wait: &EventWait) -> usize {
    let mut echoed = 0;
    let mut completions = Vec::new();
    loop {
        ring.poll(&mut completions);
        let idle = completions.is_empty();
        for completion in completions.drain(..) {
            match (completion.token.kind(), completion.result, completion.buffer) {
                (ACCEPT, Ok(file), _) => {
                    ring.push(Token::new(RECEIVE, file, 0), Op::Receive { file: File(file) });
                }
                (RECEIVE, Ok(0), _) => return echoed,
                (RECEIVE, Ok(count), Some(buffer)) => {
                    echoed += count as usize;
                    let file = File(completion.token.slot());
                    let mut outcomes = Vec::new();
                    ring.send_batch([Send { file, bytes: &buffer }].into_iter(), &mut outcomes);
                    assert_eq!(outcomes, []);
                    ring.release(buffer);
                }
                other => panic!("{other:?}"),
            }
        }
        if idle && !ring.has_work() {
            wait.wait();
        }
    }
}

#[test]
fn arrivals_on_the_data_ring_end_the_sleep() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut ring, wait, _) = ring();
        let listener = ring.add_listener(listener.into());
        ring.push(Token::new(ACCEPT, 0, 0), Op::Accept { listener });
        echo(ring, &wait)
    });
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 4];
    for n in 0..500u32 {
        client.write_all(&n.to_be_bytes()).unwrap();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, n.to_be_bytes());
    }
    drop(client);
    assert_eq!(server.join().unwrap(), 2_000);
}

#[test]
fn waker_ends_the_wait_from_another_thread() {
    let (sender, receiver) = mpsc::channel();
    let (report, reports) = mpsc::channel();
    let sleeper = thread::spawn(move || {
        let (_ring, wait, waker) = ring();
        sender.send(waker).unwrap();
        for _ in 0..2 {
            wait.wait();
            report.send(()).unwrap();
        }
    });
    let waker = receiver.recv_timeout(PATIENCE).unwrap();
    for _ in 0..2 {
        waker.clone().wake();
        reports.recv_timeout(PATIENCE).expect("the wait has ended");
    }
    sleeper.join().unwrap();
}

#[test]
fn wake_before_the_wait_is_not_lost() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let (_ring, wait, waker) = ring();
        thread::spawn(move || waker.wake()).join().unwrap();
        wait.wait();
        sender.send(()).unwrap();
    });
    receiver.recv_timeout(PATIENCE).expect("the wait has ended");
}

/// How threads wake a shard: whoever posts looks whether it sleeps, and it looks for posts after saying that it will.
#[test]
fn wakes_of_many_threads_guarded_by_a_flag_are_not_lost() {
    const THREADS: u32 = 3;
    const POSTS: u32 = 5_000;
    let posted = Arc::new(AtomicU32::new(0));
    let sleeps = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let (report, reports) = mpsc::channel();
    let (own_posted, own_sleeps) = (Arc::clone(&posted), Arc::clone(&sleeps));
    thread::spawn(move || {
        let (_ring, wait, waker) = ring();
        sender.send(waker).unwrap();
        let mut seen = 0;
        while seen < THREADS * POSTS {
            own_sleeps.store(true, Ordering::SeqCst);
            let now = own_posted.load(Ordering::SeqCst);
            if now == seen {
                wait.wait();
            }
            own_sleeps.store(false, Ordering::SeqCst);
            seen = now;
        }
        report.send(()).unwrap();
    });
    let waker = receiver.recv_timeout(PATIENCE).unwrap();
    let posters = (0..THREADS).map(|_| {
        let (posted, sleeps, waker) = (Arc::clone(&posted), Arc::clone(&sleeps), waker.clone());
        thread::spawn(move || {
            for _ in 0..POSTS {
                posted.fetch_add(1, Ordering::SeqCst);
                if sleeps.swap(false, Ordering::SeqCst) {
                    waker.wake();
                }
                thread::yield_now();
            }
        })
    });
    posters.collect::<Vec<_>>().into_iter().for_each(|poster| poster.join().unwrap());
    reports.recv_timeout(PATIENCE).expect("no wake was lost");
}
