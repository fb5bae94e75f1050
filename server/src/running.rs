//! A running service: its listeners, its shards' threads, and how to stop it.

use crate::config::{Config, ListenAddress};
use crate::net::listener::{ListenError, Listener, SocketOptions};
use crate::net::unix_path::UnixPath;
use crate::shard::executor::{self, ShardHandle, ShardListener};
use corecast_uring::probe;
use std::net::SocketAddr;
use std::sync::Arc;

/// Why the service could not be started. Each message names the cause and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Probe(#[from] probe::ProbeError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Shard(#[from] executor::ShardError),
}

/// A service that accepts connections.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<ListenAddress>,
    admin_address: Option<SocketAddr>,
    shards: Vec<ShardHandle>,
    /// The files of Unix sockets, removed with this.
    unix_paths: Vec<Arc<UnixPath>>,
}

/// Checks the host, binds the listeners and starts the shards. The admin listener is the first shard's.
pub fn start(config: Config) -> Result<Running, StartError> {
    probe::check(&config.ring(), config.shards)?;
    let options = SocketOptions {
        notsent_lowat: config.notsent_lowat,
        send_buffer: config.tcp_send_buffer,
        receive_buffer: config.tcp_receive_buffer,
    };
    let mut by_shard: Vec<Vec<ShardListener>> = (0..config.shards).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    let mut unix_paths = Vec::new();
    for address in &config.listen {
        // A shard whose share of the connections is none would only turn clients away.
        let bound = Listener::bind_all(address, config.shards.min(config.max_connections), options)?;
        addresses.push(bound[0].address.clone());
        unix_paths.extend(bound[0].unix_path());
        for (listeners, listener) in by_shard.iter_mut().zip(bound) {
            listeners.push(ShardListener { listener, is_admin: false });
        }
    }
    let mut admin_address = None;
    if let Some(address) = config.admin {
        let listener = Listener::bind(address, options)?;
        admin_address = listener.tcp_address();
        by_shard[0].push(ShardListener { listener, is_admin: true });
    }
    let shards = executor::spawn_all(&config, by_shard)?;
    Ok(Running { addresses, admin_address, shards, unix_paths })
}

impl Running {
    /// Where clients connect, with the ports that were chosen for 0.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Begins to drain: no new connections, Close 1001 to all, a bounded wait. From any thread, and again without harm.
    pub fn stop(&self) {
        for shard in &self.shards {
            shard.stop();
        }
    }

    /// Waits until the service has stopped.
    pub fn join(self) -> Result<(), StartError> {
        let Self { shards, unix_paths, .. } = self;
        let mut ended = Ok(());
        for shard in shards {
            let result = shard.join();
            ended = ended.and(result);
        }
        drop(unix_paths);
        Ok(ended?)
    }
}
