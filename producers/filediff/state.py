"""What the writer's own topic says, kept beside the adapter: per key the fingerprint and version last published.

A replica of that topic and nothing else: rows and positions change in one transaction, so that it may be behind but
never wrong, and may be lost, since it can be read from the topic again.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import polars as pl

from bus.disk import writing
from bus.errors import PathUnwritable
from bus.names import TopicName
from producers.filediff.fingerprint import FORM
from producers.filediff.timeline import Remembered

KNOWN = pl.Schema({"key": pl.String(), "hash": pl.Int64(), "gone": pl.Boolean(), "print": pl.Int64()})
KINDS = ("full", "partial")
READ_ROWS = 50_000
NEVER = "1970-01-01T00:00:00+00:00"

TABLES = """
CREATE TABLE IF NOT EXISTS published (
    key TEXT PRIMARY KEY,
    hash INTEGER,               -- of the state; null where there is none, or none that can be read
    version INTEGER NOT NULL,
    gone INTEGER NOT NULL,      -- deleted, or merged into another
    print INTEGER               -- of the row of text that gave this state; null where it came another way
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, position INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS exports (    -- the newest one of each kind that was published; outlives a rebuilt state
    kind TEXT PRIMARY KEY,      -- full, partial
    made_at TEXT NOT NULL,      -- ISO 8601 with offset
    ended INTEGER               -- whether its last line had a line end
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
EXPORTED = """
INSERT INTO exports (kind, made_at, ended) VALUES (?, ?, ?)
ON CONFLICT (kind) DO UPDATE SET made_at = excluded.made_at, ended = coalesce(excluded.ended, exports.ended)
"""
APPLY = """
INSERT INTO published (key, hash, version, gone, print) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET hash = excluded.hash, version = excluded.version, gone = excluded.gone, print = excluded.print
WHERE excluded.version > published.version
"""
DOUBT = "UPDATE published SET hash = NULL, print = NULL WHERE key = ?"
ADVANCE = """
INSERT INTO positions (partition, position) VALUES (?, ?)
ON CONFLICT (partition) DO UPDATE SET position = excluded.position
"""
LIVING = """
SELECT key, hash, gone, print FROM published WHERE NOT gone AND (:upto IS NULL OR version <= :upto) ORDER BY key
"""
ADD_PRINT = "ALTER TABLE published ADD COLUMN print INTEGER"  # states of the time before prints have none
REMEMBER = "UPDATE published SET print = ? WHERE key = ?"
TELL = "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


@dataclass(frozen=True, slots=True)
class Published:
    """One key after one event."""

    key: str
    hash: int | None
    version: int
    gone: bool
    print: int | None = None
    """Of the row of text that said so (``fingerprint.row_prints``)."""


class FileState:
    """The state of one topic, in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Raises PathUnwritable, DiskFull."""
        remedy = "choose another --state, or remove the file: it is made again from the topic"
        with ExitStack() as closing, writing(self._path, remedy):
            closing.callback(self.__exit__)
            self._path.touch(mode=0o600)
            self._path.chmod(0o600)
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            # The last commits may be lost with the power: the topic has them. Rows and positions stay together.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(TABLES)
            if "print" not in {row[1] for row in self._connection.execute("PRAGMA table_info(published)")}:
                self._connection.execute(ADD_PRINT)
            closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def why_useless(self, topic_id: str, now: datetime, keeps_deletes: timedelta) -> str | None:
        """Why this cannot be brought up to date from where it stands, in words; None where it can."""
        facts = dict(self._open.execute("SELECT name, value FROM facts"))
        if not facts:
            return "there is none yet"
        if facts["topic_id"] != topic_id:
            return "the topic was deleted and made again"
        if facts["form"] != str(FORM):
            return "its fingerprints are of an older form"
        if now - datetime.fromisoformat(facts["caught_up_at"]) > keeps_deletes:
            return "it is older than the topic keeps deletes"
        return None

    def start_over(self, topic_id: str) -> None:
        """Forget everything: the state of a topic of which nothing has been read."""
        with self._transaction() as write:
            write.execute("DELETE FROM published")
            write.execute("DELETE FROM positions")
            write.execute("DELETE FROM facts")
            write.executemany(TELL, [("topic_id", topic_id), ("form", str(FORM)), ("caught_up_at", NEVER)])

    def caught_up(self, now: datetime) -> None:
        with self._transaction() as write:
            write.execute(TELL, ("caught_up_at", now.isoformat()))

    def marked_at(self) -> datetime | None:
        """When the topic's partitions were last given their markers; None where that is not known."""
        found = self._open.execute("SELECT value FROM facts WHERE name = 'marked_at'").fetchone()
        return None if found is None else datetime.fromisoformat(found[0])

    def marked(self, now: datetime) -> None:
        with self._transaction() as write:
            write.execute(TELL, ("marked_at", now.isoformat()))

    def positions(self) -> dict[int, int]:
        """Per partition, the offset from which on the topic is not in the state."""
        return dict(self._open.execute("SELECT partition, position FROM positions"))

    def apply(self, rows: Iterable[Published], positions: Mapping[int, int], doubtful: Iterable[str] = ()) -> None:
        """Keep the newest version per key, and the positions, both or neither.

        What ``doubtful`` keys hold is forgotten, since their last records cannot be read: it will be published again.
        """
        with self._transaction() as write:
            write.executemany(APPLY, ((row.key, row.hash, row.version, row.gone, row.print) for row in rows))
            write.executemany(ADVANCE, positions.items())
            write.executemany(DOUBT, ((key,) for key in doubtful))

    def remember(self, keys: Iterable[str], prints: Iterable[int | None]) -> None:
        """The rows of text that were found to say what these keys hold."""
        with self._transaction() as write:
            write.executemany(REMEMBER, zip(prints, keys, strict=True))

    def exports(self) -> Remembered:
        found = {row[0]: row[1:] for row in self._open.execute("SELECT kind, made_at, ended FROM exports")}
        full, partial = (datetime.fromisoformat(found[kind][0]) if kind in found else None for kind in KINDS)
        ended = found["full"][1] if "full" in found else None
        return Remembered(full, partial, None if ended is None else bool(ended))

    def exported(self, made: datetime, *, partial: bool, ended: bool | None) -> None:
        """From now on, an export that was made before this one goes back in time."""
        with self._transaction() as write:
            write.execute(EXPORTED, (KINDS[partial], made.isoformat(), ended))

    def known(self) -> pl.DataFrame:
        """Everything, with the columns of KNOWN, sorted by key as Polars sorts it: byte by byte."""
        return self._frame("SELECT key, hash, gone, print FROM published ORDER BY key")

    def living(self, upto: int | None = None) -> pl.DataFrame:
        """Those who are not gone and, where it is given, have no later version; columns and order of ``known``."""
        return self._frame(LIVING, {"upto": upto})

    def _frame(self, query: str, values: Mapping[str, Any] | None = None) -> pl.DataFrame:
        rows = self._open.execute(query, values or {})
        parts = [KNOWN.to_frame()]
        while part := rows.fetchmany(READ_ROWS):
            columns = dict(zip(KNOWN, zip(*part, strict=True), strict=True))
            frame = pl.DataFrame({**columns, "gone": [bool(gone) for gone in columns["gone"]]}, schema=KNOWN)
            parts.append(frame)
        return pl.concat(parts)

    def high_water(self) -> int | None:
        """The highest version of all keys."""
        return self._open.execute("SELECT max(version) FROM published").fetchone()[0]  # type: ignore[no-any-return]

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise PathUnwritable(f"{self._path}: used before it was opened")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with writing(self._path, "get the right to write"):
            try:
                self._open.execute("BEGIN IMMEDIATE")
                yield self._open
                self._open.execute("COMMIT")
            except BaseException:
                if self._open.in_transaction:
                    self._open.execute("ROLLBACK")
                raise


def state_file(directory: Path, topic: TopicName) -> Path:
    return directory / f"{topic}.sqlite"
