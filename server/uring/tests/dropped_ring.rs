//! Rings made and dropped where there is locked memory for one only. A binary of its own: the limit is the whole
//! process's.

use corecast_uring::{KernelRing, RingConfig, probe};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn memory_of_a_dropped_ring_is_waited_for() {
    // As large as a ring can be, so that what other processes of this user lock hardly counts.
    let config = RingConfig {
        submission_entries: 32_768,
        completion_entries: 65_536,
        files: 8,
        receive_buffers: 32_768,
        receive_buffer_bytes: 64,
        eventfd: false,
        ..RingConfig::default()
    };
    let limit = probe::locked_bytes(&config) / 2 * 3;
    let before = getrlimit(Resource::Memlock);
    if before.maximum.is_some_and(|maximum| maximum < limit) {
        println!("SKIPPED: RLIMIT_MEMLOCK cannot be raised to {limit}");
        return;
    }
    setrlimit(Resource::Memlock, Rlimit { current: Some(limit), ..before }).unwrap();
    let Ok(first) = KernelRing::new(&config) else {
        println!("SKIPPED: other processes of this user lock too much memory");
        return;
    };
    drop(first);
    for n in 1..4 {
        drop(KernelRing::new(&config).unwrap_or_else(|error| panic!("ring {n}: {error}")));
    }
}
