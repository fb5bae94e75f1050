"""Servers for the tests, and topics that no other test uses."""

import asyncio
import contextlib
import inspect
import itertools
import re

import pytest
from support.process import Server
from support.wire import SECONDS
from websockets.sync.client import connect

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def default_server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(default_server):
    """A server with default settings, shared by all tests that do it no lasting harm."""
    yield default_server
    default_server.close_clients()


@pytest.fixture(scope="session")
def one_shard_server():
    server = Server("--shards", "1")
    yield server
    server.stop()


@pytest.fixture
def counting_server(one_shard_server):
    """The same with one shard: its counts are those of the moment, while those of further shards come with their next tick."""
    yield one_shard_server
    one_shard_server.close_clients()


@pytest.fixture(scope="session")
def one_mebibyte_server():
    server = Server("--max-message-bytes", "1MiB", "--topic-log-bytes", "2MiB")
    yield server
    server.stop()


@pytest.fixture
def large_server(one_mebibyte_server):
    """The same for messages up to 1 MiB."""
    yield one_mebibyte_server
    one_mebibyte_server.close_clients()


@pytest.fixture
def start():
    """Starts servers with flags; after the test they are stopped in order, which is part of the test."""
    servers = []

    def start(*flags, **options):
        servers.append(Server(*flags, **options))
        return servers[-1]

    yield start
    try:
        for server in servers:
            server.close_clients()
            server.stop()
    finally:
        for server in servers:
            server.kill()


@pytest.fixture
def serve():
    """Starts servers that the test itself ends."""
    servers = []

    def serve(*flags, **options):
        servers.append(Server(*flags, **options))
        return servers[-1]

    yield serve
    for server in servers:
        server.kill()


@pytest.fixture
def topic(request):
    """A topic of the test's own."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)
    return f"{name[:100]}{next(_numbers)}"


@pytest.fixture
def websocket():
    """Connects with the library `websockets`; all that are still open are closed after the test."""
    with contextlib.ExitStack() as open_ones:

        def websocket(url, **options):
            # Without a proxy from the environment, and with as many messages waiting as may come.
            options = {"proxy": None, "max_queue": None, "open_timeout": 15, "close_timeout": 15} | options
            return open_ones.enter_context(connect(url, **options))

        yield websocket


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is a coroutine in an event loop of its own, with a deadline for all of it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), 4 * SECONDS))
    return True
