//! A broadcast server on tokio-tungstenite: a task for each connection, which reads and writes.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use compare_peers::{Room, is_publisher, listen};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

fn main() -> io::Result<()> {
    listen(|stream, room| async move {
        // A connection that fails is gone; there is nobody to tell.
        let _ = serve(stream, &room).await;
    })
}

async fn serve(stream: TcpStream, room: &Rc<Room<Message>>) -> Result<(), Error> {
    let publishes = Cell::new(false);
    // The callback's error is a whole response, and it never makes one.
    #[allow(clippy::result_large_err)]
    let look = |request: &Request, response: Response| {
        publishes.set(is_publisher(request.uri().query()));
        Ok(response)
    };
    // Frames are gathered in the write buffer until a flush; `max_write_buffer_size` has no bound by default.
    let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
    let mut socket = tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(config)).await?;

    let queue = Rc::default();
    let _membership = (!publishes.get()).then(|| room.join(&queue));
    let mut taken = Vec::new();
    loop {
        tokio::select! {
            _ = queue.take(&mut taken) => write(&mut socket, &mut taken).await?,
            message = socket.next() => match message.transpose()? {
                // Its payload is shared by all who get it.
                Some(message @ (Message::Binary(_) | Message::Text(_))) => room.broadcast(&message),
                // Pings and a Close are answered by the library, with the next read.
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
}

/// All of it, then one flush.
async fn write(socket: &mut WebSocketStream<TcpStream>, taken: &mut Vec<Message>) -> Result<(), Error> {
    for message in taken.drain(..) {
        socket.feed(message).await?;
    }
    socket.flush().await
}
