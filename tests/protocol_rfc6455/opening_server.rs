//! RFC 6455 §4.2 and §4.4: the server reads the client's handshake and answers.

use corecast_protocol::Limits;
use corecast_protocol::handshake::server::{accept_upgrade, is_upgrade};
use corecast_protocol::http1::{Parsed, parse_request};

/// What a server answers: the 101 as text with the subprotocol agreed on, or a refusal.
#[derive(Debug)]
enum Answer {
    Switched { response: String, subprotocol: Option<&'static str> },
    Refused { status: u16, header: Option<(&'static str, &'static str)>, said: String },
}

fn answer_with(request: &[u8], subprotocols: &[&'static str]) -> Answer {
    let head = match parse_request(request, &Limits::default()) {
        Ok(Parsed::Complete { head, length }) => {
            assert_eq!(length, request.len(), "the head ends with its empty line");
            head
        }
        Ok(Parsed::Incomplete) => {
            panic!("a whole request is incomplete: {:?}", String::from_utf8_lossy(request))
        }
        Err(error) => {
            return Answer::Refused { status: error.status(), header: None, said: error.to_string() };
        }
    };
    match accept_upgrade(&head, subprotocols) {
        Ok(accepted) => {
            let mut out = Vec::new();
            accepted.write_response(&mut out);
            let response = String::from_utf8(out).expect("a response is ASCII");
            Answer::Switched { response, subprotocol: accepted.subprotocol() }
        }
        Err(error) => Answer::Refused {
            status: error.status(),
            header: error.response_header(),
            said: error.to_string(),
        },
    }
}

fn answer(request: &[u8]) -> Answer {
    answer_with(request, &["chat", "superchat"])
}

const HOST: &str = "Host: server.example.com";
const UPGRADE: &str = "Upgrade: websocket";
const CONNECTION: &str = "Connection: Upgrade";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION: &str = "Sec-WebSocket-Version: 13";

fn request(lines: &[&str]) -> Vec<u8> {
    format!("GET /chat HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

#[track_caller]
fn assert_switches(request: &[u8]) -> String {
    match answer(request) {
        Answer::Switched { response, .. } => response,
        refused => panic!("{refused:?} to {}", String::from_utf8_lossy(request)),
    }
}

/// Asserts that the answer is this status, and gives what the error says.
#[track_caller]
fn assert_refused(request: &[u8], expected: u16) -> String {
    match answer(request) {
        Answer::Refused { status, said, .. } if status == expected => said,
        other => panic!("{other:?} instead of {expected} to {}", String::from_utf8_lossy(request)),
    }
}

/// The values of all lines with this name, whatever its case.
fn values<'a>(response: &'a str, name: &str) -> Vec<&'a str> {
    let fields = response.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

mod section_4_2_1_reading {
    use super::*;

    // The request of §1.2.
    #[test]
    fn server_takes_the_request_of_the_standard() {
        assert_switches(
            b"GET /chat HTTP/1.1\r\n\
              Host: server.example.com\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
              Origin: http://example.com\r\n\
              Sec-WebSocket-Protocol: chat, superchat\r\n\
              Sec-WebSocket-Version: 13\r\n\r\n",
        );
    }

    // "the order of the header fields is not important"; field names are case-insensitive; "Unknown header
    // fields are ignored"
    #[test]
    fn server_takes_headers_in_any_order_and_case() {
        assert_switches(&request(&[VERSION, KEY, CONNECTION, UPGRADE, HOST]));
        assert_switches(&request(&[
            "HOST: server.example.com",
            "X-Unknown: ignored",
            "upgrade:WebSocket",
            "cONNECTION:  upgrade  ",
            "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==",
            "SEC-WEBSOCKET-VERSION: \t13\t",
        ]));
    }

    #[test]
    fn server_waits_for_the_whole_head() {
        let bytes = request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION]);
        for length in 0..bytes.len() {
            let parsed = parse_request(&bytes[..length], &Limits::default());
            assert!(matches!(parsed, Ok(Parsed::Incomplete)), "{parsed:?} after {length} bytes");
        }
    }

    #[test]
    fn server_leaves_what_follows_the_head() {
        let head = request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION]);
        let bytes = [&head[..], b"\x89\x80\x01\x02\x03\x04"].concat();
        let Ok(Parsed::Complete { length, .. }) = parse_request(&bytes, &Limits::default()) else { panic!() };
        assert_eq!(length, head.len());
    }

    // A handshake that lost headers on its way still gets a handshake's answer: any one of these tells what
    // was meant.
    #[test]
    fn server_recognises_a_handshake_by_any_of_its_headers() {
        let means_upgrade = |lines: &[&str]| {
            let bytes = request(lines);
            let Ok(Parsed::Complete { head, .. }) = parse_request(&bytes, &Limits::default()) else {
                panic!()
            };
            is_upgrade(&head)
        };
        assert!(means_upgrade(&[HOST, UPGRADE]));
        assert!(means_upgrade(&[HOST, "upgrade: WEBSOCKET"]));
        assert!(means_upgrade(&[HOST, KEY]));
        assert!(means_upgrade(&[HOST, VERSION]));
        assert!(means_upgrade(&[HOST, UPGRADE, CONNECTION, KEY, VERSION]));
        assert!(!means_upgrade(&[HOST]));
        assert!(!means_upgrade(&[HOST, "Connection: keep-alive", "Accept: text/html"]));
        assert!(!means_upgrade(&[HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"]));
    }

    // 1. "An HTTP/1.1 or higher GET request"
    #[test]
    fn server_refuses_other_methods() {
        for method in ["POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get"] {
            let lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n");
            assert_refused(format!("{method} /chat HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes(), 405);
        }
    }

    #[test]
    fn server_refuses_http_1_0() {
        let lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n");
        match answer(format!("GET /chat HTTP/1.0\r\n{lines}\r\n\r\n").as_bytes()) {
            Answer::Refused { status: 400 | 426 | 505, said, .. } => assert!(said.contains("1.0"), "{said}"),
            other => panic!("{other:?}"),
        }
    }

    // 1. "(or an absolute HTTP/HTTPS URI containing the /resource name/)"
    #[test]
    fn server_takes_an_absolute_target() {
        let lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n");
        assert_switches(format!("GET http://server.example.com/chat HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes());
    }

    // 1. "a "Request-URI" [RFC2616] that should be interpreted as a /resource name/ defined in Section 3 (or an
    // absolute HTTP/HTTPS URI containing the /resource name/)"; §3: "Fragment identifiers […] MUST NOT be used"
    #[test]
    fn server_refuses_targets_that_are_no_resource_name() {
        let lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n");
        for target in [
            "chat",
            "*",
            "?a=b",
            "/chat#fragment",
            "/chat?a=b#fragment",
            "/#",
            "/caf\u{e9}",
            "ws://server.example.com/chat",
            "ftp://server.example.com/chat",
            "server.example.com:80",
            "http:///chat",
            "http://user@server.example.com/chat",
        ] {
            assert_refused(format!("GET {target} HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes(), 400);
        }
    }

    // RFC 3986 has no `|`, `^`, `[` and so on in paths and queries, but browsers send them as they are (WHATWG URL), and
    // nothing can be misread for it.
    #[test]
    fn server_takes_targets_as_browsers_send_them() {
        let lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n");
        for target in [
            "/",
            "/chat?",
            "/a%2Fb//c;d=e:@!$&'()*+,~?x=/?",
            "/chat?a=[1]|2^3",
            "http://server.example.com",
            "HTTPS://[::1]:9001?a",
        ] {
            assert_switches(format!("GET {target} HTTP/1.1\r\n{lines}\r\n\r\n").as_bytes());
        }
    }

    // 2. "A |Host| header field containing the server's authority." Two of them: RFC 9112 §3.2.
    #[test]
    fn server_refuses_requests_without_exactly_one_host() {
        assert!(assert_refused(&request(&[UPGRADE, CONNECTION, KEY, VERSION]), 400).contains("Host"));
        assert_refused(&request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION, "Host: other.example.com"]), 400);
    }

    // The grammar of its value: RFC 9112 §3.2, which has any server answer 400.
    #[test]
    fn server_refuses_hosts_against_the_grammar() {
        for value in [
            "two words",
            "a.example, b.example",
            "user@a.example",
            "a.example/path",
            "a.example?query",
            "a.example#fragment",
            "a.example:port",
            "a.example:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[not-an-address]",
            "http://a.example",
            "caf\u{e9}.example",
            "a.example%",
            "a.example%2",
            "a.example%zz",
        ] {
            assert_refused(&request(&[&format!("Host: {value}"), UPGRADE, CONNECTION, KEY, VERSION]), 400);
        }
    }

    // RFC 9110 §7.2: the host may be empty where the target has no authority; RFC 3986 §3.2: so may the port, and
    // a name may be percent-encoded.
    #[test]
    fn server_takes_every_kind_of_host() {
        for value in [
            "server.example.com",
            "Server.Example.Com:9001",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:9001",
            "[2001:db8::1]",
            "a_b.example",
            "caf%C3%A9.example",
            "a.example:",
            "",
        ] {
            assert_switches(&request(&[&format!("Host: {value}"), UPGRADE, CONNECTION, KEY, VERSION]));
        }
    }

    // 3. "An |Upgrade| header field containing the value "websocket", treated as an ASCII case-insensitive
    // value."
    #[test]
    fn server_refuses_requests_without_upgrade_to_websocket() {
        assert!(assert_refused(&request(&[HOST, CONNECTION, KEY, VERSION]), 400).contains("Upgrade"));
        for value in ["", "h2c", "websockets", "web socket", "not-websocket"] {
            assert_refused(&request(&[HOST, &format!("Upgrade: {value}"), CONNECTION, KEY, VERSION]), 400);
        }
    }

    #[test]
    fn server_takes_websocket_among_other_upgrades() {
        assert_switches(&request(&[HOST, "Upgrade: h2c, WebSocket", CONNECTION, KEY, VERSION]));
        assert_switches(&request(&[HOST, "Upgrade: h2c", "Upgrade: websocket", CONNECTION, KEY, VERSION]));
    }

    // 4. "A |Connection| header field that includes the token "Upgrade""
    #[test]
    fn server_refuses_requests_without_connection_upgrade() {
        assert!(assert_refused(&request(&[HOST, UPGRADE, KEY, VERSION]), 400).contains("Connection"));
        for value in ["", "close", "keep-alive", "Upgrades", "Up-grade", "keep-alive Upgrade"] {
            assert_refused(&request(&[HOST, UPGRADE, &format!("Connection: {value}"), KEY, VERSION]), 400);
        }
    }

    #[test]
    fn server_takes_upgrade_among_other_connection_tokens() {
        assert_switches(&request(&[HOST, UPGRADE, "Connection: keep-alive, Upgrade", KEY, VERSION]));
        assert_switches(&request(&[HOST, UPGRADE, "Connection: UPGRADE,keep-alive", KEY, VERSION]));
        assert_switches(&request(&[
            HOST,
            UPGRADE,
            "Connection: keep-alive",
            "Connection: Upgrade",
            KEY,
            VERSION,
        ]));
    }

    // 5. "a base64-encoded value that, when decoded, is 16 bytes in length"
    #[test]
    fn server_refuses_requests_without_a_key_of_16_bytes() {
        assert!(
            assert_refused(&request(&[HOST, UPGRADE, CONNECTION, VERSION]), 400)
                .contains("Sec-WebSocket-Key")
        );
        for value in [
            "",
            "dGhl",
            // 15, 17 and 18 bytes.
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "dGhlIHNhbXBsZSBub25jZSEh",
            // Without padding, with too little, with too much, and with padding inside.
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZS==b25jZQ==",
            // Characters that base64 does not have.
            "dGhlIHNhbXBsZSBub25j!Q==",
            "dGhlIHNhbXBs ZSBub25jZQ==",
            "_GhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_refused(
                &request(&[HOST, UPGRADE, CONNECTION, &format!("Sec-WebSocket-Key: {value}"), VERSION]),
                400,
            );
        }
    }

    // §11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP request."
    #[test]
    fn server_refuses_two_keys() {
        assert_refused(&request(&[HOST, UPGRADE, CONNECTION, KEY, KEY, VERSION]), 400);
        let other = "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==";
        assert_refused(&request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION, other]), 400);
    }

    // 6. "A |Sec-WebSocket-Version| header field, with a value of 13."
    #[test]
    fn server_refuses_requests_without_version() {
        match answer(&request(&[HOST, UPGRADE, CONNECTION, KEY])) {
            Answer::Refused { status: 400 | 426, said, .. } => {
                assert!(said.contains("Sec-WebSocket-Version"), "{said}")
            }
            other => panic!("{other:?}"),
        }
    }

    // §11.3.5: "the |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request."
    #[test]
    fn server_refuses_two_versions() {
        for other in [VERSION, "Sec-WebSocket-Version: 8"] {
            for lines in [
                [HOST, UPGRADE, CONNECTION, KEY, VERSION, other],
                [HOST, UPGRADE, CONNECTION, KEY, other, VERSION],
            ] {
                match answer(&request(&lines)) {
                    Answer::Refused { status: 400 | 426, .. } => {}
                    switched => panic!("{switched:?} to {lines:?}"),
                }
            }
        }
    }

    // "any violations of the ABNF grammar specified for the components of the handshake": §4.3, 1#token.
    #[test]
    fn server_refuses_subprotocol_lists_against_the_grammar() {
        for value in ["", ",", "two words", "chat, two words", "a/b", "(chat)", "chat; q=1"] {
            let line = format!("Sec-WebSocket-Protocol: {value}");
            assert_refused(&request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION, &line]), 400);
        }
    }

    // "any violations of the ABNF grammar": of HTTP too.
    #[test]
    fn server_refuses_what_is_no_http_request() {
        let lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION].join("\r\n");
        for start in
            ["GET /chat", "GET  HTTP/1.1", "GET /ch at HTTP/1.1", "G\0T /chat HTTP/1.1", "\x01\x02\x03\x04"]
        {
            // Where the target ends too early, what follows may as well be called an unknown version.
            match answer(format!("{start}\r\n{lines}\r\n\r\n").as_bytes()) {
                Answer::Refused { status: 400 | 505, .. } => {}
                other => panic!("{other:?} to {start:?}"),
            }
        }
        for line in ["no colon", "Space Inside: x", "Trailing : x", ": no name", " Folded: x", "Null: a\0b"] {
            assert_refused(format!("GET /chat HTTP/1.1\r\n{lines}\r\n{line}\r\n\r\n").as_bytes(), 400);
        }
    }

    // §10.4, §10.7: heads are bounded.
    #[test]
    fn server_refuses_heads_over_the_limit() {
        let limits =
            Limits::default().with_max_head_bytes(1000).and_then(|limits| limits.with_max_headers(20));
        let limits = limits.expect("valid limits");
        let status = |bytes: &[u8]| parse_request(bytes, &limits).map(|_| ()).map_err(|error| error.status());

        let long =
            request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION, &format!("Cookie: {}", "x".repeat(1000))]);
        assert_eq!(status(&long), Err(431));
        assert_eq!(status(&long[..1001]), Err(431), "waits for more of a head that is too long already");
        let many = request(&[vec![HOST, UPGRADE, CONNECTION, KEY, VERSION], vec!["X: y"; 16]].concat());
        assert_eq!(status(&many), Err(431));
        let endless_target = format!("GET /{}", "x".repeat(1000));
        assert!(
            matches!(status(endless_target.as_bytes()), Err(414 | 431)),
            "{:?}",
            status(endless_target.as_bytes())
        );
    }

    // The commonest misconfiguration has its own words.
    #[test]
    fn server_recognises_tls_on_the_plain_port() {
        let client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let error = parse_request(client_hello, &Limits::default()).map(|_| ()).expect_err("no HTTP");
        assert!(error.to_string().contains("TLS"), "{error}");
    }
}

