"""Stores of a replica: SQLite by default, PostgreSQL by URL, one in memory as their twin."""

from consumers.stores.memory import MemoryStore
from consumers.stores.opening import open_desk, open_reader, open_store
from consumers.stores.sqlite import SqliteReader, SqliteStore
from consumers.stores.values import canonical_frame

__all__ = ["MemoryStore", "SqliteReader", "SqliteStore", "canonical_frame", "open_desk", "open_reader", "open_store"]
