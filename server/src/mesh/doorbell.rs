//! Waking a shard from another shard's thread.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// Rung by other shards when there is something for this one. Only the first ring after the shard lay down makes a system
/// call; a ring while it is awake is remembered until it looks.
#[derive(Default)]
pub struct Doorbell {
    state: AtomicU8,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

const RUNG: u8 = 1;
const ASLEEP: u8 = 2;

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Doorbell({:#04b})", self.state.load(Ordering::Relaxed))
    }
}

impl Doorbell {
    /// What ends the shard's sleep. Set once, before it first sleeps.
    pub fn connect(&self, wake: impl Fn() + Send + Sync + 'static) {
        assert!(self.wake.set(Box::new(wake)).is_ok(), "a doorbell is connected once");
    }

    /// Call it after leaving something for the shard.
    pub fn ring(&self) {
        // Always an exchange, so that whoever answers this ring or a later one sees what was left before it.
        let before = self.state.fetch_or(RUNG, Ordering::AcqRel);
        if before == ASLEEP
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Whether it rang since the last answer. The shard is awake from here on.
    pub fn answer(&self) -> bool {
        self.state.swap(0, Ordering::AcqRel) & RUNG != 0
    }

    /// Whether it has rung, left for `answer` to take.
    pub fn has_rung(&self) -> bool {
        self.state.load(Ordering::Relaxed) & RUNG != 0
    }

    /// The shard is about to sleep; false if it may not, because it was rung meanwhile.
    pub fn lie_down(&self) -> bool {
        self.state.fetch_or(ASLEEP, Ordering::AcqRel) & RUNG == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let woken = Arc::new(AtomicU32::new(0));
        let bell = Doorbell::default();
        let count = Arc::clone(&woken);
        bell.connect(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        bell.ring();
        assert_eq!(woken.load(Ordering::Relaxed), 0, "it is awake");
        assert!(!bell.lie_down(), "it was rung");
        assert!(bell.answer());
        assert!(bell.lie_down());
        bell.ring();
        bell.ring();
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(bell.answer());
        assert!(!bell.answer());
    }
}
