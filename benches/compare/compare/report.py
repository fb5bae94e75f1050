"""What was found, as data and as text."""

from . import loads
from .gates import Results, judged
from .meter import MOST_STEAL_SHARE, MOST_UNREST_SHARE
from .sampling import FAILED, NOT_RUN, PASSED, Spread

SCHEMA = "corecast-compare/1"
QUICK = "quick: figures say nothing"

ALL_PASSED, COULD_NOT_RUN, A_GATE_FAILED, UNDECIDED_ONES = 0, 1, 2, 3

# A server's thread that waited longer for its core shared it, perhaps with another thread of the server. The kernel's
# own threads take some on an idle machine, too.
MOST_WAITING_SHARE = 0.10

# Columns of each kind of load: heading, figure, and how it is shown.
COLUMNS = {
    "stream": (
        ("deliveries/s", "deliveries_per_second", lambda value: amount(value)),
        ("CPU/delivery", "cpu_ns", lambda value: time(value)),
        ("by rusage", "rusage_ns", lambda value: time(value)),
        ("bare send", "floor_ns", lambda value: time(value)),
        ("core busy", "core_busy_share", lambda value: f"{value:.0%}"),
        ("p50", "p50_us", lambda value: time(value * 1e3)),
        ("p99", "p99_us", lambda value: time(value * 1e3)),
    ),
    "connect": (
        ("CPU/connect", "connect_us", lambda value: time(value * 1e3)),
        ("by rusage", "connect_rusage_us", lambda value: time(value * 1e3)),
        ("connects/s", "connects_per_second", lambda value: amount(value)),
    ),
    "memory": (
        ("B/connection", "bytes_per_connection", lambda value: f"{value:,.0f}"),
        ("kernel, both ends", "kernel_bytes_per_connection", lambda value: f"{value:,.0f}"),
        ("resident before", "resident_before", lambda value: size(value)),
        ("connected", "resident_connected", lambda value: size(value)),
        ("after", "resident_after", lambda value: size(value)),
        ("after/before", "after_share", lambda value: f"{value:.3f}"),
    ),
}


