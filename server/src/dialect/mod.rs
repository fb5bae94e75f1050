//! What clients say and are told inside of WebSocket messages: bytes to values and back. No I/O, no hub.

pub mod json;
mod message;
mod value;

pub use message::{write_message, write_missed};
pub use value::{MAX_NESTING, NotJson, find_value};
