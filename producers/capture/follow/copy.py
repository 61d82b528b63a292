"""The table as it stands into the topic, before its log is followed from the slot's beginning on.

Where the topic held something before, who is in no row any more is deleted.

Each chunk is announced in the database before it is sent, with the view that it was read in: whoever goes on after a
kill sees in the topic whether it is there, and knows which changes it already has.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from uuid_utils.compat import uuid7

from bus.crashpoints import crash_point
from producers.capture.follow.absence import Absence
from producers.capture.follow.place import Ledger, Place
from producers.capture.follow.stream import read_lsn
from producers.capture.follow.way import Way
from producers.capture.snapshot import after, bound
from producers.capture.source import Source, quoted
from producers.capture.triggers import row_json, row_key
from producers.outbox.database import told_plainly

log = structlog.get_logger(__name__)

CHUNK = """\
SELECT {key} AS key, {row} AS found, jsonb_build_array({primary}) AS at FROM ONLY {table} AS r
WHERE {after} ORDER BY {order} LIMIT %(rows)s"""
VIEW = "SELECT pg_current_snapshot()::text"
LOG_END = "SELECT pg_current_wal_insert_lsn()::text"
BEGIN: dict[str, Any] = {"before": None, "last": None, "read": 0, "ranges": [], "pending": None}


@dataclass(slots=True)
class Copy:
    engine: Engine
    source: Source
    way: Way
    ledger: Ledger
    absence: Absence
    rows: int
    stopped: Callable[[], bool]
    told: Callable[[int], None]

    def run(self, place: Place) -> Place | None:
        """Read and send what earlier runs have not, and delete who is gone; None when stopped meanwhile.

        Raises ConfirmationNeeded where too many are gone: the table is sent then, and nobody is deleted.
        """
        state = BEGIN | dict(self.ledger.capture.snapshot or {})
        state["before"] = before = state["before"] or self.absence.before()
        self.way.high = max(self.way.high, before["highest"])
        if state["pending"] and self._is_there(state["pending"]["first"]):
            state = done(state)
        state["pending"] = None
        with self._view() as (connection, view):
            while not self.stopped():
                found = self._read(connection, state["last"])
                if not found:
                    return self._end(connection, state, view, place)
                place, state = self._chunk(found, state, view, place)
                self.told(state["read"])
        return None

    @contextmanager
    def _view(self) -> Iterator[tuple[Connection, str]]:
        with told_plainly(self.engine), self.engine.connect() as plain:
            connection = plain.execution_options(isolation_level="REPEATABLE READ")
            connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
            yield connection, str(connection.exec_driver_sql(VIEW).scalar_one())

    def _read(self, connection: Connection, last: list[str] | None) -> Sequence[Any]:
        names = [quoted(name) for name in self.source.primary]
        words = {
            "key": row_key(self.source, "to_jsonb(r)"),
            "row": f"{row_json(self.source, 'r')}::text",
            "primary": ", ".join(f"r.{name}::text" for name in names),
            "table": self.source.quoted,
            "order": ", ".join(f"r.{name}" for name in names),
        }
        escaped = {name: word.replace("%", "%%") for name, word in words.items()}
        statement = CHUNK.format(**escaped, after="true" if last is None else after(self.source))
        return connection.exec_driver_sql(statement, {"rows": self.rows, **bound(last)}).all()

    def _chunk(
        self, found: Sequence[Any], state: dict[str, Any], view: str, place: Place
    ) -> tuple[Place, dict[str, Any]]:
        now = datetime.now(UTC)
        rows = [self.way.row(uuid7(), "UPSERT", each.key, each.found, now) for each in found if each.key]
        batch = self.way.encode(rows)
        first = next((row.event_id.decode() for row in rows if row.seq in batch.done[:1]), None)
        state = state | {"pending": {"last": found[-1].at, "view": view, "count": len(found), "first": first}}
        place = place.beyond({}, high=self.way.high)
        self.ledger.keep(place, snapshot=state)
        crash_point("capture.planned")
        place, state = place.beyond(self.way.send(batch)), done(state)
        self.ledger.keep(place, self.way.parked(rows, batch), state)
        crash_point("capture.chunked")
        return place, state

    def _end(self, connection: Connection, state: dict[str, Any], view: str, place: Place) -> Place | None:
        """What lies beyond the last row was empty in this view.

        In it too the deletes are found which the log tells of between the slot's beginning and now, and which are
        passed over there as read.
        """
        absent = self.absence.find(state["before"], self._table(connection), self.stopped)
        if absent is None:
            return None
        self.ledger.keep(place, snapshot=state)
        for start in range(0, len(absent), self.rows):
            place = self._withdraw(absent[start : start + self.rows].to_list(), place)
        if len(absent):
            log.info("capture_absent_deleted", register=self.way.register.name, subjects=len(absent))
        end = read_lsn(connection.exec_driver_sql(LOG_END).scalar_one())
        ranges = [*state["ranges"], {"upto": None, "view": view}]
        self.ledger.keep(place, snapshot=state | {"ranges": ranges, "until": end}, done=True)
        return place

    def _table(self, connection: Connection) -> Iterator[Sequence[Any]]:
        """All rows of this view, also those that earlier runs have sent, until stopped."""
        last = None
        while not self.stopped() and (found := self._read(connection, last)):
            yield found
            last = found[-1].at

    def _withdraw(self, keys: Sequence[str], place: Place) -> Place:
        """Killed after it, the next run finds them deleted."""
        now = datetime.now(UTC)
        rows = [self.way.withdrawal(key, now) for key in keys]
        batch = self.way.encode(rows)
        place = place.beyond(self.way.send(batch), high=self.way.high)
        self.way.parked(rows, batch)
        self.ledger.keep(place)
        return place

    def _is_there(self, first: str | None) -> bool:
        return first is not None and (first.encode(), False) in self.way.known


def done(state: dict[str, Any]) -> dict[str, Any]:
    """The announced chunk is in the topic. Pure."""
    pending = state["pending"]
    ranges = [each for each in state["ranges"] if each["view"] != pending["view"]]
    ranges.append({"upto": pending["last"], "view": pending["view"]})
    return state | {
        "last": pending["last"],
        "read": state["read"] + pending["count"],
        "ranges": ranges,
        "pending": None,
    }