def digits(value):
    """Three of them: 16.0, 3.51, 340."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def amount(value):
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return digits(value / unit) + name
    return digits(value)


def time(nanoseconds):
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if nanoseconds >= unit:
            return f"{digits(nanoseconds / unit)} {name}"
    return f"{digits(nanoseconds)} ns"


def size(value):
    return f"{value / 2**20:.1f} MiB"


def spread_text(spread, show):
    """`3.01 M (2.98 to 3.05)`. One run has no spread, and a share is shown as a hint only."""
    if spread is None:
        return "-"
    texts = [show(value) for value in (spread.median, spread.low, spread.high)]
    if spread.count == 1 or texts[0].endswith("%"):
        return texts[0]
    # One unit is said once.
    if len({text.partition(" ")[2] for text in texts}) == 1:
        texts[1:] = [text.partition(" ")[0] for text in texts[1:]]
    return f"{texts[0]} ({texts[1]} to {texts[2]})"


def as_data(options, machine, proof, floor, rows, interrupted):
    """Everything, judged."""
    judgements = judged(Results(rows), options["loads"])
    return {
        "schema": SCHEMA,
        "quick": options["quick"],
        "interrupted": interrupted,
        "options": options,
        "machine": machine,
        "proof": proof,
        "floor": floor,
        "table": table(Results(rows), options["loads"]),
        "gates": [judgement.as_json() for judgement in judgements],
        "status": status(rows, judgements, interrupted),
        "runs": rows,
    }


def table(results, names):
    """For each load a row for each entrant, with the spread of each figure."""
    sections = []
    for name in names:
        load = loads.by_name(name)
        rows = [table_row(results, load, entrant) for entrant in results.entrants(name)]
        if rows:
            sections.append({"load": name, "what": load.what, "kind": load.kind, "rows": rows})
    return sections


def table_row(results, load, entrant):
    runs = results.runs(load.name, entrant)
    spreads = {
        figure: Spread.of(results.of(load.name, entrant, figure).values()) for _, figure, _ in COLUMNS[load.kind]
    }
    ratios = [run["delivery_ratio"] for run in runs if "delivery_ratio" in run]
    return {
        "entrant": entrant,
        "figures": {figure: vars(spread) for figure, spread in spreads.items() if spread},
        # The worst of all its runs.
        "delivery_ratio": min(ratios, default=None),
        "notes": notes(runs),
    }


def notes(runs):
    """What spoils figures first, then what makes them worth less."""
    found = []
    for run in runs:
        if run.get("skipped"):
            found.append(f"SKIPPED: {run['skipped']}")
        if run.get("problem"):
            found.append(f"NOT USED (round {run['round']}): {run['problem']}")

    def count(what, of):
        if of:
            found.append(f"in {len(of)} of {len(runs)} runs {what}")

    def above(share, most):
        return [run[share] for run in runs if run.get(share, 0) > most]

    limited = [run for run in runs if run.get("generator_limited")]
    count("the generator was the limit: no less than this, and no latencies from them", limited)
    unrest = above("unrest_share", MOST_UNREST_SHARE)
    count(f"the core was busy before anything was asked of the server, up to {max(unrest, default=0):.0%}", unrest)
    waiting = above("waiting_share", MOST_WAITING_SHARE)
    count(
        f"a thread waited for the core, up to {max(waiting, default=0):.0%} of the time: was it alone there?", waiting
    )
    stolen = above("steal_share", MOST_STEAL_SHARE)
    count(f"up to {max(stolen, default=0):.0%} of the core went to other guests of the host", stolen)
    return list(dict.fromkeys(found))


def status(rows, judgements, interrupted):
    verdicts = {judgement.verdict for judgement in judgements}
    if FAILED in verdicts:
        return A_GATE_FAILED
    if interrupted or any(row.get("skipped") or row.get("problem") for row in rows):
        return COULD_NOT_RUN
    return ALL_PASSED if verdicts == {PASSED} else UNDECIDED_ONES


# As text ---------------------------------------------------------------------------------------------------------


def as_text(report):
    lines = []
    if report["quick"]:
        lines += [f"*** {QUICK} ***", ""]
    if report["interrupted"]:
        lines += ["*** interrupted: what follows is what there was ***", ""]
    lines += floor_lines(report)
    for section in report["table"]:
        lines += section_lines(section)
    lines += gate_lines(report["gates"])
    lines += machine_lines(report["machine"])
    return "\n".join(lines)


def columns_of(section):
    """Those that somebody has a figure for."""
    had = {figure for row in section["rows"] for figure in row["figures"]}
    return [column for column in COLUMNS[section["kind"]] if column[1] in had]


def section_lines(section):
    columns = columns_of(section)
    grid = [["", *(heading for heading, _, _ in columns), "delivered"]]
    comments = []
    for row in section["rows"]:
        spreads = [row["figures"].get(figure) for _, figure, _ in columns]
        cells = [
            spread_text(Spread(**spread) if spread else None, show)
            for spread, (_, _, show) in zip(spreads, columns, strict=True)
        ]
        grid.append([row["entrant"], *cells, delivered(row["delivery_ratio"])])
        comments += [f"    {row['entrant']}: {line}" for note in row["notes"] for line in note.splitlines()]
    return [f"{section['load']}: {section['what']}", *aligned(grid), *comments, ""]


def delivered(ratio):
    """Never rounded up to everything."""
    if ratio is None:
        return "-"
    return "100 %" if ratio == 1.0 else f"{min(ratio * 100, 99.999):.3f} %"


def aligned(grid):
    widths = [max(len(row[column]) for row in grid) for column in range(len(grid[0]))]
    return [
        (
            "  "
            + "   ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in grid
    ]


def floor_lines(report):
    proof, lines = report["proof"], []
    if proof:
        lines += [
            f"meter: a bare send loop for {proof['seconds']:.0f} s reads {proof['busy_share']:.1%} busy "
            f"({amount(proof['sends_per_second'])} sends/s, {proof['waiting_share']:.1%} waiting for the core, "
            f"{proof['steal_share']:.1%} stolen)" + (": NOT PROVED" if proof["problem"] else "")
        ]
    if report["floor"]:
        grid = [["floor: one send to each of 1,000 sockets", "send()", "our ring", "ring / send()", "not whole"]]
        grid += [
            [
                f"{row['bytes']:,} bytes",
                f"{row['send_us']:.2f} us",
                f"{row['ring_us']:.2f} us",
                f"{row['ring_us'] / row['send_us']:.3f}",
                f"{row['not_whole']:,}",
            ]
            for row in report["floor"]
        ]
        lines += aligned(grid)
    return lines + [""] if lines else []


def gate_lines(gates):
    if not gates:
        return []
    grid = [["gates", "limit", "median", "least", "most", ""]]
    for gate in gates:
        spread = gate["spread"]
        numbers = [f"{spread[name]:,.3f}" if spread else "-" for name in ("median", "low", "high")]
        grid.append(
            [
                gate["gate"],
                gate["limit"],
                *numbers,
                gate["verdict"].upper() if gate["verdict"] == FAILED else gate["verdict"],
            ]
        )
    lines = aligned(grid)
    # The note stands behind the table: it is of any length.
    lines = [lines[0]] + [
        f"{line}{'  (' + gate['note'] + ')' if gate['note'] else ''}"
        for line, gate in zip(lines[1:], gates, strict=True)
    ]
    counts = {
        verdict: sum(gate["verdict"] == verdict for gate in gates) for verdict in (PASSED, FAILED, "undecided", NOT_RUN)
    }
    return [*lines, "  " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count), ""]


def machine_lines(machine):
    versions = ", ".join(f"{name} {version or '(not here)'}" for name, version in machine["servers"].items())
    return [
        f"{machine['kernel']}, {machine['cpu']}, {machine['cores']} cores, {machine['congestion_control']}, "
        f"load average {machine['load_average']:.2f} at the start",
        f"commit {machine['commit']}; {versions}",
        "CPU is the busy time of the server's core (/proc/stat), over the deliveries of the measured window; rusage is what the kernel",
        "books to the server's processes. Latencies count from the intended time in open loops, from the send in closed ones.",
        f"$ {' '.join(machine['command_line'])}",
    ]
