//! A publish in the JSON dialect: the request is read, its message encoded into the log, the answer written.

use corecast_benches::JsonPublish;
use divan::Bencher;

fn main() {
    divan::main();
}

/// With the pass to its one subscriber.
#[divan::bench]
fn publish(bencher: Bencher<'_, '_>) {
    let mut topic = JsonPublish::default();
    bencher.bench_local(|| {
        let length = topic.publish();
        topic.pass();
        length
    });
}
