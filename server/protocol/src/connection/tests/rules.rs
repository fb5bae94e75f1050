//! Frames that are wrong. The rule is broken in the header unless the test says otherwise, so no payload is
//! needed to fail the connection.

use super::*;
use crate::codes::Opcode;

/// RFC 6455 §5.1.
#[test]
fn server_fails_connection_on_unmasked_frame() {
    assert_failing(Side::Server, &[0x81, 0x05], ProtocolError::UnmaskedFrame);
    assert_failing(Side::Server, &[0x88, 0x00], ProtocolError::UnmaskedFrame);
}

/// RFC 6455 §5.1.
#[test]
fn client_fails_connection_on_masked_frame() {
    assert_failing(Side::Client, &[0x81, 0x85, 1, 2, 3, 4], ProtocolError::MaskedFrame);
}

/// RFC 6455 §5.2.
#[test]
fn reserved_bits_fail_the_connection() {
    for side in BOTH_SIDES {
        for rsv in [1, 2, 3, 5, 6, 7] {
            let stream = frame_to(side, 0x81 | rsv << 4, "");
            assert_failing(side, &stream, ProtocolError::ReservedBits { rsv });
        }
        // On a control frame or a continuation RSV1 has no meaning in RFC 7692 either.
        assert_failing(side, &frame_to(side, 0xC9, ""), ProtocolError::ReservedBits { rsv: 4 });
        assert_failing(side, &frame_to(side, 0xC0, ""), ProtocolError::ReservedBits { rsv: 4 });
    }
}

/// RFC 7692 §6: RSV1 on a message's first frame marks it as compressed.
#[test]
fn compressed_message_without_negotiation_is_told_apart() {
    for side in BOTH_SIDES {
        for first in [0xC1, 0xC2] {
            let stream = frame_to(side, first, "");
            assert_failing(side, &stream, ProtocolError::CompressedWithoutNegotiation);
        }
    }
    // Wrongly masked, it is not likely to be a WebSocket frame at all.
    let error = ProtocolError::ReservedBits { rsv: 4 };
    assert_failing(Side::Server, &frame_to(Side::Client, 0xC1, ""), error);
    assert_failing(Side::Client, &frame_to(Side::Server, 0xC1, ""), error);
}

/// RFC 6455 §5.2.
#[test]
fn reserved_opcodes_fail_the_connection() {
    for side in BOTH_SIDES {
        for opcode in (3..=7).chain(11..=15) {
            let stream = frame_to(side, 0x80 | opcode, "");
            assert_failing(side, &stream, ProtocolError::ReservedOpcode { opcode });
        }
    }
}

/// RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
#[test]
fn lengths_in_more_bytes_than_needed_fail_the_connection() {
    let in_16_bits = [0x82, 0x7E, 0x00, 0x7D];
    assert_failing(Side::Client, &in_16_bits, ProtocolError::NonMinimalLength { length: 125 });
    let in_64_bits = [0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];
    assert_failing(Side::Client, &in_64_bits, ProtocolError::NonMinimalLength { length: 65535 });
    let masked_in_16_bits = [0x82, 0xFE, 0x00, 0x00, 1, 2, 3, 4];
    assert_failing(Side::Server, &masked_in_16_bits, ProtocolError::NonMinimalLength { length: 0 });
}

#[test]
fn the_shortest_and_longest_payload_of_each_length_form_are_accepted() {
    let shortest_16_bit = [&[0x82, 0x7E, 0x00, 0x7E], &[7; 126][..]].concat();
    assert_events(Side::Client, &shortest_16_bit, &[binary([7; 126])]);
    let longest_16_bit = [&[0x82, 0x7E, 0xFF, 0xFF], &[7; 65535][..]].concat();
    assert!(
        receive(Connection::new(Side::Client), &Limits::default(), [&longest_16_bit[..]])
            == [binary([7; 65535])]
    );
}

/// RFC 6455 §5.2: the most significant bit MUST be 0.
#[test]
fn a_length_with_its_top_bit_set_fails_the_connection() {
    let error = ProtocolError::LengthTopBit { length: 1 << 63 };
    assert_failing(Side::Client, &[0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0], error);
    assert_failing(Side::Server, &[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], error);
}

/// RFC 6455 §5.5.
#[test]
fn control_frames_over_125_bytes_fail_the_connection() {
    for (first, opcode) in [(0x88, Opcode::Close), (0x89, Opcode::Ping), (0x8A, Opcode::Pong)] {
        let error = ProtocolError::ControlTooLong { opcode, length: 126 };
        assert_failing(Side::Client, &[first, 0x7E, 0x00, 0x7E], error);
        assert_failing(Side::Server, &[first, 0xFE, 0x00, 0x7E, 1, 2, 3, 4], error);
    }
    for side in BOTH_SIDES {
        assert_events(side, &frame_to(side, 0x89, [1; 125]), &[ping([1; 125])]);
    }
}

