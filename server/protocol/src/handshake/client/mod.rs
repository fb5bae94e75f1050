//! The client's half: the request, and whether the answer opens the connection (RFC 6455 §4.1).

mod check;
mod error;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use self::error::HandshakeError;
use super::extensions;
use super::grammar::is_extension_list;
use super::{WEBSOCKET_VERSION, accept_value, append_header};
use crate::http1::{Parsed, ResponseHead, Version, parse_response};
use crate::limits::Limits;

/// Bytes of a refusal's body that are quoted in the error.
const SNIPPET_BYTES: usize = 200;

/// What a client asks for. The same value checks the answer.
#[derive(Clone, Copy, Debug)]
pub struct ClientHandshake<'a> {
    /// Name or address, and the port if it is not the scheme's own (RFC 6455 §4.1).
    pub host: &'a str,
    /// Path and query; begins with `/`.
    pub target: &'a str,
    /// 16 bytes, random and new for each connection (RFC 6455 §4.1).
    pub key: [u8; 16],
    /// In order of preference.
    pub subprotocols: &'a [&'a str],
    /// For clients that act as a browser does.
    pub origin: Option<&'a str>,
    /// Whether permessage-deflate is offered (RFC 7692), without context takeover.
    pub deflate: bool,
    /// More header lines; none of those that the handshake has itself.
    pub headers: &'a [(String, String)],
}

/// What client and server agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed<'a> {
    /// One of [`ClientHandshake::subprotocols`].
    pub subprotocol: Option<&'a str>,
    /// Whether messages may come compressed, and may be sent so. [`crate::Connection::with_deflate`] is to know of it.
    pub deflate: bool,
}

