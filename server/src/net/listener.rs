//! Listening sockets, one for each shard: bound so that a taken address is noticed, with the options that accepted
//! sockets inherit.

use super::unix_path::{self, UnixPath, UnixPathError};
use crate::config::ListenAddress;
use corecast_uring::socket::set_tcp_defer_accept;
use corecast_uring::{Errno, KernelRing, ListenerId};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Connections that may wait to be accepted: the kernel's own default for `net.core.somaxconn`, which caps it.
pub const BACKLOG: i32 = 4096;

/// A connection that says nothing is accepted after so long. Others are when their request is there, so that it is read at once
/// instead of being waited for: measured, a sixth of what connecting costs.
const SILENT_SECONDS: u8 = 1;

/// How long to wait for an address in use that may be on its way back: the kernel takes the rings of a killed process apart
/// some 30 ms after it is gone, and until then its listening sockets live on.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(50);

/// Options of every TCP connection, set once on its listener (Linux copies them to what is accepted from it).
#[derive(Copy, Clone, Debug)]
pub struct SocketOptions {
    /// `TCP_NOTSENT_LOWAT`, in bytes: bounds what the kernel holds for a slow peer.
    pub notsent_lowat: u32,
    /// `SO_SNDBUF` and `SO_RCVBUF`, in bytes; the kernel's own tuning if not given.
    pub send_buffer: Option<u32>,
    pub receive_buffer: Option<u32>,
}

/// Why an address cannot be listened at. Each message names the cause and what mends it.
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
    #[error(
        "cannot listen on {address}: this host has no IPv6; listen on an IPv4 address, where 0.0.0.0 stands for all (in a systemd unit, RestrictAddressFamilies= must have AF_INET6)"
    )]
    NoIpv6 { address: SocketAddr },
    #[error("cannot listen on unix:{}: {source}", .path.display())]
    Unix { path: Box<Path>, source: UnixPathError },
    #[error("cannot listen on {address}: {step} failed: {source}")]
    Other { address: ListenAddress, step: &'static str, source: io::Error },
}

impl ListenError {
    fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Unix { source: UnixPathError::InUse, .. })
    }
}

/// A bound, listening socket and the address it got.
#[derive(Debug)]
pub struct Listener {
    pub address: ListenAddress,
    fd: OwnedFd,
    unix_path: Option<Arc<UnixPath>>,
}

impl Listener {
    /// Binds and listens at one address, for each shard: over TCP each gets a socket of its own, among which the kernel
    /// spreads the connections; a Unix socket is one, of which each gets a duplicate. Port 0 takes any free one, the same
    /// for all.
    ///
    /// Whoever shares a Unix socket should accept one at a time: of several accepts that go on
    /// ([`Op::Accept`](corecast_uring::Op::Accept)) the first one armed takes all there is.
    pub fn bind_all(
        address: &ListenAddress,
        shards: u32,
        options: SocketOptions,
    ) -> Result<Vec<Self>, ListenError> {
        with_patience(|| match address {
            ListenAddress::Tcp(address) => bind_tcp(*address, shards, options),
            ListenAddress::Unix(path) => bind_unix(path, shards),
        })
    }

    /// Binds and listens at one address over TCP, for one shard.
    pub fn bind(address: SocketAddr, options: SocketOptions) -> Result<Self, ListenError> {
        Ok(Self::bind_all(&ListenAddress::Tcp(address), 1, options)?.remove(0))
    }

    /// Whether only this host's own processes get here.
    pub fn is_loopback(&self) -> bool {
        self.tcp_address().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// The file of a Unix socket. It is removed when the last of these is dropped, the listeners' own included: keep one
    /// for as long as the service runs.
    pub fn unix_path(&self) -> Option<Arc<UnixPath>> {
        self.unix_path.clone()
    }

    pub fn add_to(self, ring: &mut KernelRing) -> ListenerId {
        ring.add_listener(self.fd)
    }
}

/// Tries again for a while when the address is in use.
fn with_patience<T>(mut attempt: impl FnMut() -> Result<T, ListenError>) -> Result<T, ListenError> {
    let mut pauses = PATIENCE.as_millis() / PAUSE.as_millis();
    loop {
        match attempt() {
            Err(error) if error.is_in_use() && pauses > 0 => thread::sleep(PAUSE),
            outcome => return outcome,
        }
        pauses -= 1;
    }
}

/// The address is bound without `SO_REUSEPORT` first: with it, a second server on the same port would silently share its
/// connections instead of being told. None listens before all are bound, so that a failure costs no connection; then they
/// do so in the order of their shards.
fn bind_tcp(address: SocketAddr, shards: u32, options: SocketOptions) -> Result<Vec<Listener>, ListenError> {
    let proof = bound_socket(address, false)?;
    let address = local_address(&proof, address)?;
    drop(proof);
    let sockets: Vec<Socket> = (0..shards)
        .map(|_| {
            let socket = bound_socket(address, true)?;
            set_options(&socket, options).map_err(|(step, source)| other(address, step, source))?;
            Ok(socket)
        })
        .collect::<Result<_, ListenError>>()?;
    let listening = |socket: Socket| {
        socket.listen(BACKLOG).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address },
            _ => other(address, "listen", source),
        })?;
        Ok(Listener { address: ListenAddress::Tcp(address), fd: socket.into(), unix_path: None })
    };
    sockets.into_iter().map(listening).collect()
}

