//! What a client may put into its request (RFC 6455 §3, §4.1). Everything here is what an operator gave.

use std::net::Ipv6Addr;

use super::{ClientHandshake, HandshakeError};
use crate::handshake::grammar::is_token_byte;
use crate::http1::uri::{is_name_byte, is_percent_encoded};

/// Header lines that [`ClientHandshake::write_request`] writes from its own fields. All of Sec-WebSocket-*
/// belongs here too.
const WRITTEN_HEADERS: [&str; 4] = ["Host", "Upgrade", "Connection", "Origin"];
/// Header lines that announce a body, which a handshake does not have: the first frame would be read as one.
const BODY_HEADERS: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

impl ClientHandshake<'_> {
    /// Whether the request is a valid one: host and target as in a WebSocket URI, names that are tokens, each
    /// header that may stand once only there once, and no line's end anywhere, which could add lines of its
    /// own. Call this once on what an operator gave.
    pub fn check(&self) -> Result<(), HandshakeError> {
        check_host(self.host)?;
        check_target(self.target)?;
        if let Some(origin) = self.origin {
            check_field("the origin", origin, |byte| byte.is_ascii_graphic())?;
        }
        self.check_subprotocols()?;
        for (name, value) in self.headers {
            check_header(name, value)?;
        }
        Ok(())
    }

    /// RFC 6455 §4.1, number 10: tokens, and "MUST all be unique strings".
    fn check_subprotocols(&self) -> Result<(), HandshakeError> {
        for (index, subprotocol) in self.subprotocols.iter().enumerate() {
            check_field("a subprotocol", subprotocol, is_token_byte)?;
            if self.subprotocols[..index].contains(subprotocol) {
                let subprotocol = (*subprotocol).to_owned();
                return Err(HandshakeError::RepeatedSubprotocol { subprotocol });
            }
        }
        Ok(())
    }
}

/// `host [ ":" port ]` of RFC 6455 §3, which is that of RFC 3986 §3.2. A name could be percent-encoded or empty, but none
/// that resolves is.
fn check_host(host: &str) -> Result<(), HandshakeError> {
    check_field("the host", host, |byte| byte.is_ascii_graphic())?;
    let (is_host, rest) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
            (!name.is_empty() && name.bytes().all(is_name_byte), rest)
        }
    };
    if is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)) {
        Ok(())
    } else {
        Err(HandshakeError::InvalidHost { host: host.to_owned() })
    }
}

/// The `resource-name` of RFC 6455 §3: path and query of RFC 3986 §3.3 and §3.4, without a fragment.
fn check_target(target: &str) -> Result<(), HandshakeError> {
    check_field("the target", target, |byte| is_name_byte(byte) || b"%:@/?".contains(&byte))?;
    if !target.starts_with('/') {
        return Err(HandshakeError::RelativeTarget { target: target.to_owned() });
    }
    if !is_percent_encoded(target.as_bytes()) {
        return Err(HandshakeError::BrokenPercentEncoding { target: target.to_owned() });
    }
    Ok(())
}

fn check_header(name: &str, value: &str) -> Result<(), HandshakeError> {
    check_field("a header name", name, is_token_byte)?;
    check_bytes("a header value", value, |byte| byte == b'\t' || byte >= b' ' && byte != 0x7F)?;
    let is_reserved = WRITTEN_HEADERS.iter().chain(&BODY_HEADERS).any(|own| name.eq_ignore_ascii_case(own))
        || name.to_ascii_lowercase().starts_with("sec-websocket-");
    if is_reserved {
        return Err(HandshakeError::ReservedHeader { name: name.to_owned() });
    }
    Ok(())
}

fn check_field(what: &'static str, text: &str, is_allowed: fn(u8) -> bool) -> Result<(), HandshakeError> {
    if text.is_empty() {
        return Err(HandshakeError::Empty { what });
    }
    check_bytes(what, text, is_allowed)
}

