//! A connection, its socket, and what it has got of each of its topics.

use super::stream::{Reader, Topic};
use corecast::ids::{Encoding, MemberId, Slot, Variant};

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) slot: Slot,
    pub(crate) variant: Variant,
    pub(crate) phase: Phase,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Bytes the socket takes before it is full.
    pub(crate) room: usize,
    /// Waits for the socket to take bytes again.
    pub(crate) is_polling: bool,
    pub(crate) is_marked: bool,
    /// What is left to send of a frame whose log is gone; before `reply`.
    pub(crate) tail: usize,
    /// Bytes to send that are not of a topic.
    pub(crate) reply: usize,
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) member: MemberId,
    /// Index in the world.
    pub(crate) topic: usize,
    pub(crate) reader: Reader,
    /// Part of `reply` has to come before its next message: that it is subscribed, or what it missed.
    pub(crate) has_to_be_told: bool,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Phase {
    Open,
    /// It has no subscriptions any more; what is half out has to be finished.
    Closing,
    Vacant,
}

impl Connection {
    pub(crate) fn new(slot: Slot) -> Self {
        Self {
            slot,
            variant: Variant::plain(Encoding::Raw),
            phase: Phase::Vacant,
            subscriptions: Vec::new(),
            room: usize::MAX,
            is_polling: false,
            is_marked: false,
            tail: 0,
            reply: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// What a send of `bytes` does: how many the socket takes.
    pub(crate) fn send(&mut self, bytes: usize) -> usize {
        assert!(!self.is_polling, "{:?}: a send while its socket is known to be full", self.slot);
        let taken = bytes.min(self.room);
        self.room -= taken;
        taken
    }

    pub(crate) fn has_outbound(&self) -> bool {
        self.tail > 0 || self.reply > 0 || self.phase == Phase::Closing
    }

    /// Messages may be sent to it: nothing has to come before them.
    pub(crate) fn is_clear(&self) -> bool {
        !self.is_polling && !self.is_marked && !self.has_outbound()
    }

    pub(crate) fn is_between_frames(&self) -> bool {
        self.tail == 0
            && self.subscriptions.iter().all(|subscription| subscription.reader.is_between_frames())
    }

    pub(crate) fn subscription_mut(&mut self, member: MemberId) -> &mut Subscription {
        let slot = self.slot;
        self.subscriptions
            .iter_mut()
            .find(|subscription| subscription.member == member)
            .unwrap_or_else(|| panic!("{slot:?} is not subscribed as {member:?}"))
    }

    /// The socket took these bytes of one of its topics. Gives how many messages they completed.
    pub(crate) fn took(&mut self, member: MemberId, topics: &[Topic], bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        assert_eq!(self.tail, 0, "{:?}: a message inside another's frame", self.slot);
        for other in self.subscriptions.iter().filter(|other| other.member != member) {
            assert!(other.reader.is_between_frames(), "{:?}: a message inside another's frame", self.slot);
        }
        let slot = self.slot;
        let subscription = self.subscription_mut(member);
        assert!(!subscription.has_to_be_told, "{slot:?}: a message before what it has to be told");
        subscription.reader.take(&topics[subscription.topic], bytes)
    }

    /// What the rest of a frame is sent as when its subscription has ended or skips.
    pub(crate) fn keep_tail(&mut self, bytes: usize) {
        assert!(bytes == 0 || self.tail == 0, "{:?} is inside two frames", self.slot);
        self.tail += bytes;
    }
}
