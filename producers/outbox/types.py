"""Column types that mean the same on every database, and whose values are what the driver itself takes and gives.

SQLAlchemy converts nothing here, so that a statement may run through it or through a plain DB-API connection.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import UserDefinedType


class Moment(UserDefinedType[Any]):
    """A point in time with microseconds; see ``moment`` for its value."""

    cache_ok = True


class EventId(UserDefinedType[Any]):
    """A UUID in its usual form of 36 characters."""

    cache_ok = True


class Bytes(UserDefinedType[Any]):
    """Up to a megabyte."""

    cache_ok = True


class TransactionId(UserDefinedType[Any]):
    """PostgreSQL's 64-bit transaction id, which never comes round."""

    cache_ok = True


MOMENT = {
    "postgresql": "TIMESTAMP WITH TIME ZONE",
    "mysql": "DATETIME(6)",
    "mariadb": "DATETIME(6)",
    "sqlite": "TEXT",
    "mssql": "DATETIMEOFFSET(6)",
    "oracle": "TIMESTAMP(6) WITH TIME ZONE",
}
EVENT_ID = {"postgresql": "UUID"}
BYTES = {
    "postgresql": "BYTEA",
    "mysql": "MEDIUMBLOB",
    "mariadb": "MEDIUMBLOB",
    "mssql": "VARBINARY(MAX)",
}


@compiles(Moment)
def _moment(_type: Moment, compiler: Any, **_options: Any) -> str:
    return MOMENT[compiler.dialect.name]


@compiles(EventId)
def _event_id(_type: EventId, compiler: Any, **_options: Any) -> str:
    return EVENT_ID.get(compiler.dialect.name, "CHAR(36)")


@compiles(Bytes)
def _bytes(_type: Bytes, compiler: Any, **_options: Any) -> str:
    return BYTES.get(compiler.dialect.name, "BLOB")


@compiles(TransactionId)
def _transaction_id(_type: TransactionId, _compiler: Any, **_options: Any) -> str:
    return "xid8"


def moment(value: datetime, dialect: str) -> datetime | str:
    """A point in time as the column of that database holds it: with its zone, or in UTC where it has none."""
    there = value.astimezone(UTC)
    if dialect == "sqlite":
        return there.isoformat(timespec="microseconds")
    return there.replace(tzinfo=None) if dialect in ("mysql", "mariadb") else there


def read_event_id(value: bytes) -> UUID:
    """Of a row's ``id``, in either case of letters. Raises ValueError for what is no UUID in its usual form."""
    text = value.decode()
    found = UUID(text)
    if str(found) != text.lower():
        raise ValueError("without its hyphens")
    return found


def read_moment(value: datetime | str | None) -> datetime | None:
    """The point in time that a column held, in UTC."""
    if value is None:
        return None
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
