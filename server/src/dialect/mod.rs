//! What clients say and are told inside of WebSocket messages: bytes to values and back. No I/O, no hub.

pub mod json;
mod value;

pub use value::{MAX_NESTING, NotJson, find_value};
