use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::rc::Rc;
use std::{fmt, io, ptr, slice};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Bytes that were received, in a buffer lent by the ring. Reads and writes as a byte slice.
///
/// Exactly one handle exists for a lent buffer, and the kernel does not write to it until the handle has been
/// given back with [`Ring::release`](crate::Ring::release). A handle that is dropped instead takes its buffer
/// out of circulation for good: it stays counted in
/// [`RingStats::buffers_lent`](crate::RingStats::buffers_lent).
#[must_use = "give the buffer back with Ring::release, or the ring runs out of them"]
pub struct ReceiveBuffer {
    memory: Rc<BufferMemory>,
    length: u32,
    id: u16,
}

impl Deref for ReceiveBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range lies inside the mapping (checked when it was lent), which the `Rc` keeps mapped,
        // zeroed by the kernel when mapped and so initialized. Nobody writes while `self` is borrowed: this
        // is the only handle (`BufferMemory::lend` panics on a second), and the kernel writes only to buffers
        // it was provided with, which excludes this one until `release` consumes the handle.
        unsafe { slice::from_raw_parts(self.memory.start(self.id).as_ptr(), self.length as usize) }
    }
}

impl DerefMut for ReceiveBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; the only handle is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.memory.start(self.id).as_ptr(), self.length as usize) }
    }
}

impl fmt::Debug for ReceiveBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiveBuffer(id {}, {} bytes)", self.id, self.length)
    }
}

/// The memory of all receive buffers of one ring, in one mapping, and the book of which are lent.
pub(crate) struct BufferMemory {
    mapping: Mapping,
    buffer_bytes: u32,
    lent: Box<[Cell<bool>]>,
    lent_count: Cell<u32>,
}

impl BufferMemory {
    /// Pages are taken from the system when they are first written.
    pub(crate) fn new(buffers: u16, buffer_bytes: u32) -> io::Result<Rc<Self>> {
        let mapping = Mapping::new(usize::from(buffers) * buffer_bytes as usize)?;
        let lent = vec![Cell::new(false); usize::from(buffers)].into_boxed_slice();
        Ok(Rc::new(Self { mapping, buffer_bytes, lent, lent_count: Cell::new(0) }))
    }

    /// Where buffer `id` begins.
    pub(crate) fn start(&self, id: u16) -> NonNull<u8> {
        assert!(usize::from(id) < self.lent.len(), "there is no receive buffer {id}");
        // SAFETY: `id` is in range, so the offset is inside the mapping.
        unsafe { self.mapping.address.add(usize::from(id) * self.buffer_bytes as usize) }
    }

    pub(crate) fn buffer_bytes(&self) -> u32 {
        self.buffer_bytes
    }

    pub(crate) fn count(&self) -> usize {
        self.lent.len()
    }

    pub(crate) fn lent_count(&self) -> usize {
        self.lent_count.get() as usize
    }

    /// The handle for a buffer that holds `length` received bytes.
    ///
    /// # Panics
    ///
    /// When the buffer is lent already or the length is beyond its end: either would break the promise that
    /// the handle's safety rests on.
    pub(crate) fn lend(self: &Rc<Self>, id: u16, length: u32) -> ReceiveBuffer {
        assert!(length <= self.buffer_bytes, "{length} bytes in a buffer of {}", self.buffer_bytes);
        assert!(!self.lent[usize::from(id)].replace(true), "receive buffer {id} is lent already");
        self.lent_count.set(self.lent_count.get() + 1);
        ReceiveBuffer { memory: Rc::clone(self), length, id }
    }

    /// Takes a handle back and says which buffer is free.
    ///
    /// # Panics
    ///
    /// When it came from another ring.
    pub(crate) fn take_back(self: &Rc<Self>, buffer: ReceiveBuffer) -> u16 {
        assert!(
            Rc::ptr_eq(self, &buffer.memory),
            "a receive buffer was released to a ring that did not lend it"
        );
        assert!(self.lent[usize::from(buffer.id)].replace(false), "receive buffer {} is not lent", buffer.id);
        self.lent_count.set(self.lent_count.get() - 1);
        buffer.id
    }
}

impl fmt::Debug for BufferMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferMemory({} x {} bytes, {} lent)", self.count(), self.buffer_bytes, self.lent_count())
    }
}

/// Private anonymous memory, page aligned, zeroed, unmapped on drop.
pub(crate) struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
        let address = unsafe {
            mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?
        };
        let address =
            NonNull::new(address.cast()).expect("mmap without MAP_FIXED never returns address zero");
        Ok(Self { address, bytes })
    }

    pub(crate) fn address(&self) -> NonNull<u8> {
        self.address
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`; whoever derived pointers from it holds it alive.
        let unmapped = unsafe { munmap(self.address.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lent_buffer_reads_what_was_written_at_its_start() {
        let memory = BufferMemory::new(4, 4096).unwrap();
        // SAFETY: buffer 2 is not lent and has 4,096 bytes.
        unsafe { memory.start(2).copy_from_nonoverlapping(NonNull::from(b"hello").cast(), 5) };
        let mut buffer = memory.lend(2, 5);
        assert_eq!(&*buffer, b"hello");
        buffer.make_ascii_uppercase();
        assert_eq!(&*buffer, b"HELLO");
        assert_eq!(memory.lent_count(), 1);
        assert_eq!(memory.take_back(buffer), 2);
        assert_eq!(memory.lent_count(), 0);
    }

    #[test]
    fn handle_outlives_the_rings_own_reference() {
        let memory = BufferMemory::new(1, 4096).unwrap();
        let buffer = memory.lend(0, 4096);
        drop(memory);
        assert!(buffer.iter().all(|&byte| byte == 0));
    }

    #[test]
    #[should_panic(expected = "lent already")]
    fn second_handle_for_a_buffer_is_refused() {
        let memory = BufferMemory::new(1, 4096).unwrap();
        let _first = memory.lend(0, 1);
        let _second = memory.lend(0, 1);
    }

    #[test]
    #[should_panic(expected = "4097 bytes in a buffer of 4096")]
    fn length_beyond_the_buffer_is_refused() {
        let memory = BufferMemory::new(2, 4096).unwrap();
        let _ = memory.lend(0, 4097);
    }

    #[test]
    #[should_panic(expected = "did not lend it")]
    fn buffer_of_another_ring_is_refused() {
        let (one, other) = (BufferMemory::new(1, 4096).unwrap(), BufferMemory::new(1, 4096).unwrap());
        other.take_back(one.lend(0, 1));
    }

    #[test]
    fn handle_is_two_words() {
        assert_eq!(size_of::<Option<ReceiveBuffer>>(), 16);
    }
}
