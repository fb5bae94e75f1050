//! An array by slot that takes memory only where it is used.
//!
//! The kernel hands out free descriptors near each other, so what is in use is dense, and most of what is not is given back.

/// Entries that come and go together. Large enough that the list of pages stays in the cache, small enough that a page
/// becomes free when connections leave.
const PAGE_ENTRIES: usize = 64;

/// Entries are default until they are occupied, and again when they are vacated.
#[derive(Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Option<Box<Page<T>>>>,
    capacity: usize,
}

#[derive(Debug)]
struct Page<T> {
    occupied: u32,
    entries: [T; PAGE_ENTRIES],
}

impl<T: Default> Default for Page<T> {
    fn default() -> Self {
        Self { occupied: 0, entries: std::array::from_fn(|_| T::default()) }
    }
}

impl<T: Default> Pages<T> {
    /// Indexes are below `capacity`.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { pages: Vec::new(), capacity }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// No entry at or above this is occupied.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * PAGE_ENTRIES
    }

    /// `None` where no entry near it is occupied.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let page = self.pages.get(index / PAGE_ENTRIES)?.as_ref()?;
        Some(&page.entries[index % PAGE_ENTRIES])
    }

    /// `None` where no entry near it is occupied.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let page = self.pages.get_mut(index / PAGE_ENTRIES)?.as_mut()?;
        Some(&mut page.entries[index % PAGE_ENTRIES])
    }

    /// Takes an entry that was not occupied.
    pub(crate) fn occupy(&mut self, index: usize) -> &mut T {
        assert!(index < self.capacity, "an index outside of the table");
        let number = index / PAGE_ENTRIES;
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_default();
        page.occupied += 1;
        &mut page.entries[index % PAGE_ENTRIES]
    }

    /// Makes an occupied entry default again, and gives back what holds nothing any more.
    pub(crate) fn vacate(&mut self, index: usize) {
        let page = self.pages[index / PAGE_ENTRIES].as_mut().expect("an occupied entry has a page");
        page.occupied -= 1;
        if page.occupied > 0 {
            page.entries[index % PAGE_ENTRIES] = T::default();
            return;
        }
        self.pages[index / PAGE_ENTRIES] = None;
        while self.pages.pop_if(|page| page.is_none()).is_some() {}
        if self.pages.is_empty() {
            self.pages = Vec::new();
        }
    }

    /// All entries, by index, in pages that have an occupied one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.pages.iter().enumerate().flat_map(|(number, page)| {
            let entries = page.as_ref().map_or(&[][..], |page| &page.entries);
            entries.iter().enumerate().map(move |(at, entry)| (number * PAGE_ENTRIES + at, entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_there_only_where_an_entry_is_occupied() {
        let mut pages = Pages::<u32>::new(1_000);
        assert_eq!((pages.len(), pages.get(0)), (0, None));
        *pages.occupy(130) = 7;
        *pages.occupy(129) = 5;
        assert_eq!(pages.len(), 192);
        assert_eq!((pages.get(130), pages.get(128), pages.get(127)), (Some(&7), Some(&0), None));
        pages.vacate(130);
        assert_eq!((pages.get(130), pages.get(129)), (Some(&0), Some(&5)));
        pages.vacate(129);
        assert_eq!((pages.len(), pages.get(129)), (0, None));
    }

    #[test]
    fn free_pages_below_others_are_given_back_too() {
        let mut pages = Pages::<u32>::new(1_000);
        for index in [1, 65, 200] {
            *pages.occupy(index) = index as u32;
        }
        pages.vacate(65);
        assert_eq!((pages.len(), pages.get(65)), (256, None));
        pages.vacate(200);
        assert_eq!(pages.len(), 64, "with the ones above it");
        assert_eq!(pages.iter().filter(|(_, entry)| **entry > 0).collect::<Vec<_>>(), [(1, &1)]);
    }

    #[test]
    #[should_panic(expected = "an index outside of the table")]
    fn an_index_beyond_the_capacity_is_refused() {
        Pages::<u32>::new(64).occupy(64);
    }
}
