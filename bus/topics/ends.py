"""Where partitions end: their offsets, and the time that their newest record bears."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from bus.names import TopicName
from bus.topics.cluster import admin_told_plainly

_SPEC: Any = OffsetSpec  # ships no types


@dataclass(frozen=True, slots=True)
class End:
    offset: int
    """The high watermark: open transactions count too."""
    newest: datetime | None
    """The highest time among its records, which the broker lets be an hour ahead of its own at most; None without."""


async def find_ends(
    admin: AdminClient, partitions: Iterable[tuple[TopicName, int]]
) -> Mapping[tuple[TopicName, int], End]:
    """The end of each partition asked for. Raises BrokerUnavailable."""
    asked = [TopicPartition(topic, number) for topic, number in partitions]
    with admin_told_plainly():
        latest = admin.list_offsets({at: _SPEC.latest() for at in asked})
        newest = admin.list_offsets({at: _SPEC.max_timestamp() for at in asked})
        found = {}
        for at in asked:
            offset = (await asyncio.wrap_future(latest[at])).offset
            told = (await asyncio.wrap_future(newest[at])).timestamp
            found[TopicName(at.topic), at.partition] = End(
                offset, datetime.fromtimestamp(told / 1000, UTC) if told >= 0 else None
            )
    return found
