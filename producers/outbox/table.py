"""The outbox's tables. Debezium's outbox event router reads ``lienthong_outbox`` as it is, without any option.

A writer in any other language gives ``id``, ``aggregatetype``, ``aggregateid``, ``type`` and ``payload``, which then
holds JSON. On PostgreSQL, SQLite, MariaDB and MySQL a trigger gives it its version; elsewhere the writer does.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, MetaData, SmallInteger, String, Table, Text, text
from sqlalchemy.types import TypeEngine

from producers.outbox.types import Bytes, EventId, Moment, TransactionId

OUTBOX, VERSION, RELAY = "lienthong_outbox", "lienthong_version", "lienthong_relay"
CAPTURE = "lienthong_capture"
"""Made by producers/capture, whose triggers need the other tables."""
CHANNEL = "lienthong_outbox"
"""What PostgreSQL notifies when rows have been committed."""

UNSENT = "sent_at IS NULL AND parked IS NULL"
NOW = {
    "postgresql": "clock_timestamp()",
    "mysql": "CURRENT_TIMESTAMP(6)",
    "mariadb": "CURRENT_TIMESTAMP(6)",
    "sqlite": "(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))",
    "mssql": "SYSDATETIMEOFFSET()",
    "oracle": "SYSTIMESTAMP",
}

BINARY = {"mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin", "mssql": "Latin1_General_100_BIN2_UTF8"}

TOMBSTONE = "TOMBSTONE"
"""The row after a delete's: no payload, the same ``id`` and version."""
BYTES, JSON = "bytes", "json"
ROW = "row"
"""A captured table's own columns, which the relay maps: see producers/capture."""

REASON_LENGTH = 400
"""Characters of why a row is parked; what is longer is cut."""
KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Tables:
    """The three tables as one kind of database has them."""

    outbox: Table
    version: Table
    """The last version of each key, raised in the agency's own transaction: its row lock makes version order commit
    order."""
    relay: Table
    """Who relays, how far the topic had been read or written when rows were last marked."""

    @property
    def all(self) -> tuple[Table, ...]:
        return self.version, self.outbox, self.relay


@cache
def tables(dialect: str) -> Tables:
    """For a SQLAlchemy dialect's name: postgresql, sqlite, mysql, mariadb, mssql, oracle."""
    metadata = MetaData()
    return Tables(
        Table(OUTBOX, metadata, *_outbox_columns(dialect), _unsent_index(dialect)),
        Table(
            VERSION,
            metadata,
            Column("aggregatetype", _text(120, dialect), primary_key=True),
            Column("aggregateid", _text(KEY_LENGTH, dialect), primary_key=True),
            Column("last", BigInteger, nullable=False),
        ),
        Table(
            RELAY,
            metadata,
            Column("aggregatetype", _text(120, dialect), primary_key=True),
            Column("shard", SmallInteger, primary_key=True, autoincrement=False),
            Column("shards", SmallInteger, nullable=False),
            Column("owner", String(36)),
            Column("beat", BigInteger, nullable=False, server_default="0"),
            Column("topic_id", String(40)),
            Column("positions", Text),
        ),
    )


def _outbox_columns(dialect: str) -> list[Column[Any]]:
    columns: list[Column[Any]] = [
        Column("seq", _number(dialect), Identity(always=False), primary_key=True),
        Column("id", EventId(), nullable=False),  # the event's; a delete's tombstone has the same
        Column("aggregatetype", _text(120, dialect), nullable=False),  # the topic without its prefix
        Column("aggregateid", _text(KEY_LENGTH, dialect), nullable=False),  # the key
        Column("type", String(10), nullable=False),  # UPSERT, DELETE, MERGE or TOMBSTONE
        Column("payload", Bytes()),
        Column("format", String(5), nullable=False, server_default=JSON),
        Column("version", BigInteger),
        Column("source", String(64)),  # as CloudEvents writes it: /agencies/H29.5
        Column("traceparent", String(64)),
        Column("occurred_at", Moment()),
        Column("created_at", Moment(), nullable=False, server_default=text(NOW[dialect])),
        Column("sent_at", Moment()),
        Column("parked", String(REASON_LENGTH)),  # why the relay cannot send it
    ]
    if dialect == "postgresql":
        columns.append(Column("txid", TransactionId(), nullable=False, server_default=text("pg_current_xact_id()")))
    return columns


def _unsent_index(dialect: str) -> Index:
    """Rows to send, in order; those sent are left out where an index can do that."""
    columns = ["aggregatetype", "version", "seq"]
    if dialect not in ("postgresql", "sqlite", "mssql"):
        columns.insert(1, "sent_at")
    where = text(UNSENT)
    return Index("lienthong_outbox_unsent", *columns, postgresql_where=where, sqlite_where=where, mssql_where=where)


def _number(dialect: str) -> TypeEngine[int]:
    """SQLite counts only an INTEGER up by itself."""
    return Integer() if dialect == "sqlite" else BigInteger()


def _text(length: int, dialect: str) -> String:
    """Text that is compared byte by byte: two keys that differ in case or accent are two keys."""
    return String(length, collation=BINARY.get(dialect))
