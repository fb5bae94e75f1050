"""WebSocket libraries behind one surface, so that all of them can be put through the same course.

Each class opens a connection with `open` and says what the library said: the messages as it gave them, the code and the
reason with which the server closed as it saw them.
"""

import asyncio
import contextlib
import io
import struct

import aiohttp
import curl_cffi
import picows
import picows.websockets.asyncio.client
import picows.websockets.exceptions
import websockets.asyncio.client
import websockets.exceptions

# Over the largest message of any test.
MAX_BYTES = 4 << 20


class Websockets:
    """`websockets`, and what has its surface."""

    connect = staticmethod(websockets.asyncio.client.connect)
    ended = websockets.exceptions.ConnectionClosed

    def __init__(self, connection):
        self._connection = connection

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url, *, compression=False, subprotocols=None):
        options = {"compression": "deflate" if compression else None, "subprotocols": subprotocols}
        async with cls.connect(url, proxy=None, max_size=MAX_BYTES, **options) as connection:
            yield cls(connection)

    @property
    def extension(self):
        """What was agreed on; empty without any."""
        return self._connection.response.headers.get("Sec-WebSocket-Extensions", "").partition(";")[0]

    @property
    def subprotocol(self):
        return self._connection.subprotocol

    async def send(self, message):
        await self._connection.send(message)

    async def send_invalid_text(self, payload):
        await self._connection.send(payload, text=True)

    async def receive(self):
        return await self._connection.recv()

    async def ping(self, payload):
        """Pings; over once the pong with the same payload is there."""
        await (await self._connection.ping(payload))

    async def close(self, code, reason):
        """Closes; gives what the server answered."""
        await self._connection.close(code, reason)
        return await self.closed()

    async def closed(self):
        """Reads to the end; gives the server's code and reason."""
        with contextlib.suppress(self.ended):
            while True:
                await self._connection.recv()
        return self._connection.close_code, self._connection.close_reason or ""


class PicowsWebsockets(Websockets):
    """What `picows` has in place of `websockets`."""

    connect = staticmethod(picows.websockets.asyncio.client.connect)
    ended = picows.websockets.exceptions.ConnectionClosed


class Aiohttp:
    _messages = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)

    def __init__(self, socket):
        self._socket = socket

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url, *, compression=False, subprotocols=()):
        options = {"compress": 15 if compression else 0, "protocols": subprotocols or ()}
        # Without `autoping` it hands out the pongs, and pings are answered here.
        options |= {"autoping": False, "max_msg_size": MAX_BYTES}
        async with aiohttp.ClientSession() as session, session.ws_connect(url, **options) as socket:
            yield cls(socket)

    @property
    def extension(self):
        return "permessage-deflate" if self._socket.compress else ""

    @property
    def subprotocol(self):
        return self._socket.protocol

    async def send(self, message):
        await (self._socket.send_str if isinstance(message, str) else self._socket.send_bytes)(message)

    async def send_invalid_text(self, payload):
        await self._socket.send_frame(payload, aiohttp.WSMsgType.TEXT)

    async def _next(self, *kinds):
        while (message := await self._socket.receive()).type is aiohttp.WSMsgType.PING:
            await self._socket.pong(message.data)
        assert message.type in kinds, message
        return message

    async def receive(self):
        return (await self._next(*self._messages)).data

    async def ping(self, payload):
        await self._socket.ping(payload)
        assert (await self._next(aiohttp.WSMsgType.PONG)).data == payload

    async def close(self, code, reason):
        await self._socket.close(code=code, message=reason.encode())
        # It keeps no reason of an answer.
        return self._socket.close_code, ""

    async def closed(self):
        while (message := await self._next(*self._messages, aiohttp.WSMsgType.CLOSE)).type in self._messages:
            pass
        return message.data, message.extra


