"""What subscribers of both dialects get of what was published in every way, and what they are told when they lag."""

import base64
import json

import pytest
from support.dialect import SUBPROTOCOL, compact
from support.waiting import eventually
from support.wire import BINARY, BINARY_BEGINS, CLOSE, ENDS, TEXT, TEXT_BEGINS, close_body, frame

SECONDS = 15

LAPPED = 4008


def as_json(topic, offset, value):
    return f'{{"op":"message","topic":"{topic}","offset":{offset},"data":{value}}}'


def encoded(topic, offset, encoding, data):
    return f'{{"op":"message","topic":"{topic}","offset":{offset},"encoding":"{encoding}","data":{data}}}'


@pytest.fixture
def subscribers(server, topic):
    """One of each dialect."""
    client = server.json()
    client.subscribe(topic)
    return server.subscribe_raw(topic, "?role=subscriber"), client


# JSON values -------------------------------------------------------------------------------------------------

# Each is kept as it is spelled.
VALUES = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "minus zero": "-0",
    "trailing zeros": "1.50000",
    "exponent": "1E+2",
    "small exponent": "1e-400",
    "huge exponent": "1e400",
    "more digits than a double has": "123456789012345678901234567890.123456789",
    "beyond 2^53": "9007199254740993",
    "empty string": '""',
    "string": '"hello"',
    "escapes": r'"\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83e\udd80\u0000"',
    "not ASCII": '"é€🦀\u2028"',
    "DEL and slash": '"\x7f/"',
    "empty list": "[]",
    "empty object": "{}",
    "white space inside": '[ 1 ,\t2,\r\n {"a" : [ ] } ]',
    "order of members": '{"b":1,"a":2,"":3}',
    "members that stand twice": '{"a":1,"a":2}',
    "looks like an answer": '{"op":"message","topic":"x","offset":99,"data":{"id":1}}',
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_json_value_keeps_its_very_bytes(server, topic, subscribers, value):
    raw, client = subscribers
    publisher = server.json("/")
    text = f'{{"op":"publish","topic":"{topic}","data":{value},"id":1}}'
    assert publisher.ask(text) == '{"op":"published","offset":1,"id":1}'
    # White space around the value is not the value's.
    spaced = f'{{"op":"publish","topic":"{topic}","data": \n\t{value} \r ,"id":2}}'
    assert publisher.ask(spaced) == '{"op":"published","offset":2,"id":2}'
    assert publisher.ask(f'{{"data":{value},"topic":"{topic}","op":"publish"}}') == '{"op":"published","offset":3}'
    for offset in [1, 2, 3]:
        assert raw.take_frame() == (TEXT, value.encode())
        assert client.take() == as_json(topic, offset, value)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/ld+json"])
def test_posted_json_is_a_value(server, topic, subscribers, content_type):
    raw, client = subscribers
    body = '{"price": 1.50, "name": "é"}'
    assert server.publish(topic, body.encode(), [("Content-Type", content_type)]) == 1
    assert raw.take_frame() == (TEXT, body.encode())
    assert client.take() == as_json(topic, 1, body)


def test_white_space_around_a_posted_value_harms_no_subscriber(server, topic, subscribers):
    """Whether it is kept is not said; what JSON subscribers get is one JSON text in any case."""
    raw, client = subscribers
    server.publish(topic, b'\n [1, 2]\r\n\t', [("Content-Type", "application/json")])
    first_byte, payload = raw.take_frame()
    assert first_byte == TEXT and json.loads(payload) == [1, 2]
    message = json.loads(client.take())
    assert message == {"op": "message", "topic": topic, "offset": 1, "data": [1, 2]}


