//! A bounded queue from one shard to another.
//!
//! What was sent takes up room until the receiver has *released* it, which may be well after it was taken out: a message
//! that waits for its topic's log still counts. So what a sender can cause at the other end is bounded, whatever the
//! receiver does with it.
//!
//! ```text
//!   sender ──send──► queue ──arrive──► arrived ──take──► handled ... ──release──► room again
//!                    └────────────────── bounded by Capacity ──────────────┘
//! ```
//!
//! The same link runs between executors, which ring each other's doorbell, and in the simulation, which decides how much
//! of the queue arrives in a turn.

use super::doorbell::Doorbell;
use crate::config::Config;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// What may be under way on a link at once, and one message more: a link that is half empty takes one of any size.
#[derive(Copy, Clone, Debug)]
pub struct Capacity {
    pub messages: usize,
    pub bytes: usize,
}

impl Capacity {
    /// As much as a topic's log takes before its publishers wait.
    pub fn of(config: &Config) -> Self {
        Self { messages: 1024, bytes: config.topic_log_bytes / 2 }
    }
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: Capacity,
    sender: Arc<Doorbell>,
    receiver: Arc<Doorbell>,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<Item<T>>,
    messages: usize,
    bytes: usize,
    /// All that were ever sent.
    sent: u64,
    /// The sender found no room and wants to know when there is some.
    is_wanted: bool,
}

impl<T> State<T> {
    fn passed(&self) -> Passed {
        Passed { sent: self.sent, released: self.sent - self.messages as u64 }
    }
}

#[derive(Debug)]
struct Item<T> {
    content: T,
    bytes: usize,
}

/// How many messages a link was ever sent, and how many of them were released.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Passed {
    pub sent: u64,
    pub released: u64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no shard panics while it holds a link")
    }
}

/// A link between the shards with these doorbells.
pub fn link<T>(
    capacity: Capacity,
    sender: Arc<Doorbell>,
    receiver: Arc<Doorbell>,
) -> (Sender<T>, Receiver<T>) {
    let state = State { queue: VecDeque::new(), messages: 0, bytes: 0, sent: 0, is_wanted: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), capacity, sender, receiver });
    (Sender(Arc::clone(&shared)), Receiver { shared, arrived: VecDeque::new() })
}

#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Whether this can be sent now. If not, this shard's doorbell rings once something was released.
    pub fn has_room(&self, messages: usize, bytes: usize) -> bool {
        self.fits(messages, bytes, self.0.capacity)
    }

    /// The same, but leaving a quarter of the link for what is more urgent.
    pub fn has_room_to_spare(&self, messages: usize, bytes: usize) -> bool {
        let Capacity { messages: most, bytes: most_bytes } = self.0.capacity;
        self.fits(messages, bytes, Capacity { messages: most - most / 4, bytes: most_bytes - most_bytes / 4 })
    }

    fn fits(&self, messages: usize, bytes: usize, capacity: Capacity) -> bool {
        let mut state = self.0.lock();
        // Half a link is room enough for anything: else a large message would wait for the moment at which the link is idle,
        // which smaller ones can put off for ever.
        let fits = state.messages == 0
            || (state.messages + messages <= capacity.messages
                && state.bytes + bytes.min(capacity.bytes / 2) <= capacity.bytes);
        state.is_wanted |= !fits;
        fits
    }

    /// While something is under way, this shard's doorbell rings with the next release.
    pub fn passed(&self) -> Passed {
        let mut state = self.0.lock();
        state.is_wanted |= state.messages > 0;
        state.passed()
    }

    /// Sends what there is room for: the caller has asked.
    pub fn send(&self, content: T, bytes: usize) {
        let mut state = self.0.lock();
        state.messages += 1;
        state.sent += 1;
        state.bytes += bytes;
        state.queue.push_back(Item { content, bytes });
        drop(state);
        self.0.receiver.ring();
    }
}

#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    arrived: VecDeque<Item<T>>,
}

impl<T> Receiver<T> {
    /// Lets at most `max` of what was sent arrive.
    pub fn arrive(&mut self, max: usize) {
        let mut state = self.shared.lock();
        if self.arrived.is_empty() && state.queue.len() <= max {
            std::mem::swap(&mut self.arrived, &mut state.queue);
        } else {
            let count = state.queue.len().min(max);
            self.arrived.extend(state.queue.drain(..count));
        }
    }

    pub fn first(&self) -> Option<&T> {
        self.arrived.front().map(|item| &item.content)
    }

    /// Takes the first that has arrived, and how many bytes are to be released for it later.
    pub fn take(&mut self) -> Option<(T, usize)> {
        self.arrived.pop_front().map(|item| (item.content, item.bytes))
    }

