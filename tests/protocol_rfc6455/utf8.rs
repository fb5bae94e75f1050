//! RFC 6455 §8.1: a byte stream that is to be UTF-8 and is not fails the connection, as soon as that is
//! certain.

use corecast_protocol::Side;
use corecast_protocol::utf8::Utf8Validator;
use corecast_tests::wire::*;

both_sides! {
    takes_every_kind_of_valid_sequence,
    takes_valid_sequences_cut_by_fragments,
    fails_connection_on_every_kind_of_invalid_sequence,
    fails_connection_on_invalid_sequences_far_into_a_message,
    fails_at_the_first_impossible_byte_of_an_unfinished_frame,
    fails_at_the_first_impossible_byte_of_an_unfinished_message,
    fails_connection_on_message_that_ends_inside_a_character,
    one_message_does_not_complete_the_characters_of_another,
    control_frames_between_fragments_do_not_disturb_the_check,
    binary_is_not_checked,
    close_reason_is_checked,
    error_says_where_the_text_stopped_being_text,
}

/// Valid: the first and last code point of each length, around the surrogates, noncharacters, a byte order
/// mark.
const VALID: [&[u8]; 19] = [
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xec\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xef\xbf\xbf",
    b"\xef\xbb\xbfafter a byte order mark",
    b"\xef\xb7\x90",
    b"\xf0\x90\x80\x80",
    b"\xf0\x9f\xbf\xbf",
    b"\xf1\xbf\xbf\xbe",
    b"\xf3\xbf\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    "κόσμε, Γειά, 世界, 🌍".as_bytes(),
];

/// Invalid, and how many of the bytes make that certain (RFC 3629 §4).
const INVALID: [(&[u8], usize); 31] = [
    (b"\x80", 1),
    (b"\xbf", 1),
    (b"\xc0\x80", 1),
    (b"\xc1\xbf", 1),
    (b"\xc2\x00", 2),
    (b"\xc2\x7f", 2),
    (b"\xc2\xc0", 2),
    (b"\xdf\xff", 2),
    // Overlong in three bytes: the second byte says so.
    (b"\xe0\x80\x80", 2),
    (b"\xe0\x9f\xbf", 2),
    (b"\xe1\x80\x7f", 3),
    (b"\xe1\x80\xc0", 3),
    // Surrogates.
    (b"\xed\xa0\x80", 2),
    (b"\xed\xad\xbf", 2),
    (b"\xed\xbf\xbf", 2),
    (b"\xed\xa0\x80\xed\xb0\x80", 2),
    (b"\xef\xbf\x41", 3),
    // Overlong in four bytes.
    (b"\xf0\x80\x80\x80", 2),
    (b"\xf0\x8f\xbf\xbf", 2),
    (b"\xf1\x80\x80\x41", 4),
    (b"\xf1\x80\xff\x80", 3),
    // Above U+10FFFF.
    (b"\xf4\x90\x80\x80", 2),
    (b"\xf4\xbf\xbf\xbf", 2),
    (b"\xf5\x80\x80\x80", 1),
    (b"\xf7\xbf\xbf\xbf", 1),
    (b"\xf8\x88\x80\x80\x80", 1),
    (b"\xfc\x84\x80\x80\x80\x80", 1),
    (b"\xfe", 1),
    (b"\xff", 1),
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 13),
    (b"caf\xe9 au lait", 5),
];

/// Beginnings of characters that never end.
const UNFINISHED: [&[u8]; 8] = [
    b"\xc2",
    b"\xe2",
    b"\xe2\x82",
    b"\xed\x9f",
    b"\xf0",
    b"\xf0\x9f",
    b"\xf0\x9f\x8c",
    b"whole \xf4\x8f\xbf",
];

fn as_text(bytes: &[u8]) -> Seen {
    Seen::Text(String::from_utf8(bytes.to_vec()).expect("a valid example"))
}

fn takes_every_kind_of_valid_sequence(side: Side) {
    for valid in VALID {
        assert_sees(side, &frame_to(side, TEXT, valid), &[as_text(valid)]);
    }
}

