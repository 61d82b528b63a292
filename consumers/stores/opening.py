"""A database's URL as a store or a reader."""

from importlib import import_module
from pathlib import Path
from typing import Any

from bus.errors import ConfigInvalid
from consumers.stores.base import Desk, Reader, Store
from consumers.stores.memory import MemoryStore
from consumers.stores.sqlite import SqliteReader, SqliteStore

FORMS = "sqlite:///file, sqlite:////absolute/file or postgresql://user@host/database"


def open_store(url: str) -> Store:
    """The store that a URL names, not yet opened. ``memory:`` is one for tests.

    Raises ConfigInvalid for a URL of another form, without repeating it: it may hold a password.
    """
    if url == "memory:":
        return MemoryStore()
    if url.startswith(("postgresql://", "postgres://")):
        store: Store = _postgres().PostgresStore(url)
        return store
    return SqliteStore(_file(url))


def open_reader(url: str) -> Reader:
    """A reader beside the daemon that writes, ready to be asked.

    Raises ConfigInvalid when the database is no replica, DatabaseUnavailable when it is not there (yet).
    """
    reader: Any = _postgres().PostgresReader(url) if url.startswith(("postgresql://", "postgres://")) else None
    reader = reader or SqliteReader(_file(url))
    try:
        reader.check()
    except BaseException:
        reader.close()
        raise
    found: Reader = reader
    return found


def open_desk(url: str) -> Desk:
    """A desk beside the daemon that writes, or without one: it takes no writer's lock and makes no table.

    Raises as ``open_reader``.
    """
    open_reader(url).close()  # a desk of a file that is not there would make it
    if url.startswith(("postgresql://", "postgres://")):
        desk: Desk = _postgres().PostgresStore(url)
        return desk
    return SqliteStore(_file(url))


def _file(url: str) -> Path:
    scheme, slashes, path = url.partition(":///")
    if scheme != "sqlite" or not slashes or not path or path == ":memory:":
        raise ConfigInvalid(f"database: not a URL of a store; write {FORMS}")
    return Path(path)


def _postgres() -> Any:
    """The PostgreSQL store's package, loaded only for those who use it."""
    try:
        import_module("psycopg")
    except ImportError as error:  # also when the driver is there and the library it needs is not
        raise ConfigInvalid("PostgreSQL needs its driver; run: pip install 'lienthong[postgres]'") from error
    return import_module("consumers.stores.postgres")
