"""Does the capacity plan predict what it was not fitted to? Small runs on this machine are fitted, larger ones predicted."""

import argparse
import random
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

# Starting servers and reading ticks are those of the comparison.
from compare import meter, peers, runs
from compare.peers import CannotRun, say

FITTED, HELD_OUT = "fitted", "held out"

# What corecast-load says with its exit status: a limited generator says nothing false about the server's cores.
USABLE = (0, 3)
# What `corecast-load plan` says when a prediction is too far off.
TOO_FAR_OFF = 2

# One address has 28,232 ports; what is being closed still holds some.
SOURCES = tuple(part for last in range(1, 5) for part in ("--source", f"127.0.0.{last}"))


@dataclass(frozen=True)
class Run:
    name: str
    part: str
    connections: int
    options: tuple
    server_options: tuple = ("--shards", "1")

    def file(self, folder, round_number):
        return folder / f"{self.name}.{round_number}.json"


def fitted(name, subscribers, *options, server_options=("--shards", "1")):
    return Run(name, FITTED, subscribers, options, server_options)


def held_out(name, subscribers, *options):
    return Run(name, HELD_OUT, subscribers, options)


# No rate is in step with the ticks of /proc/stat, 100 a second: they would always or never see the work that follows a message.
RUNS = (
    # The pass and the message: many of them to few, alone and together.
    fitted("few", 10, "--rate", "6007"),
    fitted("few-together", 4, "--in-flight", "256"),
    fitted("idle", 10, "--rate", "1.3"),
    # The send: to a hundred and to a thousand, with half of a core and with less.
    fitted("hundred", 100, "--rate", "997"),
    fitted("thousand", 1_000, "--rate", "97.3"),
    fitted("thousand-more", 1_000, "--rate", "203"),
    # Sends of a core with more connections than are near.
    fitted("far", 3_000, "--rate", "23.3"),
    fitted("farther", 5_000, "--rate", "29.3"),
    fitted("quiet", 5_000, "--rate", "1.3"),
    fitted("topics", 500, "--topics", "10", "--rate", "199"),
    # The byte: large messages, and many in one send.
    fitted("large", 1_000, "--rate", "47.3", "--size", "16KiB", server_options=("--shards", "1", "--topic-log-bytes", "8MiB")),
    fitted("together", 1_000, "--in-flight", "64"),
    # The relay: two shards on one core.
    fitted("relayed", 64, "--publishers", "8", "--rate", "403", server_options=("--shards", "2")),
    # Larger in one way or another, by at most four times.
    held_out("four-thousand", 4_000, "--rate", "41.3"),
    held_out("ten-thousand", 10_000, "--rate", "14.3"),
    held_out("nineteen-thousand", 19_000, "--rate", "7.3"),
    held_out("forty-topics", 10_000, "--topics", "40", "--rate", "14.3"),
    held_out("kilobyte", 2_000, "--rate", "83", "--size", "1KiB"),
    held_out("full", 1_000, "--rate", "1499"),
    held_out("full-ten-thousand", 10_000, "--in-flight", "64"),
)


def command(run, binaries, port, metrics_port, pid, path, timing):
    """The generator's. Whole processes have a core each."""
    return [
        *("taskset", "-c", str(meter.GENERATOR_CORE), str(binaries.load), "run"),
        *(f"ws://127.0.0.1:{port}/topics/{{topic}}", "--preset", "corecast"),
        *("--metrics", f"http://127.0.0.1:{metrics_port}/metrics", "--server-pid", str(pid)),
        *("--cores", str(meter.GENERATOR_CORE), "--busy-poll", "--quiet", "--json", str(path)),
        *("--duration", f"{round(timing.duration_seconds * 1000)}ms"),
        *("--warmup", f"{round(timing.warmup_seconds * 1000)}ms"),
        *("--grace", "5s", "--connect-timeout", "30s", "--subscribers", str(run.connections)),
        *(SOURCES if run.connections > 10_000 else ()),
        *run.options,
    ]


