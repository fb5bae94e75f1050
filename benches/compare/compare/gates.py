"""What is judged, over which loads, with which limit. One shard, messages of 64 bytes."""

from dataclasses import asdict, dataclass, replace
from statistics import median

from . import loads, meter
from .sampling import FAILED, FEWEST_ROUNDS, NOT_RUN, PASSED, UNDECIDED, Limit, Spread, at_least, at_most, falls, ratios

OURS = "corecast"
BEST_PEER = "the best peer"

# Figures of which more is better. When the generator was the limit, the server may have had more to give.
RATES = ("deliveries_per_second",)
# With so much of its core busy a server was at its own limit too, whatever else was: what it had left is told by the rest.
FULL_CORE_SHARE = 0.95
GENERATOR_LOADS = ("fanout-1k-64", "fanout-1k-256", "fanout-1k-1024")


class Results:
    """Rows as `plan.execute` makes them, asked for figures."""

    def __init__(self, rows):
        self.rows = rows

    def of(self, load, entrant, figure):
        """{round: value} of the usable runs."""
        return {
            row["round"]: row["figures"][figure]
            for row in self.rows
            if row["load"] == load and row["entrant"] == entrant and figure in row["figures"]
        }

    def entrants(self, load):
        """In the order in which the load names them."""
        ran = {row["entrant"] for row in self.rows if row["load"] == load}
        return [entrant.name for entrant in loads.by_name(load).entrants if entrant.name in ran]

    def runs(self, load, entrant):
        return [row for row in self.rows if row["load"] == load and row["entrant"] == entrant]

    def generator_was_limit(self, load, entrant):
        return any(row.get("generator_limited") for row in self.runs(load, entrant))

    def with_full_core(self, load, entrant, figure):
        """The same work for its CPU, on all of the core. None when too much of the core was left to say so."""
        rates, shares = self.of(load, entrant, figure), self.of(load, entrant, "core_busy_share")
        if any(shares.get(number, 0) < FULL_CORE_SHARE for number in rates):
            return None
        return {number: rate / min(shares[number], 1) for number, rate in rates.items()}

    def best_peer(self, load, figure):
        medians = {
            entrant: median(self.of(load, entrant, figure).values())
            for entrant in self.entrants(load)
            if entrant in loads.PEERS and self.of(load, entrant, figure)
        }
        best = max if figure in RATES else min
        return best(medians, key=medians.get) if medians else None

    def absent_peers(self, load, figure):
        """Peers of the load that are not in the field: too few figures, and not because they lost messages."""
        peers = [entrant.name for entrant in loads.by_name(load).entrants if entrant.name in loads.PEERS]

        def has_lost(peer):
            return any(row.get("lost") for row in self.runs(load, peer))

        return [peer for peer in peers if len(self.of(load, peer, figure)) < FEWEST_ROUNDS and not has_lost(peer)]

    def troubles(self, names):
        """What speaks against relying on the runs of these loads: ours that went wrong, and any that were disturbed."""
        rows = [row for row in self.rows if row["load"] in names]
        wrong = [row for row in rows if row["entrant"].startswith(OURS) and row.get("problem")]
        disturbed = [row for row in rows if meter.is_disturbed(row)]
        found = [f"{len(wrong)} of our runs went wrong"] if wrong else []
        return found + ([f"{len(disturbed)} runs were disturbed"] if disturbed else [])


@dataclass(frozen=True)
class Judgement:
    gate: str
    limit: str
    spread: Spread | None
    verdict: str
    note: str = ""

    def as_json(self):
        return asdict(self)


@dataclass(frozen=True)
class Gate:
    """Judged from `needs`; `judge` is (results, gate) -> Judgement."""

    name: str
    needs: tuple
    limit: Limit | None
    judge: object


