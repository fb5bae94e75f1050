//! One simulated WebSocket client without its socket: bytes in, bytes out.

use corecast_protocol::deflate::Inflater;
use corecast_protocol::frame::{encode_close, encode_frame};
use corecast_protocol::handshake::client::{ClientHandshake, HandshakeError};
use corecast_protocol::{CloseCode, Connection, Event, Input, Limits, MessageKind, Opcode, Payload, Side};

use crate::failure::Failure;
use crate::json_dialect;
use crate::preset::Preset;
use crate::scenario::Scenario;
use crate::target::Target;

/// A client from its handshake to its end. An open, idle one owns no heap memory.
#[derive(Debug)]
pub struct Client {
    state: State,
    /// Its topic, or the first of them.
    topic: u32,
    /// Subscriptions that are not confirmed.
    awaited: u32,
}

#[derive(Debug)]
enum State {
    New,
    Upgrading(Box<Upgrade>),
    /// The subscribe messages are sent, not all of them are confirmed.
    Subscribing(Connection),
    Open(Connection),
    Ended,
}

/// A handshake whose answer is incomplete.
#[derive(Debug)]
struct Upgrade {
    key: [u8; 16],
    head: Vec<u8>,
}

/// What all clients of a thread use in turn.
#[derive(Debug, Default)]
pub struct Scratch {
    inflater: Inflater,
    /// What the pongs carried that came to open clients, where it was the eight bytes of a time.
    pub pongs: Vec<u64>,
}

/// How far a client is after handling bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The handshake or the subscription is not confirmed yet.
    Opening,
    Open,
    /// The server's Close frame answers ours, or the other way round: nothing more will come.
    Closed,
}

/// What all clients of one role have in common.
#[derive(Debug)]
pub struct Role {
    host: String,
    topics: Vec<TopicSetup>,
    /// Topics of each client; publishers have one.
    topics_each: u32,
    subprotocols: Vec<String>,
    /// Answers are those of corecast's JSON dialect.
    speaks_json: bool,
    origin: Option<String>,
    compression: Compression,
    headers: Vec<(String, String)>,
    limits: Limits,
}

/// Whether messages may come compressed (permessage-deflate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Off,
    /// The server may decline it.
    Offered,
    Demanded,
}

#[derive(Debug)]
struct TopicSetup {
    path: String,
    /// Sent after the handshake.
    first_message: Option<String>,
    /// Part of the message that confirms it.
    confirmation: Option<String>,
}

impl Role {
    pub fn subscriber(scenario: &Scenario) -> Result<Self, HandshakeError> {
        let replace = |text: &Option<String>, topic: &str| text.as_ref().map(|t| t.replace("{topic}", topic));
        let messages = |topic: &str| {
            (replace(&scenario.subscribe_message, topic), replace(&scenario.subscribed_match, topic))
        };
        let role = Self::new(scenario, &scenario.subscribe, messages)?;
        let speaks_json = scenario.preset == Preset::CorecastJson;
        Ok(Self {
            topics_each: scenario.topics_per_subscriber,
            speaks_json,
            compression: if scenario.deflate { Compression::Demanded } else { Compression::Off },
            ..role
        })
    }

    pub fn publisher(scenario: &Scenario) -> Result<Self, HandshakeError> {
        let first = |topic: &str| scenario.publisher_message.as_ref().map(|m| m.replace("{topic}", topic));
        let mut role = Self::new(scenario, &scenario.publish, |topic| (first(topic), None))?;
        role.speaks_json = scenario.is_acknowledged;
        if scenario.publish.names_topic() {
            role.subprotocols.retain(|name| name != json_dialect::SUBPROTOCOL);
        }
        Ok(role)
    }

    /// Connections that are not part of a scenario. They take compressed messages if the server sends such.
    pub(crate) fn plain(target: &Target, limits: Limits) -> Result<Self, HandshakeError> {
        let setup = TopicSetup { path: target.path.clone(), first_message: None, confirmation: None };
        let role = Self {
            host: target.host.clone(),
            topics: vec![setup],
            topics_each: 1,
            subprotocols: Vec::new(),
            speaks_json: false,
            origin: None,
            compression: Compression::Offered,
            headers: Vec::new(),
            limits,
        };
        role.with_handshake(0, [0; 16], |handshake| handshake.check()).map(|()| role)
    }

