use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::setup::{no_memory, with_patience};
use crate::buffers::{BufferMemory, Mapping, ReceiveBuffer};
use crate::errno::Errno;
use crate::error::{RingError, errno_of};
use crate::ring::RingConfig;

/// The one buffer group of a ring.
pub(crate) const BUFFER_GROUP: u16 = 0;

/// The receive buffers as the kernel sees them: a ring of entries, each the address of a buffer that it may
/// fill.
///
/// ```text
///   entries   | taken | taken | free  | free  | free  | lent  |
///                             ^ the kernel takes here ^ tail & mask: release() writes here; tail only counts up
/// ```
///
/// Invariant: provided + lent + completed but not yet reaped == count, so the tail never overruns the kernel.
pub(crate) struct ProvidedBuffers {
    entries: Mapping,
    memory: Rc<BufferMemory>,
    tail: u16,
    mask: u16,
}

impl ProvidedBuffers {
    pub(crate) fn new(ring: &IoUring, config: &RingConfig) -> Result<Self, RingError> {
        let RingConfig { receive_buffers: buffers, receive_buffer_bytes: buffer_bytes, .. } = *config;
        let mapped = |error| RingError::system("mapping the receive buffers", &error);
        let entries = Mapping::new(usize::from(buffers) * size_of::<BufRingEntry>()).map_err(mapped)?;
        let memory = BufferMemory::new(buffers, buffer_bytes).map_err(mapped)?;
        let mut provided = Self { entries, memory, tail: 0, mask: buffers - 1 };
        let address = provided.entries.address().as_ptr() as u64;
        with_patience(|| {
            // SAFETY: the mapping is page aligned and has room for `buffers` entries. The ring's owner drops the
            // ring first.
            unsafe { ring.submitter().register_buf_ring_with_flags(address, buffers, BUFFER_GROUP, 0) }
                .map_err(|error| match errno_of(&error) {
                    Errno::ENOMEM => no_memory(config),
                    errno => RingError::System { what: "registering the receive buffers", errno },
                })
        })?;
        for id in 0..buffers {
            provided.provide(id);
        }
        Ok(provided)
    }

    /// The handle for a buffer that the kernel has filled.
    pub(crate) fn lend(&self, id: u16, length: u32) -> ReceiveBuffer {
        self.memory.lend(id, length)
    }

    pub(crate) fn release(&mut self, buffer: ReceiveBuffer) {
        let id = self.memory.take_back(buffer);
        self.provide(id);
    }

    pub(crate) fn lent(&self) -> usize {
        self.memory.lent_count()
    }

    pub(crate) fn free(&self) -> usize {
        self.memory.count() - self.memory.lent_count()
    }

    fn provide(&mut self, id: u16) {
        let base = self.entries.address().cast::<BufRingEntry>().as_ptr();
        let address = self.memory.start(id).as_ptr() as u64;
        // SAFETY: the masked index is inside the mapping. By the invariant above the kernel has taken this
        // entry, and it reads it again only after the tail below says so; so nobody else touches it now.
        unsafe {
            let entry = &mut *base.add(usize::from(self.tail & self.mask));
            entry.set_addr(address);
            entry.set_len(self.memory.buffer_bytes());
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's unused field, aligned for u16. The kernel only reads it,
        // and all our accesses are atomic.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(base).cast_mut()) };
        // Release: who sees the tail sees the entry.
        tail.store(self.tail, Ordering::Release);
    }
}
