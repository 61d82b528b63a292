"""The state directory: made when needed, and held by one run per topic."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.errors import PathUnwritable, StateInUse
from bus.names import TopicName


@contextmanager
def held(directory: Path, topic: TopicName) -> Iterator[None]:
    """Only this process works on the topic's state, until the block ends or the process does.

    Raises StateInUse where another run is at work, PathUnwritable where the directory cannot be used.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(directory / f"{topic}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PathUnwritable(
            f"{directory}: {error.strerror}; choose another --state, or get the right to write"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = os.read(handle, 20).decode(errors="replace") or "?"
            raise StateInUse(
                f"{directory}: process {who} is publishing to {topic} from it; wait until it has ended"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
