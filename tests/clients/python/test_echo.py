"""The WebSocket that echoes, and through it what a client may and may not do with compression (RFC 7692): the Autobahn
testsuite only ever compresses as it should."""

import select
import zlib

import pytest
from support.process import Server
from support.wire import (
    BINARY,
    CLOSE,
    CONTINUES,
    ENDS,
    PING,
    PONG,
    TEXT,
    TEXT_BEGINS,
    UPGRADE,
    Http,
    close_body,
    frame,
)

CLOSE_NORMAL = frame(CLOSE, close_body(1000))
LIMIT = 64 << 10

# In the first byte of a message: it is compressed (section 6).
RSV1 = 0x40

DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate")


@pytest.fixture(scope="module")
def echo():
    """Connects to a server that compresses all it can."""
    flags = ("--echo-path", "/echo", "--max-message-bytes", "64KiB", "--deflate-threshold", "0")
    server = Server(*flags)

    def connect(*headers):
        raw = server.raw()
        answer = Http(raw).send_request("GET", "/echo", [*UPGRADE, *headers]).read_response()
        assert answer.status == 101, answer
        raw.extensions = answer.header("Sec-WebSocket-Extensions")
        return raw

    yield connect
    server.close_clients()
    server.stop()


def deflated(message):
    """RFC 7692 section 7.2.1."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def inflated(payload):
    """RFC 7692 section 7.2.2."""
    return zlib.decompressobj(wbits=-15).decompress(payload + b"\x00\x00\xff\xff")


HELLOS = deflated(b"hello" * 10)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([frame(TEXT | RSV1, HELLOS)], b"hello" * 10, id="whole"),
        pytest.param([frame(TEXT, b"hello" * 10)], b"hello" * 10, id="came plain"),
        pytest.param(
            [frame(TEXT_BEGINS | RSV1, HELLOS[:3]), frame(CONTINUES), frame(ENDS, HELLOS[3:])],
            b"hello" * 10,
            id="fragmented",
        ),
        pytest.param(
            [frame(TEXT | RSV1, deflated(b"hello" * 5) + b"\x00\x00\xff\xff" + deflated(b"hello" * 5))],
            b"hello" * 10,
            id="several blocks",
        ),
        pytest.param([frame(TEXT | RSV1, deflated(b"x" * LIMIT))], b"x" * LIMIT, id="as long as may be"),
    ],
)
def test_compressed_messages_come_back_compressed(echo, frames, expected):
    client = echo(DEFLATE)
    assert client.extensions == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    client.send(b"".join(frames))
    first_byte, payload = client.take_frame()
    assert first_byte == TEXT | RSV1
    assert inflated(payload) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param("f248cdc9c90700", b"Hello", id="section 7.2.3.1"),
        pytest.param("000500faff48656c6c6f00", b"Hello", id="section 7.2.3.3"),
        pytest.param("f348cdc9c9070000", b"Hello", id="section 7.2.3.4"),
        pytest.param("00", b"", id="section 7.2.3.6"),
        pytest.param("", b"", id="empty"),
    ],
)
def test_what_compression_makes_no_shorter_comes_back_plain(echo, payload, expected):
    client = echo(DEFLATE).send(frame(TEXT | RSV1, bytes.fromhex(payload)))
    assert client.take_frame() == (TEXT, expected)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([frame(TEXT_BEGINS | RSV1, HELLOS[:3]), frame(ENDS | RSV1, HELLOS[3:])], 1002, id="bit repeated"),
        pytest.param([frame(TEXT_BEGINS, b"a"), frame(ENDS | RSV1, HELLOS)], 1002, id="bit late"),
        pytest.param([frame(PING | RSV1)], 1002, id="bit on a ping"),
        pytest.param([frame(TEXT | 0x20, HELLOS)], 1002, id="another bit"),
        pytest.param([frame(BINARY | RSV1, b"\xff" * 20)], 1007, id="not deflate"),
        pytest.param([frame(BINARY | RSV1, HELLOS[:-3])], 1007, id="cut"),
        pytest.param([frame(BINARY | RSV1, bytes.fromhex("f348cdc9c90700"))], 1007, id="last block, and no more"),
        pytest.param([frame(TEXT | RSV1, deflated(b"\xff" * 20))], 1007, id="not UTF-8"),
        pytest.param([frame(TEXT | RSV1, deflated("ü".encode()[:1]))], 1007, id="half a character"),
        pytest.param([frame(BINARY | RSV1, deflated(bytes(LIMIT + 1)))], 1009, id="a byte too long"),
        pytest.param([frame(BINARY | RSV1, deflated(bytes(50_000_000)))], 1009, id="bomb"),
    ],
)
def test_wrong_compression_fails_the_connection(echo, frames, code):
    client = echo(DEFLATE).send(frame(PING, b"first") + b"".join(frames) + CLOSE_NORMAL)
    assert client.take_frame() == (PONG, b"first")
    assert client.take_close()[0] == code
    client.expect_end()


def test_compression_that_was_not_agreed_on_fails_the_connection(echo):
    client = echo()
    assert client.extensions is None
    code, reason = client.send(frame(TEXT | RSV1, HELLOS)).take_close()
    assert code == 1002
    assert "not negotiated" in reason


def test_each_ping_of_a_peer_that_reads_has_its_pong_in_order(echo):
    client = echo()
    client.send(b"".join(frame(PING, b"%d" % n) + frame(TEXT, b"%d" % n) for n in range(50)))
    for n in range(50):
        assert client.take_frame() == (PONG, b"%d" % n)
        assert client.take_frame() == (TEXT, b"%d" % n)


def test_what_is_not_taken_waits_in_the_clients_socket_and_comes_whole(echo):
    """Two thousand messages of 60 KB are more than the sockets hold, so the sender is stopped until it reads."""
    client = echo()
    message = bytes(range(256)) * 235
    frames = memoryview(frame(BINARY, message) * 100)
    client.socket.setblocking(False)
    sent = 0
    while True:
        try:
            sent += client.socket.send(frames[sent % len(frames) :])
        except BlockingIOError:
            # As long as the server reads there is room again at once.
            if not select.select([], [client.socket], [], 1)[1]:
                break
        assert sent < 2000 * len(message), "all of it was taken"
    client.socket.settimeout(15)
    for _ in range(sent // (len(frames) // 100)):
        assert client.take_frame() == (BINARY, message)
