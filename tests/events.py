"""Events of synthetic residents as records on a topic, without any adapter of ours."""

import datetime as dt
import json
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer

from bus import codec
from bus import kafka as clients
from bus.catalog import load_catalog
from bus.event import Event, Op
from bus.headers import Headers, event_headers, tombstone_headers
from bus.names import AgencyCode, RegisterName, SchemaId
from bus.registry import SchemaRegistry
from bus.schema.avsc import load_register
from bus.settings import KafkaSettings
from bus.topics.cluster import create
from bus.topics.plan import wanted_topics

IDENTITY = RegisterName("resident.identity")
POLICE = AgencyCode("H29.5")
Record = tuple[bytes, bytes | None, Headers]


def resident(number: int = 1, **changes: Any) -> Event:
    """The number-th synthetic resident; ``changes`` replace parts of the event."""
    key = f"079085{number:06d}"
    now = dt.datetime(2026, 7, 6, 9, 30, tzinfo=dt.UTC)
    state = {"personal_id": key, "full_name": f"Nguyễn Văn {number}", "birth_date": "1985-03-12", "sex": "male"}
    event: dict[str, Any] = {
        "register": IDENTITY,
        "event_id": UUID(int=number),
        "op": Op.UPSERT,
        "key": key,
        "version": number,
        "source": POLICE,
        "occurred_at": now,
        "recorded_at": now,
        "replaced_by": None,
        "state": state | {"birth_date_precision": "day", "status": "active", "nationality": "VN"},
    }
    return Event(**event | changes)


def deleted(number: int = 1, **changes: Any) -> Event:
    return resident(number, op=Op.DELETE, state=None, **changes)


async def release(registry: SchemaRegistry, prefix: str, register: str = IDENTITY) -> codec.Encoder:
    """Publish the register's newest schema; what writes its events."""
    text = load_register(register)[-1].text
    released = await registry.publish(load_catalog(prefix=prefix).register(register).avro_subject, text)
    return codec.Encoder(SchemaId(released.schema_id), codec.parse(json.loads(text)))


async def make_topics(kafka: str, prefix: str, register: str = IDENTITY) -> str:
    """The register's topics; the name of the first."""
    catalog = load_catalog(prefix=prefix)
    topics = wanted_topics(catalog, [catalog.register(register)], brokers=1)
    await create(clients.admin(KafkaSettings(bootstrap_servers=kafka)), topics)
    return topics[0].name


def record(encoder: codec.Encoder, event: Event) -> Record:
    return event.key.encode(), encoder.encode(event), event_headers(event)


def tombstone(event: Event) -> Record:
    return event.key.encode(), None, tombstone_headers(event)


async def send(kafka: str, topic: str, *records: Record, **options: Any) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for key, value, headers in records:
            await producer.send_and_wait(topic, value, key=key, headers=headers, **options)
