//! The numbers that name things inside one process, each its own type, and what is said with them.

use corecast_protocol::{MessageKind, Opcode};
use std::fmt;

/// A topic's place in its hub. Valid until the topic is closed there.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct TopicId(pub u32);

/// A message's number within its topic: consecutive from 1, below 2^53 so that JavaScript can hold it.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Default, Debug)]
pub struct Offset(pub u64);

impl Offset {
    pub fn next(self) -> Self {
        assert!(self.0 < 1 << 53, "a topic's offsets are used up");
        Self(self.0 + 1)
    }
}

/// Tells two lives of a topic apart: new when the topic's state was lost, so that an offset of the old life is
/// never mistaken for one of the new. Shown as 16 hex digits.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A shard's number, from 0.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection's place in its shard's table, which is also its index in the ring's descriptor table.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Slot(pub u32);

impl Slot {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One subscription of a connection. A raw connection has exactly one, and it has the number of its slot; those of the JSON
/// dialect are numbered above all slots. Valid until it ends.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct MemberId(pub u32);

impl MemberId {
    /// Numbers are below this, for lists of them keep two marks above.
    pub const END: u32 = 1 << 30;
}

/// The subscription of a raw connection.
impl From<Slot> for MemberId {
    fn from(slot: Slot) -> Self {
        Self(slot.0)
    }
}

/// A feed's place in its hub: one topic in one encoding. Valid while the feed has subscribers, and to the end of the batch
/// during which the last of them left.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct FeedId(pub u32);

/// What a message was published as.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Form {
    /// UTF-8, known to be valid.
    Text,
    Binary,
    /// One JSON value, known to be valid.
    Json,
}

impl Form {
    /// What raw subscribers get it as.
    pub fn kind(self) -> MessageKind {
        match self {
            Self::Text | Self::Json => MessageKind::Text,
            Self::Binary => MessageKind::Binary,
        }
    }

    /// Of the frame that raw subscribers get.
    pub fn opcode(self) -> Opcode {
        self.kind().opcode()
    }
}

/// Raw publishers are not parsed: what they send is never `Json`.
impl From<MessageKind> for Form {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}

/// How a topic's messages are written for a subscriber.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Encoding {
    /// A frame's payload is the message, text or binary as it was published.
    Raw,
    /// A text frame with the `message` object of the JSON dialect.
    Json,
}

impl Encoding {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Raw, Self::Json];
}

/// Whether messages may be compressed for a subscriber (RFC 7692).
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Compression {
    Plain,
    /// With a window of 32 KiB.
    Deflate,
    /// With the smallest window, for those who can't keep more.
    SmallWindow,
}

/// How messages look to a subscriber: those of each topic are made once for all who get them so.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Variant {
    pub encoding: Encoding,
    pub compression: Compression,
}

impl Variant {
    pub const COUNT: usize = 6;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = {
        let [raw, json] = Encoding::ALL;
        [
            Self { encoding: raw, compression: Compression::Plain },
            Self { encoding: json, compression: Compression::Plain },
            Self { encoding: raw, compression: Compression::Deflate },
            Self { encoding: json, compression: Compression::Deflate },
            Self { encoding: raw, compression: Compression::SmallWindow },
            Self { encoding: json, compression: Compression::SmallWindow },
        ]
    };

    pub const fn plain(encoding: Encoding) -> Self {
        Self { encoding, compression: Compression::Plain }
    }

    pub const fn index(self) -> usize {
        2 * self.compression as usize + self.encoding as usize
    }
}

/// Some of the variants.
#[derive(Copy, Clone, Eq, PartialEq, Default, Debug)]
pub struct Variants(u8);

impl Variants {
    pub const NONE: Self = Self(0);

    pub fn has(self, variant: Variant) -> bool {
        self.0 & 1 << variant.index() != 0
    }

    /// Whether one of them has this encoding.
    pub fn has_any(self, encoding: Encoding) -> bool {
        self.0 >> encoding as u8 & 0b01_0101 != 0
    }

    pub fn remove(&mut self, variant: Variant) {
        self.0 &= !(1 << variant.index());
    }

    pub fn add(&mut self, variant: Variant) {
        self.0 |= 1 << variant.index();
    }

    #[must_use]
    pub fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those of them that may be compressed.
    #[must_use]
    pub fn compressed(self) -> Self {
        Self(self.0 & !0b11)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Variant> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let next = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            Variant::ALL.get(next).copied()
        })
    }
}

/// Nanoseconds since the shard started. Read once a turn by the executor and handed down.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Default, Debug)]
pub struct Now(pub u64);

impl Now {
    pub fn after(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A message's place in its topic.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Published {
    pub offset: Offset,
    pub epoch: Epoch,
}

/// What is known of a topic.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct TopicInfo {
    /// Of the newest message; 0 before the first.
    pub offset: Offset,
    pub epoch: Epoch,
    pub subscribers: usize,
}
