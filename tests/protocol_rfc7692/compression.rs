//! §7.2.1: what an endpoint sends, read back by the slow decoder.

use super::oracle;
use corecast_protocol::deflate::{Deflater, Inflater};
use corecast_protocol::frame::{deflated_server_header, encode_deflated};
use corecast_protocol::{MessageKind, Side};
use corecast_tests::seeds::for_seeds;
use corecast_tests::wire::{KEY, frame};

const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;
const WINDOWS: std::ops::RangeInclusive<u8> = 9..=15;

fn deflated(deflater: &mut Deflater, message: &[u8]) -> Option<Vec<u8>> {
    let mut out = b"before".to_vec();
    let is_shorter = deflater.deflate(message, &mut out);
    assert!(out.starts_with(b"before"), "what was there is gone");
    assert!(is_shorter || out == b"before", "something was appended, and is not to be sent");
    is_shorter.then(|| out.split_off(6))
}

/// Texts and numbers such as are broadcast, repeated to some length.
fn messages() -> Vec<Vec<u8>> {
    let words = b"{\"symbol\":\"EURUSD\",\"bid\":1.08123,\"ask\":1.08131,\"at\":1700000000}";
    let lengths = [64, 100, 511, 512, 513, 1000, 4096, 32_768, 32_769, 70_000, 300_000];
    let mut messages: Vec<Vec<u8>> =
        lengths.iter().map(|&length| words.iter().copied().cycle().take(length).collect()).collect();
    messages.push(vec![0; 200_000]);
    messages.push((0..60_000_u32).flat_map(|number| (number * number / 7 % 1000).to_be_bytes()).collect());
    messages
}

// Steps 1 to 3: whole blocks, of which the last, empty one lacks the four octets that the receiver appends.
#[test]
fn payload_is_whole_blocks_without_the_end_of_the_last() {
    for window_bits in WINDOWS {
        for level in LEVELS {
            let mut deflater = Deflater::new(level, window_bits);
            for message in messages() {
                let Some(payload) = deflated(&mut deflater, &message) else {
                    panic!("{} bytes do not shrink at level {level}, window {window_bits}", message.len())
                };
                let inflated = oracle::inflate(&payload).expect("whole blocks");
                assert!(inflated.message == message, "{} bytes, level {level}", message.len());
                assert!(payload.len() < message.len());
                // "the last octet of the compressed data contains […] the DEFLATE header bits with the "BTYPE" bits set to 00"
                assert!(!payload.ends_with(&[0x00, 0x00, 0xff, 0xff]), "step 3 takes these off");
            }
        }
    }
}

