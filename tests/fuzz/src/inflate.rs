//! RFC 1951 bit by bit, with the rules about Huffman codes that zlib has: an oracle for who inflates with a library.

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Invalid,
    /// The limit was reached before anything else was wrong.
    TooBig,
    /// The data ends before a block does.
    Unfinished,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inflated {
    pub(crate) bytes: Vec<u8>,
    /// The furthest that anything was copied from.
    pub(crate) distance: usize,
}

/// More blocks that say they are the last are refused.
const LAST_BLOCKS: usize = 64;

/// All blocks in `data`, which has to end with one. After a last block others may follow, from the next byte on (RFC 7692
/// §7.2.1).
pub(crate) fn inflate(data: &[u8], limit: usize) -> Result<Inflated, Fault> {
    let mut reader = Reader { data, bit: 0, limit, out: Inflated::default() };
    let mut last_blocks = 0;
    while reader.bit < data.len() * 8 {
        let is_last = reader.bits(1)? == 1;
        match reader.bits(2)? {
            0 => reader.stored()?,
            1 => reader.compressed(&Code::fixed_literals(), &Code::new(&[5; 32]))?,
            2 => reader.dynamic()?,
            _ => return Err(Fault::Invalid),
        }
        if is_last {
            reader.bit = reader.bit.next_multiple_of(8);
            last_blocks += 1;
        }
        if last_blocks > LAST_BLOCKS {
            return Err(Fault::Invalid);
        }
    }
    Ok(reader.out)
}

struct Reader<'a> {
    data: &'a [u8],
    /// The next one.
    bit: usize,
    limit: usize,
    out: Inflated,
}

impl Reader<'_> {
    fn bits(&mut self, count: usize) -> Result<usize, Fault> {
        let mut value = 0;
        for index in 0..count {
            let byte = self.data.get(self.bit / 8).ok_or(Fault::Unfinished)?;
            value |= usize::from(byte >> (self.bit % 8) & 1) << index;
            self.bit += 1;
        }
        Ok(value)
    }

    fn put(&mut self, byte: u8) -> Result<(), Fault> {
        if self.out.bytes.len() == self.limit {
            return Err(Fault::TooBig);
        }
        self.out.bytes.push(byte);
        Ok(())
    }

    /// §3.2.4.
    fn stored(&mut self) -> Result<(), Fault> {
        self.bit = self.bit.next_multiple_of(8);
        let (length, complement) = (self.bits(16)?, self.bits(16)?);
        if length != !complement & 0xffff {
            return Err(Fault::Invalid);
        }
        for _ in 0..length {
            let byte = self.bits(8)? as u8;
            self.put(byte)?;
        }
        Ok(())
    }

    /// §3.2.5.
    fn compressed(&mut self, literals: &Code, distances: &Code) -> Result<(), Fault> {
        // Lengths and distances by symbol: the least one, and how many bits are added to it.
        const LENGTHS: [(usize, usize); 29] = ranges(3, 4);
        const DISTANCES: [(usize, usize); 30] = ranges(1, 2);
        loop {
            let symbol = self.symbol(literals)?;
            match symbol {
                0..256 => self.put(symbol as u8)?,
                256 => return Ok(()),
                257..=285 => {
                    let (least, extra) = if symbol == 285 { (258, 0) } else { LENGTHS[symbol - 257] };
                    let length = least + self.bits(extra)?;
                    let &(least, extra) = DISTANCES.get(self.symbol(distances)?).ok_or(Fault::Invalid)?;
                    let distance = least + self.bits(extra)?;
                    if distance > self.out.bytes.len().min(32 << 10) {
                        return Err(Fault::Invalid);
                    }
                    self.out.distance = self.out.distance.max(distance);
                    for _ in 0..length {
                        let byte = self.out.bytes[self.out.bytes.len() - distance];
                        self.put(byte)?;
                    }
                }
                _ => return Err(Fault::Invalid),
            }
        }
    }

    /// §3.2.7.
    fn dynamic(&mut self) -> Result<(), Fault> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances, codes) = (self.bits(5)? + 257, self.bits(5)? + 1, self.bits(4)? + 4);
        if literals > 286 || distances > 30 {
            return Err(Fault::Invalid);
        }
        let mut lengths = [0; 19];
        for place in &ORDER[..codes] {
            lengths[*place] = self.bits(3)?;
        }
        let code = Code::new(&lengths);
        if !code.is_complete() {
            return Err(Fault::Invalid);
        }
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match self.symbol(&code)? {
                16 => (*lengths.last().ok_or(Fault::Invalid)?, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                length => (length, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        if lengths.len() > literals + distances || lengths[256] == 0 {
            return Err(Fault::Invalid);
        }
        let (literals, distances) = (Code::new(&lengths[..literals]), Code::new(&lengths[literals..]));
        // One code of one bit alone is no complete code, and fine. No distance at all is fine while none is used.
        if [&literals, &distances].iter().any(|code| !code.is_complete() && !code.is_one_bit())
            && !(distances.is_empty() && (literals.is_complete() || literals.is_one_bit()))
        {
            return Err(Fault::Invalid);
        }
        self.compressed(&literals, &distances)
    }

    /// §3.2.2. Codes are compared bit by bit with all there are of that length.
    fn symbol(&mut self, code: &Code) -> Result<usize, Fault> {
        let (mut bits, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            bits = bits << 1 | self.bits(1)?;
            if bits < first + count {
                return Ok(code.symbols[index + bits - first]);
            }
            first = (first + count) << 1;
            index += count;
        }
        Err(Fault::Invalid)
    }
}

/// A canonical Huffman code.
struct Code {
    /// By length in bits.
    counts: [usize; 16],
    /// By length, and then by value.
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for (length, count) in counts.iter_mut().enumerate().skip(1) {
            let before = symbols.len();
            symbols.extend((0..lengths.len()).filter(|&symbol| lengths[symbol] == length));
            *count = symbols.len() - before;
        }
        Self { counts, symbols }
    }

    /// §3.2.6.
    fn fixed_literals() -> Self {
        let length = |symbol| match symbol {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        };
        Self::new(&Vec::from_iter((0..288).map(length)))
    }

    /// Every sequence of bits is a code, and none is two.
    fn is_complete(&self) -> bool {
        let share = |(length, count): (usize, &usize)| count << (15 - length);
        self.counts.iter().enumerate().skip(1).map(share).sum::<usize>() == 1 << 15
    }

    fn is_one_bit(&self) -> bool {
        self.symbols.len() == 1 && self.counts[1] == 1
    }

    fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

/// §3.2.5: ranges that follow each other, `per_size` of each size from the third on, eight of one for lengths and four
/// for distances before.
const fn ranges<const COUNT: usize>(first: usize, per_size: usize) -> [(usize, usize); COUNT] {
    let mut ranges = [(0, 0); COUNT];
    let (mut index, mut least) = (0, first);
    while index < COUNT {
        let extra = if index < 2 * per_size { 0 } else { index / per_size - 1 };
        ranges[index] = (least, extra);
        least += 1 << extra;
        index += 1;
    }
    ranges
}
