//! Client and server connections joined in memory, and what only shows when bytes arrive as they please: in
//! any pieces, with any fragments, with control frames anywhere, and from peers that mean harm.

#[path = "protocol_pair/pair.rs"]
mod pair;

#[path = "protocol_pair/agreement.rs"]
mod agreement;
#[path = "protocol_pair/closing.rs"]
mod closing;
#[path = "protocol_pair/exchanges.rs"]
mod exchanges;
#[path = "protocol_pair/fragments.rs"]
mod fragments;
#[path = "protocol_pair/hostile.rs"]
mod hostile;
#[path = "protocol_pair/limits.rs"]
mod limits;
#[path = "protocol_pair/opening.rs"]
mod opening;
#[path = "protocol_pair/oracle.rs"]
mod oracle;
#[path = "protocol_pair/utf8.rs"]
mod utf8;
