//! RFC 6455 §10 as far as it binds an endpoint: masking keys, limits, invalid data.

mod section_10_3_masking {
    use corecast_protocol::frame::{encode_close, encode_frame};
    use corecast_protocol::{CloseCode, Opcode};
    use corecast_tests::wire::KEY;

    // "Clients MUST choose a new masking key for each frame": the caller chooses, every frame carries the one
    // it was given.
    #[test]
    fn client_frames_each_carry_their_own_key() {
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Binary, &[0; 5], Some([1, 2, 3, 4]));
        encode_frame(&mut out, Opcode::Binary, &[0; 5], Some([0xa, 0xb, 0xc, 0xd]));
        encode_close(&mut out, CloseCode(0x0400 - 24), "", Some(KEY));
        assert_eq!(
            out,
            [
                &[0x82, 0x85, 1, 2, 3, 4, 1, 2, 3, 4, 1][..],
                &[0x82, 0x85, 0xa, 0xb, 0xc, 0xd, 0xa, 0xb, 0xc, 0xd, 0xa],
                &[0x88, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x34, 0x12],
            ]
            .concat()
        );
    }

    // The attack of §10.3: a payload that reads as an HTTP request must not appear on the wire as one.
    #[test]
    fn masked_payload_is_not_on_the_wire() {
        let request = b"GET /script.js HTTP/1.1\r\nHost: example.com\r\n\r\n";
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Text, request, Some(KEY));
        assert!(!out.windows(4).any(|bytes| request.windows(4).any(|part| part == bytes)));
    }
}

mod section_10_4_limits {
    use corecast_protocol::{Limits, Side};
    use corecast_tests::wire::*;

    both_sides! {
        frame_over_the_limit_fails_connection_at_its_header,
        default_limits_refuse_absurd_frames,
        frame_of_exactly_the_limit_is_taken,
        message_of_exactly_the_limit_is_taken,
        message_over_the_limit_fails_connection_at_the_header_that_exceeds_it,
        sum_of_fragments_does_not_overflow,
        flood_of_empty_fragments_fails_connection,
        default_limits_bound_a_flood_of_empty_fragments,
        fragments_of_many_messages_are_not_counted_together,
        control_frames_do_not_count_as_fragments,
        memory_follows_what_arrived_and_not_what_was_declared,
        memory_is_given_back_after_the_message,
    }

    fn frames_of(bytes: u64) -> Limits {
        Limits::default().with_max_frame_bytes(bytes).expect("a valid limit")
    }

    fn messages_of(bytes: usize) -> Limits {
        Limits::default().with_max_message_bytes(bytes).expect("a valid limit")
    }

    // What a connection may hold for a header and the start of a payload, in bytes. The declared length is
    // far beyond.
    const LITTLE: usize = 4096;

