"""Reads the code registers out of a replica's database, as plain tables beside whoever writes them."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bus.catalog import Register
from bus.errors import ConfigInvalid, DatabaseUnavailable
from bus.names import RegisterName

READY = "ready"
"""Phase of a register that has been filled once; until then its table holds nothing."""
CONNECT_SECONDS = 10
PHASES = "SELECT register, phase FROM _lienthong_registers"
FORMS = "sqlite:///file or postgresql://user@host/database"

States = dict[RegisterName, list[Mapping[str, Any]]]


def is_url(where: str) -> bool:
    return "://" in where


def read_replica(url: str, registers: Iterable[Register]) -> States:
    """The states of those registers that the replica holds and has filled.

    Raises ConfigInvalid for what is no replica's URL, DatabaseUnavailable when there is none (yet).
    """
    scheme, _, path = url.partition("://")
    if scheme == "sqlite" and path.startswith("/"):
        return _sqlite(Path(path[1:]), list(registers))
    if scheme in {"postgresql", "postgres"}:
        return _postgres(url, list(registers))
    raise ConfigInvalid(f"--codes: not a URL of a replica; write {FORMS}, or name a directory")


def _sqlite(path: Path, registers: list[Register]) -> States:
    if not path.exists():
        raise DatabaseUnavailable(f"{path}: there is no replica yet; start `lienthong replica run` first")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # all lists as of one moment
            return _read(connection, registers)
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"{path}: not to be read as a replica ({type(error).__name__})") from error


def _postgres(url: str, registers: list[Register]) -> States:
    try:
        psycopg = import_module("psycopg")
    except ImportError as error:
        raise ConfigInvalid("PostgreSQL needs its driver; run: pip install 'lienthong[postgres]'") from error
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            return _read(connection, registers)
    except psycopg.Error as error:
        raise DatabaseUnavailable(
            f"--codes: PostgreSQL: {type(error).__name__}; check that it runs, holds a replica, and may be read"
        ) from error


def _read(connection: Any, registers: list[Register]) -> States:
    """By a SQLite or psycopg connection: the statements are the same."""
    ready = {name for name, phase in connection.execute(PHASES).fetchall() if phase == READY}
    return {each.name: _table(connection, each.table) for each in registers if each.name in ready}


def _table(connection: Any, table: str) -> list[Mapping[str, Any]]:
    cursor = connection.execute(f'SELECT * FROM "{table}" WHERE _replaced_by IS NULL')
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
