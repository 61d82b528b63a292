"""Making and changing tables. Every function runs inside its caller's transaction."""

import secrets
import sqlite3
from pathlib import Path

from bus.errors import ConfigInvalid
from consumers.stores.feed import new_era
from consumers.stores.graves import SECRET_BYTES
from consumers.stores.model import Phase, Slot, Table
from consumers.stores.shape import (
    LAYOUT,
    SHADOW,
    STAGE,
    by_subject,
    describe,
    quote,
    recall,
    stored_kinds,
    view,
)
from consumers.stores.sqlite import statements as sql
from consumers.stores.sqlite.reader import is_laid_out, tables
from consumers.stores.sqlite.types import TYPES


def lay_out(connection: sqlite3.Connection, path: Path) -> None:
    """Make the bookkeeping where it is missing. Raises ConfigInvalid, see ``is_laid_out``."""
    if is_laid_out(connection, path):
        return
    for statement in sql.BOOKKEEPING:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {sql.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    facts = {
        "era": new_era(),
        "grave_secret": secrets.token_hex(SECRET_BYTES),
        "changes_floor": "0",
    }
    connection.executemany("INSERT INTO _lienthong_meta (name, value) VALUES (?, ?)", facts.items())


def lay(connection: sqlite3.Connection, path: Path, table: Table) -> None:
    """Make the register's table, or widen it. A shadow begun with other columns is dropped."""
    connection.execute(f"DROP TABLE IF EXISTS temp.{quote(STAGE + table.name)}")
    found = connection.execute(
        "SELECT shape, filling, shadow_fingerprint FROM _lienthong_registers WHERE register = ?", (table.register,)
    ).fetchone()
    if found is None:
        _create(connection, table)
        return
    shape, filling, shadow_fingerprint = found
    if recall(table.register, shape).key_field != table.key_field:
        raise ConfigInvalid(f"{path}: {table.register} has another key there; bootstrap into a new file")
    _widen(connection, path, table)
    connection.execute(
        "UPDATE _lienthong_registers SET shape = ? WHERE register = ?", (describe(table), table.register)
    )
    if filling and shadow_fingerprint != table.fingerprint:
        drop_shadow(connection, table)


def _create(connection: sqlite3.Connection, table: Table) -> None:
    connection.execute(sql.create_table(table.name, table))
    connection.execute(sql.key_index(table, table.name, 0))
    index_subject(connection, table, table.name, 0)
    connection.execute(
        "INSERT INTO _lienthong_registers (register, shape, phase, filling, generation) VALUES (?, ?, ?, 0, 0)",
        (table.register, describe(table), Phase.ABSENT),
    )


def _widen(connection: sqlite3.Connection, path: Path, table: Table) -> None:
    there = {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({quote(table.name)})")}
    for name, kind in stored_kinds(table).items():
        if name not in there:
            connection.execute(f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(name)} {TYPES[kind]}")
        elif there[name] != TYPES[kind]:
            raise ConfigInvalid(
                f"{path}: {table.register} has {name} as {there[name]}, its schema wants {TYPES[kind]}; "
                "bootstrap into a new file",
            )


def make_views(connection: sqlite3.Connection) -> None:
    for kind, of_kind in by_subject(tables(connection).values()).items():
        for statement in sql.create_view(kind, view(of_kind)):
            connection.execute(statement)


def create_shadow(connection: sqlite3.Connection, table: Table) -> None:
    drop_shadow(connection, table)
    connection.execute(sql.create_table(SHADOW + table.name, table))
    connection.execute(sql.FORGET_REFILLED, (table.register,))
    connection.execute(
        "UPDATE _lienthong_registers SET filling = 1, shadow_fingerprint = ? WHERE register = ?",
        (table.fingerprint, table.register),
    )


def drop_shadow(connection: sqlite3.Connection, table: Table) -> None:
    """End a fill: its table, if it still has that name, and all that was noted for it."""
    connection.execute(f"DROP TABLE IF EXISTS {quote(SHADOW + table.name)}")
    connection.execute("DELETE FROM _lienthong_dead WHERE register = ?", (table.register,))
    for beside in ("_lienthong_positions", "_lienthong_counters"):
        connection.execute(f"DELETE FROM {beside} WHERE register = ? AND slot = ?", (table.register, Slot.SHADOW))
    connection.execute(
        "UPDATE _lienthong_registers SET filling = 0, shadow_fingerprint = NULL WHERE register = ?",
        (table.register,),
    )


def index_subject(connection: sqlite3.Connection, table: Table, on: str, generation: int) -> None:
    """An index on the subject's key, where that is another than the register's own."""
    statement = sql.subject_index(table, on, generation)
    if statement is not None:
        connection.execute(statement)
