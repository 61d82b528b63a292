"""Following one register: bootstrap it, keep up, rebuild it beside the live table when old rows lack something."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import structlog
from confluent_kafka.admin import AdminClient

from bus import kafka, metrics
from bus.catalog import Register
from bus.crashpoints import crash_point
from bus.errors import Fenced, Unavailable
from bus.records import Records
from bus.registry import SchemaRegistry
from bus.settings import KafkaSettings
from consumers.lane import Decode, Lane, kafka_partition
from consumers.parked.lot import ParkingLot
from consumers.progress import Progress
from consumers.reading.book import SchemaBook
from consumers.reading.columns import ColumnDecoder
from consumers.reading.decoded import Decoded
from consumers.reading.rows import Reading, decode_rows
from consumers.route import Route
from consumers.sharing import Share, Sharing, first_of
from consumers.stores.base import Partition, Phase, Position, RegisterStatus, Slot
from consumers.thread import StoreThread
from consumers.watching import Watch

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0  # how soon is seen what other daemons have begun, finished, or brought up to where it was wanted

REGAIN_SECONDS = (
    3.0  # a member that has lost its partitions hears of it within a heartbeat; who has not, still owns them
)

WRONG_SECONDS = 5.0  # for commits under way, once the topics are not those that were read

FEW = 30  # records; up to so many a step for each, 0.05 ms, is sooner than columns, which take 1.8 ms to set up


GROWN = "the schema has grown"
TOO_OLD = "deletes may have gone since this replica was last caught up"
OUTLASTED = "the fill takes longer than deletes are kept"

Positions = Mapping[Partition, Position]


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
        sharing: Sharing,
        admin: AdminClient,
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
        self._stood: Positions = {}
        """Where the last lane left the live table."""
        self._sharing = sharing
        self._watch = Watch(register, admin)
        self._why = ""
        """Why the fill under way was begun, where this run began it."""
        self._stop = asyncio.Event()

    @property
    def reading(self) -> bool:
        """Whether a lane is at work, which ends by itself after ``stop``."""
        return bool(self._lanes)

    def stalled(self) -> str:
        """Who keeps a lane waiting for long; empty while all answer."""
        return next(filter(None, (lane.stalled() for lane in self._lanes)), "")

    @property
    def moved(self) -> str:
        """That the register goes on in topics that this catalogue does not know; else empty."""
        return self._watch.moved

    def measure(self) -> None:
        """Set the gauges of what is still to come and of what open transactions hide.

        The live table's. While no lane reads, by the last look at the topics: it grows while a database is away.
        """
        live = [lane for lane in self._lanes if lane.slot is Slot.LIVE] or self._lanes
        lag = sum(lane.lag() for lane in live) if live else self._watch.behind(self._stood)
        metrics.lag.labels(self.register.name).set(lag)
        metrics.unstable.labels(self.register.name).set(sum(lane.unstable() for lane in live))

    def stop(self) -> None:
        """Let every lane commit what it has taken, and end."""
        self._stop.set()
        self._let_go()

    def _let_go(self) -> None:
        for lane in self._lanes:
            lane.stop.set()

    async def run(self, route: Route, *, until_caught_up: bool) -> None:
        """Follow the register until stopped, or until it has what was there at the start.

        Of partitions shared with other daemons, those that are this one's, as long as they are. Raises ClusterMismatch,
        Unavailable, and, where nothing is shared, Fenced; a later run goes on from the last commit.
        """
        await self._watch.look(route)
        wanted = await self._wanted(route) if until_caught_up else None
        watching = asyncio.create_task(self._watch.keep(route, self._looked), name=f"watch {self.register.name}")
        try:
            while (share := await self._granted()) is not None:
                self._watch.check()
                try:
                    with share.used(self._let_go):
                        await self._unless_wrong(self._turn(route, share, wanted), watching)
                except Fenced as error:
                    await self._overtaken(error, share)
                if wanted is not None and not self.state and await self._have(wanted):
                    return
        finally:
            watching.cancel()

    async def _unless_wrong(self, turn: Coroutine[Any, Any, None], watching: asyncio.Task[None]) -> None:
        """Work until it ends by itself, or a while after the topics were found wrong: a lane may wait for them."""
        work = asyncio.create_task(turn, name=f"turn {self.register.name}")
        try:
            await asyncio.wait({work, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await asyncio.wait({work}, timeout=WRONG_SECONDS)
                watching.result()
                self._watch.check()
            await work
        finally:
            work.cancel()
            await asyncio.wait({work})

    def _looked(self) -> None:
        """End the lanes' work where the topics are others, or what is read has become too old."""
        shadows = [lane for lane in self._lanes if lane.slot is Slot.SHADOW]
        judged = (shadows or self._lanes)[:1]
        if self._watch.wrong or any(self._watch.too_old(lane.positions) for lane in judged):
            self._let_go()

    async def _wanted(self, route: Route) -> Mapping[Partition, int]:
        """What is there now, in all partitions: other daemons may bring some of it. Nothing where none is shared."""
        if not self._sharing.shared:
            return {}
        with kafka.told_plainly(self._settings):
            async with kafka.consumer(self._settings) as consumer:
                ends = await consumer.end_offsets([kafka_partition(at) for at in route.partitions])
                return {at: ends[kafka_partition(at)] for at in route.partitions}

    async def _granted(self) -> Share | None:
        """The share of this daemon, once it has one; None when stopped."""
        joining = False
        while not self._stop.is_set():
            if self._sharing.share is not None:
                if joining:
                    self._unready("catching up")
                return self._sharing.share
            joining = True
            self._unready(self._sharing.waiting)
            await first_of(self._sharing.granted(), self._stop.wait(), seconds=LOOK_SECONDS)
        return None

    async def _turn(self, route: Route, share: Share, wanted: Mapping[Partition, int] | None) -> None:
        """Do what the register wants now. Whoever has its first partition fills it, the others follow or wait."""
        status = await self._status()
        leads = share.leads(route)
        live = await self._positions(Slot.LIVE)
        why = await self._why_fill(status, route, live)
        beside = status.phase is not Phase.ABSENT and (not status.filling or await self._goes_on(route, live))
        if status.filling and leads and not why:
            await self._learn_newest()
            await (self._rebuild if beside else self._bootstrap)(route, share, status)
        elif why and (leads or why == GROWN):
            await self._begin_fill(why)
        elif status.phase is Phase.ABSENT or why or (status.filling and not beside):
            self._unready("another daemon fills it")
            await self._pause(share, LOOK_SECONDS)
        else:
            await self._follow(share.of(route), share, status, wanted)

    async def _why_fill(self, status: RegisterStatus, route: Route, live: Positions) -> str:
        """Why a fill has to begin, also where one is under way; empty when it need not."""
        if status.rebuild_asked:
            return "somebody asked for it"
        if status.filling:
            return OUTLASTED if self._watch.too_old(await self._positions(Slot.SHADOW)) else ""
        if status.phase is Phase.ABSENT:
            return "nothing is here yet"
        if route.follows_on(live):
            return "the register goes on in a new generation of its topics"
        if self._watch.too_old(live):
            return TOO_OLD
        return GROWN if status.fingerprint != self._fingerprint() else ""

    async def _goes_on(self, route: Route, live: Positions) -> bool:
        """Whether the live table may be kept in step while a shadow fills: its positions are of these topics.

        Judged by ends that were looked up after the positions: other daemons move them.
        """
        ids = route.ids()
        if route.follows_on(live) or any(at in ids and each.topic_id != ids[at] for at, each in live.items()):
            return False
        await self._watch.look(route)
        return all(at not in ids or self._watch.has(at, each.next_offset) for at, each in live.items())

    async def _positions(self, slot: Slot) -> Positions:
        return await self._store(self._store.store.positions, self.register.name, slot)

    async def _learn_newest(self) -> None:
        """Fill under the schema for which another daemon may have begun it."""
        if self._sharing.shared:
            await self.book.refresh()
            await self._open_tables()

    async def _overtaken(self, error: Fenced, share: Share) -> None:
        """Nothing was written. Partitions that are still this daemon's in a moment are claimed again."""
        if not self._sharing.shared:
            raise error
        self._unready(f"{error.reason}: {error}")
        log.warning("register_interrupted", register=self.register.name, reason=error.reason, error=str(error))
        await self._pause(share, REGAIN_SECONDS)

    async def _pause(self, share: Share, seconds: float) -> None:
        """Until the seconds have passed, a stop, or a new share."""
        await first_of(share.revoked.wait(), self._stop.wait(), seconds=seconds)

    def _unready(self, state: str) -> None:
        self.state = state
        metrics.ready.labels(self.register.name).set(0)

    async def _begin_fill(self, why: str) -> None:
        log.info("fill_begun", register=self.register.name, why=why)
        self._unready("fill")
        self._why = why
        await self._store(self._store.store.begin_fill, self.register.name)

    async def _bootstrap(self, route: Route, share: Share, status: RegisterStatus) -> None:
        """Fill the shadow up to the end offsets seen at its start, then make it the live table, if there is one."""
        with self._starting_over():
            async with self._lane(route, Slot.SHADOW, share, status) as shadow:
                await self._fill(shadow, "bootstrap" if status.phase is Phase.ABSENT else "rebuild")
                if shadow.reached(shadow.ends):
                    await self._finish()

    async def _rebuild(self, route: Route, share: Share, status: RegisterStatus) -> None:
        """Fill a shadow while the live lane goes on; when it has caught up with the live table, swap."""
        with self._starting_over():
            async with (
                self._lane(share.of(route), Slot.LIVE, share, status) as live,
                self._lane(route, Slot.SHADOW, share, status) as shadow,
            ):
                following = asyncio.create_task(live.run(), name=f"follow {self.register.name}")
                try:
                    await self._fill(shadow, "rebuild", unless=following.done)
                finally:
                    live.stop.set()
                    await following
                standing = await self._standing(route)
                await shadow.run(until=lambda: shadow.reached(standing))
                if shadow.reached(shadow.ends) and shadow.reached(standing):
                    await self._finish()

    async def _standing(self, route: Route) -> dict[Partition, int]:
        """Where the live table stands, whoever brought it there."""
        positions = await self._positions(Slot.LIVE)
        return {at: positions[at].next_offset for at in route.partitions if at in positions}

    async def _have(self, wanted: Mapping[Partition, int]) -> bool:
        positions = await self._positions(Slot.LIVE)
        return all(at in positions and positions[at].next_offset >= offset for at, offset in wanted.items())

    async def _follow(
        self, route: Route, share: Share, status: RegisterStatus, wanted: Mapping[Partition, int] | None
    ) -> None:
        """Keep the live table in step.

        Ends when stopped or revoked, caught up where that is wanted, a wider schema came, or another daemon began a
        fill or finished one.
        """
        known = self._fingerprint()
        if not route.partitions:
            self._stood = {}  # others bring those forward
            self._ready()
            await self._look_out(share, status, wanted)
            return
        async with self._lane(route, Slot.LIVE, share, status) as live:
            self.state = self.state or "catching up"

            def enough() -> bool:
                if live.reached(live.ends):
                    self._ready()
                return known != self._fingerprint() or (wanted == {} and not self.state)

            looking_out = asyncio.create_task(self._look_out(share, status, wanted), name=f"look {self.register.name}")
            looking_out.add_done_callback(lambda _: live.stop.set())
            try:
                await live.run(until=enough)
            finally:
                looking_out.cancel()

    async def _look_out(self, share: Share, status: RegisterStatus, wanted: Mapping[Partition, int] | None) -> None:
        """Return once the register wants something else than being followed, or all has come that is wanted."""
        while not (share.revoked.is_set() or self._stop.is_set()):
            await self._pause(share, LOOK_SECONDS)
            with suppress(Unavailable):
                now = await self._status()
                if (now.filling, now.generation) != (status.filling, status.generation):
                    return
                if now.rebuild_asked and not now.filling:
                    return
                if wanted and not self.state and await self._have(wanted):
                    return

    async def _fill(self, shadow: Lane, what: str, unless: Callable[[], bool] = lambda: False) -> None:
        """Up to the end offsets seen at the shadow's start; ``unless`` ends it sooner."""
        because = f" ({self._why})" if self._why else ""
        progress = self.progress = Progress(shadow.done(), sum(shadow.ends.values()), time.monotonic())

        def moved() -> None:
            progress.moved(shadow.done(), time.monotonic())
            self.state = f"{what}{because}: {progress}"

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
            log.info("fill_begun", register=self.register.name, why=GROWN)

    @asynccontextmanager
    async def _lane(self, route: Route, slot: Slot, share: Share, status: RegisterStatus) -> AsyncIterator[Lane]:
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
            generation=status.generation,
            max_batch=self._max_batch,
            lot=self._lot,
            decode=self._decode(),
            now=self._watch.now,
            widen=widen,
        )
        if self._stop.is_set() or share.revoked.is_set():
            lane.stop.set()
        self._lanes.append(lane)
        try:
            async with lane:
                yield lane
        finally:
            self._lanes.remove(lane)
            if slot is Slot.LIVE:
                self._stood = dict(lane.positions)

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
