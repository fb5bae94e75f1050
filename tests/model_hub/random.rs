//! Cases by seed, which together have to meet everything that can happen.

use super::case::{Case, POLICIES};
use super::world::Seen;
use corecast::config::LagPolicy;
use corecast::ids::Encoding;
use corecast_tests::choices::Choices;
use corecast_tests::seeds::for_seeds;
use fastrand::Rng;
use std::cell::RefCell;

const CASES: u64 = 2000;

const TOPIC_LOG_BYTES: [usize; 6] = [2_000, 10_000, 16 << 10, 40_000, 64 << 10, 200_000];

/// What all cases together have met.
#[derive(Default, Debug)]
struct Coverage {
    cases: u64,
    pool_exhausted: u64,
    /// By policy and encoding.
    lapped: [[u64; 2]; 3],
    seen: Seen,
}

#[test]
fn every_subscriber_gets_every_message_once_and_in_order() {
    let coverage = RefCell::new(Coverage::default());
    for_seeds(CASES, |rng| run(rng, &mut coverage.borrow_mut()));
    let mut coverage = coverage.into_inner();
    if coverage.cases == CASES {
        coverage.assert_everything_was_met();
    }
}

fn run(rng: &mut Rng, coverage: &mut Coverage) {
    let mut case = Case::new(&TOPIC_LOG_BYTES, Choices::of_seed(rng));
    case.run(rng.usize(20..150));

    coverage.cases += 1;
    let mut seen = case.world.seen;
    coverage.pool_exhausted += case.world.hub.stats().pool_exhausted;
    let is_its_policy = |policy: &LagPolicy| *policy == case.world.limits.lag_policy;
    let policy = POLICIES.iter().position(is_its_policy).expect("one of them");
    for encoding in Encoding::ALL {
        coverage.lapped[policy][encoding as usize] += seen.lapped[encoding as usize];
    }
    for (sum, count) in coverage.seen.counts().into_iter().zip(seen.counts()) {
        *sum += *count;
    }
}

impl Coverage {
    fn assert_everything_was_met(&mut self) {
        let lapped = self.lapped.iter().flatten().all(|&times| times > 0);
        let seen = self.seen.counts().into_iter().all(|&mut times| times > 0);
        assert!(lapped && seen && self.pool_exhausted > 0, "the cases miss something: {self:#?}");
    }
}
