//! What a client sends before its address is known waits for it: who may publish depends on the address.

use super::server::{ENDLESS, Server, answers, get, message, post, publish, statuses, upgrade};
use corecast_tests::seeds::for_seeds;
use corecast_uring::testing::{Faults, Peer};
use fastrand::Rng;

/// A server whose clients' addresses come late, and one that has just been queued.
fn with_late_addresses(rng: &mut Rng) -> (Server, Peer) {
    let mut server = Server::start_seeded(rng.u64(..), |_| {});
    server.steps(3);
    server.ring.set_faults(Faults { late_completion: 0.9, ..Faults::none() });
    let client = server.queue();
    server.set_room(client, ENDLESS);
    (server, client)
}

#[test]
fn publish_waits_until_it_is_known_who_asks() {
    for_seeds(50, |rng| {
        let (mut server, client) = with_late_addresses(rng);
        server.send(client, &post(b"hello"));
        let stream = server.read_for(100, client);
        assert_eq!(statuses(&answers(&stream).0), [200]);
        assert_eq!(server.counters().messages_published, 1);
    });
}

#[test]
fn frames_right_behind_a_handshake_wait_with_it() {
    for_seeds(50, |rng| {
        let (mut server, client) = with_late_addresses(rng);
        server.send(client, &[upgrade(""), publish(b"hello")].concat());
        let stream = server.read_for(100, client);
        let (answers, frames) = answers(&stream);
        assert_eq!((statuses(&answers), frames), (vec![101], &message(b"hello")[..]));
    });
}

/// More than is kept: reading stops meanwhile, and goes on.
#[test]
fn many_requests_at_once_are_all_answered() {
    for_seeds(20, |rng| {
        let (mut server, client) = with_late_addresses(rng);
        for _ in 0..10 {
            server.send(client, &post(&[b'x'; 10_000]));
        }
        let stream = server.read_for(200, client);
        assert_eq!(statuses(&answers(&stream).0), [200; 10]);
    });
}

#[test]
fn client_that_has_said_all_gets_its_answer() {
    for_seeds(50, |rng| {
        let (mut server, client) = with_late_addresses(rng);
        server.send(client, &get("/health"));
        server.ring.peer_shutdown(client);
        let stream = server.read_for(100, client);
        assert_eq!(statuses(&answers(&stream).0), [200]);
        assert!(server.is_finished(client));
        server.ring.set_faults(Faults::none());
        server.steps(10);
        assert!(server.is_clean());
    });
}

#[test]
fn client_that_is_gone_before_leaves_nothing_behind() {
    for_seeds(50, |rng| {
        let (mut server, client) = with_late_addresses(rng);
        server.send(client, &post(b"hello"));
        server.step();
        server.ring.peer_reset(client);
        server.steps(100);
        server.ring.set_faults(Faults::none());
        server.steps(10);
        assert!(server.is_clean());
    });
}
