//! Bytes from peers that mean harm, or have lost their way. A connection never panics, ends in events or in
//! one error that stays the same, makes the same of the bytes however they are cut, and agrees with the
//! oracle.

use corecast_protocol::Side;
use corecast_tests::seeds::{for_seeds, random_bytes};
use corecast_tests::wire::{frame, header};
use fastrand::Rng;

use crate::agreement::{self, SMALL};
use crate::oracle::{End, Terms, judge};

#[test]
fn server_survives_noise() {
    for_seeds(3000, |rng| check(Side::Server, &noise(rng), rng));
}

#[test]
fn client_survives_noise() {
    for_seeds(3000, |rng| check(Side::Client, &noise(rng), rng));
}

#[test]
fn server_agrees_with_the_oracle_on_streams_with_faults() {
    for_seeds(6000, |rng| check(Side::Server, &stream(Side::Server, rng), rng));
}

#[test]
fn client_agrees_with_the_oracle_on_streams_with_faults() {
    for_seeds(6000, |rng| check(Side::Client, &stream(Side::Client, rng), rng));
}

#[test]
fn streams_reach_every_kind_of_end() {
    for side in [Side::Server, Side::Client] {
        let terms = Terms { side, deflate: false, bounds: SMALL };
        let ends: Vec<End> =
            (0..2000).map(|seed| judge(terms, &stream(side, &mut Rng::with_seed(seed))).1).collect();
        let share = |wanted: &dyn Fn(&End) -> bool| ends.iter().filter(|end| wanted(end)).count();
        assert!(share(&|end| matches!(end, End::Open { mid_message: false })) > 20, "{side:?}");
        assert!(share(&|end| matches!(end, End::Open { mid_message: true })) > 20, "{side:?}");
        assert!(share(&|end| *end == End::Closed) > 20, "{side:?}");
        for codes in [&[1002][..], &[1007], &[1009], &[1008, 1009]] {
            assert!(share(&|end| *end == End::Failed(codes.to_vec())) > 20, "{side:?}, {codes:?}");
        }
    }
}

fn check(side: Side, bytes: &[u8], rng: &mut Rng) {
    let piece_lengths: Vec<usize> = (0..bytes.len()).map(|_| rng.usize(1..=40)).collect();
    let terms = Terms { side, deflate: rng.bool(), bounds: SMALL };
    agreement::check(terms, bytes, &piece_lengths);
}

/// Any bytes at all, sometimes behind a well-formed header that makes them a payload.
fn noise(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    if rng.bool() {
        let key = rng.bool().then(|| rng.u32(..).to_be_bytes());
        bytes = header(rng.u8(..), rng.u64(..150), key);
    }
    let length = rng.usize(..200);
    bytes.extend(random_bytes(length, rng));
    bytes
}

/// Frames that mostly make sense one after the other, with the odd fault.
fn stream(side: Side, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut open = false;
    // One stream in two has no fault at all but its end.
    let faulty = rng.bool();
    for _ in 0..rng.usize(1..12) {
        let first_byte = match rng.u8(..20) {
            0 => 0x88,
            1..=4 => *rng.choice(&[0x89, 0x8a][..]).unwrap(),
            5..=14 if open => 0x00,
            _ if open => 0x80,
            5..=14 => *rng.choice(&[0x01, 0x02][..]).unwrap(),
            _ => *rng.choice(&[0x81, 0x82][..]).unwrap(),
        };
        if first_byte & 0x08 == 0 {
            open = first_byte & 0x80 == 0;
        }
        let payload = payload(first_byte, rng);
        let key = (side == Side::Server).then(|| rng.u32(..).to_be_bytes());
        let mut frame = frame(first_byte, &payload, key);
        if faulty && rng.u8(..8) == 0 {
            spoil(&mut frame, rng);
        }
        bytes.extend(frame);
    }
    if rng.u8(..3) == 0 {
        bytes.truncate(rng.usize(..=bytes.len()));
    }
    bytes
}

fn payload(first_byte: u8, rng: &mut Rng) -> Vec<u8> {
    let length = match rng.u8(..12) {
        0 => 0,
        1 => rng.usize(120..130),
        2 if first_byte & 0x08 == 0 => rng.usize(290..310),
        _ => rng.usize(..60),
    };
    match first_byte {
        0x88 if length < 2 => vec![3; length],
        0x88 => {
            let codes = [1000, 1001, 1005, 1014, 1015, 2999, 3000, 4999, 5000];
            let code: u16 = *rng.choice(&codes[..]).unwrap();
            let mut body = code.to_be_bytes().to_vec();
            body.extend(text(length - 2, rng));
            body
        }
        0x00 | 0x80 | 0x01 | 0x81 => text(length, rng),
        _ => random_bytes(length, rng),
    }
}

/// Bytes that are mostly UTF-8, cut at any byte, and seldom not UTF-8 at all.
fn text(length: usize, rng: &mut Rng) -> Vec<u8> {
    let character = *rng.choice(&["x", "é", "€", "🌍"][..]).unwrap();
    let mut bytes: Vec<u8> = character.bytes().cycle().take(length).collect();
    if rng.u8(..4) > 0 {
        // Whole characters only.
        bytes.truncate(length - length % character.len());
    }
    if rng.u8(..10) == 0 && !bytes.is_empty() {
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
    }
    bytes
}

/// One fault: a bit of the header, the mask, the form of the length, a missing or an extra byte.
fn spoil(frame: &mut Vec<u8>, rng: &mut Rng) {
    match rng.u8(..7) {
        0 => frame[0] ^= 1 << rng.u8(..8),
        6 => frame[0] ^= 0x40,
        1 => frame[1] ^= 1 << rng.u8(..8),
        2 => frame[1] |= 0x7e,
        3 => frame[1] |= 0x7f,
        4 => drop(frame.remove(rng.usize(..frame.len()))),
        _ => frame.insert(rng.usize(..frame.len()), rng.u8(..)),
    }
}
