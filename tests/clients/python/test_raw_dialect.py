"""The raw dialect: a WebSocket on /topics/{topic} is the topic; each message is exactly one published payload."""

import threading

import pytest
from support.wire import BINARY, TEXT, frame
from websockets.exceptions import ConnectionClosed, InvalidStatus

# RFC 6455 section 5.2 has three forms of a length; then the default of max_message_bytes.
SIZES = [0, 1, 125, 126, 127, 4_095, 4_096, 65_535, 65_536, 131_072, 512 * 1024]

SECONDS = 15


def pattern(size):
    """Bytes of which no two pages are alike."""
    return bytes((i * 7 + (i >> 8) * 13) % 251 for i in range(size))


def letters(size):
    return "".join(chr(97 + byte % 26) for byte in pattern(size))


def test_text_stays_text_and_binary_stays_binary(server, topic, websocket):
    subscriber, publisher = websocket(server.url(topic)), websocket(server.url(topic))
    for message in ["text", b"bytes", "{}", b"{}", "", b"", "\0", b"\xff\x00\xfe"]:
        publisher.send(message)
        received = subscriber.recv(SECONDS)
        assert received == message and type(received) is type(message)


def test_text_keeps_every_character(server, topic, websocket):
    subscriber = websocket(server.url(topic))
    text = "\u00e9 \u20ac \U0001f980 \u0000\u007f\u0080\u07ff\u0800\uffff\U0010ffff e\u0301"
    websocket(server.url(topic)).send(text)
    assert subscriber.recv(SECONDS) == text


def test_own_message_comes_back(server, topic, websocket):
    client = websocket(server.url(topic))
    client.send("to myself too")
    assert client.recv(SECONDS) == "to myself too"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["websocket", "post"])
def test_message_of_any_size_arrives_whole(server, topic, websocket, way, size):
    subscriber = websocket(server.url(topic, "?role=subscriber"))
    publisher = websocket(server.url(topic, "?role=publisher"))
    for payload in [pattern(size), letters(size)]:
        if way == "websocket":
            publisher.send(payload)
        elif isinstance(payload, bytes):
            server.publish(topic, payload, [("Content-Type", "application/octet-stream")])
        else:
            server.publish(topic, payload.encode())
        assert subscriber.recv(SECONDS) == payload


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        (None, True),
        ("text/plain", True),
        ("text/plain; charset=utf-8", True),
        ("TEXT/HTML", True),
        ("application/xml", True),
        ("image/svg+xml", True),
        ("application/x-www-form-urlencoded", True),
        ("application/json", True),
        ("application/octet-stream", False),
        ("image/png", False),
        ("application/cbor", False),
        ("something/unknown", False),
    ],
)
def test_content_type_of_a_post_decides_between_text_and_binary(server, topic, content_type, is_text):
    subscriber = server.subscribe_raw(topic)
    server.publish(topic, b'{"a": 1}', [("Content-Type", content_type)])
    assert subscriber.take_frame() == (TEXT if is_text else BINARY, b'{"a": 1}')


def test_fragments_arrive_as_one_message(server, topic, websocket):
    subscriber, publisher = websocket(server.url(topic)), websocket(server.url(topic))
    publisher.send(["in ", "three ", "pieces"])
    publisher.send([b"\x00", b"", b"\xff"])
    assert subscriber.recv(SECONDS) == "in three pieces"
    assert subscriber.recv(SECONDS) == b"\x00\xff"


def test_every_subscriber_gets_every_message(server, topic, websocket):
    subscribers = [websocket(server.url(topic)) for _ in range(30)]
    publisher = websocket(server.url(topic, "?role=publisher"))
    messages = [f"message {number}" for number in range(100)]
    for message in messages:
        publisher.send(message)
    for subscriber in subscribers:
        assert [subscriber.recv(SECONDS) for _ in messages] == messages


def test_ten_thousand_messages_keep_their_order(server, topic, websocket):
    subscribers = [websocket(server.url(topic, "?role=subscriber")) for _ in range(3)]
    publisher = websocket(server.url(topic, "?role=publisher"))
    for number in range(10_000):
        publisher.send(str(number))
    for subscriber in subscribers:
        received = [int(subscriber.recv(SECONDS)) for _ in range(10_000)]
        assert received == list(range(10_000))
    assert server.topic(topic).json()["offset"] == 10_000


