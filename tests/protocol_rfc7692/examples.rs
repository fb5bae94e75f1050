//! The examples of §7.2.3, octet by octet, from the wire to the message.

use corecast_protocol::deflate::Inflater;
use corecast_protocol::{Connection, MessageKind, Side};
use corecast_tests::wire::{KEY, Receiver, Seen, frame};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// Frames as the standard prints them; towards a server they are masked on top of that.
fn towards(side: Side, frames: &[&[u8]]) -> Vec<u8> {
    let key = (side == Side::Server).then_some(KEY);
    frames
        .iter()
        .flat_map(|bytes| {
            assert_eq!(usize::from(bytes[1]), bytes.len() - 2, "an example is a whole frame");
            frame(bytes[0], &bytes[2..], key)
        })
        .collect()
}

/// The texts that these frames carry, with one decompressor for all of them, on both sides and however the bytes are cut.
fn assert_says(frames: &[&[u8]], expected: &[&str]) {
    for side in [Side::Server, Side::Client] {
        let bytes = towards(side, frames);
        for piece_bytes in 1..=bytes.len() {
            let mut receiver = Receiver::new(side);
            receiver.connection = Connection::new(side).with_deflate(true);
            receiver.hear_in_pieces(&bytes, piece_bytes);
            assert_eq!(receiver.error, None, "{side:?}");
            let mut inflater = Inflater::new();
            let mut said = Vec::new();
            for seen in &receiver.seen {
                match seen {
                    Seen::Deflated(MessageKind::Text, payload) => {
                        said.push(
                            inflater
                                .inflate(MessageKind::Text, payload, 100)
                                .expect("an example of the standard"),
                        );
                    }
                    Seen::Text(text) => said.push(text.clone().into_bytes()),
                    other => panic!("{other:?}"),
                }
            }
            let expected: Vec<_> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(said, expected, "{side:?} in pieces of {piece_bytes}");
        }
    }
}

// §7.2.3.1, "A Message Compressed Using One Compressed DEFLATE Block"
#[test]
fn one_compressed_block_in_one_frame() {
    assert_says(&[&[0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]], &["Hello"]);
}

// §7.2.3.1: "If the client wants to send the message in two fragments"
#[test]
fn one_compressed_block_in_two_fragments() {
    assert_says(&[&[0x41, 0x03, 0xf2, 0x48, 0xcd], &[0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00]], &["Hello"]);
}

// §7.2.3.2, "Sharing LZ77 Sliding Window": without context takeover the second message has the bytes of the first.
#[test]
fn same_message_again_has_the_same_bytes_without_context_takeover() {
    let hello = [&[0xc1, 0x07][..], &HELLO].concat();
    assert_says(&[&hello, &hello], &["Hello", "Hello"]);
}

// §7.2.3.2: `f2 00 11 00 00` goes on with the window of the message before. Our answers forbid that, so it is no message,
// and does not spoil the next one.
#[test]
fn message_that_takes_over_the_context_of_the_last_is_refused() {
    let mut inflater = Inflater::new();
    assert_eq!(inflater.inflate(MessageKind::Text, &HELLO, 100).as_deref(), Ok(&b"Hello"[..]));
    let error = inflater.inflate(MessageKind::Text, &[0xf2, 0x00, 0x11, 0x00, 0x00], 100).unwrap_err();
    assert_eq!((error.close_code().0, error.section()), (1007, "RFC 7692 §7.2.2"));
    assert_eq!(inflater.inflate(MessageKind::Text, &HELLO, 100).as_deref(), Ok(&b"Hello"[..]));
}

// §7.2.3.3, "Using a DEFLATE Block with No Compression"
#[test]
fn block_with_no_compression() {
    assert_says(
        &[&[0xc1, 0x0b, 0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]],
        &["Hello"],
    );
}

// §7.2.3.4, "Using a DEFLATE Block with "BFINAL" Set to 1"
#[test]
fn block_with_bfinal_set() {
    assert_says(&[&[0xc1, 0x08, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]], &["Hello"]);
}

// §7.2.3.5, "Two DEFLATE Blocks in One Message"
#[test]
fn two_blocks_in_one_message() {
    assert_says(
        &[&[0xc1, 0x0d, 0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]],
        &["Hello"],
    );
}

// §7.2.3.6, "Generating an Empty Fragment": an empty block without compression is `00`.
#[test]
fn empty_message_is_an_empty_block() {
    assert_says(&[&[0xc1, 0x01, 0x00]], &[""]);
}

// §7.2.3.6: the last fragment of data whose end came late is an empty block; the ones before end where the compressor was
// flushed.
#[test]
fn empty_last_fragment() {
    assert_says(
        &[
            &[0x41, 0x0b, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff],
            &[0x80, 0x01, 0x00],
        ],
        &["Hello"],
    );
}

// §6: each message says for itself whether it is compressed.
#[test]
fn plain_messages_between_compressed_ones() {
    let plain: &[u8] = &[0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    let hello = [&[0xc1, 0x07][..], &HELLO].concat();
    assert_says(&[plain, &hello, plain], &["Hello"; 3]);
}
