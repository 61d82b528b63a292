"""PostgreSQL's rows for a relay: woken by NOTIFY, read in binary, never past the oldest running transaction.

All transactions below ``pg_snapshot_xmin`` have ended, and no new one gets such an id. So the unsent rows below it are
a closed set: chunks of it may be read ahead of the marks, and nothing can still appear between two of them.

Ids are given in the order in which transactions begin to write, versions in the order in which they come to a key. A
row below may therefore follow one of its key that is not below: reading ends at the lowest version that is held back.
"""

import os
import select
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine

from bus.errors import ConfigInvalid, DatabaseUnavailable
from producers.outbox.database import remedy
from producers.outbox.relay.row import Row
from producers.outbox.relay.source import Marks, PlainSource, Share
from producers.outbox.table import CHANNEL, OUTBOX, UNSENT

HELD_BACK_SECONDS = 0.002
"""First sleep while committed rows wait for an older transaction's end, which may notify nobody."""
HELD_BACK_MOST = 0.1

SETTINGS = (
    # Statistics of a table that is empty most of the time mislead the planner: the index has the order.
    "SET enable_seqscan = off",
    "SET enable_bitmapscan = off",
    "SET enable_sort = off",
    f"LISTEN {CHANNEL}",
)
HEAL = f"""\
UPDATE {OUTBOX} SET txid = pg_current_xact_id()
WHERE aggregatetype = %s AND {UNSENT} AND txid >= pg_snapshot_xmax(pg_current_snapshot())"""
"""Rows of a restored dump: their transaction ids are of another server, and may be still to come here."""
BOUND = f"""\
SELECT pg_snapshot_xmin(now)::text, coalesce(CASE WHEN pg_snapshot_xmin(now) < pg_snapshot_xmax(now) THEN (
  SELECT version FROM {OUTBOX}
  WHERE aggregatetype = %s AND {UNSENT} AND version IS NOT NULL AND txid >= pg_snapshot_xmin(now)
  ORDER BY version, seq LIMIT 1
) END, {2**63 - 1})
FROM pg_current_snapshot() AS now"""
"""Below which transaction and below which version rows may be read."""
ANY = f"SELECT EXISTS (SELECT FROM {OUTBOX} WHERE aggregatetype = %s AND {UNSENT})"
SHARD = "(hashtext(aggregateid) & 2147483647) %% {shards} = {shard}"
CHUNK = """\
SELECT seq, convert_to(aggregateid, 'UTF8'), convert_to(id::text, 'UTF8'), type, format, payload, version, traceparent,
  CASE WHEN plain THEN NULL ELSE occurred_at END, CASE WHEN plain THEN NULL ELSE created_at END
FROM (
  SELECT *, format = 'bytes' AND payload IS NOT NULL AS plain,
    sum(coalesce(octet_length(payload), 0)) OVER (ORDER BY version, seq) - coalesce(octet_length(payload), 0) AS before
  FROM (
    SELECT seq, aggregateid, id, type, format, payload, version, traceparent, occurred_at, created_at
    FROM {outbox}
    WHERE aggregatetype = %s AND {unsent} AND (version, seq) > (%s, %s) AND version < %s
      AND txid < %s::xid8 AND {shard}
    ORDER BY version, seq LIMIT %s
  ) AS first_ones
) AS summed
WHERE before < %s
ORDER BY version, seq"""
LOWEST = -(2**63)
PAYLOAD = Row._fields.index("payload")


class PostgresSource(PlainSource):
    """Listens and reads on a connection of its own."""

    def __init__(self, engine: Engine, share: Share) -> None:
        super().__init__(engine, share)
        shard = SHARD.format(shards=share.shards, shard=share.shard) if share.shards > 1 else "true"
        self._chunk = CHUNK.format(outbox=OUTBOX, unsent=UNSENT, shard=shard)
        self._awake, self._alarm = os.pipe()
        os.set_blocking(self._awake, False)
        self._reading = threading.Lock()
        self._notified = True
        self._patience = HELD_BACK_SECONDS
        with self._told():
            self._connection = self._connect()

    def _connect(self) -> "psycopg.Connection[Any]":
        raw = self._engine.raw_connection()
        connection = cast("psycopg.Connection[Any]", raw.driver_connection)
        raw.detach()
        connection.rollback()
        connection.autocommit = True
        connection.add_notify_handler(self._hear)
        for setting in SETTINGS:
            connection.execute(setting)
        connection.execute(HEAL, (self._share.aggregatetype,))
        return connection

    def sweep(self) -> Generator[list[Row]]:
        self._notified = False
        with self._told(), self._reading, self._connection.cursor(binary=True) as cursor:
            bound = cast(
                "tuple[str, int]", cursor.execute(BOUND, (self._share.aggregatetype,), prepare=True).fetchone()
            )
            after, more = (LOWEST, 0), True
            while more and (rows := self._next(cursor, bound, after)):
                yield rows
                last = Row._make(rows[-1])
                after = last.version, last.seq
                more = self._full(rows)

    def _next(self, cursor: "psycopg.Cursor[Any]", bound: tuple[str, int], after: tuple[int, int]) -> list[Row]:
        share = self._share
        transaction, version = bound
        given = (share.aggregatetype, *after, version, transaction, share.rows, share.bytes)
        cursor.execute(self._chunk, given, prepare=True)
        return cast("list[Row]", cursor.fetchall())  # plain tuples in Row's order: naming them all would take its time

    def _full(self, rows: Sequence[Any]) -> bool:
        """Whether there may be more than these."""
        return len(rows) >= self._share.rows or sum(len(row[PAYLOAD] or b"") for row in rows) >= self._share.bytes

    def mark(self, connection: Connection, marks: Marks, *, delete: bool) -> None:
        """By row numbers in one statement: the numbers travel as an array.

        Not flushed to disk at once: marks that a crash of the server loses are made anew from the topic, from the
        positions that were lost with them on.
        """
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
        done = f"DELETE FROM {OUTBOX}" if delete else f"UPDATE {OUTBOX} SET sent_at = clock_timestamp()"
        connection.exec_driver_sql(f"{done} WHERE seq = ANY(%s::bigint[])", (list(marks.sent),))
        super().mark(connection, Marks((), marks.parked), delete=delete)

    def wait(self, seconds: float) -> None:
        if self._notified:
            return
        with self._told(), self._reading:
            held_back = self._held_back()
            if self._notified:
                return
            if held_back:
                seconds = min(self._patience, seconds)
                self._patience = min(self._patience * 2, HELD_BACK_MOST)
            else:
                self._patience = HELD_BACK_SECONDS
            ready, _, _ = select.select([self._connection.fileno(), self._awake], [], [], seconds)
            if self._awake in ready:
                os.read(self._awake, 64)
            if self._connection.fileno() in ready:
                self._connection.execute("SELECT 1")  # takes the notifications in, and tells a broken connection

    def wake(self) -> None:
        with suppress(OSError):  # closed meanwhile
            os.write(self._alarm, b"!")

    def close(self) -> None:
        self._connection.close()
        os.close(self._alarm)
        os.close(self._awake)

    def _held_back(self) -> bool:
        row = self._connection.execute(ANY, (self._share.aggregatetype,), prepare=True).fetchone()
        return bool(row and row[0])

    def _hear(self, _notify: Any) -> None:
        self._notified = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            mended = remedy(error)
            if mended is not None:
                raise ConfigInvalid(f"PostgreSQL: {mended}") from error
            raise DatabaseUnavailable(f"PostgreSQL: {type(error).__name__}; check that it runs") from error
