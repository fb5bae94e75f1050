//! A feed's log: the encoded frames that somebody still has to get.
//!
//! ```text
//!   chunks:   [ first ........ ][ first+1 ......... ][ first+2 ....|free ]
//!                  ^ cursor of a lagging subscriber                ^ end: what is appended next
//! ```
//!
//! There is no index of every message. Frames carry their own length, so the boundary around any position is found by
//! walking headers. That is needed only when a subscriber is lapped, leaves, or lags while a control frame waits for it;
//! then the chunk remembers a frame start here and there, and a chunk that nobody lags in pays nothing.

use super::chunk::{Chunk, ChunkPool};
use crate::ids::Offset;
use std::collections::VecDeque;

/// A byte in a log: which chunk, counted from the log's first ever, and where in it.
/// `chunk`'s end and `chunk + 1`'s start are the same place; `FeedLog::normal` gives the latter where it exists.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Default)]
pub(super) struct Position {
    chunk: u64,
    byte: usize,
}

#[derive(Debug, Default)]
pub(super) struct FeedLog {
    chunks: VecDeque<Chunk>,
    /// Number of `chunks[0]`; of the next chunk when there is none.
    first: u64,
    /// Cursors that stand where the next chunk will begin.
    cursors_beyond: u32,
    capacity: usize,
}

impl FeedLog {
    /// Bytes of pool memory held.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The place of the next frame.
    pub(super) fn end(&self) -> Position {
        match self.chunks.back() {
            Some(last) => {
                Position { chunk: self.first + self.chunks.len() as u64 - 1, byte: last.bytes().len() }
            }
            None => Position { chunk: self.first, byte: 0 },
        }
    }

    /// Whether a frame of `len` bytes goes into the last chunk as it is.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.chunks.back().is_some_and(|last| last.room() >= len)
    }

    /// Makes room for what does not go into the last chunk.
    pub(super) fn add_chunk(&mut self, mut chunk: Chunk, pool: &mut ChunkPool) {
        if self.chunks.capacity() == 0 {
            self.chunks = pool.take_list();
        }
        chunk.cursors = std::mem::take(&mut self.cursors_beyond);
        self.capacity += chunk.capacity();
        self.chunks.push_back(chunk);
    }

    /// Appends one frame, given as header and payload, for which there is room.
    pub(super) fn append(&mut self, header: &[u8], payload: &[u8]) {
        let last = self.chunks.back_mut().expect("there is a chunk with room");
        last.append(header);
        last.append(payload);
    }

    /// Capacity of the chunk that is appended to.
    pub(super) fn last_capacity(&self) -> usize {
        self.chunks.back().map_or(0, Chunk::capacity)
    }

    /// All bytes from `from` to the end of its chunk, not past `to`; and the place behind them.
    pub(super) fn region(&self, from: Position, to: Position) -> (&[u8], Position) {
        let (from, to) = (self.normal(from), self.normal(to));
        let Some(chunk) = self.chunk(from).filter(|_| from < to) else { return (&[], from) };
        let end = if to.chunk == from.chunk { to.byte } else { chunk.bytes().len() };
        (&chunk.bytes()[from.byte..end], Position { chunk: from.chunk, byte: end })
    }

    /// The chunk that begins at `at`, if one does.
    pub(super) fn chunk_beginning_at(&self, at: Position) -> Option<&Chunk> {
        let at = self.normal(at);
        self.chunk(at).filter(|_| at.byte == 0)
    }

    /// The place `bytes` further on in the same chunk.
    pub(super) fn advance(&self, from: Position, bytes: usize) -> Position {
        let from = self.normal(from);
        Position { chunk: from.chunk, byte: from.byte + bytes }
    }

    /// What is left of the frame that `at` stands inside; empty at a frame's start. With it, the offset of the first
    /// frame that starts at or after `at`.
    pub(super) fn rest_of_frame(&self, at: Position) -> (&[u8], Offset) {
        let at = self.normal(at);
        let chunk = self.chunk(at).expect("a cursor's chunk stays until the cursor is lapped");
        let (start, offset) = chunk.frame_start_from(at.byte);
        (&chunk.bytes()[at.byte..start], offset)
    }

    /// Makes `at`'s chunk stay while the cursor stands there. The cursor must be kept exactly as returned.
    pub(super) fn add_cursor(&mut self, at: Position) -> Position {
        let at = self.normal(at);
        *self.cursors_mut(at) += 1;
        at
    }

    /// Takes back what `add_cursor` returned.
    pub(super) fn remove_cursor(&mut self, at: Position) {
        let cursors = self.cursors_mut(at);
        *cursors = cursors.checked_sub(1).expect("a cursor is removed once");
    }

    fn cursors_mut(&mut self, at: Position) -> &mut u32 {
        let index = at.chunk.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.chunks.get_mut(index)) {
            Some(chunk) => &mut chunk.cursors,
            None => &mut self.cursors_beyond,
        }
    }

    /// A cursor kept as `at` has had all of its chunk: the place where the next one begins or will begin.
    pub(super) fn beyond_chunk(&self, at: Position) -> Option<Position> {
        let chunk = self.chunk(at)?;
        (at.byte == chunk.bytes().len()).then_some(Position { chunk: at.chunk + 1, byte: 0 })
    }

    /// Whether the oldest chunk lies wholly before `passed`.
    pub(super) fn oldest_is_passed(&self, passed: Position) -> bool {
        self.chunks.front().is_some_and(|oldest| {
            passed.chunk > self.first || (passed.chunk == self.first && passed.byte == oldest.bytes().len())
        })
    }

    /// Whether a cursor kept as `at` stands in the oldest chunk.
    pub(super) fn is_in_oldest(&self, at: Position) -> bool {
        at.chunk == self.first
    }

    pub(super) fn oldest_cursors(&self) -> u32 {
        self.chunks.front().map_or(0, |oldest| oldest.cursors)
    }

    pub(super) fn drop_oldest(&mut self, pool: &mut ChunkPool) {
        if let Some(oldest) = self.chunks.pop_front() {
            self.first += 1;
            self.capacity -= oldest.capacity();
            pool.give_back(oldest);
        }
        if self.chunks.is_empty() {
            // An idle feed holds nothing.
            pool.give_back_list(std::mem::take(&mut self.chunks));
        }
    }

    /// The same place, said with the chunk that the next byte is or will be in, where that chunk exists.
    pub(super) fn normal(&self, at: Position) -> Position {
        match self.chunk(at) {
            Some(chunk)
                if at.byte == chunk.bytes().len() && at.chunk + 1 < self.first + self.chunks.len() as u64 =>
            {
                Position { chunk: at.chunk + 1, byte: 0 }
            }
            // The chunk went back because all had passed it: the place is the start of what follows.
            None if at.chunk < self.first => Position { chunk: self.first, byte: 0 },
            _ => at,
        }
    }

    fn chunk(&self, at: Position) -> Option<&Chunk> {
        self.chunks.get(usize::try_from(at.chunk.checked_sub(self.first)?).ok()?)
    }
}
