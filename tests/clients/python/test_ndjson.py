"""POST of lines (application/x-ndjson and its other names): each is a message, all or nothing."""

import json

import pytest
from support.waiting import eventually
from support.wire import TEXT

NDJSON = [("Content-Type", "application/x-ndjson")]

LINES_MAX = 10_000


def offset_of(server, topic):
    """How many messages the topic has had, a topic that nobody knows none."""
    answer = server.topic(topic)
    return answer.json()["offset"] if answer.status == 200 else 0


NAMES = ["application/x-ndjson", "application/jsonl", "application/x-jsonlines", "Application/X-NDJSON; charset=utf-8"]


@pytest.mark.parametrize("content_type", NAMES)
def test_each_line_is_a_message_of_json(server, topic, content_type):
    raw, client = server.subscribe_raw(topic), server.json()
    client.subscribe(topic)
    lines = [b'{"a": 1}', b"[2, 3]", b'"\xc3\xa9"', b"4.50", b"null"]
    answer = server.post(topic, b"\n".join(lines), [("Content-Type", content_type)])
    assert answer.status == 200, answer
    epoch = server.topic(topic).json()["epoch"]
    assert answer.text.strip() == f'{{"topic":"{topic}","offset":5,"epoch":"{epoch}","count":5}}'
    for number, line in enumerate(lines):
        assert raw.take_frame() == (TEXT, line)
        assert client.take() == f'{{"op":"message","topic":"{topic}","offset":{number + 1},"data":{line.decode()}}}'
    # `offset` is the last.
    answer = server.post(topic, b"6\n7\n", NDJSON).json()
    assert (answer["offset"], answer["count"]) == (7, 2)


WRITTEN = {
    "without a last line end": b"1\n2\n3",
    "with a last line end": b"1\n2\n3\n",
    "CRLF": b"1\r\n2\r\n3\r\n",
    "both": b"1\r\n2\n3\r\n",
    "blank lines": b"\n1\n\n\r\n2\n\n\n3\n\n",
}


@pytest.mark.parametrize("body", WRITTEN.values(), ids=WRITTEN.keys())
def test_lines_may_end_in_several_ways(server, topic, body):
    raw = server.subscribe_raw(topic)
    answer = server.post(topic, body, NDJSON).json()
    assert (answer["offset"], answer["count"]) == (3, 3)
    assert [raw.take_frame() for _ in range(3)] == [(TEXT, b"1"), (TEXT, b"2"), (TEXT, b"3")]


# Body, and the line that has to be named.
BAD = {
    "first": (b"oops\n2\n3\n", 1),
    "last": (b"1\n2\n{\n", 3),
    "behind blank lines": (b"1\n\n\nNaN\n", 4),
    "two values": (b"1\n2 3\n", 2),
    "value over two lines": (b'{"a":\n1}\n', 1),
    "not UTF-8": (b'1\n2\n3\n"\xff"\n', 4),
    "CRLF": (b"1\r\n]\r\n", 2),
    "too deep": (b"1\n" + b"[" * 5_000 + b"]" * 5_000, 2),
}


@pytest.mark.parametrize(("body", "line"), BAD.values(), ids=BAD.keys())
def test_bad_line_is_named_and_nothing_is_published(server, topic, body, line):
    answer = server.post(topic, body, NDJSON)
    assert answer.status == 400, answer
    error = answer.json()["error"]
    assert error["code"] == "bad_request" and f"line {line}" in error["message"], answer
    assert offset_of(server, topic) == 0


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n\n"], ids=["empty", "line end", "line ends"])
def test_body_without_a_line_is_refused(server, topic, body):
    assert server.post(topic, body, NDJSON).status == 400
    assert server.topic(topic).status == 404


def test_most_lines_and_one_more(server, topic):
    subscriber = server.subscribe_raw(topic)
    body = b"".join(b"%d\n" % number for number in range(LINES_MAX))
    refused = server.post(topic, body + b"1\n", NDJSON)
    assert refused.status == 413 and str(LINES_MAX) in refused.text.replace(",", ""), refused
    assert offset_of(server, topic) == 0
    answer = server.post(topic, body, NDJSON).json()
    assert (answer["offset"], answer["count"]) == (LINES_MAX, LINES_MAX)
    assert [subscriber.take_frame() for _ in range(LINES_MAX)] == [(TEXT, b"%d" % n) for n in range(LINES_MAX)]


def test_lines_come_without_anything_in_between(server, topic):
    """They get consecutive offsets while others publish to the same topic."""
    client = server.json()
    client.subscribe(topic)
    others = [server.http() for _ in range(4)]
    for turn in range(20):
        for who, http in enumerate(others):
            body = b"".join(b"[%d,%d,%d]\n" % (turn, who, line) for line in range(10))
            http.send_request("POST", f"/topics/{topic}", NDJSON, body)
        for http in others:
            assert http.read_response().json()["count"] == 10
    messages = [client.take_value() for _ in range(20 * 4 * 10)]
    assert [message["offset"] for message in messages] == list(range(1, 801))
    for first in range(0, 800, 10):
        body = [message["data"] for message in messages[first : first + 10]]
        turn, who, _ = body[0]
        assert body == [[turn, who, line] for line in range(10)]


def test_lines_may_come_in_chunks_and_after_a_100(server, topic):
    with server.http() as http:
        headers = [*NDJSON, ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")]
        http.send_head("POST", f"/topics/{topic}", headers)
        assert http.read_response().status == 100
        http.raw.send(b"3\r\n1\n2\r\n3\r\n3\n4\r\n0\r\n\r\n")
        answer = http.read_response().json()
    assert (answer["offset"], answer["count"]) == (3, 3)


def test_body_of_lines_has_the_limit_of_a_body(start, topic):
    server = start("--max-message-bytes", "1KiB")
    assert server.post(topic, b"1\n" * 512, NDJSON).status == 200
    assert server.post(topic, b"1\n" * 513, NDJSON).status == 413


def test_nothing_is_published_without_permission(server, topic):
    answer = server.post(topic, b"1\n", [*NDJSON, ("X-Forwarded-For", "192.0.2.1")])
    assert answer.status == 403
    assert server.topic(topic).status == 404


def test_lines_are_counted_one_by_one(start, topic):
    server = start()
    server.post(topic, b"1\n22\n333\n", NDJSON)
    eventually(lambda: server.metrics()["messages_published_total"] == 3, "three messages to be counted")
    assert json.loads(server.topic(topic).body)["offset"] == 3
