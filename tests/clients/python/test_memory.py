"""What a crowd of connections costs, and that its memory goes back when it has left."""

import resource
import subprocess
import time
from pathlib import Path

import pytest
from support.process import binary

CROWD = 15_000

# A user's memory for an idle connection, in bytes.
CONNECTION_MAX = 200


def crowd(server, subscribers):
    """So many subscribers come, get one message each and leave; the process's resident bytes while they were there."""
    load = [Path(binary()).with_name("corecast-load"), "run", server.url("crowd"), "--preset", "corecast"]
    # Two addresses: the kernel looks long for a free port when one is nearly used up.
    sources = ["--source", "127.0.0.1", "--source", "127.0.0.2"]
    size = ["--subscribers", str(subscribers), "--rate", "1", "--warmup", "0s", "--duration", "1s"]
    with subprocess.Popen([*load, *sources, *size, "--quiet"], stdout=subprocess.PIPE, text=True) as run:
        highest = 0
        while run.poll() is None:
            highest = max(highest, resident(server))
            time.sleep(0.02)
        # 3: the generator was the limit, which is nothing to us.
        assert run.returncode in (0, 3), run.stdout.read()
    return highest


def resident(server):
    """Exactly, as sum of its mappings: the number in `status` is kept per core and lags behind."""
    sums = Path(f"/proc/{server.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in sums.splitlines() if line.startswith("Rss:"))


def test_memory_of_a_crowd_is_small_and_goes_back(start):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit < CROWD + 1_000:
        pytest.skip(f"SKIPPED: RLIMIT_NOFILE is {limit:,}, {CROWD + 1_000:,} are needed")
    server = start("--shards", "1", "--max-connections", str(CROWD + 500))
    # Receive buffers and the like are touched once and stay.
    crowd(server, 1_000)
    before = resident(server)
    during = crowd(server, CROWD)
    assert (during - before) / CROWD < CONNECTION_MAX
    deadline = time.monotonic() + 15
    while resident(server) > 1.1 * before and time.monotonic() < deadline:
        time.sleep(0.1)
    after = resident(server)
    assert after <= 1.1 * before, f"{before:,} bytes before, {during:,} with the crowd, {after:,} after it"
    assert during > 1.15 * before, "the crowd was too small to tell"
