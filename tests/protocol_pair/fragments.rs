//! Random messages in random fragments with control frames between them, delivered in random pieces.

use corecast_protocol::Side;
use corecast_tests::seeds::{for_seeds, random_bytes};
use corecast_tests::wire::{PING, PONG, Receiver, Seen, frame};
use fastrand::Rng;

#[test]
fn server_joins_random_fragments() {
    for_seeds(400, |rng| random_fragments(Side::Server, rng));
}

#[test]
fn client_joins_random_fragments() {
    for_seeds(400, |rng| random_fragments(Side::Client, rng));
}

fn random_fragments(side: Side, rng: &mut Rng) {
    let mut stream = Stream { side, bytes: Vec::new(), expected: Vec::new() };
    for _ in 0..rng.usize(1..8) {
        stream.push_message(rng);
    }
    let mut receiver = Receiver::new(side);
    let mut rest = &stream.bytes[..];
    while !rest.is_empty() {
        let piece_bytes = match rng.u8(..4) {
            0 => 1,
            1 => rng.usize(1..20),
            2 => rng.usize(1..5000),
            _ => rest.len(),
        };
        let (piece, later) = rest.split_at(piece_bytes.min(rest.len()));
        receiver.hear(piece);
        rest = later;
    }
    assert_eq!(receiver.error, None);
    assert!(receiver.seen == stream.expected, "{:?} instead of {:?}", receiver.seen, stream.expected);
    assert_eq!(receiver.connection.buffered_bytes(), 0);
    assert!(!receiver.connection.is_mid_message());
}

/// Bytes for `side`, and what they mean.
struct Stream {
    side: Side,
    bytes: Vec<u8>,
    expected: Vec<Seen>,
}

impl Stream {
    fn push_message(&mut self, rng: &mut Rng) {
        let length = match rng.u8(..10) {
            0 => 0,
            1 => rng.usize(124..128),
            2 => rng.usize(65_530..65_540),
            _ => rng.usize(1..600),
        };
        let (opcode, payload, message) = if rng.bool() {
            let text = random_text(length, rng);
            (1, text.clone().into_bytes(), Seen::Text(text))
        } else {
            let bytes = random_bytes(length, rng);
            (2, bytes.clone(), Seen::Binary(bytes))
        };

        // Fragments end anywhere: inside characters, at the same place twice.
        let mut ends: Vec<usize> = (0..rng.usize(0..6)).map(|_| rng.usize(..=payload.len())).collect();
        ends.sort_unstable();
        ends.push(payload.len());
        let mut start = 0;
        for (i, &end) in ends.iter().enumerate() {
            let fin = if i + 1 == ends.len() { 0x80 } else { 0 };
            let opcode = if i == 0 { opcode } else { 0 };
            self.push_frame(fin | opcode, &payload[start..end], rng);
            start = end;
            if fin == 0 {
                self.push_control_frames(rng);
            }
        }
        self.expected.push(message);
        self.push_control_frames(rng);
    }

    fn push_control_frames(&mut self, rng: &mut Rng) {
        for _ in 0..rng.usize(0..3) {
            let length = rng.usize(..=125);
            let payload = random_bytes(length, rng);
            if rng.bool() {
                self.push_frame(PING, &payload, rng);
                self.expected.push(Seen::Ping(payload));
            } else {
                self.push_frame(PONG, &payload, rng);
                self.expected.push(Seen::Pong(payload));
            }
        }
    }

    fn push_frame(&mut self, first_byte: u8, payload: &[u8], rng: &mut Rng) {
        let key = (self.side == Side::Server).then(|| rng.u32(..).to_be_bytes());
        self.bytes.extend(frame(first_byte, payload, key));
    }
}

/// Characters of every length, at least `length` bytes of them.
fn random_text(length: usize, rng: &mut Rng) -> String {
    let mut text = String::new();
    while text.len() < length {
        text.push(match rng.u8(..8) {
            0 => rng.char('\u{80}'..='\u{7ff}'),
            1 => rng.char('\u{800}'..='\u{ffff}'),
            2 => rng.char('\u{10000}'..='\u{10ffff}'),
            _ => rng.char(' '..='~'),
        });
    }
    text
}
