"""Writing to a disk: when there is no room, or it fails, a later try may do; anything else wants another path."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.errors import DiskFull, PathUnwritable

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
SQLITE_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


@contextmanager
def writing(path: Path, remedy: str) -> Iterator[None]:
    """Raises DiskFull, and PathUnwritable with the remedy, for what the system or SQLite refuses within the block."""
    try:
        yield
    except OSError as error:
        raise _told(path, remedy, str(error.strerror), full=error.errno in NO_ROOM) from error
    except sqlite3.DatabaseError as error:
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF in SQLITE_NO_ROOM  # the low byte: the rest says where
        raise _told(path, remedy, str(error), full=full) from error


def _told(path: Path, remedy: str, why: str, *, full: bool) -> DiskFull | PathUnwritable:
    if full:
        return DiskFull(f"{path}: {why}; make room on its disk and try again, nothing is lost")
    return PathUnwritable(f"{path}: {why}; {remedy}")