def test_all_subscribers_see_several_publishers_in_the_same_order(server, topic, websocket):
    subscribers = [websocket(server.url(topic, "?role=subscriber")) for _ in range(3)]
    publishers = [websocket(server.url(topic, "?role=publisher")) for _ in range(4)]

    def publish(name, publisher):
        for number in range(500):
            publisher.send(f"{name} {number}")

    threads = [threading.Thread(target=publish, args=pair) for pair in enumerate(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    orders = [[subscriber.recv(SECONDS) for _ in range(2_000)] for subscriber in subscribers]
    assert orders[0] == orders[1] == orders[2]
    for name in range(4):
        own = [message for message in orders[0] if message.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(500)]


def test_topics_are_apart(server, topic, websocket):
    here, there = websocket(server.url(topic)), websocket(server.url(f"{topic}.other"))
    here.send("here")
    there.send("there")
    assert here.recv(SECONDS) == "here"
    assert there.recv(SECONDS) == "there"


def test_percent_escapes_name_the_same_topic(server, topic, websocket):
    subscriber = websocket(server.url(topic))
    escaped = "".join(f"%{byte:02x}" for byte in topic.encode())
    server.publish(escaped, b"hello")
    assert subscriber.recv(SECONDS) == "hello"


def test_subscriber_gets_what_comes_after_it_only(server, topic, websocket):
    server.publish(topic, b"too early")
    subscriber = websocket(server.url(topic))
    server.publish(topic, b"in time")
    assert subscriber.recv(SECONDS) == "in time"


def test_subscription_is_there_with_the_101(server, topic):
    """Whoever has read the 101 misses nothing that is published from then on."""
    for number in range(100):
        subscriber = server.subscribe_raw(topic)
        server.publish(topic, str(number).encode())
        assert subscriber.take_frame() == (TEXT, str(number).encode())
        subscriber.close()


def test_frames_right_behind_the_handshake_are_published(server, topic):
    subscriber = server.subscribe_raw(topic)
    early = server.raw()
    early.send(
        f"GET /topics/{topic} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        + frame(TEXT, b"early bird")
    )
    assert subscriber.take_frame() == (TEXT, b"early bird")


def test_many_messages_in_one_write_are_published_one_by_one(server, topic):
    subscriber = server.subscribe_raw(topic, "?role=subscriber")
    publisher = server.subscribe_raw(topic, "?role=publisher")
    publisher.send(b"".join(frame(BINARY, str(number).encode()) for number in range(1_000)))
    assert [subscriber.take_frame() for _ in range(1_000)] == [
        (BINARY, str(number).encode()) for number in range(1_000)
    ]


def test_frame_arrives_however_it_was_cut_on_its_way(server, topic):
    subscriber = server.subscribe_raw(topic, "?role=subscriber")
    publisher = server.subscribe_raw(topic, "?role=publisher")
    for byte in frame(TEXT, "byte by byte: \u20ac".encode() + b"x" * 150):
        publisher.send(bytes([byte]))
    assert subscriber.take_frame() == (TEXT, "byte by byte: \u20ac".encode() + b"x" * 150)


# Roles -------------------------------------------------------------------------------------------------------


def test_subscriber_role_cannot_publish(server, topic, websocket):
    witness = websocket(server.url(topic))
    subscriber = websocket(server.url(topic, "?role=subscriber"))
    server.publish(topic, b"for both")
    assert subscriber.recv(SECONDS) == "for both"
    subscriber.send("refused")
    with pytest.raises(ConnectionClosed) as closed:
        subscriber.recv(SECONDS)
    assert closed.value.rcvd.code == 1008
    assert "subscriber" in closed.value.rcvd.reason
    server.publish(topic, b"after it")
    assert [witness.recv(SECONDS), witness.recv(SECONDS)] == ["for both", "after it"]


def test_publisher_role_receives_nothing(server, topic):
    publisher = server.subscribe_raw(topic, "?role=publisher")
    assert server.publish(topic, b"by post") == 1
    publisher.send(frame(TEXT, b"by websocket")).send(frame(0x89, b"the end"))
    # The pong is the first that comes: no message was sent before it.
    assert publisher.take_frame() == (0x8A, b"the end")
    assert server.topic(topic).json() | {"epoch": ""} == {"topic": topic, "offset": 2, "epoch": "", "subscribers": 0}


def test_unknown_role_is_refused(server, topic, websocket):
    with pytest.raises(InvalidStatus) as refused:
        websocket(server.url(topic, "?role=both"))
    assert refused.value.response.status_code == 400
    assert b"subscriber" in refused.value.response.body and b"publisher" in refused.value.response.body
