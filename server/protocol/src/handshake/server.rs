//! The server's half: does this request open a WebSocket connection, and what is answered (RFC 6455 §4.2)?

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{WEBSOCKET_VERSION, accept_value, append_header};
use crate::http1::{RequestHead, Version};

/// A handshake that is in order. Nothing has been answered yet, so the caller may still refuse: Origin, limits and
/// permissions are its own business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    accept: [u8; 28],
    subprotocol: Option<&'static str>,
    offers_subprotocols: bool,
}

/// Why a request that means to be a handshake is none. The peer's mistake, most often that of a proxy before us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the method is not GET (RFC 6455 §4.2.1); a WebSocket handshake is a GET request")]
    NotGet,

    #[error(
        "the request came as HTTP/1.0, which cannot be upgraded (RFC 6455 §4.2.1); most likely a proxy speaks HTTP/1.0 \
         to this server: nginx `proxy_http_version 1.1;`"
    )]
    Http10,

    #[error(
        "the header `Upgrade: websocket` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: nginx \
         `proxy_set_header Upgrade $http_upgrade;`, Apache `ProxyPass ... upgrade=websocket`"
    )]
    MissingUpgrade,

    #[error(
        "the header `Connection: Upgrade` is missing (RFC 6455 §4.2.1); most likely a proxy replaced it: nginx \
         `proxy_set_header Connection \"upgrade\";`, Apache `ProxyPass ... upgrade=websocket`"
    )]
    MissingConnection,

    #[error(
        "the header `Sec-WebSocket-Key` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: forward all \
         Sec-WebSocket-* headers as they are"
    )]
    MissingKey,

    #[error(
        "{keys} headers `Sec-WebSocket-Key`, where only one is allowed (RFC 6455 §11.3.1); have the client send one"
    )]
    RepeatedKey { keys: usize },

    #[error(
        "`Sec-WebSocket-Key` is not 16 bytes in base64 (RFC 6455 §4.2.1); the client is broken, or a proxy changed the \
         header: forward all Sec-WebSocket-* headers as they are"
    )]
    InvalidKey,

    #[error(
        "the header `Sec-WebSocket-Version` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: forward all \
         Sec-WebSocket-* headers as they are"
    )]
    MissingVersion,

    #[error(
        "`Sec-WebSocket-Version` is \"{version}\", but only 13 is understood (RFC 6455 §4.4); update the client"
    )]
    UnsupportedVersion { version: String },
}

impl HandshakeError {
    /// The status to answer with. [`Self::response_header`] goes with it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotGet => 405,
            Self::Http10 => 505,
            // RFC 6455 §4.2.2: 426 Upgrade Required for a version that is not understood.
            Self::UnsupportedVersion { .. } => 426,
            Self::MissingUpgrade
            | Self::MissingConnection
            | Self::MissingKey
            | Self::RepeatedKey { .. }
            | Self::InvalidKey
            | Self::MissingVersion => 400,
        }
    }

    /// Name and value of the header that the answer must carry besides the usual ones.
    pub const fn response_header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            // RFC 9110 §15.5.6: a 405 names the methods that are allowed.
            Self::NotGet => Some(("Allow", "GET")),
            // RFC 6455 §4.4: a 426 names the versions that are understood.
            Self::UnsupportedVersion { .. } => Some(("Sec-WebSocket-Version", WEBSOCKET_VERSION)),
            _ => None,
        }
    }
}

/// Whether a request means to be a WebSocket handshake. Any one of its headers is enough, so that a handshake that lost
/// one on its way gets a diagnosis and not a web page.
pub fn is_upgrade(head: &RequestHead<'_>) -> bool {
    head.headers.has_token("upgrade", "websocket")
        || head.headers.contains("sec-websocket-key")
        || head.headers.contains("sec-websocket-version")
}

/// Checks a handshake (RFC 6455 §4.2.1) and agrees on a subprotocol: the first of the client's that is in
/// `subprotocols`, none if there is none. Host is checked by [`crate::http1::parse_request`].
pub fn accept_upgrade(
    head: &RequestHead<'_>,
    subprotocols: &[&'static str],
) -> Result<Accepted, HandshakeError> {
    let headers = &head.headers;
    if head.method != "GET" {
        return Err(HandshakeError::NotGet);
    }
    if head.version != Version::Http11 {
        return Err(HandshakeError::Http10);
    }
    if !headers.has_token("upgrade", "websocket") {
        return Err(HandshakeError::MissingUpgrade);
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(HandshakeError::MissingConnection);
    }
    check_version(head)?;
    let key = checked_key(head)?;

    // RFC 6455 §4.1: the client's list is in order of its preference.
    let mut offered = headers.tokens("sec-websocket-protocol").peekable();
    let offers_subprotocols = offered.peek().is_some();
    let subprotocol = offered.find_map(|name| subprotocols.iter().find(|known| **known == name)).copied();
    Ok(Accepted { accept: accept_value(key), subprotocol, offers_subprotocols })
}

fn check_version(head: &RequestHead<'_>) -> Result<(), HandshakeError> {
    let versions: Vec<&[u8]> = head.header("sec-websocket-version").collect();
    if versions.is_empty() {
        return Err(HandshakeError::MissingVersion);
    }
    let version = versions.join(&b", "[..]);
    if version != WEBSOCKET_VERSION.as_bytes() {
        // Peer text that ends up in logs: printable, and short.
        let version = version[..version.len().min(16)].escape_ascii().to_string();
        return Err(HandshakeError::UnsupportedVersion { version });
    }
    Ok(())
}

fn checked_key<'a>(head: &RequestHead<'a>) -> Result<&'a [u8], HandshakeError> {
    let mut keys = head.header("sec-websocket-key");
    let key = keys.next().ok_or(HandshakeError::MissingKey)?;
    let repeated = keys.count();
    if repeated > 0 {
        return Err(HandshakeError::RepeatedKey { keys: 1 + repeated });
    }
    // RFC 6455 §4.2.1: a base64-encoded value that, when decoded, is 16 bytes in length.
    let mut nonce = [0; 18];
    match KEY_DECODER.decode_slice(key, &mut nonce) {
        Ok(16) => Ok(key),
        _ => Err(HandshakeError::InvalidKey),
    }
}

/// 16 bytes leave four bits of the last character unused. RFC 4648 §3.5 lets a decoder ignore them, and some clients
/// put random characters there.
const KEY_DECODER: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

impl Accepted {
    /// The subprotocol agreed on.
    pub const fn subprotocol(&self) -> Option<&'static str> {
        self.subprotocol
    }

    /// The client offered subprotocols and none of them is known. RFC 6455 §4.2.2 lets the server go on without one;
    /// most clients then fail the connection, so refusing with the list of known ones tells more.
    pub const fn offers_only_unknown_subprotocols(&self) -> bool {
        self.offers_subprotocols && self.subprotocol.is_none()
    }

    /// Appends the 101 response (RFC 6455 §4.2.2). Frames may follow at once.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n",
        );
        append_header(out, "Sec-WebSocket-Accept", &self.accept);
        if let Some(subprotocol) = self.subprotocol {
            append_header(out, "Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}
