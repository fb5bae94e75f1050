//! The parts of the server that are measured, set up once for all who measure them: the benchmarks time them, `instructions`
//! counts what they execute.

mod fan_out;
mod frames;
mod heads;
mod json;
mod placed;
mod service;

pub use fan_out::FanOut;
pub use frames::{Frames, KEY};
pub use heads::Heads;
pub use json::JsonPublish;
pub use placed::Placed;
pub use service::Service;
