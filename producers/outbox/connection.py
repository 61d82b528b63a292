"""The agency's open transaction, whichever library it is held with: SQLAlchemy, Django, or the driver itself."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection
from sqlalchemy.dialects import mssql, mysql, oracle, postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.sql import Executable

from bus.errors import ConfigInvalid

Values = Mapping[str, Any]

_DIALECTS: Mapping[str, Callable[..., Any]] = {
    "postgresql": postgresql.dialect,
    "sqlite": sqlite.dialect,
    "mysql": mysql.dialect,
    "mssql": mssql.dialect,
    "oracle": oracle.dialect,
}
DRIVERS: Mapping[str, tuple[str, str]] = {
    "psycopg": ("postgresql", "format"),
    "psycopg2": ("postgresql", "format"),
    "sqlite3": ("sqlite", "qmark"),
    "pymysql": ("mysql", "format"),
    "MySQLdb": ("mysql", "format"),
    "mysql": ("mysql", "format"),
    "mariadb": ("mysql", "qmark"),
    "pyodbc": ("mssql", "qmark"),
    "oracledb": ("oracle", "named"),
}
"""Top package of the connection's class: kind of database and paramstyle."""
VENDORS = {"postgresql": "postgresql", "sqlite": "sqlite", "mysql": "mysql", "microsoft": "mssql", "oracle": "oracle"}
"""Django's words for them; its cursors all take ``%s``."""
NO_TRANSACTION = (
    "enqueue needs a transaction that is open: without one the event would not go with the agency's own rows"
)


class Handle(Protocol):
    """Runs statements of ours in the agency's transaction, and never ends it."""

    dialect: str

    def one(self, statement: Executable, values: Values) -> Any:
        """Run it; the first column of its first row, None where it gives no rows."""
        ...

    def all(self, statement: Executable, values: Values) -> Sequence[Sequence[Any]]:
        """Run it; all of its rows."""
        ...

    def many(self, statement: Executable, rows: Sequence[Values]) -> None: ...


def handle(connection: Any) -> Handle:
    """What to run statements with. Raises ConfigInvalid for a connection of an unknown kind or without transaction."""
    if isinstance(connection, Session | scoped_session):
        return _Alchemy(connection.connection())
    if isinstance(connection, Connection):
        return _Alchemy(connection)
    if hasattr(connection, "vendor") and hasattr(connection, "in_atomic_block"):
        return _django(connection)
    if hasattr(connection, "run_sync"):
        raise ConfigInvalid("an async SQLAlchemy connection or session: use await session.run_sync(…)")
    return _plain(connection)


class _Alchemy:
    def __init__(self, connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            raise ConfigInvalid(f"{NO_TRANSACTION}; the connection is set to AUTOCOMMIT")
        self.dialect = connection.dialect.name
        self._connection = connection

    def one(self, statement: Executable, values: Values) -> Any:
        result = self._connection.execute(statement, values)
        return result.scalar() if result.returns_rows else None

    def all(self, statement: Executable, values: Values) -> Sequence[Sequence[Any]]:
        return self._connection.execute(statement, values).all()

    def many(self, statement: Executable, rows: Sequence[Values]) -> None:
        self._connection.execute(statement, rows)


class _Cursors:
    """Statements as text for a DB-API connection."""

    def __init__(self, connection: Any, dialect: str, paramstyle: str) -> None:
        self.dialect = dialect
        self._connection = connection
        self._paramstyle = paramstyle

    def one(self, statement: Executable, values: Values) -> Any:
        text = _text(statement, self.dialect, self._paramstyle)
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(text.sql, text.given(values))
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def all(self, statement: Executable, values: Values) -> Sequence[Sequence[Any]]:
        text = _text(statement, self.dialect, self._paramstyle)
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(text.sql, text.given(values))
            found: Sequence[Sequence[Any]] = cursor.fetchall()
            return found

    def many(self, statement: Executable, rows: Sequence[Values]) -> None:
        text = _text(statement, self.dialect, self._paramstyle)
        with closing(self._connection.cursor()) as cursor:
            cursor.executemany(text.sql, [text.given(values) for values in rows])


class _Text(NamedTuple):
    sql: str
    order: Sequence[str] | None
    """Names of the parameters by position; None where they go by name."""
    names: Sequence[str]
    fixed: Values
    """Values that the statement brings itself."""

    def given(self, values: Values) -> Any:
        everything = {**self.fixed, **values}
        if self.order is None:
            return {name: everything[name] for name in self.names}
        return tuple(everything[name] for name in self.order)


@cache
def _text(statement: Executable, dialect: str, paramstyle: str) -> _Text:
    compiled: Any = statement.compile(dialect=_DIALECTS[dialect](paramstyle=paramstyle))  # type: ignore[attr-defined]
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    return _Text(str(compiled), compiled.positiontup if compiled.positional else None, list(compiled.params), fixed)


def _django(connection: Any) -> Handle:
    if not connection.in_atomic_block:
        raise ConfigInvalid(f"{NO_TRANSACTION}; call it within django.db.transaction.atomic()")
    return _Cursors(connection, VENDORS[connection.vendor], "format")


def _plain(connection: Any) -> Handle:
    driver = next(
        (found for kind in type(connection).__mro__ if (found := kind.__module__.split(".")[0]) in DRIVERS), None
    )
    if driver is None:
        raise ConfigInvalid(
            f"{type(connection).__module__}.{type(connection).__name__}: no connection that the outbox knows; "
            f"expected SQLAlchemy's, Django's, or one of {', '.join(DRIVERS)}"
        )
    if _commits_alone(connection, driver):
        raise ConfigInvalid(f"{NO_TRANSACTION}; the connection commits each statement by itself")
    return _Cursors(connection, *DRIVERS[driver])


def _commits_alone(connection: Any, driver: str) -> bool:
    if driver == "sqlite3":
        alone = connection.isolation_level is None or getattr(connection, "autocommit", -1) is True
        return bool(alone and not connection.in_transaction)
    if driver == "psycopg":
        return bool(connection.autocommit and connection.info.transaction_status == 0)
    if driver == "psycopg2":
        return bool(connection.autocommit and connection.get_transaction_status() == 0)
    if driver == "pymysql":
        return bool(connection.get_autocommit() and not connection.server_status & 1)  # SERVER_STATUS_IN_TRANS
    return getattr(connection, "autocommit", False) is True
