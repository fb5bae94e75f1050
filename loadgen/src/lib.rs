//! An open-loop load generator for WebSocket fan-out, usable in process.
//!
//! ```text
//!   options --> scenario --+--> worker (thread + ring) --> client --> stamp --> check --> measure --+--> report --> text, JSON,
//!                          |        ^    |                                                   |     |           log, page, diff
//!                          |    schedule |                                                timeline -+
//!                          |             +--> publisher --> message --> stamp                      |
//!                          +--> worker ...                                                         |
//!                          +--> run: the phases in order ------------------------------------------+
//! ```
//!
//! Open loop: message k of a publisher is due at its intended time, whatever happened before. Latency runs from that time to
//! the reaping of the completion that brought the message, so a server that stalls is charged for every message that had
//! to wait, sent or not.
//!
//! It drives any server, and depends on the protocol and on the ring, never on corecast's server.

pub mod autobahn;
mod backoff;
mod calendar;
pub mod check;
pub mod client;
pub mod clock;
mod control;
mod dealing;
pub mod diff;
mod distributed;
pub mod dry_run;
pub mod encoded_histogram;
mod endpoint;
pub mod failure;
pub mod figures;
pub mod flight;
pub mod groups;
mod hlog;
pub mod host;
mod host_limits;
mod html;
pub mod http_publisher;
pub mod json_dialect;
pub mod measure;
mod message;
pub mod metrics_page;
pub mod options;
pub mod output;
mod pacing;
mod packed;
mod part;
pub mod plan;
mod plot;
pub mod preflight;
pub mod preset;
mod publisher;
mod receiver;
mod repeats;
pub mod report;
mod run;
pub mod scenario;
pub mod scenario_file;
pub mod schedule;
pub mod search;
pub mod series;
pub mod server_process;
pub mod shards;
pub mod sizes;
pub mod sources;
pub mod stamp;
pub mod target;
mod text;
pub mod timeline;
pub mod units;
mod verdict;
mod worker;
pub mod workload;
pub mod written;

pub use distributed::{HostError, WorkerOptions, WorkerServer};
pub use options::RunOptions;
pub use report::Report;
pub use run::{Progress, RunError, run};
pub use scenario::Scenario;
pub use search::{SearchOptions, SearchReport, search};
pub use series::{Series, run_series};

/// Version and commit, as `--version` prints them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CORECAST_COMMIT"), ")");
