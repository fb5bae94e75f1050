//! The socket side of a connection: its slot, what it has received but not handled, what it has yet to send. Knows
//! nothing of topics.

pub mod connection;
pub mod listener;
pub mod outbound;
pub mod table;
pub mod unix_path;
