//! How long what a reap brings may have waited for the worker: the part of its latency that may be the generator's fault.
//!
//! What arrives while the worker sleeps wakes it. What arrives while it works waits until the next reap, or for several
//! of them when one does not bring everything. So the bound is the time since the last reap that brought everything,
//! without the sleep behind it.

/// Of one worker.
#[derive(Debug, Default)]
pub(super) struct ReapLag {
    /// The last reap brought all that had arrived.
    was_all: bool,
    /// How long what that reap left may have waited when it was done.
    behind_ns: u64,
}

impl ReapLag {
    /// The longest time that anything in this reap may have waited. Before it the worker worked `worked_ns` on the reap before,
    /// and then asked, or slept, for `waited_ns`. `is_all` when the reap left nothing behind.
    pub(super) fn of_reap(&mut self, worked_ns: u64, waited_ns: u64, is_all: bool) -> u64 {
        let lag_ns = if self.was_all { worked_ns } else { self.behind_ns + worked_ns + waited_ns };
        self.was_all = is_all;
        self.behind_ns = if is_all { 0 } else { lag_ns };
        lag_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reap brought everything so far.
    fn caught_up() -> ReapLag {
        ReapLag { was_all: true, behind_ns: 0 }
    }

    #[test]
    fn sleep_is_nobodys_lag() {
        assert_eq!(caught_up().of_reap(0, 20_000_000, true), 0);
    }

    #[test]
    fn what_arrives_while_the_worker_works_waits_until_it_is_done() {
        let mut lag = caught_up();
        assert_eq!(lag.of_reap(300, 1_000, true), 300);
        assert_eq!(lag.of_reap(50, 1_000, true), 50);
    }

    #[test]
    fn a_backlog_adds_up_until_a_reap_brings_everything() {
        let mut lag = caught_up();
        // A burst wakes the worker, which takes it in three reaps.
        assert_eq!(lag.of_reap(0, 9_000, false), 0);
        assert_eq!(lag.of_reap(400, 10, false), 410);
        assert_eq!(lag.of_reap(400, 10, true), 820);
        assert_eq!(lag.of_reap(200, 9_000, true), 200, "caught up: only the last one's work counts");
    }
}
