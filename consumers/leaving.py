"""Leaving: the end of a process that was told to stop, whatever it still waits for."""

import os
import sys
import threading

import structlog

log = structlog.get_logger(__name__)

SHARE = 0.8
"""Of the deadline, for commits under way; the rest is for closing what holds sockets and threads."""


def leave_within(seconds: float, code: int = 0) -> threading.Timer:
    """End this process with this code after so many seconds, unless it has ended by then or the timer was cancelled.

    A thread may wait for a database or a broker that does not answer, and nothing else ends it. What it was about to
    commit comes again at the next start: to a replica this is no worse than being killed.
    """
    timer = threading.Timer(seconds, _leave, [seconds, code])
    timer.daemon = True
    timer.start()
    return timer


def _leave(seconds: float, code: int) -> None:
    log.warning("replica_cut_short", seconds=seconds, code=code)
    sys.stderr.flush()
    os._exit(code)
