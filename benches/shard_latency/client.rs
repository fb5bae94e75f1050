//! The least of a WebSocket client: blocking, and only for messages of up to 125 bytes.

use corecast_protocol::{Opcode, frame::encode_frame};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects to a path, and is upgraded.
    pub(crate) fn connect(server: SocketAddr, path: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut client = Self { stream, received: Vec::new() };
        let head = loop {
            if let Some(end) = client.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break client.received.drain(..end + 4).collect::<Vec<u8>>();
            }
            client.read()?;
        };
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
        }
        Ok(client)
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    pub(crate) fn publish(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(32);
        encode_frame(&mut frame, Opcode::Binary, payload, Some([0; 4]));
        self.stream.write_all(&frame)
    }

    /// The next message's payload.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let [_, length, rest @ ..] = self.received.as_slice()
                && rest.len() >= usize::from(*length)
            {
                let end = 2 + usize::from(*length);
                let payload = self.received[2..end].to_vec();
                self.received.drain(..end);
                return Ok(payload);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

/// The body of an answer to a GET.
pub(crate) fn get(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("an answer has a head"))?;
    Ok(body.to_owned())
}
