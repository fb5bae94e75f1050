//! What the whole-system tests share.

pub mod choices;
pub mod seeds;
pub mod wire;
