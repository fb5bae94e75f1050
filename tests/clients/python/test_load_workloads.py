"""`corecast-load`'s workloads against the service itself: restarted, left slow readers, with connections that come and go.

What is asserted follows from rates and durations, or is a sum that holds whatever the host's speed."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from support.process import Server, binary

COMMAND = [Path(binary()).with_name("corecast-load"), "run", "--preset", "corecast", "--warmup", "200ms", "--grace", "20s"]


def load(server, *options):
    """A run that has started."""
    url = f"ws://{server.authority}"
    return subprocess.Popen([*COMMAND, url, *options, "--quiet", "--json", "-"], stdout=subprocess.PIPE, text=True)


def report_of(running):
    out, _ = running.communicate(timeout=90)
    # A busy host may make the generator the limit; what it counted is right all the same.
    assert running.returncode in (0, 3), out
    return json.loads(out)


@pytest.fixture
def own_server():
    """A server, and a way to start another where it was."""
    servers = [Server()]

    def restart(end):
        authority = servers[-1].authority
        end(servers[-1])
        servers.append(Server(listen=authority))

    yield servers[0], restart
    servers[-1].stop()


@pytest.mark.parametrize(
    ("end", "cause"),
    [(Server.kill, ("the stream ended", "the connection broke")), (Server.stop, ("the server closed: 1001",))],
)
def test_everybody_comes_back_to_a_server_that_was_restarted(own_server, end, cause):
    server, restart = own_server
    options = ["-c", "50", "--publishers", "2", "--rate", "100", "--duration", "6s"]
    running = load(server, *options, "--reconnect", "--reconnect-delay", "500ms")
    time.sleep(2)
    restart(end)
    report = report_of(running)
    delivery, reconnect = report["delivery"], report["reconnect"]
    assert (reconnect["lost"], reconnect["returned"], reconnect["away"]) == (50, 50, 0)
    assert (reconnect["publishers_lost"], reconnect["publishers_returned"]) == (2, 2)
    assert all(each["reason"].startswith(cause) for each in reconnect["causes"])
    [storm] = reconnect["storms"]
    assert storm["lost"] == 50
    assert storm["half_seconds"] <= storm["p99_seconds"] <= storm["all_seconds"]
    # 2 publishers, 100 a second for 6 seconds: late where nobody took them, but all.
    assert (delivery["published"], delivery["unsent"]) == (1_200, 0)
    assert delivery["expected"] + reconnect["missed_away"] == 1_200 * 50
    assert (delivery["received"], delivery["lost"]) == (delivery["expected"], 0)
    assert (delivery["duplicated"], delivery["reordered"]) == (0, 0)


def test_stays_lose_nothing(server):
    options = ["-c", "60", "--topics", "3", "--rate", "100", "--duration", "3s"]
    report = report_of(load(server, *options, "--churn", "40", "--churn-subscribers", "30"))
    delivery, churn = report["delivery"], report["churn"]
    # 30 stay, ten on each topic.
    assert (delivery["expected"], delivery["received"]) == (9_000, 9_000)
    # 40 a second for 3.2 seconds with the warm-up.
    assert churn["left"] + churn["nobody_left"] == 128
    assert (churn["lost"], churn["duplicated"], churn["reordered"], churn["disconnected"]) == (0, 0, 0, 0)
    assert churn["received"] == churn["expected"]
    assert churn["expected"] + churn["missed_away"] == 9_000


def test_who_stops_reading_is_closed_and_the_others_get_everything(server):
    options = ["-c", "20", "--rate", "200", "--size", "16KiB", "--duration", "9s"]
    report = report_of(load(server, *options, "--slow-subscribers", "10%", "--slow-rate", "0"))
    delivery, slow = report["delivery"], report["slow"]
    assert (delivery["expected"], delivery["received"]) == (1_800 * 18, 1_800 * 18)
    # Lapped when the topic's log of a mebibyte has gone by, and reset 5 seconds after the Close frame that they don't read.
    assert (slow["subscribers"], slow["disconnected"], slow["unread"]) == (2, 2, 0)
    assert slow["received"] + slow["missed_disconnected"] == 1_800 * 2
    assert slow["skipped"] == 0
