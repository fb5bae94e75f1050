//! Frames that are right: the examples of RFC 6455 §5.7 as they stand there, and messages of all shapes.

use super::*;

#[test]
fn client_receives_the_unmasked_text_of_section_5_7() {
    assert_events(Side::Client, &[0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F], &[text("Hello")]);
}

#[test]
fn server_receives_the_masked_text_of_section_5_7() {
    let stream = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_events(Side::Server, &stream, &[text("Hello")]);
}

#[test]
fn client_receives_the_fragmented_text_of_section_5_7() {
    let stream = [0x01, 0x03, 0x48, 0x65, 0x6C, 0x80, 0x02, 0x6C, 0x6F];
    assert_events(Side::Client, &stream, &[text("Hello")]);
}

#[test]
fn client_receives_the_ping_and_server_the_masked_pong_of_section_5_7() {
    assert_events(Side::Client, &[0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F], &[ping("Hello")]);
    let pong = [0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_events(Side::Server, &pong, &[Seen::Pong(b"Hello".to_vec())]);
}

#[test]
fn client_receives_the_256_bytes_of_section_5_7() {
    let payload = [0xA5; 256];
    let stream = [&[0x82, 0x7E, 0x01, 0x00], &payload[..]].concat();
    assert_events(Side::Client, &stream, &[binary(payload)]);
}

/// Too long to be cut everywhere: it is cut through its header and around both ends of its payload.
#[test]
fn client_receives_the_64_kib_of_section_5_7() {
    let payload = vec![0xA5; 65536];
    let header = [0x82, 0x7F, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00];
    let stream = [&header[..], &payload].concat();
    for cut in (0..20).chain(stream.len() - 4..=stream.len()) {
        let (head, tail) = stream.split_at(cut);
        let seen = receive(Connection::new(Side::Client), &Limits::default(), [head, tail]);
        assert!(seen == [binary(&payload)], "cut at {cut}");
    }
}

#[test]
fn empty_messages_and_control_frames_are_events_too() {
    for side in BOTH_SIDES {
        let stream = [0x81, 0x82, 0x89, 0x8A].map(|first| frame_to(side, first, "")).concat();
        assert_events(side, &stream, &[text(""), binary(""), ping(""), Seen::Pong(Vec::new())]);
    }
}

#[test]
fn frames_follow_each_other_in_one_input() {
    for side in BOTH_SIDES {
        let stream = [
            frame_to(side, 0x81, "one"),
            frame_to(side, 0x82, [0xFF, 0x00]),
            frame_to(side, 0x89, "two"),
            frame_to(side, 0x81, "three"),
        ];
        let expected = [text("one"), binary([0xFF, 0x00]), ping("two"), text("three")];
        assert_events(side, &stream.concat(), &expected);
    }
}

/// RFC 6455 §5.4: control frames MAY be injected in the middle of a fragmented message.
#[test]
fn control_frames_between_fragments_come_before_their_message() {
    for side in BOTH_SIDES {
        let stream = [
            frame_to(side, 0x01, "frag"),
            frame_to(side, 0x89, "ping"),
            frame_to(side, 0x00, "men"),
            frame_to(side, 0x8A, "pong"),
            frame_to(side, 0x80, "ted"),
        ];
        let expected = [ping("ping"), Seen::Pong(b"pong".to_vec()), text("fragmented")];
        assert_events(side, &stream.concat(), &expected);
    }
}

#[test]
fn fragments_may_be_empty_and_cut_characters_anywhere() {
    for side in BOTH_SIDES {
        let stream = [
            frame_to(side, 0x01, ""),
            frame_to(side, 0x00, b"\xE2"),
            frame_to(side, 0x00, ""),
            frame_to(side, 0x00, b"\x82\xAC\xF0\x9F"),
            frame_to(side, 0x00, b"\x98\x80"),
            frame_to(side, 0x80, ""),
        ];
        assert_events(side, &stream.concat(), &[text("€😀")]);
    }
}

#[test]
fn binary_is_not_checked_as_text() {
    for side in BOTH_SIDES {
        let stream = [frame_to(side, 0x02, [0xFF]), frame_to(side, 0x80, [0xC0])].concat();
        assert_events(side, &stream, &[binary([0xFF, 0xC0])]);
    }
}
