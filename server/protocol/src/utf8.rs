//! UTF-8 checked as bytes arrive (RFC 6455 §8.1, RFC 3629), in slices cut anywhere.

/// Checks a text that arrives in slices. Fails at the first byte that no valid text could have there, even
/// inside a character that began in an earlier slice.
///
/// Its whole state is the character that is incomplete: how many bytes it still needs, and which values the
/// next one may have. RFC 3629 §4 restricts only the second byte of a character, so one range is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utf8Validator {
    missing: u8,
    next_min: u8,
    next_max: u8,
}

/// The text is no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {position} cannot stand there in UTF-8; send binary data as a binary message")]
pub struct Utf8Error {
    /// The first impossible byte, counted from the start of the slice.
    pub position: usize,
}

/// The text ends inside a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text ends {missing} bytes before the end of its last character; send whole characters")]
pub struct TruncatedCharacter {
    pub missing: u8,
}

const CONTINUATION_MIN: u8 = 0x80;
const CONTINUATION_MAX: u8 = 0xBF;

impl Utf8Validator {
    pub const fn new() -> Self {
        Self { missing: 0, next_min: CONTINUATION_MIN, next_max: CONTINUATION_MAX }
    }

    /// Checks the next slice of the text.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Utf8Error> {
        let mut start = 0;
        while self.missing > 0 && start < bytes.len() {
            self.step_at(start, bytes)?;
            start += 1;
        }
        let Err(error) = simdutf8::compat::from_utf8(&bytes[start..]) else { return Ok(()) };
        // What follows is at most one incomplete character, or has the first impossible byte within four
        // bytes.
        (start + error.valid_up_to()..bytes.len()).try_for_each(|position| self.step_at(position, bytes))
    }

    /// The text is over: it must not end inside a character.
    pub const fn finish(self) -> Result<(), TruncatedCharacter> {
        if self.missing == 0 { Ok(()) } else { Err(TruncatedCharacter { missing: self.missing }) }
    }

    fn step_at(&mut self, position: usize, bytes: &[u8]) -> Result<(), Utf8Error> {
        self.step(bytes[position]).map_err(|()| Utf8Error { position })
    }

    /// Takes one byte. The table is RFC 3629 §4.
    const fn step(&mut self, byte: u8) -> Result<(), ()> {
        if self.missing > 0 {
            if byte < self.next_min || byte > self.next_max {
                return Err(());
            }
            self.expect(self.missing - 1, CONTINUATION_MIN, CONTINUATION_MAX);
            return Ok(());
        }
        match byte {
            0x00..=0x7F => {}
            0xC2..=0xDF => self.expect(1, CONTINUATION_MIN, CONTINUATION_MAX),
            0xE0 => self.expect(2, 0xA0, CONTINUATION_MAX), // less would be an overlong form
            0xE1..=0xEC | 0xEE..=0xEF => self.expect(2, CONTINUATION_MIN, CONTINUATION_MAX),
            0xED => self.expect(2, CONTINUATION_MIN, 0x9F), // more would be a surrogate
            0xF0 => self.expect(3, 0x90, CONTINUATION_MAX), // less would be an overlong form
            0xF1..=0xF3 => self.expect(3, CONTINUATION_MIN, CONTINUATION_MAX),
            0xF4 => self.expect(3, CONTINUATION_MIN, 0x8F), // more would be above U+10FFFF
            _ => return Err(()),
        }
        Ok(())
    }

    const fn expect(&mut self, missing: u8, next_min: u8, next_max: u8) {
        *self = Self { missing, next_min, next_max };
    }
}

impl Default for Utf8Validator {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const _: () = assert!(size_of::<Utf8Validator>() <= 4);

    fn feed_slices(slices: &[&[u8]]) -> Result<Utf8Validator, Utf8Error> {
        let mut validator = Utf8Validator::new();
        let mut fed = 0;
        for slice in slices {
            validator.feed(slice).map_err(|error| Utf8Error { position: fed + error.position })?;
            fed += slice.len();
        }
        Ok(validator)
    }

