"""Another partition count for a register: its topic copied to a new generation, then the writer sent there.

1. Copy what there is, while the writer goes on.
2. Fence the writer and seal the topic: no broker takes an event for it any more, from anyone.
3. Copy the rest; mark the topic as copied. From here on the new generation may be read and written.

Each transaction holds records and how far the old topic is copied: killed anywhere and run again, it goes on from
there. Of each key all records lie in one old partition and go to one new one, in their order.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka.admin import AdminClient

from bus import kafka
from bus.catalog import Catalog, Register
from bus.crashpoints import crash_point
from bus.errors import BrokerUnavailable, ClusterMismatch, InputRefused
from bus.event import MARKER_KEY
from bus.fencing import MOST_SHARDS, transactional_id
from bus.names import TopicName
from bus.partition import partition_of
from bus.settings import KafkaSettings
from bus.topics.cluster import alter, count_brokers, create, describe_with_config
from bus.topics.facts import COPIED, SEAL, SEALED, TopicFacts, partitions
from bus.topics.merged import merged
from bus.topics.plan import Alteration, wanted

TRANSACTION_RECORDS = 5_000
PROBE_SECONDS = 0.1
SEAL_SECONDS = 30.0  # for every broker to hear of the seal
TOGETHER = 16  # ids that are fenced at the same time

Moved = Callable[[int], None]
"""Told the number of records that were copied."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One topic on its way to its next generation."""

    old: TopicName
    new: TopicName
    found: TopicFacts
    partitions: int
    """Of the new one."""
    offsets: int
    """Of the old one, from its beginnings to its ends, what compaction left out included."""
    copied: int
    """Of them, what an earlier run has done."""

    @property
    def done(self) -> bool:
        return self.found.copied


