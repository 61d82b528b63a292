"""How an adapter's blocking work outlasts what is away: pauses between two tries, and what of it is logged.

One line when something goes away, another one when it is something else, and one when the work goes on.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from bus.errors import BusError

log = structlog.get_logger(__name__)

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 3.0  # so that events flow again within 5 s of a server's return


def pauses(chance: Callable[[], float]) -> Iterator[float]:
    """Seconds between tries, without end: doubling up to the longest, half of each left to chance (0 to 1). Pure.

    Whoever was interrupted together does not come back together.
    """
    longest = FIRST_SECONDS
    while True:
        yield longest * (1 + chance()) / 2
        longest = min(longest * 2, LONGEST_SECONDS)


@dataclass(slots=True)
class Outage:
    """Of one adapter's work, over and over."""

    name: str
    """What the log's events begin with."""
    told: Mapping[str, str]
    stop: threading.Event
    _pauses: Iterator[float] = field(default_factory=lambda: pauses(random.random))
    _reason: str | None = None
    """Why the work does not go on, as was told; None while it does."""
    _began: float = 0.0
    _worked_since: float | None = None

    def wait(self, error: BusError) -> None:
        """Tell what is away unless that is told, and pause before the next try, at the longest until stopped."""
        now = time.monotonic()
        if self._worked_since is not None and now - self._worked_since > LONGEST_SECONDS:
            self._pauses = pauses(random.random)
        self._worked_since = None
        if self._reason is None:
            self._began = now
        if self._reason != error.reason:
            self._reason, interrupted = error.reason, f"{self.name}_interrupted"
            log.warning(interrupted, **self.told, reason=error.reason, error=str(error))
        self.stop.wait(next(self._pauses))

    def over(self) -> None:
        """The work goes on; told where it had been interrupted."""
        now = time.monotonic()
        self._worked_since = self._worked_since or now
        if self._reason is not None:
            resumed, seconds = f"{self.name}_resumed", round(now - self._began, 1)
            log.info(resumed, **self.told, reason=self._reason, away_seconds=seconds)
            self._reason = None
