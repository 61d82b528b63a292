"""The agency's database from its URL, and its errors in our words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ProgrammingError

from bus.errors import ConfigInvalid, DatabaseUnavailable

DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
KNOWN = ("postgresql", "sqlite", "mysql", "mariadb", "mssql", "oracle")
CONNECT_SECONDS = 10
DENIED = {
    1044: "this user may not use the database",
    1045: "this user or password is not known there",
    1142: "this user lacks a right on a table",
    1143: "this user lacks a right on a column",
    1227: "this user lacks a right for it",
}
"""MariaDB's and MySQL's errors about rights, which their drivers take for a server's that is away."""
NO_TABLE = 1146
LOCK_SECONDS = 30  # SQLite has one writer at a time: the agency's transaction or ours
PATIENCE: Mapping[str, Mapping[str, int]] = {
    "psycopg": {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
    },
    "pymysql": {"connect_timeout": CONNECT_SECONDS, "read_timeout": 300, "write_timeout": 60},
    "pysqlite": {"timeout": LOCK_SECONDS},
}
"""A server that vanished without a word is noticed within half a minute; MariaDB's driver knows no keepalive, so that
its bound is also one for the longest statement. In s, ``tcp_user_timeout`` in ms."""


def database_url(given: str) -> URL:
    """The URL with the driver that we ship an extra for, where it names none. Raises ConfigInvalid."""
    try:
        url = make_url(given)
        name = DRIVERS.get(url.drivername, url.drivername)
        url = url.set(drivername=name)
        url.get_dialect()
    except ArgumentError as error:
        raise ConfigInvalid("--url: no database URL; expected such as postgresql://user@host:5432/name") from error
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigInvalid(f"--url: no such kind of database; known are {', '.join(KNOWN)}") from error
    if url.get_backend_name() not in KNOWN:
        raise ConfigInvalid(f"--url: {url.get_backend_name()} is not supported; known are {', '.join(KNOWN)}")
    return url


def engine_for(given: str) -> Engine:
    """An engine that has not connected yet. Raises ConfigInvalid, also where the driver is not installed."""
    url = database_url(given)
    try:
        return create_engine(url, connect_args=dict(PATIENCE.get(url.get_driver_name(), {})))
    except ModuleNotFoundError as error:
        raise ConfigInvalid(f"--url: the driver {error.name} is not installed; install it with pip") from error


@contextmanager
def engine_at(given: str) -> Iterator[Engine]:
    """An engine whose connections are closed at the end. Raises ConfigInvalid."""
    engine = engine_for(given)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def told_plainly(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours. Their texts may hold values, so that only their kind is told."""
    try:
        yield
    except DBAPIError as error:
        place, mended = _place(engine), remedy(error.orig)
        if mended is not None:
            raise ConfigInvalid(f"{place}: {mended}") from error
        if isinstance(error, ProgrammingError):
            raise ConfigInvalid(
                f"{place}: {_kind(error)}; check this user's rights, and run: lienthong outbox install"
            ) from error
        raise DatabaseUnavailable(
            f"{place}: {_kind(error)}; check that it runs, and the address, user and password of --url"
        ) from error


def remedy(error: object) -> str | None:
    """Of what no later try mends: rights that are missing, tables that are not there; None for anything else.

    Of rights PostgreSQL names the object, and never a value (SQLSTATE 42501).
    """
    state = getattr(error, "sqlstate", None)
    if state == "42501":
        told = str(getattr(getattr(error, "diag", None), "message_primary", None) or "on what it uses")
        return f"missing rights: {told}; {_granted(told)}"
    number = error.args[0] if isinstance(error, Exception) and error.args else None
    if number in DENIED:
        return f"{DENIED[number]}; as an administrator: GRANT … TO this user"
    if str(getattr(error, "sqlite_errorname", "")).startswith("SQLITE_READONLY"):
        return "may not be written; give this user the right to write the file and its folder"
    if state == "42P01" or number == NO_TABLE or str(number).startswith("no such table: "):
        return "tables are not there; run: lienthong outbox install, or for a captured table lienthong capture install"
    return None


def _granted(told: str) -> str:
    if "must be owner" in told:
        return "run it as that owner"
    if "schema" in told:
        return "as its owner: GRANT CREATE, USAGE ON SCHEMA … TO …"
    return "as its owner: GRANT SELECT, INSERT, UPDATE, DELETE ON … TO …"


def _place(engine: Engine) -> str:
    return engine.url.set(username=None, password=None, query={}).render_as_string()


def _kind(error: DBAPIError) -> str:
    return type(error.orig).__name__