class Repartition:
    """Moves one register's topics to their next generation."""

    def __init__(self, settings: KafkaSettings, catalog: Catalog, register: Register, count: int) -> None:
        """Raises InputRefused when the register has that count."""
        if count == register.partitions:
            raise InputRefused(f"{register.name}: has {partitions(count)} by the catalogue already; name another count")
        self._settings, self._catalog, self._register, self._count = settings, catalog, register, count
        self.generation = register.generation + 1
        self._next = register.model_copy(update={"generation": self.generation, "partitions": count})
        self._admin: AdminClient = kafka.admin(settings)

    async def plan(self) -> list[Passage]:
        """What is to be done, topic by topic. Raises ClusterMismatch where it cannot be, BrokerUnavailable."""
        await count_brokers(self._admin, self._settings)  # asked first: it names the address where nobody answers
        ways = {
            self._register.topic(writer): self._next.topic(writer) for writer in self._catalog.writers(self._register)
        }
        facts = await describe_with_config(self._admin, [*ways, *ways.values()])
        return [await self._passage(old, new, facts) for old, new in ways.items()]

    async def move(self, passage: Passage, moved: Moved) -> None:
        """Copy, seal, copy the rest, and say so. May be killed anywhere and run again; does nothing when done."""
        if passage.done:
            return
        target = wanted(
            passage.new, self._count, self._register.topic_config, await count_brokers(self._admin, self._settings)
        )
        await create(self._admin, [target])
        passage = await self._passage(
            passage.old, passage.new, await describe_with_config(self._admin, [passage.old, passage.new])
        )
        if not passage.found.sealed:
            await self._copy(passage, moved)
        await self._fence(passage.old)
        await self._seal(passage)
        crash_point("repartition.sealed")
        await self._copy(passage, moved)
        crash_point("repartition.filled")
        await alter(self._admin, [Alteration(passage.old, SEAL, None, COPIED)])

    async def _passage(self, old: TopicName, new: TopicName, facts: Mapping[TopicName, TopicFacts]) -> Passage:
        found, target = facts[old], facts[new]
        if found.missing:
            raise ClusterMismatch(
                f"{self._register.name}: no topic {old} to copy; make it with: lienthong topics apply"
            )
        if not target.missing and target.partitions != self._count:
            raise ClusterMismatch(
                f"{self._register.name}: {new} is there with {partitions(target.partitions)}, not {self._count}; go on "
                "with that count, or delete it if nothing was begun with it",
            )
        async with self._reader(old, found, target) as client:
            with kafka.told_plainly(self._settings):
                places = _places(old, found.partitions)
                begin, end = await client.beginning_offsets(places), await client.end_offsets(places)
                done = await _copied(client, places)
                there = {} if target.missing else await client.end_offsets(_places(new, target.partitions))
        if any(there.values()) and not found.copied and not done:
            raise ClusterMismatch(
                f"{self._register.name}: {new} holds records of which nobody knows how far {old} is copied; nothing is "
                f"changed: if nobody uses {new}, delete it and begin anew",
            )
        return Passage(
            old,
            new,
            found,
            self._count,
            offsets=sum(end[at] - begin[at] for at in places),
            copied=sum(max(done.get(at, 0) - begin[at], 0) for at in places),
        )

    def _reader(self, old: TopicName, found: TopicFacts, target: TopicFacts) -> Any:
        """A consumer in whose group is kept how far this very topic is copied to that very one."""
        return kafka.consumer(self._settings, group_id=_group(old, found, target))

    async def _copy(self, passage: Passage, moved: Moved) -> None:
        """Everything that is committed by now and not copied yet."""
        facts = await describe_with_config(self._admin, [passage.old, passage.new])
        found, target = facts[passage.old], facts[passage.new]
        places = _places(passage.old, found.partitions)
        async with (
            kafka.producer(self._settings, transactional_id=f"{passage.new}-repartition", linger_ms=20) as producer,
            self._reader(passage.old, found, target) as client,
        ):
            with kafka.told_plainly(self._settings):
                begin, done = await client.beginning_offsets(places), await _copied(client, places)
                start = {at: max(done.get(at, 0), begin[at]) for at in places}
                ends = await self._ends(places, sealed=found.sealed)
                part: list[tuple[TopicPartition, Any]] = []
                async for at, record in merged(client, start, ends):
                    part.append((at, record))
                    if len(part) == TRANSACTION_RECORDS:
                        await self._send(producer, passage, part, _group(passage.old, found, target))
                        moved(len(part))
                        part = []
                await self._send(producer, passage, part, _group(passage.old, found, target), ends)
                moved(len(part))

    async def _ends(self, places: list[TopicPartition], *, sealed: bool) -> Mapping[TopicPartition, int]:
        """Up to where to copy: of a sealed topic all of it, also what an open transaction hides for now."""
        level = "read_uncommitted" if sealed else "read_committed"
        async with kafka.consumer(self._settings, isolation_level=level) as client:
            found: Mapping[TopicPartition, int] = await client.end_offsets(places)
            return found

    async def _send(
        self,
        producer: AIOKafkaProducer,
        passage: Passage,
        part: list[tuple[TopicPartition, Any]],
        group: str,
        ends: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Records and how far they go, in one transaction; ``ends`` where this is the last one."""
        reached = ends or {at: record.offset + 1 for at, record in part}
        if not reached:
            return
        async with producer.transaction():
            sent = [
                await producer.send(
                    passage.new,
                    record.value,
                    record.key,
                    partition=self._place(record),
                    timestamp_ms=record.timestamp,
                    headers=list(record.headers),
                )
                for _at, record in part
                if record.key != MARKER_KEY
            ]
            await asyncio.gather(*sent)
            offsets = {at: OffsetAndMetadata(offset, "") for at, offset in reached.items()}
            await producer.send_offsets_to_transaction(offsets, group)
        crash_point("repartition.copied")

    def _place(self, record: Any) -> int:
        """By its key; what has none is no event, and keeps its place as far as there is one."""
        if record.key is None:
            return int(record.partition) % self._count
        return partition_of(record.key, self._count)

    async def _fence(self, topic: TopicName) -> None:
        """End every adapter that sends in transactions, and what it has open; it learns of it with its next one."""
        limit = asyncio.Semaphore(TOGETHER)

        async def end(shard: int) -> None:
            async with limit:
                with kafka.told_plainly(self._settings):
                    producer = kafka.transactional(self._settings, transactional_id(topic, shard))
                    await asyncio.to_thread(producer.init_transactions, kafka.START_SECONDS)

        await asyncio.gather(*(end(shard) for shard in range(MOST_SHARDS)))

    async def _seal(self, passage: Passage) -> None:
        """Have every partition's broker refuse events, and see that it does."""
        await alter(self._admin, [Alteration(passage.old, SEAL, None, SEALED)])
        async with kafka.producer(self._settings) as producer:
            try:
                async with asyncio.timeout(SEAL_SECONDS):
                    for at in _places(passage.old, passage.found.partitions):
                        await _refused(producer, at)
            except TimeoutError as error:
                raise BrokerUnavailable(
                    f"{passage.old}: still takes records after it was sealed; run this again"
                ) from error


async def _refused(producer: AIOKafkaProducer, at: TopicPartition) -> None:
    """Return once the partition refuses even a marker, which does no harm where it is taken."""
    with suppress(MessageSizeTooLargeError):
        while True:
            await producer.send_and_wait(at.topic, None, MARKER_KEY, partition=at.partition)
            await asyncio.sleep(PROBE_SECONDS)


async def _copied(client: AIOKafkaConsumer, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    """How far each partition is copied; nothing for one of which nothing is."""
    client.assign(places)
    found = {at: await client.committed(at) for at in places}
    return {at: offset for at, offset in found.items() if offset is not None}


def _group(old: TopicName, found: TopicFacts, target: TopicFacts) -> str:
    return f"{old}-repartition-{found.topic_id}-{target.topic_id or 'new'}"


def _places(topic: TopicName, count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(count)]
