"""Reads the code registers' own topics: small, compacted, one partition or few."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bus import codec, kafka, wire
from bus.catalog import Catalog, Register
from bus.codes.copy import Copy
from bus.errors import EventRefused
from bus.event import MARKER_KEY, Op
from bus.headers import read_tombstone
from bus.names import RegisterName, SchemaId, TopicName
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
    names = code_topics(catalog)
    async with kafka.consumer(settings) as client:
        facts = await describe(kafka.admin(settings), list(names))
        there = {topic: each for topic, each in facts.items() if not each.missing}
        with kafka.told_plainly(settings):
            ends = await _ends(client, there)
            kept = {
                topic: replace(copy, read_at=now)
                for topic, end in ends.items()
                if (copy := known.get(names[topic])) and (copy.topic_id, copy.end) == (there[topic].topic_id, _sum(end))
            }
            folds = {topic: _Fold(catalog.register(names[topic]), catalog, registry) for topic in ends.keys() - kept}
            await _read(client, {topic: ends[topic] for topic in folds}, folds)
    made = [
        Copy(fold.register.name, topic, there[topic].topic_id, _sum(ends[topic]), now, fold.states)
        for topic, fold in folds.items()
    ]
    return [*kept.values(), *made]


Ends = Mapping[TopicPartition, int]


async def _ends(client: AIOKafkaConsumer, facts: Mapping[TopicName, TopicFacts]) -> dict[TopicName, Ends]:
    """Asked for all at once: a client takes a second for each topic that it has not heard of."""
    places = {
        topic: [TopicPartition(topic, number) for number in range(each.partitions)] for topic, each in facts.items()
    }
    everywhere = [place for some in places.values() for place in some]
    if not everywhere:
        return {}
    client.assign(everywhere)
    ends = await client.end_offsets(everywhere)
    return {topic: {place: ends[place] for place in some} for topic, some in places.items()}


async def _read(client: AIOKafkaConsumer, ends: Mapping[TopicName, Ends], folds: Mapping[TopicName, "_Fold"]) -> None:
    """These topics from their beginning to their ends."""
    wanted = {place: end for some in ends.values() for place, end in some.items()}
    if not wanted:
        return
    client.assign(list(wanted))
    await client.seek_to_beginning()
    while not all([await client.position(place) >= end for place, end in wanted.items()]):
        for place, batch in (await client.getmany(timeout_ms=POLL_MS)).items():
            for record in batch:
                if record.key is not None and record.key != MARKER_KEY:
                    await folds[TopicName(place.topic)].take(record)


def _sum(ends: Ends) -> int:
    return sum(ends.values())


class _Fold:
    """One topic's records folded into its last states."""

    def __init__(self, register: Register, catalog: Catalog, registry: SchemaRegistry) -> None:
        self.register = register
        self._writers = catalog.writers(register)
        self._registry = registry
        self._schemas: dict[SchemaId, codec.ParsedSchema] = {}
        self._last: dict[str, tuple[int, Mapping[str, Any] | None]] = {}

    @property
    def states(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(state for _, state in self._last.values() if state is not None)

    async def take(self, record: Any) -> None:
        """Events of anybody but the writer, and such as cannot be read, say nothing."""
        try:
            if record.value is None:
                self._set(record.key.decode(), read_tombstone(record.headers).version, None)
                return
            schema_id, body = wire.split(record.value)
            if schema_id not in self._schemas:
                self._schemas[schema_id] = codec.parse(await self._registry.schema(schema_id))
            event = codec.decode(self.register.name, body, self._schemas[schema_id])
        except (EventRefused, UnicodeDecodeError):
            return
        if event.source in self._writers:
            self._set(event.key, event.version, event.state if event.op is Op.UPSERT else None)

    def _set(self, key: str, version: int, state: Mapping[str, Any] | None) -> None:
        if version >= self._last.get(key, (version, None))[0]:
            self._last[key] = (version, state)
