"""Puts a capture on a table, shows beforehand what that would do, and takes it off again."""

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, text

from bus.catalog import Catalog, Register
from bus.errors import ConfigInvalid
from bus.names import AgencyCode
from bus.schema.agreements import Codes
from bus.schema.fields import RegisterSchema
from producers.capture import publication, triggers
from producers.capture.source import Source, check_database, find_source, regclass
from producers.capture.table import CREATE, THERE, Captured, Way, captured
from producers.mapping import Mapping
from producers.outbox import install as outbox
from producers.outbox.database import told_plainly
from producers.outbox.rows import kind
from producers.outbox.table import CAPTURE, OUTBOX, ROW, UNSENT, VERSION

KEEP = f"""\
INSERT INTO {CAPTURE} (id, source, aggregatetype, register, agency, way, mapping, print, stream, since)
SELECT :id, :source, :kind, :register, :agency, :way, :mapping, :print, CAST(:stream AS jsonb), greatest(
  (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  (SELECT max(last) + 1 FROM {VERSION} WHERE aggregatetype = :kind))"""
RETIRE = f"UPDATE {CAPTURE} SET retired_at = clock_timestamp() WHERE id = :id"
PRUNE = f"""\
DELETE FROM {CAPTURE} AS c WHERE retired_at IS NOT NULL AND NOT EXISTS (
  SELECT FROM {OUTBOX} WHERE aggregatetype = c.aggregatetype AND format = '{ROW}' AND {UNSENT})"""
NEXT = f"SELECT coalesce(max(id), 0) + 1 FROM {CAPTURE}"

