//! One topic of the hub and its members, with a sink where the server has the ring.

use corecast::config::LagPolicy;
use corecast::hub::{Batch, Hub, HubLimits};
use corecast::ids::{Encoding, Form, Now, Offset, Slot, TopicId};
use std::hint::black_box;

/// As many as the server sends of one topic in a turn.
const BATCH_MEMBERS: usize = 1_024;

/// The limits that the server has by default.
pub(crate) const LIMITS: HubLimits = HubLimits {
    max_subscribers: 100_000,
    log_bytes: 64 << 20,
    topic_log_bytes: 1 << 20,
    lag_policy: LagPolicy::Disconnect,
};

#[derive(Debug)]
pub struct FanOut {
    hub: Hub,
    topic: TopicId,
    payload: Vec<u8>,
    targets: Vec<Slot>,
}

impl FanOut {
    pub fn new(members: u32, payload_length: usize) -> Self {
        let mut hub = Hub::new(LIMITS);
        let topic = hub.open("bench".into(), Offset(0));
        for slot in 0..members {
            hub.subscribe(Slot(slot), topic, Encoding::Raw);
        }
        Self { hub, topic, payload: vec![b'x'; payload_length], targets: Vec::with_capacity(BATCH_MEMBERS) }
    }

    /// Appends messages to the topic's log. More than half a log takes needs a pass in between.
    pub fn append(&mut self, messages: usize) {
        for _ in 0..messages {
            let offset = self.hub.last(self.topic).next();
            self.hub
                .append(self.topic, offset, Form::Text, black_box(&self.payload), Now::default(), 0)
                .expect("the log has room");
        }
    }

    /// Passes until everybody has everything: each chunk of the log is a batch of its own, and what is done with it is
    /// nothing but looking at it.
    pub fn pass(&mut self) {
        let now = Now::default();
        while let Some(Batch { feed, bytes }) = self.hub.next_batch(BATCH_MEMBERS, now, &mut self.targets) {
            for &slot in &self.targets {
                black_box((slot, bytes));
            }
            self.targets.clear();
            self.hub.batch_done(feed, now);
        }
    }

    /// Messages times members that got them.
    pub fn delivered(&self) -> u64 {
        self.hub.stats().delivered
    }
}