fn takes_valid_sequences_cut_by_fragments(side: Side) {
    for valid in VALID {
        for cut in 0..=valid.len() {
            let bytes =
                [frame_to(side, TEXT_BEGINS, &valid[..cut]), frame_to(side, ENDS, &valid[cut..])].concat();
            assert_sees(side, &bytes, &[as_text(valid)]);
        }
    }
}

fn fails_connection_on_every_kind_of_invalid_sequence(side: Side) {
    for (invalid, _) in INVALID {
        assert_fails(side, &frame_to(side, TEXT, invalid), 1007, "8.1");
    }
}

fn fails_connection_on_invalid_sequences_far_into_a_message(side: Side) {
    for (invalid, _) in INVALID {
        for ahead in [15, 16, 31, 63, 64, 200] {
            let payload = [&vec![b'a'; ahead][..], invalid, b" and on it goes"].concat();
            let mut receiver = Receiver::new(side);
            receiver.hear(&frame_to(side, TEXT, &payload));
            assert_eq!(
                (&receiver.seen[..], receiver.failed_with()),
                (&[][..], Some(1007)),
                "{ahead}, {invalid:02x?}"
            );
        }
    }
}

// Autobahn's 6.4: not at the end of the message, nor of the frame, but at the byte that settles it.
fn fails_at_the_first_impossible_byte_of_an_unfinished_frame(side: Side) {
    for (invalid, certain) in INVALID {
        let mut bytes = header_to(side, TEXT, 1000);
        let header_bytes = bytes.len();
        let key = if side == Side::Server { KEY } else { [0; 4] };
        bytes.extend(invalid.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));

        let mut receiver = Receiver::new(side);
        receiver.hear(&bytes[..header_bytes + certain - 1]);
        assert_eq!(receiver.error, None, "{invalid:02x?} may still become valid");
        receiver.hear(&bytes[header_bytes + certain - 1..][..1]);
        assert_eq!(receiver.failed_with(), Some(1007), "{invalid:02x?} cannot become valid any more");
    }
}

fn fails_at_the_first_impossible_byte_of_an_unfinished_message(side: Side) {
    for (invalid, certain) in INVALID {
        let (possible, rest) = invalid.split_at(certain - 1);
        let mut receiver = Receiver::new(side);
        receiver.hear(&frame_to(side, TEXT_BEGINS, possible));
        assert_eq!(receiver.error, None, "{invalid:02x?} may still become valid");
        receiver.hear(&frame_to(side, CONTINUES, &rest[..1]));
        assert_eq!(receiver.failed_with(), Some(1007), "{invalid:02x?} cannot become valid any more");
    }
}

fn fails_connection_on_message_that_ends_inside_a_character(side: Side) {
    for unfinished in UNFINISHED {
        assert_fails(side, &frame_to(side, TEXT, unfinished), 1007, "8.1");
        for cut in 0..=unfinished.len() {
            let bytes =
                [frame_to(side, TEXT_BEGINS, &unfinished[..cut]), frame_to(side, ENDS, &unfinished[cut..])]
                    .concat();
            assert_fails(side, &bytes, 1007, "8.1");
        }
    }
}

fn one_message_does_not_complete_the_characters_of_another(side: Side) {
    let bytes =
        [frame_to(side, TEXT, b"ok"), frame_to(side, TEXT, b"\xe2\x82"), frame_to(side, TEXT, b"\xac")]
            .concat();
    assert_fails_after(side, &[Seen::Text("ok".to_owned())], &bytes, 1007, "8.1");
    assert_fails(side, &frame_to(side, TEXT, b"\xac"), 1007, "8.1");
}

fn control_frames_between_fragments_do_not_disturb_the_check(side: Side) {
    let whole = [
        frame_to(side, TEXT_BEGINS, b"\xe2\x82"),
        frame_to(side, PING, b"\xff\xfe"),
        frame_to(side, ENDS, b"\xac"),
    ];
    assert_sees(side, &whole.concat(), &[Seen::Ping(vec![0xff, 0xfe]), as_text("€".as_bytes())]);

    let broken =
        [frame_to(side, TEXT_BEGINS, b"\xe2\x82"), frame_to(side, PONG, b"\xac"), frame_to(side, ENDS, b"")];
    assert_fails_after(side, &[Seen::Pong(vec![0xac])], &broken.concat(), 1007, "8.1");
}

