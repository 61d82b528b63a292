"""What we publish belongs to everyone: clients that are not ours read it, and put the same key in the same place."""

import asyncio
import json
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from bus import codec, wire
from bus import kafka as clients
from bus.names import TopicName
from bus.registry import open_registry
from bus.settings import KafkaSettings, RegistrySettings
from bus.topics.cluster import create
from bus.topics.plan import wanted
from tests.events import deleted, make_topics, record, release, resident, send, tombstone

PARTITIONS = 12


@pytest.fixture
async def topic(kafka, topic_prefix) -> str:
    return await make_topics(kafka, topic_prefix)


@pytest.fixture
async def apicurio_encoder(apicurio_url, topic_prefix, tmp_path) -> codec.Encoder:
    where = RegistrySettings(url=apicurio_url, cache_dir=tmp_path)
    async with open_registry(where, KafkaSettings()) as registry:
        return await release(registry, topic_prefix)


def librdkafka_records(kafka: str, topic: str, count: int) -> list[Any]:
    """The topic's first records, as librdkafka's own consumer gives them."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": secrets.token_hex(4), "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found = consumer.consume(count, timeout=20)
    finally:
        consumer.close()
    assert all(message.error() is None for message in found)
    return found


@pytest.mark.full
async def test_confluents_deserializer_reads_our_events_from_a_registry_that_is_not_ours(
    kafka, topic, topic_prefix, apicurio_url, apicurio_encoder
):
    event, gone = resident(1), deleted(2)
    await send(kafka, topic, record(apicurio_encoder, event), record(apicurio_encoder, gone), tombstone(gone))
    found = await asyncio.to_thread(librdkafka_records, kafka, topic, 3)
    with SchemaRegistryClient({"url": apicurio_url, "timeout": 10}) as registry:
        deserialize = AvroDeserializer(registry)
        values = [deserialize(message.value(), SerializationContext(topic, MessageField.VALUE)) for message in found]
    by_op = {value["op"] if value else "TOMBSTONE": value for value in values}
    assert by_op["UPSERT"] == codec.record(event) | {"state": by_op["UPSERT"]["state"], "event_id": event.event_id}
    assert by_op["UPSERT"]["state"].items() >= event.state.items()
    assert by_op["DELETE"]["state"] is None
    assert by_op["TOMBSTONE"] is None


async def test_any_avro_library_reads_our_events_with_the_schema_from_the_topic(kafka, topic, topic_prefix, tmp_path):
    schemas = f"{topic_prefix}_schemas"
    where = RegistrySettings(topic=schemas, cache_dir=tmp_path)
    async with open_registry(where, KafkaSettings(bootstrap_servers=kafka)) as registry:
        encoder = await release(registry, topic_prefix)
    await send(kafka, topic, record(encoder, resident(1)))
    (released,) = await asyncio.to_thread(librdkafka_records, kafka, schemas, 1)
    (message,) = await asyncio.to_thread(librdkafka_records, kafka, topic, 1)
    said = json.loads(released.value())
    schema_id, body = wire.split(message.value())
    assert schema_id == said["id"]
    schema = fastavro.parse_schema(json.loads(said["schema"]))
    value = fastavro.schemaless_reader(BytesIO(body), schema, None)
    assert (value["key"], value["state"]["full_name"]) == ("079085000001", "Nguyễn Văn 1")


async def test_headers_are_cloudevents_of_the_kafka_binding(kafka, topic, topic_prefix):
    gone = deleted(7)
    await send(kafka, topic, tombstone(gone))
    (message,) = await asyncio.to_thread(librdkafka_records, kafka, topic, 1)
    headers: Mapping[str, bytes] = dict(message.headers())
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"vn.lienthong.resident.identity.delete"
    assert headers["ce_source"] == b"/agencies/H29.5"
    assert headers["ce_id"] == str(gone.event_id).encode()
    assert headers["ce_recordversion"] == b"7"
    assert gone.key.encode() not in b"".join(headers.values())


@pytest.mark.parametrize("partitioner", ["murmur2", "murmur2_random"])
async def test_key_lies_where_librdkafkas_murmur2_puts_it(kafka, kafka_admin: AdminClient, topic_prefix, partitioner):
    ours, theirs = TopicName(f"{topic_prefix}.ours"), TopicName(f"{topic_prefix}.theirs")
    await create(kafka_admin, [wanted(name, PARTITIONS, {}, brokers=1) for name in (ours, theirs)])
    keys = [f"079{number:09d}" for number in range(200)] + ["H29.101-260706-1377", "0300588569-002", "Đ", "x" * 300]
    placed = await asyncio.to_thread(_placed_by_librdkafka, kafka, theirs, keys, partitioner)
    async with clients.producer(KafkaSettings(bootstrap_servers=kafka)) as producer:
        sent = [await producer.send(ours, b"v", key=key.encode()) for key in keys]
        found = {key: (await future).partition for key, future in zip(keys, sent, strict=True)}
    assert found == placed
    assert len(set(found.values())) == PARTITIONS


@pytest.mark.full
@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
async def test_kcat_shows_key_headers_and_the_wire_formats_first_byte(kafka, topic, topic_prefix, tmp_path):
    where = RegistrySettings(topic=f"{topic_prefix}_schemas", cache_dir=tmp_path)
    async with open_registry(where, KafkaSettings(bootstrap_servers=kafka)) as registry:
        event = record(await release(registry, topic_prefix), resident(1))
    await send(kafka, topic, event)
    command = ["kcat", "-b", kafka, "-t", topic, "-C", "-e", "-q", "-f", "%k|%h|%S|%s"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    key, headers, size, value = done.stdout.split(b"|", 3)
    assert (key, int(size), value) == (b"079085000001", len(event[1] or b""), event[1])
    assert b"ce_type=vn.lienthong.resident.identity.upsert" in headers


def _placed_by_librdkafka(kafka: str, topic: str, keys: list[str], partitioner: str) -> dict[str, int]:
    placed: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": kafka, "partitioner": partitioner})
    for key in keys:
        producer.produce(
            topic, b"v", key=key, on_delivery=lambda _, sent: placed.__setitem__(sent.key().decode(), sent.partition())
        )
    producer.flush(20)
    return placed
