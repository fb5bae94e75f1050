"""Several shards, also more than there are cores: clients on any of them see one server."""

import base64
import json
import signal
import threading

import pytest
from support.process import Server
from support.waiting import eventually
from support.wire import BINARY, CLOSE, PING, PONG, TEXT, UPGRADE, EndOfStream, Http, close_body, frame

JSON = [("Content-Type", "application/json")]

SHARDS = [1, 2, 3, 5]

# So many that each of five shards is the home of some.
TOPICS = 40


@pytest.fixture(scope="module", params=SHARDS, ids="{}-shards".format)
def module_server(request):
    server = Server("--shards", str(request.param))
    server.shards = request.param
    yield server
    server.stop()


@pytest.fixture
def sharded(module_server):
    yield module_server
    module_server.close_clients()


def asked(server):
    """An HTTP client that has asked something: one that says nothing is not accepted at once."""
    client = server.http()
    assert client.request("GET", "/health").status == 200
    return client


def one_on_each(server, shards, connect):
    """A client on each shard. The kernel chooses who serves a connection, so more are made until every shard has one; the
    others stay open."""
    by_shard = {}

    def has_all():
        client = connect()
        raw = getattr(client, "raw", client)
        shard = eventually(lambda: (at := server.shard_of(raw)) is not None and (at,), "the connection to be listed")[0]
        by_shard.setdefault(shard, client)
        return len(by_shard) == shards

    eventually(has_all, f"a connection on each of {shards} shards")
    return [by_shard[shard] for shard in range(shards)]


def names(topic):
    return [f"{topic}.{number}" for number in range(TOPICS)]


# One server --------------------------------------------------------------------------------------------------


def test_connections_are_listed_by_shard(sharded):
    clients = one_on_each(sharded, sharded.shards, sharded.json)
    for shard in range(sharded.shards):
        page = sharded.connections(shard)
        assert (page["shard"], page["shards"]) == (shard, sharded.shards)
        peers = {connection["peer"]: connection for connection in page["connections"]}
        own = "{}:{}".format(*clients[shard].raw.socket.getsockname())
        assert peers[own]["subscriptions"] == 0 and "subscribed" not in peers[own]
    assert sharded.admin("/connections").json()["shard"] == 0
    for wrong in [sharded.shards, -1, "x", ""]:
        assert sharded.admin(f"/connections?shard={wrong}").status == 400, wrong


def test_topics_have_one_offset_from_everywhere(sharded, topic):
    """Who publishes where makes no difference: each topic counts for itself, by one, and keeps its epoch."""
    clients = one_on_each(sharded, sharded.shards, lambda: asked(sharded))
    for number, name in enumerate(names(topic)):
        epochs = set()
        for offset in range(1, 6):
            client = clients[(number + offset) % sharded.shards]
            answer = client.request("POST", f"/topics/{name}", body=b"x").json()
            assert (answer["topic"], answer["offset"]) == (name, offset)
            epochs.add(answer["epoch"])
        assert len(epochs) == 1
        for client in clients:
            info = client.request("GET", f"/topics/{name}").json()
            assert info == {"topic": name, "offset": 5, "epoch": epochs.pop() if epochs else info["epoch"], "subscribers": 0}
            epochs.add(info["epoch"])


def test_unknown_topic_is_404_from_everywhere(sharded, topic):
    for client in one_on_each(sharded, sharded.shards, lambda: asked(sharded)):
        for name in names(topic):
            assert client.request("GET", f"/topics/{name}").status == 404
            assert client.request("HEAD", f"/topics/{name}").status == 404


