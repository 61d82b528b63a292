"""Reads the code registers' own topics: small, compacted, one partition or few."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bus import codec, kafka, wire
from bus.catalog import Catalog, Register
from bus.codes.copy import Copy
from bus.errors import EventRefused
from bus.event import MARKER_KEY, Op
from bus.headers import read_tombstone
from bus.names import AgencyCode, RegisterName, SchemaId, TopicName
from bus.registry.base import SchemaRegistry
from bus.settings import KafkaSettings
from bus.topics.cluster import describe
from bus.topics.facts import TopicFacts

SUBJECT = "code"
POLL_MS = 200


def code_topics(catalog: Catalog) -> dict[TopicName, RegisterName]:
    """The topics of all code registers."""
    return {topic: each.name for each in catalog.of_subject(SUBJECT) for topic in catalog.topics(each)}


async def read_topics(
    settings: KafkaSettings,
    catalog: Catalog,
    registry: SchemaRegistry,
    known: Mapping[RegisterName, Copy],
    now: datetime,
) -> list[Copy]:
    """Every code register that has a topic, read again only where something was written since ``known``.

    Raises BrokerUnavailable, RegistryUnavailable.
    """
    topics = code_topics(catalog)
    async with kafka.consumer(settings) as client:
        facts = await describe(kafka.admin(settings), list(topics))
        with kafka.told_plainly(settings):
            found = []
            for topic, name in topics.items():
                if not facts[topic].missing:
                    register = catalog.register(name)
                    reading = _Reading(register, catalog.topics(register)[topic], registry)
                    found.append(await reading.read(client, topic, facts[topic], known.get(name), now))
            return found


@dataclass(slots=True)
class _Reading:
    """One topic folded into its last states."""

    register: Register
    writer: AgencyCode
    registry: SchemaRegistry
    _schemas: dict[SchemaId, codec.ParsedSchema] = field(default_factory=dict)
    _last: dict[str, tuple[int, Mapping[str, Any] | None]] = field(default_factory=dict)

    async def read(
        self, client: AIOKafkaConsumer, topic: TopicName, facts: TopicFacts, known: Copy | None, now: datetime
    ) -> Copy:
        places = [TopicPartition(topic, number) for number in range(facts.partitions)]
        ends = await client.end_offsets(places)
        end = sum(ends.values())
        states = known.states if known else ()
        if known is None or (known.topic_id, known.end) != (facts.topic_id, end):
            await self._fold(client, ends)
            states = tuple(state for _, state in self._last.values() if state is not None)
        return Copy(self.register.name, topic, facts.topic_id, end, now, states)

    async def _fold(self, client: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        client.assign(list(ends))
        await client.seek_to_beginning()
        while not all([await client.position(place) >= end for place, end in ends.items()]):
            for batch in (await client.getmany(timeout_ms=POLL_MS)).values():
                for record in batch:
                    if record.key is not None and record.key != MARKER_KEY:
                        await self._take(record)

    async def _take(self, record: Any) -> None:
        """Events of anybody but the writer, and such as cannot be read, say nothing."""
        try:
            if record.value is None:
                self._set(record.key.decode(), read_tombstone(record.headers).version, None)
                return
            schema_id, body = wire.split(record.value)
            if schema_id not in self._schemas:
                self._schemas[schema_id] = codec.parse(await self.registry.schema(schema_id))
            event = codec.decode(self.register.name, body, self._schemas[schema_id])
        except (EventRefused, UnicodeDecodeError):
            return
        if event.source == self.writer:
            self._set(event.key, event.version, event.state if event.op is Op.UPSERT else None)

    def _set(self, key: str, version: int, state: Mapping[str, Any] | None) -> None:
        if version >= self._last.get(key, (version, None))[0]:
            self._last[key] = (version, state)