def compared(results, load, figure, limit, one, other):
    """The spread of one's figure over the other's, the verdict, and a note.

    A rate that the generator bounded is no less than what was read. So it may still pass, and nothing passes against it:
    except against what the other would have done with the last of its core.
    """
    ours, theirs = results.of(load, one, figure), results.of(load, other, figure)
    spread = Spread.of(ratios(ours, theirs).values())
    verdict = limit.verdict(spread)
    if figure in RATES and verdict == PASSED and results.generator_was_limit(load, other):
        theirs = results.with_full_core(load, other, figure)
        if theirs is None:
            return spread, UNDECIDED, f"the generator was the limit of {other}"
        spread = Spread.of(ratios(ours, theirs).values())
        return spread, limit.verdict(spread), f"{other} reckoned up to all of its core"
    if figure in RATES and verdict == FAILED and results.generator_was_limit(load, one):
        return spread, UNDECIDED, f"the generator was the limit of {one}"
    return spread, verdict, ""


def against(load, figure, limit, peer, what, ours=OURS):
    """Our figure over a peer's in the same round. `peer` may be the best one."""

    def judge(results, gate):
        theirs = results.best_peer(load, figure) if peer == BEST_PEER else peer
        if theirs is None:
            return Judgement(gate.name, str(limit), None, NOT_RUN, "no peer has a figure")
        spread, verdict, note = compared(results, load, figure, limit, ours, theirs)
        if peer == BEST_PEER:
            note = note or theirs
            absent = results.absent_peers(load, figure)
            if absent and verdict == PASSED:
                verdict, note = UNDECIDED, f"{theirs}, without {', '.join(absent)}"
        return Judgement(gate.name, str(limit), spread, verdict, note)

    who = "" if ours == OURS else f"{ours}, "
    return Gate(f"{load}: {who}{what} / {peer}'s", (load,), limit, judge)


def beside(load, figure, limit, one, other, name):
    """One entrant's figure over another's in the same round."""

    def judge(results, gate):
        spread, verdict, note = compared(results, load, figure, limit, one, other)
        return Judgement(gate.name, str(limit), spread, verdict, note)

    return Gate(name, (load,), limit, judge)


def figure_within(load, figure, limit, name, entrant=OURS):
    def judge(results, gate):
        spread = Spread.of(results.of(load, entrant, figure).values())
        return Judgement(gate.name, str(limit), spread, limit.verdict(spread))

    return Gate(name, (load,), limit, judge)


def no_fall(name, needs):
    """A fall counts when every round shows it."""

    def judge(results, gate):
        curve = [(load, results.of(load, OURS, "deliveries_per_second")) for load in needs]
        steps = falls(curve)
        if len(steps) < len(needs) - 1:
            return Judgement(gate.name, "≥ 1", None, NOT_RUN, "a load of them has no figure")
        lowest, before, spread = min(steps, key=lambda step: step[2].median)
        down = [step for step in steps if step[2].high < 1]
        perhaps = [step for step in steps if step[2].median < 1 <= step[2].high]
        note = f"lowest: {lowest} / {before}"
        if down:
            note = "falls: " + ", ".join(f"{load} below {best}" for load, best, _ in down)
        verdict = FAILED if down else UNDECIDED if perhaps else PASSED
        is_generators = down and all(results.generator_was_limit(load, OURS) for load, _, _ in down)
        if is_generators:
            note += ", where the generator was the limit"
        if min(step[2].count for step in steps) < FEWEST_ROUNDS or is_generators:
            verdict = UNDECIDED
        return Judgement(gate.name, "≥ 1", spread, verdict, note)

    return Gate(name, needs, None, judge)


def no_loss(load):
    def judge(results, gate):
        runs = results.runs(load, OURS)
        told = [row for row in runs if "lost" in row]
        if not told:
            return Judgement(gate.name, "0", None, NOT_RUN)
        spread = Spread.of(row["lost"] for row in told)
        # A run that told nothing has a problem, and is no proof of anything.
        whole = all(not row["problem"] and row["lost"] == 0 and row["delivery_ratio"] == 1.0 for row in runs)
        verdict = FAILED if not whole else PASSED if len(runs) >= FEWEST_ROUNDS else UNDECIDED
        return Judgement(gate.name, "0", spread, verdict, f"in {len(runs)} runs")

    return Gate(f"{load}: messages lost", (load,), None, judge)


