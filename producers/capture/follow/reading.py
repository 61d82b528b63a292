"""The log from one place on: read, send, keep the place, confirm it to the slot. In this order."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

from bus.crashpoints import crash_point
from producers.capture.follow.changes import Assembler, Captured
from producers.capture.follow.pgoutput import Commit, read_message
from producers.capture.follow.place import Ledger, Place
from producers.capture.follow.ranges import Range, has_read, read_ranges
from producers.capture.follow.stream import Stream
from producers.capture.follow.way import Way
from producers.capture.source import Source
from producers.outbox.database import told_plainly
from producers.outbox.relay.row import Row

WAIT_SECONDS = 0.5
SPLIT = 4
"""A transaction of the agency's of more than so many batches is sent in several of Kafka's."""


@dataclass(slots=True)
class Reading:
    engine: Engine
    source: Source
    way: Way
    ledger: Ledger
    stream: Stream
    transaction_rows: int
    place: Place
    snapshot: dict[str, Any]
    _rows: list[Row] = field(default_factory=list)
    _end: int = 0
    """Where the last transaction that is whole in ``_rows`` ended."""
    _sent: dict[int, int] = field(default_factory=dict)
    _assembler: Assembler = field(init=False)
    _ranges: list[Range] = field(init=False)

    def __post_init__(self) -> None:
        self._assembler = Assembler(self.source, self.snapshot.get("until", 0))
        self._ranges = read_ranges(self.snapshot.get("ranges", []))

    def turn(self) -> None:
        """What has arrived, whole batches at a time. Raises what sending and keeping raise."""
        idle = 0
        for lsn, message in self.stream.read(WAIT_SECONDS):
            if message is None:
                idle = lsn
                continue
            self._take(message)
            bound = self.transaction_rows * (SPLIT if self._assembler.inside else 1)
            if len(self._rows) >= bound or (self._sent and not self._assembler.inside):
                self._flush()
        if self._rows and not self._assembler.inside:
            self._flush()
        if idle and not self._rows and not self._assembler.inside:
            self._end = max(idle, self._end)
            self.stream.confirm(self._end)

    def reached(self, lsn: int | None) -> bool:
        """Whether everything committed before is sent; never for None."""
        return lsn is not None and self._end >= lsn and not self._rows

    def _take(self, message: bytes) -> None:
        told = read_message(message)
        for event in self._assembler.feed(told):
            if not self._is_read(event):
                columns = json.dumps({name: event.columns[name] for name in self.source.wanted}, ensure_ascii=False)
                key = self._assembler.key(event.columns) or ""
                event_id = event.event_id(f"{self.ledger.capture.id} {self.ledger.capture.since}")
                self._rows.append(self.way.row(event_id, event.op, key, columns, event.committed_at))
        if isinstance(told, Commit):
            self._end = told.end_lsn
            if not self._rows and not self._sent:
                self.stream.confirm(self._end)

    def _flush(self) -> None:
        """Send; the place moves only where a transaction has ended, so that what comes again is known by its ids."""
        rows, self._rows = self._rows, []
        batch = self.way.encode(rows)
        self._sent |= self.way.send(batch)
        parked = self.way.parked(rows, batch)
        if self._assembler.inside:
            self.ledger.park(parked)
            return
        self.place = self.place.beyond(self._sent, lsn=self._end, high=self.way.high)
        self._sent = {}
        self.ledger.keep(self.place, parked)
        crash_point("capture.recorded")
        self.stream.confirm(self._end)

    def _is_read(self, event: Captured) -> bool:
        """Whether the snapshot has it."""
        if event.lsn >= self.snapshot.get("until", 0):
            return False
        primary = [str(event.columns[name]) for name in self.source.primary]
        return has_read(self._ranges, event.xid, primary, self._within)

    def _within(self, one: Sequence[str], other: Sequence[str]) -> bool:
        """In the order in which the snapshot read: the database's own."""
        types = [self.source.columns[name] for name in self.source.primary]
        sides = (", ".join(f"CAST(:{side}{n} AS {kind})" for n, kind in enumerate(types)) for side in "ab")
        values = {f"a{n}": value for n, value in enumerate(one)} | {f"b{n}": value for n, value in enumerate(other)}
        with told_plainly(self.engine), self.engine.connect() as connection:
            return bool(connection.execute(text("SELECT ({}) <= ({})".format(*sides)), values).scalar())
