//! Publishing: a message goes into every feed of its topic, or into none.

use super::encode::{Frame, frame_len_min};
use super::feed::Feed;
use super::{HeldBack, Hub, Lapped};
use crate::dialect::{write_message, write_missed};
use crate::ids::{Compression, Encoding, FeedId, Form, Now, Offset, TopicId, Variant};
use crate::message::Messages;
use corecast_protocol::MessageKind;

/// What is kept of the scratch that a long message needed.
const SCRATCH_KEPT: usize = 64 << 10;

/// A message on its way into its topic's feeds.
struct Message<'a> {
    topic: TopicId,
    offset: Offset,
    published: Now,
    /// This one of them.
    messages: Messages<'a>,
    index: usize,
    raw: Frame<'a>,
    /// The object, or the notice that it was missed.
    json: Option<Frame<'a>>,
    is_too_long: bool,
}

impl Message<'_> {
    /// What is in the log of this feed, which the topic had at first.
    fn frame(&self, variant: Variant) -> Frame<'_> {
        let deflated = self.messages.deflated(self.index, variant);
        match (variant.encoding, deflated) {
            (Encoding::Raw, Some(payload)) => Frame::deflated(self.messages.form.kind(), payload),
            (Encoding::Raw, None) => self.raw,
            (Encoding::Json, Some(payload)) if !self.is_too_long => {
                Frame::deflated(MessageKind::Text, payload)
            }
            (Encoding::Json, _) => self.json.expect("written for the feeds that the topic had"),
        }
    }

    fn len(&self, variant: Variant) -> usize {
        self.frame(variant).len()
    }
}

impl Hub {
    /// Whether the publisher of such a message has to wait, as far as that can be said without encoding it: `append` may
    /// still hold it back.
    pub fn is_full(&self, topic: TopicId, payload_len: usize) -> bool {
        self.feeds_of(topic).any(|(_, feed)| self.feeds[feed].is_full_for(payload_len, &self.limits))
    }

    /// Whether such a message would be held back for want of memory in the pool, as far as that can be said without encoding
    /// it: no feed of the topic has room for it, and nobody can be lapped to make some.
    pub fn is_exhausted_for(&self, topic: TopicId, payload_len: usize) -> bool {
        let len = frame_len_min(payload_len);
        len > self.pool.room()
            && self.feeds.largest_that_can_shrink().is_none()
            && self.feeds_of(topic).any(|(variant, feed)| {
                variant.compression == Compression::Plain && !self.feeds[feed].has_room(len)
            })
    }

    /// Appends a message that has no compressed form.
    pub fn append(
        &mut self,
        topic: TopicId,
        offset: Offset,
        form: Form,
        payload: &[u8],
        published: Now,
        tail_room: usize,
    ) -> Result<(), HeldBack> {
        self.append_one_of(topic, offset, Messages::one(form, payload), 0, published, tail_room)
    }

