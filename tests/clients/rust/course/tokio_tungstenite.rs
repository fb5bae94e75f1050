//! tokio-tungstenite.

use crate::client::{Client, Message, Received};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{self, Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub struct Tungstenite {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    response: Response,
}

impl Tungstenite {
    fn header(&self, name: &str) -> Option<String> {
        Some(self.response.headers().get(name)?.to_str().expect("a header in ASCII").to_owned())
    }

    async fn send_any(&mut self, message: tungstenite::Message) {
        self.socket.send(message).await.expect("sent");
    }
}

impl Client for Tungstenite {
    async fn connect(address: SocketAddr, target: &str, subprotocol: Option<&str>) -> Self {
        let url = format!("ws://{address}{target}").parse().expect("a URL");
        let mut request = ClientRequestBuilder::new(url);
        if let Some(subprotocol) = subprotocol {
            request = request.with_sub_protocol(subprotocol);
        }
        let (socket, response) = tokio_tungstenite::connect_async(request).await.expect("a connection");
        Self { socket, response }
    }

    fn subprotocol(&self) -> Option<String> {
        self.header("Sec-WebSocket-Protocol")
    }

    fn extensions(&self) -> Option<String> {
        self.header("Sec-WebSocket-Extensions")
    }

    async fn send(&mut self, message: Message) {
        self.send_any(match message {
            Message::Text(text) => tungstenite::Message::text(text),
            Message::Binary(bytes) => tungstenite::Message::binary(bytes),
        })
        .await;
    }

    async fn send_invalid_text(&mut self, payload: &[u8]) {
        let frame = Frame::message(Bytes::copy_from_slice(payload), OpCode::Data(Data::Text), true);
        self.send_any(tungstenite::Message::Frame(frame)).await;
    }

    async fn send_ping(&mut self, payload: &[u8]) {
        self.send_any(tungstenite::Message::Ping(Bytes::copy_from_slice(payload))).await;
    }

    async fn send_close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.close(Some(frame)).await.expect("sent");
    }

    async fn receive(&mut self) -> Received {
        loop {
            match self.socket.next().await.expect("more than the end").expect("a valid frame") {
                tungstenite::Message::Text(text) => {
                    return Received::Message(Message::Text(text.to_string()));
                }
                tungstenite::Message::Binary(bytes) => {
                    return Received::Message(Message::Binary(bytes.to_vec()));
                }
                tungstenite::Message::Pong(payload) => return Received::Pong(payload.to_vec()),
                tungstenite::Message::Close(frame) => {
                    let frame = frame.expect("a Close with a code");
                    return Received::Close(frame.code.into(), frame.reason.to_string());
                }
                tungstenite::Message::Ping(_) => {}
                tungstenite::Message::Frame(frame) => panic!("a frame that was not understood: {frame:?}"),
            }
        }
    }
}
