//! RFC 6455 §7: closing the connection. Who closes TCP, and when, is the shell's; codes, reasons and the end
//! of reading are the core's.

mod section_7_1_definitions {
    use corecast_protocol::error::RULES;
    use corecast_protocol::{CloseCode, Side};
    use corecast_tests::wire::*;

    both_sides! {
        close_without_code_is_told_from_close_with_code,
        first_close_counts,
        failed_connection_processes_nothing_more,
        what_came_before_the_failure_is_seen,
        failure_has_a_reason_that_fits_a_close_frame,
    }

    // §7.1.5: "If this Close control frame contains no status code, _The WebSocket Connection Close Code_ is
    // considered to be 1005."
    fn close_without_code_is_told_from_close_with_code(side: Side) {
        assert_sees(side, &frame_to(side, CLOSE, b""), &[Seen::Close(None)]);
        assert_sees(side, &frame_to(side, CLOSE, b"\x03\xe8"), &[Seen::Close(Some((1000, String::new())))]);
        assert_eq!((CloseCode::NO_STATUS, CloseCode::ABNORMAL), (CloseCode(1005), CloseCode(1006)));
    }

    // §7.1.5, §7.1.6: code and reason are those of "the first Close control frame received".
    fn first_close_counts(side: Side) {
        let bytes = [
            frame_to(side, CLOSE, &close_body(4000, "first")),
            frame_to(side, CLOSE, &close_body(4001, "second")),
        ];
        assert_sees(side, &bytes.concat(), &[Seen::Close(Some((4000, "first".to_owned())))]);
    }

    // §7.1.7: "An endpoint MUST NOT continue to attempt to process data (including a responding Close frame)
    // from the remote endpoint after being instructed to _Fail the WebSocket Connection_."
    fn failed_connection_processes_nothing_more(side: Side) {
        let mut receiver = Receiver::new(side);
        receiver.hear(&frame_to(side, TEXT | 0x20, b""));
        let failure = receiver.error;
        assert!(failure.is_some());
        // Each `hear` asserts that the same error comes again and no event.
        receiver.hear(&frame_to(side, TEXT, b"fine again"));
        receiver.hear(&frame_to(side, PING, b""));
        receiver.hear(&frame_to(side, CLOSE, &close_body(1000, "")));
        receiver.hear(b"");
        assert_eq!((&receiver.seen[..], receiver.error), (&[][..], failure));
        assert!(!receiver.connection.close_received());
    }

    fn what_came_before_the_failure_is_seen(side: Side) {
        let bytes = [
            frame_to(side, TEXT, b"good"),
            frame_to(side, PING, b"good"),
            frame_to(side, 0x83, b""),
            frame_to(side, TEXT, b"never seen"),
        ];
        let before = [Seen::Text("good".to_owned()), Seen::Ping(b"good".to_vec())];
        assert_fails_after(side, &before, &bytes.concat(), 1002, "5.2");
    }

