//! Masking, which is also unmasking: every payload byte is XORed with the key byte of its position (RFC 6455 §5.3).
//!
//! One loop serves all CPUs. It is compiled once for what every CPU of the target has (SSE2, NEON) and again for wider
//! vectors, and the widest one the CPU has is chosen at run time.

#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Payloads shorter than this don't repay the choice: the loop would take the wide path once or never.
const WORTH_CHOOSING_BYTES: usize = 64;

/// Masks or unmasks in place. `offset` is the position of `bytes[0]` in its payload.
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let key = key_at(key, offset);
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= WORTH_CHOOSING_BYTES
        && let Some(xor) = x86_64::widest()
    {
        return xor(bytes, key);
    }
    xor_blocks::<16>(bytes, key);
}

/// The definition, one byte at a time: what [`apply_mask`] is proved equal to, and a baseline to measure against.
pub fn apply_mask_scalar(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    for (position, byte) in bytes.iter_mut().enumerate() {
        // RFC 6455 §5.3: j = i MOD 4; transformed-octet-i = original-octet-i XOR masking-key-octet-j.
        *byte ^= key[(offset.wrapping_add(position)) % 4];
    }
}

/// The key as it applies to the byte at `offset` and those after it.
const fn key_at(key: [u8; 4], offset: usize) -> [u8; 4] {
    [key[offset % 4], key[(offset + 1) % 4], key[(offset + 2) % 4], key[(offset + 3) % 4]]
}

/// XORs blocks of `WIDTH` bytes, a multiple of four so that the key fits every block alike, then the rest. The caller's
/// target features decide which instructions this becomes.
#[inline(always)]
fn xor_blocks<const WIDTH: usize>(bytes: &mut [u8], key: [u8; 4]) {
    const { assert!(WIDTH % 4 == 0) };
    let mut key_block = [0; WIDTH];
    for (position, byte) in key_block.iter_mut().enumerate() {
        *byte = key[position % 4];
    }
    let (blocks, rest) = bytes.as_chunks_mut::<WIDTH>();
    for block in blocks {
        for (byte, key) in block.iter_mut().zip(key_block) {
            *byte ^= key;
        }
    }
    for (byte, key) in rest.iter_mut().zip(key_block) {
        *byte ^= key;
    }
}
