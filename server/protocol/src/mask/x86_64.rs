//! The masking loop compiled for wider vectors than every x86-64 CPU has.

use super::xor_blocks;

/// A masking loop for one set of CPU features.
pub(super) type Xor = fn(&mut [u8], [u8; 4]);

/// The widest loop that this CPU can run; `None` if it has nothing wider than SSE2, which needs no choosing. The
/// standard library keeps the answer, so asking is a load and a test.
#[inline]
pub(super) fn widest() -> Option<Xor> {
    is_x86_feature_detected!("avx2").then_some(xor_avx2 as Xor)
}

fn xor_avx2(bytes: &mut [u8], key: [u8; 4]) {
    #[target_feature(enable = "avx2")]
    fn compiled(bytes: &mut [u8], key: [u8; 4]) {
        xor_blocks::<32>(bytes, key);
    }
    // SAFETY: `widest` is the only way to this function, and gives it only to a CPU that has AVX2.
    unsafe { compiled(bytes, key) }
}
