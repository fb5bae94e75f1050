#!/usr/bin/env python3
"""What the load generator can do on this host: a million WebSocket connections, handshakes, frames on one core.

Server and generator share the cores, and both ends of every connection are in this kernel. What connections cost is held
against bare TCP connections and sends that were measured in the same run. Exit code: 0 when all are within their limits, 1 when not, 2 when a step failed.
"""

import argparse
import json
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = ROOT / "target/release"
LISTEN, ADMIN = "127.0.0.1:9401", "127.0.0.1:9402"
# Of a ring's table, which RLIMIT_NOFILE bounds: the kernel deals connections out by hash, so not evenly.
FULLEST_TABLE = 0.85

# Multiples of what the bare connections and sends beside them take.
CONNECT_LIMIT, BROADCAST_LIMIT, HANDSHAKE_LIMIT = 2.2, 1.5, 0.5
SERVER_GROWTH_LIMIT = 250_000_000
FRAMES_LIMIT = 12_000_000


class Failed(Exception):
    """A step of the run did not work."""


def run(command, seconds):
    """Runs a command of ours to its end and gives what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    return done.returncode, done.stdout, done.stderr


def floor(connections):
    code, out, err = run([BINARIES / "connect_floor", "pair", "--connections", str(connections)], 600)
    if code != 0:
        raise Failed(f"connect_floor: {err.strip()}")
    return json.loads(out)


def await_quiet():
    """After a process with rings is gone, the kernel still takes its sockets apart."""
    for _ in range(600):
        stat = pathlib.Path("/proc/net/sockstat").read_text().splitlines()
        tcp = next(line for line in stat if line.startswith("TCP:")).split()
        if int(tcp[tcp.index("alloc") + 1]) < 2_000:
            break
        time.sleep(0.1)
    time.sleep(1)


def await_health():
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://{ADMIN}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise Failed("the server does not answer on its admin address")


class Process:
    """A server that ends with the block."""

    def __init__(self, command):
        self.log = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        await_quiet()


def load(arguments, seconds):
    """One run of the generator: its report."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [BINARIES / "corecast-load", "run", *arguments, "--quiet", "--json", file.name]
        code, out, err = run(command, seconds)
        text = pathlib.Path(file.name).read_text()
        if not text:
            raise Failed(f"corecast-load ended with {code}: {err.strip()}")
        return json.loads(text), out


def handshakes(connections):
    """Connects a second, bare and with handshakes that a trivial server answers."""
    bare = floor(connections)
    await_quiet()
    command = [BINARIES / "connect_floor", "answer", "--listen", LISTEN, "--connections", str(connections + 1_000)]
    with Process(command):
        time.sleep(1)
        arguments = [f"ws://{LISTEN}/", "-c", str(connections), "--duration", "100ms", "--warmup", "0s", "--grace", "0s"]
        report, _ = load(arguments, 300)
    if report["connect"]["failed"]:
        raise Failed(f"{report['connect']['failed']} handshakes failed: {report['connect']['failures']}")
    return bare["connects_per_second"], report["connect"]["per_second"]


def million(connections, shards, nofile, hold):
    # As many as the tables of direct descriptors hold.
    most = str(shards * (nofile - 256))
    command = [BINARIES / "corecast", "--shards", str(shards), "--max-connections", most,
               "--listen", LISTEN, "--admin", ADMIN, "--log-filter", "warn"]
    with Process(command) as server:
        await_health()
        # One message: the window is long enough for its broadcast.
        arguments = [
            f"ws://{LISTEN}", "--preset", "corecast", "--connections", str(connections),
            "--hold", f"{hold}s", "--ping", "--rate", "0.05", "--warmup", "0s", "--duration", "20s", "--grace", "60s",
            "--connect-timeout", "60s", "--server-pid", str(server.process.pid),
        ]
        return load(arguments, 900)


def frames(subscribers=1_000, in_flight=1_024):
    """Messages of 64 bytes that one core of the generator receives and checks in a second, and how busy it is."""
    command = ["taskset", "-c", "0", BINARIES / "corecast", "--shards", "1", "--listen", LISTEN, "--admin", ADMIN,
               "--log-filter", "warn"]
    with Process(command):
        await_health()
        arguments = [f"ws://{LISTEN}", "--preset", "corecast", "-c", str(subscribers), "--in-flight", str(in_flight),
                     "--cores", "1", "--busy-poll", "--duration", "5s"]
        report, _ = load(arguments, 120)
    delivery, worker = report["delivery"], report["generator"]["workers"][0]
    if delivery["ratio"] != 1.0:
        raise Failed(f"{delivery['lost']} deliveries were lost")
    return report["throughput"]["deliveries_per_second"], worker["cpu_share"]


