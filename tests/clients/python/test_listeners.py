"""Where a server listens: Unix sockets and their files, IPv6, several at once."""

import errno
import os
import socket
import stat

import pytest
from support.process import run
from support.waiting import eventually
from support.wire import TEXT, UPGRADE, Http, RawSocket, authority_of, frame
from websockets.sync.client import unix_connect

FLAG = "--allow-anonymous-publish"

SECONDS = 15


def has_ipv6_loopback():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this host has no IPv6 loopback")


@pytest.fixture
def path(tmp_path):
    """Of a socket; the kernel takes 107 bytes."""
    short = f"/tmp/corecast-test-{os.getpid()}-{os.path.basename(tmp_path)[-40:]}.sock"
    yield short
    if os.path.lexists(short):
        os.unlink(short)


# Unix sockets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3])
def test_unix_socket_serves_http(start, topic, path, shards):
    server = start("--shards", str(shards), listen=f"unix:{path}")
    assert server.address == path
    assert server.request("GET", "/health").json()["status"] == "healthy"
    for offset in range(1, 21):
        assert server.publish(topic, b"x") == offset
    assert server.topic(topic).json()["offset"] == 20
    assert server.request("GET", "/").status == 200


@pytest.mark.parametrize("shards", [1, 3])
def test_unix_socket_serves_websockets_of_both_dialects(start, topic, path, shards):
    server = start("--shards", str(shards), listen=f"unix:{path}")
    with (
        unix_connect(path, uri=f"ws://localhost/topics/{topic}") as raw,
        unix_connect(path, uri="ws://localhost/ws", subprotocols=["corecast.json.v1"]) as client,
    ):
        assert client.subprotocol == "corecast.json.v1"
        client.send(f'{{"op":"subscribe","topic":"{topic}"}}')
        assert '"op":"subscribed"' in client.recv(SECONDS)
        raw.send("hello")
        assert raw.recv(SECONDS) == "hello"
        message = f'{{"op":"message","topic":"{topic}","offset":1,"encoding":"text","data":"hello"}}'
        assert client.recv(SECONDS) == message
        client.send(f'{{"op":"publish","topic":"{topic}","data":2}}')
        assert {client.recv(SECONDS), client.recv(SECONDS)} == {
            '{"op":"published","offset":2}',
            f'{{"op":"message","topic":"{topic}","offset":2,"data":2}}',
        }
        assert raw.recv(SECONDS) == "2"


def test_publishing_through_a_unix_socket_is_for_this_host(start, topic, path):
    server = start(listen=f"unix:{path}")
    for host in ["localhost", "127.0.0.1", "[::1]:80"]:
        assert server.post(topic, b"x", [("Host", host)]).status == 200, host
    for header in [("Host", "corecast.example"), ("X-Forwarded-For", "192.0.2.1"), ("Via", "1.1 proxy")]:
        answer = server.post(topic, b"x", [header])
        assert answer.status == 403 and FLAG in answer.text, answer


def test_clients_of_a_unix_socket_are_spread_or_not_but_all_served(start, topic, path):
    server = start("--shards", "3", listen=f"unix:{path}")
    clients = [server.subscribe_raw(topic) for _ in range(60)]
    clients[0].send(frame(TEXT, b"to all"))
    for client in clients:
        assert client.take_frame() == (TEXT, b"to all")
    eventually(lambda: server.topic(topic).json()["subscribers"] == 60, "all to be counted")


def test_unix_and_tcp_listeners_are_one_server(start, topic, path):
    server = start("--listen", f"unix:{path}", "--listen", "127.0.0.1:0", "--shards", "2")
    server.wait_for_log(f"listens on unix:{path}")
    with unix_connect(path, uri=f"ws://localhost/topics/{topic}") as client:
        assert server.publish(topic, b"from TCP") == 1
        assert client.recv(SECONDS) == "from TCP"


def test_stale_file_is_replaced(start, topic, path):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    server = start(listen=f"unix:{path}")
    assert server.publish(topic, b"x") == 1


