use std::fmt;

/// What a completion is about: the caller's own key, handed to the kernel with the operation and given back
/// with each of its completions.
///
/// ```text
///  63      56 55                32 31                              0
/// +----------+--------------------+---------------------------------+
/// | kind   8 | slot            24 | generation                   32 |
/// +----------+--------------------+---------------------------------+
/// ```
///
/// The generation tells a slot's current owner from an earlier one, so that a completion which arrives late
/// is recognised and dropped instead of being taken for somebody else's.
#[derive(Copy, Clone, Eq, PartialEq, Hash)]
pub struct Token(u64);

impl Token {
    /// Slots are below this number.
    pub const SLOTS: u32 = 1 << 24;

    /// Kinds from here up belong to the ring itself; [`Ring::push`](crate::Ring::push) refuses them.
    pub const RESERVED_KINDS: u8 = 0xF0;

    /// # Panics
    ///
    /// When `slot` is not below [`Token::SLOTS`].
    pub const fn new(kind: u8, slot: u32, generation: u32) -> Self {
        assert!(slot < Self::SLOTS, "a token's slot has 24 bits");
        Self((kind as u64) << 56 | (slot as u64) << 32 | generation as u64)
    }

    pub const fn kind(self) -> u8 {
        (self.0 >> 56) as u8
    }

    pub const fn slot(self) -> u32 {
        (self.0 >> 32) as u32 & (Self::SLOTS - 1)
    }

    pub const fn generation(self) -> u32 {
        self.0 as u32
    }

    pub const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn to_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_reserved(self) -> bool {
        self.kind() >= Self::RESERVED_KINDS
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:#04x} slot {} generation {})", self.kind(), self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sit_where_the_picture_says() {
        let token = Token::new(0x12, 0x345678, 0x9ABC_DEF0);
        assert_eq!(token.to_u64(), 0x1234_5678_9ABC_DEF0);
        assert_eq!((token.kind(), token.slot(), token.generation()), (0x12, 0x345678, 0x9ABC_DEF0));
        assert_eq!(Token::from_u64(0x1234_5678_9ABC_DEF0), token);
    }

    #[test]
    fn largest_parts_do_not_overlap() {
        let token = Token::new(0xEF, Token::SLOTS - 1, u32::MAX);
        assert_eq!((token.kind(), token.slot(), token.generation()), (0xEF, 0x00FF_FFFF, 0xFFFF_FFFF));
    }

    #[test]
    #[should_panic(expected = "24 bits")]
    fn slot_of_25_bits_is_refused() {
        let _ = Token::new(0, 1 << 24, 0);
    }

    #[test]
    fn kinds_from_f0_are_the_rings_own() {
        assert!(!Token::new(0xEF, 0, 0).is_reserved());
        assert!(Token::new(0xF0, 0, 0).is_reserved());
    }
}
