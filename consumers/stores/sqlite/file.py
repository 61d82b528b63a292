"""The file: who may write it, how it is opened, and what its errors mean."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from bus.errors import ConfigInvalid, DatabaseUnavailable, Fenced, PathUnwritable, RowsRefused

BUSY_MS = 5_000  # a checkpoint by a reader's last close, or somebody's sqlite3 shell; the writer itself is alone
CACHE_KIB = 32_768  # the upper levels of a 14-million-row index, and most of what one batch touches
CHECKPOINT_PAGES = (
    8_000  # 32 MB: one batch of 20,000 updates can change as many pages, which 1,000 would copy again and again
)
WAL_LIMIT_BYTES = 256 * 1024 * 1024  # what the WAL keeps of the disk after a fill's one great transaction

_UNKNOWN = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}
_RUINED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT}
_REFUSED = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}


class WriterLock:
    """One writer per file: ``flock`` on a file beside it, which falls with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(path.name + ".lock")
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Whether the lock is new to us, rather than held already.

        Raises Fenced when another process (or store) has it, PathUnwritable.
        """
        if self._handle is not None:
            return False
        try:
            handle = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(self._path, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise Fenced(
                f"{self._path}: another replica daemon is its writer; stop that one, or use PostgreSQL, which several "
                "daemons can share",
            ) from None
        self._handle = handle
        return True

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def unwritable(path: Path, error: OSError) -> PathUnwritable:
    return PathUnwritable(f"{path}: cannot be written ({error.strerror}); name a file in a folder you may write to")


def connect_writer(path: Path) -> sqlite3.Connection:
    """Open the file for writing; one made here is for its owner's eyes only (mode 0600), and so are its WAL files.

    ``synchronous=NORMAL``: in WAL mode a power cut can take the last commits, never part of one. Rows and positions
    are in the same commit, so what went is read from Kafka again; a sync per commit would buy nothing.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise unwritable(path, error) from error
    with told(path):
        connection = _connect(str(path), uri=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
            connection.execute(
                "PRAGMA legacy_alter_table = ON"
            )  # a rename leaves people's own views as they wrote them
        except BaseException:
            connection.close()
            raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the file for reading only. Raises DatabaseUnavailable while there is none."""
    if not path.exists():
        raise DatabaseUnavailable(f"{path}: there is no replica yet; start `lienthong replica run` first")
    with told(path):
        return _connect(f"file:{quote(str(path))}?mode=ro", uri=True)


def _connect(target: str, *, uri: bool) -> sqlite3.Connection:
    """Transactions are ours to begin; threads are told apart by the caller, who uses one at a time."""
    connection = sqlite3.connect(target, uri=uri, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return connection


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's errors as the project's; their texts name tables and columns, never values."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        raise _translated(path, error) from error


def _translated(path: Path, error: sqlite3.Error | OverflowError) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_TOOBIG) & 0xFF
    if isinstance(error, OverflowError) or code in _REFUSED:
        return RowsRefused(f"{path}: SQLite cannot hold a row of this batch ({error})")
    if code in _RUINED:
        return ConfigInvalid(f"{path}: not a replica's SQLite file, or damaged ({error}); name another or remove it")
    if code in _UNKNOWN:
        return ConfigInvalid(f"{path}: not as a replica leaves it ({error}); name another file, or restart the replica")
    return DatabaseUnavailable(f"{path}: {error}")


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """All or nothing; whatever is raised inside rolls back."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
