"""Bytes on a socket: HTTP and WebSocket frames, written and read by hand.

Nothing here comes from a WebSocket library: a library would refuse to send most of what the tests have to send, and
what they expect must not depend on it.
"""

import base64
import hashlib
import json
import socket
import struct
from dataclasses import dataclass

SECONDS = 15

# The masking key of the examples in RFC 6455 section 5.7.
KEY = bytes([0x37, 0xFA, 0x21, 0x3D])

# First bytes of whole frames (RFC 6455 section 5.2).
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
# The same without FIN, and the frames that go on and end.
TEXT_BEGINS, BINARY_BEGINS, CONTINUES, ENDS = 0x01, 0x02, 0x00, 0x80

HANDSHAKE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def header(first_byte, declared_bytes, key=KEY):
    """A frame header with the shortest form of its length."""
    mask_bit = 0x80 if key else 0
    if declared_bytes <= 125:
        length = struct.pack("!B", mask_bit | declared_bytes)
    elif declared_bytes <= 0xFFFF:
        length = struct.pack("!BH", mask_bit | 126, declared_bytes)
    else:
        length = struct.pack("!BQ", mask_bit | 127, declared_bytes)
    return bytes([first_byte]) + length + (key or b"")


def masked(payload, key):
    repeated = key * (len(payload) // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return number.to_bytes(len(payload), "big")


def frame(first_byte, payload=b"", key=KEY):
    """A whole frame as a client sends it; `key=None` leaves it unmasked."""
    return header(first_byte, len(payload), key) + (masked(payload, key) if key else payload)


def close_body(code, reason=""):
    return struct.pack("!H", code) + reason.encode()


def accept_value(key):
    """RFC 6455 section 4.2.2, step 5.4."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


class EndOfStream(AssertionError):
    """The peer ended the stream where more was expected."""


def authority_of(address):
    """What a client writes into Host: the address itself, or a name of this host for a Unix socket's path."""
    if isinstance(address, str):
        return "localhost"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class RawSocket:
    """A connection to a host and port, or to a Unix socket's path, with a buffer for what was received. Every wait has a
    deadline."""

    def __init__(self, address, receive_buffer=None):
        is_unix = isinstance(address, str)
        family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.authority = authority_of(address)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(SECONDS)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        if not is_unix:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish(self):
        """Ends our side of the stream with FIN."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.socket.sendall(data)
        return self

    def _receive_more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise EndOfStream(f"end of stream after {bytes(self.received[:200])!r}")
        self.received += data

    def take(self, count):
        while len(self.received) < count:
            self._receive_more()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def take_until(self, end):
        start = 0
        while (at := self.received.find(end, start)) < 0:
            start = max(0, len(self.received) - len(end))
            self._receive_more()
        return self.take(at + len(end))

    def expect_end(self):
        """Asserts that nothing more comes but the end of the stream."""
        try:
            self._receive_more()
        except EndOfStream:
            pass
        assert not self.received, f"more than expected: {bytes(self.received[:200])!r}"

    def expect_cut(self):
        """Reads to the end, which may be a reset as well; gives what still came."""
        try:
            while True:
                self._receive_more()
        except (EndOfStream, ConnectionResetError):
            return bytes(self.received)

    # WebSocket -----------------------------------------------------------------------------------------------

    def upgrade(self, target, headers=(), agreed=None):
        """The opening handshake (RFC 6455 section 1.3), which must succeed; `agreed` are the extensions answered."""
        response = Http(self).send_request("GET", target, [*UPGRADE, *headers]).read_response()
        assert response.status == 101, response
        assert response.header("Upgrade").lower() == "websocket", response
        assert response.header("Connection").lower() == "upgrade", response
        assert response.header("Sec-WebSocket-Accept") == accept_value(HANDSHAKE_KEY), response
        assert response.header("Sec-WebSocket-Extensions") == agreed, response
        return self

    def take_frame(self):
        """The next frame of a server: first byte and payload. Servers do not mask (section 5.1)."""
        first_byte, length = self.take(2)
        assert not length & 0x80, "a masked frame from the server"
        if length == 126:
            (length,) = struct.unpack("!H", self.take(2))
            assert length > 125, "length not in its shortest form"
        elif length == 127:
            (length,) = struct.unpack("!Q", self.take(8))
            assert length > 0xFFFF, "length not in its shortest form"
        return first_byte, self.take(length)

    def take_close(self):
        """The next frame, which must be a Close; gives code and reason."""
        first_byte, payload = self.take_frame()
        assert first_byte == CLOSE, f"{first_byte:#x} {payload[:200]!r} instead of a Close frame"
        assert 2 <= len(payload) <= 125, payload
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


UPGRADE = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", HANDSHAKE_KEY),
    ("Sec-WebSocket-Version", "13"),
)


@dataclass
class Response:
    status: int
    headers: list
    body: bytes

    def header(self, name):
        """The value of a header that may stand once; None without it."""
        values = [value for known, value in self.headers if known.lower() == name.lower()]
        assert len(values) <= 1, f"{name} stands {len(values)} times: {self.headers}"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        assert self.header("Content-Type").startswith("application/json"), self
        return json.loads(self.body)


class Http:
    """Requests and responses on one connection."""

    def __init__(self, raw):
        self.raw = raw

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def send_head(self, method, target, headers=(), version="HTTP/1.1"):
        """A request line and headers; Host is added unless it is given. A value of None leaves a header out."""
        lines = [f"{method} {target} {version}"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append(f"Host: {self.raw.authority}")
        lines += [f"{name}: {value}" for name, value in headers if value is not None]
        self.raw.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        return self

    def send_request(self, method, target, headers=(), body=b""):
        if body or method == "POST":
            headers = [*headers, ("Content-Length", len(body))]
        self.send_head(method, target, headers)
        self.raw.send(body)
        return self

    def read_head(self):
        head = self.raw.take_until(b"\r\n\r\n").decode("ascii")
        status_line, *lines = head[: -len("\r\n\r\n")].split("\r\n")
        version, status, reason = status_line.split(" ", 2)
        assert version == "HTTP/1.1" and reason, status_line
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon and name and not name.endswith(" "), f"no header line: {line!r}"
            headers.append((name, value.strip()))
        return Response(int(status), headers, b"")

    def read_response(self, to="GET"):
        """A response to the method `to`."""
        response = self.read_head()
        length = response.header("Content-Length")
        assert response.header("Transfer-Encoding") is None, response
        if response.status in (204, 304):
            # RFC 9110 sections 8.6, 15.3.5 and 15.4.5: neither has a body, nor the length of one.
            assert length is None and response.header("Content-Type") is None, response
        elif response.status >= 200:
            assert length is not None, f"where does it end? {response}"
            if to != "HEAD":
                response.body = self.raw.take(int(length))
        return response

    def request(self, method, target, headers=(), body=b""):
        return self.send_request(method, target, headers, body).read_response(method)
