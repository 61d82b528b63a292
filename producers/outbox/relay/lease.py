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

        The first relay of a new division of the keys also waits for, and ends, all of the earlier one.
        """
        with self.transaction() as connection:
            # Locked, so that two of a new division do not both take it for theirs to begin, and one fence the other.
            rows: Sequence[Any] = connection.execute(select(self._table).where(self._ours).with_for_update()).all()
            mine = next((row for row in rows if row.shard == self.shard), None)
            if mine is None:
                self._make(connection, self.shard, None)
                return None
            earlier = [row for row in rows if row.shards != self.shards]
            quiet = [self._is_quiet(row) for row in {row.shard: row for row in (mine, *earlier)}.values()]
            if not all(quiet) or not self._own(connection, mine.beat):
                return None
            if earlier:
                return self._divide(connection, rows, earlier)
            return Held(read_positions(mine.positions), mine.topic_id, [])

    def beat(self) -> bool:
        """Touch the row; False where another one owns it."""
        with self.transaction() as connection:
            touched = update(self._table).where(self._mine).values(beat=self._table.c.beat + 1)
            return connection.execute(touched).rowcount == 1

    def leave(self) -> None:
        """Let the next one in at once."""
        with self.transaction() as connection:
            connection.execute(update(self._table).where(self._mine).values(owner=None))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One that the server ends once it stands idle, so that whoever is frozen in it keeps nothing locked."""
        with self.engine.begin() as connection:
            kind = "mariadb" if getattr(connection.dialect, "is_mariadb", False) else connection.dialect.name
            if limit := _IDLE_LIMITS.get(kind):
                connection.exec_driver_sql(limit(IDLE_SECONDS))
            yield connection

    def remember(self, connection: Connection, topic_id: str, positions: Positions) -> None:
        """Keep positions in the transaction that marks rows; nothing where another one owns the shard."""
        kept = {"topic_id": topic_id, "positions": as_text(positions)}
        connection.execute(update(self._table).where(self._mine).values(kept))

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
    def _mine(self) -> Any:
        return self._ours & (self._table.c.shard == self.shard) & (self._table.c.owner == self.owner)

    def _is_quiet(self, row: Any) -> bool:
        now = time.monotonic()
        beat, since = self._seen.get(row.shard, (None, now))
        if beat != row.beat:
            self._seen[row.shard], since = (row.beat, now), now
        return row.owner in (None, self.owner) or now - since >= self.seconds

    def _own(self, connection: Connection, beat: int) -> bool:
        seen = self._ours & (self._table.c.shard == self.shard) & (self._table.c.beat == beat)
        taken = update(self._table).where(seen).values(owner=self.owner, beat=beat + 1, shards=self.shards)
        return connection.execute(taken).rowcount == 1

    def _divide(self, connection: Connection, rows: Sequence[Any], earlier: Sequence[Any]) -> Held:
        """Every shard goes on from the lowest of all positions, for its keys may have been another's before."""
        found = [positions for row in earlier if (positions := read_positions(row.positions)) is not None]
        lowest = {place: min(each.get(place, 0) for each in found) for place in set().union(*found)} if found else None
        topic_id = next((row.topic_id for row in earlier if row.topic_id), None)
        there = {row.shard for row in rows}
        text = None if lowest is None else as_text(lowest)
        kept = {"shards": self.shards, "positions": text, "topic_id": topic_id}
        connection.execute(update(self._table).where(self._ours).values(kept))
        connection.execute(delete(self._table).where(self._ours, self._table.c.shard >= self.shards))
        for shard in range(self.shards):
            if shard not in there:
                self._make(connection, shard, text, topic_id)
        return Held(lowest, topic_id, [row.shard for row in earlier])

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


def as_text(positions: Positions) -> str:
    return json.dumps({str(partition): offset for partition, offset in sorted(positions.items())})


def read_positions(text: str | None) -> dict[int, int] | None:
    return None if text is None else {int(place): int(offset) for place, offset in json.loads(text).items()}
