"""The server as an ordinary user, without any capability. Run by tests/unprivileged.sh, which says how to become one.

The name of this file keeps it out of the other tests' run: it needs a command that drops privileges.
"""

import os
import re
import shlex

import pytest
from support.process import Server
from support.wire import TEXT, UPGRADE, frame


@pytest.fixture
def server():
    # One shard has all places.
    command = shlex.split(os.environ["CORECAST_DROP_PRIVILEGES"])
    server = Server("--max-connections", "500", "--shards", "1", command=command)
    yield server
    server.close_clients()
    server.stop()


def test_serves_without_privileges(server):
    with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
        status = file.read()
    assert re.search(r"Uid:(\t\d+){4}\n", status) and not re.search(r"Uid:.*\t0\b", status), status
    assert re.search(r"CapEff:\t0+\n", status), status

    subscribers = [server.subscribe_raw("news", "?role=subscriber") for _ in range(499)]
    publisher = server.subscribe_raw("news", "?role=publisher")
    publisher.send(frame(TEXT, b"hello"))
    for subscriber in subscribers:
        assert subscriber.take_frame() == (TEXT, b"hello")
    with server.http() as http:
        assert http.send_head("GET", "/topics/news", UPGRADE).read_response().status == 503
    publisher.close()
    assert server.metrics()["messages_published_total"] == 1
