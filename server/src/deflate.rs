//! The shard's compressor and decompressor for permessage-deflate. Neither exists before it is first needed.

use corecast_protocol::deflate::Inflater;
use corecast_protocol::{MessageKind, ProtocolError};

#[derive(Debug, Default)]
pub struct Codec {
    inflater: Option<Inflater>,
}

impl Codec {
    /// The message that a client sent compressed. At most `limit` bytes come out.
    pub fn inflate(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, ProtocolError> {
        self.inflater.get_or_insert_default().inflate(kind, payload, limit)
    }
}
