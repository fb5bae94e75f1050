//! Masking beside a copy of the same buffer: how far from memory speed every byte of every client frame is.
//!
//! Masking reads and writes one buffer in place, the copy reads one and writes another; both are warm in the cache.

use corecast_protocol::mask::{apply_mask, apply_mask_scalar};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// A chat message, a document, and what a receive of several frames brings.
const LENGTHS: [usize; 3] = [64, 1024, 16 * 1024];

/// The key of the examples in RFC 6455 §5.7.
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn main() {
    divan::main();
}

/// The loop in use, chosen at run time.
#[divan::bench(args = LENGTHS)]
fn mask(bencher: Bencher<'_, '_>, length: usize) {
    let mut bytes = vec![b'x'; length];
    // The first call asks the CPU what it can do, which takes longer than a thousand others.
    apply_mask(&mut bytes, KEY, 0);
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| apply_mask(black_box(&mut bytes), black_box(KEY), 0));
}

/// The definition, a byte at a time.
#[divan::bench(args = LENGTHS)]
fn mask_scalar(bencher: Bencher<'_, '_>, length: usize) {
    let mut bytes = vec![b'x'; length];
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| apply_mask_scalar(black_box(&mut bytes), black_box(KEY), 0));
}

#[divan::bench(args = LENGTHS)]
fn memcpy(bencher: Bencher<'_, '_>, length: usize) {
    let source = vec![b'x'; length];
    let mut target = vec![0; length];
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| black_box(&mut target).copy_from_slice(black_box(&source)));
}
