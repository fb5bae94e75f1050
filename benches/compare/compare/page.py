"""The result as one page: headline, gates, bars for each load, all without other files."""

from html import escape

from .report import QUICK, amount, columns_of, delivered, spread_text, time
from .sampling import FAILED, PASSED, Spread

# What the bars of each kind of load show.
BARS = {
    "stream": (("deliveries/s", "deliveries_per_second", amount), ("CPU per delivery", "cpu_ns", time)),
    "connect": (("CPU per connect", "connect_us", lambda value: time(value * 1e3)),),
    "memory": (("bytes a connection", "bytes_per_connection", lambda value: f"{value:,.0f} B"),),
}
# In open loops everybody delivers the same number; what differs is how late.
OPEN_BARS = (("p99 from intended time", "p99_us", lambda value: time(value * 1e3)), BARS["stream"][1])

STYLE = """
:root { color-scheme: light dark; --text: #1c2430; --soft: #5b6675; --paper: #fbfbfa; --card: #fff; --line: #dfe3e8;
  --ours: #0b6e99; --peer: #b4bdc8; --whisker: #1c2430; --good: #1f7a3d; --bad: #b3261e; --open: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ee; --soft: #9aa5b4; --paper: #14171c; --card: #1c2127; --line: #323a45;
  --ours: #4db6e0; --peer: #56606e; --whisker: #e6e9ee; --good: #6fcf8b; --bad: #ff8a80; --open: #e8b84a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: clamp(1.5rem, 4vw, 2.2rem); line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 1.25rem; margin: 40px 0 8px; }
h3 { font-size: 1rem; margin: 0; }
p { margin: 4px 0; }
.soft { color: var(--soft); font-size: .9rem; }
.warning { border: 2px solid var(--bad); color: var(--bad); padding: 8px 12px; border-radius: 8px; font-weight: 600; margin: 0 0 16px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(220px, 100%), 1fr)); gap: 12px; margin: 20px 0; }
.fact, .load { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.fact b { display: block; font-size: 1.7rem; line-height: 1.2; }
.load { margin: 12px 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr)); gap: 4px 32px; margin-top: 8px; }
.bars { display: grid; grid-template-columns: minmax(0, max-content) minmax(60px, 1fr) max-content; gap: 5px 10px; align-items: center; font-size: .9rem; }
.bars .head { grid-column: 1 / -1; color: var(--soft); }
.bars .name { overflow-wrap: anywhere; max-width: 11em; }
.bars .value { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.track { position: relative; height: 16px; }
.bar { height: 100%; background: var(--peer); border-radius: 3px; min-width: 1px; }
.ours .bar { background: var(--ours); }
.ours .name, .ours .value { font-weight: 600; }
.bars .row { display: contents; }
.whisker { position: absolute; top: 7px; height: 2px; min-width: 1px; background: var(--whisker); opacity: .75; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 12em; }
.passed { color: var(--good); } .failed { color: var(--bad); } .undecided, .not-run { color: var(--open); }
.passed, .failed, .undecided, .not-run { font-weight: 600; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
code { overflow-wrap: anywhere; font-size: .85rem; }
ul { padding-left: 20px; margin: 6px 0; }
"""


def render(report):
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(headline(report))}</title><style>{STYLE}</style></head><body><main>",
        warnings(report),
        f"<h1>{escape(headline(report))}</h1>",
        '<p class="soft">The same work on each server, in turn: the server on one core, the generator on another, messages of 64 '
        f"bytes. Medians of {report['options']['rounds']} rounds; lines in the bars go from the least to the most.</p>",
        facts(report),
        gates(report["gates"]),
        floor(report),
        "<h2>Loads</h2>",
        *(load(section) for section in report["table"]),
        machine(report["machine"]),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def headline(report):
    gates_of = {verdict: sum(gate["verdict"] == verdict for gate in report["gates"]) for verdict in (PASSED, FAILED)}
    if not report["gates"]:
        return "corecast beside other servers"
    failed = f", {gates_of[FAILED]} failed" if gates_of[FAILED] else ""
    return f"corecast beside other servers: {gates_of[PASSED]} of {len(report['gates'])} gates passed{failed}"


def warnings(report):
    found = [QUICK] if report["quick"] else []
    found += ["Interrupted: this is what there was."] if report["interrupted"] else []
    found += ["The meter was not proved: something else ran."] if (report["proof"] or {}).get("problem") else []
    return "".join(f'<p class="warning">{escape(text)}</p>' for text in found)


def facts(report):
    """The figures that people ask for first, where they were measured."""
    shown = []
    for name, text in (
        ("fanout-1k-1", "one message at a time"),
        ("fanout-1k-64", "64 in flight"),
        ("fanout-10k-16", "16 in flight"),
    ):
        section = next((section for section in report["table"] if section["load"] == name), None)
        rows = (
            {row["entrant"]: row["figures"].get("deliveries_per_second") for row in section["rows"]} if section else {}
        )
        ours = rows.pop("corecast", None)
        others = {entrant: figure for entrant, figure in rows.items() if figure}
        if not ours or not others:
            continue
        best = max(others, key=lambda entrant: others[entrant]["median"])
        subscribers = section["what"].split(" subscribers")[0]
        shown.append(
            f'<div class="fact"><b>{amount(ours["median"])}/s</b>deliveries to {escape(subscribers)} subscribers, {text}'
            f'<p class="soft">{escape(best)}: {amount(others[best]["median"])}/s</p></div>'
        )
    return f'<div class="facts">{"".join(shown)}</div>' if shown else ""