fn check_bytes(what: &'static str, text: &str, is_allowed: fn(u8) -> bool) -> Result<(), HandshakeError> {
    match text.bytes().find(|&byte| !is_allowed(byte)) {
        Some(byte) => Err(HandshakeError::Unsendable { what, byte }),
        None => Ok(()),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: ClientHandshake<'static> = ClientHandshake {
        host: "server.example.com",
        target: "/chat",
        key: *b"the sample nonce",
        subprotocols: &["chat", "superchat"],
        origin: Some("http://example.com"),
        deflate: false,
        headers: &[],
    };

    fn refused(handshake: ClientHandshake<'_>) -> HandshakeError {
        handshake.check().expect_err(&format!("passed: {handshake:?}"))
    }

    fn header(name: &str, value: &str) -> [(String, String); 1] {
        [(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn the_handshake_of_section_1_3_passes() {
        assert_eq!(GOOD.check(), Ok(()));
        assert_eq!(ClientHandshake { subprotocols: &[], origin: None, ..GOOD }.check(), Ok(()));
    }

    #[test]
    fn fields_cannot_add_lines_of_their_own() {
        let unsendable = |handshake: ClientHandshake<'_>| match refused(handshake) {
            HandshakeError::Unsendable { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(unsendable(ClientHandshake { host: "a\r\nX: y", ..GOOD }), "the host");
        assert_eq!(unsendable(ClientHandshake { target: "/a b", ..GOOD }), "the target");
        assert_eq!(unsendable(ClientHandshake { origin: Some("a\n"), ..GOOD }), "the origin");
        assert_eq!(unsendable(ClientHandshake { subprotocols: &["a,b"], ..GOOD }), "a subprotocol");
        let headers = header("a:", "b");
        assert_eq!(unsendable(ClientHandshake { headers: &headers, ..GOOD }), "a header name");
        for value in ["b\r\nc", "nul \0", "\u{7F}"] {
            let headers = header("a", value);
            assert_eq!(unsendable(ClientHandshake { headers: &headers, ..GOOD }), "a header value");
        }
    }

    #[test]
    fn fields_that_must_say_something_are_not_empty() {
        let empty = |handshake: ClientHandshake<'_>| match refused(handshake) {
            HandshakeError::Empty { what } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(empty(ClientHandshake { host: "", ..GOOD }), "the host");
        assert_eq!(empty(ClientHandshake { target: "", ..GOOD }), "the target");
        assert_eq!(empty(ClientHandshake { origin: Some(""), ..GOOD }), "the origin");
        assert_eq!(empty(ClientHandshake { subprotocols: &["chat", ""], ..GOOD }), "a subprotocol");
        assert_eq!(empty(ClientHandshake { headers: &header("", "x"), ..GOOD }), "a header name");
        // RFC 9110 §5.5: a value may be empty.
        assert_eq!(ClientHandshake { headers: &header("X", ""), ..GOOD }.check(), Ok(()));
    }

    /// RFC 6455 §3, RFC 3986 §3.2.
    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        for host in ["localhost", "a_b.example:443", "127.0.0.1:9001", "[::1]", "[2001:DB8::1]:65535"] {
            assert_eq!(ClientHandshake { host, ..GOOD }.check(), Ok(()), "{host}");
        }
        for host in [
            "a/b",
            "user@a",
            "a?b",
            "a#b",
            "::1",
            "[::1",
            "[a]",
            "[]",
            "[::1]9001",
            ":80",
            "a:",
            "a:+80",
            "a:65536",
            "a:80:80",
            "a:b",
        ] {
            let error = HandshakeError::InvalidHost { host: host.into() };
            assert_eq!(refused(ClientHandshake { host, ..GOOD }), error);
        }
        for (host, byte) in [("two words", b' '), ("caf\u{e9}", 0xC3)] {
            let error = HandshakeError::Unsendable { what: "the host", byte };
            assert_eq!(refused(ClientHandshake { host, ..GOOD }), error);
        }
    }

    /// RFC 6455 §3, RFC 3986 §3.3 and §3.4.
    #[test]
    fn targets_are_path_and_query_without_fragment() {
        for target in ["/", "/topics/a?role=subscriber", "/a%2Fb//c;d=e:@!$&'()*+,~?x=/?", "/%25%c3%A9"] {
            assert_eq!(ClientHandshake { target, ..GOOD }.check(), Ok(()), "{target}");
        }
        for (target, byte) in
            [("/chat#fragment", b'#'), ("/caf\u{e9}", 0xC3), ("/{topic}", b'{'), ("/a\\b", b'\\')]
        {
            let error = HandshakeError::Unsendable { what: "the target", byte };
            assert_eq!(refused(ClientHandshake { target, ..GOOD }), error);
        }
        for target in ["chat", "?a", "*", "http://a/"] {
            let error = HandshakeError::RelativeTarget { target: target.into() };
            assert_eq!(refused(ClientHandshake { target, ..GOOD }), error);
        }
        for target in ["/%", "/%2", "/%2%20", "/100%/a", "/%+1"] {
            let error = HandshakeError::BrokenPercentEncoding { target: target.into() };
            assert_eq!(refused(ClientHandshake { target, ..GOOD }), error);
        }
    }

    #[test]
    fn subprotocols_are_offered_once_each() {
        let error = HandshakeError::RepeatedSubprotocol { subprotocol: "same".into() };
        assert_eq!(refused(ClientHandshake { subprotocols: &["same", "other", "same"], ..GOOD }), error);
        // RFC 6455 §4.1 compares them as strings, so with their case.
        assert_eq!(ClientHandshake { subprotocols: &["same", "Same"], ..GOOD }.check(), Ok(()));
    }

    /// RFC 6455 §11.3.1, §11.3.5; RFC 9112 §3.2, §6.
    #[test]
    fn headers_of_the_handshake_itself_cannot_be_given() {
        for name in [
            "Host",
            "UPGRADE",
            "connection",
            "Origin",
            "Sec-WebSocket-Key",
            "sec-websocket-version",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Content-Length",
            "transfer-encoding",
        ] {
            let headers = header(name, "1");
            let error = HandshakeError::ReservedHeader { name: name.into() };
            assert_eq!(refused(ClientHandshake { headers: &headers, ..GOOD }), error);
        }
        for name in ["Authorization", "Cookie", "X-Host", "Sec-WebSocket"] {
            assert_eq!(ClientHandshake { headers: &header(name, "1"), ..GOOD }.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn refusals_name_the_field_and_what_to_give_instead() {
        assert_eq!(
            refused(ClientHandshake { host: "a/b", ..GOOD }).to_string(),
            "\"a/b\" is no host with an optional port (RFC 6455 §3); give for example `example.org`, \
             `127.0.0.1:9001` or `[::1]:9001`"
        );
        assert_eq!(
            refused(ClientHandshake { headers: &header("Host", "b"), ..GOOD }).to_string(),
            "the header `Host` belongs to the handshake itself, which writes it or must not have it (RFC 6455 \
             §4.1); leave it out: host, origin and subprotocols are given by themselves"
        );
    }
}
