//! RFC 6455 §5.4 and §5.6 to §5.8: fragments, data frames, the standard's examples, what is left to
//! extensions.

mod section_5_4_fragmentation {
    use corecast_protocol::{Limits, Side};
    use corecast_tests::wire::*;

    both_sides! {
        joins_three_fragments,
        type_is_that_of_the_first_fragment,
        fragments_may_be_empty,
        fragments_may_be_single_bytes,
        control_frames_come_between_fragments,
        close_comes_between_fragments,
        fails_connection_on_continuation_of_nothing,
        fails_connection_on_continuation_after_a_message_ended,
        control_frame_does_not_begin_a_message,
        fails_connection_on_new_message_inside_a_message,
        control_frame_does_not_end_a_message,
        broken_continuation_fails_connection_before_any_payload,
        knows_whether_it_is_in_the_middle_of_a_message,
        message_is_the_same_wherever_its_fragments_end,
    }

    fn text(text: &str) -> Seen {
        Seen::Text(text.to_owned())
    }

    // "For a text message sent as three fragments, the first fragment would have an opcode of 0x1 and a FIN
    // bit clear, the second fragment would have an opcode of 0x0 and a FIN bit clear, and the third […] a FIN
    // bit that is set."
    fn joins_three_fragments(side: Side) {
        let bytes = [
            frame_to(side, TEXT_BEGINS, b"Hel"),
            frame_to(side, CONTINUES, b"lo, "),
            frame_to(side, ENDS, b"you"),
        ];
        assert_sees(side, &bytes.concat(), &[text("Hello, you")]);
    }

    // "all fragments of a message are of the same type, as set by the first fragment's opcode"
    fn type_is_that_of_the_first_fragment(side: Side) {
        let binary = [frame_to(side, BINARY_BEGINS, b"Hel"), frame_to(side, ENDS, b"lo")].concat();
        assert_sees(side, &binary, &[Seen::Binary(b"Hello".to_vec())]);
        let text_message = [frame_to(side, TEXT_BEGINS, b"Hel"), frame_to(side, ENDS, b"lo")].concat();
        assert_sees(side, &text_message, &[text("Hello")]);
    }

    // "A sender MAY create fragments of any size for non-control messages."
    fn fragments_may_be_empty(side: Side) {
        let nothing = [frame_to(side, TEXT_BEGINS, b""), frame_to(side, ENDS, b"")].concat();
        assert_sees(side, &nothing, &[text("")]);

        let mostly_nothing = [
            frame_to(side, BINARY_BEGINS, b""),
            frame_to(side, CONTINUES, b""),
            frame_to(side, CONTINUES, b"x"),
            frame_to(side, CONTINUES, b""),
            frame_to(side, ENDS, b""),
        ];
        assert_sees(side, &mostly_nothing.concat(), &[Seen::Binary(b"x".to_vec())]);
    }

    fn fragments_may_be_single_bytes(side: Side) {
        let payload = b"one byte at a time";
        let mut bytes = frame_to(side, TEXT_BEGINS, &payload[..1]);
        for byte in &payload[1..payload.len() - 1] {
            bytes.extend(frame_to(side, CONTINUES, &[*byte]));
        }
        bytes.extend(frame_to(side, ENDS, &payload[payload.len() - 1..]));
        assert_sees(side, &bytes, &[text("one byte at a time")]);
    }

    // "An endpoint MUST be capable of handling control frames in the middle of a fragmented message."
    fn control_frames_come_between_fragments(side: Side) {
        let bytes = [
            frame_to(side, TEXT_BEGINS, b"Hel"),
            frame_to(side, PING, b"first"),
            frame_to(side, CONTINUES, b"lo"),
            frame_to(side, PONG, b""),
            frame_to(side, PING, b"second"),
            frame_to(side, ENDS, b"!"),
            frame_to(side, BINARY, b"next"),
        ];
        assert_sees(
            side,
            &bytes.concat(),
            &[
                Seen::Ping(b"first".to_vec()),
                Seen::Pong(vec![]),
                Seen::Ping(b"second".to_vec()),
                text("Hello!"),
                Seen::Binary(b"next".to_vec()),
            ],
        );
    }

