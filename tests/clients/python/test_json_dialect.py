"""The JSON dialect: requests and answers, byte for byte, and what is said to requests that are wrong."""

import json
import re

import pytest
from support.dialect import SUBPROTOCOL, compact
from support.wire import (
    BINARY,
    BINARY_BEGINS,
    CLOSE,
    CONTINUES,
    ENDS,
    PING,
    PONG,
    TEXT,
    TEXT_BEGINS,
    UPGRADE,
    close_body,
    frame,
)
from websockets.exceptions import InvalidStatus

SECONDS = 15


def error(text):
    """An answer that must be an error of the right form; gives it as a value."""
    value = json.loads(text)
    assert list(value) in (["op", "code", "message"], ["op", "code", "message", "id"]), text
    assert value["op"] == "error" and value["message"], text
    assert compact(value) == text, "no white space, and nothing escaped that need not be"
    return value


@pytest.fixture
def client(server):
    return server.json()


# The opening handshake ---------------------------------------------------------------------------------------


def handshake(server, target, protocols=()):
    headers = [*UPGRADE, *(("Sec-WebSocket-Protocol", protocol) for protocol in protocols)]
    http = server.http().send_head("GET", target, headers)
    return http, http.read_response()


@pytest.mark.parametrize("target", ["/", "/ws"])
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        ([SUBPROTOCOL], SUBPROTOCOL),
        ([f"graphql-ws, {SUBPROTOCOL}, mqtt"], SUBPROTOCOL),
        (["other", SUBPROTOCOL], SUBPROTOCOL),
    ],
    ids=["none", "ours", "ours among others", "in two headers"],
)
def test_dialect_is_spoken_at_both_paths(server, target, offered, chosen):
    http, answer = handshake(server, target, offered)
    assert answer.status == 101, answer
    assert answer.header("Sec-WebSocket-Protocol") == chosen
    http.raw.send(frame(TEXT, b'{"op":"ping","id":1}'))
    assert http.raw.take_frame() == (TEXT, b'{"op":"pong","id":1}')


@pytest.mark.parametrize("target", ["/", "/ws"])
@pytest.mark.parametrize("offered", ["graphql-ws", "corecast.json.v2", "corecast.json", "CORECAST.JSON.V1, mqtt"])
def test_only_unknown_subprotocols_are_refused_with_the_name_of_ours(server, target, offered):
    _, answer = handshake(server, target, [offered])
    assert answer.status == 400, answer
    assert SUBPROTOCOL in answer.text
    assert answer.header("Sec-WebSocket-Protocol") is None


def test_library_agrees_on_the_subprotocol(server, websocket):
    client = websocket(f"ws://{server.authority}/ws", subprotocols=["other", SUBPROTOCOL])
    assert client.subprotocol == SUBPROTOCOL
    client.send('{"op":"ping"}')
    assert client.recv(SECONDS) == '{"op":"pong"}'
    with pytest.raises(InvalidStatus) as refused:
        websocket(f"ws://{server.authority}/", subprotocols=["other"])
    assert refused.value.response.status_code == 400
    assert SUBPROTOCOL in refused.value.response.body.decode()


def test_path_of_websockets_without_an_upgrade_says_what_it_is(server):
    answer = server.request("GET", "/ws")
    assert (answer.status, answer.header("Upgrade")) == (426, "websocket")


@pytest.mark.parametrize("target", ["/ws/", "/WS", "/json", "/topics", "/health"])
def test_other_paths_do_not_speak_it(server, target):
    _, answer = handshake(server, target)
    # A path that is known without an upgrade may be answered without one (RFC 9110 section 7.8).
    assert answer.status != 101, answer


# Requests and answers ----------------------------------------------------------------------------------------


def test_every_operation_is_answered_byte_for_byte(client, topic):
    subscribed = client.ask(f'{{"op":"subscribe","topic":"{topic}","id":1}}')
    epoch = re.fullmatch(
        rf'\{{"op":"subscribed","topic":"{topic}","offset":0,"epoch":"([0-9a-f]{{16}})","id":1\}}', subscribed
    )
    assert epoch, subscribed
    # The publisher is subscribed, so it gets its own message; which of the two comes first is not said.
    client.send(f'{{"op":"publish","topic":"{topic}","data":{{"a":1}},"id":2}}')
    assert sorted([client.take(), client.take()]) == [
        f'{{"op":"message","topic":"{topic}","offset":1,"data":{{"a":1}}}}',
        '{"op":"published","offset":1,"id":2}',
    ]
    assert client.ask('{"op":"ping","id":3}') == '{"op":"pong","id":3}'
    assert (
        client.ask(f'{{"op":"unsubscribe","topic":"{topic}","id":"x"}}')
        == f'{{"op":"unsubscribed","topic":"{topic}","id":"x"}}'
    )
    assert client.ask(f'{{"op":"publish","topic":"{topic}","data":2,"id":4}}') == '{"op":"published","offset":2,"id":4}'
    # The offset is that of the last message it does not get; the epoch is still the same.
    assert client.ask(f'{{"op":"subscribe","topic":"{topic}"}}') == (
        f'{{"op":"subscribed","topic":"{topic}","offset":2,"epoch":"{epoch[1]}"}}'
    )
    client.expect_silence()


