//! RFC 6455 §5.5: control frames, and the Close, Ping and Pong among them.

use corecast_protocol::frame::{encode_close, encode_frame};
use corecast_protocol::{CloseCode, Opcode, Side};
use corecast_tests::wire::*;

fn encoded(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(&mut out, opcode, payload, key);
    out
}

fn encoded_close(code: u16, reason: &str, key: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_close(&mut out, CloseCode(code), reason, key);
    out
}

mod section_5_5_all_control_frames {
    use super::*;

    both_sides! {
        fails_connection_on_control_frame_over_125_bytes,
        takes_control_frames_of_125_bytes,
        fails_connection_on_fragmented_control_frame,
    }

    // "All control frames MUST have a payload length of 125 bytes or less"
    fn fails_connection_on_control_frame_over_125_bytes(side: Side) {
        for first_byte in [CLOSE, PING, PONG] {
            for length in [126, 127, 65535] {
                assert_fails(side, &header_to(side, first_byte, length), 1002, "5.5");
            }
            assert_fails(side, &header_to(side, first_byte, 65536), 1002, "5.5");
            assert_fails(side, &frame_to(side, first_byte, &[b'x'; 126]), 1002, "5.5");
        }
    }

    fn takes_control_frames_of_125_bytes(side: Side) {
        let payload = vec![b'x'; 125];
        assert_sees(side, &frame_to(side, PING, &payload), &[Seen::Ping(payload.clone())]);
        assert_sees(side, &frame_to(side, PONG, &payload), &[Seen::Pong(payload)]);
        let reason = "r".repeat(123);
        assert_sees(
            side,
            &frame_to(side, CLOSE, &close_body(1000, &reason)),
            &[Seen::Close(Some((1000, reason)))],
        );
    }

    // "and MUST NOT be fragmented"
    fn fails_connection_on_fragmented_control_frame(side: Side) {
        for first_byte in [CLOSE, PING, PONG] {
            let unfinished = first_byte & 0x7f;
            assert_fails(side, &frame_to(side, unfinished, b""), 1002, "5");
            assert_fails(side, &frame_to(side, unfinished, &close_body(1000, "bye")), 1002, "5");
            let inside_a_message =
                [frame_to(side, TEXT_BEGINS, b"Hel"), frame_to(side, unfinished, b"")].concat();
            assert_fails(side, &inside_a_message, 1002, "5");
        }
    }

    // The same two rules for what is sent: asking for more is the caller's mistake, and never reaches the
    // wire.
    #[test]
    fn control_frame_over_125_bytes_is_never_written() {
        for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
            for key in [None, Some(KEY)] {
                assert!(std::panic::catch_unwind(|| encoded(opcode, &[0; 126], key)).is_err(), "{opcode:?}");
                assert_eq!(encoded(opcode, &[0; 125], key)[1] & 0x7f, 125);
            }
        }
    }
}

mod section_5_5_1_close {
    use super::*;

    both_sides! {
        close_may_have_no_body,
        body_is_a_code_and_a_reason,
        fails_connection_on_body_of_one_byte,
        fails_connection_on_reason_that_is_not_utf8,
        nothing_is_read_after_close,
        knows_that_close_was_received,
        close_is_received_after_close_was_sent,
    }

    fn close_may_have_no_body(side: Side) {
        assert_sees(side, &frame_to(side, CLOSE, b""), &[Seen::Close(None)]);
    }

    // "the first two bytes of the body MUST be a 2-byte unsigned integer (in network byte order)"
    fn body_is_a_code_and_a_reason(side: Side) {
        assert_sees(side, &frame_to(side, CLOSE, b"\x03\xe8"), &[Seen::Close(Some((1000, String::new())))]);
        assert_sees(
            side,
            &frame_to(side, CLOSE, b"\x03\xe9bye"),
            &[Seen::Close(Some((1001, "bye".to_owned())))],
        );
        assert_sees(
            side,
            &frame_to(side, CLOSE, b"\x0f\xa8\xe2\x82\xac"),
            &[Seen::Close(Some((4008, "€".to_owned())))],
        );
    }

    fn fails_connection_on_body_of_one_byte(side: Side) {
        assert_fails(side, &frame_to(side, CLOSE, b"\x03"), 1002, "5.5.1");
    }

    // "the body MAY contain UTF-8-encoded data with value /reason/"
    fn fails_connection_on_reason_that_is_not_utf8(side: Side) {
        for reason in [&b"\xff"[..], b"bye \xc3", b"\xed\xa0\x80", b"caf\xe9 closed"] {
            let body = [b"\x03\xe8", reason].concat();
            let mut receiver = Receiver::new(side);
            receiver.hear(&frame_to(side, CLOSE, &body));
            assert_eq!((&receiver.seen[..], receiver.failed_with()), (&[][..], Some(1007)), "{reason:02x?}");
        }
    }

    // §5.5.1 with §7.1.1, "discarding any trailing bytes that may have been received".
    fn nothing_is_read_after_close(side: Side) {
        let bytes = [
            frame_to(side, CLOSE, &close_body(1000, "")),
            frame_to(side, TEXT, b"too late"),
            frame_to(side, CLOSE, &close_body(1001, "again")),
            vec![0xff; 20],
        ];
        assert_sees(side, &bytes.concat(), &[Seen::Close(Some((1000, String::new())))]);
    }