class Table:
    """What was measured beside what, and whether it is within its limit."""

    def __init__(self):
        self.rows = []

    def add(self, name, measured, beside, ratio, sense, limit):
        self.rows.append((name, measured, beside, ratio, sense, limit))

    def show(self):
        """Whether all is within its limits."""
        all_hold = True
        print(f"\n{'figure':30}{'measured':>12}  {'beside':34}{'ratio':>7}  limit")
        for name, measured, beside, ratio, sense, limit in self.rows:
            holds = ratio <= limit if sense == "at most" else ratio >= limit
            all_hold &= holds
            print(f"{name:30}{measured:>12}  {beside:34}{ratio:7.2f}  {sense} {limit}{'' if holds else '  NOT MET'}")
        return all_hold


def measure_million(options, nofile, table):
    shards = options.shards or max(2, -(-options.connections // int(nofile * FULLEST_TABLE)))
    print(f"floor: {options.connections:,} bare connections, and 64 bytes sent to each", flush=True)
    bare = floor(options.connections)
    await_quiet()
    print(f"corecast with {shards} shards, corecast-load with {options.connections:,} connections", flush=True)
    report, text = million(options.connections, shards, nofile, options.hold)
    print(text)
    # The kernel has to find memory for the first million sockets, later ones get what it kept: the faster floor counts.
    print("floor, again", flush=True)
    again = floor(options.connections)
    await_quiet()
    bare |= {what: min(bare[what], again[what]) for what in ("connect_seconds", "send_to_all_seconds")}
    server, connect, delivery = report["server"], report["connect"], report["delivery"]
    last = report["latency"]["from_intended"]["max_ns"] / 1e9
    growth = server["resident_bytes_end"] - server["resident_bytes_before"]
    table.add("connected and checked", f"{connect['seconds']:.1f} s", f"bare connects {bare['connect_seconds']:.1f} s",
              connect["seconds"] / bare["connect_seconds"], "at most", CONNECT_LIMIT)
    table.add("broadcast, last receipt", f"{last:.2f} s", f"bare sends {bare['send_to_all_seconds']:.2f} s",
              last / bare["send_to_all_seconds"], "at most", BROADCAST_LIMIT)
    table.add("server memory, growth", f"{growth / 1e6:.0f} MB", f"{SERVER_GROWTH_LIMIT / 1e6:.0f} MB",
              growth / SERVER_GROWTH_LIMIT, "at most", 1.0)
    complete = [connect["connected"] / connect["wanted"], connect["ping"]["answered"] / options.connections,
                delivery["ratio"]]
    table.add("complete", f"{min(complete):.4%}", "least of connects, pongs, receipts", min(complete), "at least", 1.0)
    return {"floor": bare, "report": report}


def measure_handshakes(options, table):
    print(f"handshakes: {options.handshakes:,} to a server that does nothing but answer", flush=True)
    bare, rate = handshakes(options.handshakes)
    table.add("handshakes a second", f"{rate:,.0f}", f"bare connects {bare:,.0f}", rate / bare, "at least", HANDSHAKE_LIMIT)
    return {"bare_connects_per_second": bare, "handshakes_per_second": rate}


def measure_frames(table):
    print("frames: 1,000 subscribers, 1,024 messages on their way, server and generator on a core each", flush=True)
    rate, share = frames()
    table.add("64-byte frames a second", f"{rate:,.0f}", f"one core, {share:.0%} busy", rate / FRAMES_LIMIT, "at least", 1.0)
    return {"frames_per_second": rate, "cpu_share": share}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="million, handshakes, frames (default: all)")
    parser.add_argument("--connections", type=int, default=1_000_000, help="of the million (default: %(default)s)")
    parser.add_argument("--shards", type=int, help="of the server [default: what RLIMIT_NOFILE demands]")
    parser.add_argument("--hold", type=int, default=30, help="seconds without traffic (default: %(default)s)")
    parser.add_argument("--handshakes", type=int, default=100_000, help="connections to the trivial server (default: %(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures and the generator's report here")
    options = parser.parse_args()
    parts = options.parts or ["million", "handshakes", "frames"]
    if unknown := set(parts) - {"million", "handshakes", "frames"}:
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    table, found = Table(), {}
    if "million" in parts:
        found["million"] = measure_million(options, nofile, table)
    if "handshakes" in parts:
        found["handshakes"] = measure_handshakes(options, table)
    if "frames" in parts:
        found["frames"] = measure_frames(table)
    holds = table.show()
    if options.json:
        options.json.write_text(json.dumps(found))
    return 0 if holds else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(f"benches/generator/run.py: {failure}", file=sys.stderr)
        sys.exit(2)
