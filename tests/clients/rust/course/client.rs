//! What the course needs of a library.

use std::net::SocketAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Message(Message),
    Pong(Vec<u8>),
    /// Code and reason.
    Close(u16, String),
}

pub trait Client: Sized {
    /// After the opening handshake, which must succeed.
    async fn connect(address: SocketAddr, target: &str, subprotocol: Option<&str>) -> Self;

    /// Sec-WebSocket-Protocol of the answer.
    fn subprotocol(&self) -> Option<String>;

    /// Sec-WebSocket-Extensions of the answer.
    fn extensions(&self) -> Option<String>;

    async fn send(&mut self, message: Message);

    async fn send_invalid_text(&mut self, payload: &[u8]);

    async fn send_ping(&mut self, payload: &[u8]);

    async fn send_close(&mut self, code: u16, reason: &str);

    /// What comes next. The library answers pings and Close frames.
    async fn receive(&mut self) -> Received;
}
