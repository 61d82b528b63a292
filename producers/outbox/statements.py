"""What is run inside the agency's transaction, one builder per kind of database."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, case, cast, func, insert, literal, select, update
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
    next_versions: Executable | None
    """Of many keys, none of them twice, with ``kind``, ``keys`` and ``nows``; gives each key and its version."""
    insert: Executable
    """With the names in ``ROW``."""


@cache
def statements(dialect: str) -> Statements:
    """For a SQLAlchemy dialect's name."""
    found = tables(dialect)
    row = insert(found.outbox).values({name: bindparam(name) for name in ROW})
    many = _postgresql_many(found) if dialect == "postgresql" else None
    return Statements(_NEXT_VERSION.get(dialect, _portable)(found), many, row.inline())


def _postgresql(found: Tables) -> Sequence[Executable]:
    """A second writer of the same key waits here until the first has ended, and then sees its version."""
    return [_raised(found, postgresql.insert(found.version).values(_first())).returning(found.version.c.last)]


def _postgresql_many(found: Tables) -> Executable:
    """One journey for all of them. Rows are locked in the order in which the keys are given."""
    version = found.version.c
    keys, nows = cast(bindparam("keys"), ARRAY(Text)), cast(bindparam("nows"), ARRAY(BigInteger))
    given = func.unnest(keys, nows).table_valued("key", "now", with_ordinality="place", name="given").render_derived()
    rows = select(cast(bindparam("kind"), Text), given.c.key, given.c.now).order_by(given.c.place)
    columns = [version.aggregatetype, version.aggregateid, version.last]
    new = postgresql.insert(found.version).from_select(columns, rows)
    return _raised(found, new).returning(version.aggregateid, version.last)


def _raised(found: Tables, new: postgresql.Insert) -> postgresql.Insert:
    version = found.version.c
    later = func.greatest(version.last + 1, new.excluded.last)
    key = [version.aggregatetype, version.aggregateid]
    return new.on_conflict_do_update(index_elements=key, set_={"last": later})


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
