//! Frames parsed out of one buffer, as a receive brings them: header, masking, UTF-8 and the hand-out in place.
//!
//! One iteration parses [`FRAMES`] frames, so its time divided by that is the time of a frame; the item rate is
//! frames per second. On the server's side frames are masked. Their key is zero: masking with it costs the same as with
//! any other and leaves the buffer as it was, so that the next iteration finds text in it again.

use corecast_benches::Frames;
use corecast_protocol::{Opcode, Side};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

const FRAMES: usize = 100;
const PAYLOAD_LENGTHS: [usize; 2] = [64, 1024];
const ZERO_KEY: [u8; 4] = [0; 4];

fn main() {
    divan::main();
}

#[divan::bench(args = PAYLOAD_LENGTHS)]
fn server_text(bencher: Bencher<'_, '_>, payload_length: usize) {
    parse(bencher, Side::Server, Opcode::Text, payload_length);
}

#[divan::bench(args = PAYLOAD_LENGTHS)]
fn server_binary(bencher: Bencher<'_, '_>, payload_length: usize) {
    parse(bencher, Side::Server, Opcode::Binary, payload_length);
}

#[divan::bench(args = PAYLOAD_LENGTHS)]
fn client_text(bencher: Bencher<'_, '_>, payload_length: usize) {
    parse(bencher, Side::Client, Opcode::Text, payload_length);
}

#[divan::bench(args = PAYLOAD_LENGTHS)]
fn client_binary(bencher: Bencher<'_, '_>, payload_length: usize) {
    parse(bencher, Side::Client, Opcode::Binary, payload_length);
}

fn parse(bencher: Bencher<'_, '_>, side: Side, opcode: Opcode, payload_length: usize) {
    let mask = match side {
        Side::Server => Some(ZERO_KEY),
        Side::Client => None,
    };
    let mut frames = Frames::new(side, opcode, payload_length, FRAMES, mask);
    // The first call asks the CPU what it can do, which takes longer than all others of a sample.
    frames.parse();
    let bytes = frames.wire().len();
    bencher
        .counter(ItemsCount::new(FRAMES))
        .counter(BytesCount::new(bytes))
        .bench_local(|| assert_eq!(frames.parse(), FRAMES, "every frame is a message"));
}
