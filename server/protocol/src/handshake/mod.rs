//! The opening handshake, both sides (RFC 6455 §4).

pub mod client;
pub mod extensions;
mod grammar;
pub mod server;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The one version there is (RFC 6455 §4.1, §11.6).
pub const WEBSOCKET_VERSION: &str = "13";

/// RFC 6455 §1.3: what both sides append to the key.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key, given as it stands in the header (RFC 6455
/// §4.2.2, 5.4).
pub fn accept_value(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    let mut value = [0; 28];
    let written = STANDARD.encode_slice(digest, &mut value).expect("20 bytes are 28 in base64");
    assert_eq!(written, value.len(), "20 bytes are 28 in base64");
    value
}

fn append_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_value_is_that_of_the_example_in_section_1_3() {
        assert_eq!(&accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
