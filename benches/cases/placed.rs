//! Bytes whose place in memory is chosen, for what they cost depends on it: a vector that crosses a cache line costs twice, and
//! a load waits for a store before it whose address has the same last 12 bits.

const PAGE: usize = 4096;

/// Bytes that begin `behind` bytes after the start of a page.
#[derive(Debug)]
pub struct Placed {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Placed {
    pub fn new(bytes: &[u8], behind: usize) -> Self {
        let mut memory = vec![0; bytes.len() + behind + PAGE];
        let start = memory.as_ptr().align_offset(PAGE) + behind;
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        Self { memory, start, length: bytes.len() }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}
