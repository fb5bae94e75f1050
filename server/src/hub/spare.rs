//! What was used and may soon be again, kept instead of going back to the allocator.

/// How many are kept however seldom they are needed.
const KEPT: usize = 4;

/// A stack of spare things. `trim` drops as many as were never needed since it was called last: a crowd of topics that all have
/// news finds what the crowd before it left, and what nobody comes for is given back.
#[derive(Debug)]
pub(super) struct Spare<T> {
    things: Vec<T>,
    /// The fewest there were since the last `trim`.
    unneeded: usize,
}

impl<T> Spare<T> {
    pub(super) const fn new() -> Self {
        Self { things: Vec::new(), unneeded: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.things.len()
    }

    pub(super) fn take(&mut self) -> Option<T> {
        let thing = self.things.pop();
        self.unneeded = self.unneeded.min(self.things.len());
        thing
    }

    pub(super) fn give_back(&mut self, thing: T) {
        self.things.push(thing);
    }

    /// To be called now and then.
    pub(super) fn trim(&mut self) {
        let dropped = self.unneeded.min(self.things.len().saturating_sub(KEPT));
        if dropped > 0 {
            self.things.drain(..dropped);
            self.things.shrink_to(self.things.len().max(KEPT));
        }
        self.unneeded = self.things.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(count: u32) -> Spare<u32> {
        let mut spare = Spare::new();
        (0..count).for_each(|thing| spare.give_back(thing));
        spare
    }

    #[test]
    fn what_is_needed_each_time_stays() {
        let mut spare = spare(100);
        for _ in 0..10 {
            let taken: Vec<u32> = (0..100).filter_map(|_| spare.take()).collect();
            assert_eq!(taken.len(), 100);
            taken.into_iter().for_each(|thing| spare.give_back(thing));
            spare.trim();
        }
        assert_eq!(spare.len(), 100);
    }

    #[test]
    fn what_was_not_needed_goes_but_for_a_few() {
        let mut spare = spare(100);
        spare.trim();
        assert_eq!(spare.len(), 100, "they have only just come back");
        for _ in 0..60 {
            spare.take();
        }
        (0..60).for_each(|thing| spare.give_back(thing));
        spare.trim();
        assert_eq!(spare.len(), 60);
        spare.trim();
        assert_eq!(spare.len(), 4);
        spare.trim();
        assert_eq!(spare.len(), 4);
    }

    #[test]
    fn an_empty_one_has_nothing() {
        let mut spare = spare(0);
        assert_eq!(spare.take(), None);
        spare.trim();
        assert_eq!(spare.len(), 0);
    }
}
