//! A small WebSocket broadcast server with blocking threads, that loses, doubles, reorders and delays exactly what it is told
//! to, and stands still when it is told to.
//!
//! `/topics/{name}?role=subscriber` receives, any other connection publishes: messages, or `POST` requests. `/ws` speaks
//! corecast's JSON dialect. `/metrics` is the metrics page.

mod clockwork;
mod json;
mod noise;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corecast_load::clock::now_ns;
use corecast_load::stamp::{Encoding, Finder};
use corecast_protocol::frame::{encode_close, encode_frame};
use corecast_protocol::handshake::server::accept_upgrade;
use corecast_protocol::http1::{BodyLength, Parsed, body_length, parse_request};
use corecast_protocol::{CloseCode, Connection, Event, Input, Limits, MessageKind, Opcode, Side};

use clockwork::Delayed;
pub(crate) use noise::NoiseMeter;

/// What happens to message `number` (from 0, per topic) on its way to one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    Lose,
    Double,
    /// Delivered a second time, behind the next one.
    DoubleLater,
    /// Delivered behind the next one.
    HoldBack,
    /// Delivered so much later as [`Behaviour::delay`] says, and behind the next one.
    Delay,
    /// The connection is closed with code 4008 instead.
    Disconnect,
    /// A message of somebody else follows.
    AddForeign,
    /// Not delivered; the subscriber is told so before its next message. JSON subscribers only.
    Announce,
}

/// How the server behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    /// By message number and number of the subscriber in its topic.
    pub(crate) fate: fn(usize, usize) -> Fate,
    /// Answers every upgrade with this status instead.
    pub(crate) refuse_upgrades: Option<&'static str>,
    /// Pings every subscriber right after its handshake.
    pub(crate) ping: bool,
    /// Every so many pings of raw subscribers get no pong.
    pub(crate) leave_pings: Option<usize>,
    /// Every so many POST requests or JSON publishes on one connection are refused.
    pub(crate) refuse_every: Option<usize>,
    /// Every so many JSON publishes on one connection get no answer.
    pub(crate) leave_unanswered: Option<usize>,
    /// JSON subscriptions to this topic are refused.
    pub(crate) refuse_topic: Option<&'static str>,
    /// A connection ends, announced, after so many POST requests.
    pub(crate) close_after: Option<usize>,
    /// How long [`Fate::Delay`] takes.
    pub(crate) delay: Duration,
    /// A subscriber that takes nothing for so long is cut off.
    pub(crate) patience: Option<Duration>,
    /// The whole server stands still again and again.
    pub(crate) stall: Option<Stall>,
}

/// Nothing is delivered or answered for the last `length` of every `period`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    pub(crate) period: Duration,
    pub(crate) length: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            fate: |_, _| Fate::Deliver,
            refuse_upgrades: None,
            ping: false,
            leave_pings: None,
            refuse_every: None,
            leave_unanswered: None,
            refuse_topic: None,
            close_after: None,
            delay: Duration::ZERO,
            patience: None,
            stall: None,
        }
    }
}

/// When a message was due, as it says itself, and when it was written to all subscribers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handled {
    pub(crate) due_ns: u64,
    pub(crate) delivered_ns: u64,
}

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct State {
    behaviour: Behaviour,
    topics: Mutex<HashMap<String, Topic>>,
    pongs: AtomicUsize,
    pings: AtomicUsize,
    connections: AtomicUsize,
    is_over: AtomicBool,
    /// Of all connections so far.
    streams: Mutex<Vec<TcpStream>>,
    delayed: Mutex<VecDeque<Delayed>>,
    /// When it stood still, as it happened.
    stalls: Mutex<Vec<Range<u64>>>,
    /// All messages in the order of their coming.
    handled: Mutex<Vec<Handled>>,
}

#[derive(Default)]
struct Topic {
    messages: usize,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    stream: TcpStream,
    form: Form,
    held_back: Vec<u8>,
    /// Of a thread that writes to it alone.
    queue: Option<mpsc::Sender<Vec<u8>>>,
    /// First and last offset of what it was not sent.
    missed: Option<(usize, usize)>,
}

