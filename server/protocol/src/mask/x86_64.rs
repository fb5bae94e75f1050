//! The masking loop compiled for vectors that not every x86-64 CPU has.

use super::{Xor, xor_blocks, xor_rest};
use std::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_movepi8_mask,
    _mm512_or_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_xor_si512,
};

/// Bytes of a cache line, and of the widest vectors.
const LINE: usize = 64;

/// The best loop that this CPU has, for a payload that is worth aligning or for a shorter one.
#[inline]
pub(super) fn choose(is_worth_aligning: bool) -> Option<Xor> {
    if is_worth_aligning && let Some(xor) = avx512() { Some(xor) } else { avx2() }
}

/// The loop for AVX2, if this CPU has it. The standard library keeps the answer, so asking is a load and a
/// test.
#[inline]
pub(super) fn avx2() -> Option<Xor> {
    is_x86_feature_detected!("avx2").then_some(xor_avx2 as Xor)
}

fn xor_avx2(bytes: &mut [u8], key: [u8; 4]) -> bool {
    // SAFETY: `avx2` is the only way to this function, and gives it only to a CPU that has AVX2.
    unsafe { compiled_for_avx2(bytes, key) }
}

#[target_feature(enable = "avx2")]
fn compiled_for_avx2(bytes: &mut [u8], key: [u8; 4]) -> bool {
    let (rest, wide) = xor_blocks::<32>(bytes, key);
    let (rest, narrow) = xor_blocks::<16>(rest, key);
    (wide | narrow | xor_rest(rest, key)).is_ascii()
}

/// The loop for AVX-512, if this CPU has it.
#[inline]
pub(super) fn avx512() -> Option<Xor> {
    let has_all = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    has_all.then_some(xor_avx512 as Xor)
}

fn xor_avx512(bytes: &mut [u8], key: [u8; 4]) -> bool {
    // SAFETY: `avx512` is the only way to this function, and gives it only to a CPU that has AVX-512 F and BW.
    unsafe { compiled_for_avx512(bytes, key) }
}

/// Whole cache lines from the first line's start on. What lies before and behind them is done by the same instruction
/// with a mask, which also keeps it from touching memory outside.
#[target_feature(enable = "avx512f,avx512bw")]
fn compiled_for_avx512(bytes: &mut [u8], key: [u8; 4]) -> bool {
    let before = bytes.as_ptr().align_offset(LINE).min(bytes.len());
    let (head, rest) = bytes.split_at_mut(before);
    let mut is_ascii = true;
    if !head.is_empty() {
        is_ascii &= xor_part(head, _mm512_set1_epi32(i32::from_le_bytes(key)));
    }
    let key = super::key_at(key, before);
    let key = _mm512_set1_epi32(i32::from_le_bytes(key));
    let (lines, tail) = rest.as_chunks_mut::<LINE>();
    let mut seen = _mm512_setzero_si512();
    for line in lines {
        let at = line.as_mut_ptr();
        // SAFETY: a line has exactly the bytes of a vector.
        let masked = _mm512_xor_si512(unsafe { _mm512_loadu_si512(at.cast()) }, key);
        seen = _mm512_or_si512(seen, masked);
        // SAFETY: as above.
        unsafe { _mm512_storeu_si512(at.cast(), masked) };
    }
    is_ascii &= _mm512_movepi8_mask(seen) == 0;
    if !tail.is_empty() {
        is_ascii &= xor_part(tail, key);
    }
    is_ascii
}

/// Fewer bytes than a line has. Gives whether what comes out is ASCII.
#[target_feature(enable = "avx512f,avx512bw")]
fn xor_part(bytes: &mut [u8], key: __m512i) -> bool {
    debug_assert!(bytes.len() < LINE);
    let mask = (1 << bytes.len()) - 1;
    let at = bytes.as_mut_ptr();
    // SAFETY: the mask has a bit for each byte of the slice, and no other is read or written.
    unsafe {
        let masked = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, at.cast()), key);
        _mm512_mask_storeu_epi8(at.cast(), mask, masked);
        _mm512_movepi8_mask(masked) & mask == 0
    }
}