    /// Everything that goes into a request is checked here, once.
    fn new(
        scenario: &Scenario,
        target: &Target,
        messages: impl Fn(&str) -> (Option<String>, Option<String>),
    ) -> Result<Self, HandshakeError> {
        let setup = |topic| {
            let name = scenario.topic_name(topic);
            let (first_message, confirmation) = messages(&name);
            TopicSetup { path: target.path_for(&name), first_message, confirmation }
        };
        let role = Self {
            host: target.host.clone(),
            topics: (0..scenario.topics).map(setup).collect(),
            topics_each: 1,
            speaks_json: false,
            subprotocols: scenario.subprotocols.clone(),
            origin: scenario.origin.clone(),
            compression: Compression::Off,
            headers: scenario.headers.clone(),
            limits: scenario.limits,
        };
        for topic in 0..scenario.topics {
            role.with_handshake(topic, [0; 16], |handshake| handshake.check())?;
        }
        Ok(role)
    }

    /// What is set up for the `nth` topic of a client, by its first one.
    fn setup(&self, first: u32, nth: u32) -> &TopicSetup {
        &self.topics[(first as usize + nth as usize) % self.topics.len()]
    }

    /// Whether a message confirms one of the `awaited` subscriptions that are left. Servers mostly answer in the order of the
    /// requests, so the search begins there.
    fn is_confirmation(&self, first: u32, awaited: u32, message: &[u8]) -> bool {
        let answered = self.topics_each - awaited;
        (0..self.topics_each).any(|nth| {
            let setup = self.setup(first, (answered + nth) % self.topics_each);
            setup.confirmation.as_ref().is_some_and(|text| contains(message, text.as_bytes()))
        })
    }

    fn with_handshake<T>(
        &self,
        topic: u32,
        key: [u8; 16],
        use_it: impl FnOnce(&ClientHandshake<'_>) -> T,
    ) -> T {
        let subprotocols: Vec<&str> = self.subprotocols.iter().map(String::as_str).collect();
        use_it(&ClientHandshake {
            host: &self.host,
            target: &self.topics[topic as usize].path,
            key,
            subprotocols: &subprotocols,
            origin: self.origin.as_deref(),
            deflate: self.compression != Compression::Off,
            headers: &self.headers,
        })
    }
}

impl Client {
    /// A client of one topic, or of that one and those that follow it.
    pub const fn new(topic: u32) -> Self {
        Self { state: State::New, topic, awaited: 0 }
    }

    /// Its topic, or the first of them.
    pub const fn topic(&self) -> u32 {
        self.topic
    }

    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Subscribed, and nothing is incomplete: whatever comes next begins a message or a control frame.
    pub fn is_between_messages(&self) -> bool {
        matches!(&self.state, State::Open(connection) if !connection.is_mid_message() && !connection.close_received())
    }

    /// The handshake is done, whether or not the subscription is confirmed.
    pub const fn is_upgraded(&self) -> bool {
        matches!(self.state, State::Subscribing(_) | State::Open(_))
    }

    /// Appends the handshake request. The key must be new and random (RFC 6455 §4.1).
    pub fn begin(&mut self, key: [u8; 16], role: &Role, out: &mut Vec<u8>) {
        role.with_handshake(self.topic, key, |handshake| handshake.write_request(out));
        self.state = State::Upgrading(Box::new(Upgrade { key, head: Vec::new() }));
    }

    /// Takes what the server sent; `scratch` serves all clients of a thread. Answers are appended to `out`; every message
    /// that arrives after the subscription goes to `on_message`, which may append more.
    #[inline]
    pub fn handle_bytes(
        &mut self,
        bytes: &mut [u8],
        role: &Role,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        on_message: impl FnMut(MessageKind, &[u8], &mut Vec<u8>),
    ) -> Result<Progress, Failure> {
        match self.state {
            State::Open(_) | State::Subscribing(_) => {
                self.handle_frames(bytes, role, scratch, out, on_message)
            }
            State::Upgrading(_) => self.handle_answer(bytes, role, scratch, out, on_message),
            State::New | State::Ended => Ok(Progress::Closed),
        }
    }

