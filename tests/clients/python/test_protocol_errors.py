"""Clients that break the protocol: each gets the close code of RFC 6455 and a reason, and nobody else notices."""

import re
import struct

import pytest
from support.waiting import eventually
from support.wire import (
    BINARY,
    BINARY_BEGINS,
    CLOSE,
    CONTINUES,
    ENDS,
    KEY,
    PING,
    PONG,
    TEXT,
    TEXT_BEGINS,
    close_body,
    frame,
    header,
)

LIMIT = 512 * 1024

PROTOCOL_ERROR, INVALID_PAYLOAD, TOO_BIG = 1002, 1007, 1009

BREAKERS = {
    # section 5.1
    "unmasked text": (frame(TEXT, b"hello", key=None), PROTOCOL_ERROR),
    "unmasked empty text": (frame(TEXT, b"", key=None), PROTOCOL_ERROR),
    "unmasked ping": (frame(PING, b"", key=None), PROTOCOL_ERROR),
    "unmasked close": (frame(CLOSE, close_body(1000), key=None), PROTOCOL_ERROR),
    # section 5.2
    "RSV1": (frame(TEXT | 0x40, b"hello"), PROTOCOL_ERROR),
    "RSV2": (frame(TEXT | 0x20, b"hello"), PROTOCOL_ERROR),
    "RSV3": (frame(TEXT | 0x10, b"hello"), PROTOCOL_ERROR),
    "RSV1 on a ping": (frame(PING | 0x40, b"hello"), PROTOCOL_ERROR),
    "16-bit length below 126": (bytes([BINARY, 0xFE]) + struct.pack("!H", 125) + KEY + bytes(125), PROTOCOL_ERROR),
    "64-bit length below 65536": (bytes([BINARY, 0xFF]) + struct.pack("!Q", 65_535) + KEY, PROTOCOL_ERROR),
    "64-bit length with its top bit": (bytes([BINARY, 0xFF]) + struct.pack("!Q", 1 << 63) + KEY, PROTOCOL_ERROR),
    # section 5.4
    "continuation of nothing": (frame(CONTINUES, b"hello"), PROTOCOL_ERROR),
    "end of nothing": (frame(ENDS, b"hello"), PROTOCOL_ERROR),
    "text inside a message": (frame(TEXT_BEGINS, b"a") + frame(TEXT, b"b"), PROTOCOL_ERROR),
    "binary inside a message": (frame(BINARY_BEGINS, b"a") + frame(BINARY_BEGINS, b"b"), PROTOCOL_ERROR),
    # section 5.5
    "ping of 126 bytes": (frame(PING, bytes(126)), PROTOCOL_ERROR),
    "pong of 126 bytes": (frame(PONG, bytes(126)), PROTOCOL_ERROR),
    "close of 126 bytes": (frame(CLOSE, close_body(1000, "x" * 124)), PROTOCOL_ERROR),
    "fragmented ping": (frame(PING & 0x0F, b"hello"), PROTOCOL_ERROR),
    "fragmented close": (frame(CLOSE & 0x0F, close_body(1000)), PROTOCOL_ERROR),
    # sections 5.5.1 and 7.4
    "close of one byte": (frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
    "close reason that is not UTF-8": (frame(CLOSE, close_body(1000) + b"\xff"), INVALID_PAYLOAD),
    # section 8.1
    "invalid text": (frame(TEXT, b"abc\xff"), INVALID_PAYLOAD),
    "overlong text": (frame(TEXT, b"\xc0\xaf"), INVALID_PAYLOAD),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), INVALID_PAYLOAD),
    "beyond Unicode": (frame(TEXT, b"\xf4\x90\x80\x80"), INVALID_PAYLOAD),
    "text cut inside a character": (frame(TEXT, b"\xe2\x82"), INVALID_PAYLOAD),
    "invalid second fragment": (frame(TEXT_BEGINS, b"\xe2\x82") + frame(CONTINUES, b"\x28"), INVALID_PAYLOAD),
    # Fail as soon as it is certain: the rest of the message never comes.
    "invalid beginning of a long text": (header(TEXT, 400_000) + bytes([0xFF ^ KEY[0]]), INVALID_PAYLOAD),
    # section 10.4
    "frame over the limit": (header(BINARY, LIMIT + 1), TOO_BIG),
    "frame far over the limit": (header(BINARY, (1 << 63) - 1), TOO_BIG),
    "message over the limit": (frame(BINARY_BEGINS, bytes(LIMIT)) + header(ENDS, 1), TOO_BIG),
    # a proxy or an application that does not know that the connection was upgraded
    "HTTP after the upgrade": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", PROTOCOL_ERROR),
    "HTTP response after the upgrade": (b"HTTP/1.1 200 OK\r\n\r\n", PROTOCOL_ERROR),
}
BREAKERS |= {
    f"reserved opcode {opcode:#x}": (frame(0x80 | opcode, b""), PROTOCOL_ERROR)
    for opcode in [*range(0x3, 0x8), *range(0xB, 0x10)]
}
BREAKERS |= {
    f"close code {code}": (frame(CLOSE, close_body(code)), PROTOCOL_ERROR)
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535]
}


