"""POST and GET /topics/{topic}: offsets, epochs, and names."""

import re

import pytest
from support.waiting import eventually
from support.wire import UPGRADE

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:~=@"


def test_posts_get_consecutive_offsets_in_one_epoch(server, topic):
    answers = [server.post(topic, b"x") for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    epoch = answers[0].json()["epoch"]
    assert re.fullmatch("[0-9a-f]{16}", epoch)
    assert [answer.json() for answer in answers] == [
        {"topic": topic, "offset": offset, "epoch": epoch} for offset in [1, 2, 3, 4, 5]
    ]
    assert answers[0].header("Content-Type") == "application/json"


def test_each_topic_counts_for_itself(server, topic):
    first, second = server.post(topic, b"x").json(), server.post(f"{topic}.b", b"x").json()
    assert (first["offset"], second["offset"]) == (1, 1)
    assert first["epoch"] != second["epoch"]


def test_publishes_by_websocket_and_post_share_the_offsets(server, topic, websocket):
    client = websocket(server.url(topic))
    client.send("1")
    assert client.recv(15) == "1"
    assert server.publish(topic, b"2") == 2
    client.send("3")
    assert [client.recv(15), client.recv(15)] == ["2", "3"]
    assert server.publish(topic, b"4") == 4


def test_get_tells_offset_epoch_and_subscribers(server, topic, websocket):
    published = server.post(topic, b"x").json()
    assert server.topic(topic).json() == published | {"subscribers": 0}
    subscribers = [websocket(server.url(topic)) for _ in range(3)]
    websocket(server.url(topic, "?role=publisher"))
    # The home learns how many a shard has a moment later.
    eventually(lambda: server.topic(topic).json() == published | {"subscribers": 3}, "3 subscribers")
    for left, subscriber in zip([2, 1, 0], subscribers):
        subscriber.close()
        eventually(lambda: server.topic(topic).json() == published | {"subscribers": left}, f"{left} subscribers")


def test_topic_with_a_subscriber_and_no_message_has_offset_zero(server, topic, websocket):
    websocket(server.url(topic))
    info = eventually(lambda: (info := server.topic(topic).json())["subscribers"] == 1 and info, "1 subscriber")
    assert (info["topic"], info["offset"]) == (topic, 0)
    assert server.post(topic, b"x").json() == {"topic": topic, "offset": 1, "epoch": info["epoch"]}


def test_unknown_topic_is_404_and_asking_creates_nothing(counting_server, topic):
    server = counting_server
    known = server.metrics()["topics"]
    for _ in range(3):
        answer = server.topic(topic)
        assert answer.status == 404
        assert topic in answer.text
    assert server.request("HEAD", f"/topics/{topic}").status == 404
    assert server.metrics()["topics"] == known
    assert server.publish(topic, b"x") == 1


def test_topic_is_forgotten_when_idle_and_begins_a_new_epoch(start, topic, websocket):
    server = start("--topic-idle", "1s")
    websocket(server.url(f"{topic}.held"))
    held, before = server.post(f"{topic}.held", b"x").json(), server.post(topic, b"x").json()
    eventually(lambda: server.topic(topic).status == 404, "the idle topic to be forgotten")
    after = server.post(topic, b"x").json()
    assert after["offset"] == 1 and after["epoch"] != before["epoch"]
    # It is as old, but somebody listens.
    eventually(lambda: server.topic(f"{topic}.held").json() == held | {"subscribers": 1}, "the held one unchanged")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_other_methods_are_refused_with_those_allowed(server, topic, method):
    answer = server.request(method, f"/topics/{topic}")
    assert answer.status == 405
    assert {"GET", "POST"} <= set(re.split(", *", answer.header("Allow")))
    assert server.topic(topic).status == 404


# Names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "0", "...", ".a", "-", "a" * 255, ALPHABET, "%61%2E%2e%2E", "@news:en~x=1"])
def test_good_names(server, name):
    assert server.post(name, b"x").status == 200


BAD_NAMES = {
    "empty": "",
    "256 bytes": "a" * 256,
    "one dot": ".",
    "two dots": "..",
    "one dot, escaped": "%2e",
    "two dots, escaped": "%2E.",
    "slash": "a/b",
    "slash at the end": "a/",
    "slash, escaped": "a%2Fb",
    "space, escaped": "a%20b",
    "NUL": "a%00b",
    "line end": "a%0d%0ab",
    "not ASCII": "caf%C3%A9",
    "not UTF-8": "%FF",
    "decoded once only": "a%252Eb",
    "percent sign alone": "a%",
    "half an escape": "a%2",
    "escape without digits": "a%zz",
} | {f"character {char}": f"a{char}b" for char in "!$&'()*+,;"}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_bad_names_are_400_and_say_so(server, name):
    for method in ["POST", "GET"]:
        answer = server.request(method, f"/topics/{name}")
        assert answer.status == 400, answer
        assert "topic" in answer.text, answer
    assert server.request("GET", f"/topics/{name}", UPGRADE).status == 400


def test_bad_name_answer_names_the_rule(server):
    assert "255" in server.topic("a" * 256).text
    assert "A-Z a-z 0-9 . _ - : ~ = @" in server.topic("a!b").text
