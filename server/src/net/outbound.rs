//! What a connection has yet to send apart from its topic's messages: replies and control frames.

use corecast_protocol::{
    CloseCode, Opcode,
    frame::{encode_close, encode_frame},
};

/// Replies that may wait for one connection, in bytes, before its reading is paused.
pub const REPLY_BYTES_MAX: usize = 16 << 10;

/// Pongs are queued one behind the other while less than this waits, in bytes. Of more pings only the newest is answered
/// (RFC 6455 §5.5.3).
const PONG_BYTES_MAX: usize = 2 << 10;

/// Answers that may be on their way from other shards for one connection before its reading is paused.
pub const OWED_MAX: u16 = 64;

/// Bytes being sent, and the control frames that wait their turn. Those are composed only when nothing is being sent, so
/// however often a peer pings that takes no answers, no more than one pong waits behind them.
#[derive(Debug, Default)]
pub struct Outbound {
    bytes: Vec<u8>,
    sent: usize,
    /// Bytes that finish a frame of the topic, at the start of `bytes`; counted by the shard until all of `bytes` is out.
    tail: usize,
    pong: Option<Vec<u8>>,
    ping: bool,
    close: Option<(CloseCode, String)>,
    /// Answers that other shards have still to give.
    pub owed: u16,
    /// A close whose frame is in `bytes`: nothing may follow it.
    pub after: After,
}

/// What follows once everything is sent.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum After {
    #[default]
    Nothing,
    /// FIN, then wait for the peer's.
    Linger,
    /// Close the descriptor: the peer has nothing more to say.
    Die,
}

impl Outbound {
    /// Queues bytes of a reply.
    pub fn reply(&mut self) -> &mut Vec<u8> {
        // What is out is dropped once it is the most of it: else a peer that always leaves a little could have this grow.
        // One byte stays, which says that the stream is inside of something.
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent - 1);
            self.sent = 1;
        }
        &mut self.bytes
    }

    /// Queues a reply that is whole, and most often the first.
    pub fn queue_reply(&mut self, reply: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = reply;
        } else {
            self.reply().extend_from_slice(&reply);
        }
    }

    /// A peer that takes its answers gets each pong, before what it is told later.
    pub fn queue_pong(&mut self, payload: &[u8]) {
        if self.pong.is_none() && self.bytes.len() - self.sent < PONG_BYTES_MAX {
            encode_frame(self.reply(), Opcode::Pong, payload, None);
        } else {
            self.pong = Some(payload.to_vec());
        }
    }

    pub fn queue_ping(&mut self) {
        self.ping = true;
    }

    pub fn queue_close(&mut self, code: CloseCode, reason: &str) {
        self.close = Some((code, reason.to_owned()));
    }

    /// Puts the rest of a frame whose beginning is already out before everything else.
    pub fn put_first(&mut self, tail: Vec<u8>) {
        if tail.is_empty() {
            return;
        }
        assert_eq!(self.sent, 0, "a stream can't be inside two frames");
        self.tail += tail.len();
        if self.bytes.is_empty() {
            self.bytes = tail;
        } else {
            self.bytes.splice(0..0, tail);
        }
    }

    /// Makes sure that the next bytes to send are in place; whether there are any.
    pub fn compose(&mut self) -> bool {
        if self.bytes.is_empty() {
            // RFC 6455 §5.5.2: as soon as practical; §5.4: never inside of another frame.
            if let Some(payload) = self.pong.take() {
                encode_frame(&mut self.bytes, Opcode::Pong, &payload, None);
            }
            if std::mem::take(&mut self.ping) {
                encode_frame(&mut self.bytes, Opcode::Ping, b"", None);
            }
            if let Some((code, reason)) = self.close.take() {
                encode_close(&mut self.bytes, code, &reason, None);
            }
        }
        !self.bytes.is_empty()
    }

    /// What is to be sent next.
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The socket took this many bytes.
    pub fn advance(&mut self, taken: usize) {
        self.sent += taken;
        debug_assert!(self.sent <= self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes = Vec::new();
            self.sent = 0;
            self.tail = 0;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.is_sent() && self.owed == 0 && self.after == After::Nothing
    }

    /// Nothing is left to send, though something may be left to do.
    pub fn is_sent(&self) -> bool {
        self.bytes.is_empty() && !self.has_control()
    }

    pub fn is_over_bound(&self) -> bool {
        self.bytes.len() - self.sent > REPLY_BYTES_MAX || self.is_owed_most()
    }

    /// As many answers of other shards are on their way as may be.
    pub fn is_owed_most(&self) -> bool {
        self.owed >= OWED_MAX
    }

    /// Bytes on the heap.
    pub fn bytes_held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes kept to finish a frame of the topic.
    pub fn tail_bytes(&self) -> usize {
        self.tail
    }

    fn has_control(&self) -> bool {
        self.pong.is_some() || self.ping || self.close.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pongs_come_one_by_one_and_before_what_is_said_later() {
        let mut outbound = Outbound::default();
        outbound.queue_pong(b"1");
        outbound.reply().extend_from_slice(b"reply");
        outbound.queue_pong(b"2");
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"\x8a\x011reply\x8a\x012");
    }

    #[test]
    fn newest_pong_replaces_one_that_waits_behind_much() {
        let mut outbound = Outbound::default();
        outbound.reply().resize(2 << 10, b'x');
        outbound.queue_pong(b"old");
        outbound.compose();
        outbound.advance(2000);
        // There is room again, but the older one would come after it.
        outbound.queue_pong(b"new");
        assert_eq!(outbound.unsent(), [b'x'; 48]);
        outbound.advance(48);
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"\x8a\x03new");
    }

    /// A peer that never takes the last of it does not make it grow.
    #[test]
    fn what_is_sent_is_dropped_when_more_is_said() {
        let mut outbound = Outbound::default();
        outbound.reply().extend_from_slice(&[0; 100]);
        for round in 1..1000 {
            outbound.advance(99);
            assert_eq!(outbound.unsent().len(), round);
            outbound.reply().extend_from_slice(&[0; 100]);
        }
        assert!(outbound.bytes_held() < 5000, "{}", outbound.bytes_held());
    }

    #[test]
    #[should_panic(expected = "a stream can't be inside two frames")]
    fn dropping_what_is_sent_does_not_make_it_look_unsent() {
        let mut outbound = Outbound::default();
        outbound.reply().extend_from_slice(&[0; 100]);
        outbound.advance(99);
        outbound.reply().extend_from_slice(&[0; 100]);
        outbound.put_first(b"tail".to_vec());
    }

    #[test]
    fn control_frames_wait_until_what_is_being_sent_is_out() {
        let mut outbound = Outbound::default();
        outbound.put_first(b"tail".to_vec());
        outbound.queue_close(CloseCode(4008), "");
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"tail");
        outbound.advance(2);
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"il");
        outbound.advance(2);
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"\x88\x02\x0f\xa8");
        outbound.advance(4);
        assert!(!outbound.compose() && outbound.is_empty());
    }

    #[test]
    fn close_comes_after_pong_and_ping() {
        let mut outbound = Outbound::default();
        outbound.queue_close(CloseCode::NORMAL, "bye");
        outbound.queue_ping();
        outbound.queue_pong(b"");
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"\x8a\x00");
        outbound.advance(2);
        assert!(outbound.compose());
        assert_eq!(outbound.unsent(), b"\x89\x00\x88\x05\x03\xe8bye");
    }
}
