"""The table as it stands into the outbox, beside its triggers: no row missing, none twice, whoever writes meanwhile.

Each chunk is one transaction: read rows, raise the versions of those keys that no trigger has touched since the
installation, put these rows in. A row that a writer changes between reading and raising has a newer version by then,
and is the trigger's; one that a writer changes afterwards waits for us, and comes later.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bus.crashpoints import crash_point
from bus.errors import DatabaseUnavailable
from producers.capture.source import Source, quoted
from producers.capture.table import Captured, remember
from producers.capture.triggers import EVENT_ID, payload, row_json, row_key
from producers.outbox.database import told_plainly
from producers.outbox.table import CAPTURE, OUTBOX, ROW, VERSION

ROWS = 2_000
LOCK_MS = 200  # below deadlock_timeout (1 s): where we and a writer wait for each other, it is we who give way
PAUSE_SECONDS = 0.05

CHUNK = """\
WITH chunk AS MATERIALIZED (
  SELECT {key} AS key, {row} AS found, {primary} FROM ONLY {table} AS r
  WHERE {after} ORDER BY {order} LIMIT %(rows)s
), raised AS (
  INSERT INTO {version} AS v (aggregatetype, aggregateid, last)
  SELECT %(kind)s, key, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM chunk
  WHERE key IS NOT NULL ORDER BY key
  ON CONFLICT (aggregatetype, aggregateid) DO UPDATE SET last = greatest(v.last + 1, excluded.last)
  WHERE v.last < %(since)s
  RETURNING aggregateid, last
), put AS (
  INSERT INTO {outbox} (id, aggregatetype, aggregateid, type, payload, format, version, source)
  SELECT {event_id}, %(kind)s, key, 'UPSERT', {payload}, '{form}', raised.last, %(source)s
  FROM chunk JOIN raised ON raised.aggregateid = chunk.key
  RETURNING 1
)
SELECT (SELECT count(*) FROM chunk) AS read, (SELECT count(*) FROM put) AS put,
  (SELECT jsonb_build_array({last}) FROM chunk ORDER BY {reverse} LIMIT 1) AS last"""
SESSION = (f"SET LOCAL lock_timeout = {LOCK_MS}", "SET LOCAL timezone = 'UTC'")
DONE = f"UPDATE {CAPTURE} SET snapshot_done_at = clock_timestamp() WHERE id = :id"


def snapshot(
    engine: Engine, capture: Captured, source: Source, told: Callable[[int, int], None], rows: int = ROWS
) -> tuple[int, int]:
    """Go on where an earlier run was stopped; rows read and rows put into the outbox, of all runs.

    Call it once the triggers are installed. Raises DatabaseUnavailable.
    """
    state: dict[str, Any] = {"last": None, "read": 0, "put": 0} | dict(capture.snapshot or {})
    size = rows
    while capture.snapshot_done_at is None:
        try:
            with told_plainly(engine), engine.begin() as connection:
                read = _chunk(connection, capture, source, state, size)
            crash_point("capture.chunked")
        except DatabaseUnavailable as error:
            if not _gives_way(error):
                raise
            size = max(size // 4, 1)
            time.sleep(PAUSE_SECONDS)
            continue
        told(state["read"], state["put"])
        if read < size:
            break
        size = min(size * 2, rows)
    return state["read"], state["put"]


def _chunk(connection: Connection, capture: Captured, source: Source, state: dict[str, Any], size: int) -> int:
    """One chunk and its position, in one transaction; how many rows there were."""
    for setting in SESSION:
        connection.exec_driver_sql(setting)
    last = state["last"]
    values = {"kind": capture.aggregatetype, "since": capture.since, "rows": size}
    values |= {"source": f"/agencies/{capture.agency}", **bound(last)}
    found = connection.exec_driver_sql(_statement(source, capture.id, first=last is None), values).one()
    after = {"last": found.last or last, "read": state["read"] + found.read, "put": state["put"] + found.put}
    remember(connection, capture.id, "snapshot", after)
    if found.read < size:
        connection.execute(text(DONE), {"id": capture.id})
    state |= after
    return int(found.read)


def _statement(source: Source, number: int, *, first: bool) -> str:
    names = [quoted(name) for name in source.primary]
    words = {
        "key": row_key(source, "to_jsonb(r)"),
        "row": row_json(source, "r"),
        "primary": ", ".join(f"r.{name} AS p{place}" for place, name in enumerate(names)),
        "table": source.quoted,
        "order": ", ".join(f"r.{name}" for name in names),
        "version": VERSION,
        "outbox": OUTBOX,
        "event_id": EVENT_ID,
        "payload": payload(number, "found"),
        "form": ROW,
        "last": ", ".join(f"p{place}::text" for place in range(len(names))),
        "reverse": ", ".join(f"p{place} DESC" for place in range(len(names))),
    }
    escaped = {name: word.replace("%", "%%") for name, word in words.items()}
    return CHUNK.format(**escaped, after="true" if first else after(source))


def after(source: Source) -> str:
    """Rows beyond a primary key, whose parts are given as text."""
    names = ", ".join(f"r.{quoted(name)}" for name in source.primary).replace("%", "%%")
    parts = ", ".join(f"%(after{place})s::{source.columns[name]}" for place, name in enumerate(source.primary))
    return f"({names}) > ({parts})"


def bound(last: list[str] | None) -> Mapping[str, str]:
    return {f"after{place}": value for place, value in enumerate(last or [])}


def _gives_way(error: DatabaseUnavailable) -> bool:
    cause = error.__cause__
    original = cause.orig if isinstance(cause, DBAPIError) else None
    return isinstance(original, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)
