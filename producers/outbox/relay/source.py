"""The outbox's rows as a relay sees them: any database that SQLAlchemy speaks to.

Why no row is passed over and none overtakes another of its key: a row is locked to its key's version by the writer's
transaction, so that the committed rows of a key are always a beginning of all its rows, in version order. Each chunk is
read from the lowest unsent version on, in one statement, and marked before the next is read.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, bindparam, delete, func, null, select, update

from bus.errors import ConfigInvalid
from producers.outbox.database import told_plainly
from producers.outbox.relay.row import Row
from producers.outbox.table import TOMBSTONE, Tables, tables
from producers.outbox.types import moment, read_moment

COUNT_LIMIT = 1_000_000
MARK_ROWS = 500  # below the lowest limit of parameters in one statement, SQLite's 999
PRUNE_ROWS = 5_000
FIRST_SLEEP_SECONDS = 0.005
NO_VERSION = "version: expected a number: raise the key's row in lienthong_version first"


@dataclass(frozen=True, slots=True)
class Share:
    """Which rows are read, and how many at a time."""

    aggregatetype: str
    shard: int
    shards: int
    rows: int
    bytes: int


Known = frozenset[tuple[bytes, bool]]
"""Events by id, and whether the tombstone's record is meant."""


@dataclass(frozen=True, slots=True)
class Waiting:
    unsent: int
    oldest_seconds: float
    parked: int


@dataclass(frozen=True, slots=True)
class Marks:
    """What became of rows that were read."""

    sent: Sequence[int]
    parked: Sequence[tuple[int, str]]


class Source(Protocol):
    """Rows are looked for by plain reads and changed by their numbers: no agency's transaction waits for long."""

    def sweep(self) -> Generator[list[Row]]:
        """Unsent rows in order, a chunk at a time. A chunk may be asked for before the one before is marked."""
        ...

    def mark(self, connection: Connection, marks: Marks, *, delete: bool) -> None: ...

    def mark_known(self, connection: Connection, known: Known) -> int:
        """Mark those of these events' rows that are not; how many."""
        ...

    def prune(self, keep: timedelta) -> bool:
        """Delete a slice of what was sent longer ago; whether there may be more."""
        ...

    def park_lost(self) -> None:
        """Park rows that can never be read, once everything else is."""
        ...

    def waiting(self) -> Waiting: ...

    def wait(self, seconds: float) -> None:
        """Return when there may be rows to send, at the latest after so many seconds, or when told to wake."""
        ...

    def wake(self) -> None:
        """May be called from another thread, and from a signal handler."""
        ...

    def close(self) -> None: ...


class PlainSource:
    """Any database; nobody tells when rows come, so that it looks again, ever more seldom while there are none."""

    def __init__(self, engine: Engine, share: Share) -> None:
        self._engine = engine
        self._share = share
        self._tables: Tables = tables(engine.dialect.name)
        self._query = _query(self._tables, share, engine.dialect.name)
        self._woken = Event()
        self._sleep = FIRST_SLEEP_SECONDS

    def sweep(self) -> Generator[list[Row]]:
        with told_plainly(self._engine), self._engine.connect() as connection:
            found = connection.execute(self._query).all()
        rows = [Row(row[0], row[1].encode(), row[2].strip().encode(), *row[3:10]) for row in found]
        if rows:
            self._sleep = FIRST_SLEEP_SECONDS
            yield rows

    def mark(self, connection: Connection, marks: Marks, *, delete: bool) -> None:
        mark_rows(connection, self._tables, marks, self._engine.dialect.name, remove=delete)

    def mark_known(self, connection: Connection, known: Known) -> int:
        outbox, count = self._tables.outbox, 0
        is_text = self._engine.dialect.name != "postgresql"  # where a writer may spell it in capitals
        written = func.lower(outbox.c.id) if is_text else outbox.c.id
        for tombstones in (False, True):
            ids = [event_id.decode() for event_id, tombstone in known if tombstone is tombstones]
            kind = (outbox.c.type == TOMBSTONE) if tombstones else (outbox.c.type != TOMBSTONE)
            for start in range(0, len(ids), MARK_ROWS):
                some = written.in_(ids[start : start + MARK_ROWS])
                found = select(outbox.c.seq).where(*_unsent(self._tables, self._share), kind, some)
                numbers = list(connection.execute(found).scalars())
                self.mark(connection, Marks(numbers, ()), delete=False)
                count += len(numbers)
        return count

    def prune(self, keep: timedelta) -> bool:
        return prune(self._engine, self._tables, self._share, keep)

    def park_lost(self) -> None:
        outbox = self._tables.outbox.c
        with told_plainly(self._engine), self._engine.begin() as connection:
            lost = select(outbox.seq).where(*_unsent(self._tables, self._share), outbox.version.is_(null()))
            numbers = list(connection.execute(lost.limit(PRUNE_ROWS)).scalars())
            self.mark(connection, Marks((), [(seq, NO_VERSION) for seq in numbers]), delete=False)

    def waiting(self) -> Waiting:
        return waiting(self._engine, self._tables, self._share)

    def wait(self, seconds: float) -> None:
        self._woken.wait(min(self._sleep, seconds))
        self._sleep = min(self._sleep * 1.5, seconds)

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """Nothing is held."""


