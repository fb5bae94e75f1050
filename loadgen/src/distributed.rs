//! One run on several hosts: `corecast-load worker` on each, and a coordinator that tells them what to do.
//!
//! ```text
//!   run --workers a,b          worker (a)                     worker (b)
//!   hosts --- scenario, part --> session --> threads            session --> threads
//!     |   <-- clock, progress ---   |  refusals, offsets <--->     |
//!     |   <-- outcome of each thread, as it is ---------------------
//!   summary: the same as for threads of one process
//! ```
//!
//! Nothing is merged on the way: the coordinator gets what every thread found, histograms and checks whole, and makes the report
//! from it as if all threads had been its own. What only one clock can tell (latency, spread) is told by the host whose clock
//! it is, unless the differences between clocks are to be trusted.
//!
//! A worker process is called a host here, as a worker is a thread everywhere else.

mod clocks;
mod facts;
mod host;
mod hosts;
mod line;
mod protocol;
mod serve;
mod session;

pub use hosts::HostError;
pub(crate) use hosts::Hosts;
pub use serve::{WorkerOptions, WorkerServer};

use std::time::Duration;

/// Where workers listen unless they are told otherwise.
const DEFAULT_PORT: u16 = 9003;
/// How long a peer may be silent. Each is asked for the time at least every second.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
