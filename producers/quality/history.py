"""The last runs' reports in a small database beside the state; only its owner can read it."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bus.errors import PathUnwritable
from producers.quality.run import Run

KEEP_RUNS = 1_000
"""Of each register and agency; three years of nightly exports."""
BUSY_SECONDS = 10
TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    register TEXT NOT NULL,
    agency TEXT NOT NULL,
    report TEXT NOT NULL        -- JSON
)
"""
APPEND = "INSERT INTO runs (at, register, agency, report) VALUES (?, ?, ?, ?)"
PRUNE = """
DELETE FROM runs WHERE register = ?1 AND agency = ?2 AND number <= (
    SELECT number FROM runs WHERE register = ?1 AND agency = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3
)
"""
NEWEST = """
SELECT number, at, register, agency, report FROM runs
WHERE (?1 IS NULL OR register = ?1) ORDER BY number DESC LIMIT ?2
"""


class History:
    def __init__(self, path: Path, keep: int = KEEP_RUNS) -> None:
        self._path = path
        self._keep = keep

    def append(self, report: Mapping[str, Any]) -> None:
        """Keep a run's report, which says ``register``, ``agency`` and ``started_at``; forget what is too old.

        Raises PathUnwritable.
        """
        kept = {name: value for name, value in report.items() if value is not None}
        register, agency = report["register"], report["agency"]
        with self._open() as database, database:
            database.execute(APPEND, (str(report["started_at"]), register, agency, json.dumps(kept, default=str)))
            database.execute(PRUNE, (register, agency, self._keep))

    def runs(self, register: str | None = None, limit: int = KEEP_RUNS) -> list[Run]:
        """The newest runs, newest first; none where nothing has run yet."""
        if not self._path.exists():
            return []
        with self._open() as database:
            found = database.execute(NEWEST, (register, limit)).fetchall()
        return [Run(number, at, name, agency, json.loads(text)) for number, at, name, agency, text in found]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database:
                database.execute(TABLE)
                yield database
        except (OSError, sqlite3.DatabaseError) as error:
            raise PathUnwritable(
                f"{self._path}: cannot be used as history ({error}); choose another --state, or remove the file"
            ) from error


def history_file(state: Path) -> Path:
    return state / "quality.sqlite"
