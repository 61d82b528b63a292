"""Making and changing tables. Every function runs inside its caller's transaction."""

import secrets

import psycopg
from psycopg import errors

from bus.errors import ConfigInvalid
from consumers.stores.feed import new_era
from consumers.stores.graves import SECRET_BYTES
from consumers.stores.model import Phase, Slot, Table
from consumers.stores.postgres import statements as sql
from consumers.stores.postgres.reader import is_laid_out, one, tables
from consumers.stores.shape import SHADOW, STAGE, by_subject, describe, quote, recall, stored_kinds, view


def lay_out(connection: psycopg.Connection, name: str) -> None:
    """Make the bookkeeping where it is missing. Raises ConfigInvalid, see ``is_laid_out``."""
    if is_laid_out(connection, name):
        return
    connection.execute(sql.BOOKKEEPING)
    connection.execute(
        "INSERT INTO _lienthong_meta (name, value) VALUES ('era', %s), ('grave_secret', %s)",
        [new_era(), secrets.token_hex(SECRET_BYTES)],
    )


def restart_feed_after_restore(connection: psycopg.Connection) -> None:
    """A dump put into another cluster has transaction ids of the future: its feed starts again from nothing."""
    connection.execute(
        "WITH ahead AS (SELECT FROM _lienthong_meta WHERE name = 'changes_floor' "
        "AND split_part(value, '.', 1)::xid8 > pg_current_xact_id() UNION ALL "
        "SELECT FROM _lienthong_changes WHERE xid > pg_current_xact_id() LIMIT 1), "
        "gone AS (DELETE FROM _lienthong_changes WHERE EXISTS (SELECT FROM ahead)) "
        "UPDATE _lienthong_meta SET value = CASE name WHEN 'era' THEN %s ELSE '0.0.0' END "
        "WHERE name IN ('era', 'changes_floor') AND EXISTS (SELECT FROM ahead)",
        [new_era()],
    )


def lay(connection: psycopg.Connection, name: str, table: Table) -> None:
    """Make the register's table, or widen it. A shadow begun with other columns is dropped."""
    connection.execute(f"DROP TABLE IF EXISTS pg_temp.{quote(STAGE + table.name)}")
    found = connection.execute(
        "SELECT shape, filling, shadow_fingerprint FROM _lienthong_registers WHERE register = %s FOR UPDATE",
        [table.register],
    ).fetchone()
    if found is None:
        _create(connection, name, table)
        return
    shape, filling, shadow_fingerprint = found
    if recall(table.register, shape).key_field != table.key_field:
        raise ConfigInvalid(f"{name}: {table.register} has another key there; bootstrap into an empty database")
    _widen(connection, name, table)
    connection.execute(
        "UPDATE _lienthong_registers SET shape = %s WHERE register = %s", [describe(table), table.register]
    )
    if filling and shadow_fingerprint != table.fingerprint:
        drop_shadow(connection, table)


def _create(connection: psycopg.Connection, name: str, table: Table) -> None:
    try:
        connection.execute(sql.create_table(table))
    except errors.DuplicateTable:
        raise ConfigInvalid(
            f"{name}: has a table {table.name} that is not a replica's; name a database of the replica's own"
        ) from None
    connection.execute(sql.add_key(table, table.name, 0))
    index_subject(connection, table, table.name, 0)
    connection.execute(
        "INSERT INTO _lienthong_registers (register, shape, phase, filling, generation) VALUES (%s, %s, %s, false, 0)",
        [table.register, describe(table), Phase.ABSENT],
    )


def _widen(connection: psycopg.Connection, name: str, table: Table) -> None:
    there: dict[str, str] = dict(
        connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            [quote(table.name)],
        ).fetchall()
    )
    for column, kind in stored_kinds(table).items():
        if column not in there:
            connection.execute(f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(column)} {sql.TYPES[kind]}")
        elif there[column] != sql.TYPES[kind]:
            raise ConfigInvalid(
                f"{name}: {table.register} has {column} as {there[column]}, its schema wants {sql.TYPES[kind]}; "
                "bootstrap into an empty database",
            )


def make_views(connection: psycopg.Connection) -> None:
    """Point every subject's view at the tables of now; in place where its columns stay, as others may build on it."""
    for kind, of_kind in by_subject(tables(connection).values()).items():
        name, body = quote(kind), view(of_kind)
        connection.execute("SAVEPOINT in_place")
        try:
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {body}")
        except errors.InvalidTableDefinition:
            connection.execute("ROLLBACK TO in_place")
            grants = grants_on(connection, name)
            connection.execute(f"DROP VIEW {name}")
            connection.execute(f"CREATE VIEW {name} AS {body}")
            grant_again(connection, grants)
        connection.execute("RELEASE in_place")


def grants_on(connection: psycopg.Connection, relation: str) -> list[str]:
    return [statement for (statement,) in connection.execute(sql.GRANTS, {"relation": relation})]


def grant_again(connection: psycopg.Connection, grants: list[str]) -> None:
    for statement in grants:
        connection.execute(statement)


def create_shadow(connection: psycopg.Connection, table: Table) -> None:
    drop_shadow(connection, table)
    connection.execute(sql.create_shadow(table))
    connection.execute(sql.FORGET_REFILLED, [table.register])
    connection.execute(
        "UPDATE _lienthong_registers SET filling = true, shadow_fingerprint = %s WHERE register = %s",
        [table.fingerprint, table.register],
    )


def drop_shadow(connection: psycopg.Connection, table: Table) -> None:
    """End a fill: its table, if it still has that name, and all that was noted for it."""
    connection.execute(f"DROP TABLE IF EXISTS {quote(SHADOW + table.name)}")
    connection.execute("DELETE FROM _lienthong_dead WHERE register = %s", [table.register])
    for beside in ("_lienthong_positions", "_lienthong_counters"):
        connection.execute(f"DELETE FROM {beside} WHERE register = %s AND slot = %s", [table.register, Slot.SHADOW])
    connection.execute(
        "UPDATE _lienthong_registers SET filling = false, shadow_fingerprint = NULL WHERE register = %s",
        [table.register],
    )


def index_subject(connection: psycopg.Connection, table: Table, on: str, generation: int) -> None:
    """An index on the subject's key, where that is another than the register's own."""
    statement = sql.subject_index(table, on, generation)
    if statement is not None:
        connection.execute(statement)


def read_secret(connection: psycopg.Connection) -> bytes:
    return bytes.fromhex(one(connection.execute("SELECT value FROM _lienthong_meta WHERE name = 'grave_secret'")))
