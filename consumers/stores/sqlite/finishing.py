"""Finishing a fill: the shadow's rows sorted out, indexed and made the live table, inside one transaction."""

import sqlite3

from consumers.stores.feed import new_era
from consumers.stores.model import Outcome, Phase, Slot, Table
from consumers.stores.shape import SHADOW, quote
from consumers.stores.sqlite import statements as sql
from consumers.stores.sqlite.layout import drop_shadow, index_subject, make_views
from consumers.stores.sqlite.writing import Writing


def finish(connection: sqlite3.Connection, table: Table, writing: Writing) -> Outcome:
    """Everything that ``Store.finish_fill`` promises."""
    found = connection.execute("SELECT generation FROM _lienthong_registers WHERE register = ?", (table.register,))
    generation: int = found.fetchone()[0] + 1
    counts = _shadow_counts(connection, table)
    applied = counts.get("_kept", 0) - _settle(connection, table, generation)
    applied += connection.execute(sql.count_dead(table), (table.register,)).fetchone()[0]
    outcome = Outcome(applied, counts.get("_fed", 0) - applied)
    writing.graves_from_dead()
    shown = {name: n for name, n in counts.items() if not name.startswith("_")}
    writing.count(Slot.LIVE, {**shown, "applied": outcome.applied, "stale": outcome.stale})
    writing.count(Slot.LIVE, {"parked": -connection.execute(sql.UNPARK_READ_AGAIN, (table.register,)).rowcount})
    _swap(connection, table, generation)
    return outcome


def _settle(connection: sqlite3.Connection, table: Table, generation: int) -> int:
    """Leave each key's newest version in the shadow, indexed. Gives how many rows went.

    The index is tried first: a fill without repeated keys pays for nothing else.
    """
    shadow, removed = SHADOW + table.name, 0
    try:
        connection.execute(sql.key_index(table, shadow, generation))
    except sqlite3.IntegrityError:
        removed = connection.execute(sql.keep_newest(table)).rowcount
        connection.execute(sql.key_index(table, shadow, generation))
    removed += connection.execute(sql.bury_shadow(table), (table.register,)).rowcount
    index_subject(connection, table, shadow, generation)
    return removed


def _shadow_counts(connection: sqlite3.Connection, table: Table) -> dict[str, int]:
    found = connection.execute(
        "SELECT outcome, value FROM _lienthong_counters WHERE register = ? AND slot = ?", (table.register, Slot.SHADOW)
    )
    return dict(found.fetchall())


def _swap(connection: sqlite3.Connection, table: Table, generation: int) -> None:
    connection.execute(f"DROP TABLE {quote(table.name)}")
    connection.execute(f"ALTER TABLE {quote(SHADOW + table.name)} RENAME TO {quote(table.name)}")
    for statement in sql.SWAP_POSITIONS:
        connection.execute(statement, (table.register,))
    drop_shadow(connection, table)
    connection.execute(
        "UPDATE _lienthong_registers SET phase = ?, fingerprint = ?, generation = ? WHERE register = ?",
        (Phase.READY, table.fingerprint, generation, table.register),
    )
    connection.execute("UPDATE _lienthong_meta SET value = ? WHERE name = 'era'", (new_era(),))
    make_views(connection)
