//! The opening handshake of one side read by the other (RFC 6455 §4), and the first frames in the same read
//! as its end.

use corecast_protocol::handshake::client::ClientHandshake;
use corecast_protocol::handshake::server::accept_upgrade;
use corecast_protocol::http1::{Parsed, parse_request};
use corecast_protocol::{Limits, Side};
use corecast_tests::seeds::for_seeds;
use corecast_tests::wire::{Receiver, Seen, TEXT, frame_to};

const KNOWN: [&str; 2] = ["corecast.json.v1", "chat"];

/// The server's answer to `request`, its length, and the subprotocol agreed on; `None` while the request is
/// incomplete.
fn server_reads(request: &[u8]) -> Option<(Vec<u8>, usize, Option<&'static str>)> {
    match parse_request(request, &Limits::default()).expect("our own request is in order") {
        Parsed::Incomplete => None,
        Parsed::Complete { head, length } => {
            let accepted = accept_upgrade(&head, &KNOWN).expect("our own request is a handshake");
            let mut response = Vec::new();
            accepted.write_response(&mut response);
            Some((response, length, accepted.subprotocol()))
        }
    }
}

#[test]
fn sides_open_a_connection_whatever_the_key_and_the_offer() {
    for_seeds(200, |rng| {
        let mut key = [0; 16];
        rng.fill(&mut key);
        let mut offer = vec!["other", "corecast.json.v1", "chat", "mqtt"];
        rng.shuffle(&mut offer);
        offer.truncate(rng.usize(..=4));
        let handshake = ClientHandshake {
            host: "127.0.0.1:9001",
            target: "/topics/prices",
            key,
            subprotocols: &offer,
            origin: None,
            deflate: false,
            headers: &[],
        };
        let mut request = Vec::new();
        handshake.write_request(&mut request);
        let (response, length, chosen) = server_reads(&request).expect("the whole request");
        assert_eq!(length, request.len());

        let (agreed, length) = handshake
            .verify(&response, &Limits::default())
            .expect("the answer to our own request")
            .expect("the whole answer");
        assert_eq!((agreed.subprotocol, length), (chosen, response.len()));
        assert_eq!(chosen, offer.iter().copied().find(|name| KNOWN.contains(name)), "of {offer:?}");
    });
}

#[test]
fn answer_to_one_key_does_not_open_a_connection_with_another() {
    let handshake = |key| ClientHandshake {
        host: "a",
        target: "/",
        key,
        subprotocols: &[],
        origin: None,
        deflate: false,
        headers: &[],
    };
    let mut request = Vec::new();
    handshake([1; 16]).write_request(&mut request);
    let (response, ..) = server_reads(&request).expect("the whole request");
    assert!(handshake([1; 16]).verify(&response, &Limits::default()).is_ok());
    assert!(handshake([2; 16]).verify(&response, &Limits::default()).is_err());
}

// A server may send at once (§4.2.2), a client as soon as it has the answer: head and frames may share a
// read.
#[test]
fn frames_behind_the_head_are_found_however_it_is_split() {
    let handshake = ClientHandshake {
        host: "localhost",
        target: "/topics/a",
        key: *b"the sample nonce",
        subprotocols: &[],
        origin: None,
        deflate: false,
        headers: &[],
    };
    let mut request = Vec::new();
    handshake.write_request(&mut request);
    let (mut response, ..) = server_reads(&request).expect("the whole request");
    let head_bytes = response.len();
    response.extend(frame_to(Side::Client, TEXT, b"already here"));

    for cut in 0..response.len() {
        let mut receiver = Receiver::new(Side::Client);
        let first = handshake.verify(&response[..cut], &Limits::default()).expect("in order so far");
        assert_eq!(
            first.map(|(_, length)| length),
            (cut >= head_bytes).then_some(head_bytes),
            "cut at {cut}"
        );
        let (_, length) = handshake.verify(&response, &Limits::default()).unwrap().expect("the whole answer");
        let seen_first = cut.max(length);
        receiver.hear(&response[length..seen_first]).hear(&response[seen_first..]);
        assert_eq!(receiver.seen, [Seen::Text("already here".to_owned())], "cut at {cut}");
    }

    request.extend(frame_to(Side::Server, TEXT, b"at once"));
    for cut in 0..request.len() {
        match server_reads(&request[..cut]) {
            None => assert!(cut < request.len() - frame_to(Side::Server, TEXT, b"at once").len()),
            Some((_, length, _)) => {
                let mut receiver = Receiver::new(Side::Server);
                receiver.hear(&request[length..cut]).hear(&request[cut..]);
                assert_eq!(receiver.seen, [Seen::Text("at once".to_owned())], "cut at {cut}");
            }
        }
    }
}