    /// Appends a Ping frame that carries a time, for the pong to bring it back (RFC 6455 §5.5.2, §5.5.3). False when the client
    /// is not open.
    pub fn ping(&mut self, now_ns: u64, out: &mut Vec<u8>) -> bool {
        let is_open = self.is_open();
        if is_open {
            encode_frame(out, Opcode::Ping, &now_ns.to_be_bytes(), Some(rand::random()));
        }
        is_open
    }

    /// Appends a Close frame with code 1000 if that was not done before. False when there is no connection to close.
    pub fn close(&mut self, out: &mut Vec<u8>) -> bool {
        let (State::Open(connection) | State::Subscribing(connection)) = &mut self.state else {
            return false;
        };
        if !connection.close_sent() {
            encode_close(out, CloseCode::NORMAL, "", Some(rand::random()));
            connection.mark_close_sent();
        }
        true
    }

    /// Both Close frames are out and in: only the server's end of TCP is to come (RFC 6455 §7.1.1).
    pub const fn is_closed(&self) -> bool {
        matches!(
            &self.state,
            State::Open(connection) | State::Subscribing(connection)
                if connection.close_sent() && connection.close_received()
        )
    }

    /// What an end of the stream means now; `None` after a closing handshake.
    pub fn end_of_stream(&mut self) -> Option<Failure> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::New | State::Upgrading(_) => Some(Failure::ClosedInHandshake),
            State::Subscribing(connection) | State::Open(connection) => {
                let closed = connection.close_received() && connection.close_sent();
                (!closed).then(|| Failure::EndOfStream(connection.is_mid_message()))
            }
            State::Ended => None,
        }
    }

    fn handle_answer(
        &mut self,
        bytes: &mut [u8],
        role: &Role,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        on_message: impl FnMut(MessageKind, &[u8], &mut Vec<u8>),
    ) -> Result<Progress, Failure> {
        let State::Upgrading(upgrade) = &mut self.state else { unreachable!("only called while upgrading") };
        upgrade.head.extend_from_slice(bytes);
        let verified = role
            .with_handshake(self.topic, upgrade.key, |handshake| {
                let agreed = handshake.verify(&upgrade.head, &role.limits)?;
                Ok(agreed.map(|(agreed, length)| (agreed.subprotocol.is_some(), agreed.deflate, length)))
            })
            .map_err(Failure::Handshake)?;
        let Some((has_subprotocol, has_deflate, length)) = verified else { return Ok(Progress::Opening) };
        if role.speaks_json && !has_subprotocol {
            // RFC 6455 §7.1.7: the connection is established, so it is failed with a Close frame.
            encode_close(out, CloseCode::NORMAL, "", Some(rand::random()));
            return Err(Failure::NoSubprotocol);
        }
        if role.compression == Compression::Demanded && !has_deflate {
            // RFC 6455 §7.4.1: this code is for just that, and the reason says which.
            encode_close(out, CloseCode::MANDATORY_EXTENSION, "permessage-deflate", Some(rand::random()));
            return Err(Failure::NoDeflate);
        }
        let mut first_frames = upgrade.head.split_off(length);
        for nth in 0..role.topics_each {
            let TopicSetup { first_message, confirmation, .. } = role.setup(self.topic, nth);
            if let Some(message) = first_message {
                encode_frame(out, Opcode::Text, message.as_bytes(), Some(rand::random()));
            }
            self.awaited += u32::from(confirmation.is_some());
        }
        let connection = Connection::new(Side::Client).with_deflate(has_deflate);
        self.state = match self.awaited {
            0 => State::Open(connection),
            _ => State::Subscribing(connection),
        };
        self.handle_frames(&mut first_frames, role, scratch, out, on_message)
    }

    #[inline]
    fn handle_frames(
        &mut self,
        bytes: &mut [u8],
        role: &Role,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        mut on_message: impl FnMut(MessageKind, &[u8], &mut Vec<u8>),
    ) -> Result<Progress, Failure> {
        let (connection, was_subscribing) = match &mut self.state {
            State::Open(connection) => (connection, false),
            State::Subscribing(connection) => (connection, true),
            _ => unreachable!("only called with a connection"),
        };
        let mut input = Input::new(bytes);
        loop {
            let mut event = connection.poll_event(&mut input, &role.limits);
            if let Ok(Some(Event::Deflated { kind, payload })) = event {
                let message = scratch.inflater.inflate(kind, &payload, role.limits.max_message_bytes());
                event = message
                    .map(|message| Some(Event::Message { kind, payload: Payload::Assembled(message) }));
            }
            match event {
                Ok(Some(Event::Deflated { .. })) => unreachable!("inflated above"),
                Ok(Some(Event::Message { kind, payload })) => match self.awaited {
                    0 => on_message(kind, &payload, out),
                    awaited if role.is_confirmation(self.topic, awaited, &payload) => self.awaited -= 1,
                    _ => {
                        if role.speaks_json
                            && let Some((_, reason)) = json_dialect::refusal(&payload)
                        {
                            encode_close(out, CloseCode::NORMAL, "", Some(rand::random()));
                            connection.mark_close_sent();
                            return Err(Failure::NotSubscribed(reason));
                        }
                        // Greetings and the like, before the subscription.
                    }
                },
                // RFC 6455 §5.5.2: unless a Close was received, and after that no event comes. Having sent one is no excuse.
                Ok(Some(Event::Ping(payload))) => {
                    encode_frame(out, Opcode::Pong, &payload, Some(rand::random()));
                }
                Ok(Some(Event::Pong(payload))) => {
                    scratch.pongs.extend(payload[..].try_into().ok().map(u64::from_be_bytes));
                }
                Ok(Some(Event::Close(close))) => {
                    let code = close.as_ref().map(|(code, _)| *code);
                    let reason =
                        close.map_or(String::new(), |(_, text)| String::from_utf8_lossy(&text).into_owned());
                    if connection.close_sent() {
                        return Ok(Progress::Closed);
                    }
                    // RFC 6455 §5.5.1: answered with the code received.
                    encode_close(out, code.unwrap_or(CloseCode::NO_STATUS), "", Some(rand::random()));
                    connection.mark_close_sent();
                    return Err(Failure::Closed { code, reason });
                }
                Ok(None) => break,
                // RFC 6455 §7.1.7: a Close with the code for it, and then nothing more.
                Err(error) => {
                    if !connection.close_sent() {
                        encode_close(out, error.close_code(), &error.reason(), Some(rand::random()));
                        connection.mark_close_sent();
                    }
                    return Err(Failure::Protocol(error));
                }
            }
        }
        if self.awaited > 0 {
            return Ok(Progress::Opening);
        }
        if was_subscribing
            && let State::Subscribing(connection) = std::mem::replace(&mut self.state, State::Ended)
        {
            self.state = State::Open(connection);
        }
        Ok(Progress::Open)
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod rfc6455;

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_protocol::handshake::accept_value;

    pub(super) fn role(arguments: &[&str]) -> Role {
        let scenario = Scenario::of(&[&["ws://127.0.0.1:9001/live/{topic}"], arguments].concat());
        Role::subscriber(&scenario).expect("sendable")
    }

    /// The answer to the key of sixteen zero bytes.
    pub(super) fn switching_protocols() -> Vec<u8> {
        let accept = accept_value(b"AAAAAAAAAAAAAAAAAAAAAA==");
        let accept = std::str::from_utf8(&accept).expect("base64");
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes()
    }

    pub(super) fn json_role(arguments: &[&str]) -> Role {
        let scenario = Scenario::of(&[&["--preset", "corecast-json"], arguments].concat());
        Role::subscriber(&scenario).expect("sendable")
    }

    /// With the subprotocol of the JSON dialect.
    fn json_answer() -> Vec<u8> {
        let mut answer = switching_protocols();
        answer.truncate(answer.len() - 2);
        answer.extend_from_slice(b"Sec-WebSocket-Protocol: corecast.json.v1\r\n\r\n");
        answer
    }

    pub(super) fn begun(role: &Role) -> (Client, Vec<u8>) {
        let mut client = Client::new(0);
        let mut out = Vec::new();
        client.begin([0; 16], role, &mut out);
        (client, out)
    }

    fn message(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, Opcode::Text, text.as_bytes(), None);
        bytes
    }

    #[test]
    fn request_names_topic_and_headers() {
        let (_, out) = begun(&role(&["--header", "Authorization: Bearer x", "--origin", "http://a.example"]));
        let request = String::from_utf8(out).unwrap();
        assert!(request.starts_with("GET /live/load-0 HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer x\r\n"), "{request}");
        assert!(request.contains("\r\nOrigin: http://a.example\r\n"), "{request}");
    }

    #[test]
    fn answer_and_messages_may_be_split_anywhere() {
        let role = role(&[]);
        let mut stream = switching_protocols();
        stream.extend(message("one"));
        stream.extend(message("two"));
        for split in 0..=stream.len() {
            let (mut client, mut out) = begun(&role);
            let mut received = Vec::new();
            for part in [&stream[..split], &stream[split..]] {
                client
                    .handle_bytes(&mut part.to_vec(), &role, &mut Scratch::default(), &mut out, |_, m, _| {
                        received.push(m.to_vec())
                    })
                    .expect("a valid stream");
            }
            assert!(client.is_open());
            assert_eq!(received, [b"one", b"two"], "split at {split}");
        }
    }

    #[test]
    fn subscription_counts_from_its_confirmation() {
        let role = role(&["--subscribe-message", "sub {topic}", "--subscribed-match", "ok {topic}"]);
        let (mut client, mut out) = begun(&role);
        out.clear();
        let mut received = Vec::new();
        let mut handle = |client: &mut Client, mut bytes: Vec<u8>, out: &mut Vec<u8>| {
            client.handle_bytes(&mut bytes, &role, &mut Scratch::default(), out, |_, m, _| {
                received.push(m.to_vec())
            })
        };
        assert_eq!(handle(&mut client, switching_protocols(), &mut out), Ok(Progress::Opening));
        let mut sent = Input::new(&mut out);
        let mut server = Connection::new(Side::Server);
        match server.poll_event(&mut sent, &Limits::default()).expect("a valid frame") {
            Some(Event::Message { kind: MessageKind::Text, payload }) => {
                assert_eq!(&payload[..], b"sub load-0")
            }
            other => panic!("expected the subscribe message, not {other:?}"),
        }
        let mut bytes = message("welcome");
        assert_eq!(handle(&mut client, bytes, &mut out), Ok(Progress::Opening));
        bytes = message("ok load-0");
        bytes.extend(message("first"));
        assert_eq!(handle(&mut client, bytes, &mut out), Ok(Progress::Open));
        assert_eq!(received, [b"first"]);
        assert!(client.is_open());
    }

    #[test]
    fn several_subscriptions_are_confirmed_in_any_order() {
        let options = ["--topics", "4", "--topics-per-subscriber", "3"];
        let role = json_role(&options);
        let mut client = Client::new(2);
        let mut out = Vec::new();
        client.begin([0; 16], &role, &mut out);
        out.clear();
        assert_eq!(
            client.handle_bytes(&mut json_answer(), &role, &mut Scratch::default(), &mut out, |_, _, _| {}),
            Ok(Progress::Opening)
        );
        let mut server = Connection::new(Side::Server);
        let mut input = Input::new(&mut out);
        for topic in [2, 3, 0] {
            match server.poll_event(&mut input, &Limits::default()).expect("a valid frame") {
                Some(Event::Message { payload, .. }) => assert_eq!(
                    String::from_utf8_lossy(&payload),
                    format!(r#"{{"op":"subscribe","topic":"load-{topic}"}}"#)
                ),
                other => panic!("expected a subscribe message, not {other:?}"),
            }
        }
        let mut out = Vec::new();
        let mut received = 0;
        let mut handle = |client: &mut Client, topic: u32| {
            let text = format!(
                r#"{{"op":"subscribed","topic":"load-{topic}","offset":7,"epoch":"0123456789abcdef"}}"#
            );
            client.handle_bytes(&mut message(&text), &role, &mut Scratch::default(), &mut out, |_, _, _| {
                received += 1
            })
        };
        assert_eq!(handle(&mut client, 0), Ok(Progress::Opening));
        assert_eq!(handle(&mut client, 1), Ok(Progress::Opening), "not one of its topics");
        assert_eq!(handle(&mut client, 2), Ok(Progress::Opening));
        assert_eq!(handle(&mut client, 3), Ok(Progress::Open));
        assert_eq!(received, 0);
    }

    #[test]
    fn a_refused_subscription_ends_the_connection() {
        let role = json_role(&[]);
        let (mut client, mut out) = begun(&role);
        let mut bytes = json_answer();
        bytes.extend(message(r#"{"op":"error","code":"too_many","message":"at most 3 topics"}"#));
        let failure = client
            .handle_bytes(&mut bytes, &role, &mut Scratch::default(), &mut out, |_, _, _| {})
            .unwrap_err();
        assert_eq!(failure.to_string(), "the server refused the subscription: too_many: at most 3 topics");
    }

    #[test]
    fn the_json_dialect_must_be_agreed_on() {
        let role = json_role(&[]);
        let (mut client, mut out) = begun(&role);
        let request = String::from_utf8(out.clone()).expect("text");
        assert!(request.contains("\r\nSec-WebSocket-Protocol: corecast.json.v1\r\n"), "{request}");
        let failure = client
            .handle_bytes(&mut switching_protocols(), &role, &mut Scratch::default(), &mut out, |_, _, _| {})
            .unwrap_err();
        assert_eq!(failure, Failure::NoSubprotocol);
    }

    #[test]
    fn ping_is_answered_with_its_payload() {
        let role = role(&[]);
        let (mut client, mut out) = begun(&role);
        let mut bytes = switching_protocols();
        encode_frame(&mut bytes, Opcode::Ping, b"hi", None);
        out.clear();
        client.handle_bytes(&mut bytes, &role, &mut Scratch::default(), &mut out, |_, _, _| {}).unwrap();
        let mut server = Connection::new(Side::Server);
        match server.poll_event(&mut Input::new(&mut out), &Limits::default()).unwrap() {
            Some(Event::Pong(payload)) => assert_eq!(&payload[..], b"hi"),
            other => panic!("expected a pong, not {other:?}"),
        }
    }

    #[test]
    fn close_of_the_server_is_answered_and_reported() {
        let role = role(&[]);
        let (mut client, mut out) = begun(&role);
        let mut bytes = switching_protocols();
        encode_close(&mut bytes, CloseCode(4008), "lapped", None);
        out.clear();
        let failure = client
            .handle_bytes(&mut bytes, &role, &mut Scratch::default(), &mut out, |_, _, _| {})
            .unwrap_err();
        assert_eq!(failure, Failure::Closed { code: Some(CloseCode(4008)), reason: "lapped".into() });
        let mut server = Connection::new(Side::Server);
        match server.poll_event(&mut Input::new(&mut out), &Limits::default()).unwrap() {
            Some(Event::Close(Some((code, _)))) => assert_eq!(code, CloseCode(4008)),
            other => panic!("expected a Close, not {other:?}"),
        }
        assert_eq!(client.end_of_stream(), None);
    }

    #[test]
    fn closing_ourselves_ends_with_the_servers_answer() {
        let role = role(&[]);
        let (mut client, mut out) = begun(&role);
        client
            .handle_bytes(&mut switching_protocols(), &role, &mut Scratch::default(), &mut out, |_, _, _| {})
            .unwrap();
        assert!(client.close(&mut out));
        let mut answer = Vec::new();
        encode_close(&mut answer, CloseCode::NORMAL, "", None);
        assert_eq!(
            client.handle_bytes(&mut answer, &role, &mut Scratch::default(), &mut out, |_, _, _| {}),
            Ok(Progress::Closed)
        );
        assert_eq!(client.end_of_stream(), None);
    }

    #[test]
    fn ends_of_the_stream_are_told_apart() {
        let role = role(&[]);
        assert_eq!(begun(&role).0.end_of_stream(), Some(Failure::ClosedInHandshake));
        let (mut client, mut out) = begun(&role);
        client
            .handle_bytes(&mut switching_protocols(), &role, &mut Scratch::default(), &mut out, |_, _, _| {})
            .unwrap();
        client
            .handle_bytes(
                &mut message("cut")[..3].to_vec(),
                &role,
                &mut Scratch::default(),
                &mut out,
                |_, _, _| {},
            )
            .unwrap();
        assert_eq!(client.end_of_stream(), Some(Failure::EndOfStream(true)));
    }

    #[test]
    fn a_refusal_is_reported_with_status_and_body() {
        let role = role(&[]);
        let (mut client, mut out) = begun(&role);
        let mut answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nno access".to_vec();
        let failure = client
            .handle_bytes(&mut answer, &role, &mut Scratch::default(), &mut out, |_, _, _| {})
            .unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the server refused the handshake: 403 Forbidden; it says: \"no access\""
        );
    }
}
