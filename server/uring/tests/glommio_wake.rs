//! The kernel's ring inside a glommio executor: the executor sleeps until the data ring has something.
#![cfg(feature = "glommio")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
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
