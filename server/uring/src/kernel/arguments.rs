use std::net::SocketAddr;
use std::time::Duration;

use io_uring::types::Timespec;

use crate::address::RawAddress;

/// Memory for arguments that the kernel reads when it takes an operation from the submission queue: times and
/// addresses.
///
/// There is a cell for each entry of the queue and one for the operation that is about to be queued, used in
/// turn. When a cell comes round again its operation has been taken, as no more than those can be waiting.
pub(crate) struct Arguments {
    cells: Box<[Cell]>,
    next: usize,
}

#[derive(Copy, Clone, Default)]
struct Cell {
    time: Timespec,
    address: RawAddress,
}

impl Arguments {
    pub(crate) fn new(submission_entries: u32) -> Self {
        Self { cells: vec![Cell::default(); submission_entries as usize + 1].into_boxed_slice(), next: 0 }
    }

    /// Valid until the operation it is for has been submitted.
    pub(crate) fn time(&mut self, duration: Duration) -> *const Timespec {
        let cell = self.next_cell();
        cell.time = timespec_of(duration);
        &raw const cell.time
    }

    /// Valid until the operation it is for has been submitted.
    pub(crate) fn address(&mut self, address: SocketAddr) -> (*const libc::sockaddr, libc::socklen_t) {
        let cell = self.next_cell();
        cell.address = RawAddress::new(address);
        ((&raw const cell.address).cast(), cell.address.length())
    }

    fn next_cell(&mut self) -> &mut Cell {
        self.next = (self.next + 1) % self.cells.len();
        &mut self.cells[self.next]
    }
}

/// The kernel's time for a duration, as good as endless ones cut: it refuses more seconds than an i64 has, and fewer
/// than that overflow where it adds the time since boot.
pub(crate) fn timespec_of(duration: Duration) -> Timespec {
    const LONGEST: Duration = Duration::from_secs(u32::MAX as u64); // 136 years
    Timespec::from(duration.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_is_used_again_after_a_whole_queue_and_the_operation_in_hand() {
        let mut arguments = Arguments::new(4);
        let cells: Vec<_> = (0..6).map(|n| arguments.time(Duration::from_secs(n))).collect();
        for (n, cell) in cells[..5].iter().enumerate() {
            assert!(!cells[..n].contains(cell), "cell {n} was used twice");
        }
        assert_eq!(cells[5], cells[0]);
    }
}
