//! What of a run is decided on the host that makes the connections: its threads, and the addresses it connects from.

use std::net::IpAddr;

use corecast_protocol::MessageKind;
use serde::{Deserialize, Serialize};

use super::mistakes::{Mistake, Mistakes, check_sources};
use super::{Scenario, message_limits};
use crate::host_limits::HostLimits;
use crate::options::RunOptions;
use crate::preflight::workers_for;
use crate::sources::{Source, SourceError, automatic};
use crate::units::parse_cores;

/// Options that hold for every host by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalOptions {
    threads: Option<usize>,
    cores: Option<String>,
    source: Vec<Source>,
    /// This one is for all hosts together; what it is without depends on their threads.
    connect_concurrency: Option<u32>,
}

impl LocalOptions {
    pub(super) fn of(options: &RunOptions) -> Self {
        Self {
            threads: options.threads,
            cores: options.cores.clone(),
            source: options.source.clone(),
            connect_concurrency: options.connect_concurrency,
        }
    }

    /// One worker per chosen core, and more when the limit of open files leaves one too small a table. Threads are pinned
    /// when cores were named, or when there is one for each allowed core.
    pub(super) fn workers(
        &self,
        connections: u32,
        open_files: u64,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Option<usize>> {
        let least = workers_for(connections, open_files);
        let allowed: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect();
        let chosen = match self.cores.as_deref().map(parse_cores) {
            Some(Ok(cores)) => cores,
            Some(Err(text)) => {
                mistakes.push(Mistake::Cores(text));
                return Vec::new();
            }
            None => {
                let threads = self.threads.unwrap_or_else(|| allowed.len().max(least)).max(1);
                let pin = threads == allowed.len();
                return (0..threads).map(|index| pin.then(|| allowed[index])).collect();
            }
        };
        for &core in &chosen {
            if !allowed.contains(&core) {
                let allowed = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                mistakes.push(Mistake::CoreNotAllowed { core, allowed });
            }
        }
        let threads = self.threads.unwrap_or_else(|| chosen.len().max(least)).max(1);
        (0..threads).map(|index| Some(chosen[index % chosen.len()])).collect()
    }

    /// Addresses to connect from, in turn; none for the kernel's choice.
    pub(super) fn addresses(
        &self,
        server: IpAddr,
        connections: u32,
        local_ports: u64,
    ) -> Result<Vec<IpAddr>, SourceError> {
        if self.source.is_empty() {
            return Ok(automatic(server, connections.into(), local_ports));
        }
        let addresses = self.source.iter().map(|source| source.addresses(server));
        Ok(addresses.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Connections being opened at once, if nothing else is asked for: enough for every thread to have some on their way while
    /// the others have the core.
    pub(crate) fn concurrency(&self, workers: usize) -> u32 {
        self.connect_concurrency.unwrap_or_else(|| (workers as u32).saturating_mul(64).max(256))
    }
}

impl Scenario {
    /// Resolves on this host, one of `hosts` that share the connections, what came without it.
    ///
    /// # Errors
    /// When the options for it make no sense here.
    pub(crate) fn settle_here(&mut self, hosts: usize) -> Result<(), Mistakes> {
        let mut mistakes = Vec::new();
        let limits = HostLimits::here();
        let share = self.connections().div_ceil(hosts.max(1) as u32);
        self.workers = self.local.workers(share, limits.open_files, &mut mistakes);
        match self.local.addresses(self.subscribe.address.ip(), share, limits.local_ports) {
            Ok(sources) => self.sources = sources,
            Err(error) => mistakes.push(Mistake::Source(error)),
        }
        check_sources(&self.sources, [&self.subscribe, &self.publish], &mut mistakes);
        self.limits = message_limits(self.sizes.largest());
        if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes)) }
    }
}

/// The protocol's type knows nothing of serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "MessageKind")]
pub(super) enum KindOnWire {
    Text,
    Binary,
}
