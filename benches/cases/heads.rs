//! Request heads as they arrive, and everything that the server finds out about one before it acts.

use corecast::http::{AccessRules, Requester, Route, body_form, route};
use corecast_protocol::Limits;
use corecast_protocol::handshake::server::{accept_upgrade, is_upgrade};
use corecast_protocol::http1::{BodyLength, Parsed, RequestHead, body_length, parse_request};
use std::hint::black_box;

/// A browser's handshake, without what it says about itself beyond one long line.
const UPGRADE: &[u8] = b"GET /topics/prices.EURUSD?role=subscriber HTTP/1.1\r\n\
    Host: localhost:9001\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: http://localhost:9001\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// A script's publish.
const POST: &[u8] = b"POST /topics/prices.EURUSD HTTP/1.1\r\n\
    Host: localhost:9001\r\n\
    User-Agent: curl/8.14.1\r\n\
    Accept: */*\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 64\r\n\r\n";

const LOCAL: Requester = Requester { is_loopback_peer: true, is_loopback_listener: true };

#[derive(Debug, Default)]
pub struct Heads {
    limits: Limits,
    access: AccessRules,
    response: Vec<u8>,
}

impl Heads {
    /// From a handshake's bytes to those of its 101, of which it gives the number.
    pub fn upgrade(&mut self) -> usize {
        let head = parsed(UPGRADE, &self.limits);
        assert!(
            is_upgrade(&head) && self.access.may_connect(&head).is_ok(),
            "a page of this host may connect"
        );
        let route = route(&head, true, None).expect("there are topics");
        assert!(matches!(black_box(&route), Route::Raw { .. }), "a topic's WebSocket is raw");
        black_box(self.access.may_publish(&head, LOCAL).is_ok());
        self.response.clear();
        accept_upgrade(&head, &[]).expect("the handshake is whole").write_response(&mut self.response);
        self.response.len()
    }

    /// From a publish's bytes to what its body is to be taken for; gives how long that is.
    pub fn post(&self) -> u64 {
        let head = parsed(POST, &self.limits);
        assert!(!is_upgrade(&head) && self.access.cors(&head).is_none(), "a script has no origin");
        let route = route(&head, false, None).expect("there are topics");
        assert!(matches!(black_box(&route), Route::Publish { .. }), "a POST to a topic publishes");
        self.access.may_publish(&head, LOCAL).expect("a process of this host may publish");
        black_box(body_form(&head).expect("every content type is taken"));
        match body_length(&head) {
            Ok(BodyLength::Known(length)) => length,
            other => panic!("{other:?}"),
        }
    }
}

fn parsed<'a>(bytes: &'a [u8], limits: &Limits) -> RequestHead<'a> {
    match parse_request(black_box(bytes), limits) {
        Ok(Parsed::Complete { head, .. }) => head,
        other => panic!("{other:?}"),
    }
}
