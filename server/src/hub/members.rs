//! Who is subscribed to a topic, and who of them lags.

use super::log::Position;
use crate::ids::{Offset, Slot};

/// A subscriber's entry in its topic's dense list: the slot in the low 24 bits, two marks above.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) struct Member(u32);

impl Member {
    const LAGGING: u32 = 1 << 31;
    const GONE: u32 = 1 << 30;

    pub(super) fn new(slot: Slot) -> Self {
        debug_assert!(slot.0 < 1 << 24);
        Self(slot.0)
    }

    /// Gets what the deliver pass sends: subscribed and not lagging.
    pub(super) fn is_caught_up(self) -> bool {
        self.0 & (Self::LAGGING | Self::GONE) == 0
    }

    pub(super) fn is_gone(self) -> bool {
        self.0 & Self::GONE != 0
    }

    pub(super) fn slot(self) -> Slot {
        Slot(self.0 & !(Self::LAGGING | Self::GONE))
    }

    pub(super) fn set_lagging(&mut self, lagging: bool) {
        if lagging { self.0 |= Self::LAGGING } else { self.0 &= !Self::LAGGING }
    }

    /// Leaves a tombstone.
    pub(super) fn bury(&mut self) {
        self.0 |= Self::GONE;
    }
}

/// Where a subscriber's entries are.
#[derive(Copy, Clone, Debug)]
pub(super) struct Membership {
    pub(super) topic: u32,
    pub(super) index: u32,
    /// Index among the topic's laggers, or `NONE`.
    pub(super) lagger: u32,
}

impl Membership {
    pub(super) const NONE: u32 = u32::MAX;
    pub(super) const VACANT: Self = Self { topic: Self::NONE, index: Self::NONE, lagger: Self::NONE };
}

/// A subscriber that does not have everything its topic's pass has sent.
#[derive(Copy, Clone, Debug)]
pub(super) struct Lagger {
    pub(super) slot: Slot,
    pub(super) state: LagState,
}

#[derive(Copy, Clone, Debug)]
pub(super) enum LagState {
    /// Has everything before the cursor.
    Behind(Cursor),
    /// Was lapped, and misses everything from here to wherever the pass is when its socket takes bytes again.
    Skipping { first_missed: Offset },
}

#[derive(Copy, Clone, Debug)]
pub(super) struct Cursor {
    /// May be inside a frame.
    pub(super) at: Position,
    /// First message that is not yet counted as delivered.
    pub(super) uncounted: Offset,
    /// There is nothing to send yet, for the pass has not gone beyond `at`. Otherwise the shard has the subscriber among
    /// its runnable or waits for its socket.
    pub(super) is_waiting: bool,
}

/// A subscriber that was just lapped.
#[derive(Debug)]
pub struct Lapped {
    pub slot: Slot,
    /// The rest of the frame it was inside: must go out before anything else, or its stream is torn. Empty between
    /// frames; `None` when there was no room for it, and only a reset is left.
    pub tail: Option<Vec<u8>>,
}