BAD_JSON = {
    "empty": b"",
    "white space": b" \n",
    "cut": b'{"a":',
    "text": b"hello",
    "two values": b"1 2",
    "single quotes": b"{'a':1}",
    "NaN": b"NaN",
    "comment": b"/* one */ 1",
    "byte order mark": b"\xef\xbb\xbf1",
    "not UTF-8": b'"\xff"',
    "too deep": b"[" * 10_000 + b"]" * 10_000,
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
@pytest.mark.parametrize("content_type", ["application/json", "application/geo+json"])
def test_posted_json_that_is_none_is_refused(server, topic, body, content_type):
    answer = server.post(topic, body, [("Content-Type", content_type)])
    assert answer.status == 400, answer
    assert answer.json()["error"]["code"] == "bad_request" and answer.json()["error"]["message"]
    assert server.topic(topic).status == 404


# Text and binary ---------------------------------------------------------------------------------------------

TEXTS = {
    "plain": ("hello", '"hello"'),
    "empty": ("", '""'),
    "JSON that was sent as text": ('{"a": 1}', r'"{\"a\": 1}"'),
    "backslash": ("a\\b", r'"a\\b"'),
    "line ends and tab": ("a\r\n\tb", r'"a\r\n\tb"'),
    "not ASCII": ("é€🦀", '"é€🦀"'),
}


@pytest.mark.parametrize("way", ["websocket", "post"])
@pytest.mark.parametrize(("text", "spelled"), TEXTS.values(), ids=TEXTS.keys())
def test_text_is_a_string_to_json_subscribers(server, topic, subscribers, way, text, spelled):
    raw, client = subscribers
    if way == "websocket":
        server.subscribe_raw(topic, "?role=publisher").send(frame(TEXT, text.encode()))
    else:
        server.publish(topic, text.encode(), [("Content-Type", "text/plain")])
    assert raw.take_frame() == (TEXT, text.encode())
    assert client.take() == encoded(topic, 1, "text", spelled)


def test_every_character_survives_as_a_string(server, topic, subscribers):
    """How control characters are spelled is the server's choice; that they are escaped is JSON's."""
    raw, client = subscribers
    text = "".join(map(chr, range(0x120))) + "\u2028\u2029\ud7ff\ue000\ufffe\uffff\U0010ffff"
    server.subscribe_raw(topic, "?role=publisher").send(frame(TEXT, text.encode()))
    assert raw.take_frame() == (TEXT, text.encode())
    received = client.take()
    assert min(received) >= " "
    assert json.loads(received) == {"op": "message", "topic": topic, "offset": 1, "encoding": "text", "data": text}
    assert list(json.loads(received)) == ["op", "topic", "offset", "encoding", "data"]


@pytest.mark.parametrize("way", ["websocket", "post"])
@pytest.mark.parametrize("payload", [b"", b"\x00", b"\xfb\xff", b"\xfb\xff\xbe", bytes(range(256)), b"ascii"], ids=len)
def test_binary_is_base64_to_json_subscribers(server, topic, subscribers, way, payload):
    raw, client = subscribers
    if way == "websocket":
        server.subscribe_raw(topic, "?role=publisher").send(frame(BINARY, payload))
    else:
        server.publish(topic, payload, [("Content-Type", "application/octet-stream")])
    assert raw.take_frame() == (BINARY, payload)
    assert client.take() == encoded(topic, 1, "base64", f'"{base64.b64encode(payload).decode()}"')


CONTENT_TYPES = {
    "none": (None, "text"),
    "text/plain": ("text/plain", "text"),
    "text/html with charset": ("Text/HTML; charset=utf-8", "text"),
    "XML": ("application/xml", "text"),
    "+xml": ("image/svg+xml", "text"),
    "form": ("application/x-www-form-urlencoded", "text"),
    "octet-stream": ("application/octet-stream", "base64"),
    "image": ("image/png", "base64"),
    "unknown": ("something/unknown", "base64"),
    "JSON": ("application/json", None),
    "JSON in capitals": ("APPLICATION/JSON", None),
    "+json": ("application/vnd.api+json; charset=utf-8", None),
}


@pytest.mark.parametrize(("content_type", "encoding"), CONTENT_TYPES.values(), ids=CONTENT_TYPES.keys())
def test_content_type_decides_what_subscribers_get(server, topic, subscribers, content_type, encoding):
    raw, client = subscribers
    server.publish(topic, b"[12]", [("Content-Type", content_type)])
    assert raw.take_frame() == (BINARY if encoding == "base64" else TEXT, b"[12]")
    expected = {
        None: as_json(topic, 1, "[12]"),
        "text": encoded(topic, 1, "text", '"[12]"'),
        "base64": encoded(topic, 1, "base64", '"WzEyXQ=="'),
    }
    assert client.take() == expected[encoding]


def test_fragmented_messages_are_one_message(server, topic, subscribers):
    raw, client = subscribers
    publisher = server.subscribe_raw(topic, "?role=publisher")
    publisher.send(frame(TEXT_BEGINS, b"in ") + frame(ENDS, b"pieces"))
    publisher.send(frame(BINARY_BEGINS, b"\x00") + frame(ENDS, b"\xff"))
    assert [raw.take_frame(), raw.take_frame()] == [(TEXT, b"in pieces"), (BINARY, b"\x00\xff")]
    assert [client.take(), client.take()] == [
        encoded(topic, 1, "text", '"in pieces"'),
        encoded(topic, 2, "base64", '"AP8="'),
    ]


@pytest.mark.parametrize("size", [100, 126, 65_536, 512 * 1024])
def test_message_of_any_size_arrives_whole(server, topic, subscribers, size):
    """As base64 the largest is longer than max_message_bytes; the limit is that of the published payload."""
    raw, client = subscribers
    payload = bytes(number * 31 % 256 for number in range(size))
    server.publish(topic, payload, [("Content-Type", "application/octet-stream")])
    assert raw.take_frame() == (BINARY, payload)
    assert client.take() == encoded(topic, 1, "base64", f'"{base64.b64encode(payload).decode()}"')
    text = "letters\n" * (size // 8)
    server.publish(topic, text.encode())
    assert raw.take_frame() == (TEXT, text.encode())
    assert client.take() == encoded(topic, 2, "text", compact(text))


def test_message_that_outgrows_the_log_when_escaped_leaves_no_silent_gap(server, topic, subscribers):
    """512 KiB of a character that JSON spells with six: whoever can't get it is told; it is no matter of raw subscribers."""
    raw, client = subscribers
    text = b"\x01" * (512 * 1024)
    server.publish(topic, text)
    assert raw.take_frame() == (TEXT, text)
    server.publish(topic, b"1", [("Content-Type", "application/json")])
    assert raw.take_frame() == (TEXT, b"1")
    first = client.take()
    whole = {"op": "message", "topic": topic, "offset": 1, "encoding": "text", "data": text.decode()}
    assert first == f'{{"op":"missed","topic":"{topic}","from":1,"to":1}}' or json.loads(first) == whole
    assert client.take() == as_json(topic, 2, 1)


# Many topics and clients -------------------------------------------------------------------------------------


def test_hundred_topics_on_one_connection(server, topic):
    client, publishers = server.json(), [server.json(), server.json("/")]
    names = [f"{topic}.{number}" for number in range(100)]
    client.send(*({"op": "subscribe", "topic": name, "id": name} for name in names))
    answers = [client.take_value() for _ in names]
    assert sorted(answer["topic"] for answer in answers) == sorted(names)
    assert all(answer["op"] == "subscribed" and answer["id"] == answer["topic"] for answer in answers)

    for turn in range(10):
        for which, publisher in enumerate(publishers):
            publisher.send(*({"op": "publish", "topic": name, "data": [turn, which]} for name in names))
    received = {name: [] for name in names}
    for _ in range(100 * 10 * 2):
        message = client.take_value()
        assert list(message) == ["op", "topic", "offset", "data"] and message["op"] == "message", message
        received[message["topic"]].append((message["offset"], message["data"]))
    for name, messages in received.items():
        assert [offset for offset, _ in messages] == list(range(1, 21)), name
        for which in range(2):
            assert [turn for _, (turn, who) in messages if who == which] == list(range(10)), name
    client.expect_silence()


def test_own_messages_come_back(server, topic):
    client = server.json()
    client.subscribe(topic)
    client.send(*({"op": "publish", "topic": topic, "data": number, "id": number} for number in range(50)))
    texts = [client.take() for _ in range(100)]
    assert [text for text in texts if "message" in text] == [as_json(topic, n + 1, n) for n in range(50)]
    published = [text for text in texts if "published" in text]
    assert published == [f'{{"op":"published","offset":{n + 1},"id":{n}}}' for n in range(50)]


def test_who_has_unsubscribed_gets_nothing_more(server, topic):
    stays, leaves = server.json(), server.json()
    for client in [stays, leaves]:
        client.subscribe(topic)
        client.subscribe(f"{topic}.other")
    assert leaves.ask({"op": "unsubscribe", "topic": topic}) == f'{{"op":"unsubscribed","topic":"{topic}"}}'
    for number in range(20):
        server.publish(topic, str(number).encode(), [("Content-Type", "application/json")])
    assert [stays.take() for _ in range(20)] == [as_json(topic, n + 1, n) for n in range(20)]
    # The other subscription goes on.
    server.publish(f"{topic}.other", b"0", [("Content-Type", "application/json")])
    assert leaves.take() == as_json(f"{topic}.other", 1, 0)
    leaves.expect_silence()
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "one subscriber to be left")


def test_unsubscribing_while_messages_flow_ends_them_at_the_answer(server, topic):
    client, publisher = server.json(), server.subscribe_raw(topic, "?role=publisher")
    for _ in range(20):
        offset = client.subscribe(topic)["offset"]
        publisher.send(b"".join(frame(TEXT, b"x") for _ in range(100)))
        client.send({"op": "unsubscribe", "topic": topic})
        while (message := client.take_value())["op"] == "message":
            offset += 1
            assert message["offset"] == offset
        assert message == {"op": "unsubscribed", "topic": topic}
        client.expect_silence()


def test_subscription_is_there_with_the_answer(server, topic):
    """Whoever has read `subscribed` misses nothing from its offset on."""
    client = server.json()
    for number in range(1, 51):
        assert client.subscribe(topic)["offset"] == number - 1
        assert server.publish(topic, str(number).encode(), [("Content-Type", "application/json")]) == number
        assert client.take() == as_json(topic, number, number)
        client.ask({"op": "unsubscribe", "topic": topic})


def test_subscriptions_end_with_the_connection(server, topic):
    names = [f"{topic}.{number}" for number in range(10)]
    for end in ["close", "reset", "closing handshake"]:
        client = server.json()
        for name in names:
            client.subscribe(name)
        if end == "closing handshake":
            client.raw.send(frame(CLOSE, close_body(1000)))
            client.raw.take_close()
        else:
            getattr(client.raw, end)()
        for name in names:
            eventually(lambda: server.topic(name).json()["subscribers"] == 0, "the subscription to end")


def test_subscribers_of_both_dialects_see_the_same_order(server, topic, websocket):
    raw = websocket(server.url(topic, "?role=subscriber"))
    clients = [websocket(f"ws://{server.authority}/ws", subprotocols=[SUBPROTOCOL]) for _ in range(2)]
    for client in clients:
        client.send(compact({"op": "subscribe", "topic": topic}))
        assert json.loads(client.recv(SECONDS))["op"] == "subscribed"
    publishers = [server.json() for _ in range(4)]
    for number in range(100):
        for name, publisher in enumerate(publishers):
            publisher.send({"op": "publish", "topic": topic, "data": [name, number]})
    order = [json.loads(raw.recv(SECONDS)) for _ in range(400)]
    for client in clients:
        messages = [json.loads(client.recv(SECONDS)) for _ in range(400)]
        assert [message["offset"] for message in messages] == list(range(1, 401))
        assert [message["data"] for message in messages] == order
    for name in range(4):
        assert [number for who, number in order if who == name] == list(range(100))


# Lagging -----------------------------------------------------------------------------------------------------

# As much as goes into the log at once, so that a reader that stands still is soon behind it.
PAYLOAD = b"x" * 32_000
MOST_MESSAGES = 4_000


def publish_until(server, topic, fast, is_done):
    """Publishes at the pace of one fast raw subscriber, until `is_done`; gives the last offset."""
    publisher = server.subscribe_raw(topic, "?role=publisher")
    for offset in range(1, MOST_MESSAGES + 1):
        publisher.send(frame(BINARY, PAYLOAD))
        assert fast.take_frame() == (BINARY, PAYLOAD)
        if offset % 32 == 0 and is_done():
            return offset
    raise AssertionError(f"not done after {MOST_MESSAGES} messages of {len(PAYLOAD)} bytes")


LAGS = ["--topic-log-bytes", "1MiB", "--close-timeout", "60s"]


def covered(client, topic, last):
    """Reads to the offset `last`, each coming once and in order, as a message or missed; gives the count of `missed`."""
    next_offset, notices = 1, 0
    while next_offset <= last:
        text = client.take()
        head = json.loads(text if len(text) < 1_000 else text[: text.index(',"encoding"')] + "}")
        assert head["topic"] == topic, head
        if head["op"] == "missed":
            assert text == f'{{"op":"missed","topic":"{topic}","from":{next_offset},"to":{head["to"]}}}'
            assert head["to"] >= next_offset
            next_offset, notices = head["to"] + 1, notices + 1
        else:
            assert (head["op"], head["offset"]) == ("message", next_offset)
            next_offset += 1
    return notices


@pytest.mark.parametrize("policy", ["skip", "skip-silent"])
@pytest.mark.parametrize("shards", [1, 2])
def test_stalled_reader_is_told_exactly_what_it_missed(start, topic, shards, policy):
    server = start(*LAGS, "--lag-policy", policy, "--shards", str(shards))
    slow = server.json(receive_buffer=4_096)
    slow.subscribe(topic)
    fast = server.subscribe_raw(topic, "?role=subscriber")
    last = publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] >= 1)
    assert covered(slow, topic, last) >= 1
    # It goes on as before.
    assert server.publish(topic, b"1", [("Content-Type", "application/json")]) == last + 1
    assert slow.take() == as_json(topic, last + 1, 1)
    slow.expect_silence()


