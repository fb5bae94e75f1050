//! The server's half: does this request open a WebSocket connection, and what is answered (RFC 6455 §4.2)?

mod error;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

pub use self::error::HandshakeError;
use super::extensions::{self, Deflate, SmallWindows};
use super::grammar::{is_extension_list, is_token_list};
use super::{WEBSOCKET_VERSION, accept_value, append_header};
use crate::http1::{RequestHead, Target, Version};

/// Bytes of a header's value that are quoted in the error.
const QUOTED_BYTES: usize = 64;

/// Room for a response without compression, which is 129 bytes and those of the subprotocol's header.
const RESPONSE_BYTES: usize = 192;

/// A handshake that is in order. Nothing has been answered yet, so the caller may still refuse: Origin,
/// limits and permissions are its own business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    accept: [u8; 28],
    subprotocol: Option<&'static str>,
    offers_subprotocols: bool,
    deflate: Option<Deflate>,
}

/// Whether a request means to be a WebSocket handshake. Any one of its headers is enough, so that a handshake
/// that lost one on its way gets a diagnosis and not a web page.
pub fn is_upgrade(head: &RequestHead<'_>) -> bool {
    head.headers.has_token("upgrade", "websocket")
        || head.headers.contains("sec-websocket-key")
        || head.headers.contains("sec-websocket-version")
}