    // §7.1.7: "the endpoint SHOULD send a Close frame with an appropriate status code": its reason fits the
    // frame and is safe to show anywhere.
    fn failure_has_a_reason_that_fits_a_close_frame(side: Side) {
        let failures = [
            frame_to(side, TEXT | 0x40, b""),
            frame_to(side, 0x83, b""),
            frame_to(side, PING, &[b'x'; 126]),
            frame_to(side, PING & 0x7f, b""),
            frame_to(side, ENDS, b""),
            frame_to(side, TEXT, b"\xff\xff\xff"),
            frame_to(side, CLOSE, b"\x03"),
            frame_to(side, CLOSE, b"\x03\xee"),
            frame_to(side, CLOSE, b"\x03\xe8\xff"),
            header_to(side, BINARY, 1 << 62),
            header_to(side, BINARY, 1 << 63),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ];
        for bytes in failures {
            let mut receiver = Receiver::new(side);
            receiver.hear(&bytes);
            let error = receiver.error.unwrap_or_else(|| panic!("{bytes:02x?} was accepted"));
            let reason = error.reason();
            assert!(!reason.is_empty() && reason.len() <= 123, "{reason:?}");
            assert!(reason.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{reason:?}");
            assert!(RULES.contains(&error.rule()), "{} is not in the list of rules", error.rule());
            assert!(error.section().starts_with("RFC 6455 §"), "{}", error.section());
            assert!(error.to_string().len() > reason.len() / 2, "the long form says nothing: {error}");
            assert!(
                error.close_code().may_be_received(),
                "{} may not stand in a Close frame",
                error.close_code()
            );
        }
    }

    #[test]
    fn rules_are_distinct_labels() {
        let mut rules = RULES.to_vec();
        rules.sort_unstable();
        rules.dedup();
        assert_eq!(rules.len(), RULES.len());
        for rule in RULES {
            assert!(
                !rule.is_empty()
                    && rule.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
        }
    }
}

mod section_7_4_status_codes {
    use corecast_protocol::frame::encode_close;
    use corecast_protocol::{CloseCode, Side};
    use corecast_tests::wire::*;

    both_sides! {
        takes_defined_registered_and_private_codes,
        fails_connection_on_codes_that_no_endpoint_may_send,
    }

    // §7.4.1 and the ones registered since (1012 to 1014, IANA "WebSocket Close Code Number Registry");
    // §7.4.2 for 3000 up.
    const MAY_BE_RECEIVED: [u16; 18] = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3999, 4000, 4008,
        4999,
    ];
    // Not used (0-999), reserved (1004), "MUST NOT be set as a status code in a Close control frame" (1005,
    // 1006, 1015), undefined by any specification (1016-2999), in no range at all (5000 up).
    const MAY_NOT_BE_RECEIVED: [u16; 16] =
        [0, 1, 125, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 49152, 65535];

    fn takes_defined_registered_and_private_codes(side: Side) {
        for code in MAY_BE_RECEIVED {
            let bytes = frame_to(side, CLOSE, &close_body(code, "so be it"));
            assert_sees(side, &bytes, &[Seen::Close(Some((code, "so be it".to_owned())))]);
        }
    }

    fn fails_connection_on_codes_that_no_endpoint_may_send(side: Side) {
        for code in MAY_NOT_BE_RECEIVED {
            assert_fails(side, &frame_to(side, CLOSE, &close_body(code, "")), 1002, "7.4");
            assert_fails(side, &frame_to(side, CLOSE, &close_body(code, "so be it")), 1002, "7.4");
        }
    }

    #[test]
    fn codes_know_whether_they_may_be_received() {
        assert_eq!(MAY_BE_RECEIVED.map(|code| CloseCode(code).may_be_received()), [true; 18]);
        assert_eq!(MAY_NOT_BE_RECEIVED.map(|code| CloseCode(code).may_be_received()), [false; 16]);
    }

    #[test]
    fn codes_have_the_values_of_section_7_4_1() {
        let named = [
            (CloseCode::NORMAL, 1000),
            (CloseCode::GOING_AWAY, 1001),
            (CloseCode::PROTOCOL_ERROR, 1002),
            (CloseCode::UNSUPPORTED, 1003),
            (CloseCode::NO_STATUS, 1005),
            (CloseCode::ABNORMAL, 1006),
            (CloseCode::INVALID_PAYLOAD, 1007),
            (CloseCode::POLICY, 1008),
            (CloseCode::TOO_BIG, 1009),
            (CloseCode::MANDATORY_EXTENSION, 1010),
            (CloseCode::INTERNAL, 1011),
            (CloseCode::RESTART, 1012),
            (CloseCode::TRY_AGAIN, 1013),
        ];
        for (code, value) in named {
            assert_eq!(code, CloseCode(value));
        }
    }

    // 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close control frame by an endpoint". Asking
    // for one may be refused as the caller's mistake (a panic) or written without a code; it may not reach
    // the wire.
    #[test]
    fn codes_for_local_use_never_reach_the_wire() {
        for code in [1005_u16, 1006, 1015] {
            for key in [None, Some([0; 4])] {
                let written = std::panic::catch_unwind(|| {
                    let mut out = Vec::new();
                    encode_close(&mut out, CloseCode(code), "", key);
                    out
                });
                if let Ok(bytes) = written {
                    assert!(
                        !bytes.windows(2).any(|pair| pair == code.to_be_bytes()),
                        "{code} was written: {bytes:02x?}"
                    );
                }
            }
        }
    }

    #[test]
    fn writable_codes_reach_the_wire_in_network_byte_order() {
        for (code, body) in
            [(1000_u16, [0x03, 0xe8]), (1013, [0x03, 0xf5]), (3000, [0x0b, 0xb8]), (4999, [0x13, 0x87])]
        {
            let mut out = Vec::new();
            encode_close(&mut out, CloseCode(code), "", None);
            assert_eq!(out, [&[0x88, 0x02], &body[..]].concat());
        }
    }
}
