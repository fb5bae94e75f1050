//! What a topic has published, and what one subscriber must see of it. Knows nothing of logs, chunks or cursors.

use corecast::ids::{Epoch, TopicId};
use corecast_protocol::{MessageKind, topic::TopicName};
use corecast_tests::wire::{BINARY, TEXT, frame};

/// One life of a topic: from its first `open` to its being forgotten.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    pub(crate) epoch: Epoch,
    pub(crate) subscribers: usize,
    pub(crate) publishers: usize,
    /// A batch was made and its region was not finished.
    pub(crate) is_mid_pass: bool,
    /// The message with offset 1 first, each as the bytes its subscribers must get.
    frames: Vec<Vec<u8>>,
}

impl Topic {
    pub(crate) fn new(name: TopicName, id: TopicId, epoch: Epoch) -> Self {
        Self { name, id, epoch, subscribers: 0, publishers: 0, is_mid_pass: false, frames: Vec::new() }
    }

    /// The offset of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.frames.len() as u64
    }

    pub(crate) fn push(&mut self, kind: MessageKind, payload: &[u8]) {
        let first_byte = match kind {
            MessageKind::Text => TEXT,
            MessageKind::Binary => BINARY,
        };
        self.frames.push(frame(first_byte, payload, None));
    }

    fn frame(&self, offset: u64) -> Option<&[u8]> {
        Some(&self.frames[usize::try_from(offset).ok()?.checked_sub(1)?..].first()?[..])
    }
}

/// A subscriber's place in its topic's messages, moved only by the bytes its socket took.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The message it is inside, or the next one.
    next: u64,
    /// Bytes of that one it has.
    into: usize,
}

impl Reader {
    pub(crate) fn from_next(last: u64) -> Self {
        Self { next: last + 1, into: 0 }
    }

    pub(crate) fn is_between_frames(&self) -> bool {
        self.into == 0
    }

    /// Bytes to the end of the frame it is inside.
    pub(crate) fn owed_of_frame(&self, topic: &Topic) -> usize {
        match self.into {
            0 => 0,
            into => topic.frame(self.next).expect("it has some of it").len() - into,
        }
    }

    pub(crate) fn has_all(&self, topic: &Topic) -> bool {
        self.next == topic.last() + 1 && self.into == 0
    }

    /// The socket took these bytes of the topic. Gives how many messages they completed; panics unless they are the
    /// ones that follow.
    pub(crate) fn take(&mut self, topic: &Topic, mut bytes: &[u8]) -> u64 {
        let mut completed = 0;
        while !bytes.is_empty() {
            let frame = topic.frame(self.next).unwrap_or_else(|| {
                panic!("{} bytes beyond the last message, {}", bytes.len(), topic.last());
            });
            let due = &frame[self.into..];
            let (now, later) = bytes.split_at(due.len().min(bytes.len()));
            assert!(
                now == &due[..now.len()],
                "other bytes than those of message {} from byte {} on: {:02x?} instead of {:02x?}",
                self.next,
                self.into,
                &now[..now.len().min(32)],
                &due[..now.len().min(32)],
            );
            if now.len() == due.len() {
                (self.next, self.into) = (self.next + 1, 0);
                completed += 1;
            } else {
                self.into += now.len();
            }
            bytes = later;
        }
        completed
    }

    /// It was told, or the hub counted, that the next `missed` messages are left out.
    pub(crate) fn miss(&mut self, missed: u64) {
        assert_eq!(self.into, 0, "messages left out in the middle of message {}", self.next);
        self.next += missed;
    }
}
