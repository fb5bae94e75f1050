//! Lines of JSON over TCP, bounded, with a greeting in front: programs of different versions do not talk.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::VERSION;

const PROGRAM: &str = "corecast-load";
/// A greeting is short: what sends more is another program.
const MOST_GREETING_BYTES: u64 = 1 << 10;
/// What a worker may be told at once, and what it may tell: the outcome of a thread with a million subscribers fits many times.
pub(super) const MOST_ORDER_BYTES: u64 = 64 << 20;
pub(super) const MOST_ANSWER_BYTES: u64 = 512 << 20;
/// For a peer that takes nothing more.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is nothing more to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("the connection ended")]
    Ended,
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("it sent a line of more than {0} bytes")]
    TooLong(u64),
    #[error("it sent what is not understood: {0}")]
    NotUnderstood(#[from] serde_json::Error),
    #[error("it is not a corecast-load of the same kind: does `corecast-load worker` listen there?")]
    Stranger,
    #[error("it is corecast-load {theirs}, but this is {VERSION}: run the same version everywhere")]
    OtherVersion { theirs: String },
}

/// The first line of each side.
#[derive(Debug, Serialize, Deserialize)]
struct Greeting {
    program: String,
    version: String,
}

/// One side's end of a connection, for as many threads as like to write.
#[derive(Debug)]
pub(super) struct Writer(Mutex<TcpStream>);

#[derive(Debug)]
pub(super) struct Reader {
    stream: BufReader<TcpStream>,
    most_bytes: u64,
}

/// Greets and takes the greeting. Lines of more than `most_bytes` end the connection.
pub(super) fn greet(stream: TcpStream, most_bytes: u64) -> Result<(Writer, Reader), LineError> {
    // An answer to a probe must not wait.
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
    let writer = Writer(Mutex::new(stream.try_clone()?));
    writer.send(&Greeting { program: PROGRAM.to_owned(), version: VERSION.to_owned() })?;
    let mut reader = Reader { stream: BufReader::new(stream), most_bytes: MOST_GREETING_BYTES };
    let greeting: Greeting = match reader.next() {
        Err(LineError::NotUnderstood(_) | LineError::TooLong(_)) => return Err(LineError::Stranger),
        Err(LineError::Broken(error)) if is_timeout(&error) => return Err(LineError::Stranger),
        greeting => greeting?,
    };
    match greeting {
        Greeting { program, .. } if program != PROGRAM => Err(LineError::Stranger),
        Greeting { version, .. } if version != VERSION => Err(LineError::OtherVersion { theirs: version }),
        Greeting { .. } => {
            reader.stream.get_ref().set_read_timeout(None)?;
            Ok((writer, Reader { most_bytes, ..reader }))
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Writer {
    /// Whole lines, in the order of their coming.
    pub(super) fn send<T: Serialize>(&self, message: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        // Whoever panicked while writing has left a line cut off: the peer says so.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }

    /// Both directions end.
    pub(super) fn shut_down(&self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).shutdown(std::net::Shutdown::Both);
    }
}

impl Reader {
    /// Waits for the next line.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<T, LineError> {
        let mut line = Vec::new();
        (&mut self.stream).take(self.most_bytes).read_until(b'\n', &mut line)?;
        match line.last() {
            Some(b'\n') => Ok(serde_json::from_slice(&line)?),
            Some(_) if line.len() as u64 == self.most_bytes => Err(LineError::TooLong(self.most_bytes)),
            _ => Err(LineError::Ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// What the greeting of somebody who sends these bytes comes to.
    fn greeted_with(bytes: &'static [u8]) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let other = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(bytes).expect("room for a few bytes");
            // Until the other side ends.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let (stream, _) = listener.accept().expect("a connection");
        let greeted = greet(stream, MOST_ORDER_BYTES).map(|_| ()).map_err(|error| error.to_string());
        other.join().expect("no panic");
        greeted
    }

    #[test]
    fn only_the_same_version_is_greeted() {
        let refusal = greeted_with(b"{\"program\":\"corecast-load\",\"version\":\"0.0.1 (old)\"}\n");
        assert_eq!(
            refusal,
            Err(format!(
                "it is corecast-load 0.0.1 (old), but this is {VERSION}: run the same version everywhere"
            ))
        );
    }

    #[test]
    fn strangers_are_told_apart() {
        let stranger =
            Err("it is not a corecast-load of the same kind: does `corecast-load worker` listen there?"
                .into());
        assert_eq!(greeted_with(b"POST / HTTP/1.1\r\n\r\n"), stranger);
        assert_eq!(greeted_with(b"{\"program\":\"other\",\"version\":\"1\"}\n"), stranger);
        assert_eq!(greeted_with(&[b'x'; 2_000]), stranger);
    }

    #[test]
    fn lines_come_whole_or_not_at_all() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let other = thread::spawn(move || {
            let stream = TcpStream::connect(address).expect("it listens");
            let (writer, _) = greet(stream, 64).expect("the same version");
            writer.send(&[1, 2, 3]).expect("room");
            writer.send(&"x".repeat(100)).expect("room");
        });
        let (stream, _) = listener.accept().expect("a connection");
        let (_, mut reader) = greet(stream, 64).expect("the same version");
        assert_eq!(reader.next::<Vec<u8>>().expect("a line"), [1, 2, 3]);
        assert_eq!(reader.next::<String>().unwrap_err().to_string(), "it sent a line of more than 64 bytes");
        other.join().expect("no panic");
    }
}
