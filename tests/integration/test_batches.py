"""Batches hold what the plain consumer gives record by record, transactions and all, on a real broker."""

import asyncio

from aiokafka import ConsumerRecord, TopicPartition
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


async def read(kafka: str, partitions: list[TopicPartition], since: int, runs: int | None) -> list[Record]:
    """All from an offset on: record by record, or so many runs at a time."""
    found: list[Record] = []
    async with clients.consumer(KafkaSettings(bootstrap_servers=kafka)) as consumer:
        if runs is not None:
            by_batches(consumer)
        consumer.assign(partitions)
        for at in partitions:
            consumer.seek(at, since)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(at) < end for at, end in ends.items()]):
            got = await consumer.getmany(timeout_ms=100, max_records=runs)
            items = [item for of_partition in got.values() for item in of_partition]
            found += Records.of(items) if runs is not None else map(told, items)
    return sorted(found, key=lambda each: (each.partition, each.offset))


def told(record: ConsumerRecord) -> Record:
    origin = (record.topic, record.partition, record.offset, record.timestamp)
    return Record(*origin, record.key, record.value, record.headers)


async def test_batches_hold_what_the_plain_consumer_gives(
    kafka: str, kafka_admin: AdminClient, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}.batches"
    kafka_admin.create_topics([NewTopic(topic, 2, 1)])[topic].result()
    first = 0
    for compression, end in [("lz4", ""), (None, "commit"), ("zstd", "abort"), ("gzip", ""), ("snappy", "commit")]:
        await send(kafka, topic, first, 400, compression, end)
        first += 400
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    for since in (0, 150, 450):
        plain = await read(kafka, partitions, since, None)
        assert 0 < len(plain) <= 1600  # of 2,000, a fifth of which were aborted
        assert await read(kafka, partitions, since, 1) == plain
        assert await read(kafka, partitions, since, 1000) == plain
