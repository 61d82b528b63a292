"""The store in one SQLite file. One writer, so a transaction may look first and decide then."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bus.errors import RegisterUnknown
from bus.names import RegisterName
from consumers.stores.intake import take_in
from consumers.stores.model import Batch, Origin, Outcome, Partition, Position, Replay, Slot, Table
from consumers.stores.owning import check_topics, is_repeated, no_fill
from consumers.stores.parking import check_replay, dismissal_counts, origins_text
from consumers.stores.shape import SHADOW, check_names
from consumers.stores.sqlite import statements as sql
from consumers.stores.sqlite.file import WriterLock, connect_writer, told
from consumers.stores.sqlite.finishing import finish
from consumers.stores.sqlite.layout import create_shadow, lay, lay_out, make_views
from consumers.stores.sqlite.reader import SqliteReader, held_table, meta, positions
from consumers.stores.sqlite.types import time_text
from consumers.stores.sqlite.writing import Writing, count

WRITING = "BEGIN IMMEDIATE"


class SqliteStore(SqliteReader):
    """A ``Store``, and the file's only writer from ``open`` to ``close``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = WriterLock(path)
        self._tables: dict[RegisterName, Table] = {}
        self._secret = b""

    def close(self) -> None:
        super().close()
        self._lock.release()

    def _connect(self) -> sqlite3.Connection:
        return connect_writer(self._path)

    def open(self, tables: Sequence[Table]) -> None:
        check_names(tables)
        first = self._lock.acquire()
        try:
            self._lay_all(tables, first=first)
        except BaseException:
            if first:
                self.close()
            raise
        self._tables |= {table.register: table for table in tables}

    def _lay_all(self, tables: Sequence[Table], *, first: bool) -> None:
        with self._transaction(WRITING) as connection:
            lay_out(connection, self._path)
            for table in tables:
                lay(connection, self._path, table)
            make_views(connection)
            self._secret = bytes.fromhex(meta(connection, "grave_secret"))
        if first:
            self._skip_numbers(connection)

    def _skip_numbers(self, connection: sqlite3.Connection) -> None:
        with told(self._path):
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(sql.SKIP_NUMBERS)
            connection.execute("PRAGMA synchronous = NORMAL")

    def claim(
        self, register: RegisterName, slot: Slot, partitions: Mapping[Partition, str], owner: str
    ) -> Mapping[Partition, Position]:
        table = self._opened(register)
        with self._transaction(WRITING) as connection:
            if slot is Slot.SHADOW and not self._writing(connection, table).facts().filling:
                raise no_fill(register)
            check_topics(register, partitions, positions(connection, register, slot))
            claims = [(register, slot, at.topic, at.partition, id_, owner) for at, id_ in partitions.items()]
            connection.executemany(sql.CLAIM, claims)
            held = positions(connection, register, slot)
        return {at: held[at] for at in partitions}

    def apply(self, batch: Batch) -> Outcome:
        table = self._opened(batch.register)
        intake = take_in(table, batch.rows)
        with self._transaction(WRITING) as connection:
            if is_repeated(batch.register, batch.advances, positions(connection, batch.register, Slot.LIVE)):
                return Outcome(0, 0)
            writing = self._writing(connection, table)
            facts = writing.facts()
            outcome = writing.apply(intake, facts)
            writing.move(Slot.LIVE, batch, {"applied": outcome.applied, "stale": outcome.stale})
        return outcome

    def begin_fill(self, register: RegisterName) -> None:
        table = self._opened(register)
        with self._transaction(WRITING) as connection:
            create_shadow(connection, table)
            connection.execute(sql.ANSWER_REBUILD, (register,))

    def fill(self, batch: Batch) -> None:
        table = self._opened(batch.register)
        intake = take_in(table, batch.rows)
        with self._transaction(WRITING) as connection:
            writing = self._writing(connection, table)
            if not writing.facts().filling:
                raise no_fill(batch.register)
            if is_repeated(batch.register, batch.advances, positions(connection, batch.register, Slot.SHADOW)):
                return
            kept = writing.append(SHADOW + table.name, writing.outliving(intake.puts))
            writing.note_dead(intake.deletes)
            writing.move(Slot.SHADOW, batch, {"_fed": intake.height, "_kept": kept})

    def finish_fill(self, register: RegisterName) -> Outcome:
        table = self._opened(register)
        with self._transaction(WRITING) as connection:
            writing = self._writing(connection, table)
            if not writing.facts().filling:
                raise no_fill(register)
            return finish(connection, table, writing)

    def prune(self, graves_before: datetime, changes_before: datetime) -> None:
        with self._transaction(WRITING) as connection:
            connection.execute(sql.PRUNE_GRAVES, (time_text(graves_before),))
            last = connection.execute(
                "SELECT max(n) FROM _lienthong_changes WHERE stored_at < ?", (time_text(changes_before),)
            ).fetchone()[0]
            if last is not None:
                connection.execute("DELETE FROM _lienthong_changes WHERE n <= ?", (last,))
                connection.execute("UPDATE _lienthong_meta SET value = ? WHERE name = 'changes_floor'", (str(last),))

    def waiting(self) -> int:
        with self._transaction("BEGIN") as connection:
            waiting: int = connection.execute(sql.WAITING).fetchone()[0]
        return waiting

    def replay(self, replay: Replay, *, dry: bool = False) -> Outcome:
        intake = take_in(replay.table, replay.rows)
        named = origins_text([*replay.settled, *(parked.origin for parked in replay.standing)])
        with self._transaction(WRITING) as connection:
            held = held_table(connection, replay.table.register)
            writing = Writing(connection, held, bytes.fromhex(meta(connection, "grave_secret")))
            facts = writing.facts()
            found = connection.execute(sql.COUNT_PARKED, (named,)).fetchone()[0]
            check_replay(replay, held, ready=facts.ready, filling=facts.filling, found=found)
            connection.execute("SAVEPOINT replay")
            outcome = writing.apply(intake, facts)
            writing.settle(replay, outcome)
            if dry:
                connection.execute("ROLLBACK TO replay")
        return outcome

    def dismiss(self, origins: Sequence[Origin]) -> int:
        with self._transaction(WRITING) as connection:
            gone = connection.execute(sql.DISMISS, (time_text(datetime.now(UTC)), origins_text(origins))).fetchall()
            for register, n in Counter(register for (register,) in gone).items():
                count(connection, register, Slot.LIVE, dismissal_counts(n))
        return len(gone)

    def mark_forwarded(self, origins: Sequence[Origin]) -> None:
        with self._transaction(WRITING) as connection:
            connection.execute(sql.FORWARDED, (time_text(datetime.now(UTC)), origins_text(origins)))

    def ask_rebuild(self, register: RegisterName) -> None:
        with self._transaction(WRITING) as connection:
            held_table(connection, register)
            connection.execute(sql.ASK_REBUILD, (register, time_text(datetime.now(UTC))))

    def _writing(self, connection: sqlite3.Connection, table: Table) -> Writing:
        return Writing(connection, table, self._secret)

    def _opened(self, register: RegisterName) -> Table:
        try:
            return self._tables[register]
        except KeyError:
            raise RegisterUnknown(f"{register}: this replica does not hold it") from None
