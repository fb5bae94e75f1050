//! The connections of a shard, by slot. A slot is the index of the socket in the ring's table of direct descriptors.

use super::connection::{Connection, Operation, Phase};
use crate::ids::Slot;

pub use super::connection::SLOT_BYTES;

/// Grows to the highest index the kernel has handed out, never beyond the ring's table. Room for all is reserved at once:
/// memory that is not touched costs nothing, and what outgrown vectors leave behind would.
#[derive(Debug)]
pub struct Table {
    slots: Vec<Connection>,
    capacity: usize,
    occupied: usize,
}

impl Table {
    pub fn new(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), capacity, occupied: 0 }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Slots in use, dying ones included.
    pub fn occupied(&self) -> usize {
        self.occupied
    }

    /// One past the highest slot ever used.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Takes the slot of a socket that was just accepted.
    pub fn occupy(&mut self, slot: Slot) -> &mut Connection {
        assert!(slot.index() < self.capacity, "the kernel gave a descriptor outside of the table");
        if self.slots.len() <= slot.index() {
            self.slots.resize_with(slot.index() + 1, Connection::default);
        }
        self.occupied += 1;
        let connection = &mut self.slots[slot.index()];
        assert_eq!(connection.phase, Phase::Vacant, "the kernel gave a descriptor that is in use");
        connection.phase = Phase::Http;
        connection
    }

    /// Whether all that is left of the slot's owner is the closing of its descriptor.
    pub fn is_only_closing(&self, slot: Slot) -> bool {
        self.slots.get(slot.index()).is_some_and(|connection| connection.is_only_in_flight(Operation::Close))
    }

    /// Makes the slot free for its next owner, whose generation is another.
    pub fn vacate(&mut self, slot: Slot) {
        let connection = &mut self.slots[slot.index()];
        let generation = connection.generation.wrapping_add(1);
        *connection = Connection::default();
        connection.generation = generation;
        self.occupied -= 1;
    }

    /// The connection, if the slot still has that owner.
    pub fn current(&mut self, slot: Slot, generation: u32) -> Option<&mut Connection> {
        self.slots
            .get_mut(slot.index())
            .filter(|connection| connection.generation == generation && connection.phase != Phase::Vacant)
    }

    /// All slots that are in use.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Connection)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, connection)| connection.phase != Phase::Vacant)
            .map(|(index, connection)| (Slot(index as u32), connection))
    }
}

impl std::ops::Index<Slot> for Table {
    type Output = Connection;

    fn index(&self, slot: Slot) -> &Connection {
        &self.slots[slot.index()]
    }
}

impl std::ops::IndexMut<Slot> for Table {
    fn index_mut(&mut self, slot: Slot) -> &mut Connection {
        &mut self.slots[slot.index()]
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
        table.occupy(Slot(2));
        assert!(table.current(Slot(2), generation).is_none());
        assert!(table.current(Slot(2), generation + 1).is_some());
        assert_eq!(table.occupied(), 1);
    }

    #[test]
    #[should_panic(expected = "outside of the table")]
    fn a_descriptor_outside_of_the_table_is_refused() {
        Table::new(4).occupy(Slot(4));
    }
}
