//! The hub, driven as the shard drives it, by choices that the fuzzer makes.

#[path = "../../model_hub/case.rs"]
mod case;
#[path = "../../model_hub/connection.rs"]
mod connection;
#[path = "../../model_hub/driver.rs"]
mod driver;
#[path = "../../model_hub/json.rs"]
mod json;
#[path = "../../model_hub/stream.rs"]
mod stream;
#[allow(dead_code)] // what the cases have met is counted for the test that runs them by seed
#[path = "../../model_hub/world.rs"]
mod world;

use case::Case;
use corecast_tests::choices::Choices;

/// Two classes of chunks. Logs for the third take a hundred times as long, which seeded cases have to do.
const TOPIC_LOG_BYTES: [usize; 3] = [2_000, 4_000, 16 << 10];

/// As many as the longest of the seeded cases.
const OPERATIONS: usize = 150;

pub fn check(bytes: &[u8]) {
    Case::new(&TOPIC_LOG_BYTES, Choices::of_bytes(bytes)).run(OPERATIONS);
}