/// Checks a handshake (RFC 6455 §4.2.1) and agrees on a subprotocol: the first of the client's that is in
/// `subprotocols`, none if there is none. Host is checked by [`crate::http1::parse_request`].
/// Extensions are declined, whatever is offered, but for what [`Accepted::agree_deflate`] agrees to.
pub fn accept_upgrade(
    head: &RequestHead<'_>,
    subprotocols: &[&'static str],
) -> Result<Accepted, HandshakeError> {
    let headers = &head.headers;
    // RFC 6455 §4.2.1, number 1: a GET of HTTP/1.1 or higher, and what it names is a resource.
    if head.method != "GET" {
        return Err(HandshakeError::NotGet);
    }
    if head.version != Version::Http11 {
        return Err(HandshakeError::Http10);
    }
    if !Target::of(head.target).is_resource() {
        let target = head.target.as_bytes();
        let target = target[..target.len().min(QUOTED_BYTES)].escape_ascii().to_string();
        return Err(HandshakeError::InvalidTarget { target });
    }
    // RFC 6455 §4.2.1, numbers 3 and 4.
    if !headers.has_token("upgrade", "websocket") {
        return Err(HandshakeError::MissingUpgrade);
    }
    if !headers.has_token("connection", "upgrade") {
        return Err(HandshakeError::MissingConnection);
    }
    check_version(head)?;
    let key = checked_key(head)?;
    check_lists(head)?;

    // RFC 6455 §4.1: the client's list is in order of its preference.
    let mut offered = headers.tokens("sec-websocket-protocol").peekable();
    let offers_subprotocols = offered.peek().is_some();
    let subprotocol = offered.find_map(|name| subprotocols.iter().find(|known| **known == name)).copied();
    Ok(Accepted { accept: accept_value(key), subprotocol, offers_subprotocols, deflate: None })
}

/// RFC 6455 §4.2.1, number 6; §11.3.5: not more than once.
fn check_version(head: &RequestHead<'_>) -> Result<(), HandshakeError> {
    let mut versions = head.header("sec-websocket-version");
    let version = versions.next().ok_or(HandshakeError::MissingVersion)?;
    if version != WEBSOCKET_VERSION.as_bytes() || versions.next().is_some() {
        let version = quoted(head, "sec-websocket-version");
        return Err(HandshakeError::UnsupportedVersion { version });
    }
    Ok(())
}

/// Whether both lists are ones. Declining an extension needs no answer (RFC 6455 §9.1), but what is none must be refused.
fn check_lists(head: &RequestHead<'_>) -> Result<(), HandshakeError> {
    let name = "sec-websocket-protocol";
    if head.headers.contains(name) && !is_token_list(&head.headers, name) {
        return Err(HandshakeError::MalformedSubprotocols { value: quoted(head, name) });
    }
    let name = "sec-websocket-extensions";
    if head.headers.contains(name) && !is_extension_list(&head.headers, name) {
        return Err(HandshakeError::MalformedExtensions { value: quoted(head, name) });
    }
    Ok(())
}

/// All values of this name, for an error. Peer text that ends up in logs: printable, and short.
fn quoted(head: &RequestHead<'_>, name: &str) -> String {
    let value = head.header(name).collect::<Vec<_>>().join(&b", "[..]);
    value[..value.len().min(QUOTED_BYTES)].escape_ascii().to_string()
}

/// RFC 6455 §4.2.1, number 5; §11.3.1: not more than once.
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

/// 16 bytes leave four bits of the last character unused. RFC 4648 §3.5 lets a decoder ignore them, and some
/// clients put random characters there.
const KEY_DECODER: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

impl Accepted {
    /// The subprotocol agreed on.
    pub const fn subprotocol(&self) -> Option<&'static str> {
        self.subprotocol
    }

    /// The client offered subprotocols and none of them is known. RFC 6455 §4.2.2 lets the server go on
    /// without one; most clients then fail the connection, so refusing with the list of known ones tells
    /// more.
    pub const fn offers_only_unknown_subprotocols(&self) -> bool {
        self.offers_subprotocols && self.subprotocol.is_none()
    }

    /// Agrees to permessage-deflate if the request offers it in a way that can be accepted (RFC 7692 §5.1, §7.1).
    #[must_use]
    pub fn agree_deflate(self, head: &RequestHead<'_>, small_windows: SmallWindows) -> Self {
        Self { deflate: Deflate::agree(&head.headers, small_windows), ..self }
    }

    /// The compression agreed on. [`crate::Connection::with_deflate`] is to know of it.
    pub const fn deflate(&self) -> Option<Deflate> {
        self.deflate
    }

    /// Appends the 101 response (RFC 6455 §4.2.2). Frames may follow at once.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        out.reserve(RESPONSE_BYTES);
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n",
        );
        append_header(out, "Sec-WebSocket-Accept", &self.accept);
        if let Some(subprotocol) = self.subprotocol {
            append_header(out, "Sec-WebSocket-Protocol", subprotocol.as_bytes());
        }
        if let Some(deflate) = self.deflate {
            append_header(out, extensions::HEADER, deflate.answer().as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, parse_request};
    use crate::limits::Limits;

    /// The request of RFC 6455 §1.3.
    const EXAMPLE: &str = "GET /chat HTTP/1.1\r\n\
        Host: server.example.com\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://example.com\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn with_head<T>(request: &str, check: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        match parse_request(request.as_bytes(), &Limits::default()) {
            Ok(Parsed::Complete { head, .. }) => check(&head),
            other => panic!("{other:?}"),
        }
    }

    fn accept(request: &str, subprotocols: &[&'static str]) -> Result<Accepted, HandshakeError> {
        with_head(request, |head| accept_upgrade(head, subprotocols))
    }

    /// The example with one line replaced; an empty replacement takes the line out.
    fn example_with(line: &str, replacement: &str) -> String {
        let line = format!("{line}\r\n");
        assert!(EXAMPLE.contains(&line), "{line:?} is in the example");
        let replacement = if replacement.is_empty() { String::new() } else { format!("{replacement}\r\n") };
        EXAMPLE.replace(&line, &replacement)
    }

    #[test]
    fn the_example_of_section_1_3_is_answered_as_there() {
        let accepted = accept(EXAMPLE, &["superchat", "chat"]).unwrap();
        let mut out = Vec::new();
        accepted.write_response(&mut out);
        let expected = "HTTP/1.1 101 Switching Protocols\r\n\
            Upgrade: websocket\r\n\
            Connection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
            Sec-WebSocket-Protocol: chat\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_clients_first_known_subprotocol_is_chosen() {
        assert_eq!(accept(EXAMPLE, &["superchat", "chat"]).unwrap().subprotocol(), Some("chat"));
        assert_eq!(accept(EXAMPLE, &["superchat"]).unwrap().subprotocol(), Some("superchat"));
        // RFC 6455 §11.3.4: several lines make one list. Subprotocols are compared with their case.
        let two_lines = example_with(
            "Sec-WebSocket-Protocol: chat, superchat",
            "Sec-WebSocket-Protocol: CHAT\r\nSec-WebSocket-Protocol: superchat",
        );
        assert_eq!(accept(&two_lines, &["chat", "superchat"]).unwrap().subprotocol(), Some("superchat"));
    }

    #[test]
    fn unknown_subprotocols_are_not_answered_but_told() {
        let unknown = accept(EXAMPLE, &["corecast.json.v1"]).unwrap();
        assert_eq!(unknown.subprotocol(), None);
        assert!(unknown.offers_only_unknown_subprotocols());
        let mut out = Vec::new();
        unknown.write_response(&mut out);
        assert!(!String::from_utf8(out).unwrap().contains("Protocol:"));

        let none = accept(&example_with("Sec-WebSocket-Protocol: chat, superchat", ""), &["chat"]).unwrap();
        assert_eq!(none.subprotocol(), None);
        assert!(!none.offers_only_unknown_subprotocols());
        assert!(!accept(EXAMPLE, &["chat"]).unwrap().offers_only_unknown_subprotocols());
    }

    /// RFC 6455 §4.2.1, number by number.
    #[test]
    fn handshakes_that_lack_something_are_refused() {
        for (line, replacement, error, status) in [
            ("GET /chat HTTP/1.1", "POST /chat HTTP/1.1", HandshakeError::NotGet, 405),
            ("GET /chat HTTP/1.1", "GET /chat HTTP/1.0", HandshakeError::Http10, 505),
            ("Upgrade: websocket", "", HandshakeError::MissingUpgrade, 400),
            ("Upgrade: websocket", "Upgrade: h2c", HandshakeError::MissingUpgrade, 400),
            ("Connection: Upgrade", "", HandshakeError::MissingConnection, 400),
            ("Connection: Upgrade", "Connection: close", HandshakeError::MissingConnection, 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", HandshakeError::MissingKey, 400),
            ("Sec-WebSocket-Version: 13", "", HandshakeError::MissingVersion, 400),
            (
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Version: 8",
                HandshakeError::UnsupportedVersion { version: "8".into() },
                426,
            ),
            (
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8",
                HandshakeError::UnsupportedVersion { version: "13, 8".into() },
                426,
            ),
            (
                "Origin: http://example.com",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                HandshakeError::RepeatedKey { keys: 2 },
                400,
            ),
        ] {
            let refused = accept(&example_with(line, replacement), &[]).unwrap_err();
            assert_eq!(refused, error, "{line} -> {replacement}");
            assert_eq!(refused.status(), status, "{error}");
        }
    }

    /// RFC 6455 §4.2.1 on violations of the grammar, and §9.1.
    #[test]
    fn lists_against_the_grammar_are_refused() {
        let offer = |line: &str| accept(&example_with("Origin: http://example.com", line), &["chat"]);
        let subprotocols = |value: &str| HandshakeError::MalformedSubprotocols { value: value.into() };
        let extensions = |value: &str| HandshakeError::MalformedExtensions { value: value.into() };
        for (line, error) in [
            // The example's own line comes after this one.
            ("Sec-WebSocket-Protocol: two words", subprotocols("two words, chat, superchat")),
            ("Sec-WebSocket-Extensions:", extensions("")),
            ("Sec-WebSocket-Extensions: foo; bar=", extensions("foo; bar=")),
            ("Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b;", extensions("a, b;")),
        ] {
            let refused = offer(line).unwrap_err();
            assert_eq!(refused, error, "{line}");
            assert_eq!(refused.status(), 400, "{line}");
        }
        let empty = example_with("Sec-WebSocket-Protocol: chat, superchat", "Sec-WebSocket-Protocol:");
        assert_eq!(accept(&empty, &["chat"]), Err(subprotocols("")));

        let browser = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
        assert_eq!(offer(browser).unwrap().subprotocol(), Some("chat"));
        let long = format!("Sec-WebSocket-Extensions: {};", "x".repeat(1000));
        assert_eq!(offer(&long), Err(extensions(&"x".repeat(64))));
    }

    #[test]
    fn keys_are_16_bytes_in_base64() {
        let with_key = |key: &str| {
            let line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
            accept(&example_with(line, &format!("Sec-WebSocket-Key: {key}")), &[])
        };
        for key in ["AAAAAAAAAAAAAAAAAAAAAA==", "//////////////////////=="] {
            assert!(with_key(key).is_ok(), "{key}");
        }
        for key in [
            "x",
            "dGhlIHNhbXBsZSBub25jZQ",   // no padding
            "dGhlIHNhbXBsZSBub25j",     // 15 bytes
            "dGhlIHNhbXBsZSBub25jZSE=", // 17 bytes
            "dGhlIHNhbXBsZSBub25jZSEhISEhISEhIQ==",
            "dGhlIHNhbXBsZSBub25jZ!==",
        ] {
            assert_eq!(with_key(key), Err(HandshakeError::InvalidKey), "{key}");
        }
    }

    #[test]
    fn header_values_are_compared_without_case_and_within_lists() {
        let request = example_with("Upgrade: websocket", "UPGRADE: foo, WebSocket")
            .replace("Connection: Upgrade", "connection: keep-alive, upgrade");
        assert!(accept(&request, &[]).is_ok());
    }

    #[test]
    fn refusals_name_the_header_and_the_setting_that_mends_it() {
        let missing = accept(&example_with("Upgrade: websocket", ""), &[]).unwrap_err().to_string();
        assert_eq!(
            missing,
            "the header `Upgrade: websocket` is missing (RFC 6455 §4.2.1); most likely a proxy stripped it: nginx \
             `proxy_set_header Upgrade $http_upgrade;`, Apache `ProxyPass ... upgrade=websocket`"
        );
        let version = HandshakeError::UnsupportedVersion { version: "8".into() };
        assert_eq!(version.response_header(), Some(("Sec-WebSocket-Version", "13")));
        assert_eq!(HandshakeError::NotGet.response_header(), Some(("Allow", "GET")));
        assert_eq!(HandshakeError::MissingKey.response_header(), None);
    }

    #[test]
    fn a_handshake_that_lost_a_header_is_still_known_as_one() {
        let is_upgrade = |request: &str| with_head(request, is_upgrade);
        assert!(is_upgrade(EXAMPLE));
        assert!(is_upgrade("GET / HTTP/1.0\r\nUpgrade: WebSocket\r\n\r\n"));
        assert!(is_upgrade("GET / HTTP/1.0\r\nSec-WebSocket-Key: x\r\n\r\n"));
        assert!(is_upgrade("GET / HTTP/1.0\r\nSec-WebSocket-Version: 13\r\n\r\n"));
        assert!(!is_upgrade("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"));
    }
}
