"""Cursors of the changes feed: where a reader stands, and in which life of the tables."""

import secrets
from dataclasses import dataclass
from typing import Self

from bus.errors import ChangesExpired


@dataclass(frozen=True, slots=True)
class Cursor:
    """``era`` is renewed with every swap of a table; ``place`` is the last entry dealt with."""

    era: str
    place: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join([self.era, *map(str, self.place)])

    @classmethod
    def read(cls, text: str, *, era: str, floor: tuple[int, ...], ceiling: tuple[int, ...]) -> Self:
        """A cursor that this store has given and can go on from.

        ``floor`` is the last entry that was pruned, ``ceiling`` the last place the store has ever counted to: a cursor
        beyond it was given before a backup was put back. Raises ChangesExpired.
        """
        given, *numbers = text.split(".")
        if given != era or len(numbers) != len(floor) or not all(number.isdecimal() for number in numbers):
            raise _expired("the replica's tables were filled anew since this cursor was given, or it is another's")
        place = tuple(map(int, numbers))
        if not floor <= place <= ceiling:
            raise _expired("entries after this cursor are no longer kept")
        return cls(era, place)


def new_era() -> str:
    """A word that no store has used: not a count, which a backup put back would use again."""
    return secrets.token_hex(6)


def _expired(why: str) -> ChangesExpired:
    return ChangesExpired(f"{why}: read the replica afresh, then follow from its latest cursor")
