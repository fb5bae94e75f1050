"""One server under one load: starts it, lets corecast-load work on it, and says what it found."""

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import meter
from .peers import SERVERS, CannotRun, running, tail

# Ten seconds of opening, at 60,000 a second: the ticks of less than that say little.
CONNECT_REPETITIONS = 60
# An idle server has nothing of a run left after that.
EMPTY_PATIENCE_SECONDS = 20
RETURN_PATIENCE_SECONDS = 10
RETURNED_SHARE = 1.1

REST_WINDOW_SECONDS = 0.25

# What corecast-load says with its exit status.
VALID, LOSS, GENERATOR_LIMITED = 0, 2, 3


@dataclass(frozen=True)
class Timing:
    duration_seconds: float
    warmup_seconds: float
    connect_repetitions: int = CONNECT_REPETITIONS
    # How long to wait for the server's core to come to rest, with the server idle.
    rest_seconds: float = 5.0

    def estimate(self, load):
        """Seconds that one run may take, before any has been seen."""
        if load.kind == "connect":
            return 2.5 * (self.connect_repetitions + 1)
        return 25 if load.kind == "memory" else self.duration_seconds + self.warmup_seconds + 2


def run(load, entrant, binaries, timing):
    """{"figures": {name: value}, "reports": [...], ...}. `CannotRun` when there is nothing to tell; figures of a
    run that lost messages are left out, and `problem` says what was lost."""
    server = SERVERS[entrant.server]
    measure = {"stream": stream, "connect": connect, "memory": memory}[load.kind]
    floor = {"floor_ns": bare_send_ns(binaries, load)} if load.is_beside_floor else {}
    with running(server, binaries, entrant.server_options) as instance:
        unrest = await_rest(instance.pid, timing.rest_seconds)
        before, accounts = meter.Ticks.now(meter.SERVER_CORE), meter.accounts(instance.pid)
        began = time.monotonic()
        found = measure(Generator(server, instance, entrant, load, binaries), timing)
        seconds = time.monotonic() - began
        waited = meter.longest_wait_ns(accounts, meter.accounts(instance.pid)) / 1e9 / seconds
        stolen = (meter.Ticks.now(meter.SERVER_CORE) - before).steal_share
    if found["figures"]:
        found["figures"] |= floor
    return found | {
        "unrest_share": unrest,
        "steal_share": stolen,
        "waiting_share": waited,
        "load_average": meter.load_average(),
    }


def bare_send_ns(binaries, load):
    try:
        return meter.ring_floor_ns(binaries.send_floor, load.connections)
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"send_floor ended with status {error.returncode}") from None


def await_rest(pid, seconds):
    """The share of the server's core that others than the server use before anything is asked of it. What the kernel does after
    the end of a server, such as taking down its ring, is waited for; whoever else runs there shows. A server that looks for
    work instead of sleeping is busy by itself."""
    deadline = time.monotonic() + seconds
    while True:
        before, accounts = meter.Ticks.now(meter.SERVER_CORE), meter.accounts(pid)
        time.sleep(REST_WINDOW_SECONDS)
        spent, own_ns = meter.Ticks.now(meter.SERVER_CORE) - before, meter.ran_ns(accounts, meter.accounts(pid))
        share = unrest_share(spent, own_ns)
        if share <= meter.MOST_UNREST_SHARE or time.monotonic() > deadline:
            return share


def unrest_share(spent, own_ns):
    """What was busy beside the server's own time. Ticks are samples, so they may be fewer than that."""
    return max(spent.busy_share - own_ns / 1e9 / spent.seconds, 0) if spent.seconds else 0


@dataclass(frozen=True)
class Generator:
    server: object
    instance: object
    entrant: object
    load: object
    binaries: object

    def __call__(self, duration_seconds, warmup_seconds, *options):
        """The report of one run, as data."""
        with tempfile.TemporaryDirectory(prefix="compare-") as folder:
            path, errors = Path(folder) / "report.json", Path(folder) / "errors"
            command = [
                *("taskset", "-c", str(meter.GENERATOR_CORE), str(self.binaries.load), "run"),
                *self.server.generator_options(self.instance.port, self.entrant.preset),
                *("--cores", str(meter.GENERATOR_CORE), "--server-pid", str(self.instance.pid)),
                *("--duration", f"{round(duration_seconds * 1000)}ms", "--warmup", f"{round(warmup_seconds * 1000)}ms"),
                *("--connect-timeout", "30s", "--grace", "5s", "--busy-poll", "--quiet", "--json", str(path)),
                *self.load.options,
                *self.entrant.load_options,
                # The last of two wins.
                *options,
            ]
            with errors.open("wb") as output:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            try:
                status = process.wait(duration_seconds + warmup_seconds + 120)
            except subprocess.TimeoutExpired:
                raise CannotRun("corecast-load did not end") from None
            finally:
                process.kill()
                process.wait()
            self.instance.check()
            if not path.exists():
                raise CannotRun(f"corecast-load ended with status {status}:\n{tail(errors)}")
            return json.loads(path.read_text())

    def await_empty(self):
        return until(EMPTY_PATIENCE_SECONDS, lambda: meter.open_connections(self.instance.port) == 0)

    def resident_bytes(self):
        return meter.resident_bytes(self.instance.pid)


