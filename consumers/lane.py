"""A lane: one register's topics, read in order into one slot of the store.

``fetch → decode → merge → commit``, where the database works on one batch while the next is fetched and decoded. A lone
event is committed at once; while the database is busy, what arrives gathers into one larger batch, up to ``max_batch``.
Rows and positions commit together, so a lane that is killed anywhere goes on from the last commit, and one whose
partitions a successor has claimed is refused by the database.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ParamSpec, Self, TypeVar

import polars as pl
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from bus import kafka, metrics
from bus.batches import Hearing, by_batches
from bus.crashpoints import crash_point
from bus.errors import ClusterMismatch, Fenced, RowsRefused, Unavailable
from bus.names import TopicName
from bus.records import Records, Run
from bus.settings import KafkaSettings
from consumers.merging import merge
from consumers.open_transactions import OpenTransactions
from consumers.parked.lot import ParkingLot
from consumers.reading.book import SchemaBook
from consumers.reading.decoded import Decoded, park
from consumers.reading.ids import schema_ids
from consumers.reading.rows import Reading
from consumers.route import Route
from consumers.stores.base import Advance, Batch, Outcome, Partition, Position, Slot
from consumers.thread import StoreThread

HAUL_BYTES = 32 * 1024 * 1024  # of records in one batch: 20,000 of the usual size are 8 MB, but one may have a megabyte
STALL_SECONDS = 10.0  # a database or broker that has not answered for so long is told of
FETCH_BYTES = 1024 * 1024  # a partition's share of one fetch; twelve of them bound what waits in memory
IDLE_MS = 200  # how soon a stop is noticed; an event that arrives ends the wait at once
GATHER_MS = 2  # while the database is busy: short, so that its end is seen soon
FEW = 200  # records; their decoding takes no longer than handing it to a thread
TOUCH_SECONDS = 60.0  # how often a quiet lane says that it is still caught up


Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Decode = Callable[[Reading, Records], Decoded]


@dataclass(frozen=True, slots=True)
class Haul:
    """What was fetched at one go, and where each partition then stands."""

    runs: Sequence[Run]
    count: int
    """Records, those before the position included."""
    offsets: dict[Partition, int]


@dataclass(slots=True)
class Chunk:
    """Records in order per partition, and where each partition stands behind them."""

    records: Records
    offsets: dict[Partition, int]

    @classmethod
    def of(cls, haul: Haul) -> Self:
        return cls(Records.of(haul.runs), haul.offsets)

    def halves(self) -> tuple["Chunk", "Chunk"]:
        """The first half of the records ends, in each partition, where the second begins."""
        middle = len(self.records) // 2
        first, second = Records(self.records.frame[:middle]), Records(self.records.frame[middle:])
        begins = {
            Partition(TopicName(topic), partition): offset
            for topic, partition, offset in second.frame.group_by("topic", "partition")
            .agg(pl.col("offset").first())
            .iter_rows()
        }
        return Chunk(first, {**self.offsets, **begins}), Chunk(second, self.offsets)


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
        self._generation = generation
        """Of the register, when this lane was made."""
        self._route, self.slot, self._book, self._store = route, slot, book, store
        self._settings, self._owner, self._max_batch, self._widen = settings, owner, max_batch, widen
        self._name = route.register.name
        self._decode = decode
        self._now = now
        """As of when nothing is missed by who stands at the end."""
        self._began = now()
        self._open = OpenTransactions()
        self._lot = lot
        self._ended = False
        """A stop came while there was no room to park in: what was read since is left for the next run."""
        self._reader = book.reader
        self._stack = AsyncExitStack()
        self._pending: asyncio.Task[None] | None = None
        self._touched = time.monotonic()
        self._hauling: asyncio.Task[Haul] | None = None
        self._free = asyncio.Event()
        """Set while no haul is decoded or written."""
        self._free.set()
        self._run_size = max(max_batch // 4, 1)
        """Records of the largest run so far; before the first, a guess."""
        self._run_bytes = 1
        self._hearing: Hearing | None = None
        self._writing_since: float | None = None
        self.positions: dict[Partition, Position] = {}
        """As last committed."""
        self._sent: dict[Partition, int] = {}
        """As the batch that the database works on will leave them."""
        self.ends: dict[Partition, int] = {}
        """Last stable offsets when the lane began."""
        self.stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Claim the partitions and seek to where the store stands. Raises ClusterMismatch, Unavailable."""
        self._consumer = await self._stack.enter_async_context(
            kafka.consumer(self._settings, max_partition_fetch_bytes=FETCH_BYTES)
        )
        self._hearing = by_batches(self._consumer)
        try:
            await self._claim()
            with kafka.told_plainly(self._settings):
                await self._seek(self._consumer)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _claim(self) -> None:
        """Not before the cluster answers: who cannot read takes nothing from those who can."""
        self._writing_since = time.monotonic()
        claimed = await self._store(self._store.store.claim, self._name, self.slot, self._route.ids(), self._owner)
        self._writing_since = None
        self.positions = dict(claimed)
        self._sent = self._standing()

    async def __aexit__(self, *_: object) -> None:
        if self._hauling is not None:
            self._hauling.cancel()
        for task in (self._hauling, self._pending):
            if task is not None:
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()  # seen: whoever ran the lane has it already, or is leaving for another reason
        await self._stack.aclose()

    async def _seek(self, consumer: AIOKafkaConsumer) -> None:
        assigned = {kafka_partition(at): at for at in self._route.partitions}
        consumer.assign(list(assigned))
        ends = await consumer.end_offsets(list(assigned))
        self.ends = {assigned[tp]: offset for tp, offset in ends.items()}
        for at in self._route.partitions:
            standing = self.positions[at].next_offset
            if standing > self.ends[at]:
                raise ClusterMismatch(
                    f"{at.topic} partition {at.partition} ends at {self.ends[at]}, before this replica's position "
                    f"{standing}: the log was cut; rebuild this replica",
                )
            consumer.seek(kafka_partition(at), standing)

    def stalled(self) -> str:
        """Who has not answered for ``STALL_SECONDS``; nothing more is read until then, and nothing is lost."""
        writing = 0.0 if self._writing_since is None else time.monotonic() - self._writing_since
        silent = 0.0 if self._hearing is None else self._hearing.silent_seconds()
        for who, seconds in (("database", writing), ("broker", silent)):
            if seconds > STALL_SECONDS:
                return f"{who}: no answer for {seconds:.0f} s"
        return self._held_up()

    def _held_up(self) -> str:
        self._open.seen((at, *self._watermarks(at)) for at in self._route.partitions)
        return self._open.told()

    def _watermarks(self, at: Partition) -> tuple[int | None, int | None]:
        """High watermark and last stable offset as of the last fetch."""
        if not self.ends:  # nothing is assigned yet
            return None, None
        return self._consumer.highwater(kafka_partition(at)), self._consumer.last_stable_offset(kafka_partition(at))

    def done(self) -> int:
        """Offsets committed in all partitions together."""
        return sum(position.next_offset for position in self.positions.values())

    def reached(self, offsets: Mapping[Partition, int]) -> bool:
        """Whether everything before these offsets is committed."""
        return all(self.positions[at].next_offset >= offset for at, offset in offsets.items())

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
            batch = await _run(haul.count, self._batch, chunk, self._sent) if self._worth(chunk) else None
            await self._settle()
            if batch is not None:
                self._sent, self._touched = chunk.offsets, time.monotonic()
                self._pending = asyncio.create_task(self._commit(chunk, batch), name=f"commit {self._name}")
                self._pending.add_done_callback(lambda _: self._free.set())
                await asyncio.sleep(0)  # the database begins now, not when this loop next has to wait
            else:
                self._free.set()
            if moved is not None:
                moved()
        await self._settle()

    async def _hauled(self) -> Haul | None:
        """The next haul, the one after it being fetched from now on; None when a commit ended before anything came."""
        self._hauling = self._hauling or asyncio.create_task(self._haul(), name=f"fetch {self._name}")
        waited = {self._hauling} if self._pending is None else {self._hauling, self._pending}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not self._hauling.done():
            await self._settle()
            return None
        hauling, self._hauling = self._hauling, None
        haul = hauling.result()
        self._free.clear()
        self._hauling = asyncio.create_task(self._haul(), name=f"fetch {self._name}")
        return haul

    async def _settle(self) -> None:
        """Wait for the batch that the database works on; raises what it raised."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            await pending

    async def _haul(self) -> Haul:
        """A lone event at once; while an earlier haul is at work, what arrives until that is done.

        What arrives is taken even then: the client fetches again only where all that it had was handed out.
        """
        runs: list[Run] = []
        count = size = 0
        with kafka.told_plainly(self._settings):
            while not self.stop.is_set():
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
                f"{self._name}: the log no longer has this replica's position; rebuild this replica"
            ) from error
        runs = [run for of_partition in got.values() for run in of_partition]
        if runs:
            self._run_size = max(self._run_size, *(run.count for run in runs))
            self._run_bytes = max(self._run_bytes, *(len(run.data) for run in runs))
        return runs

    def _worth(self, chunk: Chunk) -> bool:
        """A commit is due for records, for positions that markers moved, and once a minute to say: still caught up."""
        return len(chunk.records) > 0 or chunk.offsets != self._sent or time.monotonic() - self._touched > TOUCH_SECONDS

    def _batch(self, chunk: Chunk, standing: Mapping[Partition, int]) -> Batch:
        """Decode and merge a chunk of known schemas, for a store whose positions will be ``standing``."""
        decoded = self._decode(self._reading(), chunk.records)
        merged = merge(decoded.events)
        counts = {**decoded.counts, "superseded": merged.superseded, "tombstone": merged.tombstones}
        return Batch(
            register=self._name,
            rows=merged.rows.drop("record"),
            advances=self._advances(chunk.offsets, standing),
            parked=decoded.parked,
            counts={outcome: n for outcome, n in counts.items() if n},
        )

    async def _learn(self, records: Records) -> None:
        """Know the schemas of these records; a newer version of the register widens the tables first."""
        await self._book.learn(schema_ids(records))
        if self._book.reader is not self._reader:
            await self._settle()
            await self._widen()
            self._reader = self._book.reader

    def _reading(self) -> Reading:
        reader = self._book.reader
        if reader is None:
            raise ClusterMismatch(f"{self._name}: no schema is released; run `lienthong schemas publish`")
        return Reading(self._route.register, reader.table, self._route.sources, reader.schema, self._book.writers)

    def _advances(self, offsets: Mapping[Partition, int], standing: Mapping[Partition, int]) -> list[Advance]:
        """Moves from where the positions stand; only what moved, or is at its end, to say: still caught up."""
        now = self._now()
        return [
            Advance(at, self.positions[at].epoch, standing[at], offset, self._told(at, offset, now))
            for at, offset in offsets.items()
            if offset != standing[at] or self._at_end(at, offset)
        ]

    def _told(self, at: Partition, offset: int, now: datetime) -> datetime | None:
        """As of when nothing is missed; a fill that has read nothing yet has missed nothing so far."""
        if self._at_end(at, offset):
            return now
        return self._began if self.positions[at].caught_up_at is None else None

    def _at_end(self, at: Partition, offset: int) -> bool:
        stable = self._consumer.last_stable_offset(kafka_partition(at))
        return stable is not None and offset >= stable

    async def _commit(self, chunk: Chunk, batch: Batch) -> None:
        if batch.parked and not await self._lot.admits(self._name, self.stop):
            self._ended = True
        if self._ended:
            return
        began = time.perf_counter()
        try:
            outcome = await self._write(batch)
        except RowsRefused as error:
            await self._isolate(chunk, batch, error)
            return
        self._committed(batch, outcome, time.perf_counter() - began)

    async def _isolate(self, chunk: Chunk, batch: Batch, error: RowsRefused) -> None:
        """Commit a chunk that the database refuses in halves, down to the one event that it cannot hold: parked."""
        if len(chunk.records) > 1:
            for half in chunk.halves():
                await self._commit(half, self._batch(half, self._standing()))
            return
        [record] = chunk.records
        parked = park(self._name, record, self._route.sources[record.topic].topic_id, error)
        await self._commit(chunk, replace(batch, rows=batch.rows.clear(), parked=[parked]))

    def _standing(self) -> dict[Partition, int]:
        return {at: position.next_offset for at, position in self.positions.items()}

    def _committed(self, batch: Batch, outcome: Outcome, seconds: float) -> None:
        for move in batch.advances:
            self.positions[move.at] = replace(
                self.positions[move.at],
                next_offset=move.next_offset,
                caught_up_at=move.caught_up_at or self.positions[move.at].caught_up_at,
            )
        self._measure(batch, outcome, seconds)

    async def _write(self, batch: Batch) -> Outcome:
        store = self._store.store
        self._writing_since = time.monotonic()
        crash_point("replica.decoded")
        outcome = Outcome(applied=0, stale=0)
        try:
            if self.slot is Slot.LIVE:
                outcome = await self._store(store.apply, batch)
            else:
                await self._store(store.fill, batch)
        except Fenced:
            if not await self._swapped():
                metrics.fenced.labels(self._name).inc()
            raise
        finally:
            self._writing_since = None
        crash_point("replica.committed")
        return outcome

    async def _swapped(self) -> bool:
        """Whether a finished fill has put its own positions in place of these, and nobody else has claimed them."""
        with suppress(Unavailable):
            status = await self._store(self._store.store.status, self._name)
            return status.generation != self._generation
        return False

    def _measure(self, batch: Batch, outcome: Outcome, seconds: float) -> None:
        metrics.apply_seconds.labels(self._name).observe(seconds)
        counts = {**batch.counts, "applied": outcome.applied, "stale": outcome.stale, "parked": len(batch.parked)}
        for name, n in counts.items():
            metrics.consumed.labels(self._name, name).inc(n)
        if batch.parked:
            self._lot.arrived.set()
        newest = batch.rows.get_column("recorded_at").max()
        if self.slot is Slot.LIVE and isinstance(newest, datetime):
            metrics.latency_seconds.labels(self._name).observe(max((datetime.now(UTC) - newest).total_seconds(), 0))

    def lag(self) -> int:
        """Offsets between the committed positions and the last stable offsets, as of the last fetch."""
        stable = {at: self._watermarks(at)[1] for at in self._route.partitions}
        return sum(max((end or 0) - self.positions[at].next_offset, 0) for at, end in stable.items() if end)

    def unstable(self) -> int:
        """What open transactions hide: high watermarks less last stable offsets."""
        pairs = [self._watermarks(at) for at in self._route.partitions]
        return sum(max(high - stable, 0) for high, stable in pairs if high is not None and stable is not None)


async def _run(records: int, work: Callable[Given, Answer], *args: Given.args, **kwargs: Given.kwargs) -> Answer:
    """Work on so many records; on many in a thread, so that fetching goes on."""
    if records <= FEW:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def kafka_partition(at: Partition) -> TopicPartition:
    return TopicPartition(at.topic, at.partition)