def is_refused(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == errno.ECONNREFUSED


def test_file_of_a_killed_server_is_replaced(serve, start, topic, path):
    first = serve(listen=f"unix:{path}")
    first.publish(topic, b"x")
    first.kill()
    assert os.path.exists(path)
    # The kernel takes a killed process's ring down, and the listeners with it, a moment after the process.
    eventually(lambda: is_refused(path), "nobody to listen any more")
    assert start(listen=f"unix:{path}").publish(topic, b"x") == 1


def test_live_socket_is_not_taken_over(start, topic, path):
    first = start(listen=f"unix:{path}")
    second = run("serve", "--listen", f"unix:{path}", "--admin", "off")
    assert second.returncode == 1
    assert path in second.stderr and "in use" in second.stderr, second.stderr
    # The first is unharmed, and still the one that is reached.
    assert first.publish(topic, b"x") == 1


@pytest.mark.parametrize("kind", ["file", "directory", "symbolic link to a file"])
def test_what_is_no_socket_is_left_alone(path, tmp_path, kind):
    other = tmp_path / "precious"
    other.write_text("precious")
    if kind == "file":
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink(other, path)
    try:
        answer = run("serve", "--listen", f"unix:{path}", "--admin", "off")
        assert answer.returncode == 1 and path in answer.stderr, answer
        assert os.path.lexists(path) and other.read_text() == "precious"
    finally:
        if kind == "directory":
            os.rmdir(path)


def test_missing_directory_and_too_long_path_are_named(tmp_path):
    missing = tmp_path / "missing" / "socket"
    answer = run("serve", "--listen", f"unix:{missing}", "--admin", "off")
    assert answer.returncode == 1 and str(missing.parent) in answer.stderr, answer
    # sun_path has 108 bytes.
    answer = run("serve", "--listen", f"unix:/tmp/{'x' * 120}", "--admin", "off")
    assert answer.returncode in (1, 2) and "x" * 120 in answer.stderr, answer


@pytest.mark.parametrize("shards", [1, 3])
def test_file_is_removed_at_the_stop(serve, topic, path, shards):
    server = serve("--shards", str(shards), listen=f"unix:{path}")
    client = server.subscribe_raw(topic)
    server.send_signal(15)
    code, _ = client.take_close()
    assert code == 1001
    client.close()
    assert server.wait() == 0
    assert not os.path.lexists(path)


def test_file_that_is_somebody_elses_by_now_is_left_alone(serve, topic, path):
    """A second server took the path after it had been removed by hand; the first one's stop must not remove it."""
    first = serve(listen=f"unix:{path}")
    os.unlink(path)
    second = serve(listen=f"unix:{path}")
    first.stop()
    assert second.publish(topic, b"x") == 1
    second.stop()
    assert not os.path.lexists(path)


def test_full_server_answers_503_on_a_unix_socket(start, topic, path):
    server = start("--shards", "1", "--max-connections", "2", listen=f"unix:{path}")
    members = [server.subscribe_raw(topic) for _ in range(2)]
    with server.http() as http:
        answer = http.send_head("GET", f"/topics/{topic}", UPGRADE).read_response()
        assert answer.status == 503 and answer.header("Retry-After"), answer
    members[0].close()
    eventually(lambda: server.post(topic, b"x").status == 200, "the place to be free again")


# IPv6 --------------------------------------------------------------------------------------------------------


@ipv6
@pytest.mark.parametrize("shards", [1, 2])
def test_ipv6_loopback_serves_and_lets_this_host_publish(start, topic, shards):
    server = start("--shards", str(shards), listen="[::1]:0")
    assert server.host == "::1"
    client, raw = server.json(), server.subscribe_raw(topic)
    client.subscribe(topic)
    assert server.publish(topic, b"x") == 1
    assert raw.take_frame() == (TEXT, b"x")
    assert client.take_value()["offset"] == 1
    raw.send(frame(TEXT, b"y"))
    assert raw.take_frame() == (TEXT, b"y")
    # As the address stands in a list of connections.
    eventually(lambda: server.shard_of(raw) is not None, "the connection to be listed by its address")


@ipv6
def test_request_that_may_come_from_elsewhere_publishes_nothing_by_ipv6_either(start, topic):
    server = start(listen="[::1]:0")
    for header in [("X-Forwarded-For", "2001:db8::1"), ("Host", "[2001:db8::1]:9001"), ("Host", "corecast.example")]:
        answer = server.post(topic, b"x", [header])
        assert answer.status == 403 and FLAG in answer.text, answer


@ipv6
def test_dual_stack_listener_serves_both_families(start, topic):
    """It is beyond loopback, so it takes no publish without the flag, whoever asks; with the flag, from both."""
    server = start(FLAG, listen="[::]:0")
    hosts = ["::1", "127.0.0.1"]
    for host in hosts:
        with Http(RawSocket((host, server.port))) as http:
            assert http.request("POST", f"/topics/{topic}", body=b"x").status == 200
    subscribers = [RawSocket((host, server.port)).upgrade(f"/topics/{topic}") for host in hosts]
    subscribers[0].send(frame(TEXT, b"to both"))
    for subscriber in subscribers:
        assert subscriber.take_frame() == (TEXT, b"to both")
        subscriber.close()


@ipv6
def test_dual_stack_listener_is_beyond_loopback(start, topic):
    server = start(listen="[::]:0")
    for host in ["::1", "127.0.0.1"]:
        with Http(RawSocket((host, server.port))) as http:
            answer = http.request("POST", f"/topics/{topic}", body=b"x")
            assert answer.status == 403 and FLAG in answer.text, answer


@ipv6
def test_v4_mapped_loopback_is_loopback(start, topic):
    """A listener on ::ffff:127.0.0.1 is IPv4's loopback, seen through IPv6."""
    server = start(listen="[::ffff:127.0.0.1]:0")
    with Http(RawSocket(("127.0.0.1", server.port))) as http:
        assert http.request("POST", f"/topics/{topic}", body=b"x").json()["offset"] == 1


@ipv6
def test_ipv4_and_ipv6_side_by_side(start, topic):
    server = start("--listen", "[::1]:0", "--shards", "2")
    port = int(server.wait_for_log(r"listens on \[::1\]:(\d+)")[1])
    other = RawSocket(("::1", port)).upgrade(f"/topics/{topic}")
    assert server.publish(topic, b"from IPv4") == 1
    assert other.take_frame() == (TEXT, b"from IPv4")
    other.close()


@ipv6
def test_taken_ipv6_port_is_named(start):
    server = start(listen="[::1]:0")
    second = run("serve", "--listen", authority_of(server.address), "--admin", "off")
    assert second.returncode == 1
    assert authority_of(server.address) in second.stderr and "in use" in second.stderr, second.stderr