    /// One message of that many bytes is done with.
    pub fn release(&self, bytes: usize) {
        let mut state = self.shared.lock();
        state.messages -= 1;
        state.bytes -= bytes;
        let is_wanted = std::mem::take(&mut state.is_wanted);
        drop(state);
        if is_wanted {
            self.shared.sender.ring();
        }
    }

    pub fn passed(&self) -> Passed {
        self.shared.lock().passed()
    }

    /// What is under way on the link.
    pub fn load(&self) -> Capacity {
        let state = self.shared.lock();
        Capacity { messages: state.messages, bytes: state.bytes }
    }

    /// Whether nothing is under way on the link.
    pub fn is_idle(&self) -> bool {
        self.load().messages == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pair(messages: usize, bytes: usize) -> (Sender<u32>, Receiver<u32>) {
        link(Capacity { messages, bytes }, Arc::default(), Arc::default())
    }

    #[test]
    fn items_come_in_order_and_only_as_many_as_are_let_in() {
        let (sender, mut receiver) = pair(10, 100);
        for item in 0..4 {
            sender.send(item, 1);
        }
        assert_eq!(receiver.take(), None, "nothing has arrived");
        receiver.arrive(1);
        assert_eq!(receiver.first(), Some(&0));
        receiver.arrive(2);
        assert_eq!(
            [receiver.take(), receiver.take(), receiver.take()],
            [Some((0, 1)), Some((1, 1)), Some((2, 1))]
        );
        assert_eq!(receiver.take(), None);
        receiver.arrive(usize::MAX);
        assert_eq!(receiver.take(), Some((3, 1)));
        assert_eq!(receiver.take(), None);
    }

    #[test]
    fn room_is_taken_until_it_is_released() {
        let (sender, mut receiver) = pair(2, 100);
        sender.send(1, 10);
        sender.send(2, 10);
        assert!(!sender.has_room(1, 0), "two messages are under way");
        receiver.arrive(usize::MAX);
        let (_, bytes) = receiver.take().unwrap();
        assert!(!sender.has_room(1, 0), "taken is not released");
        receiver.release(bytes);
        assert!(sender.has_room(1, 90));
    }

    #[test]
    fn a_link_that_is_half_empty_takes_a_message_of_any_size() {
        let (sender, _receiver) = pair(10, 100);
        sender.send(1, 50);
        assert!(sender.has_room(1, 50) && sender.has_room(1, 5000));
        assert!(sender.has_room_to_spare(1, 25) && !sender.has_room_to_spare(1, 26), "a quarter is left");
        sender.send(2, 1);
        assert!(sender.has_room(1, 49) && !sender.has_room(1, 50) && !sender.has_room(1, 5000));
    }

    #[test]
    fn an_idle_link_takes_what_is_over_its_capacity() {
        let (sender, receiver) = pair(1, 10);
        assert!(sender.has_room(2, 1000));
        sender.send(1, 1000);
        assert!(!sender.has_room(1, 0) && !receiver.is_idle());
    }

    #[test]
    fn a_sender_that_found_no_room_is_rung_once_there_is_some() {
        let bell = Arc::new(Doorbell::default());
        let rung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rung);
        bell.connect(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let (sender, mut receiver) =
            link(Capacity { messages: 1, bytes: 10 }, Arc::clone(&bell), Arc::default());
        assert!(bell.lie_down());
        sender.send(1, 1);
        receiver.arrive(1);
        let (_, bytes) = receiver.take().unwrap();
        receiver.release(bytes);
        assert_eq!(rung.load(Ordering::Relaxed), 0, "it did not ask");
        sender.send(2, 1);
        assert!(!sender.has_room(1, 1));
        receiver.arrive(1);
        let (_, bytes) = receiver.take().unwrap();
        receiver.release(bytes);
        assert_eq!(rung.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nothing_is_lost_or_forgotten_between_threads() {
        const ITEMS: u32 = 100_000;
        let bell = Arc::new(Doorbell::default());
        let (sender, mut receiver) =
            link(Capacity { messages: 7, bytes: 1000 }, Arc::default(), Arc::clone(&bell));
        let receiving = std::thread::spawn(move || {
            let this = std::thread::current();
            bell.connect(move || this.unpark());
            let mut expected = 0;
            while expected < ITEMS {
                bell.answer();
                receiver.arrive(usize::MAX);
                while let Some((item, bytes)) = receiver.take() {
                    assert_eq!(item, expected);
                    expected += 1;
                    receiver.release(bytes);
                }
                if expected < ITEMS && bell.lie_down() {
                    // A wake-up that got lost would leave this thread here for good.
                    std::thread::park();
                }
            }
            assert!(receiver.is_idle());
        });
        for item in 0..ITEMS {
            while !sender.has_room(1, 1) {
                std::thread::yield_now();
            }
            sender.send(item, 1);
        }
        receiving.join().unwrap();
    }
}
