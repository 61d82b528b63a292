"""What is unpacked here is what aiokafka's own consumer gives record by record, transactions and all, on a real broker."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bus import kafka as clients
from bus.batches import by_batches
from bus.records import Record, Records
from bus.settings import KafkaSettings

HEADERS = [("ce_id", b"1")]


async def send(kafka: str, topic: str, first: int, count: int, compression: str | None, end: str = "") -> None:
    """``count`` records to two partitions; with ``end`` in a transaction that is committed or aborted."""
    options = {"transactional_id": f"{topic}-{first}"} if end else {}
    async with clients.producer(
        KafkaSettings(bootstrap_servers=kafka), compression_type=compression, linger_ms=5, **options
    ) as producer:
        if end:
            await producer.begin_transaction()
        sent = []
        for n in range(first, first + count):
            value = None if n % 50 == 7 else b"value %d" % n
            sent.append(await producer.send(topic, value, key=b"%d" % n, partition=n % 2, headers=HEADERS))
        await asyncio.gather(*sent)
        if end == "abort":
            await producer.abort_transaction()
        elif end:
            await producer.commit_transaction()


def ours(kafka: str, level: str) -> AbstractAsyncContextManager[Any]:
    return clients.consumer(KafkaSettings(bootstrap_servers=kafka), isolation_level=level)


def plain(kafka: str, level: str) -> AbstractAsyncContextManager[Any]:
    return AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level=level, enable_auto_commit=False)


async def read(
    client: AbstractAsyncContextManager[Any],
    partitions: list[TopicPartition],
    since: int,
    *,
    most: int | None = None,
    runs: bool = False,
) -> list[Record]:
    """All from an offset on, so many records or runs at a time."""
    found: list[Record] = []
    async with client as consumer:
        if runs:
            by_batches(consumer)
        consumer.assign(partitions)
        for at in partitions:
            consumer.seek(at, since)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            got = await consumer.getmany(timeout_ms=100, max_records=most)
            items = [item for of_partition in got.values() for item in of_partition]
            found += Records.of(items) if runs else map(told, items)
    return sorted(found, key=lambda each: (each.partition, each.offset))


def told(record: ConsumerRecord | Record) -> Record:
    origin = (record.topic, record.partition, record.offset, record.timestamp)
    return Record(*origin, record.key, record.value, tuple(record.headers))


@pytest.fixture
async def partitions(kafka: str, kafka_admin: AdminClient, topic_prefix: str) -> list[TopicPartition]:
    """Of a topic with all codecs, and a transaction in five broken off."""
    topic = f"{topic_prefix}.batches"
    kafka_admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
    first = 0
    for compression, end in [("lz4", ""), (None, "commit"), ("zstd", "abort"), ("gzip", ""), ("snappy", "commit")]:
        await send(kafka, topic, first, 400, compression, end)
        first += 400
    return [TopicPartition(topic, 0), TopicPartition(topic, 1)]


async def test_batches_hold_what_the_plain_consumer_gives(kafka: str, partitions: list[TopicPartition]) -> None:
    level = "read_committed"
    for since in (0, 150, 450):
        expected = await read(plain(kafka, level), partitions, since)
        assert 0 < len(expected) <= 1600  # of 2,000, a fifth of which were aborted
        assert await read(ours(kafka, level), partitions, since, most=1, runs=True) == expected
        assert await read(ours(kafka, level), partitions, since, most=1000, runs=True) == expected
        assert await read(ours(kafka, level), partitions, since, most=150) == expected


async def test_who_reads_uncommitted_records_gets_those_of_the_plain_consumer(
    kafka: str, partitions: list[TopicPartition]
) -> None:
    level = "read_uncommitted"
    expected = await read(plain(kafka, level), partitions, 150)
    assert len(expected) > 1600
    assert await read(ours(kafka, level), partitions, 150) == expected