    // "by sending either a single big frame (e.g., of size 2**60)"
    fn frame_over_the_limit_fails_connection_at_its_header(side: Side) {
        for first_byte in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
            for declared in [200_001, 1 << 32, 1 << 60, (1 << 63) - 1] {
                let bytes = header_to(side, first_byte, declared);
                however_split(side, frames_of(200_000), &bytes, |receiver, how| {
                    assert_eq!(
                        receiver.failed_with(),
                        Some(1009),
                        "{declared} bytes, {how}: {:?}",
                        receiver.error
                    );
                    assert!(receiver.connection.buffered_bytes() <= LITTLE);
                });
            }
        }
    }

    fn default_limits_refuse_absurd_frames(side: Side) {
        assert_fails(side, &header_to(side, BINARY, 1 << 60), 1009, "");
    }

    fn frame_of_exactly_the_limit_is_taken(side: Side) {
        let payload = vec![b'x'; 2000];
        let mut receiver = Receiver::with_limits(side, frames_of(2000));
        receiver.hear(&frame_to(side, BINARY, &payload));
        receiver.hear(&frame_to(side, BINARY, &vec![b'x'; 2001]));
        assert_eq!((&receiver.seen[..], receiver.failed_with()), (&[Seen::Binary(payload)][..], Some(1009)));
    }

    fn message_of_exactly_the_limit_is_taken(side: Side) {
        let bytes = [
            frame_to(side, BINARY_BEGINS, &[b'x'; 1500]),
            frame_to(side, CONTINUES, &[b'x'; 400]),
            frame_to(side, ENDS, &[b'x'; 100]),
            frame_to(side, BINARY, &[b'x'; 2000]),
        ];
        let mut receiver = Receiver::with_limits(side, messages_of(2000));
        receiver.hear(&bytes.concat());
        assert_eq!(receiver.seen, [Seen::Binary(vec![b'x'; 2000]), Seen::Binary(vec![b'x'; 2000])]);
    }

    // "the total message size after reassembly from multiple frames"
    fn message_over_the_limit_fails_connection_at_the_header_that_exceeds_it(side: Side) {
        let whole = header_to(side, TEXT, 2001);
        let at_the_end = [frame_to(side, TEXT_BEGINS, &[b'x'; 1500]), header_to(side, ENDS, 501)].concat();
        let on_the_way =
            [frame_to(side, TEXT_BEGINS, &[b'x'; 1500]), header_to(side, CONTINUES, 501)].concat();
        let in_small_steps = [
            frame_to(side, BINARY_BEGINS, &[b'x'; 1000]),
            frame_to(side, CONTINUES, &[b'x'; 1000]),
            frame_to(side, PING, b""),
            header_to(side, CONTINUES, 1),
        ]
        .concat();
        for bytes in [whole, at_the_end, on_the_way, in_small_steps] {
            let mut receiver = Receiver::with_limits(side, messages_of(2000));
            receiver.hear(&bytes[..bytes.len() - 1]);
            assert_eq!(receiver.error, None, "the last header is not whole yet");
            receiver.hear(&bytes[bytes.len() - 1..]);
            assert_eq!(receiver.failed_with(), Some(1009), "{:?}", receiver.error);
        }
    }

    fn sum_of_fragments_does_not_overflow(side: Side) {
        let bytes = [frame_to(side, BINARY_BEGINS, b"x"), header_to(side, CONTINUES, (1 << 63) - 1)].concat();
        let mut receiver = Receiver::new(side);
        receiver.hear(&bytes);
        assert_eq!(receiver.failed_with(), Some(1009));
    }

    // "or by sending a long stream of small frames that are a part of a fragmented message"
    fn flood_of_empty_fragments_fails_connection(side: Side) {
        let limits = Limits::default().with_max_fragments(50).expect("a valid limit");
        let mut receiver = Receiver::with_limits(side, limits);
        receiver.hear(&frame_to(side, BINARY_BEGINS, b""));
        for _ in 0..100 {
            receiver.hear(&frame_to(side, CONTINUES, b""));
        }
        assert!(matches!(receiver.failed_with(), Some(1008 | 1009)), "{:?}", receiver.error);
    }

    fn default_limits_bound_a_flood_of_empty_fragments(side: Side) {
        let mut receiver = Receiver::new(side);
        receiver.hear(&frame_to(side, BINARY_BEGINS, b""));
        let flood = frame_to(side, CONTINUES, b"").repeat(1000);
        for _ in 0..1100 {
            receiver.hear(&flood);
            assert!(receiver.connection.buffered_bytes() <= LITTLE);
            if receiver.error.is_some() {
                break;
            }
        }
        assert!(
            matches!(receiver.failed_with(), Some(1008 | 1009)),
            "1.1 million empty fragments were taken"
        );
    }

    fn fragments_of_many_messages_are_not_counted_together(side: Side) {
        let limits = Limits::default().with_max_fragments(3).expect("a valid limit");
        let message = [
            frame_to(side, BINARY_BEGINS, b"a"),
            frame_to(side, CONTINUES, b"b"),
            frame_to(side, ENDS, b"c"),
        ]
        .concat();
        let mut receiver = Receiver::with_limits(side, limits);
        receiver.hear(&message.repeat(20));
        assert_eq!((receiver.seen.len(), receiver.error), (20, None));
    }

    fn control_frames_do_not_count_as_fragments(side: Side) {
        let limits = Limits::default().with_max_fragments(3).expect("a valid limit");
        let bytes = [
            frame_to(side, BINARY_BEGINS, b"a"),
            frame_to(side, PING, b"").repeat(50),
            frame_to(side, ENDS, b"b"),
        ];
        let mut receiver = Receiver::with_limits(side, limits);
        receiver.hear(&bytes.concat());
        assert_eq!((receiver.seen.last(), receiver.error), (Some(&Seen::Binary(b"ab".to_vec())), None));
    }

    // No byte of a declared length is reserved before it arrives.
    fn memory_follows_what_arrived_and_not_what_was_declared(side: Side) {
        let limits =
            Limits::default().with_max_frame_bytes(1 << 26).and_then(|l| l.with_max_message_bytes(1 << 26));
        let mut receiver = Receiver::with_limits(side, limits.expect("valid limits"));
        receiver.hear(&header_to(side, BINARY, 1 << 26));
        assert!(receiver.connection.buffered_bytes() <= LITTLE, "{}", receiver.connection.buffered_bytes());
        receiver.hear(&[0; 10_000]);
        let kept = receiver.connection.buffered_bytes();
        assert!((10_000..=2 * 10_000 + LITTLE).contains(&kept), "{kept} bytes kept for 10000 that arrived");
        assert_eq!(receiver.error, None);
    }

    fn memory_is_given_back_after_the_message(side: Side) {
        let mut receiver = Receiver::new(side);
        let bytes = frame_to(side, BINARY, &[7; 20_000]);
        receiver.hear_in_pieces(&bytes, 1000);
        assert_eq!(receiver.seen, [Seen::Binary(vec![7; 20_000])]);
        assert_eq!(receiver.connection.buffered_bytes(), 0);
    }
}

