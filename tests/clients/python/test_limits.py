"""Every bound, hit: what is refused, what stays unharmed, and that it goes on afterwards."""

import pytest
from support.waiting import eventually
from support.wire import BINARY, KEY, TEXT, UPGRADE, frame, header, masked
from websockets.exceptions import InvalidStatus


def upgrade(server, topic):
    with server.http() as http:
        return http.send_head("GET", f"/topics/{topic}", UPGRADE).read_response()


def is_free(server, topic):
    return upgrade(server, topic).status == 101


def test_over_max_connections_is_503_until_one_goes(start, topic):
    # One shard has all places; test_shards.py has the shares.
    server = start("--max-connections", "5", "--shards", "1")
    members = [server.subscribe_raw(topic) for _ in range(5)]
    for _ in range(20):
        answer = upgrade(server, topic)
        assert answer.status == 503
        assert int(answer.header("Retry-After")) >= 1
        assert "max_connections" in answer.text
    assert server.post(topic, b"x").status == 503
    # A load balancer still gets its answer.
    health = server.request("GET", "/health")
    assert health.json()["websocket"] == {"connections": 5, "maxConnections": 5}
    assert server.metrics()["connections_rejected_full_total"] == 21

    members[0].close()
    eventually(lambda: is_free(server, topic), "a place to be free again")
    eventually(lambda: server.post(topic, b"hello").status == 200, "the place to be free once more")
    for member in members[1:]:
        assert member.take_frame() == (TEXT, b"hello")


def test_library_sees_the_503(start, topic, websocket):
    server = start("--max-connections", "1", "--shards", "1")
    server.subscribe_raw(topic)
    with pytest.raises(InvalidStatus) as refused:
        websocket(server.url(topic))
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"]


def test_crowd_far_over_max_connections_is_answered_or_waits(start, topic):
    """More come at once than the table has slots: nobody is dropped without an answer."""
    server = start("--max-connections", "10", "--shards", "1")
    members = [server.subscribe_raw(topic) for _ in range(10)]
    crowd = [server.http() for _ in range(300)]
    for http in crowd:
        http.send_head("GET", f"/topics/{topic}", UPGRADE)
    for http in crowd:
        assert http.read_response().status == 503
        http.raw.close()
    server.close_clients()
    del members
    eventually(lambda: is_free(server, topic), "places to be free again")


def test_over_max_topics_is_503_for_new_ones_only(start, topic):
    server = start("--max-topics", "3")
    assert [server.post(f"{topic}.{number}", b"x").status for number in range(3)] == [200] * 3
    for answer in [server.post(f"{topic}.3", b"x"), upgrade(server, f"{topic}.3")]:
        assert answer.status == 503
        assert answer.header("Retry-After") and "max_topics" in answer.text
    assert server.post(f"{topic}.0", b"x").json()["offset"] == 2
    assert server.topic(f"{topic}.3").status == 404


    def counted():
        metrics = server.metrics()
        return (metrics["topics"], metrics["topics_refused_full_total"]) == (3, 2)

    eventually(counted, "three topics and two refusals to be counted")


def test_topics_have_room_again_when_idle_ones_are_forgotten(start, topic):
    server = start("--max-topics", "1", "--topic-idle", "4s")
    assert server.post(f"{topic}.a", b"x").status == 200
    assert server.post(f"{topic}.b", b"x").status == 503
    eventually(lambda: server.post(f"{topic}.b", b"x").status == 200, "the first topic to be forgotten")


def test_over_inbound_bytes_the_biggest_holder_goes(start, topic):
    # The bound is a shard's, so all holders have to be on the same.
    server = start("--inbound-bytes", "1MiB", "--shards", "1")
    witness = server.subscribe_raw(topic, "?role=subscriber")
    sizes = [300_000, 450_000, 350_000]
    holders = [server.subscribe_raw(topic, "?role=publisher") for _ in sizes]
    begun = []
    for holder, size in zip(holders, sizes):
        whole = frame(BINARY, bytes([len(begun)]) * 500_000)
        holder.send(whole[:size])
        begun.append(whole)
    # Together 1,100,000 bytes, which is more than 1,048,576.
    eventually(lambda: server.metrics()["inbound_exhausted_total"] == 1, "the bound to be hit")
    assert holders[1].take_close()[0] == 1013
    for number in [0, 2]:
        holders[number].send(begun[number][sizes[number] :])
        assert witness.take_frame() == (BINARY, bytes([number]) * 500_000)
    eventually(lambda: server.metrics()["inbound_bytes_used"] == 0, "all inbound memory to be given back")


def test_declared_length_reserves_nothing(start, topic):
    """Invariant: no byte of a declared length is reserved before it arrives."""
    server = start("--inbound-bytes", "1MiB", "--shards", "1")
    holders = [server.subscribe_raw(topic, "?role=publisher") for _ in range(50)]
    for holder in holders:
        holder.send(header(BINARY, 512 * 1024) + masked(b"a little", KEY))
    with server.http() as http:
        http.raw.send(f"POST /topics/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 524288\r\n\r\nx".encode())
        eventually(lambda: server.metrics()["inbound_bytes_used"] > 0, "the beginnings to arrive")
        metrics = server.metrics()
        assert metrics["inbound_bytes_used"] < 50 * 4096
        assert metrics["inbound_exhausted_total"] == 0


def test_receive_buffers_run_out_and_come_back(start, topic):
    server = start("--receive-buffers", "8", "--receive-buffer-bytes", "1KiB", "--shards", "1")
    subscriber = server.subscribe_raw(topic, "?role=subscriber")
    publishers = [server.subscribe_raw(topic, "?role=publisher") for _ in range(20)]
    for publisher in publishers:
        publisher.send(frame(BINARY, bytes(20_000)))
    for _ in publishers:
        assert subscriber.take_frame() == (BINARY, bytes(20_000))


def test_topic_log_bound_holds_publishers_back(start, topic):
    """Half a topic's log per turn: a larger burst is published all the same, in order."""
    # With compression it would have to have room for a second log of the topic.
    flags = ["--max-message-bytes", "32KiB", "--topic-log-bytes", "64KiB", "--log-bytes", "64KiB"]
    server = start(*flags, "--deflate=false")
    subscriber = server.subscribe_raw(topic, "?role=subscriber")
    publisher = server.subscribe_raw(topic, "?role=publisher")
    count = 100
    for number in range(count):
        publisher.send(frame(BINARY, bytes([number]) * 32_768))
        if number >= 1:
            # One message is always on its way behind the one that is read.
            assert subscriber.take_frame() == (BINARY, bytes([number - 1]) * 32_768)
    assert subscriber.take_frame() == (BINARY, bytes([count - 1]) * 32_768)
