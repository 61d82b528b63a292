"""A lane: one register's topics, read in order into one slot of the store.

``fetch → decode → merge → commit``, where the database works on one batch while the next is fetched and decoded. A lone
event is committed at once; while the database is busy, what arrives gathers into one larger batch, up to ``max_batch``.
Rows and positions commit together, so a lane that is killed anywhere goes on from the last commit, and one whose
partitions a successor has claimed is refused by the database.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import ParamSpec, Self, TypeVar

from bus.records import Records
from bus.settings import KafkaSettings
from consumers.lane.batching import Batcher
from consumers.lane.chunk import Chunk, Haul
from consumers.lane.committing import Committer
from consumers.lane.hauling import Hauler
from consumers.lane.standing import Standing
from consumers.open_transactions import OpenTransactions
from consumers.parked.lot import ParkingLot
from consumers.reading.book import SchemaBook
from consumers.reading.choosing import Decode
from consumers.reading.ids import schema_ids
from consumers.route import Route
from consumers.stores.model import Partition, Slot
from consumers.thread import StoreThread

STALL_SECONDS = 10.0  # a database or broker that has not answered for so long is told of
FEW = 200  # records; their decoding takes no longer than handing it to a thread
TOUCH_SECONDS = 60.0  # how often a quiet lane says that it is still caught up

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Lane:
    """Reads from the stored positions on until told to stop, or until a condition on its positions holds."""

    def __init__(
        self,
        route: Route,
        slot: Slot,
        book: SchemaBook,
        store: StoreThread,
        settings: KafkaSettings,
        *,
        owner: str,
        generation: int,
        max_batch: int,
        lot: ParkingLot,
        decode: Decode,
        now: Callable[[], datetime],
        widen: Callable[[], Awaitable[None]],
    ) -> None:
        self.slot = slot
        self.stop = asyncio.Event()
        self.standing = Standing(now())
        self.ends: dict[Partition, int] = {}
        """Last stable offsets when the lane began."""
        self._route, self._book, self._owner, self._widen = route, book, owner, widen
        self._name = route.register.name
        self._reader = book.reader
        self._open = OpenTransactions()
        self._free = asyncio.Event()
        """Set while no haul is decoded or written."""
        self._free.set()
        self._hauler = Hauler(route, settings, max_batch=max_batch, stop=self.stop, free=self._free)
        self._batcher = Batcher(route, book, self.standing, decode=decode, at_end=self._hauler.at_end, now=now)
        self._committer = Committer(
            self._name, slot, store, self.standing, self._batcher, generation=generation, lot=lot, stop=self.stop
        )
        self._hauling: asyncio.Task[Haul] | None = None
        self._pending: asyncio.Task[None] | None = None
        self._sent: dict[Partition, int] = {}
        """As the batch that the database works on will leave the positions."""
        self._touched = time.monotonic()

    async def __aenter__(self) -> Self:
        """Claim the partitions and seek to where the store stands. Raises ClusterMismatch, Unavailable.

        Not before the cluster answers: who cannot read takes nothing from those who can.
        """
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._hauler)
            await self._committer.claim(self._route.ids(), self._owner)
            self._sent = self.standing.offsets()
            self.ends = await self._hauler.seek(self._sent)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._hauling is not None:
            self._hauling.cancel()
        for task in (self._hauling, self._pending):
            if task is not None:
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()  # seen: whoever ran the lane has it already, or is leaving for another reason
        await self._stack.aclose()

    async def run(self, until: Callable[[], bool] | None = None, moved: Callable[[], None] | None = None) -> None:
        """Read and commit until ``until()`` holds or ``stop`` is set; what was decoded is committed before it returns.

        Raises Fenced when a successor owns a partition, ClusterMismatch, Unavailable; the store then stands as after
        the last commit.
        """
        while not self.stop.is_set() and not (until is not None and until()):
            haul = await self._hauled()
            if haul is None:
                continue
            chunk = await _run(haul.count, Chunk.of, haul)
            await self._learn(chunk.records)
            batch = await _run(haul.count, self._batcher.batch, chunk, self._sent) if self._worth(chunk) else None
            await self._settle()
            if batch is not None:
                self._sent, self._touched = chunk.offsets, time.monotonic()
                self._pending = asyncio.create_task(self._committer.commit(chunk, batch), name=f"commit {self._name}")
                self._pending.add_done_callback(lambda _: self._free.set())
                await asyncio.sleep(0)  # the database begins now, not when this loop next has to wait
            else:
                self._free.set()
            if moved is not None:
                moved()
        await self._settle()

    async def _hauled(self) -> Haul | None:
        """The next haul, the one after it being fetched from now on; None when a commit ended before anything came."""
        self._hauling = self._hauling or self._begin_haul()
        waited = {self._hauling} if self._pending is None else {self._hauling, self._pending}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not self._hauling.done():
            await self._settle()
            return None
        hauling, self._hauling = self._hauling, None
        haul = hauling.result()
        self._free.clear()
        self._hauling = self._begin_haul()
        return haul

    def _begin_haul(self) -> asyncio.Task[Haul]:
        return asyncio.create_task(self._hauler.haul(), name=f"fetch {self._name}")

    async def _settle(self) -> None:
        """Wait for the batch that the database works on; raises what it raised."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            await pending

    async def _learn(self, records: Records) -> None:
        """Know the schemas of these records; a newer version of the register widens the tables first."""
        await self._book.learn(schema_ids(records))
        if self._book.reader is not self._reader:
            await self._settle()
            await self._widen()
            self._reader = self._book.reader

    def _worth(self, chunk: Chunk) -> bool:
        """A commit is due for records, for positions that markers moved, and once a minute to say: still caught up."""
        return len(chunk.records) > 0 or chunk.offsets != self._sent or time.monotonic() - self._touched > TOUCH_SECONDS

    def stalled(self) -> str:
        """Who has not answered for ``STALL_SECONDS``; nothing more is read until then, and nothing is lost."""
        waits = {"database": self._committer.waiting_seconds(), "broker": self._hauler.silent_seconds()}
        for who, seconds in waits.items():
            if seconds > STALL_SECONDS:
                return f"{who}: no answer for {seconds:.0f} s"
        self._open.seen((at, *self._hauler.watermarks(at)) for at in self._route.partitions)
        return self._open.told()

    def lag(self) -> int:
        """Offsets between the committed positions and the last stable offsets, as of the last fetch."""
        stable = {at: self._hauler.watermarks(at)[1] for at in self._route.partitions}
        return sum(max((end or 0) - self.standing.positions[at].next_offset, 0) for at, end in stable.items() if end)

    def unstable(self) -> int:
        """What open transactions hide: high watermarks less last stable offsets."""
        pairs = [self._hauler.watermarks(at) for at in self._route.partitions]
        return sum(max(high - stable, 0) for high, stable in pairs if high is not None and stable is not None)


async def _run(records: int, work: Callable[Given, Answer], *args: Given.args, **kwargs: Given.kwargs) -> Answer:
    """Work on so many records; on many in a thread, so that fetching goes on."""
    if records <= FEW:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
