//! RFC 6455 and RFC 7692 without I/O, for both sides of a connection.
//!
//! Bytes go in, events and bytes come out; sockets, clock, randomness and logging belong to the caller.
//! Buffers belong to the caller too: a frame that lies wholly inside the caller's input is handed out in
//! place.
//!
//! The order of calls, on a server:
//!
//! 1. [`http1::parse_request`] until the head is complete,
//! 2. [`handshake::server::accept_upgrade`], then [`handshake::server::Accepted::write_response`],
//! 3. [`Connection::new`], then [`Connection::poll_event`] for all bytes that follow the head,
//!    a message that comes compressed goes through [`deflate::Inflater::inflate`],
//! 4. [`frame::server_header`], [`frame::encode_frame`] and [`frame::encode_close`] for what goes out,
//! 5. on [`ProtocolError`]: a Close frame with [`ProtocolError::close_code`] and [`ProtocolError::reason`].
//!    TCP may be closed once [`Connection::close_sent`] and [`Connection::close_received`] both hold, or
//!    after an error.
//!
//! A client begins with [`handshake::client::ClientHandshake`] and goes on with step 3.

#![deny(unsafe_code)]

pub mod codes;
pub mod connection;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod http1;
pub mod limits;
#[allow(unsafe_code)] // calls code compiled for CPU features that were detected at run time
pub mod mask;
pub mod topic;
pub mod utf8;

pub use codes::{CloseCode, MessageKind, Opcode};
pub use connection::{Connection, Event, Input, Payload, Side};
pub use error::ProtocolError;
pub use limits::Limits;
pub use topic::TopicName;
