"""Watching a replica as its agency's own system would: by SQL, on the replica's tables."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

Look = Callable[[], dict[str, Any] | None]
"""The person's permanent address in a replica, now."""

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.002


@contextmanager
def sqlite_look(file: Path, personal_id: str) -> Iterator[Look]:
    query = "SELECT permanent_address FROM resident_residence WHERE personal_id = ?"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)) as connection:

        def look() -> dict[str, Any] | None:
            row = connection.execute(query, (personal_id,)).fetchone()
            return json.loads(row[0]) if row and row[0] else None

        yield look


@contextmanager
def postgres_look(url: str, personal_id: str) -> Iterator[Look]:
    query = "SELECT permanent_address FROM resident_residence WHERE personal_id = %s"
    with psycopg.connect(url, autocommit=True) as connection:

        def look() -> dict[str, Any] | None:
            row = connection.execute(query, (personal_id,)).fetchone()
            return row[0] if row else None

        yield look


def seen_at(look: Look, detail: str) -> datetime | None:
    """When the new address was first seen; None when it did not come."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        address = look()
        if address is not None and address["detail"] == detail:
            return datetime.now(UTC)
        time.sleep(POLL_SECONDS)
    return None
