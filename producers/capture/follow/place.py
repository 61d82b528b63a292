"""Where the following of one table stands, in the agency's own database: one row, changed in one transaction."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

from sqlalchemy import Connection, text

from bus.errors import Fenced
from producers.capture.follow.stream import as_text, read_lsn
from producers.capture.table import Captured, remember
from producers.outbox.database import told_plainly
from producers.outbox.relay.lease import Lease, Positions
from producers.outbox.relay.row import Row
from producers.outbox.table import CAPTURE, OUTBOX, ROW

PARK = f"""\
INSERT INTO {OUTBOX} (id, aggregatetype, aggregateid, type, payload, format, version, source, parked)
SELECT CAST(:id AS uuid), :kind, :key, :type, :payload, '{ROW}', :version, :source, :parked
WHERE NOT EXISTS (SELECT FROM {OUTBOX} WHERE parked IS NOT NULL AND id = CAST(:id AS uuid))"""
DONE = f"UPDATE {CAPTURE} SET snapshot_done_at = clock_timestamp() WHERE id = :id"
TAKEN_OVER = "a later follower has taken over; this one stops and sends nothing more"


@dataclass(frozen=True, slots=True)
class Place:
    """``lsn``: everything of transactions that ended before is in the topic below ``positions`` or parked.

    What is in the topic from ``positions`` on has to be compared by event ids.
    """

    lsn: int = 0
    positions: Positions | None = None
    """None where nothing was ever sent."""
    topic_id: str | None = None
    high: int = 0
    """The highest version given."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        positions = told.get("positions")
        return cls(
            read_lsn(told.get("lsn", "0/0")),
            None if positions is None else {int(place): offset for place, offset in positions.items()},
            told.get("topic_id"),
            told.get("high", 0),
        )

    def beyond(self, positions: Positions, **more: Any) -> Self:
        return replace(self, positions={**(self.positions or {}), **positions}, **more)


@dataclass(slots=True)
class Ledger:
    """Writes places and parked rows, as long as the register's lease is ours: who was frozen puts no place back."""

    lease: Lease
    capture: Captured
    _kept: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kept = dict(self.capture.stream or {})

    def keep(
        self, place: Place, parked: Sequence[tuple[Row, str]] = (), snapshot: Mapping[str, Any] | None = None,
        *, done: bool = False,
    ) -> None:  # fmt: skip
        """All of it, or nothing. Raises DatabaseUnavailable, Fenced."""
        positions = None if place.positions is None else {str(each): at for each, at in place.positions.items()}
        self._kept |= {"lsn": as_text(place.lsn), "positions": positions, "topic_id": place.topic_id}
        self._kept |= {"high": place.high}
        with self._ours() as connection:
            for row, reason in parked:
                self._park(connection, row, reason)
            remember(connection, self.capture.id, "stream", self._kept)
            if snapshot is not None:
                remember(connection, self.capture.id, "snapshot", snapshot)
            if done:
                connection.execute(text(DONE), {"id": self.capture.id})

    def park(self, parked: Sequence[tuple[Row, str]]) -> None:
        """Rows alone, before their transaction is through."""
        with self._ours() as connection:
            for row, reason in parked:
                self._park(connection, row, reason)

    @contextmanager
    def _ours(self) -> Iterator[Connection]:
        with told_plainly(self.lease.engine), self.lease.transaction() as connection:
            if not self.lease.hold(connection):
                raise Fenced(TAKEN_OVER)
            yield connection

    def _park(self, connection: Connection, row: Row, reason: str) -> None:
        values: dict[str, Any] = {
            "id": row.event_id.decode(),
            "kind": self.capture.aggregatetype,
            "key": row.key.decode(),
        }
        values |= {"type": row.type, "payload": row.payload, "version": row.version, "parked": reason}
        connection.execute(text(PARK), values | {"source": f"/agencies/{self.capture.agency}"})
