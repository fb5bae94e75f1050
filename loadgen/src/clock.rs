//! The one clock of a run: `CLOCK_MONOTONIC` in nanoseconds, the same for every thread and process of a host.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds since an arbitrary start (boot, on Linux).
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Processor time, user and system, that the calling thread has used so far, in nanoseconds.
///
/// The same account as `getrusage(RUSAGE_THREAD)`, without its rounding to ticks.
pub fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// The same of all threads of the process.
pub fn process_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// Nanoseconds that the calling thread was ready to run but had no core (`/proc/thread-self/schedstat`,
/// second field). Zero where the kernel does not keep that account.
pub fn thread_run_queue_ns() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/thread-self/schedstat") else { return 0 };
    text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn nanoseconds(time: Timespec) -> u64 {
    // Both clocks start at zero and only grow, so neither field is ever negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_clock_never_goes_back() {
        let mut earlier = now_ns();
        for _ in 0..1_000 {
            let later = now_ns();
            assert!(later >= earlier);
            earlier = later;
        }
    }

    #[test]
    fn thread_clock_counts_work() {
        let before = thread_cpu_ns();
        let mut sum = 0_u64;
        for value in 0..100_000_u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(value));
        }
        std::hint::black_box(sum);
        assert!(thread_cpu_ns() > before);
    }
}
