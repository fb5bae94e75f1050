//! Messages as the frames that subscribers get.

use crate::ids::Form;
use corecast_protocol::frame::{HeaderBytes, deflated_server_header, server_header};
use corecast_protocol::{MessageKind, Opcode};

/// A frame in two parts, so that a payload is copied only into the log.
#[derive(Copy, Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) header: HeaderBytes,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    fn new(opcode: Opcode, payload: &'a [u8]) -> Self {
        Self { header: server_header(opcode, payload.len()), payload }
    }

    /// What raw subscribers get.
    pub(super) fn raw(form: Form, payload: &'a [u8]) -> Self {
        Self::new(form.opcode(), payload)
    }

    /// What JSON subscribers get, given the object.
    pub(super) fn json(object: &'a [u8]) -> Self {
        Self::new(Opcode::Text, object)
    }

    /// The payload of a message that was compressed.
    pub(super) fn deflated(kind: MessageKind, payload: &'a [u8]) -> Self {
        Self { header: deflated_server_header(kind, payload.len()), payload }
    }

    /// Bytes in the log.
    pub(super) fn len(&self) -> usize {
        self.header.len() + self.payload.len()
    }
}

/// Bytes that a payload of this length takes in a log at least.
pub(super) fn frame_len_min(payload_len: usize) -> usize {
    // Text has the same header but for its opcode, and JSON is longer.
    server_header(Opcode::Binary, payload_len).len() + payload_len
}
