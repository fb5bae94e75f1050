#!/usr/bin/env python3
"""One run of the load generator over several hosts, each a network namespace: a server, two workers and a coordinator on a
bridge, in namespaces of their own, which are gone with this process whatever happens.

usage: tests/namespaces.py CORECAST CORECAST_LOAD      the binaries of server and generator
Exit code 77: not possible here; the last line says why.

All namespaces share one kernel, so the truth about the workers' clocks is known: CLOCK_MONOTONIC is the same everywhere, except
for a worker in a time namespace, which is ahead by exactly what it was given.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SERVER = "10.77.0.2"
WORKERS = {"a": "10.77.0.11", "b": "10.77.0.12"}
AHEAD_SECONDS = 1_000
INSIDE = "CORECAST_INSIDE_NAMESPACES"

corecast = generator = None


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(77)


def enter():
    """Starts this program again in a network and a mount namespace."""
    for program, package in [("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")]:
        if not shutil.which(program):
            skip(f"{program} (Debian package {package}) is missing")
    unshare = ["unshare", "--mount", "--net"] + (["--user", "--map-root-user"] if os.getuid() else [])
    trial = subprocess.run([*unshare, "ip", "link", "add", "bridge0", "type", "bridge"], capture_output=True, text=True)
    if trial.returncode:
        skip(f"no network namespace with a bridge can be made: {trial.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def make_network():
    # Where `ip netns` keeps names: this mount namespace's own.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    os.mkdir("/run/netns")
    ip("link", "set", "lo", "up")
    ip("link", "add", "bridge0", "type", "bridge")
    ip("address", "add", "10.77.0.1/24", "dev", "bridge0")
    ip("link", "set", "bridge0", "up")
    for name, address in [("server", SERVER), *WORKERS.items()]:
        ip("netns", "add", name)
        ip("link", "add", f"veth-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"veth-{name}", "master", "bridge0", "up")
        ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "eth0", "up")


def die_with_parent():
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(namespace, *command):
    return subprocess.Popen(["nsenter", f"--net=/run/netns/{namespace}", *command], preexec_fn=die_with_parent)


def wait_for(address, port):
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((address, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def command_line(*arguments):
    url = f"ws://{SERVER}:9001/topics/{{topic}}"
    workers = ",".join(WORKERS.values())
    return [generator, "run", url, "--preset", "corecast", "--workers", workers, "--threads", "1", "--quiet", *arguments]


class OverHosts(unittest.TestCase):
    # 40 subscribers on 3 topics; publishers 0 and 3 feed topic 0 with its 14 subscribers. 400 messages from each.
    LOAD = ["-c", "40", "--topics", "3", "--publishers", "4", "--rate", "200", "--duration", "2s", "--warmup", "200ms"]
    PUBLISHED = 4 * 400
    DELIVERIES = 400 * (14 + 13 + 13 + 14)

    def setUp(self):
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            # Not terminated: `unshare --fork` does not listen to that.
            process.kill()
            process.wait()

    def start(self, namespace, *command):
        self.processes.append(start(namespace, *command))
        return self.processes[-1]

    def start_all(self, before_b=()):
        self.start("server", corecast, "--listen", f"{SERVER}:9001", "--allow-anonymous-publish")
        workers = [
            self.start(name, *(before_b if name == "b" else ()), generator, "worker", "--listen", f"{address}:9003")
            for name, address in WORKERS.items()
        ]
        wait_for(SERVER, 9001)
        for address in WORKERS.values():
            wait_for(address, 9003)
        return workers

    def run_over_both(self, *arguments):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "report.json")
            done = subprocess.run(command_line(*self.LOAD, "--json", path, *arguments), timeout=120)
            # 3: this host was busy with other things. That is not what is tested.
            self.assertIn(done.returncode, [0, 3])
            with open(path) as file:
                report = json.load(file)
        delivery = report["delivery"]
        self.assertEqual(report["connect"]["connected"], 44)
        self.assertEqual((delivery["published"], delivery["expected"]), (self.PUBLISHED, self.DELIVERIES))
        self.assertEqual((delivery["received"], delivery["lost"]), (self.DELIVERIES, 0))
        self.assertEqual((delivery["duplicated"], delivery["reordered"], delivery["unexpected"]), (0, 0, 0))
        return report

    def assert_ahead(self, host, truth_ns):
        error_ns = abs(host["clock_ahead_ns"] - truth_ns)
        self.assertLessEqual(error_ns, host["clock_uncertainty_ns"], host)
        # At the end it is known as well; the drift is the difference of two estimates.
        self.assertLess(abs(host["clock_drift_ns"]), 1_000_000_000, host)

    def test_two_hosts_make_one_run(self):
        self.start_all()
        report = self.run_over_both()
        hosts = report["setup"]["hosts"]
        self.assertEqual([host["address"] for host in hosts], list(WORKERS.values()))
        for host in hosts:
            self.assertTrue(host["is_coordinators"], "one kernel")
            self.assert_ahead(host, 0)
        # Publisher 0 and the even subscribers are a's, 1 and the odd ones b's: of each topic's deliveries some are between hosts.
        latency = report["latency"]
        timed = latency["from_sent"]["count"]
        self.assertEqual(timed + latency["untimed"], self.DELIVERIES)
        self.assertGreater(timed, 0)
        self.assertGreater(latency["untimed"], 0)
        self.assertIsNone(latency["clock_bound_ns"])

    def test_latency_across_clocks_that_differ(self):
        ahead = ["unshare", "--time", "--monotonic", str(AHEAD_SECONDS), "--fork", "--kill-child"]
        if subprocess.run([*ahead, "true"], capture_output=True).returncode:
            print("SKIPPED: clocks that differ: no time namespace can be made", flush=True)
            return
        self.start_all(before_b=ahead)
        report = self.run_over_both("--cross-host-latency")
        host_a, host_b = report["setup"]["hosts"]
        self.assert_ahead(host_a, 0)
        self.assert_ahead(host_b, AHEAD_SECONDS * 1_000_000_000)
        latency = report["latency"]
        self.assertEqual((latency["from_sent"]["count"], latency["untimed"]), (self.DELIVERIES, 0))
        uncertainty_ns = host_a["clock_uncertainty_ns"] + host_b["clock_uncertainty_ns"]
        self.assertGreaterEqual(latency["clock_bound_ns"], uncertainty_ns)
        # Taken by the wrong clock they would be longer than the run by far.
        self.assertLess(latency["from_sent"]["max_ns"], 100_000_000_000)
        self.assertLess(report["throughput"]["seconds"], 100)

    def test_a_worker_that_is_killed_ends_the_run(self):
        _, killed = self.start_all()
        error = self.interrupted_run(killed.kill)
        self.assertIn(f"worker {WORKERS['b']}: the connection ended", error)
        self.start("b", generator, "worker", "--listen", f"{WORKERS['b']}:9003")
        wait_for(WORKERS["b"], 9003)
        self.run_over_both()

    def test_a_line_that_is_cut_ends_the_run(self):
        self.start_all()
        error = self.interrupted_run(lambda: ip("link", "set", "veth-b", "down"))
        self.assertIn(f"worker {WORKERS['b']}: nothing was heard of it for 15 s", error)
        self.assertNotIn(WORKERS["a"], error)
        ip("link", "set", "veth-b", "up")
        wait_for(WORKERS["b"], 9003)
        self.wait_until_free()
        self.run_over_both()

    def wait_until_free(self):
        """The worker behind a cut line gives up by itself, after its silence and its closing."""
        for _ in range(90):
            run = subprocess.run(command_line("-c", "2", "--duration", "100ms"), capture_output=True, text=True, timeout=120)
            if "busy with another coordinator's run" not in run.stderr:
                return
            time.sleep(1)
        self.fail(f"still busy: {run.stderr}")

    def interrupted_run(self, act):
        """What a run says that ends when this happens to it."""
        run = subprocess.Popen(
            command_line("-c", "40", "--duration", "1h"), stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        self.processes.append(run)
        time.sleep(3)
        self.assertIsNone(run.poll())
        act()
        _, error = run.communicate(timeout=90)
        self.assertEqual(run.returncode, 1, error)
        return error


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not os.environ.get(INSIDE):
        enter()
    corecast, generator = (os.path.abspath(path) for path in sys.argv[1:])
    make_network()
    unittest.main(argv=sys.argv[:1])
