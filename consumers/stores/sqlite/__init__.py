"""The store in one SQLite file: the default, for one machine."""

from consumers.stores.sqlite.reader import SqliteReader
from consumers.stores.sqlite.store import SqliteStore

__all__ = ["SqliteReader", "SqliteStore"]
