"""What the kernel says: busy ticks of a core, memory and connections of a process, who else is running."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, GENERATOR_CORE = 0, 1

# A bare send loop that reads less, or that waited longer for its core, shows that the meter can't be trusted here and now.
LEAST_BUSY_SHARE = 0.95
MOST_WAITING_SHARE = 0.05

# A core this busy is at rest; a tick in a window is already so much.
MOST_UNREST_SHARE = 0.05
# More than this of the server's core went to other guests of the host.
MOST_STEAL_SHARE = 0.02

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
ESTABLISHED = "01"


def is_disturbed(row):
    """Whether somebody else had a part of what a run was charged for."""
    return row.get("unrest_share", 0) > MOST_UNREST_SHARE or row.get("steal_share", 0) > MOST_STEAL_SHARE


class Disturbed(Exception):
    """The meter is not proved."""


@dataclass(frozen=True)
class Ticks:
    """proc_stat(5). Steal is time that the host gave to others: neither busy nor idle. Guest time is part of user time."""

    busy: int
    idle: int
    steal: int

    @classmethod
    def parse(cls, stat, core):
        for line in stat.splitlines():
            name, *fields = line.split()
            if name == f"cpu{core}":
                user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[:8])
                return cls(user + nice + system + irq + softirq, idle + iowait, steal)
        raise LookupError(f"/proc/stat knows no core {core}")

    @classmethod
    def now(cls, core):
        return cls.parse((PROC / "stat").read_text(), core)

    def __sub__(self, other):
        return Ticks(self.busy - other.busy, self.idle - other.idle, self.steal - other.steal)

    def share(self, ticks):
        return ticks / ((self.busy + self.idle + self.steal) or 1)

    @property
    def seconds(self):
        return (self.busy + self.idle + self.steal) / TICKS_PER_SECOND

    @property
    def busy_share(self):
        return self.share(self.busy)

    @property
    def steal_share(self):
        return self.share(self.steal)


def process_tree(pid):
    """A process and its descendants."""
    found, open_ones = [], [pid]
    while open_ones:
        found.append(open_ones.pop())
        for path in PROC.glob(f"{found[-1]}/task/*/children"):
            try:
                open_ones += map(int, path.read_text().split())
            except OSError:
                pass
    return found


def resident_bytes(pid):
    """Of a process tree."""
    total = 0
    for each in process_tree(pid):
        try:
            total += int((PROC / str(each) / "statm").read_text().split()[1]) * PAGE_BYTES
        except OSError:
            pass
    return total


def connections_of(tcp, port):
    """Established connections of a local port, from the text of /proc/net/tcp."""
    rows = (line.split() for line in tcp.splitlines()[1:])
    return sum(row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)


def open_connections(port):
    return connections_of((PROC / "net/tcp").read_text(), port)


@dataclass(frozen=True)
class Account:
    """What a thread had of the cores, in nanoseconds (/proc/pid/schedstat)."""

    ran: int
    # Ready to run, but without a core.
    waited: int


def accounts(pid):
    """{thread: Account} of a process tree."""
    found = {}
    for each in process_tree(pid):
        for path in PROC.glob(f"{each}/task/*/schedstat"):
            try:
                ran, waited, _ = map(int, path.read_text().split())
            except OSError:
                continue
            found[int(path.parent.name)] = Account(ran, waited)
    return found


NOTHING = Account(0, 0)


def ran_ns(before, after):
    """All threads together, between two readings."""
    return sum(account.ran - before.get(thread, NOTHING).ran for thread, account in after.items())


def longest_wait_ns(before, after):
    """Of the thread that waited longest. A server whose threads share a core waits for itself, too."""
    return max((account.waited - before.get(thread, NOTHING).waited for thread, account in after.items()), default=0)


def load_average():
    return float((PROC / "loadavg").read_text().split()[0])


def busiest_processes(seconds=1.0, most=5):
    """Who runs: [(share of a core, core it was last on, pid, name)], the busiest first. This process is left out."""

    def used():
        found = {}
        for path in PROC.glob("[0-9]*/stat"):
            try:
                head, tail = path.read_text().rsplit(")", 1)
            except OSError:
                continue
            fields = tail.split()
            found[int(path.parent.name)] = (int(fields[11]) + int(fields[12]), int(fields[36]), head.split("(", 1)[1])
        return found

    before = used()
    time.sleep(seconds)
    rows = []
    for pid, (ticks, core, name) in used().items():
        share = (ticks - before.get(pid, (ticks,))[0]) / TICKS_PER_SECOND / seconds
        if share >= 0.01 and pid != os.getpid():
            rows.append((share, core, pid, name))
    return sorted(rows, reverse=True)[:most]


def prove(send_floor, seconds):
    """Runs a bare send loop on the server's core and reads it as a server is read. What it found, also when it does not
    suffice: `problem` is then the reason."""
    command = ["taskset", "-c", f"{SERVER_CORE},{GENERATOR_CORE}", str(send_floor), "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        try:
            if not sender.stdout.readline():
                raise Disturbed(f"{send_floor} did not start")
            # The loop is the main thread.
            before, began = Ticks.now(SERVER_CORE), accounts(sender.pid)
            # The last ticks are read before it ends: an ended process has no queue to wait in.
            time.sleep(max(seconds - 0.2, 0.5))
            spent, waited = (
                Ticks.now(SERVER_CORE) - before,
                accounts(sender.pid)[sender.pid].waited - began[sender.pid].waited,
            )
            sent = json.loads(sender.stdout.readline() or "{}")
        except BaseException:
            sender.send_signal(signal.SIGKILL)
            raise
    if not sent:
        raise Disturbed(f"{send_floor} failed")
    proof = {
        "seconds": sent["seconds"],
        "sends": sent["sends"],
        "sends_per_second": sent["sends"] / sent["seconds"],
        "busy_share": spent.busy_share,
        "steal_share": spent.steal_share,
        "waiting_share": waited / 1e9 / spent.seconds,
        "problem": None,
    }
    if proof["busy_share"] < LEAST_BUSY_SHARE or proof["waiting_share"] > MOST_WAITING_SHARE:
        proof["problem"] = complaint(proof)
    return proof


def complaint(proof):
    lines = [
        f"the meter is not proved: a bare send loop on core {SERVER_CORE} read {proof['busy_share']:.1%} busy (at least "
        f"{LEAST_BUSY_SHARE:.0%} is needed), {proof['steal_share']:.1%} went to other guests of the host, and it waited "
        f"{proof['waiting_share']:.1%} of the time for its core (at most {MOST_WAITING_SHARE:.0%} is allowed)",
        f"load average {load_average():.2f}; running now:",
    ]
    lines += [f"  {share:5.0%} on core {core}  {name} ({pid})" for share, core, pid, name in busiest_processes()]
    return "\n".join(lines)


def floor(send_floor, rounds=5):
    """What one send costs here, by send() and by our ring: rows of bytes, send_us, ring_us."""
    return send_floor_rows(send_floor, "--rounds", rounds)


FLOOR_SENDS = 150_000


def ring_floor_ns(send_floor, connections):
    """What one send of 64 bytes costs by our ring, with so many connections: more with more of them."""
    passes = max(FLOOR_SENDS // connections, 1)
    options = ("--ring-only", "--connections", connections, "--passes", passes, "--bytes", 64, "--rounds", 3)
    (row,) = send_floor_rows(send_floor, *options)
    return row["ring_us"] * 1e3


def send_floor_rows(send_floor, *options):
    cores = f"{SERVER_CORE},{GENERATOR_CORE}"
    command = ["taskset", "-c", cores, str(send_floor), "--json", *map(str, options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