/// What a subscriber's messages look like.
enum Form {
    Raw,
    Json,
}

/// How a message came.
enum Published<'a> {
    Raw(MessageKind, &'a [u8]),
    /// The bytes of a JSON value.
    Json(&'a [u8]),
}

impl Subscriber {
    fn new(stream: TcpStream, form: Form) -> Self {
        Self { stream, form, held_back: Vec::new(), queue: None, missed: None }
    }
}

impl TestServer {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), behaviour)
    }

    /// Where another one was before.
    pub(crate) fn start_at(address: SocketAddr, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let state = Arc::new(State {
            behaviour,
            topics: Mutex::default(),
            pongs: AtomicUsize::new(0),
            pings: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            streams: Mutex::default(),
            delayed: Mutex::default(),
            stalls: Mutex::default(),
            handled: Mutex::default(),
        });
        clockwork::start(&state);
        let accepting = Arc::clone(&state);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::Relaxed) {
                    break;
                }
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                let copy = stream.try_clone().expect("a descriptor");
                accepting.streams.lock().expect("no panic while locked").push(copy);
                let state = Arc::clone(&accepting);
                thread::spawn(move || state.serve(stream));
            }
        });
        Self { address, state, accepting: Mutex::new(Some(accepting)) }
    }

    /// Ends at once, as a process does that is killed: nothing listens, and every connection is over. With a code, subscribers
    /// are told so by a Close frame.
    pub(crate) fn stop(&self, code: Option<CloseCode>) {
        self.state.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.lock().expect("no panic while locked").take() {
            accepting.join().expect("it accepts without a panic");
        }
        if let Some(code) = code {
            let mut topics = self.state.topics.lock().expect("no panic while locked");
            for subscriber in topics.values_mut().flat_map(|topic| &mut topic.subscribers) {
                let mut close = Vec::new();
                encode_close(&mut close, code, "back soon", None);
                let _ = subscriber.stream.write_all(&close);
            }
        }
        for stream in self.state.streams.lock().expect("no panic while locked").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn pongs(&self) -> usize {
        self.state.pongs.load(Ordering::Relaxed)
    }

    /// When nothing was delivered, in nanoseconds of the generator's clock.
    pub(crate) fn stalls(&self) -> Vec<Range<u64>> {
        self.state.stalls.lock().expect("no panic while locked").clone()
    }

    /// All messages that were published, in the order of their coming.
    pub(crate) fn handled(&self) -> Vec<Handled> {
        self.state.handled.lock().expect("no panic while locked").clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let limits = Limits::default();
        let mut inbox = Vec::new();
        let mut requests = 0;
        loop {
            let (used, answer, upgrade) = match parse_request(&inbox, &limits).expect("valid HTTP") {
                Parsed::Incomplete => {
                    if !read_more(&mut stream, &mut inbox) {
                        return;
                    }
                    continue;
                }
                Parsed::Complete { head, length } if head.method == "POST" => {
                    let BodyLength::Known(body) = body_length(&head).expect("a clear length") else {
                        panic!("the generator states the length of what it posts")
                    };
                    let end = length + body as usize;
                    if inbox.len() < end {
                        if !read_more(&mut stream, &mut inbox) {
                            return;
                        }
                        continue;
                    }
                    requests += 1;
                    let is_refused = self.behaviour.refuse_every.is_some_and(|every| requests % every == 0);
                    let is_last = self.behaviour.close_after == Some(requests);
                    if !is_refused {
                        let is_text =
                            head.headers.text("content-type").is_some_and(|t| t.starts_with("text/"));
                        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
                        self.publish(topic_of(head.path()), &Published::Raw(kind, &inbox[length..end]));
                    }
                    let status = if is_refused { "503 Service Unavailable" } else { "200 OK" };
                    let connection = if is_last { "Connection: close\r\n" } else { "" };
                    let answer = format!("HTTP/1.1 {status}\r\n{connection}Content-Length: 2\r\n\r\n{{}}");
                    (end, answer.into_bytes(), if is_last { Next::End } else { Next::Request })
                }
                Parsed::Complete { head, length } if head.path() == "/metrics" => {
                    let connections = self.connections.load(Ordering::Relaxed);
                    let page =
                        json::metrics(&self.topics.lock().expect("no panic while locked"), connections);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
                    (length, (head + &page).into_bytes(), Next::End)
                }
                Parsed::Complete { head, length } if head.path() == "/ws" => {
                    let mut answer = Vec::new();
                    accept_upgrade(&head, &["corecast.json.v1"])
                        .expect("a valid upgrade")
                        .write_response(&mut answer);
                    (length, answer, Next::Json)
                }
                Parsed::Complete { head, length } => {
                    let topic = topic_of(head.path()).to_owned();
                    let is_subscriber = head.query() == Some("role=subscriber");
                    if let Some(refusal) = self.behaviour.refuse_upgrades {
                        let answer = format!("HTTP/1.1 {refusal}\r\nContent-Length: 9\r\n\r\nnot today");
                        (length, answer.into_bytes(), Next::End)
                    } else {
                        let mut answer = Vec::new();
                        accept_upgrade(&head, &[]).expect("a valid upgrade").write_response(&mut answer);
                        (length, answer, Next::Upgrade { topic, is_subscriber })
                    }
                }
            };
            inbox.drain(..used);
            match upgrade {
                Next::Upgrade { topic, is_subscriber: true } => {
                    // Listed before the 101 leaves: what is published from then on arrives.
                    let mut topics = self.topics.lock().expect("no panic while locked");
                    stream.write_all(&answer).expect("room for an answer");
                    if self.behaviour.ping {
                        send(&mut stream, Opcode::Ping, b"are you there");
                    }
                    let copy = stream.try_clone().expect("a descriptor");
                    let queue = self.behaviour.patience.map(|patience| write_patiently(&copy, patience));
                    let subscriber = Subscriber { queue, ..Subscriber::new(copy, Form::Raw) };
                    topics.entry(topic.clone()).or_default().subscribers.push(subscriber);
                    drop(topics);
                    return self.serve_frames(&mut stream, inbox, &topic);
                }
                Next::Upgrade { topic, is_subscriber: false } => {
                    let _ = stream.write_all(&answer);
                    return self.serve_frames(&mut stream, inbox, &topic);
                }
                Next::Json => {
                    let _ = stream.write_all(&answer);
                    return self.serve_json(&mut stream, inbox);
                }
                Next::Request => {
                    let _ = stream.write_all(&answer);
                }
                Next::End => {
                    let _ = stream.write_all(&answer);
                    let _ = stream.shutdown(Shutdown::Write);
                    // What the peer had sent ahead must not turn the answer into a reset.
                    while read_more(&mut stream, &mut inbox) {}
                    return;
                }
            }
        }
    }

    fn serve_frames(&self, stream: &mut TcpStream, mut inbox: Vec<u8>, topic: &str) {
        let mut connection = Connection::new(Side::Server);
        let limits = Limits::default();
        loop {
            let mut input = Input::new(&mut inbox);
            while let Some(event) =
                connection.poll_event(&mut input, &limits).expect("the generator keeps to RFC 6455")
            {
                match event {
                    Event::Message { kind, payload } => {
                        self.publish(topic, &Published::Raw(kind, &payload));
                    }
                    Event::Pong(payload) => {
                        assert_eq!(&payload[..], b"are you there");
                        self.pongs.fetch_add(1, Ordering::Relaxed);
                    }
                    Event::Deflated { .. } => panic!("no compression was agreed on"),
                    Event::Ping(payload) => {
                        let number = self.pings.fetch_add(1, Ordering::Relaxed) + 1;
                        if self.behaviour.leave_pings.is_none_or(|every| !number.is_multiple_of(every)) {
                            send(stream, Opcode::Pong, &payload);
                        }
                    }
                    Event::Close(_) => {
                        let mut close = Vec::new();
                        encode_close(&mut close, CloseCode::NORMAL, "", None);
                        let _ = stream.write_all(&close);
                        let _ = stream.shutdown(Shutdown::Both);
                        return;
                    }
                }
            }
            inbox.clear();
            if !read_more(stream, &mut inbox) {
                return;
            }
        }
    }

    /// Gives the message's offset.
    fn publish(&self, name: &str, published: &Published<'_>) -> usize {
        let mut topics = self.topics.lock().expect("no panic while locked");
        let topic = topics.entry(name.to_owned()).or_default();
        let number = topic.messages;
        topic.messages += 1;
        let offset = topic.messages;
        for (index, subscriber) in topic.subscribers.iter_mut().enumerate() {
            let frame = match (&subscriber.form, published) {
                (Form::Json, published) => json::message(name, offset, published),
                (Form::Raw, Published::Raw(kind, payload)) => frame(kind.opcode(), payload),
                (Form::Raw, Published::Json(value)) => frame(Opcode::Text, value),
            };
            let fate = (self.behaviour.fate)(number, index);
            let mut bytes = Vec::new();
            if fate == Fate::Announce {
                let from = subscriber.missed.map_or(offset, |(from, _)| from);
                subscriber.missed = Some((from, offset));
            } else if let Some((from, to)) = subscriber.missed.take() {
                bytes.extend(json::missed(name, from, to));
            }
            let held_back = std::mem::take(&mut subscriber.held_back);
            match fate {
                Fate::Deliver => bytes.extend_from_slice(&frame),
                Fate::Lose | Fate::Announce => {}
                Fate::Double => bytes.extend([&frame[..], &frame[..]].concat()),
                Fate::DoubleLater => {
                    bytes.extend_from_slice(&frame);
                    subscriber.held_back = frame.clone();
                }
                Fate::HoldBack => subscriber.held_back = frame.clone(),
                Fate::Delay => self.delay(name, number, index, frame),
                Fate::Disconnect => encode_close(&mut bytes, CloseCode(4008), "lapped", None),
                Fate::AddForeign => {
                    bytes.extend_from_slice(&frame);
                    encode_frame(&mut bytes, Opcode::Text, b"somebody else's", None);
                }
            }
            bytes.extend(held_back);
            match &subscriber.queue {
                Some(queue) => drop(queue.send(bytes)),
                None => drop(subscriber.stream.write_all(&bytes)),
            }
        }
        let stamp = match published {
            Published::Raw(MessageKind::Binary, payload) => Finder::new(Encoding::Binary).find(payload),
            Published::Raw(MessageKind::Text, text) | Published::Json(text) => {
                Finder::new(Encoding::Text).find(text)
            }
        };
        let due_ns = stamp.expect("a message of the generator").intended_ns;
        let handled = Handled { due_ns, delivered_ns: now_ns() };
        self.handled.lock().expect("no panic while locked").push(handled);
        offset
    }
}

