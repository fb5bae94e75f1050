//! Payloads made to hurt: bombs, garbage, and valid ones with a bit turned.

use super::oracle;
use corecast_protocol::deflate::{Deflater, Inflater};
use corecast_protocol::{MessageKind, ProtocolError};
use corecast_tests::seeds::for_seeds;
use fastrand::Rng;

/// Zeros, compressed to a thousandth.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut payload = Vec::new();
    assert!(Deflater::new(9, 15).deflate(&vec![0; bytes], &mut payload));
    payload
}

// RFC 6455 §10.4: "MUST protect themselves against exceeding those limits."
#[test]
fn bomb_is_refused_at_the_limit_and_spoils_nothing() {
    let payload = bomb(32 << 20);
    assert!(payload.len() < 40_000, "{} bytes", payload.len());
    let mut inflater = Inflater::new();
    for limit in [0, 1, 100, 512 << 10, (32 << 20) - 1] {
        for kind in [MessageKind::Text, MessageKind::Binary] {
            let error = inflater.inflate(kind, &payload, limit).unwrap_err();
            assert_eq!(error, ProtocolError::InflatedTooBig { limit: limit as u64 });
            assert_eq!(error.close_code().0, 1009);
        }
        let hello = inflater.inflate(MessageKind::Text, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5);
        assert_eq!(hello.as_deref(), Ok(&b"Hello"[..]));
    }
    assert_eq!(
        inflater.inflate(MessageKind::Binary, &payload, 32 << 20).map(|message| message.len()),
        Ok(32 << 20)
    );
}

// The limit is that of what comes out, to the byte, for every length around the sizes at which memory grows.
#[test]
fn limit_is_held_to_the_byte() {
    let mut inflater = Inflater::new();
    for length in [64, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 65_535, 65_536, 65_537] {
        let payload = bomb(length);
        let message = inflater.inflate(MessageKind::Binary, &payload, length).expect("exactly the limit");
        assert!(message == vec![0; length]);
        let over = inflater.inflate(MessageKind::Binary, &payload, length - 1);
        assert_eq!(over, Err(ProtocolError::InflatedTooBig { limit: length as u64 - 1 }), "{length}");
        let wide = inflater.inflate(MessageKind::Binary, &payload, usize::MAX).expect("within the limit");
        assert!(wide.capacity() <= 2 * length + 512, "{} bytes for {length}", wide.capacity());
    }
}

// Blocks with nothing in them cost their octets and nothing else: no memory, no end.
#[test]
fn empty_blocks_are_nothing_however_many() {
    let mut inflater = Inflater::new();
    for block in [&b"\x00\x00\x00\xff\xff"[..], b"\x02\x00\x00\x00\xff\xff"] {
        let payload = [&block.repeat(50_000)[..], &[0x00]].concat();
        assert_eq!(inflater.inflate(MessageKind::Text, &payload, 0).as_deref(), Ok(&b""[..]));
    }
}

// Each block that says it is the last makes the decompressor start anew, which costs as much as inflating kilobytes: two octets
// for tens of microseconds. So there is an end to them, far above what anybody sends.
#[test]
fn last_blocks_are_bounded() {
    let mut inflater = Inflater::new();
    for block in [&b"\x01\x00\x00\xff\xff"[..], b"\x03\x00"] {
        let of = |count: usize| [&block.repeat(count)[..], &[0x00]].concat();
        assert_eq!(inflater.inflate(MessageKind::Text, &of(64), 0).as_deref(), Ok(&b""[..]));
        for count in [65, 50_000] {
            let error = inflater.inflate(MessageKind::Text, &of(count), 0).unwrap_err();
            assert_eq!(error.close_code().0, 1007, "{count}");
        }
    }
}

#[test]
fn garbage_is_read_as_the_slow_decoder_reads_it() {
    for_seeds(50, |rng| {
        let mut inflater = Inflater::new();
        for _ in 0..200 {
            let payload: Vec<u8> = (0..rng.usize(1..60)).map(|_| rng.u8(..)).collect();
            assert_agree(&mut inflater, &payload);
        }
    });
}

#[test]
fn payloads_with_a_bit_turned_are_read_as_the_slow_decoder_reads_them() {
    for_seeds(50, |rng| {
        let mut inflater = Inflater::new();
        for _ in 0..60 {
            let payload = with_a_bit_turned(rng);
            assert_agree(&mut inflater, &payload);
        }
    });
}

fn with_a_bit_turned(rng: &mut Rng) -> Vec<u8> {
    let mut message: Vec<u8> = (0..rng.usize(100..400)).map(|_| b'a' + rng.u8(..8)).collect();
    message.extend_from_within(..rng.usize(50..100));
    let mut payload = Vec::new();
    assert!(Deflater::new(rng.u8(1..=9), rng.u8(9..=15)).deflate(&message, &mut payload));
    let at = rng.usize(1..payload.len());
    match rng.u8(..4) {
        0 => payload.truncate(at),
        1 => payload.insert(at, rng.u8(..)),
        _ => payload[at] ^= 1 << rng.u8(..8),
    }
    payload
}

#[track_caller]
fn assert_agree(inflater: &mut Inflater, payload: &[u8]) {
    let expected = oracle::inflate(payload).map(|inflated| inflated.message);
    let found = inflater.inflate(MessageKind::Binary, payload, 1 << 20);
    assert_eq!(found.ok(), expected, "{payload:02x?}");
}
