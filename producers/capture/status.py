"""What is captured in a database, and how it is getting on."""

from typing import Any

from sqlalchemy import Connection, Engine, text

from producers.capture.publication import LAG
from producers.capture.table import Captured, captured
from producers.outbox.database import told_plainly
from producers.outbox.table import OUTBOX

WAITING = f"""\
SELECT count(*) FILTER (WHERE parked IS NULL) AS unsent,
  count(*) FILTER (WHERE parked IS NOT NULL) AS parked
FROM {OUTBOX} WHERE aggregatetype = :kind AND sent_at IS NULL"""


def status_of(engine: Engine) -> list[dict[str, Any]]:
    """One entry per captured table and register, for people and scripts."""
    with told_plainly(engine), engine.connect() as connection:
        return [_status(connection, each) for each in captured(connection)]


def _status(connection: Connection, each: Captured) -> dict[str, Any]:
    waiting = connection.execute(text(WAITING), {"kind": each.aggregatetype}).one()
    slot = connection.execute(text(LAG), {"number": str(each.id)}).one_or_none() if each.way == "log" else None
    return {
        "table": each.source,
        "register": each.register,
        "agency": each.agency,
        "way": each.way,
        "snapshot": _snapshot(each),
        "unsent": waiting.unsent,
        "parked": waiting.parked,
        "slot": slot and {"name": slot.name, "lag_bytes": slot.bytes or 0, "state": slot.wal_status or "lost"},
    }


def _snapshot(each: Captured) -> str:
    if each.snapshot_done_at is not None:
        return "done"
    return f"{each.snapshot['read']:,} rows" if each.snapshot else "not begun"
