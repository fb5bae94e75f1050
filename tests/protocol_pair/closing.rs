//! The closing handshake (RFC 6455 §7.1.2 to §7.1.6), begun by either side and by both at once.

use corecast_protocol::{MessageKind, Opcode};
use corecast_tests::wire::Seen;

use crate::pair::{Pair, Pieces, however_delivered};

fn closed(code: u16, reason: &str) -> Seen {
    Seen::Close(Some((code, reason.to_owned())))
}

#[test]
fn client_begins_and_server_answers() {
    however_delivered(
        |pair| {
            pair.client.close(1000, "goodbye");
            pair.settle();
            assert!(pair.is_closed());
        },
        &[closed(1000, "")],
        &[closed(1000, "goodbye")],
    );
}

#[test]
fn server_begins_and_client_answers() {
    however_delivered(
        |pair| {
            pair.server.close(1001, "drain");
            pair.settle();
            assert!(pair.is_closed());
        },
        &[closed(1001, "drain")],
        &[closed(1001, "")],
    );
}

// §5.5.1: "If a client and server both send a Close message at the same time, both endpoints will have sent
// and received a Close message". §7.1.5: "Each endpoint will see the status code sent by the other end".
#[test]
fn both_begin_at_once_and_none_answers() {
    however_delivered(
        |pair| {
            pair.client.close(1000, "from the client");
            pair.server.close(1001, "from the server");
            pair.settle();
            assert!(pair.is_closed());
        },
        &[closed(1001, "from the server")],
        &[closed(1000, "from the client")],
    );
}

#[test]
fn close_without_a_code_is_answered_without_one() {
    however_delivered(
        |pair| {
            pair.server.send(Opcode::Close, b"");
            pair.server.receiver.connection.mark_close_sent();
            pair.settle();
            assert!(pair.is_closed());
        },
        &[Seen::Close(None)],
        &[Seen::Close(None)],
    );
}

#[test]
fn messages_sent_before_close_arrive_before_it() {
    however_delivered(
        |pair| {
            // The client's Close crosses the server's messages: they are still read (§1.4).
            pair.client.close(1000, "");
            pair.server.send(Opcode::Text, b"crossing");
            pair.server.send_fragments(MessageKind::Binary, &[b"in ", b"flight"]);
        },
        &[Seen::Text("crossing".to_owned()), Seen::Binary(b"in flight".to_vec()), closed(1000, "")],
        &[closed(1000, "")],
    );
}

#[test]
fn whatever_follows_close_is_discarded() {
    however_delivered(
        |pair| {
            pair.client.close(1000, "");
            // A peer that breaks §5.5.1: data, a ping, another Close after Close.
            pair.client.send(Opcode::Text, b"one more thing");
            pair.client.send(Opcode::Ping, b"?");
            pair.client.close(4000, "really");
        },
        &[closed(1000, "")],
        &[closed(1000, "")],
    );
}

#[test]
fn close_cuts_an_unfinished_message_short() {
    for pieces in [Pieces::Whole, Pieces::OfBytes(1)] {
        let mut pair = Pair::new(pieces);
        pair.client.send_unfinished(MessageKind::Text, b"begun, never ended");
        pair.client.close(1001, "");
        pair.settle();
        assert_eq!(pair.server.receiver.seen, [closed(1001, "")]);
        assert!(pair.is_closed());
        assert_eq!(
            pair.server.receiver.connection.buffered_bytes(),
            0,
            "an unfinished message is kept after Close"
        );
    }
}

#[test]
fn every_code_and_reason_arrives_as_sent() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4000, 4008, 4999] {
        for reason in ["", "x", "grüße", "🌍🌍🌍"] {
            for pieces in [Pieces::Whole, Pieces::OfBytes(1)] {
                let mut pair = Pair::new(pieces);
                pair.server.close(code, reason);
                pair.settle();
                assert_eq!(pair.client.receiver.seen, [closed(code, reason)]);
                assert!(pair.is_closed());
            }
        }
    }
}