fn bound_socket(address: SocketAddr, reuse_port: bool) -> Result<Socket, ListenError> {
    let failed = |step| move |source| other(address, step, source);
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(|source| {
            match source.raw_os_error().map(Errno) {
                Some(Errno::EAFNOSUPPORT) if address.is_ipv6() => ListenError::NoIpv6 { address },
                _ => other(address, "socket", source),
            }
        })?;
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
        _ => other(address, "bind", source),
    })?;
    Ok(socket)
}

fn local_address(socket: &Socket, asked: SocketAddr) -> Result<SocketAddr, ListenError> {
    let address = socket.local_addr().map_err(|source| other(asked, "getsockname", source))?;
    Ok(address.as_socket().expect("an IP socket has an IP address"))
}

fn set_options(socket: &Socket, options: SocketOptions) -> Result<(), (&'static str, io::Error)> {
    let failed = |step| move |source| (step, source);
    set_tcp_defer_accept(socket, SILENT_SECONDS).map_err(failed("TCP_DEFER_ACCEPT"))?;
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
    socket.set_tcp_keepalive(&keepalive).map_err(failed("SO_KEEPALIVE"))
}

fn bind_unix(path: &Path, shards: u32) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError::Unix { path: path.into(), source };
    let (socket, unix_path) = unix_path::listen(path, BACKLOG).map_err(failed)?;
    let unix_path = Arc::new(unix_path);
    let duplicate = |_| {
        let fd = socket
            .try_clone()
            .map_err(|source| failed(UnixPathError::Other { step: "duplicating the socket", source }))?;
        Ok(Listener {
            address: ListenAddress::Unix(path.to_owned()),
            fd: fd.into(),
            unix_path: Some(Arc::clone(&unix_path)),
        })
    };
    (0..shards).map(duplicate).collect()
}

fn other(address: SocketAddr, step: &'static str, source: io::Error) -> ListenError {
    ListenError::Other { address: ListenAddress::Tcp(address), step, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    const OPTIONS: SocketOptions =
        SocketOptions { notsent_lowat: 65_536, send_buffer: None, receive_buffer: None };

    #[test]
    fn a_port_in_use_is_named_even_when_its_owner_shares_it() {
        let first = Listener::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let taken = first.tcp_address().unwrap();
        let error = Listener::bind_all(&first.address, 2, OPTIONS).unwrap_err();
        assert!(matches!(error, ListenError::InUse { address } if address == taken), "{error}");
        assert!(error.to_string().contains("the port is in use"), "{error}");
    }

    #[test]
    fn address_that_is_free_again_in_a_moment_is_waited_for() {
        let address = "127.0.0.1:9001".parse().unwrap();
        let mut attempts = 0;
        let outcome = with_patience(|| {
            attempts += 1;
            if attempts < 4 { Err(ListenError::InUse { address }) } else { Ok(attempts) }
        });
        assert_eq!(outcome.unwrap(), 4);
        let mut attempts = 0;
        let outcome: Result<(), _> = with_patience(|| {
            attempts += 1;
            Err(ListenError::Privileged { address })
        });
        assert!(matches!(outcome, Err(ListenError::Privileged { .. })));
        assert_eq!(attempts, 1);
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        let error = Listener::bind("192.0.2.1:0".parse().unwrap(), OPTIONS).unwrap_err();
        assert!(matches!(error, ListenError::NoSuchAddress { .. }), "{error}");
    }

    #[test]
    fn all_shards_share_the_port_that_the_first_was_given() {
        let listeners = Listener::bind_all(&"127.0.0.1:0".parse().unwrap(), 3, OPTIONS).unwrap();
        let address = listeners[0].tcp_address().unwrap();
        assert_ne!(address.port(), 0);
        assert_eq!(listeners.len(), 3);
        for listener in &listeners {
            assert_eq!(listener.address, ListenAddress::Tcp(address));
            assert!(listener.is_loopback() && listener.unix_path().is_none());
            let socket = socket2::SockRef::from(&listener.fd);
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(address));
            assert!(socket.is_listener().unwrap() && socket.reuse_port().unwrap());
            assert!(socket.tcp_nodelay().unwrap());
        }
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn only_an_address_of_this_host_alone_is_loopback() {
        let bound = |text: &str| Listener::bind(text.parse().unwrap(), OPTIONS);
        assert!(!bound("0.0.0.0:0").unwrap().is_loopback());
        for (text, is_loopback) in [("[::1]:0", true), ("[::ffff:127.0.0.1]:0", true), ("[::]:0", false)] {
            match bound(text) {
                Ok(listener) => assert_eq!(listener.is_loopback(), is_loopback, "{text}"),
                Err(error @ (ListenError::NoIpv6 { .. } | ListenError::NoSuchAddress { .. })) => {
                    println!("SKIPPED for {text}: {error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn all_shards_accept_from_one_unix_socket_whose_file_goes_with_the_last() {
        let path = std::env::temp_dir().join(format!("corecast-listener-{}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        let address = ListenAddress::Unix(path.clone());
        let mut listeners = Listener::bind_all(&address, 3, OPTIONS).unwrap();
        assert_eq!(listeners.len(), 3);
        assert!(listeners.iter().all(|listener| listener.address == address && listener.is_loopback()));
        let kept = listeners[0].unix_path().unwrap();
        for listener in listeners.drain(..) {
            let _peer = UnixStream::connect(&path).unwrap();
            socket2::SockRef::from(&listener.fd).accept().unwrap();
        }
        let error = UnixStream::connect(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        drop(kept);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_wrong_with_a_unix_path_is_said_with_the_path() {
        let error = Listener::bind_all(&ListenAddress::Unix("/".into()), 1, OPTIONS).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot listen on unix:/: there is a directory in its place, and only a socket that nobody listens on is \
             replaced; remove it or choose another path with --listen"
        );
    }
}
