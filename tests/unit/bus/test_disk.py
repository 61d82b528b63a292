"""What a disk refuses: no room is worth another try, anything else wants another path."""

import errno
import resource
import sqlite3
from contextlib import closing, contextmanager

import pytest

from bus.disk import writing
from bus.errors import DiskFull, PathUnwritable


@contextmanager
def room_for(most: int):
    """No file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_finds_no_room_says_so_and_is_worth_another_try(tmp_path):
    path = tmp_path / "Báo cáo.csv"
    refused = pytest.raises(DiskFull, match=r"Báo cáo\.csv: File too large; make room")
    with room_for(4096), refused as told, writing(path, "choose another"):
        path.write_bytes(bytes(8192))
    assert told.value.retriable
    assert told.value.exit_code == 4


def test_a_database_that_finds_no_room_says_so(tmp_path):
    with closing(sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TABLE kept (what BLOB)")
        with room_for(8192), pytest.raises(DiskFull, match="make room"), writing(tmp_path, "choose another"):
            database.execute("INSERT INTO kept VALUES (zeroblob(1000000))")


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), sqlite3.DatabaseError("no database")]
)
def test_anything_else_names_the_remedy(tmp_path, error):
    with pytest.raises(PathUnwritable, match="choose another --state"), writing(tmp_path, "choose another --state"):
        raise error
