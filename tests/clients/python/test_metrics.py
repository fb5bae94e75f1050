"""The admin port: /metrics in Prometheus' text format, /health, /ready."""

import re

from support.process import run
from support.waiting import eventually
from support.wire import CLOSE, TEXT, close_body, frame


def test_page_is_well_formed(server):
    answer = server.admin("/metrics")
    assert answer.status == 200
    assert answer.header("Content-Type").startswith("text/plain; version=0.0.4")
    # Parsing fails on every line that is not of the format.
    metrics = server.metrics()
    assert metrics.types.keys() == metrics.helps.keys()
    for name, kind in metrics.types.items():
        assert name.startswith("corecast_"), name
        assert (kind == "counter") == name.endswith("_total"), name
    families = {metrics.family(name) for name, _ in metrics.samples}
    assert families == metrics.types.keys(), "every metric has a sample"
    assert "histogram" in metrics.types.values()


def test_histograms_are_cumulative(counting_server, topic):
    counting_server.subscribe_raw(topic)
    counting_server.publish(topic, b"x")
    metrics = counting_server.metrics()
    for name, kind in metrics.types.items():
        if kind != "histogram":
            continue
        assert name.endswith("_seconds"), name
        buckets = [
            (float(re.fullmatch('le="(.*)"', labels)[1]), value)
            for (sample, labels), value in metrics.samples.items()
            if sample == f"{name}_bucket"
        ]
        assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
        counts = [count for _, count in buckets]
        assert counts == sorted(counts) and buckets[-1][0] == float("inf")
        assert counts[-1] == metrics.samples[(f"{name}_count", "")] > 0
        assert metrics.samples[(f"{name}_sum", "")] > 0


def test_counts_move_with_what_happens(start, topic):
    # With one shard, so that each scrape has everything; test_shards.py has the sums over several.
    server = start("--shards", "1")
    before = server.metrics()
    members = [server.subscribe_raw(topic) for _ in range(3)]
    for _ in range(5):
        server.publish(topic, b"0123456789")
    members[0].send(frame(TEXT, b"0123456789"))
    for member in members:
        for _ in range(6):
            member.take_frame()
    after = server.metrics()

    def moved(name):
        return after[name] - before[name]

    assert moved("upgrades_total") == 3
    assert moved("messages_published_total") == 6
    assert moved("published_bytes_total") == 60
    assert moved("deliveries_total") == 18
    # Each with a header of two bytes.
    assert moved("delivered_bytes_total") == 18 * 12
    # One for each delivery, for each 101, for each POST's answer, and one or two for the page itself.
    assert 18 + 3 + 5 <= moved("sends_total") <= 18 + 3 + 5 + 2
    assert (after["subscribers"], after["topics"], after["log_bytes_used"], after["lagging"]) == (3, 1, 0, 0)
    # Five POSTs and the first scrape; the second counts itself or not.
    assert moved("http_requests_total") in (6, 7)
    assert moved("connections_accepted_total") == 3 + 5 + 1
    assert moved("turns_total") > 0

    members[0].send(frame(CLOSE, close_body(1000)))
    members[0].take_close()
    server.request("GET", "/nothing")
    eventually(lambda: server.metrics()["subscribers"] == 2, "one subscriber to have left")
    end = server.metrics()
    assert end.labelled("closes_total", "code", 1000) == 1
    assert end["connections_closed_by_peer_total"] > after["connections_closed_by_peer_total"]
    assert end["http_errors_total"] == after["http_errors_total"] + 1


def test_build_info_names_version_and_commit(server):
    version, commit = re.fullmatch(r"corecast (\S+) \(commit (\w+)\)\n", run("--version").stdout).groups()
    assert server.metrics().samples[("corecast_build_info", f'version="{version}",commit="{commit}"')] == 1


def test_health_and_readiness(server):
    for path in ["/health", "/ready"]:
        answer = server.admin(path)
        assert answer.status == 200
        assert answer.json()["status"] == "healthy"


def test_admin_port_serves_the_pages_that_help_names(server):
    named = re.search(r"--admin <ADDR>\s+Address and port for ((?:/\w+[, and]+)*/\w+)", run("--help").stdout)[1]
    pages = re.findall(r"/\w+", named)
    assert "/metrics" in pages
    for page in pages:
        assert server.admin(page).status == 200, page


def test_admin_port_has_no_topics(server, topic):
    assert server.admin(f"/topics/{topic}").status == 404
    with server.admin_http() as http:
        assert http.request("POST", f"/topics/{topic}", body=b"x").status == 404
    assert server.topic(topic).status == 404
    assert server.admin("/metrics", "HEAD").body == b""
    assert server.admin("/metrics", "DELETE").status == 405


def test_admin_port_can_be_switched_off(start, topic):
    server = start(admin="off")
    assert server.publish(topic, b"x") == 1
    assert "/metrics" not in server.log


def test_open_connections_go_back_to_what_they_were(start, topic):
    server = start()
    before = server.metrics()["connections_open"]
    for _ in range(50):
        server.subscribe_raw(topic)
    eventually(lambda: server.metrics()["connections_open"] == before + 50, "all to be open")
    server.close_clients()
    eventually(lambda: server.metrics()["connections_open"] == before, "all to be closed")
    eventually(lambda: server.metrics()["subscribers"] == 0, "all subscriptions to have ended")
