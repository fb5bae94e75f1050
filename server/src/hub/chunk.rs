//! Chunks: the memory that logs are made of, from one bounded pool per shard.

use super::HubLimits;
use super::frames::FrameMarks;
use super::spare::Spare;
use crate::ids::{Now, Offset};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;

/// Sizes of pooled chunks. A log starts small, so that ten thousand quiet topics stay cheap, and grows to chunks that
/// make one send carry hundreds of messages. A message that fits none of them gets a chunk of its own size.
const CLASSES: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];

/// Longer lists go back to the allocator.
const LIST_KEPT: usize = 16;

/// Whole encoded frames, back to back. A frame never crosses a chunk's end.
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    len: usize,
    /// Offset of the first frame in it.
    pub(super) first_offset: Offset,
    /// When that one was published.
    pub(super) first_published: Now,
    /// Subscribers whose cursor stands in this chunk; while there are any, it stays unless the log needs its room.
    pub(super) cursors: u32,
    marks: RefCell<FrameMarks>,
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Chunk({} of {} bytes from {:?}, {} cursors)",
            self.len,
            self.bytes.len(),
            self.first_offset,
            self.cursors
        )
    }
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn append(&mut self, part: &[u8]) {
        self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
    }

    /// The first frame start at or after `byte`, and the offset of the frame that starts there or will.
    pub(super) fn frame_start_from(&self, byte: usize) -> (usize, Offset) {
        let start = self.marks.borrow_mut().start_from(byte, self.bytes());
        (start.byte, Offset(self.first_offset.0 + start.index))
    }
}

/// What a log asks for.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct ChunkSize {
    /// Bytes that have to go in.
    pub(super) need: usize,
    /// Bytes that are likely to come. The class that holds them is taken while half of the pool is free,
    pub(super) wanted: usize,
    /// and one above the log's last chunk (0: it has none), which is full,
    pub(super) previous: usize,
    /// but none above this unless the need is: a log is to stay within its bytes whatever the classes are.
    pub(super) largest: usize,
}

/// Gives out chunks up to `log_bytes`, those included that are free and kept: the log of a topic whose subscribers keep up ends
/// with each pass, and its memory is there for the next. Fetched from the system each time it would cost more than the sends.
pub(super) struct ChunkPool {
    limit: usize,
    used: usize,
    free: [Spare<Box<[u8]>>; CLASSES.len()],
    /// Empty lists of logs that had one chunk or a few.
    lists: Spare<VecDeque<Chunk>>,
}

/// The pool's `log_bytes` are all in use.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Exhausted;

impl fmt::Debug for ChunkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkPool({} of {} bytes)", self.used, self.limit)
    }
}

