"""Control frames and closing (RFC 6455 sections 5.5 and 7), and peers that just go."""

import threading

import pytest
from support.waiting import eventually
from support.wire import BINARY, CLOSE, ENDS, PING, PONG, TEXT, TEXT_BEGINS, close_body, frame
from websockets.exceptions import ConnectionClosed


@pytest.mark.parametrize("payload", [b"", b"ping", bytes(125)])
def test_ping_is_answered_with_its_payload(server, topic, payload):
    client = server.subscribe_raw(topic)
    client.send(frame(PING, payload))
    assert client.take_frame() == (PONG, payload)


def test_ping_between_fragments_is_answered_before_their_end(server, topic):
    client = server.subscribe_raw(topic)
    client.send(frame(TEXT_BEGINS, b"in two ") + frame(PING, b"between"))
    assert client.take_frame() == (PONG, b"between")
    client.send(frame(ENDS, b"pieces"))
    assert client.take_frame() == (TEXT, b"in two pieces")


def test_newest_of_many_pings_is_answered(server, topic):
    # RFC 6455 section 5.5.3 lets the older ones go unanswered, not come out of order.
    client = server.subscribe_raw(topic)
    client.send(b"".join(frame(PING, b"%d" % number) for number in range(1_000)))
    answered = [-1]
    while answered[-1] != 999:
        first_byte, payload = client.take_frame()
        assert first_byte == PONG
        answered.append(int(payload))
    assert answered == sorted(set(answered))


def test_pong_that_nobody_asked_for_is_ignored(server, topic):
    client = server.subscribe_raw(topic)
    client.send(frame(PONG, b"unasked") + frame(TEXT, b"still here"))
    assert client.take_frame() == (TEXT, b"still here")


def test_silent_client_is_pinged_and_cut_unless_it_answers(start, topic):
    server = start("--ping-interval", "1s", "--pong-timeout", "2s")
    silent, alive = server.subscribe_raw(topic), server.subscribe_raw(topic)
    messages = []

    def answer_pings():
        while not messages:
            received = alive.take_frame()
            if received == (PING, b""):
                alive.send(frame(PONG))
            else:
                messages.append(received)

    answering = threading.Thread(target=answer_pings)
    answering.start()
    assert silent.take_frame() == (PING, b"")
    silent.expect_cut()
    server.publish(topic, b"for those alive")
    answering.join()
    assert messages == [(TEXT, b"for those alive")]
    metrics = server.metrics()
    assert metrics["connections_timed_out_total"] == 1
    assert metrics["pings_sent_total"] > metrics["pongs_received_total"] > 0


# Closing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_close_code_is_echoed_and_tcp_closed(server, topic, code):
    client = server.subscribe_raw(topic)
    client.send(frame(CLOSE, close_body(code, "bye")))
    assert client.take_close()[0] == code
    # RFC 6455 section 7.1.1: the server closes TCP first.
    client.expect_end()


def test_close_without_code_is_answered(server, topic):
    client = server.subscribe_raw(topic)
    client.send(frame(CLOSE))
    first_byte, payload = client.take_frame()
    assert first_byte == CLOSE and payload in (b"", close_body(1000))
    client.expect_end()


def test_library_closes_cleanly(server, topic, websocket):
    client = websocket(server.url(topic))
    client.close(4321, "reason")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(15)
    assert (closed.value.rcvd.code, closed.value.sent.code, closed.value.rcvd_then_sent) == (4321, 4321, False)


def test_nothing_is_published_after_a_close_frame(server, topic):
    client = server.subscribe_raw(topic, "?role=publisher")
    client.send(frame(TEXT, b"1") + frame(CLOSE, close_body(1000)) + frame(TEXT, b"2"))
    assert client.take_close()[0] == 1000
    client.expect_cut()
    assert server.topic(topic).json()["offset"] == 1


@pytest.mark.parametrize("way", ["finish", "reset", "close"])
@pytest.mark.parametrize("begun", [b"", frame(TEXT_BEGINS, b"never ended"), frame(TEXT, b"x" * 300)[:150]])
def test_peer_that_just_goes_harms_nobody(server, topic, way, begun):
    witness = server.subscribe_raw(topic)
    gone = server.subscribe_raw(topic)
    gone.send(begun)
    getattr(gone, way)()
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "the subscription to end")
    server.publish(topic, b"hello")
    assert witness.take_frame() == (TEXT, b"hello")


def test_thousand_connections_come_and_go(start, topic):
    server = start()
    witness = server.subscribe_raw(topic)
    for number in range(1_000):
        client = server.subscribe_raw(topic)
        if number % 3 == 0:
            client.send(frame(CLOSE, close_body(1000)))
        elif number % 3 == 1:
            client.reset()
        client.close()
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "all subscriptions to end")
    server.publish(topic, b"hello", [("Content-Type", "application/octet-stream")])
    assert witness.take_frame() == (BINARY, b"hello")
    # The witness and the scrape itself.
    eventually(lambda: server.metrics()["connections_open"] == 2, "all slots to be free")
    eventually(lambda: server.metrics()["upgrades_total"] == 1_001, "all to be counted")
