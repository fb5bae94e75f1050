"""HTTP/1.1 on the clients' port (RFC 9110, RFC 9112): requests in any number and any cut, bodies, limits."""

import ssl

import pytest
from support.waiting import eventually
from support.wire import BINARY, TEXT

LIMIT = 512 * 1024


def post_head(topic, *headers):
    return "\r\n".join([f"POST /topics/{topic} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


# Health ------------------------------------------------------------------------------------------------------


def test_health_counts_websockets(start, topic, websocket):
    server = start("--max-connections", "77")
    expected = {"status": "healthy", "websocket": {"connections": 0, "maxConnections": 77}}
    answer = server.request("GET", "/health")
    assert (answer.status, answer.json()) == (200, expected)
    websocket(server.url(topic))
    websocket(server.url(topic, "?role=publisher"))
    expected["websocket"]["connections"] = 2
    # Another shard's count comes with its next tick.
    eventually(lambda: server.request("GET", "/health").json() == expected, "both to be counted")


def test_unknown_path_is_404(server):
    for path in ["/topics", "/nothing", "/metrics", "/ready", "/health/"]:
        assert server.request("GET", path).status == 404, path


# Several requests on one connection --------------------------------------------------------------------------


def test_keep_alive(server, topic):
    with server.http() as http:
        for offset in range(1, 51):
            assert http.request("POST", f"/topics/{topic}", body=b"x").json()["offset"] == offset
            assert http.request("GET", f"/topics/{topic}").json()["offset"] == offset


def test_pipelined_requests_are_answered_in_order(server, topic):
    with server.http() as http:
        pair = post_head(topic, "Content-Length: 3") + b"abc"
        pair += f"GET /topics/{topic} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        http.raw.send(pair * 30)
        for offset in range(1, 31):
            assert http.read_response().json().keys() == {"topic", "offset", "epoch"}
            answer = http.read_response().json()
            assert (answer["offset"], answer["subscribers"]) == (offset, 0)


def test_more_pipelined_requests_than_replies_may_wait(start, topic):
    """Replies to one connection are bounded; beyond that its reading pauses, and goes on."""
    # With one shard: a POST that waits for another shard pauses the reading before there are many replies.
    server = start("--shards", "1")
    with server.http() as http:
        http.raw.send((post_head(topic, "Content-Length: 1") + b"x") * 5_000)
        offsets = [http.read_response().json()["offset"] for _ in range(5_000)]
    assert offsets == list(range(1, 5_001))
    assert server.metrics()["replies_bound_hit_total"] > 0


def test_request_arrives_however_it_was_cut_on_its_way(server, topic):
    with server.http() as http:
        for byte in post_head(topic, "Content-Length: 5") + b"hello":
            http.raw.send(bytes([byte]))
        assert http.read_response().json()["offset"] == 1


def test_connection_close_is_obeyed(server, topic):
    with server.http() as http:
        answer = http.request("POST", f"/topics/{topic}", [("Connection", "close")], b"x")
        assert (answer.status, answer.header("Connection")) == (200, "close")
        http.raw.expect_end()


def test_http_1_0_is_answered_and_closed(server):
    with server.http() as http:
        answer = http.send_head("GET", "/health", version="HTTP/1.0").read_response()
        assert answer.status == 200
        http.raw.expect_end()


def test_http_1_0_is_told_that_its_wish_to_go_on_is_not_granted(server):
    """RFC 9112 appendix C.2.2: keep-alive with HTTP/1.0 is an offer that the answer has to take up."""
    with server.http() as http:
        answer = http.send_head("GET", "/health", [("Connection", "keep-alive")], version="HTTP/1.0").read_response()
        assert (answer.status, answer.header("Connection")) == (200, "close")
        http.raw.expect_end()


def test_answer_comes_after_the_clients_fin(server, topic):
    with server.http() as http:
        http.send_request("POST", f"/topics/{topic}", body=b"x").raw.finish()
        assert http.read_response().status == 200
        http.raw.expect_end()


def test_head_has_the_headers_of_get_and_no_body(server, topic):
    server.publish(topic, b"x")
    for path in [f"/topics/{topic}", "/health"]:
        with server.http() as http:
            get, head = http.request("GET", path), http.request("HEAD", path)
            assert (head.status, head.body) == (get.status, b"")
            assert head.headers == get.headers
            # Nothing was left over that would be taken for the next answer.
            assert http.request("GET", path).body == get.body


@pytest.mark.parametrize("path", ["/nothing", "/topics/a/b", "/topics/nobody-has-this"])
def test_head_that_is_refused_has_no_body_either(server, path):
    """RFC 9110 section 9.3.2: a body would be taken for the beginning of the next answer."""
    with server.http() as http:
        http.send_head("HEAD", path, [("Connection", "close")])
        answer = http.read_response("HEAD")
        assert answer.status in (400, 404) and int(answer.header("Content-Length")) > 0
        http.raw.expect_end()


def test_error_answer_has_code_and_message(server):
    answer = server.request("GET", "/nothing")
    assert answer.json()["error"].keys() == {"code", "message"}
    assert answer.json()["error"]["code"] == "bad_request" and "/nothing" in answer.json()["error"]["message"]


# Bodies ------------------------------------------------------------------------------------------------------


def test_chunked_body(server, topic):
    subscriber = server.subscribe_raw(topic)
    with server.http() as http:
        http.raw.send(
            post_head(topic, "Transfer-Encoding: chunked")
            + b"5\r\nhello\r\n"
            + b"000001;name=value\r\n \r\n"
            + b"A\r\n0123456789\r\n"
            + b"0\r\nTrailer: value\r\n\r\n"
        )
        assert http.read_response().json()["offset"] == 1
        assert subscriber.take_frame() == (TEXT, b"hello 0123456789")
        # The connection goes on behind the trailer.
        assert http.request("GET", f"/topics/{topic}").json()["offset"] == 1


def test_chunked_body_arrives_however_it_was_cut_on_its_way(server, topic):
    subscriber = server.subscribe_raw(topic)
    with server.http() as http:
        for byte in post_head(topic, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n":
            http.raw.send(bytes([byte]))
        assert http.read_response().status == 200
    assert subscriber.take_frame() == (TEXT, b"abcde")


BAD_BODIES = {
    "both lengths": (["Content-Length: 3", "Transfer-Encoding: chunked"], b"3\r\nabc\r\n0\r\n\r\n", 400),
    "two lengths": (["Content-Length: 3", "Content-Length: 4"], b"abc", 400),
    "no number": (["Content-Length: three"], b"abc", 400),
    "signed": (["Content-Length: +3"], b"abc", 400),
    "negative": (["Content-Length: -3"], b"abc", 400),
    "unknown coding": (["Transfer-Encoding: gzip, chunked"], b"3\r\nabc\r\n0\r\n\r\n", 501),
    "no chunk size": (["Transfer-Encoding: chunked"], b"x\r\nabc\r\n0\r\n\r\n", 400),
    "chunk too long": (["Transfer-Encoding: chunked"], b"2\r\nabc\r\n0\r\n\r\n", 400),
    "huge chunk": (["Transfer-Encoding: chunked"], b"ffffffffffffffffff\r\n", (400, 413)),
}


@pytest.mark.parametrize(("headers", "body", "status"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_body_of_unclear_length_is_refused(server, topic, headers, body, status):
    with server.http() as http:
        http.raw.send(post_head(topic, *headers) + body)
        answer = http.read_response()
        assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
        http.raw.expect_end()
    assert server.topic(topic).status == 404


UNCLEAR_LENGTHS = {
    "both lengths": ["Content-Length: 3", "Transfer-Encoding: chunked"],
    "two lengths": ["Content-Length: 3", "Content-Length: 4"],
    "no number": ["Content-Length: 3x"],
    "chunked twice": ["Transfer-Encoding: chunked, chunked"],
}


@pytest.mark.parametrize("headers", UNCLEAR_LENGTHS.values(), ids=UNCLEAR_LENGTHS.keys())
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/health", "/topics/a"])
def test_body_of_unclear_length_is_refused_where_none_is_wanted(server, method, path, headers):
    """RFC 9112 section 6.3: something before this server may see the next request begin elsewhere."""
    with server.http() as http:
        http.raw.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
        answer = http.read_response(method)
        assert answer.status in (400, 501), answer
        http.raw.expect_end()


def test_body_nobody_asked_for_is_no_request(server):
    """The connection ends with the answer; what was sent as a body is not answered."""
    with server.http() as http:
        http.send_request("GET", "/health", body=b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert http.read_response().status == 200
        http.raw.expect_end()


def test_expect_100_continue(server, topic):
    with server.http() as http:
        http.raw.send(post_head(topic, "Content-Length: 5", "Expect: 100-continue"))
        assert http.read_response().status == 100
        http.raw.send(b"hello")
        assert http.read_response().json()["offset"] == 1
        # Nobody waits for a go-ahead who has sent the body already.
        http.raw.send(post_head(topic, "Content-Length: 5", "Expect: 100-continue") + b"hello")
        assert http.read_response().json()["offset"] == 2


def test_expectation_that_will_fail_is_refused_without_100(server, topic):
    with server.http() as http:
        http.raw.send(post_head(topic, f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
        assert http.read_response().status == 413


def test_expectation_of_http_1_0_is_ignored(start, topic):
    """RFC 9110 section 10.1.1: a client of HTTP/1.0 would take the 100 for the answer."""
    # With one shard, so that the scrape is handled after the head.
    server = start("--allow-anonymous-publish", "--shards", "1")
    with server.http() as http:
        headers = [("Content-Length", 5), ("Expect", "100-continue")]
        http.send_head("POST", f"/topics/{topic}", headers, version="HTTP/1.0")
        # The head has been read once a later request is answered, and nothing of the body has been sent.
        server.metrics()
        http.raw.send(b"hello")
        assert http.read_response().json()["offset"] == 1
        http.raw.expect_end()


@pytest.mark.parametrize("length", [LIMIT + 1, 2**31, 2**63 - 1])
def test_body_over_the_limit_is_refused_from_its_declared_length(server, topic, length):
    with server.http() as http:
        http.raw.send(post_head(topic, f"Content-Length: {length}"))
        answer = http.read_response()
        assert answer.status == 413
        # Size, limit, and the setting.
        assert str(length) in answer.text and str(LIMIT) in answer.text and "max_message_bytes" in answer.text
        http.raw.expect_end()
    assert server.topic(topic).status == 404


def test_refusal_reaches_a_client_that_sends_its_body_anyway(server, topic):
    """Closing at once would send a reset that destroys the answer on its way."""
    with server.http() as http:
        http.raw.send(post_head(topic, f"Content-Length: {LIMIT + 1}"))
        http.raw.send(b"x" * (LIMIT + 1))
        assert http.read_response().status == 413


def test_chunks_over_the_limit_are_refused_when_they_exceed_it(server, topic):
    with server.http() as http:
        http.raw.send(post_head(topic, "Transfer-Encoding: chunked"))
        chunk = b"%x\r\n%s\r\n" % (LIMIT // 4, b"x" * (LIMIT // 4))
        http.raw.send(chunk * 4 + b"1\r\nx")
        assert http.read_response().status == 413
    assert server.topic(topic).status == 404


def test_limit_is_a_setting(start, topic):
    server = start("--max-message-bytes", "1KiB")
    assert server.post(topic, b"x" * 1_024).status == 200
    assert server.post(topic, b"x" * 1_025).status == 413


@pytest.mark.parametrize(
    ("body", "position"),
    [
        (b"\xff", 0),
        (b"abc\x80", 3),
        ("four \u20ac".encode() + b"\xc0\xaf", 8),
        (b"cut \xe2\x82", 4),
        (b"\xed\xa0\x80 surrogate", 0),
        (b"x" * 100_000 + b"\xfe", 100_000),
    ],
)
def test_text_that_is_not_utf_8_is_400_with_the_position(server, topic, body, position):
    answer = server.post(topic, body, [("Content-Type", "text/plain")])
    assert answer.status == 400
    assert f"byte {position}" in answer.text
    assert server.topic(topic).status == 404


def test_bytes_that_are_not_utf_8_pass_as_binary(server, topic):
    subscriber = server.subscribe_raw(topic)
    server.publish(topic, b"\xff\xfe", [("Content-Type", "application/octet-stream")])
    assert subscriber.take_frame() == (BINARY, b"\xff\xfe")


# What is no request ------------------------------------------------------------------------------------------

NO_REQUESTS = {
    "no HTTP": (b"hello world\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "no Host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "space before colon": (b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "NUL in a header": (b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    "long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "long header": (b"GET /health HTTP/1.1\r\nHost: a\r\nCookie: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 1_000 + b"\r\n", 431),
}


@pytest.mark.parametrize(("request_bytes", "status"), NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
def test_what_is_no_request_is_answered_and_ended(server, request_bytes, status):
    with server.http() as http:
        http.raw.send(request_bytes)
        answer = http.read_response()
        assert answer.status == status, answer
        http.raw.expect_end()
    assert server.request("GET", "/health").status == 200


def test_tls_on_the_plain_port_is_named(start):
    server = start()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with server.http() as http:
        http.raw.send(outgoing.read())
        answer = http.read_response()
        assert answer.status == 400 and "TLS" in answer.text
        http.raw.expect_end()
    # A TLS client shows its user none of that, so whoever runs the server has to find it in the log.
    server.wait_for_log("TLS")


def test_head_that_never_ends_is_cut(start):
    server = start("--handshake-timeout", "1s")
    with server.http() as http:
        http.raw.send(b"GET /health HTTP/1.1\r\nHost:")
        http.raw.expect_cut()
    with server.http() as silent:
        silent.raw.expect_cut()
    eventually(lambda: server.metrics()["connections_timed_out_total"] == 2, "both to be counted")


def test_idle_connection_is_closed(start):
    server = start("--http-idle-timeout", "1s")
    with server.http() as http:
        assert http.request("GET", "/health").status == 200
        # A reset would look like an error to who is about to send the next request.
        http.raw.expect_end()
