//! What the whole-system tests share.

pub mod seeds;
pub mod wire;
