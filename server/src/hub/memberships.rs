//! Every subscription by its number, and the subscriptions of each connection.
//!
//! ```text
//!   by slot:  [ raw | JSON: head, count | vacant | raw | .. ]     a raw subscription is the entry itself
//!                      │
//!   JSON:     [ .. | slot, next | .. | slot, next | .. ]          numbered above all slots; free ones are a chain too
//!                      └───────────────────► end
//! ```

use crate::ids::{Encoding, FeedId, MemberId, Slot};
use crate::pages::Pages;
use std::iter;
use std::ops::{Index, IndexMut};

/// Where a subscription's entries are.
#[derive(Copy, Clone, Debug)]
pub(super) struct Membership {
    /// A feed's number, `NONE` or, in a JSON connection's slot, `CHAIN`.
    feed: u32,
    /// Index among the feed's members. Under `CHAIN`, the connection's newest subscription.
    pub(super) index: u32,
    /// Index among the feed's laggers, or `NONE`. Under `CHAIN`, how many subscriptions there are.
    pub(super) lagger: u32,
}

impl Membership {
    pub(super) const NONE: u32 = u32::MAX;
    const CHAIN: u32 = u32::MAX - 1;
    const VACANT: Self = Self { feed: Self::NONE, index: Self::NONE, lagger: Self::NONE };

    fn of(feed: FeedId) -> Self {
        Self { feed: feed.0, ..Self::VACANT }
    }

    pub(super) fn feed(&self) -> FeedId {
        debug_assert!(self.is_subscription());
        FeedId(self.feed)
    }

    pub(super) fn lagger(&self) -> Option<u32> {
        (self.lagger != Self::NONE).then_some(self.lagger)
    }

    fn is_subscription(&self) -> bool {
        self.feed < Self::CHAIN
    }
}

impl Default for Membership {
    fn default() -> Self {
        Self::VACANT
    }
}

const OCCUPIED: &str = "the entry of a subscription is occupied";

/// A subscription of a JSON connection.
#[derive(Copy, Clone, Debug)]
pub(super) struct JsonMembership {
    membership: Membership,
    slot: Slot,
    /// The connection's next subscription, or the next free entry; or `NONE`.
    next: u32,
}

#[derive(Debug)]
pub(super) struct Memberships {
    /// JSON subscriptions are numbered from here on.
    slots: u32,
    by_slot: Pages<Membership>,
    json: Vec<JsonMembership>,
    /// The first free entry of `json`, or `NONE`.
    free: u32,
    raw_count: usize,
    json_count: usize,
}

impl Memberships {
    /// Slots are below `slots`.
    pub(super) fn new(slots: usize) -> Self {
        assert!(slots < MemberId::END as usize, "a slot's number is a member's too");
        Self {
            slots: slots as u32,
            by_slot: Pages::new(slots),
            json: Vec::new(),
            free: Membership::NONE,
            raw_count: 0,
            json_count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.raw_count + self.json_count
    }

    pub(super) fn get(&self, member: MemberId) -> Option<&Membership> {
        let membership = match self.json_index(member) {
            None => self.by_slot.get(member.0 as usize),
            Some(index) => self.json.get(index).map(|entry| &entry.membership),
        };
        membership.filter(|membership| membership.is_subscription())
    }

    /// The connection of a subscription.
    #[inline]
    pub(super) fn slot(&self, member: MemberId) -> Slot {
        self.json_index(member).map_or(Slot(member.0), |index| self.json[index].slot)
    }

    /// All subscriptions of a connection, the newest first.
    pub(super) fn of(&self, slot: Slot) -> impl Iterator<Item = MemberId> {
        let first = match self.by_slot.get(slot.index()) {
            Some(entry) if entry.feed == Membership::CHAIN => Some(MemberId(entry.index)),
            Some(entry) if entry.is_subscription() => Some(slot.into()),
            _ => None,
        };
        iter::successors(first, |&member| {
            let next = self.json[self.json_index(member)?].next;
            (next != Membership::NONE).then_some(MemberId(next))
        })
    }

    pub(super) fn count_of(&self, slot: Slot) -> usize {
        match self.by_slot.get(slot.index()) {
            Some(entry) if entry.feed == Membership::CHAIN => entry.lagger as usize,
            Some(entry) => usize::from(entry.is_subscription()),
            None => 0,
        }
    }

    pub(super) fn add(&mut self, slot: Slot, feed: FeedId, encoding: Encoding) -> MemberId {
        assert!(slot.0 < self.slots, "{slot:?} is beyond the table");
        match encoding {
            Encoding::Raw => self.add_raw(slot, feed),
            Encoding::Json => self.add_json(slot, feed),
        }
    }

    fn add_raw(&mut self, slot: Slot, feed: FeedId) -> MemberId {
        let entry = self.by_slot.occupy(slot.index());
        assert_eq!(entry.feed, Membership::NONE, "a raw connection has one subscription");
        *entry = Membership::of(feed);
        self.raw_count += 1;
        slot.into()
    }

    fn add_json(&mut self, slot: Slot, feed: FeedId) -> MemberId {
        if self.count_of(slot) == 0 {
            let head = self.by_slot.occupy(slot.index());
            *head = Membership { feed: Membership::CHAIN, index: Membership::NONE, lagger: 0 };
        }
        let head = self.by_slot.get_mut(slot.index()).expect(OCCUPIED);
        assert_eq!(head.feed, Membership::CHAIN, "a raw connection has one subscription");
        let entry = JsonMembership { membership: Membership::of(feed), slot, next: head.index };
        let number = if self.free == Membership::NONE {
            self.json.push(entry);
            self.slots + self.json.len() as u32 - 1
        } else {
            let number = self.free;
            let free = &mut self.json[(number - self.slots) as usize];
            self.free = std::mem::replace(free, entry).next;
            number
        };
        assert!(number < MemberId::END, "subscriptions are bounded per connection");
        head.index = number;
        head.lagger += 1;
        self.json_count += 1;
        MemberId(number)
    }

    pub(super) fn remove(&mut self, member: MemberId) {
        let Some(index) = self.json_index(member) else {
            self.by_slot.vacate(member.0 as usize);
            self.raw_count -= 1;
            return;
        };
        let JsonMembership { slot, next, .. } = self.json[index];
        let head = self.by_slot.get_mut(slot.index()).expect(OCCUPIED);
        if head.index == member.0 {
            head.index = next;
        } else {
            let mut others = self.of(slot).filter_map(|other| self.json_index(other));
            let before = others.find(|&other| self.json[other].next == member.0);
            drop(others);
            self.json[before.expect("a subscription is in its connection's chain")].next = next;
        }
        let head = self.by_slot.get_mut(slot.index()).expect(OCCUPIED);
        head.lagger -= 1;
        if head.lagger == 0 {
            self.by_slot.vacate(slot.index());
        }
        self.json[index] = JsonMembership { membership: Membership::VACANT, slot, next: self.free };
        self.free = member.0;
        self.json_count -= 1;
        if self.json_count == 0 {
            self.json = Vec::new();
            self.free = Membership::NONE;
        }
    }

    #[inline]
    fn json_index(&self, member: MemberId) -> Option<usize> {
        Some(member.0.checked_sub(self.slots)? as usize)
    }
}

/// Of a subscription that there is.
impl Index<MemberId> for Memberships {
    type Output = Membership;

