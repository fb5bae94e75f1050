"""The command line. `benches/compare/run.sh` installs and builds what is needed, and then comes here."""

import argparse
import json
import os
import resource
import shlex
import signal
import sys
from pathlib import Path

from . import check, loads, machine, meter, page, plan, report
from .peers import ROOT, SERVERS, Binaries, say
from .runs import Timing
from .sampling import FEWEST_ROUNDS

EPILOG = f"""\
The server has core {meter.SERVER_CORE} to itself and the generator core {meter.GENERATOR_CORE}; nothing else should run on the machine.
First the meter is proved: a bare loop of send(2) on the server's core must read at least {meter.LEAST_BUSY_SHARE:.0%} busy
and must not wait for the core, else nothing is measured, and what disturbs is shown. Then come rounds: every
server once on every load, in an order that changes from round to round. Ratios are formed within a round;
shown are their median and their spread. A gate is passed or failed only if the whole spread is on one side
of its limit, and never with fewer than {FEWEST_ROUNDS} rounds; else it is undecided. The delivery ratio of every run is
shown; figures of a run that lost messages are not used.

Progress and an estimate of the time left go to standard error. Ctrl-C stops the servers and prints what
there is.

Exit status: 2 a gate failed; else 1 something could not run, or the meter was not proved, or it was
interrupted; else 3 gates are undecided or were not run; 0 all gates passed.

loads:
"""


def parse():
    width = max(len(load.name) for load in loads.LOADS)
    listing = "\n".join(f"  {load.name:<{width}}  {load.what}" for load in loads.LOADS)
    parser = argparse.ArgumentParser(
        prog="benches/compare/run.sh",
        description="Runs the same work on corecast and on other WebSocket servers, in turn, and judges the result.",
        epilog=EPILOG + listing + f"\n\nservers:\n  {', '.join(SERVERS)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--loads", metavar="A,B", help="only these loads (default: all)")
    add("--servers", metavar="A,B", help="only these servers (default: all)")
    add("--rounds", type=positive, default=5, metavar="N", help="how often each server has each load (default: 5)")
    add("--duration", type=seconds, default=10.0, metavar="TIME", help="measured time of a run (default: 10s)")
    add("--warmup", type=seconds, default=2.0, metavar="TIME", help="time before it that does not count (default: 2s)")
    add("--quick", action="store_true", help="1 round of 2 s to see that all works; the figures say nothing")
    add(
        "--check",
        action="store_true",
        help="only start each server with 50 subscribers for 1 s: is everything delivered?",
    )
    add("--json", type=Path, metavar="FILE", help="write everything there, every single run too")
    add("--html", type=Path, metavar="FILE", help="write a page with bars there")
    add(
        "--from", type=Path, metavar="FILE", dest="source", help="measure nothing: print what --json wrote, judged anew"
    )
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    add("--binaries", type=Path, default=Path(target) / "release", metavar="DIR", help=argparse.SUPPRESS)
    add("--peer-binaries", type=Path, default=Path(target) / "peers/release", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.loads = picked(parser, "--loads", options.loads, [load.name for load in loads.LOADS])
    options.servers = picked(parser, "--servers", options.servers, list(SERVERS))
    if options.quick:
        options.rounds, options.duration, options.warmup = 1, 2.0, 1.0
    return options


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def seconds(text):
    """`10s`, `500ms`, or a bare number of seconds."""
    for suffix, unit in (("ms", 1e-3), ("s", 1.0), ("", 1.0)):
        if text.endswith(suffix):
            value = float(text.removesuffix(suffix)) * unit
            if value <= 0:
                raise argparse.ArgumentTypeError("more than nothing")
            return value
    raise argparse.ArgumentTypeError("a time, as in 10s")


def picked(parser, option, text, known):
    """In the order of `known`."""
    if text is None:
        return known
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in known:
            parser.error(f"{option}: there is no {name}; there are {', '.join(known)}")
    return [name for name in known if name in wanted]


def main():
    options = parse()
    if options.source:
        found = json.loads(options.source.read_text())
        parts = ("options", "machine", "proof", "floor", "runs", "interrupted")
        return show(options, report.as_data(*(found[part] for part in parts)))
    binaries = Binaries(options.binaries, options.peer_binaries)
    for path in (binaries.ours / "corecast", binaries.load, binaries.send_floor):
        if not path.exists():
            sys.exit(f"{path} is missing: benches/compare/run.sh builds it")
    prepare()
    if options.check:
        return 0 if check.check(binaries, options.servers) else 1
    return show(options, measured(options, binaries))


def prepare():
    """This process keeps off the server's core; what it starts inherits that, and as many open files as are allowed."""
    if not {meter.SERVER_CORE, meter.GENERATOR_CORE} <= os.sched_getaffinity(0):
        sys.exit(
            f"cores {meter.SERVER_CORE} and {meter.GENERATOR_CORE} are needed, one for the server and one for the generator"
        )
    os.sched_setaffinity(0, {meter.GENERATOR_CORE})
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Servers are stopped on the way out, also where a shell started this in the background, with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def measured(options, binaries):
    here = machine.describe(
        binaries, options.servers, [shlex.quote(part) for part in ("benches/compare/run.sh", *sys.argv[1:])]
    )
    rows, floor, proof, interrupted = [], [], None, False
    try:
        say("proving the meter")
        proof = meter.prove(binaries.send_floor, 2 if options.quick else 10)
        if proof["problem"]:
            say(proof["problem"])
            if not options.quick:
                sys.exit(report.COULD_NOT_RUN)
        say("measuring the floor")
        floor = meter.floor(binaries.send_floor, 1 if options.quick else 5)
        chosen = [loads.by_name(name) for name in options.loads]
        steps = plan.schedule(chosen, options.servers, options.rounds)
        shortened = {"connect_repetitions": 1, "rest_seconds": 0.5} if options.quick else {}
        timing = Timing(options.duration, options.warmup, **shortened)
        plan.execute(steps, binaries, timing, options.rounds, rows)
    except KeyboardInterrupt:
        say("interrupted: servers are stopped")
        interrupted = True
    except meter.Disturbed as error:
        sys.exit(str(error))
    shown = {name: getattr(options, name) for name in ("loads", "servers", "rounds", "quick")}
    shown |= {"duration_seconds": options.duration, "warmup_seconds": options.warmup}
    return report.as_data(shown, here, proof, floor, rows, interrupted)


def show(options, found):
    print(report.as_text(found))
    if options.json and not options.source:
        options.json.write_text(json.dumps(found, indent=1))
    if options.html:
        options.html.write_text(page.render(found))
    return found["status"]


if __name__ == "__main__":
    sys.exit(main())