def gates(rows):
    if not rows:
        return ""
    lines = []
    for gate in rows:
        spread = gate["spread"]
        cells = [f"{spread[name]:,.3f}" if spread else "–" for name in ("median", "low", "high")]
        note = f'<br><span class="soft">{escape(gate["note"])}</span>' if gate["note"] else ""
        verdict = f'<td class="{gate["verdict"].replace(" ", "-")}">{escape(gate["verdict"])}</td>'
        numbers = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(
            f"<tr><td>{escape(gate['gate'])}{note}</td>{verdict}<td>{escape(gate['limit'])}</td>{numbers}</tr>"
        )
    head = "".join(f"<th>{text}</th>" for text in ("gate", "verdict", "limit", "median", "least", "most"))
    return (
        f'<h2>Gates</h2><p class="soft">Passed or failed only if the whole spread is on one side of the limit.</p>'
        f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
    )


def floor(report):
    if not report["floor"]:
        return ""
    rows = "".join(
        f"<tr><td>{row['bytes']:,} bytes</td><td>{row['send_us']:.2f} us</td><td>{row['ring_us']:.2f} us</td>"
        f"<td>{row['ring_us'] / row['send_us']:.3f}</td></tr>"
        for row in report["floor"]
    )
    proof = report["proof"]
    text = (
        f"A bare loop of send(2) read {proof['busy_share']:.1%} busy on the server's core, at {amount(proof['sends_per_second'])} sends/s."
        if proof
        else ""
    )
    return (
        f'<h2>The floor</h2><p class="soft">What one send to each of 1,000 sockets costs with nothing around it. {text}</p>'
        f'<div class="scroll"><table><tr><th>size</th><th>send()</th><th>our ring</th><th>ring / send()</th></tr>{rows}</table></div>'
    )


def load(section):
    is_open = section["kind"] == "stream" and section["load"] == "open-1k-100"
    plots = "".join(bars(section["rows"], *plot) for plot in (OPEN_BARS if is_open else BARS[section["kind"]]))
    found = [f"<li>{escape(row['entrant'])}: {escape(note)}</li>" for row in section["rows"] for note in row["notes"]]
    marks = f'<ul class="soft">{"".join(found)}</ul>' if found else ""
    return (
        f'<section class="load"><h3>{escape(section["load"])}</h3><p class="soft">{escape(section["what"])}</p>'
        f'<div class="plots">{plots}</div>{marks}{everything(section)}</section>'
    )


def bars(rows, heading, figure, show):
    spreads = [(row["entrant"], row["figures"].get(figure)) for row in rows]
    most = max((spread["high"] for _, spread in spreads if spread), default=0)
    if not most:
        return ""
    lines = [f'<div class="head">{escape(heading)}</div>']
    for entrant, spread in spreads:
        ours = " ours" if entrant.startswith("corecast") else ""
        name = f'<div class="name">{escape(entrant)}</div>'
        if not spread:
            lines.append(f'<div class="row{ours}">{name}<div class="track"></div><div class="value">–</div></div>')
            continue
        low, middle, high = (max(spread[name_of], 0) / most * 100 for name_of in ("low", "median", "high"))
        whisker = (
            f'<div class="whisker" style="left:{low:.2f}%;width:{high - low:.2f}%"></div>'
            if spread["count"] > 1
            else ""
        )
        lines.append(
            f'<div class="row{ours}">{name}<div class="track"><div class="bar" style="width:{middle:.2f}%"></div>{whisker}</div>'
            f'<div class="value">{escape(show(spread["median"]))}</div></div>'
        )
    return f'<div class="bars">{"".join(lines)}</div>'


def everything(section):
    columns = columns_of(section)
    head = "".join(f"<th>{escape(text)}</th>" for text in ("", *(heading for heading, _, _ in columns), "delivered"))
    lines = []
    for row in section["rows"]:
        spreads = (row["figures"].get(figure) for _, figure, _ in columns)
        cells = [
            spread_text(Spread(**spread) if spread else None, show)
            for spread, (_, _, show) in zip(spreads, columns, strict=True)
        ]
        cells.append(delivered(row["delivery_ratio"]))
        lines.append(
            f"<tr><td>{escape(row['entrant'])}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        )
    return f'<details><summary>all figures</summary><div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div></details>'


def machine(here):
    versions = "".join(
        f"<li>{escape(name)} {escape(version or 'is not here')}</li>" for name, version in here["servers"].items()
    )
    return (
        f"<h2>Where</h2><p>{escape(here['kernel'])}, {escape(here['cpu'])}, {here['cores']} cores, {escape(here['congestion_control'])}, "
        f"load average {here['load_average']:.2f} at the start, commit {escape(here['commit'])}</p><ul>{versions}</ul>"
        f"<p><code>{escape(' '.join(here['command_line']))}</code></p>"
        '<p class="soft">CPU is the busy time of the server’s core (/proc/stat) over the deliveries of the measured window. Latencies '
        "count from the intended time in open loops, from the send in closed ones.</p>"
    )
