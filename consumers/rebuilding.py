"""Rebuilding on demand: ask whoever follows the registers, or do it oneself where nobody does."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from bus import kafka
from bus.catalog import Catalog
from bus.errors import Fenced
from bus.names import RegisterName
from bus.topics.ends import find_ends
from consumers.replica import ReplicaDaemon
from consumers.route import find_route
from consumers.settings import ReplicaSettings
from consumers.stores import open_desk, open_store
from consumers.stores.base import Desk
from consumers.stores.model import Partition, Position, Slot

PICK_UP_SECONDS = 10.0  # a daemon looks every second; one that is at work on a fill moves its positions
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """One register of a rebuild."""

    register: RegisterName
    done: bool
    rows: int
    """Of the live table; counted once it is done."""
    filled: int
    """Offsets read into the shadow."""
    offsets: int
    """Where the topics ended when the rebuild was asked for."""


Watcher = Callable[[Sequence[Standing]], None]
Shown = Callable[[ReplicaDaemon], AbstractAsyncContextManager[None]]


class Rebuild:
    """Registers that are to be filled anew. Lookups go on, on the old tables, until each is swapped."""

    def __init__(self, settings: ReplicaSettings, catalog: Catalog, registers: Sequence[RegisterName]) -> None:
        self._settings, self._catalog, self._registers = settings, catalog, registers
        self._before: dict[RegisterName, int] = {}
        self._ends: dict[RegisterName, int] = {}

    async def look(self) -> list[Standing]:
        """How the registers stand now. Raises DatabaseUnavailable where there is no replica, and what routes raise."""
        admin = kafka.admin(self._settings.kafka)
        for name in self._registers:
            route = await find_route(admin, self._catalog, self._catalog.register(name))
            ends = await find_ends(admin, [(at.topic, at.partition) for at in route.partitions])
            self._ends[name] = sum(end.offset for end in ends.values())
        with open_desk(self._settings.replica.database) as desk:
            self._before = {name: desk.status(name).generation for name in self._registers}
            return [self._standing(desk, name, rows=True) for name in self._registers]

    def ask(self) -> None:
        """From here on the rebuild happens, whoever waits for it."""
        with open_desk(self._settings.replica.database) as desk:
            for name in self._registers:
                desk.ask_rebuild(name)

    async def wait(self, watch: Watcher) -> bool:
        """Until a daemon has rebuilt all; False as soon as it is clear that none is at work."""
        with open_desk(self._settings.replica.database) as desk:
            seen, since = self._signs(desk), time.monotonic()
            while True:
                standings = [self._standing(desk, name) for name in self._registers]
                watch(standings)
                if all(each.done for each in standings):
                    return True
                signs = self._signs(desk)
                if signs != seen:
                    seen, since = signs, time.monotonic()
                elif time.monotonic() - since > PICK_UP_SECONDS and not self._fills(desk):
                    return False
                await asyncio.sleep(POLL_SECONDS)

    async def do(self, shown: Shown) -> bool:
        """Fill and swap in this process; False where a daemon holds the database after all."""
        section = self._settings.replica.model_copy(update={"registers": tuple(self._registers)})
        settings = self._settings.model_copy(update={"replica": section})
        daemon = ReplicaDaemon(settings, self._catalog, open_store(settings.replica.database))
        try:
            async with shown(daemon):
                await daemon.run(until_caught_up=True)
        except Fenced:
            return False
        return True

    def _standing(self, desk: Desk, name: RegisterName, *, rows: bool = False) -> Standing:
        status = desk.status(name)
        done = status.generation > self._before[name] and not status.filling and not status.rebuild_asked
        counted = desk.status(name, count_rows=True).rows if rows or done else None
        filled = sum(position.next_offset for position in desk.positions(name, Slot.SHADOW).values())
        return Standing(name, done, counted or 0, filled, self._ends[name])

    def _signs(self, desk: Desk) -> list[tuple[bool, Mapping[Partition, Position]]]:
        """What changes while a daemon is at work."""
        return [
            (desk.status(name).rebuild_asked, {**desk.positions(name, Slot.LIVE), **desk.positions(name, Slot.SHADOW)})
            for name in self._registers
        ]

    def _fills(self, desk: Desk) -> bool:
        """Whether a fill was begun for one of them since it was asked for: whoever began it is alive, or was."""
        return any((status := desk.status(name)).filling and not status.rebuild_asked for name in self._registers)