def test_other_topics_of_a_stalled_reader_miss_nothing_that_their_logs_hold(start, topic):
    server = start(*LAGS, "--lag-policy", "skip")
    slow = server.json(receive_buffer=4_096)
    slow.subscribe(topic)
    slow.subscribe(f"{topic}.quiet")
    fast = server.subscribe_raw(topic, "?role=subscriber")
    last = publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] >= 1)
    for number in range(1, 11):
        assert server.publish(f"{topic}.quiet", str(number).encode(), [("Content-Type", "application/json")]) == number
    quiet, offsets = [], []
    while len(quiet) < 10 or not offsets or offsets[-1] < last:
        text = slow.take()
        head = json.loads(text if len(text) < 1_000 else text[: text.index(',"encoding"')] + "}")
        if head["topic"] == f"{topic}.quiet":
            quiet.append(text)
        elif head["op"] == "missed":
            offsets += range(head["from"], head["to"] + 1)
        else:
            offsets.append(head["offset"])
    assert quiet == [as_json(f"{topic}.quiet", number, number) for number in range(1, 11)]
    assert offsets == list(range(1, last + 1))


@pytest.mark.parametrize("shards", [1, 2])
def test_stalled_reader_is_closed_with_4008_by_default(start, topic, shards):
    server = start(*LAGS, "--shards", str(shards))
    slow = server.json(receive_buffer=4_096)
    slow.subscribe(topic)
    fast = server.subscribe_raw(topic, "?role=subscriber")
    publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] >= 1)
    offset = 0
    while (next_frame := slow.raw.take_frame())[0] == TEXT:
        offset += 1
        assert next_frame[1].startswith(f'{{"op":"message","topic":"{topic}","offset":{offset},'.encode())
    assert next_frame[0] == CLOSE and int.from_bytes(next_frame[1][:2], "big") == LAPPED
    slow.raw.send(frame(CLOSE, LAPPED.to_bytes(2, "big")))
    slow.raw.expect_end()
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "only the fast one to be left")


def test_raw_reader_that_cannot_be_told_is_closed_under_skip(start, topic):
    server = start(*LAGS, "--lag-policy", "skip")
    slow = server.subscribe_raw(topic, "?role=subscriber", receive_buffer=4_096)
    fast = server.subscribe_raw(topic, "?role=subscriber")
    publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] >= 1)
    while (next_frame := slow.take_frame())[0] == BINARY:
        assert next_frame[1] == PAYLOAD
    assert next_frame[0] == CLOSE and int.from_bytes(next_frame[1][:2], "big") == LAPPED
