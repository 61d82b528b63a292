"""The end of a topic: the version that bounds every key's last one from above (docs/adr/0002)."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bus import kafka
from bus.errors import EventRefused
from bus.event import MARKER_KEY
from bus.headers import read_tombstone
from bus.names import RegisterName, TopicName
from bus.registry.base import SchemaRegistry
from bus.settings import KafkaSettings
from producers.decoder import Decoder

LOOK_BACK = (256, 4_096, 65_536)
"""Records from the end, tried in turn, then all: a tail of markers and aborted transactions holds no version."""
POLL_MS = 200


class Tail:
    """Reads the last versions in each partition of one topic."""

    def __init__(self, settings: KafkaSettings, registry: SchemaRegistry, register: RegisterName) -> None:
        self._settings = settings
        self._decoder = Decoder(register, registry)

    async def high_water(self, topic: TopicName, partitions: int) -> dict[int, int]:
        """Highest version among the last records of each partition; one without events is left out.

        Uncommitted records count too: a version too high does no harm.
        """
        wanted = [TopicPartition(topic, number) for number in range(partitions)]
        async with kafka.consumer(self._settings, isolation_level="read_uncommitted") as client:
            with kafka.told_plainly(self._settings):
                begin = await client.beginning_offsets(wanted)
                end = await client.end_offsets(wanted)
                return await self._look_back(client, begin, end)

    async def _look_back(
        self, client: AIOKafkaConsumer, begin: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
    ) -> dict[int, int]:
        found: dict[int, int] = {}
        upto = {place: offset for place, offset in end.items() if begin[place] < offset}
        client.assign(list(upto))
        for step in (*LOOK_BACK, max(end.values(), default=0)):
            start = {place: max(begin[place], end[place] - step) for place in upto}
            found |= await self._newest(client, start, upto)
            upto = {
                place: start[place] for place in upto if place.partition not in found and start[place] > begin[place]
            }
            if not upto:
                break
        return found

    async def _newest(
        self, client: AIOKafkaConsumer, start: Mapping[TopicPartition, int], upto: Mapping[TopicPartition, int]
    ) -> dict[int, int]:
        """Highest version per partition from ``start`` up to, not including, ``upto``."""
        found: dict[int, int] = {}
        for place, offset in start.items():
            client.seek(place, offset)
        waiting = set(start)
        while waiting:
            for place, records in (await client.getmany(*waiting, timeout_ms=POLL_MS)).items():
                versions = await self._versions(record for record in records if record.offset < upto[place])
                found[place.partition] = max([*versions, found.get(place.partition, -1)])
            for place in list(waiting):
                if await client.position(place) >= upto[place]:
                    waiting.discard(place)
        return {partition: version for partition, version in found.items() if version >= 0}

    async def _versions(self, records: Iterable[Any]) -> list[int]:
        return [version for record in records if (version := await self._version(record)) is not None]

    async def _version(self, record: Any) -> int | None:
        """None for what is no event of ours: a marker, or something that does not decode."""
        if record.key == MARKER_KEY:
            return None
        try:
            if record.value is None:
                return read_tombstone(record.headers).version
            return (await self._decoder.event(record.value)).version
        except EventRefused:
            return None