/// RFC 6455 §5.5.
#[test]
fn fragmented_control_frames_fail_the_connection() {
    for side in BOTH_SIDES {
        for (first, opcode) in [(0x08, Opcode::Close), (0x09, Opcode::Ping), (0x0A, Opcode::Pong)] {
            assert_failing(side, &frame_to(side, first, ""), ProtocolError::FragmentedControl { opcode });
        }
    }
}

/// RFC 6455 §5.4.
#[test]
fn a_continuation_without_a_message_fails_the_connection() {
    for side in BOTH_SIDES {
        assert_failing(side, &frame_to(side, 0x80, "x"), ProtocolError::UnexpectedContinuation);
        assert_failing(side, &frame_to(side, 0x00, "x"), ProtocolError::UnexpectedContinuation);
        let after_a_whole_message = [frame_to(side, 0x81, "a"), frame_to(side, 0x80, "b")].concat();
        let expected = [text("a"), Seen::Failed(ProtocolError::UnexpectedContinuation)];
        assert_events(side, &after_a_whole_message, &expected);
    }
}

/// RFC 6455 §5.4.
#[test]
fn a_new_message_inside_a_fragmented_one_fails_the_connection() {
    for side in BOTH_SIDES {
        for (first, opcode) in [(0x81, Opcode::Text), (0x02, Opcode::Binary)] {
            let stream = [frame_to(side, 0x01, "a"), frame_to(side, first, "b")].concat();
            assert_failing(side, &stream, ProtocolError::InterleavedMessage { opcode });
        }
    }
}

/// RFC 6455 §8.1: the text is judged as it arrives, so the first impossible byte ends it, not the message's
/// end.
#[test]
fn invalid_text_fails_the_connection_at_its_first_impossible_byte() {
    for side in BOTH_SIDES {
        let whole = frame_to(side, 0x81, b"ab\xC0\xAFcd");
        assert_failing(side, &whole, ProtocolError::InvalidUtf8 { position: 2 });

        let in_a_later_fragment = [frame_to(side, 0x01, b"a\xE2\x82"), frame_to(side, 0x00, b"x")].concat();
        assert_failing(side, &in_a_later_fragment, ProtocolError::InvalidUtf8 { position: 3 });

        // The rest of this frame never comes.
        let incomplete =
            &frame_to(side, 0x81, b"a\xFF and much more")[..if side == Side::Server { 8 } else { 4 }];
        assert_failing(side, incomplete, ProtocolError::InvalidUtf8 { position: 1 });
    }
}

/// RFC 6455 §8.1.
#[test]
fn text_that_ends_inside_a_character_fails_the_connection() {
    for side in BOTH_SIDES {
        let whole = frame_to(side, 0x81, b"a\xE2\x82");
        assert_failing(side, &whole, ProtocolError::TruncatedUtf8 { length: 3 });
        let fragmented = [frame_to(side, 0x01, b"a\xE2"), frame_to(side, 0x80, b"\x82")].concat();
        assert_failing(side, &fragmented, ProtocolError::TruncatedUtf8 { length: 3 });
    }
}

