"""The lanes at work on one register: one into its live table, one into a shadow while it fills."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from bus import metrics
from bus.names import RegisterName
from bus.settings import KafkaSettings
from consumers.lane import Lane
from consumers.parked.lot import ParkingLot
from consumers.reading.book import SchemaBook
from consumers.reading.choosing import decoder
from consumers.route import Route
from consumers.sharing import Share
from consumers.stores.model import Partition, Position, RegisterStatus, Slot
from consumers.thread import StoreThread

Positions = Mapping[Partition, Position]


class StartOver(Exception):
    """The shadow was begun under an older schema and starts again from nothing."""


@dataclass(frozen=True, slots=True)
class LaneTerms:
    """What is the same for all lanes of a daemon."""

    owner: str
    max_batch: int
    columnar: bool
    lot: ParkingLot


class Lanes:
    """Opens lanes and knows those that are open. None reads on once ``stop`` is set and they were let go."""

    def __init__(
        self,
        register: RegisterName,
        book: SchemaBook,
        store: StoreThread,
        settings: KafkaSettings,
        terms: LaneTerms,
        *,
        now: Callable[[], datetime],
        open_tables: Callable[[], Awaitable[None]],
        stop: asyncio.Event,
    ) -> None:
        """``now`` is as of when nothing is missed by who stands at the end."""
        self._register, self._book, self._store, self._settings = register, book, store, settings
        self._terms = terms
        self._now, self._open_tables, self._stop = now, open_tables, stop
        self._open: list[Lane] = []
        self.stood: Positions = {}
        """Where the last lane left the live table, or the shadow that became it."""

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def into(self, slot: Slot) -> list[Lane]:
        """Those into this slot; all where there are none."""
        return [lane for lane in self._open if lane.slot is slot] or self._open

    def let_go(self) -> None:
        """Have each commit what it has taken, and end."""
        for lane in self._open:
            lane.stop.set()

    def stalled(self) -> str:
        """Who keeps a lane waiting for long; empty while all answer."""
        return next(filter(None, (lane.stalled() for lane in self._open)), "")

    def measure(self, behind: Callable[[Positions], int]) -> None:
        """Set the gauges of what is still to come and of what open transactions hide.

        The live table's. While no lane reads, by how far its positions are ``behind``.
        """
        live = self.into(Slot.LIVE)
        lag = sum(lane.lag() for lane in live) if live else behind(self.stood)
        metrics.lag.labels(self._register).set(lag)
        metrics.unstable.labels(self._register).set(sum(lane.unstable() for lane in live))

    @asynccontextmanager
    async def open(self, route: Route, slot: Slot, share: Share, status: RegisterStatus) -> AsyncIterator[Lane]:
        """A lane that owns the route's partitions. A wider schema widens the tables, and ends a fill: StartOver."""

        async def widen() -> None:
            await self._open_tables()
            if slot is Slot.SHADOW:
                await self._store(self._store.store.begin_fill, self._register)
                raise StartOver

        lane = Lane(
            route,
            slot,
            self._book,
            self._store,
            self._settings,
            owner=self._terms.owner,
            generation=status.generation,
            max_batch=self._terms.max_batch,
            lot=self._terms.lot,
            decode=decoder(columnar=self._terms.columnar),
            now=self._now,
            widen=widen,
        )
        if self._stop.is_set() or share.revoked.is_set():
            lane.stop.set()
        self._open.append(lane)
        try:
            async with lane:
                yield lane
        finally:
            self._open.remove(lane)
            if slot is Slot.LIVE and lane.standing.positions:  # none where it could not begin
                self.stood = dict(lane.standing.positions)
