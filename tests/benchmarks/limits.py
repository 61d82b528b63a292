"""The bare minimum a database can do with the very rows that a replica has just written: what the replica is held to."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import psycopg

from consumers.stores.sqlite.file import connect_writer
from tests.benchmarks.took import Took

TABLE = "resident_identity"
BATCH = 20_000  # rows in one transaction, as the replica commits them


def raw_copy(database: str) -> Took:
    """One COPY of the replica's rows, as CSV made ready beforehand, into an empty twin of its table, indexes and all."""
    with psycopg.connect(database, autocommit=True) as connection:
        with connection.cursor().copy(f"COPY {TABLE} TO STDOUT (FORMAT csv)") as out:
            ready = [bytes(block) for block in out]
        connection.execute(f"CREATE TABLE bare_copy (LIKE {TABLE} INCLUDING ALL)")
        connection.execute("CHECKPOINT")
        began = time.perf_counter()
        with connection.cursor() as cursor:
            with cursor.copy("COPY bare_copy FROM STDIN (FORMAT csv)") as into:
                for block in ready:
                    into.write(block)
            return Took(cursor.rowcount, time.perf_counter() - began)


def bare_executemany(replica: Path, target: Path) -> Took:
    """``executemany`` of the replica's rows, as tuples made ready beforehand, into an empty twin of its table.

    The twin has the table's indexes, and the file is opened as the replica opens its own.
    """
    with closing(sqlite3.connect(replica)) as source:
        definitions = [row[0] for row in source.execute(_DEFINITIONS, (TABLE,))]
        ready = source.execute(f"SELECT * FROM {TABLE}").fetchall()
    with closing(connect_writer(target)) as connection:
        for definition in definitions:
            connection.execute(definition)
        insert = f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(ready[0]))})"
        began = time.perf_counter()
        for start in range(0, len(ready), BATCH):
            connection.execute("BEGIN")
            connection.executemany(insert, ready[start : start + BATCH])
            connection.execute("COMMIT")
        return Took(len(ready), time.perf_counter() - began)


_DEFINITIONS = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('table', 'index') AND sql IS NOT NULL"