class Picows(picows.WSListener):
    """`picows` as such, which hands out frames."""

    _messages = (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY)

    def __init__(self):
        self._frames = asyncio.Queue()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url, *, compression=False, subprotocols=None):
        assert not compression, "it has none on this level"
        headers = {"Sec-WebSocket-Protocol": ", ".join(subprotocols)} if subprotocols else None
        transport, client = await picows.ws_connect(cls, url, extra_headers=headers, max_frame_size=MAX_BYTES)
        client._transport = transport
        try:
            yield client
        finally:
            transport.disconnect()
            await transport.wait_disconnected()

    def on_ws_frame(self, transport, frame):
        # A frame is valid during this call only.
        is_close = frame.msg_type == picows.WSMsgType.CLOSE
        code = int(frame.get_close_code()) if is_close else None
        payload = frame.get_close_message() if is_close else frame.get_payload_as_bytes()
        self._frames.put_nowait((frame.msg_type, payload, code))
        assert frame.fin and not frame.rsv1, frame
        if is_close and not transport.is_close_frame_sent:
            transport.send_close(code)

    async def _next(self, *kinds):
        kind, payload, code = await self._frames.get()
        assert kind in kinds, (kind, payload, code)
        return kind, payload, code

    @property
    def extension(self):
        return self._transport.response.headers.get("Sec-WebSocket-Extensions", "")

    @property
    def subprotocol(self):
        return self._transport.response.headers.get("Sec-WebSocket-Protocol")

    async def send(self, message):
        kind = picows.WSMsgType.TEXT if isinstance(message, str) else picows.WSMsgType.BINARY
        self._transport.send(kind, message.encode() if isinstance(message, str) else message)

    async def send_invalid_text(self, payload):
        self._transport.send(picows.WSMsgType.TEXT, payload)

    async def receive(self):
        kind, payload, _ = await self._next(*self._messages)
        return payload.decode() if kind == picows.WSMsgType.TEXT else payload

    async def ping(self, payload):
        self._transport.send_ping(payload)
        _, answered, _ = await self._next(picows.WSMsgType.PONG)
        assert answered == payload

    async def close(self, code, reason):
        self._transport.send_close(code, reason)
        return await self.closed()

    async def closed(self):
        while (closed := await self._next(*self._messages, picows.WSMsgType.CLOSE))[0] in self._messages:
            pass
        _, reason, code = closed
        return code, (reason or b"").decode()


class Libcurl:
    """libcurl, which hands out pieces of frames and never waits."""

    _TEXT, _BINARY, _MORE, _CLOSE, _PING, _PONG = 1, 2, 4, 8, 16, 64
    # What it takes for one frame; longer messages are sent in fragments.
    _FRAME_BYTES = 65_536
    # CURLOPT_CONNECT_ONLY
    _UPGRADE_AND_STOP = 2

    def __init__(self, curl, head):
        self._curl, self._head = curl, head

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url, *, compression=False, subprotocols=None):
        assert not compression, "it has none"
        curl, head = curl_cffi.Curl(), io.BytesIO()
        option = curl_cffi.CurlOpt
        curl.setopt(option.URL, url.encode())
        curl.setopt(option.NOPROXY, b"*")
        curl.setopt(option.CONNECT_ONLY, cls._UPGRADE_AND_STOP)
        curl.setopt(option.HEADERDATA, head)
        if subprotocols:
            curl.setopt(option.HTTPHEADER, [f"Sec-WebSocket-Protocol: {', '.join(subprotocols)}".encode()])
        with contextlib.closing(curl):
            curl.perform()
            yield cls(curl, head.getvalue().decode())

    def _header(self, wanted):
        for line in self._head.splitlines():
            name, _, value = line.partition(":")
            if name.lower() == wanted.lower():
                return value.strip()
        return ""

    @property
    def extension(self):
        return self._header("Sec-WebSocket-Extensions")

    @property
    def subprotocol(self):
        return self._header("Sec-WebSocket-Protocol")

    async def _when_ready(self, call, *arguments):
        while True:
            try:
                return call(*arguments)
            except curl_cffi.CurlError as error:
                if error.code != curl_cffi.CurlECode.AGAIN:
                    raise
            await asyncio.sleep(0.001)

    async def _send(self, kind, payload):
        while True:
            piece, payload = payload[: self._FRAME_BYTES], payload[self._FRAME_BYTES :]
            flags = kind | self._MORE if payload else kind
            sent = await self._when_ready(self._curl.ws_send, piece, flags)
            while sent < len(piece):
                sent += await self._when_ready(self._curl.ws_send, piece[sent:], flags)
            if not payload:
                return

    async def send(self, message):
        if isinstance(message, str):
            await self._send(self._TEXT, message.encode())
        else:
            await self._send(self._BINARY, message)

    async def send_invalid_text(self, payload):
        await self._send(self._TEXT, payload)

    async def _next(self, *kinds):
        payload = b""
        while True:
            piece, frame = await self._when_ready(self._curl.ws_recv)
            payload += piece
            if frame.bytesleft == 0 and not frame.flags & self._MORE:
                break
        assert frame.flags in kinds, (frame.flags, payload[:100])
        return frame.flags, payload

    async def receive(self):
        kind, payload = await self._next(self._TEXT, self._BINARY)
        return payload.decode() if kind == self._TEXT else payload

    async def ping(self, payload):
        await self._send(self._PING, payload)
        assert await self._next(self._PONG) == (self._PONG, payload)

    async def close(self, code, reason):
        await self._send(self._CLOSE, struct.pack("!H", code) + reason.encode())
        return await self._closed()

    async def closed(self):
        code, reason = await self._closed()
        await self._send(self._CLOSE, struct.pack("!H", code))
        return code, reason

    async def _closed(self):
        while (received := await self._next(self._TEXT, self._BINARY, self._CLOSE))[0] != self._CLOSE:
            pass
        (code,) = struct.unpack("!H", received[1][:2])
        return code, received[1][2:].decode()