    /// The verdict must not depend on where the text is cut, so every cut and every single byte are tried.
    fn assert_verdict(text: &[u8], expected: Result<Result<(), TruncatedCharacter>, Utf8Error>) {
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            let verdict = feed_slices(&[head, tail]).map(Utf8Validator::finish);
            assert_eq!(verdict, expected, "{text:02x?} cut at {cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(feed_slices(&bytes).map(Utf8Validator::finish), expected, "{text:02x?} byte by byte");
    }

    #[test]
    fn valid_texts_pass_however_they_are_cut() {
        assert_verdict(b"", Ok(Ok(())));
        assert_verdict("κόσμε, Hello-µ@ßöäüàá-UTF-8!!".as_bytes(), Ok(Ok(())));
        // The first and last character of each row of RFC 3629 §4.
        for character in ['\0', '\u{7F}', '\u{80}', '\u{7FF}', '\u{800}', '\u{FFF}', '\u{CFFF}', '\u{D7FF}'] {
            assert_verdict(character.to_string().as_bytes(), Ok(Ok(())));
        }
        for character in ['\u{E000}', '\u{FFFF}', '\u{10000}', '\u{3FFFF}', '\u{FFFFF}', '\u{10FFFF}'] {
            assert_verdict(character.to_string().as_bytes(), Ok(Ok(())));
        }
    }

    #[test]
    fn the_first_impossible_byte_is_found_however_the_text_is_cut() {
        let cases: [(&[u8], usize); 12] = [
            (b"\x80", 0),                                 // a continuation byte alone
            (b"ab\xFFcd", 2),                             // never in UTF-8
            (b"\xC0\xAF", 0),                             // overlong, two bytes
            (b"\xC1\xBF", 0),                             // overlong, two bytes
            (b"\xE0\x9F\xBF", 1),                         // overlong, three bytes
            (b"\xF0\x8F\xBF\xBF", 1),                     // overlong, four bytes
            (b"\xED\xA0\x80", 1),                         // surrogate U+D800
            (b"\xF4\x90\x80\x80", 1),                     // above U+10FFFF
            (b"\xF5", 0),                                 // above U+10FFFF
            (b"\xCE\xBA\xE1\xBD\x41", 4),                 // a character that is cut short
            (b"\xF0\x9F\x98\x20", 3),                     // likewise, at its last byte
            (b"\xCE\xBA\xE1\xBD\xB9\xED\xA0\x80\x65", 6), // a surrogate after valid text
        ];
        for (text, position) in cases {
            assert_verdict(text, Err(Utf8Error { position }));
        }
    }

    #[test]
    fn a_text_that_ends_inside_a_character_fails_only_at_its_end() {
        assert_verdict(b"a\xC3", Ok(Err(TruncatedCharacter { missing: 1 })));
        assert_verdict(b"a\xE2\x82", Ok(Err(TruncatedCharacter { missing: 1 })));
        assert_verdict(b"a\xF0", Ok(Err(TruncatedCharacter { missing: 3 })));
    }

    /// All sequences of up to three bytes and their verdicts by the standard library, which says valid,
    /// incomplete or wrong.
    #[test]
    fn all_short_sequences_agree_with_the_standard_library() {
        for sequence in 0..1u32 << 24 {
            let [_, bytes @ ..] = sequence.to_be_bytes();
            // Sequences that begin with two ASCII bytes say nothing new after the first of them.
            if bytes[0] < 0x80 && bytes[0] != b'a' {
                continue;
            }
            let mut validator = Utf8Validator::new();
            let verdict = bytes.iter().try_for_each(|&byte| validator.step(byte));
            match std::str::from_utf8(&bytes) {
                Ok(_) => assert!(verdict.is_ok() && validator.finish().is_ok(), "{bytes:02x?}"),
                Err(error) if error.error_len().is_none() => {
                    assert!(verdict.is_ok() && validator.finish().is_err(), "{bytes:02x?}");
                }
                Err(_) => assert!(verdict.is_err(), "{bytes:02x?}"),
            }
        }
    }
}
