//! Why a client has no connection.

use crate::http1::HttpError;

/// Why no connection was opened: the server refused, what answers is no WebSocket server, or we asked for
/// something that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the answer to the handshake is no usable HTTP: {0}")]
    Http(#[from] HttpError),

    /// `detail` is where a redirection leads, else the start of the body as far as it has arrived.
    #[error("the server refused the handshake: {status} {reason}; it says: \"{detail}\"")]
    Refused { status: u16, reason: String, detail: String },

    #[error(
        "the 101 response came as HTTP/1.0, which has no upgrades (RFC 6455 §4.2.2, RFC 9110 §7.8); most likely a \
         proxy speaks HTTP/1.0: have it speak HTTP/1.1 and forward upgraded connections"
    )]
    Http10,

    #[error(
        "the 101 response has no header `Upgrade: websocket`, or another protocol beside it (RFC 6455 §4.1); most \
         likely a proxy stripped or changed it: have it forward upgraded connections"
    )]
    MissingUpgrade,

    #[error(
        "the 101 response has no header `Connection: Upgrade` (RFC 6455 §4.1); most likely a proxy replaced \
         it: have it forward upgraded connections"
    )]
    MissingConnection,

    #[error(
        "`Sec-WebSocket-Accept` is missing or does not match the key (RFC 6455 §4.1); the server is no \
         WebSocket server, or a cache answered for it: exclude this path from caching"
    )]
    WrongAccept,

    #[error(
        "the server agreed to the extension \"{extension}\", which was not offered (RFC 6455 §4.1); it is \
         broken"
    )]
    UnaskedExtension { extension: String },

    #[error(
        "the server agreed to \"{extension}\", but {fault} (RFC 7692 §7.1); it is broken: connect without compression"
    )]
    WrongExtension { extension: String, fault: &'static str },

    #[error(
        "`Sec-WebSocket-Extensions: {value}` in the 101 response is no list of extensions (RFC 6455 §9.1); \
         correct the server: without extensions the header must be left out"
    )]
    MalformedExtensions { value: String },

    #[error(
        "the server chose the subprotocol \"{subprotocol}\", which was not offered (RFC 6455 §4.1); offer \
         it, or correct the server"
    )]
    UnaskedSubprotocol { subprotocol: String },

    #[error("{what} has the byte {byte:#04x}, which may not be sent there; remove it")]
    Unsendable { what: &'static str, byte: u8 },

    #[error("{what} is empty, which makes no valid request (RFC 6455 §4.1); fill it in")]
    Empty { what: &'static str },

    #[error(
        "\"{host}\" is no host with an optional port (RFC 6455 §3); give for example `example.org`, \
         `127.0.0.1:9001` or `[::1]:9001`"
    )]
    InvalidHost { host: String },

    #[error(
        "the target \"{target}\" does not begin with `/` (RFC 6455 §3); give path and query, for example \
         `/topics/a?role=subscriber`"
    )]
    RelativeTarget { target: String },

    #[error(
        "the target \"{target}\" has a `%` without two hexadecimal digits (RFC 3986 §2.1); write a percent \
         sign as %25"
    )]
    BrokenPercentEncoding { target: String },

    #[error("the subprotocol \"{subprotocol}\" is offered twice (RFC 6455 §4.1); offer it once")]
    RepeatedSubprotocol { subprotocol: String },

    #[error(
        "the header `{name}` belongs to the handshake itself, which writes it or must not have it (RFC 6455 \
         §4.1); leave it out: host, origin and subprotocols are given by themselves"
    )]
    ReservedHeader { name: String },
}
