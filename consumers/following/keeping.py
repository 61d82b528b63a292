"""Keeping up: a register's live table, in step with its topics until something else is wanted."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from bus.errors import Unavailable
from bus.names import RegisterName
from consumers.following.condition import Condition
from consumers.following.lanes import Lanes
from consumers.lane import reached
from consumers.reading.book import SchemaBook
from consumers.route import Route
from consumers.sharing import Share, first_of
from consumers.stores.model import Partition, RegisterStatus, Slot
from consumers.thread import StoreThread

LOOK_SECONDS = 1.0  # how soon is seen what other daemons have begun, finished, or brought up to where it was wanted

Wanted = Mapping[Partition, int] | None
"""Offsets up to which a run goes that ends by itself: empty where no other daemon brings any; None for ever."""


class Keeping:
    """Follows what is this daemon's of a register, and looks out for what the other daemons do."""

    def __init__(
        self,
        register: RegisterName,
        book: SchemaBook,
        store: StoreThread,
        lanes: Lanes,
        condition: Condition,
        *,
        stop: asyncio.Event,
    ) -> None:
        self._register, self._book, self._store = register, book, store
        self._lanes, self._condition, self._stop = lanes, condition, stop

    async def follow(self, route: Route, share: Share, status: RegisterStatus, wanted: Wanted) -> None:
        """Keep the live table in step.

        Ends when stopped or revoked, caught up where that is wanted, a wider schema came, or another daemon began a
        fill or finished one.
        """
        known = self._book.fingerprint
        if not route.partitions:
            self._lanes.stood = {}  # others bring those forward
            self._condition.ready()
            await self._look_out(share, status, wanted)
            return
        async with self._lanes.open(route, Slot.LIVE, share, status) as live:
            self._condition.doing = self._condition.doing or "catching up"

            def enough() -> bool:
                if live.standing.reached(live.ends):
                    self._condition.ready()
                return known != self._book.fingerprint or (wanted == {} and not self._condition.doing)

            looking_out = asyncio.create_task(self._look_out(share, status, wanted), name=f"look {self._register}")
            looking_out.add_done_callback(lambda _: live.stop.set())
            try:
                await live.run(until=enough)
            finally:
                looking_out.cancel()

    async def _look_out(self, share: Share, status: RegisterStatus, wanted: Wanted) -> None:
        """Return once the register wants something else than being followed, or all has come that is wanted."""
        while not (share.revoked.is_set() or self._stop.is_set()):
            await first_of(share.revoked.wait(), self._stop.wait(), seconds=LOOK_SECONDS)
            with suppress(Unavailable):
                now = await self._store(self._store.store.status, self._register)
                if (now.filling, now.generation) != (status.filling, status.generation):
                    return
                if now.rebuild_asked and not now.filling:
                    return
                if wanted and not self._condition.doing and await self.have(wanted):
                    return

    async def have(self, wanted: Mapping[Partition, int]) -> bool:
        """Whether the live table has all before these offsets, whoever brought it."""
        return reached(await self._store(self._store.store.positions, self._register, Slot.LIVE), wanted)
