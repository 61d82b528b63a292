"""Keepers: each starts one of our processes again and again, as a service manager would, often told where to die."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.suite.nursery import Child, Nursery

STOP_SECONDS = 40.0
AFTER_SECONDS = 0.05
AFTER_ERROR_SECONDS = 0.3
FAIR = (0, 4, 6)  # something is away, or a successor has taken over; a traceback never is the answer to a fault


@dataclass(slots=True)
class Ledger:
    """What was done to whom. Shared by all who break things."""

    faults: Counter[str] = field(default_factory=Counter)
    sigkills: int = 0
    exits: Counter[str] = field(default_factory=Counter)
    """Codes of processes that ended by themselves, such as ``relay: 6``."""
    surprises: list[str] = field(default_factory=list)
    _one: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, kind: str, *, kill: bool = False) -> None:
        with self._one:
            self.faults[kind] += 1
            self.sigkills += kill

    def exited(self, who: str, code: int, last_words: str) -> None:
        with self._one:
            self.exits[f"{who}: {code}"] += 1
            if code not in FAIR:
                self.surprises.append(f"{who} ended with code {code}: {last_words}")


class Keeper:
    """Keeps one daemon running. While it is ``teased``, most lives end at a crash point."""

    def __init__(
        self,
        name: str,
        nursery: Nursery,
        argv: Sequence[str],
        points: Sequence[str],
        ledger: Ledger,
        chance: random.Random,
    ) -> None:
        self.name = name
        self.child: Child | None = None
        self.teased = False
        self._struck = False
        """Killed by somebody, not by its crash point."""
        self._nursery, self._argv, self.points, self._ledger = nursery, argv, points, ledger
        self._chance = chance
        self._first = [f"{point}:1" for point in reversed(points) if point in ONCE for _ in range(FIRST_TRIES)]
        self._wanted = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"keep {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        self._stop.set()
        if self.child is not None:
            self.child.signal(signal.SIGTERM)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            self._ledger.surprises.append(f"{self.name} did not end within {STOP_SECONDS:g} s of SIGTERM")
            self.child.signal(signal.SIGKILL)
            self._thread.join(STOP_SECONDS)

    def abandon(self) -> None:
        """End whatever is left, at once."""
        self._stop.set()
        self.kill()
        self._thread.join(STOP_SECONDS)

    def begin_anew(self, point: str) -> None:
        """Its next life is to end, or freeze, at this point."""
        self._wanted = point
        self.kill()

    def renew(self) -> None:
        """A life that is to end at a crash point gives way to one that is not."""
        self.teased = False
        self.kill()

    def ask_where(self) -> None:
        """What it waits for goes to the log."""
        if self.child is not None:
            self.child.signal(signal.SIGUSR1)

    def kill(self) -> bool:
        self._struck = True
        return self.child is not None and self.child.signal(signal.SIGKILL)

    def freeze(self, seconds: float) -> bool:
        child = self.child
        if child is None or not child.signal(signal.SIGSTOP):
            return False
        self._stop.wait(seconds)
        return child.signal(signal.SIGCONT)

    def _keep(self) -> None:
        while not self._stop.is_set():
            point = self._point()
            self.child = child = self._nursery.start(self._argv, point)
            if self._stop.is_set():
                child.signal(signal.SIGTERM)
            self._bury(point, child.ended.result())

    def _point(self) -> str:
        if self._wanted:
            wanted, self._wanted = self._wanted, ""
            return wanted
        if not self.teased or not self.points:
            return ""
        if self._first:
            return self._first.pop()
        often = [point for point in self.points if point not in ONCE]
        return f"{self._chance.choice(often)}:{self._chance.randint(1, 4)}"

    def _bury(self, point: str, code: int) -> None:
        if code == -signal.SIGKILL:
            struck, self._struck = self._struck, False
            if point and not struck:
                self._first = [each for each in self._first if each != point]
                self._ledger.fault(f"killed at {point.split(':', maxsplit=1)[0]}", kill=True)
            self._stop.wait(AFTER_SECONDS)
            return
        if code not in (0, -signal.SIGTERM) or not self._stop.is_set():
            self._ledger.exited(self.name, code, last_words(self._nursery))
        self._stop.wait(AFTER_ERROR_SECONDS)


FIRST_TRIES = 3
"""Lives in which a point of the first life is armed, since somebody else may end them."""
ONCE = ("replica.filled", "replica.swapped", "filediff.synchronising", "filediff.synchronised")
"""Points that only a first life passes."""


class FileDiffKeeper(Keeper):
    """Publishes one export after the other; each again and again until a run says that it is done."""

    def __init__(
        self,
        nursery: Nursery,
        command: Callable[[Path], Sequence[str]],
        next_export: Callable[[], Path],
        points: Sequence[str],
        ledger: Ledger,
        chance: random.Random,
        pause_seconds: float,
    ) -> None:
        super().__init__("file diff", nursery, (), points, ledger, chance)
        self._command, self._next, self._pause = command, next_export, pause_seconds
        self._abandoned = False
        self.most_bytes: int | None = None
        """What the next run finds its disk to have room for."""

    def abandon(self) -> None:
        self._abandoned = True
        super().abandon()

    def stop(self) -> None:
        """Let the export under way be finished."""
        self._stop.set()
        self._thread.join(STOP_SECONDS * 3)
        if self._thread.is_alive():
            self._ledger.surprises.append("file diff did not finish its last export")

    def _keep(self) -> None:
        while not self._stop.is_set():
            export = self._next()
            while not self._abandoned:
                point, most_bytes, self.most_bytes = self._point(), self.most_bytes, None
                self.child = self._nursery.start(self._command(export), point, most_bytes)
                code = self.child.ended.result()
                if code == 0:
                    break
                if most_bytes is not None and code != -signal.SIGKILL:
                    self._ledger.fault("adapter's disk full")
                    self._ledger.exited("file diff, disk full", code, last_words(self._nursery))
                else:
                    self._bury(point, code)
            export.unlink()
            self._stop.wait(self._pause)


def last_words(nursery: Nursery) -> str:
    time.sleep(0.2)  # the log's thread is a little behind
    return " | ".join(list(nursery.last_lines)[-6:])
