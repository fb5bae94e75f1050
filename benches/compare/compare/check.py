"""Whether every server starts, passes on everything, and ends: nothing is measured."""

from . import runs
from .loads import Load, servers
from .peers import SERVERS, CannotRun

SUBSCRIBERS = 50
TIMING = runs.Timing(duration_seconds=1, warmup_seconds=0.1, rest_seconds=0)


def check(binaries, names):
    """Prints a line for each server; whether none failed."""
    load = Load(
        "check",
        "",
        servers(*names),
        ("--subscribers", str(SUBSCRIBERS), "--in-flight", "4"),
        SUBSCRIBERS,
    )
    passed = failed = skipped = 0
    for entrant in load.entrants:
        reason = SERVERS[entrant.server].missing(binaries)
        if reason:
            print(f"SKIPPED {entrant.name}: {reason}", flush=True)
            skipped += 1
            continue
        problem = failure(load, entrant, binaries)
        print(f"{'FAILED' if problem else 'ok'}  {entrant.name}{': ' + problem if problem else ''}", flush=True)
        failed, passed = failed + bool(problem), passed + (not problem)
    print(f"check: {passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return failed == 0


def failure(load, entrant, binaries):
    """None, or what is wrong."""
    try:
        found = runs.run(load, entrant, binaries, TIMING)
    except CannotRun as error:
        return str(error)
    if found["problem"]:
        return found["problem"]
    if found["delivery_ratio"] != 1.0:
        return f"delivered {found['delivery_ratio']:.4%}"
    return None
