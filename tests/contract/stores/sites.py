"""Places where a store can live: each kind, opened and looked into the same way."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from consumers.stores import MemoryStore, open_reader, open_store
from consumers.stores.base import Reader, Store
from consumers.stores.model import Table
from tests.contract.stores.building import ALL


class Site:
    """One database. Stores opened here are closed at the test's end."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind, self.url = kind, url
        self._stack = ExitStack()
        self._memory: MemoryStore | None = None

    def open(self, tables: Sequence[Table] = ALL) -> Store:
        """A store on what is there: for a database a new connection, in memory the one store."""
        if self.kind == "memory":
            self._memory = store = self._memory or MemoryStore()
        else:
            store = open_store(self.url)
        self._stack.callback(store.close)
        store.open(tables)
        return store

    def reader(self) -> Reader:
        if self._memory is not None:
            return self._memory
        return self._stack.enter_context(open_reader(self.url))

    def close(self) -> None:
        self._stack.close()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What a person with an SQL shell would see; committed."""
        if self.kind == "sqlite":
            connection = sqlite3.connect(self.path)
            try:
                with connection:
                    return connection.execute(statement).fetchall()
            finally:
                connection.close()
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))


@contextmanager
def site(kind: str, url: str) -> Iterator[Site]:
    place = Site(kind, url)
    try:
        yield place
    finally:
        place.close()