mod section_10_7_invalid_data {
    use corecast_protocol::{Limits, Side};
    use corecast_tests::wire::*;

    both_sides! {
        http_text_after_the_upgrade_fails_connection,
        every_first_two_bytes_end_in_events_or_in_a_failure,
    }

    // "Incoming data MUST always be validated by both clients and servers."
    fn http_text_after_the_upgrade_fails_connection(side: Side) {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\n\r\n",
            "HEAD / HTTP/1.1\r\n\r\n",
            "PUT / HTTP/1.1\r\n\r\n",
            "DELETE / HTTP/1.1\r\n\r\n",
            "OPTIONS / HTTP/1.1\r\n\r\n",
        ] {
            however_split(side, Limits::default(), text.as_bytes(), |receiver, how| {
                assert_eq!(
                    (&receiver.seen[..], receiver.failed_with()),
                    (&[][..], Some(1002)),
                    "{text:?}, {how}"
                );
                let said = receiver.error.as_ref().expect("asserted").to_string();
                assert!(said.contains("HTTP"), "{text:?}, {how}: the likely cause is not named: {said}");
            });
        }
    }

    fn every_first_two_bytes_end_in_events_or_in_a_failure(side: Side) {
        for first in 0..=255 {
            for second in 0..=255 {
                let mut receiver = Receiver::new(side);
                receiver.hear(&[first, second]).hear(&[0; 12]);
                let well_formed = first & 0x70 == 0 && matches!(first & 0x0f, 0x1 | 0x2 | 0x8 | 0x9 | 0xa);
                if !well_formed {
                    assert_eq!(receiver.failed_with(), Some(1002), "{first:02x} {second:02x}");
                }
            }
        }
    }
}
