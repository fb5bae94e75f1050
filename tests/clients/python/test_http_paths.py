"""Every path and method: HEAD, OPTIONS, the page and its scripts with their caches' validators."""

import re

import pytest
from support.wire import UPGRADE

ASSETS = {"/": "text/html", "/page.js": "text/javascript", "/client.js": "text/javascript"}


@pytest.mark.parametrize(("path", "kind"), ASSETS.items())
def test_page_and_scripts_are_served_with_a_validator(server, path, kind):
    answer = server.request("GET", path)
    assert answer.status == 200 and answer.body, answer
    assert answer.header("Content-Type").startswith(kind)
    assert answer.header("Cache-Control") == "no-cache"
    assert re.fullmatch(r'(W/)?"[^"]+"', answer.header("ETag")), answer
    assert answer.header("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize("path", ASSETS)
def test_whoever_has_the_page_is_told_so(server, path):
    with server.http() as http:
        whole = http.request("GET", path)
        tag = whole.header("ETag")
        # RFC 9110 section 13.1.2: a list, a star, and weak comparison.
        for known in [tag, f'"other", {tag}', "*", f"W/{tag.removeprefix('W/')}"]:
            answer = http.request("GET", path, [("If-None-Match", known)])
            assert (answer.status, answer.body) == (304, b""), (known, answer)
            assert answer.header("ETag") == tag and answer.header("Cache-Control") == "no-cache"
            assert http.request("HEAD", path, [("If-None-Match", known)]).status == 304
        for other in ['"other"', tag.strip('W/"'), '""']:
            answer = http.request("GET", path, [("If-None-Match", other)])
            assert (answer.status, answer.body) == (200, whole.body), other


def test_page_runs_no_script_but_its_own(server):
    page = server.request("GET", "/")
    policy = dict(part.strip().split(" ", 1) for part in page.header("Content-Security-Policy").split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws: wss:"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text), "an inline script, which the policy forbids"


@pytest.mark.parametrize("path", [*ASSETS, "/health", "/ws", "/nothing"])
def test_head_has_the_headers_of_get_and_no_body(server, path):
    with server.http() as http:
        get = http.request("GET", path)
    with server.http() as http:
        head = http.request("HEAD", path)
        assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


@pytest.mark.parametrize("path", [*ASSETS, "/health", "/ws"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused_with_those_allowed(server, path, method):
    answer = server.request(method, path)
    assert answer.status == 405, answer
    allowed = set(answer.header("Allow").split(", "))
    assert "GET" in allowed and method not in allowed


def test_assets_between_other_requests(server, topic):
    with server.http() as http:
        for _ in range(20):
            http.send_request("GET", "/client.js")
            http.send_request("POST", f"/topics/{topic}", body=b"x")
            http.send_request("HEAD", "/")
            http.send_request("OPTIONS", "/ws")
        whole = server.request("GET", "/client.js").body
        for offset in range(1, 21):
            assert http.read_response().body == whole
            assert http.read_response().json()["offset"] == offset
            assert http.read_response("HEAD").header("Content-Type").startswith("text/html")
            assert http.read_response().status == 204


def test_upgrade_of_a_script_is_not_granted(server):
    with server.http() as http:
        assert http.send_head("GET", "/client.js", UPGRADE).read_response().status != 101


def test_query_is_no_part_of_the_path(server):
    assert server.request("GET", "/?x=1").header("ETag") == server.request("GET", "/").header("ETag")
    assert server.request("GET", "/health?x").status == 200