def until(seconds, condition):
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def result(reports, figures):
    """Without the figures if something was lost."""
    verdicts = [report["verdict"] for report in reports]
    bad = [verdict for verdict in verdicts if verdict["exit_code"] not in (VALID, GENERATOR_LIMITED)]
    expected = sum(report["delivery"]["expected"] for report in reports)
    return {
        "figures": {} if bad else figures,
        "problem": "; ".join(reason for verdict in bad for reason in verdict["reasons"]) or None,
        "delivery_ratio": sum(report["delivery"]["received"] for report in reports) / expected if expected else 0.0,
        "lost": sum(report["delivery"]["lost"] for report in reports),
        "generator_limited": any(verdict["generator_limited"] for verdict in verdicts),
        "reports": reports,
    }


# Kinds of loads --------------------------------------------------------------------------------------------------


def stream(generate, timing):
    report = generate(timing.duration_seconds, timing.warmup_seconds)
    found = result([report], stream_figures(report))
    if found["generator_limited"] and found["figures"]:
        # Its latencies are the generator's own.
        found["figures"].pop("p50_us")
        found["figures"].pop("p99_us")
    return found


def stream_figures(report):
    """CPU is divided by the deliveries of the time in which it was measured: the window without what came after it."""
    throughput, server = report["throughput"], report["server"]
    latency = report["latency"]["from_intended"] or report["latency"]["from_sent"]
    window_seconds = report["setup"]["duration_ns"] / 1e9
    deliveries = throughput["deliveries_per_second"] * window_seconds or float("inf")
    return {
        "deliveries_per_second": throughput["deliveries_per_second"],
        "cpu_ns": server["core_busy_seconds"] / deliveries * 1e9,
        "rusage_ns": server["cpu_seconds"] / deliveries * 1e9,
        "core_busy_share": server["core_busy_share"],
        "p50_us": latency["p50_ns"] / 1e3,
        "p99_us": latency["p99_ns"] / 1e3,
    }


def connect(generate, timing):
    """What opening costs the server's core. One opening takes less than a tick in a thousand, so they are many."""
    generate(0.3, 0.1, "--subscribers", "1000", "--rate", "10")
    reports = []
    for _ in range(timing.connect_repetitions):
        if not generate.await_empty():
            raise CannotRun("connections of the run before are still open")
        reports.append(generate(0.3, 0.1))
    connected = sum(report["connect"]["connected"] for report in reports)

    def cost_us(name):
        return sum(report["server"][name] for report in reports) / connected * 1e6

    return result(
        reports,
        {
            "connect_us": cost_us("connect_core_busy_seconds"),
            "connect_rusage_us": cost_us("connect_cpu_seconds"),
            "connects_per_second": connected / sum(report["connect"]["seconds"] for report in reports),
        },
    )


def memory(generate, _timing):
    """Growth against the same process after one small run, so that what is set up once is no part of it."""
    generate(2.1, 0.1, "--subscribers", "1000")
    if not generate.await_empty():
        raise CannotRun("connections of the run before are still open")
    before = generate.resident_bytes()
    report = generate(4, 0.1)
    connections = report["connect"]["connected"]
    connected = report["server"]["resident_bytes_end"]
    until(RETURN_PATIENCE_SECONDS, lambda: generate.resident_bytes() <= RETURNED_SHARE * before)
    after = generate.resident_bytes()
    return result(
        [report],
        {
            "bytes_per_connection": (connected - before) / connections,
            "kernel_bytes_per_connection": kernel_bytes(report),
            "resident_before": before,
            "resident_connected": connected,
            "resident_after": after,
            "after_share": after / before,
        },
    )


def kernel_bytes(report):
    """Of both ends together."""
    kernel = report["kernel"] or {"tcp_bytes_per_connection": 0, "slab_bytes_per_connection": 0}
    return kernel["tcp_bytes_per_connection"] + kernel["slab_bytes_per_connection"]
