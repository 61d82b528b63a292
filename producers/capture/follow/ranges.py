"""Which of the log's changes the snapshot has read already. Pure.

A snapshot that is stopped goes on with a later view of the table: a range of primary keys per view. A change is in a
range if its transaction had ended when the view was taken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Primary = Sequence[str]


@dataclass(frozen=True, slots=True)
class View:
    """PostgreSQL's ``pg_snapshot``: below ``xmin`` all have ended, from ``xmax`` on none, between not those named."""

    xmin: int
    xmax: int
    running: frozenset[int]

    def has(self, xid: int) -> bool:
        """Whether that transaction's changes are seen. ``xid`` has 32 bits, as the log tells it."""
        whole = self.xmax + _signed(xid - self.xmax)
        return whole < self.xmin or (whole < self.xmax and whole not in self.running)


def read_view(text: str) -> View:
    xmin, xmax, running = text.split(":")
    return View(int(xmin), int(xmax), frozenset(int(each) for each in running.split(",") if each))


@dataclass(frozen=True, slots=True)
class Range:
    upto: Primary | None
    """The last primary key in it; None for all that are left."""
    view: View


def read_ranges(told: Sequence[Mapping[str, Any]]) -> list[Range]:
    return [Range(each["upto"], read_view(each["view"])) for each in told]


def has_read(ranges: Sequence[Range], xid: int, primary: Primary, within: Callable[[Primary, Primary], bool]) -> bool:
    """``within`` says whether the first key is not beyond the second, in the database's own order."""
    for each in ranges:
        if each.upto is None or within(primary, each.upto):
            return each.view.has(xid)
    return False


def _signed(difference: int) -> int:
    """Of 32 bits: transaction ids come round, and are never two billion apart."""
    low = difference & 0xFFFFFFFF
    return low - 2**32 if low >= 2**31 else low
