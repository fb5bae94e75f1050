//! RFC 6455 §5.1 to §5.3: who masks, the frame header, the mask.

mod section_5_1_overview {
    use corecast_protocol::frame::server_header;
    use corecast_protocol::{Connection, Input, Limits, Opcode, Side};
    use corecast_tests::wire::*;

    const EVERY_OPCODE: [u8; 6] = [TEXT, BINARY, ENDS, CLOSE, PING, PONG];

    // "The server MUST close the connection upon receiving a frame that is not masked."
    #[test]
    fn server_fails_connection_on_unmasked_frame() {
        for first_byte in EVERY_OPCODE {
            assert_fails(Side::Server, &frame(first_byte, b"", None), 1002, "5.1");
            assert_fails(Side::Server, &frame(first_byte, b"Hello", None), 1002, "5.1");
        }
    }

    // "A client MUST close a connection if it detects a masked frame."
    #[test]
    fn client_fails_connection_on_masked_frame() {
        for first_byte in EVERY_OPCODE {
            assert_fails(Side::Client, &frame(first_byte, b"", Some(KEY)), 1002, "5.1");
            assert_fails(Side::Client, &frame(first_byte, b"Hello", Some(KEY)), 1002, "5.1");
        }
    }

    // A key of zeros is a mask too: the bit counts, not its effect.
    #[test]
    fn mask_bit_decides_and_not_the_key() {
        assert_sees(Side::Server, b"\x81\x82\0\0\0\0ok", &[Seen::Text("ok".to_owned())]);
        assert_fails(Side::Client, b"\x81\x82\0\0\0\0ok", 1002, "5.1");
    }

    #[test]
    fn wrong_masking_fails_connection_before_any_payload() {
        assert_fails(Side::Server, b"\x82\x7f\0\0\0\0\0\x01\0\0", 1002, "5.1");
        assert_fails(Side::Client, b"\x82\xff\0\0\0\0\0\x01\0\0\x37\xfa\x21\x3d", 1002, "5.1");
    }

    #[test]
    fn wrong_masking_fails_connection_in_the_middle_of_a_message() {
        for (side, key) in [(Side::Server, None), (Side::Client, Some(KEY))] {
            let bytes = [frame_to(side, TEXT_BEGINS, b"Hel"), frame(ENDS, b"lo", key)].concat();
            assert_fails(side, &bytes, 1002, "5.1");
        }
    }

    // "A server MUST NOT mask any frames that it sends to the client."
    #[test]
    fn server_header_has_no_mask() {
        for opcode in [Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong] {
            for payload_len in [0, 125] {
                assert_eq!(server_header(opcode, payload_len)[1], payload_len as u8);
            }
        }
    }

    #[test]
    fn error_says_which_rule_was_broken() {
        let mut bytes = frame(TEXT, b"Hello", None);
        let error = Connection::new(Side::Server)
            .poll_event(&mut Input::new(&mut bytes), &Limits::default())
            .unwrap_err();
        assert_eq!((error.rule(), error.section()), ("unmasked_frame", "RFC 6455 §5.1"));
    }
}

mod section_5_2_base_framing {
    use corecast_protocol::frame::{FrameHeader, encode_frame, server_frame_len, server_header};
    use corecast_protocol::{Opcode, Side};
    use corecast_tests::wire::*;

    both_sides! {
        fails_connection_on_reserved_bits,
        fails_connection_on_reserved_bits_in_a_continuation,
        fails_connection_on_unknown_opcode,
        fails_connection_on_unknown_opcode_in_the_middle_of_a_message,
        fails_connection_on_length_not_in_its_shortest_form,
        fails_connection_on_top_bit_of_the_length,
        reads_lengths_of_every_form,
        reads_split_headers_of_every_form,
        frames_follow_each_other_without_a_gap,
    }