    fn close_comes_between_fragments(side: Side) {
        let bytes =
            [frame_to(side, TEXT_BEGINS, b"Hel"), frame_to(side, CLOSE, &close_body(1001, "away"))].concat();
        assert_sees(side, &bytes, &[Seen::Close(Some((1001, "away".to_owned())))]);
    }

    // A message begins with an opcode other than 0.
    fn fails_connection_on_continuation_of_nothing(side: Side) {
        for first_byte in [CONTINUES, ENDS] {
            assert_fails(side, &frame_to(side, first_byte, b""), 1002, "5.4");
            assert_fails(side, &frame_to(side, first_byte, b"Hello"), 1002, "5.4");
        }
    }

    fn fails_connection_on_continuation_after_a_message_ended(side: Side) {
        for first_byte in [CONTINUES, ENDS] {
            let whole = [frame_to(side, TEXT, b"Hello"), frame_to(side, first_byte, b"more")].concat();
            assert_fails_after(side, &[text("Hello")], &whole, 1002, "5.4");

            let fragmented = [
                frame_to(side, TEXT_BEGINS, b"Hel"),
                frame_to(side, ENDS, b"lo"),
                frame_to(side, first_byte, b"more"),
            ];
            assert_fails_after(side, &[text("Hello")], &fragmented.concat(), 1002, "5.4");
        }
    }

    fn control_frame_does_not_begin_a_message(side: Side) {
        let bytes = [frame_to(side, PING, b""), frame_to(side, ENDS, b"more")].concat();
        assert_fails_after(side, &[Seen::Ping(vec![])], &bytes, 1002, "5.4");
    }

    // "The fragments of one message MUST NOT be interleaved between the fragments of another message"
    fn fails_connection_on_new_message_inside_a_message(side: Side) {
        for begin in [TEXT_BEGINS, BINARY_BEGINS] {
            for second in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
                let bytes = [frame_to(side, begin, b"Hel"), frame_to(side, second, b"lo")].concat();
                assert_fails(side, &bytes, 1002, "5.4");
                let bytes =
                    [frame_to(side, begin, b""), frame_to(side, CONTINUES, b""), frame_to(side, second, b"")];
                assert_fails(side, &bytes.concat(), 1002, "5.4");
            }
        }
    }

    fn control_frame_does_not_end_a_message(side: Side) {
        let bytes =
            [frame_to(side, TEXT_BEGINS, b"a"), frame_to(side, PONG, b""), frame_to(side, TEXT, b"b")]
                .concat();
        assert_fails_after(side, &[Seen::Pong(vec![])], &bytes, 1002, "5.4");
    }

    fn broken_continuation_fails_connection_before_any_payload(side: Side) {
        assert_fails(side, &header_to(side, ENDS, 60_000), 1002, "5.4");
        let bytes = [frame_to(side, TEXT_BEGINS, b"a"), header_to(side, TEXT, 60_000)].concat();
        assert_fails(side, &bytes, 1002, "5.4");
    }

    fn knows_whether_it_is_in_the_middle_of_a_message(side: Side) {
        let mut receiver = Receiver::new(side);
        assert!(!receiver.connection.is_mid_message(), "before anything came");
        receiver.hear(&frame_to(side, TEXT, b"whole"));
        assert!(!receiver.connection.is_mid_message(), "after a whole message");
        receiver.hear(&frame_to(side, TEXT_BEGINS, b"Hel"));
        assert!(receiver.connection.is_mid_message(), "after a first fragment");
        receiver.hear(&frame_to(side, PING, b""));
        assert!(receiver.connection.is_mid_message(), "after a ping between fragments");
        receiver.hear(&frame_to(side, ENDS, b"lo"));
        assert!(!receiver.connection.is_mid_message(), "after the last fragment");
        let frame = frame_to(side, BINARY, b"cut");
        receiver.hear(&frame[..frame.len() - 1]);
        assert!(receiver.connection.is_mid_message(), "inside a frame");
        receiver.hear(&frame[frame.len() - 1..]);
        assert!(!receiver.connection.is_mid_message(), "after the frame");
    }

    // "in absence of extensions, senders and receivers must not depend on the presence of specific frame
    // boundaries"
    fn message_is_the_same_wherever_its_fragments_end(side: Side) {
        let payload = "Grüße, 世界 🌍".as_bytes();
        for first in 0..=payload.len() {
            for second in first..=payload.len() {
                let bytes = [
                    frame_to(side, TEXT_BEGINS, &payload[..first]),
                    frame_to(side, CONTINUES, &payload[first..second]),
                    frame_to(side, ENDS, &payload[second..]),
                ];
                let mut receiver = Receiver::with_limits(side, Limits::default());
                receiver.hear(&bytes.concat());
                assert_eq!(receiver.seen, [text("Grüße, 世界 🌍")], "fragments end at {first} and {second}");
            }
        }
    }
}

