"""Who may connect (Origin) and who may publish without being known."""

import pytest
from support.process import Server
from support.waiting import eventually
from support.wire import TEXT, UPGRADE, frame

FLAG = "--allow-anonymous-publish"


def upgrade_status(server, topic, headers=()):
    with server.http() as http:
        return http.send_head("GET", f"/topics/{topic}", [*UPGRADE, *headers]).read_response().status


@pytest.fixture(scope="module")
def module_server():
    server = Server(FLAG)
    yield server
    server.stop()


@pytest.fixture
def server_for_all(module_server):
    yield module_server
    module_server.close_clients()


# Origin ------------------------------------------------------------------------------------------------------


def statuses(server, topic, origin):
    """Of an upgrade, a POST and a GET that come from a page of `origin`."""
    headers = [("Origin", origin)]
    return (
        upgrade_status(server, topic, headers),
        server.post(topic, b"x", headers).status,
        server.request("GET", f"/topics/{topic}", headers).status,
    )


def test_pages_of_the_server_itself_may_connect(server, topic):
    assert statuses(server, topic, f"http://{server.authority}") == (101, 200, 200)
    assert statuses(server, topic, None) == (101, 200, 200)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "null", "", "http://"]
)
def test_pages_of_others_may_not(server, topic, origin):
    assert statuses(server, topic, origin) == (403, 403, 403)
    assert server.topic(topic).status == 404


def test_refusal_names_origin_and_flag(server, topic):
    answer = server.post(topic, b"x", [("Origin", "https://app.example:8443")])
    assert "https://app.example:8443" in answer.text and "--allow-origin" in answer.text


def test_listed_origins_may_connect(start, topic):
    server = start("--allow-origin", "https://app.example", "--allow-origin", "http://other.example:8080")
    assert statuses(server, topic, "https://app.example") == (101, 200, 200)
    assert statuses(server, topic, "http://other.example:8080") == (101, 200, 200)
    # Scheme, host and port all count.
    for other in ["http://app.example", "https://app.example:444", "https://sub.app.example", "http://other.example"]:
        assert statuses(server, topic, other) == (403, 403, 403), other


def test_star_allows_every_origin(start, topic):
    server = start("--allow-origin", "*")
    for origin in ["https://anything.example", "null"]:
        assert statuses(server, topic, origin) == (101, 200, 200)


# Publishing --------------------------------------------------------------------------------------------------

# Each of them says that the request may come from somebody beyond this host.
FORBIDDING = {
    "X-Forwarded-For": ("X-Forwarded-For", "192.0.2.1"),
    "X-Forwarded-For, lower case": ("x-forwarded-for", "127.0.0.1"),
    "Forwarded": ("Forwarded", "for=192.0.2.1"),
    "X-Real-IP": ("X-Real-IP", "192.0.2.1"),
    "Via": ("Via", "1.1 proxy"),
    "Host of another name": ("Host", "corecast.example"),
    "Host of another address": ("Host", "192.0.2.1:9001"),
    "Host that begins like loopback": ("Host", "localhost.example"),
    "Host that ends like loopback": ("Host", "127.0.0.1.example"),
}


@pytest.mark.parametrize("header", FORBIDDING.values(), ids=FORBIDDING.keys())
def test_requests_that_may_come_from_elsewhere_publish_nothing(server, topic, header):
    answer = server.post(topic, b"x", [header])
    assert answer.status == 403 and FLAG in answer.text, answer
    assert server.topic(topic).status == 404
    # A publisher that may not publish is told before it is connected.
    assert upgrade_status(server, f"{topic}?role=publisher", [header]) == 403
    assert server.topic(topic).status == 404


@pytest.mark.parametrize("header", FORBIDDING.values(), ids=FORBIDDING.keys())
def test_websockets_that_may_come_from_elsewhere_subscribe_only(server, topic, header):
    client = server.raw().upgrade(f"/topics/{topic}", [header])
    server.publish(topic, b"for all")
    assert client.take_frame() == (TEXT, b"for all")
    client.send(frame(TEXT, b"refused"))
    code, reason = client.take_close()
    assert code == 1008 and FLAG in reason
    assert server.topic(topic).json()["offset"] == 1


@pytest.mark.parametrize("host", ["localhost:evil", "[::1"])
def test_host_that_is_none_is_refused_whatever_is_asked(server_for_all, topic, host):
    # RFC 9112 section 3.2.
    assert server_for_all.post(topic, b"x", [("Host", host)]).status == 400
    assert upgrade_status(server_for_all, topic, [("Host", host)]) == 400


@pytest.mark.parametrize("header", FORBIDDING.values(), ids=FORBIDDING.keys())
def test_flag_lets_everybody_publish(server_for_all, topic, header):
    assert server_for_all.post(topic, b"x", [header]).status == 200
    client = server_for_all.raw().upgrade(f"/topics/{topic}", [header])
    client.send(frame(TEXT, b"welcome"))
    assert client.take_frame() == (TEXT, b"welcome")


@pytest.mark.parametrize("host", ["localhost", "LocalHost:9001", "127.0.0.1", "127.8.9.1:80", "[::1]", "[::1]:9001"])
def test_every_name_of_loopback_will_do(server, topic, host):
    assert server.post(topic, b"x", [("Host", host)]).status == 200


def test_authority_of_the_target_counts_before_host(server, topic):
    """RFC 9112 section 3.2.2: a target in absolute form says the host, and Host is ignored."""
    refused = server.request("POST", f"http://corecast.example/topics/{topic}", [("Host", "localhost")], b"x")
    assert refused.status == 403 and FLAG in refused.text, refused
    assert server.topic(topic).status == 404
    taken = server.request("POST", f"http://localhost/topics/{topic}", [("Host", "corecast.example")], b"x")
    assert taken.status == 200, taken


def test_proxy_protocol_does_not_pass_for_a_local_client(server, topic):
    with server.http() as http:
        http.raw.send(b"PROXY TCP4 192.0.2.1 127.0.0.1 56324 9001\r\n")
        http.send_request("POST", f"/topics/{topic}", body=b"x")
        answer = http.read_response()
        assert answer.status == 400 and "PROXY" in answer.text
    assert server.topic(topic).status == 404


def test_listener_beyond_loopback_takes_no_anonymous_publish(start, topic):
    server = start(listen="0.0.0.0:0")
    answer = server.post(topic, b"x")
    assert answer.status == 403 and FLAG in answer.text
    client = server.subscribe_raw(topic)
    client.send(frame(TEXT, b"x"))
    assert client.take_close()[0] == 1008
    eventually(lambda: server.metrics()["publishes_refused_total"] == 2, "both to be counted")


def test_listener_beyond_loopback_publishes_with_the_flag(start, topic):
    server = start(FLAG, listen="0.0.0.0:0")
    subscriber = server.subscribe_raw(topic)
    server.publish(topic, b"x")
    assert subscriber.take_frame() == (TEXT, b"x")
