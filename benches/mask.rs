//! Masking beside a copy of the same buffer: how far from memory speed every byte of every client frame is.
//!
//! Masking reads and writes one buffer in place, the copy reads one and writes another; both are warm in the cache. A payload
//! lies behind its header, so `BEHIND_HEADER` is how it comes; `ALIGNED` is for comparison, no vector crosses a cache line there.

use corecast_benches::{KEY, Placed};
use corecast_protocol::mask::{apply_mask, apply_mask_scalar};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// A chat message, a document, and what a receive of several frames brings.
const LENGTHS: [usize; 3] = [64, 1024, 16 * 1024];

/// Bytes between the start of a page and the buffer.
const ALIGNED: usize = 0;
const BEHIND_HEADER: usize = 8;
/// Where copies come from: far from the targets in their pages, or loads would wait for stores that only look the same.
const SOURCE: usize = 2048;

fn main() {
    divan::main();
}

/// The loop in use, chosen at run time.
#[divan::bench(args = LENGTHS, consts = [ALIGNED, BEHIND_HEADER])]
fn mask<const BEHIND: usize>(bencher: Bencher<'_, '_>, length: usize) {
    bench::<BEHIND>(bencher, length, |bytes| {
        apply_mask(bytes, black_box(KEY), 0);
    });
}

/// The definition, a byte at a time.
#[divan::bench(args = LENGTHS, consts = [ALIGNED, BEHIND_HEADER])]
fn mask_scalar<const BEHIND: usize>(bencher: Bencher<'_, '_>, length: usize) {
    bench::<BEHIND>(bencher, length, |bytes| apply_mask_scalar(bytes, black_box(KEY), 0));
}

#[divan::bench(args = LENGTHS, consts = [ALIGNED, BEHIND_HEADER])]
fn memcpy<const BEHIND: usize>(bencher: Bencher<'_, '_>, length: usize) {
    let mut source = Placed::new(&vec![b'x'; length], SOURCE);
    bench::<BEHIND>(bencher, length, |target| target.copy_from_slice(black_box(source.bytes())));
}

fn bench<const BEHIND: usize>(bencher: Bencher<'_, '_>, length: usize, mut work: impl FnMut(&mut [u8])) {
    let mut buffer = Placed::new(&vec![b'x'; length], BEHIND);
    // The first call asks the CPU what it can do, which takes longer than a thousand others.
    work(buffer.bytes());
    bencher.counter(BytesCount::new(length)).bench_local(|| work(black_box(buffer.bytes())));
}
