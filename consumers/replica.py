"""The replica daemon: all registers of one agency's replica, followed side by side into one store."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from bus import kafka
from bus.catalog import Catalog, Register
from bus.errors import BusError, Interrupted, Unavailable
from bus.health import Unready
from bus.registry import SchemaRegistry, open_registry
from consumers.following import Following, LaneTerms
from consumers.gauging import gauged, look_after
from consumers.leaving import SHARE
from consumers.parked.forwarder import Forwarder
from consumers.parked.lot import ParkingLot
from consumers.retrying import Patience, not_cancelled_astray, retrying
from consumers.route import Route, find_route
from consumers.settings import ReplicaSettings
from consumers.sharing import Alone, Group, Sharing
from consumers.stores.base import Store
from consumers.thread import StoreThread

log = structlog.get_logger(__name__)

GIVE_UP_SECONDS = 10.0  # for a run that is to end by itself
PRUNE_SECONDS = 6 * 3600.0
LAST_SECONDS = 5.0  # for what is parked when a run ends by itself

Result = TypeVar("Result")


class ReplicaDaemon:
    """Keeps one replica in step with its registers until stopped.

    Retriable errors are waited out with growing, jittered pauses, from the last commit on; others end the daemon. After
    ``stop()`` every register commits what it has taken, within ``drain_seconds`` in all.
    """

    def __init__(self, settings: ReplicaSettings, catalog: Catalog, store: Store) -> None:
        self._settings, self._catalog = settings, catalog
        self._registers = [catalog.register(name) for name in settings.replica.registers]
        self._store = StoreThread(store)
        self._admin = kafka.admin(settings.kafka)
        self._stop = asyncio.Event()
        self._lot = ParkingLot(self._store, settings.replica.max_parked)
        self._forwarder = Forwarder(
            store, self._store, settings.kafka, catalog.dead_letter_topic, settings.replica.agency
        )
        self._sharing = self._new_sharing()
        self.following: list[Following] = []
        self._trouble = ""
        """Why there is nothing to follow yet."""

    def _new_sharing(self) -> Sharing:
        replica = self._settings.replica
        if not replica.group:
            return Alone()
        return Group(
            self._settings.kafka,
            f"{self._catalog.prefix}.replica.{replica.agency}.{replica.name}",
            [topic for register in self._registers for topic in self._catalog.topics(register)],
            session_seconds=replica.session_seconds,
        )

    def stop(self) -> None:
        self._stop.set()

    def unready(self) -> Unready:
        """Registers that are not ready, with what they are doing; the whole replica while it starts."""
        if self._stop.is_set():
            return {"replica": "stopping"}
        if not self.following or self._trouble:
            return {"replica": self._trouble or "starting"}
        doing = {each.register.name: self._lot.paused(each.register.name) or each.unready for each in self.following}
        return {register: what for register, what in doing.items() if what}

    async def run(self, *, until_caught_up: bool = False) -> None:
        """Follow all registers until ``stop()``, or until each has what was there at the start.

        Raises what is not retriable; with ``until_caught_up`` also Unavailable, after some tries.
        """
        self._lot.patience = GIVE_UP_SECONDS if until_caught_up else None
        with gauged(register.name for register in self._registers):
            async with self._store:
                work = asyncio.create_task(self._work(until_caught_up=until_caught_up), name="replica")
                stopped = asyncio.create_task(self._stop.wait(), name="stop signal")
                await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                await self._drain(work)

    async def _drain(self, work: asyncio.Task[None]) -> None:
        """Let lanes commit what they have taken; what is not done at the deadline is cut, and comes again later."""
        for following in self.following:
            following.stop()
        if not any(following.reading for following in self.following):
            work.cancel()
        await asyncio.wait({work}, timeout=SHARE * self._settings.replica.drain_seconds)
        work.cancel()
        try:
            await work
        except asyncio.CancelledError as cancelled:
            if not self._stop.is_set():
                raise Interrupted("the replica's work was cancelled, and nobody had told it to stop") from cancelled

    async def _work(self, *, until_caught_up: bool) -> None:
        settings = self._settings
        async with open_registry(settings.registry, settings.kafka) as registry:
            self.following = [self._new_following(register, registry) for register in self._registers]
            routes = await self._retrying(self._begin_or_tell, until_caught_up)
            try:
                async with asyncio.TaskGroup() as group:
                    others = [
                        group.create_task(self._kept(work, until_caught_up), name=name)
                        for name, work in self._beside().items()
                    ]
                    async with asyncio.TaskGroup() as registers:
                        for following, route in zip(self.following, routes, strict=True):
                            work = partial(self._follow, following, route, until_caught_up=until_caught_up)
                            name = f"register {following.register.name}"
                            registers.create_task(self._retrying(work, until_caught_up), name=name)
                    for task in others:
                        task.cancel()
                    if until_caught_up:
                        await self._forward_last()
            except BaseExceptionGroup as failed:
                raise _first(failed) from failed

    def _beside(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What goes on beside the registers for as long as they are followed."""
        return {
            "prune": self._prune_now_and_then,
            "forward parked events": partial(self._forwarder.run, self._lot),
            "look after registers": partial(look_after, self.following, self.unready),
            "share partitions": self._sharing.run,
        }

    async def _begin_or_tell(self) -> list[Route]:
        """Begin; what hinders it stands in ``/readyz``, and once in the log."""
        try:
            routes = await self._begin()
        except BusError as error:
            if not self._trouble.startswith(error.reason):
                log.warning("start_interrupted", reason=error.reason, error=str(error))
            self._trouble = f"{error.reason}: {error}"
            raise
        self._trouble = ""
        return routes

    async def _begin(self) -> list[Route]:
        """Reach cluster, registry and database; from here on each register is followed by itself."""
        await kafka.reach(self._settings.kafka)
        for following in self.following:
            await following.book.refresh()
        await self._open_tables()
        return [await find_route(self._admin, self._catalog, register) for register in self._registers]

    def _new_following(self, register: Register, registry: SchemaRegistry) -> Following:
        replica = self._settings.replica
        terms = LaneTerms(
            owner=f"{replica.agency}/{replica.name}@{socket.gethostname()}:{os.getpid()}",
            max_batch=replica.max_batch,
            columnar=replica.decoding == "columns",
            lot=self._lot,
        )
        return Following(
            register,
            registry,
            self._store,
            self._settings.kafka,
            terms,
            open_tables=self._open_tables,
            sharing=self._sharing,
            admin=self._admin,
        )

    async def _open_tables(self) -> None:
        readers = [following.book.reader for following in self.following]
        await self._store(self._store.store.open, [reader.table for reader in readers if reader is not None])

    async def _follow(self, following: Following, route: Route, *, until_caught_up: bool) -> None:
        try:
            with not_cancelled_astray():
                await following.run(route, until_caught_up=until_caught_up)
            if not (until_caught_up or self._stop.is_set()):
                raise Interrupted(
                    f"{following.register.name}: it was followed no longer, and nobody had told it to stop"
                )
        except BusError as error:
            following.interrupted(error)
            raise

    async def _kept(self, work: Callable[[], Awaitable[None]], until_caught_up: bool) -> None:
        """Do what goes on beside the registers, and begin again where it was cancelled astray: it never just stops."""

        async def once() -> None:
            try:
                with not_cancelled_astray():
                    await work()
            except Interrupted as error:
                log.warning("task_interrupted", reason=error.reason, error=str(error))
                raise

        await self._retrying(once, until_caught_up)

    async def _retrying(self, work: Callable[[], Awaitable[Result]], until_caught_up: bool) -> Result:
        """Do it again while what it raises is retriable; a run that is to end by itself gives up in time."""
        return await retrying(work, Patience(GIVE_UP_SECONDS if until_caught_up else None))

    async def _forward_last(self) -> None:
        """Forward what waits, if the topic is there: the next run may be a day away."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._forwarder.attempt(self._lot), LAST_SECONDS)
            await self._forwarder.count()

    async def _prune_now_and_then(self) -> None:
        while True:
            now = datetime.now(UTC)
            kept = self._settings.retention
            with suppress(Unavailable):
                await self._store(
                    self._store.store.prune,
                    now - timedelta(days=kept.graves_days),
                    now - timedelta(days=kept.changes_days),
                )
            await asyncio.sleep(PRUNE_SECONDS)


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error to tell; the others are in its cause."""
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = next((each for each in error.exceptions if isinstance(each, BusError)), error.exceptions[0])
    return error