impl<'a> ClientHandshake<'a> {
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
        if self.deflate {
            append_header(out, extensions::HEADER, extensions::OFFER.as_bytes());
        }
        for (name, value) in self.headers {
            append_header(out, name, value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Checks the answer at the start of `bytes` (RFC 6455 §4.1, numbers 1 to 6). Gives what was agreed on
    /// and the length of the head: what follows it are frames. `None` while the head is incomplete.
    pub fn verify(
        &self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<(Agreed<'a>, usize)>, HandshakeError> {
        let Parsed::Complete { head, length } = parse_response(bytes, limits)? else { return Ok(None) };
        // RFC 6455 §4.1, number 1.
        if head.status != 101 {
            return Err(refused(&head, &bytes[length..]));
        }
        let headers = &head.headers;
        // RFC 6455 §4.2.2: "a valid HTTP response"; HTTP/1.0 has neither 101 nor Upgrade.
        if head.version != Version::Http11 {
            return Err(HandshakeError::Http10);
        }
        // RFC 6455 §4.1, number 2: the value as a whole, so neither a list nor a second line.
        let mut upgrades = head.header("upgrade");
        let is_websocket = upgrades.next().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
        if !is_websocket || upgrades.next().is_some() {
            return Err(HandshakeError::MissingUpgrade);
        }
        // Number 3.
        if !headers.has_token("connection", "upgrade") {
            return Err(HandshakeError::MissingConnection);
        }
        // Number 4; §11.3.3: not more than once.
        let mut accepts = head.header("sec-websocket-accept");
        let expected = accept_value(self.encoded_key().as_bytes());
        if accepts.next() != Some(&expected) || accepts.next().is_some() {
            return Err(HandshakeError::WrongAccept);
        }
        let deflate = self.agreed_deflate(&head)?;
        Ok(Some((Agreed { subprotocol: self.agreed_subprotocol(&head)?, deflate }, length)))
    }

    /// RFC 6455 §4.1, number 6.
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

    /// RFC 6455 §4.1, number 5; RFC 7692 §7.1.
    fn agreed_deflate(&self, head: &ResponseHead<'_>) -> Result<bool, HandshakeError> {
        let name = extensions::HEADER;
        if !head.headers.contains(name) {
            return Ok(false);
        }
        let value = || printable(&head.header(name).collect::<Vec<_>>().join(&b", "[..]));
        if !is_extension_list(&head.headers, name) {
            return Err(HandshakeError::MalformedExtensions { value: value() });
        }
        if !self.deflate {
            return Err(HandshakeError::UnaskedExtension { extension: value() });
        }
        if head.header(name).nth(1).is_some() {
            let fault = "the header is there more than once (RFC 6455 §11.3.2)";
            return Err(HandshakeError::WrongExtension { extension: value(), fault });
        }
        match extensions::check_answer(&head.headers) {
            Ok(()) => Ok(true),
            Err(fault) => Err(HandshakeError::WrongExtension { extension: value(), fault }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::extensions::SmallWindows;
    use crate::handshake::server::accept_upgrade;
    use crate::http1::{HttpError, parse_request};

    /// The client of RFC 6455 §1.3; its key is the text "the sample nonce".
    const EXAMPLE: ClientHandshake<'static> = ClientHandshake {
        host: "server.example.com",
        target: "/chat",
        key: *b"the sample nonce",
        subprotocols: &["chat", "superchat"],
        origin: Some("http://example.com"),
        deflate: false,
        headers: &[],
    };

    /// The answer of RFC 6455 §1.3.
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
        Upgrade: websocket\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: chat\r\n\r\n";

    fn verify(answer: &str) -> Result<Option<(Agreed<'static>, usize)>, HandshakeError> {
        EXAMPLE.verify(answer.as_bytes(), &Limits::default())
    }

    fn answer_with(line: &str, replacement: &str) -> String {
        let line = format!("{line}\r\n");
        assert!(ANSWER.contains(&line), "{line:?} is in the answer");
        let replacement = if replacement.is_empty() { String::new() } else { format!("{replacement}\r\n") };
        ANSWER.replace(&line, &replacement)
    }

    #[test]
    fn the_request_is_that_of_section_1_3() {
        let mut out = Vec::new();
        let headers = [("Authorization".to_owned(), "Bearer abc".to_owned())];
        ClientHandshake { headers: &headers, ..EXAMPLE }.write_request(&mut out);
        let expected = "GET /chat HTTP/1.1\r\n\
            Host: server.example.com\r\n\
            Upgrade: websocket\r\n\
            Connection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Version: 13\r\n\
            Origin: http://example.com\r\n\
            Sec-WebSocket-Protocol: chat, superchat\r\n\
            Authorization: Bearer abc\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_answer_of_section_1_3_opens_the_connection() {
        for length in 0..ANSWER.len() {
            assert_eq!(verify(&ANSWER[..length]), Ok(None), "{length} bytes");
        }
        let with_a_frame = format!("{ANSWER}\x01frame");
        let agreed = Agreed { subprotocol: Some("chat"), deflate: false };
        assert_eq!(verify(&with_a_frame), Ok(Some((agreed, ANSWER.len()))));
        let without = answer_with("Sec-WebSocket-Protocol: chat", "");
        assert_eq!(verify(&without), Ok(Some((Agreed { subprotocol: None, deflate: false }, without.len()))));
    }

    /// RFC 6455 §4.1, numbers 2 to 6.
    #[test]
    fn answers_that_break_a_rule_fail_the_connection() {
        let unasked_extension = |name: &str| HandshakeError::UnaskedExtension { extension: name.into() };
        let malformed = |value: &str| HandshakeError::MalformedExtensions { value: value.into() };
        let unasked = |name: &str| HandshakeError::UnaskedSubprotocol { subprotocol: name.into() };
        for (line, replacement, error) in [
            ("Upgrade: websocket", "", HandshakeError::MissingUpgrade),
            ("Upgrade: websocket", "Upgrade: h2c", HandshakeError::MissingUpgrade),
            ("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c", HandshakeError::MissingUpgrade),
            ("Connection: Upgrade", "", HandshakeError::MissingConnection),
            ("Connection: Upgrade", "Connection: keep-alive", HandshakeError::MissingConnection),
            ("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "", HandshakeError::WrongAccept),
            (
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                HandshakeError::WrongAccept,
            ),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                HandshakeError::WrongAccept,
            ),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
                unasked_extension("permessage-deflate; server_no_context_takeover"),
            ),
            ("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions:", malformed("")),
            ("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: foo;", malformed("foo;")),
            ("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: other", unasked("other")),
            (
                "Sec-WebSocket-Protocol: chat",
                "Sec-WebSocket-Protocol: chat, superchat",
                unasked("chat, superchat"),
            ),
        ] {
            assert_eq!(verify(&answer_with(line, replacement)), Err(error), "{line} -> {replacement}");
        }
    }

    /// RFC 7692 §5, §7.1.
    #[test]
    fn compression_is_offered_and_agreed_on() {
        let offering = ClientHandshake { deflate: true, ..EXAMPLE };
        let mut request = Vec::new();
        offering.write_request(&mut request);
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";
        assert!(String::from_utf8(request).unwrap().contains(offer));

        let answered = |extensions: &str| {
            let line = format!("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: {extensions}");
            let answer = answer_with("Sec-WebSocket-Protocol: chat", &line);
            offering.verify(answer.as_bytes(), &Limits::default()).map(|verified| verified.unwrap().0.deflate)
        };
        assert_eq!(answered("permessage-deflate; server_no_context_takeover"), Ok(true));
        let declined = offering.verify(ANSWER.as_bytes(), &Limits::default()).unwrap().unwrap().0;
        assert!(!declined.deflate);
        let takes_over = answered("permessage-deflate").unwrap_err();
        assert_eq!(
            takes_over.to_string(),
            "the server agreed to \"permessage-deflate\", but server_no_context_takeover is missing, and only that was \
             offered (RFC 7692 §7.1); it is broken: connect without compression"
        );
        assert!(matches!(answered("foo"), Err(HandshakeError::WrongExtension { .. })));
        assert!(matches!(answered("a b"), Err(HandshakeError::MalformedExtensions { .. })));
    }

    #[test]
    fn header_values_are_compared_without_case() {
        let answer = answer_with("Upgrade: websocket", "upgrade: WebSocket")
            .replace("Connection: Upgrade", "connection: keep-alive, UPGRADE");
        assert!(matches!(verify(&answer), Ok(Some(_))));
    }

    /// RFC 6455 §4.1, number 1.
    #[test]
    fn refusals_are_reported_with_status_and_what_the_server_says() {
        let refused = verify("HTTP/1.1 403 Forbidden\r\n\r\norigin not\r\nallowed\x1B[2J\n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the server refused the handshake: 403 Forbidden; it says: \"origin not  allowed [2J\""
        );
        let moved =
            verify("HTTP/1.1 301 Moved\r\nLocation: https://example.org/ws\r\n\r\n<html>").unwrap_err();
        let expected = HandshakeError::Refused {
            status: 301,
            reason: "Moved".into(),
            detail: "https://example.org/ws".into(),
        };
        assert_eq!(moved, expected);
        let long = verify(&format!("HTTP/1.1 500 Oh\r\n\r\n{}", "x".repeat(10_000))).unwrap_err();
        assert!(matches!(long, HandshakeError::Refused { detail, .. } if detail == "x".repeat(200)));
        assert_eq!(
            verify("SSH-2.0-OpenSSH_9.6\r\n"),
            Err(HttpError::Malformed { what: "the version" }.into())
        );
    }

    #[test]
    fn client_and_server_agree() {
        let mut request = Vec::new();
        EXAMPLE.write_request(&mut request);
        let Ok(Parsed::Complete { head, length }) = parse_request(&request, &Limits::default()) else {
            panic!()
        };
        assert_eq!(length, request.len());
        let mut answer = Vec::new();
        accept_upgrade(&head, &["superchat"]).unwrap().write_response(&mut answer);
        let agreed = EXAMPLE.verify(&answer, &Limits::default()).unwrap();
        assert_eq!(agreed, Some((Agreed { subprotocol: Some("superchat"), deflate: false }, answer.len())));

        let offering = ClientHandshake { deflate: true, subprotocols: &[], ..EXAMPLE };
        let (mut request, mut answer) = (Vec::new(), Vec::new());
        offering.write_request(&mut request);
        let Ok(Parsed::Complete { head, .. }) = parse_request(&request, &Limits::default()) else { panic!() };
        let accepted = accept_upgrade(&head, &[]).unwrap().agree_deflate(&head, SmallWindows::Decline);
        accepted.write_response(&mut answer);
        let agreed = offering.verify(&answer, &Limits::default()).unwrap();
        assert_eq!(agreed, Some((Agreed { subprotocol: None, deflate: true }, answer.len())));
    }
}
