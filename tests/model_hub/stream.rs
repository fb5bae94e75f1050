//! What a topic has published, and what one subscriber must see of it. Knows nothing of logs, chunks or cursors.

use super::json;
use corecast::hub::HubLimits;
use corecast::ids::{Encoding, Form, TopicId, Variant};
use corecast::message::Deflated;
use corecast_tests::wire::{BINARY, TEXT, frame, header};
use std::sync::Arc;

/// RSV1 (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;

/// One life of a topic: from `open` to `close`.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    pub(crate) is_open: bool,
    /// By variant, like all arrays here.
    pub(crate) subscribers: [usize; Variant::COUNT],
    /// Publishers that are held back; they keep it open.
    pub(crate) held: usize,
    /// A batch was made and its region was not finished.
    pub(crate) is_mid_pass: [bool; Variant::COUNT],
    /// The offset before the first of `frames`.
    base: u64,
    /// Each message as the bytes its subscribers must get.
    frames: Vec<[Vec<u8>; Variant::COUNT]>,
}

impl Topic {
    pub(crate) fn new(name: Arc<str>, id: TopicId, last: u64) -> Self {
        Self {
            name,
            id,
            is_open: true,
            subscribers: [0; Variant::COUNT],
            held: 0,
            is_mid_pass: [false; Variant::COUNT],
            base: last,
            frames: Vec::new(),
        }
    }

    /// The offset of the last message.
    pub(crate) fn last(&self) -> u64 {
        self.base + self.frames.len() as u64
    }

    /// It went on elsewhere; nobody here has to see it.
    pub(crate) fn set_last(&mut self, last: u64) {
        self.frames.clear();
        self.base = last;
    }

    pub(crate) fn is_used(&self) -> bool {
        self.followed().next().is_some() || self.held > 0
    }

    /// In which somebody follows it.
    pub(crate) fn followed(&self) -> impl Iterator<Item = Variant> {
        Variant::ALL.into_iter().filter(|variant| self.subscribers[variant.index()] > 0)
    }

    /// In how many variants of this encoding somebody follows it.
    pub(crate) fn followed_in(&self, encoding: Encoding) -> usize {
        self.followed().filter(|variant| variant.encoding == encoding).count()
    }

    /// Gives whether its JSON was too long for a log. Written for those who are subscribed.
    pub(crate) fn push(
        &mut self,
        form: Form,
        payload: &[u8],
        deflated: &Deflated,
        limits: &HubLimits,
    ) -> bool {
        let first_byte = if form == Form::Binary { BINARY } else { TEXT };
        let (offset, mut json, mut is_too_long) = (self.last() + 1, Vec::new(), false);
        // The pool must have room for every form that the message is in.
        let raw_bytes = header(first_byte, payload.len() as u64, None).len() + payload.len();
        let raw_feeds = self.followed_in(Encoding::Raw).max(1);
        let beside = raw_feeds * raw_bytes.max(limits.topic_log_bytes / 4);
        let for_json = limits.log_bytes.saturating_sub(beside);
        if let Some(room) = for_json.checked_div(self.followed_in(Encoding::Json)) {
            json = frame(TEXT, &json::message(&self.name, offset, form, payload), None);
            is_too_long = json.len() > limits.topic_log_bytes.min(room);
        }
        if is_too_long {
            json = frame(TEXT, &json::missed(&self.name, offset), None);
        }
        let mut frames = [const { Vec::new() }; Variant::COUNT];
        for variant in self.followed() {
            let is_json = variant.encoding == Encoding::Json;
            let deflated = deflated.get(0, variant).filter(|_| !(is_json && is_too_long));
            frames[variant.index()] = match deflated {
                Some(deflated) => frame(COMPRESSED | if is_json { TEXT } else { first_byte }, deflated, None),
                None if is_json => json.clone(),
                None => frame(first_byte, payload, None),
            };
        }
        self.frames.push(frames);
        is_too_long
    }

    fn frame(&self, offset: u64, variant: Variant) -> Option<&[u8]> {
        let index = usize::try_from(offset.checked_sub(self.base + 1)?).ok()?;
        Some(&self.frames.get(index)?[variant.index()])
    }
}

/// A subscriber's place in its topic's messages, moved only by the bytes its socket took.
#[derive(Debug)]
pub(crate) struct Reader {
    variant: Variant,
    /// The message it is inside, or the next one.
    next: u64,
    /// Bytes of that one it has.
    into: usize,
}

impl Reader {
    pub(crate) fn from_next(variant: Variant, last: u64) -> Self {
        Self { variant, next: last + 1, into: 0 }
    }

    pub(crate) fn is_between_frames(&self) -> bool {
        self.into == 0
    }

    /// What is left of the frame it is inside.
    pub(crate) fn owed_of_frame<'a>(&self, topic: &'a Topic) -> &'a [u8] {
        match self.into {
            0 => &[],
            into => &topic.frame(self.next, self.variant).expect("it has some of it")[into..],
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
            let frame = topic.frame(self.next, self.variant).unwrap_or_else(|| {
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

    /// It is told, or the hub counted, that these are left out.
    pub(crate) fn miss(&mut self, from: u64, to: u64) {
        assert_eq!(self.into, 0, "messages left out in the middle of message {}", self.next);
        assert_eq!(self.next, from, "the first message that was missed");
        assert!(from <= to);
        self.next = to + 1;
    }
}
