//! What a coordinator and its workers say to each other, each a line of JSON.
//!
//! In the order of a run: prepare, offer, take, taken; connect; count, counted; start; end of waiting, told; finish, outcomes,
//! done. Meanwhile progress comes by itself, and whoever is asked for the time answers at once.

use serde::{Deserialize, Serialize};

use crate::control::Timing;
use crate::distributed::facts::Facts;
use crate::host::Host;
use crate::part::Part;
use crate::run::crew::{Awaited, Resources, Tally};
use crate::scenario::Scenario;
use crate::worker::Outcome;

/// Coordinator to worker. Times are by the worker's clock.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// One of so many hosts is to do this.
    Prepare {
        scenario: Box<Scenario>,
        run: u32,
        hosts: usize,
    },
    /// The part of it that this host has; `workers` are those of all, each with the core it is pinned to.
    Take {
        part: Part,
        workers: Vec<Option<usize>>,
    },
    /// Asks for the time; also a sign of life.
    Probe {
        number: u32,
    },
    Connect,
    /// Connections are settled: how many listen to each topic?
    Count,
    Ping,
    /// `others` listen to each topic on other hosts.
    Start {
        timing: Timing,
        others: Vec<u32>,
    },
    /// Publishing ends earlier than planned.
    Stop {
        until_ns: u64,
    },
    /// Asks for all facts that were not told yet.
    EndWaiting,
    /// What other hosts' publishers were told.
    Facts(Facts),
    Finish,
}

/// Worker to coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Another coordinator's run is going on.
    Busy,
    /// What the host would do it with. Programs with the same boot id run on one kernel.
    Offer {
        workers: Vec<Option<usize>>,
        host: Host,
        boot_id: String,
    },
    Taken,
    Clock {
        number: u32,
        now_ns: u64,
    },
    Progress {
        tally: Tally,
        published: u64,
        awaited: Option<Awaited>,
        resources: Resources,
    },
    Counted {
        subscribers: Vec<u32>,
    },
    Facts(Facts),
    /// To [`Order::EndWaiting`], behind the facts.
    Told,
    Outcome {
        worker: usize,
        outcome: Box<Outcome>,
    },
    Done,
    Failed {
        cause: String,
    },
}