    /// Appends the message at `index` to every feed of the topic, or to none. `offset` is the one after `last`. Subscribers
    /// who stood in the way of it have been lapped, even when it is held back: see `take_lapped`. What is copied for them
    /// to finish their frames with is at most `tail_room` bytes altogether.
    ///
    /// A message whose JSON does not go into a log is in the JSON feeds a notice that it was missed.
    pub fn append_one_of(
        &mut self,
        topic: TopicId,
        offset: Offset,
        messages: Messages<'_>,
        index: usize,
        published: Now,
        mut tail_room: usize,
    ) -> Result<(), HeldBack> {
        assert_eq!(offset, self.last(topic).next(), "messages come in the order of their offsets");
        let (form, payload) = (messages.form, messages.get(index));
        if self.is_full(topic, payload.len()) {
            return Err(HeldBack);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let raw = Frame::raw(form, payload);
        let has_json = self.variants(topic).has_any(Encoding::Json);
        let is_too_long = has_json && {
            let name = &self.topic(topic).name;
            write_message(&mut scratch, name, offset, form, payload);
            let json_len = Frame::json(&scratch).len();
            // The pool must be able to hold all variants, or the publisher would wait for ever.
            let count =
                |encoding| self.feeds_of(topic).filter(|(variant, _)| variant.encoding == encoding).count();
            let raw_bytes = count(Encoding::Raw).max(1) * raw.len().max(self.limits.chunk_max());
            let beside_raw = self.limits.log_bytes.saturating_sub(raw_bytes);
            json_len > self.limits.topic_log_bytes.min(beside_raw / count(Encoding::Json))
        };
        if is_too_long {
            scratch.clear();
            write_missed(&mut scratch, &self.topic(topic).name, offset);
        }
        let json = has_json.then(|| Frame::json(&scratch));
        let message = Message { topic, offset, published, messages, index, raw, json, is_too_long };
        let result = self.append_frames(&message, &mut tail_room);
        self.stats.too_long_in_json += u64::from(is_too_long && result.is_ok());
        scratch.clear();
        scratch.shrink_to(SCRATCH_KEPT);
        self.scratch = scratch;
        result
    }

    fn append_frames(&mut self, message: &Message<'_>, tail_room: &mut usize) -> Result<(), HeldBack> {
        let is_full =
            |(variant, feed): (Variant, FeedId)| self.feeds[feed].is_full(message.len(variant), &self.limits);
        if self.feeds_of(message.topic).any(is_full) {
            return Err(HeldBack);
        }
        for (variant, _) in self.feeds_of(message.topic) {
            while let Some(id) = self.feed(message.topic, variant)
                && self.feeds[id].is_over_log_limit(message.len(variant), &self.limits)
                && self.drop_oldest(id, tail_room)
            {}
        }
        self.take_chunks(message, tail_room)?;
        for (variant, id) in self.feeds_of(message.topic) {
            let at = self.taken.iter().position(|(for_variant, _)| *for_variant == variant);
            let chunk = at.map(|at| self.taken.swap_remove(at).1);
            self.feeds[id].append(
                &message.frame(variant),
                chunk,
                message.offset,
                message.published,
                &mut self.pool,
            );
            self.feeds.queue(id);
        }
        // Those of feeds whose last subscriber was lapped for the other.
        self.give_back_taken();
        self.topic_mut(message.topic).last = message.offset;
        Ok(())
    }

    /// Takes the chunks that the feeds need for the message.
    fn take_chunks(&mut self, message: &Message<'_>, tail_room: &mut usize) -> Result<(), HeldBack> {
        // Lapping somebody for one chunk may take the room or the whole feed that was counted on before.
        while let Some((variant, id)) = self.feeds_of(message.topic).find(|&(variant, id)| {
            !self.feeds[id].has_room(message.len(variant))
                && self.taken.iter().all(|taken| taken.0 != variant)
        }) {
            let feed: &Feed = &self.feeds[id];
            let (len, Message { offset, published, .. }) = (message.len(variant), message);
            match feed.take_chunk(len, *offset, *published, &self.limits, &mut self.pool) {
                Ok(chunk) => self.taken.push((variant, chunk)),
                Err(_) => {
                    self.stats.pool_exhausted += 1;
                    if !self.reclaim(tail_room) {
                        self.give_back_taken();
                        return Err(HeldBack);
                    }
                }
            }
        }
        Ok(())
    }

    fn give_back_taken(&mut self) {
        while let Some((_, chunk)) = self.taken.pop() {
            self.pool.give_back(chunk);
        }
    }

    /// Takes a chunk from the feed whose laggers hold the most.
    fn reclaim(&mut self, tail_room: &mut usize) -> bool {
        let largest = self.feeds.largest_that_can_shrink();
        largest.is_some_and(|id| self.drop_oldest(id, tail_room))
    }

    /// Drops a feed's oldest chunk if the pass is done with it, lapping who stands in it.
    fn drop_oldest(&mut self, id: FeedId, tail_room: &mut usize) -> bool {
        let feed = &mut self.feeds[id];
        let is_out = self.limits.ends_when_lapped(feed.variant.encoding);
        let laps_before = self.lapped.len();
        let has_dropped = feed.drop_oldest_passed(
            is_out,
            &mut self.memberships,
            &mut self.pool,
            &mut self.lapped,
            tail_room,
        );
        self.stats.lapped += (self.lapped.len() - laps_before) as u64;
        self.stats.delivered += feed.take_delivered();
        self.settle(id);
        has_dropped
    }

    /// Subscribers lapped since the last call.
    pub fn take_lapped(&mut self) -> Vec<Lapped> {
        std::mem::take(&mut self.lapped)
    }

    fn feed(&self, topic: TopicId, variant: Variant) -> Option<FeedId> {
        self.topic(topic).feeds.get(variant)
    }
}
