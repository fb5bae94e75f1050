//! Client and server joined in memory: random messages, fragments, control frames and cuts. What one side
//! sends is what the other sees.

use super::*;
use crate::codes::{MessageKind, Opcode};
use crate::frame::{FrameHeader, append_frame, encode_close, encode_frame};
use crate::{CloseCode, frame};

/// What goes out, and what must be seen for it.
struct Sender<'r> {
    random: &'r mut fastrand::Rng,
    masks: bool,
    stream: Vec<u8>,
    expected: Vec<Seen>,
}

impl Sender<'_> {
    fn mask(&mut self) -> Option<[u8; 4]> {
        self.masks.then(|| self.random.u32(..).to_ne_bytes())
    }

    fn send_message(&mut self) {
        let kind = if self.random.bool() { MessageKind::Text } else { MessageKind::Binary };
        let payload = self.random_payload(kind);
        let frames = if self.random.bool() { 1 } else { self.random.usize(2..6) };
        let mut rest = &payload[..];
        for number in 0..frames {
            let fin = number == frames - 1;
            let length = if fin { rest.len() } else { self.random.usize(0..=rest.len()) };
            let (part, after) = rest.split_at(length);
            rest = after;
            let opcode = if number == 0 { kind.opcode() } else { Opcode::Continuation };
            let header =
                FrameHeader { fin, rsv: 0, opcode, mask: self.mask(), payload_len: part.len() as u64 };
            append_frame(&mut self.stream, &header, part);
            if !fin && self.random.u8(..4) == 0 {
                self.send_control();
            }
        }
        self.expected.push(match kind {
            MessageKind::Text => Seen::Text(payload),
            MessageKind::Binary => Seen::Binary(payload),
        });
    }

    fn send_control(&mut self) {
        let payload: Vec<u8> = (0..self.random.usize(0..=125)).map(|_| self.random.u8(..)).collect();
        let is_ping = self.random.bool();
        let mask = self.mask();
        encode_frame(&mut self.stream, if is_ping { Opcode::Ping } else { Opcode::Pong }, &payload, mask);
        self.expected.push(if is_ping { Seen::Ping(payload) } else { Seen::Pong(payload) });
    }

    fn random_payload(&mut self, kind: MessageKind) -> Vec<u8> {
        // Around the borders of the three length forms, and small ones in between.
        let length = match self.random.u8(..8) {
            0 => self.random.usize(124..=128),
            1 => self.random.usize(65_533..=65_538),
            _ => self.random.usize(0..300),
        };
        match kind {
            MessageKind::Binary => (0..length).map(|_| self.random.u8(..)).collect(),
            MessageKind::Text => {
                let text: String = (0..length).map(|_| self.random.char(..)).collect();
                text.into_bytes()
            }
        }
    }
}

#[test]
fn random_streams_arrive_as_they_were_sent() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..60 {
        let side = BOTH_SIDES[round % 2];
        let mut sender = Sender {
            random: &mut random,
            masks: side == Side::Server,
            stream: Vec::new(),
            expected: Vec::new(),
        };
        for _ in 0..20 {
            if sender.random.u8(..5) == 0 { sender.send_control() } else { sender.send_message() }
        }
        let mask = sender.mask();
        encode_close(&mut sender.stream, CloseCode::GOING_AWAY, "done", mask);
        sender.expected.push(Seen::Close(Some((1001, b"done".to_vec()))));
        let Sender { stream, expected, .. } = sender;

        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        let longest_piece = [3, 50, 5_000, 100_000][random.usize(..4)];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=longest_piece).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let seen = receive(Connection::new(side), &Limits::default(), pieces);
        assert!(seen == expected, "seed {seed}, round {round}, {side:?}");
    }
}

/// Whatever arrives, nothing panics, and what is held stays within the limits.
#[test]
fn random_bytes_give_events_or_an_error() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let limits = Limits::default().with_max_message_bytes(1_000).unwrap();
    for _ in 0..20_000 {
        let side = BOTH_SIDES[random.usize(..2)];
        let mut connection = Connection::new(side);
        for _ in 0..random.usize(1..6) {
            let mut bytes: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
            // A header that is right now and then, so that what follows is reached.
            if let [first, second, ..] = &mut bytes[..]
                && random.bool()
            {
                *first = [0x01, 0x02, 0x00, 0x80, 0x81, 0x82, 0x89][random.usize(..7)];
                *second = random.u8(..20) | if side == Side::Server { 0x80 } else { 0 };
            }
            let mut input = Input::new(&mut bytes);
            while let Ok(Some(_)) = connection.poll_event(&mut input, &limits) {}
            assert!(connection.buffered_bytes() <= 1_000 + 250 + 160, "seed {seed}");
        }
    }
}

/// A log of server frames can be walked frame by frame, and a client sees the same borders.
#[test]
fn server_frames_can_be_walked_by_their_length() {
    let payloads = [0, 1, 125, 126, 127, 65_535, 65_536].map(|length| vec![b'x'; length]);
    let mut log = Vec::new();
    for payload in &payloads {
        log.extend_from_slice(&frame::server_header(Opcode::Text, payload.len()));
        log.extend_from_slice(payload);
    }
    let mut rest = &log[..];
    for payload in &payloads {
        let (one, after) = rest.split_at(frame::server_frame_len(rest).unwrap());
        assert!(receive(Connection::new(Side::Client), &Limits::default(), [one]) == [text(payload)]);
        rest = after;
    }
    assert!(rest.is_empty());
}
