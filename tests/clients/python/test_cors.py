"""What pages of other origins are told: OPTIONS, and the headers that let a browser hand them an answer."""

import pytest
from support.process import Server

PAGE = "https://app.example"

PREFLIGHT = [("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type")]


@pytest.fixture(scope="module")
def module_server():
    server = Server("--allow-origin", PAGE)
    yield server
    server.stop()


@pytest.fixture
def open_server(module_server):
    """A server that lets pages of one other origin in."""
    yield module_server
    module_server.close_clients()


def may_read(answer, origin):
    """Whether a browser would hand the answer to a page of that origin; caches have to tell origins apart."""
    allowed = answer.header("Access-Control-Allow-Origin")
    assert allowed in (None, origin), answer
    if allowed:
        assert "origin" in (answer.header("Vary") or "").lower(), answer
    return allowed is not None


def paths(topic):
    return [f"/topics/{topic}", "/health", "/", "/ws", "/client.js"]


def test_preflight_of_an_allowed_page_is_granted(open_server, topic):
    for path in paths(topic):
        answer = open_server.request("OPTIONS", path, [("Origin", PAGE), *PREFLIGHT])
        assert (answer.status, answer.body) == (204, b""), answer
        assert may_read(answer, PAGE)
        assert {"GET", "HEAD", "POST", "OPTIONS"} <= set(answer.header("Access-Control-Allow-Methods").split(", "))
        assert answer.header("Access-Control-Allow-Headers").lower() == "content-type"
        assert int(answer.header("Access-Control-Max-Age")) > 0
        # Cookies and private networks are not what was asked for.
        assert answer.header("Access-Control-Allow-Credentials") is None
        assert answer.header("Access-Control-Allow-Private-Network") is None
    assert open_server.topic(topic).status == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example:444", "http://app.example"])
def test_preflight_of_another_page_grants_nothing(open_server, topic, origin):
    answer = open_server.request("OPTIONS", f"/topics/{topic}", [("Origin", origin), *PREFLIGHT])
    assert answer.status == 403 and origin in answer.text, answer
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


def test_options_without_an_origin_says_what_is_allowed(server, topic):
    for path in paths(topic):
        answer = server.request("OPTIONS", path)
        assert (answer.status, answer.body) == (204, b""), answer
        allowed = set(answer.header("Allow").split(", "))
        assert {"GET", "OPTIONS"} <= allowed and ("POST" in allowed) == path.startswith("/topics/"), answer
        assert answer.header("Access-Control-Allow-Origin") is None


def test_options_for_what_is_not_there(server):
    assert server.request("OPTIONS", "/nothing").status == 404
    assert server.request("OPTIONS", "/topics/a/b").status == 400


def test_options_does_not_end_the_connection(open_server, topic):
    with open_server.http() as http:
        for _ in range(3):
            assert http.request("OPTIONS", f"/topics/{topic}", [("Origin", PAGE), *PREFLIGHT]).status == 204
            assert http.request("POST", f"/topics/{topic}", [("Origin", PAGE)], b"x").status == 200


def test_allowed_page_may_read_answers_and_refusals(open_server, topic):
    origin = [("Origin", PAGE)]
    many = [*origin, ("Content-Type", "application/x-ndjson")]
    requests = [
        (200, "POST", f"/topics/{topic}", origin, b"x"),
        (200, "POST", f"/topics/{topic}", many, b"1\n2\n"),
        (200, "GET", f"/topics/{topic}", origin, b""),
        (200, "HEAD", f"/topics/{topic}", origin, b""),
        (200, "GET", "/health", origin, b""),
        (200, "GET", "/client.js", origin, b""),
        (404, "GET", f"/topics/{topic}.unknown", origin, b""),
        (404, "GET", "/nothing", origin, b""),
        (405, "DELETE", f"/topics/{topic}", origin, b""),
        (400, "POST", "/topics/a!", origin, b"x"),
        (400, "POST", f"/topics/{topic}", many, b"oops"),
        (400, "POST", f"/topics/{topic}", [*origin, ("Content-Type", "application/json")], b"{"),
        (400, "POST", f"/topics/{topic}", origin, b"\xff"),
        (403, "POST", f"/topics/{topic}", [*origin, ("Via", "1.1 proxy")], b"x"),
        (413, "POST", f"/topics/{topic}", origin, b"x" * (512 * 1024 + 1)),
    ]
    for status, method, path, headers, body in requests:
        answer = open_server.request(method, path, headers, body)
        assert answer.status == status, (method, path, answer)
        assert may_read(answer, PAGE), (method, path, answer)


def test_page_of_another_origin_may_read_nothing(open_server, topic):
    origin = "https://evil.example"
    for method, path in [("POST", f"/topics/{topic}"), ("GET", f"/topics/{topic}"), ("GET", "/nothing")]:
        answer = open_server.request(method, path, [("Origin", origin)])
        assert answer.status >= 400 and not may_read(answer, origin), answer


def test_without_an_origin_nothing_is_said(open_server, topic):
    answer = open_server.post(topic, b"x")
    assert answer.status == 200 and answer.header("Access-Control-Allow-Origin") is None


def test_star_lets_every_page_read(start, topic):
    server = start("--allow-origin", "*")
    for origin in ["https://anything.example", "null"]:
        answer = server.post(topic, b"x", [("Origin", origin)])
        assert answer.status == 200 and answer.header("Access-Control-Allow-Origin") in (origin, "*"), answer
        assert server.request("OPTIONS", f"/topics/{topic}", [("Origin", origin), *PREFLIGHT]).status == 204


def test_refusal_of_a_full_server_can_be_read(start, topic):
    server = start("--allow-origin", PAGE, "--max-connections", "1", "--shards", "1")
    server.subscribe_raw(topic)
    answer = server.post(topic, b"x", [("Origin", PAGE)])
    assert answer.status == 503 and may_read(answer, PAGE), answer
