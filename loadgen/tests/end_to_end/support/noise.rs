//! How late this host wakes threads while a test runs: what no measurement on it can be without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A thread on each core that does nothing but sleep for a millisecond again and again.
pub(crate) struct NoiseMeter {
    worst_ns: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl NoiseMeter {
    pub(crate) fn start() -> Self {
        let meter = Self { worst_ns: Arc::default(), is_over: Arc::default() };
        for core in core_affinity::get_core_ids().unwrap_or_default() {
            let (worst_ns, is_over) = (Arc::clone(&meter.worst_ns), Arc::clone(&meter.is_over));
            thread::spawn(move || {
                // As the generator's threads are.
                core_affinity::set_for_current(core);
                while !is_over.load(Ordering::Relaxed) {
                    // Sleeping is what is measured here: by how much it is longer than asked for.
                    let asleep = Instant::now();
                    thread::sleep(Duration::from_millis(1));
                    let late = asleep.elapsed().saturating_sub(Duration::from_millis(1));
                    worst_ns.fetch_max(late.as_nanos() as u64, Ordering::Relaxed);
                }
            });
        }
        meter
    }

    /// The latest that a thread was woken so far.
    pub(crate) fn worst_ns(&self) -> u64 {
        self.worst_ns.load(Ordering::Relaxed)
    }
}

impl Drop for NoiseMeter {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