def test_without_an_id_the_answers_have_none(client, topic):
    assert list(json.loads(client.ask({"op": "subscribe", "topic": topic}))) == ["op", "topic", "offset", "epoch"]
    assert client.ask({"op": "unsubscribe", "topic": topic}) == f'{{"op":"unsubscribed","topic":"{topic}"}}'
    assert client.ask({"op": "publish", "topic": topic, "data": 0}) == '{"op":"published","offset":1}'
    assert client.ask({"op": "ping"}) == '{"op":"pong"}'
    assert "id" not in error(client.ask({"op": "dance"}))


# As they stand in the request, and as they have to stand in the answer.
IDS = {
    "zero": ("0", "0"),
    "negative": ("-1", "-1"),
    "greatest i64": ("9223372036854775807", "9223372036854775807"),
    "least i64": ("-9223372036854775808", "-9223372036854775808"),
    "string": ('"x"', '"x"'),
    "empty string": ('""', '""'),
    "digits": ('"7"', '"7"'),
    "128 bytes": (f'"{"i" * 128}"', f'"{"i" * 128}"'),
    "64 characters of two bytes": (f'"{"é" * 64}"', f'"{"é" * 64}"'),
    "quotes and backslash": (r'"a\"b\\c"', r'"a\"b\\c"'),
    "line end": (r'"a\nb"', r'"a\nb"'),
    "not ASCII": ('"ü€🦀"', '"ü€🦀"'),
}


@pytest.mark.parametrize(("sent", "echoed"), IDS.values(), ids=IDS.keys())
def test_id_is_echoed(client, topic, sent, echoed):
    """Compared as values: an id may be spelled in more than one way, and means the same."""
    for request, op in [
        ('"op":"ping"', "pong"),
        (f'"op":"subscribe","topic":"{topic}"', "subscribed"),
        (f'"op":"unsubscribe","topic":"{topic}"', "unsubscribed"),
        (f'"op":"publish","topic":"{topic}","data":null', "published"),
        ('"op":"subscribe","topic":"not/good"', "error"),
        ('"op":"dance"', "error"),
    ]:
        for text in [f'{{{request},"id":{sent}}}', f'{{"id":{sent},{request}}}']:
            if op in ("subscribed", "unsubscribed") and text.startswith('{"id"'):
                # A second time would be an error.
                continue
            answer = json.loads(client.ask(text))
            assert answer["op"] == op, answer
            assert list(answer)[-1] == "id" and answer["id"] == json.loads(echoed)
            assert type(answer["id"]) is type(json.loads(echoed))


WRONG_IDS = {
    "129 bytes": f'"{"i" * 129}"',
    "65 characters of two bytes": f'"{"é" * 65}"',
    "fraction": "1.5",
    "exponent": "1e3",
    "above i64": "9223372036854775808",
    "below i64": "-9223372036854775809",
    "bool": "true",
    "list": "[1]",
    "object": '{"a":1}',
}


@pytest.mark.parametrize("sent", WRONG_IDS.values(), ids=WRONG_IDS.keys())
def test_id_of_another_kind_is_refused_and_nothing_is_done(server, client, topic, sent):
    answer = error(client.ask(f'{{"op":"publish","topic":"{topic}","data":1,"id":{sent}}}'))
    assert answer["code"] == "bad_request" and "id" in answer["message"], answer
    assert server.topic(topic).status == 404
    client.expect_silence()


def test_unknown_members_and_white_space_and_order_do_not_matter(client, topic):
    members = ['"trace" : {"deep":[1,2]}', '\n\t"data":  1', f'\r\n "topic" : "{topic}"', '"id":5', '"op":"publish"', '"x":null']
    assert client.ask(f' {{ {" , ".join(members)} }} ') == '{"op":"published","offset":1,"id":5}'
    # Names that are spelled with escapes are the same names.
    assert client.ask(r'{"\u006fp":"p\u0069ng","id":6}') == '{"op":"pong","id":6}'


