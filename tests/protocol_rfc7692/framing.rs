//! §6: what the bit RSV1 says where, and where it must not stand.

use corecast_protocol::{Connection, Limits, MessageKind, Side};
use corecast_tests::wire::{Receiver, Seen, close_body, frame, frame_to, header_to};

const SIDES: [Side; 2] = [Side::Server, Side::Client];

fn agreed(side: Side, limits: Limits) -> Receiver {
    let mut receiver = Receiver::with_limits(side, limits);
    receiver.connection = Connection::new(side).with_deflate(true);
    receiver
}

/// What a connection with permessage-deflate sees of these bytes and how it fails, however they are cut.
fn assert_hears(side: Side, bytes: &[u8], seen: &[Seen], failure: Option<(u16, &str)>) {
    for piece_bytes in 1..=bytes.len() {
        let mut receiver = agreed(side, Limits::default());
        receiver.hear_in_pieces(bytes, piece_bytes);
        let found = receiver.error.map(|error| (error.close_code().0, error.section()));
        assert_eq!(found, failure, "{side:?} in pieces of {piece_bytes}: {bytes:02x?}: {:?}", receiver.error);
        assert_eq!(receiver.seen, seen, "{side:?} in pieces of {piece_bytes}: {bytes:02x?}");
        assert_eq!(receiver.connection.buffered_bytes(), 0, "{side:?} in pieces of {piece_bytes}");
    }
}

fn deflated(kind: MessageKind, payload: &[u8]) -> Seen {
    Seen::Deflated(kind, payload.to_vec())
}

// §6.1: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first fragments of a data
// message. An endpoint receiving such a frame MUST _Fail the WebSocket Connection_."
#[test]
fn connection_fails_on_the_bit_in_control_frames() {
    for side in SIDES {
        for (first_byte, body) in [(0xc8, close_body(1000, "")), (0xc9, vec![]), (0xca, b"pong".to_vec())] {
            let refused = Some((1002, "RFC 7692 §6.1"));
            assert_hears(side, &frame_to(side, first_byte, &body), &[], refused);
            // Nor inside of a compressed message.
            let inside = [frame_to(side, 0x41, b"\xf2"), frame_to(side, first_byte, &body)].concat();
            assert_hears(side, &inside, &[], refused);
        }
    }
}

#[test]
fn connection_fails_on_the_bit_in_later_fragments() {
    for side in SIDES {
        for begins in [0x01, 0x02, 0x41, 0x42] {
            for goes_on in [0x40, 0xc0] {
                let bytes = [frame_to(side, begins, b"\x00"), frame_to(side, goes_on, b"")].concat();
                assert_hears(side, &bytes, &[], Some((1002, "RFC 7692 §6.1")));
            }
        }
    }
}

// RFC 6455 §5.2, §5.4: what is wrong without compression is wrong with it.
#[test]
fn connection_fails_on_what_no_compression_allows() {
    for side in SIDES {
        // RSV2 and RSV3, alone and beside RSV1.
        for rsv in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
            for first_byte in [0x81, 0x02, 0x89] {
                let bytes = frame_to(side, first_byte | rsv, b"");
                assert_hears(side, &bytes, &[], Some((1002, "RFC 6455 §5.2")));
            }
        }
        // Reserved opcodes.
        for first_byte in [0xc3, 0x47, 0xcb, 0xcf] {
            assert_hears(side, &frame_to(side, first_byte, b""), &[], Some((1002, "RFC 6455 §5.2")));
        }
        // A message inside of a message.
        for (outer, inner) in [(0x41, 0xc1), (0x41, 0x81), (0x01, 0xc1), (0x42, 0x41)] {
            let bytes = [frame_to(side, outer, b""), frame_to(side, inner, b"")].concat();
            assert_hears(side, &bytes, &[], Some((1002, "RFC 6455 §5.4")));
        }
        assert_hears(side, &frame_to(side, 0x80, b""), &[], Some((1002, "RFC 6455 §5.4")));
    }
    // Masks: RFC 6455 §5.1.
    let (bare, masked) = (frame(0xc1, b"\x00", None), frame(0xc1, b"\x00", Some([1, 2, 3, 4])));
    assert_hears(Side::Server, &bare, &[], Some((1002, "RFC 6455 §5.1")));
    assert_hears(Side::Client, &masked, &[], Some((1002, "RFC 6455 §5.1")));
}

