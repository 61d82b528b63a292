"""Messages of the log as events of the captured table. Pure.

Values get the form that PostgreSQL has in JSON, so that one mapping file does for triggers, log and snapshot.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Literal
from uuid import UUID

from bus.errors import ConfigInvalid
from producers.capture.follow.pgoutput import (
    UNCHANGED,
    Begin,
    Cells,
    Change,
    Commit,
    Message,
    MessageInvalid,
    Relation,
    Truncate,
)
from producers.capture.source import Source
from producers.lane import microseconds

AGAIN = "run: lienthong capture install"
Row = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Captured:
    """One event: of which transaction, the how manieth in it."""

    op: Literal["UPSERT", "DELETE"]
    columns: Row
    lsn: int
    xid: int
    number: int
    committed_at: datetime

    def event_id(self, slot: str) -> UUID:
        """A UUIDv7 that is the same whenever the log is read."""
        seed = f"{slot} {self.lsn} {self.number}".encode()
        low = int.from_bytes(blake2b(seed, digest_size=10).digest())
        bits = (microseconds(self.committed_at) // 1000) << 80 | low
        return UUID(int=bits & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


@dataclass(slots=True)
class Assembler:
    """Keeps what the messages so far have told: tables, and the transaction that is under way."""

    source: Source
    until: int = 0
    """Where the reading of the table ended: before, a row that changes its primary key may have moved from where it was
    to be read to where all had been read, and is told."""
    _relations: dict[int, Relation] = field(default_factory=dict)
    _begin: Begin | None = None
    _number: int = 0

    @property
    def inside(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self._begin is not None

    def feed(self, message: Message) -> Iterator[Captured]:
        """The events of one message. Raises ConfigInvalid where the table is not as it was installed any more."""
        match message:
            case Begin():
                self._begin, self._number = message, 0
            case Commit():
                self._begin = None
            case Relation():
                self._relations[message.id] = message
                self._check(message)
            case Truncate():
                raise ConfigInvalid(
                    f"{self.source.name}: was truncated, and its log does not say which rows it had; run: lienthong "
                    "capture uninstall, then install: the table is read afresh, and who is gone is deleted"
                )
            case Change():
                yield from self._events(message)

    def _check(self, relation: Relation) -> None:
        missing = [name for name in self.source.wanted if name not in relation.columns]
        if missing:
            raise ConfigInvalid(
                f"{self.source.name}: has no column {missing[0]} any more; correct the mapping, {AGAIN}"
            )
        if relation.identity != "f":
            raise ConfigInvalid(f"{self.source.name}: REPLICA IDENTITY is not FULL any more; {AGAIN}")

    def _events(self, change: Change) -> Iterator[Captured]:
        relation = self._relations.get(change.relation)
        if relation is None:
            raise MessageInvalid("pgoutput: a row of a table that was not described before")
        old = None if change.old is None else self._row(relation, change.old, None)
        new = None if change.new is None else self._row(relation, change.new, change.old)
        if old is not None and new is not None and self._same(old, new):
            return
        old_key, new_key = (None if row is None else self.key(row) for row in (old, new))
        if old is not None and old_key is not None and old_key != new_key:
            yield self._event("DELETE", old)
        if new is not None and new_key is not None:
            yield self._event("UPSERT", new)

    def key(self, row: Row) -> str | None:
        """As the triggers have it; None where it says nothing."""
        cells = (row[name] for name in self.source.key)
        return self.source.separator.join(cell for cell in cells if cell is not None) or None

    def _same(self, old: Row, new: Row) -> bool:
        moves = self._begin is not None and self._begin.final_lsn < self.until
        names = (*self.source.wanted, *(self.source.primary if moves else ()))
        return all(old[name] == new[name] for name in names)

    def _row(self, relation: Relation, cells: Cells, before: Cells | None) -> Row:
        found: dict[str, str | None] = {}
        if len(cells) != len(relation.columns) or (before is not None and len(before) != len(cells)):
            raise MessageInvalid("pgoutput: a row with other columns than its table")
        for place, name in enumerate(relation.columns):
            cell = cells[place]
            if cell is UNCHANGED:
                cell = before[place] if before is not None else UNCHANGED
            if cell is UNCHANGED or isinstance(cell, type(UNCHANGED)):
                raise ConfigInvalid(f"{self.source.name}: the log lacks column {name}; {AGAIN}")
            found[name] = told(cell, self.source.columns.get(name, ""))
        return found

    def _event(self, op: Literal["UPSERT", "DELETE"], row: Row) -> Captured:
        begin = self._begin
        if begin is None:
            raise ConfigInvalid("pgoutput: a row outside any transaction")
        self._number += 1
        return Captured(op, row, begin.final_lsn, begin.xid, self._number, begin.committed_at)


def told(cell: str | None, kind: str) -> str | None:
    """A value as PostgreSQL writes it in JSON."""
    if cell is None:
        return None
    if kind == "boolean":
        return {"t": "true", "f": "false"}.get(cell, cell)
    if kind.startswith("timestamp"):
        at = cell.replace(" ", "T", 1)
        return f"{at}:00" if at[-3:-2] in "+-" and kind.endswith("with time zone") else at
    return cell
