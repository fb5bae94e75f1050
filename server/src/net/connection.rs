//! One connection's state: what an idle one costs.

use super::outbound::Outbound;
use crate::home::HomeId;
use crate::http::PendingPublish;
use crate::ids::{Compression, ShardId, Slot, TopicId};
use crate::mesh::{About, Request};
use crate::message::SharedMessages;
use corecast_protocol::deflate::MAX_WINDOW_BITS;
use corecast_protocol::handshake::extensions::Deflate;
use corecast_protocol::{self as protocol, Side};
use corecast_uring::Token;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a connection is in its life.
///
/// ```text
///   Vacant ─accept─► Http ─upgrade─► Open ─Close frame─► Closing ─┐
///                      └───────────────┴──────► Lingering ◄───────┤ peer still sends
///                                                   └──► Dying ◄──┘ ─ no operation in flight ─► OP_CLOSE ─► Vacant
/// ```
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum Phase {
    #[default]
    Vacant,
    /// Reads HTTP requests.
    Http,
    /// A WebSocket connection.
    Open,
    /// Our Close frame is queued or sent; what comes is still parsed, for the peer's.
    Closing,
    /// Nothing more to say: once everything is sent, FIN; what still comes is thrown away until the peer's FIN, so that a
    /// reset does not destroy our last words on their way (RFC 6455 §7.1.1).
    Lingering,
    /// Its operations are being cancelled; with the last one its descriptor is closed.
    Dying,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Vacant => "vacant",
            Self::Http => "http",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Lingering => "lingering",
            Self::Dying => "dying",
        }
    }
}

/// The operations a connection can have in flight, each at most once. As a set, and as the kind of their tokens.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[repr(u8)]
pub enum Operation {
    Receive = 1 << 0,
    PollWritable = 1 << 1,
    PeerAddress = 1 << 2,
    Shutdown = 1 << 3,
    CancelReceive = 1 << 4,
    CancelPoll = 1 << 5,
    ResetOnClose = 1 << 6,
    Close = 1 << 7,
}

impl Operation {
    pub const ALL: [Self; 8] = [
        Self::Receive,
        Self::PollWritable,
        Self::PeerAddress,
        Self::Shutdown,
        Self::CancelReceive,
        Self::CancelPoll,
        Self::ResetOnClose,
        Self::Close,
    ];

    pub fn from_kind(kind: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&operation| operation as u8 == kind)
    }
}

/// What is true of a connection, beyond its phase.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[repr(u32)]
pub enum Flag {
    /// Came through the admin listener.
    Admin = 1 << 0,
    /// Its listener is bound to a loopback address.
    LoopbackListener = 1 << 1,
    /// Was accepted above `max_connections`: gets a 503.
    OverLimit = 1 << 2,
    /// May publish to its topic.
    MayPublish = 1 << 3,
    /// Counted as a publisher of its topic without being subscribed.
    PublisherOnly = 1 << 4,
    /// Reading is paused: what arrives is kept.
    Paused = 1 << 5,
    /// Waits in the list of publishers that were held back.
    Held = 1 << 6,
    /// Waits for a receive buffer.
    Starved = 1 << 7,
    /// Listed as having something to send outside of passes.
    Attention = 1 << 8,
    /// A ping of ours is unanswered.
    Pinged = 1 << 9,
    /// The peer's stream has ended.
    PeerFinished = 1 << 10,
    /// No request follows on this HTTP connection.
    LastRequest = 1 << 11,
    /// The FIN is out.
    ShutDown = 1 << 12,
    /// Came with role=subscriber.
    SubscriberOnly = 1 << 13,
    /// Speaks the JSON dialect.
    Json = 1 << 14,
    /// Waits for another shard's answer: what it sends is kept.
    Awaiting = 1 << 15,
    /// Counted among the WebSockets.
    WebSocket = 1 << 16,
    /// The receive was armed while a cancel was on its way, which may have met the one before.
    ArmedAnew = 1 << 17,
    /// Has to be compressed for with the smallest window.
    SmallWindow = 1 << 18,
    /// Gets its own messages back.
    Echo = 1 << 19,
}

/// State of one slot. Small and flat: see `SLOT_BYTES`.
#[derive(Debug)]
pub struct Connection {
    /// Recognises completions for an earlier owner of the slot.
    pub generation: u32,
    /// The tick by which something must have happened; what, depends on the phase.
    pub deadline: u32,
    in_flight: u8,
    pub phase: Phase,
    flags: u32,
    /// What the shard's sum of unhandled input has for this connection, in bytes.
    pub inbound_accounted: u32,
    /// Of the raw dialect: where it publishes and whose subscriber it is, once upgraded.
    pub topic: Option<TopicId>,
    pub peer: Peer,
    pub protocol: protocol::Connection,
    pub inbound: Option<Box<Inbound>>,
    pub outbound: Option<Box<Outbound>>,
}

