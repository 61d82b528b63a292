"""What is run inside the agency's transaction, one builder per kind of database."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, case, func, insert, literal, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql import Executable

from producers.outbox.table import Tables, tables

ROW = (
    "id", "aggregatetype", "aggregateid", "type", "payload", "format", "version", "source", "traceparent",
    "occurred_at", "created_at",
)  # fmt: skip
"""What a writer gives of a row; the database gives the rest."""


@dataclass(frozen=True, slots=True)
class Statements:
    next_version: Sequence[Executable]
    """In this order, with ``kind``, ``key`` and ``now`` (µs); the last one gives the version."""
    insert: Executable
    """With the names in ``ROW``."""


@cache
def statements(dialect: str) -> Statements:
    """For a SQLAlchemy dialect's name."""
    found = tables(dialect)
    row = insert(found.outbox).values({name: bindparam(name) for name in ROW})
    return Statements(_NEXT_VERSION.get(dialect, _portable)(found), row.inline())


def _postgresql(found: Tables) -> Sequence[Executable]:
    """A second writer of the same key waits here until the first has ended, and then sees its version."""
    version = found.version.c
    new = postgresql.insert(found.version).values(_first())
    later = func.greatest(version.last + 1, new.excluded.last)
    key = [version.aggregatetype, version.aggregateid]
    return [new.on_conflict_do_update(index_elements=key, set_={"last": later}).returning(version.last)]


def _sqlite(found: Tables) -> Sequence[Executable]:
    version = found.version.c
    new = sqlite.insert(found.version).values(_first())
    later = func.max(version.last + 1, new.excluded.last)
    key = [version.aggregatetype, version.aggregateid]
    return [new.on_conflict_do_update(index_elements=key, set_={"last": later}).returning(version.last)]


def _mysql(found: Tables) -> Sequence[Executable]:
    new = mysql.insert(found.version).values(_first())
    later = func.greatest(found.version.c.last + 1, new.inserted.last)
    return [new.on_duplicate_key_update(last=later), _read(found)]


def _portable(found: Tables) -> Sequence[Executable]:
    """Two writers of a key that is new to both: the second fails with the database's error, and is run again."""
    version = found.version
    there = select(literal(1)).select_from(version).where(*_is_key(found))
    there = there.with_hint(version, "WITH (UPDLOCK, HOLDLOCK)", "mssql")
    columns = [version.c.aggregatetype, version.c.aggregateid, version.c.last]
    fresh: Any = select(bindparam("kind"), bindparam("key"), literal(0)).where(~there.exists())
    now: Any = bindparam("now")
    last = version.c.last
    later = case((last + 1 > now, last + 1), else_=now)
    return [
        insert(version).from_select(columns, fresh),
        update(version).where(*_is_key(found)).values(last=later),
        _read(found),
    ]


_NEXT_VERSION = {"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql, "mariadb": _mysql}


def _first() -> dict[str, Any]:
    return {"aggregatetype": bindparam("kind"), "aggregateid": bindparam("key"), "last": bindparam("now")}


def _read(found: Tables) -> Executable:
    return select(found.version.c.last).where(*_is_key(found))


def _is_key(found: Tables) -> tuple[Any, Any]:
    version = found.version.c
    return version.aggregatetype == bindparam("kind"), version.aggregateid == bindparam("key")
