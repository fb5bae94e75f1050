"""What `corecast-load` writes, read by others: the log of histograms by HdrHistogram's Python port, JSON by Python's own parser."""

import base64
import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from support.process import binary

LONGEST_NS = 3_600_000_000_000
# 200 messages to 20 subscribers, in 20 intervals of 50 ms and one for what comes behind them.
RUN = ["-c", "20", "--rate", "200", "--duration", "1s", "--warmup", "200ms", "--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def written(default_server, tmp_path_factory):
    """The files of one run."""
    directory = tmp_path_factory.mktemp("reports")
    options = [f"--{form}={directory / form}" for form in ("json", "hlog", "html")]
    metrics = f"http://127.0.0.1:{default_server.admin_port}/metrics"
    command = [Path(binary()).with_name("corecast-load"), "run", default_server.url("{topic}"), "--preset", "corecast", "--metrics", metrics]
    done = subprocess.run([*command, *RUN, *options], capture_output=True, text=True, timeout=60, check=False)
    # A busy host may make the generator the limit; what it measured is reported all the same.
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return directory


@pytest.fixture
def report(written):
    return json.loads((written / "json").read_text())


def read_log(path):
    """All histograms of a log, by tag."""
    reader = HistogramLogReader(str(path), HdrHistogram(1, LONGEST_NS, 3))
    histograms = {}
    with contextlib.closing(reader):
        while (histogram := reader.get_next_interval_histogram()) is not None:
            histograms.setdefault(histogram.get_tag(), []).append(histogram)
    return histograms


def added(histograms):
    total = HdrHistogram(1, LONGEST_NS, 3)
    for histogram in histograms:
        total.add(histogram)
    return total


def percentiles(histogram):
    at = {"p50_ns": 50, "p90_ns": 90, "p99_ns": 99, "p999_ns": 99.9}
    values = {name: histogram.get_value_at_percentile(percent) for name, percent in at.items()}
    ends = {"min_ns": histogram.get_min_value(), "max_ns": histogram.get_max_value()}
    return values | ends | {"count": histogram.get_total_count()}


def test_log_of_histograms_agrees_with_the_report(written, report):
    histograms = read_log(written / "hlog")
    expected = {
        "from_intended": report["latency"]["from_intended"],
        "from_sent": report["latency"]["from_sent"],
        "spread": report["latency"]["spread"],
        "handshake": report["connect"]["handshake"],
        "schedule_lag": report["generator"]["schedule_lag"],
        "own_lag": report["generator"]["own_lag"],
        "reap_lag": report["generator"]["reap_lag"],
    }
    found = {tag: percentiles(added(parts)) for tag, parts in histograms.items()}

    def without_ranks(figures):
        return {tag: (part["count"], part["max_ns"]) for tag, part in figures.items()}

    assert without_ranks(found) == without_ranks(expected)
    # A percentile's rank is rounded differently where it is no whole number.
    for tag in ("from_intended", "from_sent"):
        assert found[tag] == expected[tag]
    assert expected["from_intended"]["count"] == report["delivery"]["received"] == 4_000


def test_log_has_the_intervals_of_the_timeline(written, report):
    began_ms = report["setup"]["began_unix_ms"]
    intervals = {
        round(interval["begin_seconds"] * 1_000): interval
        for interval in report["timeline"]
        if interval.get("received")
    }
    logged = read_log(written / "hlog")["from_intended"]
    assert len(logged) == len(intervals)
    for histogram in logged:
        begin_ms = histogram.get_start_time_stamp() - began_ms
        interval = intervals[min(intervals, key=lambda ms: abs(ms - begin_ms))]
        assert abs(interval["begin_seconds"] * 1_000 - begin_ms) <= 2
        assert histogram.get_total_count() == interval["received"]
        assert histogram.get_value_at_percentile(50) == interval["p50_ns"]
        assert histogram.get_max_value() == interval["max_ns"]


def test_histograms_of_the_report_are_the_standard_encoding(report):
    for name in ("from_intended", "from_sent"):
        decoded = HdrHistogram.decode(report["histograms"][name])
        assert percentiles(decoded) == report["latency"][name]
        assert base64.b64decode(report["histograms"][name])[:4] == bytes.fromhex("1c849314")


def test_timeline_adds_up(report):
    measured = [interval for interval in report["timeline"] if interval["phase"] in ("measure", "drain")]
    assert sum(interval["received"] for interval in measured) == 4_000
    assert sum(interval["published"] for interval in measured) == 200
    assert len([interval for interval in measured if interval["phase"] == "measure"]) == 20
    connecting = [interval for interval in report["timeline"] if interval["phase"] == "connect"]
    assert sum(interval["opened"] for interval in connecting) == 21


def test_page_needs_nothing_from_elsewhere(written):
    page = (written / "html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert not re.findall(r"<script|<link|<img|<iframe|@import|url\(|(?:src|href)=", page)
    assert page.count("<figure>") == page.count("<svg ") == 12
