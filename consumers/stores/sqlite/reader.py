"""Reading a replica's file, beside the daemon that writes it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import polars as pl

from bus.errors import ConfigInvalid, DatabaseUnavailable, RegisterUnknown
from bus.names import RegisterName, SubjectKind, TopicName
from consumers.stores.feed import Cursor
from consumers.stores.model import (
    Change,
    Origin,
    Parked,
    ParkedCount,
    Partition,
    Phase,
    Position,
    RegisterStatus,
    Row,
    Slot,
    Table,
)
from consumers.stores.parking import parked_of
from consumers.stores.shape import LAYOUT, quote, recall
from consumers.stores.sqlite import statements as sql
from consumers.stores.sqlite.file import connect_reader, told, transaction
from consumers.stores.sqlite.statements import APPLICATION_ID, STATUS, select
from consumers.stores.sqlite.types import frame_of, python_values, read_time, time_text
from consumers.stores.values import as_events, row_of

CHUNK = 50_000  # rows that become Python values at a time, on their way into a frame


class SqliteReader:
    """A ``Reader`` of one file. Every answer is one read transaction; the daemon's writing goes on meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def check(self) -> None:
        """Raises DatabaseUnavailable when there is no replica yet, ConfigInvalid when there is something else."""
        with self._transaction("BEGIN") as connection:
            if not is_laid_out(connection, self._path):
                raise DatabaseUnavailable(f"{self._path}: there is no replica yet; start `lienthong replica run` first")

    def _connect(self) -> sqlite3.Connection:
        return connect_reader(self._path)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """One transaction on the connection, which is opened when there is none and closed when it fails."""
        try:
            if self._held is None:
                self._held = self._connect()
            with told(self._path), transaction(self._held, begin):
                yield self._held
        except DatabaseUnavailable:
            self.close()
            raise

    def registers(self) -> Sequence[RegisterName]:
        with self._transaction("BEGIN") as connection:
            return sorted(tables(connection))

    def table(self, register: RegisterName) -> Table:
        with self._transaction("BEGIN") as connection:
            return held_table(connection, register)

    def status(self, register: RegisterName, *, count_rows: bool = False) -> RegisterStatus:
        with self._transaction("BEGIN") as connection:
            table = held_table(connection, register)
            phase, filling, fingerprint, generation, asked = connection.execute(STATUS, (register,)).fetchone()
            counting = f"SELECT count(*) FROM {quote(table.name)}"
            rows = connection.execute(counting).fetchone()[0] if count_rows else None
        return RegisterStatus(register, Phase(phase), bool(filling), fingerprint, generation, rows, bool(asked))

    def positions(self, register: RegisterName, slot: Slot) -> Mapping[Partition, Position]:
        with self._transaction("BEGIN") as connection:
            return positions(connection, register, slot)

    def counters(self, register: RegisterName) -> Mapping[str, int]:
        with self._transaction("BEGIN") as connection:
            found = connection.execute(
                "SELECT outcome, sum(value) FROM _lienthong_counters WHERE register = ? GROUP BY outcome ORDER BY 1",
                (register,),
            ).fetchall()
        return {outcome: n for outcome, n in found if n > 0 and not outcome.startswith("_")}

    def get(self, register: RegisterName, key: str) -> Row | None:
        with self._transaction("BEGIN") as connection:
            table = held_table(connection, register)
            where = f"WHERE {quote(table.key_field)} = ?"
            held = connection.execute(select(table, where), (key,)).fetchone()
        return None if held is None else row_of(table, python_values(table, held))

    def subject(self, kind: SubjectKind, subject_key: str) -> Sequence[Row]:
        with self._transaction("BEGIN") as connection:
            of_kind = [table for _, table in sorted(tables(connection).items()) if table.subject == kind]
            if not of_kind:
                raise RegisterUnknown(f"{kind}: this replica holds no register of this kind")
            found = [
                (table, held)
                for table in of_kind
                for held in connection.execute(
                    select(table, f"WHERE {quote(table.subject_key)} = ? ORDER BY {quote(table.key_field)}"),
                    (subject_key,),
                )
            ]
        return [row_of(table, python_values(table, held)) for table, held in found]

    def rows(self, register: RegisterName) -> pl.DataFrame:
        with self._transaction("BEGIN") as connection:
            table = held_table(connection, register)
            cursor = connection.execute(select(table, f"ORDER BY {quote(table.key_field)}"))
            frames = [frame_of(table, ())]
            while chunk := cursor.fetchmany(CHUNK):
                frames.append(frame_of(table, chunk))
        return as_events(table, pl.concat(frames))

    def parked(
        self,
        register: RegisterName | None = None,
        limit: int = 100,
        *,
        reason: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        waiting: bool = False,
        after: Origin | None = None,
    ) -> Sequence[Parked]:
        told = {
            "register": register,
            "reason": reason,
            "since": since and time_text(since),
            "until": until and time_text(until),
            "waiting": waiting or None,
            "after": after and str(after),
        }
        given: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
        place = asdict(after) if after else {}
        with self._transaction("BEGIN") as connection:
            found = connection.execute(sql.parked(given), {**given, **place, "limit": limit})
            return [_parked(each) for each in found]

    def parked_event(self, origin: Origin) -> Parked | None:
        with self._transaction("BEGIN") as connection:
            found = connection.execute(sql.PARKED_EVENT, astuple(origin)).fetchone()
        return None if found is None else _parked(found)

    def parked_counts(self) -> Sequence[ParkedCount]:
        with self._transaction("BEGIN") as connection:
            return [ParkedCount(*each) for each in connection.execute(sql.PARKED_COUNTS)]

    def changes(self, after: str | None, limit: int) -> Sequence[Change]:
        with self._transaction("BEGIN") as connection:
            now, floor = meta(connection, "era"), int(meta(connection, "changes_floor"))
            start = floor
            if after is not None:
                start = Cursor.read(after, era=now, floor=(floor,), ceiling=(_last(connection),)).place[0]
            found = connection.execute(
                "SELECT n, register, key, op, version, recorded_at FROM _lienthong_changes WHERE n > ? "
                "ORDER BY n LIMIT ?",
                (start, limit),
            ).fetchall()
        return [
            Change(str(Cursor(now, (n,))), RegisterName(register), key, op, version, read_time(recorded_at))
            for n, register, key, op, version, recorded_at in found
        ]

    def latest_cursor(self) -> str:
        with self._transaction("BEGIN") as connection:
            return str(Cursor(meta(connection, "era"), (_last(connection),)))


