//! RFC 6455 §4.1: the client's opening handshake, and its judgement of the server's.

use corecast_protocol::Limits;
use corecast_protocol::handshake::accept_value;
use corecast_protocol::handshake::client::ClientHandshake;

/// The handshake of RFC 6455 §1.3, with a key that is "the sample nonce" in base64.
const HANDSHAKE: ClientHandshake<'static> = ClientHandshake {
    host: "server.example.com",
    target: "/chat",
    key: *b"the sample nonce",
    subprotocols: &["chat", "superchat"],
    origin: Some("http://example.com"),
    deflate: false,
    headers: &[],
};

const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

mod request {
    use super::*;

    fn written(handshake: &ClientHandshake<'_>) -> String {
        let mut out = Vec::new();
        handshake.write_request(&mut out);
        String::from_utf8(out).expect("a request is ASCII")
    }

    /// The values of all lines with this name, whatever its case.
    fn values<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
        request
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    // 1. "The handshake MUST be a valid HTTP request" 2. "The method of the request MUST be GET, and the HTTP
    // version MUST be at least 1.1." 3. "The "Request-URI" part of the request MUST match the /resource
    // name/"
    #[test]
    fn client_sends_a_get_request_for_the_resource() {
        let request = written(&HANDSHAKE);
        assert_eq!(request.lines().next(), Some("GET /chat HTTP/1.1"));
        let with_query = written(&ClientHandshake { target: "/topics/a?role=subscriber", ..HANDSHAKE });
        assert_eq!(with_query.lines().next(), Some("GET /topics/a?role=subscriber HTTP/1.1"));
    }

    #[test]
    fn client_ends_every_line_with_cr_lf_and_the_head_with_an_empty_one() {
        let request = written(&HANDSHAKE);
        assert!(request.ends_with("\r\n\r\n"));
        assert_eq!(request.matches("\r\n\r\n").count(), 1, "nothing follows before the answer: {request:?}");
        assert_eq!(request.matches('\n').count(), request.matches("\r\n").count());
    }

    // 4. "a |Host| header field whose value contains /host/ plus optionally ":" followed by /port/"
    #[test]
    fn client_names_the_host_once() {
        assert_eq!(values(&written(&HANDSHAKE), "Host"), ["server.example.com"]);
        let with_port = written(&ClientHandshake { host: "[::1]:9001", ..HANDSHAKE });
        assert_eq!(values(&with_port, "Host"), ["[::1]:9001"]);
    }

    // 5. and 6.
    #[test]
    fn client_asks_for_the_upgrade() {
        let request = written(&HANDSHAKE);
        assert_eq!(values(&request, "Upgrade"), ["websocket"]);
        assert_eq!(values(&request, "Connection"), ["Upgrade"]);
    }

