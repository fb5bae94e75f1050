//! Frames, well-formed or not, towards both sides of a connection, whole and in pieces.

#[path = "../../protocol_pair/agreement.rs"]
mod agreement;
#[path = "../../protocol_pair/oracle.rs"]
mod oracle;

use crate::pieces::Pieces;
use agreement::SMALL;
use corecast_protocol::Side;
use oracle::{Bounds, Terms};

/// Never reached, so that lengths in 64 bits are met with their payload still to come.
const LARGE: Bounds = Bounds { frame_bytes: 1 << 40, message_bytes: 1 << 41, fragments: 1 << 20 };

pub fn check(bytes: &[u8]) {
    let Some(pieces) = Pieces::read(bytes) else { return };
    let side = if pieces.flags & 1 == 0 { Side::Server } else { Side::Client };
    let bounds = if pieces.flags & 2 == 0 { SMALL } else { LARGE };
    let terms = Terms { side, deflate: pieces.flags & 4 != 0, bounds };
    agreement::check(terms, pieces.stream, &pieces.lengths);
}