#[test]
fn frames_over_the_limit_fail_the_connection_before_their_payload() {
    let limits = Limits::default().with_max_frame_bytes(4).unwrap();
    for side in BOTH_SIDES {
        assert_events_with(side, &limits, &frame_to(side, 0x82, [0; 4]), &[binary([0; 4])]);
        let header = &frame_to(side, 0x82, [0; 5])[..if side == Side::Server { 6 } else { 2 }];
        let error = ProtocolError::FrameTooBig { length: 5, limit: 4 };
        assert_events_with(side, &limits, header, &[Seen::Failed(error)]);
        // Control frames have a limit of their own.
        assert_events_with(side, &limits, &frame_to(side, 0x89, [0; 5]), &[ping([0; 5])]);
    }
    // The largest length there is.
    let header = [0x82, 0x7F, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    let error = ProtocolError::FrameTooBig { length: 0x7FFF_FFFF_FFFF_FFFF, limit: 524_288 };
    assert_failing(Side::Client, &header, error);
}

#[test]
fn messages_over_the_limit_fail_the_connection_before_the_payload_that_exceeds_it() {
    let limits = Limits::default().with_max_message_bytes(6).unwrap();
    for side in BOTH_SIDES {
        let fits = [frame_to(side, 0x02, [1; 4]), frame_to(side, 0x80, [1; 2])].concat();
        assert_events_with(side, &limits, &fits, &[binary([1; 6])]);

        let header_of_three = &frame_to(side, 0x80, [1; 3])[..if side == Side::Server { 6 } else { 2 }];
        let exceeds = [&frame_to(side, 0x02, [1; 4])[..], header_of_three].concat();
        let error = ProtocolError::MessageTooBig { length: 7, limit: 6 };
        assert_events_with(side, &limits, &exceeds, &[Seen::Failed(error)]);

        let header_of_seven = &frame_to(side, 0x82, [1; 7])[..if side == Side::Server { 6 } else { 2 }];
        assert_events_with(side, &limits, header_of_seven, &[Seen::Failed(error)]);
    }
}

#[test]
fn floods_of_empty_fragments_fail_the_connection() {
    let limits = Limits::default().with_max_fragments(3).unwrap();
    for side in BOTH_SIDES {
        let three = [frame_to(side, 0x02, ""), frame_to(side, 0x00, ""), frame_to(side, 0x80, "")].concat();
        assert_events_with(side, &limits, &three, &[binary("")]);
        let four = [&three[..three.len() / 3 * 2], &three[three.len() / 3..]].concat();
        let error = ProtocolError::TooManyFragments { limit: 3 };
        assert_events_with(side, &limits, &four, &[Seen::Failed(error)]);
    }
}

#[test]
fn http_after_the_upgrade_is_told_apart() {
    for side in BOTH_SIDES {
        for (http, start) in [
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", b"HTTP"),
            ("GET / HTTP/1.1\r\n\r\n", b"GET "),
            ("POST /topics/a HTTP/1.1\r\n\r\n", b"POST"),
        ] {
            let error = ProtocolError::HttpAfterUpgrade { start: *start };
            assert_failing(side, http.as_bytes(), error);
            let after_a_message = [&frame_to(side, 0x81, "a"), http.as_bytes()].concat();
            assert_events(side, &after_a_message, &[text("a"), Seen::Failed(error)]);
        }
    }
    // The same letters inside a message are a message.
    assert_events(Side::Client, b"\x81\x04GET ", &[text("GET ")]);
    // "GE" is the start of "GET ", "GEX" is not: then it is a header with reserved bits and a reserved
    // opcode.
    assert_failing(Side::Client, b"GEX", ProtocolError::ReservedOpcode { opcode: 7 });
}

/// RFC 6455 §7.1.7.
#[test]
fn a_failed_connection_stays_failed_and_discards_what_follows() {
    let limits = Limits::default();
    let mut connection = Connection::new(Side::Server);
    let mut bytes = [frame_to(Side::Client, 0x81, "no mask"), frame_to(Side::Server, 0x81, "ok")].concat();
    let mut input = Input::new(&mut bytes);
    assert_eq!(connection.poll_event(&mut input, &limits), Err(ProtocolError::UnmaskedFrame));
    assert_eq!(connection.poll_event(&mut input, &limits), Err(ProtocolError::UnmaskedFrame));
    assert!(input.is_empty());
    let mut later = frame_to(Side::Server, 0x81, "ok");
    let mut input = Input::new(&mut later);
    assert_eq!(connection.poll_event(&mut input, &limits), Err(ProtocolError::UnmaskedFrame));
    assert!(input.is_empty());
}

#[test]
fn after_an_error_the_input_still_begins_with_the_header_that_broke_the_rule() {
    let limits = Limits::default();
    let mut connection = Connection::new(Side::Server);
    let mut bytes = [frame_to(Side::Server, 0x81, "ok"), b"\x81\x05wrong".to_vec()].concat();
    let mut input = Input::new(&mut bytes);
    assert!(matches!(connection.poll_event(&mut input, &limits), Ok(Some(Event::Message { .. }))));
    assert_eq!(connection.poll_event(&mut input, &limits), Err(ProtocolError::UnmaskedFrame));
    assert_eq!(input.into_rest(), b"\x81\x05wrong");
}

/// Every pair of first bytes, with and without what a header may need: an event, an error or more input, no
/// panic.
#[test]
fn no_header_panics() {
    for side in BOTH_SIDES {
        for first in 0..=255 {
            for second in 0..=255 {
                for filler in [0x00, 0x01, 0x7F, 0xFF] {
                    let mut bytes = [[first, second].to_vec(), vec![filler; 300]].concat();
                    let mut connection = Connection::new(side);
                    let mut input = Input::new(&mut bytes);
                    while let Ok(Some(_)) = connection.poll_event(&mut input, &Limits::default()) {}
                }
            }
        }
    }
}
