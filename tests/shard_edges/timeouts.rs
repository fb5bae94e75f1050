//! Clients that stop: every one of them is let go in bounded time, and none that goes on is.

use super::server::{Server, answers, get, statuses};

/// Longer than every timeout of the default configuration.
const LONG_SECONDS: u64 = 120;

#[test]
fn client_that_does_not_take_its_answers_is_let_go() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(300);
    for _ in 0..70 {
        server.send(client, &get("/health"));
    }
    server.advance(LONG_SECONDS);
    assert_eq!(server.counters().replies_bound_hit, 0);
    assert_eq!(server.ring.peer_file(client), None);
    assert!(server.is_clean());
}

#[test]
fn client_whose_reading_is_paused_for_its_answers_is_let_go() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(300);
    for _ in 0..150 {
        server.send(client, &get("/health"));
    }
    server.advance(LONG_SECONDS);
    assert_eq!(server.counters().replies_bound_hit, 1);
    assert_eq!(server.ring.peer_file(client), None);
    assert_eq!(server.counters().connections_timed_out, 1);
    assert!(server.is_clean());
}

/// Its last answer, for something that is no request, is the one over the bound.
#[test]
fn client_that_does_not_take_its_last_answer_is_let_go() {
    let mut server = Server::start(|_| {});
    let bytes = answer_bytes(&mut server);
    let client = server.connect_with_room(300);
    // As many answers as may wait, less what the socket takes.
    let count = (300 + (16 << 10)) / bytes;
    for _ in 0..count {
        server.send(client, &get("/health"));
    }
    server.send(client, b"nonsense\r\n\r\n");
    server.advance(LONG_SECONDS);
    assert_eq!(server.counters().replies_bound_hit, 1, "{count} answers fit");
    assert_eq!(server.ring.peer_file(client), None);
    assert!(server.is_clean());
}

fn answer_bytes(server: &mut Server) -> usize {
    let client = server.connect();
    server.send(client, &get("/health"));
    let bytes = server.read_for(5, client).len();
    server.ring.peer_shutdown(client);
    server.steps(5);
    bytes
}

/// It takes more than a minute for all of them, but never a minute for any.
#[test]
fn client_that_takes_its_answers_slowly_gets_all() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(300);
    for _ in 0..150 {
        server.send(client, &get("/health"));
    }
    let mut stream = Vec::new();
    for _ in 0..LONG_SECONDS {
        server.advance(1);
        stream.extend(server.read(client));
    }
    assert_eq!(server.counters().replies_bound_hit, 1);
    assert_eq!(statuses(&answers(&stream).0), [200; 150]);
}

#[test]
fn idle_connection_ends_with_a_fin() {
    let mut server = Server::start(|_| {});
    let client = server.connect();
    server.send(client, &get("/health"));
    server.steps(5);
    server.read(client);
    server.advance(50);
    assert!(!server.ring.peer_is_closed(client), "http_idle_timeout is 60 s");
    server.advance(14);
    assert!(server.is_finished(client));
    assert_eq!(server.read(client), b"");
    assert_eq!(server.counters().connections_timed_out, 1);
    server.advance(10);
    assert_eq!(server.ring.peer_file(client), None, "whether its peer ends its side or not");
}
