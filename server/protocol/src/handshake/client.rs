//! The client's half: the request, and whether the answer opens the connection (RFC 6455 §4.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{WEBSOCKET_VERSION, accept_value, append_header};
use crate::http1::{HttpError, Parsed, ResponseHead, parse_response};
use crate::limits::Limits;

/// Bytes of a refusal's body that are quoted in the error.
const SNIPPET_BYTES: usize = 200;

/// What a client asks for. The same value checks the answer.
#[derive(Clone, Copy, Debug)]
pub struct ClientHandshake<'a> {
    /// Host, and the port if it is not the scheme's own (RFC 6455 §4.1).
    pub host: &'a str,
    /// Path and query; begins with `/`.
    pub target: &'a str,
    /// 16 bytes, random and new for each connection (RFC 6455 §4.1).
    pub key: [u8; 16],
    /// In order of preference.
    pub subprotocols: &'a [&'a str],
    /// For clients that act as a browser does.
    pub origin: Option<&'a str>,
    /// More header lines.
    pub headers: &'a [(String, String)],
}

/// What client and server agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed<'a> {
    /// One of [`ClientHandshake::subprotocols`].
    pub subprotocol: Option<&'a str>,
}

/// Why no connection was opened: the server refused, what answers is no WebSocket server, or we asked for something
/// that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the answer to the handshake is no usable HTTP: {0}")]
    Http(#[from] HttpError),

    /// `detail` is where a redirection leads, else the start of the body as far as it has arrived.
    #[error("the server refused the handshake: {status} {reason}; it says: \"{detail}\"")]
    Refused { status: u16, reason: String, detail: String },

    #[error(
        "the 101 response has no header `Upgrade: websocket` (RFC 6455 §4.1); most likely a proxy stripped it: have it \
         forward upgraded connections"
    )]
    MissingUpgrade,

    #[error(
        "the 101 response has no header `Connection: Upgrade` (RFC 6455 §4.1); most likely a proxy replaced it: have it \
         forward upgraded connections"
    )]
    MissingConnection,

    #[error(
        "`Sec-WebSocket-Accept` is missing or does not match the key (RFC 6455 §4.1); the server is no WebSocket server, \
         or a cache answered for it: exclude this path from caching"
    )]
    WrongAccept,

    #[error(
        "the server agreed to the extension \"{extension}\", which was not offered (RFC 6455 §4.1); it is broken"
    )]
    UnaskedExtension { extension: String },

    #[error(
        "the server chose the subprotocol \"{subprotocol}\", which was not offered (RFC 6455 §4.1); offer it, or \
         correct the server"
    )]
    UnaskedSubprotocol { subprotocol: String },

    #[error("{what} has the byte {byte:#04x}, which may not be sent there; remove it")]
    Unsendable { what: &'static str, byte: u8 },
}

impl<'a> ClientHandshake<'a> {
    /// Whether everything in the request can be sent: no field may hold a line's end, or it could add lines of its own.
    /// Call this once on what an operator gave.
    pub fn check(&self) -> Result<(), HandshakeError> {
        check_field("the host", self.host, |byte| byte.is_ascii_graphic())?;
        check_field("the target", self.target, |byte| byte.is_ascii_graphic())?;
        check_field("the origin", self.origin.unwrap_or_default(), |byte| byte.is_ascii_graphic())?;
        for subprotocol in self.subprotocols {
            check_field("a subprotocol", subprotocol, is_token_byte)?;
        }
        for (name, value) in self.headers {
            check_field("a header name", name, is_token_byte)?;
            check_field("a header value", value, |byte| byte == b'\t' || byte >= b' ' && byte != 0x7F)?;
        }
        Ok(())
    }

    /// Appends the request (RFC 6455 §4.1).
    ///
    /// # Panics
    /// If [`Self::check`] fails: what an operator gives is to be checked first.
    pub fn write_request(&self, out: &mut Vec<u8>) {
        if let Err(error) = self.check() {
            panic!("unchecked handshake: {error}");
        }
        for part in ["GET ", self.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        append_header(out, "Host", self.host.as_bytes());
        append_header(out, "Upgrade", b"websocket");
        append_header(out, "Connection", b"Upgrade");
        append_header(out, "Sec-WebSocket-Key", self.encoded_key().as_bytes());
        append_header(out, "Sec-WebSocket-Version", WEBSOCKET_VERSION.as_bytes());
        if let Some(origin) = self.origin {
            append_header(out, "Origin", origin.as_bytes());
        }
        if !self.subprotocols.is_empty() {
            append_header(out, "Sec-WebSocket-Protocol", self.subprotocols.join(", ").as_bytes());
        }
        for (name, value) in self.headers {
            append_header(out, name, value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Checks the answer at the start of `bytes` (RFC 6455 §4.1, numbers 1 to 6). Gives what was agreed on and the length
    /// of the head: what follows it are frames. `None` while the head is incomplete.
    pub fn verify(
        &self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<(Agreed<'a>, usize)>, HandshakeError> {
        let Parsed::Complete { head, length } = parse_response(bytes, limits)? else { return Ok(None) };
        if head.status != 101 {
            return Err(refused(&head, &bytes[length..]));
        }
        let headers = &head.headers;
        let upgrade = head.header("upgrade").next().unwrap_or_default();
        if !upgrade.eq_ignore_ascii_case(b"websocket") {
            return Err(HandshakeError::MissingUpgrade);
        }
        if !headers.has_token("connection", "upgrade") {
            return Err(HandshakeError::MissingConnection);
        }
        let mut accepts = head.header("sec-websocket-accept");
        let expected = accept_value(self.encoded_key().as_bytes());
        if accepts.next() != Some(&expected) || accepts.next().is_some() {
            return Err(HandshakeError::WrongAccept);
        }
        if let Some(extension) = headers.tokens("sec-websocket-extensions").next() {
            return Err(HandshakeError::UnaskedExtension { extension: printable(extension.as_bytes()) });
        }
        Ok(Some((Agreed { subprotocol: self.agreed_subprotocol(&head)? }, length)))
    }

    fn agreed_subprotocol(&self, head: &ResponseHead<'_>) -> Result<Option<&'a str>, HandshakeError> {
        let values: Vec<&[u8]> = head.header("sec-websocket-protocol").collect();
        if values.is_empty() {
            return Ok(None);
        }
        // RFC 6455 §11.3.4: at most once in a response, so two lines are as wrong as a list.
        let chosen = values.join(&b", "[..]);
        match self.subprotocols.iter().find(|offered| offered.as_bytes() == chosen) {
            Some(offered) => Ok(Some(offered)),
            None => Err(HandshakeError::UnaskedSubprotocol { subprotocol: printable(&chosen) }),
        }
    }

    fn encoded_key(&self) -> String {
        STANDARD.encode(self.key)
    }
}

fn refused(head: &ResponseHead<'_>, body: &[u8]) -> HandshakeError {
    let location = head.header("location").next().filter(|_| (300..400).contains(&head.status));
    HandshakeError::Refused {
        status: head.status,
        reason: printable(head.reason.as_bytes()),
        detail: printable(location.unwrap_or_else(|| body.trim_ascii())),
    }
}

/// Peer text for terminals and logs: short, and nothing in it that acts.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SNIPPET_BYTES)]);
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn check_field(what: &'static str, text: &str, is_allowed: fn(u8) -> bool) -> Result<(), HandshakeError> {
    match text.bytes().find(|&byte| !is_allowed(byte)) {
        Some(byte) => Err(HandshakeError::Unsendable { what, byte }),
        None => Ok(()),
    }
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