mod section_5_6_data_frames {
    use corecast_protocol::Side;
    use corecast_tests::wire::*;

    both_sides! {
        opcode_tells_text_from_binary,
        binary_may_hold_any_bytes,
        text_frame_may_end_inside_a_character,
    }

    // "The opcode determines the interpretation of the data"
    fn opcode_tells_text_from_binary(side: Side) {
        let bytes = [frame_to(side, TEXT, b"same"), frame_to(side, BINARY, b"same")].concat();
        assert_sees(side, &bytes, &[Seen::Text("same".to_owned()), Seen::Binary(b"same".to_vec())]);
    }

    // "The "Payload data" is arbitrary binary data whose interpretation is solely up to the application
    // layer."
    fn binary_may_hold_any_bytes(side: Side) {
        let every_byte: Vec<u8> = (0..=255).collect();
        assert_sees(side, &frame_to(side, BINARY, &every_byte), &[Seen::Binary(every_byte.clone())]);
        let fragmented =
            [frame_to(side, BINARY_BEGINS, &every_byte[..200]), frame_to(side, ENDS, &every_byte[200..])]
                .concat();
        assert_sees(side, &fragmented, &[Seen::Binary(every_byte)]);
    }

    // "a particular text frame might include a partial UTF-8 sequence; however, the whole message MUST
    // contain valid UTF-8"
    fn text_frame_may_end_inside_a_character(side: Side) {
        let bytes = [
            frame_to(side, TEXT_BEGINS, b"\xf0"),
            frame_to(side, CONTINUES, b"\x9f\x8c"),
            frame_to(side, ENDS, b"\x8d"),
        ];
        assert_sees(side, &bytes.concat(), &[Seen::Text("🌍".to_owned())]);
    }
}

mod section_5_7_examples {
    use corecast_protocol::frame::encode_frame;
    use corecast_protocol::{Opcode, Side};
    use corecast_tests::wire::*;

