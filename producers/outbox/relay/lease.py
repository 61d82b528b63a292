"""Who relays a shard: a row that its owner keeps touching. Whoever sees it still for too long takes over.

No clock is compared: the one who waits measures, by its own clock, how long the row has not changed. The row only keeps
two relays from working at once; that the earlier one can send nothing more is Kafka's fencing.

A relay that is frozen within a transaction would keep the row locked for as long as its connection lasts: the server
ends such a transaction, where it knows how (PostgreSQL, MariaDB).
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from producers.outbox.table import tables

IDLE_SECONDS = 5.0
"""How long one of our transactions may stand idle: they only ever wait for the database itself."""

Positions = Mapping[int, int]
"""Per partition, an offset below which everything of ours belongs to rows that are marked."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the relay before has left."""

    positions: Positions | None
    """None where nothing was ever sent."""
    topic_id: str | None
    fence: Sequence[int]
    """All shards of an earlier division of the keys: what they send has to end too."""


@dataclass(slots=True)
class Lease:
    engine: Engine
    aggregatetype: str
    shard: int
    shards: int
    seconds: float
    owner: str = field(default_factory=lambda: str(uuid4()))
    """One relay's own word; what it could not leave while the database was away, it takes again at once."""
    _seen: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Per shard, the beat last seen, and since when."""

    def take(self) -> Held | None:
        """Become the owner if nobody is; None while another one is alive. Call it again and again.

        The first relay of a new division of the keys waits for all of the earlier one, and owns every shard until it
        has put an end to what they send: see ``divide``.
        """
        with self.transaction() as connection:
            # Locked, so that two of a new division do not both take it for theirs to begin, and one fence the other.
            rows: Sequence[Any] = connection.execute(select(self._table).where(self._ours).with_for_update()).all()
            mine = next((row for row in rows if row.shard == self.shard), None)
            if mine is None:
                self._make(connection, self.shard, None)
                return None
            earlier = [row for row in rows if row.shards != self.shards]
            wanted = rows if earlier else [mine]
            quiet = [self._is_quiet(row) for row in wanted]
            if not all(quiet) or not all(self._own(connection, row) for row in wanted):
                return None
            if earlier:
                return Held(_lowest(rows), _topic_id(rows), [row.shard for row in rows])
            return Held(read_positions(mine.positions), mine.topic_id, [])

    def divide(self) -> bool:
        """Note the new division of the keys, once whoever sent under the earlier one can send no more.

        Every shard goes on from the lowest of all positions, for its keys may have been another's before, and is free
        for its relay. Until then the rows tell of the earlier division, so that after a kill the next one ends it too.
        False where another one owns the shard.
        """
        with self.transaction() as connection:
            if not self.hold(connection):
                return False
            rows: Sequence[Any] = connection.execute(select(self._table).where(self._ours)).all()
            lowest, topic_id = _lowest(rows), _topic_id(rows)
            text = None if lowest is None else as_text(lowest)
            kept = {"shards": self.shards, "positions": text, "topic_id": topic_id}
            connection.execute(update(self._table).where(self._ours).values(kept))
            connection.execute(
                update(self._table).where(self._ours & (self._table.c.shard != self.shard)).values(owner=None)
            )
            connection.execute(delete(self._table).where(self._ours, self._table.c.shard >= self.shards))
            for shard in set(range(self.shards)) - {row.shard for row in rows}:
                self._make(connection, shard, text, topic_id)
        return True

    def beat(self) -> bool:
        """Touch what is ours; False where another one owns it."""
        with self.transaction() as connection:
            touched = update(self._table).where(self._all_mine).values(beat=self._table.c.beat + 1)
            return connection.execute(touched).rowcount > 0

    def leave(self) -> None:
        """Let the next one in at once."""
        with self.transaction() as connection:
            connection.execute(update(self._table).where(self._all_mine).values(owner=None))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One that the server ends once it stands idle, so that whoever is frozen in it keeps nothing locked."""
        with self.engine.begin() as connection:
            kind = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name
            if limit := _IDLE_LIMITS.get(kind):
                connection.exec_driver_sql(limit(IDLE_SECONDS))
            yield connection

    def remember(self, connection: Connection, topic_id: str, positions: Positions) -> bool:
        """Keep positions in the transaction that marks rows; False where another one owns the shard.

        Until the transaction ends nobody takes the shard over.
        """
        kept = {"topic_id": topic_id, "positions": as_text(positions)}
        return connection.execute(update(self._table).where(self._mine).values(kept)).rowcount == 1

    def hold(self, connection: Connection) -> bool:
        """Until this transaction ends nobody takes the shard over; False where somebody has."""
        held = update(self._table).where(self._mine).values(owner=self.owner)
        return connection.execute(held).rowcount == 1

    @property
    def _table(self) -> Table:
        return tables(self.engine.dialect.name).relay

    @property
    def _ours(self) -> Any:
        return self._table.c.aggregatetype == self.aggregatetype

    @property
    def _all_mine(self) -> Any:
        return self._ours & (self._table.c.owner == self.owner)

    @property
    def _mine(self) -> Any:
        return self._all_mine & (self._table.c.shard == self.shard)

    def _is_quiet(self, row: Any) -> bool:
        now = time.monotonic()
        beat, since = self._seen.get(row.shard, (None, now))
        if beat != row.beat:
            self._seen[row.shard], since = (row.beat, now), now
        return row.owner in (None, self.owner) or now - since >= self.seconds

    def _own(self, connection: Connection, row: Any) -> bool:
        seen = self._ours & (self._table.c.shard == row.shard) & (self._table.c.beat == row.beat)
        taken = update(self._table).where(seen).values(owner=self.owner, beat=row.beat + 1)
        return connection.execute(taken).rowcount == 1

    def _make(self, connection: Connection, shard: int, positions: str | None, topic_id: str | None = None) -> None:
        fresh = {"aggregatetype": self.aggregatetype, "shard": shard, "shards": self.shards, "beat": 0}
        try:
            with connection.begin_nested():
                connection.execute(insert(self._table).values(**fresh, positions=positions, topic_id=topic_id))
        except IntegrityError:
            return  # another one was first


_IDLE_LIMITS: Mapping[str, Callable[[float], str]] = {
    "postgresql": lambda seconds: f"SET LOCAL idle_in_transaction_session_timeout = {round(seconds * 1000)}",
    "mariadb": lambda seconds: f"SET SESSION idle_write_transaction_timeout = {math.ceil(seconds)}",
}


def _lowest(rows: Sequence[Any]) -> dict[int, int] | None:
    """Per partition the lowest of all shards' positions; a partition that one of them does not know begins at 0."""
    found = [positions for row in rows if (positions := read_positions(row.positions)) is not None]
    return {place: min(each.get(place, 0) for each in found) for place in set().union(*found)} if found else None


def _topic_id(rows: Sequence[Any]) -> str | None:
    return next((row.topic_id for row in rows if row.topic_id), None)


def as_text(positions: Positions) -> str:
    return json.dumps({str(partition): offset for partition, offset in sorted(positions.items())})


def read_positions(text: str | None) -> dict[int, int] | None:
    return None if text is None else {int(place): int(offset) for place, offset in json.loads(text).items()}