// "If the "agreed parameters" contain the "server_max_window_bits" extension parameter with a value of w, the server MUST NOT
// use an LZ77 sliding window longer than the w-th power of 2 bytes"
#[test]
fn references_stay_within_the_window() {
    let mut messages = messages();
    let block: Vec<u8> =
        (0..5000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    messages.push(block.repeat(20));
    for window_bits in WINDOWS {
        let mut deflater = Deflater::new(9, window_bits);
        for message in &messages {
            let Some(payload) = deflated(&mut deflater, message) else { continue };
            let furthest = oracle::inflate(&payload).expect("whole blocks").furthest;
            assert!(
                furthest <= 1 << window_bits,
                "{furthest} bytes back with a window of {window_bits} bits"
            );
        }
    }
    let payload = deflated(&mut Deflater::new(9, 15), &block.repeat(20)).expect("it repeats itself");
    assert_eq!(
        oracle::inflate(&payload).expect("whole blocks").furthest,
        5000,
        "the test reaches far enough"
    );
}

// "the server MUST start compressing each new message with an empty LZ77 sliding window"
#[test]
fn message_is_compressed_the_same_whatever_came_before() {
    for level in LEVELS {
        let mut deflater = Deflater::new(level, 15);
        let first = deflated(&mut deflater, &b"Hello, hello, hello, hello, hello!".repeat(3));
        for message in messages() {
            let fresh = deflated(&mut Deflater::new(level, 15), &message);
            assert!(deflated(&mut deflater, &message) == fresh, "{} bytes at level {level}", message.len());
            // Also after one that was given up because it did not shrink.
            assert_eq!(deflated(&mut deflater, b"\x01\x93\xfe\x42"), None);
        }
        assert_eq!(deflated(&mut deflater, &b"Hello, hello, hello, hello, hello!".repeat(3)), first);
    }
}

// §6: a message may go plain, so one that does not shrink does.
#[test]
fn what_does_not_get_shorter_is_not_compressed() {
    for_seeds(20, |rng| {
        let mut deflater = Deflater::new(rng.u8(1..=9), rng.u8(9..=15));
        for length in [0, 1, 2, 3, 5, 6, 7, 8, 50, 1000, 70_000] {
            let noise: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
            assert_eq!(deflated(&mut deflater, &noise), None, "{length} bytes of noise");
        }
        assert_eq!(deflated(&mut deflater, b"Hello"), None, "seven bytes for five");
    });
}

// Noise leaves nothing behind in the compressor, however much of it there was.
#[test]
fn what_is_given_up_does_not_harm_the_next_message() {
    for level in LEVELS {
        for window_bits in [9, 15] {
            let mut rng = fastrand::Rng::with_seed(u64::from(level));
            let mut deflater = Deflater::new(level, window_bits);
            for lengths in [&[100][..], &[1000, 70_000], &[70_000, 1000, 140_000], &[140_000, 140_000]] {
                for &length in lengths {
                    let noise: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
                    assert_eq!(deflated(&mut deflater, &noise), None, "{length} bytes at level {level}");
                }
                let message = b"{\"a\":1,\"b\":2}".repeat(2000);
                let payload = deflated(&mut deflater, &message).expect("shorter");
                let inflated = oracle::inflate(&payload).expect("whole blocks");
                assert!(inflated.message == message, "after {lengths:?} at level {level}");
            }
        }
    }
}

// Around the border every length is right: shorter by one at least, and whole.
#[test]
fn what_gets_a_little_shorter_is_whole() {
    for_seeds(300, |rng| {
        let mut deflater = Deflater::new(rng.u8(1..=9), rng.u8(9..=15));
        let noise: Vec<u8> = (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect();
        let message = [&noise[..], &vec![b'a'; rng.usize(0..40)]].concat();
        if let Some(payload) = deflated(&mut deflater, &message) {
            assert!(payload.len() < message.len());
            assert_eq!(oracle::inflate(&payload).expect("whole blocks").message, message);
        }
    });
}

// §6.1: RSV1 on the one frame there is, the opcode as ever; RFC 6455 §5.1: masked from a client only.
#[test]
fn compressed_messages_are_framed_with_the_bit() {
    let payload = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut out = Vec::new();
    encode_deflated(&mut out, MessageKind::Text, &payload, None);
    assert_eq!(out, [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    out.clear();
    encode_deflated(&mut out, MessageKind::Binary, &payload, Some(KEY));
    assert_eq!(out, frame(0xc2, &payload, Some(KEY)));
    assert_eq!(*deflated_server_header(MessageKind::Text, 7), [0xc1, 0x07]);
    assert_eq!(*deflated_server_header(MessageKind::Binary, 126), [0xc2, 126, 0, 126]);
    assert_eq!(*deflated_server_header(MessageKind::Binary, 65_536), [0xc2, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn what_one_side_compresses_the_other_reads() {
    for sender in [Side::Server, Side::Client] {
        for message in messages() {
            let payload = deflated(&mut Deflater::new(6, 15), &message).expect("shorter");
            let inflated = Inflater::new().inflate(MessageKind::Binary, &payload, message.len());
            assert!(inflated.as_deref() == Ok(&message[..]), "{} bytes from the {sender:?}", message.len());
        }
    }
}
