"""Finishing a fill: the shadow's rows sorted out, indexed and made the live table, inside one transaction."""

import psycopg
from psycopg import errors

from consumers.stores.feed import new_era
from consumers.stores.model import Outcome, Phase, Slot, Table
from consumers.stores.postgres import statements as sql
from consumers.stores.postgres.layout import drop_shadow, grant_again, grants_on, index_subject, make_views
from consumers.stores.postgres.reader import one
from consumers.stores.postgres.writing import Writing
from consumers.stores.shape import OLD, SHADOW, quote

MEMORY = "SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL work_mem = '128MB'"
"""For one index build and one sort of keys, in one session, once in a replica's life or so."""


def finish(connection: psycopg.Connection, table: Table, generation: int) -> Outcome:
    """Everything that ``Store.finish_fill`` promises, up to the commit; ``generation`` is the new one."""
    connection.execute(MEMORY)
    counts = _shadow_counts(connection, table)
    applied = counts.get("_kept", 0) - _settle(connection, table, generation)
    applied += one(connection.execute(sql.count_dead(table), [table.register]))
    outcome = Outcome(applied, counts.get("_fed", 0) - applied)
    connection.execute(sql.GRAVES_FROM_DEAD, [table.register])
    unparked = connection.execute(sql.UNPARK_READ_AGAIN, [table.register]).rowcount
    _swap(connection, table, generation)
    shown = {name: n for name, n in counts.items() if not name.startswith("_")}
    shown["parked"] = shown.get("parked", 0) - unparked
    Writing(connection, table, b"").count(Slot.LIVE, {**shown, "applied": outcome.applied, "stale": outcome.stale})
    return outcome


def _settle(connection: psycopg.Connection, table: Table, generation: int) -> int:
    """Leave each key's newest version in the shadow, indexed. Gives how many rows went.

    The key is tried first: a fill without repeated keys pays for nothing else.
    """
    shadow, removed = SHADOW + table.name, 0
    connection.execute("SAVEPOINT key_tried")
    try:
        connection.execute(sql.add_key(table, shadow, generation))
    except errors.UniqueViolation:
        connection.execute("ROLLBACK TO key_tried")
        removed = connection.execute(sql.keep_newest(table)).rowcount
        connection.execute(sql.add_key(table, shadow, generation))
    removed += connection.execute(sql.bury_shadow(table), [table.register]).rowcount
    index_subject(connection, table, shadow, generation)
    connection.execute(sql.vacuum_from_now_on(table))
    return removed


def _shadow_counts(connection: psycopg.Connection, table: Table) -> dict[str, int]:
    found = connection.execute(
        "SELECT outcome, value FROM _lienthong_counters WHERE register = %s AND slot = %s",
        [table.register, Slot.SHADOW],
    )
    return dict(found.fetchall())


def _swap(connection: psycopg.Connection, table: Table, generation: int) -> None:
    """Lookups wait from here to the commit: 5 ms as measured, once those under way have ended.

    The view is locked before the tables, as whoever reads through it does.
    """
    live, shadow, old = quote(table.name), quote(SHADOW + table.name), quote(OLD + table.name)
    connection.execute(f"LOCK TABLE {quote(table.subject)} IN ACCESS EXCLUSIVE MODE")
    grants = grants_on(connection, live)
    connection.execute(f"ALTER TABLE {live} RENAME TO {old}")
    connection.execute(f"ALTER TABLE {shadow} RENAME TO {live}")
    make_views(connection)
    connection.execute(f"DROP TABLE {old}")
    grant_again(connection, grants)
    for statement in sql.SWAP_POSITIONS:
        connection.execute(statement, [table.register])
    drop_shadow(connection, table)
    connection.execute(
        "UPDATE _lienthong_registers SET phase = %s, fingerprint = %s, generation = %s WHERE register = %s",
        [Phase.READY, table.fingerprint, generation, table.register],
    )
    connection.execute("UPDATE _lienthong_meta SET value = %s WHERE name = 'era'", [new_era()])
