"""Looks at an agency's own database: is it there, is the outbox in it, may this user work with it, what waits."""

from typing import Any

import polars as pl
from sqlalchemy import Connection, Engine, delete, false, select, text, update
from sqlalchemy import Table as SqlTable

from bus.errors import ConfigInvalid
from producers.adapter.bus_side import Terms
from producers.adapter.findings import Checklist, Effect
from producers.adapter.rows import SAMPLE_ROWS
from producers.capture.row import packed, unpacked
from producers.capture.source import check_database, find_source
from producers.filediff.reader import Chunk
from producers.mapping import Mapping
from producers.outbox import install
from producers.outbox.database import told_plainly
from producers.outbox.relay.encoding import RowEncoder
from producers.outbox.relay.row import Row
from producers.outbox.rows import kind
from producers.outbox.table import JSON, OUTBOX, UNSENT, tables


def look_at_outbox(engine: Engine, found: Checklist, *, captured: bool = False) -> bool:
    """Whether its tables can be read and written; nothing is changed. A capture's install makes what is missing."""
    with found.looking("database", "connection"):
        found.add("database", "connection", _connect(engine))
        if captured and install.plan(engine):
            found.add("database", "outbox", "its tables are not there; lienthong capture install makes them", "look")
            return False
        return _is_ready(engine, found)
    return False


def _is_ready(engine: Engine, found: Checklist) -> bool:
    for point, look in (("outbox", _find), ("rights", _ask)):
        with found.looking("database", point):
            found.add("database", point, look(engine))
            continue
        return False
    return True


def _connect(engine: Engine) -> str:
    with told_plainly(engine), engine.connect():
        return f"{engine.dialect.name} answers"


def _find(engine: Engine) -> str:
    if install.plan(engine):
        raise ConfigInvalid("the outbox's tables are not there; run: lienthong outbox install")
    return "its tables are there"


def _ask(engine: Engine) -> str:
    with told_plainly(engine), engine.connect() as connection:
        _try_out(connection)
    return "may read, mark and delete the outbox's rows; nothing was changed"


def _try_out(connection: Connection) -> None:
    """What a relay does, to no row: databases ask for the rights all the same."""
    made = tables(connection.dialect.name)
    with connection.begin() as transaction:
        for table in made.all:
            connection.execute(select(table).where(false()))
            connection.execute(update(table).where(false()).values(_first(table)))
            connection.execute(delete(table).where(false()))
        transaction.rollback()


def _first(table: SqlTable) -> dict[str, Any]:
    column = table.c.sent_at if table.name == OUTBOX else table.c.last if "last" in table.c else table.c.beat
    return {column.name: None if column.nullable else 0}


def waiting_rows(engine: Engine, terms: Terms) -> list[Row]:
    """Up to 100 rows that a relay would send next, read without any of a relay's own ways: they may change things."""
    outbox = tables(engine.dialect.name).outbox.c
    columns = (outbox.seq, outbox.aggregateid, outbox.id, outbox.type, outbox.format, outbox.payload, outbox.version)
    query = (
        select(*columns, outbox.traceparent, outbox.occurred_at, outbox.created_at)
        .where(outbox.aggregatetype == kind(terms.register, terms.agency), text(UNSENT))
        .order_by(outbox.version, outbox.seq)
        .limit(SAMPLE_ROWS)
    )
    with told_plainly(engine), engine.connect() as connection:
        found = connection.execute(query).all()
    return [Row(seq, key.encode(), str(name).strip().encode(), *rest) for seq, key, name, *rest in found]


def judged_rows(rows: list[Row], terms: Terms) -> tuple[int, list[Effect]]:
    """How many of them a relay would send, and why it would park the others. Pure."""
    batch = RowEncoder(terms.register, terms.agency, terms.release).encode(rows)
    reasons: dict[str, list[int]] = {}
    for seq, _, reason in batch.parked:
        reasons.setdefault(reason, []).append(seq)
    effects = [
        Effect(terms.register.name, "refused", "(row)", "parked", len(places), min(places), reason)
        for reason, places in reasons.items()
    ]
    return len(batch.done), effects


def forms(rows: list[Row]) -> str:
    """In words: how many of them are validated here, and how many were by whoever wrote them."""
    unread = sum(row.format == JSON for row in rows)
    return f"{unread} in JSON, {len(rows) - unread} in final bytes"


def table_rows(engine: Engine, table: str, mapping: Mapping, key_field: str) -> Chunk:
    """Up to 100 rows of the agency's own table, their columns as the triggers will tell them.

    Raises ConfigInvalid where it cannot be captured with this mapping, as ``lienthong capture install`` does.
    """
    with told_plainly(engine), engine.connect() as connection:
        check_database(connection)
        source = find_source(connection, table, mapping, key_field)
        query = f"SELECT to_jsonb(t)::text FROM {source.quoted} t LIMIT {SAMPLE_ROWS}"
        told = connection.exec_driver_sql(query).scalars().all()
    rows = [unpacked(packed(0, row))[1] for row in told]
    cells = pl.DataFrame(rows, schema=dict.fromkeys(source.columns, pl.String()), orient="row")
    return Chunk(pl.int_range(1, cells.height + 1, eager=True).cast(pl.Int64), cells)