def mark_rows(connection: Connection, found: Tables, marks: Marks, dialect: str, *, remove: bool) -> None:
    outbox = found.outbox
    now = moment(datetime.now(UTC), dialect)
    for start in range(0, len(marks.sent), MARK_ROWS):
        some = outbox.c.seq.in_(bindparam("some", expanding=True, literal_execute=True))
        action: Any = delete(outbox).where(some) if remove else update(outbox).where(some).values(sent_at=now)
        connection.execute(action, {"some": list(marks.sent[start : start + MARK_ROWS])})
    for seq, reason in marks.parked:
        connection.execute(update(outbox).where(outbox.c.seq == seq).values(parked=reason))


def prune(engine: Engine, found: Tables, share: Share, keep: timedelta) -> bool:
    """One slice, so that no lock lasts and no row waits; whether there may be more.

    Rows are sent about in the order of their numbers: only the first are looked at, not all that are kept.
    """
    outbox = found.outbox
    before = moment(datetime.now(UTC) - keep, engine.dialect.name)
    sent = select(outbox.c.seq, outbox.c.sent_at).where(
        outbox.c.aggregatetype == share.aggregatetype, outbox.c.sent_at.is_not(null())
    )
    first = sent.order_by(outbox.c.seq).limit(PRUNE_ROWS).subquery()
    with told_plainly(engine), engine.begin() as connection:
        numbers = list(connection.execute(select(first.c.seq).where(first.c.sent_at < before)).scalars())
        mark_rows(connection, found, Marks(numbers, ()), engine.dialect.name, remove=True)
    return len(numbers) == PRUNE_ROWS


def waiting(engine: Engine, found: Tables, share: Share) -> Waiting:
    """Of the whole register, all shards; counted up to a million."""
    outbox = found.outbox.c
    unsent = select(outbox.created_at).where(*_unsent(found, share))
    first = unsent.where(outbox.version.is_not(null())).order_by(outbox.version, outbox.seq).limit(1)
    kept = outbox.aggregatetype == share.aggregatetype, outbox.parked.is_not(null()), outbox.sent_at.is_(null())
    parked = select(func.count()).where(*kept)
    with told_plainly(engine), engine.connect() as connection:
        count = connection.execute(select(func.count()).select_from(unsent.limit(COUNT_LIMIT).subquery())).scalar_one()
        oldest = read_moment(connection.execute(first).scalar())
        stuck = connection.execute(parked).scalar_one()
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
    return Waiting(int(count), max(age, 0.0), int(stuck))


def _unsent(found: Tables, share: Share) -> tuple[ColumnElement[bool], ...]:
    outbox = found.outbox.c
    return outbox.aggregatetype == share.aggregatetype, outbox.sent_at.is_(null()), outbox.parked.is_(null())


def _query(found: Tables, share: Share, dialect: str) -> Any:
    """The next rows, as many as their payloads allow, one at least."""
    outbox = found.outbox
    some = select(outbox).where(
        *_unsent(found, share), outbox.c.version.is_not(null()), *_in_shard(found, share, dialect)
    )
    first = some.order_by(outbox.c.version, outbox.c.seq).limit(share.rows).subquery("first")
    size = func.coalesce(_LENGTHS.get(dialect, func.length)(first.c.payload), 0)
    before = (func.sum(size).over(order_by=(first.c.version, first.c.seq)) - size).label("before")
    names = (
        "seq",
        "aggregateid",
        "id",
        "type",
        "format",
        "payload",
        "version",
        "traceparent",
        "occurred_at",
        "created_at",
    )
    summed = select(*(first.c[name] for name in names), before).subquery("summed")
    return select(summed).where(summed.c.before < share.bytes).order_by(summed.c.version, summed.c.seq)


_LENGTHS: Mapping[str, Any] = {
    "postgresql": func.octet_length,
    "mssql": func.datalength,
    "oracle": func.dbms_lob.getlength,
}


def _in_shard(found: Tables, share: Share, dialect: str) -> Sequence[Any]:
    """Any hash will do that all relays of one database share."""
    if share.shards == 1:
        return ()
    key = found.outbox.c.aggregateid
    if dialect in ("mysql", "mariadb"):
        return (func.mod(func.crc32(key), share.shards) == share.shard,)
    if dialect == "postgresql":
        return (func.mod(func.hashtext(key).bitwise_and(2**31 - 1), share.shards) == share.shard,)
    raise ConfigInvalid(f"--shard: {dialect} has no hash of a key that statements can use; run one relay")
