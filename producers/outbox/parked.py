"""Rows that the relay could not encode: which they are, and why; and sent after all, once their cause is mended.

A row keeps its version when it is taken again. Where a newer row of its key has been written since, it is too late for
this one: behind the newer, it would be what a compacted topic keeps. It is settled then, and never sent.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, null, or_, select, text, update

from bus.errors import ConfigInvalid
from producers.capture.row import moved
from producers.capture.table import Captured, captured, source_of
from producers.outbox.database import told_plainly
from producers.outbox.table import CHANNEL, REASON_LENGTH, ROW, Tables, tables
from producers.outbox.types import moment, read_moment

Fate = Literal["taken", "superseded", "left"]
"""``taken``: the relay gets it again. ``superseded``: a newer row of its key stands. ``left``: parked as before."""

SUPERSEDED = "superseded by a newer row of its key; before: "


@dataclass(frozen=True, slots=True)
class Selection:
    """Which parked rows; all conditions hold."""

    ids: Sequence[UUID] = ()
    register: str | None = None
    reason: str | None = None
    """A part of it."""

    @property
    def narrow(self) -> bool:
        return bool(self.ids or self.register or self.reason)


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """What may be shown of one: no key, no payload."""

    id: str
    aggregatetype: str
    type: str
    format: str
    reason: str
    created_at: datetime | None
    superseded: bool
    """A newer row of its key has been written since."""


def listed(engine: Engine, chosen: Selection, limit: int) -> list[ParkedRow]:
    """The oldest first. Raises DatabaseUnavailable, ConfigInvalid."""
    found = tables(engine.dialect.name)
    outbox, version = found.outbox.c, found.version.c
    same = and_(version.aggregatetype == outbox.aggregatetype, version.aggregateid == outbox.aggregateid)
    columns = (outbox.id, outbox.aggregatetype, outbox.type, outbox.format, outbox.parked, outbox.created_at)
    query = select(*columns, outbox.version, version.last).select_from(found.outbox.outerjoin(found.version, same))
    with told_plainly(engine), engine.connect() as connection:
        rows = connection.execute(query.where(*_parked(found, chosen)).order_by(outbox.seq).limit(limit)).all()
    return [
        ParkedRow(str(row[0]).strip(), *row[1:5], read_moment(row[5]), None not in row[6:] and row[7] > row[6])
        for row in rows
    ]


def counted(engine: Engine, chosen: Selection) -> list[tuple[str, str, int]]:
    """Register's aggregatetype, reason, rows; the most first."""
    found = tables(engine.dialect.name)
    outbox = found.outbox.c
    query = select(outbox.aggregatetype, outbox.parked, func.count()).where(*_parked(found, chosen))
    with told_plainly(engine), engine.connect() as connection:
        rows = connection.execute(query.group_by(outbox.aggregatetype, outbox.parked)).all()
    return sorted(((row[0], row[1], int(row[2])) for row in rows), key=lambda row: (-row[2], row))


def retry(engine: Engine, chosen: Selection) -> Counter[Fate]:
    """Give rows to the relay again, each in a transaction of its own, in version order per key; how many fared how.

    Killed, what was done stays. A captured row goes by the mapping that its table has now. Left are rows without a
    version, and those of a table that is followed by the log: its next change is sent anyway. Raises
    DatabaseUnavailable, ConfigInvalid.
    """
    found = tables(engine.dialect.name)
    outbox, told = found.outbox.c, Counter[Fate]()
    columns = (outbox.seq, outbox.aggregatetype, outbox.aggregateid, outbox.format, outbox.version)
    query = select(*columns).where(*_parked(found, chosen)).order_by(outbox.version, outbox.seq)
    with told_plainly(engine):
        with engine.connect() as connection:
            rows = connection.execute(query).all()
            captures = captured(connection)
        for row in rows:
            with engine.begin() as connection:
                told[_retried(connection, found, row, captures)] += 1
        if told["taken"] and engine.dialect.name == "postgresql":
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
    return told


def _retried(connection: Connection, found: Tables, row: Any, captures: Sequence[Captured]) -> Fate:
    outbox = found.outbox
    by_log = any(each.aggregatetype == row.aggregatetype and each.way == "log" for each in captures)
    if row.version is None or (row.format == ROW and by_log):
        return "left"
    last = _last(connection, found, row)
    still = update(outbox).where(outbox.c.seq == row.seq, outbox.c.parked.is_not(null()), outbox.c.sent_at.is_(null()))
    if last is not None and last > row.version:
        connection.execute(still.values(sent_at=_now(connection), parked=_settled(connection, found, row)))
        return "superseded"
    connection.execute(still.values(parked=None, **_remapped(connection, found, row, captures)))
    return "taken"


def _last(connection: Connection, found: Tables, row: Any) -> int | None:
    """The key's newest version. From here on until the end of the transaction nobody can write a newer one."""
    version = found.version.c
    key = version.aggregatetype == row.aggregatetype, version.aggregateid == row.aggregateid
    connection.execute(update(found.version).where(*key).values(last=version.last))
    last: int | None = connection.execute(select(version.last).where(*key)).scalar()
    return last


def _settled(connection: Connection, found: Tables, row: Any) -> str:
    reason = connection.execute(select(found.outbox.c.parked).where(found.outbox.c.seq == row.seq)).scalar()
    return f"{SUPERSEDED}{reason}"[:REASON_LENGTH]


def _remapped(connection: Connection, found: Tables, row: Any, captures: Sequence[Captured]) -> Mapping[str, bytes]:
    """A captured row's payload, by the number of the mapping that its table has now."""
    mine = [each for each in captures if each.aggregatetype == row.aggregatetype]
    if row.format != ROW or not mine:
        return {}
    payload = connection.execute(select(found.outbox.c.payload).where(found.outbox.c.seq == row.seq)).scalar()
    return {"payload": moved(bytes(payload or b""), lambda number: _successor(connection, number, mine))}


def _successor(connection: Connection, number: int, captures: Sequence[Captured]) -> int:
    source = source_of(connection, number)
    same = [each.id for each in captures if source in (None, each.source)]
    return same[0] if len(same) == 1 else number


def _parked(found: Tables, chosen: Selection) -> Iterator[ColumnElement[bool]]:
    outbox = found.outbox.c
    yield outbox.parked.is_not(null())
    yield outbox.sent_at.is_(null())
    if chosen.ids:
        yield outbox.id.in_([str(each) for each in chosen.ids])
    if chosen.register:  # a register with several writers has a topic for each
        per_writer = outbox.aggregatetype.startswith(f"{chosen.register}.", autoescape=True)
        yield or_(outbox.aggregatetype == chosen.register, per_writer)
    if chosen.reason:
        yield outbox.parked.contains(chosen.reason, autoescape=True)


def _now(connection: Connection) -> datetime | str:
    return moment(datetime.now(UTC), connection.dialect.name)


def read_ids(given: Sequence[str]) -> list[UUID]:
    """Raises ConfigInvalid for what is no id."""
    try:
        return [UUID(each) for each in given]
    except ValueError as error:
        raise ConfigInvalid("--id: expected a row's id, a UUID as lienthong outbox parked list shows it") from error