def is_laid_out(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a replica's tables are there; False for an empty file.

    Raises ConfigInvalid for another program's file, and for one with a layout this version does not know.
    """
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return False
    if owner != APPLICATION_ID:
        raise ConfigInvalid(f"{path}: belongs to another program; name a file of the replica's own")
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout != LAYOUT:
        raise ConfigInvalid(
            f"{path}: has layout {layout}, this version of Liên thông knows {LAYOUT}; use the version that made it, or "
            "name a new file and bootstrap again",
        )
    return True


def tables(connection: sqlite3.Connection) -> Mapping[RegisterName, Table]:
    found = connection.execute("SELECT register, shape FROM _lienthong_registers")
    return {RegisterName(register): recall(register, shape) for register, shape in found}


def held_table(connection: sqlite3.Connection, register: RegisterName) -> Table:
    found = connection.execute("SELECT shape FROM _lienthong_registers WHERE register = ?", (register,)).fetchone()
    if found is None:
        raise RegisterUnknown(f"{register}: this replica does not hold it")
    return recall(register, found[0])


def positions(connection: sqlite3.Connection, register: RegisterName, slot: Slot) -> dict[Partition, Position]:
    found = connection.execute(
        'SELECT topic, "partition", topic_id, next_offset, epoch, caught_up_at FROM _lienthong_positions '
        "WHERE register = ? AND slot = ?",
        (register, slot),
    )
    return {
        Partition(TopicName(topic), partition): Position(topic_id, offset, epoch, read_time(told) if told else None)
        for topic, partition, topic_id, offset, epoch, told in found
    }


def _parked(values: Sequence[Any]) -> Parked:
    *event, parked_at, replays, forwarded_at = values
    return parked_of(event, read_time(parked_at), replays, forwarded_at and read_time(forwarded_at))


def meta(connection: sqlite3.Connection, name: str) -> str:
    value: str = connection.execute("SELECT value FROM _lienthong_meta WHERE name = ?", (name,)).fetchone()[0]
    return value


def _last(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = '_lienthong_changes'").fetchone()
    number: int = found[0]
    return number
