"""The run's own Kafka and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bus.cli import err
from bus.local.progress import ConsoleReport
from bus.local.stack import LocalStack
from tests.stack import cache


@dataclass(frozen=True, slots=True)
class Servers:
    kafka: str
    postgres: str
    """URL of the superuser's database."""

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """A new, empty database, dropped at the end; what the contender before left dirty is on disk when it begins."""
        self._drop(name)
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._execute(sql.SQL("CHECKPOINT"))
        try:
            yield f"{self.postgres.rsplit('/', 1)[0]}/{name}"
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed | sql.SQL) -> None:
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """One broker and one database, empty, with the settings of ``lienthong local``; stopped at the end."""
    stack = LocalStack(directory, postgres=True, report=ConsoleReport(err), cache=cache())
    try:
        status = stack.up(fresh=True)
        yield Servers(str(status.bootstrap_servers), str(status.postgres_url))
    finally:
        stack.down()
