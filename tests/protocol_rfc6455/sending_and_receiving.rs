//! RFC 6455 §6: sending and receiving data.

mod section_6_1_sending_data {
    use corecast_protocol::frame::encode_frame;
    use corecast_protocol::{MessageKind, Opcode};
    use corecast_tests::wire::*;

    // "The opcode (frame-opcode) of the first frame containing the data MUST be set to the appropriate value
    // from Section 5.2 […] The FIN bit (frame-fin) of the last frame containing the data MUST be set to 1"
    #[test]
    fn server_frames_carry_fin_and_the_opcode_of_their_kind() {
        let mut out = Vec::new();
        encode_frame(&mut out, MessageKind::Text.opcode(), b"a", None);
        encode_frame(&mut out, MessageKind::Binary.opcode(), b"b", None);
        assert_eq!(out, [0x81, 1, b'a', 0x82, 1, b'b']);
    }

    // "If the data is being sent by the client, the frame(s) MUST be masked as defined in Section 5.3."
    #[test]
    fn client_frames_carry_fin_and_opcode_and_are_masked() {
        let mut out = Vec::new();
        encode_frame(&mut out, MessageKind::Text.opcode(), b"a", Some([1, 2, 3, 4]));
        encode_frame(&mut out, MessageKind::Binary.opcode(), b"b", Some([5, 6, 7, 8]));
        assert_eq!(out, [0x81, 0x81, 1, 2, 3, 4, b'a' ^ 1, 0x82, 0x81, 5, 6, 7, 8, b'b' ^ 5]);
    }

    #[test]
    fn opcodes_have_the_values_of_section_5_2() {
        let values = [
            (0x0, Opcode::Continuation),
            (0x1, Opcode::Text),
            (0x2, Opcode::Binary),
            (0x8, Opcode::Close),
            (0x9, Opcode::Ping),
            (0xa, Opcode::Pong),
        ];
        for (value, opcode) in values {
            assert_eq!((opcode as u8, Opcode::from_u8(value)), (value, Some(opcode)));
            assert_eq!(opcode.is_control(), value >= 0x8);
        }
        for reserved in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            assert_eq!(Opcode::from_u8(reserved), None);
        }
        assert_eq!(TEXT & 0x0f, 1);
    }
}

mod section_6_2_receiving_data {
    use corecast_protocol::{Connection, Event, Input, Limits, Payload, Side};
    use corecast_tests::wire::*;

    both_sides! {
        next_frame_belongs_to_a_new_message,
        reading_may_pause_between_messages,
        nothing_comes_of_nothing,
    }

    // "Subsequent data frames MUST be interpreted as belonging to a new WebSocket message."
    fn next_frame_belongs_to_a_new_message(side: Side) {
        let bytes = [
            frame_to(side, TEXT_BEGINS, b"on"),
            frame_to(side, ENDS, b"e"),
            frame_to(side, BINARY, b"two"),
            frame_to(side, BINARY_BEGINS, b"thr"),
            frame_to(side, ENDS, b"ee"),
            frame_to(side, TEXT, b"four"),
        ];
        assert_sees(
            side,
            &bytes.concat(),
            &[
                Seen::Text("one".to_owned()),
                Seen::Binary(b"two".to_vec()),
                Seen::Binary(b"three".to_vec()),
                Seen::Text("four".to_owned()),
            ],
        );
    }

    // "A server MUST remove masking for data frames received from a client"
    #[test]
    fn server_removes_the_mask_in_place() {
        let mut bytes = [0x82, 0x83, 1, 2, 3, 4, 0xf1, 0xf2, 0xf3];
        let mut input = Input::new(&mut bytes);
        let event = Connection::new(Side::Server).poll_event(&mut input, &Limits::default()).unwrap();
        let Some(Event::Message { payload: Payload::InPlace(payload), .. }) = event else {
            panic!("{event:?}")
        };
        assert_eq!(payload, [0xf0, 0xf0, 0xf0]);
        assert!(input.is_empty());
        assert_eq!(bytes[6..], [0xf0, 0xf0, 0xf0]);
    }

    // The caller may stop between events and go on with the rest later.
    fn reading_may_pause_between_messages(side: Side) {
        let mut bytes = [frame_to(side, TEXT, b"one"), frame_to(side, TEXT, b"two")].concat();
        let length = bytes.len();
        let mut connection = Connection::new(side);
        let mut input = Input::new(&mut bytes);
        let first = connection.poll_event(&mut input, &Limits::default()).unwrap().map(Seen::from);
        assert_eq!(first, Some(Seen::Text("one".to_owned())));
        assert_eq!(input.remaining(), length / 2);

        let mut rest = Input::new(input.into_rest());
        let second = connection.poll_event(&mut rest, &Limits::default()).unwrap().map(Seen::from);
        assert_eq!(second, Some(Seen::Text("two".to_owned())));
        assert!(rest.is_empty());
    }

    fn nothing_comes_of_nothing(side: Side) {
        assert_sees(side, b"", &[]);
    }
}
