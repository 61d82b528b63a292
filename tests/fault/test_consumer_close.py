"""A consumer that is closed while one of its fetches waits to be tried again, as after a connection was reset."""

import asyncio

from aiokafka import TopicPartition

from bus import kafka as clients
from bus.settings import KafkaSettings
from tests.producing import IDENTITY, prepare


async def waiting_fetch() -> None:
    await asyncio.sleep(60)


async def test_closing_ends_no_task_and_leaves_no_connection(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    async with clients.consumer(KafkaSettings(bootstrap_servers=kafka)) as consumer:
        consumer.assign([TopicPartition(f"{topic_prefix}.{IDENTITY}", 0)])
        fetch = asyncio.create_task(waiting_fetch())
        consumer._fetcher._pending_tasks.add(fetch)
        await asyncio.sleep(0)
    assert fetch.cancelled()
    assert not [each for each in consumer._client._conns.values() if each.connected()]
