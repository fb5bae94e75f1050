"""WebSocket libraries behind one surface, so that all of them can be put through the same course.

Each class opens a connection with `open` and says what the library said: the messages as it gave them, the code and the
reason with which the server closed as it saw them.
"""

import asyncio
import contextlib

import aiohttp
import picows
import picows.websockets.asyncio.client
import picows.websockets.exceptions
import websockets.asyncio.client
import websockets.exceptions

from .wire import SECONDS

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
