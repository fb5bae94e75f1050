"""What is made of several runs: a median with its spread, ratios within rounds, and verdicts that respect the spread."""

from dataclasses import dataclass
from statistics import median

# Below this a spread says nothing, so nothing is decided.
FEWEST_ROUNDS = 3

PASSED, FAILED, UNDECIDED, NOT_RUN = "passed", "failed", "undecided", "not run"


@dataclass(frozen=True)
class Spread:
    """The median of some runs, the least and the most of them, and how many they were."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values):
        """None when there are none."""
        values = list(values)
        return cls(median(values), min(values), max(values), len(values)) if values else None


def ratios(ours, theirs):
    """{round: figure} of two, to the ratio in each round that has both."""
    return {number: ours[number] / theirs[number] for number in sorted(ours) if theirs.get(number)}


@dataclass(frozen=True)
class Limit:
    """The good side of a limit: `at_most` is <=, else it is >=."""

    value: float
    at_most: bool

    def __str__(self):
        return f"{'≤' if self.at_most else '≥'} {self.value:g}"

    def holds(self, figure):
        return figure <= self.value if self.at_most else figure >= self.value

    def verdict(self, spread):
        """Passed or failed only if the whole spread is on one side."""
        if spread is None:
            return NOT_RUN
        if spread.count < FEWEST_ROUNDS:
            return UNDECIDED
        sides = {self.holds(spread.low), self.holds(spread.high)}
        return UNDECIDED if len(sides) == 2 else PASSED if sides == {True} else FAILED


def at_most(value):
    return Limit(value, True)


def at_least(value):
    return Limit(value, False)


def falls(steps):
    """The falls of a curve. `steps` is a list of (name, {round: figure}); each is held against the best before it, by
    median. A fall is one that every round shows. Gives [(name, name of the best before, Spread of the ratio)], all steps."""
    found, best = [], None
    for name, figures in steps:
        if not figures:
            continue
        if best:
            spread = Spread.of(ratios(figures, best[1]).values())
            if spread:
                found.append((name, best[0], spread))
        if best is None or median(figures.values()) > median(best[1].values()):
            best = (name, figures)
    return found
