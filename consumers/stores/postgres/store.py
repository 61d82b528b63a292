"""The store in a PostgreSQL database. Several daemons may share it, so what decides is locked first."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg

from bus.names import RegisterName
from consumers.stores.intake import take_in
from consumers.stores.model import Batch, Origin, Outcome, Partition, Position, Replay, Slot, Table
from consumers.stores.owning import check_topics, is_repeated, no_fill
from consumers.stores.parking import dismissal_counts, origin_columns
from consumers.stores.postgres import statements as sql
from consumers.stores.postgres.finishing import finish
from consumers.stores.postgres.layout import (
    create_shadow,
    lay,
    lay_out,
    make_views,
    read_secret,
    restart_feed_after_restore,
)
from consumers.stores.postgres.reader import PostgresReader, one, positions_of, unknown
from consumers.stores.postgres.writing import Writing
from consumers.stores.shape import check_names


class PostgresStore(PostgresReader):
    """A ``Store``. ``synchronous_commit`` is the server's own: what was committed to the live tables is not lost."""

    def __init__(self, url: str) -> None:
        super().__init__(url, read_only=False)
        self._tables: dict[RegisterName, Table] = {}
        self._secret = b""

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        with self._session.connected() as connection:
            connection.execute(sql.BEGIN)
            yield connection
            connection.execute("COMMIT")

    def open(self, tables: Sequence[Table]) -> None:
        check_names(tables)
        with self._transaction() as connection:
            connection.execute(f"SELECT pg_advisory_xact_lock({sql.OPENING_LOCK})")
            lay_out(connection, self._session.name)
            restart_feed_after_restore(connection)
            for table in sorted(tables, key=lambda table: table.register):
                lay(connection, self._session.name, table)
            make_views(connection)
            self._secret = read_secret(connection)
        self._tables |= {table.register: table for table in tables}
        self._known = {}

    def claim(
        self, register: RegisterName, slot: Slot, partitions: Mapping[Partition, str], owner: str
    ) -> Mapping[Partition, Position]:
        topics, numbers = [at.topic for at in partitions], [at.partition for at in partitions]
        with self._transaction() as connection:
            _, filling, _ = self._lock(connection, register, "SHARE")
            if slot is Slot.SHADOW and not filling:
                raise no_fill(register)
            held = positions_of(connection.execute(sql.LOCK_POSITIONS, [register, slot, topics, numbers]))
            check_topics(register, partitions, held)
            connection.execute(sql.CLAIM, [register, slot, owner, topics, numbers, list(partitions.values())])
            claimed = positions_of(connection.execute(sql.POSITIONS, [register, slot]))
        return {at: claimed[at] for at in partitions}

    def apply(self, batch: Batch) -> Outcome:
        table = self._opened(batch.register)
        intake = take_in(table, batch.rows, look_for_nul=False)
        with self._session.connected() as connection:
            writing = Writing(connection, table, self._secret)
            facts = writing.begin(Slot.LIVE, batch)
            if is_repeated(batch.register, batch.advances, facts.held):
                return Outcome(0, 0)
            return writing.apply(batch, intake, writing.outliving(intake.puts, facts), facts)

    def begin_fill(self, register: RegisterName) -> None:
        table = self._opened(register)
        with self._transaction() as connection:
            self._lock(connection, register, "UPDATE")
            create_shadow(connection, table)
            connection.execute(sql.ANSWER_REBUILD, [register])

    def fill(self, batch: Batch) -> None:
        table = self._opened(batch.register)
        intake = take_in(table, batch.rows, look_for_nul=False)
        with self._session.connected() as connection:
            writing = Writing(connection, table, self._secret)
            facts = writing.begin(Slot.SHADOW, batch)
            if not facts.filling:
                raise no_fill(batch.register)
            if not is_repeated(batch.register, batch.advances, facts.held):
                writing.fill(batch, intake, writing.outliving(intake.puts, facts))

    def finish_fill(self, register: RegisterName) -> Outcome:
        table = self._opened(register)
        with self._transaction() as connection:
            _, filling, generation = self._lock(connection, register, "UPDATE")
            if not filling:
                raise no_fill(register)
            return finish(connection, table, generation + 1)

    def prune(self, graves_before: datetime, changes_before: datetime) -> None:
        with self._transaction() as connection:
            connection.execute(sql.PRUNE_GRAVES, [graves_before])
            connection.execute(sql.PRUNE_CHANGES, [changes_before])

    def waiting(self) -> int:
        with self._session.connected() as connection:
            waiting: int = one(connection.execute(sql.WAITING))
        return waiting

    def replay(self, replay: Replay, *, dry: bool = False) -> Outcome:
        intake = take_in(replay.table, replay.rows)
        with self._session.connected() as connection:
            writing = Writing(connection, replay.table, read_secret(connection))
            facts = writing.begin_replay(replay)
            return writing.replay(replay, intake, facts, dry=dry)

    def dismiss(self, origins: Sequence[Origin]) -> int:
        with self._transaction() as connection:
            gone = connection.execute(sql.DISMISS, origin_columns(origins)).fetchall()
            for register, n in gone:
                counts = dismissal_counts(n)
                connection.execute(sql.COUNT, [register, Slot.LIVE, list(counts), list(counts.values())])
        return sum(n for _, n in gone)

    def mark_forwarded(self, origins: Sequence[Origin]) -> None:
        with self._transaction() as connection:
            connection.execute(sql.FORWARDED, origin_columns(origins))

    def ask_rebuild(self, register: RegisterName) -> None:
        with self._transaction() as connection:
            if connection.execute(sql.ASK_REBUILD, [register]).rowcount == 0:
                raise unknown(register)

    def _lock(self, connection: psycopg.Connection, register: RegisterName, how: str) -> tuple[str, bool, int]:
        """The register's phase, whether it fills, and its generation, locked."""
        found = connection.execute(f"{sql.LOCK_REGISTER} {how}", [register]).fetchone()
        if found is None:
            raise unknown(register)
        phase, filling, generation = found
        return phase, filling, generation

    def _opened(self, register: RegisterName) -> Table:
        if register not in self._tables:
            raise unknown(register)
        return self._tables[register]
