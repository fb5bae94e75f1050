//! UTF-8 cut everywhere: by frames, by reads, by both at once (RFC 6455 §5.6, §8.1).

use corecast_protocol::{Limits, Side};
use corecast_tests::wire::{
    CONTINUES, ENDS, KEY, Receiver, Seen, TEXT, TEXT_BEGINS, frame_to, header_to, however_split,
};

const BOTH: [Side; 2] = [Side::Server, Side::Client];

/// The first and last characters of one, two, three and four bytes.
const CHARACTERS: [&str; 8] =
    ["\0", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{ffff}", "\u{10000}", "\u{10ffff}"];

#[test]
fn characters_survive_every_cut_of_fragments_and_reads() {
    for side in BOTH {
        for character in CHARACTERS {
            let text = format!("a{character}b{character}");
            for fragment_end in 0..=text.len() {
                let (head, tail) = text.as_bytes().split_at(fragment_end);
                let bytes = [frame_to(side, TEXT_BEGINS, head), frame_to(side, ENDS, tail)].concat();
                however_split(side, Limits::default(), &bytes, |receiver, how| {
                    assert_eq!(
                        receiver.seen,
                        [Seen::Text(text.clone())],
                        "{side:?}, fragment of {fragment_end}, {how}"
                    );
                });
            }
        }
    }
}

#[test]
fn characters_survive_being_sent_a_byte_a_frame() {
    for side in BOTH {
        let text = CHARACTERS.concat();
        let mut bytes = frame_to(side, TEXT_BEGINS, b"");
        for byte in text.bytes() {
            bytes.extend(frame_to(side, CONTINUES, &[byte]));
        }
        bytes.extend(frame_to(side, ENDS, b""));
        however_split(side, Limits::default(), &bytes, |receiver, how| {
            assert_eq!(receiver.seen, [Seen::Text(text.clone())], "{side:?}, {how}");
        });
    }
}

/// Text that is fine up to a byte, and that byte.
const SPOILED: [(&str, &[u8]); 7] = [
    ("", b"\xff"),
    ("a long stretch of plain text, longer than any vector register of any machine there is so far", b"\x80"),
    ("ü", b"\xc0"),
    ("世界", b"\xed\xa0"),
    ("🌍", b"\xf4\x90"),
    ("x", b"\xe2\x82\x28"),
    ("€", b"\xf0\x9f\x8c\x28"),
];

// The frame declares far more than ever comes: the failure must not wait for it.
#[test]
fn invalid_text_fails_at_its_byte_and_not_before_however_it_is_split() {
    for side in BOTH {
        for (good, bad) in SPOILED {
            let payload = [good.as_bytes(), bad].concat();
            let mut bytes = header_to(side, TEXT, 5000);
            let header_bytes = bytes.len();
            bytes.extend(masked_towards(side, &payload));
            for cut in 0..bytes.len() {
                let mut receiver = Receiver::new(side);
                receiver.hear(&bytes[..cut]).hear(&bytes[cut..bytes.len() - 1]);
                assert_eq!(
                    receiver.error, None,
                    "{side:?}, {payload:02x?}, cut at {cut}: could still be valid"
                );
                receiver.hear(&bytes[bytes.len() - 1..]);
                assert_eq!(receiver.failed_with(), Some(1007), "{side:?}, {payload:02x?}, cut at {cut}");
                assert_eq!(receiver.seen, []);
            }
            let mut receiver = Receiver::new(side);
            receiver.hear(&bytes[..header_bytes]).hear_in_pieces(&bytes[header_bytes..], 1);
            assert_eq!(receiver.failed_with(), Some(1007), "{side:?}, {payload:02x?}, byte by byte");
        }
    }
}

#[test]
fn invalid_text_fails_inside_a_later_unfinished_fragment() {
    for side in BOTH {
        for (good, bad) in SPOILED {
            for fragment_end in 0..=good.len() {
                let (head, tail) = good.as_bytes().split_at(fragment_end);
                let mut bytes =
                    [frame_to(side, TEXT_BEGINS, head), header_to(side, CONTINUES, 5000)].concat();
                bytes.extend(masked_towards(side, &[tail, bad].concat()));
                let (possible, last) = bytes.split_at(bytes.len() - 1);
                let mut receiver = Receiver::new(side);
                receiver.hear(possible);
                assert_eq!(
                    receiver.error, None,
                    "{side:?}, {good:?} cut at {fragment_end}: could still be valid"
                );
                receiver.hear(last);
                assert_eq!(receiver.failed_with(), Some(1007), "{side:?}, {good:?} cut at {fragment_end}");
            }
        }
    }
}

fn masked_towards(side: Side, payload: &[u8]) -> Vec<u8> {
    match side {
        Side::Server => payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]).collect(),
        Side::Client => payload.to_vec(),
    }
}
