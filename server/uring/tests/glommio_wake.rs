//! The kernel's ring inside a glommio executor: the executor sleeps until the data ring has something.
#![cfg(feature = "glommio")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use corecast_uring::wake::{EventWait, Waker};
use corecast_uring::{File, KernelRing, Op, Ring, RingConfig, Send, Token};
use glommio::{LocalExecutorBuilder, Placement};

const PATIENCE: Duration = Duration::from_secs(20);
const ACCEPT: u8 = 1;
const RECEIVE: u8 = 2;

fn config() -> RingConfig {
    RingConfig { files: 8, receive_buffers: 8, eventfd: true, ..RingConfig::default() }
}

/// Echoes on one connection until it ends; returns how many bytes.
async fn echo(mut ring: KernelRing, wait: EventWait) -> usize {
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
            wait.wait().await;
        }
    }
}

#[test]
fn arrivals_on_the_data_ring_wake_the_executor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = LocalExecutorBuilder::new(Placement::Unbound)
        .spawn(|| async move {
            let mut ring = KernelRing::new(&config()).unwrap();
            let listener = ring.add_listener(listener.into());
            ring.push(Token::new(ACCEPT, 0, 0), Op::Accept { listener });
            let wait = EventWait::new(ring.eventfd().unwrap()).unwrap();
            echo(ring, wait).await
        })
        .unwrap();
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
    let sleeper = LocalExecutorBuilder::new(Placement::Unbound)
        .spawn(|| async move {
            let ring = KernelRing::new(&config()).unwrap();
            let wait = EventWait::new(ring.eventfd().unwrap()).unwrap();
            sender.send(Waker::new(ring.eventfd().unwrap()).unwrap()).unwrap();
            for _ in 0..2 {
                wait.wait().await;
                sender.send(Waker::new(ring.eventfd().unwrap()).unwrap()).unwrap();
            }
        })
        .unwrap();
    let waker = receiver.recv_timeout(PATIENCE).unwrap();
    for _ in 0..2 {
        waker.clone().wake();
        receiver.recv_timeout(PATIENCE).expect("the wait has ended");
    }
    // One wake ends one wait: there was no third to end.
    assert!(receiver.try_recv().is_err());
    sleeper.join().unwrap();
}

#[test]
fn wake_before_the_wait_is_not_lost() {
    let woken = LocalExecutorBuilder::new(Placement::Unbound)
        .spawn(|| async move {
            let ring = KernelRing::new(&config()).unwrap();
            let wait = EventWait::new(ring.eventfd().unwrap()).unwrap();
            let waker = Waker::new(ring.eventfd().unwrap()).unwrap();
            thread::spawn(move || waker.wake()).join().unwrap();
            glommio::timer::timeout(PATIENCE, async {
                wait.wait().await;
                Ok(true)
            })
            .await
            .unwrap_or(false)
        })
        .unwrap();
    assert!(woken.join().unwrap());
}

/// How threads wake a shard: whoever posts looks whether it sleeps, and it looks for posts after saying that it will.
#[test]
fn wakes_of_many_threads_guarded_by_a_flag_are_not_lost() {
    const THREADS: u32 = 3;
    const POSTS: u32 = 5_000;
    let posted = Arc::new(AtomicU32::new(0));
    let sleeps = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let (own_posted, own_sleeps) = (Arc::clone(&posted), Arc::clone(&sleeps));
    let sleeper = LocalExecutorBuilder::new(Placement::Unbound)
        .spawn(|| async move {
            let ring = KernelRing::new(&config()).unwrap();
            let wait = EventWait::new(ring.eventfd().unwrap()).unwrap();
            sender.send(Waker::new(ring.eventfd().unwrap()).unwrap()).unwrap();
            let mut seen = 0;
            while seen < THREADS * POSTS {
                own_sleeps.store(true, Ordering::SeqCst);
                let now = own_posted.load(Ordering::SeqCst);
                if now == seen {
                    let woken = async {
                        wait.wait().await;
                        Ok(())
                    };
                    glommio::timer::timeout(PATIENCE, woken).await.expect("a wake was lost");
                }
                own_sleeps.store(false, Ordering::SeqCst);
                seen = now;
            }
        })
        .unwrap();
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
    sleeper.join().unwrap();
}
