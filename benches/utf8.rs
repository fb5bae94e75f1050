//! UTF-8 validation of a whole message, beside the standard library and beside simdutf8, on which it is built.
//!
//! ASCII is what most messages are; Greek has two bytes a letter, so that no validator gets by with a fast path for ASCII.

use corecast_protocol::utf8::Utf8Validator;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

const LENGTHS: [usize; 3] = [64, 1024, 16 * 1024];

fn main() {
    divan::main();
}

/// A script in which the text is written.
trait Script {
    /// Repeated to the wanted length; its length in bytes is a power of two, at most 64.
    const SAMPLE: &'static str;
}

struct Ascii;

impl Script for Ascii {
    const SAMPLE: &'static str = "price=1;";
}

struct Greek;

impl Script for Greek {
    const SAMPLE: &'static str = "καλημέρα";
}

/// The validator of the protocol, with the state that lets it take a text in pieces.
#[divan::bench(types = [Ascii, Greek], args = LENGTHS)]
fn corecast<S: Script>(bencher: Bencher<'_, '_>, length: usize) {
    bench::<S>(bencher, length, |bytes| {
        let mut validator = Utf8Validator::new();
        validator.feed(bytes).is_ok() && validator.finish().is_ok()
    });
}

#[divan::bench(types = [Ascii, Greek], args = LENGTHS)]
fn simdutf8_compat<S: Script>(bencher: Bencher<'_, '_>, length: usize) {
    bench::<S>(bencher, length, |bytes| simdutf8::compat::from_utf8(bytes).is_ok());
}

/// Does not say where an error is, which a close reason has to: what that costs.
#[divan::bench(types = [Ascii, Greek], args = LENGTHS)]
fn simdutf8_basic<S: Script>(bencher: Bencher<'_, '_>, length: usize) {
    bench::<S>(bencher, length, |bytes| simdutf8::basic::from_utf8(bytes).is_ok());
}

#[divan::bench(types = [Ascii, Greek], args = LENGTHS)]
fn std<S: Script>(bencher: Bencher<'_, '_>, length: usize) {
    bench::<S>(bencher, length, |bytes| std::str::from_utf8(bytes).is_ok());
}

fn bench<S: Script>(bencher: Bencher<'_, '_>, length: usize, is_valid: impl Fn(&[u8]) -> bool) {
    let text = text::<S>(length);
    // The first call asks the CPU what it can do, which takes longer than a thousand others.
    assert!(is_valid(text.as_bytes()));
    bencher
        .counter(BytesCount::new(length))
        .bench_local(|| assert!(is_valid(black_box(text.as_bytes())), "the text is valid"));
}

fn text<S: Script>(length: usize) -> String {
    assert!(length.is_multiple_of(S::SAMPLE.len()), "a text of {length} bytes would end inside a sample");
    S::SAMPLE.repeat(length / S::SAMPLE.len())
}
