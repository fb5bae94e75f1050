//! Masking, which is also unmasking: every payload byte is XORed with the key byte of its position (RFC 6455
//! §5.3).
//!
//! One loop serves all CPUs. It is compiled for what every CPU of the target has (SSE2, NEON) and again for
//! AVX2. A payload begins somewhere behind a header, and vectors that cross cache lines cost twice as much; so for
//! long ones there is a loop for AVX-512 that takes whole cache lines, and what lies before the first by a mask. Short
//! ones it would make wait: bytes that a masked store has written cannot be read again at once.

#[cfg(target_arch = "x86_64")]
mod x86_64;

/// Below this the choice costs more than wider vectors gain.
#[cfg(target_arch = "x86_64")]
const WORTH_CHOOSING_BYTES: usize = 64;

/// From here on whole cache lines gain more than the masked part before them costs.
#[cfg(target_arch = "x86_64")]
const WORTH_ALIGNING_BYTES: usize = 512;

/// Masks or unmasks in place. `offset` is the position of `bytes[0]` in its payload. Gives whether all that comes out is
/// ASCII: the loops see that in passing, and text of which it is known needs no second look.
#[inline]
pub fn apply_mask(bytes: &mut [u8], key: [u8; 4], offset: usize) -> bool {
    let key = key_at(key, offset);
    #[cfg(target_arch = "x86_64")]
    if bytes.len() >= WORTH_CHOOSING_BYTES
        && let Some(xor) = x86_64::choose(bytes.len() >= WORTH_ALIGNING_BYTES)
    {
        return xor(bytes, key);
    }
    xor_baseline(bytes, key)
}

/// The definition, one byte at a time: what [`apply_mask`] is proved equal to, and a baseline to measure
/// against.
pub fn apply_mask_scalar(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    for (position, byte) in bytes.iter_mut().enumerate() {
        // RFC 6455 §5.3: j = i MOD 4; transformed-octet-i = original-octet-i XOR masking-key-octet-j.
        *byte ^= key[(offset % 4 + position) % 4];
    }
}

/// The key as it applies to the byte at `offset` and those after it.
const fn key_at(key: [u8; 4], offset: usize) -> [u8; 4] {
    let offset = offset % 4;
    [key[offset], key[(offset + 1) % 4], key[(offset + 2) % 4], key[(offset + 3) % 4]]
}

/// A masking loop; the key applies from the first byte on. Gives whether all that comes out is ASCII.
type Xor = fn(&mut [u8], [u8; 4]) -> bool;

/// The loop as every CPU of the target runs it.
fn xor_baseline(bytes: &mut [u8], key: [u8; 4]) -> bool {
    let (rest, seen) = xor_blocks::<16>(bytes, key);
    (seen | xor_rest(rest, key)).is_ascii()
}

/// XORs whole blocks of `WIDTH` bytes; gives what is left, and all bits that came out. `WIDTH` is a multiple of four, so
/// the key fits every block alike. Inlined: the caller's target features decide which instructions this becomes.
#[inline(always)]
fn xor_blocks<const WIDTH: usize>(bytes: &mut [u8], key: [u8; 4]) -> (&mut [u8], u8) {
    const { assert!(WIDTH.is_multiple_of(4)) };
    let mut key_block = [0; WIDTH];
    for (position, byte) in key_block.iter_mut().enumerate() {
        *byte = key[position % 4];
    }
    let mut seen = [0; WIDTH];
    let (blocks, rest) = bytes.as_chunks_mut::<WIDTH>();
    for block in blocks {
        for ((byte, key), seen) in block.iter_mut().zip(key_block).zip(&mut seen) {
            *byte ^= key;
            *seen |= *byte;
        }
    }
    (rest, seen.into_iter().fold(0, |all, byte| all | byte))
}

/// XORs the fewer than 16 bytes after the last block; gives all bits that came out.
#[inline(always)]
fn xor_rest(bytes: &mut [u8], key: [u8; 4]) -> u8 {
    let (words, rest) = bytes.as_chunks_mut();
    let mut seen = 0;
    for word in words {
        let masked = u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key);
        seen |= masked;
        *word = masked.to_ne_bytes();
    }
    let mut seen = seen.to_ne_bytes().into_iter().fold(0, |all, byte| all | byte);
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
        seen |= *byte;
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every loop that this CPU can run, so that none is tested only where it happens to be chosen.
    fn implementations() -> Vec<(&'static str, Xor)> {
        let mut all: Vec<(&'static str, Xor)> = vec![("baseline", xor_baseline)];
        #[cfg(target_arch = "x86_64")]
        all.extend(x86_64::avx2().map(|xor| ("AVX2", xor)));
        #[cfg(target_arch = "x86_64")]
        all.extend(x86_64::avx512().map(|xor| ("AVX-512", xor)));
        all
    }

    fn payload(length: usize) -> Vec<u8> {
        (0..length).map(|position| (position * 31 + position / 256) as u8).collect()
    }

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    #[test]
    fn masks_the_example_of_section_5_7() {
        let mut bytes = *b"Hello";
        apply_mask(&mut bytes, KEY, 0);
        assert_eq!(bytes, [0x7F, 0x9F, 0x4D, 0x51, 0x58]);
        apply_mask_scalar(&mut bytes, KEY, 0);
        assert_eq!(&bytes, b"Hello");
    }

    #[test]
    fn equals_the_definition_at_every_offset_and_length() {
        for offset in (0..64).chain([usize::MAX - 1, usize::MAX]) {
            for length in (0..=300).chain([4095, 4096, 65_537]) {
                let mut expected = payload(length);
                apply_mask_scalar(&mut expected, KEY, offset);

                let mut bytes = payload(length);
                apply_mask(&mut bytes, KEY, offset);
                assert!(bytes == expected, "apply_mask, offset {offset}, length {length}");

                for (name, xor) in implementations() {
                    let mut bytes = payload(length);
                    xor(&mut bytes, key_at(KEY, offset));
                    assert!(bytes == expected, "{name}, offset {offset}, length {length}");
                }
            }
        }
    }

    /// Wherever the one byte is that is not.
    #[test]
    fn what_comes_out_is_known_to_be_ascii_or_not() {
        let unmask = |xor: Xor, text: &[u8]| {
            let mut bytes = text.to_vec();
            apply_mask_scalar(&mut bytes, KEY, 0);
            let is_ascii = xor(&mut bytes, KEY);
            assert_eq!(bytes, text);
            is_ascii
        };
        for (name, xor) in implementations() {
            for length in (0..=200).chain([511, 512, 600, 1024]) {
                let mut text = vec![0x7F; length];
                assert!(unmask(xor, &text), "{name}, length {length}");
                for at in 0..length {
                    text[at] = 0x80;
                    assert!(!unmask(xor, &text), "{name}, length {length}, byte {at}");
                    text[at] = 0x7F;
                }
            }
        }
    }

    #[test]
    fn touches_nothing_outside_its_slice_wherever_that_begins_in_memory() {
        for start in 0..64 {
            for length in [0, 1, 15, 16, 31, 32, 33, 63, 64, 65, 200] {
                let original = payload(start + length + 64);
                let mut bytes = original.clone();
                apply_mask(&mut bytes[start..start + length], KEY, start);
                assert_eq!(bytes[..start], original[..start]);
                assert_eq!(bytes[start + length..], original[start + length..]);
                apply_mask_scalar(&mut bytes[start..start + length], KEY, start);
                assert_eq!(bytes, original, "start {start}, length {length}");
            }
        }
    }
}
