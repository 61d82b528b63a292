"""Filling: a register's shadow from offset 0 to the end, then in place of the live table."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from bus import metrics
from bus.crashpoints import crash_point
from bus.errors import Fenced
from bus.names import RegisterName
from consumers.following.condition import Condition
from consumers.following.lanes import Lanes, StartOver
from consumers.following.turns import GROWN
from consumers.lane import Lane
from consumers.progress import Progress
from consumers.reading.book import SchemaBook
from consumers.route import Route
from consumers.sharing import Share
from consumers.stores.model import Partition, Phase, RegisterStatus, Slot
from consumers.thread import StoreThread

log = structlog.get_logger(__name__)


class Filling:
    """Begins a register's fills and brings them to their end. One that is stopped goes on where it was."""

    def __init__(
        self, register: RegisterName, book: SchemaBook, store: StoreThread, lanes: Lanes, condition: Condition
    ) -> None:
        self._register, self._book, self._store = register, book, store
        self._lanes, self._condition = lanes, condition
        self._why = ""
        """Why the fill under way was begun, where this run began it."""

    async def begin(self, why: str) -> None:
        """Start a shadow from nothing."""
        log.info("fill_begun", register=self._register, why=why)
        self._condition.unready("fill")
        self._why = why
        await self._store(self._store.store.begin_fill, self._register)

    async def bootstrap(self, route: Route, share: Share, status: RegisterStatus) -> None:
        """Fill the shadow up to the end offsets seen at its start, then make it the live table, if there is one."""
        with starting_over(self._register, self._book):
            async with self._lanes.open(route, Slot.SHADOW, share, status) as shadow:
                await self._fill(shadow, "bootstrap" if status.phase is Phase.ABSENT else "rebuild")
                if shadow.standing.reached(shadow.ends):
                    await self._finish(shadow)

    async def rebuild(self, route: Route, share: Share, status: RegisterStatus) -> None:
        """Fill a shadow while the live lane goes on; when it has caught up with the live table, swap."""
        with starting_over(self._register, self._book):
            async with (
                self._lanes.open(share.of(route), Slot.LIVE, share, status) as live,
                self._lanes.open(route, Slot.SHADOW, share, status) as shadow,
            ):
                following = asyncio.create_task(live.run(), name=f"follow {self._register}")
                try:
                    await self._fill(shadow, "rebuild", unless=following.done)
                finally:
                    live.stop.set()
                    await following
                offsets = await self._live_offsets(route)
                await shadow.run(until=lambda: shadow.standing.reached(offsets))
                if shadow.standing.reached(shadow.ends) and shadow.standing.reached(offsets):
                    await self._finish(shadow)

    async def _live_offsets(self, route: Route) -> dict[Partition, int]:
        """Where the live table stands, whoever brought it there."""
        positions = await self._store(self._store.store.positions, self._register, Slot.LIVE)
        return {at: positions[at].next_offset for at in route.partitions if at in positions}

    async def _fill(self, shadow: Lane, what: str, unless: Callable[[], bool] = lambda: False) -> None:
        """Up to the end offsets seen at the shadow's start; ``unless`` ends it sooner."""
        because = f" ({self._why})" if self._why else ""
        progress = Progress(shadow.standing.done(), sum(shadow.ends.values()), time.monotonic())
        self._condition.progress = progress

        def moved() -> None:
            progress.moved(shadow.standing.done(), time.monotonic())
            self._condition.doing = f"{what}{because}: {progress}"

        await shadow.run(until=lambda: shadow.standing.reached(shadow.ends) or unless(), moved=moved)

    async def _finish(self, shadow: Lane) -> None:
        self._condition.doing = "building indexes"
        crash_point("replica.filled")
        outcome = await self._store(self._store.store.finish_fill, self._register)
        crash_point("replica.swapped")
        self._lanes.stood = dict(shadow.standing.positions)
        metrics.consumed.labels(self._register, "applied").inc(outcome.applied)
        metrics.consumed.labels(self._register, "stale").inc(outcome.stale)
        log.info("fill_finished", register=self._register, rows=outcome.applied, superseded=outcome.stale)
        self._condition.ready()


@contextmanager
def starting_over(register: RegisterName, book: SchemaBook) -> Iterator[None]:
    """End a fill that a wider schema has made useless, and let the next one begin.

    The live lane may meet the schema first: opening the wider tables drops the shadow, and refuses its next batch.
    """
    begun = book.fingerprint
    try:
        yield
    except (StartOver, Fenced) as ended:
        if isinstance(ended, Fenced) and book.fingerprint == begun:
            raise
        log.info("fill_begun", register=register, why=GROWN)
