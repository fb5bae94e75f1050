//! How a target's bytes say where its stream is cut.

/// A stream, and the lengths of the pieces that it is to arrive in, over and over.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    /// Four bits for the target to use.
    pub(crate) flags: u8,
    pub(crate) lengths: Vec<usize>,
    pub(crate) stream: &'a [u8],
}

impl<'a> Pieces<'a> {
    /// The first byte has the flags and how many lengths follow, each a byte, before the stream.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let (lengths, stream) = rest.split_at_checked(usize::from(first & 0x0f))?;
        let lengths = lengths.iter().map(|&length| usize::from(length.max(1))).collect();
        Some(Self { flags: first >> 4, lengths, stream })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut lengths = self.lengths.iter().cycle();
        let mut rest = self.stream;
        std::iter::from_fn(move || {
            let length = lengths.next().map_or(rest.len(), |&length| length.min(rest.len()));
            let (piece, later) = rest.split_at(length);
            rest = later;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
