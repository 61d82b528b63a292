"""Lookup: what a replica knows of a resident, a business or a dossier, with the source of every field."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from bus.errors import InputRefused
from bus.names import AgencyCode, RegisterName, SubjectKind
from consumers.stores import open_reader
from consumers.stores.model import Change, Phase, Row, Slot

POINTERS = 8  # merges followed at most: a ring of them would be an error at the source
FRESH_SECONDS = 1.0  # an as-of time may be told this long: an old one claims less, never more


@dataclass(frozen=True, slots=True)
class Field:
    """One fact with where it comes from."""

    name: str
    value: Any
    source: AgencyCode
    register: RegisterName
    version: int
    recorded_at: datetime
    as_of: datetime | None
    """When the replica last stood at the end of this register's topics: the source had not changed the fact by then."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the replica's registers hold of one subject."""

    kind: SubjectKind
    id: str
    merged_from: str | None
    """The id that was asked for, when its register has merged it into another."""
    rows: Mapping[RegisterName, Sequence[Row]]
    as_of: Mapping[RegisterName, datetime | None]

    def fields(self) -> Iterator[Field]:
        for register, rows in self.rows.items():
            for row in rows:
                for name, value in row.fields.items():
                    yield Field(name, value, row.source, register, row.version, row.recorded_at, self.as_of[register])

    def __getitem__(self, path: str) -> Field:
        """Field by ``register.field`` (``identity.full_name``); KeyError where the replica has no such row or field."""
        short, _, name = path.partition(".")
        for field in self.fields():
            if field.name == name and field.register == f"{self.kind}.{short}":
                return field
        raise KeyError(path)


class Replica:
    """A replica for reading. Cheap to open, safe beside a running daemon; one per thread.

    ::

        with Replica.open("sqlite:///replica.db") as replica:
            person = replica.get("resident", personal_id)
            print(person["residence.permanent_address"].value)
    """

    def __init__(self, database: str) -> None:
        """Raises ConfigInvalid for a database that is no replica, DatabaseUnavailable."""
        self._reader = open_reader(database)
        self._as_of: dict[RegisterName, datetime | None] = {}
        self._as_of_until = 0.0

    @classmethod
    def open(cls, database: str) -> Self:
        return cls(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()

    def get(self, kind: str, key: str) -> Subject | None:
        """What is held of a subject, from one read snapshot; None when nothing is.

        A merged identity is followed to the one that lives on. Raises InputRefused for an unknown kind,
        DatabaseUnavailable.
        """
        asked = key
        for _ in range(POINTERS):
            rows = self._reader.subject(SubjectKind(kind), key)
            pointer = next((row.replaced_by for row in rows if row.replaced_by is not None), None)
            if pointer is None:
                break
            key = pointer
        else:
            raise InputRefused(
                f"{kind}: more than {POINTERS} merges lead from this id; report it to the register's owner"
            )
        if not rows:
            return None
        return _subject(SubjectKind(kind), key, asked, rows, self._standings())

    def ready(self) -> bool:
        """Whether every register of the replica has been filled once."""
        return all(self._reader.status(name).phase is Phase.READY for name in self._reader.registers())

    def changes(self, after: str | None = None, limit: int = 1000) -> Sequence[Change]:
        """The durable feed of what changed here, oldest first, for the agency's own systems.

        Keep the last change's ``cursor`` with what you did, ask for what came after it. Raises ChangesExpired when the
        feed no longer reaches back so far, or a table was filled anew: read the replica afresh and start from
        ``latest_cursor()``.
        """
        return self._reader.changes(after, limit)

    def _standings(self) -> Mapping[RegisterName, datetime | None]:
        now = time.monotonic()
        if now > self._as_of_until:
            self._as_of = {name: self._caught_up(name) for name in self._reader.registers()}
            self._as_of_until = now + FRESH_SECONDS
        return self._as_of

    def _caught_up(self, register: RegisterName) -> datetime | None:
        times = [each.caught_up_at for each in self._reader.positions(register, Slot.LIVE).values()]
        return None if None in times or not times else min(at for at in times if at is not None)


def _subject(
    kind: SubjectKind, key: str, asked: str, rows: Sequence[Row], as_of: Mapping[RegisterName, datetime | None]
) -> Subject:
    by_register: dict[RegisterName, list[Row]] = {}
    for row in rows:
        by_register.setdefault(row.register, []).append(row)
    return Subject(
        kind,
        key,
        asked if asked != key else None,
        by_register,
        {register: as_of.get(register) for register in by_register},
    )
