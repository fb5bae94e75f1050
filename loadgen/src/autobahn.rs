//! The generator's own client under test: `corecast-load autobahn` lets Autobahn's fuzzing server send it everything that a
//! server may and may not send. Sockets are blocking here, one connection after the other; everything else is [`Client`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clap::Parser;
use corecast_protocol::Limits;
use corecast_protocol::frame::encode_frame;
use corecast_protocol::handshake::client::HandshakeError;

use crate::client::{Client, Role, Scratch};
use crate::failure::Failure;
use crate::target::{Scheme, Target, TargetError};

/// Longer than any case waits.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest message of the suite, in bytes, and the most frames of one.
const LONGEST: usize = 16 << 20;
const MOST_FRAGMENTS: u32 = (1 << 16) + 1;

/// Lets Autobahn's fuzzing server test this generator's client: asks how many cases there are, sends every message of each
/// back until the server closes, and has the report written.
#[derive(Clone, Debug, Parser)]
#[command(name = "corecast-load autobahn")]
pub struct AutobahnOptions {
    /// ws://host:port of `wstest -m fuzzingserver`
    pub url: String,

    /// What the client is called in the report
    #[arg(long, value_name = "NAME", default_value = "corecast-load")]
    pub agent: String,
}

/// Why no case could be done, or not all of them. What a case finds out is no error: it stands in the server's report.
#[derive(Debug, thiserror::Error)]
pub enum AutobahnError {
    #[error("{0}")]
    Target(#[from] TargetError),
    #[error("cannot ask for {path}: {cause}; give an --agent of letters, digits and dashes")]
    Request { path: String, cause: HandshakeError },
    #[error("{path}: {cause}")]
    Handshake { path: String, cause: Failure },
    #[error("{path}: {cause}; is the fuzzing server still up?")]
    Socket { path: String, cause: io::Error },
    #[error("the server gives {answer:?} as the number of cases: is it a fuzzing server?")]
    NoCount { answer: String },
}

/// Goes through all cases; gives how many there were.
pub fn run(options: &AutobahnOptions) -> Result<u32, AutobahnError> {
    let server = Target::parse(&options.url, Scheme::WebSocket)?;
    let agent = &options.agent;
    let scratch = &mut Scratch::default();
    let answer = converse(&server, "/getCaseCount", Answering::Nothing, scratch)?;
    let answer = String::from_utf8_lossy(&answer);
    let cases: u32 = answer.parse().map_err(|_| AutobahnError::NoCount { answer: answer.to_string() })?;
    for case in 1..=cases {
        converse(&server, &format!("/runCase?case={case}&agent={agent}"), Answering::Echo, scratch)?;
    }
    converse(&server, &format!("/updateReports?agent={agent}"), Answering::Nothing, scratch)?;
    Ok(cases)
}

/// What is done with a message, besides keeping it until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answering {
    Nothing,
    Echo,
}

/// One connection, until the server ends it; gives the last message.
fn converse(
    server: &Target,
    path: &str,
    answering: Answering,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, AutobahnError> {
    let target = Target { path: path.to_owned(), ..server.clone() };
    let request = |cause| AutobahnError::Request { path: path.to_owned(), cause };
    let socket = |cause| AutobahnError::Socket { path: path.to_owned(), cause };
    let role = Role::plain(&target, limits()).map_err(request)?;
    let mut stream = connect(&target).map_err(socket)?;
    let mut client = Client::new(0);
    let mut out = Vec::new();
    client.begin(rand::random(), &role, &mut out);

    let mut last = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut is_over = false;
    loop {
        let received = match exchange(&mut stream, &mut out, &mut buffer) {
            Ok(0) if client.is_upgraded() => return Ok(last),
            Ok(length) => &mut buffer[..length],
            // Some cases end so, on purpose.
            Err(cause) if client.is_upgraded() && is_end(&cause) => return Ok(last),
            Err(cause) => return Err(socket(cause)),
        };
        if is_over {
            // RFC 6455 §7.1.1: the server closes TCP first.
            continue;
        }
        if received.is_empty() {
            return Err(socket(ErrorKind::UnexpectedEof.into()));
        }
        let progress = client.handle_bytes(received, &role, scratch, &mut out, |kind, message, out| {
            if answering == Answering::Echo {
                encode_frame(out, kind.opcode(), message, Some(rand::random()));
            }
            last.clear();
            last.extend_from_slice(message);
        });
        match progress {
            Ok(_) => {}
            Err(cause) if !client.is_upgraded() => {
                return Err(AutobahnError::Handshake { path: path.to_owned(), cause });
            }
            // A Close frame, or a mistake of the server that was answered with one.
            Err(_) => is_over = true,
        }
    }
}

fn limits() -> Limits {
    Limits::default()
        .with_max_message_bytes(LONGEST)
        .and_then(|limits| limits.with_max_frame_bytes(LONGEST as u64))
        .and_then(|limits| limits.with_max_fragments(MOST_FRAGMENTS))
        .expect("the suite's sizes are possible ones")
}

fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(stream)
}

