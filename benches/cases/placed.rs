//! Bytes whose place in memory is chosen, for what they cost depends on it: a vector that crosses a cache line costs twice.

/// A cache line, and the widest vector there is.
const LINE: usize = 64;

/// Bytes that begin `behind` bytes after the start of a cache line.
#[derive(Debug)]
pub struct Placed {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Placed {
    pub fn new(bytes: &[u8], behind: usize) -> Self {
        let mut memory = vec![0; bytes.len() + behind + LINE];
        let start = memory.as_ptr().align_offset(LINE) + behind;
        memory[start..start + bytes.len()].copy_from_slice(bytes);
        Self { memory, start, length: bytes.len() }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}