/// What one slot of the table costs, in bytes.
pub const SLOT_BYTES: usize = size_of::<Connection>();
const _: () = assert!(SLOT_BYTES <= 96, "an idle connection's state is meant to stay within 96 bytes");

impl Default for Connection {
    fn default() -> Self {
        Self {
            generation: 0,
            deadline: 0,
            in_flight: 0,
            phase: Phase::Vacant,
            flags: 0,
            inbound_accounted: 0,
            topic: None,
            peer: Peer::UNKNOWN,
            protocol: protocol::Connection::new(Side::Server),
            inbound: None,
            outbound: None,
        }
    }
}

impl Connection {
    pub fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u32 != 0
    }

    pub fn set(&mut self, flag: Flag) {
        self.flags |= flag as u32;
    }

    pub fn clear(&mut self, flag: Flag) {
        self.flags &= !(flag as u32);
    }

    /// Sets the flag; whether it was not set before.
    pub fn set_newly(&mut self, flag: Flag) -> bool {
        let is_new = !self.is(flag);
        self.set(flag);
        is_new
    }

    pub fn has_in_flight(&self, operation: Operation) -> bool {
        self.in_flight & operation as u8 != 0
    }

    pub fn is_only_in_flight(&self, operation: Operation) -> bool {
        self.in_flight == operation as u8
    }

    pub fn is_quiet(&self) -> bool {
        self.in_flight == 0
    }

    /// The token for an operation that is about to be pushed.
    pub fn begin(&mut self, slot: Slot, operation: Operation) -> Token {
        assert!(!self.has_in_flight(operation), "{operation:?} is in flight already");
        self.in_flight |= operation as u8;
        self.token(slot, operation)
    }

    pub fn token(&self, slot: Slot, operation: Operation) -> Token {
        Token::new(operation as u8, slot.0, self.generation)
    }

    /// An operation's last completion has come.
    pub fn end(&mut self, operation: Operation) {
        assert!(self.has_in_flight(operation), "{operation:?} completed but was not in flight");
        self.in_flight &= !(operation as u8);
    }

    /// Has a WebSocket that can still be sent to.
    pub fn is_websocket(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing)
    }

    pub fn inbound_mut(&mut self) -> &mut Inbound {
        self.inbound.get_or_insert_default()
    }

    pub fn outbound_mut(&mut self) -> &mut Outbound {
        self.outbound.get_or_insert_default()
    }

    /// The handshake agrees on compression.
    pub fn agree_deflate(&mut self, deflate: Deflate) {
        self.protocol = protocol::Connection::new(Side::Server).with_deflate(true);
        if deflate.window_bits() < MAX_WINDOW_BITS {
            self.set(Flag::SmallWindow);
        }
    }

    /// How messages may be sent to it.
    pub fn compression(&self) -> Compression {
        match (self.protocol.has_deflate(), self.is(Flag::SmallWindow)) {
            (false, _) => Compression::Plain,
            (true, false) => Compression::Deflate,
            (true, true) => Compression::SmallWindow,
        }
    }

    /// Bytes on the heap for input that is not handled yet, or is on its way back.
    pub fn inbound_bytes(&self) -> usize {
        let echoes = self.outbound.as_ref().filter(|_| self.is(Flag::Echo));
        self.protocol.buffered_bytes()
            + self.inbound.as_ref().map_or(0, |inbound| inbound.bytes_held())
            + echoes.map_or(0, |outbound| outbound.bytes_held())
    }

    /// Gives the inbound state back when there is nothing in it.
    pub fn tidy_inbound(&mut self) {
        if self.inbound.as_ref().is_some_and(|inbound| inbound.is_empty()) {
            self.inbound = None;
        }
    }

    /// What comes from it is kept: its reading is paused, or it is not known yet who it is.
    pub fn is_handled_later(&self) -> bool {
        self.is(Flag::Paused) || self.has_in_flight(Operation::PeerAddress)
    }

    /// Gives the outbound state back when there is nothing in it.
    pub fn tidy_outbound(&mut self) {
        if self.outbound.as_ref().is_some_and(|outbound| outbound.is_empty()) {
            self.outbound = None;
        }
    }
}

