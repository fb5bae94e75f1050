//! Random tests that can be repeated: fixed seeds, and the one that failed is printed.

use fastrand::Rng;

/// Set to a seed to run that one only.
const ONE_SEED: &str = "CORECAST_TEST_SEED";

/// Set to how many seeds to run instead of the tests' own numbers, which fit into a build.
const SEEDS: &str = "CORECAST_TEST_SEEDS";

/// Runs `test` with the seeds from 0 on; a panic names the seed and how to run it again.
pub fn for_seeds(count: u64, test: impl Fn(&mut Rng)) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = number(SEEDS).unwrap_or(count);
    for seed in number(ONE_SEED).map_or(0..count, |seed| seed..seed + 1) {
        let named = NamedOnPanic(seed);
        test(&mut Rng::with_seed(seed));
        drop(named);
    }
}

pub fn random_bytes(length: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes);
    bytes
}

struct NamedOnPanic(u64);

impl Drop for NamedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; again with {ONE_SEED}={0}", self.0);
        }
    }
}