    // 7. "a nonce consisting of a randomly selected 16-byte value that has been base64-encoded"
    #[test]
    fn client_sends_its_key_in_base64() {
        assert_eq!(values(&written(&HANDSHAKE), "Sec-WebSocket-Key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
        // The note's own example, with erratum 3150: its last character stands for bits that are zero.
        let key =
            [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10];
        let request = written(&ClientHandshake { key, ..HANDSHAKE });
        assert_eq!(values(&request, "Sec-WebSocket-Key"), ["AQIDBAUGBwgJCgsMDQ4PEA=="]);
        let request = written(&ClientHandshake { key: [0xff; 16], ..HANDSHAKE });
        assert_eq!(values(&request, "Sec-WebSocket-Key"), ["/////////////////////w=="]);
    }

    // 8. Origin is for browsers and who acts like one.
    #[test]
    fn client_sends_origin_only_when_it_has_one() {
        assert_eq!(values(&written(&HANDSHAKE), "Origin"), ["http://example.com"]);
        assert!(values(&written(&ClientHandshake { origin: None, ..HANDSHAKE }), "Origin").is_empty());
    }

    // 9. "The value of this header field MUST be 13."
    #[test]
    fn client_asks_for_version_13() {
        assert_eq!(values(&written(&HANDSHAKE), "Sec-WebSocket-Version"), ["13"]);
    }

    // 10. "one or more comma-separated subprotocol the client wishes to speak, ordered by preference"
    #[test]
    fn client_offers_subprotocols_in_its_order() {
        let offered = |handshake| {
            let request = written(&handshake);
            let lines = values(&request, "Sec-WebSocket-Protocol").join(",");
            lines
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(offered(HANDSHAKE), ["chat", "superchat"]);
        assert_eq!(offered(ClientHandshake { subprotocols: &["b", "a"], ..HANDSHAKE }), ["b", "a"]);
    }

    // The value is 1#token: no header rather than an empty one.
    #[test]
    fn client_without_subprotocols_sends_no_such_header() {
        let request = written(&ClientHandshake { subprotocols: &[], ..HANDSHAKE });
        assert!(values(&request, "Sec-WebSocket-Protocol").is_empty());
    }

    // 11. What is not implemented must not be offered: the server could take it.
    #[test]
    fn client_offers_no_extension() {
        assert!(values(&written(&HANDSHAKE), "Sec-WebSocket-Extensions").is_empty());
    }

    // 12. "The request MAY include any other header fields"
    #[test]
    fn client_sends_further_headers_as_given() {
        let headers = [
            ("Authorization".to_owned(), "Bearer abc".to_owned()),
            ("Cookie".to_owned(), "a=b; c=d".to_owned()),
        ];
        let request = written(&ClientHandshake { headers: &headers, ..HANDSHAKE });
        assert_eq!(values(&request, "Authorization"), ["Bearer abc"]);
        assert_eq!(values(&request, "Cookie"), ["a=b; c=d"]);
        assert_eq!(values(&request, "Sec-WebSocket-Version"), ["13"]);
    }

    // A line's end inside a field would make the request another one than was meant.
    #[test]
    fn client_refuses_fields_that_would_break_the_request() {
        assert!(HANDSHAKE.check().is_ok());
        let header = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
        assert!(ClientHandshake { headers: &header("X", "fine"), ..HANDSHAKE }.check().is_ok());
        for bad in [
            ClientHandshake { target: "/a b", ..HANDSHAKE },
            ClientHandshake { target: "/a HTTP/1.1\r\nX: y", ..HANDSHAKE },
            ClientHandshake { host: "a\r\nX: y", ..HANDSHAKE },
            ClientHandshake { origin: Some("http://a\r\nX: y"), ..HANDSHAKE },
            ClientHandshake { subprotocols: &["a\r\nX: y"], ..HANDSHAKE },
            ClientHandshake { headers: &header("X", "a\r\nY: z"), ..HANDSHAKE },
            ClientHandshake { headers: &header("X: y\r\nY", "z"), ..HANDSHAKE },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    // 1. "The handshake MUST be a valid HTTP request".
    #[test]
    fn client_refuses_headers_that_are_no_headers() {
        for (name, value) in [("", "x"), ("Two Words", "x"), ("X:", "x"), ("caf\u{e9}", "x"), ("X", "nul \0")]
        {
            let headers = [(name.to_owned(), value.to_owned())];
            assert!(ClientHandshake { headers: &headers, ..HANDSHAKE }.check().is_err(), "{headers:?}");
        }
    }

    // §11.3.1, §11.3.5: "MUST NOT appear more than once in an HTTP request." Host: RFC 9112 §3.2. Another Upgrade
    // or Connection would contradict ours.
    #[test]
    fn client_refuses_to_repeat_headers_that_may_stand_once() {
        for (name, value) in [
            ("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA=="),
            ("sec-websocket-version", "13"),
            ("Host", "other.example.com"),
            ("Upgrade", "h2c"),
            ("CONNECTION", "close"),
        ] {
            let headers = [(name.to_owned(), value.to_owned())];
            assert!(ClientHandshake { headers: &headers, ..HANDSHAKE }.check().is_err(), "{headers:?}");
        }
    }

    // 10. "The elements […] MUST be non-empty strings with characters in the range U+0021 to U+007E not
    // including separator characters […] and MUST all be unique strings."
    #[test]
    fn client_refuses_subprotocols_that_are_not_unique_tokens() {
        for subprotocols in
            [&["two words"][..], &[""], &["a,b"], &["caf\u{e9}"], &["a;b"], &["same", "same"], &["tab\t"]]
        {
            let bad = ClientHandshake { subprotocols, ..HANDSHAKE };
            assert!(bad.check().is_err(), "{subprotocols:?}");
        }
    }

    // §3: the resource name begins with "/"; "Fragment identifiers […] MUST NOT be used on these URIs."
    #[test]
    fn client_refuses_targets_that_are_no_resource_name() {
        for target in [
            "",
            "*",
            "chat",
            "/chat#fragment",
            "/two words",
            "/50%",
            "/a%zz",
            "/%1g",
            "/%g1",
            "/a|b",
            "/caf\u{e9}",
        ] {
            assert!(ClientHandshake { target, ..HANDSHAKE }.check().is_err(), "{target:?}");
        }
    }

    // §3: host and port as in RFC 3986 §3.2, and nothing else of an authority.
    #[test]
    fn client_refuses_hosts_that_are_no_host() {
        for host in ["server.example.com", "server.example.com:9001", "127.0.0.1:9001", "[::1]", "[::1]:9001"]
        {
            assert!(ClientHandshake { host, ..HANDSHAKE }.check().is_ok(), "{host:?}");
        }
        for host in [
            "",
            "two words",
            "a/b",
            "user@a",
            "a?b",
            "a#b",
            "caf\u{e9}",
            "a:port",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]1",
            "[x]",
        ] {
            assert!(ClientHandshake { host, ..HANDSHAKE }.check().is_err(), "{host:?}");
        }
    }
}

mod response {
    use super::*;

    fn switching(lines: &[&str]) -> Vec<u8> {
        format!("HTTP/1.1 101 Switching Protocols\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    /// The subprotocol agreed on and the length of the head, or what the error says.
    fn judged(
        handshake: &ClientHandshake<'_>,
        bytes: &[u8],
    ) -> Result<Option<(Option<String>, usize)>, String> {
        match handshake.verify(bytes, &Limits::default()) {
            Ok(Some((agreed, length))) => Ok(Some((agreed.subprotocol.map(str::to_owned), length))),
            Ok(None) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn assert_opens(lines: &[&str], subprotocol: Option<&str>) {
        let bytes = switching(lines);
        assert_eq!(
            judged(&HANDSHAKE, &bytes),
            Ok(Some((subprotocol.map(str::to_owned), bytes.len()))),
            "{lines:?}"
        );
    }

    fn assert_fails(lines: &[&str]) -> String {
        let bytes = switching(lines);
        judged(&HANDSHAKE, &bytes).expect_err(&format!("accepted {lines:?}"))
    }

    // The answer of §1.2.
    #[test]
    fn client_takes_the_answer_of_the_standard() {
        assert_opens(&[UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: chat"], Some("chat"));
    }

    #[test]
    fn client_takes_headers_in_any_order_and_case() {
        assert_opens(&[ACCEPT, "Date: today", CONNECTION, "Server: any", UPGRADE], None);
        assert_opens(
            &[
                "UPGRADE: WebSocket",
                "connection: uPGRADE",
                "sec-websocket-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            ],
            None,
        );
    }

    #[test]
    fn client_waits_for_the_whole_head() {
        let bytes = switching(&[UPGRADE, CONNECTION, ACCEPT]);
        for length in 0..bytes.len() {
            assert_eq!(judged(&HANDSHAKE, &bytes[..length]), Ok(None), "after {length} bytes");
        }
    }

    // Frames may follow the head in the same read.
    #[test]
    fn client_leaves_what_follows_the_head() {
        let head = switching(&[UPGRADE, CONNECTION, ACCEPT]);
        let bytes = [&head[..], b"\x81\x05Hello"].concat();
        assert_eq!(judged(&HANDSHAKE, &bytes), Ok(Some((None, head.len()))));
    }

    // 1. "If the status code received from the server is not 101, the client handles the response per HTTP
    // procedures."
    #[test]
    fn client_reports_any_other_status_and_what_the_server_said() {
        for (status, reason) in
            [(200, "OK"), (301, "Moved"), (401, "Unauthorized"), (404, "Not Found"), (503, "Busy")]
        {
            let bytes = format!(
                "HTTP/1.1 {status} {reason}\r\n{UPGRADE}\r\n{CONNECTION}\r\n{ACCEPT}\r\nContent-Length: 14\r\n\r\nsee the manual"
            );
            let said = judged(&HANDSHAKE, bytes.as_bytes()).expect_err("not 101");
            assert!(said.contains(&status.to_string()) && said.contains("see the manual"), "{said}");
        }
    }

    // 2. "If the response lacks an |Upgrade| header field or the |Upgrade| header field contains a value that
    // is not an ASCII case-insensitive match for the value "websocket""
    #[test]
    fn client_fails_without_upgrade_to_websocket() {
        assert!(assert_fails(&[CONNECTION, ACCEPT]).to_lowercase().contains("upgrade"));
        for value in ["", "h2c", "websockets", "web socket", "websocket2", "Upgrade"] {
            assert_fails(&[&format!("Upgrade: {value}"), CONNECTION, ACCEPT]);
        }
    }

    // The same: the value as a whole matches, not one of its elements. RFC 9110 §5.3: two lines are a list.
    #[test]
    fn client_fails_on_upgrade_to_more_than_websocket() {
        assert_fails(&["Upgrade: websocket, h2c", CONNECTION, ACCEPT]);
        assert_fails(&[UPGRADE, "Upgrade: h2c", CONNECTION, ACCEPT]);
        assert_fails(&["Upgrade: h2c", UPGRADE, CONNECTION, ACCEPT]);
        assert_fails(&[UPGRADE, UPGRADE, CONNECTION, ACCEPT]);
    }

    // §4.2.2, 5: "it MUST reply with a valid HTTP response"; HTTP/1.0 has neither 101 nor Upgrade (RFC 9110 §7.8, §15.2).
    #[test]
    fn client_fails_on_101_of_http_1_0() {
        let answer =
            format!("HTTP/1.0 101 Switching Protocols\r\n{UPGRADE}\r\n{CONNECTION}\r\n{ACCEPT}\r\n\r\n");
        let said = judged(&HANDSHAKE, answer.as_bytes()).expect_err("accepted HTTP/1.0");
        assert!(said.contains("HTTP/1.0"), "{said}");
    }

    // 3. "doesn't contain a token that is an ASCII case-insensitive match for the value "Upgrade""
    #[test]
    fn client_fails_without_connection_upgrade() {
        assert!(assert_fails(&[UPGRADE, ACCEPT]).contains("Connection"));
        for value in ["", "close", "keep-alive", "Upgraded", "Up grade", "keep-alive Upgrade"] {
            assert_fails(&[UPGRADE, &format!("Connection: {value}"), ACCEPT]);
        }
    }

    #[test]
    fn client_takes_upgrade_among_other_connection_tokens() {
        assert_opens(&[UPGRADE, "Connection: keep-alive, Upgrade", ACCEPT], None);
        assert_opens(&[UPGRADE, "Connection: upgrade ,close", ACCEPT], None);
        assert_opens(&[UPGRADE, "Connection: keep-alive", "Connection: Upgrade", ACCEPT], None);
    }

    // 4. "lacks a |Sec-WebSocket-Accept| header field or […] contains a value other than the base64-encoded
    // SHA-1"
    #[test]
    fn client_fails_without_the_right_accept_value() {
        assert_fails(&[UPGRADE, CONNECTION]);
        for value in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ==",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
            "S3PPLMBITXAQ9KYGZZHZRBK+XOO=",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=",
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=x",
            "s3pPLMBiTxaQ9kYGzzhZRbK+ xOo=",
            // For another key.
            "HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
        ] {
            assert_fails(&[UPGRADE, CONNECTION, &format!("Sec-WebSocket-Accept: {value}")]);
        }
    }

    // "but ignoring any leading and trailing whitespace"
    #[test]
    fn client_ignores_space_around_the_accept_value() {
        assert_opens(
            &[UPGRADE, CONNECTION, "Sec-WebSocket-Accept: \t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \t "],
            None,
        );
    }

    // §11.3.3: "The |Sec-WebSocket-Accept| header MUST NOT appear more than once in an HTTP response."
    #[test]
    fn client_fails_on_two_accept_values() {
        assert_fails(&[UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk="]);
        assert_fails(&[UPGRADE, CONNECTION, "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=", ACCEPT]);
        assert_fails(&[UPGRADE, CONNECTION, ACCEPT, ACCEPT]);
    }

    // 5. "an extension that was not present in the client's handshake"
    #[test]
    fn client_fails_on_extension_it_did_not_ask_for() {
        for value in
            ["permessage-deflate", "permessage-deflate; server_no_context_takeover", "x-webkit-deflate-frame"]
        {
            let said =
                assert_fails(&[UPGRADE, CONNECTION, ACCEPT, &format!("Sec-WebSocket-Extensions: {value}")]);
            assert!(said.contains(value.split(';').next().unwrap()), "the extension is not named: {said}");
        }
    }

    // 6. "a subprotocol that was not present in the client's handshake"
    #[test]
    fn client_fails_on_subprotocol_it_did_not_ask_for() {
        for value in ["other", "Chat", "cha", "chat2", "chat, superchat", "chat superchat", "\"chat\""] {
            assert_fails(&[UPGRADE, CONNECTION, ACCEPT, &format!("Sec-WebSocket-Protocol: {value}")]);
        }
        let asked_for_none = ClientHandshake { subprotocols: &[], ..HANDSHAKE };
        let bytes = switching(&[UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: chat"]);
        assert!(judged(&asked_for_none, &bytes).is_err());
    }

    // §4.2.2: "The empty string is not the same as the null value for these purposes and is not a legal
    // value".
    #[test]
    fn client_fails_on_empty_subprotocol() {
        assert_fails(&[UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol:"]);
        let asked_for_none = ClientHandshake { subprotocols: &[], ..HANDSHAKE };
        assert!(
            judged(&asked_for_none, &switching(&[UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol:"]))
                .is_err()
        );
    }

    // §11.3.4: "MUST NOT appear more than once in an HTTP response."
    #[test]
    fn client_fails_on_two_subprotocols() {
        let [chat, superchat] = ["Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: superchat"];
        assert_fails(&[UPGRADE, CONNECTION, ACCEPT, chat, superchat]);
        assert_fails(&[UPGRADE, CONNECTION, ACCEPT, chat, chat]);
    }

    #[test]
    fn client_knows_which_subprotocol_was_chosen() {
        assert_opens(&[UPGRADE, CONNECTION, ACCEPT, "Sec-WebSocket-Protocol: superchat"], Some("superchat"));
        assert_opens(&[UPGRADE, CONNECTION, ACCEPT], None);
    }

    #[test]
    fn client_fails_on_what_is_no_http_answer() {
        for bytes in [
            &b"\x81\x05Hello, this is no HTTP at all\r\n\r\n"[..],
            b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 101 ok\r\nno colon here\r\n\r\n",
            b"HTTP/1.1 101 ok\r\nUpgrade : websocket\r\n\r\n",
        ] {
            assert!(judged(&HANDSHAKE, bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    // §10.7: an endless head is bounded too.
    #[test]
    fn client_fails_on_head_over_the_limit() {
        let limits = Limits::default().with_max_head_bytes(1000).expect("a valid limit");
        let mut bytes = switching(&[UPGRADE, CONNECTION, ACCEPT, &format!("X: {}", "x".repeat(1000))]);
        assert!(HANDSHAKE.verify(&bytes, &limits).is_err());
        bytes.truncate(1001);
        assert!(
            HANDSHAKE.verify(&bytes, &limits).is_err(),
            "waits for more of a head that is too long already"
        );
    }
}

// §4.2.2, 5.4: both sides compute it.
#[test]
fn accept_value_is_that_of_the_standard() {
    assert_eq!(&accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
