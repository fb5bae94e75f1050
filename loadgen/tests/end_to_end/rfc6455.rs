//! What RFC 6455 demands of a client that only shows on its sockets: when it sends, what it sends, when it ends TCP. The
//! server here reads bytes, and knows nothing of the generator's own protocol crate but the accept value.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use clap::Parser;
use corecast_load::{RunOptions, Scenario, run};
use corecast_protocol::handshake::accept_value;

/// What one connection did, from the request to the end of its stream.
struct Seen {
    request: String,
    frames: Vec<Frame>,
}

/// A frame as it came, masked.
#[derive(Debug)]
struct Frame {
    first_byte: u8,
    key: [u8; 4],
    payload: Vec<u8>,
}

impl Frame {
    fn unmasked(&self) -> Vec<u8> {
        self.payload.iter().enumerate().map(|(i, byte)| byte ^ self.key[i % 4]).collect()
    }
}

/// Serves `connections` and gives what each of them did.
fn serve(listener: &TcpListener, connections: usize, end: fn(&mut TcpStream, &mut Seen)) -> Vec<Seen> {
    let streams = (0..connections).map(|_| listener.accept().expect("a connection").0);
    let threads: Vec<_> = streams.map(|stream| thread::spawn(move || converse(stream, end))).collect();
    threads.into_iter().map(|thread| thread.join().expect("a connection that keeps the rules")).collect()
}

/// Up to the client's Close; the rest is `end`.
fn converse(mut stream: TcpStream, end: fn(&mut TcpStream, &mut Seen)) -> Seen {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(&mut stream));
    }
    let request = String::from_utf8(head).expect("ASCII");
    // §4.1: "Once the client's opening handshake has been sent, the client MUST wait for a response from the server".
    assert_silence(&mut stream, "sent before the answer");
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let accept = accept_value(key.as_bytes());
    let accept = str::from_utf8(&accept).expect("base64");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    // A ping in the same segment.
    stream.write_all(&[answer.as_bytes(), b"\x89\x04ping"].concat()).expect("room");
    let mut frames = Vec::new();
    loop {
        let frame = read_frame(&mut stream);
        let is_close = frame.first_byte == 0x88;
        frames.push(frame);
        if is_close {
            break;
        }
    }
    let mut seen = Seen { request, frames };
    end(&mut stream, &mut seen);
    seen
}

fn close_slowly(stream: &mut TcpStream, seen: &mut Seen) {
    // §5.5.2: not yet closed by us, so this is to be answered.
    stream.write_all(b"\x89\x04last").expect("room");
    seen.frames.push(read_frame(stream));
    stream.write_all(b"\x88\x02\x03\xe8").expect("room");
    // §7.1.1: "when a client is instructed to [Close the WebSocket Connection], it SHOULD wait for a TCP Close from the
    // server". One that does not wait would have ended its side by now.
    assert_silence(stream, "ended TCP before the server, or sent something behind its Close");
    stream.shutdown(Shutdown::Write).expect("an open stream");
    assert!(matches!(stream.read(&mut [0]), Ok(0)), "only the end follows");
}

fn read_frame(stream: &mut TcpStream) -> Frame {
    let first_byte = byte(stream);
    let second = byte(stream);
    assert_eq!(second & 0x80, 0x80, "§5.1: a client MUST mask all frames");
    let length = match second & 0x7f {
        126 => usize::from(u16::from_be_bytes([byte(stream), byte(stream)])),
        length @ 0..=125 => usize::from(length),
        _ => panic!("no message here is that long"),
    };
    let mut key = [0; 4];
    stream.read_exact(&mut key).expect("a key");
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).expect("a payload");
    Frame { first_byte, key, payload }
}

fn byte(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("more bytes");
    byte[0]
}

/// However slow this host is, silence is never taken for something else.
fn assert_silence(stream: &mut TcpStream, otherwise: &str) {
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    match stream.read(&mut [0]) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        other => panic!("{otherwise}: {other:?}"),
    }
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
}

fn start(listener: &TcpListener, arguments: &[&str]) -> thread::JoinHandle<bool> {
    let url = format!("ws://{}/topics/{{topic}}", listener.local_addr().expect("bound"));
    let all = ["run", &url, "--threads", "1", "--warmup", "0s", "--grace", "100ms"];
    let options = RunOptions::try_parse_from(all.iter().chain(arguments)).expect("options that parse");
    let scenario = Scenario::from_options(&options).expect("a valid scenario");
    thread::spawn(move || run(&scenario, &[], &mut |_| ControlFlow::Continue(())).is_ok())
}

/// §4.1, §5.1, §5.3, §6.1, §7.1.1, §10.3: subscribers and a publisher from their requests to the end of TCP.
#[test]
fn clients_keep_the_order_of_things_and_mask_each_frame_with_a_key_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let running = start(&listener, &["-c", "2", "--rate", "200", "--duration", "100ms", "--size", "200"]);
    let seen = serve(&listener, 3, close_slowly);
    assert!(running.join().expect("a run"), "it reports");

    let host = listener.local_addr().expect("bound").to_string();
    let mut nonces = BTreeSet::new();
    let mut keys = BTreeSet::new();
    let mut messages = 0;
    for Seen { request, frames } in &seen {
        let (before, rest) = request.split_once("Sec-WebSocket-Key: ").expect("a key");
        let (nonce, after) = rest.split_once("\r\n").expect("a line");
        assert_eq!(
            before,
            format!(
                "GET /topics/load-0 HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            )
        );
        assert_eq!(after, "Sec-WebSocket-Version: 13\r\n\r\n");
        assert!(nonce.len() == 24 && nonce.ends_with("=="), "16 bytes in base64: {nonce}");
        nonces.insert(nonce);
        keys.extend(frames.iter().map(|frame| frame.key));

        let [pong, data @ .., close, last_pong] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((pong.first_byte, &pong.unmasked()[..]), (0x8a, &b"ping"[..]));
        assert!(data.iter().all(|frame| frame.first_byte == 0x82 && frame.payload.len() == 200), "{data:?}");
        assert_eq!((close.first_byte, &close.unmasked()[..]), (0x88, &b"\x03\xe8"[..]));
        assert_eq!((last_pong.first_byte, &last_pong.unmasked()[..]), (0x8a, &b"last"[..]));
        messages += data.len();
    }
    assert_eq!(messages, 20, "200 a second for a tenth of one, all from one publisher");
    assert_eq!(nonces.len(), 3, "the nonce is new for each connection");
    assert_eq!(keys.len(), 3 * 3 + 20, "the masking key is new for each frame");
}

/// §7.1.7, §7.3: a client that gives up an established connection says so with a Close frame.
#[test]
fn subscription_that_is_not_confirmed_in_time_is_closed_and_not_just_left() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let running = start(
        &listener,
        &[
            "-c",
            "1",
            "--subscribe-message",
            "please",
            "--subscribed-match",
            "never",
            "--connect-timeout",
            "500ms",
        ],
    );
    let seen = serve(&listener, 2, |_, _| {});
    assert!(!running.join().expect("a run"), "nobody was subscribed");
    for Seen { frames, .. } in &seen {
        assert_eq!(frames.iter().filter(|frame| frame.first_byte == 0x88).count(), 1, "{frames:?}");
    }
}
