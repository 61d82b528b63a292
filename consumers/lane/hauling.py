"""Hauling: what the broker has for a lane's partitions, taken in pieces that memory can hold."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Self

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from bus import kafka
from bus.batches import Hearing, by_batches
from bus.errors import ClusterMismatch
from bus.records import Run
from bus.settings import KafkaSettings
from consumers.lane.chunk import Haul
from consumers.route import Route
from consumers.stores.model import Partition

HAUL_BYTES = 32 * 1024 * 1024  # of records in one batch: 20,000 of the usual size are 8 MB, but one may have a megabyte
FETCH_BYTES = 1024 * 1024  # a partition's share of one fetch; twelve of them bound what waits in memory
IDLE_MS = 200  # how soon a stop is noticed; an event that arrives ends the wait at once
GATHER_MS = 2  # while the database is busy: short, so that its end is seen soon


class Hauler:
    """A client of its own that reads a route's partitions, and what it was told of their ends."""

    def __init__(
        self, route: Route, settings: KafkaSettings, *, max_batch: int, stop: asyncio.Event, free: asyncio.Event
    ) -> None:
        """``free`` is set while no earlier haul is decoded or written; ``stop`` ends a haul with what it has."""
        self._route, self._settings, self._max_batch = route, settings, max_batch
        self._stop, self._free = stop, free
        self._stack = AsyncExitStack()
        self._hearing: Hearing | None = None
        self._assigned = False
        self._asked_until: float | None = 0.0
        """When the last haul ended, in monotonic seconds: 0 before the first, None amid one."""
        self._run_size = max(max_batch // 4, 1)
        """Records of the largest run so far; before the first, a guess."""
        self._run_bytes = 1

    async def __aenter__(self) -> Self:
        """The cluster answers. Raises Unavailable."""
        self._consumer = await self._stack.enter_async_context(
            kafka.consumer(self._settings, max_partition_fetch_bytes=FETCH_BYTES)
        )
        self._hearing = by_batches(self._consumer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def seek(self, standing: Mapping[Partition, int]) -> dict[Partition, int]:
        """Read from these offsets on; gives the last stable offsets of now. Raises ClusterMismatch, Unavailable."""
        assigned = {kafka_partition(at): at for at in self._route.partitions}
        with kafka.told_plainly(self._settings):
            self._consumer.assign(list(assigned))
            ends = {assigned[tp]: end for tp, end in (await self._consumer.end_offsets(list(assigned))).items()}
            self._assigned = True
            for tp, at in assigned.items():
                if standing[at] > ends[at]:
                    raise ClusterMismatch(
                        f"{at.topic} partition {at.partition} ends at {ends[at]}, before this replica's position "
                        f"{standing[at]}: the log was cut; rebuild this replica",
                    )
                self._consumer.seek(tp, standing[at])
        return ends

    async def haul(self) -> Haul:
        """A lone event at once; while an earlier haul is at work, what arrives until that is done.

        What arrives is taken even then: the client fetches again only where all that it had was handed out.
        """
        runs: list[Run] = []
        count = size = 0
        with self._silence_counts(), kafka.told_plainly(self._settings):
            while not self._stop.is_set():
                busy = not self._free.is_set()
                patience = GATHER_MS if busy else 0 if count else IDLE_MS
                got = await self._fetch(patience, self._max_batch - count, HAUL_BYTES - size)
                runs += got
                count += sum(run.count for run in got)
                size += sum(len(run.data) for run in got)
                if count >= self._max_batch or size >= HAUL_BYTES or not (busy or got):
                    break
        return Haul(
            runs, count, {at: await self._consumer.position(kafka_partition(at)) for at in self._route.partitions}
        )

    async def _fetch(self, timeout_ms: int, room: int, room_bytes: int) -> list[Run]:
        """What fits, and at most a run more; a run may not be larger than all before it, or it is one at a time."""
        most = max(min(room // self._run_size, room_bytes // self._run_bytes), 1)
        try:
            got = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=most)
        except OffsetOutOfRangeError as error:
            raise ClusterMismatch(
                f"{self._route.register.name}: the log no longer has this replica's position; rebuild this replica"
            ) from error
        runs = [run for of_partition in got.values() for run in of_partition]
        if runs:
            self._run_size = max(self._run_size, *(run.count for run in runs))
            self._run_bytes = max(self._run_bytes, *(len(run.data) for run in runs))
        return runs

    @contextmanager
    def _silence_counts(self) -> Iterator[None]:
        """Between hauls a broker's silence says nothing: the client asks for more once all that it had is taken."""
        now = time.monotonic()
        if self._hearing and self._asked_until:
            self._hearing.heard_at = min(self._hearing.heard_at + now - self._asked_until, now)
        self._asked_until = None
        try:
            yield
        finally:
            self._asked_until = time.monotonic()

    def silent_seconds(self) -> float:
        """For how long the broker that was asked has not answered; 0 before the first haul."""
        if self._hearing is None:
            return 0.0
        until = time.monotonic() if self._asked_until is None else self._asked_until
        return max(until - self._hearing.heard_at, 0.0)

    def watermarks(self, at: Partition) -> tuple[int | None, int | None]:
        """High watermark and last stable offset as of the last fetch."""
        if not self._assigned:
            return None, None
        return self._consumer.highwater(kafka_partition(at)), self._consumer.last_stable_offset(kafka_partition(at))

    def at_end(self, at: Partition, offset: int) -> bool:
        """Whether nothing stable lies behind this offset, as of the last fetch."""
        stable = self._consumer.last_stable_offset(kafka_partition(at))
        return stable is not None and offset >= stable


def kafka_partition(at: Partition) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)
