//! Inflation the slow way, bit by bit as RFC 1951 reads. Where that leaves a decoder the choice (codes that are not
//! complete), it refuses what zlib refuses.

/// What a payload stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inflated {
    pub(crate) message: Vec<u8>,
    /// How far back the furthest reference goes.
    pub(crate) furthest: usize,
    /// Blocks that say they are the last.
    pub(crate) last_blocks: usize,
}

/// The message of a payload (RFC 7692 §7.2.2): with the four octets that were taken off, whole blocks and nothing
/// else. `None` if it is none.
pub(crate) fn inflate(payload: &[u8]) -> Option<Inflated> {
    let whole = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
    let mut bits = Bits { bytes: &whole, at: 0 };
    let mut inflated = Inflated { message: Vec::new(), furthest: 0, last_blocks: 0 };
    while bits.at < whole.len() * 8 {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(&mut bits, &mut inflated)?,
            1 => compressed(&mut bits, &mut inflated, &fixed_codes())?,
            2 => {
                let codes = dynamic_codes(&mut bits)?;
                compressed(&mut bits, &mut inflated, &codes)?;
            }
            _ => return None,
        }
        if is_last {
            // RFC 7692 §7.2.1: padded to the next octet, and other blocks may follow.
            inflated.last_blocks += 1;
            bits.align();
        }
    }
    Some(inflated)
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    /// The next bits, the first of them least significant.
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

/// RFC 1951 §3.2.4.
fn stored(bits: &mut Bits<'_>, inflated: &mut Inflated) -> Option<()> {
    bits.align();
    let (length, inverse) = (bits.take(16)?, bits.take(16)?);
    if length != !inverse & 0xffff {
        return None;
    }
    for _ in 0..length {
        inflated.message.push(bits.take(8)? as u8);
    }
    Some(())
}

/// RFC 1951 §3.2.5.
fn compressed(bits: &mut Bits<'_>, inflated: &mut Inflated, codes: &(Code, Code)) -> Option<()> {
    const LENGTHS: [(usize, usize); 29] = [
        (3, 0),
        (4, 0),
        (5, 0),
        (6, 0),
        (7, 0),
        (8, 0),
        (9, 0),
        (10, 0),
        (11, 1),
        (13, 1),
        (15, 1),
        (17, 1),
        (19, 2),
        (23, 2),
        (27, 2),
        (31, 2),
        (35, 3),
        (43, 3),
        (51, 3),
        (59, 3),
        (67, 4),
        (83, 4),
        (99, 4),
        (115, 4),
        (131, 5),
        (163, 5),
        (195, 5),
        (227, 5),
        (258, 0),
    ];
    loop {
        match codes.0.symbol(bits)? {
            literal @ 0..256 => inflated.message.push(literal as u8),
            256 => return Some(()),
            symbol => {
                let &(base, extra) = LENGTHS.get(symbol - 257)?;
                let length = base + bits.take(extra)?;
                let distance = match codes.1.symbol(bits)? {
                    near @ 0..4 => near + 1,
                    far @ 4..30 => ((2 + far % 2) << (far / 2 - 1)) + 1 + bits.take(far / 2 - 1)?,
                    _ => return None,
                };
                let start = inflated.message.len().checked_sub(distance)?;
                inflated.furthest = inflated.furthest.max(distance);
                for at in start..start + length {
                    inflated.message.push(inflated.message[at]);
                }
            }
        }
    }
}

/// RFC 1951 §3.2.6.
fn fixed_codes() -> (Code, Code) {
    let literals = [vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat();
    (Code::new(&literals).expect("complete"), Code::new(&[5; 32]).expect("complete"))
}

/// RFC 1951 §3.2.7.
fn dynamic_codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, kinds) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut kind_lengths = [0; 19];
    for &kind in &ORDER[..kinds] {
        kind_lengths[kind] = bits.take(3)?;
    }
    let kinds = Code::new(&kind_lengths)?;
    if !kinds.is_complete {
        return None;
    }
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match kinds.symbol(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length, 1),
        };
        lengths.extend(vec![length; times]);
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return None;
    }
    let (literals, distances) = (Code::new(&lengths[..literals])?, Code::new(&lengths[literals..])?);
    (literals.may_be_used() && distances.may_be_used()).then_some((literals, distances))
}

/// RFC 1951 §3.2.2.
struct Code {
    /// By length, in the order of the symbols.
    symbols: [Vec<usize>; 16],
    is_complete: bool,
}

impl Code {
    /// `None` if there are more codes than bits for them.
    fn new(lengths: &[usize]) -> Option<Self> {
        let mut symbols: [Vec<usize>; 16] = Default::default();
        for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length > 0) {
            symbols[length].push(symbol);
        }
        let used: usize =
            symbols.iter().enumerate().map(|(length, symbols)| symbols.len() << (15 - length)).sum();
        (used <= 1 << 15).then_some(Self { symbols, is_complete: used == 1 << 15 })
    }

    /// Of codes that are not complete zlib takes one: a single symbol with one bit, or none at all.
    fn may_be_used(&self) -> bool {
        self.is_complete || self.symbols[2..].iter().all(Vec::is_empty)
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first) = (0, 0);
        for symbols in &self.symbols[1..] {
            code = code << 1 | bits.take(1)?;
            first <<= 1;
            if let Some(&symbol) = symbols.get(code - first) {
                return Some(symbol);
            }
            first += symbols.len();
        }
        None
    }
}

// The slow decoder is held to the standard's own bytes.
#[test]
fn examples_of_the_standard_are_hello() {
    let message = |payload: &[u8]| inflate(payload).map(|inflated| inflated.message);
    let hello = Some(b"Hello".to_vec());
    assert_eq!(message(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), hello);
    assert_eq!(message(&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]), hello);
    assert_eq!(message(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), hello);
    assert_eq!(message(&[0xf2, 0x48, 0x05, 0, 0, 0, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]), hello);
    assert_eq!(message(&[0xf2, 0x00, 0x11, 0x00, 0x00]), None);
}
