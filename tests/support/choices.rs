//! Where a model test takes its choices from: a seed, or bytes that a fuzzer made up.

use fastrand::Rng;
use std::cell::RefCell;
use std::ops::{Bound, RangeBounds};
use std::rc::Rc;

/// Choices that are all made in advance, by a seed or by bytes. Clones take turns with the same ones.
#[derive(Clone, Debug)]
pub struct Choices(Rc<RefCell<Source>>);

#[derive(Debug)]
struct Source {
    /// What is left of the bytes; `None` where there never were any.
    bytes: Option<std::vec::IntoIter<u8>>,
    /// Without bytes, and after the last of them: what was begun has to come to its end.
    rng: Rng,
}

macro_rules! numbers {
    ($($kind:ident)*) => { $(
        #[allow(clippy::cast_lossless)] // of four kinds, two need the cast
        pub fn $kind(&self, range: impl RangeBounds<$kind>) -> $kind {
            let first = match range.start_bound() {
                Bound::Included(&first) => first,
                Bound::Excluded(_) | Bound::Unbounded => 0,
            };
            let last = match range.end_bound() {
                Bound::Included(&last) => last,
                Bound::Excluded(&end) => end - 1,
                Bound::Unbounded => $kind::MAX,
            };
            assert!(first <= last, "nothing to choose from");
            first + self.up_to((last - first) as u64) as $kind
        }
    )* };
}

impl Choices {
    pub fn of_seed(rng: &mut Rng) -> Self {
        Self(Rc::new(RefCell::new(Source { bytes: None, rng: rng.fork() })))
    }

    pub fn of_bytes(bytes: &[u8]) -> Self {
        let bytes = Vec::from(bytes).into_iter();
        Self(Rc::new(RefCell::new(Source { bytes: Some(bytes), rng: Rng::with_seed(0) })))
    }

    /// Every byte has been used. Never so with a seed.
    pub fn are_used_up(&self) -> bool {
        self.0.borrow().bytes.as_ref().is_some_and(|bytes| bytes.len() == 0)
    }

    numbers! { u8 u32 u64 usize }

    pub fn bool(&self) -> bool {
        self.up_to(1) == 1
    }

    pub fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.usize(..all.len())]
    }

    pub fn shuffle<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.usize(..=last));
        }
    }

    /// From as few bytes as can say it, so that most choices are one byte each.
    fn up_to(&self, last: u64) -> u64 {
        let Source { bytes, rng } = &mut *self.0.borrow_mut();
        match bytes {
            Some(bytes) if bytes.len() > 0 => {
                let needed = (u64::BITS - last.leading_zeros()).div_ceil(8) as usize;
                let number = bytes.take(needed).fold(0, |number, byte| number << 8 | u64::from(byte));
                last.checked_add(1).map_or(number, |count| number % count)
            }
            _ => rng.u64(..=last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_one_by_one_and_then_a_fixed_seed() {
        let choices = Choices::of_bytes(&[7, 1, 2, 3, 250]);
        let other = choices.clone();
        assert_eq!(choices.u8(..5), 2);
        // One thing to choose from needs no byte.
        assert_eq!(other.one_of(&["a"]), "a");
        assert_eq!(other.usize(10..=1000), 10 + 0x102);
        assert!(choices.bool());
        assert!(!choices.are_used_up());
        assert_eq!(choices.u8(..), 250);
        assert!(other.are_used_up());
        let rest = |choices: &Choices| (choices.u64(..), choices.u32(5..9), choices.usize(..1));
        assert_eq!(rest(&choices), rest(&Choices::of_bytes(&[])));
    }

    #[test]
    fn a_seed_is_never_used_up() {
        let choices = Choices::of_seed(&mut Rng::with_seed(1));
        let mut items = [1, 2, 3, 4, 5];
        choices.shuffle(&mut items);
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4, 5]);
        assert!((0..100).all(|_| (3..=4).contains(&choices.u8(3..=4))));
        assert!(!choices.are_used_up());
    }
}
