//! Who follows a feed, and who of them lags.

use super::log::Position;
use crate::ids::{MemberId, Offset};

/// A subscription's entry in its feed's dense list: its number, and two marks above.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) struct Member(u32);

impl Member {
    const LAGGING: u32 = 1 << 31;
    const GONE: u32 = 1 << 30;

    pub(super) fn new(id: MemberId) -> Self {
        debug_assert!(id.0 < MemberId::END);
        Self(id.0)
    }

    /// Gets what the deliver pass sends: subscribed and not lagging.
    pub(super) fn is_caught_up(self) -> bool {
        self.0 & (Self::LAGGING | Self::GONE) == 0
    }

    pub(super) fn is_gone(self) -> bool {
        self.0 & Self::GONE != 0
    }

    pub(super) fn id(self) -> MemberId {
        MemberId(self.0 & !(Self::LAGGING | Self::GONE))
    }

    pub(super) fn set_lagging(&mut self, lagging: bool) {
        if lagging { self.0 |= Self::LAGGING } else { self.0 &= !Self::LAGGING }
    }

    /// Leaves a tombstone.
    pub(super) fn bury(&mut self) {
        self.0 |= Self::GONE;
    }
}

/// A member that does not have everything its feed's pass has sent.
#[derive(Copy, Clone, Debug)]
pub(super) struct Lagger {
    pub(super) member: MemberId,
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
