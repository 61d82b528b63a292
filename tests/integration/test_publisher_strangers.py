"""What adapters write, read by clients that are not ours."""

import time
from uuid import UUID

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import Schema, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from bus.catalog import load_catalog
from bus.registry import open_registry
from bus.settings import KafkaSettings
from producers import Publisher
from producers.partition import partition_of
from tests.exports import export, people, run
from tests.producing import IDENTITY, person, prepare, publisher_settings, registry_settings


class Registry:
    """A Confluent registry client as far as a deserializer needs one."""

    def __init__(self, schemas):
        self.schemas = schemas

    def get_schema(self, schema_id, *_, **__):
        return Schema(self.schemas[schema_id], "AVRO")


def consumed(servers, topic, count):
    client = Consumer(
        {"bootstrap.servers": servers, "group.id": topic, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    client.subscribe([topic])
    found, deadline = [], time.monotonic() + 30
    try:
        while len(found) < count and time.monotonic() < deadline:
            some = [message for message in client.consume(count, timeout=0.5) if message.error() is None]
            found += [message for message in some if message.value() is not None]  # not the daily markers
    finally:
        client.close()
    return found


async def test_librdkafka_and_confluents_deserializer_read_publisher_and_file_diff(kafka, topic_prefix, tmp_path):
    await prepare(kafka, topic_prefix)
    async with Publisher(publisher_settings(kafka, topic_prefix)) as publisher:
        receipt = await publisher.publish(IDENTITY, person(100))
    await run(kafka, topic_prefix, tmp_path, export(tmp_path, [*people(20), person(100)]))
    register = load_catalog(prefix=topic_prefix).register(IDENTITY)
    async with open_registry(registry_settings(topic_prefix), KafkaSettings(bootstrap_servers=kafka)) as registry:
        texts = {found.schema_id: found.text for found in await registry.versions(register.avro_subject)}
    topic = f"{topic_prefix}.{IDENTITY}"
    read = AvroDeserializer(Registry(texts), conf={"subject.name.strategy": topic_subject_name_strategy})
    messages = consumed(kafka, topic, 21)
    events = [read(message.value(), SerializationContext(topic, MessageField.VALUE)) for message in messages]
    states = {event["key"]: event["state"] for event in events}
    assert states == {row["personal_id"]: row for row in [*people(20), person(100)]}
    assert str(receipt.event_id) in {str(event["event_id"]) for event in events}
    for message, event in zip(messages, events, strict=True):
        headers = dict(message.headers())
        assert message.key().decode() == event["key"]
        assert headers["ce_type"] == b"vn.lienthong.resident.identity.upsert"
        assert UUID(headers["ce_id"].decode()) == UUID(str(event["event_id"]))


async def test_librdkafka_puts_a_key_where_we_do(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    client = Producer({"bootstrap.servers": kafka, "partitioner": "murmur2_random"})
    placed = {}
    keys = [person(number)["personal_id"] for number in range(200)] + ["0314409058-002", "H29.101-260706-0001", "ệ"]
    for key in keys:
        client.produce(
            f"{topic_prefix}.{IDENTITY}",
            key=key.encode(),
            value=b"x",
            on_delivery=lambda _error, message: placed.update({message.key().decode(): message.partition()}),
        )
    client.flush(30)
    assert placed == {key: partition_of(key, 12) for key in keys}
