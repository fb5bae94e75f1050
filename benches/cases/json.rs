//! A publish in the JSON dialect, from the client's request to the frames that everybody gets.

use crate::fan_out::LIMITS;
use corecast::dialect::json::{Command, Reply, Request, parse, write_reply};
use corecast::hub::{Hub, Plan};
use corecast::ids::{Encoding, Form, Now, Offset, Slot, TopicId};
use std::hint::black_box;

const REQUEST: &str = r#"{"op":"publish","topic":"prices.EURUSD","data":{"symbol":"EURUSD","bid":1.08431,"ask":1.08433,"at":1732103999123},"id":17}"#;

#[derive(Debug)]
pub struct JsonPublish {
    hub: Hub,
    topic: TopicId,
    reply: Vec<u8>,
    plan: Plan,
}

impl Default for JsonPublish {
    fn default() -> Self {
        let mut hub = Hub::new(LIMITS);
        let topic = hub.open("prices.EURUSD".into(), Offset(0));
        hub.subscribe(Slot(0), topic, Encoding::Json);
        Self { hub, topic, reply: Vec::new(), plan: Plan::default() }
    }
}

impl JsonPublish {
    /// Reads the request, encodes its message into the topic's log, and writes the answer, whose length it gives.
    pub fn publish(&mut self) -> usize {
        let Ok(Request { id, command: Command::Publish { topic, data } }) = parse(black_box(REQUEST)) else {
            panic!("the request is a publish")
        };
        assert_eq!(topic.as_str(), "prices.EURUSD");
        let offset = self.hub.last(self.topic).next();
        self.hub
            .append(self.topic, offset, Form::Json, data.as_bytes(), Now::default(), 0)
            .expect("the log has room");
        self.reply.clear();
        write_reply(&Reply::Published { offset }, id.as_ref(), &mut self.reply);
        black_box(&self.reply).len()
    }

    /// Its one subscriber gets everything.
    pub fn pass(&mut self) {
        let now = Now::default();
        while self.hub.ready_json() > 0 {
            self.hub.next_json_batches(1, 1, now, &mut self.plan);
            for &feed in &self.plan.feeds {
                black_box(self.hub.batch_bytes(feed));
                self.hub.batch_done(feed, now);
            }
            self.plan.clear();
        }
    }
}
