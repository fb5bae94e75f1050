//! Frames that lie in one buffer, as a receive brings them.

use crate::placed::Placed;
use corecast_protocol::frame::encode_frame;
use corecast_protocol::{Connection, Event, Input, Limits, MessageKind, Opcode, Side};
use std::hint::black_box;

/// The key of the examples in RFC 6455 §5.7.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A run of frames that carry the same payload, and the connection that parses them.
#[derive(Debug)]
pub struct Frames {
    wire: Vec<u8>,
    /// At the start of a page, as the ring's buffers are.
    received: Placed,
    connection: Connection,
    limits: Limits,
}

impl Frames {
    /// As the side `side` receives them. `mask`: the key of each of them, for a server.
    pub fn new(
        side: Side,
        opcode: Opcode,
        payload_length: usize,
        count: usize,
        mask: Option<[u8; 4]>,
    ) -> Self {
        let mut wire = Vec::new();
        for _ in 0..count {
            encode_frame(&mut wire, opcode, &vec![b'x'; payload_length], mask);
        }
        Self {
            received: Placed::new(&wire, 0),
            wire,
            connection: Connection::new(side),
            limits: Limits::default(),
        }
    }

    /// What a client sends.
    pub fn masked(opcode: Opcode, payload_length: usize, count: usize) -> Self {
        Self::new(Side::Server, opcode, payload_length, count, Some(KEY))
    }

    /// The bytes of all of them.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The bytes arrive, afresh: parsing unmasks them where they lie.
    pub fn receive(&mut self) {
        self.received.bytes().copy_from_slice(black_box(&self.wire));
    }

    /// Parses all that has arrived; gives how many messages it was.
    pub fn parse(&mut self) -> usize {
        parse(&mut self.connection, self.received.bytes(), &self.limits)
    }

    /// The same, but the bytes come in pieces of that length.
    pub fn receive_and_parse_pieces(&mut self, piece_length: usize) -> usize {
        let piece = &mut self.received.bytes()[..piece_length];
        let mut messages = 0;
        for bytes in black_box(&self.wire).chunks(piece_length) {
            piece[..bytes.len()].copy_from_slice(bytes);
            messages += parse(&mut self.connection, &mut piece[..bytes.len()], &self.limits);
        }
        messages
    }
}

fn parse(connection: &mut Connection, received: &mut [u8], limits: &Limits) -> usize {
    let mut input = Input::new(black_box(received));
    let mut messages = 0;
    while let Some(event) = connection.poll_event(&mut input, limits).expect("the frames are valid") {
        if let Event::Message { kind: MessageKind::Text | MessageKind::Binary, payload } = event {
            black_box(&*payload);
            messages += 1;
        }
    }
    messages
}
