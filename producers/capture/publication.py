"""PostgreSQL's log as the source: the publication of a table, and the slot that keeps the log for us."""

from sqlalchemy import Connection, Engine, text

from bus.errors import ConfigInvalid
from producers.capture.source import Source
from producers.outbox.database import told_plainly

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


def creation(source: Source, number: int) -> list[str]:
    """The whole old row has to be in the log: for keys that change, columns that do not, and long values."""
    return [
        f"ALTER TABLE {source.quoted} REPLICA IDENTITY FULL",
        f"CREATE PUBLICATION {name(number)} FOR TABLE ONLY {source.quoted}",
    ]


def removal(table: str | None, number: int, identity: str | None) -> list[str]:
    """``identity`` is the letter that the table had before; an index of the agency's is for it to choose again."""
    before = IDENTITIES.get(identity or "")
    restored = [f"ALTER TABLE {table} REPLICA IDENTITY {before}"] if table and before else []
    return [f"DROP PUBLICATION IF EXISTS {name(number)}", *restored]


def name(number: int) -> str:
    return f"lienthong_capture_{number}"


def make_slot(engine: Engine, number: int) -> None:
    """Once its publication is committed; nothing where it is there. From now on the log is kept for us."""
    with told_plainly(engine), engine.begin() as connection:
        connection.execute(text(MAKE_SLOT), {"number": str(number)})


def drop_slot(connection: Connection, number: int) -> None:
    connection.execute(text(DROP_SLOT), {"number": str(number)})
