//! Upgrading a connection on which HTTP answers are still on their way: the answers come first and whole, then the 101,
//! then messages.

use super::server::{Server, answers, get, message, post, publish, statuses, upgrade};
use corecast_tests::seeds::for_seeds;
use corecast_uring::testing::{Faults, Peer};

/// A client with room for two answers, which has asked for five and reads none.
fn with_half_an_answer_out(server: &mut Server) -> Peer {
    let client = server.connect_with_room(300);
    for _ in 0..5 {
        server.send(client, &get("/health"));
        server.steps(3);
    }
    client
}

/// Five answers, the 101, and messages; the client may have missed "early", which was published before its 101.
fn assert_in_order(stream: &[u8]) {
    let (answers, frames) = answers(stream);
    assert_eq!(statuses(&answers), [200, 200, 200, 200, 200, 101]);
    assert!(
        frames == message(b"late") || frames == [message(b"early"), message(b"late")].concat(),
        "{frames:02x?}"
    );
}

#[test]
fn upgrade_waits_for_the_answer_that_is_half_out() {
    let mut server = Server::start(|_| {});
    let publisher = server.publisher();
    let client = with_half_an_answer_out(&mut server);
    server.send(client, &upgrade("?role=subscriber"));
    server.steps(3);
    server.send(publisher, &publish(b"early"));
    server.steps(3);
    let mut stream = server.read_for(100, client);
    server.send(publisher, &publish(b"late"));
    stream.extend(server.read_for(10, client));
    assert_in_order(&stream);
}

/// Room comes, and the completion that says so is late: the pass could send at once.
#[test]
fn message_does_not_overtake_the_rest_of_an_answer() {
    for_seeds(50, |rng| {
        let mut server = Server::start_seeded(rng.u64(..), |_| {});
        let publisher = server.publisher();
        let client = with_half_an_answer_out(&mut server);
        server.send(client, &upgrade("?role=subscriber"));
        server.steps(3);
        let mut stream = server.read(client);
        server.set_room(client, 100_000);
        server.ring.set_faults(Faults { cq_overflow: 1.0, ..Faults::none() });
        server.send(publisher, &publish(b"early"));
        stream.extend(server.read_for(20, client));
        server.ring.set_faults(Faults::none());
        stream.extend(server.read_for(20, client));
        server.send(publisher, &publish(b"late"));
        stream.extend(server.read_for(10, client));
        assert_in_order(&stream);
    });
}

/// The client's reading was paused for its answers. When it goes on, the upgrade and a publish come in the same turn, before
/// that turn's pass.
#[test]
fn no_message_comes_before_the_101_of_an_upgrade_that_was_kept() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(300);
    for _ in 0..125 {
        server.send(client, &get("/health"));
    }
    server.send(client, &upgrade(""));
    server.send(client, &publish(b"hello"));
    server.steps(5);
    assert_eq!(server.counters().replies_bound_hit, 1);
    server.set_room(client, 1 << 20);
    let stream = server.read_for(50, client);
    let (answers, frames) = answers(&stream);
    assert_eq!(statuses(&answers), [vec![200; 125], vec![101]].concat());
    assert_eq!(frames, message(b"hello"));
}

#[test]
fn message_of_another_does_not_come_before_the_101_either() {
    let mut server = Server::start(|_| {});
    let publisher = server.publisher();
    let client = server.connect_with_room(300);
    for _ in 0..125 {
        server.send(client, &get("/health"));
    }
    server.send(client, &upgrade("?role=subscriber"));
    server.steps(5);
    server.set_room(client, 1 << 20);
    let mut stream = Vec::new();
    for number in 0..50_u8 {
        server.send(publisher, &publish(&[number]));
        stream.extend(server.read_for(1, client));
    }
    let (answers, frames) = answers(&stream);
    assert_eq!(statuses(&answers), [vec![200; 125], vec![101]].concat());
    // Some of the messages were published before it was subscribed; from its first one on it has all.
    let first = *frames.last().expect("it gets the later ones") as usize + 1 - frames.len() / 3;
    let expected: Vec<u8> = (first as u8..50).flat_map(|number| message(&[number])).collect();
    assert!(frames == expected, "{frames:02x?}");
}

#[test]
fn pipelined_requests_are_answered_in_order_before_the_101() {
    let mut server = Server::start(|_| {});
    let client = server.connect_with_room(100);
    for _ in 0..40 {
        server.send(client, &get("/health"));
        server.send(client, &get("/topics/unknown"));
        server.send(client, &post(b"x"));
    }
    server.send(client, &upgrade("?role=subscriber"));
    let stream = server.read_for(2000, client);
    let (answers, frames) = answers(&stream);
    assert_eq!(statuses(&answers), [[200, 404, 200].repeat(40), vec![101]].concat());
    assert_eq!(frames, b"");
    for (number, three) in answers.chunks_exact(3).enumerate() {
        assert!(three[0].body.contains("\"status\":\"healthy\""), "{}", three[0].body);
        assert!(three[1].body.contains("unknown"), "{}", three[1].body);
        assert!(three[2].body.contains(&format!("\"offset\":{},", number + 1)), "{}", three[2].body);
    }
}
