//! All feeds by their number, whose turn it is, and which have laggers.

use super::feed::Feed;
use crate::ids::{Encoding, FeedId};
use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

/// Memory of a feed besides itself.
pub(super) const PLACE_BYTES: usize = size_of::<Place>();

#[derive(Debug, Default)]
pub(super) struct Feeds {
    places: Vec<Place>,
    vacant: Vec<FeedId>,
    /// Feeds with something to pass, in turn, by encoding.
    ready: [VecDeque<FeedId>; 2],
    /// Feeds with laggers: where to find memory when the pool is used up.
    lagging: Vec<FeedId>,
}

/// A feed may end while it waits for its turn, or during a batch. Its number then still stands for it there, and is used
/// again only when neither is so.
#[derive(Debug, Default)]
struct Place {
    feed: Option<Box<Feed>>,
    is_ready: bool,
    is_in_batch: bool,
    /// Where it stands in `lagging`.
    lagging: Option<u32>,
}

impl Feeds {
    pub(super) fn add(&mut self, feed: Feed) -> FeedId {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            FeedId(self.places.len() as u32 - 1)
        });
        self.place(id).feed = Some(Box::new(feed));
        id
    }

    pub(super) fn remove(&mut self, id: FeedId) -> Feed {
        self.unlist_lagging(id);
        let feed = self.place(id).feed.take().expect("a feed ends once");
        self.vacate_if_unused(id);
        *feed
    }

    pub(super) fn get(&self, id: FeedId) -> Option<&Feed> {
        self.places[id.0 as usize].feed.as_deref()
    }

    fn vacate_if_unused(&mut self, id: FeedId) {
        let place = self.place(id);
        if place.feed.is_none() && !place.is_ready && !place.is_in_batch {
            self.vacant.push(id);
        }
    }

    // Whose turn it is ------------------------------------------------------------------------------------------

    pub(super) fn ready(&self, encoding: Encoding) -> usize {
        self.ready[encoding as usize].len()
    }

    /// Queues a feed if it has something to pass.
    pub(super) fn queue(&mut self, id: FeedId) {
        let place = self.place(id);
        let Some(feed) = &place.feed else { return };
        if feed.has_unpassed() && !place.is_ready {
            let encoding = feed.variant.encoding;
            place.is_ready = true;
            self.ready[encoding as usize].push_back(id);
        }
    }

    /// The feed whose turn it is, for a batch. `end_batch` must follow.
    pub(super) fn begin_batch(&mut self, encoding: Encoding) -> Option<FeedId> {
        while let Some(id) = self.ready[encoding as usize].pop_front() {
            let place = self.place(id);
            place.is_ready = false;
            if place.feed.as_ref().is_some_and(|feed| feed.has_unpassed()) {
                place.is_in_batch = true;
                return Some(id);
            }
            // It ended while it waited.
            self.vacate_if_unused(id);
        }
        None
    }

    /// The feed, unless it ended during the batch.
    pub(super) fn end_batch(&mut self, id: FeedId) -> Option<&mut Feed> {
        self.place(id).is_in_batch = false;
        self.vacate_if_unused(id);
        self.place(id).feed.as_deref_mut()
    }

    // Which lag -------------------------------------------------------------------------------------------------

    /// Notes whether a feed has laggers, after their number may have changed.
    pub(super) fn note_laggers(&mut self, id: FeedId) {
        let at = self.lagging.len() as u32;
        let place = self.place(id);
        let lags = place.feed.as_ref().is_some_and(|feed| feed.laggers() > 0);
        match (lags, place.lagging) {
            (true, None) => {
                place.lagging = Some(at);
                self.lagging.push(id);
            }
            (false, Some(_)) => self.unlist_lagging(id),
            _ => {}
        }
    }

    fn unlist_lagging(&mut self, id: FeedId) {
        let Some(at) = self.place(id).lagging.take() else { return };
        self.lagging.swap_remove(at as usize);
        if let Some(&moved) = self.lagging.get(at as usize) {
            self.place(moved).lagging = Some(at);
        }
    }

    pub(super) fn laggers(&self) -> usize {
        self.lagging.iter().map(|&id| self[id].laggers()).sum()
    }

    /// Of the feeds with log memory that only laggers need, the one with the most.
    pub(super) fn largest_that_can_shrink(&self) -> Option<FeedId> {
        let can_shrink = self.lagging.iter().copied().filter(|&id| self[id].can_shrink());
        can_shrink.max_by_key(|&id| self[id].log_capacity())
    }

    fn place(&mut self, id: FeedId) -> &mut Place {
        &mut self.places[id.0 as usize]
    }
}

impl Index<FeedId> for Feeds {
    type Output = Feed;

    fn index(&self, id: FeedId) -> &Feed {
        self.get(id).expect("a feed lives while it has subscribers")
    }
}

impl IndexMut<FeedId> for Feeds {
    fn index_mut(&mut self, id: FeedId) -> &mut Feed {
        self.place(id).feed.as_deref_mut().expect("a feed lives while it has subscribers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::HubLimits;
    use crate::hub::chunk::ChunkPool;
    use crate::hub::encode::Frame;
    use crate::ids::{Form, Now, Offset, TopicId, Variant};

    /// A feed with a message to pass.
    fn ready_feed(pool: &mut ChunkPool) -> Feed {
        let mut feed = Feed::new(TopicId(0), Variant::plain(Encoding::Raw), Offset(0));
        let frame = Frame::raw(Form::Text, b"x");
        let chunk = feed.take_chunk(frame.len(), Offset(1), Now(0), &HubLimits::for_tests(), pool).unwrap();
        feed.append(&frame, Some(chunk), Offset(1), Now(0), pool);
        feed
    }

    #[test]
    fn the_number_of_a_feed_that_ended_is_used_again_when_nothing_stands_for_it() {
        let mut pool = ChunkPool::new(&HubLimits::for_tests());
        let mut feeds = Feeds::default();
        let first = feeds.add(ready_feed(&mut pool));
        feeds.queue(first);
        feeds.remove(first).retire(&mut pool);
        let second = feeds.add(ready_feed(&mut pool));
        assert_ne!(second, first, "it waits for its turn");
        feeds.queue(second);

        assert_eq!(feeds.begin_batch(Encoding::Raw), Some(second), "the first has nothing to pass");
        assert_eq!(feeds.add(ready_feed(&mut pool)), first);
        feeds.remove(second).retire(&mut pool);
        let third = feeds.add(ready_feed(&mut pool));
        assert_ne!(third, second, "a batch is under way");
        assert!(feeds.end_batch(second).is_none());
        assert_eq!(feeds.add(ready_feed(&mut pool)), second);
    }
}