@pytest.mark.parametrize(("sent", "code"), BREAKERS.values(), ids=BREAKERS.keys())
def test_client_is_failed_and_nobody_else_harmed(counting_server, topic, sent, code):
    server = counting_server
    witness = server.subscribe_raw(topic)
    breaker = server.subscribe_raw(topic)
    before = server.metrics()

    breaker.send(sent)
    seen, reason = breaker.take_close()
    assert seen == code
    assert reason.isascii() and reason.isprintable() and reason
    # RFC 6455 section 7.1.1: the server ends the stream first.
    breaker.expect_end()

    after = server.metrics()
    assert after.sum("protocol_errors_total") == before.sum("protocol_errors_total") + 1
    assert after.labelled("closes_total", "code", code) == before.labelled("closes_total", "code", code) + 1
    assert server.topic(topic).json()["subscribers"] == 1
    assert server.publish(topic, b"hello") == 1
    assert witness.take_frame() == (TEXT, b"hello")


def test_what_came_before_the_failure_counts(server, topic):
    witness = server.subscribe_raw(topic)
    breaker = server.subscribe_raw(topic, "?role=publisher")
    breaker.send(frame(TEXT_BEGINS, b"wh") + frame(ENDS, b"ole") + frame(ENDS, b"continues nothing"))
    assert breaker.take_close()[0] == PROTOCOL_ERROR
    breaker.expect_end()
    assert witness.take_frame() == (TEXT, b"whole")
    assert server.topic(topic).json()["offset"] == 1


@pytest.mark.parametrize("data", [frame(TEXT, b"published?"), b"GET / HTTP/1.1\r\n\r\n", bytes(100_000)])
def test_nothing_is_read_after_a_failure(server, topic, data):
    # RFC 6455 section 7.1.7.
    breaker = server.subscribe_raw(topic, "?role=publisher")
    breaker.send(frame(TEXT, b"hello", key=None) + data)
    assert breaker.take_close()[0] == PROTOCOL_ERROR
    breaker.expect_end()
    assert server.topic(topic).status == 404 or server.topic(topic).json()["offset"] == 0


def test_reason_says_what_was_seen(server, topic):
    def reason(sent):
        client = server.subscribe_raw(topic)
        client.send(sent)
        return client.take_close()[1]

    assert "HTTP" in reason(b"GET / HTTP/1.1\r\n\r\n")
    assert "mask" in reason(frame(TEXT, b"hello", key=None))
    assert "byte 3" in reason(frame(TEXT, b"abc\xff"))
    too_big = reason(header(BINARY, 600_000))
    assert "600000" in too_big and "524288" in too_big
    assert re.search("RSV1|compress", reason(frame(TEXT | 0x40, b"hello")))


def test_log_says_rule_address_and_bytes(start, topic):
    server = start()
    breaker = server.subscribe_raw(topic)
    address = "{}:{}".format(*breaker.socket.getsockname())
    breaker.send(frame(TEXT, b"Hello", key=None))
    line = server.wait_for_log("not masked").string
    assert address in line and "81 05 48 65 6c 6c 6f" in line and "connection=" in line and "5.1" in line, line


def test_log_is_not_filled_by_one_peer(start, topic):
    server = start()
    for _ in range(500):
        breaker = server.subscribe_raw(topic)
        breaker.send(frame(TEXT, b"Hello", key=None))
        breaker.take_close()
        breaker.close()
    eventually(lambda: server.metrics().sum("protocol_errors_total") == 500, "all to be counted")
    assert 1 <= server.log.count("not masked") <= 100


def test_limit_is_a_setting(start, topic):
    server = start("--max-message-bytes", "1KiB")
    client = server.subscribe_raw(topic)
    client.send(frame(BINARY, bytes(1_024)))
    assert client.take_frame() == (BINARY, bytes(1_024))
    client.send(header(BINARY, 1_025))
    assert client.take_close()[0] == TOO_BIG


def test_flood_of_empty_fragments_ends(server, topic):
    client = server.subscribe_raw(topic)
    client.send(frame(BINARY_BEGINS))
    with_limit = b"".join(frame(CONTINUES) for _ in range(10_000))
    try:
        for _ in range(100):
            client.send(with_limit)
    except OSError:
        # Failed and cut while we were still sending.
        return
    assert client.take_close()[0] in (1002, 1008, 1009)
