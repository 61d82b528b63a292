"""Named places where a test may kill or freeze the process, to prove that what comes after finds everything in order.

A process dies only where its edge has armed a point (``LIENTHONG_CRASH_AT``); libraries just pass by.
"""

import os
import signal
from typing import Literal, get_args

CrashPoint = Literal[
    "capture.chunked",  # a chunk of the table is in the outbox, or in the topic, and the position with it
    "capture.planned",  # log: a chunk of the table is announced, nothing of it is sent
    "capture.synchronised",  # log: what the topic holds already is known
    "capture.committed",  # log: Kafka has committed, the position does not know it
    "capture.recorded",  # log: the position knows it, the slot does not
    "filediff.synchronising",  # a part of the topic is in the state, the rest is not
    "filediff.synchronised",
    "filediff.begun",  # a transaction is open, nothing is in it
    "filediff.sent",  # its records are on the broker, uncommitted
    "filediff.committed",  # Kafka has committed, the state does not know it
    "filediff.recorded",  # the state knows it
    "inbox.reported",  # a file is published and its report is in its place, the file is not
    "inbox.moved",  # the file is
    "outbox.taken",  # this relay owns the shard, and has not fenced the one before
    "outbox.synchronised",  # what the topic holds already is known
    "outbox.begun",  # a transaction is open, nothing is in it
    "outbox.sent",  # its records are on the broker, uncommitted
    "outbox.committed",  # Kafka has committed, the rows are not marked
    "outbox.marked",  # they are
    "parked.forwarded",  # the dead-letter topic has them, the rows are not marked
    "replica.decoded",  # a batch is decoded and merged, nothing of it is written
    "replica.committed",  # the database has committed, the lane does not know it
    "replica.filled",  # the shadow holds all that there was, and is not the live table yet
    "replica.swapped",  # it is
    "repartition.copied",  # a part of the topic is in the next generation, and known to be
    "repartition.sealed",  # nothing can be appended to the topic, its end is not in the next one
    "repartition.filled",  # all is in the next one, and nobody is told
]
NAMES: tuple[str, ...] = get_args(CrashPoint)

_armed: dict[str, tuple[int, signal.Signals]] = {}


def arm(spec: str | None) -> None:
    """Die by SIGKILL when the point is passed: ``name``, ``name:3`` for the third time; ``name:1:STOP`` only freezes.

    Nothing for None or "".
    """
    _armed.clear()
    if not spec:
        return
    name, _, rest = spec.partition(":")
    times, _, how = rest.partition(":")
    if name not in NAMES:
        raise ValueError(f"{name}: no such crash point; there are {', '.join(NAMES)}")
    _armed[name] = int(times or 1), signal.Signals[f"SIG{how or 'KILL'}"]


def crash_point(name: CrashPoint) -> None:
    if name in _armed:
        left, how = _armed[name]
        _armed[name] = left - 1, how
        if left == 1:
            os.kill(os.getpid(), how)
