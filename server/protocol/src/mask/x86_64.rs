//! The masking loop compiled for vectors that not every x86-64 CPU has.

use super::{Xor, xor_blocks, xor_rest};

/// The loop for AVX2, if this CPU has it. The standard library keeps the answer, so asking is a load and a
/// test.
#[inline]
pub(super) fn avx2() -> Option<Xor> {
    is_x86_feature_detected!("avx2").then_some(xor_avx2 as Xor)
}

fn xor_avx2(bytes: &mut [u8], key: [u8; 4]) {
    // SAFETY: `avx2` is the only way to this function, and gives it only to a CPU that has AVX2.
    unsafe { compiled_for_avx2(bytes, key) }
}

#[target_feature(enable = "avx2")]
fn compiled_for_avx2(bytes: &mut [u8], key: [u8; 4]) {
    let rest = xor_blocks::<32>(bytes, key);
    xor_rest(xor_blocks::<16>(rest, key), key);
}