/// Sends what there is to send and waits for what comes.
fn exchange(stream: &mut TcpStream, out: &mut Vec<u8>, buffer: &mut [u8]) -> io::Result<usize> {
    stream.write_all(out)?;
    out.clear();
    stream.read(buffer)
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_protocol::frame::encode_close;
    use corecast_protocol::handshake::server::accept_upgrade;
    use corecast_protocol::http1::{Parsed, parse_request};
    use corecast_protocol::{CloseCode, Connection, Event, Input, Opcode, Side};
    use std::net::TcpListener;

    /// A server with one case, which sends a text and a binary message and wants both back. Gives what it was asked for and
    /// sent.
    fn serve(listener: &TcpListener) -> Vec<String> {
        let mut seen = Vec::new();
        for connection in 0..3 {
            let (mut stream, _) = listener.accept().expect("a client");
            let (path, mut out) = read_request(&mut stream);
            seen.push(path);
            match connection {
                0 => encode_frame(&mut out, Opcode::Text, b"1", None),
                1 => {
                    encode_frame(&mut out, Opcode::Text, b"a", None);
                    encode_frame(&mut out, Opcode::Binary, b"\xff", None);
                }
                _ => {}
            }
            encode_close(&mut out, CloseCode::NORMAL, "", None);
            stream.write_all(&out).expect("room");
            read_frames(&mut stream, &mut seen);
        }
        seen
    }

    /// The path, and the answer's head.
    fn read_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            bytes.push(byte[0]);
            if let Ok(Parsed::Complete { head, .. }) = parse_request(&bytes, &Limits::default()) {
                let mut answer = Vec::new();
                accept_upgrade(&head, &[]).expect("a handshake").write_response(&mut answer);
                return (head.target.to_owned(), answer);
            }
        }
    }

    fn read_frames(stream: &mut TcpStream, seen: &mut Vec<String>) {
        let mut protocol = Connection::new(Side::Server);
        while !protocol.close_received() {
            let mut buffer = [0; 100];
            let length = stream.read(&mut buffer).expect("an answer");
            assert!(length > 0, "the client closed TCP first");
            let mut input = Input::new(&mut buffer[..length]);
            while let Some(event) = protocol.poll_event(&mut input, &Limits::default()).expect("frames") {
                match event {
                    Event::Message { kind, payload } => seen.push(format!("{kind:?} {:?}", &*payload)),
                    Event::Close(Some((code, _))) => seen.push(format!("Close {}", code.0)),
                    other => panic!("unasked: {other:?}"),
                }
            }
        }
    }

    fn options(listener: &TcpListener) -> AutobahnOptions {
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        AutobahnOptions { url, agent: "me".to_owned() }
    }

    #[test]
    fn cases_are_counted_echoed_and_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let options = options(&listener);
        let server = std::thread::spawn(move || serve(&listener));
        assert_eq!(run(&options).expect("one case"), 1);
        assert_eq!(
            server.join().expect("served"),
            [
                "/getCaseCount",
                "Close 1000",
                "/runCase?case=1&agent=me",
                "Text [97]",
                "Binary [255]",
                "Close 1000",
                "/updateReports?agent=me",
                "Close 1000",
            ]
        );
    }

    #[test]
    fn what_is_no_fuzzing_server_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let options = options(&listener);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let (_, mut out) = read_request(&mut stream);
            encode_frame(&mut out, Opcode::Text, b"hello", None);
            encode_close(&mut out, CloseCode::NORMAL, "", None);
            stream.write_all(&out).expect("room");
            read_frames(&mut stream, &mut Vec::new());
        });
        let error = run(&options).unwrap_err();
        server.join().expect("served");
        assert_eq!(
            error.to_string(),
            "the server gives \"hello\" as the number of cases: is it a fuzzing server?"
        );
    }
}