    const MASKED_HELLO: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    const UNMASKED_HELLO: [u8; 7] = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    const MASKED_PONG: [u8; 11] = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    const UNMASKED_PING: [u8; 7] = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];

    fn encoded(opcode: Opcode, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = Vec::new();
        encode_frame(&mut out, opcode, payload, key);
        out
    }

    #[test]
    fn single_frame_unmasked_text_message() {
        assert_sees(Side::Client, &UNMASKED_HELLO, &[Seen::Text("Hello".to_owned())]);
        assert_eq!(encoded(Opcode::Text, b"Hello", None), UNMASKED_HELLO);
    }

    #[test]
    fn single_frame_masked_text_message() {
        assert_sees(Side::Server, &MASKED_HELLO, &[Seen::Text("Hello".to_owned())]);
        assert_eq!(encoded(Opcode::Text, b"Hello", Some(KEY)), MASKED_HELLO);
    }

    #[test]
    fn fragmented_unmasked_text_message() {
        let bytes = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        assert_sees(Side::Client, &bytes, &[Seen::Text("Hello".to_owned())]);
    }

    #[test]
    fn unmasked_ping_request_and_masked_ping_response() {
        assert_sees(Side::Client, &UNMASKED_PING, &[Seen::Ping(b"Hello".to_vec())]);
        assert_sees(Side::Server, &MASKED_PONG, &[Seen::Pong(b"Hello".to_vec())]);
        assert_eq!(encoded(Opcode::Ping, b"Hello", None), UNMASKED_PING);
        assert_eq!(encoded(Opcode::Pong, b"Hello", Some(KEY)), MASKED_PONG);
    }

    #[test]
    fn binary_message_of_256_bytes_in_a_single_unmasked_frame() {
        let bytes = [&[0x82, 0x7e, 0x01, 0x00][..], &[0xfe; 256]].concat();
        assert_sees(Side::Client, &bytes, &[Seen::Binary(vec![0xfe; 256])]);
        assert_eq!(encoded(Opcode::Binary, &[0xfe; 256], None), bytes);
    }

    #[test]
    fn binary_message_of_64_kib_in_a_single_unmasked_frame() {
        let bytes = [&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0][..], &[0xfe; 65536]].concat();
        let mut receiver = Receiver::new(Side::Client);
        receiver.hear(&bytes).hear_in_pieces(&bytes, 4096);
        assert_eq!(receiver.seen, [Seen::Binary(vec![0xfe; 65536]), Seen::Binary(vec![0xfe; 65536])]);
        assert_eq!(encoded(Opcode::Binary, &[0xfe; 65536], None), bytes);
    }
}

mod section_5_8_extensibility {
    use corecast_protocol::Side;
    use corecast_tests::wire::*;

    both_sides! {
        bit_of_a_compressed_message_is_refused_without_negotiation,
        compression_is_blamed_only_where_it_sets_its_bit,
    }

    // "The endpoints of a connection MUST negotiate the use of any extensions during the opening handshake."
    fn bit_of_a_compressed_message_is_refused_without_negotiation(side: Side) {
        // "Hello" compressed as in RFC 7692 §7.2.3.1.
        let compressed = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let bytes = frame_to(side, TEXT | 0x40, &compressed);
        assert_fails(side, &bytes, 1002, "5.2");
        let mut receiver = Receiver::new(side);
        receiver.hear(&bytes);
        let said = receiver.error.expect("asserted above").to_string().to_lowercase();
        assert!(said.contains("compress"), "the likely cause is not named: {said}");
    }

    // RFC 7692 §6.1: RSV1 alone, on the first frame of a message. Anything else has another cause.
    fn compression_is_blamed_only_where_it_sets_its_bit(side: Side) {
        let blames_compression = |bytes: &[u8]| {
            let mut receiver = Receiver::new(side);
            receiver.hear(bytes);
            assert_eq!(receiver.failed_with(), Some(1002), "{bytes:02x?}");
            receiver.error.expect("asserted").to_string().to_lowercase().contains("compress")
        };
        for first_byte in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
            assert!(blames_compression(&frame_to(side, first_byte | 0x40, b"x")));
            for reserved in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
                assert!(!blames_compression(&frame_to(side, first_byte | reserved, b"x")));
            }
        }
        for first_byte in [PING, PONG, CLOSE] {
            assert!(!blames_compression(&frame_to(side, first_byte | 0x40, b"")));
        }
        for first_byte in [CONTINUES, ENDS] {
            let begin = frame_to(side, TEXT_BEGINS, b"x");
            assert!(!blames_compression(&[begin, frame_to(side, first_byte | 0x40, b"x")].concat()));
        }
    }
}
