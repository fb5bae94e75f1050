//! What can be wrong with a client's handshake, and how it is answered.

use crate::handshake::WEBSOCKET_VERSION;

/// Why a request that means to be a handshake is none. The peer's mistake, most often that of a proxy before
/// us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the method is not GET (RFC 6455 §4.2.1); a WebSocket handshake is a GET request")]
    NotGet,

    #[error(
        "the request came as HTTP/1.0, which cannot be upgraded (RFC 6455 §4.2.1); most likely a proxy \
         speaks HTTP/1.0 to this server: nginx `proxy_http_version 1.1;`"
    )]
    Http10,

    #[error(
        "the target \"{target}\" is no path with an optional query (RFC 6455 §4.2.1); it begins with `/`, or with http:// \
         and the host, and has no fragment: write `#` as %23, and other than ASCII percent-encoded"
    )]
    InvalidTarget { target: String },

    #[error(
        "the header `Upgrade: websocket` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: \
         nginx `proxy_set_header Upgrade $http_upgrade;`, Apache `ProxyPass ... upgrade=websocket`"
    )]
    MissingUpgrade,

    #[error(
        "the header `Connection: Upgrade` is missing (RFC 6455 §4.2.1); most likely a proxy replaced it: \
         nginx `proxy_set_header Connection \"upgrade\";`, Apache `ProxyPass ... upgrade=websocket`"
    )]
    MissingConnection,

    #[error(
        "the header `Sec-WebSocket-Key` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: \
         forward all Sec-WebSocket-* headers as they are"
    )]
    MissingKey,

    #[error(
        "{keys} headers `Sec-WebSocket-Key`, where only one is allowed (RFC 6455 §11.3.1); have the client \
         send one"
    )]
    RepeatedKey { keys: usize },

    #[error(
        "`Sec-WebSocket-Key` is not 16 bytes in base64 (RFC 6455 §4.2.1); the client is broken, or a proxy \
         changed the header: forward all Sec-WebSocket-* headers as they are"
    )]
    InvalidKey,

    #[error(
        "the header `Sec-WebSocket-Version` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: \
         forward all Sec-WebSocket-* headers as they are"
    )]
    MissingVersion,

    #[error(
        "`Sec-WebSocket-Version` is \"{version}\", but only 13 is understood (RFC 6455 §4.4); update the \
         client"
    )]
    UnsupportedVersion { version: String },

    #[error(
        "`Sec-WebSocket-Protocol: {value}` is no list of names (RFC 6455 §4.3); have the client offer names \
         without spaces and separators, or leave the header out: an empty one comes from clients and proxies \
         that write it although they have nothing to offer"
    )]
    MalformedSubprotocols { value: String },

    #[error(
        "`Sec-WebSocket-Extensions: {value}` is no list of extensions (RFC 6455 §9.1); update the client, or \
         have the proxy remove the header: an empty one comes from clients and proxies that write it although \
         they have nothing to offer"
    )]
    MalformedExtensions { value: String },
}

impl HandshakeError {
    /// The status to answer with. [`Self::response_header`] goes with it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotGet => 405,
            Self::Http10 => 505,
            // RFC 6455 §4.2.2: 426 Upgrade Required for a version that is not understood.
            Self::UnsupportedVersion { .. } => 426,
            Self::InvalidTarget { .. }
            | Self::MissingUpgrade
            | Self::MissingConnection
            | Self::MissingKey
            | Self::RepeatedKey { .. }
            | Self::InvalidKey
            | Self::MissingVersion
            | Self::MalformedSubprotocols { .. }
            | Self::MalformedExtensions { .. } => 400,
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