def test_topic_may_be_spelled_with_escapes(client, topic):
    escaped = "".join(f"\\u{ord(char):04x}" for char in topic)
    subscribed = json.loads(client.ask(f'{{"op":"subscribe","topic":"{escaped}"}}'))
    assert (subscribed["op"], subscribed["topic"]) == ("subscribed", topic)


# What is wrong, and what is said -----------------------------------------------------------------------------

# Request, code, and words of the message.
WRONG = {
    "no JSON": ("hello", "bad_request", []),
    "empty": ("", "bad_request", []),
    "cut": ('{"op":"ping"', "bad_request", []),
    "two values": ('{"op":"ping"}{"op":"ping"}', "bad_request", []),
    "trailing comma": ('{"op":"ping",}', "bad_request", []),
    "single quotes": ("{'op':'ping'}", "bad_request", []),
    "a list": ('[{"op":"ping"}]', "bad_request", ["object"]),
    "a string": ('"ping"', "bad_request", ["object"]),
    "null": ("null", "bad_request", ["object"]),
    "no op": ("{}", "bad_request", ["op"]),
    "op of another kind": ('{"op":1}', "bad_request", ["op"]),
    "unknown op": ('{"op":"dance"}', "bad_request", ["dance", "subscribe", "unsubscribe", "publish", "ping"]),
    "op in another case": ('{"op":"Ping"}', "bad_request", ["Ping"]),
    "subscribe without topic": ('{"op":"subscribe"}', "bad_request", ["topic"]),
    "unsubscribe without topic": ('{"op":"unsubscribe"}', "bad_request", ["topic"]),
    "publish without topic": ('{"op":"publish","data":1}', "bad_request", ["topic"]),
    "publish without data": ('{"op":"publish","topic":"a"}', "bad_request", ["data"]),
    "topic of another kind": ('{"op":"subscribe","topic":7}', "bad_topic", ["string"]),
    "NaN": ('{"op":"publish","topic":"a","data":NaN}', "bad_request", []),
    "number with a leading zero": ('{"op":"publish","topic":"a","data":01}', "bad_request", []),
    "control character in a string": ('{"op":"publish","topic":"a","data":"\x01"}', "bad_request", []),
    "unknown escape": (r'{"op":"publish","topic":"a","data":"\x41"}', "bad_request", []),
    "topic empty": ('{"op":"subscribe","topic":""}', "bad_topic", []),
    "topic with a slash": ('{"op":"subscribe","topic":"a/b"}', "bad_topic", ["A-Z a-z 0-9 . _ - : ~ = @"]),
    "topic with a percent escape": ('{"op":"subscribe","topic":"a%62"}', "bad_topic", []),
    "topic of a dot": ('{"op":"publish","topic":".","data":1}', "bad_topic", []),
    "topic of two dots": ('{"op":"unsubscribe","topic":".."}', "bad_topic", []),
    "topic not ASCII": ('{"op":"subscribe","topic":"café"}', "bad_topic", []),
    "topic too long": ('{"op":"subscribe","topic":"' + "a" * 256 + '"}', "bad_topic", ["255"]),
    "topic with an escaped NUL": (r'{"op":"subscribe","topic":"a\u0000"}', "bad_topic", []),
}


