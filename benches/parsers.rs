//! A client's frames parsed by this server's parser and by those of two other Rust servers, on memory.
//!
//! One iteration is [`FRAMES`] masked frames, each a whole message: they are copied once from where they lie into the buffer
//! that the parser reads (what a receive does), unmasked, checked for UTF-8 if they are text, and handed out one by one.
//!
//! - `corecast`: all bytes in one buffer, payloads handed out where they lie.
//! - `corecast_4_kib`: in pieces as long as the server's receive buffers. Of a frame that is not whole in its piece what has
//!   come is copied once more.
//! - `tungstenite`: reads 128 KiB at a time, its default, and hands out reference-counted payloads.
//! - `fastwebsockets`: reads what its buffer has room for. It is asynchronous and polled here by hand; nothing is ever awaited,
//!   because everything is there.

use corecast_benches::Frames;
use corecast_protocol::Opcode;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const FRAMES: usize = 100;
const PAYLOAD_LENGTHS: [usize; 3] = [64, 1024, 16 * 1024];
/// `receive_buffer_bytes` by default.
const RECEIVE_BUFFER_BYTES: usize = 4096;

fn main() {
    divan::main();
}

#[divan::bench(consts = PAYLOAD_LENGTHS, types = [Text, Binary])]
fn corecast<K: Kind, const LENGTH: usize>(bencher: Bencher<'_, '_>) {
    let mut frames = Frames::masked(K::OPCODE, LENGTH, FRAMES);
    bench(bencher, LENGTH, || {
        frames.receive();
        frames.parse()
    });
}

#[divan::bench(consts = PAYLOAD_LENGTHS, types = [Text, Binary])]
fn corecast_4_kib<K: Kind, const LENGTH: usize>(bencher: Bencher<'_, '_>) {
    let mut frames = Frames::masked(K::OPCODE, LENGTH, FRAMES);
    bench(bencher, LENGTH, || frames.receive_and_parse_pieces(RECEIVE_BUFFER_BYTES));
}

#[divan::bench(consts = PAYLOAD_LENGTHS, types = [Text, Binary])]
fn tungstenite<K: Kind, const LENGTH: usize>(bencher: Bencher<'_, '_>) {
    use tungstenite::{Message, WebSocket, protocol::Role};
    let wire = Wire::of::<K>(LENGTH);
    let position = Rc::clone(&wire.position);
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, None);
    bench(bencher, LENGTH, || {
        position.set(0);
        for _ in 0..FRAMES {
            let message = socket.read().expect("the frames are valid");
            let is_as_sent = match &message {
                Message::Text(text) => K::OPCODE == Opcode::Text && text.len() == LENGTH,
                Message::Binary(bytes) => K::OPCODE == Opcode::Binary && bytes.len() == LENGTH,
                _ => false,
            };
            assert!(is_as_sent, "every frame is a message");
            black_box(message);
        }
        FRAMES
    });
}

#[divan::bench(consts = PAYLOAD_LENGTHS, types = [Text, Binary])]
fn fastwebsockets<K: Kind, const LENGTH: usize>(bencher: Bencher<'_, '_>) {
    use fastwebsockets::{OpCode, Role, WebSocket};
    let wire = Wire::of::<K>(LENGTH);
    let position = Rc::clone(&wire.position);
    let mut socket = WebSocket::after_handshake(wire, Role::Server);
    let opcode = if K::OPCODE == Opcode::Text { OpCode::Text } else { OpCode::Binary };
    bench(bencher, LENGTH, || {
        position.set(0);
        for _ in 0..FRAMES {
            let frame = ready(socket.read_frame()).expect("the frames are valid");
            assert!(frame.opcode == opcode && frame.payload.len() == LENGTH, "every frame is a message");
            black_box(frame);
        }
        FRAMES
    });
}

fn bench(bencher: Bencher<'_, '_>, payload_length: usize, mut parse: impl FnMut() -> usize) {
    bencher
        .counter(ItemsCount::new(FRAMES))
        .counter(BytesCount::new(FRAMES * payload_length))
        .bench_local(|| assert_eq!(parse(), FRAMES, "every frame is a message"));
}

/// What the frames carry.
trait Kind {
    const OPCODE: Opcode;
}

struct Text;

impl Kind for Text {
    const OPCODE: Opcode = Opcode::Text;
}

struct Binary;

impl Kind for Binary {
    const OPCODE: Opcode = Opcode::Binary;
}

/// A stream of which all bytes have arrived, and that takes what is written for nothing.
struct Wire {
    bytes: Vec<u8>,
    /// The one who measures sets it back to zero.
    position: Rc<Cell<usize>>,
}

impl Wire {
    fn of<K: Kind>(payload_length: usize) -> Self {
        let frames = Frames::masked(K::OPCODE, payload_length, FRAMES);
        Self { bytes: frames.wire().to_vec(), position: Rc::default() }
    }

    /// The next bytes, at most that many.
    fn next(&self, most: usize) -> &[u8] {
        let rest = &black_box(&self.bytes)[self.position.get()..];
        let next = &rest[..most.min(rest.len())];
        self.position.set(self.position.get() + next.len());
        next
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buffer.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.next(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a future gives that has nothing to wait for.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("all bytes are there"),
    }
}
