//! How long what a reap brings may have waited for the worker: the part of its latency that may be the generator's fault.
//!
//! What arrives while the worker works waits until it looks again. That is at most the time since the look before, or since an
//! earlier one when that did not take everything. What arrives while the worker sleeps wakes it: it waits no longer than until
//! the thread gets a core, which is told by the thread's own account.

/// Of one worker.
#[derive(Debug, Default)]
pub(super) struct ReapLag {
    /// How long what the last reap left may have waited when it was done.
    left_ns: u64,
}

impl ReapLag {
    /// The longest time that anything in this reap may have waited: the worker looked, `since_ns` after the end of the reap
    /// before, and found it. `is_all` when it left nothing behind.
    pub(super) fn found(&mut self, since_ns: u64, is_all: bool) -> u64 {
        let lag_ns = self.left_ns + since_ns;
        self.left_ns = if is_all { 0 } else { lag_ns };
        lag_ns
    }

    /// The same of a reap that ended a sleep, before which there was nothing.
    pub(super) fn woken(&mut self) -> u64 {
        self.left_ns = 0;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_while_the_worker_works_waits_until_it_looks() {
        let mut lag = ReapLag::default();
        assert_eq!(lag.woken(), 0, "sleep is nobody's lag");
        assert_eq!(lag.found(300, true), 300);
        assert_eq!(lag.found(50, true), 50);
        assert_eq!(lag.woken(), 0);
    }

    #[test]
    fn a_backlog_adds_up_until_a_reap_takes_everything() {
        let mut lag = ReapLag::default();
        assert_eq!(lag.found(400, false), 400);
        assert_eq!(lag.found(500, false), 900);
        assert_eq!(lag.found(500, true), 1_400);
        assert_eq!(lag.found(200, true), 200);
    }
}
