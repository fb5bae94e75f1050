"""Rounds: every server once on every load, in an order that changes from round to round."""

import resource
import time

from . import loads, runs
from .peers import SERVERS, CannotRun, say
from .report import delivered


def order(round_number, entrants):
    """Who goes first changes, so that nobody always finds what the same other left."""
    turn = (round_number - 1) % len(entrants)
    return entrants[turn:] + entrants[:turn]


def chosen(load, servers):
    return tuple(entrant for entrant in load.entrants if entrant.server in servers)


def schedule(chosen_loads, servers, rounds):
    """[(round, load, entrant)]. Rounds are outside: if it ends early, what there is is whole."""
    return [
        (number, load, entrant)
        for number in range(1, rounds + 1)
        for load in chosen_loads
        if chosen(load, servers)
        for entrant in order(number, chosen(load, servers))
    ]


def why_not_here(load):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = load.connections + loads.SPARE_DESCRIPTORS
    if limit < needed:
        return f"RLIMIT_NOFILE is {limit:,}, {needed:,} are needed (ulimit -n {needed})"
    return None


def execute(steps, binaries, timing, rounds, results):
    """Appends to `results`, so that what was measured is there whatever happens."""
    missing = {name: server.missing(binaries) for name, server in SERVERS.items()}
    left = sum(timing.estimate(load) for _, load, _ in steps)
    # Estimates are put right by what runs really take.
    estimated = taken = 0.0
    for number, load, entrant in steps:
        estimate = timing.estimate(load)
        row = {"round": number, "load": load.name, "entrant": entrant.name, "server": entrant.server}
        reason = missing[entrant.server] or why_not_here(load)
        if reason:
            row |= {"figures": {}, "skipped": reason}
        else:
            began = time.monotonic()
            try:
                row |= runs.run(load, entrant, binaries, timing)
            except CannotRun as error:
                row |= {"figures": {}, "problem": str(error)}
            except (OSError, LookupError, ValueError) as error:
                # Nothing that one run meets is worth the hours of the others.
                row |= {"figures": {}, "problem": f"{type(error).__name__}: {error}"}
            row["seconds"] = time.monotonic() - began
            estimated, taken = estimated + estimate, taken + row["seconds"]
        results.append(row)
        left -= estimate
        pace = taken / estimated if estimated else 1.0
        say(f"round {number} of {rounds}, {load.name}, {entrant.name}: {brief(row)}   [{clock(left * pace)} left]")


def brief(row):
    if row.get("skipped"):
        return f"SKIPPED: {row['skipped']}"
    if row.get("problem"):
        return f"NOT USED: {row['problem']}"
    figures = row["figures"]
    if "connect_us" in figures:
        return f"{figures['connect_us']:.1f} us a connect"
    if "bytes_per_connection" in figures:
        return f"{figures['bytes_per_connection']:,.0f} B a connection, {figures['after_share']:.2f} x after"
    whole = delivered(row["delivery_ratio"])
    return f"{figures['deliveries_per_second'] / 1e6:.3f} M/s, {figures['cpu_ns']:,.0f} ns each, {whole} delivered"


def clock(seconds):
    minutes, seconds = divmod(max(round(seconds), 0), 60)
    return f"{minutes}:{seconds:02}"
