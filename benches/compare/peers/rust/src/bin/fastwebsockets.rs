//! A broadcast server on fastwebsockets: hyper for the handshake, then a task that reads and one that writes.
//!
//! The library's own writer makes a system call for each frame. Here a frame's bytes are made once, with the library, and
//! all that waits for a connection is written at once.

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use compare_peers::{Queue, Room, is_publisher, listen};
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{Frame, OpCode, Role, WebSocketError, after_handshake_split};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

fn main() -> io::Result<()> {
    listen(|stream, room| async move {
        let service = service_fn(|request| answer(request, Rc::clone(&room)));
        // A connection that fails is gone; there is nobody to tell.
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let _ = connection.await;
    })
}

async fn answer(
    mut request: Request<Incoming>,
    room: Rc<Room<Bytes>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let publishes = is_publisher(request.uri().query());
    let Ok((response, upgraded)) = upgrade(&mut request) else {
        let mut refusal = Response::new(Empty::new());
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refusal);
    };
    tokio::task::spawn_local(async move {
        let _ = serve(upgraded, publishes, &room).await;
    });
    Ok(response)
}

async fn serve(upgraded: UpgradeFut, publishes: bool, room: &Rc<Room<Bytes>>) -> Result<(), WebSocketError> {
    let stream = upgraded.await?.into_inner().into_inner();
    let parts = stream.downcast::<TokioIo<TcpStream>>().expect("the stream that hyper was given");
    let (read, write) = parts.io.into_inner().into_split();
    // Bytes that came with the handshake come first.
    let read = Cursor::new(parts.read_buf).chain(read);
    let (mut socket, _) = after_handshake_split(read, sink(), Role::Server);

    let queue = Rc::default();
    let membership = (!publishes).then(|| room.join(&queue));
    tokio::task::spawn_local(write_all(write, Rc::clone(&queue)));
    // Pongs and the Close that answers one.
    let mut reply = |frame| {
        queue.push(bytes_of(frame));
        async { Ok::<_, Infallible>(()) }
    };
    let ended = loop {
        match socket.read_frame(&mut reply).await {
            Ok(frame) => match frame.opcode {
                OpCode::Close => break Ok(()),
                OpCode::Binary | OpCode::Text if frame.fin => {
                    room.broadcast(&bytes_of(Frame::new(true, frame.opcode, None, frame.payload)));
                }
                // Nobody here sends messages in pieces.
                _ => {}
            },
            Err(error) => break Err(error),
        }
    };
    drop(membership);
    queue.close();
    ended
}

/// The frame as it goes over the wire.
fn bytes_of(mut frame: Frame<'_>) -> Bytes {
    let mut bytes = Vec::new();
    let length = frame.write(&mut bytes).len();
    bytes.truncate(length);
    bytes.into()
}

async fn write_all(mut socket: OwnedWriteHalf, queue: Rc<Queue<Bytes>>) {
    let mut taken = Vec::new();
    let mut together = BytesMut::new();
    while queue.take(&mut taken).await {
        let written = match &taken[..] {
            [one] => socket.write_all(one).await,
            many => {
                together.clear();
                many.iter().for_each(|frame| together.extend_from_slice(frame));
                socket.write_all(&together).await
            }
        };
        taken.clear();
        if written.is_err() {
            return;
        }
    }
}
