use crate::RingConfig;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ProbeError;
#[derive(Debug)]
pub struct Capabilities;
impl std::fmt::Display for Capabilities { fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
pub fn check(_: &RingConfig, _: u32) -> Result<Capabilities, ProbeError> { Ok(Capabilities) }
pub use crate::locked_bytes;
