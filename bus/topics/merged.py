"""A topic's records from all partitions as one stream, in the order of their versions."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bus.envelope import version_of
from bus.errors import BrokerUnavailable

POLL_MS = 200
IDLE_POLLS = 300  # a minute: the broker ends anyone's open transaction within 30 s
BUFFER = 500  # records of a partition that are held


async def merged(
    client: AIOKafkaConsumer, start: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator[tuple[TopicPartition, Any]]:
    """Committed records from ``start`` up to ``ends``; of each partition in their order, of all by rising version.

    Where each partition's versions rise, the whole's do. A record without one comes with the one before it. Raises
    BrokerUnavailable where an open transaction hides the end for longer than any may stay open.
    """
    client.assign(list(start))
    for at, offset in start.items():
        client.seek(at, offset)
    waiting: dict[TopicPartition, deque[tuple[int, Any]]] = {at: deque() for at in start if start[at] < ends[at]}
    last = dict.fromkeys(waiting, -1)
    idle = 0
    while waiting:
        empty = [at for at, held in waiting.items() if not held]
        if not empty:
            at = min(waiting, key=lambda at: waiting[at][0][0])
            yield at, waiting[at].popleft()[1]
            continue
        got = await client.getmany(*empty, timeout_ms=POLL_MS, max_records=BUFFER * len(empty))
        for at, records in got.items():
            for record in records:
                if record.offset < ends[at]:
                    version = version_of(record.value, record.headers)
                    last[at] = last[at] if version is None else version
                    waiting[at].append((last[at], record))
        for at in empty:
            if not waiting[at] and await client.position(at) >= ends[at]:
                del waiting[at]
        idle = 0 if got else idle + 1
        if idle > IDLE_POLLS:
            raise BrokerUnavailable(f"{next(iter(waiting)).topic}: its end cannot be read: a transaction stays open")