def measure(run, binaries, path, timing):
    """One run against a server of its own, so that memory is not that of the run before."""
    server = peers.Server("corecast", "corecast", serve, peers.is_built(lambda binaries: binaries.ours / "corecast"), None)
    metrics_port = peers.free_port()
    options = ("--admin", f"127.0.0.1:{metrics_port}", *run.server_options)
    with peers.running(server, binaries, options) as instance:
        unrest = runs.await_rest(instance.pid, timing.rest_seconds)
        if unrest > meter.MOST_UNREST_SHARE:
            say(f"  disturbed: core {meter.SERVER_CORE} is {unrest:.0%} busy with others, which will count as the server's")
        arguments = command(run, binaries, instance.port, metrics_port, instance.pid, path, timing)
        patience = timing.duration_seconds + timing.warmup_seconds + 120
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience)
        instance.check()
    if done.returncode not in USABLE:
        raise CannotRun(f"corecast-load ended with status {done.returncode}\n{done.stderr or done.stdout}")


def serve(binaries, port, _folder):
    return [binaries.ours / "corecast", "--listen", f"127.0.0.1:{port}", "--log-filter", "warn"]


def measure_all(chosen, binaries, folder, rounds, timing):
    """Every run once in a round, in an order that changes. Those that there is a report of are not made again."""
    for round_number in range(1, rounds + 1):
        order = list(chosen)
        random.Random(round_number).shuffle(order)
        for number, run in enumerate(order, 1):
            path = run.file(folder, round_number)
            if path.exists():
                continue
            say(f"round {round_number} of {rounds}, {number} of {len(order)}: {run.name}")
            # A report is there whole or not at all.
            draft = path.with_suffix(".draft")
            measure(run, binaries, draft, timing)
            draft.rename(path)


def evaluation(chosen, binaries, folder, rounds, json_path=None):
    """The plan's command: all rounds of what is fitted, all rounds of what is held out."""

    def files(part):
        numbers = range(1, rounds + 1)
        return [run.file(folder, number) for run in chosen if run.part == part for number in numbers]

    return [
        *(binaries.load, "plan"),
        *("--runs", *files(FITTED)),
        *(("--check", *held_out) if (held_out := files(HELD_OUT)) else ()),
        *(("--json", json_path) if json_path else ()),
    ]


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="benches/plan/run.sh",
        description="Fits the capacity plan to small runs on this machine, predicts larger ones, and demands busy time within "
        "25 % and memory within 10 %.",
        epilog="Exit status: 0 all predictions are within, 2 one is not, 1 something could not run.",
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3, metavar="N", help="how often each run is made (default: 3)")
    add("--duration", type=float, default=10.0, metavar="SECONDS", help="measured time of a run (default: 10)")
    add("--warmup", type=float, default=2.0, metavar="SECONDS", help="time before it that does not count (default: 2)")
    add("--folder", type=Path, metavar="FOLDER", help="keep the reports there; those that are there are not made again")
    add("--json", type=Path, metavar="FILE", help="write the plan there as JSON")
    add("--runs", metavar="A,B", help="only these runs: " + ", ".join(run.name for run in RUNS))
    add("--check", action="store_true", help="1 round of 1 s: does it all run? However far off, the status is 0")
    add("--binaries", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    names = options.runs.split(",") if options.runs else [run.name for run in RUNS]
    if unknown := set(names) - {run.name for run in RUNS}:
        parser.error(f"--runs: no run is called {', '.join(sorted(unknown))}")
    if not any(run.part == FITTED for run in RUNS if run.name in names):
        parser.error("--runs: none of these is fitted, so nothing could be predicted")
    return options


def main():
    options = parse()
    binaries = peers.Binaries(options.binaries, options.binaries)
    chosen = [run for run in RUNS if not options.runs or run.name in options.runs.split(",")]
    rounds = 1 if options.check else options.rounds
    timing = runs.Timing(1.0, 0.5, rest_seconds=0.0) if options.check else runs.Timing(options.duration, options.warmup)
    folder = nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="plan-")
    with folder as name:
        path = Path(name)
        path.mkdir(parents=True, exist_ok=True)
        try:
            measure_all(chosen, binaries, path, rounds, timing)
        except (CannotRun, subprocess.TimeoutExpired) as problem:
            say(problem)
            return 1
        status = subprocess.run(evaluation(chosen, binaries, path, rounds, options.json)).returncode
    return 0 if options.check and status == TOO_FAR_OFF else status


if __name__ == "__main__":
    sys.exit(main())
