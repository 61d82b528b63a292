"""Topics of the benchmark's own, each under a prefix of its own, filled with so many residents."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import polars as pl

from bus import kafka
from bus.catalog import load_catalog
from bus.names import TopicName
from bus.registry import open_registry
from bus.settings import KafkaSettings
from producers.release import Release, newest_release
from tests.benchmarks.events import IDENTITY, POLICE, residents, version_now
from tests.benchmarks.sending import BATCH_BYTES, Target, is_poison, send_in_bulk
from tests.producing import prepare, registry_settings

COMPRESSION = "lz4"  # the Publisher's default


@dataclass(frozen=True, slots=True)
class Topic:
    """A filled topic of ``resident.identity``."""

    kafka: str
    prefix: str
    events: int
    poisoned: int = 0
    """How many of the events cannot be decoded."""

    @property
    def name(self) -> TopicName:
        return load_catalog(prefix=self.prefix).register(IDENTITY).topic(POLICE)


def filled(bootstrap: str, prefix: str, events: int, *, poison: bool = False) -> Topic:
    """Make the topic, release the schema, and fill it with one event for each of ``events`` residents."""
    topic = Topic(bootstrap, prefix, events, sum(map(is_poison, range(events))) if poison else 0)
    asyncio.run(_make(topic))
    append_round(topic)
    return topic


def append_round(topic: Topic) -> int:
    """Append the same residents once more with higher versions; give the first of these."""
    first = version_now()
    asyncio.run(_fill(topic, residents(topic.events), first))
    return first


def release_of(topic: Topic) -> Release:
    """The schema of the topic's events and its id."""
    return asyncio.run(_release(topic))


@asynccontextmanager
async def target(topic: Topic) -> AsyncIterator[Target]:
    settings = KafkaSettings(bootstrap_servers=topic.kafka)
    options = {"compression_type": COMPRESSION, "max_batch_size": BATCH_BYTES}
    async with kafka.producer(settings, **options) as client:
        yield Target(client, topic.name, await _release(topic))


async def _make(topic: Topic) -> None:
    await prepare(topic.kafka, topic.prefix)


async def _fill(topic: Topic, states: pl.DataFrame, first_version: int) -> None:
    async with target(topic) as where:
        await send_in_bulk(where, states, first_version, poison=topic.poisoned > 0)


async def _release(topic: Topic) -> Release:
    settings = KafkaSettings(bootstrap_servers=topic.kafka)
    async with open_registry(registry_settings(topic.prefix), settings) as registry:
        return await newest_release(load_catalog(prefix=topic.prefix).register(IDENTITY), registry)
