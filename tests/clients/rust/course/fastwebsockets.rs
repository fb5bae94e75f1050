//! fastwebsockets, over hyper's connection.

use crate::client::{Client, Message, Received};
use fastwebsockets::handshake;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub struct FastWebSockets {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    response: Response<Incoming>,
}

impl FastWebSockets {
    fn header(&self, name: &str) -> Option<String> {
        Some(self.response.headers().get(name)?.to_str().expect("a header in ASCII").to_owned())
    }

    async fn send_frame(&mut self, frame: Frame<'static>) {
        self.socket.write_frame(frame).await.expect("sent");
    }
}

impl Client for FastWebSockets {
    async fn connect(address: SocketAddr, target: &str, subprotocol: Option<&str>) -> Self {
        let mut request = Request::get(target)
            .header("Host", address.to_string())
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", handshake::generate_key())
            .header("Sec-WebSocket-Version", "13");
        if let Some(subprotocol) = subprotocol {
            request = request.header("Sec-WebSocket-Protocol", subprotocol);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (socket, response) =
            handshake::client(&TokioExecutor::new(), request, stream).await.expect("a handshake");
        Self { socket: FragmentCollector::new(socket), response }
    }

    fn subprotocol(&self) -> Option<String> {
        self.header("Sec-WebSocket-Protocol")
    }

    fn extensions(&self) -> Option<String> {
        self.header("Sec-WebSocket-Extensions")
    }

    async fn send(&mut self, message: Message) {
        self.send_frame(match message {
            Message::Text(text) => Frame::text(Payload::Owned(text.into_bytes())),
            Message::Binary(bytes) => Frame::binary(Payload::Owned(bytes)),
        })
        .await;
    }

    async fn send_invalid_text(&mut self, payload: &[u8]) {
        self.send_frame(Frame::text(Payload::Owned(payload.to_vec()))).await;
    }

    async fn send_ping(&mut self, payload: &[u8]) {
        self.send_frame(Frame::new(true, OpCode::Ping, None, Payload::Owned(payload.to_vec()))).await;
    }

    async fn send_close(&mut self, code: u16, reason: &str) {
        self.send_frame(Frame::close(code, reason.as_bytes())).await;
    }

    async fn receive(&mut self) -> Received {
        let frame = self.socket.read_frame().await.expect("a valid frame");
        match frame.opcode {
            OpCode::Text => Received::Message(Message::Text(utf8(&frame.payload))),
            OpCode::Binary => Received::Message(Message::Binary(frame.payload.to_vec())),
            OpCode::Pong => Received::Pong(frame.payload.to_vec()),
            OpCode::Close => {
                let (code, reason) = frame.payload.split_first_chunk().expect("a Close with a code");
                Received::Close(u16::from_be_bytes(*code), utf8(reason))
            }
            OpCode::Ping | OpCode::Continuation => panic!("the library keeps {:?} to itself", frame.opcode),
        }
    }
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}