// RFC 6455 §5.2: "MUST be 0 unless an extension is negotiated"
#[test]
fn connection_that_did_not_agree_fails_on_the_bit() {
    for side in SIDES {
        for first_byte in [0xc1, 0xc2, 0x41, 0xc9, 0xc0] {
            let mut receiver = Receiver::new(side);
            receiver.hear(&frame_to(side, first_byte, b"\x00"));
            let error = receiver.error.expect("refused");
            assert_eq!((error.close_code().0, error.section()), (1002, "RFC 6455 §5.2"), "{first_byte:02x}");
        }
    }
}

// §6.2; RFC 6455 §5.4: the payloads of the fragments joined are the compressed message; its type is that of the first.
#[test]
fn fragments_are_joined_and_control_frames_come_between() {
    for side in SIDES {
        for (begins, kind) in [(0x41, MessageKind::Text), (0x42, MessageKind::Binary)] {
            let bytes = [
                frame_to(side, begins, b"\xf2\x48"),
                frame_to(side, 0x89, b"ping"),
                frame_to(side, 0x00, b""),
                frame_to(side, 0x00, b"\xcd"),
                frame_to(side, 0x8a, b""),
                frame_to(side, 0x80, b"\xc9\xc9\x07\x00"),
            ]
            .concat();
            let message = deflated(kind, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
            let seen = [Seen::Ping(b"ping".to_vec()), Seen::Pong(vec![]), message];
            assert_hears(side, &bytes, &seen, None);
        }
    }
}

#[test]
fn close_cuts_a_compressed_message_short() {
    for side in SIDES {
        let close = frame_to(side, 0x88, &close_body(1001, "bye"));
        let bytes = [frame_to(side, 0x41, b"\xf2"), close, frame_to(side, 0x80, b"\x00")].concat();
        assert_hears(side, &bytes, &[Seen::Close(Some((1001, "bye".into())))], None);
    }
}

// RFC 6455 §8.1 is about the text, not about what it is sent as; but a plain message on the same connection is text.
#[test]
fn only_plain_text_is_utf8_on_the_wire() {
    for side in SIDES {
        let compressed = frame_to(side, 0xc1, b"\xff\xff");
        assert_hears(side, &compressed, &[deflated(MessageKind::Text, b"\xff\xff")], None);
        assert_hears(side, &frame_to(side, 0x81, b"\xff"), &[], Some((1007, "RFC 6455 §8.1")));
        // The check of one message does not go on in the next.
        let bytes = [compressed, frame_to(side, 0x01, b"\xc3"), frame_to(side, 0x80, b"\xa9")].concat();
        let seen = [deflated(MessageKind::Text, b"\xff\xff"), Seen::Text("\u{e9}".into())];
        assert_hears(side, &bytes, &seen, None);
    }
}

// The first octet of a compressed fragment is a letter, `A` or `B`: nothing that follows makes it HTTP.
#[test]
fn compressed_fragments_are_not_taken_for_http() {
    let bytes = [frame(0x41, &[b'T'; 0x50], None), frame(0x80, b"/1.1", None)].concat();
    assert_eq!(bytes[..4], *b"APTT");
    let message = [&[b'T'; 0x50][..], b"/1.1"].concat();
    assert_hears(Side::Client, &bytes, &[deflated(MessageKind::Text, &message)], None);
}

// RFC 6455 §10.4: limits hold for what arrives, from the header on; what comes out has its own (`hostile`).
#[test]
fn limits_are_held_against_compressed_frames_at_their_header() {
    let limits = |limits: Limits| limits.with_max_message_bytes(1000).unwrap().with_max_fragments(3).unwrap();
    let limits = limits(Limits::default().with_max_frame_bytes(600).unwrap());
    for side in SIDES {
        for (bytes, code) in [
            // What does not shrink grows: a sixteenth and 64 octets are allowed for that.
            (header_to(side, 0xc2, 702), 1009),
            ([frame_to(side, 0x42, &[0; 600]), header_to(side, 0x80, 527)].concat(), 1009),
            ([0x42, 0x00, 0x00, 0x80].map(|first| frame_to(side, first, b"")).concat(), 1008),
        ] {
            let mut receiver = agreed(side, limits);
            receiver.hear(&bytes);
            assert_eq!(receiver.failed_with(), Some(code), "{:02x?}", &bytes[..2]);
            assert_eq!(receiver.seen, []);
        }
        let mut receiver = agreed(side, limits);
        receiver.hear(&[frame_to(side, 0x42, &[0; 701]), frame_to(side, 0x80, &[0; 425])].concat());
        assert_eq!(receiver.seen, [deflated(MessageKind::Binary, &[0; 1126])]);
    }
}
