"""What tests of adapters need on a cluster: topics, released schemas, settings, and a plain look at a topic."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import IsolationLevel
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, OffsetSpec

from bus import kafka as clients
from bus.catalog import load_catalog
from bus.event import MARKER_KEY, Event
from bus.names import RegisterName, TopicName
from bus.registry import open_registry
from bus.schema.avsc import load_register
from bus.settings import KafkaSettings, RegistrySettings
from bus.topics.cluster import create, describe
from bus.topics.plan import wanted_topics
from producers import PublisherSettings
from producers.decoder import Decoder

IDENTITY, RESIDENCE, CASE, BUSINESS = (
    "resident.identity",
    "resident.residence",
    "dossier.case",
    "business.registration",
)
SETTLE_SECONDS = 3.0
POLICE, WARD = "H29.5", "H29.101"


def registry_settings(prefix: str) -> RegistrySettings:
    return RegistrySettings(topic=f"{prefix}-schemas")


def publisher_settings(bootstrap: str, prefix: str, agency: str = POLICE, **more: Any) -> PublisherSettings:
    return PublisherSettings(
        agency=agency,
        kafka=KafkaSettings(bootstrap_servers=bootstrap),
        registry=registry_settings(prefix),
        prefix=prefix,
        **more,
    )


async def prepare(bootstrap: str, prefix: str, registers: Iterable[str] = (IDENTITY,)) -> None:
    """Topics and released schemas of these registers, under this test's own prefix."""
    settings = KafkaSettings(bootstrap_servers=bootstrap)
    catalog = load_catalog(prefix=prefix)
    chosen = [catalog.register(name) for name in registers]
    await create(clients.admin(settings), wanted_topics(catalog, chosen, brokers=1))
    await release(bootstrap, prefix, registers)


async def release(bootstrap: str, prefix: str, registers: Iterable[str], schemas: Path | None = None) -> None:
    catalog = load_catalog(prefix=prefix)
    async with open_registry(registry_settings(prefix), KafkaSettings(bootstrap_servers=bootstrap)) as registry:
        for name in registers:
            for schema in load_register(name, schemas):
                await registry.publish(catalog.register(name).avro_subject, schema.text)


async def records(bootstrap: str, topic: str, *, isolation: str = "read_committed") -> list[Any]:
    """Every record of a topic, partition by partition, in offset order."""
    found: list[Any] = []
    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level=isolation, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await client.start()
    try:
        admin = clients.admin(KafkaSettings(bootstrap_servers=bootstrap))
        facts = await describe(admin, [TopicName(topic)])
        places = [TopicPartition(topic, number) for number in range(facts[TopicName(topic)].partitions)]
        client.assign(places)
        end = await _settled(client, admin, places)
        for place in places:
            client.seek(place, 0)
        while any([await client.position(place) < end[place] for place in places]):
            for batch in (await client.getmany(timeout_ms=200)).values():
                found += batch
    finally:
        await client.stop()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def _settled(
    client: AIOKafkaConsumer, admin: AdminClient, places: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """The ends once they are stable: a commit is acknowledged before its markers are in every partition.

    Of a transaction that stays open, nothing is waited for beyond some seconds.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    asked = {Place(each.topic, each.partition): OffsetSpec.latest() for each in places}
    while True:
        end: dict[TopicPartition, int] = await client.end_offsets(places)
        found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED)
        whole = {(at.topic, at.partition): each.result(30).offset for at, each in found.items()}
        if time.monotonic() > deadline or all(end[at] >= whole[at.topic, at.partition] for at in places):
            return end
        await asyncio.sleep(0.02)


async def events(bootstrap: str, prefix: str, register: str = IDENTITY, agency: str = POLICE) -> list[Event]:
    """Every event of a register's topic, without tombstones."""
    chosen = load_catalog(prefix=prefix).register(register)
    async with open_registry(registry_settings(prefix), KafkaSettings(bootstrap_servers=bootstrap)) as registry:
        decoder = Decoder(RegisterName(register), registry)
        found = await records(bootstrap, chosen.topic(agency))
        return [
            await decoder.event(record.value)
            for record in found
            if record.value is not None and record.key != MARKER_KEY
        ]


def person(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A synthetic resident: male, born 1985, as the number says."""
    return {
        "personal_id": f"079085{number:06d}",
        "old_id_9": None,
        "full_name": f"Nguyễn Văn {number}",
        "other_name": None,
        "birth_date": "1985-03-12",
        "birth_date_precision": "day",
        "sex": "male",
        "nationality": "VN",
        "native_place": None,
        "birth_place": None,
        "birth_registration_place": None,
        "card_issue_date": None,
        "card_expiry": None,
        "status": "active",
    } | changes
