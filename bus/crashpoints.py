"""Named places where a test may kill the process, to prove that what comes after finds everything in order.

A process dies only where its edge has armed a point (``LIENTHONG_CRASH_AT``); libraries just pass by.
"""

import os
import signal
from typing import Literal, get_args

CrashPoint = Literal[
    "filediff.synchronising",  # a part of the topic is in the state, the rest is not
    "filediff.synchronised",
    "filediff.begun",  # a transaction is open, nothing is in it
    "filediff.sent",  # its records are on the broker, uncommitted
    "filediff.committed",  # Kafka has committed, the state does not know it
    "filediff.recorded",  # the state knows it
]
NAMES: tuple[str, ...] = get_args(CrashPoint)

_left: dict[str, int] = {}


def arm(spec: str | None) -> None:
    """Die by SIGKILL when the point is passed: ``name``, or ``name:3`` for the third time. Nothing for None or ""."""
    _left.clear()
    if not spec:
        return
    name, _, times = spec.partition(":")
    if name not in NAMES:
        raise ValueError(f"{name}: no such crash point; there are {', '.join(NAMES)}")
    _left[name] = int(times or 1)


def crash_point(name: CrashPoint) -> None:
    if name in _left:
        _left[name] -= 1
        if _left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
