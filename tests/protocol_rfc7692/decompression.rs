//! §7.2.2: what an endpoint makes of payloads that others compressed, with blocks of every kind.

use super::oracle;
use corecast_protocol::MessageKind;
use corecast_protocol::deflate::Inflater;

/// "Hello" in a block that says it is the last, padded to its octet (§7.2.1), and in one that does not.
const LAST_HELLO: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn inflated(payload: &[u8]) -> Option<Vec<u8>> {
    Inflater::new().inflate(MessageKind::Binary, payload, 1 << 20).ok()
}

#[track_caller]
fn assert_says(payload: &[u8], message: &[u8]) {
    assert_eq!(oracle::inflate(payload).map(|inflated| inflated.message).as_deref(), Some(message));
    assert_eq!(inflated(payload).as_deref(), Some(message));
}

// §7.2.1: "An endpoint MAY use both DEFLATE blocks with the "BFINAL" bit set to 0 and DEFLATE blocks with the "BFINAL" bit set
// to 1"; "The next DEFLATE block follows the padded data if any."
#[test]
fn blocks_follow_blocks_that_say_they_are_the_last() {
    assert_says(&[&LAST_HELLO[..], &HELLO].concat(), b"HelloHello");
    assert_says(&[&LAST_HELLO[..], &LAST_HELLO, &[0x00]].concat(), b"HelloHello");
    assert_says(&[&LAST_HELLO[..], &[0x03, 0x00], &[0x03, 0x00], &HELLO].concat(), b"HelloHello");
    // One without compression that says so: `01`, length, inverse, data.
    assert_says(b"\x01\x02\x00\xfd\xffhi\x00", b"hi");
}

// The window is the message's: neither standard has it end with a block. The second block is that of §7.2.3.2.
#[test]
fn blocks_refer_to_what_came_before_a_block_that_said_it_was_the_last() {
    assert_says(&[&LAST_HELLO[..], &[0xf2, 0x00, 0x11, 0x00, 0x00]].concat(), b"HelloHello");
}

// Blocks of all three types (RFC 1951 §3.2.3), in one message. The dynamic one was made by zlib.
#[test]
fn blocks_of_every_type_in_one_message() {
    const DYNAMIC: [u8; 19] = [
        0x04, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xad, 0xfa, 0x3f, 0x22, 0x94, 0x12, 0x85, 0x20,
        0x88, 0x0c,
    ];
    let text = "abbabbabaabbaaabaaaabaaaabaaba";
    let stored = b"\x00\x03\x00\xfc\xffabc";
    let end = [0x00, 0x00, 0xff, 0xff];
    assert_says(&DYNAMIC, text.as_bytes());
    assert_says(&[&DYNAMIC[..], &end, stored, &HELLO].concat(), format!("{text}abcHello").as_bytes());
    assert_says(&[&stored[..], &HELLO].concat(), b"abcHello");
    assert_says(&[&HELLO[..], &end, stored, &[0x00]].concat(), b"Helloabc");
}

// The payload ends where a block ends, with the beginning of an empty one; anything else is cut or has something behind it.
#[test]
fn payload_that_is_cut_or_goes_on_is_refused() {
    for length in 1..HELLO.len() {
        assert_eq!(inflated(&HELLO[..length]), None, "{length} octets");
    }
    assert_eq!(inflated(&LAST_HELLO), None, "without the empty block behind it");
    for behind in [&b"\xff"[..], b"\x07", b"\x00\x00", b"garbage"] {
        assert_eq!(inflated(&[&HELLO[..], behind].concat()), None, "{behind:02x?}");
    }
}

// RFC 1951: the third block type is reserved; a stored block's length is there twice; distances stay within the message;
// length codes 286 and 287 and distance codes 30 and 31 "will never actually occur".
#[test]
fn payload_against_rfc_1951_is_refused() {
    for payload in [
        &b"\x06"[..],
        b"\x07\x00",
        b"\x00\x05\x00\xfa\xfeHello\x00",
        b"\x00\x06\x00\xf9\xffHello\x00",
        b"\xf2\x00\x11\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x1a\x03\x00",
        b"\x1a\x07\x00",
    ] {
        assert_eq!(oracle::inflate(payload), None, "{payload:02x?}");
        let error = Inflater::new().inflate(MessageKind::Binary, payload, 1 << 20).unwrap_err();
        assert_eq!((error.close_code().0, error.rule()), (1007, "invalid_deflate"), "{payload:02x?}");
    }
}

// "Otherwise, the client MUST use a 32,768-byte LZ77 sliding window to decompress messages to receive", and so the server. The
// octet that is repeated lies that far back, behind a stored block; one further is out of reach.
#[test]
fn window_of_32768_bytes_is_read() {
    // A block with fixed codes: length 3 (257, `0000001`), distance 32,768 (29, `11101`, and thirteen ones) or 24,577 and so on.
    let stored = |length: u16| {
        let data: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
        [&[0x00][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &data].concat()
    };
    let mut bits = vec![0, 1, 0];
    bits.extend([0, 0, 0, 0, 0, 0, 1]);
    bits.extend([1, 1, 1, 0, 1]);
    bits.extend([1; 13]);
    bits.extend([0; 7]);
    // An empty stored block begins, and ends with the four octets.
    bits.extend([0; 3]);
    let block: Vec<u8> =
        bits.chunks(8).map(|eight| eight.iter().enumerate().map(|(place, bit)| bit << place).sum()).collect();
    let far_enough = [stored(32_768), block.clone()].concat();
    let message = inflated(&far_enough).expect("a reference to the first octet");
    assert_eq!(
        oracle::inflate(&far_enough).map(|inflated| (inflated.message == message, inflated.furthest)),
        Some((true, 32_768))
    );
    assert_eq!(message[32_768..], [0, 1, 2]);
    assert_eq!(inflated(&[stored(32_767), block].concat()), None, "before the first octet");
}

// RFC 6455 §8.1: the text that comes out is UTF-8, and what came before in the payload does not matter.
#[test]
fn text_that_comes_out_is_utf8() {
    let text = |stored: &[u8]| {
        let length = stored.len() as u8;
        let payload = [&[0x00, length, 0x00, !length, 0xff][..], stored, &[0x00]].concat();
        Inflater::new()
            .inflate(MessageKind::Text, &payload, 100)
            .map_err(|error| (error.close_code().0, error.section()))
    };
    assert_eq!(text("caf\u{e9}".as_bytes()).as_deref(), Ok("caf\u{e9}".as_bytes()));
    assert_eq!(text(b"caf\xe9"), Err((1007, "RFC 6455 §8.1")));
    assert_eq!(text(b"caf\xc3"), Err((1007, "RFC 6455 §8.1")));
    assert_eq!(text(b"\xed\xa0\x80"), Err((1007, "RFC 6455 §8.1")));
    assert_eq!(
        inflated(b"\x00\x01\x00\xfe\xff\xff\x00").as_deref(),
        Some(&b"\xff"[..]),
        "binary is not checked"
    );
}
