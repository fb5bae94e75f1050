//! What the server does by the clock: it stands still, and it delivers late.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use corecast_load::clock::now_ns;

use super::{Stall, State};

/// A message that one subscriber gets later.
pub(super) struct Delayed {
    due_ns: u64,
    topic: String,
    number: usize,
    subscriber: usize,
    frame: Vec<u8>,
}

pub(super) fn start(state: &Arc<State>) {
    if let Some(stall) = state.behaviour.stall {
        let state = Arc::clone(state);
        thread::spawn(move || state.stand_still(stall));
    }
    if !state.behaviour.delay.is_zero() {
        let state = Arc::clone(state);
        thread::spawn(move || state.deliver_late());
    }
}

impl State {
    /// All delivering and answering is done with the topics locked. What was noted is when nothing could be delivered, however
    /// late this thread was woken.
    fn stand_still(&self, Stall { period, length }: Stall) {
        while !self.is_over.load(Ordering::Relaxed) {
            thread::sleep(period - length);
            let topics = self.topics.lock().expect("no panic while locked");
            let begin_ns = now_ns();
            thread::sleep(length);
            let end_ns = now_ns();
            drop(topics);
            self.stalls.lock().expect("no panic while locked").push(begin_ns..end_ns);
        }
    }

    pub(super) fn delay(&self, topic: &str, number: usize, subscriber: usize, frame: Vec<u8>) {
        let due_ns = now_ns() + self.behaviour.delay.as_nanos() as u64;
        let delayed = Delayed { due_ns, topic: topic.to_owned(), number, subscriber, frame };
        self.delayed.lock().expect("no panic while locked").push_back(delayed);
    }

    /// Each when its time has come and a later message was delivered, so that it is reordered for certain.
    fn deliver_late(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            // How finely this server keeps its delays; what tests allow for is more.
            thread::sleep(Duration::from_millis(1));
            let mut topics = self.topics.lock().expect("no panic while locked");
            let mut delayed = self.delayed.lock().expect("no panic while locked");
            while let Some(first) = delayed.pop_front_if(|first| first.due_ns <= now_ns()) {
                let topic = topics.get_mut(&first.topic).expect("it had a message");
                if topic.messages == first.number + 1 {
                    delayed.push_front(first);
                    break;
                }
                let _ = topic.subscribers[first.subscriber].stream.write_all(&first.frame);
            }
        }
    }
}
