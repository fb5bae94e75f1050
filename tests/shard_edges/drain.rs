//! Stopping gently: who is in the middle of something is answered, and nobody is waited for in vain.

use super::laggers::messages;
use super::server::{Server, answers, get, post, publish, statuses, upgrade};
use corecast::shard::Turn;
use corecast_protocol::CloseCode;
use corecast_uring::testing::Peer;

/// Turns of a millisecond until the drain is done; its clients read, and end their side when the server ends its own.
fn drained(server: &mut Server, clients: &[Peer], streams: &mut [Vec<u8>]) -> Option<usize> {
    let mut ended = vec![false; clients.len()];
    (0..20_000).find(|_| {
        let turn = server.step();
        for (index, &client) in clients.iter().enumerate() {
            streams[index].extend(server.read(client));
            if server.ring.peer_is_closed(client) && !std::mem::replace(&mut ended[index], true) {
                server.ring.peer_shutdown(client);
            }
        }
        turn == Turn::Finished
    })
}

#[test]
fn clients_that_wait_in_the_queue_are_answered_503() {
    let mut server = Server::start(|_| {});
    server.steps(3);
    // One of them is accepted in the turn in which the drain begins; the others wait behind it.
    let clients: Vec<Peer> = (0..4).map(|_| server.queue()).collect();
    let requests = [get("/topics/t"), get("/health"), upgrade(""), post(b"x")];
    for (&client, request) in clients.iter().zip(&requests) {
        server.send(client, request);
    }
    server.drain();
    let mut streams = vec![Vec::new(); 4];
    let millis = drained(&mut server, &clients, &mut streams);
    for (number, (&client, stream)) in clients.iter().zip(&streams).enumerate() {
        let (answers, rest) = answers(stream);
        assert_eq!((statuses(&answers), rest), (vec![503], &b""[..]), "client {number}");
        assert!(answers[0].head.contains("\r\nConnection: close\r\n"), "{}", answers[0].head);
        assert!(server.is_finished(client), "not by a reset, which would destroy the answer");
    }
    assert!(answers(&streams[0]).0[0].head.contains("\r\nRetry-After: 1\r\n"));
    assert!(millis.is_some_and(|millis| millis < 1000), "{millis:?} ms");
    assert!(server.is_clean());
}

#[test]
fn client_that_came_after_the_listener_was_closed_is_refused() {
    let mut server = Server::start(|_| {});
    server.steps(3);
    server.drain();
    server.steps(20);
    let client = server.queue();
    assert!(server.ring.peer_was_reset(client));
}

/// The answer is half out when the drain begins. Once it is out, the connection has no reason to stay.
#[test]
fn half_sent_answer_is_finished_and_not_waited_for_any_longer() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(100);
    server.send(client, &get("/health"));
    server.steps(4);
    server.drain();
    let mut streams = vec![Vec::new()];
    let millis = drained(&mut server, &[client], &mut streams);
    let (answers, rest) = answers(&streams[0]);
    assert_eq!((statuses(&answers), rest), (vec![200], &b""[..]));
    assert!(server.is_finished(client));
    assert!(millis.is_some_and(|millis| millis < 1000), "{millis:?} ms; drain_timeout is 10 s");
    assert!(server.is_clean());
}

#[test]
fn request_that_is_half_here_is_answered() {
    let mut server = Server::start(|_| {});
    let client = server.connect();
    let request = get("/topics/t");
    server.send(client, &request[..20]);
    server.steps(4);
    server.drain();
    server.step();
    server.send(client, &request[20..]);
    let mut streams = vec![Vec::new()];
    let millis = drained(&mut server, &[client], &mut streams);
    assert_eq!(statuses(&answers(&streams[0]).0), [503]);
    assert!(server.is_finished(client));
    assert!(millis.is_some_and(|millis| millis < 1000), "{millis:?} ms");
}

/// A subscriber whose socket is full when the stop is said is given time for what was answered before.
#[test]
fn subscriber_that_lags_gets_what_was_published_before_the_stop() {
    let mut server = Server::start(|_| {});
    let subscriber = server.subscriber();
    server.set_room(subscriber, 50);
    let publisher = server.publisher();
    server.send(publisher, &[publish(&[1; 200]), publish(b"last")].concat());
    server.steps(3);
    server.drain();
    server.steps(3);
    server.set_room(subscriber, 10_000);
    let got = server.read_for(10, subscriber);
    assert_eq!(messages(got), (vec![vec![1; 200], b"last".to_vec()], Some(CloseCode::GOING_AWAY)));
}

/// Nobody is left who would get the message: a 200 would be a promise that can't be kept.
#[test]
fn publish_whose_body_ends_after_the_stop_is_refused() {
    let mut server = Server::start(|_| {});
    let client = server.connect();
    let request = post(b"hello");
    server.send(client, &request[..request.len() - 2]);
    server.steps(4);
    server.drain();
    server.step();
    server.send(client, &request[request.len() - 2..]);
    let mut streams = vec![Vec::new()];
    let millis = drained(&mut server, &[client], &mut streams);
    assert_eq!(statuses(&answers(&streams[0]).0), [503]);
    assert_eq!(server.counters().messages_published, 0);
    assert!(millis.is_some_and(|millis| millis < 1000), "{millis:?} ms");
}

#[test]
fn idle_connection_is_ended_at_once() {
    let mut server = Server::start(|_| {});
    let client = server.connect();
    server.send(client, &get("/health"));
    server.steps(5);
    server.read(client);
    server.drain();
    let mut streams = vec![Vec::new()];
    let millis = drained(&mut server, &[client], &mut streams);
    assert_eq!(streams[0], b"");
    assert!(server.is_finished(client));
    assert!(millis.is_some_and(|millis| millis < 1000), "{millis:?} ms");
}

#[test]
fn client_that_does_not_read_is_cut_when_the_time_is_over() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(100);
    server.send(client, &get("/health"));
    server.steps(4);
    server.drain();
    server.advance(5);
    let is_finished = (0..8).any(|_| {
        server.advance(1);
        server.step() == Turn::Finished
    });
    assert!(is_finished, "drain_timeout is 10 s");
    assert!(server.is_clean());
}