@pytest.mark.parametrize(("sent", "code", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_request_is_an_error_and_the_connection_lives_on(client, topic, sent, code, said):
    subscribed = client.subscribe(topic)
    answer = error(client.ask(sent))
    assert answer["code"] == code, answer
    for words in said:
        assert words in answer["message"], answer
    assert "id" not in answer
    # Its subscription too.
    client.send({"op": "publish", "topic": topic, "data": 1})
    assert {client.take_value()["op"], client.take_value()["op"]} == {"message", "published"}
    assert subscribed["offset"] == 0


def test_longest_topic_is_a_good_one(client):
    name = "a" * 255
    assert client.subscribe(name)["topic"] == name
    client.ask({"op": "unsubscribe", "topic": name})


@pytest.mark.parametrize("depth", [1_000, 50_000])
def test_too_deep_json_is_refused(server, client, topic, depth):
    lists, objects = "[" * depth + "]" * depth, '{"":' * depth + "1" + "}" * depth
    for request in [
        f'{{"op":"publish","topic":"{topic}","data":{lists},"id":1}}',
        f'{{"op":"publish","topic":"{topic}","data":{objects}}}',
        f'{{"op":"publish","topic":"{topic}","data":{"[" * depth}',
        lists,
    ]:
        answer = error(client.ask(request))
        assert answer["code"] == "bad_request", answer
    assert server.topic(topic).status == 404
    client.expect_silence()


def test_json_of_a_usual_depth_is_published(client, topic):
    data = "[" * 64 + "]" * 64
    assert client.ask(f'{{"op":"publish","topic":"{topic}","data":{data}}}') == '{"op":"published","offset":1}'


def test_subscribing_twice_is_an_error(server, client, topic):
    client.subscribe(topic)
    answer = error(client.ask({"op": "subscribe", "topic": topic, "id": 7}))
    assert (answer["code"], answer["id"]) == ("bad_request", 7)
    assert topic in answer["message"] or "already" in answer["message"], answer
    # It is subscribed once.
    server.publish(topic, b"1", [("Content-Type", "application/json")])
    assert client.take() == f'{{"op":"message","topic":"{topic}","offset":1,"data":1}}'
    client.expect_silence()


def test_unsubscribing_without_a_subscription_is_an_error(client, topic):
    answer = error(client.ask({"op": "unsubscribe", "topic": topic, "id": "u"}))
    assert (answer["code"], answer["id"]) == ("not_subscribed", "u")
    client.subscribe(topic)
    client.ask({"op": "unsubscribe", "topic": topic})
    assert error(client.ask({"op": "unsubscribe", "topic": topic}))["code"] == "not_subscribed"


def test_over_max_subscriptions_is_too_many_until_one_ends(start, topic):
    server = start("--max-subscriptions", "2")
    client, other = server.json(), server.json()
    names = [f"{topic}.{number}" for number in range(3)]
    client.subscribe(names[0])
    client.subscribe(names[1])
    answer = error(client.ask({"op": "subscribe", "topic": names[2], "id": 3}))
    assert (answer["code"], answer["id"]) == ("too_many", 3)
    assert "max_subscriptions" in answer["message"] or "max-subscriptions" in answer["message"], answer
    assert server.topic(names[2]).status == 404
    # The bound is each connection's own.
    other.subscribe(names[2])
    client.ask({"op": "unsubscribe", "topic": names[0]})
    client.subscribe(names[2])


def test_bound_on_subscriptions_counts_those_that_are_being_made(start, topic):
    """Ten requests in one segment: two are subscribed, whatever the answers had to wait for."""
    server = start("--max-subscriptions", "2")
    client = server.json()
    client.send(*({"op": "subscribe", "topic": f"{topic}.{number}", "id": number} for number in range(10)))
    answers = {answer["id"]: answer for answer in (client.take_value() for _ in range(10))}
    assert [answers[number]["op"] for number in range(10)] == ["subscribed"] * 2 + ["error"] * 8
    assert {answers[number]["code"] for number in range(2, 10)} == {"too_many"}


def test_default_bound_is_128_subscriptions(client, topic):
    for number in range(128):
        client.subscribe(f"{topic}.{number}")
    assert error(client.ask({"op": "subscribe", "topic": f"{topic}.128"}))["code"] == "too_many"


FORWARDED = [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1"), ("Via", "1.1 proxy")]


@pytest.mark.parametrize("header", FORWARDED, ids="{0[0]}".format)
def test_publishing_without_permission_is_forbidden(server, topic, header):
    client = server.json(headers=[header])
    client.subscribe(topic)
    answer = error(client.ask({"op": "publish", "topic": topic, "data": 1, "id": 9}))
    assert (answer["code"], answer["id"]) == ("forbidden", 9)
    assert "--allow-anonymous-publish" in answer["message"]
    # It may listen all the same.
    assert server.publish(topic, b"x") == 1
    assert client.take_value()["offset"] == 1


def test_pages_of_others_may_not_connect(server):
    with server.http() as http:
        headers = [*UPGRADE, ("Origin", "https://evil.example")]
        assert http.send_head("GET", "/ws", headers).read_response().status == 403


def test_over_max_topics_is_an_error(start, topic):
    server = start("--max-topics", "1")
    client = server.json()
    client.subscribe(topic)
    for request in [
        {"op": "subscribe", "topic": f"{topic}.b", "id": 1},
        {"op": "publish", "topic": f"{topic}.b", "data": 1, "id": 1},
    ]:
        answer = error(client.ask(request))
        assert answer["code"] in ("too_many", "overloaded") and answer["id"] == 1, answer
        assert "max_topics" in answer["message"] or "max-topics" in answer["message"], answer
    client.expect_silence()


# Frames ------------------------------------------------------------------------------------------------------


def test_binary_message_is_no_request(client):
    """Every frame is text. Whether the connection lives on is the server's to say: an error leaves it open."""
    client.raw.send(frame(BINARY, b'{"op":"ping","id":1}'))
    answer = error(client.take())
    assert answer["code"] == "bad_request" and "text" in answer["message"], answer
    client.raw.send(frame(BINARY_BEGINS, b"\xff") + frame(ENDS, b"\xfe"))
    assert error(client.take())["code"] == "bad_request"
    client.expect_silence()


def test_request_may_come_in_fragments(client, topic):
    text = compact({"op": "publish", "topic": topic, "data": "é€🦀" * 100, "id": 1}).encode()
    # Cut inside of characters too, with a ping in between.
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    client.raw.send(frame(TEXT_BEGINS, pieces[0]) + frame(PING, b"between"))
    assert client.raw.take_frame() == (PONG, b"between")
    client.raw.send(b"".join(frame(CONTINUES, piece) for piece in pieces[1:-1]) + frame(ENDS, pieces[-1]))
    assert client.take() == '{"op":"published","offset":1,"id":1}'


def test_request_may_come_byte_by_byte(client):
    for byte in frame(TEXT, b'{"op":"ping","id":"slow"}'):
        client.raw.send(bytes([byte]))
    assert client.take() == '{"op":"pong","id":"slow"}'


def test_request_right_behind_the_handshake_is_answered(server, topic):
    lines = [f"GET /ws HTTP/1.1\r\nHost: {server.authority}", *(f"{name}: {value}" for name, value in UPGRADE)]
    with server.http() as http:
        http.raw.send("\r\n".join([*lines, "", ""]).encode() + frame(TEXT, b'{"op":"ping","id":1}'))
        assert http.read_response().status == 101
        assert http.raw.take_frame() == (TEXT, b'{"op":"pong","id":1}')


def test_requests_in_one_segment_are_all_answered(client, topic):
    """Answers to the same topic keep its order; those that wait for nobody else may come before others."""
    requests = []
    for number in range(200):
        requests.append({"op": "publish", "topic": topic, "data": number, "id": number})
        requests.append({"op": "ping", "id": f"p{number}"})
    client.send(*requests)
    answers = [client.take_value() for _ in requests]
    published = [answer for answer in answers if answer["op"] == "published"]
    assert published == [{"op": "published", "offset": number + 1, "id": number} for number in range(200)]
    pongs = [answer for answer in answers if answer["op"] == "pong"]
    assert pongs == [{"op": "pong", "id": f"p{number}"} for number in range(200)]


def test_subscribe_and_unsubscribe_in_one_segment_take_turns(client, topic):
    """What a client says about one topic is done in the order in which it is said."""
    operations = ["subscribe", "unsubscribe"]
    client.send(*({"op": operations[number % 2], "topic": topic, "id": number} for number in range(100)))
    answers = [client.take_value() for _ in range(100)]
    assert [(answer["op"], answer["id"]) for answer in answers] == [
        (["subscribed", "unsubscribed"][number % 2], number) for number in range(100)
    ]


def test_message_published_in_the_segment_of_the_subscription_arrives(client, topic):
    client.send(
        {"op": "publish", "topic": topic, "data": "before", "id": 1},
        {"op": "subscribe", "topic": topic, "id": 2},
        {"op": "publish", "topic": topic, "data": "after", "id": 3},
    )
    texts = [client.take() for _ in range(4)]
    subscribed = next(json.loads(text) for text in texts if text.startswith('{"op":"subscribed"'))
    assert (subscribed["offset"], subscribed["id"]) == (1, 2)
    assert sorted(text for text in texts if not text.startswith('{"op":"subscribed"')) == [
        f'{{"op":"message","topic":"{topic}","offset":2,"data":"after"}}',
        '{"op":"published","offset":1,"id":1}',
        '{"op":"published","offset":2,"id":3}',
    ]
    # No message before its subscription.
    assert texts.index(compact(subscribed)) < next(i for i, text in enumerate(texts) if '"message"' in text)


def test_websocket_pings_and_closes_are_those_of_the_standard(client):
    client.raw.send(frame(PING, b"hello"))
    assert client.raw.take_frame() == (PONG, b"hello")
    client.raw.send(frame(CLOSE, close_body(1000)))
    assert client.raw.take_close()[0] == 1000
    client.raw.expect_end()


def test_text_that_is_not_utf_8_fails_the_connection(client):
    """RFC 6455 section 8.1: that is no matter of the dialect."""
    client.raw.send(frame(TEXT, b'{"op":"ping","id":"\xff"}'))
    assert client.raw.take_close()[0] == 1007


def test_message_over_the_limit_fails_the_connection(start):
    server = start("--max-message-bytes", "1KiB")
    client = server.json()
    client.raw.send(frame(TEXT, b" " * 1_025))
    assert client.raw.take_close()[0] == 1009