mod section_4_2_2_sending {
    use super::*;

    // 5. "it MUST reply with a valid HTTP response indicating the following"
    #[test]
    fn server_switches_protocols() {
        let response = assert_switches(&request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION]));
        assert_eq!(response.lines().next(), Some("HTTP/1.1 101 Switching Protocols"));
        assert_eq!(values(&response, "Upgrade"), ["websocket"]);
        assert_eq!(values(&response, "Connection"), ["Upgrade"]);
        assert_eq!(values(&response, "Sec-WebSocket-Accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
        assert!(response.ends_with("\r\n\r\n") && response.matches("\r\n\r\n").count() == 1, "{response:?}");
        assert_eq!(response.matches('\n').count(), response.matches("\r\n").count());
    }

    // A 101 has no body, so nothing may announce one (RFC 9110 §8.6).
    #[test]
    fn server_announces_no_body() {
        let response = assert_switches(&request(&[HOST, UPGRADE, CONNECTION, KEY, VERSION]));
        assert!(
            values(&response, "Content-Length").is_empty()
                && values(&response, "Transfer-Encoding").is_empty()
        );
    }

    // The key is used as it stands, not decoded; the space around it is not part of it.
    #[test]
    fn server_answers_the_key_as_it_was_sent() {
        let spaced = "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== ";
        let response = assert_switches(&request(&[HOST, UPGRADE, CONNECTION, spaced, VERSION]));
        assert_eq!(values(&response, "Sec-WebSocket-Accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    }

    fn agreed(lines: &[&str], subprotocols: &[&'static str]) -> Option<&'static str> {
        let lines = [&[HOST, UPGRADE, CONNECTION, KEY, VERSION], lines].concat();
        let Answer::Switched { response, subprotocol } = answer_with(&request(&lines), subprotocols) else {
            panic!("refused {lines:?}")
        };
        assert_eq!(values(&response, "Sec-WebSocket-Protocol"), Vec::from_iter(subprotocol), "{lines:?}");
        subprotocol
    }

    // "by selecting one of the values from the |Sec-WebSocket-Protocol| field that the server is willing to
    // use"
    #[test]
    fn server_selects_one_of_the_offered_subprotocols() {
        assert_eq!(agreed(&["Sec-WebSocket-Protocol: chat"], &["chat"]), Some("chat"));
        assert_eq!(
            agreed(&["Sec-WebSocket-Protocol: other, superchat"], &["chat", "superchat"]),
            Some("superchat")
        );
        assert_eq!(agreed(&["Sec-WebSocket-Protocol:other ,chat,"], &["chat"]), Some("chat"));
        let both = agreed(&["Sec-WebSocket-Protocol: superchat, chat"], &["chat", "superchat"]);
        assert!(matches!(both, Some("chat" | "superchat")), "{both:?}");
    }

    // §11.3.4: "MAY appear multiple times in an HTTP request (which is logically the same as a single […]
    // header field"
    #[test]
    fn server_reads_offers_in_several_lines() {
        let lines = ["Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: another, chat"];
        assert_eq!(agreed(&lines, &["chat"]), Some("chat"));
    }

    // "if the server does not wish to agree to one of the suggested subprotocols, it MUST NOT send back a
    // |Sec-WebSocket-Protocol| header field in its response"
    #[test]
    fn server_sends_no_subprotocol_that_was_not_offered() {
        assert_eq!(agreed(&[], &["chat"]), None);
        assert_eq!(agreed(&["Sec-WebSocket-Protocol: other"], &["chat"]), None);
        assert_eq!(agreed(&["Sec-WebSocket-Protocol: chat"], &[]), None);
        assert_eq!(agreed(&["Sec-WebSocket-Protocol: Chat, cha, chat2"], &["chat"]), None);
    }

    // Most clients fail a connection whose answer names none of what they offered: the caller may refuse
    // instead.
    #[test]
    fn server_can_tell_that_only_unknown_subprotocols_were_offered() {
        let only_unknown = |lines: &[&str]| {
            let bytes = request(&[&[HOST, UPGRADE, CONNECTION, KEY, VERSION], lines].concat());
            let Ok(Parsed::Complete { head, .. }) = parse_request(&bytes, &Limits::default()) else {
                panic!()
            };
            accept_upgrade(&head, &["chat"]).expect("a handshake in order").offers_only_unknown_subprotocols()
        };
        assert!(!only_unknown(&[]));
        assert!(!only_unknown(&["Sec-WebSocket-Protocol: chat"]));
        assert!(!only_unknown(&["Sec-WebSocket-Protocol: other, chat"]));
        assert!(only_unknown(&["Sec-WebSocket-Protocol: other"]));
        assert!(only_unknown(&["Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: mqtt"]));
    }

    // "Extensions not listed by the client MUST NOT be listed"; none is implemented, so none is agreed to.
    #[test]
    fn server_agrees_to_no_extension() {
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
        for lines in [
            &[HOST, UPGRADE, CONNECTION, KEY, VERSION][..],
            &[HOST, UPGRADE, CONNECTION, KEY, VERSION, offer],
        ] {
            assert!(values(&assert_switches(&request(lines)), "Sec-WebSocket-Extensions").is_empty());
        }
    }
}

mod section_4_4_versions {
    use super::*;

    // "If the server doesn't support the requested version, it MUST respond with a |Sec-WebSocket-Version|
    // header field […] containing all versions it is willing to use."
    #[test]
    fn server_names_its_version_when_asked_for_another() {
        for version in ["0", "7", "8", "12", "14", "25", "255"] {
            let line = format!("Sec-WebSocket-Version: {version}");
            match answer(&request(&[HOST, UPGRADE, CONNECTION, KEY, &line])) {
                Answer::Refused { status: 426, header: Some((name, value)), .. } => {
                    assert!(
                        name.eq_ignore_ascii_case("Sec-WebSocket-Version") && value == "13",
                        "{name}: {value}"
                    );
                }
                other => panic!("{other:?} to version {version}"),
            }
        }
    }

    // §4.3: one number without leading zeros.
    #[test]
    fn server_refuses_versions_against_the_grammar() {
        for version in ["", "013", "13.0", "+13", "13, 8", "8, 13", "thirteen", "1 3", "0x0d", "131"] {
            match answer(&request(&[
                HOST,
                UPGRADE,
                CONNECTION,
                KEY,
                &format!("Sec-WebSocket-Version: {version}"),
            ])) {
                Answer::Refused { status: 400 | 426, .. } => {}
                other => panic!("{other:?} to version {version:?}"),
            }
        }
    }
}