impl ChunkPool {
    pub(super) fn new(limits: &HubLimits) -> Self {
        let free = [const { Spare::new() }; CLASSES.len()];
        Self { limit: limits.log_bytes, used: 0, free, lists: Spare::new() }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Bytes that are in no log.
    pub(super) fn room(&self) -> usize {
        self.limit - self.used
    }

    /// A chunk of the size asked for. Where the pool has no room for it, a smaller class that the need fits: nobody is lapped
    /// to let a log grow faster.
    pub(super) fn take(
        &mut self,
        size: ChunkSize,
        first_offset: Offset,
        now: Now,
    ) -> Result<Chunk, Exhausted> {
        let ChunkSize { need, wanted, previous, largest } = size;
        // A guess is not worth what somebody else may need soon.
        let wanted = if self.used < self.limit / 2 { wanted } else { 0 };
        let grown = CLASSES
            .into_iter()
            .find(|&class| class > previous && class >= wanted)
            .unwrap_or(CLASSES[CLASSES.len() - 1]);
        let wanted = need.max(grown.min(largest));
        let room = self.room();
        let class = CLASSES
            .iter()
            .rposition(|&size| (need..=wanted.min(room)).contains(&size))
            .or_else(|| CLASSES.iter().position(|&size| (need..=largest.min(room)).contains(&size)));
        let capacity = class.map_or(wanted, |class| CLASSES[class]);
        if capacity > room {
            return Err(Exhausted);
        }
        let bytes = class.and_then(|class| self.free[class].take()).unwrap_or_else(|| {
            self.make_room_for(capacity);
            vec![0; capacity].into_boxed_slice()
        });
        self.used += capacity;
        Ok(Chunk { bytes, len: 0, first_offset, first_published: now, cursors: 0, marks: RefCell::default() })
    }

    /// Lets go of free chunks of other sizes that stand in the way of a new one, the largest first.
    fn make_room_for(&mut self, capacity: usize) {
        for class in (0..CLASSES.len()).rev() {
            while self.used + self.free() + capacity > self.limit && self.free[class].take().is_some() {}
        }
    }

    /// Bytes of free chunks. With those in use they are never above the limit.
    pub(super) fn free(&self) -> usize {
        self.free.iter().zip(CLASSES).map(|(free, size)| free.len() * size).sum()
    }

    /// Gives back to the allocator what was not needed since the last call.
    pub(super) fn trim(&mut self) {
        self.free.iter_mut().for_each(Spare::trim);
        self.lists.trim();
    }

    /// An empty list for a log's chunks.
    pub(super) fn take_list(&mut self) -> VecDeque<Chunk> {
        self.lists.take().unwrap_or_default()
    }

    pub(super) fn give_back_list(&mut self, list: VecDeque<Chunk>) {
        debug_assert!(list.is_empty(), "chunks are given back one by one");
        if list.capacity() <= LIST_KEPT {
            self.lists.give_back(list);
        }
    }

    pub(super) fn give_back(&mut self, chunk: Chunk) {
        assert_eq!(chunk.cursors, 0, "a chunk left its log while a cursor stood in it");
        self.used -= chunk.capacity();
        if let Some(class) = CLASSES.iter().position(|&size| size == chunk.capacity()) {
            self.free[class].give_back(chunk.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(log_bytes: usize) -> ChunkPool {
        ChunkPool::new(&HubLimits { log_bytes, ..HubLimits::for_tests() })
    }

    fn pool_of_half() -> ChunkPool {
        let mut pool = pool(128 << 10);
        pool.take(size(60_000, 0, 65_536), Offset(1), Now(0)).unwrap();
        pool
    }

    fn size(need: usize, previous: usize, largest: usize) -> ChunkSize {
        ChunkSize { need, wanted: 0, previous, largest }
    }

    #[test]
    fn a_chunk_holds_what_is_likely_to_come() {
        let mut pool = pool(1 << 20);
        let mut capacity = |wanted, largest| {
            let size = ChunkSize { need: 66, wanted, previous: 0, largest };
            pool.take(size, Offset(1), Now(0)).unwrap().capacity()
        };
        assert_eq!(capacity(4096, 65_536), 4096);
        assert_eq!(capacity(4097, 65_536), 16_384);
        assert_eq!(capacity(100_000, 65_536), 65_536);
        assert_eq!(capacity(100_000, 16_384), 16_384);
        let mut half_used = pool_of_half();
        let size = ChunkSize { need: 66, wanted: 5_000, previous: 0, largest: 65_536 };
        assert_eq!(
            half_used.take(size, Offset(1), Now(0)).unwrap().capacity(),
            4096,
            "the rest may be needed"
        );
    }

    #[test]
    fn chunks_grow_from_class_to_class_and_stay_at_the_largest() {
        let mut pool = pool(1 << 20);
        let mut capacity_after =
            |previous| pool.take(size(100, previous, 1 << 20), Offset(1), Now(0)).unwrap().capacity();
        assert_eq!(capacity_after(0), 4096);
        assert_eq!(capacity_after(4096), 16_384);
        assert_eq!(capacity_after(16_384), 65_536);
        assert_eq!(capacity_after(65_536), 65_536);
    }

    #[test]
    fn a_small_log_keeps_small_chunks() {
        assert_eq!(pool(1 << 20).take(size(100, 4096, 4096), Offset(1), Now(0)).unwrap().capacity(), 4096);
    }

    #[test]
    fn a_chunk_is_not_larger_than_asked_for_unless_the_message_is() {
        let mut pool = pool(1 << 20);
        let mut capacity = |need, previous, largest| {
            pool.take(size(need, previous, largest), Offset(1), Now(0)).unwrap().capacity()
        };
        assert_eq!(capacity(100, 4096, 5000), 4096);
        assert_eq!(capacity(4500, 4096, 5000), 5000);
        assert_eq!(capacity(5001, 4096, 5000), 5001);
        assert_eq!(capacity(100, 0, 500), 500);
        assert_eq!(capacity(17_000, 0, 20_000), 17_000);
        assert_eq!(capacity(17_000, 0, 65_536), 65_536);
    }

    #[test]
    fn a_large_message_gets_a_chunk_of_its_own_size() {
        let mut pool = pool(1 << 20);
        assert_eq!(pool.take(size(100_000, 0, 65_536), Offset(1), Now(0)).unwrap().capacity(), 100_000);
        assert_eq!(pool.used(), 100_000);
    }

    #[test]
    fn the_pool_never_gives_more_than_its_limit_and_takes_back_what_it_gave() {
        let mut pool = pool(10_000);
        let first = pool.take(size(4096, 0, 65_536), Offset(1), Now(0)).unwrap();
        let second = pool.take(size(4096, 0, 65_536), Offset(1), Now(0)).unwrap();
        assert_eq!(pool.take(size(4096, 0, 65_536), Offset(1), Now(0)).unwrap_err(), Exhausted);
        pool.give_back(first);
        let third = pool.take(size(4096, 0, 65_536), Offset(1), Now(0)).unwrap();
        pool.give_back(second);
        pool.give_back(third);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn free_chunks_are_kept_within_the_limit_and_given_out_again() {
        let mut pool = pool(100 << 10);
        let take = |pool: &mut ChunkPool, need| pool.take(size(need, 0, 65_536), Offset(1), Now(0)).unwrap();
        let taken: Vec<Chunk> = (0..25).map(|_| take(&mut pool, 100)).collect();
        taken.into_iter().for_each(|chunk| pool.give_back(chunk));
        assert_eq!((pool.used(), pool.free()), (0, 100 << 10));
        let small = take(&mut pool, 100);
        assert_eq!((pool.used(), pool.free()), (4 << 10, 96 << 10));
        let large = take(&mut pool, 60_000);
        assert_eq!((pool.used(), pool.free()), (68 << 10, 32 << 10), "the small ones make room for it");
        pool.give_back(small);
        pool.give_back(large);
        assert_eq!((pool.used(), pool.free()), (0, 100 << 10));
    }

    #[test]
    fn free_chunks_that_nobody_needs_go_back_to_the_allocator() {
        let mut pool = pool(1 << 20);
        let taken: Vec<Chunk> =
            (0..100).map(|_| pool.take(size(100, 0, 65_536), Offset(1), Now(0)).unwrap()).collect();
        taken.into_iter().for_each(|chunk| pool.give_back(chunk));
        pool.trim();
        assert_eq!(pool.free(), 400 << 10, "they were needed a moment ago");
        pool.trim();
        assert_eq!(pool.free(), 16 << 10);
    }

    #[test]
    fn a_nearly_full_pool_gives_the_largest_chunk_that_it_has_room_for() {
        let mut pool = pool(100 << 10);
        let mut capacity =
            |need| pool.take(size(need, 65_536, 65_536), Offset(1), Now(0)).map(|chunk| chunk.capacity());
        assert_eq!(capacity(100), Ok(65_536));
        assert_eq!(capacity(100), Ok(16_384));
        assert_eq!(capacity(5000), Ok(16_384));
        assert_eq!(capacity(5000), Err(Exhausted), "4096 are left");
        assert_eq!(capacity(100), Ok(4096));
        assert_eq!(capacity(1), Err(Exhausted));
    }

    #[test]
    #[should_panic(expected = "while a cursor stood in it")]
    fn a_chunk_with_a_cursor_in_it_does_not_go_back() {
        let mut pool = pool(10_000);
        let mut chunk = pool.take(size(1, 0, 65_536), Offset(1), Now(0)).unwrap();
        chunk.cursors = 1;
        pool.give_back(chunk);
    }
}
