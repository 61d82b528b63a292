"""The store in a PostgreSQL database, which several daemons can share. Needs the extra ``postgres``."""

from consumers.stores.postgres.reader import PostgresReader
from consumers.stores.postgres.store import PostgresStore

__all__ = ["PostgresReader", "PostgresStore"]
