//! What the hub adds to a broadcast: append the messages, then a pass that hands the bytes of each batch to every member.
//!
//! The sink stands where the ring does in the server and does nothing but look at what it is given, so the rest is the
//! hub's own cost. The topic has [`SUBSCRIBERS`] members: an iteration of 1 us costs 1 ns per subscriber. The item
//! rate is deliveries per second: messages times subscribers.

use corecast::config::LagPolicy;
use corecast::hub::{Batch, Hub, HubLimits};
use corecast::ids::{Encoding, Form, Now, Offset, Slot};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const SUBSCRIBERS: u32 = 1_000;
/// As many as the server sends of one topic in a turn.
const BATCH_MEMBERS: usize = 1_024;
/// Messages that arrived since the last pass and go out together.
const MESSAGES: [usize; 3] = [1, 16, 256];

/// The limits that the server has by default.
const LIMITS: HubLimits = HubLimits {
    max_subscribers: 100_000,
    log_bytes: 64 << 20,
    topic_log_bytes: 1 << 20,
    lag_policy: LagPolicy::Disconnect,
};

fn main() {
    divan::main();
}

#[divan::bench(args = MESSAGES)]
fn append_and_pass_64_bytes(bencher: Bencher<'_, '_>, messages: usize) {
    append_and_pass(bencher, messages, 64);
}

#[divan::bench(args = MESSAGES)]
fn append_and_pass_1_kib(bencher: Bencher<'_, '_>, messages: usize) {
    append_and_pass(bencher, messages, 1024);
}

fn append_and_pass(bencher: Bencher<'_, '_>, messages: usize, payload_length: usize) {
    let now = Now::default();
    let mut hub = Hub::new(LIMITS);
    let topic = hub.open("bench".into(), Offset(0));
    for slot in 0..SUBSCRIBERS {
        hub.subscribe(Slot(slot), topic, Encoding::Raw);
    }
    let payload = vec![b'x'; payload_length];
    let mut targets = Vec::with_capacity(BATCH_MEMBERS);
    let deliveries = messages * SUBSCRIBERS as usize;
    bencher.counter(ItemsCount::new(deliveries)).bench_local(|| {
        for _ in 0..messages {
            let offset = hub.last(topic).next();
            hub.append(topic, offset, Form::Text, black_box(&payload), now, 0).expect("the log has room");
        }
        pass(&mut hub, now, &mut targets);
    });
    assert_eq!(hub.stats().lapped, 0, "a sink takes everything");
    assert_eq!(hub.stats().delivered % deliveries as u64, 0, "every message went to everybody");
}

/// Passes until everybody has everything; each chunk of the log is a batch of its own.
fn pass(hub: &mut Hub, now: Now, targets: &mut Vec<Slot>) {
    while let Some(Batch { feed, bytes }) = hub.next_batch(BATCH_MEMBERS, now, targets) {
        for &slot in targets.iter() {
            black_box((slot, bytes));
        }
        targets.clear();
        hub.batch_done(feed, now);
    }
}
