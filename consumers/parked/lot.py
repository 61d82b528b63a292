"""The lot: how many parked events may wait in the replica's database for the dead-letter topic."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from bus import metrics
from bus.errors import ParkedFull
from bus.names import RegisterName
from consumers.thread import StoreThread

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5  # how soon a lane goes on once there is room


class ParkingLot:
    """Bounds what waits: a lane with one more to park stands still until the forwarder has made room.

    Nothing is dropped. Every lane that finds room may bring a whole batch, so ``limit`` is passed by as much at most.
    """

    def __init__(self, store: StoreThread, limit: int) -> None:
        self._store, self._limit = store, limit
        self.patience: float | None = None
        """Seconds that a run which is to end by itself stands still; for ever when None."""
        self.arrived = asyncio.Event()
        """Set when events were parked; the forwarder clears it."""
        self.trouble = ""
        """Why the forwarder makes no room."""
        self._full: set[RegisterName] = set()

    def paused(self, register: RegisterName) -> str:
        """What a register stands still for; empty while it does not."""
        if register not in self._full:
            return ""
        return f"paused: {self._limit:,} parked events wait for the dead-letter topic; {self.trouble or 'forwarding'}"

    async def admits(self, register: RegisterName, stop: asyncio.Event) -> bool:
        """Wait for room; False when ``stop`` came first, and nothing may be parked.

        Raises ParkedFull when patience has ended, Unavailable as the store does.
        """
        if await self._has_room():
            return True
        with self._standing_still(register):
            since = time.monotonic()
            while not await self._has_room():
                if self.patience is not None and time.monotonic() - since > self.patience:
                    raise ParkedFull(f"{register} is {self.paused(register)}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
                    return False
        return True

    async def _has_room(self) -> bool:
        return await self._store(self._store.store.waiting) < self._limit

    @contextmanager
    def _standing_still(self, register: RegisterName) -> Iterator[None]:
        self._full.add(register)
        self.arrived.set()
        metrics.paused.labels(register).set(1)
        log.warning("register_paused", register=register, waiting=self._limit, trouble=self.trouble)
        try:
            yield
        finally:
            self._full.discard(register)
            metrics.paused.labels(register).set(0)
            log.info("register_resumed", register=register)