    // "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values. […] the
    // receiving endpoint MUST _Fail the WebSocket Connection_."
    fn fails_connection_on_reserved_bits(side: Side) {
        for reserved in [0x40, 0x20, 0x10, 0x60, 0x50, 0x30, 0x70] {
            for first_byte in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS, CLOSE, PING, PONG] {
                assert_fails(side, &frame_to(side, first_byte | reserved, b""), 1002, "5.2");
                assert_fails(side, &frame_to(side, first_byte | reserved, b"Hello"), 1002, "5.2");
            }
        }
    }

    fn fails_connection_on_reserved_bits_in_a_continuation(side: Side) {
        for reserved in [0x40, 0x20, 0x10] {
            let bytes =
                [frame_to(side, TEXT_BEGINS, b"Hel"), frame_to(side, ENDS | reserved, b"lo")].concat();
            assert_fails(side, &bytes, 1002, "5.2");
        }
    }

    // "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    fn fails_connection_on_unknown_opcode(side: Side) {
        for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            assert_fails(side, &frame_to(side, 0x80 | opcode, b""), 1002, "5.2");
            assert_fails(side, &frame_to(side, 0x80 | opcode, b"Hello"), 1002, "5.2");
            assert_fails(side, &frame_to(side, opcode, b"Hello"), 1002, "5");
        }
    }

    fn fails_connection_on_unknown_opcode_in_the_middle_of_a_message(side: Side) {
        for opcode in [0x3, 0x7, 0xb, 0xf] {
            let bytes = [frame_to(side, TEXT_BEGINS, b"Hel"), frame_to(side, 0x80 | opcode, b"")].concat();
            assert_fails(side, &bytes, 1002, "5.2");
        }
    }

    // "in all cases, the minimal number of bytes MUST be used to encode the length"
    fn fails_connection_on_length_not_in_its_shortest_form(side: Side) {
        let mask_bit = if side == Side::Server { 0x80 } else { 0 };
        for length in [0_u16, 1, 124, 125] {
            let mut bytes = vec![BINARY, mask_bit | 126];
            bytes.extend(length.to_be_bytes());
            bytes.extend([0; 4 + 125]);
            assert_fails(side, &bytes, 1002, "5.2");
        }
        for length in [0_u64, 1, 125, 126, 65535] {
            let mut bytes = vec![BINARY, mask_bit | 127];
            bytes.extend(length.to_be_bytes());
            bytes.extend([0; 4]);
            assert_fails(side, &bytes, 1002, "5.2");
        }
    }

    // "the following 8 bytes interpreted as a 64-bit unsigned integer (the most significant bit MUST be 0)"
    fn fails_connection_on_top_bit_of_the_length(side: Side) {
        for length in [1_u64 << 63, (1 << 63) | 65536, u64::MAX] {
            assert_fails(side, &header_to(side, BINARY, length), 1002, "5.2");
        }
    }

    // "Multibyte length quantities are expressed in network byte order."
    fn reads_lengths_of_every_form(side: Side) {
        for length in [0, 1, 124, 125, 126, 127, 255, 256, 258, 513, 65534, 65535, 65536, 65537, 66051] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let bytes = frame_to(side, BINARY, &payload);
            let mut receiver = Receiver::new(side);
            receiver.hear(&bytes);
            assert_eq!(receiver.seen, [Seen::Binary(payload)], "{length} bytes");
            assert_eq!(receiver.error, None);
        }
    }

    fn reads_split_headers_of_every_form(side: Side) {
        for length in [0_usize, 125, 126, 65535, 65536] {
            let payload = vec![0x5a; length];
            let bytes = frame_to(side, BINARY, &payload);
            let header_bytes = bytes.len() - length;
            for cut in 1..=header_bytes {
                let mut receiver = Receiver::new(side);
                receiver.hear(&bytes[..cut]).hear(&bytes[cut..]);
                assert_eq!(
                    receiver.seen,
                    [Seen::Binary(payload.clone())],
                    "{length} bytes, cut before byte {cut}"
                );
            }
            let mut receiver = Receiver::new(side);
            receiver.hear_in_pieces(&bytes[..header_bytes], 1).hear(&bytes[header_bytes..]);
            assert_eq!(receiver.seen, [Seen::Binary(payload)], "{length} bytes, header byte by byte");
        }
    }

    fn frames_follow_each_other_without_a_gap(side: Side) {
        let bytes = [
            frame_to(side, TEXT, b"one"),
            frame_to(side, BINARY, b""),
            frame_to(side, PING, b"two"),
            frame_to(side, TEXT, b""),
            frame_to(side, BINARY, b"three"),
        ]
        .concat();
        assert_sees(
            side,
            &bytes,
            &[
                Seen::Text("one".to_owned()),
                Seen::Binary(vec![]),
                Seen::Ping(b"two".to_vec()),
                Seen::Text(String::new()),
                Seen::Binary(b"three".to_vec()),
            ],
        );
    }

    #[test]
    fn server_writes_headers_of_every_form() {
        assert_eq!(*server_header(Opcode::Text, 0), [0x81, 0]);
        assert_eq!(*server_header(Opcode::Binary, 125), [0x82, 125]);
        assert_eq!(*server_header(Opcode::Binary, 126), [0x82, 126, 0, 126]);
        assert_eq!(*server_header(Opcode::Text, 258), [0x81, 126, 1, 2]);
        assert_eq!(*server_header(Opcode::Text, 65535), [0x81, 126, 0xff, 0xff]);
        assert_eq!(*server_header(Opcode::Binary, 65536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(*server_header(Opcode::Binary, 0x0102_0304_0506), [0x82, 127, 0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(*server_header(Opcode::Close, 2), [0x88, 2]);
        assert_eq!(*server_header(Opcode::Ping, 0), [0x89, 0]);
        assert_eq!(*server_header(Opcode::Pong, 1), [0x8a, 1]);
    }

    #[test]
    fn client_writes_headers_of_every_form() {
        let zero = Some([0; 4]);
        for (length, expected) in [
            (0, &[0x82, 0x80, 0, 0, 0, 0][..]),
            (125, &[0x82, 0xfd, 0, 0, 0, 0]),
            (126, &[0x82, 0xfe, 0, 126, 0, 0, 0, 0]),
            (258, &[0x82, 0xfe, 1, 2, 0, 0, 0, 0]),
            (65535, &[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]),
            (65536, &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            encode_frame(&mut out, Opcode::Binary, &vec![0xaa; length], zero);
            let (header, payload) = out.split_at(expected.len());
            assert_eq!(header, expected, "{length} bytes");
            assert_eq!(payload, vec![0xaa; length], "{length} bytes");
        }
    }

    #[test]
    fn header_fields_stand_where_the_figure_shows_them() {
        let text_begins =
            FrameHeader { fin: false, rsv: 0, opcode: Opcode::Text, mask: None, payload_len: 3 };
        let headers: [(&[u8], FrameHeader); 6] = [
            (b"\x01\x03", text_begins),
            (b"\x81\x03", FrameHeader { fin: true, ..text_begins }),
            (b"\x00\x03", FrameHeader { opcode: Opcode::Continuation, ..text_begins }),
            (b"\x61\x83\x37\xfa\x21\x3d", FrameHeader { rsv: 6, mask: Some(KEY), ..text_begins }),
            (b"\x11\x7e\x01\x02", FrameHeader { rsv: 1, payload_len: 258, ..text_begins }),
            (
                b"\x01\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x37\xfa\x21\x3d",
                FrameHeader { mask: Some(KEY), payload_len: (1 << 63) - 1, ..text_begins },
            ),
        ];
        for (bytes, header) in headers {
            assert_eq!(*header.encode(), *bytes);
            assert_eq!(FrameHeader::parse(&[bytes, b"payload"].concat()), Ok(Some((header, bytes.len()))));
            for short in 0..bytes.len() {
                assert_eq!(FrameHeader::parse(&bytes[..short]), Ok(None), "{short} bytes of {bytes:02x?}");
            }
        }
    }

    #[test]
    fn frame_is_appended_to_what_is_there() {
        let mut out = b"before".to_vec();
        encode_frame(&mut out, Opcode::Pong, b"!", None);
        assert_eq!(out, b"before\x8a\x01!");
    }

    #[test]
    fn length_of_a_server_frame_is_known_from_its_header_alone() {
        for (header, expected) in [
            (&b"\x81\x00"[..], 2),
            (b"\x82\x7d", 127),
            (b"\x82\x7e\x00\x7e", 4 + 126),
            (b"\x82\x7e\xff\xff", 4 + 65535),
            (b"\x82\x7f\0\0\0\0\0\x01\0\0", 10 + 65536),
        ] {
            assert_eq!(server_frame_len(header), Some(expected));
            assert_eq!(server_frame_len(&[header, &[0x81; 300]].concat()), Some(expected));
            for short in 0..header.len() {
                assert_eq!(server_frame_len(&header[..short]), None, "{short} bytes of {header:02x?}");
            }
        }
    }
}

mod section_5_3_masking {
    use corecast_protocol::frame::encode_frame;
    use corecast_protocol::mask::apply_mask;
    use corecast_protocol::{Opcode, Side};
    use corecast_tests::wire::*;

    // "transformed-octet-i = original-octet-i XOR masking-key-octet-j, j = i MOD 4"
    #[test]
    fn octet_i_meets_octet_i_modulo_4_of_the_key() {
        let mut bytes = *b"Hello";
        apply_mask(&mut bytes, KEY, 0);
        assert_eq!(bytes, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);

        let mut zeros = [0; 11];
        apply_mask(&mut zeros, [1, 2, 3, 4], 0);
        assert_eq!(zeros, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3]);
    }

    #[test]
    fn offset_is_the_position_in_the_payload() {
        for (offset, expected) in
            [(0, [1, 2, 3, 4, 1]), (1, [2, 3, 4, 1, 2]), (2, [3, 4, 1, 2, 3]), (7, [4, 1, 2, 3, 4])]
        {
            let mut zeros = [0; 5];
            apply_mask(&mut zeros, [1, 2, 3, 4], offset);
            assert_eq!(zeros, expected, "offset {offset}");
        }
    }

    // "The same algorithm applies regardless of the direction of the translation"
    #[test]
    fn mask_is_its_own_inverse() {
        let original: Vec<u8> = (0..=255).collect();
        let mut bytes = original.clone();
        apply_mask(&mut bytes, KEY, 3);
        assert_ne!(bytes, original);
        apply_mask(&mut bytes, KEY, 3);
        assert_eq!(bytes, original);
    }

    #[test]
    fn client_masks_the_payload_and_sends_the_key() {
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Text, b"Hello", Some(KEY));
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    // "The payload length […] does NOT include the length of the masking key."
    #[test]
    fn key_is_not_counted_in_the_length() {
        let mut out = Vec::new();
        encode_frame(&mut out, Opcode::Ping, b"", Some(KEY));
        assert_eq!(out, [0x89, 0x80, 0x37, 0xfa, 0x21, 0x3d]);
        assert_sees(Side::Server, &out, &[Seen::Ping(vec![])]);
    }

    // "The masking key is contained completely within the frame": it starts anew with every frame.
    #[test]
    fn server_unmasks_each_frame_with_its_own_key_from_its_first_octet() {
        let bytes = [
            frame(TEXT_BEGINS, b"a", Some([1, 2, 3, 4])),
            frame(PING, b"pin", Some([0xff, 0xfe, 0xfd, 0xfc])),
            frame(CONTINUES, b"bcdef", Some([5, 6, 7, 8])),
            frame(ENDS, b"gh", Some([0, 0, 0, 0])),
            frame(BINARY, &[0, 1, 2], Some([9, 9, 9, 9])),
        ]
        .concat();
        assert_sees(
            Side::Server,
            &bytes,
            &[Seen::Ping(b"pin".to_vec()), Seen::Text("abcdefgh".to_owned()), Seen::Binary(vec![0, 1, 2])],
        );
    }

    #[test]
    fn server_unmasks_payloads_longer_than_any_register() {
        let payload: Vec<u8> = (0..1021).map(|i| (i % 253) as u8).collect();
        let bytes = frame(BINARY, &payload, Some([0x12, 0x34, 0x56, 0x78]));
        for cut in 0..bytes.len() {
            let mut receiver = Receiver::new(Side::Server);
            receiver.hear(&bytes[..cut]).hear(&bytes[cut..]);
            assert_eq!(receiver.seen, [Seen::Binary(payload.clone())], "cut before byte {cut}");
        }
    }
}
