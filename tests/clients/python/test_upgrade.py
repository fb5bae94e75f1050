"""The opening handshake (RFC 6455 section 4.2), and what is said about one that lost something on its way."""

import pytest
from support.wire import HANDSHAKE_KEY, TEXT, UPGRADE, Http


def handshake(server, topic, without=None, change=(), version="HTTP/1.1", method="GET"):
    """The response to a handshake without one header, or with others in place of those of the same name."""
    replaced = {name for name, _ in change} | {without}
    headers = [(name, value) for name, value in UPGRADE if name not in replaced] + list(change)
    with server.http() as http:
        return http.send_head(method, f"/topics/{topic}", headers, version).read_response()


def test_answer_is_that_of_the_standard(server, topic):
    # The example of RFC 6455 section 1.3.
    answer = handshake(server, topic)
    assert answer.status == 101
    assert answer.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert answer.header("Upgrade") == "websocket"
    assert answer.header("Connection") == "Upgrade"
    # Neither was offered (section 4.2.2).
    assert answer.header("Sec-WebSocket-Protocol") is None
    assert answer.header("Sec-WebSocket-Extensions") is None


def test_names_and_tokens_are_read_in_any_case_and_list(server, topic):
    change = [("upgrade", "WebSocket"), ("CONNECTION", "keep-alive, UPGRADE")]
    replaced = [header for header in UPGRADE if header[0] not in ("Upgrade", "Connection")]
    with server.http() as http:
        assert http.send_head("GET", f"/topics/{topic}", [*change, *replaced]).read_response().status == 101


# What a proxy strips: the missing piece, and the setting that brings it back.
STRIPPED = [
    ("Upgrade", ["Upgrade", "proxy_set_header Upgrade"]),
    ("Connection", ["Connection", "proxy_set_header Connection"]),
    ("Sec-WebSocket-Key", ["Sec-WebSocket-Key", "proxy"]),
    ("Sec-WebSocket-Version", ["Sec-WebSocket-Version", "proxy"]),
]


@pytest.mark.parametrize(("name", "said"), STRIPPED, ids=[name for name, _ in STRIPPED])
def test_missing_header_is_named_with_what_mends_it(counting_server, topic, name, said):
    server = counting_server
    before = server.metrics()["handshakes_failed_total"]
    answer = handshake(server, topic, without=name)
    assert answer.status == 400
    for words in said:
        assert words in answer.text.replace('\\"', '"'), answer
    assert server.metrics()["handshakes_failed_total"] == before + 1
    assert server.topic(topic).status == 404


def test_missing_header_is_named_in_the_log(start, topic):
    server = start()
    handshake(server, topic, without="Connection")
    server.wait_for_log("Connection: Upgrade.*missing")


def test_http_1_0_is_named(server, topic):
    answer = handshake(server, topic, version="HTTP/1.0")
    assert 400 <= answer.status < 600
    assert "HTTP/1.0" in answer.text and "proxy_http_version 1.1" in answer.text


@pytest.mark.parametrize("version", ["12", "8", "0", "14", "", "thirteen", "013", "13, 8"])
def test_other_versions_are_told_which_one_is_spoken(server, topic, version):
    # RFC 6455 sections 4.2.2 and 4.4.
    answer = handshake(server, topic, change=[("Sec-WebSocket-Version", version)])
    assert answer.status == 426
    assert answer.header("Sec-WebSocket-Version") == "13"


@pytest.mark.parametrize("key", ["", "short", HANDSHAKE_KEY[:-1], HANDSHAKE_KEY + "AAAA", "!" * 24, "A" * 22])
def test_key_that_is_not_16_bytes_in_base64_is_refused(server, topic, key):
    answer = handshake(server, topic, change=[("Sec-WebSocket-Key", key)])
    assert answer.status == 400 and "Sec-WebSocket-Key" in answer.text


def test_second_key_is_refused(server, topic):
    keys = [("Sec-WebSocket-Key", HANDSHAKE_KEY), ("Sec-WebSocket-Key", HANDSHAKE_KEY)]
    assert handshake(server, topic, change=keys).status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD"])
def test_handshake_is_a_get(server, topic, method):
    with server.http() as http:
        http.send_head(method, f"/topics/{topic}", UPGRADE)
        answer = http.read_response(method)
    assert answer.status in (400, 405)
    assert server.topic(topic).status == 404


@pytest.mark.parametrize(
    "header", [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Content-Length", "x")], ids="{0[0]}={0[1]}".format
)
def test_handshake_has_no_body(server, topic, header):
    """What follows the request is frames; nobody can tell where a body would end and they begin (RFC 9110 section 7.8)."""
    with server.http() as http:
        answer = http.send_head("GET", f"/topics/{topic}", [*UPGRADE, header]).read_response()
        assert answer.status == 400, answer
        http.raw.expect_end()
    assert server.topic(topic).status == 404


def test_handshake_behind_pipelined_requests(server, topic):
    """The answers come first, whole and in order; then the 101; then frames."""
    raw = server.raw()
    http = Http(raw)
    raw.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2_000)
    http.send_head("GET", f"/topics/{topic}", UPGRADE)
    for _ in range(2_000):
        assert http.read_response().json()["status"] == "healthy"
    assert http.read_response().status == 101
    server.publish(topic, b"behind the 101")
    assert raw.take_frame() == (TEXT, b"behind the 101")
