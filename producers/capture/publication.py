"""PostgreSQL's log as the source: the publication of a table, and the slot that keeps the log for us."""

import time

from sqlalchemy import Connection, Engine, text

from bus.errors import ConfigInvalid
from producers.capture import triggers
from producers.capture.source import Source
from producers.outbox.database import told_plainly
from producers.outbox.table import CAPTURE

CHECKS = (
    (
        "SELECT current_setting('wal_level') = 'logical'",
        "wal_level is not logical; run ALTER SYSTEM SET wal_level = logical and restart PostgreSQL, or use triggers",
    ),
    (
        "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user",
        "missing right REPLICATION; run as a superuser: ALTER ROLE … REPLICATION",
    ),
    (
        "SELECT has_database_privilege(current_database(), 'CREATE')",
        "missing right CREATE on the database, for the publication; run as its owner: GRANT CREATE ON DATABASE … TO …",
    ),
)
SLOT_NAME = "SELECT 'lienthong_' || oid || '_' || :number FROM pg_database WHERE datname = current_database()"
MAKE_SLOT = f"""\
SELECT pg_create_logical_replication_slot(name, 'pgoutput') FROM ({SLOT_NAME}) AS s (name)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)"""
DROP_SLOT = f"""\
SELECT pg_drop_replication_slot(name) FROM ({SLOT_NAME}) AS s (name)
WHERE EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = name)"""
DROP_LOST = DROP_SLOT.removesuffix(")") + " AND wal_status = 'lost')"
ACTIVE = f"SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = ({SLOT_NAME}) AND active)"
EVICT = f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = ({SLOT_NAME}) AND active"
EVICT_SECONDS = 10.0
AFRESH = f"""\
UPDATE {CAPTURE} SET snapshot = NULL, snapshot_done_at = NULL, stream = stream - 'lsn',
  since = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
WHERE id = :id"""
LAG = f"""\
SELECT slot_name AS name, active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint AS bytes,
  confirmed_flush_lsn::text AS confirmed, current_setting('max_slot_wal_keep_size') AS kept
FROM pg_replication_slots WHERE slot_name = ({SLOT_NAME})"""
UNBOUNDED = (
    "max_slot_wal_keep_size is not set: while nobody runs lienthong capture run, the slot may fill the disk; "
    "set it, such as ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'"
)
IDENTITIES = {"d": "DEFAULT", "n": "NOTHING"}


def check(connection: Connection) -> None:
    """Raises ConfigInvalid where this database or user cannot be followed by its log."""
    for question, remedy in CHECKS:
        if not connection.execute(text(question)).scalar():
            raise ConfigInvalid(f"--way log: {remedy}")


def warnings(connection: Connection) -> list[str]:
    kept = connection.execute(text("SHOW max_slot_wal_keep_size")).scalar()
    return [UNBOUNDED] if kept == "-1" else []


def creation(source: Source, number: int, schema: str) -> list[str]:
    """The whole old row has to be in the log: for keys that change, columns that do not, and long values.

    A TRUNCATE would be there without its rows, so that a trigger refuses it. Raises ConfigInvalid for a column whose
    form in the log is not the one in JSON.
    """
    lists = [name for name in source.wanted if source.columns[name].endswith("[]")]
    if lists:
        raise ConfigInvalid(f"--way log: column {lists[0]} is an array, whose form differs there; use --way triggers")
    return [
        f"ALTER TABLE {source.quoted} REPLICA IDENTITY FULL",
        f"CREATE PUBLICATION {name(number)} FOR TABLE ONLY {source.quoted}",
        *triggers.truncate_refusal(source, number, schema),
    ]


def removal(table: str | None, number: int, schema: str, identity: str | None) -> list[str]:
    """``identity`` is the letter that the table had before; an index of the agency's is for it to choose again."""
    before = IDENTITIES.get(identity or "")
    restored = [f"ALTER TABLE {table} REPLICA IDENTITY {before}"] if table and before else []
    return [f"DROP PUBLICATION IF EXISTS {name(number)}", *restored, *triggers.removal(table, number, schema)]


def name(number: int) -> str:
    return f"lienthong_capture_{number}"


def make_slot(engine: Engine, number: int) -> None:
    """Once its publication is committed. From now on the log is kept for us; nothing where it is already.

    With a new slot the table has to be read afresh.
    """
    with told_plainly(engine), engine.begin() as connection:
        connection.execute(text(DROP_LOST), {"number": str(number)})
        if connection.execute(text(MAKE_SLOT), {"number": str(number)}).rowcount:
            connection.execute(text(AFRESH), {"id": number})


def drop_slot(connection: Connection, number: int, *, evict: bool = False) -> None:
    """Raises ConfigInvalid while somebody reads it, who is put out with ``evict``."""
    values = {"number": str(number)}
    until = time.monotonic() + EVICT_SECONDS
    while connection.execute(text(ACTIVE), values).scalar():
        if not evict or time.monotonic() > until:
            raise ConfigInvalid("the slot is being read; stop lienthong capture run first")
        connection.execute(text(EVICT), values)
        time.sleep(0.1)
    connection.execute(text(DROP_SLOT), values)


def evict(connection: Connection, number: int) -> None:
    """End the connection that reads the slot, if there is one."""
    connection.execute(text(EVICT), {"number": str(number)})
