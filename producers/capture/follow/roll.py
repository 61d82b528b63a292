"""The subjects that a topic has, called against a table's rows: whom no row answers for is gone. Pure.

By file diff's rules: a row that is refused answers for its subject all the same, and one whose key cannot be trusted
may answer for anyone.
"""

from dataclasses import dataclass, field

import polars as pl

from bus.errors import ConfirmationNeeded
from producers.filediff.check import Checked
from producers.filediff.diff import PLACE, Before


@dataclass(slots=True)
class Roll:
    before: Before
    """The living, sorted by key."""
    untrusted: int = 0
    """Rows that may speak of anyone."""
    _answered: list[pl.Series] = field(default_factory=list)

    def call(self, checked: Checked) -> None:
        places = self.before.key(checked.keys["key"])
        self._answered.append(places.drop_nulls())
        self.untrusted += len(checked.unreadable) + int((checked.keys["doubtful"] & places.is_null()).sum())

    def absent(self) -> pl.Series:
        """Keys of those for whom no row answered."""
        answered = pl.concat([pl.Series(dtype=pl.UInt32), *self._answered])
        living = self.before.known.select("key", pl.int_range(pl.len(), dtype=pl.UInt32).alias(PLACE))
        return living.filter(~pl.col(PLACE).is_in(answered.implode()))["key"]


def must_be_few(table: str, absent: int, living: int, most: float) -> None:
    """Raises ConfirmationNeeded where a larger share than ``most`` of the living is absent."""
    share = absent / living if living else 0.0
    if share > most:
        raise ConfirmationNeeded(
            f"--table {table}: {absent:,} of {living:,} published subjects are in no row of it ({share:.0%}, more than "
            f"{most:.0%}); none of them was deleted: pass --confirm-deletes if they are to be, or --keep-absent if the "
            "table holds some subjects only"
        )