def flat(name, needs, limit, is_beside_floor=False):
    """The most over the least of several loads, within each round. Beside the floor it is the cost in bare sends that counts:
    with more connections those cost more, too."""

    def costs(results, load):
        ours = results.of(load, OURS, "cpu_ns")
        return ratios(ours, results.of(load, OURS, "floor_ns")) if is_beside_floor else ours

    def judge(results, gate):
        curves = [costs(results, load) for load in needs]
        common = set.intersection(*(set(curve) for curve in curves))
        spread = Spread.of(max(curve[n] for curve in curves) / min(curve[n] for curve in curves) for n in common)
        return Judgement(gate.name, str(limit), spread, limit.verdict(spread), "most / least")

    return Gate(name, needs, limit, judge)


def generator_rate(limit):
    def judge(results, gate):
        best = {}
        for load in GENERATOR_LOADS:
            for number, rate in results.of(load, OURS, "deliveries_per_second").items():
                best[number] = max(rate / 1e6, best.get(number, 0))
        spread = Spread.of(best.values())
        return Judgement(gate.name, f"{limit} M/s", spread, limit.verdict(spread))

    return Gate("generator-rate: frames/s received and checked on one core", GENERATOR_LOADS, limit, judge)


CURVE = tuple(f"fanout-1k-{count}" for count in loads.IN_FLIGHT)
COSTS = tuple(f"cost-{name}" for name, _ in loads.SUBSCRIBERS)
SMALL = "corecast, 16 KiB buffers"
COMPRESSED = "corecast, compressed"
RATE, CPU = "deliveries_per_second", "cpu_ns"

GATES = (
    against("fanout-1k-1", CPU, at_most(0.9), BEST_PEER, "CPU per delivery"),
    against("fanout-1k-16", RATE, at_least(1.3), "bun", "deliveries/s"),
    against("fanout-1k-64", RATE, at_least(2), "bun", "deliveries/s"),
    against("fanout-1k-256", CPU, at_most(0.35), "bun", "CPU per delivery"),
    no_fall("fanout-1k-1 to -4096: deliveries/s / the best with fewer in flight", CURVE),
    against("fanout-10k-16", RATE, at_least(1.3), BEST_PEER, "deliveries/s"),
    against("open-1k-100", "p99_us", at_most(0.9), BEST_PEER, "p99 from intended time"),
    against("open-1k-100", "p99_us", at_most(0.9), BEST_PEER, "p99 from intended time", loads.POLLING),
    no_loss("open-1k-100"),
    beside("clamped-1k-16", RATE, at_least(0.6), SMALL, OURS, "clamped-1k-16: deliveries/s / with free buffers"),
    beside("clamped-1k-64", RATE, at_least(0.6), SMALL, OURS, "clamped-1k-64: deliveries/s / with free buffers"),
    beside("deflate-1k", CPU, at_most(1.15), COMPRESSED, OURS, "deflate-1k: CPU per delivery / the plain one's"),
    figure_within("memory", "bytes_per_connection", at_most(200), "memory: bytes an idle connection"),
    figure_within("memory", "after_share", at_most(1.1), "memory: after all left / before"),
    against("connect", "connect_us", at_most(0.8), "bun", "CPU per connect"),
    beside(
        "topics-many",
        CPU,
        at_most(1.2),
        loads.MANY_TOPICS,
        loads.ONE_TOPIC,
        "topics-many: CPU per delivery / one topic's",
    ),
    flat("cost-100 to -19k: CPU per delivery", COSTS, at_most(1.15)),
    flat("cost-100 to -19k: CPU per delivery / a bare send's", COSTS, at_most(1.15), is_beside_floor=True),
    beside("shards-two", CPU, at_most(1.15), "corecast, 2 shards", OURS, "shards-two: CPU per delivery / one shard's"),
    generator_rate(at_least(12)),
)


def judged(results, names):
    """The gates whose loads are all among `names`; the others were not asked for."""
    return [relied_on(results, gate) for gate in GATES if set(gate.needs) <= set(names)]


def relied_on(results, gate):
    judgement = gate.judge(results, gate)
    troubles = results.troubles(gate.needs)
    if judgement.verdict != PASSED or not troubles:
        return judgement
    note = "; ".join(filter(None, [judgement.note, *troubles]))
    return replace(judgement, verdict=UNDECIDED, note=note)
