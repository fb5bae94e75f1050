//! Frames of a connection that agreed on permessage-deflate (RFC 7692 §6). What is in them is `crate::deflate`'s.

use super::*;

fn deflated(kind: MessageKind, payload: impl AsRef<[u8]>) -> Seen {
    Seen::Deflated(kind, payload.as_ref().to_vec())
}

fn assert_events(side: Side, stream: &[u8], expected: &[Seen]) {
    let new = || Connection::new(side).with_deflate(true);
    assert_events_of(new, &Limits::default(), stream, expected);
}

/// RFC 7692 §7.2.3.1: "Hello" in one frame and in two.
#[test]
fn compressed_messages_come_out_whole_and_as_they_were_sent() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for side in BOTH_SIDES {
        let stream = [
            frame_to(side, 0xC1, hello),
            frame_to(side, 0x41, &hello[..3]),
            frame_to(side, 0x89, "ping"),
            frame_to(side, 0x80, &hello[3..]),
            frame_to(side, 0xC2, hello),
        ];
        let expected = [
            deflated(MessageKind::Text, hello),
            ping("ping"),
            deflated(MessageKind::Text, hello),
            deflated(MessageKind::Binary, hello),
        ];
        assert_events(side, &stream.concat(), &expected);
    }
}

/// RFC 7692 §6: each message says for itself. What is plain is checked as ever.
#[test]
fn plain_messages_come_between_compressed_ones() {
    for side in BOTH_SIDES {
        let stream =
            [frame_to(side, 0x81, "hi"), frame_to(side, 0xC1, "\x00"), frame_to(side, 0x01, "\u{fc}")];
        let stream = [stream.concat(), frame_to(side, 0x80, "!")].concat();
        let expected = [text("hi"), deflated(MessageKind::Text, "\x00"), text("\u{fc}!")];
        assert_events(side, &stream, &expected);
        let error = ProtocolError::InvalidUtf8 { position: 0 };
        assert_events(side, &frame_to(side, 0x81, [0xff]), &[Seen::Failed(error)]);
    }
}

/// RFC 7692 §6.1: not on control frames, not on later fragments.
#[test]
fn the_compressed_bit_is_for_first_frames_only() {
    for side in BOTH_SIDES {
        for (first, opcode) in [(0xC8, Opcode::Close), (0xC9, Opcode::Ping), (0xCA, Opcode::Pong)] {
            let error = ProtocolError::MisplacedCompressedBit { opcode };
            assert_events(side, &frame_to(side, first, ""), &[Seen::Failed(error)]);
        }
        for begin in [0x01, 0x41] {
            let stream = [frame_to(side, begin, "\x00"), frame_to(side, 0xC0, "")].concat();
            let error = ProtocolError::MisplacedCompressedBit { opcode: Opcode::Continuation };
            assert_events(side, &stream, &[Seen::Failed(error)]);
        }
    }
}

/// RFC 6455 §5.2: the other two belong to nobody.
#[test]
fn the_other_reserved_bits_are_refused_still() {
    for side in BOTH_SIDES {
        for rsv in [1, 2, 3, 5, 6, 7] {
            let stream = frame_to(side, 0x81 | rsv << 4, "");
            assert_events(side, &stream, &[Seen::Failed(ProtocolError::ReservedBits { rsv })]);
        }
    }
}

/// What does not shrink arrives longer than it is: by a sixteenth and 64 bytes at most.
#[test]
fn limits_are_held_against_what_arrives() {
    let limits = Limits::default().with_max_message_bytes(160).unwrap().with_max_frame_bytes(32).unwrap();
    for side in BOTH_SIDES {
        let new = || Connection::new(side).with_deflate(true);
        let in_frames = |lengths: &[usize]| -> Vec<u8> {
            let last = lengths.len() - 1;
            let frames = lengths.iter().enumerate().map(|(at, &length)| {
                let first_byte = if at == 0 { 0x42 } else { 0x00 } | if at == last { 0x80 } else { 0x00 };
                frame_to(side, first_byte, "x".repeat(length))
            });
            frames.flatten().collect()
        };
        let whole = |length: usize| deflated(MessageKind::Binary, "x".repeat(length));
        assert_events_of(new, &limits, &in_frames(&[98]), &[whole(98)]);
        let error = ProtocolError::FrameTooBig { length: 99, limit: 32 };
        assert_events_of(new, &limits, &in_frames(&[99]), &[Seen::Failed(error)]);
        assert_events_of(new, &limits, &in_frames(&[98, 98, 38]), &[whole(234)]);
        let error = ProtocolError::MessageTooBig { length: 235, limit: 160 };
        assert_events_of(new, &limits, &in_frames(&[98, 98, 39]), &[Seen::Failed(error)]);
        // The same connection's plain messages get nothing extra.
        let error = ProtocolError::FrameTooBig { length: 33, limit: 32 };
        assert_events_of(new, &limits, &frame_to(side, 0x82, "x".repeat(33)), &[Seen::Failed(error)]);
    }
}
