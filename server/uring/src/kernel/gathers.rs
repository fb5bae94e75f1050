use std::ptr;

use libc::{iovec, msghdr};

use crate::op::GATHER_PARTS_MAX;

/// How many parts there is memory for, for each entry of the submission queue.
const PARTS_PER_ENTRY: usize = 4;

/// Headers of gathered sends and their lists of parts, which the kernel reads when it takes the sends from the
/// submission queue.
///
/// ```text
///   entry --> header --> part | part | part
///                          |      |      +--> the caller's bytes
/// ```
///
/// The memory is got with the first send and then never moves. Whoever finds no room for another send submits, after
/// which the kernel is done with those before, and clears.
pub(crate) struct Gathers {
    headers: Vec<msghdr>,
    parts: Vec<iovec>,
    headers_max: usize,
    parts_max: usize,
}

impl Gathers {
    pub(crate) fn new(submission_entries: u32) -> Self {
        let headers_max = submission_entries as usize;
        let parts_max = GATHER_PARTS_MAX.max(headers_max * PARTS_PER_ENTRY);
        Self { headers: Vec::new(), parts: Vec::new(), headers_max, parts_max }
    }

    /// Whether a send of so many parts can be added.
    pub(crate) fn has_room(&self, parts: usize) -> bool {
        self.headers.len() < self.headers_max && self.parts.len() + parts <= self.parts_max
    }

    /// The header of a send of these parts. It is valid, with its list, until `clear` or the next `add` after that, and
    /// as long as the parts are.
    ///
    /// # Panics
    ///
    /// When there is no room: getting more would move what the kernel was told of.
    pub(crate) fn add(&mut self, parts: &[&[u8]]) -> *const msghdr {
        assert!(self.has_room(parts.len()), "there is no room for a send of {} parts", parts.len());
        if self.parts.capacity() == 0 {
            self.headers.reserve_exact(self.headers_max);
            self.parts.reserve_exact(self.parts_max);
        }
        let first = self.parts.len();
        self.parts.extend(
            parts.iter().map(|part| iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
        );
        self.headers.push(msghdr {
            msg_name: ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: self.parts[first..].as_mut_ptr(),
            msg_iovlen: parts.len(),
            msg_control: ptr::null_mut(),
            msg_controllen: 0,
            msg_flags: 0,
        });
        ptr::from_ref(self.headers.last().expect("just pushed"))
    }

    /// Forgets all sends. Those that were queued must have been submitted.
    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_until_there_is_no_room_and_is_used_again_after_clear() {
        let mut gathers = Gathers::new(2);
        let bytes: [&[u8]; GATHER_PARTS_MAX] = [b"x"; GATHER_PARTS_MAX];
        let first = gathers.add(&bytes[..1]);
        let list = gathers.headers[0].msg_iov;
        assert!(!gathers.has_room(64), "63 parts are left");
        let second = gathers.add(&bytes[..63]);
        assert!(!gathers.has_room(1));
        assert_eq!(ptr::from_ref(&gathers.headers[0]), first);
        assert_eq!(ptr::from_ref(&gathers.headers[1]), second);
        assert_eq!(gathers.parts.as_mut_ptr(), list);
        assert_eq!((gathers.headers[1].msg_iovlen, gathers.headers[1].msg_iov), (63, list.wrapping_add(1)));
        gathers.clear();
        assert_eq!(gathers.add(&bytes), first);
        assert_eq!(gathers.headers[0].msg_iov, list);
    }

    #[test]
    fn headers_run_out_as_parts_do() {
        let mut gathers = Gathers::new(32);
        for _ in 0..32 {
            assert!(gathers.has_room(1));
            gathers.add(&[b"x"]);
        }
        assert!(!gathers.has_room(1));
    }

    #[test]
    #[should_panic(expected = "there is no room for a send of 64 parts")]
    fn send_without_room_is_refused() {
        let mut gathers = Gathers::new(1);
        gathers.add(&[b"x"]);
        gathers.add(&[&b"x"[..]; GATHER_PARTS_MAX]);
    }
}
