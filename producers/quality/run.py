"""One run's report as numbers, whatever it counts. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Number = int | float


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it is kept. ``report`` holds no values of the data."""

    number: int
    """Counted up over all registers of one state directory."""
    at: str
    """When it began, ISO 8601 with offset."""
    register: str
    agency: str
    report: Mapping[str, Any]

    @property
    def counters(self) -> dict[str, Number]:
        return counters(self.report)

    @property
    def marks(self) -> tuple[str, ...]:
        """What has to be known to read its numbers: of a run that sent nothing, they are what would have been sent."""
        told = {"partial": self.report.get("partial") is True, "nothing sent": self.report.get("sent") is False}
        return tuple(mark for mark, holds in told.items() if holds)


def counters(report: Mapping[str, Any]) -> dict[str, Number]:
    """Every number of a report by name, in its order; those of a mapping as ``refused.codes``."""
    found: dict[str, Number] = {}
    for name, value in report.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": number for inner, number in value.items() if _counts(number)}
        elif _counts(value):
            found[name] = value
    return found


def deltas(run: Run, before: Run | None) -> dict[str, Number]:
    """How much each counter rose or fell since the run before; empty for a first run. One that is absent was 0."""
    if before is None:
        return {}
    now, then = run.counters, before.counters
    return {name: round(now.get(name, 0) - then.get(name, 0), 3) for name in (*now, *(then.keys() - now.keys()))}


def names(runs: Iterable[Run]) -> list[str]:
    """Every counter that any of the runs has, in the order of their reports, those of one mapping side by side."""
    found: dict[str, None] = {}
    for run in runs:
        found |= dict.fromkeys(run.counters)
    groups = list(dict.fromkeys(name.partition(".")[0] for name in found))
    return sorted(found, key=lambda name: (groups.index(name.partition(".")[0]), name))


def _counts(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