    fn knows_that_close_was_received(side: Side) {
        let bytes = frame_to(side, CLOSE, &close_body(1000, "bye"));
        let mut receiver = Receiver::new(side);
        receiver.hear(&bytes[..bytes.len() - 1]);
        assert!(!receiver.connection.close_received(), "the frame is not whole yet");
        receiver.hear(&bytes[bytes.len() - 1..]);
        assert!(receiver.connection.close_received());
        assert!(!receiver.connection.close_sent());
    }

    // Whoever sends Close first still reads until the answer comes.
    fn close_is_received_after_close_was_sent(side: Side) {
        let mut receiver = Receiver::new(side);
        receiver.connection.mark_close_sent();
        assert!(receiver.connection.close_sent() && !receiver.connection.close_received());
        receiver.hear(&frame_to(side, CLOSE, &close_body(1000, "you too")));
        assert_eq!(receiver.seen, [Seen::Close(Some((1000, "you too".to_owned())))]);
        assert!(receiver.connection.close_sent() && receiver.connection.close_received());
    }

    // "When sending a Close frame in response, the endpoint typically echos the status code it received."
    #[test]
    fn server_writes_close() {
        assert_eq!(encoded_close(1000, "", None), [0x88, 0x02, 0x03, 0xe8]);
        assert_eq!(encoded_close(1001, "bye", None), [0x88, 0x05, 0x03, 0xe9, b'b', b'y', b'e']);
        assert_eq!(encoded(Opcode::Close, b"", None), [0x88, 0x00]);
    }

    // "Close frames sent from client to server must be masked as per Section 5.3."
    #[test]
    fn client_writes_close_masked() {
        assert_eq!(
            encoded_close(1000, "Hi", Some(KEY)),
            [0x88, 0x84, 0x37, 0xfa, 0x21, 0x3d, 0x34, 0x12, 0x69, 0x54],
        );
    }

    #[test]
    fn written_reason_is_cut_to_what_a_control_frame_holds() {
        assert_eq!(
            encoded_close(1000, &"x".repeat(200), None),
            [&[0x88, 125, 0x03, 0xe8][..], &[b'x'; 123]].concat()
        );
        assert_eq!(
            encoded_close(1000, &"x".repeat(123), None),
            [&[0x88, 125, 0x03, 0xe8][..], &[b'x'; 123]].concat()
        );
    }

    #[test]
    fn written_reason_is_never_cut_inside_a_character() {
        // 123 bytes hold 61 two-byte, 41 three-byte and 30 four-byte characters.
        for (character, fits) in [("é", 61), ("€", 41), ("🌍", 30)] {
            let out = encoded_close(1000, &character.repeat(100), None);
            let kept = character.repeat(fits);
            assert_eq!(out, [&[0x88, 2 + kept.len() as u8, 0x03, 0xe8][..], kept.as_bytes()].concat());
        }
    }
}

mod section_5_5_2_ping {
    use super::*;

    both_sides! {
        ping_may_carry_anything_or_nothing,
        every_ping_is_reported,
        ping_after_close_is_not_reported,
    }

    // "A Ping frame MAY include "Application data"."
    fn ping_may_carry_anything_or_nothing(side: Side) {
        assert_sees(side, &frame_to(side, PING, b""), &[Seen::Ping(vec![])]);
        assert_sees(side, &frame_to(side, PING, &[0xff, 0x00, 0xfe]), &[Seen::Ping(vec![0xff, 0x00, 0xfe])]);
    }

    // "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response": each one is reported.
    fn every_ping_is_reported(side: Side) {
        let bytes =
            [frame_to(side, PING, b"1"), frame_to(side, PING, b"2"), frame_to(side, PING, b"2")].concat();
        assert_sees(
            side,
            &bytes,
            &[Seen::Ping(b"1".to_vec()), Seen::Ping(b"2".to_vec()), Seen::Ping(b"2".to_vec())],
        );
    }

    // "unless it already received a Close frame"
    fn ping_after_close_is_not_reported(side: Side) {
        let bytes = [frame_to(side, CLOSE, b""), frame_to(side, PING, b"1")].concat();
        assert_sees(side, &bytes, &[Seen::Close(None)]);
    }
}

mod section_5_5_3_pong {
    use super::*;

    both_sides! {
        unsolicited_pong_is_harmless,
    }

    // "A Pong frame sent in response to a Ping frame must have identical "Application data""
    #[test]
    fn server_answers_a_ping_with_its_payload() {
        let mut receiver = Receiver::new(Side::Server);
        receiver.hear(&[0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        let [Seen::Ping(payload)] = &receiver.seen[..] else { panic!("{:?}", receiver.seen) };
        assert_eq!(encoded(Opcode::Pong, payload, None), [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }

    #[test]
    fn client_answers_a_ping_with_its_payload() {
        let mut receiver = Receiver::new(Side::Client);
        receiver.hear(&[0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        let [Seen::Ping(payload)] = &receiver.seen[..] else { panic!("{:?}", receiver.seen) };
        assert_eq!(
            encoded(Opcode::Pong, payload, Some(KEY)),
            [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
        );
    }

    // "A Pong frame MAY be sent unsolicited."
    fn unsolicited_pong_is_harmless(side: Side) {
        let bytes = [frame_to(side, PONG, b"nobody asked"), frame_to(side, TEXT, b"go on")].concat();
        assert_sees(side, &bytes, &[Seen::Pong(b"nobody asked".to_vec()), Seen::Text("go on".to_owned())]);
    }
}
