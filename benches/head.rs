//! HTTP heads: everything that is found out about a request before it is acted on.

use corecast_benches::Heads;
use divan::Bencher;

fn main() {
    divan::main();
}

/// A browser's handshake: parsed, checked, routed, and answered with a 101.
#[divan::bench]
fn upgrade(bencher: Bencher<'_, '_>) {
    let mut heads = Heads::default();
    bencher.bench_local(|| heads.upgrade());
}

/// A publish: parsed, checked, routed, and what its body is.
#[divan::bench]
fn post(bencher: Bencher<'_, '_>) {
    let heads = Heads::default();
    bencher.bench_local(|| heads.post());
}
