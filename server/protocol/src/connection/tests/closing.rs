//! The closing handshake (RFC 6455 §5.5.1, §7).

use super::*;
use crate::codes::CloseCode;

#[test]
fn close_frames_give_code_and_reason() {
    for side in BOTH_SIDES {
        assert_events(side, &frame_to(side, 0x88, ""), &[Seen::Close(None)]);
        assert_events(side, &frame_to(side, 0x88, b"\x03\xE8"), &[Seen::Close(Some((1000, Vec::new())))]);
        let with_reason = frame_to(side, 0x88, b"\x0F\xA0caf\xC3\xA9");
        assert_events(side, &with_reason, &[Seen::Close(Some((4000, "café".into())))]);
        let longest = frame_to(side, 0x88, [&b"\x03\xE9"[..], &[b'x'; 123]].concat());
        assert_events(side, &longest, &[Seen::Close(Some((1001, vec![b'x'; 123])))]);
    }
}

/// RFC 6455 §5.5.1: if there is a body, its first two bytes are the code.
#[test]
fn a_close_frame_with_one_byte_fails_the_connection() {
    for side in BOTH_SIDES {
        assert_failing(side, &frame_to(side, 0x88, b"\x03"), ProtocolError::ShortClose);
    }
}

/// RFC 6455 §7.4.
#[test]
fn close_codes_that_may_not_be_sent_fail_the_connection() {
    for side in BOTH_SIDES {
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535] {
            let stream = frame_to(side, 0x88, code.to_be_bytes());
            assert_failing(side, &stream, ProtocolError::InvalidCloseCode { code });
        }
    }
}

/// RFC 6455 §5.5.1: the reason is UTF-8.
#[test]
fn a_close_reason_that_is_not_utf8_fails_the_connection() {
    for side in BOTH_SIDES {
        let wrong = frame_to(side, 0x88, b"\x03\xE8ab\xFF");
        assert_failing(side, &wrong, ProtocolError::InvalidCloseReason { position: 2 });
        let truncated = frame_to(side, 0x88, b"\x03\xE8ab\xC3");
        assert_failing(side, &truncated, ProtocolError::InvalidCloseReason { position: 3 });
    }
}

/// RFC 6455 §5.5.1: nothing follows a Close frame, so what does is not even looked at.
#[test]
fn after_a_close_frame_everything_is_discarded() {
    for side in BOTH_SIDES {
        let stream =
            [frame_to(side, 0x88, b"\x03\xE8"), frame_to(side, 0x81, "late"), vec![0xFF; 9]].concat();
        assert_events(side, &stream, &[Seen::Close(Some((1000, Vec::new())))]);
    }
}

#[test]
fn a_close_frame_may_come_inside_a_fragmented_message() {
    for side in BOTH_SIDES {
        let stream = [frame_to(side, 0x01, "half"), frame_to(side, 0x88, b"\x03\xE9")].concat();
        assert_events(side, &stream, &[Seen::Close(Some((1001, Vec::new())))]);
    }
}

#[test]
fn both_halves_of_the_closing_handshake_are_remembered() {
    let mut connection = Connection::new(Side::Client);
    assert!(!connection.close_sent() && !connection.close_received());

    connection.mark_close_sent();
    assert!(connection.close_sent() && !connection.close_received());

    // RFC 6455 §5.5.1: the peer may still finish what it is sending; its messages keep coming until its
    // Close.
    let stream = [frame_to(Side::Client, 0x81, "last"), frame_to(Side::Client, 0x88, b"\x03\xE8")].concat();
    let mut seen = Vec::new();
    feed(&mut connection, &stream, &Limits::default(), &mut seen);
    assert_eq!(seen, [text("last"), Seen::Close(Some((CloseCode::NORMAL.0, Vec::new())))]);
    assert!(connection.close_sent() && connection.close_received());
}