SCHEMA = f"""\
SELECT coalesce((
  SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('{OUTBOX}')
), current_schema())"""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be captured, and how."""

    table: str
    register: Register
    agency: AgencyCode
    mapping: Mapping
    way: Way = "triggers"
    on_truncate: triggers.OnTruncate = "refuse"

    @property
    def kind(self) -> str:
        return kind(self.register, self.agency)


@dataclass(frozen=True, slots=True)
class _Plan:
    source: Source
    number: int
    statements: Sequence[str]
    print: str
    earlier: Sequence[Captured]
    """Captures of the same table for the same register that this one replaces."""


def plan(engine: Engine, ask: Ask) -> list[str]:
    """What ``install`` would run now; empty where the capture stands as asked. Changes nothing."""
    with told_plainly(engine), engine.connect() as connection:
        return list(_plan(connection, ask).statements)


def install(engine: Engine, ask: Ask) -> list[str]:
    """Make the outbox where it is missing, and the capture, in one transaction; give what was run. Again: nothing.

    A changed mapping replaces the one before; rows in the outbox keep the one they were written with. Raises
    ConfigInvalid, before anything is changed, where table, mapping and rights do not fit.
    """
    with told_plainly(engine), engine.begin() as connection:
        found = _plan(connection, ask)
        if found.statements:
            _drop_slots(connection, found.earlier)
            for statement in found.statements:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            _keep(connection, ask, found)
    if ask.way == "log":
        publication.make_slot(engine, found.earlier[-1].id if not found.statements else found.number)
    return list(found.statements)


def warnings(engine: Engine, ask: Ask) -> list[str]:
    """What the agency should know of, though it works."""
    if ask.way != "log":
        return []
    with told_plainly(engine), engine.connect() as connection:
        return publication.warnings(connection)


def uninstall(engine: Engine, table: str, *, dry_run: bool = False) -> list[str]:
    """Take all captures off a table. What waits in the outbox is still sent, and its mapping goes after it."""
    with told_plainly(engine), engine.begin() as connection:
        found = [each for each in captured(connection) if _is_table(connection, each.source, table)]
        if not found and not dry_run and (left := _tidy(connection)):
            return left
        if not found:
            names = ", ".join(each.source for each in captured(connection)) or "none"
            raise ConfigInvalid(f"--table {table}: is not captured; captured are: {names}")
        statements = [statement for each in found for statement in _removal(connection, each)]
        if dry_run:
            return statements
        _drop_slots(connection, found)
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        for each in found:
            connection.execute(text(RETIRE), {"id": each.id})
        return statements + _tidy(connection)


def captures(engine: Engine, table: str, way: Way) -> list[Captured]:
    """Those of one table. Raises ConfigInvalid where there is none."""
    with told_plainly(engine), engine.connect() as connection:
        found = [each for each in captured(connection) if _is_table(connection, each.source, table)]
    if not found:
        raise ConfigInvalid(f"--table {table}: is not captured; run: lienthong capture install")
    if not any(each.way == way for each in found):
        other = (
            "lienthong capture run" if way == "triggers" else "lienthong capture snapshot and lienthong outbox relay"
        )
        raise ConfigInvalid(f"--table {table}: is captured by {found[0].way}; use {other}")
    return [each for each in found if each.way == way]


def table_of(
    engine: Engine, capture: Captured, catalog: Catalog, schema: RegisterSchema, codes: Codes | None = None
) -> Source:
    """The captured table as it is now, held against the mapping that it was installed with, and that against codes."""
    mapping = Mapping.of(tomllib.loads(capture.mapping), schema, f"{CAPTURE} {capture.id}", codes)
    with told_plainly(engine), engine.connect() as connection:
        return find_source(connection, capture.source, mapping, catalog.register(capture.register).key_field)


def _plan(connection: Connection, ask: Ask) -> _Plan:
    check_database(connection)
    if ask.way == "log":
        publication.check(connection)
    source = find_source(connection, ask.table, ask.mapping, ask.register.key_field)
    there = bool(connection.execute(text(THERE)).scalar())
    number = int(connection.execute(text(NEXT)).scalar_one()) if there else 1
    same = [each for each in captured(connection) if (each.source, each.aggregatetype) == (source.quoted, ask.kind)]
    seal = _seal(ask, _creation(connection, source, ask, 0))
    first = _outbox(connection) + ([] if there else [CREATE])
    if not first and any(each.print == seal for each in same):
        return _Plan(source, number, [], seal, same)
    gone = [statement for each in same for statement in _removal(connection, each)]
    return _Plan(source, number, [*first, *gone, *_creation(connection, source, ask, number)], seal, same)


def _outbox(connection: Connection) -> list[str]:
    return outbox.creation(connection.dialect, inspect(connection).get_table_names())


def _keep(connection: Connection, ask: Ask, found: _Plan) -> None:
    for each in found.earlier:
        connection.execute(text(RETIRE), {"id": each.id})
    values = {"id": found.number, "source": found.source.quoted, "kind": ask.kind, "register": ask.register.name}
    values |= {"agency": ask.agency, "way": ask.way, "mapping": ask.mapping.text, "print": found.print}
    values |= {"stream": json.dumps({"identity": found.source.identity}) if ask.way == "log" else None}
    connection.execute(text(KEEP), values)
    connection.execute(text(PRUNE))


def _creation(connection: Connection, source: Source, ask: Ask, number: int) -> list[str]:
    schema = _schema(connection)
    if ask.way == "log":
        return publication.creation(source, number, schema)
    return triggers.creation(source, number, schema, ask.kind, ask.agency, ask.on_truncate)


def _removal(connection: Connection, each: Captured) -> list[str]:
    there = connection.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": each.source}).scalar()
    table = each.source if there else None
    if each.way == "log":
        return publication.removal(table, each.id, _schema(connection), (each.stream or {}).get("identity"))
    return triggers.removal(table, each.id, _schema(connection))


def _drop_slots(connection: Connection, captures: Sequence[Captured]) -> None:
    for each in captures:
        if each.way == "log":
            publication.drop_slot(connection, each.id)


def _tidy(connection: Connection) -> list[str]:
    """Mappings that nothing waits for any more go, and with the last one the table."""
    if not connection.execute(text(THERE)).scalar():
        return []
    connection.execute(text(PRUNE))
    if connection.execute(text(f"SELECT count(*) FROM {CAPTURE}")).scalar():
        return []
    connection.exec_driver_sql(f"DROP TABLE {CAPTURE}")
    return [f"DROP TABLE {CAPTURE}"]


def _schema(connection: Connection) -> str:
    """Where the outbox's tables are, or will be."""
    return str(connection.execute(text(SCHEMA)).scalar_one())


def _is_table(connection: Connection, source: str, table: str) -> bool:
    same = "SELECT coalesce(to_regclass(:source) = to_regclass(:table), :source = :table)"
    return bool(connection.execute(text(same), {"source": source, "table": regclass(table)}).scalar())


def _seal(ask: Ask, statements: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([ask.way, ask.mapping.text, *statements]).encode()).hexdigest()