fn binary_is_not_checked(side: Side) {
    for (invalid, _) in INVALID {
        assert_sees(side, &frame_to(side, BINARY, invalid), &[Seen::Binary(invalid.to_vec())]);
        let fragments = [frame_to(side, BINARY_BEGINS, invalid), frame_to(side, ENDS, b"")].concat();
        assert_sees(side, &fragments, &[Seen::Binary(invalid.to_vec())]);
    }
}

// §5.5.1: the reason is UTF-8 too.
fn close_reason_is_checked(side: Side) {
    for valid in VALID {
        let bytes = frame_to(side, CLOSE, &[b"\x03\xe8", valid].concat());
        assert_sees(side, &bytes, &[Seen::Close(Some((1000, String::from_utf8(valid.to_vec()).unwrap())))]);
    }
    for invalid in INVALID.map(|(invalid, _)| invalid).into_iter().chain(UNFINISHED) {
        let bytes = frame_to(side, CLOSE, &[b"\x03\xe8", invalid].concat());
        however_split(side, Default::default(), &bytes, |receiver, how| {
            assert_eq!(
                (&receiver.seen[..], receiver.failed_with()),
                (&[][..], Some(1007)),
                "{how}, {invalid:02x?}"
            );
        });
    }
}

// A publisher of images as text should learn so: which byte, and the likely mistake.
fn error_says_where_the_text_stopped_being_text(side: Side) {
    let mut receiver = Receiver::new(side);
    receiver.hear(&frame_to(side, TEXT, b"0123456789\xff"));
    let said = receiver.error.expect("invalid").to_string();
    assert!(said.contains("10") && said.contains("binary"), "{said}");
}

/// What the standard library makes of bytes that come at once: where they cannot go on, or whether they may
/// end.
fn expected_of(bytes: &[u8]) -> Result<bool, usize> {
    match str::from_utf8(bytes) {
        Ok(_) => Ok(true),
        Err(error) if error.error_len().is_none() => Ok(false),
        // The bytes after the last valid one that could have begun a character, then the impossible one.
        Err(error) => Err(error.valid_up_to() + first_impossible(&bytes[error.valid_up_to()..])),
    }
}

fn first_impossible(bytes: &[u8]) -> usize {
    (1..=bytes.len())
        .find(|&length| str::from_utf8(&bytes[..length]).is_err_and(|error| error.error_len().is_some()))
        .expect("called on invalid bytes")
        - 1
}

// RFC 3629 §4 restricts the second byte of a character by its first, and nothing else: all pairs, then the
// edges of the third and the fourth byte.
#[test]
fn validator_agrees_with_the_standard_library_on_every_beginning_of_a_character() {
    const EDGES: [u8; 8] = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0xbf, 0xc0, 0xff];
    let check = |bytes: &[u8]| {
        let expected = expected_of(bytes);
        let mut whole = Utf8Validator::new();
        let outcome = whole.feed(bytes).map_err(|error| error.position).map(|()| whole.finish().is_ok());
        assert_eq!(outcome, expected, "{bytes:02x?} at once");

        let mut single = Utf8Validator::new();
        let fed = (0..bytes.len()).find(|&i| single.feed(&bytes[i..=i]).is_err());
        let outcome = fed.map_or_else(|| Ok(single.finish().is_ok()), Err);
        assert_eq!(outcome, expected, "{bytes:02x?} byte by byte");
    };
    for first in 0..=255 {
        check(&[first]);
        for second in 0..=255 {
            check(&[first, second]);
            for third in EDGES.into_iter().filter(|_| first >= 0xe0) {
                check(&[first, second, third]);
                for fourth in EDGES.into_iter().filter(|_| first >= 0xf0) {
                    check(&[first, second, third, fourth]);
                }
            }
        }
    }
}
