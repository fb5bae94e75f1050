//! A client and a server with a wire between them. What one sends lies on the wire until it is delivered to
//! the other, in pieces of the test's choice. Both answer pings and Close as RFC 6455 §5.5 demands.

use corecast_protocol::frame::{encode_close, encode_frame};
use corecast_protocol::{CloseCode, MessageKind, Opcode, Side};
use corecast_tests::wire::{Receiver, Seen, frame};
use fastrand::Rng;

/// How bytes are handed over, counted in each direction from the first byte ever sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pieces {
    Whole,
    CutAt(usize),
    OfBytes(usize),
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pieces: Pieces,
}

impl Pair {
    pub(crate) fn new(pieces: Pieces) -> Self {
        Self { client: Endpoint::new(Side::Client), server: Endpoint::new(Side::Server), pieces }
    }

    /// Delivers and answers until nothing is on its way.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            self.client.deliver_to(&mut self.server, self.pieces);
            self.server.deliver_to(&mut self.client, self.pieces);
            if self.client.wire.is_empty() && self.server.wire.is_empty() {
                return;
            }
        }
        panic!("answers to answers, without end: {self:?}");
    }

    /// Both have sent and received Close (RFC 6455 §7.1.4).
    pub(crate) fn is_closed(&self) -> bool {
        [&self.client, &self.server].iter().all(|end| {
            let connection = &end.receiver.connection;
            connection.close_sent() && connection.close_received()
        })
    }
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) receiver: Receiver,
    side: Side,
    /// On its way to the other end.
    wire: Vec<u8>,
    delivered_bytes: usize,
    answered_events: usize,
    keys: Rng,
}

impl Endpoint {
    fn new(side: Side) -> Self {
        Self {
            receiver: Receiver::new(side),
            side,
            wire: Vec::new(),
            delivered_bytes: 0,
            answered_events: 0,
            keys: Rng::with_seed(6455),
        }
    }

    pub(crate) fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let key = self.key();
        encode_frame(&mut self.wire, opcode, payload, key);
    }

    /// One message in several frames (RFC 6455 §5.4).
    pub(crate) fn send_fragments(&mut self, kind: MessageKind, fragments: &[&[u8]]) {
        for (i, fragment) in fragments.iter().enumerate() {
            let fin = if i + 1 == fragments.len() { 0x80 } else { 0 };
            let opcode = if i == 0 { kind.opcode() } else { Opcode::Continuation };
            let key = self.key();
            self.wire.extend(frame(fin | opcode as u8, fragment, key));
        }
    }

    /// The first frame of a message whose others never come.
    pub(crate) fn send_unfinished(&mut self, kind: MessageKind, payload: &[u8]) {
        let key = self.key();
        self.wire.extend(frame(kind.opcode() as u8, payload, key));
    }

    /// RFC 6455 §7.1.2.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let key = self.key();
        encode_close(&mut self.wire, CloseCode(code), reason, key);
        self.receiver.connection.mark_close_sent();
    }

    fn key(&mut self) -> Option<[u8; 4]> {
        match self.side {
            Side::Server => None,
            Side::Client => Some(self.keys.u32(..).to_be_bytes()),
        }
    }

    fn deliver_to(&mut self, other: &mut Self, pieces: Pieces) {
        let bytes = std::mem::take(&mut self.wire);
        let piece_bytes = match pieces {
            Pieces::Whole => bytes.len(),
            Pieces::CutAt(position) => position.saturating_sub(self.delivered_bytes).min(bytes.len()),
            Pieces::OfBytes(piece_bytes) => piece_bytes,
        };
        let (first, rest) = bytes.split_at(piece_bytes.min(bytes.len()));
        other.hear(first);
        match pieces {
            Pieces::OfBytes(_) => rest.chunks(piece_bytes).for_each(|piece| other.hear(piece)),
            Pieces::Whole | Pieces::CutAt(_) => other.hear(rest),
        }
        self.delivered_bytes += bytes.len();
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.receiver.hear(bytes);
        while let Some(event) = self.receiver.seen.get(self.answered_events) {
            self.answered_events += 1;
            match event.clone() {
                Seen::Ping(payload) => self.send(Opcode::Pong, &payload),
                Seen::Close(_) if self.receiver.connection.close_sent() => {}
                Seen::Close(Some((code, _))) => self.close(code, ""),
                Seen::Close(None) => {
                    self.send(Opcode::Close, b"");
                    self.receiver.connection.mark_close_sent();
                }
                Seen::Pong(_) | Seen::Text(_) | Seen::Binary(_) | Seen::Deflated(..) => {}
            }
        }
    }
}

/// Plays an exchange with its bytes delivered whole, cut in two at every byte, and byte by byte; each time
/// both ends must have seen exactly this, without an error and without bytes left behind.
pub(crate) fn however_delivered(exchange: impl Fn(&mut Pair), client_sees: &[Seen], server_sees: &[Seen]) {
    let play = |pieces| {
        let mut pair = Pair::new(pieces);
        exchange(&mut pair);
        pair.settle();
        for (end, expected) in [(&pair.client, client_sees), (&pair.server, server_sees)] {
            assert_eq!(end.receiver.seen, expected, "{:?}, {pieces:?}", end.side);
            assert_eq!(end.receiver.error, None, "{:?}, {pieces:?}", end.side);
            assert_eq!(end.receiver.connection.buffered_bytes(), 0, "{:?}, {pieces:?}", end.side);
        }
        pair
    };
    let whole = play(Pieces::Whole);
    for cut in 1..whole.client.delivered_bytes.max(whole.server.delivered_bytes) {
        play(Pieces::CutAt(cut));
    }
    for piece_bytes in [1, 2, 3, 5, 7] {
        play(Pieces::OfBytes(piece_bytes));
    }
}