enum Next {
    Request,
    Upgrade { topic: String, is_subscriber: bool },
    Json,
    End,
}

fn topic_of(path: &str) -> &str {
    path.strip_prefix("/topics/").expect("a topic's path")
}

/// Writes what comes, so that others need not wait for this subscriber. One that takes nothing for too long is reset: what
/// waits to be sent to it would keep a mere end from it.
fn write_patiently(stream: &TcpStream, patience: Duration) -> mpsc::Sender<Vec<u8>> {
    let mut stream = stream.try_clone().expect("a descriptor");
    stream.set_write_timeout(Some(patience)).expect("a socket");
    let (queue, waiting) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        while let Ok(bytes) = waiting.recv() {
            if stream.write_all(&bytes).is_err() {
                let _ = rustix::net::connect_unspec(&stream);
                return;
            }
        }
    });
    queue
}

fn send(stream: &mut TcpStream, opcode: Opcode, payload: &[u8]) {
    let _ = stream.write_all(&frame(opcode, payload));
}

fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(&mut frame, opcode, payload, None);
    frame
}

fn read_more(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 16 << 10];
    match stream.read(&mut chunk) {
        Ok(count @ 1..) => {
            inbox.extend_from_slice(&chunk[..count]);
            true
        }
        _ => false,
    }
}
