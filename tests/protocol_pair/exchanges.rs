//! Whole conversations, split at every byte and delivered byte by byte.

use corecast_protocol::{MessageKind, Opcode};
use corecast_tests::wire::Seen;

use crate::pair::however_delivered;

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

#[test]
fn each_side_hears_what_the_other_said() {
    however_delivered(
        |pair| {
            pair.client.send(Opcode::Text, b"Hello, server");
            pair.server.send(Opcode::Text, b"Hello, client");
            pair.settle();
            pair.client.send(Opcode::Binary, &[0, 1, 2, 0xff]);
            pair.server.send(Opcode::Binary, &[3, 4, 5, 0xfe]);
        },
        &[text("Hello, client"), Seen::Binary(vec![3, 4, 5, 0xfe])],
        &[text("Hello, server"), Seen::Binary(vec![0, 1, 2, 0xff])],
    );
}

#[test]
fn empty_messages_are_messages() {
    however_delivered(
        |pair| {
            for end in [&mut pair.client, &mut pair.server] {
                end.send(Opcode::Text, b"");
                end.send(Opcode::Binary, b"");
                end.send_fragments(MessageKind::Text, &[b"", b"", b""]);
            }
        },
        &[text(""), Seen::Binary(vec![]), text("")],
        &[text(""), Seen::Binary(vec![]), text("")],
    );
}

#[test]
fn pings_are_answered_in_order_with_their_payloads() {
    however_delivered(
        |pair| {
            pair.client.send(Opcode::Ping, b"are you there?");
            pair.client.send(Opcode::Ping, b"");
            pair.client.send(Opcode::Text, b"behind the pings");
            pair.server.send(Opcode::Ping, &[0xff; 125]);
        },
        &[Seen::Ping(vec![0xff; 125]), Seen::Pong(b"are you there?".to_vec()), Seen::Pong(vec![])],
        &[
            Seen::Ping(b"are you there?".to_vec()),
            Seen::Ping(vec![]),
            text("behind the pings"),
            Seen::Pong(vec![0xff; 125]),
        ],
    );
}

#[test]
fn lengths_around_each_form_of_the_header_arrive() {
    for length in [1, 124, 125, 126, 127, 300] {
        let payload = vec![b'x'; length];
        however_delivered(
            |pair| {
                pair.client.send(Opcode::Binary, &payload);
                pair.server.send(Opcode::Binary, &payload);
            },
            &[Seen::Binary(payload.clone())],
            &[Seen::Binary(payload.clone())],
        );
    }
}

#[test]
fn fragments_are_joined_with_pings_between_them() {
    however_delivered(
        |pair| {
            pair.client.send_fragments(
                MessageKind::Text,
                &["frag".as_bytes(), "mentiert: ü".as_bytes(), b"\xf0\x9f", b"\x8c\x8d"],
            );
            pair.client.send(Opcode::Ping, b"1");
            pair.client.send_fragments(MessageKind::Binary, &[b"a", b"", b"bc"]);
            pair.server.send_fragments(MessageKind::Binary, &[b"", b"", b"late"]);
            pair.server.send(Opcode::Text, b"whole");
        },
        &[Seen::Binary(b"late".to_vec()), text("whole"), Seen::Pong(b"1".to_vec())],
        &[text("fragmentiert: ü🌍"), Seen::Ping(b"1".to_vec()), Seen::Binary(b"abc".to_vec())],
    );
}

#[test]
fn an_exchange_ends_with_the_closing_handshake() {
    however_delivered(
        |pair| {
            pair.client.send(Opcode::Text, b"last words");
            pair.client.send(Opcode::Ping, b"?");
            pair.client.close(1000, "done");
            pair.settle();
            assert!(pair.is_closed());
        },
        &[Seen::Pong(b"?".to_vec()), Seen::Close(Some((1000, String::new())))],
        &[text("last words"), Seen::Ping(b"?".to_vec()), Seen::Close(Some((1000, "done".to_owned())))],
    );
}
