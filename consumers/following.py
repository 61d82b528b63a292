"""Following one register: bootstrap it, keep up, rebuild it beside the live table when old rows lack something."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import structlog

from bus import metrics
from bus.catalog import Register
from bus.crashpoints import crash_point
from bus.errors import Fenced
from bus.records import Records
from bus.registry import SchemaRegistry
from bus.settings import KafkaSettings
from consumers.lane import Decode, Lane
from consumers.parked.lot import ParkingLot
from consumers.progress import Progress
from consumers.reading.book import SchemaBook
from consumers.reading.columns import ColumnDecoder
from consumers.reading.decoded import Decoded
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Route
from consumers.stores.base import Phase, RegisterStatus, Slot
from consumers.thread import StoreThread

log = structlog.get_logger(__name__)

RESUME_MARGIN = timedelta(days=1)  # how much sooner than delete.retention.ms a tombstone is taken for gone

FEW = 30  # records; up to so many a step for each, 0.05 ms, is sooner than columns, which take 1.8 ms to set up


class StartOver(Exception):
    """The shadow was begun under an older schema and starts again from nothing."""


class Following:
    """One register of a running replica. ``state`` says what it is doing, and is empty when the register is ready."""

    def __init__(
        self,
        register: Register,
        registry: SchemaRegistry,
        store: StoreThread,
        settings: KafkaSettings,
        *,
        owner: str,
        max_batch: int,
        columnar: bool,
        lot: ParkingLot,
        open_tables: Callable[[], Awaitable[None]],
    ) -> None:
        self.register = register
        self.book = SchemaBook(register, registry)
        self.state = "starting"
        self.progress: Progress | None = None
        self._store, self._settings, self._owner, self._max_batch = store, settings, owner, max_batch
        self._columnar = columnar
        self._lot = lot
        self._open_tables = open_tables
        self._lanes: list[Lane] = []
        self._stopping = False

    @property
    def reading(self) -> bool:
        """Whether a lane is at work, which ends by itself after ``stop``."""
        return bool(self._lanes)

    def stalled(self) -> str:
        """Who keeps a lane waiting for long; empty while all answer."""
        return next(filter(None, (lane.stalled() for lane in self._lanes)), "")

    def stop(self) -> None:
        """Let every lane commit what it has taken, and end."""
        self._stopping = True
        for lane in self._lanes:
            lane.stop.set()

    async def run(self, route: Route, *, until_caught_up: bool) -> None:
        """Follow the register until stopped, or until it has what was there at the start.

        Raises ClusterMismatch, Fenced, Unavailable; a later run goes on from the last commit.
        """
        if await self._too_old():
            await self._begin_fill("tombstones may have gone since this replica was last caught up")
        while not self._stopping:
            status = await self._status()
            if status.filling:
                await (self._bootstrap(route) if status.phase is Phase.ABSENT else self._rebuild(route))
            elif status.phase is Phase.ABSENT:
                await self._begin_fill("nothing is here yet")
            elif status.fingerprint != self._fingerprint():
                await self._begin_fill("the schema has grown")
            else:
                await self._follow(route, status, until_caught_up=until_caught_up)
            if until_caught_up and not self.state:
                return

    async def _begin_fill(self, why: str) -> None:
        log.info("fill_begun", register=self.register.name, why=why)
        self.state = "fill"
        metrics.ready.labels(self.register.name).set(0)
        await self._store(self._store.store.begin_fill, self.register.name)

    async def _too_old(self) -> bool:
        """Whether tombstones that this replica never saw may be gone: known from its positions, never from an error."""
        positions = await self._store(self._store.store.positions, self.register.name, Slot.LIVE)
        kept = timedelta(milliseconds=int(self.register.topic_config["delete.retention.ms"]))
        since = [position.caught_up_at for position in positions.values() if position.caught_up_at is not None]
        return bool(since) and datetime.now(UTC) - min(since) > kept - RESUME_MARGIN

    async def _bootstrap(self, route: Route) -> None:
        """Fill the shadow up to the end offsets seen at its start, then make it the live table."""
        with self._starting_over():
            async with self._lane(route, Slot.SHADOW) as shadow:
                await self._fill(shadow, "bootstrap")
                if shadow.reached(shadow.ends):
                    await self._finish()

    async def _rebuild(self, route: Route) -> None:
        """Fill a shadow while the live lane goes on; when it has caught up with the live one, swap."""
        with self._starting_over():
            async with self._lane(route, Slot.LIVE) as live, self._lane(route, Slot.SHADOW) as shadow:
                following = asyncio.create_task(live.run(), name=f"follow {self.register.name}")
                try:
                    await self._fill(shadow, "rebuild", unless=following.done)
                finally:
                    live.stop.set()
                    await following
                standing = {at: position.next_offset for at, position in live.positions.items()}
                await shadow.run(until=lambda: shadow.reached(standing))
                if shadow.reached(shadow.ends) and shadow.reached(standing):
                    await self._finish()

    async def _follow(self, route: Route, status: RegisterStatus, *, until_caught_up: bool) -> None:
        """Keep the live table in step; ends when stopped, caught up where that is wanted, or a wider schema came."""
        async with self._lane(route, Slot.LIVE) as live:
            self.state = self.state or "catching up"

            def enough() -> bool:
                if live.reached(live.ends):
                    self._ready()
                return status.fingerprint != self._fingerprint() or (until_caught_up and not self.state)

            await live.run(until=enough)

    async def _fill(self, shadow: Lane, what: str, unless: Callable[[], bool] = lambda: False) -> None:
        """Up to the end offsets seen at the shadow's start; ``unless`` ends it sooner."""
        progress = self.progress = Progress(shadow.done(), sum(shadow.ends.values()), time.monotonic())

        def moved() -> None:
            progress.moved(shadow.done(), time.monotonic())
            self.state = f"{what}: {progress}"

        await shadow.run(until=lambda: shadow.reached(shadow.ends) or unless(), moved=moved)

    async def _finish(self) -> None:
        self.state = "building indexes"
        crash_point("replica.filled")
        outcome = await self._store(self._store.store.finish_fill, self.register.name)
        crash_point("replica.swapped")
        metrics.consumed.labels(self.register.name, "applied").inc(outcome.applied)
        metrics.consumed.labels(self.register.name, "stale").inc(outcome.stale)
        log.info("fill_finished", register=self.register.name, rows=outcome.applied, superseded=outcome.stale)
        self._ready()

    def _ready(self) -> None:
        if self.state:
            log.info("register_ready", register=self.register.name)
        self.state = ""
        metrics.ready.labels(self.register.name).set(1)

    @contextmanager
    def _starting_over(self) -> Iterator[None]:
        """End a fill that a wider schema has made useless, and let the next one begin.

        The live lane may meet the schema first: opening the wider tables drops the shadow, and refuses its next batch.
        """
        begun = self._fingerprint()
        try:
            yield
        except (StartOver, Fenced) as ended:
            if isinstance(ended, Fenced) and self._fingerprint() == begun:
                raise
            log.info("fill_begun", register=self.register.name, why="the schema has grown")

    @asynccontextmanager
    async def _lane(self, route: Route, slot: Slot) -> AsyncIterator[Lane]:
        async def widen() -> None:
            await self._open_tables()
            if slot is Slot.SHADOW:
                await self._store(self._store.store.begin_fill, self.register.name)
                raise StartOver

        lane = Lane(
            route,
            slot,
            self.book,
            self._store,
            self._settings,
            owner=self._owner,
            max_batch=self._max_batch,
            lot=self._lot,
            decode=self._decode(),
            widen=widen,
        )
        if self._stopping:
            lane.stop.set()
        self._lanes.append(lane)
        try:
            async with lane:
                yield lane
        finally:
            self._lanes.remove(lane)

    def _decode(self) -> Decode:
        """By columns, and by rows where there are few: both give the same answer."""
        by_columns = ColumnDecoder().decode
        few = FEW if self._columnar else math.inf

        def decode(reading: Reading, records: Records) -> Decoded:
            if len(records) <= few:
                return decode_rows(reading, enumerate(records))
            return by_columns(reading, records)

        return decode

    async def _status(self) -> RegisterStatus:
        return await self._store(self._store.store.status, self.register.name)

    def _fingerprint(self) -> str | None:
        return self.book.reader.table.fingerprint if self.book.reader else None
