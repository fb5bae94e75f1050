"""A subscriber that stops reading costs only itself: the others miss nothing, and it is told, or cut."""

import threading

import pytest
from support.waiting import eventually
from support.wire import BINARY, CLOSE, frame

LAPPED = 4008

MESSAGE_BYTES = 64 * 1024
# Many times what a topic's log and two kernel buffers hold together.
MOST_MESSAGES = 2_000


def message(number):
    return number.to_bytes(4, "big") * (MESSAGE_BYTES // 4)


def publish_until(server, topic, fast, is_done):
    """Publishes at the pace of one fast subscriber, which must get everything, until `is_done`; gives the count."""
    publisher = server.subscribe_raw(topic, "?role=publisher")
    for number in range(MOST_MESSAGES):
        publisher.send(frame(BINARY, message(number)))
        assert fast.take_frame() == (BINARY, message(number))
        if number % 16 == 15 and is_done():
            return number + 1
    raise AssertionError(f"not done after {MOST_MESSAGES} messages of {MESSAGE_BYTES} bytes")


def slow_and_fast(server, topic):
    slow = server.subscribe_raw(topic, "?role=subscriber", receive_buffer=4_096)
    return slow, server.subscribe_raw(topic, "?role=subscriber")


def test_stopped_reader_that_goes_on_gets_whole_messages_and_then_4008(start, topic):
    server = start("--close-timeout", "60s")
    slow, fast = slow_and_fast(server, topic)
    published = publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] == 1)

    received = 0
    while (next_frame := slow.take_frame())[0] == BINARY:
        # No gap, nothing torn, nothing twice.
        assert next_frame[1] == message(received)
        received += 1
    assert received < published
    assert next_frame[0] == CLOSE and int.from_bytes(next_frame[1][:2], "big") == LAPPED
    slow.send(frame(CLOSE, LAPPED.to_bytes(2, "big")))
    slow.expect_end()

    eventually(lambda: server.metrics().labelled("closes_total", "code", LAPPED) == 1, "the Close to be counted")
    eventually(lambda: server.metrics()["lagging"] == 0, "nobody to lag")
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "only the fast one to be left")


def test_stopped_reader_that_never_goes_on_is_reset_after_close_timeout(start, topic):
    server = start("--close-timeout", "1s")
    slow, fast = slow_and_fast(server, topic)
    publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] == 1)
    eventually(lambda: server.metrics()["connections_timed_out_total"] == 1, "the slow one to be cut")

    rest = slow.expect_cut()
    assert LAPPED.to_bytes(2, "big") not in rest[-64:]
    assert server.publish(topic, b"last") > 0
    assert fast.take_frame()[1] == b"last"


def test_many_stopped_readers_do_not_hold_up_the_fast_one(start, topic):
    server = start("--close-timeout", "1s")
    for _ in range(20):
        server.subscribe_raw(topic, "?role=subscriber", receive_buffer=4_096)
    fast = server.subscribe_raw(topic, "?role=subscriber")
    publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] == 20)
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "only the fast one to be left")


def test_skip_silent_goes_on_with_newer_messages(start, topic):
    server = start("--lag-policy", "skip-silent")
    slow, fast = slow_and_fast(server, topic)
    published = publish_until(server, topic, fast, lambda: server.metrics()["lapped_total"] >= 1)

    received = []

    def read_to_the_last():
        while (next_frame := slow.take_frame())[1] != b"last":
            received.append(next_frame)

    reading = threading.Thread(target=read_to_the_last)
    reading.start()
    eventually(lambda: server.metrics()["messages_skipped_total"] > 0, "the slow one to go on behind the gap")
    server.publish(topic, b"last")
    reading.join()
    numbers = [int.from_bytes(payload[:4], "big") for _, payload in received]
    assert numbers == sorted(set(numbers))
    assert received == [(BINARY, message(number)) for number in numbers]
    skipped = published - len(received)
    eventually(lambda: server.metrics()["messages_skipped_total"] == skipped, "each that was skipped to be counted")
    eventually(lambda: server.topic(topic).json()["subscribers"] == 2, "both to be subscribed still")
    assert server.metrics().labelled("closes_total", "code", LAPPED) == 0


def test_reader_that_pauses_less_than_a_log_misses_nothing(server, topic):
    slow, fast = slow_and_fast(server, topic)
    publisher = server.subscribe_raw(topic, "?role=publisher")
    count = 768 * 1024 // MESSAGE_BYTES
    for number in range(count):
        publisher.send(frame(BINARY, message(number)))
        assert fast.take_frame() == (BINARY, message(number))
    assert [slow.take_frame() for _ in range(count)] == [(BINARY, message(number)) for number in range(count)]


@pytest.mark.parametrize("way", ["reset", "close"])
def test_stopped_reader_that_goes_away_is_forgotten(server, topic, way):
    slow, fast = slow_and_fast(server, topic)
    publisher = server.subscribe_raw(topic, "?role=publisher")
    for number in range(8):
        publisher.send(frame(BINARY, message(number)))
        assert fast.take_frame() == (BINARY, message(number))
    eventually(lambda: server.metrics()["lagging"] >= 1, "the slow one to lag")
    getattr(slow, way)()
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "the slow one to be gone")
    eventually(lambda: server.metrics()["lagging"] == 0, "nobody to lag")


def test_slow_publisher_of_a_large_message_holds_up_nobody(server, topic):
    subscriber = server.subscribe_raw(topic)
    slow = server.subscribe_raw(topic, "?role=publisher")
    large = frame(BINARY, bytes(400_000))
    slow.send(large[:200_000])
    for number in range(100):
        assert server.publish(topic, str(number).encode()) == number + 1
        assert subscriber.take_frame()[1] == str(number).encode()
    slow.send(large[200_000:])
    assert subscriber.take_frame() == (BINARY, bytes(400_000))


def test_burst_that_the_log_holds_is_delivered_whole(start, topic):
    """The subscriber may be as slow as it likes, as long as it is not lapped."""
    burst = 200
    server = start("--topic-log-bytes", "32MiB")
    subscriber = server.subscribe_raw(topic, "?role=subscriber", receive_buffer=4_096)
    publisher = server.subscribe_raw(topic, "?role=publisher")
    frames = b"".join(frame(BINARY, message(number)) for number in range(burst))
    sending = threading.Thread(target=lambda: publisher.send(frames))
    sending.start()
    try:
        for number in range(burst):
            assert subscriber.take_frame() == (BINARY, message(number))
    finally:
        sending.join()
    assert server.topic(topic).json()["offset"] == burst
    assert server.metrics()["lapped_total"] == 0


def test_burst_that_the_log_does_not_hold_ends_in_a_close_and_not_in_a_gap(start, topic):
    """Nobody waits for the subscriber: it gets everything or learns that it did not."""
    burst = 200
    server = start("--topic-log-bytes", "1MiB", "--close-timeout", "60s")
    subscriber = server.subscribe_raw(topic, "?role=subscriber", receive_buffer=4_096)
    publisher = server.subscribe_raw(topic, "?role=publisher")
    publisher.send(b"".join(frame(BINARY, message(number)) for number in range(burst)))
    eventually(lambda: server.topic(topic).json()["offset"] == burst, "everything to be published")
    received = 0
    while (next_frame := subscriber.take_frame())[0] == BINARY:
        assert next_frame[1] == message(received)
        received += 1
    assert received < burst
    assert next_frame[0] == CLOSE and int.from_bytes(next_frame[1][:2], "big") == LAPPED
