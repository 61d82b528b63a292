"""Committing: a lane's batches into its slot, one after the other; what the database cannot hold is parked alone."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from bus import metrics
from bus.crashpoints import crash_point
from bus.errors import Fenced, RowsRefused, Unavailable
from bus.names import RegisterName
from consumers.lane.batching import Batcher
from consumers.lane.chunk import Chunk
from consumers.lane.standing import Standing
from consumers.parked.lot import ParkingLot
from consumers.stores.model import Batch, Outcome, Partition, Slot
from consumers.thread import StoreThread


class Committer:
    """Writes to one slot, and keeps what stands in it up to date."""

    def __init__(
        self,
        register: RegisterName,
        slot: Slot,
        store: StoreThread,
        standing: Standing,
        batcher: Batcher,
        *,
        generation: int,
        lot: ParkingLot,
        stop: asyncio.Event,
    ) -> None:
        self._register, self._slot, self._store = register, slot, store
        self._standing, self._batcher, self._lot, self._stop = standing, batcher, lot, stop
        self._generation = generation
        """Of the register, when this lane was made."""
        self._ended = False
        """A stop came while there was no room to park in: what was read since is left for the next run."""
        self._waiting_since: float | None = None

    def waiting_seconds(self) -> float:
        """For how long the database has been at work on what it was given; 0 while it has nothing to do."""
        return 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since

    async def claim(self, ids: Mapping[Partition, str], owner: str) -> None:
        """Own these partitions, and stand where the store stands. Raises ClusterMismatch, Unavailable."""
        self._waiting_since = time.monotonic()
        claimed = await self._store(self._store.store.claim, self._register, self._slot, ids, owner)
        self._waiting_since = None
        self._standing.positions = dict(claimed)

    async def commit(self, chunk: Chunk, batch: Batch) -> None:
        """All of it, or nothing once a stop came while there was no room to park. Raises as the store does."""
        if batch.parked and not await self._lot.admits(self._register, self._stop):
            self._ended = True
        if self._ended:
            return
        began = time.perf_counter()
        try:
            outcome = await self._write(batch)
        except RowsRefused as error:
            await self._isolate(chunk, batch, error)
            return
        self._standing.committed(batch.advances)
        self._measure(batch, outcome, time.perf_counter() - began)

    async def _isolate(self, chunk: Chunk, batch: Batch, error: RowsRefused) -> None:
        """Commit a chunk that the database refuses in halves, down to the one event that it cannot hold: parked.

        Raises the error where there is no row left to blame.
        """
        if batch.rows.is_empty():
            raise error
        if len(chunk.records) > 1:
            for half in chunk.halves():
                await self.commit(half, self._batcher.batch(half, self._standing.offsets()))
            return
        await self.commit(chunk, self._batcher.parking(chunk, batch, error))

    async def _write(self, batch: Batch) -> Outcome:
        store = self._store.store
        self._waiting_since = time.monotonic()
        crash_point("replica.decoded")
        outcome = Outcome(applied=0, stale=0)
        try:
            if self._slot is Slot.LIVE:
                outcome = await self._store(store.apply, batch)
            else:
                await self._store(store.fill, batch)
        except Fenced:
            if not await self._swapped():
                metrics.fenced.labels(self._register).inc()
            raise
        finally:
            self._waiting_since = None
        crash_point("replica.committed")
        return outcome

    async def _swapped(self) -> bool:
        """Whether a finished fill has put its own positions in place of these, and nobody else has claimed them."""
        with suppress(Unavailable):
            status = await self._store(self._store.store.status, self._register)
            return status.generation != self._generation
        return False

    def _measure(self, batch: Batch, outcome: Outcome, seconds: float) -> None:
        metrics.apply_seconds.labels(self._register).observe(seconds)
        counts = {**batch.counts, "applied": outcome.applied, "stale": outcome.stale, "parked": len(batch.parked)}
        for name, n in counts.items():
            metrics.consumed.labels(self._register, name).inc(n)
        if batch.parked:
            self._lot.arrived.set()
        newest = batch.rows.get_column("recorded_at").max()
        if self._slot is Slot.LIVE and isinstance(newest, datetime):
            metrics.latency_seconds.labels(self._register).observe(max((datetime.now(UTC) - newest).total_seconds(), 0))
