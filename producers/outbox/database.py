"""The agency's database from its URL, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, ProgrammingError

from bus.errors import ConfigInvalid, DatabaseUnavailable

DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
KNOWN = ("postgresql", "sqlite", "mysql", "mariadb", "mssql", "oracle")
CONNECT_SECONDS = 10
LOCK_SECONDS = 30  # SQLite has one writer at a time: the agency's transaction or ours


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
    timeout = {
        "pymysql": {"connect_timeout": CONNECT_SECONDS},
        "psycopg": {"connect_timeout": CONNECT_SECONDS},
        "pysqlite": {"timeout": LOCK_SECONDS},
    }
    try:
        return create_engine(url, connect_args=timeout.get(url.get_driver_name(), {}))
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
    except OperationalError as error:
        raise DatabaseUnavailable(
            f"{_place(engine)}: {_kind(error)}; check that it runs and the address is right"
        ) from error
    except ProgrammingError as error:
        raise ConfigInvalid(
            f"{_place(engine)}: {_kind(error)}; check this user's rights, and run: lienthong outbox install"
        ) from error
    except DBAPIError as error:
        raise DatabaseUnavailable(f"{_place(engine)}: {_kind(error)}") from error


def _place(engine: Engine) -> str:
    return engine.url.set(username=None, password=None, query={}).render_as_string()


def _kind(error: DBAPIError) -> str:
    return type(error.orig).__name__
