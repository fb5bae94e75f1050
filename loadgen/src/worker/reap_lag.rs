//! How long what a reap brings may have waited for the worker: the part of its latency that may be the generator's fault.
//!
//! What arrives while the worker works waits until it looks again: at most since the last moment of which the worker knows
//! that it has found everything that had arrived by then. That is the look before, when it took everything. When it did not,
//! a mark is sent through the ring's own queue, which the kernel works off in the order of arrival: once it comes back,
//! everything that arrived before it was sent has been found. (But for what is left in a socket of which one look took 32
//! buffers, the most it does: that lines up anew, perhaps behind the mark.) What arrives while the worker sleeps wakes it and
//! does not wait, except for a core, which is told by the thread's own account.

/// A mark is two operations: this often they are a hundredth of the work.
const BETWEEN_MARKS_NS: u64 = 200_000;

/// Of one worker. All times are of its clock.
#[derive(Debug, Default)]
pub(super) struct ReapLag {
    /// Everything that had arrived by then has been found.
    found_until_ns: u64,
    /// The look before left something behind.
    is_behind: bool,
    /// When the latest mark was sent.
    marked_ns: u64,
    is_mark_out: bool,
}

impl ReapLag {
    /// The longest time that anything in this reap may have waited. It ended now; `is_all` when it left nothing behind,
    /// `is_marked` when it brought the mark.
    pub(super) fn found(&mut self, now: u64, is_all: bool, is_marked: bool) -> u64 {
        let lag_ns = now - self.found_until_ns;
        if is_marked {
            self.is_mark_out = false;
            self.found_until_ns = self.found_until_ns.max(self.marked_ns);
        }
        self.is_behind = !is_all;
        if is_all {
            self.found_until_ns = now;
        }
        lag_ns
    }

    /// The same of a reap that ended a sleep, at `woken_ns`, before which there was nothing.
    pub(super) fn woken(&mut self, woken_ns: u64, now: u64, is_all: bool, is_marked: bool) -> u64 {
        self.found_until_ns = woken_ns;
        self.found(now, is_all, is_marked)
    }

    /// Whether the caller is to send a mark now.
    pub(super) fn wants_mark(&mut self, now: u64) -> bool {
        let wants = self.is_behind && !self.is_mark_out && now - self.marked_ns >= BETWEEN_MARKS_NS;
        if wants {
            self.is_mark_out = true;
            self.marked_ns = now;
        }
        wants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_while_the_worker_works_waits_until_it_looks() {
        let mut lag = ReapLag::default();
        assert_eq!(lag.woken(1_000, 1_000, true, false), 0, "sleep is nobody's lag");
        assert_eq!(lag.found(1_300, true, false), 300);
        assert_eq!(lag.found(1_350, true, false), 50);
        assert_eq!(lag.woken(9_000, 9_020, true, false), 20, "the reap itself takes time");
    }

    #[test]
    fn a_backlog_adds_up_until_a_reap_takes_everything() {
        let mut lag = ReapLag::default();
        lag.woken(1_000, 1_000, true, false);
        assert_eq!(lag.found(1_400, false, false), 400);
        assert_eq!(lag.found(1_900, false, false), 900);
        assert_eq!(lag.found(2_400, true, false), 1_400);
        assert_eq!(lag.found(2_600, true, false), 200);
    }

    #[test]
    fn what_comes_behind_a_mark_arrived_after_it_was_sent() {
        let mut lag = ReapLag::default();
        assert_eq!(lag.woken(1_000_000, 1_000_500, false, false), 500);
        assert!(lag.wants_mark(1_000_600));
        assert_eq!(lag.found(1_010_000, false, false), 10_000);
        assert_eq!(lag.found(1_020_000, false, true), 20_000, "what came with the mark may be older than it");
        assert_eq!(lag.found(1_021_000, false, false), 20_400, "since the mark was sent");
        assert_eq!(lag.found(1_022_000, true, false), 21_400);
        assert_eq!(lag.found(1_022_700, true, false), 700);
    }

    #[test]
    fn a_mark_that_is_late_takes_nothing_back() {
        let mut lag = ReapLag::default();
        lag.woken(1_000_000, 1_000_000, false, false);
        assert!(lag.wants_mark(1_000_100));
        assert_eq!(lag.found(1_000_500, true, false), 500);
        assert_eq!(lag.found(1_000_800, true, true), 300);
        assert_eq!(lag.found(1_000_900, true, false), 100);
    }

    #[test]
    fn marks_are_for_a_backlog_one_at_a_time_and_not_often() {
        let mut lag = ReapLag::default();
        lag.woken(1_000_000, 1_000_000, true, false);
        assert!(!lag.wants_mark(1_000_000), "nothing was left behind");
        lag.found(1_000_100, false, false);
        assert!(lag.wants_mark(1_000_100));
        assert!(!lag.wants_mark(1_000_100 + 2 * BETWEEN_MARKS_NS), "one is on its way");
        lag.found(1_000_300, false, true);
        assert!(!lag.wants_mark(1_000_100 + BETWEEN_MARKS_NS - 1));
        assert!(lag.wants_mark(1_000_100 + BETWEEN_MARKS_NS));
        lag.woken(2_000_000, 2_000_000, false, true);
        assert!(lag.wants_mark(2_000_000), "it came back with what ended a sleep");
    }
}
