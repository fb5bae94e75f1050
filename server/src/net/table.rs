//! The connections of a shard, by slot. A slot is the index of the socket in the ring's table of direct descriptors.

use super::connection::{Connection, Operation, Phase};
use crate::ids::Slot;
use crate::pages::Pages;

pub use super::connection::SLOT_BYTES;

/// Holds the connections that there are, and no memory for others.
#[derive(Debug)]
pub struct Table {
    slots: Pages<Connection>,
    occupied: usize,
    /// The next owner's generation. No two owners of a slot have the same, short of four billion between them.
    generation: u32,
    /// What is seen of a slot that is not in use.
    vacant: Connection,
    /// What is changed of such a slot.
    nobody: Connection,
}

impl Table {
    pub fn new(capacity: usize) -> Self {
        let slots = Pages::new(capacity);
        let [vacant, nobody] = [(); 2].map(|()| Connection::default());
        Self { slots, occupied: 0, generation: 0, vacant, nobody }
    }

    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Slots in use, dying ones included.
    pub fn occupied(&self) -> usize {
        self.occupied
    }

    /// One past the highest slot that may be in use.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Takes the slot of a socket that was just accepted.
    pub fn occupy(&mut self, slot: Slot) -> &mut Connection {
        assert!(slot.index() < self.slots.capacity(), "the kernel gave a descriptor outside of the table");
        self.occupied += 1;
        self.generation = self.generation.wrapping_add(1);
        let connection = self.slots.occupy(slot.index());
        assert_eq!(connection.phase, Phase::Vacant, "the kernel gave a descriptor that is in use");
        connection.phase = Phase::Http;
        connection.generation = self.generation;
        connection
    }

    /// The connection, if there is one.
    pub fn get(&self, slot: Slot) -> Option<&Connection> {
        self.slots.get(slot.index()).filter(|connection| connection.phase != Phase::Vacant)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.slots.get_mut(slot.index()).filter(|connection| connection.phase != Phase::Vacant)
    }

    /// Whether all that is left of the slot's owner is the closing of its descriptor.
    pub fn is_only_closing(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|connection| connection.is_only_in_flight(Operation::Close))
    }

    /// Makes the slot free for its next owner, whose generation is another.
    pub fn vacate(&mut self, slot: Slot) {
        self.slots.vacate(slot.index());
        self.occupied -= 1;
    }

    /// The connection, if the slot still has that owner.
    pub fn current(&mut self, slot: Slot, generation: u32) -> Option<&mut Connection> {
        self.get_mut(slot).filter(|connection| connection.generation == generation)
    }

    /// All slots that are in use.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Connection)> {
        self.slots
            .iter()
            .filter(|(_, connection)| connection.phase != Phase::Vacant)
            .map(|(index, connection)| (Slot(index as u32), connection))
    }
}

/// A slot that is not in use shows a vacant connection.
impl std::ops::Index<Slot> for Table {
    type Output = Connection;

    fn index(&self, slot: Slot) -> &Connection {
        self.get(slot).unwrap_or(&self.vacant)
    }
}

/// What is changed of a slot that is not in use is changed of nobody.
impl std::ops::IndexMut<Slot> for Table {
    fn index_mut(&mut self, slot: Slot) -> &mut Connection {
        match self.slots.get_mut(slot.index()) {
            Some(connection) if connection.phase != Phase::Vacant => connection,
            _ => {
                self.nobody = Connection::default();
                &mut self.nobody
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_does_not_answer_to_its_last_owners_generation() {
        let mut table = Table::new(4);
        let generation = table.occupy(Slot(2)).generation;
        assert!(table.current(Slot(2), generation).is_some());
        table.vacate(Slot(2));
        assert!(table.current(Slot(2), generation).is_none());
        let next = table.occupy(Slot(2)).generation;
        assert!(table.current(Slot(2), generation).is_none());
        assert!(table.current(Slot(2), next).is_some());
        assert_eq!(table.occupied(), 1);
    }

    #[test]
    fn what_is_done_to_a_vacant_slot_reaches_nobody() {
        let mut table = Table::new(200);
        table.occupy(Slot(3));
        for vacant in [Slot(4), Slot(150)] {
            table[vacant].deadline = 9;
            table[vacant].phase = Phase::Closing;
            assert!(table.get(vacant).is_none() && table[vacant].phase == Phase::Vacant);
        }
        assert_eq!(table.iter().map(|(slot, _)| slot).collect::<Vec<_>>(), [Slot(3)]);
        assert_eq!((table.occupy(Slot(4)).deadline, table.occupied()), (0, 2));
    }

    #[test]
    #[should_panic(expected = "outside of the table")]
    fn a_descriptor_outside_of_the_table_is_refused() {
        Table::new(4).occupy(Slot(4));
    }
}
