"""Contenders side by side: each once a round, in the same order, and every ratio taken within a round."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from subprocess import SubprocessError

import psycopg

from bus.errors import BusError
from tests.benchmarks.took import Took

Found = dict[str, float]
"""Figures by key."""

FAILURES = (BusError, psycopg.Error, SubprocessError, OSError)
"""What ends one contender or measure, and never a run that has half an hour of figures behind it."""

LIMITS = ("copy", "executemany")
"""Contenders that are given rows, not events."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure that compares two contenders of one round."""

    key: str
    ours: str
    theirs: str
    compare: Callable[[Took, Took], float] = lambda ours, theirs: ours.per_second / theirs.per_second


def times(ours: Took, theirs: Took) -> float:
    """How many times as long it took, whatever the number of events."""
    return ours.seconds / theirs.seconds


@dataclass(slots=True)
class Round:
    """What each contender needed; one that failed is told of and left out, with every ratio that it belongs to."""

    wanted: set[str]
    say: Callable[[str], None]
    took: dict[str, Took] = field(default_factory=dict)

    def run(self, name: str, contender: Callable[[], Took]) -> None:
        """Let a contender run where some wanted ratio asks for it."""
        if name not in self.wanted:
            return
        try:
            took = self.took[name] = contender()
        except FAILURES as error:
            self.say(f"{name} failed: {error}")
        else:
            self.say(f"{name}: {took.events:,} in {took.seconds:.2f} s, {took.per_second:,.0f} a second")


def wanted_by(ratios: Iterable[Ratio]) -> set[str]:
    """The contenders that these ratios ask for."""
    return {name for ratio in ratios for name in (ratio.ours, ratio.theirs)}


def summed_up(rounds: Sequence[Round], ratios: Iterable[Ratio]) -> Found:
    """Medians: the ratios, and for each contender ``…_per_s`` and its further figures."""
    found: Found = {}
    complete = [name for name in rounds[0].took if all(name in each.took for each in rounds)]
    for name in complete:
        unit = "rows_per_s" if name in LIMITS else "events_per_s"
        found[f"{name}_{unit}"] = median(each.took[name].per_second for each in rounds)
        for more in rounds[0].took[name].more:
            found[f"{name}_{more}"] = median(each.took[name].more[more] for each in rounds)
    for ratio in ratios:
        if ratio.ours in complete and ratio.theirs in complete:
            pairs = [(each.took[ratio.ours], each.took[ratio.theirs]) for each in rounds]
            found[ratio.key] = median(ratio.compare(*pair) for pair in pairs)
    return found
