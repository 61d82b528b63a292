"""One command at a time in a directory."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.errors import PathUnwritable


@contextmanager
def locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file ``path`` (made if missing), waiting for whoever holds it.

    The operating system frees the lock of a process that dies. Raises ``PathUnwritable``.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise PathUnwritable(f"cannot write in {path.parent}: {error.strerror}; choose another directory") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that uses {path.parent}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def writing_in(directory: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write (rights, full disk) into one clear ``PathUnwritable``."""
    try:
        yield
    except OSError as error:
        raise PathUnwritable(f"cannot write in {directory}: {error.strerror or error}") from error
