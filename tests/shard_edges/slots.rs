//! Slots of the connection table: every one comes back, and some are left for the operator.

use super::server::{Server, get, publish, text};
use corecast::shard::Turn;
use corecast_protocol::Side;
use corecast_tests::seeds::for_seeds;
use corecast_tests::wire::{CLOSE, close_body, frame_to};
use corecast_uring::testing::{Faults, Peer};
use corecast_uring::{ListenerId, Ring};

const LATE: Faults = Faults { late_completion: 0.8, ..Faults::none() };

/// The last completion of a receive that is cancelled may overtake the cancel's own. Then the next receive is armed, and has
/// to be cancelled too, before the first cancel is known to be done.
#[test]
fn connection_whose_receive_is_cancelled_twice_gives_its_slot_back() {
    for_seeds(200, |rng| {
        let mut server = Server::start_seeded(rng.u64(..), |config| {
            config.max_message_bytes = 16 << 10;
            config.max_frame_bytes = 16 << 10;
            config.topic_log_bytes = 32 << 10;
        });
        let subscriber = server.subscriber();
        let publisher = server.publisher();
        server.ring.set_faults(LATE);
        // One message goes out; the others are held back, and reading is paused.
        server.send(publisher, &publish(&[1; 10_000]).repeat(3));
        server.steps(rng.usize(1..10));
        server.send(publisher, &frame_to(Side::Server, CLOSE, &close_body(1000, "")));
        for _ in 0..30 {
            server.advance(1);
            server.read(subscriber);
            server.read(publisher);
        }
        assert_eq!(server.ring.peer_file(publisher), None, "half a minute later it is still open");
        assert_eq!(server.closes(), [("1000", 1)]);
    });
}

/// What a cancel met ends in its own time. Asking again meanwhile would, with thousands of connections dying at once, fill the
/// queue with cancels.
#[test]
fn a_receive_is_cancelled_once_however_late_it_ends() {
    let operations = |seed, faults| {
        let mut server = Server::start_seeded(seed, |_| {});
        let client = server.subscriber();
        server.ring.set_faults(faults);
        server.send(client, &frame_to(Side::Server, CLOSE, &close_body(1000, "")));
        let before = server.ring.stats().sqes;
        // A client's turn more than it takes, and less than a tick.
        server.steps(200);
        assert_eq!(server.ring.peer_file(client), None, "it is closed");
        server.ring.stats().sqes - before
    };
    let at_best = operations(1, Faults::none());
    for_seeds(200, |rng| assert_eq!(operations(rng.u64(..), LATE), at_best));
}

/// With few free slots an accept for many is cancelled and one for a single connection armed in its place.
#[test]
fn drain_ends_although_an_accept_was_armed_anew() {
    for_seeds(200, |rng| {
        let mut server = Server::start_seeded(rng.u64(..), |config| config.max_connections = 4097);
        server.steps(3);
        server.ring.set_faults(LATE);
        for _ in 0..3 {
            server.queue();
        }
        server.steps(rng.usize(2..8));
        server.drain();
        let is_finished = (0..30).any(|_| {
            server.advance(1);
            server.step() == Turn::Finished
        });
        assert!(is_finished, "not finished after half a minute; drain_timeout is 10 s");
        assert!(server.is_clean());
    });
}

// The reserve -----------------------------------------------------------------------------------------------------

/// Clients beyond `max_connections`, each of which asks, keeps its connection, and connects anew when it loses it.
struct Crowd {
    peers: Vec<Peer>,
}

impl Crowd {
    fn connect(server: &mut Server, count: usize) -> Self {
        let peers = (0..count).map(|_| Self::ask(server)).collect();
        // With few free slots they are let in one a turn.
        server.steps(4 * count);
        Self { peers }
    }

    fn ask(server: &mut Server) -> Peer {
        let peer = server.queue();
        server.send(peer, &get("/health"));
        peer
    }

    fn go_on(&mut self, server: &mut Server) {
        for peer in &mut self.peers {
            let answer = server.read(*peer);
            if server.ring.peer_is_closed(*peer) {
                *peer = Self::ask(server);
            } else if !answer.is_empty() {
                server.send(*peer, &get("/health"));
            }
        }
    }
}

fn crowded_server() -> (Server, ListenerId) {
    let mut server = Server::start(|config| config.max_connections = 1);
    let admin = server.add_listener(true);
    (server, admin)
}

/// The operator's browser or scraper asks, is answered and goes; again and again.
fn assert_admin_is_answered(server: &mut Server, crowd: &mut Crowd, admin: ListenerId) {
    for round in 0..5 {
        let operator = server.queue_at(admin);
        server.send(operator, &get("/metrics"));
        let is_answered = (0..30).any(|_| {
            server.advance(1);
            crowd.go_on(server);
            text(&server.read(operator)).starts_with("HTTP/1.1 200 ")
        });
        assert!(is_answered, "round {round}: no answer in half a minute");
        server.ring.peer_shutdown(operator);
        server.advance(1);
        crowd.go_on(server);
    }
}

#[test]
fn admin_is_answered_while_clients_over_the_limit_keep_asking() {
    let (mut server, admin) = crowded_server();
    let mut crowd = Crowd::connect(&mut server, 65);
    assert_admin_is_answered(&mut server, &mut crowd, admin);
}

#[test]
fn admin_is_answered_while_more_clients_wait_than_the_reserve_holds() {
    let (mut server, admin) = crowded_server();
    let mut crowd = Crowd::connect(&mut server, 200);
    assert_admin_is_answered(&mut server, &mut crowd, admin);
}

#[test]
fn clients_over_the_limit_do_not_keep_their_connections() {
    let (mut server, _) = crowded_server();
    let first = server.connect();
    server.send(first, &get("/health"));
    server.steps(5);
    assert!(!server.ring.peer_is_closed(first), "max_connections is one");
    let second = server.connect();
    server.send(second, &get("/health"));
    let answer = text(&server.read_for(5, second));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(server.is_finished(second));
}
