//! Listening sockets: bound so that a taken port is noticed, with the options that accepted sockets inherit.

use corecast_uring::{KernelRing, ListenerId};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Connections that may wait to be accepted: the kernel's own default for `net.core.somaxconn`, which caps it.
pub const BACKLOG: i32 = 4096;

/// Options of every connection, set once on its listener (Linux copies them to what is accepted from it).
#[derive(Copy, Clone, Debug)]
pub struct SocketOptions {
    /// `TCP_NOTSENT_LOWAT`, in bytes: bounds what the kernel holds for a slow peer.
    pub notsent_lowat: u32,
    /// `SO_SNDBUF` and `SO_RCVBUF`, in bytes; the kernel's own tuning if not given.
    pub send_buffer: Option<u32>,
    pub receive_buffer: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "cannot listen on {address}: the port is in use; stop the other process (`ss -ltnp` shows it) or choose another with --listen or --admin"
    )]
    InUse { address: SocketAddr },
    #[error(
        "cannot listen on {address}: this host has no such address; `ip addr` lists those it has, 0.0.0.0 and [::] stand for all"
    )]
    NoSuchAddress { address: SocketAddr },
    #[error(
        "cannot listen on {address}: ports below 1024 need root or CAP_NET_BIND_SERVICE (in a systemd unit: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
    )]
    Privileged { address: SocketAddr },
    #[error("cannot listen on {address}: {step} failed: {source}")]
    Other { address: SocketAddr, step: &'static str, source: io::Error },
}

/// A bound, listening socket and the address it got.
#[derive(Debug)]
pub struct Listener {
    pub address: SocketAddr,
    fd: OwnedFd,
}

impl Listener {
    /// Binds and listens. Port 0 takes any free one.
    ///
    /// It is bound without `SO_REUSEPORT` first: with it, a second server on the same port would silently share its
    /// connections instead of being told.
    pub fn bind(address: SocketAddr, options: SocketOptions) -> Result<Self, ListenError> {
        let proof = bound_socket(address, false)?;
        let address = local_address(&proof, address)?;
        drop(proof);
        let socket = bound_socket(address, true)?;
        let failed = |step| move |source| ListenError::Other { address, step, source };
        socket.set_tcp_nodelay(true).map_err(failed("TCP_NODELAY"))?;
        socket.set_tcp_notsent_lowat(options.notsent_lowat).map_err(failed("TCP_NOTSENT_LOWAT"))?;
        if let Some(bytes) = options.send_buffer {
            socket.set_send_buffer_size(bytes as usize).map_err(failed("SO_SNDBUF"))?;
        }
        if let Some(bytes) = options.receive_buffer {
            socket.set_recv_buffer_size(bytes as usize).map_err(failed("SO_RCVBUF"))?;
        }
        // A peer that vanished without a FIN is noticed by the kernel too, even where pings are switched off.
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(120));
        socket.set_tcp_keepalive(&keepalive).map_err(failed("SO_KEEPALIVE"))?;
        socket.listen(BACKLOG).map_err(failed("listen"))?;
        Ok(Self { address, fd: socket.into() })
    }

    pub fn add_to(self, ring: &mut KernelRing) -> ListenerId {
        ring.add_listener(self.fd)
    }
}

fn bound_socket(address: SocketAddr, reuse_port: bool) -> Result<Socket, ListenError> {
    let failed = |step| move |source| ListenError::Other { address, step, source };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(failed("socket"))?;
    // A restart must not wait for the last process's connections in TIME_WAIT.
    socket.set_reuse_address(true).map_err(failed("SO_REUSEADDR"))?;
    socket.set_reuse_port(reuse_port).map_err(failed("SO_REUSEPORT"))?;
    if address.is_ipv6() {
        socket.set_only_v6(false).map_err(failed("IPV6_V6ONLY"))?;
    }
    socket.bind(&address.into()).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { address },
        io::ErrorKind::PermissionDenied => ListenError::Privileged { address },
        _ => ListenError::Other { address, step: "bind", source },
    })?;
    Ok(socket)
}

fn local_address(socket: &Socket, asked: SocketAddr) -> Result<SocketAddr, ListenError> {
    let address = socket.local_addr().map_err(|source| ListenError::Other {
        address: asked,
        step: "getsockname",
        source,
    })?;
    Ok(address.as_socket().expect("an IP socket has an IP address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: SocketOptions =
        SocketOptions { notsent_lowat: 65_536, send_buffer: None, receive_buffer: None };

    #[test]
    fn a_port_in_use_is_named_even_when_its_owner_shares_it() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let error = Listener::bind(first.address, OPTIONS).unwrap_err();
        assert!(matches!(error, ListenError::InUse { address } if address == first.address), "{error}");
        assert!(error.to_string().contains("the port is in use"), "{error}");
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        let error = Listener::bind("192.0.2.1:0".parse().unwrap(), OPTIONS).unwrap_err();
        assert!(matches!(error, ListenError::NoSuchAddress { .. }), "{error}");
    }
}
