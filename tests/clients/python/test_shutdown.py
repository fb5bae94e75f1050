"""SIGTERM and SIGINT: everybody is told, nobody is waited for longer than drain_timeout, and the exit code says so.

Where nothing is to be waited for, the timeouts are far longer than a test may take; where one has to pass, the others are.
"""

import signal
import socket

import pytest
from support.process import run
from support.waiting import eventually
from support.wire import CLOSE, TEXT, EndOfStream, close_body, frame
from websockets.exceptions import ConnectionClosed

PATIENT = ["--drain-timeout", "10m", "--close-timeout", "10m"]
IMPATIENT = ["--drain-timeout", "1s", "--close-timeout", "10m"]

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@SIGNALS
def test_everybody_gets_1001_and_the_exit_code_is_0(serve, topic, websocket, number):
    server = serve(*PATIENT)
    clients = [websocket(server.url(topic)) for _ in range(5)]
    clients.append(websocket(server.url(f"{topic}.other", "?role=publisher")))
    server.stop(number)
    for client in clients:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(15)
        assert closed.value.rcvd.code == 1001


@SIGNALS
def test_client_that_never_answers_is_not_waited_for_forever(serve, topic, number):
    server = serve(*IMPATIENT)
    silent = server.subscribe_raw(topic)
    server.stop(number)
    assert silent.take_close()[0] == 1001
    silent.expect_cut()


def test_client_that_does_not_even_read_is_not_waited_for_forever(serve, topic):
    server = serve(*IMPATIENT)
    stopped = server.subscribe_raw(topic, "?role=subscriber", receive_buffer=4_096)
    for _ in range(10):
        server.publish(topic, b"x" * 500_000)
    eventually(lambda: server.metrics()["lagging"] + server.metrics()["lapped_total"] >= 1, "the reader to lag")
    server.stop()
    stopped.close()


def test_without_connections_it_ends_at_once(serve):
    server = serve(*PATIENT)
    server.request("GET", "/health")
    server.stop()


def test_idle_http_connections_do_not_hold_it_up(serve):
    server = serve(*PATIENT)
    idle, unborn = server.http(), server.raw()
    idle.request("GET", "/health")
    # Who was accepted at the moment of the signal may still say what it wants, for close_timeout.
    eventually(lambda: server.shard_of(unborn) is not None, "the silent connection to be accepted")
    server.stop()
    idle.raw.expect_cut()
    unborn.expect_cut()


def test_messages_accepted_before_the_signal_are_delivered(serve, topic):
    # One shard; test_shards.py asks the same of several.
    server = serve("--shards", "1")
    subscriber = server.subscribe_raw(topic, "?role=subscriber")
    for number in range(100):
        server.publish(topic, str(number).encode())
    server.send_signal(signal.SIGTERM)
    for number in range(100):
        assert subscriber.take_frame() == (TEXT, str(number).encode())
    assert subscriber.take_close()[0] == 1001
    subscriber.send(frame(CLOSE, close_body(1001)))
    assert server.wait() == 0


def draining(serve, topic):
    """A server that drains, held up by a client that does not answer."""
    server = serve(*PATIENT)
    holdout = server.subscribe_raw(topic)
    half = server.http()
    half.raw.send(b"GET /health HTTP/1.1\r\n")
    eventually(lambda: server.metrics()["inbound_bytes_used"] > 0, "half a request to arrive")
    server.send_signal(signal.SIGTERM)
    assert holdout.take_close()[0] == 1001
    return server, holdout, half


def test_health_is_503_while_draining(serve, topic):
    server, holdout, half = draining(serve, topic)
    half.raw.send(b"Host: localhost\r\n\r\n")
    answer = half.read_response()
    assert answer.status == 503
    assert answer.json()["status"] != "healthy"
    half.raw.close()
    holdout.send(frame(CLOSE, close_body(1001)))
    assert server.wait() == 0


def test_nobody_new_is_served_while_draining(serve, topic):
    server, holdout, half = draining(serve, topic)

    def is_refused():
        """With a 503, or because nobody listens any more; being left without an answer is neither."""
        try:
            with server.http() as http:
                return http.request("GET", f"/topics/{topic}").status == 503
        except (ConnectionError, EndOfStream):
            return True

    eventually(is_refused, "new connections to be refused")
    half.raw.close()
    holdout.send(frame(CLOSE, close_body(1001)))
    assert server.wait() == 0


def test_second_signal_ends_at_once(serve, topic):
    server, _, _ = draining(serve, topic)
    server.send_signal(signal.SIGTERM)
    assert server.wait() == 130


def test_second_server_on_the_same_port_says_so(server, topic):
    for flags in [
        ["--listen", server.authority, "--admin", "off"],
        ["--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{server.admin_port}"],
    ]:
        second = run("serve", *flags)
        assert second.returncode == 1
        port = flags[1] if "off" in flags else flags[3]
        assert port in second.stderr and "in use" in second.stderr, second.stderr
    # The first is unharmed, and still the one that is reached.
    assert server.publish(topic, b"x") == 1


def test_port_is_free_for_the_next_server_at_once(serve, topic):
    first = serve()
    # With connections that the server closed first: their port stays in TIME_WAIT.
    for _ in range(10):
        client = first.subscribe_raw(topic)
        client.send(frame(CLOSE, close_body(1000)))
        client.take_close()
        client.expect_end()
        client.close()
    first.stop()
    second = serve(listen=first.authority)
    assert second.port == first.port
    assert second.publish(topic, b"x") == 1
    second.stop()


def test_ended_server_listens_no_more(serve):
    server = serve()
    server.stop()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect((server.host, server.port))
