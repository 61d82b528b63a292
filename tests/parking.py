"""What tests of parked events need: events that a replica cannot apply, for causes that can be mended, and a config file."""

import json
from pathlib import Path

from bus import codec, wire
from bus import kafka as clients
from bus.catalog import load_catalog
from bus.event import Event
from bus.headers import event_headers
from bus.names import SchemaId
from bus.registry import open_registry
from bus.settings import KafkaSettings
from bus.topics.cluster import create
from bus.topics.plan import dead_letter_topic
from consumers.settings import ReplicaSettings
from consumers.stores import open_reader
from consumers.stores.model import Parked
from tests.consuming import Feed
from tests.producing import IDENTITY, registry_settings
from tests.schemas import schema_text, with_field

GARBAGE = b"\x00\x00\x00\x00\x01garbage"


class Future:
    """Events of a schema that is released later: parked as ``schema_unknown`` until then."""

    def __init__(self, feed: Feed, prefix: str) -> None:
        self._feed, self._registry = feed, registry_settings(prefix)
        self._schema = with_field(schema_text(IDENTITY), "contact", pii="personal")

    async def send(self, *events: Event) -> None:
        async with open_registry(self._registry, self._feed.kafka) as registry:
            released = await registry.versions(self._feed.register.avro_subject)
        schema_id = SchemaId(max(each.schema_id for each in released) + 1)
        encoder = codec.Encoder(schema_id, codec.parse(json.loads(self._schema)))
        async with clients.producer(self._feed.kafka) as producer:
            for each in events:
                value = encoder.encode(each)
                assert wire.split(value)[0] == schema_id
                await producer.send_and_wait(self._feed.topic, value, each.key.encode(), headers=event_headers(each))

    async def come(self) -> None:
        """Release the schema."""
        async with open_registry(self._registry, self._feed.kafka) as registry:
            await registry.publish(self._feed.register.avro_subject, self._schema)


async def make_dead_letter_topic(kafka: KafkaSettings, prefix: str) -> str:
    topic = dead_letter_topic(load_catalog(prefix=prefix), brokers=1)
    await create(clients.admin(kafka), [topic])
    return topic.name


def parked_in(settings: ReplicaSettings) -> list[Parked]:
    with open_reader(settings.replica.database) as reader:
        return list(reader.parked(limit=100_000))


def config_file(path: Path, settings: ReplicaSettings) -> Path:
    """The settings as the file that a command is given."""
    replica = settings.replica
    registers = ", ".join(f'"{name}"' for name in replica.registers)
    path.write_text(
        f'[replica]\nagency = "{replica.agency}"\ndatabase = "{replica.database}"\nregisters = [{registers}]\n'
        f'prefix = "{replica.prefix}"\nmax_parked = {replica.max_parked}\n'
        f'[kafka]\nbootstrap_servers = "{settings.kafka.bootstrap_servers}"\n'
        f'[registry]\ntopic = "{settings.registry.topic}"\n[metrics]\nport = 0\n',
        encoding="utf-8",
    )
    return path