/// Input that could not be handled when it came.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Bytes not yet parsed: an incomplete request head, or what came while reading was paused.
    pub bytes: Vec<u8>,
    /// A request whose body is still arriving.
    pub publish: Option<Box<PendingPublish>>,
    /// A request for which there was no room.
    pub held: Option<Box<Held>>,
}

/// What a connection wants of a topic's home and there was no room for.
#[derive(Debug)]
pub enum Held {
    /// A publish to a topic whose home is on this shard.
    Here { home: HomeId, messages: SharedMessages, about: About },
    /// A request to another shard.
    There { shard: ShardId, request: Request },
}

impl Held {
    fn bytes(&self) -> usize {
        match self {
            Self::Here { messages, .. } => messages.held_bytes(),
            Self::There { request, .. } => request.bytes(),
        }
    }
}

impl Inbound {
    fn bytes_held(&self) -> usize {
        self.bytes.capacity()
            + self.publish.as_ref().map_or(0, |publish| publish.body.capacity())
            + self.held.as_ref().map_or(0, |held| held.bytes())
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.publish.is_none() && self.held.is_none()
    }
}

/// Who the peer is: its address, in 18 bytes.
#[derive(Copy, Clone, Eq, PartialEq)]
pub struct Peer {
    /// IPv4 as IPv4-mapped IPv6.
    ip: [u8; 16],
    port: u16,
}

/// `[::]`: stands for a peer without an IP address.
const NO_IP: [u8; 16] = [0; 16];

impl Peer {
    /// Not known yet: never taken for a local one.
    pub const UNKNOWN: Self = Self { ip: NO_IP, port: 0 };

    /// At the other end of a Unix socket, and so on this host.
    pub const UNIX: Self = Self { ip: NO_IP, port: 1 };

    pub fn new(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        // No peer has that one; it must not become a local one by its port.
        if ip == NO_IP { Self::UNKNOWN } else { Self { ip, port: address.port() } }
    }

    pub fn address(self) -> Option<SocketAddr> {
        (self.ip != NO_IP).then(|| SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), self.port))
    }

    pub fn is_loopback(self) -> bool {
        self == Self::UNIX || self.address().is_some_and(|address| address.ip().is_loopback())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None if *self == Self::UNIX => f.write_str("unix"),
            None => f.write_str("unknown"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_keeps_ipv4_and_ipv6_addresses() {
        for text in ["127.0.0.1:80", "[2001:db8::1]:443"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Peer::new(address).address(), Some(address));
            assert_eq!(Peer::new(address).to_string(), text);
        }
    }

    #[test]
    fn only_a_known_loopback_peer_is_loopback() {
        assert!(Peer::new("127.8.8.8:1".parse().unwrap()).is_loopback());
        assert!(Peer::new("[::1]:1".parse().unwrap()).is_loopback());
        assert!(Peer::new("[::ffff:127.0.0.1]:1".parse().unwrap()).is_loopback());
        assert!(!Peer::new("192.0.2.1:1".parse().unwrap()).is_loopback());
        assert!(!Peer::new("[::ffff:192.0.2.1]:1".parse().unwrap()).is_loopback());
        assert!(!Peer::UNKNOWN.is_loopback());
    }

    #[test]
    fn unix_peer_is_loopback_and_has_no_address() {
        assert!(Peer::UNIX.is_loopback());
        assert_eq!((Peer::UNIX.address(), Peer::UNIX.to_string()), (None, "unix".to_owned()));
        assert_eq!((Peer::UNKNOWN.address(), Peer::UNKNOWN.to_string()), (None, "unknown".to_owned()));
        assert_eq!(Peer::new("[::]:1".parse().unwrap()), Peer::UNKNOWN);
    }

    #[test]
    fn mapped_ipv4_peer_is_shown_as_ipv4() {
        let mapped = Peer::new("[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(mapped, Peer::new("192.0.2.1:80".parse().unwrap()));
        assert_eq!(mapped.to_string(), "192.0.2.1:80");
    }

    #[test]
    fn operations_are_told_by_their_kind() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_kind(operation as u8), Some(operation));
        }
        assert_eq!(Operation::from_kind(0), None);
        assert_eq!(Operation::from_kind(3), None);
    }

    #[test]
    #[should_panic(expected = "in flight already")]
    fn an_operation_is_begun_once() {
        let mut connection = Connection::default();
        connection.begin(Slot(1), Operation::Receive);
        connection.begin(Slot(1), Operation::Receive);
    }
}
