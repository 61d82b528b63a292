"""What the topic holds already: the events of rows that were sent and not marked before the relay ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bus import kafka
from bus.errors import BrokerUnavailable
from bus.headers import EVENT_ID
from bus.names import TopicName
from bus.settings import KafkaSettings
from producers.outbox.relay.lease import Positions
from producers.outbox.relay.source import Known
from producers.outbox.types import read_event_id

POLL_MS = 200
IDLE_POLLS = 300  # a minute: a stranger's open transaction is ended by the broker within 30 s


@dataclass(frozen=True, slots=True)
class Holding:
    known: Known
    ends: Positions
    """Where the topic ended."""


async def holding(settings: KafkaSettings, topic: TopicName, partitions: int, since: Positions | None) -> Holding:
    """Read what is committed from those offsets up to the topic's end; nothing but the end for None.

    Call it once nobody can append to the topic any more. Raises BrokerUnavailable.
    """
    places = [TopicPartition(topic, number) for number in range(partitions)]
    ends = await _ends(settings, places)
    if since is None:
        return Holding(frozenset(), {place.partition: end for place, end in ends.items()})
    async with kafka.consumer(settings) as client:
        with kafka.told_plainly(settings):
            begin = await client.beginning_offsets(places)
            start = {place: _start(since.get(place.partition, 0), begin[place], ends[place]) for place in places}
            known = await _read(client, {place: at for place, at in start.items() if at < ends[place]}, ends)
    return Holding(frozenset(known), {place.partition: end for place, end in ends.items()})


async def _ends(settings: KafkaSettings, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    """High watermarks: also what a stranger's open transaction hides for now."""
    async with kafka.consumer(settings, isolation_level="read_uncommitted") as client:
        with kafka.told_plainly(settings):
            found: dict[TopicPartition, int] = await client.end_offsets(places)
            return found


def _start(since: int, begin: int, end: int) -> int:
    """From the beginning where the offset is not of this topic."""
    return begin if since > end else max(since, begin)


async def _read(
    client: AIOKafkaConsumer, start: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> set[tuple[bytes, bool]]:
    known: set[tuple[bytes, bool]] = set()
    client.assign(list(start))
    for place, offset in start.items():
        client.seek(place, offset)
    waiting, idle = set(start), 0
    while waiting:
        batches = await client.getmany(*waiting, timeout_ms=POLL_MS)
        known |= set(_events(record for batch in batches.values() for record in batch))
        waiting = {place for place in waiting if await client.position(place) < ends[place]}
        idle = 0 if batches else idle + 1
        if idle > IDLE_POLLS:
            raise BrokerUnavailable(f"{next(iter(waiting)).topic}: its end cannot be read: a transaction stays open")
    return known


def _events(records: Iterable[Any]) -> Iterable[tuple[bytes, bool]]:
    for record in records:
        event_id = dict(record.headers).get(EVENT_ID)
        if event_id is not None and _may_be_a_rows(event_id):
            yield event_id, record.value is None


def _may_be_a_rows(event_id: bytes) -> bool:
    """CloudEvents allows any text, and a stranger writes anything: a database that is asked for it may refuse."""
    try:
        read_event_id(event_id)
    except ValueError:
        return False
    return True
