"""permessage-deflate (RFC 7692) from outside: what is agreed on, what is sent compressed and what is not, what is taken from
clients, and who is failed."""

import json
import random
import re
import zlib
from pathlib import Path

import pytest
from support.deflate import AGREED, OFFER, RSV1, deflate, extension, inflate, take_message
from support.waiting import eventually
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
    close_body,
    frame,
    header,
)

KIB, MIB = 1 << 10, 1 << 20

PROTOCOL_ERROR, INVALID_PAYLOAD, TOO_BIG = 1002, 1007, 1009

# The default of deflate_threshold.
THRESHOLD = 512


def letters(size):
    return (b"All that is published is sent compressed. " * (size // 42 + 1))[:size]


def noise(size):
    return random.Random(size).randbytes(size)


def far_repeats(size):
    """What repeats itself only beyond a window of 512 bytes."""
    return (noise(2 * KIB).hex().encode() * (size // (4 * KIB) + 1))[:size]


def until_known(server, topic, subscribers=1):
    """Waits until the topic's home has heard of so many. It hears along with it in which forms they follow the topic; until
    then they get messages plain."""
    what = f"{subscribers} to be known"
    eventually(lambda: server.topic(topic).json()["subscribers"] == subscribers, what)


# Negotiation (section 7.1) -----------------------------------------------------------------------------------


ACCEPTED = {
    "permessage-deflate": AGREED,
    "permessage-deflate; server_no_context_takeover": AGREED,
    "permessage-deflate; client_no_context_takeover": AGREED,
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover": AGREED,
    # What browsers offer. We may leave it unanswered (section 7.1.2.2).
    "permessage-deflate; client_max_window_bits": AGREED,
    "permessage-deflate; client_max_window_bits=9": AGREED,
    "permessage-deflate; server_max_window_bits=15": f"{AGREED}; server_max_window_bits=15",
    'permessage-deflate; server_max_window_bits="15"': f"{AGREED}; server_max_window_bits=15",
    # The first that can be accepted, in order of preference (section 5.1).
    "permessage-deflate; server_max_window_bits=9, permessage-deflate": AGREED,
    "permessage-bzip2, permessage-deflate; unknown, permessage-deflate": AGREED,
}

DECLINED = [
    "permessage-bzip2",
    "permessage-deflate; server_max_window_bits=14",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; unknown",
]


@pytest.mark.parametrize(("offer", "agreed"), ACCEPTED.items())
def test_offer_is_accepted_without_context_takeover(server, topic, offer, agreed):
    client = server.subscribe_deflate(topic, offer=offer, agreed=agreed)
    until_known(server, topic)
    for _ in range(2):
        server.publish(topic, letters(KIB))
        assert take_message(client) == (TEXT, letters(KIB), True)


@pytest.mark.parametrize("offer", DECLINED)
def test_offer_is_declined_and_the_connection_plain(server, topic, offer):
    client = server.subscribe_deflate(topic, offer=offer, agreed=None)
    server.publish(topic, letters(KIB))
    assert client.take_frame() == (TEXT, letters(KIB))
    client.send(frame(TEXT | RSV1, deflate(b"hello")))
    assert client.take_close()[0] == PROTOCOL_ERROR


def test_offers_in_two_headers_are_one_list(server, topic):
    client = server.raw()
    client.upgrade(f"/topics/{topic}", [extension("permessage-bzip2"), extension(OFFER)], AGREED)
    until_known(server, topic)
    server.publish(topic, letters(KIB))
    assert take_message(client) == (TEXT, letters(KIB), True)


@pytest.mark.parametrize("bits", [9, 12, 14])
def test_small_window_is_agreed_on_and_kept_to_where_allowed(start, topic, bits):
    server = start("--deflate-small-windows")
    offer = f"permessage-deflate; server_max_window_bits={bits}"
    small = server.subscribe_deflate(topic, offer=offer, agreed=f"{AGREED}; server_max_window_bits=9")
    large = server.subscribe_deflate(topic)
    until_known(server, topic, 2)
    for message in [letters(64 * KIB), far_repeats(64 * KIB)]:
        server.publish(topic, message)
        assert take_message(small, window_bits=9) == (TEXT, message, True)
        first_byte, payload = large.take_frame()
        assert (first_byte, inflate(payload)) == (TEXT | RSV1, message)
    # It has a window of its own, into which the other can't look.
    with pytest.raises(zlib.error, match="too far back"):
        inflate(payload, window_bits=9)


def test_window_of_8_bits_is_declined_always(start, topic):
    # zlib and its kin compress with 9 at least.
    server = start("--deflate-small-windows")
    server.subscribe_deflate(topic, offer="permessage-deflate; server_max_window_bits=8", agreed=None)


def test_compression_can_be_turned_off(start, topic):
    server = start("--deflate=false")
    client = server.subscribe_deflate(topic, agreed=None)
    server.publish(topic, letters(KIB))
    assert client.take_frame() == (TEXT, letters(KIB))


# What is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_broadcast_takes_less_than_a_fifth_on_the_wire(server, topic, kind):
    client = server.subscribe_deflate(topic)
    until_known(server, topic)
    publisher = server.subscribe_raw(topic, "?role=publisher")
    publisher.send(frame(kind, letters(64 * KIB)))
    first_byte, payload = client.take_frame()
    assert first_byte == kind | RSV1
    assert len(payload) < 64 * KIB / 5
    assert inflate(payload) == letters(64 * KIB)


def test_what_does_not_shrink_goes_plain(server, topic):
    # Section 6: every message may.
    client = server.subscribe_deflate(topic)
    until_known(server, topic)
    for size in [THRESHOLD, 64 * KIB]:
        server.publish(topic, noise(size), [("Content-Type", "application/octet-stream")])
        assert client.take_frame() == (BINARY, noise(size))


def test_what_is_below_the_threshold_goes_plain(server, topic):
    client = server.subscribe_deflate(topic)
    until_known(server, topic)
    for size in [0, 1, 100, THRESHOLD - 1]:
        server.publish(topic, letters(size))
        assert client.take_frame() == (TEXT, letters(size))
    server.publish(topic, letters(THRESHOLD))
    assert take_message(client) == (TEXT, letters(THRESHOLD), True)


def test_threshold_is_a_setting(start, topic):
    server = start("--deflate-threshold", "64")
    client = server.subscribe_deflate(topic)
    until_known(server, topic)
    server.publish(topic, b"x" * 63)
    assert client.take_frame() == (TEXT, b"x" * 63)
    server.publish(topic, b"x" * 64)
    assert take_message(client) == (TEXT, b"x" * 64, True)


@pytest.mark.parametrize("level", [1, 9])
def test_level_is_a_setting(start, topic, level):
    server = start("--deflate-level", str(level))
    client = server.subscribe_deflate(topic)
    until_known(server, topic)
    server.publish(topic, letters(64 * KIB))
    assert take_message(client) == (TEXT, letters(64 * KIB), True)


def test_all_subscribers_of_all_shards_get_the_same_bytes(large_server, topic):
    server = large_server
    plain = [server.subscribe_raw(topic) for _ in range(8)]
    compressed = [server.subscribe_deflate(topic) for _ in range(8)]
    publisher = server.subscribe_deflate(topic, "?role=publisher")
    until_known(server, topic, 16)
    messages = [make(size) for size in [0, 1, 125, 511, 512, 65_536, MIB] for make in (letters, noise)]
    for number, message in enumerate(messages):
        # Published compressed, plain, by POST.
        way = number % 3
        if way == 0:
            publisher.send(frame(BINARY | RSV1, deflate(message)))
        elif way == 1:
            publisher.send(frame(BINARY, message))
        else:
            server.publish(topic, message, [("Content-Type", "application/octet-stream")])
        for client in plain:
            assert client.take_frame() == (BINARY, message)
        for client in compressed:
            is_shorter = message[:1] == b"A" and len(message) >= THRESHOLD
            assert take_message(client) == (BINARY, message, is_shorter)


def test_compressed_reader_that_stopped_misses_nothing_before_4008(start, topic):
    server = start("--shards", "1", "--close-timeout", "60s")
    slow = server.subscribe_deflate(topic, "?role=subscriber", receive_buffer=4_096)

    def message(number):
        # Half of it stays when it is compressed.
        return number.to_bytes(4, "big") + noise(32 * KIB) + bytes(32 * KIB)

    published = 0
    while server.metrics()["lapped_total"] == 0:
        server.publish(topic, message(published), [("Content-Type", "application/octet-stream")])
        published += 1
    received = 0
    while (next_frame := slow.take_frame())[0] == BINARY | RSV1:
        assert inflate(next_frame[1]) == message(received)
        received += 1
    assert 0 < received < published
    assert next_frame[0] == CLOSE and int.from_bytes(next_frame[1][:2], "big") == 4008


def test_several_topics_in_json(server, topic):
    client = server.json(headers=[extension(OFFER)], agreed=AGREED)
    topics = [f"{topic}.{number}" for number in range(3)]
    for name in topics:
        client.subscribe(name)
        until_known(server, name)
    for offset in (1, 2):
        for name in topics:
            data = [name, letters(KIB).decode()]
            # The request may be compressed, the short answer is not.
            request = json.dumps({"op": "publish", "topic": name, "data": data, "id": offset})
            client.raw.send(frame(TEXT | RSV1, deflate(request.encode())))
            received = {}
            for _ in range(2):
                kind, text, is_compressed = take_message(client.raw)
                assert kind == TEXT
                received[is_compressed] = json.loads(text)
            assert received == {
                False: {"op": "published", "offset": offset, "id": offset},
                True: {"op": "message", "topic": name, "offset": offset, "data": data},
            }


def test_plain_and_compressed_in_json_get_the_same(server, topic):
    plain, compressed = server.json(), server.json(headers=[extension(OFFER)], agreed=AGREED)
    for client in [plain, compressed]:
        client.subscribe(topic)
    for body in [b"short", letters(KIB), noise(KIB)]:
        server.publish(topic, body, [("Content-Type", "application/octet-stream")])
        text = plain.take()
        assert take_message(compressed.raw)[:2] == (TEXT, text.encode())


# What clients send -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        "f2 48 cd c9 c9 07 00",
        "00 05 00 fa ff 48 65 6c 6c 6f 00",
        "f3 48 cd c9 c9 07 00 00",
        "f2 48 05 00 00 00 ff ff ca c9 c9 07 00",
    ],
    ids=["one block", "without compression", "a last block", "two blocks"],
)
def test_examples_of_the_rfc_are_hello(server, topic, payload):
    # Sections 7.2.3.1, 7.2.3.3, 7.2.3.4 and 7.2.3.5.
    client = server.subscribe_deflate(topic)
    client.send(frame(TEXT | RSV1, bytes.fromhex(payload)))
    assert client.take_frame() == (TEXT, b"Hello")


def test_compressed_message_in_fragments_with_a_ping_in_between(server, topic):
    # Section 7.2.3.1.
    client = server.subscribe_deflate(topic)
    client.send(frame(TEXT_BEGINS | RSV1, bytes.fromhex("f2 48 cd")) + frame(PING, b"between"))
    assert client.take_frame() == (PONG, b"between")
    client.send(frame(CONTINUES) + frame(ENDS, bytes.fromhex("c9 c9 07 00")))
    assert client.take_frame() == (TEXT, b"Hello")


def test_compressed_and_plain_messages_may_take_turns(server, topic):
    client = server.subscribe_deflate(topic)
    for number in range(10):
        text = b"message %d" % number
        client.send(frame(TEXT | RSV1, deflate(text)) if number % 2 else frame(TEXT, text))
        assert client.take_frame() == (TEXT, text)


@pytest.mark.parametrize("payload", [b"\x00", b"", b"\x02\x00", b"\x03\x00\x00"])
def test_empty_message(server, topic, payload):
    # Section 7.2.3.6.
    client = server.subscribe_deflate(topic)
    client.send(frame(TEXT | RSV1, payload))
    assert client.take_frame() == (TEXT, b"")


def test_message_of_very_many_last_blocks_is_refused(large_server, topic):
    # Each costs a decompressor's reset.
    client = large_server.subscribe_deflate(topic)
    client.send(frame(BINARY | RSV1, b"\x03\x00" * 64 + b"\x00"))
    assert client.take_frame() == (BINARY, b"")
    client.send(frame(BINARY | RSV1, b"\x03\x00" * (MIB // 2 - 1) + b"\x00"))
    assert client.take_close()[0] == INVALID_PAYLOAD


def test_message_of_very_many_blocks_costs_no_more_than_its_bytes(large_server, topic):
    # Empty blocks as a flush writes them.
    client = large_server.subscribe_deflate(topic)
    client.send(frame(BINARY | RSV1, b"\x00\x00\x00\xff\xff" * (MIB // 5) + b"\x00"))
    assert client.take_frame() == (BINARY, b"")


@pytest.mark.parametrize("make", [bytes, noise])
@pytest.mark.parametrize("memory", [1, 5, 9])
def test_limit_is_that_of_the_message(large_server, topic, make, memory):
    # What does not shrink grows, the more so the less memory a compressor may use.
    client = large_server.subscribe_deflate(topic)
    client.send(frame(BINARY | RSV1, deflate(make(MIB), memory=memory)))
    assert take_message(client)[:2] == (BINARY, make(MIB))
    client.send(frame(BINARY | RSV1, deflate(make(MIB + 1), memory=memory)))
    code, reason = client.take_close()
    assert code == TOO_BIG
    assert str(MIB) in reason
    client.expect_end()


# Who is failed -----------------------------------------------------------------------------------------------


def peak_bytes(server):
    """The most memory that the process has used."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1]) * KIB


def test_bomb_is_refused_before_it_takes_memory(start, topic):
    server = start("--max-message-bytes", "1MiB", "--topic-log-bytes", "2MiB")
    # A thousand times a message of the largest length, in a frame that is no longer than one.
    compressor = zlib.compressobj(9, wbits=-15)
    piece = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    bomb = piece * 1_000
    assert len(bomb) <= MIB
    before = peak_bytes(server)
    for _ in range(3):
        client = server.subscribe_deflate(topic, "?role=publisher")
        client.send(frame(BINARY | RSV1, bomb))
        assert client.take_close()[0] == TOO_BIG
        client.expect_end()
    assert peak_bytes(server) - before < 16 * MIB


BREAKERS = {
    "no deflate data": (frame(BINARY | RSV1, b"\xff" * 10), INVALID_PAYLOAD),
    "reserved type of block": (frame(BINARY | RSV1, b"\x07"), INVALID_PAYLOAD),
    "distance before the beginning": (frame(BINARY | RSV1, deflate(letters(500))[3:]), INVALID_PAYLOAD),
    "half of a block": (frame(BINARY | RSV1, deflate(noise(500))[:250]), INVALID_PAYLOAD),
    "a tail that is not to be sent": (frame(BINARY | RSV1, deflate(b"hello") + b"\xff\xff"), INVALID_PAYLOAD),
    "text that is not UTF-8": (frame(TEXT | RSV1, deflate(b"abc\xff")), INVALID_PAYLOAD),
    "text cut inside a character": (frame(TEXT | RSV1, deflate(b"abc\xe2\x82")), INVALID_PAYLOAD),
    "frame over the limit": (header(BINARY | RSV1, 600 * KIB), TOO_BIG),
    "message over the limit": (frame(BINARY | RSV1, deflate(bytes(512 * KIB + 1))), TOO_BIG),
    "fragments over the limit": (
        frame(BINARY_BEGINS | RSV1, bytes(300 * KIB)) + header(ENDS, 300 * KIB),
        TOO_BIG,
    ),
    # Section 6: RSV1 stands on the first frame of a message, and on nothing else.
    "RSV1 on a middle": (frame(TEXT_BEGINS | RSV1, b"\xf2") + frame(CONTINUES | RSV1, b"\x48"), PROTOCOL_ERROR),
    "RSV1 on an end": (frame(TEXT_BEGINS, b"he") + frame(ENDS | RSV1, b"llo"), PROTOCOL_ERROR),
    "RSV1 on a ping": (frame(PING | RSV1, b""), PROTOCOL_ERROR),
    "RSV1 on a pong": (frame(PONG | RSV1, b""), PROTOCOL_ERROR),
    "RSV1 on a close": (frame(CLOSE | RSV1, close_body(1000)), PROTOCOL_ERROR),
    # They mean nothing with this extension either.
    "RSV2": (frame(TEXT | RSV1 | 0x20, deflate(b"hello")), PROTOCOL_ERROR),
    "RSV3": (frame(TEXT | 0x10, b"hello"), PROTOCOL_ERROR),
}


@pytest.mark.parametrize(("sent", "code"), BREAKERS.values(), ids=BREAKERS.keys())
def test_client_is_failed_and_nobody_else_harmed(counting_server, topic, sent, code):
    server = counting_server
    witness = server.subscribe_deflate(topic)
    breaker = server.subscribe_deflate(topic)
    before = server.metrics()
    breaker.send(sent)
    seen, reason = breaker.take_close()
    assert seen == code
    assert reason.isascii() and reason.isprintable() and reason
    breaker.expect_end()
    after = server.metrics()
    assert after.sum("protocol_errors_total") == before.sum("protocol_errors_total") + 1
    assert after.labelled("closes_total", "code", code) == before.labelled("closes_total", "code", code) + 1
    eventually(lambda: server.topic(topic).json()["subscribers"] == 1, "the subscription to end")
    assert server.publish(topic, letters(KIB)) == 1
    assert take_message(witness) == (TEXT, letters(KIB), True)
