"""Following one register: turn after turn of what it wants, for as long as this daemon has a share in it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from confluent_kafka.admin import AdminClient

from bus import kafka
from bus.catalog import Register
from bus.errors import BusError, Fenced
from bus.registry import SchemaRegistry
from bus.settings import KafkaSettings
from consumers.following.condition import Condition
from consumers.following.filling import Filling
from consumers.following.keeping import LOOK_SECONDS, Keeping, Wanted
from consumers.following.lanes import Lanes, LaneTerms, Positions
from consumers.following.turns import Facts, Turn, next_turn, why_fill
from consumers.lane import kafka_partition
from consumers.reading.book import SchemaBook
from consumers.route import Route
from consumers.sharing import Share, Sharing, first_of
from consumers.stores.model import Partition, Phase, RegisterStatus, Slot
from consumers.thread import StoreThread
from consumers.watching import Watch

log = structlog.get_logger(__name__)

REGAIN_SECONDS = (
    3.0  # a member that has lost its partitions hears of it within a heartbeat; who has not, still owns them
)

WRONG_SECONDS = 5.0  # for commits under way, once the topics are not those that were read


class Following:
    """One register of a running replica. ``condition`` says what it is doing, and whether it is ready."""

    def __init__(
        self,
        register: Register,
        registry: SchemaRegistry,
        store: StoreThread,
        settings: KafkaSettings,
        terms: LaneTerms,
        *,
        open_tables: Callable[[], Awaitable[None]],
        sharing: Sharing,
        admin: AdminClient,
    ) -> None:
        self.register = register
        self.book = SchemaBook(register, registry)
        self.condition = Condition(register.name)
        self._store, self._settings, self._open_tables, self._sharing = store, settings, open_tables, sharing
        self._stop = asyncio.Event()
        self._watch = Watch(register, admin)
        self._lanes = Lanes(
            register.name,
            self.book,
            store,
            settings,
            terms,
            now=self._watch.now,
            open_tables=open_tables,
            stop=self._stop,
        )
        self._filling = Filling(register.name, self.book, store, self._lanes, self.condition)
        self._keeping = Keeping(register.name, self.book, store, self._lanes, self.condition, stop=self._stop)

    @property
    def reading(self) -> bool:
        """Whether a lane is at work, which ends by itself after ``stop``."""
        return len(self._lanes) > 0

    @property
    def waiting_for(self) -> str:
        """Who keeps a lane waiting for long, or that the register goes on in topics unknown to this catalogue."""
        return self._lanes.stalled() or self._watch.moved

    @property
    def unready(self) -> str:
        """What it waits for, does or does not know; empty when the register is ready."""
        return self._lanes.stalled() or self.condition.doing or self._watch.moved

    def measure(self) -> None:
        """Set the register's gauges; while no lane reads, the lag grows by the last look at the topics."""
        self._lanes.measure(self._watch.behind)

    def stop(self) -> None:
        """Let every lane commit what it has taken, and end."""
        self._stop.set()
        self._lanes.let_go()

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
                    with share.used(self._lanes.let_go):
                        await self._unless_wrong(self._take_turn(route, share, wanted), watching)
                except Fenced as error:
                    await self._overtaken(error, share)
                if wanted is not None and not self.condition.doing and await self._keeping.have(wanted):
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
        judged = self._lanes.into(Slot.SHADOW)[:1]
        if self._watch.wrong or any(self._watch.too_old(lane.standing.positions) for lane in judged):
            self._lanes.let_go()

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
                    self.condition.unready("catching up")
                return self._sharing.share
            joining = True
            self.condition.unready(self._sharing.waiting)
            await first_of(self._sharing.granted(), self._stop.wait(), seconds=LOOK_SECONDS)
        return None

    async def _take_turn(self, route: Route, share: Share, wanted: Wanted) -> None:
        """Do what the register wants now. Whoever has its first partition fills it, the others follow or wait."""
        status = await self._store(self._store.store.status, self.register.name)
        live = await self._positions(Slot.LIVE)
        why = why_fill(status, await self._facts(status, route, live))
        beside = status.filling and status.phase is not Phase.ABSENT and await self._goes_on(route, live)
        match next_turn(status, why, leads=share.leads(route), beside=beside):
            case Turn.BEGIN:
                await self._filling.begin(why)
            case Turn.BOOTSTRAP:
                await self._learn_newest()
                await self._filling.bootstrap(route, share, status)
            case Turn.REBUILD:
                await self._learn_newest()
                await self._filling.rebuild(route, share, status)
            case Turn.WAIT:
                self.condition.unready("another daemon fills it")
                await self._pause(share, LOOK_SECONDS)
            case Turn.FOLLOW:
                await self._keeping.follow(share.of(route), share, status, wanted)

    async def _facts(self, status: RegisterStatus, route: Route, live: Positions) -> Facts:
        shadow = await self._positions(Slot.SHADOW) if status.filling else {}
        return Facts(
            moved=route.follows_on(live),
            live_too_old=self._watch.too_old(live),
            shadow_too_old=self._watch.too_old(shadow),
            fingerprint=self.book.fingerprint,
        )

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
        self.interrupted(error)
        await self._pause(share, REGAIN_SECONDS)

    def interrupted(self, error: BusError) -> None:
        """Say why nothing is read for now."""
        self.condition.unready(f"{error.reason}: {error}")
        log.warning("register_interrupted", register=self.register.name, reason=error.reason, error=str(error))

    async def _pause(self, share: Share, seconds: float) -> None:
        """Until the seconds have passed, a stop, or a new share."""
        await first_of(share.revoked.wait(), self._stop.wait(), seconds=seconds)
