"""Retrying: what may help is tried again, after pauses that grow up to a bound and differ from daemon to daemon."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import stamina

from bus.errors import BusError, Interrupted

FIRST_SECONDS = 0.1
RETRY_SECONDS = 3.0  # the longest pause between two tries: events flow again within 5 s of a server's return
JITTER = 0.25  # of a pause: daemons that lost one server at the same moment do not come back to it at the same moment
GOOD_SECONDS = 60.0  # work that held for so long was well: pauses and patience begin anew

Result = TypeVar("Result")


class Patience:
    """What to do about the failures of one piece of work. ``clock`` is in monotonic seconds, ``chance`` from 0 to 1."""

    def __init__(
        self,
        give_up_seconds: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``give_up_seconds`` after the first of a row of failures it ends; never when None."""
        self._give_up_seconds, self._clock, self._chance = give_up_seconds, clock, chance
        self._failures = 0
        self._began = self._since = clock()

    def begin(self) -> None:
        """A try begins."""
        self._began = self._clock()

    def answer(self, error: Exception) -> bool | float:
        """Seconds until the next try, or False: raise it."""
        if not (isinstance(error, BusError) and error.retriable):
            return False
        now = self._clock()
        if self._failures == 0 or now - self._began > GOOD_SECONDS:
            self._failures, self._since = 0, now
        self._failures += 1
        if self._give_up_seconds is not None and now - self._since > self._give_up_seconds:
            return False
        longest = min(FIRST_SECONDS * 2.0 ** min(self._failures - 1, 10), RETRY_SECONDS)
        return longest * (1 - JITTER * self._chance())


async def retrying(work: Callable[[], Awaitable[Result]], patience: Patience) -> Result:
    """Do it again while what it raises is retriable, a cancellation that nobody asked for included."""
    async for attempt in stamina.retry_context(on=patience.answer, attempts=None, timeout=None):
        with attempt, not_cancelled_astray():
            patience.begin()
            return await work()
    raise AssertionError("a retry context ends by returning or raising")


@contextmanager
def not_cancelled_astray() -> Iterator[None]:
    """Raise Interrupted for a cancellation that this task was not told of.

    It comes from something awaited inside that was cancelled alone. A task group takes it for a good end, so that the
    task would be gone without a word.
    """
    try:
        yield
    except asyncio.CancelledError as stray:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Interrupted(f"{task.get_name()}: something it waited for was cancelled") from stray
