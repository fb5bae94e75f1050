//! What the server adds to a broadcast: append the messages, then a pass that hands the bytes of each batch to every member.
//!
//! A sink stands where the ring does in the server and does nothing but look at what it is given, so the rest is the
//! hub's own cost, or the shard's. The topic has [`SUBSCRIBERS`] members: an iteration of 1 us costs 1 ns per subscriber. The
//! item rate is deliveries per second: messages times subscribers.

use corecast_benches::{FanOut, Service};
use divan::Bencher;
use divan::counter::ItemsCount;

const SUBSCRIBERS: u32 = 1_000;
/// Messages that arrived since the last pass and go out together.
const MESSAGES: [usize; 3] = [1, 16, 256];

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
    let mut topic = FanOut::new(SUBSCRIBERS, payload_length);
    let deliveries = messages * SUBSCRIBERS as usize;
    bencher.counter(ItemsCount::new(deliveries)).bench_local(|| {
        topic.append(messages);
        topic.pass();
    });
    assert_eq!(topic.delivered() % deliveries as u64, 0, "every message went to everybody");
}

/// The log: a topic with one member, and one pass for all messages, which is little beside them.
#[divan::bench(args = [64, 1024])]
fn append_256(bencher: Bencher<'_, '_>, payload_length: usize) {
    const COUNT: usize = 256;
    let mut topic = FanOut::new(1, payload_length);
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        topic.append(COUNT);
        topic.pass();
    });
    assert_eq!(topic.delivered() % COUNT as u64, 0, "every message was taken");
}

/// The whole shard: a publisher's frames are received, parsed, published and passed to everybody. The ring is the fake one, and
/// its sends go nowhere.
#[divan::bench(args = [1, 16])]
fn shard_64_bytes(bencher: Bencher<'_, '_>, messages: usize) {
    let mut service = Service::new(SUBSCRIBERS, 64);
    bencher
        .counter(ItemsCount::new(messages * SUBSCRIBERS as usize))
        .bench_local(|| assert_eq!(service.publish(messages), 1_000, "one send each"));
}
