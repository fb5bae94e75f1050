//! RFC 6455 §5 and RFC 7692 §6 the slow way: all bytes at once, every rule as it reads, nothing shared with the crate. What a
//! connection makes of any bytes must agree with this.

use corecast_protocol::{MessageKind, Side};
use corecast_tests::wire::Seen;

/// What the connections under test go by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) side: Side,
    /// permessage-deflate was agreed on.
    pub(crate) deflate: bool,
    pub(crate) bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) frame_bytes: u64,
    pub(crate) message_bytes: u64,
    pub(crate) fragments: usize,
}

/// How things stand after the last byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing wrong so far.
    Open { mid_message: bool },
    /// A Close frame was received.
    Closed,
    /// One of these close codes: where one header or body breaks two rules, either may be named.
    Failed(Vec<u16>),
    /// The bytes end inside a header or a Close frame that may be doomed already: reporting it now or later
    /// is fine.
    Undecided,
}

pub(crate) fn judge(terms: Terms, bytes: &[u8]) -> (Vec<Seen>, End) {
    let mut seen = Vec::new();
    let mut rest = bytes;
    let mut message: Option<Message> = None;
    loop {
        if rest.is_empty() {
            return (seen, End::Open { mid_message: message.is_some() });
        }
        let Some(header) = Header::read(rest) else { return (seen, End::Undecided) };
        // What may go on as an HTTP method is reported when it is one, or not.
        if rest.len() < 4 && rest[0].is_ascii_uppercase() {
            return (seen, End::Undecided);
        }
        let codes = header.broken_rules(terms, message.as_ref());
        if !codes.is_empty() {
            return (seen, End::Failed(codes));
        }

        let after_header = &rest[header.header_bytes..];
        let whole = after_header.len() as u64 >= header.payload_bytes;
        let arrived = if whole { header.payload_bytes as usize } else { after_header.len() };
        let mut payload = after_header[..arrived].to_vec();
        payload.iter_mut().zip(header.key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        rest = &after_header[arrived..];

        match header.opcode {
            0..=2 => {
                let mut joined = message.take().unwrap_or_else(|| Message::new(&header));
                joined.payload.extend(payload);
                let ended = whole && header.fin;
                if joined.is_text && !joined.is_deflated && !may_be_text(&joined.payload, ended) {
                    return (seen, End::Failed(vec![1007]));
                }
                if ended {
                    seen.push(joined.seen());
                } else if whole {
                    message = Some(Message { frames: joined.frames + 1, ..joined });
                } else {
                    return (seen, End::Open { mid_message: true });
                }
            }
            8 if !whole => return (seen, End::Undecided),
            8 => return judge_close(seen, &payload),
            _ if !whole => return (seen, End::Open { mid_message: true }),
            9 => seen.push(Seen::Ping(payload)),
            _ => seen.push(Seen::Pong(payload)),
        }
    }
}

/// RFC 6455 §5.5.1, §7.4.
fn judge_close(mut seen: Vec<Seen>, body: &[u8]) -> (Vec<Seen>, End) {
    let [high, low, reason @ ..] = body else {
        if !body.is_empty() {
            return (seen, End::Failed(vec![1002]));
        }
        seen.push(Seen::Close(None));
        return (seen, End::Closed);
    };
    let code = u16::from_be_bytes([*high, *low]);
    let mut codes = Vec::new();
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        codes.push(1002);
    }
    match str::from_utf8(reason) {
        Err(_) => codes.push(1007),
        Ok(reason) if codes.is_empty() => {
            seen.push(Seen::Close(Some((code, reason.to_owned()))));
            return (seen, End::Closed);
        }
        Ok(_) => {}
    }
    (seen, End::Failed(codes))
}

/// The open message.
struct Message {
    is_text: bool,
    is_deflated: bool,
    payload: Vec<u8>,
    /// So far.
    frames: usize,
}

impl Message {
    fn new(first: &Header) -> Self {
        let (is_text, is_deflated) = (first.opcode == 1, first.reserved != 0);
        Self { is_text, is_deflated, payload: Vec::new(), frames: 0 }
    }

    fn seen(self) -> Seen {
        let kind = if self.is_text { MessageKind::Text } else { MessageKind::Binary };
        match (self.is_deflated, kind) {
            (true, kind) => Seen::Deflated(kind, self.payload),
            (false, MessageKind::Text) => Seen::Text(String::from_utf8(self.payload).unwrap()),
            (false, MessageKind::Binary) => Seen::Binary(self.payload),
        }
    }
}

/// RFC 6455 §8.1. An unfinished character at the end is fine until the message ends.
fn may_be_text(bytes: &[u8], ended: bool) -> bool {
    match str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && !ended,
    }
}

struct Header {
    fin: bool,
    reserved: u8,
    opcode: u8,
    masked: bool,
    key: [u8; 4],
    shortest: bool,
    payload_bytes: u64,
    header_bytes: usize,
}

impl Header {
    /// RFC 6455 §5.2; `None` while it is incomplete.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (payload_bytes, length_bytes) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 2),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 8),
            short => (u64::from(short), 0),
        };
        let masked = second & 0x80 != 0;
        let key_at = 2 + length_bytes;
        let key = if masked { bytes.get(key_at..key_at + 4)?.try_into().unwrap() } else { [0; 4] };
        Some(Self {
            fin: first & 0x80 != 0,
            reserved: first & 0x70,
            opcode: first & 0x0f,
            masked,
            key,
            shortest: match length_bytes {
                2 => payload_bytes > 125,
                8 => payload_bytes > 65_535,
                _ => true,
            },
            payload_bytes,
            header_bytes: key_at + if masked { 4 } else { 0 },
        })
    }

    /// The close codes of all rules that this header breaks.
    fn broken_rules(&self, terms: Terms, message: Option<&Message>) -> Vec<u16> {
        let Terms { side, deflate, bounds } = terms;
        let control = self.opcode >= 8;
        // RFC 7692 §6.1: RSV1 on the first frame of a message.
        let may_be_deflated = deflate && matches!(self.opcode, 1 | 2);
        let malformed = self.reserved & !(if may_be_deflated { 0x40 } else { 0 }) != 0
            || matches!(self.opcode, 3..=7 | 11..=15)
            || self.masked != (side == Side::Server)
            || !self.shortest
            || self.payload_bytes >> 63 != 0
            || control && (!self.fin || self.payload_bytes > 125)
            || self.opcode == 0 && message.is_none()
            || matches!(self.opcode, 1 | 2) && message.is_some();
        let (joined, frames) =
            message.map_or((0, 0), |message| (message.payload.len() as u64, message.frames));
        let is_deflated =
            message.map_or(may_be_deflated && self.reserved == 0x40, |message| message.is_deflated);
        // What does not shrink grows when it is compressed: by a sixteenth and 64 octets at most.
        let most = |limit: u64| if is_deflated { limit + limit / 16 + 64 } else { limit };
        let too_big = !control
            && (self.payload_bytes > most(bounds.frame_bytes)
                || joined.saturating_add(self.payload_bytes) > most(bounds.message_bytes));
        let too_many = !control && frames + 1 > bounds.fragments;

        let mut codes = Vec::new();
        if malformed {
            codes.push(1002);
        }
        if too_big {
            codes.push(1009);
        }
        if too_many {
            codes.extend([1008, 1009]);
        }
        codes
    }
}
