//! A ring where the limit of locked memory is too small. A binary of its own: the limit is the whole
//! process's.

use corecast_uring::{KernelRing, RingConfig, RingError, probe};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn limit_of_locked_memory_is_explained() {
    let limit = 4096;
    setrlimit(Resource::Memlock, Rlimit { current: Some(limit), ..getrlimit(Resource::Memlock) }).unwrap();
    let config = RingConfig { files: 8, ..RingConfig::default() };
    let Err(error) = KernelRing::new(&config) else {
        println!("SKIPPED: this process is privileged, or its kernel does not count rings as locked memory");
        // More rings than the limit allows were made, so that is what the probe must say.
        assert_eq!(probe::check(&config, 2).map(|capabilities| capabilities.shards).ok(), Some(2));
        return;
    };
    let needed = probe::locked_bytes(&config);
    assert!(matches!(error, RingError::LockedMemory { needed: n, limit: 4096 } if n == needed), "{error}");
    let text = probe::check(&config, 2).unwrap_err().to_string();
    assert!(text.contains(&format!("{} bytes", 2 * needed)) && text.contains("LimitMEMLOCK="), "{text}");
}