    #[inline]
    fn index(&self, member: MemberId) -> &Membership {
        match self.json_index(member) {
            None => self.by_slot.get(member.0 as usize).expect(OCCUPIED),
            Some(index) => &self.json[index].membership,
        }
    }
}

impl IndexMut<MemberId> for Memberships {
    #[inline]
    fn index_mut(&mut self, member: MemberId) -> &mut Membership {
        match self.json_index(member) {
            None => self.by_slot.get_mut(member.0 as usize).expect(OCCUPIED),
            Some(index) => &mut self.json[index].membership,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: FeedId = FeedId(7);

    fn of(memberships: &Memberships, slot: u32) -> Vec<u32> {
        memberships.of(Slot(slot)).map(|member| member.0).collect()
    }

    #[test]
    fn a_subscription_leaves_its_connections_chain_wherever_it_stands() {
        for left in 10..13 {
            let mut memberships = Memberships::new(10);
            for _ in 0..3 {
                memberships.add(Slot(2), FEED, Encoding::Json);
            }
            assert_eq!(of(&memberships, 2), [12, 11, 10]);
            memberships.remove(MemberId(left));
            let others: Vec<u32> = [12, 11, 10].into_iter().filter(|&other| other != left).collect();
            assert_eq!((of(&memberships, 2), memberships.count_of(Slot(2))), (others, 2));
            assert!(memberships.get(MemberId(left)).is_none());
        }
    }

    #[test]
    fn numbers_are_used_again_and_memory_goes_back_with_the_last() {
        let mut memberships = Memberships::new(10);
        let raw = memberships.add(Slot(0), FEED, Encoding::Raw);
        let members = [1, 2, 1].map(|slot| memberships.add(Slot(slot), FEED, Encoding::Json));
        assert_eq!((raw, members), (MemberId(0), [10, 11, 12].map(MemberId)));
        memberships.remove(members[0]);
        memberships.remove(members[2]);
        assert_eq!((of(&memberships, 1), of(&memberships, 2)), (vec![], vec![11]));
        assert_eq!(memberships.add(Slot(3), FEED, Encoding::Json), members[2]);
        assert_eq!(memberships.add(Slot(1), FEED, Encoding::Json), members[0]);
        assert_eq!((memberships.len(), memberships.slot(members[0])), (4, Slot(1)));
        for member in members {
            memberships.remove(member);
        }
        assert_eq!(
            (memberships.json.capacity(), memberships.free, memberships.len()),
            (0, Membership::NONE, 1)
        );
        assert_eq!(memberships.add(Slot(1), FEED, Encoding::Json), MemberId(10));
    }
}