def test_subscribers_are_counted_over_all_shards(sharded, topic):
    clients = one_on_each(sharded, sharded.shards, sharded.json)
    raws = one_on_each(sharded, sharded.shards, lambda: sharded.subscribe_raw(topic))
    everybody = sharded.topic(topic).json()["subscribers"]
    for client in clients:
        client.subscribe(topic)
    asking = one_on_each(sharded, sharded.shards, lambda: asked(sharded))
    for http in asking:

        def count():
            return http.request("GET", f"/topics/{topic}").json()["subscribers"]

        eventually(lambda: count() >= everybody + len(clients), "all to be counted")
    most = asking[0].request("GET", f"/topics/{topic}").json()["subscribers"]
    for client in clients:
        client.ask({"op": "unsubscribe", "topic": topic})
    raws[0].close()
    for http in asking:
        eventually(
            lambda: http.request("GET", f"/topics/{topic}").json()["subscribers"] == most - len(clients) - 1,
            "those that left to be counted no more",
        )


def test_subscription_is_there_with_the_answer_from_everywhere(sharded, topic):
    """Whoever has read `subscribed` or the 101 misses nothing, wherever it is, and wherever the topic's home is."""
    clients = one_on_each(sharded, sharded.shards, sharded.json)
    posting = one_on_each(sharded, sharded.shards, lambda: asked(sharded))
    for number, name in enumerate(names(topic)):
        client, http = clients[number % len(clients)], posting[number // 3 % len(posting)]
        assert client.subscribe(name)["offset"] == 0
        raw = sharded.subscribe_raw(name, "?role=subscriber")
        assert http.request("POST", f"/topics/{name}", JSON, b"1").json()["offset"] == 1
        assert client.take() == f'{{"op":"message","topic":"{name}","offset":1,"data":1}}'
        assert raw.take_frame() == (TEXT, b"1")
        # And a second subscriber gets what comes after, with the offset that says so.
        other = clients[(number + 1) % len(clients)]
        if other is not client:
            assert other.subscribe(name)["offset"] == 1


def test_all_see_the_same_order_with_publishers_everywhere(sharded, topic):
    """Publishers of all kinds on all shards; subscribers of both dialects on all shards."""
    ours = names(topic)[:10]
    count = 30
    subscribers = one_on_each(sharded, sharded.shards, sharded.json)
    raws = [sharded.subscribe_raw(name, "?role=subscriber") for name in ours for _ in range(2)]
    for subscriber in subscribers:
        for name in ours:
            subscriber.subscribe(name)
    publishers = one_on_each(sharded, sharded.shards, sharded.json)
    posting = one_on_each(sharded, sharded.shards, lambda: asked(sharded))

    def publish(who, publisher):
        for number in range(count):
            publisher.send(*({"op": "publish", "topic": name, "data": [who, number]} for name in ours))
        for _ in range(count * len(ours)):
            assert publisher.take_value()["op"] == "published"

    def post(who, http):
        for number in range(count):
            for name in ours:
                http.send_request("POST", f"/topics/{name}", JSON, b"[%d,%d]" % (who, number))
            for _ in ours:
                assert http.read_response().status == 200

    failed = []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except BaseException as reason:
            failed.append(reason)

    jobs = [(publish, publisher) for publisher in publishers] + [(post, http) for http in posting]
    threads = [threading.Thread(target=guarded, args=(work, who, end)) for who, (work, end) in enumerate(jobs)]
    for thread in threads:
        thread.start()
    total = count * len(jobs)
    seen = []
    for subscriber in subscribers:
        by_topic = {name: [] for name in ours}
        for _ in range(total * len(ours)):
            message = subscriber.take_value()
            by_topic[message["topic"]].append(message["data"])
            assert message["offset"] == len(by_topic[message["topic"]])
        seen.append(by_topic)
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert all(by_topic == seen[0] for by_topic in seen)
    for number, raw in enumerate(raws):
        assert [json.loads(raw.take_frame()[1]) for _ in range(total)] == seen[0][ours[number // 2]]
    for order in seen[0].values():
        for who in range(len(jobs)):
            assert [number for whose, number in order if whose == who] == list(range(count))


def test_raw_publishers_keep_their_order(sharded, topic):
    subscriber = sharded.json()
    publishers = one_on_each(sharded, sharded.shards, lambda: sharded.subscribe_raw(topic, "?role=publisher"))
    subscriber.subscribe(topic)
    count = 500
    for who, publisher in enumerate(publishers):
        publisher.send(b"".join(frame(BINARY, b"%d %d" % (who, number)) for number in range(count)))
    last = [-1] * len(publishers)
    for offset in range(1, count * len(publishers) + 1):
        message = subscriber.take_value()
        assert message["offset"] == offset
        who, number = map(int, base64.b64decode(message["data"]).split())
        assert number == last[who] + 1
        last[who] = number
    assert last == [count - 1] * len(publishers)


@pytest.mark.parametrize("size", [0, 5_000, 100_000, 512 * 1024])
def test_message_of_any_size_crosses_shards(sharded, topic, size):
    payload = bytes(number * 7 % 251 for number in range(size))
    for name in names(topic)[:6]:
        subscriber = sharded.subscribe_raw(name, "?role=subscriber")
        assert sharded.publish(name, payload, [("Content-Type", "application/octet-stream")]) == 1
        assert subscriber.take_frame() == (BINARY, payload)


def test_ping_behind_publishes_to_many_homes_is_answered(sharded, topic):
    client = sharded.json()
    client.send(*({"op": "publish", "topic": name, "data": 1, "id": name} for name in names(topic)))
    client.raw.send(frame(PING, b"behind"))
    answered, has_pong = set(), False
    while len(answered) < TOPICS or not has_pong:
        first_byte, payload = client.raw.take_frame()
        if first_byte == PONG:
            assert payload == b"behind"
            has_pong = True
        else:
            answer = json.loads(payload)
            assert (answer["op"], answer["offset"]) == ("published", 1)
            answered.add(answer["id"])
    assert answered == set(names(topic))


def test_publisher_that_leaves_at_once_has_published_all_or_a_beginning(sharded, topic):
    """Its requests were on their way to another shard when it went: none is published twice, none overtakes another."""
    witness = sharded.json()
    for name in names(topic)[:8]:
        witness.subscribe(name)
        gone = sharded.json()
        gone.send(*({"op": "publish", "topic": name, "data": number} for number in range(50)))
        gone.raw.send(frame(CLOSE, close_body(1000)))
        while gone.raw.take_frame()[0] != CLOSE:
            pass
        witness.send({"op": "unsubscribe", "topic": name})
        seen = []
        while (message := witness.take_value())["op"] == "message":
            seen.append(message["data"])
        assert message["op"] == "unsubscribed" and seen == list(range(len(seen)))


# HTTP on one connection, homes on several shards -------------------------------------------------------------


def test_pipelined_posts_to_many_homes_are_answered_in_order(sharded, topic):
    with sharded.http() as http:
        expected = []
        for turn in range(1, 6):
            for name in names(topic):
                http.send_request("POST", f"/topics/{name}", body=b"x")
                http.send_request("GET", f"/topics/{name}")
                expected += [(name, turn)] * 2
        for name, offset in expected:
            answer = http.read_response().json()
            assert (answer["topic"], answer["offset"]) == (name, offset)


def test_chunked_and_expected_bodies_reach_every_home(sharded, topic):
    with sharded.http() as http:
        for name in names(topic):
            http.send_head("POST", f"/topics/{name}", [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")])
            assert http.read_response().status == 100
            http.raw.send(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
            assert http.read_response().json()["offset"] == 1
            http.send_head("POST", f"/topics/{name}", [("Content-Length", "2"), ("Expect", "100-continue")])
            assert http.read_response().status == 100
            http.raw.send(b"hi")
            assert http.read_response().json()["offset"] == 2


def test_lines_reach_every_home(sharded, topic):
    client = sharded.json()
    with sharded.http() as http:
        for name in names(topic):
            client.subscribe(name)
            http.send_request("POST", f"/topics/{name}", [("Content-Type", "application/x-ndjson")], b"1\n2\n3\n")
            answer = http.read_response().json()
            assert (answer["topic"], answer["offset"], answer["count"]) == (name, 3, 3)
            assert [client.take_value()["data"] for _ in range(3)] == [1, 2, 3]


def test_answer_comes_after_the_clients_fin(sharded, topic):
    for name in names(topic):
        with sharded.http() as http:
            http.send_request("POST", f"/topics/{name}", body=b"x").raw.finish()
            assert http.read_response().json()["offset"] == 1
            http.raw.expect_end()


def test_close_is_said_and_done_with_remote_homes(sharded, topic):
    for name in names(topic)[:10]:
        with sharded.http() as http:
            answer = http.request("POST", f"/topics/{name}", [("Connection", "close")], b"x")
            assert (answer.status, answer.header("Connection")) == (200, "close")
            http.raw.expect_end()


# Bounds over all shards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [2, 3])
def test_health_and_metrics_count_over_all_shards(start, topic, shards):
    server = start("--shards", str(shards), "--max-connections", "300")
    clients = one_on_each(server, shards, server.json)
    raws = [server.subscribe_raw(topic) for _ in range(20)]
    known = sum(server.connections(shard)["total"] for shard in range(shards))

    def websockets():
        return server.request("GET", "/health").json()["websocket"]

    expected = server.metrics()["upgrades_total"]
    assert expected <= known
    for client in clients:
        client.subscribe(topic)
    eventually(lambda: websockets()["connections"] == server.metrics()["upgrades_total"] > 20, "all to be counted")
    assert websockets()["maxConnections"] == 300
    for number in range(10):
        server.publish(f"{topic}.{number}", b"x")
    eventually(lambda: server.metrics()["messages_published_total"] == 10, "all publishes to be counted")
    eventually(lambda: server.metrics()["topics"] == 11, "all topics to be counted")
    eventually(lambda: server.metrics()["subscribers"] == 20 + shards, "all subscriptions to be counted")
    for raw in raws:
        raw.close()
    eventually(lambda: server.metrics()["subscribers"] == shards, "those that left to be counted no more")


@pytest.mark.parametrize("shards", [2, 5])
def test_max_topics_is_over_all_shards(start, topic, shards):
    server = start("--shards", str(shards), "--max-topics", "10")
    statuses = [server.post(name, b"x").status for name in names(topic)]
    # Whatever part of them each shard may have.
    assert 1 <= statuses.count(200) <= 10 and set(statuses) == {200, 503}, statuses
    known = [name for name in names(topic) if server.topic(name).status == 200]
    assert len(known) == statuses.count(200)
    # Those that are known still go on.
    for name in known:
        assert server.post(name, b"x").json()["offset"] == 2
    refused = server.post(next(name for name in names(topic) if name not in known), b"x")
    assert refused.header("Retry-After") and "max_topics" in refused.text, refused


@pytest.mark.parametrize("shards", [2, 5])
def test_as_many_topics_as_max_topics_says(start, topic, shards):
    """Wherever their homes are: a topic more is refused, not one less."""
    server = start("--shards", str(shards), "--max-topics", "20")
    statuses = [server.post(name, b"x").status for name in names(topic)]
    assert statuses.count(200) == 20, statuses


def upgrade(raw, topic):
    return Http(raw).send_head("GET", f"/topics/{topic}", UPGRADE).read_response()


@pytest.mark.parametrize(("shards", "most"), [(2, 6), (3, 12)])
def test_each_shard_takes_its_share_of_max_connections(start, topic, shards, most):
    server = start("--shards", str(shards), "--max-connections", str(most))
    members = []

    def is_full():
        """Knocks once."""
        raw = server.raw()
        http_answer = upgrade(raw, topic)
        if http_answer.status == 101:
            members.append(raw)
        else:
            assert http_answer.status == 503 and int(http_answer.header("Retry-After")) >= 1, http_answer
            assert "max_connections" in http_answer.text
            raw.expect_end()
            raw.close()
        assert len(members) <= most
        return len(members) == most

    eventually(is_full, f"all {most} places to be taken")
    members.pop(0).close()
    eventually(is_full, "a place to be free again, and taken")
    # Those inside are unharmed.
    members[-1].send(frame(TEXT, b"hello"))
    for member in members:
        assert member.take_frame() == (TEXT, b"hello")


@pytest.mark.parametrize("most", [1, 3])
def test_shares_are_no_more_than_max_connections_when_rounded(start, topic, most):
    server = start("--shards", "2", "--max-connections", str(most))
    answers = [upgrade(server.raw(), topic).status for _ in range(30)]
    assert answers[0] == 101, "there is room"
    assert set(answers) == {101, 503}
    assert answers.count(101) <= most


# Stopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("shards", SHARDS)
def test_everybody_gets_1001_while_traffic_flows(serve, topic, shards, number):
    """Messages up to the Close are consecutive, and the server ends long before drain_timeout."""
    server = serve("--shards", str(shards), "--drain-timeout", "10m", "--close-timeout", "10m")
    ours = names(topic)[:10]
    clients = one_on_each(server, shards, server.json)
    for client in clients:
        for name in ours:
            client.subscribe(name)
    raws = [server.subscribe_raw(name, "?role=subscriber") for name in ours]
    publishers = one_on_each(server, shards, lambda: server.json())
    extra = [client for client in server._clients if client not in {c.raw for c in [*clients, *publishers]} | set(raws)]
    flowing = threading.Event()
    outcomes = []

    def publish(publisher):
        try:
            for turn in range(1_000_000):
                publisher.send(*({"op": "publish", "topic": name, "data": turn} for name in ours))
                for _ in ours:
                    first_byte, payload = publisher.raw.take_frame()
                    if first_byte == CLOSE:
                        publisher.raw.send(frame(CLOSE, payload))
                        outcomes.append(int.from_bytes(payload[:2], "big"))
                        return
                    assert json.loads(payload)["op"] in ("published", "error"), payload
                flowing.set()
        except (OSError, EndOfStream) as reason:
            outcomes.append(reason)

    def read_to_the_close(raw, check):
        while (next_frame := raw.take_frame())[0] != CLOSE:
            check(next_frame)
        raw.send(frame(*next_frame))
        return int.from_bytes(next_frame[1][:2], "big")

    threads = [threading.Thread(target=publish, args=(publisher,)) for publisher in publishers]
    for thread in threads:
        thread.start()
    assert flowing.wait(15)
    server.send_signal(number)

    def consecutive():
        offsets = dict.fromkeys(ours, 0)

        def check(next_frame):
            message = json.loads(next_frame[1])
            offsets[message["topic"]] += 1
            assert message["op"] == "message" and message["offset"] == offsets[message["topic"]], message

        return check

    assert [read_to_the_close(client.raw, consecutive()) for client in clients] == [1001] * shards
    for raw in raws:
        assert read_to_the_close(raw, lambda _: None) == 1001
    for client in extra:
        if client.socket.fileno() >= 0:
            assert read_to_the_close(client, lambda _: None) == 1001
    for thread in threads:
        thread.join()
    assert outcomes == [1001] * shards
    assert server.wait() == 0
    assert "panicked" not in server.log


@pytest.mark.parametrize("shards", [1, 3])
def test_what_was_answered_before_the_signal_is_delivered(serve, topic, shards):
    server = serve("--shards", str(shards))
    subscribers = one_on_each(server, shards, server.json)
    for subscriber in subscribers:
        for name in names(topic):
            subscriber.subscribe(name)
    with server.http() as http:
        for name in names(topic):
            assert http.request("POST", f"/topics/{name}", JSON, b"1").status == 200
    server.send_signal(signal.SIGTERM)
    for subscriber in subscribers:
        received = {subscriber.take_value()["topic"] for _ in range(TOPICS)}
        assert received == set(names(topic))
        assert subscriber.raw.take_close()[0] == 1001
    server.close_clients()
    assert server.wait() == 0
