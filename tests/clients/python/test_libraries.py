"""The same course for every Python library that people connect with: messages of every length, pings, closing from both
sides, the JSON dialect; where the library can compress, once plain and once compressed."""

import contextlib
import json
import random
import re
import shutil
import subprocess

import pytest
from support.dialect import SUBPROTOCOL
from support.libraries import Aiohttp, Libcurl, Picows, PicowsWebsockets, Websockets
from support.waiting import eventually

MIB = 1 << 20

# RFC 6455 section 5.2 has three forms of a length; the last is the largest message that `large_server` takes.
SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, MIB]

LIBRARIES = {
    "websockets": (Websockets, False),
    "websockets, compressed": (Websockets, True),
    "aiohttp": (Aiohttp, False),
    "aiohttp, compressed": (Aiohttp, True),
    "libcurl": (Libcurl, False),
    "picows": (Picows, False),
    "picows.websockets": (PicowsWebsockets, False),
    "picows.websockets, compressed": (PicowsWebsockets, True),
}


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES.keys())
def connect(request):
    """Connects with a library, compressed if and only if it is to be."""
    library, compression = request.param

    @contextlib.asynccontextmanager
    async def connect(url, **options):
        async with library.open(url, compression=compression, **options) as client:
            assert client.extension == ("permessage-deflate" if compression else "")
            yield client

    return connect


def letters(size):
    """Text that a compressor makes something of."""
    return ("All that is published comes back. " * (size // 34 + 1))[:size]


def noise(size):
    """Bytes that it makes nothing of."""
    return random.Random(size).randbytes(size)


async def test_messages_of_every_length_come_back(large_server, topic, connect):
    async with connect(large_server.url(topic)) as client:
        for size in SIZES:
            for message in [letters(size), noise(size), letters(size).encode()]:
                await client.send(message)
                received = await client.receive()
                assert type(received) is type(message)
                assert received == message
        assert await client.close(1000, "") == (1000, "")


async def test_ping_gets_its_pong(large_server, topic, connect):
    async with connect(large_server.url(topic)) as client:
        for payload in [b"are you there?", bytes(125)]:
            await client.ping(payload)
        await client.send("still here")
        assert await client.receive() == "still here"
        await client.close(1000, "")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1000, "bye"), (4321, "for a reason of its own")])
async def test_close_code_comes_back(large_server, topic, connect, code, reason):
    # RFC 6455 section 5.5.1
    async with connect(large_server.url(topic)) as client:
        assert (await client.close(code, reason))[0] == code


async def test_message_over_the_limit_is_answered_with_1009(large_server, topic, connect):
    async with connect(large_server.url(topic)) as client:
        await client.send(letters(MIB + 1))
        code, reason = await client.closed()
        assert code == 1009
        assert "1048576" in reason


async def test_text_that_is_not_utf8_is_answered_with_1007(large_server, topic, connect):
    async with connect(large_server.url(topic)) as client:
        await client.send_invalid_text(b"abc\xff")
        code, reason = await client.closed()
        assert code == 1007
        assert "byte 3" in reason


async def test_refused_publish_is_answered_with_1008(large_server, topic, connect):
    async with connect(large_server.url(topic, "?role=subscriber")) as client:
        await client.send("refused")
        code, reason = await client.closed()
        assert code == 1008
        assert reason


async def test_reader_that_stopped_is_told_4008(start, topic, connect):
    server = start("--shards", "1", "--max-message-bytes", "64KiB", "--topic-log-bytes", "128KiB")
    async with connect(server.url(topic, "?role=subscriber")) as client:
        # Nothing here waits for the event loop, so the client reads nothing meanwhile.
        while server.metrics()["lapped_total"] == 0:
            server.publish(topic, noise(65_536), [("Content-Type", "application/octet-stream")])
        code, reason = await client.closed()
        assert code == 4008
        assert reason


async def test_end_of_the_server_is_told_with_1001(serve, topic, connect):
    server = serve()
    async with connect(server.url(topic)) as client:
        server.send_signal(15)
        code, reason = await client.closed()
        assert code == 1001
        assert reason


async def test_json_dialect_goes_round(large_server, topic, connect):
    async with connect(f"ws://{large_server.authority}/ws", subprotocols=[SUBPROTOCOL]) as client:
        assert client.subprotocol == SUBPROTOCOL

        async def ask(**request):
            await client.send(json.dumps(request))
            return json.loads(await client.receive())

        subscribed = await ask(op="subscribe", topic=topic, id=1)
        assert subscribed == {"op": "subscribed", "topic": topic, "offset": 0, "epoch": subscribed["epoch"], "id": 1}
        data = {"text": "é €", "list": [1, 2.5, None, True], "long": letters(10_000)}
        await client.send(json.dumps({"op": "publish", "topic": topic, "data": data, "id": "two"}))
        received = [json.loads(await client.receive()) for _ in range(2)]
        assert {"op": "published", "offset": 1, "id": "two"} in received
        assert {"op": "message", "topic": topic, "offset": 1, "data": data} in received
        await client.close(1000, "")


def test_curl_prints_what_is_published(server, topic):
    if not (curl := shutil.which("curl")):
        pytest.skip("there is no curl")
    about = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout
    if "ws" not in re.search(r"^Protocols: (.*)$", about, re.MULTILINE)[1].split():
        pytest.skip(f"{' '.join(about.split()[:2])} was built without WebSocket")
    command = [curl, "--silent", "--no-buffer", "--noproxy", "*", server.url(topic)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            eventually(lambda: server.topic(topic).status == 200, "the subscription")
            server.publish(topic, b"hello")
            assert process.stdout.read(5) == b"hello"
        finally:
            process.kill()
